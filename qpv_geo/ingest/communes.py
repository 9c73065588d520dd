"""Contours of the communes, of one EPCI or of France."""

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import pandas as pd
import pandera.pandas as pa

from qpv_geo.checks import Check
from qpv_geo.ingest.codes import COMMUNE, DEPARTEMENT, EPCI, REGION
from qpv_geo.ingest.contracts import Names, Problems, code_column, shown, validate
from qpv_geo.ingest.geometry import draw, report_repairs
from qpv_geo.ingest.outside import Outside
from qpv_geo.ingest.text import report_reading
from qpv_geo.ingest.vector import read_layer
from qpv_geo.settings import Settings
from qpv_geo.sources.raw import RawFile
from qpv_geo.zones import department_of_commune, place_of

# The API's names, and those of the official geographic code that the layers use.
_NAMES = {
    "code": "insee_com",
    "nom": "nom_com",
    "codeEpci": "siren_epci",
    "codeDepartement": "insee_dep",
    "codeRegion": "insee_reg",
    "population": "population",
}


def read_communes(
    raw: RawFile, settings: Settings, epsg: int | None = None, outside: Outside | None = None
) -> dict[int, gpd.GeoDataFrame]:
    """Read communes, GeoJSON of geo.api.gouv.fr or of Etalab, and hold them to their contract.

    Returned are those that the projected CRS `epsg` serves; without it, those of each part of France in its
    own. `outside` receives the defective communes outside the territory; without it, each stops the reading.

    By CRS: ``insee_com``, ``nom_com``, ``siren_epci``, ``insee_dep``, ``insee_reg`` (text or None),
    ``population`` (Int64), ``ecart_reparation_m2`` (NaN where the contour was valid), MultiPolygons, in the
    file's order; ``attrs["remarques"]``, what was unusual in the file, in French.
    """
    layer = read_layer(raw, settings)
    problems = Problems(layer.label, raw.source)
    table = layer.official_columns(problems, ("nom",)).rename(columns=_NAMES)
    where = layer.names(table["insee_com"])
    placed = table["insee_com"].astype("str").str.fullmatch(COMMUNE.pattern)
    if outside:
        outside.tolerate(problems, table, where, placed)
    population, readable = _numbers(table["population"], where, problems)
    validate(table.assign(population=population), _SCHEMA, problems, where, as_published=table)
    table["population"] = population.where(readable).astype("Int64")
    departments = table["insee_com"].where(placed, "").map(department_of_commune)
    zones = departments.map({code: place_of([code]) for code in departments.unique()}).to_numpy()
    served = np.array([zone.epsg for zone in zones], dtype=np.int64)
    drawn = gpd.GeoDataFrame(table, geometry=layer.frame.geometry, crs=layer.frame.crs)
    by_epsg = {}
    for target in sorted(set(served.tolist())) if epsg is None else [epsg]:
        # Every contour of the file is checked, whichever are asked for.
        rows = served == target if epsg is None else np.ones(len(served), dtype=bool)
        by_epsg[target] = draw(drawn[rows], zones[rows].tolist(), target, where[rows], problems)
    problems.raise_if_any()
    if outside:
        outside.keep(problems, table, table, where, "insee_com")
    for communes in by_epsg.values():
        communes.attrs["remarques"] = layer.remarks
    return by_epsg


def report_communes(layers: Sequence[gpd.GeoDataFrame], source_id: str) -> tuple[Check, ...]:
    """Return the controls that `read_communes` made, of one layer or of one per CRS."""
    found = f"{sum(map(len, layers))} communes"
    return (
        report_reading(layers[0].attrs["remarques"], found, source_id),
        report_repairs(layers, "insee_com", source_id),
    )


_SCHEMA = pa.DataFrameSchema(
    {
        "insee_com": code_column(COMMUNE, key=True),
        "nom_com": pa.Column(),
        "siren_epci": code_column(EPCI, nullable=True),
        "insee_dep": code_column(DEPARTEMENT),
        "insee_reg": code_column(REGION, nullable=True),
        "population": pa.Column(checks=pa.Check.ge(0, error="a population of at least 0"), nullable=True),
    }
)


def _numbers(
    text: pd.Series, where: Names, problems: Problems
) -> tuple["pd.Series[float]", "pd.Series[bool]"]:
    """Return populations as numbers, and which of them are whole."""
    numbers = pd.to_numeric(text, errors="coerce").astype("float64")
    # Beyond that, a double does not tell whole numbers apart.
    whole = numbers.notna() & (numbers % 1 == 0) & (numbers.abs() < 2**53)
    wrong = np.flatnonzero(text.notna() & ~whole)
    problems.add_rows(
        "a whole number of inhabitants",
        where[wrong],
        [shown(text.iloc[row]) for row in wrong],
        column="population",
    )
    return numbers, whole
