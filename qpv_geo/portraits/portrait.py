"""What one portrait shows: figures, sections, contract, evolution of the perimeter, facilities."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import pandas as pd

from qpv_geo.formats.base import Content
from qpv_geo.formats.figures import Figure, Figures, Zone, comparison_zones, remarks_of
from qpv_geo.formats.frames import Frames, records
from qpv_geo.formats.summaries import Summaries
from qpv_geo.french import amount, decimals_of, gap, number
from qpv_geo.portraits.charts import strip
from qpv_geo.portraits.evolution import evolution_of
from qpv_geo.portraits.qpv_map import draw_locator, map_frames, maps_of
from qpv_geo.portraits.sections import Absence, Section, Sections
from qpv_geo.statuses import NOT_AVAILABLE, STATUSES, Status

_HECTARE = 10_000
_NO_INDICATOR = "aucun fichier lu n'en parle"
_MAPPED = ("fond_routes", "bande_300m", "qpv_2015", "iris")
_FACILITIES, _CONTRACT = "equipements", "contrat_de_ville"


def build_portrait(
    row: pd.Series,
    content: Content,
    summaries: Summaries,
    sections: Sections,
    absences: Mapping[str, Absence],
) -> dict[str, Any]:
    """Return what the portrait of a QPV, a row of layer ``qpv``, shows; `absences` says why layers lack."""
    frames, territory = content.frames, content.spec.territory
    summary = summaries.qpv[row["code_qp"]]
    zone, zones = summary.zone, comparison_zones(row, content)
    own_sections = sections.of(zone, zones)
    shown = [section for section in own_sections if section.shown.rows]
    facilities = _facilities(zone.code, frames)
    empty = [
        Absence(section.plan.title, section.absences[0].why if section.absences else _NO_INDICATOR)
        for section in own_sections
        if not section.shown.rows
    ]
    figures = _figures_of(own_sections)
    return {
        "zone": zone,
        "contract_name": row["nom_contrat"] or "",
        "communes": row["lib_com_calcule"] or row["lib_com"] or "",
        "around": next((other.name for other in zones if other.kind == "epci"), territory.nom),
        "area": f"{number(row['surface_m2'] / _HECTARE, 1)} ha",
        "sentences": summary.sentences,
        # Each with its strip of all QPV if it has a rank.
        "essentials": [(one, strip(one, zone.name) if one.is_ranked else None) for one in summary.essentials],
        "map": maps_of(content)[zone.code],
        "locator": draw_locator(zone.code, map_frames(content), territory.nom),
        "map_absences": [absences[layer] for layer in _MAPPED if layer in absences],
        "sections": shown,
        "ranked": any(figure.ranked for figure in _figures_of(shown)),
        "with_intervals": any(figure.interval for figure in _figures_of(shown)),
        # Themes without a value, sources without data, and indicators that the files of a theme lack.
        "empty": empty if facilities else [*empty, absences[_FACILITIES]],
        "absences": [absence for section in own_sections for absence in section.absences],
        "lacking": [(one.plan.title, one.lacking) for one in own_sections if one.lacking],
        "contract": list(_contract_rows(zone, frames, summaries.figures)),
        "evolution": evolution_of(zone.code, frames, absences),
        "facilities": facilities,
        "statuses": _statuses(
            [*(one.figure for one in summary.essentials), *figures], own_sections, frames, zone
        ),
        "remarks": remarks_of(figures),
        "remarks_printed": len(remarks_of(_figures_of(own_sections, folded=False))),
    }


def _contract_rows(zone: Zone, frames: Frames, figures: Figures) -> Iterator[dict[str, Any]]:
    """Yield the figures of the contract beside INSEE's."""
    if _CONTRACT not in frames:
        return
    disagreements = set()
    if (table := frames.get("concordances")) is not None:
        diverging = table[table["resultat"] == "diverge"]
        disagreements = set(zip(diverging["objet"], diverging["theme"], strict=True))
    for row in records(_of(zone.code, frames[_CONTRACT])):
        unit, difference = row["unite"] or "", row["ecart"]
        decimals = decimals_of([row["valeur_contrat"]], unit)
        figure = figures.newest(zone, row["indicateur"])
        finer = max(decimals, figure.decimals)
        yield {
            "label": row["libelle"],
            "contract": amount(row["valeur_contrat"], unit, decimals),
            "insee": figure.short,
            "vintage": figure.vintage if figure.present else "",
            "gap": "" if difference is None else gap(difference, unit if unit == "%" else "", finer),
            "differs": (zone.code, row["libelle"]) in disagreements,
        }


def _of(code: str, table: pd.DataFrame) -> pd.DataFrame:
    return table[table["code_qp"] == code]


def _figures_of(sections: Sequence[Section], *, folded: bool = True) -> list[Figure]:
    """Return the figures of the tables, those of the rows seen at first before the folded ones."""
    rows = [row for section in sections for row in section.shown.rows]
    rows += [row for section in sections for row in section.folded.rows if folded]
    return [figure for row in rows for figure in (row.figure, *row.others) if figure]


def _statuses(
    figures: Iterable[Figure], sections: Sequence[Section], frames: Frames, zone: Zone
) -> list[Status]:
    """Return the words and the meaning of each status that stands on the page in place of a value."""
    charted = (figure for section in sections for chart in section.charts for _, figure in chart.figures)
    statuses = {figure.status for figure in (*figures, *charted) if not figure.present}
    if _CONTRACT in frames:
        own = _of(zone.code, frames[_CONTRACT])
        statuses |= set(own.loc[own["valeur_insee"].isna(), "statut_insee"])
    return [STATUSES[status] for status in sorted(statuses)]


def _facilities(code: str, frames: Frames) -> dict[str, Any] | None:
    """Return the facilities of a QPV by domain and type, None if the release has not counted any.

    Types have counts in words, in the QPV and within 500 m of it; those of which there is none in either are
    named apart. `unlocated` are those of the communes around without coordinates.
    """
    if _FACILITIES not in frames:
        return None
    rows = records(_of(code, frames[_FACILITIES]))
    types: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in rows:
        count = STATUSES[row["statut"]].words if row["nombre"] is None else number(row["nombre"])
        key = row["domaine"] or "", row["libelle"] or "", row["type_equipement"] or ""
        types.setdefault(key, {})[row["perimetre"]] = count
    missing, none = STATUSES[NOT_AVAILABLE].words, number(0)
    domains = []
    for domain, members in groupby(sorted(types.items()), key=lambda item: item[0][0]):
        counted = [(key[1], of.get("qpv", missing), of.get("500m", missing)) for key, of in members]
        none_near = [label for label, inside, around in counted if inside == around == none]
        kept = [row for row in counted if row[0] not in none_near]
        domains.append({"name": domain, "types": kept, "none_near": none_near})
    return {
        "domains": domains,
        "vintage": ", ".join(sorted({row["millesime"] for row in rows if row["millesime"]})),
        "unlocated": sum(row["non_localises"] or 0 for row in rows if row["perimetre"] == "500m"),
    }
