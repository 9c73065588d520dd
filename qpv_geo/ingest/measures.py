"""Columns of a table of statistics as values with their status, the producers' notes, and intervals."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qpv_geo.ingest.contracts import Problems, describe_columns, either, new_spelling, shown
from qpv_geo.ingest.recognition import KEYS, ZoneTable
from qpv_geo.ingest.registry import Indicator, Registry
from qpv_geo.ingest.text_table import MARKS, Dictionary, TextTable, parse_intervals, parse_values
from qpv_geo.sources.catalogue import Source
from qpv_geo.sources.raw import to_add
from qpv_geo.statuses import OK, SECRET

# Notes of zones of which there is nothing to say; `so` where there is no value to explain.
_NOTHING = frozenset({"", "0", *MARKS})
_SECRET = re.compile(r"\bsecret\b", re.IGNORECASE)
_NOTE = re.compile(r"(\w+_)?NOTE")
_LAST_WORD = re.compile(r"\w+$")

_NUMBER = f"a number with a decimal comma, or one of the marks {', '.join(MARKS)}, or nothing"
# Columns that name a zone, say where it is or list what it holds, in upper case.
_DESCRIPTIVE = re.compile(
    r"(LIB|NOM_|LAB_|LISTE|CODE)\w*|NOM|GRD_QUART|(TYP|MODIF)_IRIS|GEO_OBJECT|(UU|TUU|AAV|TAAV|ZE|BV)\d{4}"
)
_COLUMN_NOTE = re.compile(r"(\w+_)?NOTE(_\w+|\d{2})?")


@dataclass(frozen=True)
class Columns:
    """The columns of one table, as they are spelled there.

    `known` gives the indicator of each that the registry knows, `unknown` those that seem to measure
    something else, and `notes`, by column, the one that says why its cells are blank.
    """

    known: dict[str, Indicator]
    unknown: tuple[str, ...]
    notes: dict[str, str]


def sort_columns(
    table: ZoneTable, registry: Registry, source: Source, classifying: Collection[str] = ()
) -> Columns:
    """Find out what each column is, whatever its case.

    `classifying` are variables, in upper case, whose values the producer's dictionary lists: they do not
    measure.
    """
    spelled = [str(column) for column in table.text.cells.columns]
    by_upper = {column.upper(): column for column in spelled}
    known: dict[str, Indicator] = {}
    for indicator in registry.of_source(source.family):
        # Two sources may hold the zones of one kind: the registry says which of them gives an indicator.
        owned = indicator.source_of(table.zone) == source.family
        spellings = map(str.upper, indicator.spellings(table.zone, source.vintage) if owned else ())
        if column := next((by_upper[name] for name in spellings if name in by_upper), None):
            known.setdefault(column, indicator)
    notes = [column for column in spelled if _COLUMN_NOTE.fullmatch(column.upper())]
    descriptive = {spelling.upper() for spellings in source.columns.values() for spelling in spellings}
    descriptive |= {key.upper() for key in KEYS} | {table.key.upper(), *classifying, *map(str.upper, notes)}
    unknown = tuple(
        column
        for upper, column in by_upper.items()
        if column not in known and upper not in descriptive and not _DESCRIPTIVE.fullmatch(upper)
    )
    # A single note is about the whole table; of several, as in INSEE's tables of several producers, each
    # closes its block.
    closing = pd.Series(spelled, index=spelled).where(lambda columns: columns.isin(notes)).bfill()
    if len(notes) == 1:
        closing[:] = notes[0]
    measuring = closing.reindex([*known, *unknown]).dropna()
    return Columns(known, unknown, dict(zip(map(str, measuring.index), measuring, strict=True)))


def require_columns(
    tables: Sequence[tuple[ZoneTable, Columns]], registry: Registry, problems: Problems
) -> None:
    """Add a problem for each required indicator that no table about the source's own zones has."""
    source = problems.source
    there = {indicator.id for _, columns in tables for indicator in columns.known.values()}
    spelled = [str(column) for table, _ in tables for column in table.text.cells.columns]
    for indicator in registry.of_source(source.family):
        if not indicator.required or indicator.source != source.family or indicator.id in there:
            continue
        spellings = indicator.spellings(source.zone, source.vintage)
        problems.add(f"column {either(spellings)} ({indicator.label})", describe_columns(spelled, spellings))
        codes = new_spelling(spelled, spellings)
        if source.zone != indicator.zones[0]:
            codes = f"{{ {source.zone} = {codes} }}"
        line = to_add(f"indicators.{indicator.id}", f"codes = {codes}")
        problems.advise(f"if the producer renamed it, {line}")


@dataclass
class MeasureColumn:
    """A measuring column; its arrays hold one cell per row of the table."""

    column: str
    """As the producer spells it."""
    indicator: Indicator | None
    """None if the registry does not know the column."""
    texts: NDArray[np.object_]
    """The cells, stripped."""
    value: NDArray[np.float64]
    status: NDArray[np.object_]
    remark: NDArray[np.object_]
    """What the producer says of the cell, or None."""
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    """Bounds of the confidence interval, NaN where there is none."""
    interval_file: str | None = None
    """Where the intervals stand, as layer ``statistiques`` names it."""

    @property
    def name(self) -> str:
        """What tells it from other measures of the same zones: its indicator, or its column."""
        return self.indicator.id if self.indicator else self.column.upper()


