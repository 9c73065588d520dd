"""The schema of ``rapport.json``, in the French words of the tables of the release."""

from datetime import date
from typing import Literal

from qpv_geo.formats.changes_schema import Changes
from qpv_geo.frozen import Frozen


class Publication(Frozen):
    """Which release of which territory, made by what."""

    id: str
    empreinte: str
    territoire: str
    nom: str
    genre: str
    code: str
    epci: str | None
    logiciel: str
    environnement: dict[str, str]


class SourceRead(Frozen):
    """A source that the release was made from."""

    source: str
    titre: str
    producteur: str
    origine: str
    motif: str | None
    millesime: str
    geographie: date | None
    date_source: date
    fichier: str
    url: str | None
    sha256: str
    licence: str
    licence_url: str
    mention: str


class SourceAbsent(Frozen):
    """A source that could not be had, or that this release has no use for."""

    source: str
    titre: str
    etat: str
    motif: str | None


class Control(Frozen):
    """A row of table ``controles``."""

    controle: str
    objet: str
    resultat: str
    attendu: str | None
    trouve: str | None
    message: str


class Agreement(Frozen):
    """A row of table ``concordances``."""

    theme: str
    objet: str
    libelle: str
    valeur_a: str | None
    producteur_a: str
    source_a: str
    valeur_b: str | None
    producteur_b: str
    source_b: str
    ecart: float | None
    tolerance: str
    resultat: str
    message: str


class LayerHeld(Frozen):
    """A published layer."""

    nom: str
    titre: str
    lignes: int
    geometrie: str | None
    geopackage_seul: bool = False
    """Whether it is there to be drawn, and in no other format."""


class LayerAbsent(Frozen):
    """A declared layer that this release leaves out."""

    nom: str
    titre: str


class UnknownIndicator(Frozen):
    """A producer's column that the registry does not know; it is published under its own code."""

    indicateur: str
    code_producteur: str
    source: str
    libelle: str | None


class MissingIndicator(Frozen):
    """An indicator that its source was expected to hold and does not."""

    indicateur: str
    libelle: str
    source: str


class Repair(Frozen):
    """An official contour that was not valid and had to be repaired."""

    couche: str
    code: str
    ecart_m2: float


class Report(Frozen):
    """The content of ``rapport.json``. Renaming a field here means a new number after ``rapport``.

    ``differences`` tells what changed since the release before; None for the first one. ``retenue`` says why
    the release was held when it was made.
    """

    rapport: Literal["qpv-geo/rapport/2"] = "qpv-geo/rapport/2"
    publication: Publication
    origine: str
    date_des_donnees: date
    mentions: tuple[str, ...]
    sources: tuple[SourceRead, ...]
    sources_absentes: tuple[SourceAbsent, ...]
    controles: tuple[Control, ...]
    concordances: tuple[Agreement, ...]
    couches: tuple[LayerHeld, ...]
    couches_absentes: tuple[LayerAbsent, ...]
    indicateurs_inconnus: tuple[UnknownIndicator, ...]
    indicateurs_manquants: tuple[MissingIndicator, ...]
    reparations: tuple[Repair, ...]
    differences: Changes | None = None
    retenue: tuple[str, ...] = ()
