"""Fixtures that every test may use."""

import gc
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.one import Outcome, run
from qpv_geo.releases.release import Release
from qpv_geo.settings import Settings, project_root
from qpv_geo.sources.catalogue import Catalogue, load_catalogue
from qpv_geo.sources.fetch import Policy
from qpv_geo.territory import Territory, load_territory
from tests.publishing import inputs, moved, publish
from tests.server import OfficialSites

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_ROOT = Path(__file__).parents[1]

# By default Python looks for garbage among the many lasting objects of releases so often that it takes a
# tenth of the time.
gc.set_threshold(20_000, 20, 20)

# What the quick tier leaves out: servers, browsers, QGIS, kills, faults, all of France, whole runs.
SLOW = {
    "test_accessibility",
    "test_all_territories",
    "test_base_map",
    "test_browser",
    "test_browser_finder",
    "test_browser_labels",
    "test_browser_tools",
    "test_changes",
    "test_cli",
    "test_communes",
    "test_compare",
    "test_country",
    "test_damaged_release",
    "test_declared_zones",
    "test_deployments",
    "test_evolution",
    "test_faults",
    "test_flow",
    "test_formats",
    "test_full_territory",
    "test_fuzz",
    "test_fuzz_texts",
    "test_genuine_cells",
    "test_genuine_files",
    "test_gpkg_standards",
    "test_geocoding",
    "test_guards",
    "test_health",
    "test_health_pages",
    "test_hooks",
    "test_kill",
    "test_library",
    "test_locate",
    "test_locate_bands",
    "test_locate_files",
    "test_locate_shapes",
    "test_lock",
    "test_neighbours",
    "test_outside",
    "test_portraits",
    "test_qgis_render",
    "test_ranks",
    "test_refresh",
    "test_release",
    "test_releases_cli",
    "test_retention",
    "test_scale",
    "test_security",
    "test_serve",
    "test_serve_security",
    "test_sudden_death",
    "test_territory_init",
    "test_territory_show",
    "test_wheel",
    "test_zones",
}

