"""IRIS beside the QPV, and districts (*quartiers*): the city's own, and the contract's fragile ones.

A city's are sets of IRIS or have contours of their own; the contract's *quartiers fragiles* have no official
contour and no INSEE table, at best local contours.
"""

import difflib
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import date

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from qpv_geo.analysis.aggregate import aggregate, estimate_by_area, unavailable
from qpv_geo.analysis.bands import draw_bands
from qpv_geo.analysis.overlay import as_multipolygon, cut_by_zones, is_sizeable, part_of
from qpv_geo.checks import Check, Outcome, check_none
from qpv_geo.errors import ConfigurationError, ContractError
from qpv_geo.french import first_of, number
from qpv_geo.ingest.registry import Computation
from qpv_geo.territory import FragileDistrict, LocalDistrict, Territory

# Relative: IRIS do not overlap, so the area of their union is the sum of theirs.
_CONSERVED = 1e-6

# Metres, as in `overlay`.
_GRID = 1e-8
# An IRIS code begins with that of its commune.
_COMMUNE_DIGITS = 5
# Percent: a contour with less than this in its district's commune may have another district's name.
_MOSTLY_INSIDE = 50.0
_SHARES = ("part_qpv", "part_iris")
_OF_SHARES = ["code", "code_iris", "part_iris", "significatif"]


