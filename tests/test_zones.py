"""Where things are in France: rectangles of departments."""

from pathlib import Path

import pytest

from qpv_geo.ingest.communes import read_communes
from qpv_geo.settings import Settings
from qpv_geo.zones import METROPOLE, department_of_commune, departments_meeting, place_of, zone_of
from tests.raw_files import raw_file

_MARGIN, _ROUNDED = 0.03, 0.01


def test_rectangles_of_departments_hold_their_communes_and_little_more(
    mirror: Path, settings: Settings
) -> None:
    raw = raw_file("communes_france", mirror / "etalab" / "communes-1000m.geojson.gz")
    communes = read_communes(raw, settings, 2154)[2154].to_crs(4326)
    boxes = communes.bounds.groupby(communes["insee_com"].map(department_of_commune))
    assert len(boxes) == 96
    for code, bounds in boxes:
        west, south, east, north = place_of([str(code)]).bounds
        extent = bounds["minx"].min(), bounds["miny"].min(), bounds["maxx"].max(), bounds["maxy"].max()
        margins = extent[0] - west, extent[1] - south, east - extent[2], north - extent[3]
        # Projected and back, a vertex moves by a billionth of a degree.
        assert min(margins) > _MARGIN - 1e-6, code
        assert max(margins) < _MARGIN + _ROUNDED + 1e-6, code


def test_a_place_of_several_departments_holds_them_all() -> None:
    doubs, jura, both = (place_of(codes).bounds for codes in (["25"], ["39"], ["25", "39"]))
    assert both == (
        min(doubs[0], jura[0]),
        min(doubs[1], jura[1]),
        max(doubs[2], jura[2]),
        max(doubs[3], jura[3]),
    )
    assert place_of(["25", "974"]).bounds == doubs


@pytest.mark.parametrize("codes", [["974"], ["987"], ["974", "25"]])
def test_overseas_the_part_of_france_is_the_place(codes: list[str]) -> None:
    assert place_of(codes) == zone_of(codes[0])


@pytest.mark.parametrize("codes", [[], [""], ["99"]])
def test_an_unknown_department_is_anywhere_in_metropolitan_france(codes: list[str]) -> None:
    assert place_of(codes) == METROPOLE


def test_departments_of_codes_and_of_points() -> None:
    assert [department_of_commune(code) for code in ("25056", "2A004", "97209", "98735")] == [
        "25",
        "2A",
        "972",
        "987",
    ]
    assert departments_meeting(4.85, 45.75, 4.85, 45.75) == ["01", "38", "69"]
    assert departments_meeting(7.75, 46.2, 7.75, 46.2) == []
