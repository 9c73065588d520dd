"""Official QPV contours and INSEE statistics, joined with a territory and published for GIS users."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qpv_geo.library import OpenRelease, open_release, refresh

    __version__: str

__all__ = ["OpenRelease", "__version__", "open_release", "refresh"]


def __getattr__(name: str) -> object:
    """Import what is asked for: most programs need a part, and pandas alone takes half a second."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415

        value: object = version("qpv-geo")
    elif name in __all__:
        value = getattr(import_module("qpv_geo.library"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Name what `__getattr__` offers as well."""
    return sorted({*globals(), *__all__})
