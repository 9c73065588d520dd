"""The formats that a release may be written in: one entry each of ``formats.toml``, in its order.

The command line, the form of the flow, the Data Package and the download page read this list.
"""

from collections.abc import Iterable
from pathlib import Path

from qpv_geo.errors import ConfigurationError
from qpv_geo.formats.base import Format
from qpv_geo.toml_file import read_declarations

with read_declarations(Path(__file__).with_name("formats.toml"), "the formats are not valid") as _entries:
    FORMATS = tuple(Format(name=name, **entry) for name, entry in _entries.items())
ON_REQUEST = tuple(each.name for each in FORMATS if each.written == "on_request")


def chosen_formats(names: Iterable[str] = (), *, pages: bool = True) -> tuple[Format, ...]:
    """Return what is always written, the formats of these names and, unless they are declined, the pages.

    Raises `ConfigurationError` if a name is not that of a format that is written on request.
    """
    chosen = set(names)
    if unknown := sorted(chosen - set(ON_REQUEST)):
        always = ", ".join(each.name for each in FORMATS if each.written == "always")
        raise ConfigurationError(
            f"unknown formats: {', '.join(unknown)}. Always written: {always}; "
            f"on request: {', '.join(ON_REQUEST)}"
        )
    wanted = {"always": True, "with_pages": pages}
    return tuple(each for each in FORMATS if each.name in chosen or wanted.get(each.written, False))
