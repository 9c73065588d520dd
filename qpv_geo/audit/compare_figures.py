"""Published figures against the raw cells they come from."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qpv_geo.analysis.aggregate import COMPUTED_ZONES
from qpv_geo.audit.mismatches import Mismatch, WrittenLayer, differing_rows
from qpv_geo.audit.original_cells import NO_INTERVAL
from qpv_geo.audit.originals import Originals
from qpv_geo.formats.frames import row_names
from qpv_geo.formats.provenance import Raws, present
from qpv_geo.ingest.registry import Registry
from qpv_geo.sources.raw import digest
from qpv_geo.statuses import VALUED
from qpv_geo.territory import Territory

_LAYER = "statistiques"
_KEY = ["zone", "code", "indicateur", "millesime"]
_CELL = ["source", "fichier", "code_producteur"]
# What a row says of its raw cell and of the cell of its interval.
_MEANING = {"valeur": float, "statut": object, "remarque": object, "borne_basse": float, "borne_haute": float}
# What layer `qpv` repeats of the newest rows of `statistiques`: suffix of the field, and column.
_REPEATED = {"": "valeur"} | {f"_{name}": name for name in ("statut", "millesime", "rang", "rang_sur")}
_BOUNDS = {f"_{name}": name for name in ("borne_basse", "borne_haute")}
# Between the producer's codes of what an indicator is computed from; no column's name holds them.
_OPERATORS = r" [/+] "
_CONTRACT_FIGURES = {
    "population_municipale": "population",
    "taux_pauvrete_60": "taux_pauvrete",
    "part_familles_monoparentales": "part_familles_monoparentales",
}


def compare_sources(raws: Raws) -> list[Mismatch]:
    """Check that each raw file is still the one whose checksum is published."""
    return [
        Mismatch("sources", "sources", raw.source.id, field, published, now, raw.label)
        for raw in present(raws)
        for field, published, now in zip(
            ("sha256", "taille_octets"), (raw.sha256, raw.size), digest(raw.path), strict=True
        )
        if published != now
    ]


def compare_statistics(
    release: Mapping[str, WrittenLayer], originals: Originals, registry: Registry
) -> list[Mismatch]:
    """Compare each row of ``statistiques`` with its raw cell, and find cells that have no row.

    A row has a value if and only if its status says so. A cell is found by source, file and the producer's
    column, on the row of the zone's code. For each file, every published code must have every published
    column, and every published QPV that the file holds must have its rows. What is computed here, for a zone
    or for a set of zones, stands in no file.
    """
    if _LAYER not in release:
        return []
    whole = release[_LAYER].attributes
    wrong = whole[whole["valeur"].notna() != whole["statut"].isin(VALUED)]
    of_files = ~whole["zone"].isin(COMPUTED_ZONES) & ~is_computed(whole, registry)
    statistics = replace(release[_LAYER], attributes=whole[of_files].reset_index(drop=True))
    return [
        *_rows_unlike_their_cell(statistics, originals),
        *_cells_without_row(statistics, set(release["qpv"].attributes["code_qp"]), originals),
        *(
            statistics.mismatch(name, "statut", status, "a status that fits the value")
            for name, status in zip(row_names(wrong, _KEY), wrong["statut"], strict=True)
        ),
    ]


def is_computed(table: pd.DataFrame, registry: Registry) -> "pd.Series[bool]":
    """Tell which rows of ``statistiques`` are ratios or sums of several columns of the producers' files."""
    computed = [indicator.id for indicator in registry.indicators if indicator.is_computed]
    several = table["code_producteur"].str.contains(_OPERATORS, na=False).astype(bool)
    return several & table["indicateur"].isin(computed)


def _rows_unlike_their_cell(statistics: WrittenLayer, originals: Originals) -> list[Mismatch]:
    table = statistics.attributes
    mismatches = [
        statistics.mismatch(name, ", ".join(_CELL), None, "the place of a raw cell")
        for name in row_names(table[table[_CELL].isna().any(axis=1)], _KEY)
    ]
    for field, wanted in _meaning_of_cells(table, originals).items():
        rows = differing_rows(table[field], wanted)
        for row, name in zip(rows, row_names(table.iloc[rows], _KEY), strict=True):
            code, source, member, column = table[["code", *_CELL]].iloc[row]
            cells = originals.cells(source, member)
            published = f"{table[field].iloc[row]} ({table['statut'].iloc[row]})"
            expected = f"{wanted.iloc[row]} (cell {cells.cell(code, column)!r})"
            origin = f"{cells.raw.label}, {member}, column {column}"
            mismatches.append(statistics.mismatch(name, field, published, expected, origin))
    return mismatches


