"""A territory: what a release is about, read from a TOML file into a frozen, validated model.

Most are an EPCI; a commune, a department and the whole of France are territories as well.
"""

import difflib
import re
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from qpv_geo.characters import forbidden_character
from qpv_geo.errors import ConfigurationError
from qpv_geo.toml_file import WINDOWS_PATH, read_toml
from qpv_geo.zones import department_of

_WGS84 = 4326
_COMMUNE = r"^\d[\dAB]\d{3}$"
_SHIPPED = Path(__file__).with_name("territories")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="after")
    @classmethod
    def _can_be_published(cls, value: object) -> object:
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and (found := forbidden_character(text)):
                raise ValueError(f"{text!r} holds the control character {found}, which XML cannot hold")
        return value


class Expected(_Frozen):
    """Counts that every national file must confirm: QPV of the territory, of its department; its communes."""

    qpv: int = Field(ge=0)
    qpv_departement: int | None = None
    communes: int | None = None


class ContractQpv(_Frozen):
    """What the Contrat de ville says of one QPV; every figure keeps its own name beside INSEE's."""

    code_qp: str = Field(pattern=r"^QN(\d{3}|02[AB])\d{2}[A-Z]$")
    nom: str
    population: int | None = None
    taux_pauvrete: float | None = None
    part_familles_monoparentales: float | None = None


class ContractTotal(_Frozen):
    """What a source says of all QPV of the contract together.

    Attributes
    ----------
    code
        Of the contract (``CN02502I``).
    source
        Who says so, as the release cites it.
    """

    code: str
    population: int = Field(ge=0)
    source: str


class FragileDistrict(_Frozen):
    """A *quartier fragile*: no official contour, no INSEE table."""

    nom: str
    insee_com: str = Field(pattern=r"^\d[\dAB]\d{3}$")
    lib_com: str


class Objective(_Frozen):
    """An objective of the contract and what it covers."""

    titre: str
    actions: tuple[str, ...] = ()


class Contract(_Frozen):
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


class Bands(_Frozen):
    """The bands around QPV where home ownership is taxed at a reduced VAT.

    300 m around a QPV; 500 m where it has an urban renewal agreement, for a building that is also partly
    within 300 m (Code général des impôts, article 278 sexies, III, 2°).

    Attributes
    ----------
    distance_m, distance_npnru_m
        Metres.
    npnru
        QPV of the territory that are in the NPNRU.
    decoupe_epci
        Whether bands stop at the EPCI's limit.
    publiees
        Whether they are drawn at all: exact bands around all QPV of France cost a minute.
    """

    distance_m: float = Field(default=300.0, gt=0)
    distance_npnru_m: float = Field(default=500.0, gt=0)
    npnru: tuple[str, ...] = ()
    decoupe_epci: bool = False
    publiees: bool = True


class Guard(_Frozen):
    """Changes from one release to the next beyond which the next one is held until somebody has looked.

    Attributes
    ----------
    nombre_pct
        Change, in percent, of the number of rows of a layer, or of values of an indicator.
    surface_qpv_pct
        What the contour of a QPV gains or loses, in percent of its area.
    total_pct
        Change of the total of an indicator that may be added, in percent.
    mediane_pct
        Change of the median over the QPV of an indicator that may not, in percent.
    qpv_entre_ou_sorti
        Whether a QPV that enters or leaves holds the release.
    retrait
        Whether a layer, a field or an indicator that is gone does.
    """

    nombre_pct: float = Field(default=10.0, ge=0)
    surface_qpv_pct: float = Field(default=5.0, ge=0)
    total_pct: float = Field(default=10.0, ge=0)
    mediane_pct: float = Field(default=25.0, ge=0)
    qpv_entre_ou_sorti: bool = True
    retrait: bool = True


class Retention(_Frozen):
    """Which releases a refresh may remove once it has published: none, unless declared.

    A release goes when neither `nombre` nor `jours` keeps it; the current one and the one before stay always.

    Attributes
    ----------
    nombre
        How many of the newest releases stay.
    jours
        For how many days a release stays after it was last the current one.
    """

    nombre: int | None = Field(default=None, ge=2)
    jours: float | None = Field(default=None, ge=0)


