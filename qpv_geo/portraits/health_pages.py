"""The health pages: what they say of each QPV and of the territory, and their method and limits."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any

import pandas as pd

from qpv_geo.formats.base import Content
from qpv_geo.formats.figures import EVERY_QPV, Zone, comparison_zones, qpv_zones, rank_words, remarks_of
from qpv_geo.formats.frames import records
from qpv_geo.formats.health import (
    COMMUNES_APL,
    GOALS,
    INDICES,
    IRIS,
    OWN,
    SUPPLY,
    TABLE,
    CareRow,
    HealthFigure,
    care_of,
    compared_figures,
    decimals_shown,
    health_of,
    rows_by_qpv,
)
from qpv_geo.formats.report_schema import HealthChange, HealthState
from qpv_geo.formats.summaries import Summaries
from qpv_geo.french import counted, length_name, listing, measure, number
from qpv_geo.portraits.charts import line_chart
from qpv_geo.portraits.qpv_map import draw_care
from qpv_geo.statuses import STATUSES
from qpv_geo.territory import codes_of
from qpv_geo.zones import department_of

HEALTH, METHOD = "sante.html", "sante_methode.html"
# Headings of table ``sante``.
_DETERMINANTS, _RIGHTS = "Déterminants de santé", "Accès aux droits"
_CARE, _ACCESS = "Offre de soins", "Accessibilité aux soins"
# Sections that compare the QPV: anchor, title.
_SECTIONS = {_DETERMINANTS: ("determinants", "Où se situe le quartier"), _RIGHTS: ("droits", "Les droits")}
# What a QPV is compared with.
_COMPARED = ("commune", EVERY_QPV)
# What the first sentences count.
_COUNTED_FIRST = ("medecins_generalistes", "infirmiers", "dentistes", "pharmacies")
# Measures that one reason names, changes that are told.
_NAMED_AT_MOST, _TOLD_AT_MOST = 8, 6
# Zones of the context and of the charts, from near to far.
_AREAS = ("commune", "epci", "departement", "region", "france")
_CHARTED = ("commune", "departement", "france")
# Lines that charts show in place of the table, of the zones that they draw.
_APL = "apl_"
# What the remark of a distance says where care beyond the data may be nearer.
_BEYOND = "hors du territoire"
_NO_VALUE = "pas de valeur pour le quartier"
_HEALTH = ("santé", "soins")


def page_of(code: str) -> str:
    """Return the file name of a QPV's health page."""
    return f"sante_{code}.html"


def health_pages(content: Content, summaries: Summaries) -> Iterator[tuple[str, str, dict[str, Any], str]]:
    """Yield file name, template, own values and QPV of each health page, none without table ``sante``."""
    if TABLE not in content.frames:
        return
    for _, row in content.frames["qpv"].iterrows():
        code = row["code_qp"]
        yield page_of(code), "health.html", {"portrait": _of_qpv(row, content, summaries)}, code
    yield HEALTH, "health_territory.html", {"health": _of_territory(content)}, ""
    yield METHOD, "health_method.html", _index_facts(content), ""


def _of_qpv(row: pd.Series, content: Content, summaries: Summaries) -> dict[str, Any]:
    """Return what the page of a QPV, a row of layer ``qpv``, shows."""
    summary = summaries.qpv[row["code_qp"]]
    zone, figures = summary.zone, health_of(content)[row["code_qp"]]
    care = care_of(content).get(zone.code, ())
    own = [figure for figure in figures if figure.own]
    iris = [figure for figure in figures if figure.zone.kind == IRIS and figure.present]
    access = [figure for figure in own if figure.heading == _ACCESS and figure.present]
    zones = [other for other in comparison_zones(row, content) if other.kind in _COMPARED]
    trends = trends_of(content, codes_of(row["insee_com_calcule"]), department_of(zone.code))
    areas, context = _context(figures, trends)
    drawing = draw_care(zone.code, content)
    drawn = {mark.domain for mark in drawing.places}
    return {
        "zone": zone,
        "communes": row["lib_com_calcule"] or row["lib_com"] or "",
        "sentences": [summary.sentences[0], *_near_sentences(care)],
        "lacking": _lacking_sentence(content, own),
        "sections": [_section(heading, own, zones, summaries) for heading in _SECTIONS],
        # Measures of the IRIS that cover the QPV, which are not quite the QPV's.
        "iris": iris,
        "iris_remarks": remarks_of(iris),
        "areas": areas,
        "context": context,
        "trends": trends,
        "map": drawing,
        "categories": {row.category: row.label for row in care if row.category in drawn},
        "care": care,
        "none_near": [row.label for row in care if row.most == 0],
        "care_notes": list(_care_notes(zone.code, care, content, own)),
        "access": access,
        "access_remarks": remarks_of(access),
        "unknown": _unknown(figures),
        "followed": _followed(content, zone, figures, summaries),
        "changes": follow_up(content, zone.code),
    }


