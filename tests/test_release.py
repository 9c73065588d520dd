"""Releases: one step to published, the same bytes from the same inputs, and never a broken one."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from qpv_geo.audit.verify import verify_release
from qpv_geo.errors import ConfigurationError, PublicationError
from qpv_geo.formats import fingerprint as fingerprints
from qpv_geo.formats.fingerprint import fingerprint
from qpv_geo.releases.decisions import unchanged_release
from qpv_geo.releases.ledger import is_intact
from qpv_geo.releases.release import Release, current_release, find_release, list_releases
from qpv_geo.settings import Settings
from tests.publishing import (
    BESANCON,
    CATALOGUE,
    REGISTRY,
    WITH_PAGES,
    Inputs,
    inputs,
    publish,
    snapshot_copy,
    spec_of,
)
from tests.releases import digests

ROOT = Path(__file__).parents[1]


def folder_of(settings: Settings) -> Path:
    return settings.out_dir / BESANCON.id


def names(settings: Settings) -> set[str]:
    """Return what the territory's folder holds beside its ledger."""
    return {path.name for path in folder_of(settings).iterdir()} - {"releases.json"}


def newer(made: Inputs) -> Inputs:
    """Return the same inputs with population figures of a later edition."""
    raw = made.raws["insee_population"]
    assert raw is not None
    edition = raw.source.model_copy(update={"note": "Édition suivante."})
    made.raws["insee_population"] = replace(
        raw, source=edition, last_modified=datetime(2026, 3, 1, tzinfo=UTC), provenance="live", origin="live"
    )
    return made


def damage(release: Release, name: str = "csv/qpv.csv") -> None:
    path = release.path / name
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"\n")


def test_a_release_holds_what_it_should_and_latest_points_to_it(settings: Settings, first: Release) -> None:
    assert first.published
    assert first.path == folder_of(settings) / first.id
    assert first.id == f"2026-01-15-{first.fingerprint[:10]}"
    assert first.layers["qpv"] == 6
    assert first.layers["communes"] == 67
    assert first.origin.startswith("Données fournies avec le programme")
    latest = folder_of(settings) / "latest"
    assert latest.is_symlink()
    assert latest.readlink() == Path(first.id), "relative, so that the folder can be moved"
    assert names(settings) == {"latest", first.id}
    there = set(digests(first.path))
    assert {
        "qpv_besancon.gpkg",
        "datapackage.json",
        "rapport.json",
        "rapport.html",
        "geojson/qpv.geojson",
        "geojson/communes.geojson",
        "geojson/epci.geojson",
        "geojson/qpv_commune.geojson",
    } <= there
    assert {f"csv/{name}.csv" for name in first.layers} <= there
    assert verify_release(first.path) == []
    assert current_release(BESANCON.id, settings) == replace(first, published=False)


def test_published_files_are_read_only_and_can_be_removed(offline: Release) -> None:
    for path in offline.path.rglob("*"):
        if path.is_file():
            assert path.stat().st_mode & 0o777 == 0o444, path.name
        else:
            assert path.stat().st_mode & 0o700 == 0o700
    shutil.rmtree(offline.path)
    assert not offline.path.exists()


CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tests.publishing import WITH_PAGES, inputs, publish
from qpv_geo.settings import Settings
print(publish(Settings(data_dir=Path(sys.argv[2])), inputs(), formats=WITH_PAGES).path)
"""


def test_the_same_inputs_give_the_same_bytes_in_another_folder_and_process(
    settings: Settings, tmp_path: Path
) -> None:
    first = publish(settings, inputs(), formats=WITH_PAGES)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(ROOT), str(tmp_path / "ailleurs" / "très loin")],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONHASHSEED": "1234", "TZ": "Pacific/Noumea", "LC_ALL": "C"},
    )
    second = Path(done.stdout.strip())
    assert second.name == first.id
    assert digests(second) == digests(first.path)


def test_nothing_is_published_when_nothing_changed(settings: Settings, first: Release) -> None:
    made = inputs()
    found = unchanged_release(spec_of(made.raws, settings))
    assert found == replace(first, published=False)
    before = first.path.stat().st_ino
    again = publish(settings, inputs())
    assert not again.published
    assert again.path.stat().st_ino == before


@pytest.mark.usefixtures("first")
def test_where_the_bytes_were_taken_from_changes_nothing(settings: Settings) -> None:
    made = inputs()
    made.raws = {
        source: raw and replace(raw, origin="store", reason="exécution hors ligne")
        for source, raw in made.raws.items()
    }
    assert unchanged_release(spec_of(made.raws, settings)) is not None


def test_force_keeps_a_release_that_comes_out_the_same(settings: Settings, first: Release) -> None:
    inode = first.path.stat().st_ino
    again = publish(settings, inputs(), force=True)
    assert not again.published
    assert again.path.stat().st_ino == inode
    assert names(settings) == {"latest", first.id}


def test_force_publishes_again_what_comes_out_otherwise(settings: Settings, first: Release) -> None:
    made = inputs()
    raw = made.raws["qpv_2024"]
    assert raw is not None
    made.raws["qpv_2024"] = replace(raw, reason="autre motif")
    again = publish(settings, made, force=True)
    assert again.published
    assert again.id == first.id
    assert "autre motif" in (again.path / "csv" / "sources.csv").read_text("utf-8-sig")
    assert names(settings) == {"latest", first.id}


@pytest.mark.parametrize("name", ["csv/qpv.csv", "qpv_besancon.gpkg", "datapackage.json"])
def test_a_damaged_release_is_made_again(settings: Settings, name: str, first: Release) -> None:
    made = inputs()
    before = digests(first.path)
    if name == "datapackage.json":
        (first.path / name).unlink()
    else:
        damage(first, name)
    assert not is_intact(first.path)
    assert unchanged_release(spec_of(made.raws, settings)) is None
    again = publish(settings, made)
    assert again.published
    assert again.id == first.id
    assert digests(again.path) == before
    assert (folder_of(settings) / "latest").resolve() == again.path.resolve()
    assert names(settings) == {"latest", first.id}


def test_a_file_that_was_added_makes_a_release_damaged(settings: Settings, first: Release) -> None:
    (first.path / "qpv_besancon.gpkg-wal").write_bytes(b"")
    assert not is_intact(first.path)
    assert publish(settings, inputs()).published
    assert not (first.path / "qpv_besancon.gpkg-wal").exists()


def test_an_older_release_stays_and_is_current_again_when_its_inputs_come_back(
    settings: Settings, first: Release
) -> None:
    second = publish(settings, newer(inputs()))
    assert second.id.startswith("2026-03-01-")
    assert [release.id for release in list_releases(BESANCON.id, settings)] == [first.id, second.id]
    current = current_release(BESANCON.id, settings)
    assert current is not None
    assert current.id == second.id
    inode = first.path.stat().st_ino
    back = publish(settings, inputs())
    assert (back.id, back.published) == (first.id, True)
    assert back.path.stat().st_ino == inode
    assert (folder_of(settings) / "latest").readlink() == Path(first.id)


def test_what_a_run_that_died_left_is_swept(settings: Settings) -> None:
    folder = folder_of(settings)
    left = folder / ".tmp-0123456789ab"
    (left / "csv").mkdir(parents=True)
    (left / "csv" / "qpv.csv").write_text("half", encoding="utf-8")
    (folder / ".tmp-link").symlink_to("nowhere")
    (folder / ".lock").write_text("", encoding="utf-8")
    release = publish(settings, inputs())
    assert names(settings) == {"latest", release.id, ".lock"}


def test_a_replacement_that_died_half_way_is_finished(settings: Settings, first: Release) -> None:
    bridge = folder_of(settings) / ".tmp-bridge"
    first.path.rename(bridge)
    latest = folder_of(settings) / "latest"
    latest.unlink()
    latest.symlink_to(bridge.name)
    current = current_release(BESANCON.id, settings)
    assert current is not None
    assert current.layers["qpv"] == 6
    again = publish(settings, inputs())
    assert again.published
    assert names(settings) == {"latest", first.id}


def test_latest_leads_somewhere_at_each_step_of_making_its_release_again(
    settings: Settings, first: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(first, "csv/qpv.csv")
    latest, rename, led = folder_of(settings) / "latest", Path.rename, []

    def watched(path: Path, target: Path) -> Path:
        moved = rename(path, target)
        led.append(latest.is_dir())
        return moved

    monkeypatch.setattr(Path, "rename", watched)
    assert publish(settings, inputs()).published
    assert len(led) > 1
    assert all(led)


def test_a_link_that_leads_nowhere_is_repaired(settings: Settings, first: Release) -> None:
    shutil.rmtree(first.path)
    assert current_release(BESANCON.id, settings) is None
    assert publish(settings, inputs()).published
    assert (folder_of(settings) / "latest").is_dir()


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_latest_must_be_a_link(settings: Settings, kind: str) -> None:
    latest = folder_of(settings) / "latest"
    latest.parent.mkdir(parents=True)
    latest.mkdir() if kind == "folder" else latest.write_text("x", encoding="utf-8")
    with pytest.raises(PublicationError, match=rf"found a {kind}. Move it away and run again"):
        publish(settings, inputs())
    with pytest.raises(PublicationError, match="expected a link to the current release"):
        current_release(BESANCON.id, settings)
    assert names(settings) == {"latest"}


def test_a_failure_leaves_the_last_release_as_it_was(settings: Settings, first: Release) -> None:
    before = digests(first.path)
    made = newer(inputs())
    made.layers["statistiques"].loc[0, "valeur"] += 1
    with pytest.raises(PublicationError, match="what was written is not what was read"):
        publish(settings, made)
    made = newer(inputs())
    made.layers["qpv"] = made.layers["qpv"].drop(columns="lib_qp")
    with pytest.raises(PublicationError, match="columns missing: lib_qp"):
        publish(settings, made)
    assert digests(first.path) == before
    assert names(settings) == {"latest", first.id}
    assert (folder_of(settings) / "latest").readlink() == Path(first.id)


def test_a_folder_that_cannot_be_written_is_explained(settings: Settings) -> None:
    settings.data_dir.mkdir(parents=True)
    settings.out_dir.write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(PublicationError, match=r"cannot be written .* Nothing was published: check the"):
        publish(settings, inputs())


FULL_DISK = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tests.publishing import inputs, publish
from qpv_geo.errors import PublicationError
from qpv_geo.settings import Settings
made = inputs()
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    publish(Settings(data_dir=Path(sys.argv[2])), made, force=True)
except PublicationError as error:
    print(error)
"""


