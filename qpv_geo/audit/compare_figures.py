"""Published figures against the raw cells they come from, and against what is derived from them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qpv_geo.analysis.aggregate import COMPUTED_ZONES
from qpv_geo.audit.differences import Difference
from qpv_geo.audit.originals import Originals
from qpv_geo.audit.readers import Reading
from qpv_geo.formats.frames import plain_values, row_names
from qpv_geo.formats.provenance import Raws, present
from qpv_geo.ingest.registry import Registry
from qpv_geo.sources.raw import digest
from qpv_geo.statuses import VALUED
from qpv_geo.territory import ContractQpv, Territory

_KEY = ("zone", "code", "indicateur", "millesime")
_CELL = ["source", "fichier", "code_producteur"]
# What a row says of its raw cell and of that of its interval.
_SAID = ("valeur", "statut", "remarque", "borne_basse", "borne_haute")
# Between the producer's codes of what an indicator is computed from; no column's name holds them.
_OPERATORS = r" [/+] "
# Value, status, vintage, rank and interval by code and indicator; and those of what no source holds.
Figures = dict[tuple[str, str], list[Any]]
_ABSENT: list[Any] = [math.nan, "non_disponible", None, None, None, math.nan, math.nan]
# Which figure of the contract is compared with which indicator.
_CONTRACT = {
    "population_municipale": "population",
    "taux_pauvrete_60": "taux_pauvrete",
    "part_familles_monoparentales": "part_familles_monoparentales",
}


def compare_sources(raws: Raws) -> list[Difference]:
    """Check that each raw file is still the one whose checksum is published."""
    differences = []
    for raw in present(raws):
        sha256, size = digest(raw.path)
        for field, published, found in (("sha256", raw.sha256, sha256), ("taille_octets", raw.size, size)):
            if published != found:
                row = raw.source.id
                differences.append(Difference("sources", "sources", row, field, published, found, raw.label))
    return differences


def compare_statistics(
    readings: Mapping[str, Reading], originals: Originals, registry: Registry
) -> list[Difference]:
    """Compare each row of ``statistiques`` with its raw cell, and find cells that have no row.

    A cell is found by source, file and the producer's column, on the row of the zone's code. For each file,
    every published code must have every published column, and every published QPV that the file holds must
    have its rows. What is computed here, for a zone or for a set of zones, stands in no file: the tests of
    `analysis` prove it.
    """
    if "statistiques" not in readings:
        return []
    whole = readings["statistiques"].attributes
    of_files = ~whole["zone"].isin(COMPUTED_ZONES) & ~is_computed(whole, registry)
    reading = replace(readings["statistiques"], attributes=whole[of_files].reset_index(drop=True))
    table = reading.attributes
    differences = _without_origin(reading)
    meant = _read_again(table, originals)
    differences += _cells_that_differ(reading, originals, meant)
    return differences + _cells_without_row(reading, readings["qpv"], originals)


def _read_again(table: pd.DataFrame, originals: Originals) -> pd.DataFrame:
    """Return what the raw cells of the rows say; the rows without an origin are left empty."""
    columns = [plain_values(table[name]) for name in ("code", *_CELL, "fichier_intervalle")]
    rows = list(zip(*columns, strict=True))
    # Where the intervals of a column stand: also for the rows that say to have none.
    files = {row[1:4]: row[4] for row in rows if row[4]}
    said = [_cell_again(row, files.get(row[1:4]), originals) for row in rows]
    return pd.DataFrame(said, index=table.index, columns=list(_SAID))


def _cell_again(row: tuple[Any, ...], intervals: str | None, originals: Originals) -> tuple[Any, ...]:
    """Return value, status, remark and bounds of the raw cell of a row: code, source, file, column."""
    code, source, member, column, *_ = row
    if None in {source, member, column}:
        return math.nan, None, None, math.nan, math.nan
    bounds = originals.cells(source, intervals).interval(code, column) if intervals else (math.nan, math.nan)
    return *originals.cells(source, member).meaning(code, column), *bounds


def _by(table: pd.DataFrame, columns: list[str]) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    """Yield the positions of the rows that share texts; rows without one of the texts are left out."""
    for key, rows in table.groupby(columns, sort=False).indices.items():
        yield tuple(str(part) for part in np.array(key, dtype=object)), np.asarray(rows)


def _without_origin(reading: Reading) -> list[Difference]:
    table = reading.attributes
    rows = np.flatnonzero(table[_CELL].isna().any(axis=1))
    return [
        Difference(reading.path.name, "statistiques", name, ", ".join(_CELL), None, "the place of a raw cell")
        for name in row_names(table.iloc[rows], _KEY)
    ]


def _cells_that_differ(reading: Reading, originals: Originals, meant: pd.DataFrame) -> list[Difference]:
    table = reading.attributes
    traced = table[_CELL].notna().all(axis=1).to_numpy()
    differences = []
    for field in _SAID:
        published, wanted = table[field], meant[field]
        same = (published.isna() & wanted.isna()) | (published == wanted).fillna(value=False)
        rows = np.flatnonzero(~same.to_numpy(dtype=bool) & traced)
        for row, name in zip(rows, row_names(table.iloc[rows], _KEY), strict=True):
            source, member, column = table[_CELL].iloc[row]
            cells = originals.cells(source, member)
            cell = cells.cell(table["code"].iloc[row], column)
            found = f"{published.iloc[row]} ({table['statut'].iloc[row]})"
            expected = f"{wanted.iloc[row]} (cell {cell!r})"
            origin = f"{cells.raw.label}, {member}, column {column}"
            differences.append(
                Difference(reading.path.name, "statistiques", name, field, found, expected, origin)
            )
    return differences


def _cells_without_row(reading: Reading, qpv: Reading, originals: Originals) -> list[Difference]:
    table = reading.attributes
    differences = []
    for (zone, source, member), positions in _by(table, ["zone", "source", "fichier"]):
        rows = table.iloc[positions]
        cells = originals.cells(source, member)
        columns = rows["code_producteur"].unique()
        wanted = set(rows["code"])
        if zone == "qpv":
            wanted |= cells.rows.keys() & set(qpv.attributes["code_qp"])
        there = set(zip(rows["code"], rows["code_producteur"], strict=True))
        differences += [
            Difference(
                reading.path.name,
                "statistiques",
                f"{zone} / {code}",
                column,
                "no row",
                cells.cell(code, column),
                f"{cells.raw.label}, {member}",
            )
            for code in sorted(wanted)
            for column in columns
            if (code, column) not in there
        ]
    return differences


def is_computed(table: pd.DataFrame, registry: Registry) -> "pd.Series[bool]":
    """Tell which rows of ``statistiques`` are ratios or sums of several columns of the producers' files."""
    computed = [indicator.id for indicator in registry.indicators if indicator.is_computed]
    several = table["code_producteur"].str.contains(_OPERATORS, na=False).astype(bool)
    return several & table["indicateur"].isin(computed)