def read_measure(
    table: TextTable, column: str, indicator: Indicator | None, blank: str, problems: Problems
) -> MeasureColumn | None:
    """Read a column; None if the registry does not know it and it holds text without one number.

    Cells that are neither numbers nor marks, and values out of the indicator's bounds, go to the problems.
    `blank` is the status of an empty cell in this source.
    """
    texts = table.cells[column].to_numpy(dtype=object)
    values, statuses = parse_values(texts, blank)
    wrong = np.array([status is None for status in statuses.tolist()])
    if indicator is None and wrong.any() and not (statuses == OK).any():
        return None
    rules = {_NUMBER: wrong}
    if indicator is not None:
        unit = f" {indicator.unit}".rstrip()
        rules[f"at least {indicator.minimum:g}{unit}"] = values < indicator.minimum
        rules[f"at most {indicator.maximum:g}{unit}"] = values > indicator.maximum
        if indicator.whole:
            whole = ~np.isfinite(values) | (values % 1 == 0)
            rules[f"a whole number of {indicator.unit}"] = ~whole
    for expected, broken in rules.items():
        if broken.any():
            problems.add_rows(expected, table.where[broken], map(shown, texts[broken]), column=column)
    remarks, bounds = np.full(len(texts), None, dtype=object), np.full((2, len(texts)), np.nan)
    return MeasureColumn(column, indicator, texts, values, statuses, remarks, *bounds)


def explain_blanks(
    measures: Sequence[MeasureColumn], table: TextTable, notes: Mapping[str, str], dictionary: Dictionary
) -> None:
    """Write what the notes say beside the cells that they are about, into the measures.

    A note beside a blank is its reason, and one that names statistical secrecy gives the status ``secret``. A
    note beside a value is a caution: the value stays. `notes` gives the note of each measuring column,
    `dictionary` the words of its codes.
    """
    by_note = {
        note: _explanations(table.cells[note].to_numpy(dtype=object), note, dictionary)
        for note in set(notes.values())
    }
    for measure in (measure for measure in measures if measure.column in notes):
        words = by_note[notes[measure.column]]
        noted = np.array([text is not None for text in words.tolist()])
        measure.remark[noted] = words[noted]
        secret = np.array([bool(text and _SECRET.search(text)) for text in words])
        measure.status[(measure.texts == "") & secret & (measure.status != OK)] = SECRET


def _explanations(codes: np.ndarray, note: str, dictionary: Dictionary) -> np.ndarray:
    """Return the words of each row's note, None where it says nothing.

    They are those of the dictionary's only note, if it is spelled otherwise.
    """
    words = dictionary.modalities.get(note.upper(), {})
    named = [values for name, values in dictionary.modalities.items() if _NOTE.match(name)]
    if not words and len(named) == 1:
        (words,) = named
    texts = {
        code: f"{note} = {code} : {words.get(code, 'motif que le dictionnaire du producteur ne donne pas')}"
        for code in set(codes)
        if code.lower() not in _NOTHING
    }
    return np.array([texts.get(code) for code in codes], dtype=object)


def add_intervals(
    table: ZoneTable,
    estimates: ZoneTable,
    measures: list[MeasureColumn],
    faults: dict[str, Problems],
    source: Source,
) -> list[str]:
    """Give each measure the bounds of its intervals, even where the estimate itself is withheld.

    A measure whose interval cannot be read, or does not hold its estimate, leaves `measures` for `faults`.
    `estimates` is the table of the estimates, about the same kind of zone. Returns remarks in French.
    """
    rows = pd.Index(table.codes).get_indexer(pd.Index(estimates.codes))
    there = rows >= 0
    columns = {str(column).upper(): str(column) for column in table.text.cells.columns}
    remarks = []
    for measure in list(measures):
        # INSEE put the label before one code by mistake.
        ending = (one for one in columns.values() if _LAST_WORD.findall(one) == [measure.column])
        column = columns.get(measure.column.upper()) or next(ending, None)
        if column is None:
            continue
        if column.upper() != measure.column.upper():
            remarks.append(f"colonne {column!r} de {table.text.name} lue comme celle de {measure.column}")
        low, high, wrong = parse_intervals(table.text.cells[column].to_numpy(dtype=object))
        problems = Problems(table.text.label, source)
        found = map(shown, table.text.cells.loc[wrong, column])
        problems.add_rows("an interval such as [24,0/28,4]", table.text.where[wrong], found, column=column)
        measure.low[there], measure.high[there] = low[rows[there]], high[rows[there]]
        measure.interval_file = table.text.name
        with np.errstate(invalid="ignore"):
            outside = np.flatnonzero((measure.value < measure.low) | (measure.value > measure.high))
        problems.add_rows(
            "an estimate inside its interval",
            estimates.text.where[outside],
            [f"{measure.texts[n]!r} outside [{measure.low[n]:g}/{measure.high[n]:g}]" for n in outside],
            column=measure.column,
        )
        if problems:
            faults[measure.column] = problems
            measures.remove(measure)
    return remarks
