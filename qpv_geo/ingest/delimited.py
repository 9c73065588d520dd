"""INSEE's CSV files: semicolons, decimal commas, either encoding, and a dictionary beside them."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from qpv_geo.errors import ContractError
from qpv_geo.ingest.contracts import Names, Problems, refuse_doubled
from qpv_geo.ingest.text import decode
from qpv_geo.ingest.text_table import TextTable
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import Member, find_members
from qpv_geo.sources.raw import RawFile, catalogue_entry

_SEPARATOR = ";"
_DICTIONARY = ("COD_VAR", "LIB_VAR", "COD_MOD")


@dataclass(frozen=True)
class RowFilter:
    """Which rows of a national file are read.

    Attributes
    ----------
    column
        Accepted spellings of the column that decides, whatever their case.
    keeps
        Whether a cell of that column is wanted.
    wanted
        What is wanted, as error messages say it.
    """

    column: Sequence[str]
    keeps: Callable[[str], bool]
    wanted: str


@dataclass(frozen=True)
class Dictionary:
    """What a producer's dictionary says of the columns.

    Attributes
    ----------
    labels
        Label by variable, in upper case.
    categories
        Variables, in upper case, whose values (``COD_MOD``) it lists.
    remarks
        In French.
    """

    labels: dict[str, str]
    categories: frozenset[str]
    remarks: tuple[str, ...]


def read_delimited(raw: RawFile, member: Member, only: RowFilter | None = None) -> TextTable:
    """Read a CSV file as text.

    Parameters
    ----------
    raw
        Where the member comes from, for the messages.
    member
        The file.
    only
        Which rows are read; None for all of them.

    Raises
    ------
    SourceContentError
        If the file is empty, a web page, or not text in UTF-8 or Windows-1252.
    ContractError
        If there is no row, a column is there twice or has no name, or a row has not as many cells as the
        header (a truncated file ends with such a row).
    """
    label = raw.label if member.name == raw.path.name else f"{raw.label}, member {member.name}"
    text, encoding = decode(member.data, label)
    problems = Problems(label, raw.source)
    columns, records = _records(text, only, problems)
    if len(columns) == 1:
        problems.add(f"columns separated by {_SEPARATOR!r}", f"a single one, {columns[0]!r}")
    refuse_doubled([column for column in columns if column], problems)
    if not records and not problems:
        problems.add(only.wanted if only else "at least one row under the header", "none")
    problems.raise_if_any()
    cells = pd.DataFrame([cells for _, cells in records], dtype="str")
    cells = cells.apply(lambda column: column.str.strip())
    cells.columns = pd.Index(columns)
    where = np.array([f"line {line}" for line, _ in records], dtype=object)
    cells = _without_nameless(cells, where, problems)
    remarks = () if encoding == "UTF-8" else (f"texte en {encoding} et non en UTF-8 : converti",)
    return TextTable(member.name, label, cells, where, remarks=remarks)


def _records(
    text: str, only: RowFilter | None, problems: Problems
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header, and the wanted rows with the number of the line on which each ends.

    Blank rows are left out; a row that has not as many cells as the header is a problem.
    """
    rows = _rows(text, problems)
    _, header = next(rows, (1, [""]))
    columns = [column.strip() for column in header]
    position = _position(only, columns)
    records = []
    ragged = []
    for line, cells in rows:
        if len(cells) != len(columns):
            ragged.append((line, len(cells)))
        elif only is None or position is None or only.keeps(cells[position].strip()):
            records.append((line, cells))
    problems.add_rows(
        f"{len(columns)} cells in each row",
        [f"line {line}" for line, _ in ragged],
        [f"{count}" for _, count in ragged],
    )
    return columns, records


def _rows(text: str, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_SEPARATOR, strict=True)
    try:
        yield from ((reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells))
    except csv.Error as error:
        problems.add("a CSV file whose quotes are closed", str(error), where=f"line {reader.line_num}")


def _position(only: RowFilter | None, columns: list[str]) -> int | None:
    """Return where the column that decides is; None if there is none, which its reader will say."""
    upper = [column.upper() for column in columns]
    spellings = [spelling.upper() for spelling in only.column] if only else []
    return next((upper.index(spelling) for spelling in spellings if spelling in upper), None)


def _without_nameless(cells: pd.DataFrame, where: Names, problems: Problems) -> pd.DataFrame:
    """Drop the empty columns that a semicolon at the end of each line makes.

    Raises
    ------
    ContractError
        If a column without a name has a value.
    """
    nameless = np.array([column == "" for column in cells.columns])
    for position in np.flatnonzero(nameless).tolist():
        column = cells.iloc[:, position]
        filled = (column != "").to_numpy()
        problems.add_rows(
            "a name for each column that holds something",
            where[filled],
            column[filled].map(repr),
            column=f"column {position + 1}",
        )
    problems.raise_if_any()
    return cells.loc[:, ~nameless]


def read_dictionary(raw: RawFile, settings: Settings) -> Dictionary:
    """Read the producer's dictionary, a CSV file with ``COD_VAR``, ``LIB_VAR``, ``COD_MOD``, ``LIB_MOD``.

    An archive may hold one for each of its tables: all are read. A dictionary only gives labels: one that is
    absent or has another shape is a remark, not an error.
    """
    if raw.source.dictionary is None:
        return Dictionary({}, frozenset(), ())
    labels: dict[str, str] = {}
    categories: set[str] = set()
    remarks = []
    members = find_members(raw, raw.source.dictionary, settings)
    for member in members:
        try:
            cells = read_delimited(raw, member).cells.rename(columns=str.upper)
        except ContractError as error:
            remarks.append(f"dictionnaire illisible ({error})")
            continue
        if lacking := [column for column in _DICTIONARY if column not in cells.columns]:
            entry = catalogue_entry(raw.source)
            remarks.append(f"dictionnaire sans colonne {', '.join(lacking)} ({entry})")
            continue
        variables = cells["COD_VAR"].str.upper()
        labels = dict(zip(variables[::-1], cells["LIB_VAR"][::-1], strict=True)) | labels
        categories |= set(variables[cells["COD_MOD"] != ""])
    if not members:
        remarks.append("dictionnaire absent de l'archive")
    return Dictionary(labels, frozenset(categories), tuple(remarks))
