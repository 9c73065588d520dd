"""The map of care around a QPV: places of care up to 1 km from it, on streets and communes."""

from collections.abc import Iterator

import geopandas as gpd
import shapely

from qpv_geo.formats.base import Content
from qpv_geo.formats.frames import Frames
from qpv_geo.formats.health import PLACES, REACHES
from qpv_geo.french import length_name
from qpv_geo.portraits.drawing import View
from qpv_geo.portraits.qpv_map import (
    LEGEND,
    Drawing,
    Shape,
    background,
    labels_of,
    map_frames,
    marks_of,
    outline_shapes,
)

# Units of the drawing.
_WIDTH, _HEIGHT = 480.0, 400.0
# Metres from the QPV: what is drawn, and how much more is seen.
_REACHES = {"portee-500": 500.0, "portee": 1000.0}
_MARGIN = 60.0
_WORDS = LEGEND | {
    "portee-500": f"{REACHES[1]} autour du quartier",
    "portee": f"{REACHES[2]} autour du quartier",
}


def draw_care(code: str, content: Content) -> Drawing:
    """Draw a QPV and what is up to 1 km from it, with the places of care if the release has them."""
    frames = map_frames(content)
    qpv = frames["qpv"]
    own = qpv[qpv["code_qp"] == code]
    shape, name = own.geometry.iloc[0], own["lib_qp"].iloc[0] or code
    west, south, east, north = shape.bounds
    around = _REACHES["portee"] + _MARGIN
    view = View.around((west - around, south - around, east + around, north + around), _WIDTH, _HEIGHT)
    commune = "limite" if content.spec.communes_generalised else "commune"
    shapes = tuple(_shapes(own, frames, view, commune))
    places = frames.get(PLACES)
    marks = tuple(marks_of(places if isinstance(places, gpd.GeoDataFrame) else None, "categorie", view))
    metres, units = view.scale_bar()
    kinds = {shape.kind for shape in shapes}
    return Drawing(
        _WIDTH,
        _HEIGHT,
        shapes,
        tuple(labels_of(code, frames, view)),
        f"Carte du quartier {name}, au nord en haut, et de {REACHES[2]} autour de lui"
        + (" : lieux de soins, que le tableau compte." if marks else ", sans lieu de soins connu."),
        units,
        length_name(metres),
        marks,
        legend=tuple((kind, words) for kind, words in _WORDS.items() if kind in kinds),
    )


def _shapes(own: gpd.GeoDataFrame, frames: Frames, view: View, commune: str) -> Iterator[Shape]:
    """Yield outlines from below to above."""
    qpv, shape = frames["qpv"], own.geometry.iloc[0]
    yield from outline_shapes(frames["communes"], "nom_com", commune, view)
    for kind, path in background(shape, frames, view, buildings=False):
        if path:
            yield Shape(kind, path, "")
    if "qpv_voisins" in frames:
        yield from outline_shapes(frames["qpv_voisins"], "lib_qp", "dehors", view)
    yield from outline_shapes(qpv[qpv["code_qp"] != own["code_qp"].iloc[0]], "lib_qp", "voisin", view)
    yield from outline_shapes(own, "lib_qp", "qpv", view)
    # Less than the drawing shows, and many times faster.
    light = shapely.simplify(shape, 0.5 / view.scale)
    for kind, metres in _REACHES.items():
        yield Shape(kind, view.path(shapely.buffer(light, metres, quad_segs=12)), "")
