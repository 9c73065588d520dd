"""The maps of a QPV: its band, 2015 outline and IRIS; the care around it; its place in the EPCI."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import geopandas as gpd
import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from qpv_geo.formats.base import Content
from qpv_geo.formats.fields import GEOMETRY_COLUMN
from qpv_geo.formats.frames import Frames
from qpv_geo.formats.health import PLACES, REACHES
from qpv_geo.french import band_name, length_name
from qpv_geo.portraits.drawing import OUTWARDS, Labels, View

LEGEND = {
    "qpv": "Le quartier (QPV 2024)",
    "bande": "",
    "voisin": "Autre QPV 2024",
    "dehors": "QPV hors du territoire",
    "entrant": "Entré dans le périmètre en 2024",
    "sortant": "Sorti du périmètre en 2024",
    "ancien": "Contour de 2015",
    "iris": "IRIS",
    "commune": "Commune",
    "limite": "Commune (limite généralisée)",
}
"""What the map of a QPV may show, from above to below; a band is named by its width."""
# Units of the drawing.
_WIDTH, _HEIGHT, _CARE_HEIGHT = 480.0, 360.0, 400.0
_LOCATOR = 150.0
_FONT = 13.0
_PICTOGRAM = 11.0
# Metres around a QPV, and across the view at least.
_AROUND, _LEAST = 250.0, 1200.0
# Around it on the map of care: how far circles reach in metres, their words, and how much is seen.
_REACHES = {
    "portee-500": (500.0, f"{REACHES[1]} autour du quartier"),
    "portee": (1000.0, f"{REACHES[2]} autour du quartier"),
}
_CARE_AROUND = 1060.0
_NOT_BESIDE_CARE = {"bande_300m", "qpv_2015", "iris", "fond_batiments"}
# What a perimeter gained and lost from 2015 to 2024.
_CHANGES = {"entrant": "entré en 2024", "sortant": "sorti en 2024"}
# Metres around the QPV within which there are buildings: they are most of what a page weighs.
AROUND = 250.0
# Units: sides of what can be seen at all, size of the names of streets.
_LEAST_LABEL = 2.0
_LABEL_FONT = 8.0
_NAMES_AT_MOST = 14
# Degrees: what is steeper reads upwards.
_STEEP = 80.0
_KINDS = {"fond_eau": "fond-eau", "fond_vegetation": "fond-vegetation", "fond_batiments": "fond-batiments"}


@dataclass(frozen=True)
class Shape:
    """One outline: its class in the style sheet, its path, what it is."""

    kind: str
    path: str
    name: str


@dataclass(frozen=True)
class MapLabel:
    """A text of the map, centred on a point in units."""

    kind: str
    text: str
    x: float
    y: float
    angle: float = 0.0
    """Degrees, clockwise."""


@dataclass(frozen=True)
class FacilityMark:
    """A pictogram at a point in units: its domain or category, and what is there."""

    domain: str
    text: str
    x: float
    y: float


@dataclass(frozen=True)
class Drawing:
    """What the template draws."""

    view: View
    shapes: tuple[Shape, ...]
    """From below to above."""
    alternative: str
    """What the drawing shows, in a sentence."""
    labels: tuple[MapLabel, ...] = ()
    places: tuple[FacilityMark, ...] = ()
    """Facilities, over the shapes."""
    marker: tuple[float, float] | None = None
    """A point to mark, in units."""
    legend: tuple[tuple[str, str], ...] = ()
    """Kinds of its outlines, and their words."""
    scaled: bool = True
    """Whether it has a scale bar."""

    @property
    def scale_bar(self) -> tuple[str, float] | None:
        """Words and units of its scale bar."""
        metres, units = self.view.scale_bar()
        return (length_name(metres), units) if self.scaled else None

    @property
    def with_streets(self) -> bool:
        """Whether there is a base map below."""
        return any(shape.kind.startswith("fond-") for shape in self.shapes)


def background(own: BaseGeometry, frames: Frames, view: View) -> Iterator[Shape]:
    """Yield everything of a kind around a QPV as one shape, from below to above."""
    for layer, kind in _KINDS.items():
        if layer in frames:
            frame = frames[layer]
            is_close = layer == "fond_batiments"
            within = view.box.intersection(shapely.buffer(own, AROUND)) if is_close else view.box
            seen = frame.geometry.to_numpy()[sorted(frame.sindex.query(within, predicate="intersects"))]
            large = seen[shapely.area(seen) * view.scale**2 >= _LEAST_LABEL**2]
            yield Shape(kind, "".join(map(view.path, view.clipped(large))), "")
    for layer in ("fond_routes", "fond_voies_ferrees"):
        if layer in frames:
            lines = _in_view(frames[layer], view)
            for group in ("chemin", "locale", "principale", "train", "tramway"):
                shapes = lines.geometry.to_numpy()[lines["classe"] == group]
                yield Shape(f"fond-{group}", "".join(map(view.strokes, view.clipped(shapes))), "")


def street_names(frames: Frames, view: View, room: Labels) -> Iterator[MapLabel]:
    """Yield the names of main streets, along them, where there is room."""
    if "fond_routes" not in frames:
        return
    lines = _in_view(frames["fond_routes"], view)
    main = lines[(lines["classe"] == "principale") & lines["nom"].notna()]
    parts = map(_longest, view.clipped(main.geometry.to_numpy()))
    longest_first = sorted(zip(main["nom"], parts, strict=True), key=lambda row: (-row[1].length, row[0]))
    count = 0
    for name, part in longest_first:
        if count == _NAMES_AT_MOST or part.length * view.scale < room.width_of(name, _LABEL_FONT):
            return
        middle, angle = _direction(part, view)
        if room.place_turned(name, middle, angle, _LABEL_FONT):
            count += 1
            yield MapLabel("rue", name, *middle, angle)


def _direction(line: shapely.LineString, view: View) -> tuple[tuple[float, float], float]:
    """Return the middle of a line in units, and its angle in degrees there, clockwise, read from the left."""
    one, other = (view.point(line.interpolate(where, normalized=True)) for where in (0.45, 0.55))
    (x, y), (x2, y2) = sorted([one, other])
    angle = float(np.degrees(np.arctan2(y2 - y, x2 - x)))
    return ((x + x2) / 2, (y + y2) / 2), angle - 180 if angle > _STEEP else angle


def _in_view(frame: gpd.GeoDataFrame, view: View) -> gpd.GeoDataFrame:
    return frame.iloc[sorted(frame.sindex.query(view.box, predicate="intersects"))]


def _longest(lines: BaseGeometry) -> shapely.LineString:
    parts = [part for part in shapely.get_parts(lines) if isinstance(part, shapely.LineString)]
    return max(parts, key=shapely.length, default=shapely.LineString())


@lru_cache(maxsize=1)
def maps_of(content: Content) -> Mapping[str, Drawing]:
    """Return the map of each QPV by its code, which its portrait and the atlas share."""
    generalised, frames = content.spec.communes_generalised, map_frames(content)
    return {code: draw_qpv(code, frames, generalised=generalised) for code in frames["qpv"]["code_qp"]}


@lru_cache(maxsize=1)
def map_frames(content: Content) -> Frames:
    """Return the layers with, of the QPV, only what maps read: to choose rows of all its columns is slow."""
    qpv = content.frames["qpv"]
    return content.frames | {"qpv": qpv[["code_qp", "lib_qp", GEOMETRY_COLUMN]]}


def draw_qpv(code: str, frames: Frames, *, generalised: bool = False) -> Drawing:
    """Draw a QPV and what surrounds it, as far as the release has it, in one projected CRS.

    Limits of communes that are `generalised` are dashed: so near, they would cut a QPV where no limit is.
    """
    qpv = frames["qpv"]
    own = qpv[qpv["code_qp"] == code]
    shown, around, band = own.geometry.iloc[0], _AROUND, ""
    if "bande_300m" in frames:
        bands = frames["bande_300m"]
        bands = bands[bands["code_qp"] == code]
        shown, around = shapely.union_all([shown, *bands.geometry]), _AROUND / 4
        band = band_name(bands["distance_m"])
    view = View.around(shapely.buffer(shown, around).bounds, _WIDTH, _HEIGHT, least=_LEAST)
    shapes = tuple(_shapes(code, frames, view, generalised=generalised))
    return Drawing(
        view,
        shapes,
        _alternative(own["lib_qp"].iloc[0], shapes, band),
        tuple(labels_of(code, frames, view)),
        tuple(marks_of(frames.get("equipements_lieux"), "domaine", view)),
        legend=_legend(LEGEND | {"bande": band}, shapes),
    )


def draw_care(code: str, content: Content) -> Drawing:
    """Draw a QPV and what is up to 1 km from it, with the places of care if the release has them."""
    frames = {name: frame for name, frame in map_frames(content).items() if name not in _NOT_BESIDE_CARE}
    qpv = frames["qpv"]
    own = qpv[qpv["code_qp"] == code]
    shape, name = own.geometry.iloc[0], own["lib_qp"].iloc[0] or code
    view = View.around(shape.bounds + _CARE_AROUND * OUTWARDS, _WIDTH, _CARE_HEIGHT)
    # Less than the drawing shows, and many times faster.
    light = shapely.simplify(shape, 0.5 / view.scale)
    circles = [
        Shape(kind, view.path(shapely.buffer(light, metres, quad_segs=12)), "")
        for kind, (metres, _) in _REACHES.items()
    ]
    shapes = (*_shapes(code, frames, view, generalised=content.spec.communes_generalised), *circles)
    marks = tuple(marks_of(content.spatial(PLACES), "categorie", view))
    what = " : lieux de soins, que le tableau compte." if marks else ", sans lieu de soins connu."
    return Drawing(
        view,
        shapes,
        f"Carte du quartier {name}, au nord en haut, et de {REACHES[2]} autour de lui{what}",
        tuple(labels_of(code, frames, view)),
        marks,
        legend=_legend(LEGEND | {kind: words for kind, (_, words) in _REACHES.items()}, shapes),
    )


def _legend(words: Mapping[str, str], shapes: Iterable[Shape]) -> tuple[tuple[str, str], ...]:
    kinds = {shape.kind for shape in shapes}
    return tuple((kind, text) for kind, text in words.items() if kind in kinds)


def _shapes(code: str, frames: Frames, view: View, *, generalised: bool) -> Iterator[Shape]:
    """Yield outlines from below to above; limits of communes may be `generalised`."""
    qpv, bands, old = frames["qpv"], frames.get("bande_300m"), frames.get("qpv_2015")
    own = qpv[qpv["code_qp"] == code]
    yield from outline_shapes(frames["communes"], "nom_com", "limite" if generalised else "commune", view)
    yield from (shape for shape in background(own.geometry.iloc[0], frames, view) if shape.path)
    if "qpv_voisins" in frames:
        yield from outline_shapes(frames["qpv_voisins"], "lib_qp", "dehors", view)
    if bands is not None:
        yield from outline_shapes(bands[bands["code_qp"] == code], "lib_qp", "bande", view)
    yield from outline_shapes(qpv[qpv["code_qp"] != code], "lib_qp", "voisin", view)
    yield from outline_shapes(own, "lib_qp", "qpv", view)
    if "iris" in frames:
        yield from outline_shapes(frames["iris"], "nom_iris", "iris", view)
    if old is not None:
        pieces = frames["evolution_2015_2024"]
        for nature in ("entrant", "sortant"):
            yield from outline_shapes(pieces[pieces["nature"] == nature], "nature", nature, view)
        yield from outline_shapes(old, "nom_qp", "ancien", view)


def marks_of(layer: gpd.GeoDataFrame | None, kind: str, view: View) -> Iterator[FacilityMark]:
    """Yield the places in view; those of a kind whose pictograms would cover one another are one."""
    if layer is None:
        return
    seen = layer[shapely.intersects(layer.geometry.to_numpy(), view.box)]
    units = [view.point(point) for point in seen.geometry]
    together: dict[tuple[str, int, int], list[tuple[tuple[float, float], str]]] = {}
    for at, domain, label, count in zip(units, seen[kind], seen["libelle"], seen["nombre"], strict=True):
        cell = (domain, round(at[0] / _PICTOGRAM), round(at[1] / _PICTOGRAM))
        together.setdefault(cell, []).append((at, f"{label} ({count})" if count > 1 else label))
    for (domain, *_), facilities in sorted(together.items()):
        yield FacilityMark(domain, ", ".join(text for _, text in facilities), *facilities[0][0])


def outline_shapes(frame: gpd.GeoDataFrame, name: str, kind: str, view: View) -> Iterator[Shape]:
    """Yield the outlines of a layer that the view shows, called by its field `name`."""
    seen = _in_view(frame, view)
    clipped = view.clipped(seen.geometry.to_numpy())
    for text, geometry in zip(seen[name], clipped, strict=True):
        if path := view.path(geometry):
            yield Shape(kind, path, text or "")


def labels_of(code: str, frames: Frames, view: View) -> Iterator[MapLabel]:
    """Yield the names of QPV, of communes where two or more meet, of streets, wherever there is room."""
    room = Labels.beside_scale(view)
    qpv, communes = frames["qpv"], frames["communes"]
    own = qpv["code_qp"] == code
    seen = communes[shapely.intersects(communes.geometry.to_numpy(), view.box)]
    whole = shapely.union_all(qpv.geometry.to_numpy())
    for kind, frame, name, room_for in (
        ("qpv", qpv[own], "lib_qp", view.box),
        ("voisin", qpv[~own & shapely.intersects(qpv.geometry.to_numpy(), view.box)], "lib_qp", view.box),
        ("commune", seen if len(seen) > 1 else seen.iloc[:0], "nom_com", view.box.difference(whole)),
    ):
        for text, geometry in zip(
            frame[name], shapely.intersection(frame.geometry.to_numpy(), room_for), strict=True
        ):
            if geometry.is_empty:  # it touches the view, or QPV cover all of it that is seen
                continue
            place = room.place(text or "", view.in_units(geometry), _FONT)
            if place:
                yield MapLabel(kind, text, *place)
    yield from street_names(frames, view, room)


def _alternative(name: str, shapes: tuple[Shape, ...], band: str) -> str:
    kinds = {shape.kind for shape in shapes}
    communes = [shape.name for shape in shapes if shape.kind in {"commune", "limite"}]
    neighbours = [shape.name for shape in shapes if shape.kind in {"voisin", "dehors"}]
    parts = [f"Carte du quartier {name}, au nord en haut, sur les communes {', '.join(communes)}"]
    if any(kind.startswith("fond-") for kind in kinds):
        parts.append("sur un fond de rues et de bâtiments")
    if "bande" in kinds:
        parts.append(f"avec la {band[0].lower()}{band[1:]} qui l'entoure")
    if "ancien" in kinds:
        parts.append("les contours de 2015")
    parts += [f"ce qui est {words}" for kind, words in _CHANGES.items() if kind in kinds]
    if "iris" in kinds:
        parts.append("les IRIS")
    if neighbours:
        parts.append(f"les quartiers voisins {', '.join(neighbours)}")
    return ", ".join(parts) + "."


def draw_locator(code: str, frames: Frames, territory: str) -> Drawing:
    """Draw where a QPV is among the communes of the territory, which is named."""
    communes, qpv = frames["communes"], frames["qpv"]
    own = qpv[qpv["code_qp"] == code]
    view = View.around(communes.total_bounds, _LOCATOR, _LOCATOR)
    return Drawing(
        view,
        tuple(outline_shapes(communes, "nom_com", "commune", view)),
        f"Situation du quartier {own['lib_qp'].iloc[0]} dans le territoire {territory}.",
        marker=view.point(shapely.point_on_surface(own.geometry.iloc[0])),
        scaled=False,
    )
