"""Statuses of a value: present, or why it is missing, with the French words that readers see."""

from pathlib import Path
from typing import NamedTuple

from qpv_geo.toml_file import read_toml


class Status(NamedTuple):
    """One status of a published value: words shown in its place, and its meaning as a French clause."""

    words: str
    sentence: str


OK = "ok"
ESTIMATE = "estimation"
SECRET = "secret"  # noqa: S105 - not a password
IMPRECISE = "imprecis"
NOT_SIGNIFICANT = "non_significatif"
NOT_AVAILABLE = "non_disponible"
NOT_APPLICABLE = "sans_objet"
NOT_COMPUTABLE = "non_calculable"

VALUED = (OK, ESTIMATE)
"""Statuses of a value that is present."""

STATUSES = {
    code: Status(**words) for code, words in read_toml(Path(__file__).with_name("statuses.toml")).items()
}
"""Every status with its words. Absences are in order of precedence: if the parts of a whole lack their values
for several reasons, the first of these is the whole's."""

ABSENCES = tuple(status for status in STATUSES if status not in VALUED)
"""Statuses of a missing value, in order of precedence."""


def worst(statuses: set[str]) -> str:
    """Return the status of what is computed from values with these statuses."""
    absence = next((reason for reason in ABSENCES if reason in statuses), None)
    return absence or (ESTIMATE if ESTIMATE in statuses else OK)
