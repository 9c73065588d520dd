"""The schema of ``rapport.json``, differences included, in the French words of the tables of the release."""

from collections import Counter
from datetime import date
from typing import Literal

from qpv_geo.frozen import Frozen


class NamedQpv(Frozen):
    """A QPV, such as one that entered or left."""

    code_qp: str
    lib_qp: str | None


class RenamedQpv(Frozen):
    """A QPV whose official name changed."""

    code_qp: str
    avant: str | None
    apres: str | None


class ContourChange(NamedQpv):
    """A QPV whose contour changed: its area, what it gained and what it lost, in square metres."""

    surface_avant_m2: float
    surface_apres_m2: float
    entrant_m2: float
    sortant_m2: float


class CellChange(Frozen):
    """The value of a zone, before and after."""

    code: str
    avant: float
    apres: float


class StatisticChange(Frozen):
    """An indicator of one kind of zone whose values changed, in its newest vintage.

    ``cellules`` counts the zones in both releases whose value, status or vintage changed; ``apparues`` and
    ``disparues`` the zones in one release only. Only what may be added has a total, of the values that are
    there; of QPV, what may not has the median.
    """

    zone: str
    indicateur: str
    libelle: str | None
    millesime_avant: str | None
    millesime_apres: str | None
    nombre_avant: int
    nombre_apres: int
    cellules: int
    apparues: int
    disparues: int
    total_avant: float | None
    total_apres: float | None
    mediane_avant: float | None = None
    mediane_apres: float | None = None
    plus_grand_ecart: CellChange | None


class HealthState(Frozen):
    """The value of a line of table ``sante`` in one release."""

    valeur: float | None
    statut: str
    millesime: str | None
    borne_basse: float | None
    borne_haute: float | None


class HealthChange(NamedQpv):
    """A line of table ``sante`` whose value, status or vintage changed; None where a release lacks the line.

    ``raison`` says in French whether the two values may be compared, and why.
    """

    ligne: str
    libelle: str
    maille: str
    zone: str
    code: str
    nom_zone: str | None
    unite: str | None
    avant: HealthState | None
    apres: HealthState | None
    comparable: bool
    raison: str


class NamedLayer(Frozen):
    """A layer, such as one that one release has and the other has not."""

    couche: str
    titre: str


class NamedField(Frozen):
    """A field of a layer of both releases that one has and the other has not."""

    couche: str
    champ: str


class RowsChange(NamedLayer):
    """A layer of both releases whose rows changed, geometry included; rows are told apart by their key."""

    avant: int
    apres: int
    ajoutees: int
    retirees: int
    modifiees: int


class SourceState(Frozen):
    """What a release was made from, of one source."""

    millesime: str | None
    date_source: date | None
    origine: str | None
    fichier: str | None
    sha256: str | None


class SourceChange(Frozen):
    """A source whose bytes, vintage, date or origin changed; None where it was not read."""

    source: str
    titre: str
    avant: SourceState | None
    apres: SourceState | None

    @property
    def new_bytes(self) -> bool:
        """Whether both releases read it, and not the same bytes."""
        return bool(self.avant and self.apres and self.avant.sha256 != self.apres.sha256)


Guard = Literal["qpv", "surface_qpv", "nombre", "total", "mediane", "couche", "champ", "indicateur"]


class Overrun(Frozen):
    """A change beyond a bound that the territory declares; it holds the release back."""

    garde: Guard
    objet: str
    message: str


class Changes(Frozen):
    """What changed since the release before; ``depassements`` says what went beyond the declared bounds."""

    precedente: str
    empreinte_precedente: str
    qpv_entres: tuple[NamedQpv, ...] = ()
    qpv_sortis: tuple[NamedQpv, ...] = ()
    qpv_renommes: tuple[RenamedQpv, ...] = ()
    contours: tuple[ContourChange, ...] = ()
    statistiques: tuple[StatisticChange, ...] = ()
    sante: tuple[HealthChange, ...] = ()
    couches_ajoutees: tuple[NamedLayer, ...] = ()
    couches_retirees: tuple[NamedLayer, ...] = ()
    champs_ajoutes: tuple[NamedField, ...] = ()
    champs_retires: tuple[NamedField, ...] = ()
    lignes: tuple[RowsChange, ...] = ()
    sources: tuple[SourceChange, ...] = ()
    depassements: tuple[Overrun, ...] = ()

    @property
    def health_by_qpv(self) -> dict[tuple[str, str], tuple[int, int]]:
        """By code and name of a QPV, how many lines of ``sante`` changed, and how many can be compared."""
        changed = Counter((one.code_qp, one.lib_qp or one.code_qp) for one in self.sante)
        comparable = Counter(one.code_qp for one in self.sante if one.comparable)
        return {(code, name): (count, comparable[code]) for (code, name), count in changed.items()}

    @property
    def named(self) -> bool:
        """Whether a QPV, a layer or a field came, went or changed its name."""
        return bool(
            (self.qpv_entres or self.qpv_sortis or self.qpv_renommes)
            or (self.couches_ajoutees or self.couches_retirees or self.champs_ajoutes or self.champs_retires)
        )

    @property
    def none(self) -> bool:
        """Whether the two releases say the same."""
        return not (
            (self.named or self.contours or self.statistiques) or (self.sante or self.lignes or self.sources)
        )


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
