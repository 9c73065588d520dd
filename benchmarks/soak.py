"""Refresh after refresh of three territories while all goes wrong at random: ``python benchmarks/soak.py``.

Sources change, fail, send bad files, answer without end and recover; what was kept or published is damaged;
runs are killed. Takes the number of runs and the seed of chance. Ends with figures, and with an error if a
published release does not verify, something unfinished or a process is left, disk or memory keep growing, or
anything warns.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from qpv_geo.pipeline.job import Job
    from tests.server import OfficialSites

ROOT = Path(__file__).parents[1]
TERRITORIES = ("besancon", "ville", "campagne")
# How much the resident memory may grow from the first third of the runs to the last, in MiB.
GROWTH = 150
# How often a release and its originals may lie on the disk beyond those that are kept: what is being written,
# and the one before the current one.
SPARE = 3


def resident() -> float:
    """Return the memory that this process holds now, in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1024**2


def occupied(folder: Path) -> float:
    """Return the size of a folder's files, in MiB."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) / 1024**2


class Weather:
    """What the official sites do next: mostly nothing, else another edition, a failure or a bad file."""

    def __init__(self, sites: "OfficialSites", seed: int) -> None:
        self.sites = sites
        self.chance = random.Random(seed)  # noqa: S311 - weather, not secrets
        self.people = 15603

    def change(self) -> str:
        """Change something, and say what."""
        from tests.faults import files
        from tests.faults.world import new_edition, packed_country, population

        sites = self.sites
        sites.behave()
        good = {"qpv_2024": packed_country(), "insee_population": population(self.people)}
        for source, data in good.items():
            if sites.data(source) != data:
                sites.publish(source, data)
        bad_files: dict[str, Callable[[], bytes]] = {
            "qpv_2024": lambda: files.contours(files.without("QN02517N")),
            "insee_population": lambda: self.chance.choice(
                (population(-1), b"a;b" + b";x" * 100_000, b'"', b"{" * 100_000)
            ),
        }
        failures: tuple[int | str | bytes, ...] = (403, 404, 429, 500, 503, b"<" * 100_000)
        failures += ("reset", "down", "html", "empty", "truncated", "loop", "underscore", "malformed")
        failures += ("interim", "headers", "extensions", "encoded")
        kinds = {"nothing": 2, "edition": 4, "failure": 4, "hiccup": 1, "bad file": 3, "odd header": 2}
        kinds |= {"kept copy damaged": 1, "release damaged": 1, "kill": 2}
        kind = self.chance.choices([*kinds], [*kinds.values()])[0]
        match kind:
            case "edition":
                self.people += self.chance.choice((-7, -3, 2, 5, 11))
                new_edition(sites, self.people)
            case "failure":
                where = self.chance.choice(("www.insee.fr", "data.gouv.fr", "geo.api.gouv.fr", ""))
                sites.misbehave(where, self.chance.choice(failures))
            case "hiccup":
                sites.misbehave("", 503, times=1)
            case "bad file":
                source = self.chance.choice(sorted(bad_files))
                sites.publish(source, bad_files[source]())
            case "odd header":
                odd = {"ETag": '"édition"'}, {"Last-Modified": "hier"}, {"ETag": "x" * 5_000}
                sites.misbehave("www.insee.fr", self.chance.choice(odd))
        return kind


def damage(what: str, data: Path, territory_id: str, chance: random.Random) -> Path:
    """Damage a kept original's description, or that of a current release; return its folder."""
    if what == "kept copy damaged":
        found = sorted((data / "raw" / "store").rglob("_raw.json"))
    else:
        found = [
            data / "out" / territory_id / "latest" / name for name in ("rapport.json", "datapackage.json")
        ]
    path = chance.choice(found).resolve()
    path.chmod(0o644)
    path.write_text(chance.choice(("", "[]", "[" * 100_000, path.read_text(encoding="utf-8")[:-9])))
    return path.parent


def killed(job: "Job", chance: random.Random) -> None:
    """Do the whole job in a process of its own, and kill it at some moment."""
    from tests.faults.processes import start

    process = start(run_quietly, job)
    process.join(chance.uniform(0.2, 3))
    process.kill()
    process.join()


def run_quietly(job: "Job") -> None:
    """Do the whole job, whatever comes of it."""
    from qpv_geo.errors import QpvGeoError
    from qpv_geo.pipeline.one import run

    with suppress(QpvGeoError):
        run(job)


