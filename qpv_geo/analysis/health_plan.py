"""The health approach as ``health.toml`` declares it: categories of care, and the lines of ``sante``."""

import difflib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, Self, cast

import pandas as pd
from pydantic import Field, model_validator

from qpv_geo.errors import ConfigurationError
from qpv_geo.frozen import Frozen
from qpv_geo.ingest.apl import load_professions
from qpv_geo.ingest.registry import Registry
from qpv_geo.sources.catalogue import Zone
from qpv_geo.territory import Territory
from qpv_geo.toml_file import read_declarations
from qpv_geo.typography import FrenchText

# As layer `accessibilite` publishes it.
PER_HEAD = "pour 100 000 habitants"
SUPPLY, CONTOURS_OF_IRIS = "bpe", "iris"
_PLAN = Path(__file__).with_name("health.toml")

HealthZone = Literal["qpv", "iris_du_qpv", "commune", "epci", "departement", "france"]
"""Kinds of zones that a value of ``sante`` may be of, from near to far."""


class PlanLine(NamedTuple):
    """A measure at one mesh, from some sources of the catalogue."""

    rubrique: str
    ligne: str
    libelle: str
    unite: str
    zone: HealthZone
    maille: str
    sources: tuple[str, ...]
    computed: bool = False
    """Whether it is the index, which needs more than its source."""


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

    def lines(self, registry: Registry) -> Iterator[PlanLine]:
        """Yield a line per measure and kind of zone, in order."""
        for heading in self.rubriques:
            if access := heading.acces:
                computed = access.table == "accessibilite"
                for one in load_professions():
                    ligne, libelle = access.ligne.format(one.id), access.libelle.format(one.libelle)
                    unit, source = (PER_HEAD, SUPPLY) if computed else (one.unite, one.source)
                    for zone in access.zones:
                        mesh = self.mailles[zone]
                        yield PlanLine(heading.titre, ligne, libelle, unit, zone, mesh, (source,), computed)
            for line in heading.indicateurs:
                label, unit = registry.by_id[line.id].label, registry.by_id[line.id].unit
                for zone in line.zones:
                    sources = _sources_of(registry, line.id, zone)
                    yield PlanLine(heading.titre, line.id, label, unit, zone, self.mailles[zone], sources)
            for code, category in self.categories.items():
                for care in heading.offre:
                    ligne, libelle = care.ligne.format(code), care.libelle.format(category.libelle)
                    yield PlanLine(heading.titre, ligne, libelle, care.unite, "qpv", care.maille, (SUPPLY,))


def _sources_of(registry: Registry, indicator: str, zone: HealthZone) -> tuple[str, ...]:
    """Return the sources of an indicator for one kind of zone, or of its terms."""
    of_iris = zone == "iris_du_qpv"
    known, kind = registry.by_id[indicator], cast("Zone", "iris" if of_iris else zone)
    if known.terms and not (known.codes and kind in known.zones):
        return tuple(sorted({source for term in known.terms for source in _sources_of(registry, term, zone)}))
    return (known.source_of(kind), *([CONTOURS_OF_IRIS] if of_iris else []))


@cache
def load_health_plan(path: Path = _PLAN) -> HealthPlan:
    """Read the declarations of the health approach; a `ConfigurationError` says what is wrong."""
    with read_declarations(path, "the health approach is not valid") as entries:
        return HealthPlan.model_validate(entries)


def objectives_table(territory: Territory, registry: Registry) -> pd.DataFrame:
    """Return a row per action of the contract and measure that the territory chose to follow it.

    They stand in the order of the contract. A measure is a line of table ``sante``, or else an indicator of
    ``statistiques``; `ConfigurationError` is raised if it is neither. Without any the frame has no columns.
    """
    contract = territory.contrat
    if contract is None or not contract.objectifs_indicateurs:
        return pd.DataFrame()
    lines = {line.ligne: line.libelle for line in load_health_plan().lines(registry)}
    names = {indicator.id: indicator.label for indicator in registry.indicators} | lines
    followed = {entry.action: entry.indicateurs for entry in contract.objectifs_indicateurs}
    rows = []
    for objective in contract.objectifs:
        for action in objective.actions:
            for measure in dict.fromkeys(followed.get(action, ())):
                if measure not in names:
                    raise ConfigurationError(_unknown(territory, action, measure, list(names)))
                table = "sante" if measure in lines else "statistiques"
                rows.append((objective.titre, action, measure, names[measure], table))
    return pd.DataFrame(rows, columns=["objectif", "action", "indicateur", "libelle", "table_suivie"])


def _unknown(territory: Territory, action: str, measure: str, names: list[str]) -> str:
    near = difflib.get_close_matches(measure, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "see docs/dictionnaire.md and table 'sante'"
    return (
        f"territory {territory.id!r}: 'contrat.objectifs_indicateurs' follows {action!r} by {measure!r}, "
        f"neither an indicator nor a line of table 'sante'; {hint}"
    )
