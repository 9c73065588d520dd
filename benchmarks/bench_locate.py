"""`locate` against its peers, in one run. ``python benchmarks/bench_locate.py [POINTS]``.

Half of the points (10 million by default) are uniform over metropolitan France, half within 500 m of the
bounds of a QPV; polygons are the 1,362 metropolitan QPV of the mirror, read and repaired as the pipeline
does. Peers and ours take turns, and the best of each counts. Ratios are those of the seconds that processors
spent: on a machine that others use as well, the clock tells more of them. The run fails unless all answers
are the same and the wanted figures are reached. ``bench_locate_files.py`` follows, for whole files. How the
cost grows: ``growth.py``.

Peers: geopandas; where they are installed, SedonaDB (``pip install sedonadb geoarrow-pyarrow``), DuckDB
spatial (``pip install duckdb==1.5.5 duckdb-extension-spatial==1.5.5``) and polars-st. Where there is a C
compiler, a plain loop over the cells, which no exact predicate follows, says what is left to gain.
"""

import ctypes
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
from figures import Figures

from qpv_geo.ingest.contours import read_contours
from qpv_geo.locate.answers import Located, contains, locate
from qpv_geo.locate.index import LocateIndex
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import load_catalogue
from qpv_geo.sources.fetch import Policy, fetch_primary
from qpv_geo.territory import load_territory

MIRROR = Path(__file__).parents[2] / "shared" / "mirror"
POINTS = 10_000_000
NEAREST_POINTS = 500_000
"""`sjoin_nearest` is too slow for all of them: its time is scaled."""
REPEATS = 5
PEER_REPEATS = 2
"""Of geopandas and polars-st, the slowest."""
BATCH = 1 << 20
WANTED = {"sjoin": 8.0, "SedonaDB": 5.0, "DuckDB": 8.0, "sjoin_nearest": 20.0}
WANTED_SECONDS = {"index, yes or no": 0.15, "index, distances besides": 0.3}
CELLS = r"""
typedef unsigned short small;
void cells(const double *x, const double *y, long points, const double *lattice, const small *blocks,
           int columns, int rows, int members, const small *codes, int *answer) {
    for (long i = 0; i < points; i++) {
        double px = (x[i] - lattice[0]) * lattice[2], py = (y[i] - lattice[1]) * lattice[2];
        int column = px > 0 ? px < columns * 32.0 - 1 ? px : columns * 32 - 1 : 0;
        int row = py > 0 ? py < rows * 32.0 - 1 ? py : rows * 32 - 1 : 0;
        int block = blocks[(row >> 5) * columns + (column >> 5)];
        answer[i] = block > 0 && block <= members
            ? codes[(block - 1) << 10 | (row & 31) << 5 | (column & 31)] - 1 : -1;
    }
}
"""

T = TypeVar("T")
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Race:
    """Times of each runner: the best counts."""

    def __init__(self) -> None:
        self.wall: dict[str, list[float]] = {}
        self.processor: dict[str, list[float]] = {}

    def run(self, name: str, runner: Callable[..., T], *arguments: object) -> T:
        """Run, and note the time on the clock and the time that processors spent."""
        clock, spent = time.perf_counter(), time.process_time()
        result = runner(*arguments)
        self.wall.setdefault(name, []).append(time.perf_counter() - clock)
        self.processor.setdefault(name, []).append(time.process_time() - spent)
        return result

    def best(self, name: str) -> float:
        """Return the least that processors spent in seconds."""
        return min(self.processor[name])


def metropolitan_qpv() -> gpd.GeoDataFrame:
    """Return the QPV of metropolitan France, in EPSG:2154."""
    territory, settings = load_territory("besancon"), Settings()
    raw = fetch_primary(load_catalogue()["qpv_2024"], territory, settings, Policy(mirror=str(MIRROR)))
    layer: gpd.GeoDataFrame = read_contours(raw, territory, settings).by_epsg[2154]
    return layer[["code_qp", "geometry"]].reset_index(drop=True)