def ended(what: str, job: "Job", chance: random.Random) -> str:
    """Do the whole job, after one that is killed if that is what happens, and say how it ended."""
    from qpv_geo.errors import QpvGeoError
    from qpv_geo.pipeline.one import run

    if what == "kill":
        killed(job, chance)
    try:
        release = run(job).release
    except QpvGeoError as error:
        return f"code {error.exit_code}"
    return "held" if release.held else "published" if release.published else "unchanged"


def releases_of(data: Path) -> list[Path]:
    """Return the releases of all territories."""
    from tests.faults.world import visible_releases

    return [path for name in TERRITORIES for path in visible_releases(data, name)]


def left(data: Path, damaged: set[Path]) -> list[str]:
    """Return what is wrong at the end; a damaged release is made again only where it is the current one."""
    from qpv_geo.audit.verify import verify_release
    from tests.faults.world import leftovers

    problems = [f"left behind: {name}" for place in TERRITORIES for name in leftovers(data, place)]
    for folder in releases_of(data):
        current = (folder.parent / "latest").resolve()
        if folder not in damaged - {current}:
            problems += [f"{folder.name}: {finding}" for finding in verify_release(folder)]
    names = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    # Processes are forked from a server of Python's own, which ends with this one.
    return problems + [f"a process is left: {name}" for name in names if "multiprocessing" not in name]


def soak(runs: int, seed: int, minutes: float, data: Path, kept: int) -> list[str]:
    """Run, and return what is wrong at the end."""
    from qpv_geo.pipeline.job import Job
    from qpv_geo.pipeline.one import run
    from qpv_geo.releases.placement import is_intact
    from qpv_geo.territory import Retention
    from tests.faults.world import open_sites, quick, territory

    changes = {"conservation": Retention(nombre=kept)}
    places = [territory().model_copy(update={"id": name, **changes}) for name in TERRITORIES]
    seen: Counter[str] = Counter()
    memory: list[float] = []
    disk: list[float] = []
    damaged: set[Path] = set()
    began = time.monotonic()
    problems: list[str] = []
    with open_sites() as sites:
        settings = quick(data, sites, read_timeout=5, download_deadline=2)
        for place in places:
            run(Job(place, settings))
        bound = occupied(data) * (kept + SPARE)
        weather = Weather(sites, seed)
        for number in range(1, runs + 1):
            what, place = weather.change(), weather.chance.choice(places)
            if what.endswith("damaged"):
                damaged.add(damage(what, data, place.id, weather.chance))
            seen[f"{what}: {ended(what, Job(place, settings), weather.chance)}"] += 1
            memory.append(resident())
            disk.append(occupied(data))
            if not is_intact((data / "out" / place.id / "latest").resolve()):
                problems.append(f"run {number} ({what}): the current release is not what was published")
            if time.monotonic() - began > 60 * minutes:
                runs = number
                break
            if number % 20 == 0:
                print(
                    f"  run {number:4}: {len(releases_of(data)):3} releases, "
                    f"{disk[-1]:7.1f} MiB on disk, {memory[-1]:6.0f} MiB in memory",
                    flush=True,
                )
        problems += left(data, damaged)
        count = len(releases_of(data))
    third = max(1, runs // 3)
    early, late = max(memory[:third]), max(memory[-third:])
    if late - early > GROWTH:
        problems.append(f"memory grew from {early:.0f} to {late:.0f} MiB")
    if max(disk) > bound:
        problems.append(f"{max(disk):.1f} MiB on disk, expected at most {bound:.1f} for {kept} releases")
    print(f"{runs} refreshes in {time.monotonic() - began:.0f} s, seed {seed}")
    for name, times in sorted(seen.items()):
        print(f"  {name:<24} {times:4}")
    print(f"  releases kept            {count:4}, every rule of each holds: {not problems}")
    print(f"  disk at the end          {disk[-1]:7.1f} MiB")
    print(f"  disk at most             {max(disk):7.1f} MiB, bound {bound:.1f}")
    print(f"  memory, first third      {early:7.1f} MiB at most")
    print(f"  memory, last third       {late:7.1f} MiB at most")
    return problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="?", type=int, default=300)
    parser.add_argument("seed", nargs="?", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=600, help="ends after so many at the latest")
    parser.add_argument("--kept", type=int, default=10, help="releases that are kept")
    chosen = parser.parse_args()
    warnings.simplefilter("error")
    # The sites that the tests play are those of this soak.
    sys.path[:0] = [str(ROOT)]
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        problems = soak(chosen.runs, chosen.seed, chosen.minutes, folder / "data", chosen.kept)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
