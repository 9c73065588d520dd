"""A territory and its file: most are an EPCI; a commune, a department or all of France are others."""

import difflib
import re
import shlex
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from qpv_geo.errors import ConfigurationError
from qpv_geo.frozen import problems_of
from qpv_geo.territory.tables import (
    COMMUNE,
    Bands,
    Contact,
    ContourFile,
    Contract,
    Expected,
    Guard,
    LocalDistrict,
    Retention,
    TerritoryTable,
    repeated,
)
from qpv_geo.toml_file import read_toml
from qpv_geo.zones import department_of

_WGS84 = 4326

Kind = Literal["epci", "commune", "departement", "france"]

# The codes that each kind of territory needs.
_CODES: dict[Kind, tuple[str, ...]] = {
    "epci": ("epci", "departement", "region"),
    "commune": ("commune", "departement"),
    "departement": ("departement",),
    "france": (),
}
_SHIPPED = Path(__file__).parents[1] / "territories"


class Territory(TerritoryTable):
    """What a release is about."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """Names the folder and the files of its releases."""
    nom: str
    genre: Kind = "epci"
    epci: str | None = Field(default=None, pattern=r"^\d{9}$")
    """SIREN of the EPCI (9 digits, kept as text); for a commune, that of its EPCI if it has one."""
    commune: str | None = Field(default=None, pattern=COMMUNE)
    departement: str | None = Field(default=None, pattern=r"^(\d{2}|2[AB]|9[78]\d)$")
    region: str | None = Field(default=None, pattern=r"^\d{2}$")
    """INSEE codes; an EPCI that spans several has those of most of its communes."""
    communes: tuple[str, ...] = ()
    """INSEE codes of its communes. By default, those whose contour declares the EPCI (or the department)."""
    communes_principales: tuple[str, ...] = ()
    """Communes for which files exist by commune (IRIS)."""
    epsg: Literal[2154, 2972, 2975, 3163, 3297, 4467, 4471, 5490] = 2154
    """Projected CRS in which the release is measured. For France it is that of metropolitan France; each
    overseas territory is measured in its own."""
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
        if bad := [code for code in listed if not re.fullmatch(COMMUNE, code)]:
            raise ValueError(f"'communes': not INSEE codes of communes: {', '.join(bad)}")
        if twice := repeated(listed):
            raise ValueError(f"'communes' names a commune twice: {', '.join(twice)}")
        if listed and (strangers := sorted(set(self.communes_principales) - set(listed))):
            raise ValueError(f"'communes_principales' are not all in 'communes': {', '.join(strangers)}")
        expected = self.expected.communes
        if listed and expected is not None and expected != len(listed):
            raise ValueError(f"'communes' lists {len(listed)} communes, 'expected.communes' says {expected}")
        return self

    @model_validator(mode="after")
    def _districts_are_apart(self) -> Self:
        if twice := repeated([district.nom for district in self.quartiers]):
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
        """Keep the folder that relative paths start from, outside the dumped fields."""
        self._folder = (context or {}).get("folder", Path())

    @property
    def code(self) -> str:
        """Code of the territory as a zone: SIREN, INSEE code, or ``france``."""
        codes = {"epci": self.epci, "commune": self.commune, "departement": self.departement}
        return codes.get(self.genre) or self.genre

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
        declared = {
            "quartiers_fichier": self.quartiers_fichier,
            "quartiers_fragiles_fichier": self.quartiers_fragiles_fichier,
        }
        return {key: file for key, file in declared.items() if file}

    def path_of(self, file: ContourFile) -> Path:
        """Return the path of a contour file; a relative one starts from the territory file's folder."""
        return self._folder / file.chemin


@cache
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
        raise ConfigurationError(
            f"{path}: the territory is not valid: {problems_of(error, Territory)}"
        ) from error


def _unknown(name: str) -> str:
    """Say that there is no such territory, and what is rather meant: a name misspelt, a code, a place."""
    by_code = {load_territory(known).code: known for known in territory_names()}
    near = by_code.get(name) or next(
        iter(difflib.get_close_matches(name.lower(), by_code.values(), n=1, cutoff=0.7)), None
    )
    others = ", ".join(sorted(by_code.values()))
    hint = f"did you mean {near}?" if near else f"give one of {others}, or the path of a .toml file"
    if not near and not name.endswith(".toml"):
        hint += f"; `qpv-geo territory init {shlex.quote(name)}` writes that of another place"
    return f"no territory {name!r}: {hint}"