def scatter(qpv: gpd.GeoDataFrame, points: int) -> tuple[Floats, Floats]:
    """Return points, half over France and half near a QPV, in no order."""
    rng = np.random.default_rng(2024)
    half = points // 2
    bounds = qpv.bounds.to_numpy()[rng.integers(0, len(qpv), points - half)]
    near = rng.uniform(bounds[:, :2] - 500, bounds[:, 2:] + 500)
    anywhere = rng.uniform((100_000, 6_040_000), (1_250_000, 7_120_000), (half, 2))
    x, y = rng.permutation(np.vstack([anywhere, near])).T.copy()
    return x, y


def first_of_each(points: int, point: Ints, polygon: Ints) -> Ints:
    """Return the first polygon of each point of a join, -1 if none."""
    first = np.full(points, np.iinfo(np.int64).max)
    np.minimum.at(first, point, polygon)
    return np.where(first == np.iinfo(np.int64).max, -1, first)


def build(qpv: gpd.GeoDataFrame, points_crs: int) -> LocateIndex:
    """Return an index, without its edges to measure against."""
    return LocateIndex.build(qpv, points_crs=points_crs)


def edges(index: LocateIndex) -> object:
    """Make the edges to measure against."""
    return index.edge_grid


def ours_from_parquet(index: LocateIndex, path: Path) -> Ints:
    """Return the QPV of each point of a Parquet file, read in batches."""
    batches = pq.ParquetFile(path).iter_batches(BATCH, columns=["x", "y"])
    return np.concatenate(
        [contains(index, batch["x"].to_numpy(), batch["y"].to_numpy()) for batch in batches]
    )


def sedona(folder: Path) -> Callable[[], pa.Table] | None:
    """Return SedonaDB's join from the same files, if it is installed."""
    try:
        import sedonadb
    except ImportError:
        print("SedonaDB: not installed")
        return None
    context = sedonadb.connect()
    context.read_parquet(str(folder / "points.parquet")).to_view("points")
    context.read_parquet(str(folder / "qpv.parquet")).to_view("qpv")
    query = (
        "SELECT points.id AS point, qpv.id AS polygon FROM points JOIN qpv"
        " ON ST_Intersects(ST_SetSRID(ST_Point(points.x, points.y), 2154), qpv.geometry)"
    )
    return lambda: pa.table(context.sql(query).to_arrow_table())


def duckdb(folder: Path) -> Callable[[], pa.Table] | None:
    """Return DuckDB's join from the same files, if it and its spatial extension are installed."""
    try:
        import duckdb as engine
        import duckdb_extension_spatial as extension
    except ImportError:
        print("DuckDB spatial: not installed")
        return None
    connection = engine.connect()
    (file,) = Path(extension.__file__).parent.rglob("spatial.duckdb_extension")
    connection.execute(f"LOAD '{file}'")
    query = (
        f"SELECT points.id AS point, qpv.id AS polygon FROM '{folder / 'points.parquet'}' points"  # noqa: S608
        f" JOIN '{folder / 'qpv.parquet'}' qpv ON ST_Intersects(ST_Point(points.x, points.y), qpv.geometry)"
    )
    return lambda: connection.execute(query).to_arrow_table()


def polars(folder: Path) -> Callable[[], pa.Table] | None:
    """Return the join of polars-st from the same files, if it is installed."""
    try:
        import polars as pl
        import polars_st as spatial
    except ImportError:
        print("polars-st: not installed")
        return None

    def join() -> pa.Table:
        x_y = pl.read_parquet(folder / "points.parquet")
        points = spatial.GeoDataFrame(x_y.select("id", geometry=spatial.point(pl.concat_arr("x", "y"))))
        zones = pl.read_parquet(folder / "qpv.parquet", columns=["id", "geometry"])
        joined = points.st.sjoin(spatial.GeoDataFrame(zones)).select(point="id", polygon="id_right")
        return pa.table(joined.to_arrow())

    return join


