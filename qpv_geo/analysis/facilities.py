"""Facilities by type and care by category around each QPV, and positions that are not where they say."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from qpv_geo.analysis.concordances import COMPUTED, FACILITIES, INSEE, Concordance, Statement, agreement
from qpv_geo.analysis.health_plan import load_health_plan
from qpv_geo.analysis.overlay import Geometries, cut_by_zones
from qpv_geo.checks import Check, check_none
from qpv_geo.errors import ContractError
from qpv_geo.french import counted, first_of
from qpv_geo.ingest.facilities import IN_STREET, FacilityTable
from qpv_geo.statuses import NOT_AVAILABLE, OK
from qpv_geo.territory import Territory

# Perimeters by name: how far a facility may be from the QPV, in metres; 0 inside.
_PERIMETERS = {"qpv": 0.0, "500m": 500.0}

# Metres: INSEE publishes whole metres, so a facility on a limit may seem to be on the other side.
_ROUNDED = 1.0

# Metres: contours of communes are generalised, and streets run along their limits.
_GENERALISED = 100.0

# A few facilities lie outside the contour of their commune; most do not.
_MOSTLY_INSIDE = 0.5

# Metres around the QPV in which care is counted, those of a QPV itself included.
_REACHES = {"nombre_qpv": 0.0, "nombre_300m": 300.0, "nombre_500m": 500.0, "nombre_1000m": 1000.0}
_FARTHEST = max(_REACHES.values())
# Metres from the limit on either side.
_BESIDE = 300.0
# What the columns of facilities are of categories.
_NAMES = {"type_equipement": "categorie", "domaine": "types_equipement"}
_BUILDINGS, _CONTOUR = "bâtiments", "contour"


def count_facilities(
    facilities: FacilityTable, qpv: gpd.GeoDataFrame, communes: gpd.GeoDataFrame, territory: Territory
) -> tuple[pd.DataFrame, list[Check]]:
    """Return table ``equipements``: how many facilities of each type in each QPV and within 500 m of it.

    `qpv` and `communes` are the territory's, in one projected CRS. Perimeter ``500m`` includes the QPV.
    ``non_localises`` counts the facilities without coordinates in the communes that the perimeter touches;
    checks name these communes. Raises `ContractError` if most facilities of the territory's communes lie
    outside them: the CRS is wrong.
    """
    points = facilities.points
    located = is_located(points)
    _refuse_elsewhere(points[located], communes)
    lost = points[~located & points["insee_com"].isin(communes["insee_com"])]
    pairs = pairs_within(points[located], qpv, max(_PERIMETERS.values()))
    parts = []
    for name, distance in _PERIMETERS.items():
        counted_rows = {
            "nombre": pairs[pairs["metres"] <= distance],
            "non_localises": lost_within(lost, qpv, distance, communes, territory),
        }
        parts.append(tabulate(qpv, facilities.types, counted_rows).assign(perimetre=name))
    table = pd.concat(parts).assign(statut=OK, millesime=facilities.vintage)
    return table.sort_values(["code_qp", "perimetre", "type_equipement"], ignore_index=True), _report_lost(
        lost
    )


def locate_facilities(
    points: pd.DataFrame,
    types: pd.DataFrame,
    qpv: gpd.GeoDataFrame,
    vintage: str,
    reach: float = _PERIMETERS["500m"],
) -> gpd.GeoDataFrame:
    """Return layer ``equipements_lieux``: the facilities within `reach` metres of a QPV, in the CRS of `qpv`.

    Those of one type at one place are one row, with their number.
    """
    known = points.dropna(subset=["x", "y"]).merge(types, on="type_equipement")
    key = ["type_equipement", "x", "y"]
    places = known.groupby(key, as_index=False).agg(
        libelle=("libelle", "first"),
        domaine=("domaine", "first"),
        nombre=("libelle", "size"),
        insee_com=("insee_com", "min"),
    )
    shapes = shapes_of(places)
    near = shapely.STRtree(shapes).query(qpv.geometry.to_numpy(), predicate="dwithin", distance=reach)[1]
    places = places.assign(code_qp=code_of_qpv(shapes, qpv), millesime=vintage)
    layer = gpd.GeoDataFrame(places, geometry=shapes, crs=qpv.crs)
    return layer.iloc[np.unique(near)].sort_values(key, ignore_index=True)


def care_layers(
    facilities: FacilityTable,
    buildings: gpd.GeoDataFrame | None,
    qpv: gpd.GeoDataFrame,
    communes: gpd.GeoDataFrame,
    territory: Territory,
) -> dict[str, pd.DataFrame]:
    """Return layers ``offre_soins`` and ``offre_soins_lieux``, in the CRS of `qpv`.

    `buildings` are those of the base map, None if it was not read: distances are measured from those that
    stand in the QPV or, where none is known, from its contour. Distances are in metres, as the crow flies. A
    category of which the file has no type at all has no numbers: zero would be wrong.
    """
    categories = load_health_plan().categories
    kinds = pd.DataFrame(
        [
            (
                name,
                category.libelle,
                ", ".join(category.types),
                not facilities.known_types.isdisjoint(category.types),
            )
            for name, category in categories.items()
        ],
        columns=["type_equipement", "libelle", "domaine", "known"],
    )
    category_of = {code: name for name, category in categories.items() for code in category.types}
    points = facilities.points.assign(type_equipement=facilities.points["type_equipement"].map(category_of))
    points = points.dropna(subset="type_equipement")
    located = points[is_located(points)]
    lost = points[~is_located(points) & points["insee_com"].isin(communes["insee_com"])]
    layer = qpv.sort_values("code_qp", ignore_index=True)
    pairs = pairs_within(located, layer, _FARTHEST)
    inside = pairs[pairs["metres"] == 0]
    limits = layer.set_index("code_qp").boundary.loc[inside["code_qp"]].to_numpy()
    rows = {name: pairs[pairs["metres"] <= reach] for name, reach in _REACHES.items()} | {
        "dedans_300m_limite": inside[shapely.distance(limits, shapes_of(inside)) <= _BESIDE],
        "dehors_300m_limite": pairs[(pairs["metres"] > 0) & (pairs["metres"] <= _BESIDE)],
        "position_dans_la_rue": pairs[pairs["precision"] == IN_STREET],
        "non_localises": lost_within(lost, layer, _FARTHEST, communes, territory),
        # Whatever their position is worth.
        "nombre_insee": points.assign(code_qp=points["code_qp_insee"]),
    }
    table = tabulate(layer, kinds, rows)
    known = table.pop("known")
    homes, are_buildings = _homes(layer, buildings)
    table["depuis"] = np.repeat(np.where(are_buildings, _BUILDINGS, _CONTOUR), len(kinds))
    # More than a metre is not known: positions are rounded to one.
    table["distance_m"] = _nearest(located, kinds["type_equipement"], homes).round()
    numbers = [*rows, "distance_m"]
    table[numbers] = table[numbers].where(known)
    if not facilities.placed_by_insee:
        table["nombre_insee"] = np.nan
    table["statut"] = np.where(known, OK, NOT_AVAILABLE)
    table = table.rename(columns=_NAMES)
    table = table.assign(millesime=facilities.vintage, source="bpe", fichier=facilities.file)
    places = locate_facilities(points, kinds, layer, facilities.vintage, _FARTHEST)
    # A place is as exact as the least exact of its facilities: adresse, inconnue, rue.
    key = ["type_equipement", "x", "y"]
    exactness = points.groupby(key)["precision"].max()
    places["precision"] = exactness.reindex(pd.MultiIndex.from_frame(places[key])).to_numpy()
    return {
        "offre_soins": table,
        "offre_soins_lieux": places.drop(columns="domaine").rename(columns=_NAMES),
    }


def _homes(qpv: gpd.GeoDataFrame, buildings: gpd.GeoDataFrame | None) -> tuple[Geometries, NDArray[np.bool_]]:
    """Return what distances from each QPV start at, and whether that is its buildings."""
    homes = qpv.geometry.to_numpy().copy()
    found = np.zeros(len(qpv), dtype=bool)
    if buildings is not None:
        walls = buildings.geometry.to_numpy()
        owner, building = shapely.STRtree(shapely.point_on_surface(walls)).query(
            homes, predicate="intersects"
        )
        found[owner] = True
        for zone in np.flatnonzero(found):
            homes[zone] = shapely.GeometryCollection(walls[building[owner == zone]].tolist())
    return homes, found


def _nearest(points: pd.DataFrame, kinds: pd.Series, homes: Geometries) -> NDArray[np.float64]:
    """Return the distance from each home to the nearest facility of each type, home by home; NaN if none."""
    metres = pd.DataFrame(np.nan, index=range(len(homes)), columns=kinds)
    shapes = shapes_of(points)
    for kind, own in points.groupby("type_equipement").indices.items():
        tree = shapely.STRtree(shapes[own])
        _, metres[kind] = tree.query_nearest(homes, return_distance=True, all_matches=False)
    return metres.to_numpy().ravel()


def compare_placements(points: pd.DataFrame, qpv: gpd.GeoDataFrame) -> list[Concordance]:
    """Compare the facilities that INSEE places in each QPV with those that lie in its contour.

    Only facilities with coordinates are compared, one by one: two errors that cancel out still disagree.
    """
    points = points[points["x"].notna()]
    shapes = shapes_of(points)
    zone, point = shapely.STRtree(shapes).query(qpv.geometry.to_numpy(), predicate="intersects")
    rows = []
    for place, (code, name, shape) in enumerate(
        zip(qpv["code_qp"], qpv["lib_qp"], qpv.geometry, strict=True)
    ):
        inside = point[zone == place]
        of_insee = np.flatnonzero(points["code_qp_insee"] == code)
        apart = np.setxor1d(inside, of_insee)
        apart = apart[shapely.distance(shapes[apart], shape.boundary) > _ROUNDED]
        kinds = ", ".join(sorted(set(points["type_equipement"].iloc[apart])))
        comment = (
            f"l'INSEE et la superposition placent {counted(len(apart), 'équipement')} différemment ({kinds})"
            if len(apart)
            else "l'INSEE et la superposition placent les mêmes équipements"
        )
        statements = (
            Statement(str(len(of_insee)), INSEE, "bpe"),
            Statement(str(len(inside)), COMPUTED, "equipements"),
        )
        tolerance = f"{_ROUNDED:.0f} m autour de la limite : coordonnées arrondies"
        result = agreement(agrees=not len(apart))
        message, gap = f"{name} : {comment}.", float(len(inside) - len(of_insee))
        rows.append(Concordance(FACILITIES, code, name, *statements, tolerance, result, message, gap))
    return rows


def _refuse_elsewhere(located: pd.DataFrame, communes: gpd.GeoDataFrame) -> None:
    own = located[located["insee_com"].isin(communes["insee_com"])]
    places = shapely.STRtree(shapes_of(own))
    inside = np.unique(places.query(communes.geometry.to_numpy(), predicate="intersects")[1])
    if len(inside) < _MOSTLY_INSIDE * len(own):
        first = own.iloc[0]
        raise ContractError(
            f"{len(own) - len(inside)} of the {len(own)} facilities declared in the territory's communes lie "
            f"outside of them, the first at x {first['x']:g}, y {first['y']:g}: expected coordinates in "
            f"{communes.crs.name}. Compare the CRS of the file with the one declared for its source"
        )


def is_located(points: pd.DataFrame) -> NDArray[np.bool_]:
    """Tell the facilities that have coordinates."""
    located: NDArray[np.bool_] = np.isfinite(points[["x", "y"]].to_numpy(dtype="float64")).all(axis=1)
    return located


def shapes_of(points: pd.DataFrame) -> Geometries:
    """Return the points that have coordinates ``x`` and ``y``."""
    return np.asarray(shapely.points(points[["x", "y"]].to_numpy(dtype="float64")))


def within_box(points: pd.DataFrame, bounds: Iterable[float], reach: float = 0.0) -> "pd.Series[bool]":
    """Tell the points in a rectangle (west, south, east, north), or up to `reach` beside it."""
    west, south, east, north = bounds
    near: pd.Series[bool] = points["x"].between(west - reach, east + reach)
    return near & points["y"].between(south - reach, north + reach)


def code_of_qpv(shapes: Geometries, qpv: gpd.GeoDataFrame) -> pd.Series:
    """Return the code of the QPV in which each point lies, None for one in none."""
    codes = np.full(len(shapes), None, dtype=object)
    zone, place = shapely.STRtree(shapes).query(qpv.geometry.to_numpy(), predicate="intersects")
    codes[place] = qpv["code_qp"].to_numpy(dtype=object)[zone]
    return pd.Series(codes, dtype=object)


def pairs_within(points: pd.DataFrame, qpv: gpd.GeoDataFrame, reach: float) -> pd.DataFrame:
    """Return located facilities with each QPV (``code_qp``) that is `reach` metres away at most.

    ``metres`` is the distance, 0 in the QPV.
    """
    points = points[within_box(points, qpv.total_bounds, reach)]
    shapes, contours = shapes_of(points), qpv.geometry.to_numpy()
    zone, place = shapely.STRtree(shapes).query(contours, predicate="dwithin", distance=reach)
    codes = qpv["code_qp"].to_numpy(dtype=object)[zone]
    pairs: pd.DataFrame = points.iloc[place]
    return pairs.assign(code_qp=codes, metres=shapely.distance(contours[zone], shapes[place]))


def lost_within(
    lost: pd.DataFrame,
    qpv: gpd.GeoDataFrame,
    distance: float,
    communes: gpd.GeoDataFrame,
    territory: Territory,
) -> pd.DataFrame:
    """Return facilities without coordinates with each QPV around which their commune is, or in which.

    A perimeter overlaps a commune by more than a sliver.
    """
    # GEOS's buffer is ten times faster than `bands`, and errs by less than a sliver.
    perimeters = qpv.set_geometry(qpv.buffer(distance)) if distance else qpv
    pieces = cut_by_zones(perimeters, communes, "commune", ("code_qp",), ("insee_com",))
    touched = pieces[(pieces["surface_m2"] > territory.sliver_area) & (pieces["zone"] >= 0)]
    return lost.merge(touched[["code_qp", "insee_com"]], on="insee_com")


def tabulate(qpv: gpd.GeoDataFrame, types: pd.DataFrame, rows: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return a row per QPV and type, in their order, with the number of `rows` of each, by column."""
    names = pd.DataFrame({name: qpv[name].astype(object) for name in ("code_qp", "lib_qp")})
    table = names.merge(types, how="cross")
    key = ["code_qp", "type_equipement"]
    places = pd.MultiIndex.from_frame(table[key])
    counts = {name: frame.groupby(key).size().reindex(places, fill_value=0) for name, frame in rows.items()}
    return table.assign(**{name: numbers.to_numpy() for name, numbers in counts.items()})