def _meaning_of_cells(table: pd.DataFrame, originals: Originals) -> dict[str, pd.Series]:
    """Read the raw cells again, column by column of the files; rows without an origin stay as they are."""
    meant = {field: table[field].to_numpy(dtype=kind).copy() for field, kind in _MEANING.items()}
    codes, intervals = (table[name].to_numpy(dtype=object) for name in ("code", "fichier_intervalle"))
    for (source, member, column), rows in _groups(table, _CELL):
        cells = originals.cells(source, member)
        # Where the intervals of the column stand: also for the rows that have none.
        file = next((name for name in intervals[rows] if isinstance(name, str)), None)
        bounds = originals.cells(source, file) if file else None
        meanings = [
            (*cells.meaning(code, column), *(bounds.interval(code, column) if bounds else NO_INTERVAL))
            for code in codes[rows]
        ]
        for field, values in zip(_MEANING, zip(*meanings, strict=True), strict=True):
            meant[field][rows] = values
    return {field: pd.Series(values, index=table.index) for field, values in meant.items()}


def _groups(table: pd.DataFrame, columns: list[str]) -> Iterator[tuple[tuple[str, ...], NDArray[np.intp]]]:
    """Yield the positions of the rows that share texts; rows without one of the texts are left out."""
    for texts, rows in table.groupby(columns, sort=False).indices.items():
        yield tuple(map(str, np.array(texts, dtype=object))), np.asarray(rows)


def _cells_without_row(statistics: WrittenLayer, qpv: set[str], originals: Originals) -> list[Mismatch]:
    table = statistics.attributes
    mismatches = []
    for (zone, source, member), positions in _groups(table, ["zone", "source", "fichier"]):
        rows = table.iloc[positions]
        cells = originals.cells(source, member)
        wanted = set(rows["code"]) | (cells.rows.keys() & qpv if zone == "qpv" else set())
        there = set(zip(rows["code"], rows["code_producteur"], strict=True))
        columns = rows["code_producteur"].unique().tolist()
        origin = f"{cells.raw.label}, {member}"
        mismatches += [
            statistics.mismatch(f"{zone} / {code}", column, "no row", cells.cell(code, column), origin)
            for code in sorted(wanted)
            for column in columns
            if (code, column) not in there
        ]
    return mismatches


def newest_figures(statistics: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of QPV of the newest vintage of each indicator, by indicator and code."""
    of_qpv = statistics[statistics["zone"] == "qpv"]
    newest = of_qpv["millesime"] == of_qpv.groupby("indicateur")["millesime"].transform("max")
    figures = of_qpv[newest].set_index(["indicateur", "code"])[[*_REPEATED.values(), *_BOUNDS.values()]]
    return figures[~figures.index.duplicated()]


def _figures(figures: pd.DataFrame, indicators: object, codes: pd.Series) -> pd.DataFrame:
    """Return the figure of each code; one that no source holds is ``non_disponible``."""
    pairs = pd.DataFrame({"indicateur": indicators, "code": codes}, dtype=object)
    chosen = figures.reindex(pd.MultiIndex.from_frame(pairs)).set_index(codes.index)
    return chosen.assign(statut=chosen["statut"].fillna("non_disponible"))


def compare_indicator_columns(
    release: Mapping[str, WrittenLayer], figures: pd.DataFrame, registry: Registry
) -> list[Mismatch]:
    """Compare the indicator columns of layer ``qpv`` with the newest rows of ``statistiques``."""
    codes = release["qpv"].attributes["code_qp"]
    shown = registry.shown
    indicators = np.repeat([indicator.id for indicator in shown], len(codes))
    wanted = _figures(figures, indicators, pd.concat([codes] * len(shown)))
    expected: dict[str, pd.Series] = {}
    for number, indicator in enumerate(shown):
        rows = wanted.iloc[number * len(codes) : (number + 1) * len(codes)]
        columns = _REPEATED | (_BOUNDS if indicator.intervals else {})
        expected |= {f"{indicator.id}{suffix}": rows[name] for suffix, name in columns.items()}
    return release["qpv"].compare_columns(["code_qp"], expected)


def compare_contract(
    release: Mapping[str, WrittenLayer], figures: pd.DataFrame, territory: Territory
) -> list[Mismatch]:
    """Compare ``contrat_de_ville`` with the territory's contract and with ``statistiques``."""
    if "contrat_de_ville" not in release or territory.contrat is None:
        return []
    table = release["contrat_de_ville"].attributes
    entries = {entry.code_qp: entry for entry in territory.contrat.qpv}
    stated = [
        getattr(entries.get(code), _CONTRACT_FIGURES.get(indicator, ""), None)
        for code, indicator in zip(table["code_qp"], table["indicateur"], strict=True)
    ]
    insee = _figures(figures, table["indicateur"], table["code_qp"])
    expected = {f"{name}_insee": insee[name] for name in ("valeur", "statut", "millesime")}
    expected["valeur_contrat"] = pd.Series(stated, dtype="float64")
    return release["contrat_de_ville"].compare_columns(["code_qp", "indicateur"], expected)
