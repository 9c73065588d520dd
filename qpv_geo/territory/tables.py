"""The tables of a territory file, each a frozen model that refuses unknown keys."""

import difflib
import re
from datetime import date
from typing import Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from qpv_geo.characters import forbidden_character
from qpv_geo.frozen import Frozen
from qpv_geo.toml_file import WINDOWS_PATH

COMMUNE = r"^\d[\dAB]\d{3}$"
"""Pattern of the INSEE code of a commune."""

COMMUNES_PRECISION = 250.0
"""Metres by which generalised outlines of communes may be wrong: over all of France, the coarsest edition
(1,000 m) puts parts of a QPV up to 188 m beyond a limit."""

BAND_WIDTH = 300.0
"""Width in metres of the band with reduced VAT around a QPV without an urban renewal agreement (Code général
des impôts, article 278 sexies, III, 2°)."""

MOST_DAYS = 36_500.0
"""How long releases may be kept, in days: a century, since no longer time can be counted back."""

LARGEST_REACH = 10_000.0
"""How far around its communes, in metres, a release knows the QPV, hence the largest distance that `locate`
answers for. Existing releases publish neighbours up to there: a larger value would not hold for them."""


class TerritoryTable(Frozen):
    """Base of every table: no text has characters that XML cannot hold."""

    @field_validator("*", mode="after")
    @classmethod
    def _can_be_published(cls, value: object) -> object:
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and (character := forbidden_character(text)):
                raise ValueError(f"{text!r} holds the control character {character}, which XML cannot hold")
        return value


class Expected(TerritoryTable):
    """Counts that every national file must confirm: QPV of the territory, of its department; its communes."""

    qpv: int = Field(ge=0)
    qpv_departement: int | None = None
    communes: int | None = None


class ContractQpv(TerritoryTable):
    """The contract's figures for one QPV; each keeps its own name beside INSEE's."""

    code_qp: str = Field(pattern=r"^QN(\d{3}|02[AB])\d{2}[A-Z]$")
    nom: str
    population: int | None = None
    taux_pauvrete: float | None = None
    part_familles_monoparentales: float | None = None


class ContractTotal(TerritoryTable):
    """A source's figure for all QPV of a contract: its `code` (``CN02502I``), and the `source` to cite."""

    code: str
    population: int = Field(ge=0)
    source: str


class FragileDistrict(TerritoryTable):
    """A *quartier fragile*: no official contour, no INSEE table."""

    nom: str
    insee_com: str = Field(pattern=COMMUNE)
    lib_com: str


class Objective(TerritoryTable):
    """An objective of the contract and what it covers."""

    titre: str
    actions: tuple[str, ...] = ()


class FollowedAction(TerritoryTable):
    """An action of the contract, and the indicators or lines of table ``sante`` that follow it."""

    action: str
    indicateurs: tuple[str, ...] = Field(min_length=1)


class Contract(TerritoryTable):
    """The Contrat de ville as data."""

    titre: str
    periode: str
    signataires: int
    presentation: date
    source: str
    objectifs: tuple[Objective, ...] = ()
    principes: tuple[str, ...] = ()
    qpv: tuple[ContractQpv, ...] = ()
    total: ContractTotal | None = None
    quartiers_fragiles: tuple[FragileDistrict, ...] = ()
    objectifs_indicateurs: tuple[FollowedAction, ...] = ()

    @model_validator(mode="after")
    def _actions_are_known(self) -> Self:
        actions = [action for objective in self.objectifs for action in objective.actions]
        followed = [entry.action for entry in self.objectifs_indicateurs]
        if twice := repeated(followed):
            raise ValueError(f"'objectifs_indicateurs' names an action twice: {', '.join(twice)}")
        for action in followed:
            if action in actions:
                continue
            near = difflib.get_close_matches(action, actions, n=1, cutoff=0.3)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"'objectifs_indicateurs' names {action!r}, no action of 'objectifs'{hint}")
        return self


