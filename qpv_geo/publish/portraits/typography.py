"""French typography of a page's text: no line begins with punctuation that belongs to the line before."""

import re

from qpv_geo.publish.portraits.french import THIN

_NO_BREAK = "\u00a0"
# What is not text: scripts, styles, tags.
_MARKUP = re.compile(r"(<script\b.*?</script>|<style\b.*?</style>|<[^>]*>)", re.DOTALL)


def bind_punctuation(html: str) -> str:
    """Put no-break spaces before ``: ; ? ! »`` and after ``«`` in the text of a page, not in its markup."""
    parts = _MARKUP.split(html)
    parts[::2] = [_bind(text) for text in parts[::2]]
    return "".join(parts)


def _bind(text: str) -> str:
    text = re.sub(r" (?=[;?!])", THIN, text)
    return re.sub(r" (?=[:»])|(?<=«) ", _NO_BREAK, text)
