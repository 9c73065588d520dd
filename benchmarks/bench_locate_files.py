"""`locate` on files: Parquet to Parquet, CSV to CSV. ``python benchmarks/bench_locate_files.py [POINTS]``.

Points (26 million by default, as many as the BAN has addresses) are those of ``bench_locate.py``: half
uniform over metropolitan France, half near a QPV of the mirror, in longitude and latitude beside an
identifier; the first million of them as a CSV too. The whole of the work is measured, in a process of its
own: the index, reading, answering and writing; generating the points is not. The run fails unless every row
is there with the answer of `contains` on the same arrays; with all points, in less than the time and the
memory wanted as well.
"""

import multiprocessing
import os
import platform
import re
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyproj
from bench_locate import metropolitan_qpv, scatter
from figures import Figures
from pyarrow import csv

from qpv_geo.locate.answers import Answer, contains
from qpv_geo.locate.files import locate_with
from qpv_geo.locate.index import LocateIndex
from qpv_geo.locate.locator import Locator
from qpv_geo.locate.points import Points

POINTS = 26_000_000
STEP = 2_000_000
CSV_POINTS = 1_000_000
WANTED = {".parquet": (9.0, 2048.0), ".csv": (8.0, 400.0)}
"""Seconds and megabytes."""


def generate(qpv: gpd.GeoDataFrame, points: int, path: Path) -> None:
    """Write points, some at a time."""
    to_degrees = pyproj.Transformer.from_crs(2154, 4326, always_xy=True)
    x, y = scatter(qpv, min(points, STEP))
    rng = np.random.default_rng(26)
    schema = pa.schema([("id", pa.int64()), ("lon", pa.float64()), ("lat", pa.float64())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, points, STEP):
            rows = min(STEP, points - start)
            # A few metres apart from one step to the next, or all steps would be the same.
            moved = x[:rows] + rng.uniform(-20, 20, rows), y[:rows] + rng.uniform(-20, 20, rows)
            lon, lat = to_degrees.transform(*moved)
            writer.write_table(pa.table([np.arange(start, start + rows), lon, lat], schema=schema))


def peak_megabytes() -> float:
    """Return the peak of memory of this process, without what its parent held, which getrusage counts."""
    return int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1024


def measured(qpv: gpd.GeoDataFrame, path: Path, target: Path) -> None:
    """Locate, and print what it took: this process does nothing else."""
    clock, spent = time.perf_counter(), time.process_time()
    before = peak_megabytes()
    locator = Locator.of_districts(qpv, release="benchmark", epsg=2154)
    outcome = locate_with(locator, [path], [target], Points(x="lon", y="lat", crs=4326))
    elapsed, worked = time.perf_counter() - clock, time.process_time() - spent
    peak = peak_megabytes()
    print(f"{outcome.rows:,} rows, {outcome.answers}, {target.stat().st_size / 1e6:,.0f} MB written")
    figures = Figures()
    name = f"{outcome.rows:,} points, {path.suffix} to {path.suffix}"
    seconds, megabytes = WANTED[path.suffix]
    memory = f" ({before:,.0f} MB before)"
    # With fewer points the index, whose cost is the same, would count for too much.
    if outcome.rows >= (POINTS if path.suffix == ".parquet" else CSV_POINTS):
        figures.at_most(name, elapsed, seconds, " s", f" (processors {worked:.1f} s)")
        figures.at_most(f"{name}: peak of memory", peak, megabytes, " MB", memory)
    else:
        figures.noted(name, elapsed, " s", f" (processors {worked:.1f} s)")
        figures.noted(f"{name}: peak of memory", peak, " MB", memory)
    figures.finish()


def check(qpv: gpd.GeoDataFrame, path: Path, target: Path) -> None:
    """Fail unless the output has the input's rows, each with the answer of `contains`."""
    index = LocateIndex.build(qpv, points_crs=4326)
    codes = pa.array([*qpv["code_qp"], None], pa.string())
    before, start = pq.read_table(path), 0
    # Batches end where a row group does: the dictionary of texts changes there.
    for after in pq.ParquetFile(target).iter_batches(STEP):
        same = before.slice(start, len(after)).combine_chunks()
        start += len(after)
        lon, lat = same["lon"].to_numpy(), same["lat"].to_numpy()
        found = contains(index, lon, lat)
        expected = codes.take(pa.array(np.where(found < 0, len(qpv), found)))
        inside = pc.equal(after["en_qpv"].cast(pa.string()), Answer.OUI.name.lower())
        faults = {
            "rows": not all(same[name].combine_chunks().equals(after[name]) for name in ("id", "lon", "lat")),
            "codes": not after["code_qp"].cast(pa.string()).equals(expected),
            "answers": not np.array_equal(inside.to_numpy(zero_copy_only=False), found >= 0),
        }
        if any(faults.values()):
            raise SystemExit(f"these differ: {', '.join(name for name, differ in faults.items() if differ)}")
    if start != len(before):
        raise SystemExit(f"{start:,} rows came out of {len(before):,}")


def main() -> None:
    points = int(sys.argv[1]) if len(sys.argv) > 1 else POINTS
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "shapely", "pyproj", "pyarrow"))
    print(f"python {platform.python_version()}, {packages}, load {os.getloadavg()[0]:.1f}")
    qpv = gpd.GeoDataFrame(metropolitan_qpv())
    qpv["lib_qp"] = pd.Series(qpv["code_qp"]).str.replace("QN", "Quartier ")
    with tempfile.TemporaryDirectory() as folder:
        path, target = Path(folder) / "points.parquet", Path(folder) / "points_qpv.parquet"
        generate(qpv, points, path)
        first = path.with_suffix(".csv")
        csv.write_csv(next(pq.ParquetFile(path).iter_batches(CSV_POINTS)), first)
        codes = [run(qpv, each, target.with_suffix(each.suffix)) for each in (path, first)]
        check(qpv, path, target)
        answers = csv.read_csv(target.with_suffix(".csv"))
        expected = next(pq.ParquetFile(target).iter_batches(CSV_POINTS))
        if answers["code_qp"].to_pylist() != [code or "" for code in expected["code_qp"].to_pylist()]:
            raise SystemExit("the CSV has other answers")
    raise SystemExit(max(codes))


def run(qpv: gpd.GeoDataFrame, path: Path, target: Path) -> int:
    """Locate in a process of its own, and return its exit code."""
    process = multiprocessing.get_context("spawn").Process(target=measured, args=(qpv, path, target))
    process.start()
    process.join()
    return process.exitcode or 0


if __name__ == "__main__":
    main()
