"""Features outside a territory: a defect of one is reported, and stops its own territory alone."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qpv_geo.checks import Check
from qpv_geo.ingest.codes import COMMUNE, DEPARTEMENT, EPCI, CodeKind
from qpv_geo.ingest.contracts import Defect, Names, Problems
from qpv_geo.sources.catalogue import Source
from qpv_geo.territory import Territory, codes_of
from qpv_geo.zones import department_of_commune

# By what a feature is placed: codes that it declares, or that follow from its own.
PLACES = ["insee_com", "siren_epci", "insee_dep"]


@dataclass(frozen=True)
class SetAside:
    """Features of a file that are not used, because something is wrong with them.

    `features` are their attributes, codes first, with their `PLACES`, indexed by name (``feature 17
    (QN09101M)``). `defects` has at least one of each.
    """

    label: str
    source: Source
    features: pd.DataFrame
    defects: tuple[Defect, ...]

    def refuse(self, chosen: NDArray[np.bool_]) -> None:
        """Raise what is wrong with some of the features, as a `ContractError`."""
        named = set(self.features.index[chosen])
        problems = Problems(self.label, self.source)
        for defect in self.defects:
            if defect.feature in named:
                problems.add(defect.expected, defect.found, column=defect.column, where=defect.feature)
        problems.raise_if_any()

    def checks(self) -> list[Check]:
        """Name each feature and what is wrong with it."""
        natures: dict[str, dict[str, None]] = {}
        for defect in self.defects:
            natures.setdefault(defect.feature, {})[defect.nature] = None
        file = self.label.partition(" (")[0].removeprefix(f"source {self.source.id}: ")
        checks = []
        for feature, faults in natures.items():
            number, _, rest = feature.removeprefix("feature ").partition(" ")
            what = f"entité {number} {rest}".strip()
            message = f"{file}, {what} : {' ; '.join(faults)}. Hors du territoire, elle est laissée de côté."
            code = str(self.features.loc[feature].iloc[0])
            checks.append(Check("entite_ecartee", code, "avertissement", "", next(iter(faults)), message))
        return checks


class Outside:
    """Tells what lies outside a territory, and keeps the features that are left out for their defects.

    Without a territory, the releases of several are made from one reading: no defect of a feature stops it,
    and each territory refuses its own (`SetAside.refuse`).
    """

    def __init__(self, territory: Territory | None) -> None:
        self.territory = territory
        self.set_aside: list[SetAside] = []

    def checks(self) -> list[Check]:
        """Return a warning for each feature that was set aside."""
        return [check for aside in self.set_aside for check in aside.checks()]


@contextmanager
def raise_inside(
    outside: Outside | None, problems: Problems, features: pd.DataFrame, where: Names, kind: CodeKind
) -> Iterator["pd.Series[bool]"]:
    """Raise at the end what is wrong with features of the territory; set others aside that are defective.

    `features` are as `SetAside` has them. Given is which of them have a readable code of a `kind`; others
    are tolerated nowhere: they can neither be counted nor named. Without `outside`, none is.
    """
    readable = features.iloc[:, 0].astype("str").str.fullmatch(kind.pattern)
    if outside:
        tolerated = readable.to_numpy(dtype=bool)
        if outside.territory:
            tolerated = tolerated & ~may_hold(outside.territory, features)
        problems.tolerate(where[tolerated])
    yield readable
    problems.raise_if_any()
    if outside and problems.defects:
        chosen = ~problems.without_defect(where)
        found = features[chosen].set_axis(where[chosen])
        outside.set_aside.append(SetAside(problems.label, problems.source, found, tuple(problems.defects)))


def may_hold(territory: Territory, places: pd.DataFrame) -> NDArray[np.bool_]:
    """Tell which features may lie in a territory: a missing or unreadable code excludes nothing."""
    rows = zip(*(places[name] for name in PLACES), strict=True)
    return np.array([_may_hold(territory, *row) for row in rows], dtype=bool)


def _may_hold(territory: Territory, insee_com: object, siren_epci: object, insee_dep: object) -> bool:
    communes, sirens, departments = (
        {code for code in codes_of(codes) if re.fullmatch(kind.pattern, code)}
        for codes, kind in ((insee_com, COMMUNE), (siren_epci, EPCI), (insee_dep, DEPARTEMENT))
    )
    departments |= {department_of_commune(code) for code in communes}
    if territory.genre == "france":
        return True
    known = {territory.departement, *map(department_of_commune, territory.communes)}
    in_department = not departments or bool(departments & known)
    if territory.genre == "commune" and communes:
        return territory.commune in communes
    if territory.genre != "epci":
        return in_department
    if territory.epci in sirens or communes & set(territory.communes):
        return True
    placed_elsewhere = sirens or (communes and territory.communes)
    return in_department and not placed_elsewhere