class ContourFile(_Frozen):
    """A contour file of the metropolis: GeoPackage, GeoJSON or Shapefile (bare or zipped).

    What it holds is published, under the licence of the release.

    Attributes
    ----------
    chemin
        Path, relative to the territory's file (see `Territory.locate`).
    mise_a_jour
        Date of the contours, published as that of any other source: a file's own date is lost when it is
        copied.
    producteur
        Who made it, if not the publisher of the territory's release.
    crs
        CRS of its coordinates (``EPSG:2154``), needed only if the file does not declare it.
    champ_nom
        Field that holds the names.
    couche
        Layer of a GeoPackage or Shapefile of an archive, needed only if there are several.
    """

    chemin: str = Field(min_length=1)
    mise_a_jour: date
    producteur: str | None = None
    crs: str | None = Field(default=None, pattern=r"^EPSG:\d{4,5}$")
    champ_nom: str = "nom"
    couche: str | None = None

    @field_validator("chemin", mode="before")
    @classmethod
    def _is_a_path(cls, value: object) -> object:
        # "C:\temp" is TOML, and means C:, a tab, emp.
        if isinstance(value, str) and not value.isprintable():
            raise ValueError(f"{value!r} is not a path: {WINDOWS_PATH}")
        return value


class Contact(_Frozen):
    """Whom users of the release may ask; published in its metadata, so give a service and no person.

    Attributes
    ----------
    organisation
        Who publishes.
    service, courriel, site
        Service in charge, its electronic mail, web site.
    """

    organisation: str = Field(min_length=1)
    service: str | None = None
    courriel: str | None = Field(default=None, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
    site: str | None = Field(default=None, pattern=r"^https?://\S+$")


class LocalDistrict(_Frozen):
    """A *quartier* of the city, declared as a set of whole IRIS."""

    nom: str = Field(min_length=1)
    iris: tuple[str, ...] = Field(min_length=1)

    @field_validator("iris")
    @classmethod
    def _are_codes(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        name = info.data.get("nom", "?")
        if bad := [code for code in value if not re.fullmatch(r"\d[\dAB]\d{7}", code)]:
            raise ValueError(f"district {name!r}: not codes of IRIS (nine characters): {', '.join(bad)}")
        if twice := sorted({code for code in value if value.count(code) > 1}):
            raise ValueError(f"district {name!r} names an IRIS twice: {', '.join(twice)}")
        return value


# The models of a territory file's tables, by their keys.
_MODELS: dict[str, type[BaseModel]] = {
    "expected": Expected,
    "contrat": Contract,
    "qpv": ContractQpv,
    "total": ContractTotal,
    "quartiers_fragiles": FragileDistrict,
    "objectifs": Objective,
    "contact": Contact,
    "bandes": Bands,
    "quartiers": LocalDistrict,
    "quartiers_fichier": ContourFile,
    "quartiers_fragiles_fichier": ContourFile,
}

Kind = Literal["epci", "commune", "departement", "france"]

# What each kind of territory is known by.
_CODES: dict[Kind, tuple[str, ...]] = {
    "epci": ("epci", "departement", "region"),
    "commune": ("commune", "departement"),
    "departement": ("departement",),
    "france": (),
}


class Territory(_Frozen):
    """What a release is about.

    Attributes
    ----------
    id
        Names the folder and the files of its releases.
    genre
        An EPCI, a commune, a department or France.
    epci
        SIREN of the EPCI (9 digits, kept as text); of a commune, that of its EPCI if it has one.
    commune, departement, region
        INSEE codes, where the territory is or is in one; of an EPCI in several, that of most of its communes.
    communes
        INSEE codes of its communes. Without them, those whose contour declares the EPCI (or the department).
    communes_principales
        Communes for which files exist by commune (IRIS).
    epsg
        Projected CRS of the release, in metres. France lies in several: this is the one of metropolitan
        France, each overseas territory is measured in its own, and layers are published in `published_epsg`.
    sliver_share, sliver_area
        A QPV belongs to a commune when their overlap is more than this share of the QPV and more than this
        area (square metres); a smaller overlap comes from contours that do not quite match.
    sources_ignorees
        Optional sources that are not asked for: a release can be made although one of them is broken.
    contact
        Whom users may ask; without it, the EPCI is named alone.
    garde
        Changes beyond which a release is held.
    conservation
        Which old releases a refresh removes.
    bandes
        Distances of the bands around QPV.
    quartiers, quartiers_fichier
        The city's districts, as sets of IRIS and as a contour file.
    quartiers_fragiles_fichier
        Contours of the contract's fragile districts.
    sources, indicators
        What it adds to the catalogue and to the registry, as `ingest.additions` validates it.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    nom: str
    genre: Kind = "epci"
    epci: str | None = Field(default=None, pattern=r"^\d{9}$")
    commune: str | None = Field(default=None, pattern=_COMMUNE)
    departement: str | None = Field(default=None, pattern=r"^(\d{2}|2[AB]|9[78]\d)$")
    region: str | None = Field(default=None, pattern=r"^\d{2}$")
    communes: tuple[str, ...] = ()
    communes_principales: tuple[str, ...] = ()
    epsg: Literal[2154, 2972, 2975, 3163, 3297, 4467, 4471, 5490] = 2154
    sliver_share: float = Field(default=0.02, ge=0, lt=0.5)
    sliver_area: float = Field(default=100.0, ge=0)
    expected: Expected
    sources_ignorees: tuple[str, ...] = ()
    contrat: Contract | None = None
    contact: Contact | None = None
    garde: Guard = Guard()
    conservation: Retention = Retention()
    bandes: Bands = Bands()
    quartiers: tuple[LocalDistrict, ...] = ()
    quartiers_fichier: ContourFile | None = None
    quartiers_fragiles_fichier: ContourFile | None = None
    sources: dict[str, Any] = {}
    indicators: dict[str, Any] = {}

    _folder: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _has_its_codes(self) -> Self:
        needed = _CODES[self.genre]
        if lacking := [name for name in needed if getattr(self, name) is None]:
            raise ValueError(f"a territory of 'genre' {self.genre!r} needs {', '.join(map(repr, lacking))}")
        if self.genre == "france" and (self.epci or self.commune or self.departement or self.region):
            raise ValueError("France as a whole has no 'epci', 'commune', 'departement' nor 'region'")
        return self

    @model_validator(mode="after")
    def _communes_are_consistent(self) -> Self:
        listed = self.communes
        if bad := [code for code in listed if not re.fullmatch(_COMMUNE, code)]:
            raise ValueError(f"'communes': not INSEE codes of communes: {', '.join(bad)}")
        if twice := sorted({code for code in listed if listed.count(code) > 1}):
            raise ValueError(f"'communes' names a commune twice: {', '.join(twice)}")
        if listed and (strangers := sorted(set(self.communes_principales) - set(listed))):
            raise ValueError(f"'communes_principales' are not all in 'communes': {', '.join(strangers)}")
        expected = self.expected.communes
        if listed and expected is not None and expected != len(listed):
            raise ValueError(f"'communes' lists {len(listed)} communes, 'expected.communes' says {expected}")
        return self

    @model_validator(mode="after")
    def _districts_are_apart(self) -> Self:
        names = [district.nom for district in self.quartiers]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"'quartiers' declares a name twice: {', '.join(twice)}")
        owners: dict[str, list[str]] = {}
        for district in self.quartiers:
            for code in district.iris:
                owners.setdefault(code, []).append(district.nom)
        if shared := [f"{code} ({', '.join(nom)})" for code, nom in owners.items() if len(nom) > 1]:
            raise ValueError(f"'quartiers' puts an IRIS in two districts: {'; '.join(sorted(shared))}")
        return self

    @model_validator(mode="after")
    def _fragile_districts_are_known(self) -> Self:
        if self.quartiers_fragiles_fichier and not (self.contrat and self.contrat.quartiers_fragiles):
            raise ValueError(
                "'quartiers_fragiles_fichier' needs 'contrat.quartiers_fragiles', whose names it matches"
            )
        return self

    def model_post_init(self, context: dict[str, Path] | None, /) -> None:
        """Remember the folder that relative paths start from, out of what is dumped."""
        self._folder = (context or {}).get("folder", Path())

    @property
    def code(self) -> str:
        """Code of the territory as a zone: SIREN, INSEE code, or ``france``."""
        codes = {"epci": self.epci, "commune": self.commune, "departement": self.departement}
        return codes.get(self.genre) or self.genre

    @property
    def published_epsg(self) -> int:
        """CRS of the published layers: no projected CRS serves metropolitan France and overseas alike."""
        return _WGS84 if self.genre == "france" else self.epsg

    def has_commune(self, insee_com: str, siren_epci: str | None, insee_dep: str | None) -> bool:
        """Tell whether a commune, by what its contour declares, is one of the territory's."""
        match self.genre:
            case "epci":
                return siren_epci == self.epci
            case "commune":
                return insee_com == self.commune
            case "departement":
                return insee_dep == self.departement
            case "france":
                return True

    def is_declared(self, code_qp: str, insee_com: str | None, siren_epci: str | None) -> bool:
        """Tell whether a QPV declares that it is in the territory.

        A QPV of an EPCI declares its SIREN; around Paris it declares that of an *établissement public
        territorial*, in Mayotte none, and then its communes tell.

        Parameters
        ----------
        code_qp
            Its code, which holds the department.
        insee_com, siren_epci
            What it declares: one code, or several with commas between.
        """
        match self.genre:
            case "epci":
                declared = codes_of(siren_epci)
                return self.epci in declared or any(code in self.communes for code in codes_of(insee_com))
            case "commune":
                return self.commune in codes_of(insee_com)
            case "departement":
                return department_of(code_qp) == self.departement
            case "france":
                return True

    @property
    def files(self) -> dict[str, ContourFile]:
        """The contour files that the territory declares, by entry."""
        declared = {
            "quartiers_fichier": self.quartiers_fichier,
            "quartiers_fragiles_fichier": self.quartiers_fragiles_fichier,
        }
        return {key: file for key, file in declared.items() if file}

    def file(self, key: str) -> ContourFile | None:
        """Return the contour file that an entry of the territory declares, None without it."""
        return self.files.get(key)

    def locate(self, file: ContourFile) -> Path:
        """Return the path of a contour file: relative ones start from the folder of the territory's file."""
        return self._folder / file.chemin


@cache
def codes_of(declared: object) -> tuple[str, ...]:
    """Split a declared list of codes (``"02571, 02691"``); nothing declared gives an empty one."""
    if not isinstance(declared, str):
        return ()
    return tuple(code.strip() for code in declared.split(",") if code.strip())


def territory_names() -> list[str]:
    """Return the names of the territories that the package ships."""
    return sorted(path.stem for path in _SHIPPED.glob("*.toml"))


def load_territory(name_or_path: str) -> Territory:
    """Read a territory by its name (``besancon``) or from a TOML file of one's own.

    Raises
    ------
    ConfigurationError
        If there is no such territory or the file is not valid; the message names the file and the key.
    """
    path = Path(name_or_path) if name_or_path.endswith(".toml") else _SHIPPED / f"{name_or_path}.toml"
    if not path.is_file():
        known = ", ".join(territory_names())
        raise ConfigurationError(
            f"no territory {name_or_path!r}: give one of {known}, or the path of a .toml file"
        )
    entries = read_toml(path)
    try:
        return Territory.model_validate(entries, context={"folder": path.parent})
    except ValidationError as error:
        raise ConfigurationError(f"{path}: the territory is not valid: {_explained(error)}") from error


def _explained(error: ValidationError) -> str:
    """Say what is wrong with each key, one line per key; an unknown one with those that it may stand for."""
    lines = []
    for problem in error.errors():
        place = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            known = _known_keys(problem["loc"][:-1])
            near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
            lines.append(f"unknown key '{place}'; {hint}")
        elif place:
            lines.append(f"'{place}': {problem['msg'].removeprefix('Value error, ')}")
        else:
            lines.append(problem["msg"].removeprefix("Value error, "))
    return "\n- ".join(["", *lines])


def _known_keys(place: tuple[str | int, ...]) -> list[str]:
    """Return the keys that a table of a territory file may have."""
    model: type[BaseModel] = Territory
    for name in place:
        if isinstance(name, str):
            model = _MODELS[name]
    return list(model.model_fields)
