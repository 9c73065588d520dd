"""INSEE's CSV files: semicolons, decimal commas, either encoding, and a dictionary beside them."""

import csv
import io

import numpy as np
import pandas as pd

from qpv_geo.errors import ContractError
from qpv_geo.ingest.contracts import Names, Problems, refuse_doubled
from qpv_geo.ingest.text import decode
from qpv_geo.ingest.text_table import TextTable
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import Member, find_member
from qpv_geo.sources.raw import RawFile, catalogue_entry

_SEPARATOR = ";"
_DICTIONARY = ("COD_VAR", "LIB_VAR", "COD_MOD")


def read_delimited(raw: RawFile, member: Member) -> TextTable:
    """Read a CSV file as text.

    Parameters
    ----------
    raw
        Where the member comes from, for the messages.
    member
        The file.

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
    (_, header), *records = _records(text, problems) or [(1, [""])]
    columns = [column.strip() for column in header]
    if len(columns) == 1:
        problems.add(f"columns separated by {_SEPARATOR!r}", f"a single one, {columns[0]!r}")
    refuse_doubled([column for column in columns if column], problems)
    ragged = [(line, cells) for line, cells in records if len(cells) != len(columns)]
    problems.add_rows(
        f"{len(columns)} cells in each row",
        [f"line {line}" for line, _ in ragged],
        [f"{len(cells)}" for _, cells in ragged],
    )
    if not records:
        problems.add("at least one row under the header", "none")
    problems.raise_if_any()
    cells = pd.DataFrame([cells for _, cells in records], dtype="str")
    cells = cells.apply(lambda column: column.str.strip())
    cells.columns = pd.Index(columns)
    where = np.array([f"line {line}" for line, _ in records], dtype=object)
    cells = _without_nameless(cells, where, problems)
    remarks = () if encoding == "UTF-8" else (f"texte en {encoding} et non en UTF-8 : converti",)
    return TextTable(member.name, label, cells, where, remarks=remarks)


def _records(text: str, problems: Problems) -> list[tuple[int, list[str]]]:
    """Return header and rows with the number of the line on which each ends; blank rows are left out."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_SEPARATOR, strict=True)
    records: list[tuple[int, list[str]]] = []
    try:
        records.extend((reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells))
    except csv.Error as error:
        problems.add("a CSV file whose quotes are closed", str(error), where=f"line {reader.line_num}")
    return records


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


def read_dictionary(
    raw: RawFile, settings: Settings
) -> tuple[dict[str, str], frozenset[str], tuple[str, ...]]:
    """Read the producer's dictionary, a CSV file with ``COD_VAR``, ``LIB_VAR``, ``COD_MOD``, ``LIB_MOD``.

    A dictionary only gives labels: one that is absent or has another shape is a remark, not an error.

    Returns
    -------
    labels : dict
        Label by variable, in upper case.
    categories : frozenset
        Variables, in upper case, whose values (``COD_MOD``) it lists.
    remarks : tuple of str
        In French.
    """
    if raw.source.dictionary is None:
        return {}, frozenset(), ()
    member = find_member(raw, raw.source.dictionary, settings)
    if member is None:
        return {}, frozenset(), ("dictionnaire absent de l'archive",)
    try:
        cells = read_delimited(raw, member).cells.rename(columns=str.upper)
    except ContractError as error:
        return {}, frozenset(), (f"dictionnaire illisible ({error})",)
    if lacking := [column for column in _DICTIONARY if column not in cells.columns]:
        remark = f"dictionnaire sans colonne {', '.join(lacking)} ({catalogue_entry(raw.source)})"
        return {}, frozenset(), (remark,)
    variables = cells["COD_VAR"].str.upper()
    labels = dict(zip(variables[::-1], cells["LIB_VAR"][::-1], strict=True))
    return labels, frozenset(variables[cells["COD_MOD"] != ""]), ()
