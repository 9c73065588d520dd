"""The map of a territory's QPV on paper: coloured by poverty, numbered, named where there is room."""

from functools import lru_cache

import geopandas as gpd
import shapely

from qpv_geo.formats.base import Content
from qpv_geo.formats.figures import Figures, qpv_zones
from qpv_geo.formats.summaries import summaries_of
from qpv_geo.portraits.drawing import Labels, View
from qpv_geo.portraits.qpv_map import Drawing, MapLabel, Shape, outline_shapes
from qpv_geo.portraits.territory_map import Classes, classes_of
from qpv_geo.qgis.cartography import load_cartography

_WIDTH, _HEIGHT = 480.0, 400.0
_FONT = 11.0
# Around the QPV, as a share of what they span, and metres across the view at least.
_MARGIN, _LEAST = 0.06, 3000.0
# QPV as far apart as this, in metres, are on maps of their own.
_NEAR = 8000.0
_COMMUNES_AT_MOST = 12
WITHOUT = "sans-valeur"


def coloured_classes(content: Content, figures: Figures) -> tuple[Classes | None, dict[str, str]]:
    """Return the classes of the poverty rate, None without any value, and the style class of each QPV."""
    field = load_cartography().choropleth.field
    newest = {zone.code: figures.newest(zone, field) for zone in qpv_zones(content.frames)}
    values = [figure.value for figure in newest.values() if figure.present]
    if not values:
        return None, dict.fromkeys(newest, "")
    classes = classes_of(next(iter(newest.values())).indicator, values)
    ranks = {colour: f"classe-{rank}" for rank, colour in enumerate(classes.colours, 1)}
    return classes, {
        code: ranks[classes.colour(figure.value)] if figure.present else WITHOUT
        for code, figure in newest.items()
    }


def groups_of(content: Content) -> list[list[str]]:
    """Return the codes of the QPV that are near enough to share a map, in the order of the layer."""
    qpv = content.frames["qpv"]
    places = shapely.get_parts(shapely.union_all(shapely.buffer(qpv.geometry.to_numpy(), _NEAR / 2)))
    points = shapely.point_on_surface(qpv.geometry.to_numpy())
    groups = [qpv.loc[shapely.intersects(place, points), "code_qp"].tolist() for place in places]
    order = qpv["code_qp"].tolist()
    return sorted(groups, key=lambda codes: order.index(codes[0]))


@lru_cache(maxsize=1)
def overviews_of(content: Content) -> tuple[Drawing, ...]:
    """Return the map of each group of QPV, which the index and the atlas share."""
    _, kinds = coloured_classes(content, summaries_of(content).figures)
    return tuple(draw_overview(content, codes, kinds) for codes in groups_of(content))


def draw_overview(content: Content, codes: list[str], kinds: dict[str, str]) -> Drawing:
    """Draw a group of QPV, each in its style class with its place in the layer, on the communes."""
    qpv, communes = content.frames["qpv"], content.frames["communes"]
    qpv = qpv.assign(rank=range(1, len(qpv) + 1))
    qpv = qpv[qpv["code_qp"].isin(codes)]
    west, south, east, north = qpv.total_bounds
    around = _MARGIN * max(east - west, north - south)
    bounds = west - around, south - around, east + around, north + around
    view = View.around(bounds, _WIDTH, _HEIGHT, least=_LEAST)
    shapes = [*outline_shapes(communes, "nom_com", "commune", view)]
    for code in codes:
        shapes += outline_shapes(qpv[qpv["code_qp"] == code], "lib_qp", f"qpv {kinds[code]}".strip(), view)
    colours = ", colorés selon leur taux de pauvreté" if any(kinds.values()) else ""
    names = ", ".join(f"{rank} {name}" for rank, name in zip(qpv["rank"], qpv["lib_qp"], strict=True))
    words = f"Carte des quartiers prioritaires, au nord en haut{colours} : {names}."
    return Drawing(view, tuple(shapes), words, tuple(_labels(qpv, communes, view)))


def draw_territory(content: Content) -> Drawing:
    """Draw the communes of the territory, and the QPV among them."""
    communes = content.frames["communes"]
    view = View.around(communes.total_bounds, _WIDTH, _HEIGHT)
    shapes: list[Shape] = [*outline_shapes(communes, "nom_com", "commune", view)]
    shapes += outline_shapes(content.frames["qpv"], "lib_qp", "qpv classe-5", view)
    words = f"Carte du territoire {content.spec.territory.nom} : ses communes et ses quartiers prioritaires."
    return Drawing(view, tuple(shapes), words, scaled=False)


def _labels(qpv: gpd.GeoDataFrame, communes: gpd.GeoDataFrame, view: View) -> list[MapLabel]:
    """Write the number of each QPV, with its name where there is room, then the names of large communes."""
    room, labels = Labels(view.width, view.height), []
    room.reserve((0.0, view.height - 34, view.width / 3, view.height))
    for rank, name, geometry in zip(qpv["rank"], qpv["lib_qp"], qpv.geometry, strict=True):
        shape = view.in_units(geometry)
        for text in (f"{rank} {name}", f"{rank}"):
            if place := room.place(text, shape, _FONT):
                labels.append(MapLabel("qpv", text, *place))
                break
    free = view.box.difference(shapely.union_all(qpv.geometry.to_numpy()))
    parts = shapely.intersection(communes.geometry.to_numpy(), free)
    seen = communes.assign(part=parts)[~shapely.is_empty(parts)]
    largest = seen.sort_values("population", ascending=False, kind="stable").head(_COMMUNES_AT_MOST)
    for name, part in zip(largest["nom_com"], largest["part"], strict=True):
        if place := room.place(name, view.in_units(part), _FONT):
            labels.append(MapLabel("commune", name, *place))
    return labels
