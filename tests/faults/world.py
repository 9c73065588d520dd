"""A data folder with a good release, official sites, and what proves that a fault did no harm."""

import re
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from qpv_geo.audit.verify import verify_release
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.one import Outcome, run
from qpv_geo.releases.formats import chosen_formats
from qpv_geo.releases.ledger import is_intact
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import load_catalogue
from qpv_geo.sources.fetch import Policy
from qpv_geo.territory import Territory, load_territory
from tests.country import ARCHIVE, country, zipped
from tests.raw_files import shipped
from tests.releases import digests
from tests.server import OfficialSites

_RELEASE = re.compile(r"\d{4}-\d{2}-\d{2}-[0-9a-f]{10}")
# The sources that the sites of these tests have; the territory ignores the others, which are not required.
SERVED = ("qpv_2024", "insee_population", "insee_filosofi", "communes_epci")


@cache
def territory() -> Territory:
    """Return Besançon without the sources that the sites of these tests do not have."""
    others = (s.id for s in load_catalogue().used() if s.id not in SERVED and not s.required)
    return load_territory("besancon").model_copy(update={"sources_ignorees": tuple(others)})


@cache
def packed_country() -> bytes:
    """Return the good contours as the site ships them."""
    return zipped(country())


def open_sites() -> OfficialSites:
    """Return sites that serve good files; a context manager."""
    sites = OfficialSites(shipped("."))
    sites.publish("qpv_2024", packed_country(), ARCHIVE)
    return sites


def quick(data: Path, sites: OfficialSites, **changes: float) -> Settings:
    """Return settings whose retries do not last."""
    settings = Settings(data_dir=data, attempts=2, backoff=0.001, official_sites=sites.url)
    return replace(settings, **changes)


def new_edition(sites: OfficialSites, people: int) -> None:
    """Put another edition of the populations online: that of Planoise changes a little."""
    sites.publish("insee_population", population(people))


def population(people: int | str = 15603) -> bytes:
    """Return the populations, that of Planoise as given."""
    return shipped("insee/pop_QPV24.csv").read_bytes().replace(b"15603", str(people).encode())


@dataclass
class World:
    """What one case spoils.

    Attributes
    ----------
    data
        The data folder; a good release was published there, from `sites`.
    sites
        The official sites, still serving what that release was made from.
    scratch
        An empty folder.
    settings, policy, changes
        How the run under test is made; `changes` are further fields of its `Job`.
    """

    data: Path
    sites: OfficialSites
    scratch: Path
    settings: Settings = field(init=False)
    policy: Policy = field(default_factory=Policy)
    changes: dict[str, Any] = field(default_factory=dict)
    previous: Path = field(init=False)
    before: dict[str, str] = field(init=False)
    end: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.settings = quick(self.data, self.sites)
        self.previous = self.latest.resolve()
        self.before = digests(self.previous)
        assert self.before, "the case begins with a release"

    @property
    def folder(self) -> Path:
        """The territory's folder of releases."""
        return self.data / "out" / "besancon"

    @property
    def latest(self) -> Path:
        """The link to the current release."""
        return self.folder / "latest"

    @property
    def store(self) -> Path:
        """The kept originals, by key."""
        return self.data / "raw" / "store" / "live"

    def run(self) -> Outcome:
        """Do the whole job as the case wants it done."""
        return run(Job(territory(), self.settings, self.policy, **self.changes))

    def run_well(self) -> Outcome:
        """Do the whole job as the administrator would, once all is well again.

        Without pages: what a fault has left shows as well, in half the time.
        """
        return run(Job(territory(), quick(self.data, self.sites), formats=chosen_formats(pages=False)))

    def assert_untouched(self) -> None:
        """Assert that the previous release is as it was byte for byte, and still the current one."""
        assert self.latest.is_symlink()
        assert self.latest.resolve() == self.previous
        assert digests(self.previous) == self.before

    def assert_publishes(self, people: int = 15604) -> None:
        """Assert that a new edition is published, beside the previous release, and nothing is left behind."""
        new_edition(self.sites, people)
        outcome = self.run_well()
        assert outcome.release.published
        assert self.latest.resolve() == outcome.release.path != self.previous
        assert verify_release(outcome.release.path, quick=True) == []
        assert is_intact(outcome.release.path)
        assert digests(self.previous) == self.before
        self.assert_swept()

    def assert_swept(self) -> None:
        """Assert that nothing unfinished is left, in the releases nor in the store."""
        assert leftovers(self.data) == []


def leftovers(data: Path, territory_id: str = "besancon") -> list[str]:
    """Return what neither is a release nor belongs to the store."""
    strange = [
        path.name
        for path in (data / "out" / territory_id).iterdir()
        if not _RELEASE.fullmatch(path.name) and path.name not in {"latest", ".lock", "held", "releases.json"}
    ]
    half = [
        path for path in (data / "raw" / "store").rglob("*") if re.search(r"\.unfinished|\.new$", str(path))
    ]
    return sorted(strange + [path.relative_to(data).as_posix() for path in half])


def visible_releases(data: Path, territory_id: str = "besancon") -> list[Path]:
    """Return the folders that users take for releases."""
    return sorted(path for path in (data / "out" / territory_id).iterdir() if _RELEASE.fullmatch(path.name))


def duplicate(data: Path, target: Path) -> Path:
    """Copy a data folder: links stay links, read-only files read-only."""
    shutil.copytree(data, target, symlinks=True)
    return target
