"""QPV cut by communes and IRIS, against the least it can cost. ``python benchmarks/bench_overlay.py``.

The least is a query of a spatial index and one intersection per pair, on geometries that are in memory: no
area, no share, no check; it runs in one thread, as a plain call of shapely does. Ours intersects in as many
threads as there are cores: the same bare work in as many is told beside it, to tell threads from savings.
``geopandas.overlay`` runs on the same frames. Polygons are the metropolitan QPV of
the mirror; zones its communes, and 50,000 IRIS made up as Voronoi cells, half of them about QPV. Runners take
turns, on geometries that nobody has prepared, and the best time of each counts. The run fails unless all find
the same areas, and the wanted ratios hold.
"""

import os
import platform
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import geopandas as gpd
import numpy as np
import shapely
from bench_locate import MIRROR, metropolitan_qpv
from figures import Figures

from qpv_geo.analysis.overlay import cut_by_zones
from qpv_geo.ingest.communes import read_communes
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import load_catalogue
from qpv_geo.sources.fetch import Policy, fetch_primary
from qpv_geo.territory import load_territory

IRIS = 50_000
REPEATS = 7
PAIRS = 256
"""Intersected by a thread at a time."""
MOST_OF_BARE = 1.3
MOST_OF_GEOPANDAS = 1.0
RELATIVE = 1e-9
"""By how much total areas may differ."""


def communes() -> gpd.GeoDataFrame:
    """Return the communes of metropolitan France, in EPSG:2154."""
    source, settings = load_catalogue()["communes_france"], Settings()
    raw = fetch_primary(source, load_territory("besancon"), settings, Policy(mirror=str(MIRROR)))
    layer: gpd.GeoDataFrame = read_communes(raw, settings, 2154)[["geometry"]].reset_index(drop=True)
    return layer


def made_up_iris(qpv: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return cells that cover France; like real IRIS, they cut towns more finely than the countryside."""
    rng = np.random.default_rng(50)
    bounds = qpv.total_bounds
    centres = qpv.bounds.to_numpy().reshape(-1, 2, 2).mean(axis=1)[rng.integers(0, len(qpv), IRIS // 2)]
    near = centres + rng.normal(0, 900, centres.shape)
    anywhere = rng.uniform(bounds[:2], bounds[2:], (IRIS - len(near), 2))
    cells = shapely.voronoi_polygons(
        shapely.multipoints(np.vstack([near, anywhere])), extend_to=shapely.box(*bounds).buffer(9000)
    )
    return gpd.GeoDataFrame(geometry=shapely.get_parts(cells), crs=qpv.crs)


def bare(qpv: gpd.GeoDataFrame, zones: gpd.GeoDataFrame) -> np.ndarray:
    """Query the index and intersect each pair."""
    polygons, others = qpv.geometry.to_numpy(), zones.geometry.to_numpy()
    zone, polygon = shapely.STRtree(polygons).query(others, predicate="intersects")
    pieces: np.ndarray = shapely.intersection(polygons[polygon], others[zone])
    return pieces


def bare_in_threads(qpv: gpd.GeoDataFrame, zones: gpd.GeoDataFrame) -> np.ndarray:
    """Query the index and intersect each pair, some pairs per thread."""
    polygons, others = qpv.geometry.to_numpy(), zones.geometry.to_numpy()
    zone, polygon = shapely.STRtree(polygons).query(others, predicate="intersects")
    parts = np.array_split(np.arange(len(zone)), max(1, len(zone) // PAIRS))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        cut = pool.map(lambda part: shapely.intersection(polygons[polygon[part]], others[zone[part]]), parts)
        pieces: np.ndarray = np.concatenate(list(cut))
    return pieces


def peer(qpv: gpd.GeoDataFrame, zones: gpd.GeoDataFrame) -> np.ndarray:
    """Let geopandas do it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it says that it drops lines and points
        pieces: np.ndarray = gpd.overlay(qpv, zones, how="intersection").geometry.to_numpy()
    return pieces


def ours(qpv: gpd.GeoDataFrame, zones: gpd.GeoDataFrame) -> np.ndarray:
    """Return our pieces that have a zone."""
    cut = cut_by_zones(qpv, zones, "zone")
    pieces: np.ndarray = cut.loc[cut["zone"] >= 0, "geometry"].to_numpy()
    return pieces


RUNNERS: dict[str, Callable[[gpd.GeoDataFrame, gpd.GeoDataFrame], np.ndarray]] = {
    "bare": bare,
    "bare in threads": bare_in_threads,
    "geopandas": peer,
    "ours": ours,
}


def fresh(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return the same geometries, of which GEOS has computed nothing yet."""
    wkb = shapely.to_wkb(frame.geometry.to_numpy())
    return gpd.GeoDataFrame(geometry=shapely.from_wkb(wkb), crs=frame.crs)


def race(qpv: gpd.GeoDataFrame, zones: gpd.GeoDataFrame) -> dict[str, float]:
    """Return the best time of each runner, in seconds, after checking that they agree."""
    times = dict.fromkeys(RUNNERS, np.inf)
    for _ in range(REPEATS):
        totals = {}
        for name, runner in RUNNERS.items():
            frames = fresh(qpv), fresh(zones)
            clock = time.perf_counter()
            pieces = runner(*frames)
            times[name] = min(times[name], time.perf_counter() - clock)
            totals[name] = shapely.area(pieces).sum()
        if max(totals.values()) - min(totals.values()) > RELATIVE * totals["bare"]:
            raise SystemExit(f"the areas differ: {totals}")
    return times


def main() -> None:
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "shapely", "geopandas"))
    print(f"python {platform.python_version()}, {packages}, GEOS {shapely.geos_version_string}\n")
    qpv = metropolitan_qpv()
    figures = Figures()
    for name, zones in ((f"{len(qpv):,} QPV x communes", communes()), ("QPV x IRIS", made_up_iris(qpv))):
        best = race(qpv, zones)
        label = f"{name} ({len(zones):,})"
        for runner, seconds in best.items():
            figures.noted(f"{label}: {runner}", seconds, " s")
        figures.at_most(f"{label}: ours / bare", best["ours"] / best["bare"], MOST_OF_BARE)
        figures.at_most(f"{label}: ours / geopandas", best["ours"] / best["geopandas"], MOST_OF_GEOPANDAS)
        figures.noted(f"{label}: ours / bare in threads", best["ours"] / best["bare in threads"])
    figures.finish()


if __name__ == "__main__":
    main()
