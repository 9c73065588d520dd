"""The city's own districts (*quartiers*): sets of whole IRIS, or contours of its own."""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from qpv_geo.analysis.aggregate import aggregate, estimate_by_area
from qpv_geo.analysis.iris import shares_of_iris
from qpv_geo.analysis.overlay import as_multipolygon
from qpv_geo.checks import Check, check_none
from qpv_geo.errors import ConfigurationError, ContractError
from qpv_geo.ingest.registry import Computation
from qpv_geo.territory import LocalDistrict, Territory

# Relative: IRIS do not overlap, so the area of their union is the sum of theirs.
_CONSERVED = 1e-6

# Metres, as in `overlay`.
_GRID = 1e-8


@dataclass(frozen=True)
class Districts:
    """The city's districts: layer ``quartiers``, and what their statistics are made from.

    In the layer, ``mode`` is ``iris`` or ``contour``; ``nb_iris`` counts the IRIS of the set, or those that
    the contour overlaps by more than a sliver. `members` are the IRIS of each set; `shares`, for contours,
    are those of `iris.shares_of_iris`, empty without IRIS contours.
    """

    layer: gpd.GeoDataFrame
    members: Mapping[str, tuple[str, ...]]
    shares: pd.DataFrame
    checks: tuple[Check, ...]


def local_districts(
    territory: Territory,
    iris: gpd.GeoDataFrame | None,
    contours: gpd.GeoDataFrame | None,
    label: str = "contours",
) -> Districts:
    """Draw the city's districts, declared as sets of IRIS or given by a contour file.

    `iris` and `contours` are in the territory's CRS, None if there are none; `label` is the contour file's,
    for errors. Raises `ConfigurationError` if a set names an IRIS that has no contour; the message names them
    all. Raises `ContractError` if names of the contour file are missing or repeated; the message names them
    all.
    """
    checks, frames = [], []
    sets = territory.quartiers
    if sets and iris is not None:
        frames.append(_from_sets(sets, iris, territory))
    elif sets:
        names = ", ".join(district.nom for district in sets)
        message = f"Contours des IRIS non lus, quartiers déclarés par IRIS non publiés : {names}."
        checks.append(Check("quartiers_par_iris", territory.id, "non_verifiable", "", "", message))
        sets = ()
    shares = pd.DataFrame(columns=["code", "code_iris", "part_zone", "part_iris", "significatif"])
    if contours is not None:
        if problems := name_problems(contours["nom"], (district.nom for district in territory.quartiers)):
            raise ContractError(
                f"{label}: expected one district per name: {'; '.join(problems)}. Correct the file: a "
                f"district of several parts is one feature"
            )
        if iris is not None:
            shares = shares_of_iris(contours, iris, territory)
        frames.append(_from_contours(contours, shares, territory, iris_read=iris is not None))
        checks.append(_check_overlaps(contours, territory))
    columns = ["nom", "mode", "nb_iris", "surface_m2", "geometry"]
    layer = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
    layer = layer.sort_values("nom", ignore_index=True).astype({"nb_iris": "Int64", "surface_m2": "float64"})
    return Districts(
        gpd.GeoDataFrame(layer[columns], geometry="geometry", crs=territory.epsg),
        {district.nom: district.iris for district in sets},
        shares,
        tuple(checks),
    )


def _from_sets(
    sets: tuple[LocalDistrict, ...], iris: gpd.GeoDataFrame, territory: Territory
) -> gpd.GeoDataFrame:
    drawn = iris.set_index("code_iris").geometry
    unknown = [
        f"{district.nom}: {', '.join(missing)}"
        for district in sets
        if (missing := [code for code in district.iris if code not in drawn.index])
    ]
    if unknown:
        communes = ", ".join(sorted({code[:5] for code in drawn.index}))
        raise ConfigurationError(
            f"territory {territory.id!r}: 'quartiers' names IRIS without contour ({'; '.join(unknown)}). "
            f"Contours were read for commune {communes}: correct the codes, or add the commune to "
            f"'communes_principales'"
        )
    unions = [_union(drawn.loc[list(district.iris)].to_numpy()) for district in sets]
    return gpd.GeoDataFrame(
        {
            "nom": [district.nom for district in sets],
            "mode": "iris",
            "nb_iris": [len(district.iris) for district in sets],
            "surface_m2": shapely.area(unions),
        },
        geometry=unions,
        crs=iris.crs,
    )


