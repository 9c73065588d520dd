"""Refresh after refresh while sources change, fail and recover at random: ``python benchmarks/soak.py``.

Takes the number of runs and the seed of chance. Ends with figures, and with an error if a published release
does not verify, something unfinished is left, disk or memory keep growing, or anything warns.
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
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.server import OfficialSites

ROOT = Path(__file__).parents[1]
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
            "insee_population": lambda: population(-1),
        }
        failures = (403, 404, 429, 500, 503, "reset", "down", "html", "empty", "truncated", "garbled", "loop")
        match self.chance.choices(("nothing", "edition", "failure", "hiccup", "bad file"), (2, 4, 3, 1, 2))[
            0
        ]:
            case "edition":
                self.people += self.chance.choice((-7, -3, 2, 5, 11))
                new_edition(sites, self.people)
                return "edition"
            case "failure":
                where = self.chance.choice(("www.insee.fr", "data.gouv.fr", "geo.api.gouv.fr", ""))
                sites.misbehave(where, self.chance.choice(failures))
                return "failure"
            case "hiccup":
                sites.misbehave("", 503, times=1)
                return "hiccup"
            case "bad file":
                source = self.chance.choice(sorted(bad_files))
                sites.publish(source, bad_files[source]())
                return "bad file"
        return "nothing"


def soak(runs: int, seed: int, data: Path, kept: int) -> list[str]:
    """Run, and return what is wrong at the end."""
    from qpv_geo.audit.verify import verify_release
    from qpv_geo.errors import QpvGeoError
    from qpv_geo.pipeline.job import Job
    from qpv_geo.pipeline.one import run
    from qpv_geo.releases.placement import is_intact
    from qpv_geo.territory import Retention
    from tests.faults.world import leftovers, open_sites, quick, territory, visible_releases

    place = territory().model_copy(update={"conservation": Retention(nombre=kept)})
    seen: Counter[str] = Counter()
    memory: list[float] = []
    disk: list[float] = []
    began = time.monotonic()
    problems: list[str] = []
    with open_sites() as sites:
        settings = quick(data, sites, read_timeout=5)
        run(Job(place, settings))
        bound = occupied(data) * (kept + SPARE)
        weather = Weather(sites, seed)
        for number in range(1, runs + 1):
            what = weather.change()
            try:
                release = run(Job(place, settings)).release
                end = "held" if release.held else "published" if release.published else "unchanged"
            except QpvGeoError as error:
                end = f"code {error.exit_code}"
            seen[f"{what}: {end}"] += 1
            memory.append(resident())
            disk.append(occupied(data))
            latest = data / "out" / "besancon" / "latest"
            if not is_intact(latest.resolve()):
                problems.append(f"run {number} ({what}): the current release is not what was published")
            if number % 20 == 0:
                print(
                    f"  run {number:4}: {len(visible_releases(data)):3} releases, "
                    f"{disk[-1]:7.1f} MiB on disk, {memory[-1]:6.0f} MiB in memory",
                    flush=True,
                )
        problems += [f"left behind: {name}" for name in leftovers(data)]
        for release_folder in visible_releases(data):
            problems += [f"{release_folder.name}: {finding}" for finding in verify_release(release_folder)]
        count = len(visible_releases(data))
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
    parser.add_argument("runs", nargs="?", type=int, default=200)
    parser.add_argument("seed", nargs="?", type=int, default=5)
    parser.add_argument("--kept", type=int, default=10, help="releases that are kept")
    chosen = parser.parse_args()
    warnings.simplefilter("error")
    # The sites that the tests play are those of this soak.
    sys.path[:0] = [str(ROOT)]
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        problems = soak(chosen.runs, chosen.seed, folder / "data", chosen.kept)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
