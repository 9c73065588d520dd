"""Join contours with contours in the projected CRS of a territory; for France, in that of each part."""

from dataclasses import replace

import geopandas as gpd
import pandas as pd
import shapely

from qpv_geo.analysis import selection
from qpv_geo.analysis.bands import undrawn_near
from qpv_geo.analysis.declared_zones import compare_communes, compare_zones
from qpv_geo.analysis.overlay import as_multipolygon, dissolve
from qpv_geo.analysis.perimeters import Joined, Layers, add_perimeters
from qpv_geo.checks import Check, check_expected, check_none
from qpv_geo.errors import ContractError
from qpv_geo.french import own_name
from qpv_geo.ingest.registry import Registry
from qpv_geo.ingest.tables import Tables
from qpv_geo.parallel import in_threads
from qpv_geo.territory import Territory


def join_parts(tables: Tables, territory: Territory, registry: Registry) -> Joined:
    """Join the contours of a territory; those of France part by part, each in its own projected CRS.

    Areas, lengths and distances are measured in the CRS of the part; layers are returned in
    `territory.published_epsg`. Raises as `layers.build_layers` does.
    """
    if territory.genre != "france":
        return _join(tables, territory, registry)
    parts = []
    for epsg, contours in sorted(tables.contours.by_epsg.items()):
        communes = tables.communes if epsg == territory.epsg else tables.overseas.get(epsg)
        if communes is None:
            # No national file holds the communes of the Pacific and of Saint-Martin.
            communes = tables.communes.iloc[:0].set_crs(epsg, allow_override=True)
        expected = territory.expected.model_copy(update={"qpv": len(contours)})
        part = territory.model_copy(update={"epsg": epsg, "expected": expected})
        drawn = replace(tables.contours, by_epsg={epsg: contours})
        of_part = replace(tables, contours=drawn, communes=communes, overseas={})
        if epsg != territory.epsg:
            of_part = of_part.without_metropole()
        parts.append(_join(of_part, part, registry))
    return _together(parts, territory)


def _join(tables: Tables, territory: Territory, registry: Registry) -> Joined:
    contours = tables.contours.by_epsg.get(territory.epsg)
    if contours is None:
        raise ContractError(f"territory {territory.id!r}: the contours hold no QPV in EPSG:{territory.epsg}")
    communes = tables.communes
    if tables.around is not None and len(tables.around):
        communes = pd.concat([communes, tables.around], ignore_index=True)
    near = _near(contours, communes, territory)
    pieces = selection.cut_by_communes(near, communes, territory)
    overlaps = _report_overlaps(pieces, near)
    mine = pieces[pieces["insee_com"].isin(tables.communes["insee_com"])]
    known = tables.contours.national and not undrawn_near(tables.contours, tables.communes, territory)
    selected, checks = selection.select(near, mine, territory, with_neighbours=known)
    selection.refuse_misplaced(selected, communes)
    of_epci = pd.Series({territory.epci: len(selected)})
    if territory.genre != "epci":
        of_epci = selection.count_by_epci(tables.contours.attributes, communes, pieces)
    of_commune = pieces[pieces["membre"]].groupby("insee_com")["code_qp"].nunique()
    pieces = pieces[pieces["code_qp"].isin(selected["code_qp"])]
    checks += [*compare_communes(selected, pieces, set(communes["insee_com"]), territory), overlaps]
    epci = _epci(communes, of_epci, tables, territory)
    joined, of_qpv = add_perimeters(tables, selected, epci, territory, registry)
    joined.checks = checks
    joined.layers |= {
        "qpv": _qpv(selected, pieces, of_qpv, territory),
        "communes": _communes(tables.communes, of_commune),
        "epci": epci,
        "qpv_commune": pieces.drop(columns="siren_epci").sort_values(
            ["code_qp", "insee_com"], ignore_index=True
        ),
    }
    joined.concordances += compare_zones(
        selected,
        pieces,
        communes,
        declared=tables.declared_zones,
        members=tables.epci_members,
        territory=territory,
    )
    return joined


_KEYS = {
    "qpv": ["code_qp"],
    "communes": ["insee_com"],
    "epci": ["siren_epci"],
    "qpv_commune": ["code_qp", "insee_com"],
    "bande_300m": ["code_qp"],
}


def _together(parts: list[Joined], territory: Territory) -> Joined:
    """Combine the parts of France in the CRS in which they are published."""
    layers = _published([part.layers for part in parts], territory)
    lists = ("statistics", "checks", "checks_around", "concordances")
    whole = Joined(layers, *([one for part in parts for one in getattr(part, name)] for name in lists))
    whole.checks = [check for check in whole.checks if check.code != "qpv_du_territoire"]
    qpv = len(layers["qpv"])
    expected = territory.expected.qpv
    if qpv != expected:
        raise ContractError(
            f"territory {territory.id!r}: expected {expected} QPV in {territory.nom}, found {qpv}. If the "
            f"official list has changed, change 'expected.qpv' in the territory file"
        )
    whole.checks.append(check_expected("qpv_du_territoire", qpv, "QPV", territory))
    return whole


