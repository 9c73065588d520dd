"""What sums up each QPV of a release, and its territory: five figures, and two French sentences on them.

Sentences never name a QPV or an EPCI where its article, gender or number, which are not known, would matter.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache

from qpv_geo.analysis.ranks import read_distributions
from qpv_geo.formats.base import Content
from qpv_geo.formats.essentials import (
    POPULATION,
    POVERTY,
    TOWN,
    Comparison,
    Essential,
    EssentialPlan,
    QpvSummary,
    TerritorySummary,
    essential_plans,
    figure_of,
)
from qpv_geo.formats.figures import EVERY_QPV, EVERY_QPV_CODE, Figure, Figures, Zone, qpv_zones
from qpv_geo.french import THIN, ZONE_WORDS, capitalised, counted, in_place, listing, number, points
from qpv_geo.ingest.distribution import Distributions
from qpv_geo.statuses import STATUSES
from qpv_geo.territory import codes_of

# The QPV of a territory taken together: as INSEE publishes them, else as they are computed.
_TOGETHER = {
    "epci": ("ensemble_qpv_epci", "qpv_epci"),
    "commune": ("qpv_commune",),
    "departement": ("ensemble_qpv_departement", "qpv_departement"),
    "france": (EVERY_QPV, "qpv_france"),
}
_IN_EPCI = "ensemble_qpv_epci"
# What sentences call them.
_OF_TERRITORY = {
    "epci": "de l'intercommunalité",
    "commune": "de la commune",
    "departement": "du département",
    "france": "de France",
}
_TOGETHER_WORDS = {
    "ensemble_qpv_epci": "ensemble des QPV de l'intercommunalité",
    "ensemble_qpv_departement": "ensemble des QPV du département",
    "ensemble_qpv": "ensemble des QPV de métropole",
}
_NAMED_AT_MOST = 3
_PLURAL = 2
# A QPV stands out if at most one in so many is beyond it.
_BEYOND = 4


@lru_cache(maxsize=1)
def summaries_of(content: Content) -> "Summaries":
    """Return the essentials of a release, which the workbook, QGIS, the pages and the atlas share."""
    return Summaries(content)


class Summaries:
    """The essentials of a release."""

    def __init__(self, content: Content) -> None:
        frames, territory = content.frames, content.spec.territory
        self._content = content
        self.figures = Figures(content)
        """Those that it reads."""
        self._together = [(kind, territory.code) for kind in _TOGETHER[territory.genre]]
        communes = frames["communes"]
        self._towns = dict(zip(communes["insee_com"], communes["nom_com"], strict=True))

    @cached_property
    def qpv(self) -> dict[str, QpvSummary]:
        """By code, in the order of layer ``qpv``."""
        table = self._content.frames["qpv"]
        columns = table["insee_com_calcule"], table["siren_epci_calcule"]
        summaries = {}
        for zone, communes, epci in zip(qpv_zones(self._content.frames), *columns, strict=True):
            essentials = tuple(
                self._of_qpv(plan, zone, codes_of(communes), codes_of(epci)) for plan in essential_plans()
            )
            sentences = qpv_sentences(essentials, self._content.spec.territory.genre, len(table))
            summaries[zone.code] = QpvSummary(zone, essentials, sentences)
        return summaries

    @cached_property
    def territory(self) -> TerritorySummary:
        """Its QPV taken together, and each of them."""
        frames, spec = self._content.frames, self._content.spec
        towns = {code for listed in frames["qpv"]["insee_com_calcule"] for code in codes_of(listed)}
        town = sorted(towns) if len(towns) == 1 else []
        essentials = tuple(self._of_territory(plan, town) for plan in essential_plans())
        people = frames["communes"]["population"]
        sources = self._content.sources_read
        of_communes = {source.id for source in spec.catalogue.filling("communes")}
        vintages = sources.loc[sources["source"].isin(of_communes), "millesime"].dropna()
        summary = TerritorySummary(
            essentials,
            int(people.sum()) if people.notna().all() else None,
            ", ".join(sorted(set(vintages))),
            tuple(self.qpv.values()),
        )
        return replace(summary, sentences=territory_sentences(summary, spec.territory.genre))

    def together(self, indicator: str) -> Figure:
        """Return the figure of the territory's QPV taken together, or why there is none."""
        missing = self.figures.missing(indicator)
        sets = [self._compare(missing, kind, code, kind).other for kind, code in self._together]
        known = [figure for figure in sets if figure]
        return next((figure for figure in known if figure.present), known[-1] if known else missing)

    @cached_property
    def _spreads(self) -> Distributions:
        table = self._content.frames.get("repartition")
        return {} if table is None else read_distributions(table)

    def _of_qpv(
        self, plan: EssentialPlan, zone: Zone, communes: Sequence[str], epci: Sequence[str]
    ) -> Essential:
        figure = self.figures.newest(zone, plan.indicator)
        own = self._content.spec.territory.epci or next(iter(epci), None)
        sets = [(_IN_EPCI, own), *self._together] if own else self._together
        comparisons = (self._together_with(figure, sets), *self._everywhere(figure, communes))
        return Essential(plan, figure, comparisons, self._spreads.get((plan.indicator, figure.vintage)))

    def _of_territory(self, plan: EssentialPlan, communes: Sequence[str]) -> Essential:
        figure = self.together(plan.indicator)
        return Essential(plan, figure, tuple(self._everywhere(figure, communes)))

    def _together_with(self, figure: Figure, sets: Sequence[tuple[str, str]]) -> Comparison:
        """Compare with the first set of QPV that has a value, else with the first."""
        found = [self._compare(figure, kind, code, ZONE_WORDS[kind]) for kind, code in sets]
        known = [comparison for comparison in found if comparison.other and comparison.other.present]
        return next(iter(known), found[0])

    def _everywhere(self, figure: Figure, communes: Sequence[str]) -> Iterator[Comparison]:
        """Compare with all QPV, and with each commune if the same is published of one of them.

        A count is no part of all QPV's, which nobody publishes, nor of one of several communes'.
        """
        is_count = figure.indicator.kind == "count"
        if not is_count:
            yield self._compare(figure, EVERY_QPV, EVERY_QPV_CODE, ZONE_WORDS[EVERY_QPV])
        towns = [self._compare(figure, TOWN, code, self._towns.get(code, code)) for code in communes]
        if any(town.other for town in towns) and not (is_count and len(towns) > 1):
            yield from towns

    def _compare(self, figure: Figure, kind: str, code: str, name: str) -> Comparison:
        zone = Zone(kind, code, capitalised(name))
        other = self.figures.same_vintage(zone, figure.indicator.id, figure.vintage)
        return Comparison(zone, figure, other)


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
    there = in_place(name) if beside.zone.kind == TOWN else f"dans l'{_TOGETHER_WORDS[beside.zone.kind]}"
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
    which = "le seul QPV" if count == 1 else f"les {number(count)} QPV"
    where = f"{which} {_OF_TERRITORY[genre]}"
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
