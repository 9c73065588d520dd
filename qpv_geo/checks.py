"""The controls that a run makes and publishes (table ``controles``)."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["conforme", "avertissement", "non_verifiable"]


@dataclass(frozen=True)
class Check:
    """One control, in the words that GIS users read.

    A control that fails outright is not a `Check`: it raises, and nothing is published.

    Attributes
    ----------
    code
        Stable identifier, lower snake case (``nombre_qpv_metropole``).
    subject
        What was looked at: a source id, a layer, a QPV code.
    outcome
        ``conforme``, ``avertissement`` (published all the same, somebody should look) or
        ``non_verifiable`` (with the reason in `message`).
    expected, found
        As text, in French.
    message
        One sentence in French.
    """

    code: str
    subject: str
    outcome: Outcome
    expected: str
    found: str
    message: str
