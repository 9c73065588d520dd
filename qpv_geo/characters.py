"""Characters that XML cannot hold: no page, workbook or QGIS project can carry a text that has one."""

import re

# All but Char of https://www.w3.org/TR/xml/#charsets.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def forbidden_character(text: str) -> str:
    """Name the first character of a text that XML cannot hold (``U+0007``); empty if there is none."""
    found = _FORBIDDEN.search(text)
    return f"U+{ord(found[0]):04X}" if found else ""
