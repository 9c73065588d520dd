"""Facilities by QPV and within 500 m: nothing is lost, and zero is a count only where the source looked."""

import math
import re

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import Point, Polygon, box

from qpv_geo.analysis.facilities import compare_placements, count_facilities, locate_facilities
from qpv_geo.checks import Check
from qpv_geo.errors import ContractError
from qpv_geo.ingest.facilities import FacilityTable
from tests.essai import essai

TERRITORY = essai(qpv=2, sliver_area=100)
TYPES = pd.DataFrame(
    {
        "type_equipement": ["D265", "D307", "C108"],
        "libelle": ["Médecin généraliste", "Pharmacie", "École primaire"],
        "domaine": ["Santé", "Santé", "Enseignement"],
    }
)
# Two communes side by side, 3 km wide; a QPV in the west of the first, one on both sides of the limit.
COMMUNES = gpd.GeoDataFrame(
    {"insee_com": ["25056", "25112"]},
    geometry=[box(0, 0, 3000, 3000), box(3000, 0, 6000, 3000)],
    crs=2154,
)
WEST, EAST = "QN02502M", "QN02503M"
QPV = gpd.GeoDataFrame(
    {"code_qp": [EAST, WEST], "lib_qp": ["Planoise", "Orchamps-Palente"]},
    geometry=[box(2600, 1000, 3200, 1600), box(1000, 1000, 1400, 1400)],
    crs=2154,
)


def points(*rows: tuple[str, str, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["type_equipement", "insee_com", "x", "y"])


NOWHERE = (math.nan, math.nan)
POINTS = points(
    ("D265", "25056", 1200, 1200),  # in the western QPV
    ("D265", "25056", 1400, 1200),  # on its limit
    ("D265", "25056", 1900, 1200),  # 500 m east of it
    ("D265", "25056", 1900.001, 1200),  # a millimetre farther
    ("D307", "25056", 1700, 1700),  # beyond its corner: 300 m east, 300 m north, 424 m away
    ("D307", "25056", 1800, 1800),  # 566 m away
    ("C108", "25056", *NOWHERE),
    ("C108", "25112", *NOWHERE),
    ("C108", "25112", *NOWHERE),
    ("D307", "25112", 3100, 1100),  # in the eastern QPV, in the second commune
)


def count(frame: pd.DataFrame, code: str, perimeter: str, kind: str) -> tuple[object, str, object]:
    keys = (frame["code_qp"] == code) & (frame["perimetre"] == perimeter)
    row = frame[keys & (frame["type_equipement"] == kind)]
    assert len(row) == 1
    return row["nombre"].iloc[0], row["statut"].iloc[0], row["non_localises"].iloc[0]


def tabulate(facilities: pd.DataFrame = POINTS) -> tuple[pd.DataFrame, list[Check]]:
    return count_facilities(FacilityTable(facilities, TYPES, "2024"), QPV, COMMUNES, TERRITORY)


def test_facilities_are_counted_inside_and_within_500_m() -> None:
    table, _ = tabulate()
    assert set(table.columns) == {
        *("code_qp", "lib_qp", "perimetre", "type_equipement", "libelle", "domaine"),
        *("nombre", "statut", "non_localises", "millesime"),
    }
    assert len(table) == 2 * 2 * 3
    assert count(table, WEST, "qpv", "D265") == (2, "ok", 0)
    assert count(table, WEST, "500m", "D265") == (3, "ok", 0)
    assert count(table, WEST, "qpv", "D307") == (0, "ok", 0)
    assert count(table, WEST, "500m", "D307") == (1, "ok", 0)
    assert count(table, EAST, "qpv", "D307") == (1, "ok", 0)
    assert count(table, EAST, "500m", "D265") == (0, "ok", 0)
    row = table[(table["code_qp"] == EAST) & (table["type_equipement"] == "C108")].iloc[0]
    assert (row["lib_qp"], row["libelle"], row["domaine"], row["millesime"]) == (
        "Planoise",
        "École primaire",
        "Enseignement",
        "2024",
    )


def test_facilities_without_coordinates_are_reported() -> None:
    table, checks = tabulate()
    # The western perimeters touch the first commune only, the eastern ones both.
    assert count(table, WEST, "500m", "C108") == (0, "ok", 1)
    assert count(table, EAST, "qpv", "C108") == (0, "ok", 3)
    found = {check.subject: check for check in checks if check.code == "equipements_non_localises"}
    assert {code: check.found for code, check in found.items()} == {"25056": "1", "25112": "2"}
    assert found["25112"].outcome == "avertissement"
    assert "C108 (2)" in found["25112"].message


def test_all_located_is_said_too() -> None:
    _, checks = tabulate(POINTS[POINTS["x"].notna()])
    assert [c.outcome for c in checks if c.code == "equipements_non_localises"] == ["conforme"]


def test_coordinates_in_another_crs_are_refused() -> None:
    degrees = POINTS.assign(x=-1.55, y=47.22)
    with pytest.raises(ContractError, match=r"10 of the 10 facilities.*x -1.55, y 47.22.*RGF93"):
        tabulate(degrees)


def test_no_facility_at_all_is_a_table_of_zeros() -> None:
    table, checks = tabulate(POINTS.iloc[:0])
    assert table["nombre"].sum() == 0
    assert set(table["statut"]) == {"ok"}
    assert {check.outcome for check in checks} == {"conforme"}


def placed(*rows: tuple[str, float, float, str | None]) -> pd.DataFrame:
    columns = ["type_equipement", "x", "y", "code_qp_insee"]
    return pd.DataFrame(rows, columns=columns)


@pytest.mark.parametrize(
    ("facilities", "expected"),
    [
        # Both place one inside.
        (placed(("D265", 1200, 1200, WEST)), ("1", "1", 0, "concorde")),
        # INSEE places one more, outside; and one fewer.
        (placed(("D265", 1200, 1200, WEST), ("D307", 1500, 1200, WEST)), ("2", "1", -1, "diverge")),
        (placed(("D265", 1200, 1200, None)), ("0", "1", 1, "diverge")),
        # As many on both sides, but not the same.
        (placed(("D265", 1200, 1200, None), ("D307", 1500, 1200, WEST)), ("1", "1", 0, "diverge")),
        # Half a metre beyond the limit: coordinates are rounded.
        (placed(("D265", 1400.5, 1200, WEST)), ("1", "0", -1, "concorde")),
        # Without a position.
        (placed(("D265", math.nan, math.nan, WEST)), ("0", "0", 0, "concorde")),
    ],
)
def test_insee_places_facilities_as_the_contours_do(
    facilities: pd.DataFrame, expected: tuple[str, str, float, str]
) -> None:
    rows = {row.code: row for row in compare_placements(facilities, QPV)}
    found = rows[WEST]
    assert (found.first.value, found.second.value, found.gap, found.result) == expected
    assert (rows[EAST].first.value, rows[EAST].result) == ("0", "concorde")
    if found.result == "diverge":
        assert "Orchamps-Palente" in found.message
        assert not re.search(r"\b1 équipements|\b[2-9] équipement\b", found.message)


place = st.tuples(st.sampled_from(["D265", "D307", "C108"]), st.integers(0, 3000), st.integers(0, 3000))
ring = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3000)), min_size=3, max_size=7, unique=True)