def _union(geometries: NDArray[np.object_]) -> shapely.MultiPolygon:
    """Return the union of IRIS, on a grid if floating point lost an area (or if IRIS overlap)."""
    union = shapely.union_all(geometries)
    whole = shapely.area(geometries).sum()
    if abs(union.area - whole) > _CONSERVED * whole:
        union = shapely.union_all(geometries, grid_size=_GRID)
    return as_multipolygon(union)


def _from_contours(
    contours: gpd.GeoDataFrame, shares: pd.DataFrame, territory: Territory, *, iris_read: bool
) -> gpd.GeoDataFrame:
    real = shares[shares["significatif"].astype(bool) & shares["code_iris"].notna()]
    count = contours["nom"].map(real.groupby("code")["code_iris"].nunique())
    return gpd.GeoDataFrame(
        {
            "nom": contours["nom"],
            "mode": "contour",
            "nb_iris": (count.fillna(0) if iris_read else count).astype("Int64"),
            "surface_m2": contours.area,
        },
        geometry=contours.geometry,
        crs=territory.epsg,
    )


def name_problems(names: Iterable[object], declared: Iterable[str] = ()) -> list[str]:
    """List the faults of a contour file's names: missing, repeated, or declared elsewhere."""
    present = [name if isinstance(name, str) and name.strip() else None for name in names]
    problems = [f"feature {row} has no name" for row, name in enumerate(present, 1) if name is None]
    alike: dict[str, list[str]] = {}
    for name in [*declared, *(name for name in present if name)]:
        alike.setdefault(comparable(name), []).append(name)
    repeated = [" and ".join(map(repr, same)) for same in alike.values() if len(same) > 1]
    return problems + [f"{same} are one name" for same in repeated]


def comparable(name: str) -> str:
    """Return a name without what people write differently: accents, case, apostrophes, hyphens, brackets."""
    decomposed = unicodedata.normalize("NFKD", name.casefold().replace("œ", "oe"))
    bare = (letter for letter in decomposed if not unicodedata.combining(letter))
    # One of Unicode's apostrophes is a letter, a modifier (Lm).
    kept = (letter if letter.isalnum() and unicodedata.category(letter) != "Lm" else " " for letter in bare)
    return " ".join("".join(kept).split())


def _check_overlaps(contours: gpd.GeoDataFrame, territory: Territory) -> Check:
    """Warn of contours of districts that overlap by more than a sliver: people there are counted twice."""
    shapes = contours.geometry.to_numpy()
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    first, second = first[first < second], second[first < second]
    common = shapely.area(shapely.intersection(shapes[first], shapes[second], grid_size=_GRID))
    names = contours["nom"].to_numpy()
    pairs = sorted(
        f"{names[one]} et {names[other]}"
        for one, other, area in zip(first, second, common, strict=True)
        if area > territory.sliver_area
    )
    message = f"Des contours de quartiers se chevauchent : {' ; '.join(pairs)}."
    otherwise = "Les contours des quartiers ne se chevauchent pas."
    return check_none("chevauchement_des_quartiers", "quartiers", pairs, message, otherwise)


def district_statistics(
    districts: Districts, values: pd.DataFrame, rules: Mapping[str, Computation]
) -> pd.DataFrame:
    """Return the statistics of the city's districts: sums for sets of IRIS, estimates for contours.

    `values` are those by IRIS that match the contours (`iris.IrisStatistics.joined`). In the result ``zone``
    is ``quartier`` and ``code`` the district's name.
    """
    rows = pd.concat(
        [
            aggregate(values, districts.members, rules, "quartier"),
            estimate_by_area(values, districts.shares, rules, "quartier"),
        ]
    )
    return rows.sort_values(["code", "indicateur", "millesime"], ignore_index=True)