def test_a_disk_that_is_full_is_explained_and_nothing_is_left_behind(
    settings: Settings, first: Release
) -> None:
    """The limit on the size of a file stands for the disk: the GeoPackage does not fit."""
    before = digests(first.path)
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(ROOT), str(settings.data_dir)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cannot be written" in done.stdout
    assert "check the free space" in done.stdout
    assert names(settings) == {"latest", first.id}
    assert digests(first.path) == before


def test_releases_are_listed_and_found(settings: Settings) -> None:
    assert list_releases(BESANCON.id, settings) == []
    assert current_release(BESANCON.id, settings) is None
    with pytest.raises(ConfigurationError, match=r"no release of 'besancon' .*: run `qpv-geo refresh --data"):
        find_release(BESANCON.id, None, settings)
    release = publish(settings, inputs())
    (folder_of(settings) / "notes").mkdir()
    found = replace(release, published=False)
    assert list_releases(BESANCON.id, settings) == [found]
    assert find_release(BESANCON.id, None, settings) == found
    assert find_release(BESANCON.id, release.id, settings) == found
    with pytest.raises(ConfigurationError, match=f"no release 'autre' .* there are: {release.id}"):
        find_release(BESANCON.id, "autre", settings)


# ------------------------------------------------------------------ fingerprint


