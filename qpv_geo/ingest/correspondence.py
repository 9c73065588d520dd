"""ANCT's correspondence table: which QPV of 2015 each QPV of 2024 comes from."""

import re
from itertools import zip_longest

import numpy as np
import pandas as pd
import pandera.pandas as pa

from qpv_geo.checks import Check, check_none
from qpv_geo.ingest.cell_text import clean_text, report_reading, sentence
from qpv_geo.ingest.codes import COMMUNE, EPCI, QPV_2015, QPV_2024, CodeKind
from qpv_geo.ingest.contracts import Problems, code_column, find_columns, validate
from qpv_geo.ingest.delimited import read_delimited
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import read_member
from qpv_geo.sources.raw import RawFile

_OF_QPV = ("QP2024", "Label_QP2024", "Statut")
_OLD_CODE, _OLD_LABEL = "QP2015", "Label_QP2015"
_COLUMNS = ["code_qp", "lib_qp", "statut", "code_qp_2015", "lib_qp_2015"]
_KINDS = {"code_qp": QPV_2024, "insee_com": COMMUNE, "siren_epci": EPCI}
_SEPARATORS = re.compile(r"[;,\s]+")
_LENGTH_WITHOUT_ZERO = 4


def read_declared_zones(raw: RawFile, settings: Settings) -> tuple[pd.DataFrame, tuple[Check, ...]]:
    """Read in which communes and EPCI a list of QPV, or INSEE's populations, puts each QPV.

    Only disagreements are published: a missing column, or a cell without codes, is a remark and not an error.
    A cell lists codes with semicolons or commas between.

    Returns one row per QPV: ``source``, ``code_qp``, ``insee_com``, ``siren_epci`` (lists with commas
    between; None where nothing is declared).
    """
    table = read_delimited(raw, read_member(raw, raw.source.member, settings))
    by_folded = {str(column).casefold(): column for column in table.cells.columns}
    remarks = list(table.remarks)
    declared = pd.DataFrame({"source": raw.source.id}, index=table.cells.index)
    for name, kind in _KINDS.items():
        spellings = raw.source.columns[name]
        found = next((by_folded[s.casefold()] for s in spellings if s.casefold() in by_folded), None)
        if found is None:
            remarks.append(f"colonne {' ou '.join(spellings)} absente")
            declared[name] = None
            continue
        cells = clean_text(table.cells[found])
        declared[name] = cells.map(lambda cell, kind=kind: _codes(cell, kind), na_action="ignore")
        wrong = np.flatnonzero(cells.notna() & (declared[name] == ""))
        if len(wrong):
            first = f"{cells.iloc[wrong[0]]!r} ({table.where[wrong[0]]})"
            remarks.append(f"colonne {found} : {len(wrong)} cellules sans code valable, la première {first}")
    declared = declared.replace({"": None}).astype(object)
    declared = declared.where(declared.notna(), None).dropna(subset="code_qp")
    declared = declared.drop_duplicates("code_qp", ignore_index=True)
    found = f"{len(declared)} QPV"
    message = sentence(remarks) or f"Communes et EPCI déclarés lus pour {found}."
    return declared, (check_none("zones_declarees", raw.source.id, remarks, message, counts=("", found)),)


def _codes(cell: str, kind: CodeKind) -> str:
    """Return the codes of a cell with commas between, empty unless all of it is codes.

    A commune's code whose leading zero a spreadsheet lost has four digits, and no other meaning.
    """
    parts = [part for part in _SEPARATORS.split(cell) if part]
    if kind is COMMUNE:
        parts = [f"0{part}" if len(part) == _LENGTH_WITHOUT_ZERO else part for part in parts]
    return ", ".join(parts) if all(re.fullmatch(kind.pattern, part) for part in parts) else ""


def read_correspondence(raw: RawFile, settings: Settings) -> tuple[pd.DataFrame, tuple[Check, ...]]:
    """Read the table and hold it to its contract.

    A row of the file is a QPV of 2024 with its predecessors side by side (``QP2015_1``, ``QP2015_2``, …). A
    QPV of 2015 may have several successors.

    Returns one row per pair: ``code_qp``, ``lib_qp``, ``statut``, ``code_qp_2015``, ``lib_qp_2015``; the last
    two are None for a QPV that is new. The contract: codes of their year, a QPV 2024 once, a QPV 2015 once in
    a row, no predecessor's name without its code.
    """
    table = read_delimited(raw, read_member(raw, raw.source.member, settings))
    problems = Problems(table.label, raw.source)
    declared = raw.source.columns
    available = [str(column) for column in table.cells.columns]
    of_qpv = find_columns(available, {name: declared[name] for name in _OF_QPV}, problems)
    # A spelling that an administrator added may have no name beside it.
    declared_places = zip_longest(declared[_OLD_CODE], declared[_OLD_LABEL])
    places = [(code, label) for code, label in declared_places if code in available]
    if not places:
        find_columns(available, {_OLD_CODE: declared[_OLD_CODE]}, problems)
    problems.raise_if_any()
    cells = table.cells.apply(clean_text)
    rules = {of_qpv["QP2024"]: code_column(QPV_2024, key=True)}
    rules |= {code: code_column(QPV_2015, nullable=True) for code, _ in places}
    validate(cells, pa.DataFrameSchema(rules), problems, table.where, as_published=table.cells)
    side_by_side = [
        cells.reindex(columns=[*of_qpv.values(), *place]).set_axis(_COLUMNS, axis=1) for place in places
    ]
    pairs = pd.concat(side_by_side).sort_index(kind="stable")
    known = pairs["code_qp_2015"].notna()
    nameless = pairs.loc[~known, "lib_qp_2015"].dropna()
    expected = "a code beside the name of each QPV 2015"
    problems.add_rows(expected, table.where[nameless.index], [f"{name!r} alone" for name in nameless])
    doubled = pairs.loc[known & pairs.duplicated(["code_qp", "code_qp_2015"]), "code_qp_2015"]
    again = [f"{code!r} again" for code in doubled]
    problems.add_rows("each QPV 2015 once in a row", table.where[doubled.index], again)
    problems.raise_if_any()
    # A new QPV keeps one row, without predecessor.
    new = ~known.groupby(level=0).transform("any") & ~pairs.index.duplicated()
    pairs = pairs[known | new].reset_index(drop=True)
    pairs = pairs.astype(object).where(pairs.notna(), None)
    found = f"{pairs['code_qp'].nunique()} QPV 2024, {pairs['code_qp_2015'].nunique()} QPV 2015"
    return pairs, (report_reading(table.remarks, found, raw.source.id),)