def cut_by_iris(qpv: gpd.GeoDataFrame, iris: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return layer ``qpv_iris``: the pieces of each QPV by IRIS, which add up to its area.

    ``code_iris`` is missing for an area outside every IRIS. Both layers must be in one projected CRS, or
    `ValueError` is raised.
    """
    of_zone = ("code_iris", "nom_iris", "insee_com")
    pieces = cut_by_zones(qpv, iris, "iris", ("code_qp", "lib_qp"), of_zone)
    return pieces.drop(columns=["polygon", "zone"]).sort_values(["code_qp", "code_iris"], ignore_index=True)


def iris_layer(iris: gpd.GeoDataFrame, pieces: gpd.GeoDataFrame, territory: Territory) -> gpd.GeoDataFrame:
    """Return layer ``iris``: contours, areas, and how many QPV overlap each by more than a sliver.

    `pieces` are those of `cut_by_iris`.
    """
    columns = ["code_iris", "nom_iris", "type_iris", "insee_com", "nom_com", "geometry"]
    layer = iris[columns].sort_values("code_iris", ignore_index=True)
    real = pieces[is_sizeable(pieces, territory, _SHARES)]
    count = real.dropna(subset=["code_iris"]).groupby("code_iris")["code_qp"].nunique()
    return layer.assign(surface_m2=layer.area, nb_qpv=layer["code_iris"].map(count).fillna(0))


def shares_of_iris(zones: gpd.GeoDataFrame, iris: gpd.GeoDataFrame, territory: Territory) -> pd.DataFrame:
    """Return how much of each IRIS lies in contours, for `aggregate.estimate_by_area`: a row per overlap.

    `zones` are in the projected CRS of `iris`, with unique ``nom``. ``code`` is the name, ``code_iris`` is
    missing outside every IRIS, ``part_iris`` is a percentage, and ``significatif`` is False for a sliver.
    """
    pieces = cut_by_zones(zones.rename(columns={"nom": "code"}), iris, "iris", ("code",), ("code_iris",))
    return pd.DataFrame(pieces.assign(significatif=is_sizeable(pieces, territory, _SHARES))[_OF_SHARES])


def match_geographies(
    codes_stats: Iterable[str],
    geo_stats: date | None,
    codes_contours: Iterable[str],
    geo_contours: date | None,
    source: str,
) -> tuple[frozenset[str], list[Check]]:
    """Return the IRIS codes that a table and the contours share, and checks on their differences.

    IRIS are redrawn and renumbered from one year to the next. If the dates of the geographies differ, or one
    is unknown, a code on both sides may name two contours: codes are still matched, and a check says so.
    """
    stats, contours = set(codes_stats), set(codes_contours)
    return frozenset(stats & contours), [
        _compare_dates(geo_stats, geo_contours, len(stats & contours), source),
        _orphans("iris_sans_contour", source, stats - contours, "IRIS de la source sans contour"),
        _orphans("iris_sans_statistique", source, contours - stats, "IRIS sans ligne dans la source"),
    ]


def _compare_dates(stats: date | None, contours: date | None, matched: int, source: str) -> Check:
    code = "geographie_des_iris"
    found, expected = _shown(stats), _shown(contours)
    if stats == contours and stats is not None:
        message = f"Statistiques et contours sont dans la même géographie : {matched} IRIS rapprochés."
        return Check(code, source, "conforme", expected, found, message)
    message = (
        f"Statistiques en géographie du {found}, contours du {expected} : {matched} IRIS rapprochés par un "
        f"code présent des deux côtés, dont le contour a pu changer."
    )
    outcome: Outcome = "non_verifiable" if stats is None or contours is None else "avertissement"
    return Check(code, source, outcome, expected, found, message)


def _shown(day: date | None) -> str:
    return f"{day:%d/%m/%Y}" if day else "(date inconnue)"


def _orphans(code: str, source: str, codes: set[str], what: str) -> Check:
    message = f"{len(codes)} {what}{' : ' if codes else ''}{first_of(sorted(codes))}."
    return check_none(code, source, codes, message)


def iris_statistics(
    values: pd.DataFrame, iris: gpd.GeoDataFrame, geography: date | None
) -> tuple[pd.DataFrame, list[Check]]:
    """Match the statistics of the IRIS of a territory's communes with the contours.

    `geography` is the date of the contours' geography, None if unknown. Communes without IRIS contours keep
    their statistics; an IRIS with a contour that a source lacks gets rows with status ``non_disponible``.
    """
    of_iris = values.reset_index(drop=True)
    contours = set(iris["code_iris"])
    drawn = of_iris["code"].str[:_COMMUNE_DIGITS].isin(iris["insee_com"])
    completed: list[pd.DataFrame] = [of_iris]
    checks: list[Check] = []
    for source, rows in of_iris.groupby("source", sort=True):
        geographies = rows["geographie"].drop_duplicates()
        dated = geographies.iloc[0] if len(geographies) == 1 and geographies.notna().all() else None
        matched, found = match_geographies(
            rows.loc[drawn[rows.index], "code"], dated, contours, geography, str(source)
        )
        checks += found
        completed.append(unavailable(rows, sorted(contours - matched)))
    kept = pd.concat(completed).sort_values(["code", "indicateur", "millesime"], ignore_index=True)
    return kept, checks


def local_districts(
    territory: Territory,
    iris: gpd.GeoDataFrame | None,
    contours: gpd.GeoDataFrame | None,
    label: str = "contours",
) -> tuple[gpd.GeoDataFrame, pd.DataFrame, list[Check]]:
    """Draw the city's districts, declared as sets of IRIS or given by a contour file: layer ``quartiers``.

    ``nb_iris`` counts the IRIS of the set, or those that the contour overlaps by more than a sliver. The
    second result are the `shares_of_iris` of contours, empty without IRIS.

    `iris` and `contours` are in the territory's CRS; `label` is the contour file's, for errors. Raises
    `ConfigurationError` if sets name IRIS that have no contour, and `ContractError` if names of the contour
    file are missing or repeated; the message names them all.
    """
    frames = []
    checks = []
    sets = territory.quartiers
    if sets and iris is not None:
        frames.append(_from_sets(sets, iris, territory))
    elif sets:
        names = ", ".join(district.nom for district in sets)
        message = f"Contours des IRIS non lus, quartiers déclarés par IRIS non publiés : {names}."
        checks.append(Check("quartiers_par_iris", territory.id, "non_verifiable", "", "", message))
    shares = pd.DataFrame(columns=_OF_SHARES)
    if contours is not None:
        if problems := name_problems(contours["nom"], (district.nom for district in sets)):
            raise ContractError(
                f"{label}: expected one district per name: {'; '.join(problems)}. Correct the file: a "
                f"district of several parts is one feature"
            )
        frame = contours[["nom", "geometry"]].assign(mode="contour", nb_iris=None)
        if iris is not None:
            shares = shares_of_iris(contours, iris, territory)
            real = shares[shares["significatif"]].groupby("code")["code_iris"].nunique()
            frame["nb_iris"] = frame["nom"].map(real).fillna(0)
        frames.append(frame)
        checks.append(_check_overlaps(contours, territory))
    none = gpd.GeoDataFrame({"nom": []}, geometry=[], crs=territory.epsg)
    layer = pd.concat(frames or [none]).sort_values("nom", ignore_index=True)
    return layer.assign(surface_m2=layer.area), shares, checks


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
    names, counts = [district.nom for district in sets], [len(district.iris) for district in sets]
    columns = {"nom": names, "mode": "iris", "nb_iris": counts}
    return gpd.GeoDataFrame(columns, geometry=unions, crs=iris.crs)


def _union(geometries: NDArray[np.object_]) -> shapely.MultiPolygon:
    """Return the union of IRIS, on a grid if floating point lost an area (or if IRIS overlap)."""
    union = shapely.union_all(geometries)
    whole = shapely.area(geometries).sum()
    if abs(union.area - whole) > _CONSERVED * whole:
        union = shapely.union_all(geometries, grid_size=_GRID)
    return as_multipolygon(union)


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
    territory: Territory, shares: pd.DataFrame, values: pd.DataFrame, rules: Mapping[str, Computation]
) -> pd.DataFrame:
    """Return the statistics of the city's districts: sums for sets of IRIS, estimates for contours.

    `shares` are those of `local_districts`, `values` those by IRIS that have a contour. In the result
    ``zone`` is ``quartier`` and ``code`` the district's name.
    """
    members = {district.nom: district.iris for district in territory.quartiers}
    rows = pd.concat(
        [
            aggregate(values, members, rules, "quartier"),
            estimate_by_area(values, shares, rules, "quartier"),
        ]
    )
    return rows.sort_values(["code", "indicateur", "millesime"], ignore_index=True)


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
        shapes, problems = _match_names(declared, contours)
        # Percent of a contour that lies in the commune that the contract names.
        inside = {
            d.nom: 100 * part_of(shape, drawn[d.insee_com], inside=True).area / shape.area
            for d in declared
            if (shape := shapes.get(d.nom))
        }
        problems += [
            f"{d.nom!r} does not touch {d.lib_com} ({d.insee_com})"
            for d in declared
            if inside.get(d.nom) == 0
        ]
        checks = _report_contours(declared, inside)
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


def _match_names(
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


def _report_contours(declared: list[FragileDistrict], inside: Mapping[str, float]) -> list[Check]:
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
