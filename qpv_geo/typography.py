"""French typography: declared texts are set when they are read, pages when they are written, values never."""

import re
from typing import Annotated

from pydantic import AfterValidator

from qpv_geo.french import NO_BREAK, THIN

_TO_SET = re.compile(r"[:;?!%«»']")
# As it is, or as HTML escapes it.
_APOSTROPHE = re.compile(r"(?<=\w)(?:'|&#39;)(?=\w)")
# What is not text: scripts, styles, tags.
_MARKUP = re.compile(r"(<script\b.*?</script>|<style\b.*?</style>|<[^>]*>)", re.DOTALL)


def typeset(text: str) -> str:
    """Put no-break spaces before ``: ; ? ! »`` and after ``«``, and curve the apostrophes between letters."""
    if not _TO_SET.search(text):
        return text
    text = _APOSTROPHE.sub("\u2019", text)
    text = re.sub(r" (?=[;?!]|(?<=\d )%)", THIN, text)
    return re.sub(r" (?=[:»])|(?<=«) ", NO_BREAK, text)


FrenchText = Annotated[str, AfterValidator(typeset)]
"""A declared text that people read: it is set when it is read."""


def typeset_markup(markup: str) -> str:
    """Do so with the text of HTML, SVG or XML, not with its tags, scripts and styles."""
    parts = _MARKUP.split(markup)
    parts[::2] = [typeset(text) for text in parts[::2]]
    return "".join(parts)
