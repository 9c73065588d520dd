"""What rules have in common."""

import sqlite3
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from xml.etree.ElementTree import ParseError

import shapely

from qpv_geo.errors import PublicationError

_NAMED_AT_MOST = 20
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
class Rule:
    """One rule about one kind of file; `problems` yields a sentence for each way to break it.

    A `slow` one takes longer than a refresh can afford; ``releases verify`` applies it all the same.
    """

    code: str
    text: str
    problems: Callable[[Any], Iterator[str]]
    slow: bool

    def findings(self, subject: "CheckedFile", name: str) -> list[Finding]:
        """Apply the rule; a file that cannot even be read for it breaks it. Findings call the file `name`."""
        try:
            return [Finding(self.code, name, problem) for problem in self.problems(subject)]
        except _UNREADABLE as error:
            return [Finding(self.code, name, f"cannot be checked: {type(error).__name__}: {error}")]


class CheckedFile:
    """A kind of file, or the folder of a release, and its rules; read as far as the rules ask for it.

    Do not assume that it is valid: each rule checks its own part.
    """

    pattern: ClassVar[str] = ""
    """Which files of a release are of this kind; empty for the release itself."""
    rules: ClassVar[list[Rule]]

    def __init_subclass__(cls) -> None:
        """Give each kind rules of its own."""
        cls.rules = []

    def __init__(self, path: Path) -> None:
        self.path = path

    def close(self) -> None:
        """Close what was opened."""

    @classmethod
    def rule(cls, code: str, *, slow: bool = False) -> Callable[[Callable[[Any], Iterator[str]]], Rule]:
        """Make a rule of the function that yields its problems."""

        def added(problems: Callable[[Any], Iterator[str]]) -> Rule:
            cls.rules.append(Rule(code, problems.__doc__ or "", problems, slow))
            return cls.rules[-1]

        return added


def listed(problem: str, rows: Iterable[object]) -> Iterator[str]:
    """Yield a problem with a few of the rows that have it, unless none has."""
    names = [str(row) for row in rows]
    if names:
        more = f" and {len(names) - _NAMED_AT_MOST} more" if len(names) > _NAMED_AT_MOST else ""
        yield f"{problem} {', '.join(names[:_NAMED_AT_MOST])}{more}"
