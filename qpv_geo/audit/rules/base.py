"""What rules have in common."""

import sqlite3
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar
from xml.etree.ElementTree import ParseError

import shapely

from qpv_geo.errors import PublicationError

_NAMED_AT_MOST = 5
# What a damaged file raises when it is read.
_UNREADABLE = (
    AttributeError,
    LookupError,
    OSError,
    ParseError,
    PublicationError,
    RecursionError,
    TypeError,
    ValueError,
    shapely.errors.ShapelyError,
    sqlite3.Error,
    zipfile.BadZipFile,
)


class CheckedFile:
    """A file, or the folder of a release, read as far as the rules ask for it.

    Do not assume that it is valid: each rule checks its own part.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def close(self) -> None:
        """Close what was opened."""


File = TypeVar("File", bound=CheckedFile)
_Problems = Callable[[File], Iterator[str]]


@dataclass(frozen=True)
class Finding:
    """A rule that a release breaks, in which file of it, and what is wrong."""

    code: str
    file: str
    message: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.code} {self.file}: {self.message}"


@dataclass(frozen=True)
class Rule(Generic[File]):
    """One rule about one kind of file: what it asks for, and what yields a sentence for each way to break it.

    A `slow` one takes longer than a refresh can afford; ``releases verify`` applies it all the same.
    """

    code: str
    text: str
    problems: _Problems[File]
    slow: bool

    def findings(self, subject: File, name: str) -> list[Finding]:
        """Apply the rule; a file that cannot even be read for it breaks it. Findings call the file `name`."""
        try:
            return [Finding(self.code, name, problem) for problem in self.problems(subject)]
        except _UNREADABLE as error:
            return [Finding(self.code, name, f"cannot be checked: {type(error).__name__}: {error}")]


def rule(code: str, *, slow: bool = False) -> Callable[[_Problems[File]], Rule[File]]:
    """Make a rule of the function that yields its problems."""
    return lambda problems: Rule(code, problems.__doc__ or "", problems, slow)


def named(rows: Iterable[object]) -> str:
    """List a few of the rows that break a rule."""
    listed = [str(row) for row in rows]
    more = f" and {len(listed) - _NAMED_AT_MOST} more" if len(listed) > _NAMED_AT_MOST else ""
    return ", ".join(listed[:_NAMED_AT_MOST]) + more
