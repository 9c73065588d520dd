"""Two French sentences on a QPV, and two on a territory, made from their essential figures.

They never name a QPV or an EPCI where its article, gender or number, which are not known, would matter.
"""

import math
from collections.abc import Sequence

from qpv_geo.formats.essentials import (
    POPULATION,
    POVERTY,
    TOWN,
    Comparison,
    Essential,
    TerritorySummary,
    figure_of,
)
from qpv_geo.french import THIN, counted, in_place, listing, number, points
from qpv_geo.statuses import STATUSES

_OF_TERRITORY = {
    "epci": "de l'intercommunalité",
    "commune": "de la commune",
    "departement": "du département",
    "france": "de France",
}
_TOGETHER = {
    "ensemble_qpv_epci": "ensemble des QPV de l'intercommunalité",
    "ensemble_qpv_departement": "ensemble des QPV du département",
    "ensemble_qpv": "ensemble des QPV de métropole",
}
_NAMED_AT_MOST = 3
_PLURAL = 2
# A QPV stands out if at most one in so many is beyond it.
_BEYOND = 4


def qpv_sentences(essentials: Sequence[Essential], genre: str, qpv: int) -> tuple[str, str]:
    """Return how many live there and how poor they are, and what sets the QPV apart from the others.

    `genre` is the territory's, and `qpv` the number of its QPV.
    """
    of = {essential.plan.id: essential for essential in essentials}
    rates = [essential for essential in essentials if essential.figure.indicator.kind != "count"]
    first = f"{_population(of[POPULATION], genre, qpv)} ; {_poverty(of[POVERTY])}."
    return first, _standing(rates)


def territory_sentences(summary: TerritorySummary, genre: str) -> tuple[str, str]:
    """Return how many live in the QPV of a territory, and the range of their poverty rates."""
    return _people(summary, genre), _poorest(summary)


def _population(essential: Essential, genre: str, qpv: int) -> str:
    figure = essential.figure
    if not figure.present:
        return f"La population du quartier n'est pas publiée ({STATUSES[figure.status].words})"
    sentence = f"Le quartier compte {counted(int(figure.value), 'habitant')} ({figure.vintage})"
    if qpv == 1:
        return f"{sentence} : c'est le seul QPV {_OF_TERRITORY[genre]}"
    sets = (beside for beside in essential.comparisons if beside.zone.kind != TOWN)
    share = next((beside.share for beside in sets), math.nan)
    if math.isnan(share):
        return sentence
    part = f"{number(share, 1)}{THIN}%"
    return f"{sentence}, soit {part} de la population des {number(qpv)} QPV {_OF_TERRITORY[genre]}"


def _poverty(essential: Essential) -> str:
    figure = essential.figure
    if not figure.present:
        return f"le taux de pauvreté n'y est pas publié ({STATUSES[figure.status].words})"
    sentence = f"{figure.short} des personnes y vivent sous le seuil de pauvreté ({figure.vintage})"
    # A QPV in several towns is compared with none of them.
    sets = (beside for beside in essential.comparisons if beside.known and beside.zone.kind != TOWN)
    if beside := essential.town or next(sets, None):
        return f"{sentence}, {_against(beside)}"
    if essential.is_ranked:
        return f"{sentence} ; dans la moitié des QPV de métropole, ce taux ne dépasse pas {essential.median}"
    return sentence


def _against(beside: Comparison) -> str:
    """Say the gap: ``32 points de plus qu'à Besançon (23 %)``."""
    name = beside.zone.name
    there = in_place(name) if beside.zone.kind == TOWN else f"dans l'{_TOGETHER[beside.zone.kind]}"
    value = beside.other.short if beside.other else ""
    if not beside.gap:
        return f"comme {there} ({value})"
    than = f"que {there}" if there.startswith("d") else f"qu'{there}"
    side = "plus" if beside.gap > 0 else "moins"
    return f"{points(abs(beside.gap), beside.decimals)} de {side} {than} ({value})"


def _standing(essentials: Sequence[Essential]) -> str:
    """Say which rate is beyond those of most other QPV."""
    ranked = [essential for essential in essentials if essential.is_ranked]
    if not ranked:
        return "Aucun de ces pourcentages ne peut être comparé à ceux des QPV de métropole."
    farthest = min(ranked, key=lambda one: min(one.higher, one.lower) / one.figure.among)
    count, among = min(farthest.higher, farthest.lower), int(farthest.figure.among)
    if count * _BEYOND > among:
        return (
            "Aucun de ces pourcentages n'est dans le quart le plus élevé ou le plus faible de ceux des QPV "
            "de métropole."
        )
    feminine = farthest.plan.name.startswith("la ")
    degree = ("élevée" if feminine else "élevé") if farthest.higher <= farthest.lower else "faible"
    one = f"{'une' if feminine else 'un'} plus {degree}"
    others = f"{'un seul' if count == 1 else number(count)} sur {number(among)}"
    beyond = f"{others} en {'a' if count == 1 else 'ont'} {one}" if count else f"aucun n'en a {one}"
    figure = farthest.figure
    return (
        f"C'est {farthest.plan.name} ({figure.short} en {figure.vintage}) qui distingue le plus le quartier "
        f"des autres QPV de métropole : {beyond}."
    )


def _people(summary: TerritorySummary, genre: str) -> str:
    figure = figure_of(POPULATION, summary.essentials)
    count = len(summary.qpv)
    where = (
        f"le seul QPV {_OF_TERRITORY[genre]}"
        if count == 1
        else f"les {number(count)} QPV {_OF_TERRITORY[genre]}"
    )
    if not figure.present:
        return f"La population qui vit dans {where} n'est pas publiée ({STATUSES[figure.status].words})."
    people = int(figure.value)
    verb = "vit" if people < _PLURAL else "vivent"
    sentence = f"{counted(people, 'personne')} {verb} dans {where} (population municipale {figure.vintage})"
    if math.isnan(summary.share_in_qpv):
        return f"{sentence}."
    share = f"{number(summary.share_in_qpv, 1)}{THIN}%"
    inhabitants = counted(summary.inhabitants or 0, "habitant")
    vintage = f"population des communes, millésime {summary.inhabitants_vintage}"
    return f"{sentence}, soit {share} de ses {inhabitants} ({vintage})."


def _poorest(summary: TerritorySummary) -> str:
    figures = {qpv.zone: figure_of(POVERTY, qpv.essentials) for qpv in summary.qpv}
    ordered = sorted((one for one in figures.values() if one.present), key=lambda one: one.value)
    if not ordered:
        return "Le taux de pauvreté n'est publié pour aucun de ces quartiers."
    low, high = (
        f"{end.short} ({_names([zone.name for zone, one in figures.items() if one.value == end.value])})"
        for end in (ordered[0], ordered[-1])
    )
    whole = next(one for one in summary.essentials if one.plan.id == POVERTY)
    against = ""
    if (town := whole.town) and town.other:
        against = f", contre {town.other.short} {in_place(town.zone.name)}"
    span = f"est de {low}" if ordered[0].value == ordered[-1].value else f"va de {low} à {high}"
    return f"Le taux de pauvreté y {span} en {ordered[0].vintage}{against}."


def _names(names: Sequence[str]) -> str:
    """List names of QPV, the first of many."""
    if len(names) <= _NAMED_AT_MOST:
        return listing(names)
    more = len(names) - _NAMED_AT_MOST + 1
    return listing([*names[: _NAMED_AT_MOST - 1], f"{number(more)} autres"])
