"""The maps of a territory's QPV: what the script of the index draws, and those on paper."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from qpv_geo.analysis.overlay import dissolve
from qpv_geo.formats.base import Content
from qpv_geo.formats.figures import Figure, Figures, qpv_zones
from qpv_geo.formats.frames import Frames
from qpv_geo.formats.summaries import summaries_of
from qpv_geo.french import band_name, class_labels, decimals_of, measure
from qpv_geo.ingest.registry import Indicator
from qpv_geo.portraits.drawing import OUTWARDS, Labels, View
from qpv_geo.portraits.qpv_map import Drawing, MapLabel, outline_shapes
from qpv_geo.portraits.sections import plans_for
from qpv_geo.qgis.cartography import load_cartography
from qpv_geo.qgis.styles import labels_of

# Metres by which outlines may move when vertices are left out.
_FINE, _COARSE = 1.0, 15.0
# Pixels: radius of the circle of the highest count.
_LARGEST = 36
_LEAST_RADIUS = 5
_CIRCLES_AT_MOST = 3
# Entries of a legend, what a value adds to what is drawn, how it was drawn.
_Legend = tuple[list[dict[str, Any]], Callable[[float], dict[str, Any]], str]
# Layer, what it is called (the band by its widths), class.
_OVERLAYS = (
    ("bande_300m", "", "bande"),
    ("qpv_voisins", "QPV hors du territoire", "dehors"),
    ("qpv_2015", "QPV 2015", "ancien"),
    ("iris", "IRIS", "iris"),
    ("quartiers", "Quartiers de la ville", "quartier"),
    ("quartiers_fragiles", "Quartiers fragiles", "fragile"),
)
_WIDTH, _HEIGHT = 480.0, 400.0
_FONT = 11.0
# Around the QPV, as a share of what they span, and metres across the view at least.
_MARGIN, _LEAST = 0.06, 3000.0
# QPV as far apart as this, in metres, are on maps of their own.
_NEAR = 8000.0
_COMMUNES_AT_MOST = 12
WITHOUT = "sans-valeur"
_SIGNIFICANT = 2
_QUINTILES = (
    "Classes d'effectifs voisins (quintiles des quartiers du territoire), bornes arrondies à deux chiffres."
)


@dataclass(frozen=True)
class Classes:
    """The classes of an indicator: increasing bounds, and one colour and label more than bounds."""

    bounds: tuple[float, ...]
    colours: tuple[str, ...]
    labels: tuple[str, ...]
    method: str
    """How they were drawn, in a French sentence."""

    def colour(self, value: float) -> str:
        """Return the colour of a value; one that equals a bound belongs above it."""
        return self.colours[int(np.searchsorted(self.bounds, value, side="right"))]


def classes_of(indicator: Indicator, values: Sequence[float]) -> Classes:
    """Return the classes of an indicator for its values, of which there is at least one.

    Those of the cartography come first: one colour means the same here and in QGIS.
    """
    declared = load_cartography().choropleth
    if indicator.id == declared.field:
        return Classes(declared.breaks, declared.colors, labels_of(declared), declared.method)
    bounds = quintiles(values)
    shown = bounds or values[:1]
    decimals = decimals_of(shown, indicator.unit, index=indicator.kind == "index")
    words = [measure(bound, indicator.unit, decimals) for bound in shown]
    labels = class_labels(words) if bounds else tuple(words)
    return Classes(tuple(bounds), _spread(declared.colors, len(labels)), labels, _QUINTILES)


def quintiles(values: Sequence[float]) -> list[float]:
    """Return the bounds between classes that hold about as many values each.

    They increase, are four at most, rounded to two digits, and none leaves a class empty.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    exact = np.quantile(ordered, [0.2, 0.4, 0.6, 0.8], method="higher")
    bounds: list[float] = []
    for bound in sorted({float(f"{value:.{_SIGNIFICANT}g}") for value in exact}):
        below = bounds[-1] if bounds else -np.inf
        if ((ordered >= below) & (ordered < bound)).any() and (ordered >= bound).any():
            bounds.append(bound)
    return bounds


