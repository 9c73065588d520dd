"""How the cost of a release grows with its territory. ``python benchmarks/growth_releases.py``.

From one commune to the whole of France: for each territory the whole of the work, from raw files to verified
release, with all that is written by default, in a process of its own. The national files are read each
time: that is most of what a small territory costs. Needs ../shared/mirror.
"""

import tempfile
from pathlib import Path

from figures import Measure, Stopwatch, measure_apart

MIRROR = Path(__file__).parents[2] / "shared" / "mirror"
TERRITORIES = {
    "Besançon": "25056",
    "Grand Besançon Métropole": "242500361",
    "Doubs": "25",
    "Nord": "59",
    "Métropole du Grand Paris": "200054781",
    "France": "france",
}


def release(watch: Stopwatch, code: str) -> None:
    """Publish a territory, described from the COG and the contours."""
    from qpv_geo.pipeline.country import read_country
    from qpv_geo.pipeline.job import Job
    from qpv_geo.pipeline.new_territory import describe_territory
    from qpv_geo.pipeline.one import run
    from qpv_geo.settings import Settings
    from qpv_geo.sources.fetch import Policy
    from qpv_geo.territory import load_territory

    with tempfile.TemporaryDirectory() as folder:
        settings, policy = Settings(data_dir=Path(folder)), Policy(mirror=str(MIRROR))
        territory = (
            load_territory(code)
            if code == "france"
            else describe_territory(code, read_country(settings, policy))[0]
        )
        with watch.timed(f"{territory.expected.qpv} QPV, {territory.expected.communes:,} communes"):
            run(Job(territory, settings, policy))


MEASURES = {
    name: Measure(lambda watch, code=code: release(watch, code), 2) for name, code in TERRITORIES.items()
}


if __name__ == "__main__":
    measure_apart(__file__, MEASURES)
