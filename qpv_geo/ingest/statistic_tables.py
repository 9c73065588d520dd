"""The tables of a source of statistics, in whatever form its producer sent them."""

from dataclasses import dataclass, field

from qpv_geo.errors import SourceContentError
from qpv_geo.ingest.contracts import Problems
from qpv_geo.ingest.delimited import Keeps, read_delimited
from qpv_geo.ingest.long_table import is_long, widen
from qpv_geo.ingest.recognition import OfficialCodes, ZoneTable, recognise, rows_of
from qpv_geo.ingest.text_table import Dictionary, TextTable, read_dictionaries
from qpv_geo.ingest.workbook import read_sheets
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import Member, read_tables_of
from qpv_geo.sources.file_kinds import kind_of
from qpv_geo.sources.raw import RawFile

_COMMUNE_DIGITS, _IRIS_DIGITS = 5, 9


@dataclass(frozen=True)
class Scope:
    """Which rows of national files are read.

    Attributes
    ----------
    communes
        INSEE codes: of tables by commune and by IRIS, only theirs are read; None for all.
    qpv
        The territory's: of other QPV, no intervals are read and only what these are ranked among. None for
        all alike.
    official
        Official lists, for tables whose codes may be of two kinds of zones.
    """

    communes: frozenset[str] | None = None
    qpv: frozenset[str] | None = None
    official: OfficialCodes = field(default_factory=OfficialCodes)


@dataclass(frozen=True)
class SourceTables:
    """The recognised tables of a source with at least one row in scope, and what its dictionaries say."""

    tables: tuple[ZoneTable, ...]
    dictionary: Dictionary


def read_source_tables(raw: RawFile, settings: Settings, scope: Scope) -> SourceTables:
    """Read and recognise every table of a source.

    `raw` is a CSV file, an XLSX workbook, or an archive or folder of them, with or without dictionaries.

    Raises
    ------
    SourceContentError
        If the file holds no table at all, or a damaged one.
    ContractError
        If a table is not whole, has no known key, or leaves open which zones it is about.
    """
    texts: list[TextTable] = []
    for member in read_tables_of(raw, settings):
        texts += _read(raw, member, scope)
    dictionary = read_dictionaries([text for text in texts if text.is_dictionary])
    tables: list[ZoneTable] = []
    for text in texts:
        if text.is_dictionary or text.cells.empty:
            continue
        problems = Problems(text.label, raw.source)
        tables += recognise(text, scope.official, problems, raw.source.key)
    if all(text.is_dictionary for text in texts):
        raise SourceContentError(f"{raw.label}: expected a table of statistics, found dictionaries alone")
    kept = (_in_scope(table, scope) for table in tables)
    return SourceTables(tuple(table for table in kept if len(table.codes)), dictionary)


def _read(raw: RawFile, member: Member, scope: Scope) -> list[TextTable]:
    # An XLSX workbook is a zip.
    if kind_of(member.data).name == "zip":
        return read_sheets(raw, member, raw.source.key)
    text = read_delimited(raw, member, _keeps(scope), raw.source.key)
    return widen(text, raw.source) if is_long(text) else [text]


def _keeps(scope: Scope) -> Keeps | None:
    """Return what drops rows of other communes while a file is read; other codes are judged later."""
    communes = scope.communes
    if communes is None:
        return None

    def keeps(code: str) -> bool:
        if len(code) == _COMMUNE_DIGITS:
            return code in communes
        # Nine digits are an IRIS, or the SIREN of an EPCI, which begins with 2.
        if len(code) == _IRIS_DIGITS and not code.startswith("2"):
            return code[:_COMMUNE_DIGITS] in communes
        return True

    return keeps


def _in_scope(table: ZoneTable, scope: Scope) -> ZoneTable:
    """Drop the rows of zones out of scope."""
    if table.zone in {"commune", "iris"} and scope.communes is not None:
        rows = table.codes.str[:_COMMUNE_DIGITS].isin(scope.communes)
    elif table.zone == "qpv" and table.intervals and scope.qpv is not None:
        rows = table.codes.isin(scope.qpv)
    else:
        return table
    return rows_of(table, rows.to_numpy(dtype=bool))
