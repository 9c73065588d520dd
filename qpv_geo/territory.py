"""A territory: the EPCI that a release is about, read from a TOML file into a frozen, validated model."""

import tomllib
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qpv_geo.errors import ConfigurationError

_SHIPPED = Path(__file__).with_name("territories")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


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
    quartiers_fragiles: tuple[FragileDistrict, ...] = ()


class Territory(_Frozen):
    """The EPCI that a release is about.

    Attributes
    ----------
    id
        Names the folder and the files of its releases.
    epci
        SIREN of the EPCI (9 digits, kept as text).
    communes_principales
        Communes for which files exist by commune (IRIS).
    epsg
        Projected CRS of the release, in metres.
    sliver_share, sliver_area
        A QPV belongs to a commune when their overlap is more than this share of the QPV and more than this
        area (square metres); a smaller overlap comes from contours that do not quite match.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    nom: str
    epci: str = Field(pattern=r"^\d{9}$")
    departement: str = Field(pattern=r"^(\d{2}|2[AB]|9[78]\d)$")
    region: str = Field(pattern=r"^\d{2}$")
    communes_principales: tuple[str, ...] = ()
    epsg: Literal[2154, 2972, 2975, 3163, 3297, 4467, 4471, 5490] = 2154
    sliver_share: float = Field(default=0.02, ge=0, lt=0.5)
    sliver_area: float = Field(default=100.0, ge=0)
    expected: Expected
    contrat: Contract | None = None


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
    try:
        return Territory(**tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise ConfigurationError(f"{path}: the territory is not valid: {error}") from error
