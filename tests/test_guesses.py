"""Which columns are the coordinates, and in which CRS, if nobody says it."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyproj
import pytest
import shapely

from qpv_geo.errors import ConfigurationError
from qpv_geo.locate.coordinates import split_text
from qpv_geo.locate.csv_table import CsvTable
from qpv_geo.locate.guesses import guess_points, settle_coordinates
from qpv_geo.locate.places import fitting
from qpv_geo.locate.points import Points

BESANCON = (6.02, 47.24)


def table(folder: Path, *names: str, rows: int = 3, values: tuple[float, float] = BESANCON) -> CsvTable:
    """Write a file whose first two columns are coordinates."""
    path = folder / "p.csv"
    cells = [*(repr(number) for number in values), *["7"] * (len(names) - 2)]
    path.write_text("\n".join([";".join(names), *[";".join(cells)] * rows]) + "\n")
    return CsvTable(path)


def placed(epsg: int, place: tuple[float, float]) -> tuple[float, float]:
    x, y = pyproj.Transformer.from_crs(4326, epsg, always_xy=True).transform(*place)
    return float(x), float(y)


@pytest.mark.parametrize(
    ("names", "crs"),
    [
        (("lon", "lat"), 4326),
        (("LNG", "Lat"), 4326),
        (("Longitude", "Latitude"), 4326),
        (("Longitude (WGS84)", "Latitude (WGS84)"), 4326),
        (("coordonnees_gps_longitude", "coordonnees_gps_latitude"), 4326),
        (("Coord X (L93)", "Coord Y (L93)"), 2154),
        (("x_lambert93", "y_lambert93"), 2154),
        (("X_2154", "Y_2154"), 2154),
        (("CoordX_CC47", "CoordY_CC47"), 3947),
        (("Coordonnée X 3950", "Coordonnée Y 3950"), 3950),
        (("x_utm40s", "y_utm40s"), 2975),
        (("x_wgs84", "y_wgs84"), 4326),
    ],
)
def test_a_name_that_leaves_no_doubt(tmp_path: Path, names: tuple[str, str], crs: int) -> None:
    points, note = guess_points(Points(), table(tmp_path, *names, "n"))
    assert (points.x, points.y, points.crs) == (*names, crs)
    assert all(name in note for name in names)
    given, _ = guess_points(Points(crs="EPSG:3948"), table(tmp_path, *names, "n"))
    assert given.crs == "EPSG:3948", "what the user says counts"


@pytest.mark.parametrize(
    ("epsg", "place"),
    [
        (4326, BESANCON),
        (2154, BESANCON),
        *[(3900 + number, (4.0, number)) for number in range(43, 51)],
        (3942, (9.0, 42.0)),
        (5490, (-61.53, 16.24)),
        (5490, (-61.0, 14.6)),
        (2972, (-52.3, 4.9)),
        (2975, (55.5, -20.9)),
        (4471, (45.2, -12.8)),
    ],
)
def test_values_that_fit_one_crs_alone(tmp_path: Path, epsg: int, place: tuple[float, float]) -> None:
    points, note = guess_points(Points(), table(tmp_path, "X", "Y", values=placed(epsg, place)))
    assert points.crs == epsg
    assert "the only one that fits their values" in note


@pytest.mark.parametrize("values", [placed(2154, (5.4, 43.3)), (0.0, 0.0), (np.nan, np.nan)])
def test_values_that_fit_several_or_none_are_asked_about(tmp_path: Path, values: tuple[float, float]) -> None:
    with pytest.raises(ConfigurationError, match=r"p\.csv: the CRS of columns 'x' and 'y' is unknown.*--crs"):
        guess_points(Points(), table(tmp_path, "x", "y", values=values))


def test_longitude_and_latitude_come_first_and_rivals_are_named(tmp_path: Path) -> None:
    points, _ = guess_points(Points(), table(tmp_path, "lon", "lat", "x", "y"))
    assert (points.x, points.y) == ("lon", "lat")
    rivals = table(tmp_path, "lon_centre", "lat_centre", "lon_adresse", "lat_adresse")
    with pytest.raises(ConfigurationError, match="lon_centre and lat_centre, lon_adresse and lat_adresse"):
        guess_points(Points(), rivals)
    for names in (("lon_depart", "lat_depart"), ("lon", "y"), ("x_l93", "y"), ("prix", "latence")):
        with pytest.raises(ConfigurationError, match="give the columns of the coordinates"):
            guess_points(Points(), table(tmp_path, *names))


def test_no_usual_crs_fits_what_is_not_in_france() -> None:
    assert fitting(np.array([13.4]), np.array([52.5])) == []


HERE = shapely.Point(BESANCON)


@pytest.mark.parametrize(
    "text",
    [
        "47.24, 6.02",
        "47.24,6.02",
        "[47.24, 6.02]",
        "(47.24 6.02)",
        "47,24;6,02",
        "47,24 6,02",
        "POINT (6.02 47.24)",
        "SRID=4326;POINT(6.02 47.24)",
        '{"type": "Point", "coordinates": [6.02, 47.24]}',
        '{"lon": 6.02, "lat": 47.24}',
    ],
)
def test_both_coordinates_in_one_text(text: str) -> None:
    x, y, shapes = split_text(pa.array([text, None, "", "rue de Dole", "47.24"]), x_first=False)
    np.testing.assert_array_equal(x, [6.02, *[np.nan] * 4])
    np.testing.assert_array_equal(y, [47.24, *[np.nan] * 4])
    assert shapes is None


def both(folder: Path, name: str, text: str) -> CsvTable:
    path = folder / "p.csv"
    path.write_text(f'n;{name}\n1;"{text}"\n2;\n')
    return CsvTable(path)


@pytest.mark.parametrize(
    ("name", "text", "x_first"),
    [
        ("geo_point_2d", "47.24, 6.02", False),
        ("Lat, Lon", "47.24, 6.02", False),
        ("lonlat", "6.02,47.24", True),
        ("Geo Point", "6.02,47.24", True),
    ],
)
def test_the_order_of_two_numbers_is_that_which_is_in_france(
    tmp_path: Path, *, name: str, text: str, x_first: bool
) -> None:
    opened = both(tmp_path, name, text)
    guessed, _ = guess_points(Points(), opened)
    points, note = settle_coordinates(guessed, opened)
    assert (points.coordinates, points.x_first, points.crs, points.shapes) == (name, x_first, 4326, False)
    assert name in note


def test_a_column_may_hold_polygons_or_another_crs(tmp_path: Path) -> None:
    box = shapely.box(6, 47, 6.1, 47.1)
    points, _ = settle_coordinates(Points(coordinates="wkt"), both(tmp_path, "wkt", box.wkt))
    assert points.shapes
    _, _, shapes = split_text(pa.array(["47.24, 6.02", box.wkt]), x_first=False)
    assert shapes is not None
    assert shapes.tolist() == [None, box]
    opened = both(tmp_path, "xy", "927000 6687000")
    points, _ = settle_coordinates(Points(coordinates="xy", crs="EPSG:2154"), opened)
    assert (points.x_first, points.crs) == (True, "EPSG:2154")
