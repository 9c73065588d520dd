"""Characters that XML cannot hold: no page, workbook or QGIS project can carry a text that has one."""

import codecs
import re

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Of the bytes of text, a few may be NUL by accident; of UTF-16 and of binary data, many are.
_FEW = 1 / 16
# All but Char of https://www.w3.org/TR/xml/#charsets.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def forbidden_character(text: str) -> str:
    """Name the first character of a text that XML cannot hold (``U+0007``); empty if there is none."""
    found = _FORBIDDEN.search(text)
    return f"U+{ord(found[0]):04X}" if found else ""


def is_binary(data: bytes) -> bool:
    """Tell bytes that are not text in UTF-8 or Windows-1252."""
    return data.startswith(_UTF_16) or data.count(b"\x00") > _FEW * len(data)
