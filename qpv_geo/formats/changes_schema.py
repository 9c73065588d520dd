"""What changed between two releases: part ``differences`` of ``rapport.json``, in the French of the rest."""

from datetime import date
from typing import Literal

from qpv_geo.frozen import Frozen


class NamedQpv(Frozen):
    """A QPV that entered or left."""

    code_qp: str
    lib_qp: str | None


class RenamedQpv(Frozen):
    """A QPV whose official name changed."""

    code_qp: str
    avant: str | None
    apres: str | None


class ContourChange(Frozen):
    """A QPV whose contour changed: its area, what it gained and what it lost, in square metres."""

    code_qp: str
    lib_qp: str | None
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


class NamedLayer(Frozen):
    """A layer that one release has and the other has not."""

    couche: str
    titre: str


class NamedField(Frozen):
    """A field of a layer of both releases that one has and the other has not."""

    couche: str
    champ: str


class RowsChange(Frozen):
    """A layer of both releases whose rows changed, geometry included; rows are told apart by their key."""

    couche: str
    titre: str
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
    couches_ajoutees: tuple[NamedLayer, ...] = ()
    couches_retirees: tuple[NamedLayer, ...] = ()
    champs_ajoutes: tuple[NamedField, ...] = ()
    champs_retires: tuple[NamedField, ...] = ()
    lignes: tuple[RowsChange, ...] = ()
    sources: tuple[SourceChange, ...] = ()
    depassements: tuple[Overrun, ...] = ()

    @property
    def named(self) -> bool:
        """Whether a QPV, a layer or a field came, went or changed its name."""
        return any(
            (
                self.qpv_entres,
                self.qpv_sortis,
                self.qpv_renommes,
                self.couches_ajoutees,
                self.couches_retirees,
                self.champs_ajoutes,
                self.champs_retires,
            )
        )

    @property
    def none(self) -> bool:
        """Whether the two releases say the same."""
        return not (self.named or self.contours or self.statistiques or self.lignes or self.sources)
