"""What each column of a table of statistics is: key, known indicator, unknown measure, or description."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from qpv_geo.ingest.contracts import Problems, describe_columns, either
from qpv_geo.ingest.registry import Indicator, Registry
from qpv_geo.ingest.text_table import TextTable
from qpv_geo.sources.catalogue import Zone
from qpv_geo.sources.raw import catalogue_entry

# Columns of INSEE's files that name a zone or say where it is, in upper case.
_DESCRIPTIVE = re.compile(
    r"(LIB|NOM_|LAB_)\w*|NOM|REG|DEP|COM|DEPCOM|EPCI|IRIS|(TYP|MODIF)_IRIS|GRD_QUART|UU\d{4}"
)


@dataclass(frozen=True)
class Columns:
    """The columns of one table, as they are spelled there.

    Attributes
    ----------
    key
        Column of the zones' codes.
    known
        Indicator of each column that the registry knows.
    unknown
        Columns that seem to measure something the registry does not know.
    masks
        Columns that say of which zones the values are not to be published.
    """

    key: str
    known: dict[str, Indicator]
    unknown: tuple[str, ...]
    masks: tuple[str, ...] = ()


def sort_columns(
    table: TextTable, zone: Zone, registry: Registry, problems: Problems, *, main: bool
) -> Columns:
    """Find out what each column is, whatever its case.

    Parameters
    ----------
    table
        The table.
    zone
        Kind of zone that it is about; producers spell an indicator differently from one to the other.
    registry
        What is expected of the source.
    problems
        Of this table.
    main
        Whether this is the source's main table, which must have the required indicators.

    Raises
    ------
    ContractError
        If the key, a mask or a required indicator is missing, or if neither the registry nor the producer's
        dictionary knows any column; with what resembles it in the table.
    """
    source = problems.source
    spelled = list(table.cells.columns)
    by_upper = {column.upper(): column for column in spelled}
    key = _first(source.key, by_upper)
    if key is None:
        problems.add(f"key column {either(source.key)}", describe_columns(spelled, source.key))
        problems.advise(
            f"if the producer renamed it, add the new spelling to 'key' in {catalogue_entry(source)}"
        )
    masks = _masks(source.masks, by_upper, problems)
    known: dict[str, Indicator] = {}
    indicators = registry.of_source(source.id)
    for indicator in indicators:
        spellings = indicator.spellings(zone, source.vintage)
        column = _first(spellings, by_upper)
        if column is not None:
            known[column] = indicator
        elif main and indicator.required and indicator.source == source.id:
            expected = f"column {either(spellings)} ({indicator.label})"
            problems.add(expected, describe_columns(spelled, spellings))
            problems.advise(
                f"if the producer renamed it, add the new spelling to 'codes' of [{indicator.id}] in "
                "qpv_geo/ingest/indicators.toml"
            )
    declared = {spelling.upper() for spellings in source.columns.values() for spelling in spellings}
    described = {str(key).upper(), *table.categories, *declared, *map(str.upper, masks)}
    unknown = tuple(
        column
        for upper, column in by_upper.items()
        if column not in known and upper not in described and not _DESCRIPTIVE.fullmatch(upper)
    )
    labelled = any(table.labels.get(column.upper()) for column in unknown)
    if main and indicators and not known and not labelled and not problems:
        problems.add(
            "at least one indicator of the registry, or of the dictionary", f"none among {', '.join(spelled)}"
        )
    problems.raise_if_any()
    return Columns(str(key), known, unknown, masks)


def _masks(declared: Iterable[str], by_upper: dict[str, str], problems: Problems) -> tuple[str, ...]:
    """Return the columns that mask values; without them, what must not be published cannot be told."""
    source = problems.source
    found = []
    for template in declared:
        spelling = template.replace("{yy}", source.vintage[-2:])
        column = by_upper.get(spelling.upper())
        if column is None:
            problems.add(f"column {spelling!r}", describe_columns(list(by_upper.values()), (spelling,)))
            problems.advise(f"if the producer renamed it, change 'masks' in {catalogue_entry(source)}")
        else:
            found.append(column)
    return tuple(found)


def _first(spellings: Iterable[str], by_upper: dict[str, str]) -> str | None:
    return next((by_upper[name.upper()] for name in spellings if name.upper() in by_upper), None)
