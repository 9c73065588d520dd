"""TOML files as people save them: with a byte order mark, or Windows paths between double quotes."""

import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qpv_geo.errors import ConfigurationError

# "C:\data" is not TOML; "C:\temp" is, and holds a tab.
WINDOWS_PATH = (
    "between double quotes a backslash begins an escape: write a Windows path between single quotes, "
    r"'C:\data\x.gpkg', or with forward slashes, 'C:/data/x.gpkg'"
)
_LINE = re.compile(r"\(at line ([0-9]+)")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; a `ConfigurationError` names the file and the line, and explains Windows paths."""
    try:
        # Notepad and PowerShell write a byte order mark, which TOML does not allow.
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not text in UTF-8 ({error}); save it again in UTF-8") from error
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error})") from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: not valid TOML: {error}{_hint(text, str(error))}") from error
    except RecursionError as error:
        raise ConfigurationError(f"{path}: not valid TOML: brackets nested without end") from error


@contextmanager
def read_declarations(path: Path, problem: str) -> Iterator[dict[str, Any]]:
    """Yield what a TOML file holds; a `ConfigurationError` names the file if that makes no models."""
    entries = read_toml(path)
    try:
        yield entries
    # pydantic's errors are ValueErrors.
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ConfigurationError(f"{path}: {problem}: {error}") from error


def _hint(text: str, message: str) -> str:
    match = _LINE.search(message)
    line = text.splitlines()[int(match[1]) - 1 :][:1] if match else []
    return f"; {WINDOWS_PATH}" if line and "\\" in line[0] else ""
