"""Checks that find what is expected, or nothing wrong, and the lists of codes in their messages."""

from collections.abc import Sequence, Sized

from qpv_geo.checks import Check, Outcome
from qpv_geo.french import counted
from qpv_geo.territory import Territory

_NAMED_AT_MOST = 20


def check_none(code: str, subject: str, exceptions: Sized, message: str, otherwise: str = "") -> Check:
    """Return a check that expects no exception: a warning if there is one, else with the other message."""
    outcome: Outcome = "avertissement" if len(exceptions) else "conforme"
    message = message if len(exceptions) or not otherwise else otherwise
    return Check(code, subject, outcome, "0", str(len(exceptions)), message)


def check_expected(code: str, count: int, noun: str, territory: Territory) -> Check:
    """Return the check of a count that is the one that the territory file expects."""
    message = f"{count} {noun} dans {territory.nom}, comme attendu."
    return Check(code, territory.id, "conforme", str(count), str(count), message)


def first_codes(codes: Sequence[str]) -> str:
    """List codes in French: the first twenty, and how many others there are."""
    others = len(codes) - _NAMED_AT_MOST
    return ", ".join(codes[:_NAMED_AT_MOST]) + (f" et {counted(others, 'autre')}" if others > 0 else "")