def _published(parts: list[Layers], territory: Territory) -> Layers:
    layers: Layers = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        frames = [part[name] for part in parts if name in part]
        filled = [frame for frame in frames if len(frame)] or frames[:1]
        drawn = [_project(frame, territory.published_epsg) for frame in filled]
        whole = pd.concat(drawn, ignore_index=True)
        layers[name] = whole.sort_values(_KEYS[name], ignore_index=True) if name in _KEYS else whole
    return layers


def _project(frame: pd.DataFrame, epsg: int) -> pd.DataFrame:
    """Return a layer in another CRS, with contours repaired that rounding made invalid there."""
    if not isinstance(frame, gpd.GeoDataFrame):
        return frame
    projected = frame.to_crs(epsg)
    shapes = projected.geometry.to_numpy()
    broken = ~in_threads(shapely.is_valid, shapes)
    shapes[broken] = [as_multipolygon(shapely.make_valid(shape)) for shape in shapes[broken]]
    repaired: pd.DataFrame = projected.set_geometry(gpd.GeoSeries(shapes, projected.index, crs=epsg))
    return repaired


def _report_overlaps(pieces: gpd.GeoDataFrame, near: gpd.GeoDataFrame) -> Check:
    """Check that the communes' contours do not overlap under a QPV."""
    codes = near["code_qp"].iloc[pieces.attrs["overlapping"]].tolist()
    message = (
        f"Les contours des communes se chevauchent (la première prend la part commune) : {', '.join(codes)}."
    )
    otherwise = "Les contours des communes ne se chevauchent sous aucun QPV."
    return check_none("chevauchement_des_communes", "communes", codes, message, otherwise)


def _near(qpv: gpd.GeoDataFrame, communes: gpd.GeoDataFrame, territory: Territory) -> gpd.GeoDataFrame:
    """Keep the QPV that declare the territory or touch its communes; no other needs an overlay."""
    kept = selection.declares(qpv, territory)
    tree = shapely.STRtree(qpv.geometry.to_numpy())
    kept.iloc[tree.query(communes.geometry.to_numpy(), predicate="intersects")[1]] = True
    return qpv[kept].reset_index(drop=True)


def _qpv(
    selected: gpd.GeoDataFrame, pieces: gpd.GeoDataFrame, added: pd.DataFrame, territory: Territory
) -> gpd.GeoDataFrame:
    names = {entry.code_qp: entry.nom for entry in territory.contrat.qpv} if territory.contrat else {}
    layer = selected.join(selection.computed_lists(selected, pieces))
    layer["nom_contrat"] = layer["code_qp"].map(names)
    layer["surface_m2"] = layer.area
    layer["perimetre_m"] = layer.length
    return layer.join(added.set_index("code_qp"), on="code_qp")


def _communes(communes: gpd.GeoDataFrame, qpv: "pd.Series[int]") -> gpd.GeoDataFrame:
    """Return layer ``communes``; `qpv` is the number of QPV that overlap each, the territory's or not."""
    layer = communes.sort_values("insee_com", ignore_index=True)
    return layer.assign(surface_m2=layer.area, nb_qpv=layer["insee_com"].map(qpv).fillna(0).astype(int))


def _epci(
    communes: gpd.GeoDataFrame, qpv: "pd.Series[int]", tables: Tables, territory: Territory
) -> gpd.GeoDataFrame:
    """Return each EPCI as the union of its communes; its population is their sum, known only if all are.

    `qpv` is the number of QPV by SIREN. Names are the COG's, without the letters of their kind; without it
    that of the territory, or the SIREN.
    """
    names: dict[str, str] = {}
    if tables.epci_members is not None:
        members = tables.epci_members
        known = members[members["siren_epci"].isin(communes["siren_epci"].unique())]
        names = dict(zip(known["siren_epci"], known["nom_epci"].map(own_name), strict=True))
    groups = communes.groupby("siren_epci", sort=True)
    unions = [as_multipolygon(dissolve(members.geometry.to_numpy())) for _, members in groups]
    layer = gpd.GeoDataFrame({"siren_epci": list(groups.groups)}, geometry=unions, crs=communes.crs)
    sirens, people = layer["siren_epci"], groups["population"]
    default = territory.nom if territory.genre == "epci" else None
    return layer.assign(
        nom_epci=[names.get(siren) or default or siren for siren in sirens],
        nb_communes=sirens.map(groups.size()),
        population=sirens.map(people.sum().where(people.count() == groups.size())),
        surface_m2=layer.area,
        nb_qpv=sirens.map(qpv).fillna(0),
    )
