"""``rapport.json`` and ``rapport.html``: what a release holds, where it comes from, what was controlled."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pandas as pd

from qpv_geo.checks import CHECKS
from qpv_geo.formats import report_schema as schema
from qpv_geo.formats.base import Content
from qpv_geo.formats.datapackage import SOFTWARE
from qpv_geo.formats.descriptions import REPORT_HTML, REPORT_JSON
from qpv_geo.formats.fields import GEOMETRY_COLUMN, Layer
from qpv_geo.formats.fingerprint import environment
from qpv_geo.formats.frames import Frames, records
from qpv_geo.formats.provenance import Raws, attribution, present
from qpv_geo.french import ZONE_WORDS, capitalised, counted, listing
from qpv_geo.frozen import Frozen
from qpv_geo.ingest.registry import Registry
from qpv_geo.sources.raw import usable
from qpv_geo.templates import render, secured
from qpv_geo.typography import typeset_markup

_Row = TypeVar("_Row", bound=Frozen)
_IDENTIFIER = re.compile(r"\b[a-z][a-z0-9]*_[a-z0-9_]+\b")
_NOT_WANTED = "sans objet"
# A section of the report says the same of each indicator.
_TOLD_BELOW = "indicateurs_reconnus"
# Messages of one check that are shown, and letters of a list that is.
_MESSAGES_AT_MOST, _LONG = 3, 120


def headlines(report: schema.Report) -> tuple[str, str, str]:
    """Return the three sentences: how sure the release is, what changed, what is missing."""
    return _certainty(report), _changes(report.differences), _missing_figures(report)


def _certainty(report: schema.Report) -> str:
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


def _changes(changes: schema.Changes | None) -> str:
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


def _missing_figures(report: schema.Report) -> str:
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


def absences(report: schema.Report) -> dict[str, list[str]]:
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


def to_look_at(controls: Iterable[schema.Control]) -> list[Remark]:
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


def build_report(content: Content) -> schema.Report:
    """Gather what the report says from what is published."""
    spec, frames, layers = content.spec, content.frames, content.layers
    raws, territory, sources = spec.raws, spec.territory, frames["sources"]
    wanted = sources[sources["etat"] == "lue"]
    wanted = wanted.assign(url=wanted["url_resolue"].fillna(wanted["url"]))
    read = {source.source: source for source in _rows(schema.SourceRead, wanted)}
    return schema.Report(
        publication=schema.Publication(
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
        sources=tuple(read[key] for key, raw in raws.items() if raw and usable(raw)),
        sources_absentes=_rows(schema.SourceAbsent, sources[sources["etat"] != "lue"]),
        controles=_rows(schema.Control, frames["controles"]),
        concordances=_rows(schema.Agreement, frames["concordances"]),
        couches=tuple(
            schema.LayerHeld(
                nom=name,
                titre=layers[name].title,
                lignes=len(frame),
                geometrie=layers[name].geometry,
                geopackage_seul=layers[name].package_only,
            )
            for name, frame in frames.items()
        ),
        couches_absentes=tuple(
            schema.LayerAbsent(nom=name, titre=layer.title)
            for name, layer in layers.items()
            if name not in frames
        ),
        indicateurs_inconnus=_unknown(frames, spec.registry),
        indicateurs_manquants=_missing(frames, raws, spec.registry),
        reparations=tuple(_repairs(frames, layers)),
        differences=content.changes,
        retenue=content.held_because,
    )


def _rows(model: type[_Row], table: pd.DataFrame) -> tuple[_Row, ...]:
    """Return the rows of a table as models, whose fields are some of its columns."""
    return tuple(model(**row) for row in records(table, model.model_fields))


def _unknown(frames: Frames, registry: Registry) -> tuple[schema.UnknownIndicator, ...]:
    published = frames["statistiques"].drop_duplicates("indicateur").sort_values("indicateur")
    unknown = published[~published["indicateur"].isin(registry.by_id)]
    labels = frames["indicateurs"].set_index("indicateur")["libelle"]
    return _rows(schema.UnknownIndicator, unknown.assign(libelle=unknown["indicateur"].map(labels)))


def _missing(frames: Frames, raws: Raws, registry: Registry) -> tuple[schema.MissingIndicator, ...]:
    published = set(frames["statistiques"]["indicateur"])
    read = {raw.source.id for raw in present(raws)}
    return tuple(
        schema.MissingIndicator(indicateur=indicator.id, libelle=indicator.label, source=indicator.source)
        for indicator in registry.indicators
        if indicator.codes and indicator.source in read and indicator.id not in published
    )


def _repairs(frames: Frames, layers: Mapping[str, Layer]) -> Iterator[schema.Repair]:
    for name, frame in frames.items():
        if layers[name].is_official:
            repaired = frame.dropna(subset="ecart_reparation_m2")
            for code, change in repaired[[layers[name].key[0], "ecart_reparation_m2"]].to_numpy():
                yield schema.Repair(couche=name, code=code, ecart_m2=change)


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
        qpv=records(qpv, [name for name in qpv.columns if name != GEOMETRY_COLUMN]),
    )
    (folder / REPORT_HTML).write_text(secured(typeset_markup(page)) + "\n", encoding="utf-8")


class _Names:
    """The names that stand for identifiers in a text: of sources, layers, indicators, QPV, the territory."""

    def __init__(self, content: Content) -> None:
        frames, spec = content.frames, content.spec
        self._names = ZONE_WORDS | {name: layer.title for name, layer in content.layers.items()}
        self._names |= dict(frames["sources"][["source", "titre"]].to_numpy())
        self._names |= {indicator.id: indicator.label for indicator in spec.registry.indicators}
        self._names |= dict(frames["qpv"][["code_qp", "lib_qp"]].dropna().to_numpy())
        self._names |= dict(frames["communes"][["insee_com", "nom_com"]].to_numpy())
        self._names[spec.territory.id] = spec.territory.nom

    def __call__(self, text: str) -> str:
        """Return the name of an identifier; in a sentence, of those that no word of French could be."""
        names = self._names
        return names.get(text) or _IDENTIFIER.sub(lambda found: names.get(found[0], found[0]), text)