def _near_sentences(care: Sequence[CareRow]) -> Iterator[str]:
    """Say what there is within 500 m."""
    counts = {
        row.category: f"{_in_sentence(row.label)} ({row.around[1]})" for row in care if row.most is not None
    }
    near = [counts[category] for category in _COUNTED_FIRST if category in counts]
    if near:
        yield f"À 500 m au plus du quartier : {', '.join(near)}."


def _in_sentence(label: str) -> str:
    return f"{label[:1].lower()}{label[1:]}"


def _lacking_sentence(content: Content, figures: Iterable[HealthFigure]) -> str:
    """Say in one sentence what a release does not know of the health approach, empty if it has all of it."""
    rights = [figure for figure in figures if figure.own and figure.heading == _RIGHTS]
    known = {
        "les droits ouverts (INSEE, CNAM, CNAF)": any(figure.present for figure in rights),
        "l'offre de soins (Base permanente des équipements)": SUPPLY in content.frames,
        "l'indice d'accessibilité aux soins": INDICES in content.frames,
        "l'accessibilité potentielle localisée des communes (APL, DREES)": COMMUNES_APL in content.frames,
    }
    absent = [what for what, is_known in known.items() if not is_known]
    return f"Cette publication n'a pas pu lire ce qui donne {listing(absent)}." if absent else ""


def _section(
    heading: str, own: Iterable[HealthFigure], zones: Sequence[Zone], summaries: Summaries
) -> dict[str, Any]:
    """Compare the measures that have a value, without the zones of which none has a figure."""
    present = [figure for figure in own if figure.heading == heading and figure.present]
    same_vintage = summaries.figures.same_vintage
    compared = {zone: [same_vintage(zone, one.line, one.vintage) for one in present] for zone in zones}
    columns = {zone: others for zone, others in compared.items() if any(others)}
    rows = [(figure, [others[rank] for others in columns.values()]) for rank, figure in enumerate(present)]
    anchor, title = _SECTIONS[heading]
    return {"id": anchor, "title": title, "zones": list(columns), "rows": rows}


def _context(
    figures: Iterable[HealthFigure], trends: Iterable[dict[str, Any]]
) -> tuple[list[Zone], list[tuple[HealthFigure, list[HealthFigure | None]]]]:
    """Return the zones larger than the QPV, without the APL of those that charts show.

    A row is a figure that names measure and vintage, and the figure of each zone (None: no row).
    """
    drawn = {(last["zone"].kind, last["zone"].code) for trend in trends for last in trend["newest"]}
    cells: dict[tuple[str, str], dict[Zone, HealthFigure]] = {}
    for figure in figures:
        is_drawn = figure.line.startswith(_APL) and (figure.zone.kind, figure.zone.code) in drawn
        if figure.zone.kind in _AREAS and figure.present and not is_drawn:
            cells.setdefault((figure.line, figure.vintage), {})[figure.zone] = figure
    zones = {zone for of in cells.values() for zone in of}
    areas = sorted(zones, key=lambda area: (_AREAS.index(area.kind), area.code))
    return areas, [(next(iter(of.values())), [of.get(area) for area in areas]) for of in cells.values()]


