"""French typography of a page's text: punctuation stays with its word, apostrophes are curved."""

import re

from qpv_geo.french import NO_BREAK, THIN

_TO_SET = re.compile(r"[:;?!«»']")
# As it is, or as HTML escapes it.
_APOSTROPHE = re.compile(r"(?<=\w)(?:'|&#39;)(?=\w)")
# What is not text: scripts, styles, tags.
_MARKUP = re.compile(r"(<script\b.*?</script>|<style\b.*?</style>|<[^>]*>)", re.DOTALL)


def typeset(html: str) -> str:
    """Put no-break spaces before ``: ; ? ! »`` and after ``«``, and curve the apostrophes between letters.

    Only the text of a page changes, not its tags, scripts and styles.
    """
    parts = _MARKUP.split(html)
    parts[::2] = [_typeset(text) if _TO_SET.search(text) else text for text in parts[::2]]
    return "".join(parts)


def _typeset(text: str) -> str:
    text = _APOSTROPHE.sub("\u2019", text)
    text = re.sub(r" (?=[;?!])", THIN, text)
    return re.sub(r" (?=[:»])|(?<=«) ", NO_BREAK, text)
