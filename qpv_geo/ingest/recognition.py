"""Which zones a table is about, told by its key column and the form of its codes.

Producers rename files, members and sheets from one edition to the next; codes keep their form. Where two
kinds of zones share a form, the key's name decides, then the official lists, then the table's name.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qpv_geo.ingest.codes import KINDS, QPV_2015, QPV_2024, CodeKind
from qpv_geo.ingest.contracts import Problems, describe_columns, new_spelling
from qpv_geo.ingest.text_table import TextTable
from qpv_geo.sources.catalogue import Source, Zone
from qpv_geo.sources.raw import to_add
from qpv_geo.toml_file import read_toml

_DECLARED = read_toml(Path(__file__).with_name("recognition.toml"))
# Known spellings of the key column in lower case, with the kinds of zones that each admits (None: any), the
# preferred first among columns whose codes are unique.
KEYS: Mapping[str, frozenset[Zone] | None] = dict.fromkeys(_DECLARED.pop("keys")) | {
    key: frozenset({cast("Zone", zone)}) for zone, declared in _DECLARED.items() for key in declared["keys"]
}

# The QPV of a larger zone taken together: the code of that zone and this suffix.
TOGETHER = re.compile(r"(?P<zone>[0-9A-Z]+)_QPV(?:24)?", re.IGNORECASE)
_ALL_QPV = "00"
_TOGETHER_OF: Mapping[Zone, Zone] = {
    "epci": "ensemble_qpv_epci",
    "departement": "ensemble_qpv_departement",
    "region": "ensemble_qpv_region",
}
_INTERVAL = re.compile(r"^\[[^/\]\n]*/[^/\]\n]*\]$", re.MULTILINE)
_EXAMPLES = 3
_HALF = 0.5


@dataclass(frozen=True)
class ZoneTable:
    """Rows of a table that are about one kind of zone.

    `key` is the column of the codes, `kind` what they look like. A row's code is that of the EPCI, department
    or region for its QPV taken together. If `intervals`, cells are confidence intervals of the estimates in
    another table.
    """

    text: TextTable
    zone: Zone
    kind: CodeKind
    key: str
    codes: "pd.Series[str]"
    intervals: bool


def recognise(table: TextTable, epci: Collection[str], problems: Problems) -> list[ZoneTable]:
    """Tell which zones a table is about; the row of all QPV of France, below others, is a table of its own.

    `epci`, the official list if it was read, decides where codes may be of EPCI or of IRIS. Raises
    `ContractError`, which says what decides, if no column is a known key or its codes leave the kind of zone
    open.
    """
    key = find_key(table, problems.source)
    if key is None:
        spelled = [str(column) for column in table.cells.columns]
        expected = "a key column such as 'codeGeo', 'codeQPV', 'CODGEO', 'IRIS' or 'codeDepcom'"
        problems.add(expected, describe_columns(spelled, list(KEYS)))
        line = to_add(f"sources.{problems.source.id}", f"key = {new_spelling(spelled, list(KEYS))}")
        problems.advise(f"if the producer renamed it, {line}")
        problems.raise_if_any()
    codes = table.cells[str(key)]
    together = codes.str.fullmatch(TOGETHER.pattern, case=False).to_numpy(dtype=bool)
    bare = codes.where(~together, codes.str.replace(r"(?i)_QPV(24)?$", "", regex=True))
    all_qpv = (bare == _ALL_QPV).to_numpy(dtype=bool)
    others = ~all_qpv
    # Zone and kind are those of the rows, below.
    whole = ZoneTable(table, "qpv", QPV_2024, str(key), bare, _holds_intervals(table, str(key)))
    tables = []
    if others.any():
        are_together = together[others].sum() * 2 > others.sum()
        # Nothing tells whether a mixed table is about zones or about their QPV taken together.
        mixed = others & (together != are_together)
        expected = "codes that all end with '_QPV24' or '_QPV', or none"
        problems.add_rows(expected, table.where[mixed], map(repr, codes[mixed]), column=str(key))
        problems.raise_if_any()
        kinds = {zone: KINDS[zone] for zone in _TOGETHER_OF} if are_together else KINDS
        zone, kind = _zone_of(bare[others], whole, kinds, epci, problems)
        zone = _TOGETHER_OF[zone] if are_together else zone
        tables.append(replace(rows_of(whole, others), zone=zone, kind=kind))
    if all_qpv.any():
        kind = CodeKind("code of all QPV", _ALL_QPV, _ALL_QPV)
        tables.append(replace(rows_of(whole, all_qpv), zone="ensemble_qpv", kind=kind))
    return tables


def find_key(table: TextTable, source: Source) -> str | None:
    """Return the known key column whose codes are unique; the first known one if none is, or None."""
    known = known_keys(table.cells.columns, source)
    unique = (column for column in known if table.cells[column].is_unique)
    return next(unique, known[0] if known else None)


def known_keys(columns: Collection[str], source: Source) -> list[str]:
    """Return the columns with a known spelling of the key, in order of preference: the source's own first."""
    by_lower = {str(column).lower(): str(column) for column in columns}
    return [by_lower[name] for name in (*map(str.lower, source.key), *KEYS) if name in by_lower]


