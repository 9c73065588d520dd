"""The health approach as ``health.toml`` declares it: categories of care, and the lines of ``sante``."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from qpv_geo.frozen import Frozen
from qpv_geo.ingest.apl import load_professions
from qpv_geo.ingest.registry import Registry
from qpv_geo.toml_file import read_declarations
from qpv_geo.typography import FrenchText

_PLAN = Path(__file__).with_name("health.toml")

HealthZone = Literal["qpv", "iris_du_qpv", "commune", "epci", "departement", "france"]
"""Kinds of zones that a value of ``sante`` may be of, from near to far."""


class Category(Frozen):
    """A category of care, and its types in the BPE."""

    libelle: FrenchText
    types: tuple[str, ...] = Field(min_length=1)


class IrisRule(Frozen):
    """Which whole IRIS stand for a QPV: the least share of its area, or of theirs, in percent."""

    part_qpv: float = Field(gt=0, le=100)
    part_iris: float = Field(gt=0, le=100)


class IndicatorLine(Frozen):
    """An indicator of the registry, for some kinds of zones."""

    id: str
    zones: tuple[HealthZone, ...] = ("qpv",)


class CareLine(Frozen):
    """A field of ``offre_soins``, of every category; braces stand for its id, or its name."""

    ligne: str
    champ: str
    libelle: FrenchText
    maille: FrenchText
    unite: str = ""


class AccessLine(Frozen):
    """A table of accessibility, of every profession; braces stand for its id, or its name."""

    table: Literal["accessibilite", "apl"]
    ligne: str
    libelle: FrenchText
    zones: tuple[HealthZone, ...]


class Heading(Frozen):
    """The lines under one heading."""

    titre: FrenchText
    acces: AccessLine | None = None
    indicateurs: tuple[IndicatorLine, ...] = ()
    offre: tuple[CareLine, ...] = ()


class HealthPlan(Frozen):
    """Everything that ``health.toml`` declares."""

    absences: dict[str, FrenchText]
    categories: dict[str, Category]
    iris: IrisRule
    rubriques: tuple[Heading, ...]
    mailles: dict[HealthZone, FrenchText]

    @model_validator(mode="after")
    def _is_coherent(self) -> Self:
        types = [code for category in self.categories.values() for code in category.types]
        if twice := sorted({code for code in types if types.count(code) > 1}):
            raise ValueError(f"types in two categories: {', '.join(twice)}")
        return self

    def lines(self, registry: Registry) -> Iterator[tuple[str, str]]:
        """Yield the id and the name of every line of ``sante``, in order."""
        for heading in self.rubriques:
            if access := heading.acces:
                for one in load_professions():
                    yield access.ligne.format(one.id), access.libelle.format(one.libelle)
            yield from ((line.id, registry.by_id[line.id].label) for line in heading.indicateurs)
            for code, category in self.categories.items():
                for line in heading.offre:
                    yield line.ligne.format(code), line.libelle.format(category.libelle)


@cache
def load_health_plan(path: Path = _PLAN) -> HealthPlan:
    """Read the declarations of the health approach; a `ConfigurationError` says what is wrong."""
    with read_declarations(path, "the health approach is not valid") as entries:
        return HealthPlan.model_validate(entries)
