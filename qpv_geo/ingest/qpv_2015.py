"""Contours of the QPV of 2015, read only to compare them with those of 2024."""

import geopandas as gpd
import pandas as pd
import pandera.pandas as pa

from qpv_geo.checks import Check
from qpv_geo.ingest.codes import QPV_2015
from qpv_geo.ingest.contracts import Problems, code_column, validate
from qpv_geo.ingest.geometry import draw, report_repairs
from qpv_geo.ingest.outside import Outside
from qpv_geo.ingest.text import report_reading
from qpv_geo.ingest.vector import read_layer
from qpv_geo.settings import Settings
from qpv_geo.sources.raw import RawFile, catalogue_entry
from qpv_geo.zones import METROPOLE, department_of, place_of, zone_of

_COUNTS = {"metropole": "nombre_qpv_2015_metropole", "france": "nombre_qpv_2015_france"}
_SCHEMA = pa.DataFrameSchema(
    {
        "code_qp": code_column(QPV_2015, key=True),
        "nom_qp": pa.Column(),
        "commune_qp": pa.Column(nullable=True),
    }
)


def read_qpv_2015(
    raw: RawFile, settings: Settings, epsg: int, outside: Outside | None = None
) -> tuple[gpd.GeoDataFrame, tuple[Check, ...]]:
    """Read the QPV of 2015, Shapefile or GeoJSON of the WFS, and hold them to their contract.

    The QPV of the parts of France that `epsg` serves are returned, in the file's order: ``code_qp``,
    ``nom_qp``, ``commune_qp`` (text or None), ``ecart_reparation_m2`` (NaN where the contour was valid),
    MultiPolygons. `outside` receives the defective QPV outside the territory, placed by the department of
    their code; without it, each stops the reading.
    """
    layer = read_layer(raw, settings)
    problems = Problems(layer.label, raw.source)
    table = layer.official_columns(problems, ("NOM_QP", "COMMUNE_QP")).rename(columns=str.lower)
    where = layer.names(table["code_qp"])
    readable = table["code_qp"].astype("str").str.fullmatch(QPV_2015.pattern)
    departments = table["code_qp"].where(readable, "").map(department_of)
    places = pd.DataFrame({"insee_com": None, "siren_epci": None, "insee_dep": departments})
    if outside:
        outside.tolerate(problems, places, where, readable)
    validate(table, _SCHEMA, problems, where)
    zones = [place_of([department]) for department in departments]
    drawn = gpd.GeoDataFrame(table, geometry=layer.frame.geometry, crs=layer.frame.crs)
    qpv = draw(drawn, zones, epsg, where, problems)
    checks = _check_counts(departments[~table["code_qp"].duplicated()], raw, problems)
    problems.raise_if_any()
    if outside:
        outside.keep(problems, table, places, where, "code_qp")
    if qpv.empty:
        problems.add(f"QPV in the parts of France that EPSG:{epsg} serves", f"none among {len(table)}")
        problems.raise_if_any()
    return qpv, (
        report_reading(layer.remarks, f"{len(table)} entités", raw.source.id),
        *checks,
        report_repairs([qpv], "code_qp", raw.source.id),
    )


def _check_counts(departments: "pd.Series[str]", raw: RawFile, problems: Problems) -> list[Check]:
    """Compare the numbers of QPV with the declared ones, in a file of the whole country."""
    found = {
        "metropole": int((departments.map(zone_of) == METROPOLE).sum()),
        "france": len(departments),
    }
    checks = []
    for scope, expected in raw.source.counts.items():
        if not raw.national:
            continue
        if found[scope] != expected:
            problems.add(f"{expected} QPV 2015 ({scope})", str(found[scope]))
            problems.advise(
                f"if the file is whole all the same, change 'counts' in {catalogue_entry(raw.source)}"
            )
        counts = str(expected), str(found[scope])
        message = f"{found[scope]} QPV 2015 dans le fichier, comme attendu."
        checks.append(Check(_COUNTS[scope], raw.source.id, "conforme", *counts, message))
    return checks
