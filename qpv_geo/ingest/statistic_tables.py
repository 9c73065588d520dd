"""The tables of a source of statistics, in whatever form its producer sent them."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from qpv_geo.errors import SourceContentError
from qpv_geo.ingest.contracts import Problems
from qpv_geo.ingest.delimited import read_delimited
from qpv_geo.ingest.recognition import ZoneTable, recognise, rows_of
from qpv_geo.ingest.text_table import Dictionary, TextTable, read_dictionaries
from qpv_geo.ingest.workbook import read_sheets
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import read_tables_of
from qpv_geo.sources.catalogue import Source
from qpv_geo.sources.file_kinds import kind_of
from qpv_geo.sources.raw import RawFile

_COMMUNE_DIGITS, _IRIS_DIGITS = 5, 9

_ZONE, _KIND, _VALUE = "GEO", "GEO_OBJECT", "OBS_VALUE"
_PERIOD, _CONFIDENTIALITY, _POWER = "TIME_PERIOD", "CONF_STATUS", "UNIT_MULT"
_MEASURE = r"(?!UNIT_)\w+_MEASURE"
# Kinds of zones that are read; the files hold employment areas, urban units and others besides.
_KINDS = ("COM", "EPCI", "DEP", "REG", "FRANCE", "FM", "METRO")
_CONFIDENTIAL = "c"


def widen(table: TextTable, source: Source) -> list[TextTable]:
    """Return a table per kind of zone of one in long form: a row per zone, a column per measure.

    They are named ``<table>, <kind>``. Only the ``TIME_PERIOD`` of the source's vintage is read. A value that
    ``CONF_STATUS`` says is confidential (``C``) becomes INSEE's mark ``c``. Values scaled by a power of ten
    are refused.
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


@dataclass(frozen=True)
class Scope:
    """Which rows of national files are read; None for all.

    Of tables by commune and by IRIS, those of `communes`. Of QPV other than `qpv`, the territory's, no
    intervals and only what these are ranked among. `epci` are the official codes, to tell them from IRIS.
    """

    communes: frozenset[str] | None = None
    qpv: frozenset[str] | None = None
    epci: frozenset[str] = frozenset()

    def keeps(self, code: str) -> bool:
        """Tell rows of other communes while a file is read; other codes are judged later."""
        # Nine digits are an IRIS, or the SIREN of an EPCI, which begins with 2.
        is_iris = len(code) == _IRIS_DIGITS and not code.startswith("2")
        if self.communes is None or not (is_iris or len(code) == _COMMUNE_DIGITS):
            return True
        return code[:_COMMUNE_DIGITS] in self.communes


def read_source_tables(raw: RawFile, settings: Settings, scope: Scope) -> tuple[list[ZoneTable], Dictionary]:
    """Return the recognised tables of a source with a row in scope, and what its dictionaries say.

    `raw` is a CSV file, an XLSX workbook, or an archive or folder of them, with or without dictionaries.
    Raises `SourceContentError` if the file holds no table at all, or a damaged one, and `ContractError` if a
    table is not whole, has no known key, or leaves open which zones it is about.
    """
    texts: list[TextTable] = []
    for member in read_tables_of(raw, settings):
        # An XLSX workbook is a zip.
        if kind_of(member.data).name == "zip":
            texts += read_sheets(raw, member)
            continue
        text = read_delimited(raw, member, scope.keeps)
        is_long = {_ZONE, _KIND, _VALUE} <= set(map(str.upper, text.cells.columns))
        texts += widen(text, raw.source) if is_long else [text]
    dictionary = read_dictionaries([text for text in texts if text.is_dictionary])
    tables = (
        _in_scope(table, scope)
        for text in texts
        if not (text.is_dictionary or text.cells.empty)
        for table in recognise(text, scope.epci, Problems(text.label, raw.source))
    )
    if all(text.is_dictionary for text in texts):
        raise SourceContentError(f"{raw.label}: expected a table of statistics, found dictionaries alone")
    return [table for table in tables if len(table.codes)], dictionary


def _in_scope(table: ZoneTable, scope: Scope) -> ZoneTable:
    """Drop the rows of zones out of scope."""
    if table.zone in {"commune", "iris"} and scope.communes is not None:
        rows = table.codes.str[:_COMMUNE_DIGITS].isin(scope.communes)
    elif table.zone == "qpv" and table.intervals and scope.qpv is not None:
        rows = table.codes.isin(scope.qpv)
    else:
        return table
    return rows_of(table, rows.to_numpy(dtype=bool))
