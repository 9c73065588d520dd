"""Where the time of a refresh goes, without Prefect's engine. ``python benchmarks/bench_refresh.py``.

Arguments choose among the measures. Each runs in a process of its own, so that its peak of memory is its
own; imports are timed apart. Needs ../shared/mirror. The peak of "All territories" is the first process's.
"""

import tempfile
from pathlib import Path

from figures import PEAK, Measure, Stopwatch, measure_apart

MIRROR = Path(__file__).parents[2] / "shared" / "mirror"
WHOLE, AGAIN = "raw files to verified release", "again, nothing changed"


def refresh(watch: Stopwatch, *, mirror: Path | None, territory: str = "besancon") -> None:
    """Publish a territory, then again with nothing changed."""
    with watch.timed("imports"):
        from qpv_geo.pipeline.job import Job
        from qpv_geo.pipeline.one import run
        from qpv_geo.settings import Settings
        from qpv_geo.sources.fetch import Policy
        from qpv_geo.territory import load_territory
    policy = Policy(mirror=str(mirror)) if mirror else Policy(offline=True)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(load_territory(territory), Settings(data_dir=Path(folder)), policy)
        with watch.timed(WHOLE):
            run(job)
        with watch.timed(AGAIN):
            run(job)


def stages(watch: Stopwatch, *, mirror: Path | None) -> None:
    """Publish Besançon, step by step."""
    from qpv_geo.pipeline.fetching import fetch
    from qpv_geo.pipeline.job import Job
    from qpv_geo.pipeline.one import locked_folder
    from qpv_geo.pipeline.steps import join, read, write
    from qpv_geo.releases.draft import publish_draft, verify_draft
    from qpv_geo.settings import Settings
    from qpv_geo.sources.fetch import Policy
    from qpv_geo.territory import load_territory

    policy = Policy(mirror=str(mirror)) if mirror else Policy(offline=True)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(load_territory("besancon"), Settings(data_dir=Path(folder)), policy)
        with locked_folder(job) as lock:
            with watch.timed("fetch"):
                spec = job.spec(fetch(job))
            with watch.timed("read"):
                tables = read(spec)
            with watch.timed("join"):
                joined = join(tables, spec)
            with watch.timed("write"):
                draft = write(joined)
            with watch.timed("verify"):
                verify_draft(draft)
            with watch.timed("publish"):
                publish_draft(draft, lock.confirm)


def national(watch: Stopwatch) -> None:
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
    with watch.timed("in all"):
        with watch.timed("contours read, repaired, checked"):
            raw = fetch_primary(catalogue["qpv_2024"], territory, settings, policy)
            contours = read_contours(raw, territory, settings)
        with watch.timed("communes read, checked"):
            raw = fetch_primary(catalogue["communes_france"], territory, settings, policy)
            communes = read_communes(raw, settings, 2154)[2154]
        with watch.timed("joined"):
            cut_by_zones(contours.by_epsg[2154], communes, "commune")


def everywhere(watch: Stopwatch) -> None:
    """Publish each EPCI that has a QPV, data formats alone, on all cores."""
    from qpv_geo.pipeline.job import Job
    from qpv_geo.pipeline.many import refresh_all
    from qpv_geo.releases.formats import chosen_formats
    from qpv_geo.settings import Settings
    from qpv_geo.sources.fetch import Policy
    from qpv_geo.territory import load_territory

    with tempfile.TemporaryDirectory() as folder:
        settings, policy = Settings(data_dir=Path(folder)), Policy(mirror=str(MIRROR))
        job = Job(load_territory("france"), settings, policy, chosen_formats(pages=False))
        with watch.timed(WHOLE):
            results = refresh_all(job)
    if bad := [result.territory for result in results if result.exit_code]:
        raise SystemExit(f"{len(bad)} of {len(results)} territories were not published: {', '.join(bad)}")


def workbook(watch: Stopwatch) -> None:
    """Read INSEE's workbook of demographic estimates: every table, every interval, of all QPV of France."""
    from qpv_geo.ingest.registry import load_registry
    from qpv_geo.ingest.statistics import read_statistics
    from qpv_geo.settings import Settings
    from qpv_geo.sources.catalogue import load_catalogue
    from qpv_geo.sources.raw import RawFile, digest

    path = MIRROR / "insee" / "estimations-demographiques_2020_QPV2024.xlsx"
    source = load_catalogue()["insee_demographie_2020"]
    raw = RawFile(source, path, *digest(path), "mirror", "mirror")
    with watch.timed("in all"):
        read_statistics(raw, load_registry(), Settings())


MEASURES = {
    "Besançon from the snapshot": Measure(
        lambda watch: refresh(watch, mirror=None),
        wanted={WHOLE: 2.0, AGAIN: 0.5, PEAK: 400},
    ),
    "Besançon from the snapshot, by stage": Measure(lambda watch: stages(watch, mirror=None)),
    "Besançon from the mirror": Measure(
        lambda watch: refresh(watch, mirror=MIRROR), wanted={WHOLE: 3.0, PEAK: 500}
    ),
    "Workbook of 121 demographic indicators": Measure(workbook, wanted={"in all": 3.0}),
    "National contours and communes": Measure(national, wanted={"in all": 8.0, PEAK: 1024}),
    "France, all formats": Measure(
        lambda watch: refresh(watch, mirror=MIRROR, territory="france"), 2, wanted={WHOLE: 20.0, PEAK: 1536}
    ),
    "All territories, data formats": Measure(everywhere, 1, wanted={WHOLE: 90.0}),
}


if __name__ == "__main__":
    measure_apart(__file__, MEASURES)
