"""What each column of a table of statistics is: known indicator, unknown measure, note, or description."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from qpv_geo.ingest.contracts import Problems, describe_columns, either, new_spelling
from qpv_geo.ingest.recognition import KEYS, ZoneTable
from qpv_geo.ingest.registry import Indicator, Registry
from qpv_geo.sources.catalogue import Source
from qpv_geo.sources.raw import to_add

# Columns that name a zone, say where it is or list what it holds, in upper case.
_DESCRIPTIVE = re.compile(
    r"(LIB|NOM_|LAB_|LISTE|CODE)\w*|NOM|GRD_QUART|(TYP|MODIF)_IRIS|GEO_OBJECT|(UU|TUU|AAV|TAAV|ZE|BV)\d{4}"
)
_NOTE = re.compile(r"(\w+_)?NOTE(_\w+|\d{2})?")


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
    notes = [column for column in spelled if _NOTE.fullmatch(column.upper())]
    descriptive = {spelling.upper() for spellings in source.columns.values() for spelling in spellings}
    descriptive |= {key.upper() for key in KEYS} | {table.key.upper(), *classifying, *map(str.upper, notes)}
    unknown = tuple(
        column
        for upper, column in by_upper.items()
        if column not in known and upper not in descriptive and not _DESCRIPTIVE.fullmatch(upper)
    )
    return Columns(known, unknown, _blocks(spelled, [*known, *unknown], notes))


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


def _blocks(spelled: Sequence[str], measures: Collection[str], notes: Sequence[str]) -> dict[str, str]:
    """Return the note of each measuring column: a single one is about the whole table.

    Of several, each closes its block of columns, as in INSEE's tables of several producers.
    """
    if len(notes) == 1:
        return dict.fromkeys(measures, notes[0])
    blocks: dict[str, str] = {}
    open_block: list[str] = []
    for column in spelled:
        if column in notes:
            blocks |= dict.fromkeys(open_block, column)
            open_block = []
        elif column in measures:
            open_block.append(column)
    return blocks
