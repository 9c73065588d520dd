"""French typography, in one place: punctuation stays with its word, apostrophes are curved.

Pages, workbooks, the atlas and QGIS set their texts with it; data and files for programs keep theirs.
"""

import re

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


def typeset_markup(markup: str) -> str:
    """Do so with the text of HTML, SVG or XML, not with its tags, scripts and styles."""
    parts = _MARKUP.split(markup)
    parts[::2] = [typeset(text) for text in parts[::2]]
    return "".join(parts)
