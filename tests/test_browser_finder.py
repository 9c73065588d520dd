"""The search for an address on the index, in a real browser: it answers as ``qpv-geo locate`` does."""

import json
from collections.abc import Iterator
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pyproj
import pytest
import shapely
from playwright.sync_api import Browser, Page, Route

from qpv_geo.locate.answers import Answer
from qpv_geo.locate.locator import Locator
from qpv_geo.pipeline.one import Outcome
from qpv_geo.portraits.finder import fit_projection
from qpv_geo.releases.release import Release
from qpv_geo.sources.geocoder import SEARCH
from qpv_geo.territory import load_territory
from tests.browsing import DESKTOP, Tab

POINTS = 6000
ANSWERS = [answer.name.lower() for answer in Answer]
PLANOISE = (925_023.0, 6_684_345.0)


@pytest.fixture(scope="module")
def release(refreshed: Outcome) -> Release:
    return refreshed.release


@pytest.fixture
def page(browser: Browser, release: Release) -> Iterator[Page]:
    page = browser.new_page(viewport=DESKTOP, locale="fr-FR")
    yield Tab(page, release.path).open("index")
    page.close()


def limits_of(release: Release) -> tuple[gpd.GeoDataFrame, gpd.GeoSeries, shapely.Geometry]:
    """Return the QPV that a release knows with the width of their bands, its bands, its known ground."""
    (package,) = release.path.glob("*.gpkg")
    layers = pyogrio.list_layers(package)[:, 0]
    qpv, communes, bands = (gpd.read_file(package, layer=name) for name in ("qpv", "communes", "bande_300m"))
    qpv["width"] = qpv["code_qp"].map(bands.set_index("code_qp")["distance_m"])
    ground = communes.union_all()
    if "qpv_voisins" in layers:
        others = gpd.read_file(package, layer="qpv_voisins")
        qpv = pd.concat([qpv, others.assign(width=others["largeur_bande_m"])], ignore_index=True)
        ground = ground.buffer(9_800)
    return qpv, bands.geometry, ground


