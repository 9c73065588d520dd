"""Names on the maps of the pages, measured in a real browser: each is seen to be of its own district."""

import re
from itertools import combinations
from pathlib import Path

import pytest
import shapely
from playwright.sync_api import Browser, Page

from qpv_geo.settings import Settings
from tests.browsing import CODES, Tab, wait_for_map, write
from tests.portraying import full_frames

WIDTHS = (320, 390, 768, 1280, 1920)
# Pixels: boxes of texts are wider than their letters.
TOUCH = 1.0

# Outlines with the matrix that brings them to the screen, boxes of the names that show, ends of leader lines.
MEASURE = """([shapes, names, leaders]) => {
    const matrix = path => { const m = path.getScreenCTM(); return [m.a, m.b, m.c, m.d, m.e, m.f]; };
    const shown = selector => [...document.querySelectorAll(selector)].filter(
        element => getComputedStyle(element).visibility !== 'hidden' && element.getClientRects().length);
    const box = element => {
        const { left, top, right, bottom } = element.getBoundingClientRect();
        return [left, top, right, bottom];
    };
    const draw = path => [path.getAttribute('d'), matrix(path)];
    return {
        shapes: shown(shapes).map(path => [
            path.getAttribute('aria-label') || path.textContent.trim(), draw(path)]),
        names: shown(names).map(name => [name.textContent.trim(), box(name)]),
        leaders: leaders ? shown(leaders).map(draw) : [],
        controls: shown('.leaflet-control, #legende').map(box),
        frame: box(document.querySelector(leaders ? '#carte-territoire' : 'svg.principale')),
    };
}"""


def polygon(path: str, matrix: list[float]) -> shapely.Geometry:
    """Return the area that an SVG path fills, in pixels of the screen."""
    rings = [move_line(line, matrix) for line in lines(path, least=3)]
    area = shapely.Polygon()
    for ring in rings:
        area = area.symmetric_difference(shapely.make_valid(shapely.Polygon(ring.coords)))
    return area


def lines(path: str, least: int = 2) -> list[shapely.LineString]:
    numbers = [re.findall(r"-?[\d.]+", part) for part in path.upper().split("M") if part.strip()]
    return [
        shapely.LineString([*zip(map(float, n[::2]), map(float, n[1::2]), strict=True)])
        for n in numbers
        if len(n) >= 2 * least
    ]


def move_line(line: shapely.LineString, matrix: list[float]) -> shapely.LineString:
    a, b, c, d, e, f = matrix
    moved = shapely.transform(line, lambda points: points @ [[a, b], [c, d]] + [e, f])
    assert isinstance(moved, shapely.LineString)
    return moved


def check(page: Page, shapes: str, names: str, leaders: str = "") -> set[str]:
    """Measure each name against each outline; return the names that show."""
    seen = page.evaluate(MEASURE, [shapes, names, leaders])
    areas = {name.partition(" : ")[0]: polygon(*drawn) for name, drawn in seen["shapes"]}
    boxes = {name: shapely.box(*box) for name, box in seen["names"]}
    led = [move_line(lines(path)[0], matrix) for path, matrix in seen["leaders"]]
    assert set(boxes) <= set(areas)
    for name, box in boxes.items():
        assert box.within(shapely.box(*seen["frame"]).buffer(TOUCH)), f"{name} is cut"
        own, near = box.distance(areas[name]), areas[name].buffer(TOUCH)
        ends = [shapely.Point(line.coords[-1]) for line in led if line.distance(box) <= TOUCH]
        assert own <= TOUCH or any(end.within(near) for end in ends), f"{name} is {own:.0f} pixels away"
        others = {other: area for other, area in areas.items() if other != name and not area.is_empty}
        assert not [other for other, area in others.items() if box.distance(area) < own], name
        assert not [c for c in seen["controls"] if box.intersects(shapely.box(*c))], f"{name} is covered"
    for (one, first), (other, second) in combinations(boxes.items(), 2):
        assert first.intersection(second).area == 0, f"{one} covers {other}"
    return set(boxes)


@pytest.mark.parametrize("width", WIDTHS)
def test_each_name_of_the_index_is_seen_to_be_of_its_district(
    browser: Browser, rich: Path, width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    Tab(page, rich).open("index")
    selectors = "#carte-territoire path.qpv", ".nom-qpv", "#carte-territoire path.rappel"
    assert check(page, *selectors) == {
        "Battant", "Clairs Soleil", "Hauts de Saint-Claude", "Montrapon", "Orchamps-Palente", "Planoise",
    }  # fmt: skip
    for number in range(3):
        page.get_by_role("button", name="Zoom avant").click()
        wait_for_map(page)
        if number == 1:
            page.focus("#carte-territoire")
            page.keyboard.press("ArrowLeft")
            wait_for_map(page)
        check(page, *selectors)
    page.close()


def test_a_name_without_room_gets_a_line_or_is_left_out(
    browser: Browser, settings: Settings, tmp_path: Path
) -> None:
    """Districts side by side, with names longer than they are."""
    frames = full_frames(settings)
    qpv = frames["qpv"]
    qpv["lib_qp"] = [f"Quartier du faubourg numéro {number}" for number in range(len(qpv))]
    center = shapely.Point(928_000, 6_687_000)
    qpv["geometry"] = [
        shapely.MultiPolygon([shapely.box(x, y, x + 300, y + 200)])
        for x, y in ((center.x + 320 * (n % 3), center.y + 220 * (n // 3)) for n in range(len(qpv)))
    ]
    page = browser.new_page(viewport={"width": 768, "height": 800})
    Tab(page, write(tmp_path, frames)).open("index")
    named = check(page, "#carte-territoire path.qpv", ".nom-qpv", "#carte-territoire path.rappel")
    assert len(named) >= 4
    page.close()


@pytest.mark.parametrize("width", [WIDTHS[0], WIDTHS[-1]])
@pytest.mark.parametrize("code", CODES)
def test_each_name_of_a_portraits_map_stands_on_its_district(
    browser: Browser, rich: Path, code: str, width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    Tab(page, rich).open(code)
    assert check(page, "svg.principale :is(path.qpv, path.voisin)", "svg.principale text.nom-qpv")
    page.close()