# Examples have no deadline: a busy machine is not a defect. HYPOTHESIS_PROFILE=long tries many more of them.
_common = hypothesis.settings(
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.register_profile("default", _common, max_examples=50)
hypothesis.settings.register_profile("long", _common, max_examples=3_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_xdist_auto_num_workers() -> int:
    """Run one process more than there are cores: a third of the time goes into waiting for servers."""
    return (os.cpu_count() or 1) + 1


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import the slow files for ``pytest -m quick``."""
    return True if config.option.markexpr == "quick" and collection_path.stem in SLOW else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put every test into the quick tier but for those of the slow files, which come first.

    The last process to finish then has a short file left, not one of minutes.
    """
    items.sort(key=lambda item: item.path.stem not in SLOW)
    for item in items:
        if item.path.stem not in SLOW:
            item.add_marker("quick")


@pytest.fixture(autouse=True, scope="session")
def _alone() -> Iterator[None]:
    """Keep tests, and the commands that they start, off the network and off the user's own settings."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            patch.delenv(name, raising=False)
            patch.delenv(name.lower(), raising=False)
        # Workers of pytest have a narrow terminal, it says.
        for name in ("QPV_GEO_DATA", "QPV_GEO_SOURCES", "COLUMNS"):
            patch.delenv(name, raising=False)
        # Nothing listens there: without a server of its own, a test finds every official site unreachable.
        patch.setenv("QPV_GEO_OFFICIAL_SITES", "http://127.0.0.1:9")
        yield


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Folder of real data laid out as the official sites lay it out, beside the checkout if at all."""
    return _shared("mirror", "the mirror of real data")


@pytest.fixture(scope="session")
def formats() -> Path:
    """Folder of older files as their producers wrote them, beside the checkout if at all."""
    return _shared("formats", "genuine files of older vintages")


def _shared(name: str, what: str) -> Path:
    folder = _ROOT.parent / "shared" / name
    if not folder.is_dir():
        pytest.skip(f"needs {what}: put it in ../shared/{name}, beside the checkout")
    return folder


@pytest.fixture(scope="session")
def snapshot() -> Path:
    """Folder of the shipped Besançon originals."""
    return _ROOT / "data" / "raw" / "snapshot"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a run whose data folder is empty, whose retries do not wait, and that reaches no site."""
    assert project_root() == _ROOT, "tests run on the checkout, not on an installed copy"
    return Settings(data_dir=tmp_path / "data", backoff=0.001)


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Return the six QPV of the snapshot, published once for all tests that only read them."""
    return publish(Settings(data_dir=tmp_path_factory.mktemp("data")), inputs())


@pytest.fixture
def first(release: Release, settings: Settings) -> Release:
    """Return the same release as the only one in the data folder of a test."""
    return moved(release, settings)


@pytest.fixture(scope="session")
def bandless(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Return settings of a data folder whose release has no bands, as where a territory asks for none."""
    settings, made = Settings(data_dir=tmp_path_factory.mktemp("data")), inputs()
    del made.layers["bande_300m"]
    publish(settings, made)
    return settings


@pytest.fixture(scope="session")
def refreshed(tmp_path_factory: pytest.TempPathFactory, besancon: Territory) -> Outcome:
    """Return what a refresh of Besançon without network did, run once for all tests that only read it."""
    return run(Job(besancon, Settings(data_dir=tmp_path_factory.mktemp("data")), Policy(offline=True)))


@pytest.fixture
def offline(refreshed: Outcome, settings: Settings) -> Release:
    """Return the release of the same refresh as the only one in the data folder of a test."""
    return moved(refreshed.release, settings)


@pytest.fixture(scope="session")
def villeneuve(tmp_path_factory: pytest.TempPathFactory) -> tuple[Release, Territory]:
    """Return a release of Grand Villeneuve with every layer to locate points in, and its territory."""
    from tests.villeneuve import write_mirror, write_territory  # noqa: PLC0415 - few tests need it

    folder = tmp_path_factory.mktemp("villeneuve")
    write_mirror(folder / "mirror", only=("qpv_2024", "communes_epci", "qpv_2015", "iris"))
    territory = load_territory(str(write_territory(folder)))
    settings = Settings(data_dir=folder / "data")
    return run(Job(territory, settings, Policy(mirror=str(folder / "mirror")))).release, territory


@pytest.fixture
def sites(snapshot: Path) -> Iterator[OfficialSites]:
    """Official sites that serve the shipped originals."""
    with OfficialSites(snapshot) as server:
        yield server


@pytest.fixture
def live(settings: Settings, sites: OfficialSites) -> Settings:
    """Settings of a run that reaches `sites`."""
    return replace(settings, official_sites=sites.url)


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """Return the shipped catalogue."""
    return load_catalogue()


@pytest.fixture(scope="session")
def besancon() -> Territory:
    """Return the shipped territory."""
    return load_territory("besancon")


# One a module: while it runs, the main thread has an event loop, and Prefect cannot have its own.
@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Chromium, without a window."""
    chromium = shutil.which("chromium")
    if chromium is None:
        reason = "needs Debian's package chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    # imported lazily: few tests need it
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    from tests.browsing import ARGUMENTS  # noqa: PLC0415

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def poor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of pages of the release without network, which lacks most themes."""
    from tests.browsing import write  # noqa: PLC0415
    from tests.portraying import snapshot_frames  # noqa: PLC0415

    settings = Settings(data_dir=tmp_path_factory.mktemp("data"))
    return write(tmp_path_factory.mktemp("poor"), snapshot_frames(settings))


@pytest.fixture(scope="session")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of pages of a release that lacks nothing."""
    from tests.browsing import write  # noqa: PLC0415
    from tests.portraying import full_frames  # noqa: PLC0415

    settings = Settings(data_dir=tmp_path_factory.mktemp("data"))
    return write(tmp_path_factory.mktemp("rich"), full_frames(settings))
