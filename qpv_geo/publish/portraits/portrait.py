"""What one portrait says: figures, sections, contract, evolution of the perimeter, sources."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from qpv_geo.ingest.registry import Registry
from qpv_geo.publish.frames import Frames
from qpv_geo.publish.portraits.evolution import Evolution, tell_evolution
from qpv_geo.publish.portraits.facilities import LAYER as FACILITIES
from qpv_geo.publish.portraits.facilities import Facilities, tell_facilities
from qpv_geo.publish.portraits.figures import Figures, Zone, comparison_zones, zone_of_qpv
from qpv_geo.publish.portraits.french import amount, gap, number
from qpv_geo.publish.portraits.paper import lines_of_keys
from qpv_geo.publish.portraits.qpv_map import Drawing, draw_locator, draw_qpv
from qpv_geo.publish.portraits.sections import Absence, Section, Sections
from qpv_geo.statuses import STATUSES
from qpv_geo.territory import Territory

_HECTARE = 10_000
# The registry's leading indicators of layer `qpv`, beside the area.
_KEYS_AT_MOST = 5


@dataclass(frozen=True)
class Key:
    """A key figure: what it is, its value and unit in words, its vintage."""

    label: str
    text: str
    unit: str
    detail: str
    present: bool = True


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
    territory: str
    keys: tuple[Key, ...]
    map: Drawing
    locator: Drawing
    band: str
    map_absences: tuple[Absence, ...]
    sections: tuple[Section, ...]
    contract: tuple[ContractRow, ...]
    evolution: Evolution
    facilities: Facilities | None
    facilities_absence: str
    statuses: tuple[tuple[str, str], ...]

    @property
    def unprinted(self) -> int:
        """How many indicators are on the screen alone."""
        return sum(len(section.rows) + len(section.more) - section.printed for section in self.sections)


def build_portrait(
    row: pd.Series,
    frames: Frames,
    figures: Figures,
    sections: Sections,
    *,
    registry: Registry,
    territory: Territory,
    absences: Mapping[str, Absence],
) -> Portrait:
    """Gather what the portrait of a QPV says.

    Parameters
    ----------
    row
        Its row of layer ``qpv``.
    frames
        Conformed layers, with ``sources``.
    figures, sections
        Of the release.
    registry, territory
        Name indicators and zones.
    absences
        By layer that a portrait would show and the release has not, why.
    """
    zone = zone_of_qpv(row["code_qp"], row["lib_qp"] or row["code_qp"])
    facilities = tell_facilities(zone.code, frames)
    keys = _keys(row, zone, figures, registry)
    taken = lines_of_keys([key.label for key in keys]) + (facilities.printed_lines if facilities else 0)
    zones = comparison_zones(row, frames, territory)
    told = tuple(sections.of(zone, zones, taken=taken))
    contract = tuple(_contract_rows(zone.code, frames))
    return Portrait(
        zone=zone,
        contract_name=row["nom_contrat"] or "",
        communes=row["lib_com_calcule"] or row["lib_com"] or "",
        around=next((z.name for z in zones if z.kind == "epci"), territory.nom),
        territory=territory.nom,
        keys=tuple(keys),
        map=draw_qpv(zone.code, frames),
        locator=draw_locator(zone.code, frames, territory.nom),
        band=_band(zone.code, frames),
        map_absences=tuple(
            absences[layer] for layer in ("bande_300m", "qpv_2015", "iris") if layer in absences
        ),
        sections=told,
        contract=contract,
        evolution=tell_evolution(row, frames, absences),
        facilities=facilities,
        facilities_absence="" if facilities else absences[FACILITIES].why,
        statuses=_statuses(told, frames, zone),
    )


def _keys(row: pd.Series, zone: Zone, figures: Figures, registry: Registry) -> list[Key]:
    keys = []
    for indicator in figures.leading(registry.indicators)[:_KEYS_AT_MOST]:
        figure = figures.latest(zone, indicator.id)
        unit = indicator.unit if figure.present and figure.short != figure.text else ""
        keys.append(Key(indicator.label, figure.short, unit, figure.vintage, present=figure.present))
    area = Key("Surface", number(row["surface_m2"] / _HECTARE, 1), "ha", "mesurée sur le contour")
    return [*keys, area]


def _band(code: str, frames: Frames) -> str:
    """Name the band around a QPV by its width."""
    bands = frames.get("bande_300m")
    if bands is None:
        return ""
    return f"Bande de {number(bands.loc[bands['code_qp'] == code, 'distance_m'].max())} m (TVA à taux réduit)"


def _contract_rows(code: str, frames: Frames) -> list[ContractRow]:
    figures = frames.get("contrat_de_ville")
    if figures is None:
        return []
    rows = []
    for row in figures[figures["code_qp"] == code].to_dict("records"):
        known = not pd.isna(row["valeur_insee"])
        rows.append(
            ContractRow(
                label=row["libelle"],
                contract=amount(row["valeur_contrat"], row["unite"] or ""),
                insee=amount(row["valeur_insee"], row["unite"] or "")
                if known
                else STATUSES[row["statut_insee"]].words,
                vintage="" if pd.isna(row["millesime_insee"]) else row["millesime_insee"],
                gap=gap(row["ecart"], "%" if row["unite"] == "%" else "") if known else "",
                differs=known and abs(row["ecart"]) > 1e-9,  # noqa: PLR2004 - more than a rounding of floats
            )
        )
    return rows


def _statuses(sections: Sequence[Section], frames: Frames, zone: Zone) -> tuple[tuple[str, str], ...]:
    """Return the words of each status that stands on the page, and what they mean."""
    rows = [row for section in sections for row in (*section.rows, *section.more)]
    shown = [figure for row in rows for figure in (row.figure, *row.others) if figure]
    shown += [figure for section in sections for chart in section.charts for _, figure in chart.figures]
    found = {figure.status for figure in shown if not figure.present}
    if (contract := frames.get("contrat_de_ville")) is not None:
        own = contract[(contract["code_qp"] == zone.code) & contract["valeur_insee"].isna()]
        found |= set(own["statut_insee"])
    return tuple(STATUSES[status] for status in sorted(found))
