"""The official correspondence table: which QPV of 2015 each QPV of 2024 comes from."""

import pandas as pd
import pandera.pandas as pa

from qpv_geo.checks import Check
from qpv_geo.ingest.attributes import clean_text
from qpv_geo.ingest.codes import QPV_2015, QPV_2024, CodeKind
from qpv_geo.ingest.contracts import Problems, code_column, describe_columns, either, new_spelling, validate
from qpv_geo.ingest.delimited import read_delimited
from qpv_geo.ingest.text import report_reading
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import read_member
from qpv_geo.sources.raw import RawFile, to_add

_NEW, _OLD = "QP2024", "QP2015"
_SEVERAL_2015 = CodeKind(QPV_2015.name, QPV_2015.pattern, "QP025003, QP025004", several=True)


def read_correspondence(raw: RawFile, settings: Settings) -> tuple[pd.DataFrame, tuple[Check, ...]]:
    """Read the table and hold it to its contract.

    The QPV of 2015 are in one column that lists them, or in several columns of one code each: every declared
    column that is there is read.

    Parameters
    ----------
    raw
        CSV, bare or in an archive.
    settings
        Limits of archives.

    Returns
    -------
    pairs : DataFrame
        ``code_qp_2024``, ``code_qp_2015``: one row per pair, None for a QPV without partner.
    checks : tuple of Check
        What was controlled.

    Raises
    ------
    SourceContentError
        If the file is not text.
    ContractError
        If a column is missing or a code is not one of its year; the message lists every problem.
    """
    table = read_delimited(raw, read_member(raw, raw.source.member, settings))
    problems = Problems(table.label, raw.source)
    spelled = [str(column) for column in table.cells.columns]
    new = _present(spelled, _NEW, problems)[:1]
    old = _present(spelled, _OLD, problems)
    problems.raise_if_any()
    cells = table.cells[[*new, *old]].apply(clean_text)
    rules = {column: code_column(QPV_2024, nullable=True) for column in new}
    rules |= {column: code_column(_SEVERAL_2015, nullable=True) for column in old}
    validate(cells, pa.DataFrameSchema(rules), problems, table.where, as_published=table.cells)
    empty = cells.isna().all(axis=1).to_numpy()
    problems.add_rows("a code of a QPV", table.where[empty], ["none"] * int(empty.sum()))
    problems.raise_if_any()
    pairs = _pairs(cells[new[0]], cells[old])
    found = f"{pairs['code_qp_2024'].nunique()} QPV 2024, {pairs['code_qp_2015'].nunique()} QPV 2015"
    return pairs, (report_reading(table.remarks, found, raw.source.id),)


def _present(spelled: list[str], name: str, problems: Problems) -> list[str]:
    """Return the columns that are there of those that are declared, whatever their case."""
    declared = problems.source.columns[name]
    by_folded = {column.casefold(): column for column in spelled}
    found = [by_folded[spelling.casefold()] for spelling in declared if spelling.casefold() in by_folded]
    if not found:
        problems.add(f"column {either(declared)}", describe_columns(spelled, declared))
        renamed = f"columns = {{ {name} = {new_spelling(spelled, declared)} }}"
        line = to_add(f"sources.{problems.source.id}", renamed)
        problems.advise(f"if the publisher renamed column {name!r}, {line}")
    return list(dict.fromkeys(found))


def _pairs(new: pd.Series, old: pd.DataFrame) -> pd.DataFrame:
    rows: list[tuple[str | None, str | None]] = []
    for code, predecessors in zip(new, old.itertuples(index=False, name=None), strict=True):
        codes = [part.strip() for cell in predecessors if cell for part in cell.split(",")]
        rows += [(code, predecessor) for predecessor in codes or [None]]
    return pd.DataFrame(list(dict.fromkeys(rows)), columns=["code_qp_2024", "code_qp_2015"], dtype=object)
