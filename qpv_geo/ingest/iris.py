"""Contours of the IRIS of the territory's main communes."""

from collections.abc import Collection, Mapping

import geopandas as gpd
import numpy as np
import pandas as pd
import pandera.pandas as pa

from qpv_geo.checks import Check
from qpv_geo.ingest.cell_text import report_reading
from qpv_geo.ingest.codes import COMMUNE, IRIS
from qpv_geo.ingest.contracts import Problems, code_column, shown, validate
from qpv_geo.ingest.geometry import draw, report_repairs
from qpv_geo.ingest.outside import Outside, raise_inside
from qpv_geo.ingest.vector import VectorLayer, read_layer
from qpv_geo.settings import Settings
from qpv_geo.sources.raw import RawFile
from qpv_geo.zones import department_of_commune, place_of

_SCHEMA = pa.DataFrameSchema(
    {
        "code_iris": code_column(IRIS, key=True),
        "nom_iris": pa.Column(),
        "type_iris": pa.Column(nullable=True),
        "insee_com": code_column(COMMUNE),
        "nom_com": pa.Column(),
    }
)


def read_iris(
    raws: Mapping[str, RawFile],
    communes: Collection[str],
    settings: Settings,
    epsg: int,
    outside: Outside | None = None,
) -> tuple[gpd.GeoDataFrame, tuple[Check, ...]]:
    """Read the IRIS of communes, from a file for each or one for the country; hold them to their contract.

    Returned are ``code_iris``, ``nom_iris``, ``type_iris`` (or None), ``insee_com``, ``nom_com``,
    ``geographie`` (date of the geography, or None), ``ecart_reparation_m2``, MultiPolygons in `epsg`, sorted
    by code. `outside` receives the defective IRIS outside the territory; without it, each stops the reading.
    """
    frames, checks = [], []
    there: set[str] = set()
    for key, raw in raws.items():
        layer = read_layer(raw, settings)
        frame, named = _read(layer, raw, communes, epsg, outside)
        there |= named
        frames.append(frame.assign(geographie=raw.source.geography))
        checks.append(report_reading(layer.remarks, f"{len(frame)} IRIS", key))
        checks.append(report_repairs([frame], "code_iris", key))
    iris = gpd.GeoDataFrame(pd.concat(frames, ignore_index=True), crs=epsg)
    last = Problems(", ".join(raw.label for raw in raws.values()), next(iter(raws.values())).source)
    for commune in sorted(set(communes) - there):
        last.add(f"IRIS of commune {commune}", "none")
        last.advise("if this commune has none, take it out of 'communes_principales' in the territory file")
    last.raise_if_any()
    return iris.sort_values("code_iris", ignore_index=True), tuple(checks)


def _read(
    layer: VectorLayer, raw: RawFile, communes: Collection[str], epsg: int, outside: Outside | None
) -> tuple[gpd.GeoDataFrame, set[str]]:
    """Return the IRIS of communes, and the communes that have any, even without a usable contour."""
    problems = Problems(layer.label, raw.source)
    every = layer.official_columns(problems, ("nom_iris", "nom_com"))
    wanted = np.flatnonzero(every["insee_com"].isin(communes))
    where = layer.names(every["code_iris"])[wanted]
    table = every.iloc[wanted].reset_index(drop=True)
    placed = table.assign(siren_epci=None, insee_dep=table["insee_com"].map(department_of_commune))
    readable = table["code_iris"].astype("str").str.fullmatch(IRIS.pattern)
    with raise_inside(outside, problems, placed, where, readable):
        validate(table, _SCHEMA, problems, where)
        for place, code, commune in zip(where, table["code_iris"], table["insee_com"], strict=True):
            if not str(code).startswith(str(commune)):
                expected = "a code that begins with that of the commune"
                problems.add(expected, f"{shown(code)} in {commune}", column="code_iris", where=place)
        zones = [place_of([department]) for department in placed["insee_dep"]]
        geometries = layer.frame.geometry.iloc[wanted].to_numpy()
        drawn = gpd.GeoDataFrame(table, geometry=geometries, crs=layer.frame.crs)
        frame = draw(drawn, zones, where, problems, epsg=epsg)[epsg]
    return frame, set(table["insee_com"])