@given(st.lists(place, max_size=30), st.lists(ring, min_size=1, max_size=3))
def test_counts_are_those_of_distances_one_by_one(
    places: list[tuple[str, int, int]], rings: list[list[tuple[int, int]]]
) -> None:
    shapes = [shapely.make_valid(Polygon(r)).convex_hull for r in rings]
    shapes = [shape for shape in shapes if shape.geom_type == "Polygon"]
    codes = [f"QN0250{index}M" for index in range(len(shapes))]
    layer = gpd.GeoDataFrame({"code_qp": codes, "lib_qp": codes}, geometry=shapes, crs=2154)
    if layer.empty:
        return
    facilities = points(*((kind, "25056", x, y) for kind, x, y in places))
    table, _ = count_facilities(FacilityTable(facilities, TYPES, "2024"), layer, COMMUNES, TERRITORY)
    for code, shape in zip(codes, shapes, strict=True):
        for perimeter, distance in (("qpv", 0), ("500m", 500)):
            for kind in TYPES["type_equipement"]:
                near = [shape.distance(Point(x, y)) for found, x, y in places if found == kind]
                assert count(table, code, perimeter, kind)[0] == int(np.sum(np.array(near) <= distance))
    wide = table[table["perimetre"] == "500m"]["nombre"].to_numpy()
    assert (wide >= table[table["perimetre"] == "qpv"]["nombre"].to_numpy()).all()


def test_places_are_those_counted_within_500_m_each_once_with_its_number() -> None:
    layer = locate_facilities(POINTS, TYPES, QPV, "2024")
    found = {
        (row["type_equipement"], row["x"], row["y"]): (row["nombre"], row["code_qp"])
        for row in layer.to_dict("records")
    }
    assert found == {
        ("D265", 1200, 1200): (1, WEST),
        ("D265", 1400, 1200): (1, WEST),
        ("D265", 1900, 1200): (1, None),
        ("D307", 1700, 1700): (1, None),
        ("D307", 3100, 1100): (1, EAST),
    }
    assert layer.geometry.x.tolist() == layer["x"].tolist()
    twice = locate_facilities(pd.concat([POINTS, POINTS]), TYPES, QPV, "2024")
    assert set(twice["nombre"]) == {2}
    table, _ = tabulate()
    own = table[table["perimetre"] == "qpv"].groupby("code_qp")["nombre"].sum()
    assert own.to_dict() == layer.dropna(subset="code_qp").groupby("code_qp")["nombre"].sum().to_dict()


def test_no_place_is_within_reach_is_an_empty_layer() -> None:
    assert locate_facilities(POINTS.iloc[6:9], TYPES, QPV, "2024").empty