def of(made: Inputs) -> str:
    return fingerprint(made.raws, BESANCON, CATALOGUE, REGISTRY)


def test_the_fingerprint_depends_on_the_bytes_and_on_where_they_first_came_from(tmp_path: Path) -> None:
    base = of(inputs())
    assert base == of(inputs())
    folder = snapshot_copy(tmp_path / "originals")
    path = folder / "insee" / "pop_QPV24.csv"
    path.write_bytes(path.read_bytes() + b"\n")
    assert of(inputs(folder)) != base
    made = inputs()
    raw = made.raws["qpv_2024"]
    assert raw is not None
    made.raws["qpv_2024"] = replace(raw, provenance="mirror")
    assert of(made) != base
    made.raws["qpv_2024"] = None
    assert of(made) != base


def test_the_fingerprint_depends_on_configuration() -> None:
    made = inputs()
    base = of(made)
    other = BESANCON.model_copy(update={"sliver_area": 50.0})
    assert fingerprint(made.raws, other, CATALOGUE, REGISTRY) != base
    catalogue = CATALOGUE.model_copy(update={"sources": CATALOGUE.sources[:-1]})
    assert fingerprint(made.raws, BESANCON, catalogue, REGISTRY) != base
    registry = REGISTRY.model_copy(update={"indicators": REGISTRY.indicators[:-1]})
    assert fingerprint(made.raws, BESANCON, CATALOGUE, registry) != base


def copied_code(folder: Path) -> Path:
    """Copy the packages whose code makes a release."""
    for name in ("qpv_geo", "flows"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    return folder


def fingerprint_by(code: Path) -> str:
    """Return the fingerprint as the module of a copy of the code computes it."""
    path = code / Path(fingerprints.__file__).relative_to(ROOT)
    spec = spec_from_file_location("copied_fingerprint", path)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.fingerprint(inputs().raws, BESANCON, CATALOGUE, REGISTRY))


def test_the_fingerprint_depends_on_the_code_and_its_templates(tmp_path: Path) -> None:
    code = copied_code(tmp_path)
    before = fingerprint_by(code)
    assert before == of(inputs())
    for name in (
        "qpv_geo/formats/csv.py",
        "qpv_geo/formats/fields.toml",
        "qpv_geo/formats/templates/rapport.html",
        "flows/refresh.py",
    ):
        (code / name).write_bytes((code / name).read_bytes() + b"\n")
        after = fingerprint_by(code)
        assert after != before, name
        before = after
    (code / "qpv_geo" / "__pycache__").mkdir(exist_ok=True)
    (code / "qpv_geo" / "__pycache__" / "tabular.pyc").write_bytes(b"x")
    assert fingerprint_by(code) == before, "compiled code is not code"


def test_the_fingerprint_depends_on_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    base = of(inputs())
    assert {"GDAL", "GEOS", "PROJ", "geopandas", "shapely", "pyogrio"} <= set(fingerprints.environment())
    versions = fingerprints.environment() | {"GDAL": "4.0"}
    monkeypatch.setattr(fingerprints, "environment", lambda: versions)
    assert of(inputs()) != base


def test_the_fingerprint_depends_on_the_territorys_own_files(tmp_path: Path) -> None:
    path = tmp_path / "fragiles.geojson"
    path.write_text("{}", encoding="utf-8")
    declared = {"chemin": str(path), "champ_nom": "nom", "mise_a_jour": "2026-01-01"}
    territory = BESANCON.model_validate(BESANCON.model_dump() | {"quartiers_fragiles_fichier": declared})
    made = inputs()
    before = fingerprint(made.raws, territory, CATALOGUE, REGISTRY)
    path.write_text("{} ", encoding="utf-8")
    assert fingerprint(made.raws, territory, CATALOGUE, REGISTRY) != before