def plain_loop(index: LocateIndex, folder: Path) -> Callable[[Floats, Floats], Ints] | None:
    """Return a loop over the cells of the index in C: the position of the polygon, unless it is doubtful."""
    compiler = shutil.which("cc")
    if compiler is None:
        print("no C compiler: no plain loop")
        return None
    source, library = folder / "cells.c", folder / "cells.so"
    source.write_text(CELLS, encoding="ascii")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", source, "-o", library], check=True)  # noqa: S603
    function = ctypes.CDLL(str(library)).cells
    grid = index._grid  # noqa: SLF001 - the very cells
    blocks, codes = grid.blocks.astype(np.uint16), grid.codes.astype(np.uint16)
    lattice = np.array([grid.lattice.x0, grid.lattice.y0, grid.lattice.scale])

    def pointer(array: npt.NDArray[np.generic]) -> ctypes.c_void_p:
        return ctypes.c_void_p(array.ctypes.data)

    def loop(x: Floats, y: Floats) -> Ints:
        answer = np.empty(len(x), np.int32)
        size = grid.lattice.columns, grid.lattice.rows, grid.members
        tables = pointer(blocks), *size, pointer(codes), pointer(answer)
        function(pointer(x), pointer(y), ctypes.c_long(len(x)), pointer(lattice), *tables)
        return answer

    return loop


def check_join(name: str, expected: npt.NDArray[np.integer], table: pa.Table) -> None:
    """Fail unless an engine's pairs give the expected first QPV of each point."""
    found = first_of_each(len(expected), table["point"].to_numpy(), table["polygon"].to_numpy())
    check(name, expected, found)


def check(name: str, expected: npt.NDArray[np.generic], found: npt.NDArray[np.generic]) -> None:
    """Fail unless both are the same."""
    if not np.array_equal(expected, found):
        raise SystemExit(f"{name}: {np.count_nonzero(expected != found)} answers differ")


def check_nearest(located: Located, pairs: gpd.GeoDataFrame, points: int) -> None:
    """Fail unless distances to QPV are those of `sjoin_nearest`, for which the inside is at 0 m."""
    expected = np.full(points, np.nan)
    expected[pairs.index] = pairs["distance"]
    found = np.maximum(located.distance_m[:points], 0)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def race(qpv: gpd.GeoDataFrame, x: Floats, y: Floats, folder: Path) -> Race:
    """Run all, check that they agree, and return their times."""
    times, points = Race(), len(x)
    pq.write_table(pa.table({"id": np.arange(points), "x": x, "y": y}), folder / "points.parquet")
    qpv.assign(id=np.arange(len(qpv))).to_parquet(folder / "qpv.parquet")
    lon, lat = pyproj.Transformer.from_crs(2154, 4326, always_xy=True).transform(x, y)
    engines = {"SedonaDB": sedona(folder), "DuckDB": duckdb(folder), "polars-st": polars(folder)}
    loop = plain_loop(build(qpv, 2154), folder)
    for repeat in range(REPEATS):
        index = times.run("index, yes or no", build, qpv, 2154)
        times.run("index, distances besides", edges, index)
        by_degrees = times.run("index, points in degrees", build, qpv, 4326)
        edges(by_degrees)
        found = times.run("yes or no", contains, index, x, y)
        parquet = times.run("yes or no, from Parquet", ours_from_parquet, index, folder / "points.parquet")
        check("from Parquet", found, parquet)
        located = times.run("distances", locate, index, x, y)
        check("distances", found, located.qpv)
        degrees = times.run("yes or no, from degrees", contains, by_degrees, lon, lat)
        check("from degrees", times.run("distances, from degrees", locate, by_degrees, lon, lat).qpv, degrees)
        # Through degrees and back, a point moves by less than a micrometre.
        print(f"  points that change side through degrees: {np.count_nonzero(degrees != found)}", flush=True)
        if loop:
            answers = times.run("plain loop in C", loop, x, y)
            settled = answers < len(qpv)
            check("plain loop in C", answers[settled], found[settled])
        for name, join in engines.items():
            if join and (repeat < PEER_REPEATS or name != "polars-st"):
                check_join(name, found, times.run(name, join))
        if repeat < PEER_REPEATS:
            compare_geopandas(times, qpv, x, y, located)
    return times


