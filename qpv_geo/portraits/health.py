"""What the health page of one QPV shows: where it stands, what is near, what is missing or not known."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from qpv_geo.formats.base import Content
from qpv_geo.formats.figures import EVERY_QPV, Figure, Zone, comparison_zones
from qpv_geo.formats.frames import plain_values
from qpv_geo.formats.health import (
    COMMUNES_APL,
    GOALS,
    INDICES,
    IRIS,
    OWN,
    SUPPLY,
    CareRow,
    HealthFigure,
    care_of,
    health_of,
)
from qpv_geo.formats.summaries import Summaries
from qpv_geo.french import counted, listing, number
from qpv_geo.portraits.health_follow_up import follow_up
from qpv_geo.portraits.health_map import draw_care
from qpv_geo.portraits.health_trends import Trend, trends_of
from qpv_geo.portraits.qpv_map import Drawing
from qpv_geo.territory import codes_of
from qpv_geo.zones import department_of

# Headings of table ``sante``.
DETERMINANTS, RIGHTS, CARE, ACCESS = (
    *("Déterminants de santé", "Accès aux droits"),
    *("Offre de soins", "Accessibilité aux soins"),
)
_TITLES = {DETERMINANTS: "Où se situe le quartier", RIGHTS: "Les droits"}
# What a QPV is compared with.
_COMPARED = ("commune", EVERY_QPV)
# What the first sentences count.
_COUNTED_FIRST = ("medecins_generalistes", "infirmiers", "dentistes", "pharmacies")
# Measures that one reason names.
_NAMED_AT_MOST = 8
# Zones of the context, from near to far.
_AREAS = ("commune", "epci", "departement", "region", "france")
# Lines that charts show in place of the table, of the zones that they draw.
_APL = "apl_"
# What the remark of a distance says where care beyond the data may be nearer.
_BEYOND = "hors du territoire"
_NO_VALUE = "pas de valeur pour le quartier"
_HEALTH = ("santé", "soins")


@dataclass(frozen=True)
class ComparedRow:
    """A measure of the QPV and, by compared zone, that of the same vintage (None: unpublished)."""

    figure: HealthFigure
    others: tuple[Figure | None, ...]


@dataclass(frozen=True)
class HealthSection:
    """A table of the QPV's own measures, and the zones that they are compared with."""

    id: str
    title: str
    zones: tuple[Zone, ...]
    rows: tuple[ComparedRow, ...]


@dataclass(frozen=True)
class ContextRow:
    """A measure of larger zones, by zone (None: no row)."""

    label: str
    unit: str
    vintage: str
    figures: tuple[HealthFigure | None, ...]


@dataclass(frozen=True)
class FollowedMeasure:
    """A measure that follows an action of the contract: the QPV's figure, or why it has none."""

    label: str
    line: str
    figure: HealthFigure | Figure | None
    otherwise: str


@dataclass(frozen=True)
class Followed:
    """An action of the contract, and the measures that follow it."""

    goal: str
    action: str
    measures: tuple[FollowedMeasure, ...]


@dataclass(frozen=True)
class HealthPortrait:
    """Everything that the health page of a QPV shows."""

    zone: Zone
    communes: str
    sentences: tuple[str, ...]
    lacking: str
    """Which sources this release lacks, as one sentence; empty if none."""
    sections: tuple[HealthSection, ...]
    iris: tuple[HealthFigure, ...]
    """Measures of the IRIS that cover the QPV, which are not quite the QPV's."""
    areas: tuple[Zone, ...]
    context: tuple[ContextRow, ...]
    trends: tuple[Trend, ...]
    map: Drawing
    care: tuple[CareRow, ...]
    care_notes: tuple[str, ...]
    access: tuple[HealthFigure, ...]
    unknown: tuple[tuple[str, tuple[str, ...]], ...]
    """Reasons, each with the measures that have no value for it."""
    followed: tuple[Followed, ...]
    changes: tuple[str, ...]
    """What changed since the release before, as sentences."""

    @property
    def none_near(self) -> list[str]:
        """Categories of which there is none within the largest reach."""
        return [row.label for row in self.care if row.none_near]

    @property
    def access_remarks(self) -> list[str]:
        """What is to be known of the estimates, each once."""
        return [*dict.fromkeys(one.remark for one in self.access if one.remark)]

    @property
    def iris_remarks(self) -> list[str]:
        """Which IRIS they are."""
        return [*dict.fromkeys(one.remark for one in self.iris if one.remark)]

    @property
    def categories(self) -> dict[str, str]:
        """Labels of the categories on the map."""
        marked = {mark.domain for mark in self.map.places}
        return {row.category: row.label for row in self.care if row.category in marked}


