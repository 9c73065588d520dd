"""Where the time of a refresh goes, without Prefect's engine. ``python benchmarks/bench_refresh.py``.

Each measure runs in a process of its own, so that its peak of memory is its own; imports are timed apart.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

MIRROR = Path(__file__).parents[2] / "shared" / "mirror"
REPEATS = 3


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print the wall and the processor time of a block: the second tells more on a machine that is busy."""
    start, used = time.perf_counter(), time.process_time()
    yield
    wall, processor = time.perf_counter() - start, time.process_time() - used
    print(f"  {what:<46} {wall:6.2f} s {processor:6.2f} s of processor")


def refresh(*, mirror: Path | None) -> None:
    """Publish Besançon, then again with nothing changed."""
    with timed("imports"):
        from flows.job import Job
        from flows.refresh import run
        from qpv_geo.settings import Settings
        from qpv_geo.sources.fetch import Policy
        from qpv_geo.territory import load_territory
    policy = Policy(mirror=str(mirror)) if mirror else Policy(offline=True)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(load_territory("besancon"), Settings(data_dir=Path(folder)), policy)
        with timed("raw files to verified release"):
            run(job)
        with timed("again, nothing changed"):
            run(job)


def stages(*, mirror: Path | None) -> None:
    """Publish Besançon, stage by stage."""
    from flows.fetching import fetch_in_threads
    from flows.job import Job
    from qpv_geo.analysis.layers import build_layers
    from qpv_geo.ingest.tables import read_tables
    from qpv_geo.publish.release import publish_release
    from qpv_geo.settings import Settings
    from qpv_geo.sources.fetch import Policy
    from qpv_geo.territory import load_territory

    policy = Policy(mirror=str(mirror)) if mirror else Policy(offline=True)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(load_territory("besancon"), Settings(data_dir=Path(folder)), policy)
        with timed("fetch"):
            raws = fetch_in_threads(job)
        inputs = (raws, job.territory, job.catalogue, job.registry)
        with timed("read and check"):
            tables = read_tables(*inputs, job.settings)
        with timed("join"):
            layers, checks = build_layers(tables, job.territory, job.registry)
        with timed("write, compare with the raw files, verify"):
            publish_release(layers, [*tables.checks, *checks], *inputs, job.settings)


def national() -> None:
    """Read, repair and check all QPV, and join the metropolitan ones with the communes of France."""
    from qpv_geo.analysis.overlay import cut_by_zones
    from qpv_geo.ingest.communes import read_communes
    from qpv_geo.ingest.contours import read_contours
    from qpv_geo.settings import Settings
    from qpv_geo.sources.catalogue import load_catalogue
    from qpv_geo.sources.fetch import Policy, fetch_primary
    from qpv_geo.territory import load_territory

    territory, catalogue, settings = load_territory("besancon"), load_catalogue(), Settings()
    policy = Policy(mirror=str(MIRROR))
    with timed("contours and communes, in all"):
        with timed("contours read, repaired, checked"):
            raw = fetch_primary(catalogue["qpv_2024"], territory, settings, policy)
            contours = read_contours(raw, territory, settings)
        with timed("communes read, checked"):
            raw = fetch_primary(catalogue["communes_france"], territory, settings, policy)
            communes = read_communes(raw, settings, 2154)
        with timed("joined"):
            pieces = cut_by_zones(contours.by_epsg[2154], communes, "commune")
    print(f"  {len(contours.by_epsg[2154])} QPV, {len(communes)} communes, {len(pieces)} pieces")


MEASURES: dict[str, Callable[[], None]] = {
    "Besançon from the snapshot": lambda: refresh(mirror=None),
    "Besançon from the snapshot, by stage": lambda: stages(mirror=None),
    "Besançon from the mirror": lambda: refresh(mirror=MIRROR),
    "National contours and communes": national,
}


def main() -> None:
    if len(sys.argv) > 1:
        MEASURES[sys.argv[1]]()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"  {'peak of memory':<46} {peak:6} MB")
        return
    for name in MEASURES:
        for repeat in range(REPEATS):
            print(f"{name} ({repeat + 1}/{REPEATS})", flush=True)
            subprocess.run([sys.executable, __file__, name], check=True)  # noqa: S603 - this very file


if __name__ == "__main__":
    main()
