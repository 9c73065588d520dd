"""How long commands take from the shell, whole processes. ``python benchmarks/bench_commands.py``.

Beside them what cannot be had for less: a bare ``@flow`` of Prefect, and a bare ``import geopandas``. Medians
of several runs; needs a quiet machine.
"""

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import Figures

_RUNS = 5
_ROWS = 1_000
_FLOW = "from prefect import flow\n@flow\ndef bare(): pass\nbare()"


def main() -> None:
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        data, points = Path(folder) / "data", Path(folder) / "points.csv"
        points.write_text(_points(), encoding="utf-8")
        environment = {
            **os.environ,
            "QPV_GEO_DATA": str(data),
            "PREFECT_HOME": f"{folder}/prefect",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }
        environment.pop("PREFECT_API_URL", None)
        unreachable = environment | {
            "QPV_GEO_DATA": f"{folder}/unreachable",
            # Nothing listens there.
            "QPV_GEO_OFFICIAL_SITES": "http://127.0.0.1:9",
        }

        def seconds(command: list[str], env: dict[str, str] = environment, runs: int = _RUNS) -> float:
            return statistics.median(_timed(command, env) for _ in range(runs))

        qpv_geo = [sys.executable, "-m", "qpv_geo"]
        offline = [*qpv_geo, "refresh", "--offline"]
        locate = [*qpv_geo, "locate", str(points), "--lon", "lon", "--lat", "lat", "--force"]
        figures.noted("bare `import geopandas`", seconds([sys.executable, "-c", "import geopandas"]), " s")
        figures.noted("bare `@flow` of Prefect", seconds([sys.executable, "-c", _FLOW], runs=3), " s")
        figures.at_most("`qpv-geo --help`", seconds([*qpv_geo, "--help"]), 0.3, " s")
        figures.at_most("`refresh --offline`, all files written", seconds([*offline, "--force"]), 3.0, " s")
        figures.at_most("the same, nothing changed", seconds(offline), 1.0, " s")
        figures.at_most("`releases list`", seconds([*qpv_geo, "releases", "list"]), 0.6, " s")
        figures.at_most(f"`locate` of {_ROWS:,} rows of CSV", seconds(locate), 1.0, " s")
        every_site = seconds([*qpv_geo, "refresh", "--force"], unreachable, runs=3)
        figures.at_most("`refresh`, every site unreachable", every_site, 8.0, " s")
    figures.finish()


def _points() -> str:
    """Return points in and around Besançon, the same each time."""
    chosen = random.Random(1)  # noqa: S311 - points, not secrets
    rows = (f"{chosen.uniform(5.9, 6.1):.6f},{chosen.uniform(47.2, 47.3):.6f}" for _ in range(_ROWS))
    return "\n".join(["lon,lat", *rows]) + "\n"


def _timed(command: list[str], environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)  # noqa: S603 - our own
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
