"""Templates of what QGIS reads, filled with every text escaped."""

import uuid
from base64 import b64encode
from typing import Any

from qpv_geo.qgis.cartography import Marker, load_cartography
from qpv_geo.qgis.expressions import literal, typeset_outside
from qpv_geo.templates import environment
from qpv_geo.typography import typeset

# Names of everything that QGIS wants a unique key for: the same name gives the same key in every release.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/qpv-geo")


def key(*names: object) -> str:
    """Return a key in QGIS's form, in braces, that depends on the names alone."""
    return f"{{{uuid.uuid5(_NAMESPACE, '/'.join(str(name) for name in names))}}}"


def rgb(color: str) -> tuple[int, int, int]:
    """Return red, green and blue (0 to 255) of a colour ``#rrggbb``."""
    red, green, blue = bytes.fromhex(color.removeprefix("#"))
    return red, green, blue


def rgba(color: str, opacity: float = 1.0) -> str:
    """Write a colour ``#rrggbb`` as QGIS does: ``r,g,b,a``."""
    red, green, blue = rgb(color)
    return f"{red},{green},{blue},{round(opacity * 255)}"


def embedded(marker: Marker) -> str:
    """Return the picture of a marker in QGIS's own form of an address: no file lies beside the project."""
    return f"base64:{b64encode(load_cartography().picture(marker).encode()).decode()}"


_ENVIRONMENT = environment("qpv_geo.qgis")
_ENVIRONMENT.filters |= {
    "rgb": rgb,
    "rgba": rgba,
    "embedded": embedded,
    "literal": literal,
    "typeset": typeset,
    "typeset_outside": typeset_outside,
}
_ENVIRONMENT.globals["key"] = key


def fill(template: str, **values: Any) -> str:  # noqa: ANN401 - templates take what they name
    """Return a template filled with the values that it names."""
    return _ENVIRONMENT.get_template(template).render(values)
