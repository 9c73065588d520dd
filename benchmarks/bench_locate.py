"""`locate` against its peers, in one run. ``python benchmarks/bench_locate.py [POINTS]``.

Half of the points (10 million by default) are uniform over metropolitan France, half within 500 m of the
bounds of a QPV; polygons are the 1,362 metropolitan QPV of the mirror, read and repaired as the pipeline
does. Peers and ours take turns, and the best time of each counts. The run fails unless all answers are the
same and the wanted ratios hold. How the cost grows: ``growth.py``.

Peers: geopandas; SedonaDB (``pip install sedonadb geoarrow-pyarrow``) and DuckDB spatial where they are
installed.
"""

import platform
import resource
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
"""Of geopandas, the slowest."""
BATCH = 1 << 20
WANTED = {"sjoin": 8.0, "SedonaDB": 1.5, "sjoin_nearest": 20.0}

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
        """Return the best time on the clock in seconds."""
        return min(self.wall[name])


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
        [contains(index, batch["x"].to_numpy(), batch["y"].to_numpy()).qpv for batch in batches]
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

        connection = engine.connect()
        connection.execute("LOAD spatial")
    except Exception as reason:  # noqa: BLE001 - the extension fails to load in many ways
        print(f"DuckDB spatial: not available ({type(reason).__name__})")
        return None
    query = (
        f"SELECT points.id AS point, qpv.id AS polygon FROM '{folder / 'points.parquet'}' points"  # noqa: S608
        f" JOIN '{folder / 'qpv.parquet'}' qpv ON ST_Intersects(ST_Point(points.x, points.y), qpv.geometry)"
    )
    return lambda: connection.execute(query).to_arrow_table()


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
    engines = {"SedonaDB": sedona(folder), "DuckDB": duckdb(folder)}
    for repeat in range(REPEATS):
        index = times.run("build, yes or no", build, qpv, 2154)
        times.run("build, distances", edges, index)
        by_degrees = times.run("build, points in degrees", build, qpv, 4326)
        edges(by_degrees)
        found = times.run("yes or no", contains, index, x, y).qpv
        parquet = times.run("yes or no, from Parquet", ours_from_parquet, index, folder / "points.parquet")
        check("from Parquet", found, parquet)
        located = times.run("distances", locate, index, x, y)
        check("distances", found, located.qpv)
        degrees = times.run("yes or no, from degrees", contains, by_degrees, lon, lat).qpv
        check("from degrees", times.run("distances, from degrees", locate, by_degrees, lon, lat).qpv, degrees)
        # Through degrees and back, a point moves by less than a micrometre.
        print(f"  points that change side through degrees: {np.count_nonzero(degrees != found)}", flush=True)
        for name, join in engines.items():
            if join:
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
    for name, values in times.wall.items():
        detail = f" (processors {min(times.processor[name]):.2f} s, {len(values)} times)"
        figures.noted(name, min(values), " s", detail)
    nearest = times.best("sjoin_nearest") * points / min(points, NEAREST_POINTS)
    ratios = {
        "sjoin": (times.best("geopandas points") + times.best("geopandas sjoin")) / times.best("yes or no"),
        "sjoin_nearest": (times.best("geopandas points") + nearest) / times.best("distances"),
    }
    for name in ("SedonaDB", "DuckDB"):
        if name in times.wall:
            ratios[name] = times.best(name) / times.best("yes or no, from Parquet")
    for name, ratio in ratios.items():
        label = f"times faster than {name}"
        if name in WANTED:
            figures.at_least(label, ratio, WANTED[name])
        else:
            figures.noted(label, ratio)
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
    packages = ("numpy", "shapely", "pyproj", "geopandas", "pyarrow", "sedonadb", "duckdb")
    print(f"python {platform.python_version()},", ", ".join(f"{name} {installed(name)}" for name in packages))
    qpv = metropolitan_qpv()
    x, y = scatter(qpv, points)
    print(f"{points:,} points, {len(qpv):,} QPV, {qpv.count_coordinates().sum():,} vertices")
    with tempfile.TemporaryDirectory() as folder:
        times = race(qpv, x, y, Path(folder))
    report(times, points).finish()


if __name__ == "__main__":
    main()
