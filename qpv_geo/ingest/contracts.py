"""Contracts: what a table must satisfy, checked in full and then raised in one error.

The rules of a table are a pandera schema. This module runs it, hides pandera's wording, and says what is
wrong in the file's own terms: row or feature, column, value found, value expected, what to do.
"""

import difflib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray
from pandera.config import ValidationDepth, config_context

from qpv_geo.errors import ContractError
from qpv_geo.ingest.codes import CodeKind, explain
from qpv_geo.sources.catalogue import Source
from qpv_geo.sources.raw import catalogue_entry, remedy, to_add

# Names of the rows of a table, as the file's user finds them: ``line 12``, ``feature 3 (QN02503M)``.
Names = NDArray[np.object_]

_SHOWN_ROWS = 5
_SHOWN_COLUMNS = 40
_LONGEST_VALUE = 60

# What pandera calls its built-in rules, in the words of this project.
_BUILT_IN = {
    "not_nullable": "a value",
    "field_uniqueness": "a code that appears once in the file",
}


@dataclass(frozen=True)
class Defect:
    """What is wrong with one feature of a file: its name, the rest as `Problems.add` takes it."""

    feature: str
    column: str
    expected: str
    found: str
    nature: str


class Problems:
    """Collects everything that is wrong with one file, then raises once.

    What is wrong with features that were tolerated (`tolerate`) is not raised, but kept in `defects`.
    """

    def __init__(self, label: str, source: Source) -> None:
        self.label = label
        self.source = source
        # By column and what was expected of it: what was found in the first rows, and in how many.
        self._findings: dict[tuple[str, str], list[str]] = {}
        self._counts: Counter[tuple[str, str]] = Counter()
        self._advice: list[str] = []
        self._tolerated: set[str] = set()
        self.defects: list[Defect] = []

    def tolerate(self, features: Iterable[str]) -> None:
        """Name the features whose defects are kept in `defects`, not raised."""
        self._tolerated.update(features)

    def without_defect(self, features: Names) -> NDArray[np.bool_]:
        """Tell the features in which no tolerated defect was found so far."""
        defective = {defect.feature for defect in self.defects}
        return np.array([feature not in defective for feature in features], dtype=bool)

    def __bool__(self) -> bool:
        """Whether anything was found."""
        return bool(self._findings)

    def add(self, expected: str, found: str, *, column: str = "", where: str = "", nature: str = "") -> None:
        """Add one problem; `where` names the row or the feature, empty for the file as a whole."""
        self.add_rows(expected, [where], [found], column=column, nature=nature)

    def add_rows(
        self,
        expected: str,
        where: Iterable[str],
        found: Iterable[str],
        *,
        column: str = "",
        nature: str = "",
    ) -> None:
        """Add the rows that break one rule; the message cuts long lists and gives their count.

        `where` and `found` give the name of each row and what it has; `nature` is the same fault in a few
        French words, for what is published of a tolerated feature.
        """
        for place, value in zip(where, found, strict=True):
            if place in self._tolerated:
                words = nature or f"champ {column} absent ou mal formé"
                self.defects.append(Defect(place, column, expected, value, words))
                continue
            rows = self._findings.setdefault((column, expected), [])
            self._counts[column, expected] += 1
            # A file may have millions of them.
            if len(rows) < _SHOWN_ROWS:
                rows.append(f"{value} at {place}" if place else value)

    def merge(self, other: "Problems") -> None:
        """Add what was found in other columns of the same file."""
        self._findings |= other._findings  # noqa: SLF001 - another of the same class
        self._counts |= other._counts  # noqa: SLF001 - as above

    def _lines(self) -> list[str]:
        lines = []
        for (column, expected), rows in self._findings.items():
            subject = f"{column}: " if column else ""
            hidden = self._counts[column, expected] - len(rows)
            more = f"; and {hidden} more" if hidden else ""
            lines.append(f"{subject}expected {expected}; found {'; '.join(rows)}{more}")
        return lines

    def __str__(self) -> str:
        """Return every finding in one line."""
        return "; ".join(self._lines())

    def advise(self, what_to_do: str) -> None:
        """Add a sentence to the end of the message, in place of the general advice."""
        if what_to_do not in self._advice:
            self._advice.append(what_to_do)

    def raise_if_any(self) -> None:
        """Raise everything that was collected as one `ContractError`."""
        if not self._findings:
            return
        count = self._counts.total()
        general = remedy(
            self.source,
            f"compare the file with {self.source.page}; if the publisher changed it for good, change "
            f"{catalogue_entry(self.source)}, if not, tell the publisher",
        )
        lines = [f"{self.label}: {count} problem{'s' if count > 1 else ''}, nothing of it is used:"]
        lines += [f"  - {line}" for line in self._lines()]
        lines += [f"  What to do: {sentence}" for sentence in self._advice or [general]]
        raise ContractError("\n".join(lines))


