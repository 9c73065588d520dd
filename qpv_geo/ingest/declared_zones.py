"""In which communes and EPCI a table puts each QPV, read to compare producers."""

import re

import numpy as np
import pandas as pd

from qpv_geo.checks import Check, check_none
from qpv_geo.ingest.cell_text import clean_text
from qpv_geo.ingest.codes import COMMUNE, EPCI, QPV_2024, CodeKind
from qpv_geo.ingest.delimited import read_delimited
from qpv_geo.ingest.text import sentence
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import read_member
from qpv_geo.sources.raw import RawFile

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