class Bands(TerritoryTable):
    """The bands around QPV where home ownership is taxed at a reduced VAT, drawn if `publiees`.

    300 m around a QPV; 500 m where it has an urban renewal agreement (`npnru`), for a building that is also
    partly within 300 m. Exact bands around all QPV of France cost a minute. `decoupe_epci` stops them at the
    EPCI's limit.
    """

    distance_m: float = Field(default=BAND_WIDTH, gt=0)
    distance_npnru_m: float = Field(default=500.0, gt=0)
    npnru: tuple[str, ...] = ()
    decoupe_epci: bool = False
    publiees: bool = True


class Guard(TerritoryTable):
    """Changes beyond which a new release is held until somebody has looked."""

    nombre_pct: float = Field(default=10.0, ge=0)
    """Percent change of the number of rows of a layer, or of values of an indicator."""
    surface_qpv_pct: float = Field(default=5.0, ge=0)
    """Area that a QPV's contour gains or loses, in percent."""
    total_pct: float = Field(default=10.0, ge=0)
    mediane_pct: float = Field(default=25.0, ge=0)
    """Percent change of the total of an additive indicator, and of the median of another one."""
    qpv_entre_ou_sorti: bool = True
    retrait: bool = True
    """Whether the release is held for a QPV that enters or leaves; for a removed layer, field or
    indicator."""


class Retention(TerritoryTable):
    """Which old releases a refresh removes after publishing: none, unless declared.

    What stays: the `nombre` newest, what was the current one less than `jours` days ago, and always the
    current one and the one before.
    """

    nombre: int | None = Field(default=None, ge=2)
    jours: float | None = Field(default=None, ge=0, le=MOST_DAYS)


class ContourFile(TerritoryTable):
    """A contour file of the metropolis: GeoPackage, GeoJSON or Shapefile (bare or zipped).

    Its content is published under the licence of the release.
    """

    chemin: str = Field(min_length=1)
    """Path, relative to the territory's file (see `Territory.path_of`)."""
    mise_a_jour: date
    """Date of the contours; declared, because a copied file loses its own date."""
    producteur: str | None = None
    """Who made it, if not the publisher of the territory's release."""
    crs: str | None = Field(default=None, pattern=r"^EPSG:\d{4,5}$")
    """CRS of its coordinates (``EPSG:2154``), needed only if the file does not declare it."""
    champ_nom: str = "nom"
    couche: str | None = None
    """Layer of a GeoPackage or Shapefile of an archive, needed only if there are several."""

    @field_validator("chemin", mode="before")
    @classmethod
    def _is_a_path(cls, value: object) -> object:
        # In TOML, "C:\temp" means C:, a tab, emp.
        if isinstance(value, str) and not value.isprintable():
            raise ValueError(f"{value!r} is not a path: {WINDOWS_PATH}")
        return value


class Contact(TerritoryTable):
    """Who publishes a release and answers its users; it is published, so name a service, not a person."""

    organisation: str = Field(min_length=1)
    service: str | None = None
    courriel: str | None = Field(default=None, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
    site: str | None = Field(default=None, pattern=r"^https?://\S+$")
    publications: str | None = Field(default=None, pattern=r"^https?://\S+$")
    """Address under which the folder of all territories' releases (``data/out``) is served, if it is."""


class LocalDistrict(TerritoryTable):
    """A *quartier* of the city, declared as a set of whole IRIS."""

    nom: str = Field(min_length=1)
    iris: tuple[str, ...] = Field(min_length=1)

    @field_validator("iris")
    @classmethod
    def _are_codes(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        name = info.data.get("nom", "?")
        if bad := [code for code in value if not re.fullmatch(r"\d[\dAB]\d{7}", code)]:
            raise ValueError(f"district {name!r}: not codes of IRIS (nine characters): {', '.join(bad)}")
        if twice := repeated(value):
            raise ValueError(f"district {name!r} names an IRIS twice: {', '.join(twice)}")
        return value


def repeated(values: tuple[str, ...] | list[str]) -> list[str]:
    """Return the values that occur more than once, sorted."""
    return sorted({value for value in values if values.count(value) > 1})
