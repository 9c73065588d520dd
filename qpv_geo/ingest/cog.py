"""The official geographic code (COG): communes, and which EPCI they belong to."""

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from qpv_geo.characters import forbidden_character
from qpv_geo.errors import SourceContentError
from qpv_geo.ingest.attributes import clean_text
from qpv_geo.ingest.characters import check_characters, check_labels
from qpv_geo.ingest.codes import COMMUNE, DEPARTEMENT, EPCI, REGION
from qpv_geo.ingest.contracts import Names, Problems, code_column, find_columns, validate
from qpv_geo.ingest.text import decode
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import read_member
from qpv_geo.sources.raw import RawFile

# How JSON writes characters that XML cannot hold, most often.
_ESCAPED = re.compile(r"\\u(?:00[01]|[dD][89a-fA-F]|[fF]{3}[eEfF])")
_CURRENT = "commune-actuelle"

_MEMBERS = pa.DataFrameSchema(
    {
        "siren_epci": code_column(EPCI),
        "nom_epci": pa.Column(),
        "type_epci": pa.Column(),
        "insee_com": code_column(COMMUNE, key=True),
        "nom_com": pa.Column(),
    }
)
_COMMUNES = pa.DataFrameSchema(
    {
        "insee_com": code_column(COMMUNE, key=True),
        "nom_com": pa.Column(),
        # The overseas collectivities have no region, and the COG gives theirs as department.
        "insee_dep": code_column(DEPARTEMENT, nullable=True),
        "insee_reg": code_column(REGION, nullable=True),
        "type": pa.Column(),
    }
)


def read_epci_members(raw: RawFile, settings: Settings) -> pd.DataFrame:
    """Read which communes each EPCI has.

    Returns
    -------
    DataFrame
        ``siren_epci``, ``nom_epci``, ``type_epci``, ``insee_com``, ``nom_com``; one row per commune.

    Raises
    ------
    SourceContentError
        If the file is not whole JSON.
    ContractError
        If a field is missing, a code is not one, or a commune is in two EPCI.
    """
    label, entries = _read(raw, settings)
    problems = Problems(label, raw.source)
    groups = _frame(entries, raw, problems)
    rows = []
    for place, group in zip(_names(groups), groups.to_dict("records"), strict=True):
        members = group["membres"]
        if not isinstance(members, list) or not all(
            isinstance(member, dict) and {"code", "nom"} <= member.keys() for member in members
        ):
            problems.add(
                "a list of communes with 'code' and 'nom'", str(members)[:60], column="membres", where=place
            )
            continue
        rows += [
            (place, group["code"], group["nom"], group["type"], member["code"], member["nom"])
            for member in members
        ]
    problems.raise_if_any()
    table = pd.DataFrame(rows, columns=["", *_MEMBERS.columns])
    where = table.pop("").to_numpy(dtype=object)
    for column in ("nom_epci", "nom_com"):
        check_labels(table[column], where, problems, column)
    table = table.apply(clean_text)
    validate(table, _MEMBERS, problems, where)
    problems.raise_if_any()
    return table


def read_cog_communes(raw: RawFile, settings: Settings) -> pd.DataFrame:
    """Read the current communes; delegated and associated ones and municipal districts are left out.

    Returns
    -------
    DataFrame
        ``insee_com``, ``nom_com``, ``insee_dep``, ``insee_reg``, ``type``.

    Raises
    ------
    SourceContentError
        If the file is not whole JSON.
    ContractError
        If a field is missing, a code is not one, or a code is there twice.
    """
    label, entries = _read(raw, settings)
    problems = Problems(label, raw.source)
    table = _frame(entries, raw, problems)
    where = _names(table)
    current = (table["type"] == _CURRENT).to_numpy()
    if not current.any():
        problems.add(f"entries of type {_CURRENT!r}", "none", column="type")
        problems.raise_if_any()
    table = table[current].reset_index(drop=True)
    names = {"code": "insee_com", "nom": "nom_com", "departement": "insee_dep", "region": "insee_reg"}
    table = table.rename(columns=names)[list(_COMMUNES.columns)]
    check_labels(table["nom_com"], where[current], problems, "nom_com")
    table = table.apply(clean_text)
    validate(table, _COMMUNES, problems, where[current])
    problems.raise_if_any()
    return table


def _read(raw: RawFile, settings: Settings) -> tuple[str, list[dict[str, Any]]]:
    member = read_member(raw, raw.source.member, settings)
    text, _ = decode(member.data, raw.label)
    try:
        entries = json.loads(text, strict=False)
    except json.JSONDecodeError as error:
        raise SourceContentError(
            f"{raw.label}: expected whole JSON, found one that is truncated or damaged ({error}). Run again "
            "to download it anew"
        ) from error
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise SourceContentError(f"{raw.label}: expected a list of objects, found {text[:40]!r}…")
    if forbidden_character(text) or _ESCAPED.search(text):
        _refuse_characters(entries, Problems(raw.label, raw.source))
    return raw.label, entries


def _refuse_characters(entries: list[dict[str, Any]], problems: Problems) -> None:
    """Raise for text that cannot be published, before any of it becomes a column."""
    texts = [(number, text) for number, entry in enumerate(entries, start=1) for text in _texts(entry)]
    where = np.array([f"entry {number}" for number, _ in texts], dtype=object)
    check_characters([text for _, text in texts], where, problems)
    problems.raise_if_any()


def _texts(value: object) -> Iterator[str]:
    """Yield every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _names(table: pd.DataFrame) -> Names:
    return np.array([f"entry {n} ({code})" for n, code in enumerate(table["code"], start=1)], dtype=object)


def _frame(entries: list[dict[str, Any]], raw: RawFile, problems: Problems) -> pd.DataFrame:
    """Return the declared fields of the entries under their declared names."""
    frame = pd.DataFrame(entries)
    fields = find_columns([str(column) for column in frame.columns], raw.source.columns, problems)
    problems.raise_if_any()
    return pd.DataFrame({name: frame[field] for name, field in fields.items()})
