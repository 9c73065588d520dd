"""What a reader of the report should know first: three sentences, what to look at, what is missing."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from qpv_geo.checks import CHECKS
from qpv_geo.formats.changes_schema import Changes
from qpv_geo.formats.report_schema import Control, Report
from qpv_geo.french import capitalised, counted, listing

_NOT_WANTED = "sans objet"
# A section of the report says the same of each indicator.
_TOLD_BELOW = "indicateurs_reconnus"
# Messages of one check that are shown, and letters of a list that is.
_MESSAGES_AT_MOST, _LONG = 3, 120


def headlines(report: Report) -> tuple[str, str, str]:
    """Return the three sentences: how sure the release is, what changed, what is missing."""
    return _certainty(report), _changes(report.differences), _missing(report)


def _certainty(report: Report) -> str:
    if report.retenue:
        reasons = counted(len(report.retenue), "raison")
        return f"Cette publication est retenue pour {reasons} : quelqu'un doit décider avant qu'elle serve."
    outcomes = Counter(control.resultat for control in report.controles)
    parts = [counted(outcomes["conforme"], "contrôle conforme")]
    if untold := outcomes["non_verifiable"]:
        parts.append(counted(untold, "impossible"))
    if points := len(to_look_at(report.controles)):
        parts.append(f"{counted(points, 'point')} à regarder")
    return f"Chaque valeur a été relue et comparée aux fichiers d'origine : {listing(parts)}."


def _changes(changes: Changes | None) -> str:
    if changes is None:
        return "C'est la première publication : il n'y en a pas de précédente à laquelle la comparer."
    if changes.none:
        return f"Rien n'a changé depuis la publication {changes.precedente}."
    indicators = {change.indicateur for change in changes.statistiques}
    counts = {
        "quartier entré": len(changes.qpv_entres),
        "quartier sorti": len(changes.qpv_sortis),
        "quartier renommé": len(changes.qpv_renommes),
        "contour changé": len(changes.contours),
        "indicateur changé": len(indicators),
        "couche ajoutée": len(changes.couches_ajoutees),
        "couche retirée": len(changes.couches_retirees),
        "champ ajouté": len(changes.champs_ajoutes),
        "champ retiré": len(changes.champs_retires),
        "source changée": len(changes.sources),
    }
    parts = [counted(count, noun) for noun, count in counts.items() if count]
    if not parts:
        parts = [counted(len(changes.lignes), "table changée")]
    return f"Depuis la publication {changes.precedente} : {listing(parts)}."


def _missing(report: Report) -> str:
    sources = sum(len(titles) for titles in absences(report).values())
    if sources:
        read = "n'a pas pu être lue" if sources == 1 else "n'ont pas pu être lues"
        parts = [counted(len(report.couches_absentes), "couche")] if report.couches_absentes else []
        lost = listing([*parts, "leurs indicateurs" if sources > 1 else "ses indicateurs"])
        return f"{counted(sources, 'source')} {read} : il manque {lost}."
    if report.indicateurs_manquants:
        lacking = counted(len(report.indicateurs_manquants), "indicateur attendu")
        return f"Toutes les sources ont été lues ; il y manque {lacking}."
    return "Rien ne manque : toutes les sources ont été lues, avec tous leurs indicateurs."


def absences(report: Report) -> dict[str, list[str]]:
    """Return by reason the titles of the sources that were wanted and not read."""
    found: dict[str, list[str]] = {}
    for source in report.sources_absentes:
        if source.etat != _NOT_WANTED:
            # The sentence begins with the title, which stands beside it here.
            reason = (source.motif or source.etat).removeprefix(f"{source.titre} : ").rstrip(".")
            found.setdefault(capitalised(reason), []).append(source.titre)
    return found


@dataclass(frozen=True)
class Remark:
    """What one or several warnings say: a sentence, what it is about, and what is folded below it."""

    sentence: str
    subjects: tuple[str, ...]
    details: tuple[str, ...]


def to_look_at(controls: Iterable[Control]) -> list[Remark]:
    """Return the warnings, except those that another part lists: each message once, however many say it.

    Of a check that warns of much, the sentence is that of the check, and its messages are folded.
    """
    messages: dict[str, dict[str, list[str]]] = {}
    for control in controls:
        if control.resultat == "avertissement" and control.controle != _TOLD_BELOW:
            by_message = messages.setdefault(control.controle, {})
            by_message.setdefault(control.message, []).append(control.objet)
    findings = []
    for code, by_message in messages.items():
        if len(by_message) > _MESSAGES_AT_MOST:
            findings.append(Remark(CHECKS[code], (), tuple(by_message)))
        else:
            findings += [_finding(message, tuple(subjects)) for message, subjects in by_message.items()]
    return findings


def _finding(message: str, subjects: tuple[str, ...]) -> Remark:
    head, _, rest = message.partition(" : ")
    if len(rest) > _LONG:
        return Remark(f"{head}.", subjects, (rest,))
    return Remark(message, subjects, ())
