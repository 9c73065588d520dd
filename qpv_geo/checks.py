"""The checks that a run makes and publishes (table ``controles``), one list of all of them."""

from collections.abc import Mapping, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qpv_geo.territory import Territory
from qpv_geo.toml_file import read_toml

Outcome = Literal["conforme", "avertissement", "non_verifiable"]

CHECKS: Mapping[str, str] = read_toml(Path(__file__).with_name("checks.toml"))
"""By code, in a French sentence, what a check controls. A code is never renamed."""


@dataclass(frozen=True)
class Check:
    """One control, in the words that GIS users read.

    A control that fails outright is not a `Check`: it raises, and nothing is published.
    """

    code: str
    subject: str
    """What was looked at: a source id, a layer, a QPV code."""
    outcome: Outcome
    """``conforme``, ``avertissement`` (published all the same, somebody should look) or ``non_verifiable``
    (with the reason in `message`)."""
    expected: str
    found: str
    """As text, in French."""
    message: str
    """One sentence in French."""

    def __post_init__(self) -> None:
        """Refuse a code that the report and the documents cannot explain."""
        if self.code not in CHECKS:
            raise ValueError(f"check {self.code!r} is not listed in qpv_geo/checks.toml: add its sentence")


def check_none(
    code: str,
    subject: str,
    exceptions: Sized,
    message: str,
    otherwise: str = "",
    counts: tuple[int | str, int | str] | None = None,
) -> Check:
    """Return a check that expects no exception: a warning if there is one, else with the other message.

    `counts` are what was expected and what was found: by default none, and the number of exceptions.
    """
    expected, found = map(str, counts or (0, len(exceptions)))
    if len(exceptions):
        return Check(code, subject, "avertissement", expected, found, message)
    return Check(code, subject, "conforme", expected, found, otherwise or message)


def check_expected(code: str, count: int, noun: str, territory: Territory) -> Check:
    """Return the check of a count that is the one that the territory file expects."""
    message = f"{count} {noun} dans {territory.nom}, comme attendu."
    return Check(code, territory.id, "conforme", str(count), str(count), message)
