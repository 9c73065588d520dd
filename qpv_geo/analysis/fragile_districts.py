"""The contract's *quartiers fragiles*: no official contour, no INSEE table, at best local contours."""

import difflib
from collections.abc import Mapping

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from qpv_geo.analysis.aggregate import estimate_by_area
from qpv_geo.analysis.bands import draw_bands
from qpv_geo.analysis.districts import comparable, name_problems, shares_of_iris
from qpv_geo.analysis.overlay import as_multipolygon, part_of
from qpv_geo.checks import Check, check_none
from qpv_geo.errors import ConfigurationError, ContractError
from qpv_geo.french import number
from qpv_geo.ingest.registry import Computation
from qpv_geo.territory import FragileDistrict, Territory

# Percent: a contour with less than this in its district's commune may have another district's name.
_MOSTLY_INSIDE = 50.0


def fragile_districts(
    territory: Territory,
    contours: gpd.GeoDataFrame | None,
    communes: gpd.GeoDataFrame,
    label: str = "contours",
) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame, list[Check]]:
    """Give the contract's fragile districts the contours of the metropolis's own file, by name.

    Returned are layers ``quartiers_fragiles`` and ``bande_quartiers_fragiles``, and checks that name
    districts without a contour, and the share of each contour in its district's commune.

    Accents, case, apostrophes and hyphens of names do not matter. `contours` (``nom``) are in the territory's
    CRS, None without such a file; `label` is the file's, for errors. Raises `ContractError` if a name is
    missing, repeated or unknown to the contract, or a contour does not touch its commune; the message lists
    every problem. Raises `ConfigurationError` if the contract names a commune that is not the territory's.
    """
    declared = sorted(territory.contrat.quartiers_fragiles if territory.contrat else (), key=lambda d: d.nom)
    drawn = communes.set_index("insee_com").geometry
    if strangers := [f"{d.nom} ({d.insee_com})" for d in declared if d.insee_com not in drawn.index]:
        raise ConfigurationError(
            f"territory {territory.id!r}: 'contrat.quartiers_fragiles' names communes that are not among its "
            f"{len(drawn)}: {', '.join(strangers)}"
        )
    shapes: dict[str, shapely.MultiPolygon] = {}
    checks: list[Check] = []
    if contours is not None:
        shapes, problems = _match(declared, contours)
        inside = {d.nom: _inside(d, shapes[d.nom], drawn) for d in declared if d.nom in shapes}
        problems += [
            f"{d.nom!r} does not touch {d.lib_com} ({d.insee_com})"
            for d in declared
            if inside.get(d.nom) == 0
        ]
        checks = _report(declared, inside)
        if problems:
            raise ContractError(
                f"{label}: {'; '.join(problems)}. Correct the file, or 'contrat.quartiers_fragiles' in the "
                f"territory file; if contours are far away, so is the CRS"
            )
    layer = gpd.GeoDataFrame(
        {name: [getattr(d, name) for d in declared] for name in ("nom", "insee_com", "lib_com")},
        geometry=np.array([shapes.get(district.nom) for district in declared], dtype=object),
        crs=territory.epsg,
    )
    layer = layer.assign(contour=layer.geometry.notna(), surface_m2=layer.area)
    return layer, _bands(layer, communes, territory), checks


def _match(
    declared: list[FragileDistrict], contours: gpd.GeoDataFrame
) -> tuple[dict[str, shapely.MultiPolygon], list[str]]:
    """Return the contours by name of the contract's district, and the problems with the names."""
    problems = name_problems(contours["nom"])
    official = {comparable(district.nom): district.nom for district in declared}
    shapes = {}
    unknown = []
    for name, shape in zip(contours["nom"], contours.geometry, strict=True):
        key = comparable(name) if isinstance(name, str) else ""
        if key in official:
            shapes[official[key]] = shape
        elif key:
            near = difflib.get_close_matches(key, official, n=1)
            unknown.append(f"{name!r}{f' (perhaps {official[near[0]]!r})' if near else ''}")
    if unknown:
        listed = ", ".join(official.values())
        problems.append(f"{', '.join(unknown)}: none of the contract's fragile districts, which are {listed}")
    return shapes, problems


def _inside(district: FragileDistrict, shape: shapely.MultiPolygon, communes: gpd.GeoSeries) -> float:
    """Return the percentage of a contour in the commune that the contract names."""
    return 100 * float(part_of(shape, communes[district.insee_com], inside=True).area) / float(shape.area)


def _report(declared: list[FragileDistrict], inside: Mapping[str, float]) -> list[Check]:
    """Check that districts have a contour, and that each contour lies in its commune."""
    missing = [district.nom for district in declared if district.nom not in inside]
    checks = [
        check_none(
            "contours_des_quartiers_fragiles",
            "quartiers_fragiles",
            missing,
            f"Sans contour dans le fichier fourni : {', '.join(missing)}.",
            "Tous les quartiers fragiles ont un contour.",
            (len(declared), len(inside)),
        )
    ]
    checks += [
        Check(
            "commune_du_quartier_fragile",
            district.nom,
            "conforme" if inside[district.nom] > _MOSTLY_INSIDE else "avertissement",
            f"{district.lib_com} ({district.insee_com})",
            f"{number(inside[district.nom], 1)} %",
            f"{district.nom} : part du contour située dans {district.lib_com}.",
        )
        for district in declared
        if district.nom in inside
    ]
    return checks


def _bands(layer: gpd.GeoDataFrame, communes: gpd.GeoDataFrame, territory: Territory) -> gpd.GeoDataFrame:
    """Return the band around each district with a contour, as wide as for QPV outside the NPNRU."""
    drawn = layer.loc[layer["contour"], ["nom", "geometry"]].assign(distance_m=territory.bandes.distance_m)
    cut = territory.bandes.decoupe_epci
    within = as_multipolygon(shapely.union_all(communes.geometry.to_numpy())) if cut else None
    return draw_bands(drawn.reset_index(drop=True), "nom", within)


def fragile_statistics(
    layer: gpd.GeoDataFrame,
    values: pd.DataFrame,
    iris: gpd.GeoDataFrame,
    rules: Mapping[str, Computation],
    territory: Territory,
) -> pd.DataFrame:
    """Estimate the statistics of the fragile districts that have a contour covered by IRIS.

    `values` are those by IRIS that have a contour. In the result
    ``zone`` is ``quartier_fragile`` and ``code`` the district's name.
    """
    drawn = layer[layer["contour"]].reset_index(drop=True)
    shares = shares_of_iris(drawn, iris, territory)
    return estimate_by_area(values, shares, rules, "quartier_fragile")
