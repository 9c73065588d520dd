"""Where points are, as declared: contradictions, columns read and added, precision, place in France."""

import numpy as np
import pyarrow as pa
import pyproj
import pytest

from qpv_geo.errors import ConfigurationError, ContractError
from qpv_geo.locate.places import Survey, places_in
from qpv_geo.locate.points import GEOCODED, Points, geocoder_precision
from qpv_geo.sources.geocoder import RADIUS


@pytest.mark.parametrize(
    ("declared", "fact"),
    [
        ({"x": "lon", "crs": 4326}, "give both columns"),
        ({"y": "lat", "crs": 4326}, "give both columns"),
        ({"x": "e", "y": "n"}, "--crs"),
        ({"x": "e", "y": "n", "crs": 2154, "addresses": ("voie",)}, "one or the other"),
        ({"crs": 2154, "addresses": ("voie",)}, "one or the other"),
        ({"addresses": ("voie",), "type_column": "t"}, "--type-col and --score-col"),
        ({"addresses": ("voie",), "score_column": "s"}, "--type-col and --score-col"),
        ({"score_threshold": 80, "score_column": "s"}, "--score-threshold 80: expected a score from 0 to 1"),
        ({"precision": -0.5}, "precision -0.5: expected metres, 0 or more"),
        ({"precision": float("nan")}, "expected metres"),
    ],
)
def test_declarations_that_contradict_one_another_are_refused(declared: dict[str, object], fact: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        Points(**declared)
    assert fact in str(error.value)


@pytest.mark.parametrize("precision", [0, 0.0, 25, "p", None])
def test_a_precision_is_a_number_or_a_column(precision: float | str | None) -> None:
    assert Points(precision=precision).columns == (["p"] if precision == "p" else [])


def test_each_column_is_read_once() -> None:
    points = Points(x="lon", y="lat", crs=4326, precision="p", type_column="t", score_column="p")
    assert points.columns == ["lon", "lat", "t", "p"]
    assert Points(addresses=("voie", "ville")).columns == ["voie", "ville"]


def test_the_columns_of_a_geocoder_come_first_under_the_prefix() -> None:
    plain, geocoded = Points(prefix="a_").added, Points(addresses=("voie",), prefix="a_").added
    assert plain.names[0] == "a_en_qpv"
    assert geocoded.names == [f"a_{name}" for name in GEOCODED.names] + plain.names


def test_a_geocoder_is_as_precise_as_its_type_and_score_say() -> None:
    types = pa.array(["housenumber", " STREET ", "planet", None])
    unknown = np.nan
    np.testing.assert_array_equal(
        geocoder_precision(types, None, 4), [RADIUS["housenumber"], RADIUS["street"], unknown, unknown]
    )
    np.testing.assert_array_equal(
        geocoder_precision(types, np.array([0.8, 0.79, 1.0, 1.0]), 4),
        [RADIUS["housenumber"], unknown, unknown, unknown],
    )
    np.testing.assert_array_equal(
        geocoder_precision(types, np.array([0.8, 0.79, 1.0, 1.0]), 4, 0.75)[:2],
        [RADIUS["housenumber"], RADIUS["street"]],
    )
    np.testing.assert_array_equal(
        geocoder_precision(None, np.array([0.8, 0.79, np.nan]), 3), [0.0, unknown, unknown]
    )
    encoded = types.dictionary_encode()
    np.testing.assert_array_equal(geocoder_precision(encoded, None, 4), geocoder_precision(types, None, 4))
    assert RADIUS["housenumber"] < RADIUS["interpolation"] < RADIUS["street"] < RADIUS["locality"]
    assert RADIUS["municipality"] == 20_000


def survey(crs: str, x: list[float], y: list[float], *, declared: bool = False) -> Survey:
    found = Survey(crs, declared=declared)
    found.note(np.array(x), np.array(y))
    return found


def test_points_are_counted_where_they_are() -> None:
    found = survey("EPSG:4326", [6.02, 47.24, 0.0, np.nan, -61.5], [47.24, 6.02, 0.0, 47.0, 16.2])
    found.note(np.array([55.5]), np.array([-21.1]))
    assert (found.points, found.inside, found.swapped) == (5, 3, 1)
    found.check("p.csv")
    survey("EPSG:4326", [np.nan], [np.nan]).check("p.csv")


@pytest.mark.parametrize(
    ("crs", "x", "y", "declared", "facts"),
    [
        (
            "EPSG:4326",
            [47.2, 48.8, 2.3],
            [6.0, 2.3, 48.8],
            False,
            ["p.csv: x and y are swapped", "2 of 3 points"],
        ),
        ("EPSG:2154", [6.02], [47.24], False, ["all 1 points are outside France", "--lon and --lat"]),
        ("EPSG:2154", [6.02], [47.24], True, ["EPSG:4326: correct the CRS that the file declares"]),
        (
            "EPSG:4326",
            [927e3],
            [6687e3],
            False,
            ["(927000, 6.687e+06)", "EPSG:2154: use --x, --y and --crs 2154"],
        ),
        ("EPSG:4326", [6687e3], [927e3], False, ["EPSG:2154 with x and y exchanged"]),
        ("EPSG:4326", [670_150.0], [5_978_170.0], True, ["EPSG:3857: correct the CRS"]),
        ("EPSG:2154", [0.5], [0.5], False, ["give the CRS of the file with --crs"]),
        ("EPSG:2154", [0.5], [0.5], True, ["correct the CRS that the file declares"]),
    ],
)
def test_points_that_cannot_be_in_this_crs_are_refused(
    crs: str, x: list[float], y: list[float], *, declared: bool, facts: list[str]
) -> None:
    with pytest.raises(ContractError) as error:
        survey(crs, x, y, declared=declared).check("p.csv")
    for fact in facts:
        assert fact in str(error.value)


@pytest.mark.parametrize(
    ("epsg", "names"),
    [
        (2154, ["France métropolitaine"]),
        (2975, ["La Réunion"]),
        (5490, ["Guadeloupe", "Martinique", "Saint-Barthélemy", "Saint-Martin"]),
    ],
)
def test_a_crs_is_made_for_some_parts_of_france(epsg: int, names: list[str]) -> None:
    places = places_in(pyproj.CRS.from_epsg(epsg))
    assert [place.zone.name for place in places] == names
    assert len(places_in(pyproj.CRS.from_epsg(4326))) == 11