def shown(value: object, kind: CodeKind | None = None) -> str:
    """Return a value as error messages quote it; a wrong code with what probably happened to it."""
    if not isinstance(value, str):
        return "nothing" if pd.isna(value) else str(value)  # type: ignore[call-overload]
    text = repr(value)
    if len(text) > _LONGEST_VALUE:
        text = f"{text[: _LONGEST_VALUE - 1]}…"
    reason = explain(value, kind) if kind else ""
    return f"{text} ({reason})" if reason else text


def code_column(kind: CodeKind, *, key: bool = False, nullable: bool = False) -> pa.Column:
    """Return the rule of a column of codes; a `key` is unique and never empty."""

    def matches(values: pd.Series) -> "pd.Series[bool]":
        return values.astype("str").str.fullmatch(kind.full_pattern)

    check = pa.Check(matches, error=kind.expected)
    return pa.Column(checks=check, nullable=nullable, unique=key, metadata={"kind": kind})


def validate(
    frame: pd.DataFrame,
    schema: pa.DataFrameSchema,
    problems: Problems,
    where: Names,
    *,
    as_published: pd.DataFrame | None = None,
) -> None:
    """Check a table against a schema and add every failure to `problems`.

    `frame` is indexed from 0. Messages quote the cells as the file has them, `as_published`.
    """
    try:
        # An environment variable switches pandera off; a contract is not something to switch off.
        with config_context(validation_enabled=True, validation_depth=ValidationDepth.SCHEMA_AND_DATA):
            schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        cells = frame if as_published is None else as_published
        for (column, check), cases in error.failure_cases.groupby(["column", "check"], sort=False):
            kind = (schema.columns[column].metadata or {}).get("kind")
            rows = cases["index"].astype("int64").to_numpy()
            found = [shown(value, kind) for value in cells[column].iloc[rows]]
            problems.add_rows(_BUILT_IN.get(check, check), where[rows], found, column=str(column))


def find_columns(
    available: Sequence[str], wanted: Mapping[str, Sequence[str]], problems: Problems
) -> dict[str, str]:
    """Return for each wanted column the spelling that the file has; add a problem for each missing one.

    The accepted spellings of each are in order of preference; case does not matter.
    """
    found = {}
    missing: list[str] = []
    spelled: dict[str, list[str]] = {}
    for column in available:
        spelled.setdefault(column.casefold(), []).append(column)
    for name, spellings in wanted.items():
        matches = [column for spelling in spellings for column in spelled.get(spelling.casefold(), ())]
        exact = next((spelling for spelling in spellings if spelling in matches), None)
        if matches:
            if exact is None and len(matches) > 1:
                problems.add("each column once", " and ".join(map(repr, matches)), column=name)
            found[name] = exact or matches[0]
            continue
        found_instead = describe_columns(available, spellings, everything=not missing)
        problems.add(f"column {either(spellings)}", found_instead)
        missing.append(name)
        renamed = f"columns = {{ {name} = {new_spelling(available, spellings)} }}"
        line = to_add(f"sources.{problems.source.id}", renamed)
        problems.advise(f"if the publisher renamed column {name!r}, {line}")
    return found


def either(spellings: Iterable[str]) -> str:
    """Return accepted spellings as error messages list them."""
    return " or ".join(map(repr, spellings))


def new_spelling(available: Sequence[str], spellings: Sequence[str]) -> str:
    """Return a TOML list of the column that most resembles one of the spellings, whatever its case."""
    return json.dumps([next(iter(_resembling(available, spellings)), "…")], ensure_ascii=False)


def _resembling(available: Sequence[str], spellings: Sequence[str]) -> list[str]:
    by_folded = {column.casefold(): column for column in available}
    near: dict[str, None] = {}
    for spelling in spellings:
        matches = difflib.get_close_matches(spelling.casefold(), list(by_folded), n=3, cutoff=0.6)
        near |= dict.fromkeys(by_folded[match] for match in matches)
    return list(near)


def describe_columns(available: Sequence[str], spellings: Sequence[str], *, everything: bool = True) -> str:
    """Say that a column is missing, what resembles it, and (unless an earlier problem did) what is there."""
    text = "no such column"
    if near := _resembling(available, spellings):
        text += f", perhaps renamed to {either(near)}"
    if everything:
        listed = ", ".join(map(repr, available[:_SHOWN_COLUMNS]))
        more = f" and {len(available) - _SHOWN_COLUMNS} more" if len(available) > _SHOWN_COLUMNS else ""
        text += f" (the file has {listed or 'no column'}{more})"
    return text


def refuse_doubled(columns: Sequence[str], problems: Problems) -> None:
    """Add a problem for each column that is there twice, whatever its case."""
    positions: dict[str, list[int]] = {}
    for position, column in enumerate(columns, start=1):
        positions.setdefault(column.casefold(), []).append(position)
    for same in positions.values():
        if len(same) > 1:
            places = ", ".join(map(str, same))
            problems.add(
                "each column once", f"{columns[same[0] - 1]!r} {len(same)} times, as columns {places}"
            )
