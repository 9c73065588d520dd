"""What a release is about, read from a TOML file: an EPCI, a commune, a department or all of France."""

import difflib
import re
import shlex
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from qpv_geo.characters import forbidden_character
from qpv_geo.errors import ConfigurationError
from qpv_geo.frozen import Frozen, problems_of
from qpv_geo.toml_file import WINDOWS_PATH, read_toml
from qpv_geo.zones import department_of

Kind = Literal["epci", "commune", "departement", "france"]

COMMUNES_PRECISION = 250.0
"""Metres by which generalised outlines of communes may be wrong: over all of France, the coarsest edition
(1,000 m) puts parts of a QPV up to 188 m beyond a limit."""

BAND_WIDTH = 300.0
"""Width in metres of the band with reduced VAT around a QPV without an urban renewal agreement (Code général
des impôts, article 278 sexies, III, 2°)."""

MOST_DAYS = 36_500.0
"""How long releases may be kept, in days: a century. No longer time can be counted back."""

LARGEST_REACH = 10_000.0
"""How far around its communes, in metres, a release knows the QPV, hence the largest distance that `locate`
answers for. Existing releases publish neighbours up to there: a larger value would not hold for them."""

_COMMUNE = r"^\d[\dAB]\d{3}$"
_WGS84 = 4326
# The codes that each kind of territory needs.
_CODES: dict[Kind, tuple[str, ...]] = {
    "epci": ("epci", "departement", "region"),
    "commune": ("commune", "departement"),
    "departement": ("departement",),
    "france": (),
}
_SHIPPED = Path(__file__).with_name("territories")


class _Table(Frozen):
    """Base of every table: no text has characters that XML cannot hold."""

    @field_validator("*", mode="after")
    @classmethod
    def _can_be_published(cls, value: object) -> object:
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and (character := forbidden_character(text)):
                raise ValueError(f"{text!r} holds the control character {character}, which XML cannot hold")
        return value


class Expected(_Table):
    """Counts that every national file must confirm: QPV of the territory, of its department; its communes."""

    qpv: int = Field(ge=0)
    qpv_departement: int | None = None
    communes: int | None = None


class ContractQpv(_Table):
    """The contract's figures for one QPV; each keeps its own name beside INSEE's."""

    code_qp: str = Field(pattern=r"^QN(\d{3}|02[AB])\d{2}[A-Z]$")
    nom: str
    population: int | None = None
    taux_pauvrete: float | None = None
    part_familles_monoparentales: float | None = None


class ContractTotal(_Table):
    """A source's figure for all QPV of a contract: its `code` (``CN02502I``), and the `source` to cite."""

    code: str
    population: int = Field(ge=0)
    source: str


class FragileDistrict(_Table):
    """A *quartier fragile*: no official contour, no INSEE table."""

    nom: str
    insee_com: str = Field(pattern=_COMMUNE)
    lib_com: str


class Objective(_Table):
    """An objective of the contract and what it covers."""

    titre: str
    actions: tuple[str, ...] = ()


class FollowedAction(_Table):
    """An action of the contract, and the indicators or lines of table ``sante`` that follow it."""

    action: str
    indicateurs: tuple[str, ...] = Field(min_length=1)


class Contract(_Table):
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
        _refuse_repeated(followed, "'objectifs_indicateurs' names an action twice")
        for action in (action for action in followed if action not in actions):
            near = difflib.get_close_matches(action, actions, n=1, cutoff=0.3)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"'objectifs_indicateurs' names {action!r}, no action of 'objectifs'{hint}")
        return self


class Bands(_Table):
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


class Guard(_Table):
    """Changes beyond which a new release is held until somebody has looked.

    In percent: the number of rows of a layer, or of values of an indicator; the area that a QPV's contour
    gains or loses; the total of an additive indicator, and the median of another one. Then whether it is held
    for a QPV that enters or leaves, and for a removed layer, field or indicator.
    """

    nombre_pct: float = Field(default=10.0, ge=0)
    surface_qpv_pct: float = Field(default=5.0, ge=0)
    total_pct: float = Field(default=10.0, ge=0)
    mediane_pct: float = Field(default=25.0, ge=0)
    qpv_entre_ou_sorti: bool = True
    retrait: bool = True


class Retention(_Table):
    """Which old releases a refresh removes after publishing: none, unless declared.

    What stays: the `nombre` newest, what was the current one less than `jours` days ago, and always the
    current one and the one before.
    """

    nombre: int | None = Field(default=None, ge=2)
    jours: float | None = Field(default=None, ge=0, le=MOST_DAYS)