def hard_points(release: Release) -> np.ndarray:
    """Return points everywhere, and most of them beside what decides: contours, bands, the known ground."""
    rng = np.random.default_rng(1)
    qpv, bands, ground = limits_of(release)
    limits = shapely.get_parts([*qpv.boundary, *bands.boundary, ground.boundary])
    chosen = rng.choice(limits, POINTS * 2 // 3)
    along = shapely.line_interpolate_point(chosen, rng.random(len(chosen)), normalized=True)
    away = rng.normal(size=(len(chosen), 2)) * rng.choice([1e-4, 0.01, 0.1, 2, 40, 400], (len(chosen), 1))
    west, south, east, north = ground.bounds
    spread = rng.uniform([west - 3e3, south - 3e3], [east + 3e3, north + 3e3], (POINTS // 3, 2))
    vertices = shapely.get_coordinates(qpv.geometry)[:200]
    return np.vstack([shapely.get_coordinates(along) + away, vertices, spread])


def undecided(release: Release, points: np.ndarray, radius: np.ndarray, tolerance: float) -> np.ndarray:
    """Tell where an answer hangs on less than twice the tolerance."""
    qpv, _, ground = limits_of(release)
    at = shapely.points(points)[:, None]
    shapes = qpv.geometry.to_numpy()
    away = shapely.distance(at, shapely.boundary(shapes)) * np.where(shapely.intersects(at, shapes), -1, 1)
    margin = (away - qpv["width"].to_numpy()).min(axis=1)
    inside = shapely.distance(at[:, 0], ground.boundary)
    hangs = [away.min(axis=1), margin, inside, inside - qpv["width"].max()]
    found: np.ndarray = (np.abs(np.abs(hangs) - radius) <= 2 * tolerance).any(axis=0)
    return found


def ask(page: Page, points: np.ndarray, radius: np.ndarray, *, degrees: bool) -> list[dict[str, Any] | None]:
    question = [points.tolist(), radius.tolist(), degrees]
    answers: list[dict[str, Any] | None] = page.evaluate(
        """([points, radius, degrees]) => points.map((point, n) => {
            const at = degrees ? qpvGeo.versMetres(...point) : point;
            return at && qpvGeo.repondre(...at, radius[n]);
        })""",
        question,
    )
    return answers


@pytest.mark.parametrize("degrees", [False, True], ids=["metres", "degrees"])
@pytest.mark.parametrize("precise", [True, False], ids=["exact", "imprecise"])
@pytest.mark.parametrize("kind", ["besancon", "villeneuve"])
def test_the_page_answers_as_the_command(
    browser: Browser, request: pytest.FixtureRequest, kind: str, *, precise: bool, degrees: bool
) -> None:
    """It may say that it cannot tell where its rounded outlines cannot; it never says the contrary."""
    release, territory = (
        (request.getfixturevalue("release"), load_territory("besancon"))
        if kind == "besancon"
        else request.getfixturevalue("villeneuve")
    )
    points = hard_points(release)
    radius = (
        np.zeros(len(points))
        if precise
        else np.random.default_rng(2).choice([0.5, 20, 50, 300, 1e3], len(points))
    )
    asked = points
    if degrees:
        to_degrees = pyproj.Transformer.from_crs(territory.epsg, 4326, always_xy=True)
        asked = np.column_stack(to_degrees.transform(*points.T))
    locator = Locator.of_release(release, territory, points_crs=4326 if degrees else territory.epsg)
    located = locator.locate(*asked.T, None if precise else radius)
    table = locator.table(located).to_pylist()

    page = browser.new_page()
    Tab(page, release.path).open("index")
    tolerance = json.loads(page.text_content("#points") or "")["tolerance"]
    answers = ask(page, asked, radius, degrees=degrees)
    page.close()
    assert tolerance <= 0.02
    hangs, told = undecided(release, points, radius, tolerance), set()
    for row, answer, wrong, close in zip(table, answers, radius, hangs, strict=True):
        if answer is None:  # far from the territory
            assert row["en_qpv"] == row["bande_tva"] == "incertain"
            continue
        told.add((answer["en_qpv"], answer["bande"]))
        for ours, theirs in ((answer["en_qpv"], row["en_qpv"]), (answer["bande"], row["bande_tva"])):
            assert ours == theirs or (close and ours == "incertain"), (row, answer)
        if answer["en_qpv"] == "oui":
            assert answer["proche"]["code"] == row["code_qp"]
        if row["distance_m"] is not None:
            assert answer["distance"] == pytest.approx(row["distance_m"], abs=tolerance + 0.006)
            if answer["bande"] == "oui":
                assert answer["largeur"] == row["largeur_bande_m"]
        elif wrong < 1e3:
            assert answer["distance"] > 1000 - tolerance
    assert {("oui", "oui"), ("non", "oui"), ("non", "non"), ("incertain", "incertain")} <= told


@pytest.mark.parametrize("epsg", [2154, 2972, 2975, 4467, 4471, 5490])
def test_each_projection_is_fitted_to_less_than_a_millimetre(epsg: int) -> None:
    west, south, east, north = pyproj.CRS.from_epsg(epsg).area_of_use.bounds
    to_metres = pyproj.Transformer.from_crs(4326, epsg, always_xy=True)
    x, y = to_metres.transform((west + east) / 2, (south + north) / 2)
    fitted, error = fit_projection(epsg, (x - 1e5, y - 1e5, x + 1e5, y + 1e5))
    assert 0 < error < 1e-3
    assert len(json.dumps(fitted)) < 3000


@pytest.mark.parametrize(
    "text",
    [
        "5.9712 47.2378",
        "47.2378, 5.9712",
        "47,2378 5,9712",
        "47,2378 ; 5,9712",
        "47.2378,5.9712",
        "47.2378°N 5.9712°E",
        "925000 6687000",
        "6687000 ; 925000",
        "925000,6687000",
        "925000.0, 6687000.0",
    ],
)
def test_coordinates_are_read_as_people_write_them(page: Page, text: str) -> None:
    x, y = page.evaluate("qpvGeo.lire", text)
    assert (x, y) == pytest.approx((925_000, 6_687_000), abs=1500)


@pytest.mark.parametrize(
    "text", ["", "47.2", "4 rue de la Pouponnière", "1 2 3", "5.97 O, 47.2 N", "abc, def"]
)
def test_what_is_not_two_numbers_is_said_to_be_none(page: Page, text: str) -> None:
    page.fill("#lieu", text)
    page.press("#lieu", "Enter")
    assert "Ce ne sont pas deux nombres" in page.inner_text("#reponse")


def test_pasted_coordinates_and_clicks_are_answered_without_network(
    browser: Browser, release: Release
) -> None:
    tab = Tab(browser.new_page(viewport=DESKTOP), release.path)
    page = tab.open("index")
    page.get_by_label("Coordonnées ou adresse").fill("{:.0f} {:.0f}".format(*PLANOISE))
    page.get_by_role("button", name="Situer ces coordonnées").click()
    answer = page.inner_text("#reponse")
    assert "Oui : ce point est dans le QPV Planoise (QN02503M), à " in answer.replace("\u00a0", " ")
    assert "bande de 500 m" in answer.replace("\u00a0", " ")
    assert page.locator("#carte-territoire path.trouve").count() == 1
    page.fill("#lieu", "10 10")
    page.press("#lieu", "Enter")
    assert page.inner_text("#reponse").startswith("Incertain")

    page.get_by_role("button", name="Cliquer sur la carte").click()
    page.locator("#carte-territoire path.qpv").nth(1).click()
    assert "Oui : ce point est dans le QPV Planoise" in page.inner_text("#reponse").replace("\u00a0", " ")
    assert "précision ± " in page.inner_text("#reponse").replace("\u00a0", " ")
    assert page.url.endswith("index.html")
    page.get_by_role("button", name="Cliquer sur la carte").click()
    page.locator("#carte-territoire path.qpv").nth(1).click()
    page.wait_for_url("**/QN02503M.html")
    assert tab.console == []
    assert all(url.startswith("file:") for url in tab.requests)
    page.close()


def geocoded(kind: str, score: float, name: str = "4 Rue de Picardie 25000 Besançon") -> dict[str, Any]:
    lon, lat = pyproj.Transformer.from_crs(2154, 4326, always_xy=True).transform(*PLANOISE)
    return {
        "geometry": {"type": "Point", "coordinates": [lon, lat]},
        "properties": {"label": name, "score": score, "type": kind},
    }


@pytest.mark.parametrize(
    ("kind", "score", "answer", "precision"),
    [
        ("housenumber", 0.97, "Oui", "± 20 m"),
        ("housenumber", 0.6, "Incertain", "inconnue"),
        ("municipality", 0.97, "Incertain", "± 20\u202f000 m"),
        ("kangaroo", 0.97, "Incertain", "inconnue"),
    ],
)
def test_an_address_is_sent_only_when_asked_and_judged_by_its_precision(
    page: Page, kind: str, score: float, answer: str, precision: str
) -> None:
    sent: list[str] = []

    def serve(route: Route) -> None:
        sent.append(route.request.url)
        features = [geocoded(kind, score), geocoded("housenumber", 0.9, "<img src=x> autre")]
        route.fulfill(json={"features": features}, headers={"Access-Control-Allow-Origin": "*"})

    page.route(f"{SEARCH}*", serve)
    page.fill("#lieu", "4 rue de Picardie, Besançon")
    assert sent == []
    page.click("#geocoder")
    page.wait_for_selector("#reponse strong")
    assert sent == [f"{SEARCH}?limit=4&q=4%20rue%20de%20Picardie%2C%20Besan%C3%A7on"]
    said = page.inner_text("#reponse").replace("\u00a0", " ")
    assert said.startswith(answer)
    assert f"précision {precision}" in said
    assert "4 Rue de Picardie 25000 Besançon" in said
    page.get_by_role("button", name="<img src=x> autre").click()
    assert page.inner_text("#reponse").startswith("Oui")
    assert page.locator("#reponse img").count() == 0


def test_a_geocoder_that_fails_is_said_to_fail(page: Page) -> None:
    page.route(f"{SEARCH}*", lambda route: route.abort())
    page.fill("#lieu", "4 rue de Picardie, Besançon")
    page.click("#geocoder")
    page.locator("#reponse", has_text="pas répondu").wait_for()
