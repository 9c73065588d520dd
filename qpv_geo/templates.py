"""How templates are filled, of pages, reports and what QGIS reads: escaped, with no name left undefined."""

import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from qpv_geo.french import counted, french_date, listing, percentage, short_number, word

_HEAD = '<meta charset="utf-8">'
_INLINE = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)


@cache
def environment(package: str) -> Environment:
    """Return the environment of the templates that lie in a package's folder ``templates``."""
    templates = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    templates.filters |= {
        "jour": french_date,
        "nombre": short_number,
        "part": percentage,
        "liste": listing,
        "compte": counted,
        "mot": word,
    }
    return templates


def render(package: str, template: str, **values: Any) -> str:  # noqa: ANN401 - templates take what they name
    """Return a template of a package, filled with the values that it names."""
    return environment(package).get_template(template).render(values)


def secured(page: str, connect: str = "'none'") -> str:
    """Return an HTML page that runs its own scripts and styles alone, and asks no host but `connect`."""
    hashes: dict[str, list[str]] = {"style": [], "script": []}
    for kind, text in _INLINE.findall(page):
        hashes[kind].append(f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'")
    allowed = {
        "default-src": "'none'",
        "style-src": " ".join(hashes["style"]) or "'none'",
        "script-src": " ".join(hashes["script"]) or "'none'",
        "img-src": "data:",
        "connect-src": connect,
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    policy = "; ".join(f"{what} {whence}" for what, whence in allowed.items())
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    return page.replace(_HEAD, f"{_HEAD}\n{meta}", 1)
