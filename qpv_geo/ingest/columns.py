"""What each column of a table of statistics is: key, known indicator, unknown measure, or description."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from qpv_geo.ingest.contracts import Problems, describe_columns, either
from qpv_geo.ingest.registry import Indicator
from qpv_geo.ingest.text_table import TextTable
from qpv_geo.sources.raw import catalogue_entry

# Columns of INSEE's files that name a zone or say where it is, in upper case.
_DESCRIPTIVE = re.compile(r"(LIB|NOM_|LAB_)\w*|NOM|REG|DEP|COM|EPCI|IRIS|TYP_IRIS")


@dataclass(frozen=True)
class Columns:
    """The columns of one table, as they are spelled there.

    Attributes
    ----------
    key
        Column of the zones' codes.
    known
        Indicator of each column that the registry knows.
    missing
        Indicators that the registry expects and the table has not.
    unknown
        Columns that seem to measure something the registry does not know.
    """

    key: str
    known: dict[str, Indicator]
    missing: tuple[Indicator, ...]
    unknown: tuple[str, ...]


def sort_columns(
    table: TextTable, zone: str, indicators: Iterable[Indicator], problems: Problems, *, main: bool
) -> Columns:
    """Find out what each column is, whatever its case.

    Parameters
    ----------
    table
        The table.
    zone
        Kind of zone that it is about; producers spell an indicator differently from one to the other.
    indicators
        What the registry expects of the source.
    problems
        Of this table.
    main
        Whether this is the source's main table, which must have the required indicators.

    Raises
    ------
    ContractError
        If the key, a required indicator or every indicator is missing, with what resembles it in the table.
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
    known: dict[str, Indicator] = {}
    missing = []
    for indicator in indicators:
        spellings = indicator.spellings(zone, source.vintage)
        column = _first(spellings, by_upper)
        if column is not None:
            known[column] = indicator
            continue
        missing.append(indicator)
        if main and indicator.required:
            expected = f"column {either(spellings)} ({indicator.label})"
            problems.add(expected, describe_columns(spelled, spellings))
            problems.advise(
                f"if the producer renamed it, add the new spelling to 'codes' of [{indicator.id}] in "
                "qpv_geo/ingest/indicators.toml"
            )
    if main and missing and not known and not problems:
        problems.add("at least one indicator of the registry", f"none among {', '.join(spelled)}")
    problems.raise_if_any()
    declared = {spelling.upper() for spellings in source.columns.values() for spelling in spellings}
    described = {str(key).upper(), *table.categories, *declared}
    unknown = tuple(
        column
        for upper, column in by_upper.items()
        if column not in known and upper not in described and not _DESCRIPTIVE.fullmatch(upper)
    )
    return Columns(str(key), known, tuple(missing), unknown)


def _first(spellings: Iterable[str], by_upper: dict[str, str]) -> str | None:
    return next((by_upper[name.upper()] for name in spellings if name.upper() in by_upper), None)
