"""What rules have in common."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import numpy as np

Subject = TypeVar("Subject")

_NAMED_AT_MOST = 5


@dataclass(frozen=True)
class Finding:
    """A rule that a release breaks.

    Attributes
    ----------
    code
        The rule's.
    file
        Path inside the release.
    message
        What is wrong.
    """

    code: str
    file: str
    message: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.code} {self.file}: {self.message}"


class Rule(ABC, Generic[Subject]):
    """One rule about one kind of subject.

    Attributes
    ----------
    code
        Stable; findings carry it.
    slow
        Whether it takes longer than a refresh can afford; `releases verify` applies it all the same.
    """

    code: ClassVar[str]
    slow: ClassVar[bool] = False

    def findings(self, subject: Subject, file: str, unreadable: tuple[type[Exception], ...]) -> list[Finding]:
        """Apply the rule; a subject that cannot even be read for it breaks it.

        Parameters
        ----------
        subject, file
            What the rule is applied to, and how findings name it.
        unreadable
            What a damaged subject raises.
        """
        try:
            return [Finding(self.code, file, problem) for problem in self._problems(subject)]
        except unreadable as error:
            return [Finding(self.code, file, f"cannot be checked: {type(error).__name__}: {error}")]

    @abstractmethod
    def _problems(self, subject: Subject) -> Iterator[str]:
        """Yield a sentence for each way in which the subject breaks the rule."""


def named(rows: Iterable[object]) -> str:
    """List a few of the rows that break a rule."""
    listed = [str(row) for row in rows]
    more = f" and {len(listed) - _NAMED_AT_MOST} more" if len(listed) > _NAMED_AT_MOST else ""
    return ", ".join(listed[:_NAMED_AT_MOST]) + more


def chosen(rows: Iterable[object], mask: np.ndarray) -> list[object]:
    """Return the rows that a mask marks."""
    return [row for row, marked in zip(rows, mask, strict=True) if marked]
