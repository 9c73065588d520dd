"""Statuses of a value: present, or why it is missing, with the French words that readers see."""

from typing import NamedTuple


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
    OK: Status("publiée", "la valeur est celle du producteur"),
    ESTIMATE: Status("estimation", "les effectifs des IRIS sont répartis au prorata des surfaces"),
    SECRET: Status(
        "secret statistique", "l'INSEE ne publie pas la valeur, pour que personne ne puisse être reconnu"
    ),
    IMPRECISE: Status(
        "précision insuffisante",
        "l'estimation est trop incertaine pour être publiée (coefficient de variation supérieur à 15 %)",
    ),
    NOT_SIGNIFICANT: Status("non significatif", "l'effectif est trop faible pour que la valeur ait un sens"),
    NOT_AVAILABLE: Status("non disponible", "la source ne donne pas de valeur"),
    NOT_APPLICABLE: Status("sans objet", "l'indicateur n'a pas de sens pour cette zone"),
    NOT_COMPUTABLE: Status("non calculable", "pour un ensemble de zones, ni somme ni moyenne n'a de sens"),
}
"""Every status with its words. Absences are in order of precedence: if the parts of a whole lack their values
for several reasons, the first of these is the whole's."""

ABSENCES = tuple(status for status in STATUSES if status not in VALUED)
"""Statuses of a missing value, in order of precedence."""


def worst(statuses: set[str]) -> str:
    """Return the status of what is computed from values with these statuses."""
    absence = next((reason for reason in ABSENCES if reason in statuses), None)
    return absence or (ESTIMATE if ESTIMATE in statuses else OK)