class ContourFile(_Table):
    """A GeoPackage, GeoJSON or Shapefile (bare or zipped), published under the licence of the release."""

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


class Contact(_Table):
    """Who publishes a release and answers its users; it is published, so name a service, not a person."""

    organisation: str = Field(min_length=1)
    service: str | None = None
    courriel: str | None = Field(default=None, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
    site: str | None = Field(default=None, pattern=r"^https?://\S+$")
    publications: str | None = Field(default=None, pattern=r"^https?://\S+$")
    """Address under which the folder of all territories' releases (``data/out``) is served, if it is."""


class LocalDistrict(_Table):
    """A *quartier* of the city, declared as a set of whole IRIS."""

    nom: str = Field(min_length=1)
    iris: tuple[str, ...] = Field(min_length=1)

    @field_validator("iris")
    @classmethod
    def _are_codes(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        name = info.data.get("nom", "?")
        _refuse_others(value, r"\d[\dAB]\d{7}", f"district {name!r}: not codes of IRIS (nine characters)")
        _refuse_repeated(value, f"district {name!r} names an IRIS twice")
        return value


class Territory(_Table):
    """What a release is about."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """Names the folder and the files of its releases."""
    nom: str
    genre: Kind = "epci"
    epci: str | None = Field(default=None, pattern=r"^\d{9}$")
    """SIREN of the EPCI (9 digits, kept as text); for a commune, that of its EPCI if it has one."""
    commune: str | None = Field(default=None, pattern=_COMMUNE)
    departement: str | None = Field(default=None, pattern=r"^(\d{2}|2[AB]|9[78]\d)$")
    region: str | None = Field(default=None, pattern=r"^\d{2}$")
    """INSEE codes; an EPCI that spans several has those of most of its communes."""
    communes: tuple[str, ...] = ()
    """INSEE codes of its communes. By default, those whose contour declares the EPCI (or the department)."""
    communes_principales: tuple[str, ...] = ()
    """Communes for which files exist by commune (IRIS)."""
    epsg: Literal[2154, 2972, 2975, 3163, 3297, 4467, 4471, 5490] = 2154
    """Projected CRS in which the release is measured; in that of France, each overseas part has its own."""
    sliver_share: float = Field(default=0.02, ge=0, lt=0.5)
    sliver_area: float = Field(default=100.0, ge=0)
    """A QPV belongs to a commune when their overlap exceeds this share of the QPV and this area (square
    metres); a smaller overlap comes from contours that do not quite match."""
    expected: Expected
    sources_ignorees: tuple[str, ...] = ()
    """Optional sources that are not fetched, so that a broken one does not prevent a release."""
    contrat: Contract | None = None
    contact: Contact | None = None
    """Without it, that of the administrator's file; without both, the release says so."""
    garde: Guard = Guard()
    conservation: Retention = Retention()
    bandes: Bands = Bands()
    quartiers: tuple[LocalDistrict, ...] = ()
    quartiers_fichier: ContourFile | None = None
    """The city's districts, as sets of IRIS and as a contour file."""
    quartiers_fragiles_fichier: ContourFile | None = None
    sources: dict[str, Any] = Field(default={})
    indicators: dict[str, Any] = Field(default={})
    """Additions to the catalogue and to the registry, validated by `ingest.additions`."""

    _folder: Path = Path()

    @model_validator(mode="after")
    def _codes_are_consistent(self) -> Self:
        needed = _CODES[self.genre]
        if lacking := [name for name in needed if getattr(self, name) is None]:
            raise ValueError(f"a territory of 'genre' {self.genre!r} needs {', '.join(map(repr, lacking))}")
        if self.genre == "france" and (self.epci or self.commune or self.departement or self.region):
            raise ValueError("France as a whole has no 'epci', 'commune', 'departement' nor 'region'")
        listed = self.communes
        _refuse_others(listed, _COMMUNE, "'communes': not INSEE codes of communes")
        _refuse_repeated(listed, "'communes' names a commune twice")
        if listed and (strangers := sorted(set(self.communes_principales) - set(listed))):
            raise ValueError(f"'communes_principales' are not all in 'communes': {', '.join(strangers)}")
        expected = self.expected.communes
        if listed and expected is not None and expected != len(listed):
            raise ValueError(f"'communes' lists {len(listed)} communes, 'expected.communes' says {expected}")
        return self

    @model_validator(mode="after")
    def _districts_are_consistent(self) -> Self:
        _refuse_repeated([district.nom for district in self.quartiers], "'quartiers' declares a name twice")
        owners: dict[str, list[str]] = {}
        for district in self.quartiers:
            for code in district.iris:
                owners.setdefault(code, []).append(district.nom)
        if shared := [f"{code} ({', '.join(nom)})" for code, nom in owners.items() if len(nom) > 1]:
            raise ValueError(f"'quartiers' puts an IRIS in two districts: {'; '.join(sorted(shared))}")
        if self.quartiers_fragiles_fichier and not (self.contrat and self.contrat.quartiers_fragiles):
            raise ValueError(
                "'quartiers_fragiles_fichier' needs 'contrat.quartiers_fragiles', whose names it matches"
            )
        return self

    def model_post_init(self, context: dict[str, Path] | None, /) -> None:
        """Keep the folder that relative paths start from, outside the dumped fields."""
        self._folder = (context or {}).get("folder", Path())

    @property
    def code(self) -> str:
        """Code of the territory as a zone: SIREN, INSEE code, or ``france``."""
        return getattr(self, self.genre, None) or self.genre

    @property
    def published_epsg(self) -> int:
        """CRS of the published layers; no projected CRS covers metropolitan France and overseas."""
        return _WGS84 if self.genre == "france" else self.epsg

    def has_commune(self, insee_com: str, siren_epci: str | None, insee_dep: str | None) -> bool:
        """Tell whether a commune is in the territory, from the codes that its contour declares."""
        own = {"epci": siren_epci, "commune": insee_com, "departement": insee_dep}
        return self.genre == "france" or own[self.genre] == self.code

    def is_declared(self, code_qp: str, insee_com: str | None, siren_epci: str | None) -> bool:
        """Tell whether a QPV declares that it is in the territory.

        A QPV usually declares the SIREN of its EPCI. Around Paris it declares that of an *établissement
        public territorial* and in Mayotte none: there its communes decide. `insee_com` and `siren_epci` may
        hold several codes, separated by commas.
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
        """The declared contour files, by their key in the territory file."""
        keys = ("quartiers_fichier", "quartiers_fragiles_fichier")
        return {key: file for key in keys if (file := getattr(self, key))}

    def path_of(self, file: ContourFile) -> Path:
        """Return the path of a contour file; a relative one starts from the territory file's folder."""
        return self._folder / file.chemin


# All territories ask about all QPV, which declare some hundred lists.
@lru_cache(maxsize=8192)
def codes_of(declared: object) -> tuple[str, ...]:
    """Split a declared list of codes (``"02571, 02691"``); a missing value gives an empty one."""
    if not isinstance(declared, str):
        return ()
    return tuple(code.strip() for code in declared.split(",") if code.strip())


def territory_names() -> list[str]:
    """Return the names of the territories shipped with the package."""
    return sorted(path.stem for path in _SHIPPED.glob("*.toml"))


def load_territory(name_or_path: str) -> Territory:
    """Read a shipped territory by its name (``besancon``), or the TOML file at a path.

    Raises `ConfigurationError` if there is none, or the file is not valid, naming the file and the key.
    """
    path = Path(name_or_path) if name_or_path.endswith(".toml") else _SHIPPED / f"{name_or_path}.toml"
    if not path.is_file():
        raise ConfigurationError(_unknown(name_or_path))
    entries = read_toml(path)
    try:
        return Territory.model_validate(entries, context={"folder": path.parent})
    except ValidationError as error:
        problems = problems_of(error, Territory)
        raise ConfigurationError(f"{path}: the territory is not valid: {problems}") from error


def _unknown(name: str) -> str:
    """Say that there is no such territory, and what is rather meant: a name misspelt, a code, a place."""
    by_code = {load_territory(known).code: known for known in territory_names()}
    alike = difflib.get_close_matches(name.lower(), by_code.values(), n=1, cutoff=0.7)
    near = next(filter(None, [by_code.get(name), *alike]), None)
    others = ", ".join(sorted(by_code.values()))
    hint = f"did you mean {near}?" if near else f"give one of {others}, or the path of a .toml file"
    if not near and not name.endswith(".toml"):
        hint += f"; `qpv-geo territory init {shlex.quote(name)}` writes that of another place"
    return f"no territory {name!r}: {hint}"


def _refuse_others(codes: Sequence[str], form: str, problem: str) -> None:
    if bad := [code for code in codes if not re.fullmatch(form, code)]:
        raise ValueError(f"{problem}: {', '.join(bad)}")


def _refuse_repeated(values: Sequence[str], problem: str) -> None:
    if twice := sorted({value for value in values if values.count(value) > 1}):
        raise ValueError(f"{problem}: {', '.join(twice)}")