def rows_of(table: ZoneTable, rows: NDArray[np.bool_]) -> ZoneTable:
    """Return a table with some of its rows."""
    if rows.all():
        return table
    text = replace(
        table.text, cells=table.text.cells[rows].reset_index(drop=True), where=table.text.where[rows]
    )
    return replace(table, text=text, codes=table.codes[rows].reset_index(drop=True))


def _holds_intervals(table: TextTable, key: str) -> bool:
    """Tell whether a cell reads as ``[24,0/28,4]``."""
    columns = (table.cells[column].tolist() for column in table.cells.columns if column != key)
    # One search over a column costs a hundredth of one search in each cell.
    return any(_INTERVAL.search("\n".join(cells)) for cells in columns)


def _zone_of(
    codes: "pd.Series[str]",
    table: ZoneTable,
    kinds: Mapping[Zone, CodeKind],
    epci: Collection[str],
    problems: Problems,
) -> tuple[Zone, CodeKind]:
    """Return the kind of zone whose form most codes have; the contract deals with codes of another form."""
    counts = {zone: int(codes.str.fullmatch(kind.pattern).sum()) for zone, kind in kinds.items()}
    most = max(counts.values())
    is_old = "qpv" in kinds and int(codes.str.fullmatch(QPV_2015.pattern).sum()) > most
    named = KEYS.get(table.key.lower())
    candidates = list(named or ()) or [zone for zone, count in counts.items() if count == most]
    if is_old:
        candidates = ["qpv"]
    if most and {"epci", "iris"} <= set(candidates) and epci:
        candidates = ["epci" if codes.isin(epci).mean() > _HALF else "iris"]
    if len(candidates) > 1:
        named_so = [zone for zone in candidates if _is_named(zone, table.text.name)]
        # Names of the thematic files all say `qp24`, those of communes among them.
        candidates = [zone for zone in named_so if zone != "qpv"] or named_so or candidates
    own = problems.source.zone
    if len(candidates) > 1 and not most and own in kinds:
        # All codes are damaged: the contract says how.
        candidates = [own]
    if len(candidates) > 1:
        shown = ", ".join(map(repr, codes.head(_EXAMPLES)))
        problems.add(
            "codes, or a name, that say which zones the table is about",
            f"codes such as {shown}, which may be of {' or '.join(candidates)}, in {table.text.name!r}",
            column=table.key,
        )
        problems.raise_if_any()
    zone = candidates[0]
    return zone, QPV_2015 if is_old else KINDS[zone]


def _is_named(zone: Zone, name: str) -> bool:
    """Tell whether a word of a member's or sheet's name is that of a kind of zone."""
    words = re.split(r"[^0-9A-Za-zÀ-ÿ]+|(?<=[a-z])(?=[A-Z])", name)
    return any(re.fullmatch(_DECLARED[zone]["names"], word, re.IGNORECASE) for word in words if word)
