"""The official geographic code (COG): which communes each EPCI has."""

import json
from typing import Any

import pandas as pd
import pandera.pandas as pa

from qpv_geo.characters import printable
from qpv_geo.errors import SourceContentError
from qpv_geo.ingest.cell_text import check_characters, check_labels, clean_text, decode
from qpv_geo.ingest.codes import COMMUNE, EPCI
from qpv_geo.ingest.contracts import Problems, code_column, find_columns, validate
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import read_member
from qpv_geo.sources.raw import RawFile, unreadable

_MEMBERS = pa.DataFrameSchema(
    {
        "siren_epci": code_column(EPCI),
        "nom_epci": pa.Column(),
        "type_epci": pa.Column(),
        "insee_com": code_column(COMMUNE, key=True),
        "nom_com": pa.Column(),
    }
)


def read_epci_members(raw: RawFile, settings: Settings) -> pd.DataFrame:
    """Read which communes each EPCI has, one row per commune.

    Columns: ``siren_epci``, ``nom_epci``, ``type_epci``, ``insee_com``, ``nom_com``.
    """
    entries = _read(raw, settings)
    problems = Problems(raw.label, raw.source)
    available = list(dict.fromkeys(name for entry in entries for name in entry))
    fields = find_columns(available, raw.source.columns, problems)
    problems.raise_if_any()
    rows = []
    for number, entry in enumerate(entries, start=1):
        code, name, kind, members = (entry.get(fields[key]) for key in ("code", "nom", "type", "membres"))
        place = f"entry {number} ({printable(str(code))})"
        if isinstance(members, list) and all(
            isinstance(member, dict) and {"code", "nom"} <= member.keys() for member in members
        ):
            rows += [(place, code, name, kind, member["code"], member["nom"]) for member in members]
        else:
            expected = "a list of communes with 'code' and 'nom'"
            problems.add(expected, printable(str(members)[:60]), column="membres", where=place)
    problems.raise_if_any()
    table = pd.DataFrame(rows, columns=["", *_MEMBERS.columns], dtype=object)
    where = table.pop("").to_numpy()
    for column in table:
        check_characters(table[column], where, problems, str(column))
    problems.raise_if_any()
    for column in ("nom_epci", "nom_com"):
        check_labels(table[column], where, problems, column)
    table = table.apply(clean_text)
    validate(table, _MEMBERS, problems, where)
    problems.raise_if_any()
    return table


def _read(raw: RawFile, settings: Settings) -> list[dict[str, Any]]:
    text, _ = decode(read_member(raw, raw.source.member, settings).data, raw.label)
    try:
        entries = json.loads(text, strict=False)
    except (ValueError, RecursionError) as error:
        raise unreadable(
            raw, f"{raw.label}: expected whole JSON, found one that is truncated or damaged ({error})"
        ) from error
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise SourceContentError(f"{raw.label}: expected a list of objects, found {text[:40]!r}…")
    return entries