def compare_statuses(readings: Mapping[str, Reading]) -> list[Difference]:
    """Check that each row of ``statistiques`` has a value if and only if its status says so."""
    if "statistiques" not in readings:
        return []
    reading = readings["statistiques"]
    table = reading.attributes
    incoherent = table[table["valeur"].notna() != table["statut"].isin(VALUED)]
    return [
        Difference(reading.path.name, "statistiques", name, "statut", status, "a status that fits the value")
        for name, status in zip(row_names(incoherent, _KEY), incoherent["statut"], strict=True)
    ]


def latest_figures(figures: pd.DataFrame) -> Figures:
    """Return value, status, vintage, rank and interval of each QPV and indicator, of its newest vintage.

    Parameters
    ----------
    figures
        Layer ``statistiques``, already compared with the raw files.
    """
    of_qpv = figures[figures["zone"] == "qpv"]
    newest = {indicator: max(rows) for indicator, rows in of_qpv.groupby("indicateur")["millesime"]}
    names = ["code", "indicateur", "valeur", "statut", "millesime"]
    names += ["rang", "rang_sur", "borne_basse", "borne_haute"]
    columns = (of_qpv[name].tolist() for name in names)
    return {
        (code, indicator): figure
        for code, indicator, *figure in zip(*columns, strict=True)
        if figure[2] == newest[indicator]
    }


def compare_wide(reading: Reading, figures: Figures, registry: Registry) -> list[Difference]:
    """Compare the indicator columns of layer ``qpv`` with the newest rows of ``statistiques``."""
    codes = reading.attributes["code_qp"].tolist()
    differences = []
    for indicator in registry.indicators:
        if indicator.qpv_layer:
            suffixes = ["", "_statut", "_millesime", "_rang", "_rang_sur"]
            suffixes += ["_borne_basse", "_borne_haute"] if indicator.intervals else []
            fields = [f"{indicator.id}{suffix}" for suffix in suffixes]
            wanted = [figures.get((code, indicator.id), _ABSENT)[: len(fields)] for code in codes]
            differences += _compare_columns(reading, "qpv", codes, fields, wanted)
    return differences


def compare_contract(reading: Reading, figures: Figures, territory: Territory) -> list[Difference]:
    """Compare layer ``contrat_de_ville`` with the territory's contract and with ``statistiques``."""
    entries = {entry.code_qp: entry for entry in territory.contrat.qpv} if territory.contrat else {}
    keys = list(zip(reading.attributes["code_qp"], reading.attributes["indicateur"], strict=True))
    wanted = []
    for code, indicator in keys:
        value, status, vintage, *_ = figures.get((code, indicator), _ABSENT)
        stated = _stated(entries.get(code), indicator)
        wanted.append([value, status, vintage, stated, round(value - stated, 6)])
    fields = ("valeur_insee", "statut_insee", "millesime_insee", "valeur_contrat", "ecart")
    names = [" / ".join(key) for key in keys]
    return _compare_columns(reading, "contrat_de_ville", names, fields, wanted)


def _stated(entry: ContractQpv | None, indicator: str) -> float:
    figure = getattr(entry, _CONTRACT[indicator]) if entry and indicator in _CONTRACT else None
    return math.nan if figure is None else float(figure)


def _compare_columns(
    reading: Reading, layer: str, names: list[str], fields: Sequence[str], wanted: Sequence[list[Any]]
) -> list[Difference]:
    """Compare some fields of a layer with what they should be, row by row."""
    published = zip(*(reading.attributes[field].tolist() for field in fields), strict=True)
    return [
        Difference(reading.path.name, layer, name, field, value, expected)
        for name, values, row in zip(names, published, wanted, strict=True)
        for field, value, expected in zip(fields, values, row, strict=True)
        if not _same(value, expected)
    ]


def _same(value: Any, expected: Any) -> bool:  # noqa: ANN401 - cells of any column
    if pd.isna(value) or pd.isna(expected):
        return bool(pd.isna(value) and pd.isna(expected))
    return bool(value == expected)
