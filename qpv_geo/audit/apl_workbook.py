"""DREES's workbooks of the APL, read once more without calamine: as zips of XML, by zipfile and re."""

import html
import io
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping
from sys import intern

from defusedxml import ElementTree

from qpv_geo.audit.original_cells import MARKS, rereading
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import read_tables_of
from qpv_geo.sources.raw import RawFile

_TITLE_ROWS = 40
# No row of these workbooks takes as many characters.
_ROW = 20_000
_TEXT = re.compile(r"<(?:\w+:)?t\b[^>]*?(?:/>|>(.*?)</(?:\w+:)?t>)", re.DOTALL)
_PLAIN_TEXT = re.compile(r"<t>([^<&]*)</t>")
_SHARED = re.compile(r"<(?:\w+:)?si\b[^>]*?(?:/>|>(.*?)</(?:\w+:)?si>)", re.DOTALL)
_VALUE = re.compile(r"<(?:\w+:)?v\b[^>]*>(.*?)</(?:\w+:)?v>", re.DOTALL)

Meaning = tuple[float | None, str, float | None]
"""What a sheet says of a commune: its value, its status, its standardised population."""
Sheets = dict[str, dict[str, Meaning]]
"""By ``<workbook>, feuille <sheet>`` and code of the commune."""


def read_workbook(raw: RawFile, settings: Settings, codes: Collection[str] | None = None) -> Sheets:
    """Read the APL of some communes again, or of all, in every sheet that has a header of communes.

    Raises `PublicationError` if the file cannot be read any more, or a cell is neither a number nor a mark.
    """
    sheets: Sheets = {}
    with rereading(raw):
        for member in read_tables_of(raw, settings):
            with zipfile.ZipFile(io.BytesIO(member.data)) as parts:
                shared: list[str] = []
                if "xl/sharedStrings.xml" in parts.namelist():
                    texts = _SHARED.findall(parts.read("xl/sharedStrings.xml").decode())
                    shared = [_joined(text) for text in texts]
                for name, path in _sheets(parts):
                    cells = _communes(parts.read(path).decode(), shared, raw.source.columns, codes)
                    if cells is not None:
                        sheets[f"{member.name}, feuille {name}"] = cells
    return sheets


def _sheets(parts: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    """Yield the name of each sheet and its part of the archive."""
    relationships = ElementTree.fromstring(parts.read("xl/_rels/workbook.xml.rels"))
    targets = {each.get("Id"): each.get("Target", "") for each in relationships}
    for sheet in ElementTree.fromstring(parts.read("xl/workbook.xml")).iterfind("{*}sheets/{*}sheet"):
        # The namespace of the id is one of two: transitional or strict.
        target = next(targets[value] for name, value in sheet.items() if name.endswith("}id"))
        path = target.removeprefix("/") if target.startswith("/") else f"xl/{target}"
        if "worksheets" in path:
            yield sheet.get("name", ""), path


def _joined(xml: str) -> str:
    if plain := _PLAIN_TEXT.fullmatch(xml):
        return plain[1].strip()
    return html.unescape("".join(_TEXT.findall(xml))).strip()


def _cells(xml: str, columns: str) -> re.Pattern[str]:
    """Return what matches the cells of some columns; it begins with letters alone, which is faster."""
    root = re.search(r"<(\w+:)?worksheet\b", xml)
    tag = f"{(root and root[1]) or ''}c"
    return re.compile(rf'<{tag} r="({columns})(\d+)"([^>]*?)(?:/>|>(.*?)</{tag}>)', re.DOTALL)


def _text(cell: re.Match[str], shared: list[str]) -> str:
    """Return the text of a cell that `_cells` matches."""
    attributes, content = cell[3], cell[4] or ""
    value = _VALUE.search(content)
    if value is None:
        return _joined(content)
    return shared[int(value[1])] if ' t="s"' in attributes else html.unescape(value[1]).strip()


def _communes(
    xml: str, shared: list[str], declared: Mapping[str, tuple[str, ...]], codes: Collection[str] | None
) -> dict[str, Meaning] | None:
    """Return what a sheet says of communes; None for a sheet of documentation."""
    names = {spelling.casefold(): name for name, spellings in declared.items() for spelling in spellings}
    end = re.search(rf'<(?:\w+:)?row\b[^>]*\br="{_TITLE_ROWS}"', xml)
    headers: dict[int, dict[str, str]] = {}
    for cell in _cells(xml, "[A-Z]+").finditer(xml, 0, end.start() if end else len(xml)):
        heading = re.sub(r" 20\d\d\b.*", "", " ".join(_text(cell, shared).split())).casefold()
        if heading in names:
            headers.setdefault(int(cell[2]), {})[names[heading]] = cell[1]
    wanted = next(((row, found) for row, found in headers.items() if len(found) == len(declared)), None)
    if wanted is None:
        return None
    header, columns = wanted
    value, population = columns["apl"], columns["population"]
    figures = _cells(xml, f"{value}|{population}")
    places = {f"<v>{place}</v>" for place, text in enumerate(shared) if codes is None or text in codes}
    meanings: dict[str, Meaning] = {}
    for cell in _cells(xml, columns["insee_com"]).finditer(xml):
        # Most cells hold the place of a text that nobody asked about.
        if cell[3].endswith(' t="s"') and cell[4] not in places and codes is not None:
            continue
        code = _text(cell, shared)
        if int(cell[2]) > header and code and (codes is None or code in codes):
            start = xml.rfind("row ", max(0, cell.start() - _ROW), cell.start())
            row = xml[start : xml.find("row>", cell.end())]
            texts = {found[1]: _text(found, shared) for found in figures.finditer(row)}
            meanings[intern(code)] = (
                *_meaning(texts.get(value, "")),
                _meaning(texts.get(population, ""))[0],
            )
    return meanings


def _meaning(text: str) -> tuple[float | None, str]:
    if not text or text.lower() in MARKS:
        return None, MARKS.get(text.lower(), "non_disponible")
    return float("".join(text.split()).replace(",", ".")), "ok"
