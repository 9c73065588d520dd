"""The map of a QPV: what stands where on it."""

import geopandas as gpd
import pytest
import shapely

from qpv_geo.formats.frames import Frames
from qpv_geo.portraits.drawing import View
from qpv_geo.portraits.qpv_map import labels_of, marks_of

# A metre is a unit of the drawing.
HEIGHTS = (360.0, 400.0)
SCALE_TOP = 34


def view(height: float) -> View:
    return View.around((0, 0, 480, height), 480, height)


def places(*points: tuple[float, float]) -> gpd.GeoDataFrame:
    names = [f"Pharmacie {number}" for number in range(1, len(points) + 1)]
    columns = {"categorie": "pharmacies", "libelle": names, "nombre": 1}
    return gpd.GeoDataFrame(columns, geometry=shapely.points(points), crs=2154)


@pytest.mark.parametrize("other", [(140.0, 100.0), (100.0, 140.0)], ids=["beside", "above"])
def test_places_apart_have_a_pictogram_each(other: tuple[float, float]) -> None:
    marks = list(marks_of(places((100.0, 100.0), other), "categorie", view(360)))
    assert sorted(mark.text for mark in marks) == ["Pharmacie 1", "Pharmacie 2"]
    assert {(mark.x, 360 - mark.y) for mark in marks} == {(100.0, 100.0), other}


def test_places_whose_pictograms_would_cover_one_another_have_one() -> None:
    (mark,) = marks_of(places((100.0, 100.0), (102.0, 100.0)), "categorie", view(360))
    assert mark.text == "Pharmacie 1, Pharmacie 2"


@pytest.mark.parametrize("height", HEIGHTS)
@pytest.mark.parametrize(("y", "named"), [(10.0, False), (SCALE_TOP + 20.0, True)])
def test_no_label_stands_on_the_scale_bar(height: float, y: float, *, named: bool) -> None:
    squares = [shapely.box(200, 150, 280, 230), shapely.box(60, y - 8, 100, y + 8)]
    qpv = gpd.GeoDataFrame(
        {"code_qp": ["QN02501M", "QN02502M"], "lib_qp": ["A", "Bas"]}, geometry=squares, crs=2154
    )
    communes = gpd.GeoDataFrame({"nom_com": ["Ville"]}, geometry=[shapely.box(0, 0, 480, height)], crs=2154)
    frames: Frames = {"qpv": qpv, "communes": communes}
    assert ("Bas" in {label.text for label in labels_of("QN02501M", frames, view(height))}) is named
