"""Contours of the QPV of 2024 and 2015: attributes, repaired geometry, counts that prove the file whole."""

import re
from dataclasses import dataclass, field
from functools import cached_property

import geopandas as gpd
import pandas as pd
import pandera.pandas as pa

from qpv_geo.checks import Check, check_none
from qpv_geo.ingest.cell_text import clean_text, report_reading
from qpv_geo.ingest.codes import COMMUNE, COMMUNES, DEPARTEMENT, EPCIS, QPV_2015, QPV_2024, REGION, CodeKind
from qpv_geo.ingest.contracts import Problems, code_column, shown, validate
from qpv_geo.ingest.geometry import draw, report_repairs
from qpv_geo.ingest.outside import Outside, raise_inside
from qpv_geo.ingest.vector import read_layer
from qpv_geo.settings import Settings
from qpv_geo.sources.raw import RawFile, catalogue_entry
from qpv_geo.territory import Territory, codes_of
from qpv_geo.zones import (
    METROPOLE,
    FrenchZone,
    department_of,
    department_of_commune,
    place_of,
    zone_of,
)

_LABELS = ("lib_qp", "lib_reg", "lib_dep", "lib_com")
_NAMED_AT_MOST = 30
_COUNTS_2015 = {"metropole": "nombre_qpv_2015_metropole", "france": "nombre_qpv_2015_france"}
_SCHEMA_2015 = pa.DataFrameSchema(
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
    ``nom_qp``, ``commune_qp`` (text or None), and what `geometry.project` adds. The department of their code
    places them (`outside`: see `raise_inside`).
    """
    layer = read_layer(raw, settings)
    problems = Problems(layer.label, raw.source)
    table, where = layer.official_columns(problems, ("NOM_QP", "COMMUNE_QP"))
    table = table.rename(columns=str.lower)
    departments = _departments(table, QPV_2015)
    placed = table.assign(insee_com=None, siren_epci=None, insee_dep=departments)
    with raise_inside(outside, problems, placed, where, QPV_2015):
        validate(table, _SCHEMA_2015, problems, where)
        zones = [place_of([department]) for department in departments]
        qpv = draw(table, layer.frame.geometry, zones, where, problems, epsg=epsg)[epsg]
        checks = _check_2015_counts(departments[~table["code_qp"].duplicated()], raw, problems)
    if qpv.empty:
        problems.add(f"QPV in the parts of France that EPSG:{epsg} serves", f"none among {len(table)}")
        problems.raise_if_any()
    return qpv, (
        report_reading(layer.remarks, f"{len(table)} entités", raw.source.id),
        *checks,
        report_repairs([qpv], "code_qp", raw.source.id),
    )


def _check_2015_counts(departments: "pd.Series[str]", raw: RawFile, problems: Problems) -> list[Check]:
    """Compare the numbers of QPV with the declared ones, in a file of the whole country."""
    found = {
        "metropole": int((departments.map(zone_of) == METROPOLE).sum()),
        "france": len(departments),
    }
    checks = []
    for scope, expected in raw.source.counts.items() if raw.national else ():
        if found[scope] != expected:
            problems.add(f"{expected} QPV 2015 ({scope})", str(found[scope]))
            problems.advise(
                f"if the file is whole all the same, change 'counts' in {catalogue_entry(raw.source)}"
            )
        counts = str(expected), str(found[scope])
        message = f"{found[scope]} QPV 2015 dans le fichier, comme attendu."
        checks.append(Check(_COUNTS_2015[scope], raw.source.id, "conforme", *counts, message))
    return checks


@dataclass(frozen=True)
class Contours:
    """Every QPV of a file."""

    by_epsg: dict[int, gpd.GeoDataFrame]
    """By the projected CRS of their part of France (2154: metropolitan France), in the file's order. Official
    columns as published, text or None, and what `geometry.project` adds."""
    national: bool
    """Whether the file covers the country."""
    checks: tuple[Check, ...]
    set_aside: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Official columns of the QPV without a usable contour, which are reported elsewhere (see `Outside`)."""

    @cached_property
    def attributes(self) -> pd.DataFrame:
        """Official columns of every QPV, those without a contour to use included."""
        drawn = [frame.drop(columns="geometry") for frame in self.by_epsg.values()]
        every: pd.DataFrame = pd.concat([*drawn, self.set_aside], ignore_index=True)
        return every


def read_contours(
    raw: RawFile, territory: Territory | None, settings: Settings, outside: Outside | None = None
) -> Contours:
    """Read the QPV contours, in any CRS of `geometry.ACCEPTED_CRS`, and hold them to their contract.

    The numbers of QPV that `territory` expects are checked; without it, those of France alone (`outside`:
    see `raise_inside`).
    """
    layer = read_layer(raw, settings)
    problems = Problems(layer.label, raw.source)
    if example := _code_of_2015(layer.frame):
        problems.add("the 2024 geography", f"the 2015 geography in place of 2024 (code {example})")
        problems.advise(f"take the 2024 contours from {raw.source.page}")
        problems.raise_if_any()
    table, where = layer.official_columns(problems, _LABELS)
    departments = _departments(table, QPV_2024)
    placed = table.assign(insee_dep=departments)
    with raise_inside(outside, problems, placed, where, QPV_2024) as readable:
        validate(table, _SCHEMA, problems, where)
        for place, declared, own in zip(where, table["insee_dep"], departments, strict=True):
            if declared and own and declared != own:
                found = f"{shown(declared)} in place of {shown(own)}"
                problems.add("the department of its code_qp", found, column="insee_dep", where=place)
        zones = list(map(_place, departments, table["insee_com"]))
        communes = table["insee_com"].fillna("unknown").tolist()
        by_epsg = draw(table, layer.frame.geometry, zones, where, problems, declared=communes)
        counts = _check_counts(table, readable, raw, territory, problems)
    missing = table.isna().sum()
    empty = [f"{column} ({count})" for column, count in missing[missing > 0].items()]
    fields = f"Champs vides à la source : {', '.join(empty)}.", "Aucun champ vide.", (0, int(missing.sum()))
    checks = (
        report_reading(layer.remarks, f"{len(table)} entités", raw.source.id),
        *counts,
        report_repairs(list(by_epsg.values()), "code_qp", raw.source.id),
        check_none("champs_vides", raw.source.id, empty, *fields),
    )
    return Contours(by_epsg, raw.national, checks, table[~problems.without_defect(where)])


_SCHEMA = pa.DataFrameSchema(
    {
        "code_qp": code_column(QPV_2024, key=True),
        "lib_qp": pa.Column(),
        "insee_reg": code_column(REGION, nullable=True),
        "insee_dep": code_column(DEPARTEMENT, nullable=True),
        "insee_com": code_column(COMMUNES, nullable=True),
        "siren_epci": code_column(EPCIS, nullable=True),
    }
)


def _code_of_2015(frame: gpd.GeoDataFrame) -> str:
    """Return a code of a file of which most are those of 2015; empty for another file."""
    spelled = next((column for column in frame.columns if column.casefold() == "code_qp"), None)
    codes = pd.Series(dtype="str") if spelled is None else clean_text(frame[spelled]).dropna().astype("str")
    old = codes[codes.str.fullmatch(QPV_2015.pattern)]
    return str(old.iloc[0]) if 2 * len(old) > len(codes) else ""


def _departments(table: pd.DataFrame, kind: CodeKind) -> "pd.Series[str]":
    """Return the departments of codes; one that cannot be read is in none, and not counted."""
    readable = table["code_qp"].astype("str").str.fullmatch(kind.pattern)
    return table["code_qp"].where(readable, "").map(department_of)


def _place(department: str, insee_com: object) -> FrenchZone | None:
    """Return where a QPV is to be: in the department of its code, or of a commune that it declares."""
    communes = (commune for commune in codes_of(insee_com) if re.fullmatch(COMMUNE.pattern, commune))
    return place_of((department, *map(department_of_commune, communes))) if department else None


def _check_counts(
    table: pd.DataFrame,
    readable: "pd.Series[bool]",
    raw: RawFile,
    territory: Territory | None,
    problems: Problems,
) -> list[Check]:
    """Compare the numbers of QPV with those that are known; those of France only in a file of France.

    Each readable code counts once, whatever its contour. Where some cannot be read, the advice is to mend the
    codes, not the numbers.
    """
    table = table[readable].drop_duplicates("code_qp")
    departments = table["code_qp"].map(department_of)
    metropolitan = departments.map(zone_of) == METROPOLE
    where = f"'counts' in {catalogue_entry(raw.source)}"
    expected_there = raw.source.counts.get("metropole")
    counts: list[tuple[str, str, pd.Series, int | None, str]] = [
        ("nombre_qpv_metropole", "France métropolitaine", metropolitan, expected_there, where)
    ]
    if territory:
        columns = (table[name] for name in ("code_qp", "insee_com", "siren_epci"))
        declared = pd.Series(
            [territory.is_declared(*row) for row in zip(*columns, strict=True)], index=table.index, dtype=bool
        )
        where = "'expected' in the territory file"
        counts += [
            ("nombre_qpv_departement", f"département {territory.departement}",
             departments == territory.departement, territory.expected.qpv_departement, where),
            ("nombre_qpv_territoire", territory.nom, declared, territory.expected.qpv, where),
        ]  # fmt: skip
    checks = []
    for code, subject, chosen, expected, declaration in counts:
        if expected is None:
            continue
        if code != "nombre_qpv_territoire" and not raw.national:
            limited = "le fichier se limite au territoire, son nombre de QPV n'est pas vérifiable"
            message = f"{subject} : {limited}."
            checks.append(Check(code, subject, "non_verifiable", str(expected), "", message))
            continue
        found = int(chosen.sum())
        message = f"{found} QPV : {subject}, comme attendu."
        checks.append(Check(code, subject, "conforme", str(expected), str(found), message))
        if found != expected:
            named = ", ".join(f"{row.code_qp} {row.lib_qp}" for row in table[chosen].itertuples())
            listed = f": {named}" if 0 < found <= _NAMED_AT_MOST else ""
            problems.add(f"{expected} QPV in {subject}", f"{found}{listed}")
            if readable.all():
                problems.advise(
                    f"if the official list has changed, change {declaration}; if not, the file is not whole"
                )
    return checks