def compare_geopandas(times: Race, qpv: gpd.GeoDataFrame, x: Floats, y: Floats, located: Located) -> None:
    """Run geopandas on the same points."""
    geometry = times.run("geopandas points", points_of, x, y)
    joined = times.run("geopandas sjoin", gpd.sjoin, geometry, qpv)
    pairs = joined.index.to_numpy(), joined["index_right"].to_numpy()
    check("sjoin", first_of_each(len(x), *pairs), located.qpv)
    few = geometry.iloc[:NEAREST_POINTS]
    check_nearest(located, times.run("sjoin_nearest", nearest_of, few, qpv), len(few))


def points_of(x: Floats, y: Floats) -> gpd.GeoDataFrame:
    """Return points as geopandas wants them."""
    return gpd.GeoDataFrame(geometry=gpd.points_from_xy(x, y), crs=2154)


def nearest_of(points: gpd.GeoDataFrame, qpv: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return geopandas's nearest QPV."""
    return gpd.sjoin_nearest(points, qpv, max_distance=1000, distance_col="distance")


def report(times: Race, points: int) -> Figures:
    """Return the times and the ratios, beside those that are wanted."""
    figures = Figures()
    print("\n| Measure | Wall | Processors | A point |\n|---|---:|---:|---:|")
    for name, walls in times.wall.items():
        handled = min(points, NEAREST_POINTS) if name == "sjoin_nearest" else points
        each = "" if name.startswith("index") else f"{times.best(name) / handled * 1e9:,.0f} ns"
        print(f"| {name} | {min(walls):.2f} s | {times.best(name):.2f} s | {each} |")
    for name, wanted in WANTED_SECONDS.items():
        detail = f" (processors {times.best(name):.2f} s)"
        figures.at_most(name, min(times.wall[name]), wanted, " s", detail)
    nearest = times.best("sjoin_nearest") * points / min(points, NEAREST_POINTS)
    ratios = {
        "sjoin": (times.best("geopandas points") + times.best("geopandas sjoin")) / times.best("yes or no"),
        "sjoin_nearest": (times.best("geopandas points") + nearest) / times.best("distances"),
    }
    for name in ("SedonaDB", "DuckDB", "polars-st"):
        if name in times.wall:
            ratios[name] = times.best(name) / times.best("yes or no, from Parquet")
    for name, ratio in ratios.items():
        label = f"times less of processors than {name}"
        if name in WANTED:
            figures.at_least(label, ratio, WANTED[name])
        else:
            figures.noted(label, ratio)
    if "plain loop in C" in times.wall:
        for name in ("yes or no", "distances"):
            label = f"times the plain loop in C: {name}"
            figures.noted(label, times.best(name) / times.best("plain loop in C"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures.noted("peak of memory, peers included", peak, " MB")
    return figures


def installed(package: str) -> str:
    """Return the version of a package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def main() -> None:
    points = int(sys.argv[1]) if len(sys.argv) > 1 else POINTS
    packages = ("numpy", "shapely", "pyproj", "geopandas", "pyarrow", "sedonadb", "duckdb", "polars-st")
    versions = ", ".join(f"{name} {installed(name)}" for name in packages)
    print(f"load {os.getloadavg()[0]:.1f}, python {platform.python_version()}, {versions}")
    qpv = metropolitan_qpv()
    x, y = scatter(qpv, points)
    print(f"{points:,} points, {len(qpv):,} QPV, {qpv.count_coordinates().sum():,} vertices")
    with tempfile.TemporaryDirectory() as folder:
        times = race(qpv, x, y, Path(folder))
    figures = report(times, points)
    script = Path(__file__).with_name("bench_locate_files.py")
    met = not subprocess.run([sys.executable, script], check=False).returncode  # noqa: S603 - our own
    figures.finish(met=met)


if __name__ == "__main__":
    main()