def _report_lost(lost: pd.DataFrame) -> list[Check]:
    """Warn for each commune of the facilities without coordinates, by type."""
    code = "equipements_non_localises"
    if lost.empty:
        message = "Tous les équipements des communes du territoire ont des coordonnées."
        return [Check(code, "equipements", "conforme", "0", "0", message)]
    checks = []
    for commune, rows in lost.groupby("insee_com", sort=True):
        kinds = rows["type_equipement"].value_counts().sort_index()
        listed = ", ".join(f"{kind} ({number})" for kind, number in kinds.items())
        message = f"Équipements sans coordonnées, comptés dans aucun QPV, par type : {listed}."
        checks.append(Check(code, str(commune), "avertissement", "0", str(len(rows)), message))
    return checks


def report_misplaced(
    points: pd.DataFrame,
    kind: str,
    communes: gpd.GeoDataFrame,
    members: Collection[str] | None,
    source_id: str,
) -> list[Check]:
    """Name the located points that lie outside the commune they declare, and those of other communes inside.

    `points` are in the CRS of `communes`, those of the territory; column `kind` says what they are. `members`
    are the communes of France that exist, None if unknown. What lies in the territory and declares another's
    commune is of one that has merged, or has a wrong position.
    """
    near = within_box(points, communes.total_bounds)
    located = points["insee_com"].isin(communes["insee_com"]) & is_located(points)
    points = points[near | located].reset_index(drop=True)
    places = shapes_of(points)
    shapes = communes.geometry.to_numpy()
    shapely.prepare(shapes)
    own = pd.Index(communes["insee_com"]).get_indexer(points["insee_com"])
    declared = own >= 0
    away = np.zeros(len(points), dtype=bool)
    away[declared] = ~shapely.dwithin(shapes[own[declared]], places[declared], _GENERALISED)
    strangers = np.flatnonzero(~declared)
    owner, stranger = shapely.STRtree(places[strangers]).query(shapes, predicate="contains")
    inner = shapely.distance(shapely.boundary(shapes[owner]), places[strangers[stranger]]) > _GENERALISED
    outside, inside = points[away], points.iloc[strangers[stranger[inner]]]
    message = (
        f"À plus de {_GENERALISED:.0f} m de la commune déclarée, comptés là où est leur position : "
        f"{_named(outside, kind)}."
    )
    merged = {code for code in inside["insee_com"] if members is not None and code not in members}
    lapsed = f" Communes qui n'existent plus (COG) : {', '.join(sorted(merged))}." if merged else ""
    of_others = (
        f"Dans le territoire, et déclarés dans une commune d'ailleurs : {_named(inside, kind)}.{lapsed}"
    )
    return [
        check_none(
            "positions_hors_commune", source_id, outside, message, "Les positions sont dans leur commune."
        ),
        check_none(
            "communes_hors_territoire",
            source_id,
            inside,
            of_others,
            "Ce qui est dans le territoire déclare une de ses communes.",
        ),
    ]


def _named(points: pd.DataFrame, column: str) -> str:
    """Say what is misplaced, and of which commune: ``D265 (25056)``, the most frequent first."""
    counts = Counter(zip(points[column], points["insee_com"], strict=True))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return first_of([f"{count} {kind} ({code})" for (kind, code), count in ordered])
