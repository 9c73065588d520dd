"""INSEE's tables in long form, one row per zone and measure, turned into a wide table per kind of zone."""

from dataclasses import replace

import numpy as np
import pandas as pd

from qpv_geo.ingest.contracts import Problems
from qpv_geo.ingest.text_table import TextTable
from qpv_geo.sources.catalogue import Source

_ZONE, _KIND, _VALUE = "GEO", "GEO_OBJECT", "OBS_VALUE"
_PERIOD, _CONFIDENTIALITY, _POWER = "TIME_PERIOD", "CONF_STATUS", "UNIT_MULT"
_MEASURE = r"(?!UNIT_)\w+_MEASURE"
# Kinds of zones that are read; the files hold employment areas, urban units and others besides.
_KINDS = ("COM", "EPCI", "DEP", "REG", "FRANCE", "FM", "METRO")
_CONFIDENTIAL = "c"


def is_long(table: TextTable) -> bool:
    """Tell a table in long form by its columns."""
    return {_ZONE, _KIND, _VALUE} <= set(map(str.upper, table.cells.columns))


def widen(table: TextTable, source: Source) -> list[TextTable]:
    """Return one table per kind of zone, named ``<table>, <kind>``: a row per zone, a column per measure.

    Only the ``TIME_PERIOD`` of the source's vintage is read. A value that ``CONF_STATUS`` says is
    confidential (``C``) becomes INSEE's mark ``c``.

    Raises
    ------
    ContractError
        If the column of measures is missing, values are scaled by a power of ten, or a zone has a measure
        twice.
    """
    problems = Problems(table.label, source)
    cells = table.cells.rename(columns=str.upper)
    measures = [column for column in cells.columns if pd.Series([column]).str.fullmatch(_MEASURE)[0]]
    if len(measures) != 1:
        problems.add("one column of measures, such as 'FILOSOFI_MEASURE'", ", ".join(cells.columns))
        problems.raise_if_any()
    chosen = cells[_KIND].isin(_KINDS).to_numpy()
    if _PERIOD in cells:
        chosen = chosen & (cells[_PERIOD] == source.vintage).to_numpy()
    if _POWER in cells:
        scaled = chosen & ~cells[_POWER].isin(["", "0"]).to_numpy()
        problems.add_rows("values as they are (UNIT_MULT 0)", table.where[scaled], cells.loc[scaled, _POWER])
    rows = cells[chosen].assign(_where=table.where[chosen])
    if not chosen.any():
        found = ", ".join(cells[_PERIOD].unique()) if _PERIOD in cells else "none"
        problems.add(f"rows of communes, EPCI, departments or regions of {source.vintage}", found)
    twice = rows.duplicated([_KIND, _ZONE, measures[0]]).to_numpy()
    problems.add_rows("each measure of a zone once", rows.loc[twice, "_where"], rows.loc[twice, measures[0]])
    problems.raise_if_any()
    if _CONFIDENTIALITY in rows:
        hidden = rows[_CONFIDENTIALITY].str.upper() == "C"
        rows[_VALUE] = rows[_VALUE].where(~hidden, _CONFIDENTIAL)
    return [_wide(table, str(kind), group, measures[0]) for kind, group in rows.groupby(_KIND, sort=False)]


def _wide(table: TextTable, kind: str, rows: pd.DataFrame, measure: str) -> TextTable:
    wide = rows.set_index([_ZONE, measure])[_VALUE].unstack(fill_value="").reset_index()  # noqa: PD010 - no aggregation
    wide.columns.name = None
    first = rows.drop_duplicates(_ZONE).set_index(_ZONE)["_where"]
    where = first.reindex(wide[_ZONE]).to_numpy(dtype=object)
    return replace(table, name=f"{table.name}, {kind}", cells=wide.astype("str"), where=np.asarray(where))
