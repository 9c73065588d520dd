"""What one portrait shows: figures, sections, contract, evolution of the perimeter, facilities."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from qpv_geo.formats.base import Content
from qpv_geo.formats.essentials import Essential
from qpv_geo.formats.figures import Figure, Figures, Zone, comparison_zones
from qpv_geo.formats.frames import Frames
from qpv_geo.formats.summaries import Summaries
from qpv_geo.french import amount, decimals_of, gap, number
from qpv_geo.portraits.charts import strip
from qpv_geo.portraits.evolution import EvolutionSection, evolution_of
from qpv_geo.portraits.facilities import LAYER as FACILITIES
from qpv_geo.portraits.facilities import Facilities, facilities_of
from qpv_geo.portraits.qpv_map import Drawing, draw_locator, map_frames, maps_of
from qpv_geo.portraits.sections import Absence, Section, Sections
from qpv_geo.statuses import STATUSES, Status

_HECTARE = 10_000
_NO_INDICATOR = "aucun fichier lu n'en parle"
_MAPPED = ("fond_routes", "bande_300m", "qpv_2015", "iris")


@dataclass(frozen=True)
class ContractRow:
    """A figure of the contract beside INSEE's."""

    label: str
    contract: str
    insee: str
    vintage: str
    gap: str
    differs: bool


@dataclass(frozen=True)
class Portrait:
    """Everything that the page of a QPV shows."""

    zone: Zone
    contract_name: str
    communes: str
    around: str
    area: str
    sentences: tuple[str, str]
    essentials: tuple[tuple[Essential, Markup | None], ...]
    """The five figures, each with its strip of all QPV if it has a rank."""
    map: Drawing
    locator: Drawing
    map_absences: tuple[Absence, ...]
    sections: tuple[Section, ...]
    """Themes with a value or the reason of its absence."""
    empty: tuple[Absence, ...]
    """Themes without any, and facilities if they are not known."""
    lacking: tuple[tuple[str, tuple[str, ...]], ...]
    """Titles of themes, with the indicators that the files of each lack."""
    absences: tuple[Absence, ...]
    """Sources that were not read."""
    contract: tuple[ContractRow, ...]
    evolution: EvolutionSection
    facilities: Facilities | None
    statuses: tuple[Status, ...]
    remarks: tuple[str, ...]
    remarks_printed: int

    @property
    def ranked(self) -> bool:
        """Whether the page shows a rank."""
        return any(figure.ranked for figure in _figures_of(self.sections))

    @property
    def with_intervals(self) -> bool:
        """Whether the page shows a confidence interval."""
        return any(figure.interval for figure in _figures_of(self.sections))


def build_portrait(
    row: pd.Series,
    content: Content,
    summaries: Summaries,
    sections: Sections,
    absences: Mapping[str, Absence],
) -> Portrait:
    """Gather what the portrait of a QPV, a row of layer ``qpv``, shows.

    `absences` says by layer why the release lacks it.
    """
    frames, territory = content.frames, content.spec.territory
    zone = Zone("qpv", row["code_qp"], row["lib_qp"] or row["code_qp"])
    zones = comparison_zones(row, content)
    own_sections = sections.of(zone, zones)
    facilities = facilities_of(zone.code, frames)
    summary = summaries.qpv[zone.code]
    empty = [
        Absence(section.plan.title, section.absences[0].why if section.absences else _NO_INDICATOR)
        for section in own_sections
        if not section.shown.rows
    ]
    if not facilities:
        empty.append(absences[FACILITIES])
    return Portrait(
        zone=zone,
        contract_name=row["nom_contrat"] or "",
        communes=row["lib_com_calcule"] or row["lib_com"] or "",
        around=next((z.name for z in zones if z.kind == "epci"), territory.nom),
        area=f"{number(row['surface_m2'] / _HECTARE, 1)} ha",
        sentences=summary.sentences,
        essentials=tuple(
            (one, strip(one, zone.name) if one.is_ranked else None) for one in summary.essentials
        ),
        map=maps_of(content)[zone.code],
        locator=draw_locator(zone.code, map_frames(content), territory.nom),
        map_absences=tuple(absences[layer] for layer in _MAPPED if layer in absences),
        sections=tuple(section for section in own_sections if section.shown.rows),
        empty=tuple(empty),
        lacking=tuple((one.plan.title, one.lacking) for one in own_sections if one.lacking),
        absences=tuple(absence for section in own_sections for absence in section.absences),
        contract=tuple(_contract_rows(zone, frames, summaries.figures)),
        evolution=evolution_of(zone.code, frames, absences),
        facilities=facilities,
        statuses=_statuses(summary.essentials, own_sections, frames, zone),
        remarks=_remarks(_figures_of(own_sections)),
        remarks_printed=len(_remarks(_figures_of(own_sections, folded=False))),
    )


def _contract_rows(zone: Zone, frames: Frames, figures: Figures) -> list[ContractRow]:
    contract = frames.get("contrat_de_ville")
    if contract is None:
        return []
    rows, disagreements = [], set()
    if (table := frames.get("concordances")) is not None:
        diverging = table[table["resultat"] == "diverge"]
        disagreements = set(zip(diverging["objet"], diverging["theme"], strict=True))
    for row in contract[contract["code_qp"] == zone.code].to_dict("records"):
        unit, stated = row["unite"] or "", row["valeur_contrat"]
        own_decimals = decimals_of([stated], unit)
        figure = figures.newest(zone, row["indicateur"])
        points = "%" if unit == "%" else ""
        rows.append(
            ContractRow(
                label=row["libelle"],
                contract=amount(stated, unit, own_decimals),
                insee=figure.short,
                vintage=figure.vintage if figure.present else "",
                gap=""
                if pd.isna(row["ecart"])
                else gap(row["ecart"], points, max(own_decimals, figure.decimals)),
                differs=(zone.code, row["libelle"]) in disagreements,
            )
        )
    return rows


def _figures_of(sections: Sequence[Section], *, folded: bool = True) -> list[Figure]:
    """Return the figures of the tables, those of the rows seen at first before the folded ones."""
    rows = [row for section in sections for row in section.shown.rows]
    rows += [row for section in sections for row in section.folded.rows if folded]
    return [figure for row in rows for figure in (row.figure, *row.others) if figure]


def _remarks(figures: Iterable[Figure]) -> tuple[str, ...]:
    """Return the producers' remarks, each once."""
    return tuple(dict.fromkeys(figure.remark for figure in figures if figure.remark))


def _statuses(
    essentials: Sequence[Essential], sections: Sequence[Section], frames: Frames, zone: Zone
) -> tuple[Status, ...]:
    """Return the words and the meaning of each status that stands on the page in place of a value."""
    figures = [*(essential.figure for essential in essentials), *_figures_of(sections)]
    figures += [figure for section in sections for chart in section.charts for _, figure in chart.figures]
    statuses = {figure.status for figure in figures if not figure.present}
    if (contract := frames.get("contrat_de_ville")) is not None:
        own = contract[(contract["code_qp"] == zone.code) & contract["valeur_insee"].isna()]
        statuses |= set(own["statut_insee"])
    return tuple(STATUSES[status] for status in sorted(statuses))
