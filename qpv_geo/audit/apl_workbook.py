"""DREES's workbooks of the APL, read once more without calamine: as zips of XML, by zipfile and re."""

import html
import io
import re
import zipfile
from collections.abc import Iterator, Mapping

from qpv_geo.settings import Settings
from qpv_geo.sources.archive import read_tables_of
from qpv_geo.sources.raw import RawFile

_TITLE_ROWS = 40
_TEXT = re.compile(r"<(?:\w+:)?t\b[^>]*?(?:/>|>(.*?)</(?:\w+:)?t>)", re.DOTALL)
_SHARED = re.compile(r"<(?:\w+:)?si\b[^>]*?(?:/>|>(.*?)</(?:\w+:)?si>)", re.DOTALL)
_CELL = r'<(?:\w+:)?c r="({columns})(\d+)"([^>]*?)(?:/>|>(.*?)</(?:\w+:)?c>)'
_VALUE = re.compile(r"<(?:\w+:)?v\b[^>]*>(.*?)</(?:\w+:)?v>", re.DOTALL)
_ATTRIBUTE = r'\b{name}="([^"]*)"'


Sheets = dict[str, dict[str, tuple[str, str]]]
"""By ``<workbook>, feuille <sheet>`` and code of the commune, as text: value, and standardised population."""


def read_workbook(raw: RawFile, settings: Settings) -> Sheets:
    """Read the APL of every commune again, in every sheet that has a header of communes."""
    sheets: Sheets = {}
    for member in read_tables_of(raw, settings):
        with zipfile.ZipFile(io.BytesIO(member.data)) as parts:
            shared: list[str] = []
            if "xl/sharedStrings.xml" in parts.namelist():
                shared = [_joined(text) for text in _SHARED.findall(_part(parts, "xl/sharedStrings.xml"))]
            for name, path in _sheets(parts):
                if cells := _communes(_part(parts, path), shared, raw.source.columns):
                    sheets[f"{member.name}, feuille {name}"] = cells
    return sheets


def _part(parts: zipfile.ZipFile, path: str) -> str:
    return parts.read(path).decode("utf-8")


def _sheets(parts: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    """Yield the name of each sheet and its part of the archive."""
    targets = {
        _attribute(tag, "Id"): _attribute(tag, "Target")
        for tag in re.findall(r"<(?:\w+:)?Relationship\b[^>]*>", _part(parts, "xl/_rels/workbook.xml.rels"))
    }
    for tag in re.findall(r"<(?:\w+:)?sheet\b[^>]*>", _part(parts, "xl/workbook.xml")):
        target = targets[_attribute(tag, r"\w+:id")]
        path = target.removeprefix("/") if target.startswith("/") else f"xl/{target}"
        if "worksheets" in path:
            yield html.unescape(_attribute(tag, "name")), path


def _attribute(tag: str, name: str) -> str:
    found = re.search(_ATTRIBUTE.format(name=name), tag)
    return found[1] if found else ""


def _joined(xml: str) -> str:
    return html.unescape("".join(_TEXT.findall(xml))).strip()


def _cells(xml: str, shared: list[str], columns: str) -> Iterator[tuple[str, int, str]]:
    """Yield column, row and text of each cell of some columns that is not empty."""
    for column, row, attributes, content in re.findall(_CELL.format(columns=columns), xml, re.DOTALL):
        value = _VALUE.search(content)
        text = html.unescape(value[1]).strip() if value else _joined(content)
        if text:
            kind = _attribute(attributes, "t")
            yield column, int(row), shared[int(text)] if kind == "s" else text


def _communes(
    xml: str, shared: list[str], declared: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, str]]:
    """Return value and population by code; nothing for a sheet of documentation."""
    names = {spelling.casefold(): name for name, spellings in declared.items() for spelling in spellings}
    end = re.search(rf'<(?:\w+:)?row\b[^>]*\br="{_TITLE_ROWS}"', xml)
    headers: dict[int, dict[str, str]] = {}
    for column, row, text in _cells(xml[: end.start() if end else None], shared, "[A-Z]+"):
        heading = re.sub(r" 20\d\d\b.*", "", " ".join(text.split())).casefold()
        if heading in names:
            headers.setdefault(row, {})[names[heading]] = column
    wanted = next(((row, found) for row, found in headers.items() if len(found) == len(declared)), None)
    if wanted is None:
        return {}
    header, columns = wanted
    letters: dict[str, dict[int, str]] = {columns[name]: {} for name in ("insee_com", "apl", "population")}
    for column, row, text in _cells(xml, shared, "|".join(letters)):
        if row > header:
            letters[column][row] = text
    codes, values, populations = letters.values()
    return {code: (values.get(row, ""), populations.get(row, "")) for row, code in codes.items()}