def build_health(row: pd.Series, content: Content, summaries: Summaries) -> HealthPortrait:
    """Gather what the health page of a QPV, a row of layer ``qpv``, shows."""
    zone = Zone(OWN, row["code_qp"], row["lib_qp"] or row["code_qp"])
    figures = health_of(content)[zone.code]
    care = care_of(content).get(zone.code, ())
    own = [figure for figure in figures if figure.own]
    compared = [other for other in comparison_zones(row, content) if other.kind in _COMPARED]
    trends = trends_of(content, codes_of(row["insee_com_calcule"]), department_of(zone.code))
    larger = [one for one in figures if one.zone.kind in _AREAS and one.present]
    drawn = {(last.zone.kind, last.zone.code) for trend in trends for last in trend.newest}
    context = [
        one for one in larger if not (one.line.startswith(_APL) and (one.zone.kind, one.zone.code) in drawn)
    ]
    areas = sorted({one.zone for one in context}, key=lambda area: (_AREAS.index(area.kind), area.code))
    return HealthPortrait(
        zone=zone,
        communes=row["lib_com_calcule"] or row["lib_com"] or "",
        sentences=(summaries.qpv[zone.code].sentences[0], *_near_sentences(care)),
        lacking=lacking_sentence(content, own),
        sections=tuple(
            _section(heading, [one for one in own if one.heading == heading], compared, summaries)
            for heading in _TITLES
        ),
        iris=tuple(one for one in figures if one.zone.kind == IRIS and one.present),
        areas=tuple(areas),
        context=tuple(_context(context, areas)),
        trends=trends,
        map=draw_care(zone.code, content),
        care=care,
        care_notes=tuple(_care_notes(care, own)),
        access=tuple(one for one in own if one.heading == ACCESS and one.present),
        unknown=unknown_of(figures),
        followed=tuple(_followed(content, zone, figures, summaries)),
        changes=follow_up(content, zone.code),
    )


def _near_sentences(care: Sequence[CareRow]) -> Iterator[str]:
    """Say what there is within 500 m."""
    counts = {
        row.category: f"{row.label[:1].lower()}{row.label[1:]} ({row.around[1]})" for row in care if row.known
    }
    near = [counts[category] for category in _COUNTED_FIRST if category in counts]
    if near:
        yield f"À 500 m au plus du quartier : {', '.join(near)}."


def lacking_sentence(content: Content, own: Iterable[HealthFigure]) -> str:
    """Say in one sentence what a release does not know of the health approach, empty if it has all of it."""
    frames = content.frames
    rights = [figure for figure in own if figure.own and figure.heading == RIGHTS]
    absent = [
        *([] if any(figure.present for figure in rights) else ["les droits ouverts (INSEE, CNAM, CNAF)"]),
        *([] if SUPPLY in frames else ["l'offre de soins (Base permanente des équipements)"]),
        *([] if INDICES in frames else ["l'indice d'accessibilité aux soins"]),
        *(
            []
            if COMMUNES_APL in frames
            else ["l'accessibilité potentielle localisée des communes (APL, DREES)"]
        ),
    ]
    return f"Cette publication n'a pas pu lire ce qui donne {listing(absent)}." if absent else ""


def _section(
    heading: str, figures: Sequence[HealthFigure], zones: Sequence[Zone], summaries: Summaries
) -> HealthSection:
    """Compare the measures that have a value, without the zones of which none has a figure."""
    present = [figure for figure in figures if figure.present]
    compared = [
        [summaries.figures.same_vintage(zone, figure.line, figure.vintage) for zone in zones]
        for figure in present
    ]
    used = [rank for rank in range(len(zones)) if any(row[rank] for row in compared)]
    return HealthSection(
        "determinants" if heading == DETERMINANTS else "droits",
        _TITLES[heading],
        tuple(zones[rank] for rank in used),
        tuple(
            ComparedRow(figure, tuple(row[rank] for rank in used))
            for figure, row in zip(present, compared, strict=True)
        ),
    )


