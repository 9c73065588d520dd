"""What sums up each QPV of a release, and its territory."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache

from qpv_geo.analysis.ranks import read_distributions
from qpv_geo.formats.base import Content
from qpv_geo.formats.essentials import (
    TOWN,
    Comparison,
    Essential,
    EssentialPlan,
    QpvSummary,
    TerritorySummary,
    essential_plans,
)
from qpv_geo.formats.figures import EVERY_QPV, EVERY_QPV_CODE, Figure, Figures, Zone, qpv_zones
from qpv_geo.formats.sentences import qpv_sentences, territory_sentences
from qpv_geo.french import ZONE_WORDS, capitalised
from qpv_geo.ingest.distribution import Distributions
from qpv_geo.territory import codes_of

# The QPV of a territory taken together: as INSEE publishes them, else as they are computed.
_TOGETHER = {
    "epci": ("ensemble_qpv_epci", "qpv_epci"),
    "commune": ("qpv_commune",),
    "departement": ("ensemble_qpv_departement", "qpv_departement"),
    "france": (EVERY_QPV, "qpv_france"),
}
_IN_EPCI = "ensemble_qpv_epci"


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
