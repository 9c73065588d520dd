"""Characters that no page, workbook or QGIS project can hold, and those that a terminal obeys."""

import codecs
import re

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Share of NUL bytes: text has few, UTF-16 and binary data have many.
_FEW = 1 / 16
# Everything but Char of https://www.w3.org/TR/xml/#charsets.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

# Escape sequences begin with one of these, and a terminal turns text round for the last ones.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Return a text in which every character that a terminal obeys is written as its code, backslash x1b."""
    return _COMMANDS.sub(lambda match: ascii(match[0])[1:-1], text)


def printable(text: str) -> str:
    """Return a text, or its codes if a character of it cannot be printed."""
    return text if text.isprintable() else ascii(text)


def forbidden_character(text: str) -> str:
    """Name the first character of a text that XML cannot hold (``U+0007``); empty if there is none."""
    match = _FORBIDDEN.search(text)
    return f"U+{ord(match[0]):04X}" if match else ""


def is_binary(data: bytes) -> bool:
    """Tell whether bytes are not text in UTF-8 or Windows-1252."""
    return data.startswith(_UTF_16) or data.count(b"\x00") > _FEW * len(data)