def _context(figures: Iterable[HealthFigure], areas: Sequence[Zone]) -> Iterator[ContextRow]:
    """Yield a row for each measure and vintage of zones larger than the QPV."""
    cells: dict[tuple[str, str], dict[Zone, HealthFigure]] = {}
    for figure in figures:
        cells.setdefault((figure.line, figure.vintage), {})[figure.zone] = figure
    for (_, vintage), by_zone in cells.items():
        first = next(iter(by_zone.values()))
        yield ContextRow(first.label, first.unit_beside, vintage, tuple(map(by_zone.get, areas)))


def _care_notes(care: Sequence[CareRow], own: Iterable[HealthFigure]) -> Iterator[str]:
    """Say how the counts are to be read: vintage, uncertain positions, from where distances are measured."""
    if not care:
        return
    vintages = listing(sorted({row.vintage for row in care if row.vintage}))
    yield (
        f"Base permanente des équipements, millésime {vintages} ; chaque rayon comprend le quartier et "
        "se mesure à vol d'oiseau. Un lieu compte une fois par activité, quel que soit le temps passé."
    )
    differing = [
        f"{row.label[:1].lower()}{row.label[1:]} {row.counted_by_insee} (ici {row.inside})"
        for row in care
        if row.counted_by_insee not in {"", row.inside}
    ]
    if differing:
        yield f"L'INSEE, qui en place elle-même dans le quartier (QP2024), compte : {' ; '.join(differing)}."
    if any(row.from_contour for row in care):
        yield "Sans les bâtiments, la distance part du contour du quartier et non de ses logements."
    if any(figure.heading == CARE and _BEYOND in figure.remark for figure in own):
        yield "Un lieu plus proche que ceux du tableau peut être hors du territoire et de ses abords."
    street, unlocated = sum(row.street for row in care), sum(row.unlocated for row in care)
    if street:
        yield f"Position tirée au sort dans la rue par l'INSEE, comptés : {number(street)}."
    if unlocated:
        yield f"Sans position sûre dans les communes alentour, non comptés : {number(unlocated)}."


def unknown_of(figures: Sequence[HealthFigure]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return each reason of a missing value once, with the measures that it concerns.

    A heading of which every measure lacks for the same reason stands for them.
    """
    reasons: dict[str, list[HealthFigure]] = {}
    for figure in figures:
        if not figure.present:
            reasons.setdefault(figure.reason, []).append(figure)
    sizes = Counter(figure.heading for figure in figures)
    return tuple((reason, tuple(_measures(missing, sizes))) for reason, missing in reasons.items())


def _measures(missing: Sequence[HealthFigure], sizes: Mapping[str, int]) -> Iterator[str]:
    """Name the measures that are missing for one reason, with their mesh if it is larger than the QPV."""
    whole = {
        heading
        for heading, count in Counter(one.heading for one in missing).items()
        if count == sizes[heading]
    }
    for heading in sorted(whole):
        yield f"toutes les mesures de « {heading} »"
    meshes: dict[str, dict[str, None]] = {}
    for one in missing:
        if one.heading not in whole:
            meshes.setdefault(one.label, {}).update({} if one.own else {one.mesh: None})
    labels = [f"{label}, maille {listing([*names])}" if names else label for label, names in meshes.items()]
    yield from labels[:_NAMED_AT_MOST]
    if others := len(labels[_NAMED_AT_MOST:]):
        yield f"et {counted(others, 'autre mesure')}"


def _followed(
    content: Content, zone: Zone, figures: Sequence[HealthFigure], summaries: Summaries
) -> Iterator[Followed]:
    """Yield the actions of the contract that are about health, with the QPV's measures that follow them."""
    table = content.frames.get(GOALS)
    if table is None:
        return
    by_line = {figure.line: figure for figure in figures if figure.own}
    meshes = {figure.line: figure.mesh for figure in reversed(figures) if not figure.own}
    actions: dict[tuple[str, str], list[FollowedMeasure]] = {}
    columns = ("objectif", "action", "indicateur", "libelle")
    for goal, action, line, label in zip(*(plain_values(table[name]) for name in columns), strict=True):
        if any(word in f"{goal} {action}".lower() for word in _HEALTH):
            known = line in summaries.figures.indicators
            figure = by_line.get(line) or (summaries.figures.newest(zone, line) if known else None)
            mesh = f"mesure de la maille « {meshes[line]} », à part" if line in meshes else _NO_VALUE
            actions.setdefault((goal, action), []).append(FollowedMeasure(label, line, figure, mesh))
    for (goal, action), measures in actions.items():
        yield Followed(goal, action, tuple(measures))
