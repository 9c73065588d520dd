"""``rapport.json`` and ``rapport.html``: what a release holds, where it comes from, what was controlled."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd

from qpv_geo.checks import CHECKS
from qpv_geo.formats.base import Content
from qpv_geo.formats.datapackage import SOFTWARE
from qpv_geo.formats.descriptions import REPORT_HTML, REPORT_JSON
from qpv_geo.formats.fields import GEOMETRY_COLUMN, Layer
from qpv_geo.formats.fingerprint import environment
from qpv_geo.formats.frames import Frames, plain_values
from qpv_geo.formats.headlines import absences, headlines, to_look_at
from qpv_geo.formats.provenance import Raws, attribution, present
from qpv_geo.formats.report_schema import (
    Agreement,
    Control,
    LayerAbsent,
    LayerHeld,
    MissingIndicator,
    Publication,
    Repair,
    Report,
    SourceAbsent,
    SourceRead,
    UnknownIndicator,
)
from qpv_geo.french import ZONE_WORDS
from qpv_geo.ingest.registry import Registry
from qpv_geo.sources.raw import RawFile, usable
from qpv_geo.templates import render, secured
from qpv_geo.typography import typeset_markup

_IDENTIFIER = re.compile(r"\b[a-z][a-z0-9]*_[a-z0-9_]+\b")


def build_report(content: Content) -> Report:
    """Gather what the report says from what is published."""
    spec, frames, layers = content.spec, content.frames, content.layers
    raws, territory = spec.raws, spec.territory
    return Report(
        publication=Publication(
            id=spec.id,
            empreinte=spec.fingerprint,
            territoire=territory.id,
            nom=territory.nom,
            genre=territory.genre,
            code=territory.code,
            epci=territory.epci,
            logiciel=SOFTWARE,
            environnement=environment(),
        ),
        origine=spec.origin,
        date_des_donnees=spec.newest,
        mentions=tuple(attribution(raw) for raw in present(raws)),
        sources=tuple(_source_read(key, raw) for key, raw in raws.items() if raw and usable(raw)),
        sources_absentes=tuple(
            SourceAbsent(**row)
            for row in _records(frames["sources"], ["source", "titre", "etat", "motif"])
            if row["etat"] != "lue"
        ),
        controles=tuple(Control(**row) for row in _records(frames["controles"], list(Control.model_fields))),
        concordances=tuple(
            Agreement(**row) for row in _records(frames["concordances"], list(Agreement.model_fields))
        ),
        couches=tuple(
            LayerHeld(
                nom=name,
                titre=layers[name].title,
                lignes=len(frame),
                geometrie=layers[name].geometry,
                geopackage_seul=layers[name].package_only,
            )
            for name, frame in frames.items()
        ),
        couches_absentes=tuple(
            LayerAbsent(nom=name, titre=layer.title) for name, layer in layers.items() if name not in frames
        ),
        indicateurs_inconnus=_unknown(frames, spec.registry),
        indicateurs_manquants=_missing(frames, raws, spec.registry),
        reparations=tuple(_repairs(frames, layers)),
        differences=content.changes,
        retenue=content.held_because,
    )


def _records(frame: pd.DataFrame, columns: list[str]) -> list[dict[str, Any]]:
    table = pd.DataFrame(frame)
    rows = zip(*(plain_values(table[column]) for column in columns), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _source_read(key: str, raw: RawFile) -> SourceRead:
    return SourceRead(
        source=key,
        titre=raw.source.title,
        producteur=raw.source.publisher,
        origine=raw.origin,
        motif=raw.reason or None,
        millesime=raw.source.vintage,
        geographie=raw.source.geography,
        date_source=raw.date,
        fichier=raw.path.name,
        url=raw.resolved_url or raw.url,
        sha256=raw.sha256,
        licence=raw.source.licence,
        licence_url=raw.source.licence_url,
        mention=attribution(raw),
    )


def _unknown(frames: Frames, registry: Registry) -> tuple[UnknownIndicator, ...]:
    known = {indicator.id for indicator in registry.indicators}
    labels = dict(_pairs(frames["indicateurs"], "indicateur", "libelle"))
    columns = ["indicateur", "code_producteur", "source"]
    indicators = frames["statistiques"][columns].drop_duplicates("indicateur").sort_values("indicateur")
    return tuple(
        UnknownIndicator(**row, libelle=labels.get(row["indicateur"]))
        for row in _records(indicators, columns)
        if row["indicateur"] not in known
    )


def _pairs(frame: pd.DataFrame, key: str, value: str) -> list[tuple[Any, Any]]:
    return list(zip(frame[key].tolist(), frame[value].tolist(), strict=True))


def _missing(frames: Frames, raws: Raws, registry: Registry) -> tuple[MissingIndicator, ...]:
    published = set(frames["statistiques"]["indicateur"])
    read = {raw.source.id for raw in present(raws)}
    return tuple(
        MissingIndicator(indicateur=indicator.id, libelle=indicator.label, source=indicator.source)
        for indicator in registry.indicators
        if indicator.codes and indicator.source in read and indicator.id not in published
    )


def _repairs(frames: Frames, layers: Mapping[str, Layer]) -> list[Repair]:
    repairs = []
    for name, frame in frames.items():
        if isinstance(frame, gpd.GeoDataFrame) and "ecart_reparation_m2" in frame:
            repaired = frame[frame["ecart_reparation_m2"].notna()]
            changes = _pairs(repaired, layers[name].key[0], "ecart_reparation_m2")
            repairs += [Repair(couche=name, code=code, ecart_m2=change) for code, change in changes]
    return repairs


def write_report(folder: Path, content: Content) -> None:
    """Write both reports."""
    report, qpv = build_report(content), content.frames["qpv"]
    (folder / REPORT_JSON).write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    page = render(
        "qpv_geo.formats",
        REPORT_HTML,
        report=report,
        nommer=_Names(content),
        headlines=headlines(report),
        absences=absences(report),
        warnings=to_look_at(report.controles),
        has_pages=any(each.suffix == ".html" for each in content.spec.formats),
        meanings=CHECKS,
        outcomes=Counter(control.resultat for control in report.controles),
        indicators=content.spec.registry.shown,
        qpv=_records(qpv, [name for name in qpv.columns if name != GEOMETRY_COLUMN]),
    )
    (folder / REPORT_HTML).write_text(secured(typeset_markup(page)) + "\n", encoding="utf-8")


class _Names:
    """The names that stand for identifiers in a text: of sources, layers, indicators, QPV, the territory."""

    def __init__(self, content: Content) -> None:
        frames, spec = content.frames, content.spec
        self._names = ZONE_WORDS | {name: layer.title for name, layer in content.layers.items()}
        self._names |= dict(_pairs(frames["sources"], "source", "titre"))
        self._names |= {indicator.id: indicator.label for indicator in spec.registry.indicators}
        self._names |= {code: name for code, name in _pairs(frames["qpv"], "code_qp", "lib_qp") if name}
        self._names |= dict(_pairs(frames["communes"], "insee_com", "nom_com"))
        self._names[spec.territory.id] = spec.territory.nom

    def __call__(self, text: str) -> str:
        """Return the name of an identifier; in a sentence, of those that no word of French could be."""
        names = self._names
        return names.get(text) or _IDENTIFIER.sub(lambda found: names.get(found[0], found[0]), text)
