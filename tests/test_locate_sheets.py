"""Workbooks: what is read from XLSX and ODS, and what is written."""

import datetime as dt
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import pyarrow as pa
import pytest

from qpv_geo.errors import ConfigurationError, ContractError
from qpv_geo.locate.coordinates import to_floats
from qpv_geo.locate.csv_dialect import Dialect
from qpv_geo.locate.files import LocateSummary, locate_file
from qpv_geo.locate.points import Points
from qpv_geo.locate.sheet_table import SheetTable
from qpv_geo.locate.tables import Chunk
from qpv_geo.settings import Settings
from qpv_geo.territory import Territory

ADDED = pa.schema([("half", pa.float64()), ("mot", pa.string())])
NAMESPACE = "urn:oasis:names:tc:opendocument:xmlns"
ODS = (
    f'<office:document-content xmlns:office="{NAMESPACE}:office:1.0" xmlns:table="{NAMESPACE}:table:1.0"'
    f' xmlns:text="{NAMESPACE}:text:1.0"><office:body><office:spreadsheet><table:table table:name="A">{{}}'
    "</table:table></office:spreadsheet></office:body></office:document-content>"
)
DAY, HOUR = (dt.datetime.fromisoformat(text) for text in ("2024-01-02", "2024-01-02T08:30"))
ROWS = [
    ["nom", "lon", "lat", "cp", "le", "vu"],
    ["Zoé", 6.02, 47.24, "01004", DAY, True],
    ["=1+1", "6,02", "47,24", 25000, HOUR, False],
    [None] * 6,
    ["sans", None, None, None, None, None],
    ["faux", "abc", 47.2, None, None, None],
]


def workbook(path: Path, **sheets: list[list[object]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    for row in book.worksheets[0].iter_rows():
        for cell in row:
            if cell.data_type == "f":
                cell.data_type = "s"
    book.save(path)
    return path


def halves(chunk: Chunk) -> pa.Table:
    half = to_floats(chunk.column("lon"), "lon") / 2
    return pa.table([pa.array(half, from_pandas=True), pa.array(["é"] * chunk.rows)], schema=ADDED)


def read(path: Path, sheet: str) -> list[list[object]]:
    return [list(row) for row in openpyxl.load_workbook(path)[sheet].iter_rows(values_only=True)]


def test_cells_keep_their_types_and_blank_rows_their_place(tmp_path: Path) -> None:
    path = workbook(tmp_path / "p.xlsx", Adresses=ROWS, Notes=[["à garder", 3]])
    table = SheetTable(path, wanted=["lon", "lat"])
    assert list(table.columns) == ROWS[0]
    assert table.notes == ["p.xlsx: sheet 'Adresses'; --layer says otherwise"]
    target = tmp_path / "o.xlsx"
    table.extend(target, ADDED, halves)
    rows = read(target, "Adresses")
    assert rows[0] == [*ROWS[0], "half", "mot"]
    assert rows[1] == ["Zoé", 6.02, 47.24, "01004", DAY, True, 3.01, "é"]
    assert rows[2] == ["=1+1", "6,02", "47,24", 25000, HOUR, False, 3.01, "é"]
    assert rows[3] == [None] * 8
    assert rows[4] == ["sans", *[None] * 6, "é"]
    assert read(target, "Notes") == [["à garder", 3]]


def test_titles_and_sheets(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "p.xlsx", A=[["Liste des adresses"], [], *ROWS], B=[["Commune", "Besançon"], *ROWS]
    )
    with pytest.raises(ConfigurationError, match=r"p\.xlsx: name a sheet with --layer; it has: A, B"):
        SheetTable(path)
    with pytest.raises(ConfigurationError, match="it has: A, B"):
        SheetTable(path, "C")
    table = SheetTable(path, "A")
    assert list(table.columns) == ROWS[0]
    assert table.notes == ["p.xlsx: the header is row 3; --skip-rows says otherwise"]
    table.extend(tmp_path / "o.xlsx", ADDED, halves)
    assert read(tmp_path / "o.xlsx", "A")[0][0] == "Liste des adresses"
    assert read(tmp_path / "o.xlsx", "A")[2][-1] == "mot"
    assert SheetTable(path, "B").columns[0] == "Commune"
    assert list(SheetTable(path, "B", wanted=["lon"]).columns) == ROWS[0]
    assert list(SheetTable(path, "B", Dialect(skip_rows=1)).columns) == ROWS[0]
    with pytest.raises(ContractError, match="sheet 'B' is empty"):
        SheetTable(path, "B", Dialect(skip_rows=99))


def test_what_is_no_workbook_is_named(tmp_path: Path) -> None:
    for name in ("p.xlsx", "p.ods", "p.xls"):
        (tmp_path / name).write_bytes(b"PK not this")
        with pytest.raises(ContractError, match=f"{name}: not a workbook that can be read"):
            SheetTable(tmp_path / name)
    empty = workbook(tmp_path / "e.xlsx", A=[])
    with pytest.raises(ConfigurationError, match="it has: none with rows"):
        SheetTable(empty)


def run(path: Path, settings: Settings, territory: Territory, **options: object) -> LocateSummary:
    return locate_file(path, Points(), territory, settings, **options)


def test_a_workbook_with_wrong_rows(tmp_path: Path, bandless: Settings, besancon: Territory) -> None:
    path = workbook(tmp_path / "p.xlsx", Adresses=ROWS)
    outcome = run(path, bandless, besancon)
    assert outcome.path.name == "p_qpv.xlsx"
    found = pd.read_excel(outcome.path, engine="openpyxl", dtype={"cp": str})
    assert found["en_qpv"].dropna().tolist() == ["oui", "oui", "illisible", "illisible"]
    assert found["lib_qp"][0] == "Battant"
    assert outcome.unreadable == [f"p.xlsx: row {row}: no coordinates that can be read" for row in (5, 6)]
    with pytest.raises(ContractError, match=r"p\.xlsx: row 5"):
        locate_file(path, Points(strict=True), besancon, bandless, force=True)


def test_ods_comes_out_as_xlsx_and_it_is_said(
    tmp_path: Path, bandless: Settings, besancon: Territory
) -> None:
    path = tmp_path / "p.ods"
    text = '<table:table-cell office:value-type="string"><text:p>{0}</text:p></table:table-cell>'
    number = text.replace('"string"', '"float" office:value="{0}"')
    kinds = {str: text, float: number}
    rows = [["nom", "longitude", "latitude"], ["é", 6.02, 47.24]]
    lines = ["".join(kinds[type(each)].format(each) for each in row) for row in rows]
    body = "".join(f"<table:table-row>{line}</table:table-row>" for line in lines)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", f'<m:manifest xmlns:m="{NAMESPACE}:manifest:1.0"/>')
        archive.writestr("content.xml", ODS.format(body))
    outcome = run(path, bandless, besancon)
    assert outcome.path.name == "p_qpv.xlsx"
    assert any(".ods files are read, not written: the result is a .xlsx" in note for note in outcome.notes)
    assert pd.read_excel(outcome.path, engine="openpyxl")["en_qpv"].tolist() == ["oui"]
