"""Detect the kind of a file from its first bytes: extensions are unreliable."""

import re
from typing import NamedTuple

from qpv_geo.characters import is_binary

_START = 2048
_SHOWN = 60
_BOM = b"\xef\xbb\xbf"
_TITLE = re.compile(rb"<title[^>]*>\s*(.*?)\s*</title>", re.DOTALL | re.IGNORECASE)
_MAGIC = (
    (b"PK\x03\x04", "zip", "a zip archive"),
    (b"PK\x05\x06", "zip", "an empty zip archive"),
    (b"\x1f\x8b", "gzip", "a gzip"),
    (b"7z\xbc\xaf\x27\x1c", "7z", "a 7z archive"),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "ole",
        "an old .xls workbook (save it as XLSX) or another OLE file",
    ),
    (b"SQLite format 3\x00", "sqlite", "an SQLite database"),
    (b"\x00\x00\x27\x0a", "shp", "a Shapefile"),
    (b"%PDF", "pdf", "a PDF"),
    (b"\xff\xfe", "utf-16", "text in UTF-16"),
    (b"\xfe\xff", "utf-16", "text in UTF-16"),
)


class FileKind(NamedTuple):
    """What a file is: `name` for a program (``zip``, ``markup``, ``text``), `description` for a reader."""

    name: str
    description: str


def kind_of(data: bytes) -> FileKind:
    """Return the kind of a file that begins with these bytes; what has no magic number is text or binary."""
    start = data[:_START]
    for magic, name, description in _MAGIC:
        if start.startswith(magic):
            return FileKind(name, description)
    text = start.removeprefix(_BOM).lstrip()
    if not text:
        return FileKind("empty", "blank" if start else "empty")
    if is_binary(text):
        return FileKind("binary", f"binary data that begins with 0x{start[:8].hex()}")
    if text.startswith(b"<"):
        what = "an HTML page" if re.search(rb"<(!doctype\s+)?html", text, re.IGNORECASE) else "XML"
        title = _TITLE.search(text)
        seen = f"titled {excerpt(title[1])}" if title else f"that begins with {excerpt(text)}"
        return FileKind("markup", f"{what} {seen}")
    if text.startswith((b"{", b"[")):
        return FileKind("json", f"JSON that begins with {excerpt(text)}")
    return FileKind("text", f"text that begins with {excerpt(text)}")


def excerpt(text: bytes) -> str:
    """Return the beginning of a text as error messages quote it."""
    return repr(text[:_SHOWN].decode("utf-8", errors="replace"))