@lru_cache(maxsize=8)
def trends_of(content: Content, communes: tuple[str, ...], department: str) -> tuple[dict[str, Any], ...]:
    """Return the APL of a QPV's communes beside department and France over the years, by profession.

    QPV of the same communes share them; there are none if the release has no APL.
    """
    if COMMUNES_APL not in content.frames:
        return ()
    codes = {"commune": communes, "departement": (department,)}
    rows = [
        row
        for row in records(content.frames[COMMUNES_APL])
        if row["valeur"] is not None
        and row["zone"] in _CHARTED
        and row["code"] in codes.get(row["zone"], (row["code"],))
    ]
    measures = dict.fromkeys((row["profession"], row["unite"]) for row in rows if row["zone"] == "commune")
    return tuple(
        _trend([row for row in rows if (row["profession"], row["unite"]) == key]) for key in measures
    )


def _trend(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the APL of a profession is in, its drawing, and the newest value of each zone."""
    label, unit = rows[0]["libelle"], rows[0]["unite"] or ""
    rows.sort(key=lambda row: (_CHARTED.index(row["zone"]), row["code"], row["millesime"]))
    decimals = decimals_shown([row["valeur"] for row in rows], unit)
    zones = [list(group) for _, group in groupby(rows, key=itemgetter("zone", "code"))]
    lines = [
        (
            years[0]["nom"],
            # Of several communes, the others are thinner.
            f"{years[0]['zone']} autre" if rank and years[0]["zone"] == "commune" else years[0]["zone"],
            [(int(year["millesime"][:4]), year["valeur"]) for year in years],
        )
        for rank, years in enumerate(zones)
    ]
    newest = [
        {
            "zone": Zone(last["zone"], last["code"], last["nom"]),
            "text": number(last["valeur"], decimals),
            "vintage": last["millesime"],
            "rank": ""
            if last["rang"] is None
            else f"{rank_words(last['rang'], last['rang_sur'])} communes de la région",
        }
        for *_, last in zones
    ]
    drawing = line_chart(f"APL, {label} ({unit})", lines, decimals)
    return {"label": label, "unit": unit, "drawing": drawing, "newest": newest}


def _care_notes(
    code: str, care: Sequence[CareRow], content: Content, own: Iterable[HealthFigure]
) -> Iterator[str]:
    """Say how the counts are to be read: vintage, uncertain positions, from where distances are measured."""
    if not care:
        return
    rows = rows_by_qpv(SUPPLY, content)[code]
    vintages = listing(sorted({row["millesime"] for row in rows if row["millesime"]}))
    yield (
        f"Base permanente des équipements, millésime {vintages} ; chaque rayon comprend le quartier et "
        "se mesure à vol d'oiseau. Un lieu compte une fois par activité, quel que soit le temps passé."
    )
    differing = [
        f"{_in_sentence(shown.label)} {number(row['nombre_insee'])} (ici {shown.inside})"
        for row, shown in zip(rows, care, strict=True)
        if row["nombre_insee"] is not None and number(row["nombre_insee"]) != shown.inside
    ]
    if differing:
        yield f"L'INSEE, qui en place elle-même dans le quartier (QP2024), compte : {' ; '.join(differing)}."
    if any(row["depuis"] == "contour" for row in rows):
        yield "Sans les bâtiments, la distance part du contour du quartier et non de ses logements."
    if any(figure.heading == _CARE and _BEYOND in figure.remark for figure in own):
        yield "Un lieu plus proche que ceux du tableau peut être hors du territoire et de ses abords."
    if street := sum(row["position_dans_la_rue"] or 0 for row in rows):
        yield f"Position tirée au sort dans la rue par l'INSEE, comptés : {number(street)}."
    if unlocated := sum(row["non_localises"] or 0 for row in rows):
        yield f"Sans position sûre dans les communes alentour, non comptés : {number(unlocated)}."


def _unknown(figures: Sequence[HealthFigure]) -> list[tuple[str, list[str]]]:
    """Return each reason of a missing value once, with the measures that it concerns.

    A heading of which every measure lacks for the same reason stands for them.
    """
    reasons: dict[str, list[HealthFigure]] = {}
    for figure in figures:
        if not figure.present:
            reasons.setdefault(figure.reason, []).append(figure)
    sizes = Counter(figure.heading for figure in figures)
    return [(reason, list(_measures(missing, sizes))) for reason, missing in reasons.items()]


def _measures(missing: Sequence[HealthFigure], sizes: Mapping[str, int]) -> Iterator[str]:
    """Name the measures that are missing for one reason, with their mesh if it is larger than the QPV."""
    counts = Counter(one.heading for one in missing)
    whole = {heading for heading, count in counts.items() if count == sizes[heading]}
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
) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """Return goal and action of the contract about health, with the measures that follow each.

    A measure has the QPV's figure, or says why there is none.
    """
    if GOALS not in content.frames:
        return []
    by_line = {figure.line: figure for figure in figures if figure.own}
    meshes = {figure.line: figure.mesh for figure in reversed(figures) if not figure.own}
    actions: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in records(content.frames[GOALS]):
        goal, action, line = row["objectif"], row["action"], row["indicateur"]
        if any(word in f"{goal} {action}".lower() for word in _HEALTH):
            known = line in summaries.figures.indicators
            figure = by_line.get(line) or (summaries.figures.newest(zone, line) if known else None)
            mesh = f"mesure de la maille « {meshes[line]} », à part" if line in meshes else _NO_VALUE
            measured = {"label": row["libelle"], "line": line, "figure": figure, "otherwise": mesh}
            actions.setdefault((goal, action), []).append(measured)
    return [(goal, action, measures) for (goal, action), measures in actions.items()]


def follow_up(content: Content, code: str) -> list[str]:
    """Tell what changed in a QPV's own lines since the release before, those that may be compared first.

    The rest is counted. Empty for a first release, and where nothing changed.
    """
    if content.changes is None:
        return []
    own = [one for one in content.changes.sante if one.code_qp == code and one.zone == OWN]
    own.sort(key=lambda change: not change.comparable)
    others = own[_TOLD_AT_MOST:]
    more = [f"{counted(len(others), 'autre ligne')} : rapport de la publication."] if others else []
    return [*map(_change, own[:_TOLD_AT_MOST]), *more]


def _change(change: HealthChange) -> str:
    values = [state.valeur for state in (change.avant, change.apres) if state and state.valeur is not None]
    unit = change.unite or ""
    decimals = decimals_shown(values, unit)

    def words(state: HealthState | None) -> str:
        if state is None:
            return "pas de ligne"
        if state.valeur is None:
            return STATUSES[state.statut].words
        value = measure(state.valeur, unit, decimals)
        return f"{value} ({state.millesime})" if state.millesime else value

    return f"{change.libelle} : {words(change.avant)}, puis {words(change.apres)}. {change.raison}"


def _of_territory(content: Content) -> dict[str, Any]:
    """Return what the page of the territory shows: of each column the QPV's own values alone."""
    figures, care = health_of(content), care_of(content)
    zones = sorted(qpv_zones(content.frames), key=lambda zone: zone.name)
    columns, own = compared_figures(content)
    shown = [one for zone in zones for one in own[zone.code] if one]
    every = [one for zone in zones for one in figures[zone.code]]
    return {
        "lacking": _lacking_sentence(content, every),
        "columns": [(column.title, _detail(column.line, shown)) for column in columns],
        "meshes": list(dict.fromkeys(one.mesh for one in shown)),
        "rows": [
            {"zone": zone, "figures": own[zone.code], "care": care.get(zone.code, ())} for zone in zones
        ],
        "categories": {row.category: row.label for row in care.get(zones[0].code, ())},
        "unknown": _unknown(every),
    }


def _detail(line: str, figures: list[HealthFigure]) -> str:
    """Return the unit in words and the vintages of a column."""
    own = [figure for figure in figures if figure.line == line]
    units = dict.fromkeys(figure.unit_beside for figure in own)
    return ", ".join(filter(None, [*units, *sorted({figure.vintage for figure in own})]))


def _index_facts(content: Content) -> dict[str, str]:
    """Return the widest radius of the accessibility index and its population, in words; empty without."""
    if INDICES not in content.frames:
        return {"radius": "", "population": ""}
    columns = (content.frames[INDICES][name].dropna().unique() for name in ("rayon_m", "population"))
    radii, populations = map(sorted, columns)
    return {"radius": listing([*map(length_name, radii)]), "population": listing(populations)}
