"""Positions that are not where their commune says are reported, with what they are."""

import geopandas as gpd
import pandas as pd
import pytest
from shapely import box

from qpv_geo.analysis.facilities import report_misplaced
from qpv_geo.checks import Check

COMMUNES = gpd.GeoDataFrame(
    {"insee_com": ["25056", "25112"]},
    geometry=[box(0, 0, 3000, 3000), box(3000, 0, 6000, 3000)],
    crs=2154,
)


def report(*rows: tuple[str, str, float, float], members: set[str] | None = None) -> dict[str, Check]:
    points = pd.DataFrame(rows, columns=["type", "insee_com", "x", "y"])
    checks = report_misplaced(points, "type", COMMUNES, members, "bpe")
    return {check.code: check for check in checks}


def test_positions_in_their_commune_are_not_reported() -> None:
    # In it, 90 m outside of it, without a position, and beyond the territory.
    rows = (
        ("D265", "25056", 100.0, 100.0),
        ("D265", "25056", 3090.0, 100.0),
        ("D265", "25056", float("nan"), float("nan")),
        ("D265", "39001", -500.0, 100.0),
    )
    assert {check.outcome for check in report(*rows).values()} == {"conforme"}


def test_a_position_outside_its_commune_says_of_what_type_and_commune() -> None:
    rows = [("D265", "25056", 3110.0, 100.0)] * 2 + [("D307", "25112", 100.0, 9000.0)]
    check = report(*rows)["positions_hors_commune"]
    assert (check.outcome, check.found) == ("avertissement", "3")
    assert check.message.endswith(": 2 D265 (25056), 1 D307 (25112).")


@pytest.mark.parametrize(
    ("members", "lapsed"),
    [
        ({"25056", "25112"}, " Communes qui n'existent plus (COG) : 25020."),
        ({"25056", "25112", "25020"}, ""),
        (None, ""),
    ],
)
def test_what_lies_in_the_territory_and_declares_a_merged_commune(
    members: set[str] | None, lapsed: str
) -> None:
    rows = ("D265", "25020", 1500.0, 1500.0), ("D265", "25021", 10.0, 1500.0)
    check = report(*rows, members=members)["communes_hors_territoire"]
    assert (check.outcome, check.found) == ("avertissement", "1")
    assert check.message.endswith(f": 1 D265 (25020).{lapsed}")