def _spread(ramp: Sequence[str], count: int) -> tuple[str, ...]:
    """Return so many colours from the whole of a ramp; a single one from its middle."""
    if count == 1:
        return (ramp[len(ramp) // 2],)
    return tuple(ramp[round(step * (len(ramp) - 1) / (count - 1))] for step in range(count))


@dataclass(frozen=True)
class Choice:
    """An indicator that the map can show, and what its script draws: legend, method, values by QPV."""

    id: str
    label: str
    group: str
    drawn: dict[str, Any]


def map_choices(content: Content, figures: Figures) -> list[Choice]:
    """Return the indicators of which at least one QPV has a value, by section."""
    registry, zones = content.spec.registry, qpv_zones(content.frames)
    choices = []
    for plan in plans_for(registry):
        for indicator in registry.indicators:
            if indicator.theme in plan.themes and indicator.id in figures.indicators:
                of_zones = {zone.code: figures.newest(zone, indicator.id) for zone in zones}
                if any(figure.present for figure in of_zones.values()):
                    choices.append(_choice(indicator, plan.title, of_zones))
    return choices


def _choice(indicator: Indicator, group: str, figures: dict[str, Figure]) -> Choice:
    vintages = sorted({figure.vintage for figure in figures.values() if figure.vintage})
    label = f"{indicator.label} ({', '.join(vintages)})" if vintages else indicator.label
    values = [figure.value for figure in figures.values() if figure.present]
    legend, style_of, method = (_circles if indicator.kind == "count" else _classes)(indicator, values)
    styled = {
        code: {
            "texte": f"{figure.text} {figure.interval}".rstrip(),
            "valeur": figure.value if figure.present else None,
        }
        | (style_of(figure.value) if figure.present else {"classe": "absent"})
        for code, figure in figures.items()
    }
    reasons = sorted({figure.text for figure in figures.values() if not figure.present})
    absent = [{"classe": "absent", "texte": f"Sans valeur : {', '.join(reasons)}"}] if reasons else []
    drawn = {
        "libelle": label,
        # A count does not hold for each part of an area, as a colour would say.
        "cercles": indicator.kind == "count",
        "legende": [*legend, *absent],
        "methode": method,
        "valeurs": styled,
    }
    return Choice(indicator.id, label, group, drawn)


def _classes(indicator: Indicator, values: Sequence[float]) -> _Legend:
    """Return the legend of a choropleth, and what gives a value its colour."""
    classes = classes_of(indicator, values)
    legend = [
        {"couleur": colour, "texte": label}
        for colour, label in zip(classes.colours, classes.labels, strict=True)
    ]
    return legend, lambda value: {"couleur": classes.colour(value)}, classes.method


def _circles(indicator: Indicator, values: Sequence[float]) -> _Legend:
    """Return the legend of circles whose areas are as the values, and what gives a value its radius."""
    largest = max(*values, 1.0)

    def radius(value: float) -> dict[str, Any]:
        return {"rayon": round(max(_LARGEST * (value / largest) ** 0.5, _LEAST_RADIUS), 1)}

    legend = [radius(value) | {"texte": measure(value, indicator.unit)} for value in round_values(largest)]
    return legend, radius, "Surface des cercles proportionnelle à la valeur ; les plus petits sont agrandis."


def round_values(largest: float) -> list[float]:
    """Return up to three round values, the largest first, whose circles differ by eye and are to scale."""
    rounds = [step * 10.0**power for power in range(12) for step in (1, 2, 5)]
    shown = [value for value in rounds if value <= largest][::-2][:_CIRCLES_AT_MOST]
    return [value for value in shown if _LARGEST * (value / largest) ** 0.5 >= _LEAST_RADIUS]


def map_origin(frames: Frames) -> np.ndarray:
    """Return the south-west corner of the territory in whole metres: the map counts from there."""
    corner: np.ndarray = np.floor(frames["communes"].total_bounds[:2])
    return corner


def map_data(frames: Frames, chosen: Sequence[Choice], *, generalised: bool) -> dict[str, Any]:
    """Return what the script of the index draws, as it goes into JSON.

    Coordinates are whole metres from `map_origin`, north first as in Leaflet.
    """
    qpv, communes, origin = frames["qpv"], frames["communes"], map_origin(frames)
    light = shapely.coverage_simplify(communes.geometry.to_numpy(), _COARSE)
    return {
        "communes": [
            {"nom": name, "anneaux": _rings(shape, origin), "centre": _point(shape, origin)}
            for name, shape in zip(communes["nom_com"], light, strict=True)
        ],
        "territoire": _rings(dissolve(light), origin),
        "communes_generalisees": generalised,
        "qpv": [
            {
                "code": code,
                "nom": name or code,
                "page": f"{code}.html",
                "anneaux": _rings(shapely.simplify(shape, _FINE), origin),
                "centre": _point(shape, origin),
            }
            for code, name, shape in zip(qpv["code_qp"], qpv["lib_qp"], qpv.geometry, strict=True)
        ],
        "surcouches": [
            {
                "titre": title or band_name(frames[layer]["distance_m"]),
                "classe": kind,
                "formes": [_rings(shapely.simplify(shape, _FINE), origin) for shape in shapes],
            }
            for layer, title, kind in _OVERLAYS
            if (shapes := outlines(frames, layer))
        ],
        "indicateurs": {choice.id: choice.drawn for choice in chosen},
    }


def outlines(frames: Frames, layer: str) -> list[BaseGeometry]:
    """Return the geometries that a layer has; none if the release lacks it or it is a table."""
    frame = frames.get(layer)
    return (
        [shape for shape in frame.geometry if shape is not None]
        if isinstance(frame, gpd.GeoDataFrame)
        else []
    )


def _rings(shape: BaseGeometry, origin: np.ndarray) -> list[list[list[list[int]]]]:
    """Return a polygon or several as Leaflet takes them: polygons of rings of points."""
    return [
        [_metres(shapely.get_coordinates(ring)[:-1], origin) for ring in shapely.get_rings(polygon)]
        for polygon in shapely.get_parts(shape)
    ]


def _point(shape: BaseGeometry, origin: np.ndarray) -> list[int]:
    return _metres(shapely.get_coordinates(shapely.point_on_surface(shape)), origin)[0]


def _metres(points: np.ndarray, origin: np.ndarray) -> list[list[int]]:
    north_first: list[list[int]] = np.round(points - origin)[:, ::-1].astype(int).tolist()
    return north_first


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
    view = View.around(qpv.total_bounds + around * OUTWARDS, _WIDTH, _HEIGHT, least=_LEAST)
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
    own = outline_shapes(content.frames["qpv"], "lib_qp", "qpv classe-5", view)
    shapes = (*outline_shapes(communes, "nom_com", "commune", view), *own)
    words = f"Carte du territoire {content.spec.territory.nom} : ses communes et ses quartiers prioritaires."
    return Drawing(view, shapes, words, scaled=False)


def _labels(qpv: gpd.GeoDataFrame, communes: gpd.GeoDataFrame, view: View) -> list[MapLabel]:
    """Write the number of each QPV, with its name where there is room, then the names of large communes."""
    room, labels = Labels.beside_scale(view), []
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
