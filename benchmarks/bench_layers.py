"""Layers around the QPV, and the statistics of all QPV. ``python benchmarks/bench_layers.py``.

Needs ../shared/mirror. What it lacks is generated: 60 IRIS that cover Besançon, and contours of 2015 that are
those of 2024, moved. Each measure runs in a process of its own, without Prefect's engine; arguments
choose among them.
"""

import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from figures import PEAK, Measure, Stopwatch, measure_apart

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

    from qpv_geo.ingest.registry import Registry
    from qpv_geo.ingest.tables import Tables
    from qpv_geo.sources.catalogue import Zone

MIRROR = Path(__file__).parents[2] / "shared" / "mirror"
READ, JOINED, WHOLE = "fetched, read and checked", "joined", "in all"
_STRIPS = 60
_MOVED = 40.0


def _iris(communes: "gpd.GeoDataFrame") -> "gpd.GeoDataFrame":
    """Cut Besançon into 60 strips, and give each the columns of an IRIS."""
    import geopandas as gpd
    import numpy as np
    import shapely

    commune = communes.loc[communes["insee_com"] == "25056"].geometry.iloc[0]
    west, south, east, north = commune.bounds
    x = np.linspace(west, east, _STRIPS + 1)
    strips = [shapely.box(x[i], south, x[i + 1], north).intersection(commune) for i in range(_STRIPS)]
    strips = [shapely.MultiPolygon(shapely.get_parts(strip).tolist()) for strip in strips]
    codes = [f"25056{n:04}" for n in range(101, 101 + _STRIPS)]
    columns = {"code_iris": codes, "nom_iris": codes, "type_iris": "H", "insee_com": "25056"}
    named = columns | {"nom_com": "Besançon", "geographie": date(2024, 1, 1)}
    return gpd.GeoDataFrame(named, geometry=strips, crs=communes.crs)


def _of_2015(qpv: "gpd.GeoDataFrame") -> "gpd.GeoDataFrame":
    old = qpv[["geometry"]].translate(_MOVED, _MOVED).to_frame("geometry")
    codes = [f"QP{code[2:5]}{order:03}" for order, code in enumerate(qpv["code_qp"])]
    return old.assign(code_qp=codes, nom_qp=qpv["lib_qp"], commune_qp=qpv["lib_com"])


def _values(zone: "Zone", codes: list[str], registry: "Registry") -> "pd.DataFrame":
    """Return a value of every indicator of the registry that the producers publish for a kind of zone."""
    import numpy as np
    import pandas as pd

    published = [i for i in registry.indicators if i.codes and zone in i.zones]
    size = len(codes)
    return pd.DataFrame(
        {
            "zone": zone,
            "code": np.tile(np.array(codes, dtype=object), len(published)),
            "indicateur": np.repeat(np.array([i.id for i in published], dtype=object), size),
            "millesime": "2022",
            "valeur": np.resize(np.arange(1.0, 98.0), size * len(published)),
            "statut": "ok",
            "borne_basse": np.nan,
            "borne_haute": np.nan,
            "remarque": None,
            "source": np.repeat([i.source_of(zone) for i in published], size),
            "fichier": "generated.csv",
            "fichier_intervalle": None,
            "code_producteur": np.repeat(np.array([i.id.upper() for i in published], dtype=object), size),
            "geographie": date(2024, 1, 1),
        }
    )


def _tables(folder: str) -> "Tables":
    from qpv_geo.ingest.tables import read_tables
    from qpv_geo.pipeline.fetching import fetch
    from qpv_geo.pipeline.job import Job
    from qpv_geo.settings import Settings
    from qpv_geo.sources.fetch import Policy
    from qpv_geo.territory import load_territory

    job = Job(load_territory("besancon"), Settings(data_dir=Path(folder)), Policy(mirror=str(MIRROR)))
    raws = fetch(job)
    return read_tables(raws, job.territory, job.catalogue, job.registry, job.settings)


def besancon(watch: Stopwatch) -> None:
    """Read the mirror, add what it lacks, and join everything."""
    import pandas as pd

    import qpv_geo.pipeline.one  # noqa: F401 - imports are not what is measured
    from qpv_geo.analysis.layers import build_layers
    from qpv_geo.ingest.registry import load_registry
    from qpv_geo.ingest.statistic_rows import StatisticRows
    from qpv_geo.territory import load_territory

    registry = load_registry()
    with tempfile.TemporaryDirectory() as folder, watch.timed(READ):
        tables = _tables(folder)
    iris = _iris(tables.communes)
    statistics = pd.concat([tables.statistics, _values("iris", iris["code_iris"].tolist(), registry)])
    old = _of_2015(tables.contours.by_epsg[2154])
    rows = StatisticRows(statistics.reset_index(drop=True))
    tables = replace(tables, iris=iris, qpv_2015=old, rows=rows)
    with watch.timed(JOINED):
        build_layers(tables, load_territory("besancon"), registry)
    watch.spent[WHOLE] = (
        watch.spent[READ][0] + watch.spent[JOINED][0],
        watch.spent[READ][1] + watch.spent[JOINED][1],
    )


def all_qpv(watch: Stopwatch) -> None:
    """Join the statistics of all QPV, every theme of the registry, into `statistiques` and layer `qpv`."""
    import pandas as pd

    from qpv_geo.analysis.aggregate import aggregate
    from qpv_geo.analysis.ranks import Peers, add_ranks
    from qpv_geo.analysis.statistics import add_indicators, join_by_code
    from qpv_geo.ingest.contours import read_contours
    from qpv_geo.ingest.registry import load_registry
    from qpv_geo.ingest.statistic_rows import StatisticRows
    from qpv_geo.settings import Settings
    from qpv_geo.sources.catalogue import load_catalogue
    from qpv_geo.sources.fetch import Policy, fetch_primary
    from qpv_geo.territory import load_territory

    territory, settings, registry = load_territory("france"), Settings(), load_registry()
    policy = Policy(mirror=str(MIRROR))
    raw = fetch_primary(load_catalogue()["qpv_2024"], territory, settings, policy)
    frames = read_contours(raw, territory, settings).by_epsg
    codes = [code for frame in frames.values() for code in frame["code_qp"]]
    rows = StatisticRows(_values("qpv", codes, registry))
    # Made-up figures are in no distribution: each QPV is ranked among all, as if of one EPCI.
    epci = pd.DataFrame({"code": codes, "siren_epci": "242500361"})
    with watch.timed(WHOLE):
        with watch.timed("joined"):
            joined, _ = join_by_code(rows, codes, codes)
        with watch.timed("ranked"):
            figures = joined[["code", "indicateur", "millesime", "valeur"]]
            statistics = add_ranks(joined, Peers({}, epci, figures), registry)
        with watch.timed("taken together"):
            aggregate(statistics, {territory.code: codes}, registry.by_id, "qpv_france")
        with watch.timed("columns of layer qpv"):
            for frame in frames.values():
                add_indicators(frame, statistics, registry)


MEASURES = {
    "Besançon, every layer": Measure(besancon, wanted={WHOLE: 3.0, PEAK: 600}),
    "All QPV, every theme": Measure(all_qpv, wanted={WHOLE: 3.0}),
}


if __name__ == "__main__":
    measure_apart(__file__, MEASURES)
