"""Portraits and index in a real browser: drawn, usable by mouse and keys, accessible, printable, alone."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from pypdf import PdfReader

from qpv_geo.ingest.registry import Registry
from qpv_geo.settings import Settings
from tests.browsing import CODES, DESKTOP, FILES, PHONE, Tab, wait_for_map, write
from tests.pictures import look_the_same
from tests.portraying import full_frames
from tests.publishing import REGISTRY

# Points.
A4 = (595, 842)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("data"))


@pytest.fixture
def tab(browser: Browser, rich: Path) -> Iterator[Tab]:
    page = browser.new_page(viewport=DESKTOP, locale="fr-FR")
    yield Tab(page, rich)
    page.close()


@pytest.fixture
def phone(browser: Browser, rich: Path) -> Iterator[Tab]:
    page = browser.new_page(viewport=PHONE, locale="fr-FR", has_touch=True, device_scale_factor=2)
    yield Tab(page, rich)
    page.close()


def fills(page: Page) -> list[str]:
    """Colours of the QPV as they are drawn."""
    return page.eval_on_selector_all(
        "#carte-territoire path.qpv", "shapes => shapes.map(shape => getComputedStyle(shape).fill)"
    )


def column(page: Page, number: int) -> list[str]:
    return page.eval_on_selector_all(
        f"#quartiers tbody tr > :nth-child({number})", "cells => cells.map(cell => cell.dataset.tri)"
    )


# ---------------------------------------------------------------- alone and drawn


@pytest.mark.parametrize("stem", [*CODES, "index"])
@pytest.mark.parametrize("release", ["poor", "rich"])
def test_no_error_and_no_request(
    browser: Browser, request: pytest.FixtureRequest, release: str, stem: str
) -> None:
    page = browser.new_page(viewport=DESKTOP)
    tab = Tab(page, request.getfixturevalue(release))
    tab.open(stem).wait_for_load_state("networkidle")
    assert tab.console == []
    assert tab.requests == [page.url], "a page asks for nothing but itself"
    page.close()


def test_the_map_is_drawn(tab: Tab) -> None:
    page = tab.open("index")
    frame = page.locator("#carte-territoire").bounding_box()
    assert frame is not None
    assert page.locator("#carte-territoire path.commune").count() == 67
    shapes = page.locator("#carte-territoire path.qpv").all()
    assert len(shapes) == 6
    for shape in shapes:
        box = shape.bounding_box()
        assert box is not None
        assert box["width"] > 15
        assert box["height"] > 15
        assert frame["x"] <= box["x"] <= frame["x"] + frame["width"] - box["width"]
        assert frame["y"] <= box["y"] <= frame["y"] + frame["height"] - box["height"]
    names = page.locator(".nom-qpv").evaluate_all(
        "names => names.filter(name => name.style.visibility !== 'hidden').map(name => name.textContent)"
    )
    assert sorted(names) == [
        "Battant", "Clairs Soleil", "Hauts de Saint-Claude", "Montrapon", "Orchamps-Palente", "Planoise",
    ]  # fmt: skip


def test_no_name_covers_another(tab: Tab) -> None:
    page = tab.open("index")
    for button in ("#voir-tout", "#voir-qpv"):
        page.click(button)
        wait_for_map(page)
        boxes = page.locator(".nom-qpv, .nom-commune").evaluate_all(
            """names => names.filter(name => name.style.visibility !== 'hidden').map(name => {
                const box = name.getBoundingClientRect();
                return [box.left, box.top, box.right, box.bottom];
            })"""
        )
        assert len(boxes) >= 6
        for number, one in enumerate(boxes):
            for other in boxes[number + 1 :]:
                apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
                assert apart, (one, other)


@pytest.mark.parametrize("stem", ["QN02503M", "QN02517N"])
def test_a_portrait_has_its_drawings(tab: Tab, stem: str) -> None:
    page = tab.open(stem)
    for kind in ("qpv", "bande", "iris", "limite"):
        shape = page.locator(f".principale path.{kind}").first
        box = shape.bounding_box()
        assert box is not None
        assert box["width"] > 10
    bars = page.locator("svg.barres rect.fort").all()
    assert len(bars) > 10
    heights = page.locator("svg.barres").evaluate_all("charts => charts.map(chart => chart.clientHeight)")
    assert min(heights) > 40


@pytest.mark.parametrize("longer", [False, True], ids=["names", "long names"])
def test_no_text_of_a_chart_is_cut_off(tab: Tab, settings: Settings, tmp_path: Path, *, longer: bool) -> None:
    if longer:
        frames = full_frames(settings)
        frames["qpv"]["lib_qp"] += " et ses alentours immédiats"
        tab.folder = write(tmp_path, frames)
    cut = tab.open("QN02503M").evaluate(
        """() => [...document.querySelectorAll('svg.barres')].flatMap(chart => {
            const frame = chart.getBoundingClientRect();
            const seen = [...chart.querySelectorAll('text')].filter(text => text.checkVisibility());
            return seen.filter(text => {
                const box = text.getBoundingClientRect();
                return box.left < frame.left - 1 || box.right > frame.right + 1
                    || box.bottom > frame.bottom + 1;
            }).map(text => text.textContent);
        })"""
    )
    assert cut == []


# ---------------------------------------------------------------- mouse and keyboard


def test_an_indicator_changes_the_colours_and_the_legend(tab: Tab) -> None:
    page = tab.open("index")
    poverty = fills(page)
    # Classes of five points: 50, 55, 45, 49, 45 and 38 %.
    assert len(set(poverty)) == 4
    assert poverty[2] == poverty[3] == poverty[4]
    legend = page.locator("#legende .carre").evaluate_all(
        "signs => signs.map(sign => getComputedStyle(sign).backgroundColor)"
    )
    assert set(poverty) <= set(legend)
    assert "Taux de pauvreté" in page.inner_text("#legende")

    page.select_option("#indicateur", "part_familles_monoparentales")
    assert fills(page) != poverty
    assert "familles monoparentales" in page.inner_text("#legende")
    label = page.get_attribute("#carte-territoire path.qpv", "aria-label")
    assert label is not None
    assert label.startswith("Orchamps-Palente : ")

    page.select_option("#indicateur", "population_municipale")
    assert page.locator("#carte-territoire path.cercle").count() == 6
    assert len(set(fills(page))) == 1
    page.select_option("#indicateur", "taux_pauvrete_60")
    assert page.locator("#carte-territoire path.cercle").count() == 0
    assert fills(page) == poverty
    assert tab.console == []


def test_missing_values_are_hatched_with_their_reason(tab: Tab) -> None:
    page = tab.open("index")
    hatched = page.evaluate(
        """() => {
            const data = JSON.parse(document.getElementById('donnees').textContent).indicateurs;
            const secret = id => Object.values(data[id].valeurs).some(v => v.texte === 'secret statistique');
            return Object.keys(data).find(secret);
        }"""
    )
    page.select_option("#indicateur", hatched)
    assert 'url("#hachures")' in fills(page)
    assert "Sans valeur : " in page.inner_text("#legende")
    assert "secret statistique" in page.inner_text("#legende")


def test_a_click_leads_to_the_portrait_and_back(tab: Tab) -> None:
    page = tab.open("index")
    page.locator("#carte-territoire path.qpv").nth(1).click()
    page.wait_for_url("**/QN02503M.html")
    page.get_by_role("link", name="Carte et tableau : Grand Besançon Métropole").click()
    page.wait_for_url("**/index.html")
    page.locator("#quartiers").get_by_role("link", name="Battant", exact=True).click()
    page.wait_for_url("**/QN02517N.html")


def test_the_map_works_with_the_keyboard_alone(tab: Tab) -> None:
    page = tab.open("index")
    page.focus("#carte-territoire")
    before = page.locator("#carte-territoire path.qpv").first.bounding_box()
    page.keyboard.press("ArrowRight")
    wait_for_map(page)
    assert page.locator("#carte-territoire path.qpv").first.bounding_box() != before
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('qpv')"):
            break
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith(
        "Orchamps-Palente : 50,0"
    )
    assert "Orchamps-Palente" in page.inner_text(".bulle")
    page.keyboard.press("Enter")
    page.wait_for_url("**/QN02502M.html")


def test_zoom_pan_and_extents(tab: Tab) -> None:
    page = tab.open("index")
    shape = page.locator("#carte-territoire path.qpv").nth(1)

    def box() -> dict[str, float]:
        wait_for_map(page)
        found = shape.bounding_box()
        assert found is not None
        return dict(found)

    first = box()
    page.get_by_role("button", name="Zoom avant").click()
    assert box()["width"] > first["width"] * 1.2
    page.click("#voir-qpv")
    assert box()["width"] == pytest.approx(first["width"], rel=0.02)
    page.click("#voir-tout")
    assert box()["width"] < first["width"] / 2
    page.click("#voir-qpv")
    start = box()
    page.locator("#carte-territoire").scroll_into_view_if_needed()
    frame = page.locator("#carte-territoire").bounding_box()
    assert frame is not None
    start = box()
    page.mouse.move(frame["x"] + 300, frame["y"] + 200)
    page.mouse.down()
    page.mouse.move(frame["x"] + 220, frame["y"] + 180, steps=8)
    page.mouse.up()
    assert box()["x"] < start["x"] - 40


def test_small_qpv_are_shown_as_points(tab: Tab) -> None:
    page = tab.open("index")
    points = page.locator("#carte-territoire path.point")
    assert points.count() == 0
    page.click("#voir-tout")
    wait_for_map(page)
    assert 4 <= points.count() <= 6
    drawn = points.evaluate_all("points => points.map(point => getComputedStyle(point).fill)")
    assert set(drawn) <= set(fills(page))
    page.select_option("#indicateur", "population_municipale")
    assert points.count() == 0, "circles show a count"
    page.select_option("#indicateur", "taux_pauvrete_60")
    points.first.click()
    page.wait_for_url("**/QN025*.html")


def test_layers_can_be_shown_and_hidden(tab: Tab) -> None:
    page = tab.open("index")
    for name, kind in (
        ("Bande de 300 ou 500 m (TVA réduite)", "bande"),
        ("QPV 2015", "ancien"),
        ("IRIS", "iris"),
    ):
        box = page.get_by_label(name)
        box.check()
        assert page.locator(f"#carte-territoire path.{kind}").count() > 3
        box.uncheck()
        assert page.locator(f"#carte-territoire path.{kind}").count() == 0


def test_the_table_sorts_by_click_and_by_key(tab: Tab) -> None:
    page = tab.open("index")
    assert column(page, 1)[0] == "Battant"
    headings = page.locator("#quartiers thead th")
    population = headings.nth(4)
    population.get_by_role("button").click()
    values = [float(value) for value in column(page, 5)]
    assert values == sorted(values) == [1211, 1502, 1636, 2481, 3194, 15603]
    assert population.get_attribute("aria-sort") == "ascending"
    assert headings.first.get_attribute("aria-sort") is None
    population.get_by_role("button").press("Enter")
    assert column(page, 1)[0] == "Planoise"
    assert population.get_attribute("aria-sort") == "descending"
    headings.first.get_by_role("button").press("Enter")
    names = column(page, 1)
    assert all(low < high for low, high in pairwise(names))
    incomplete = page.evaluate(
        """() => 1 + [...document.querySelector('#quartiers tbody').rows[0].cells].findIndex((_, number) =>
            [...document.querySelectorAll(`#quartiers tbody tr > :nth-child(${number + 1})`)]
                .some(cell => !cell.dataset.tri))"""
    )
    for _ in range(2):
        headings.nth(incomplete - 1).get_by_role("button").click()
        assert column(page, incomplete)[-1] == "", "without a value: last, whatever the order"


def test_the_five_figures_sort_the_qpv(tab: Tab) -> None:
    page = tab.open("index")
    names = "rows => rows.map(row => row.cells[0].dataset.tri)"
    page.click("#synthese thead th:nth-child(2) button")
    page.click("#synthese thead th:nth-child(2) button")
    assert page.eval_on_selector_all("#synthese tbody tr", names)[:3] == [
        "Planoise", "Orchamps-Palente", "Battant",
    ]  # fmt: skip
    assert page.locator("#synthese tfoot tr").first.inner_text().startswith("Les 6 QPV ensemble")


def test_downloads_lead_to_files(tab: Tab) -> None:
    page = tab.open("index")
    links = page.locator("#fichiers ~ .fichiers a").evaluate_all("links => links.map(link => link.href)")
    files = [Path(unquote(link.removeprefix("file://"))) for link in links]
    health = [
        tab.folder / "portraits" / f"sante{page}.html" for page in ("", "_methode", *map("_".__add__, CODES))
    ]
    assert sorted(files) == sorted(
        [*health, *(tab.folder / name for name in (*FILES, "catalogue.jsonld", "datapackage.json"))]
    )


# ---------------------------------------------------------------- for everybody


def test_a_portrait_begins_as_the_guide_shows(browser: Browser, poor: Path, tmp_path: Path) -> None:
    page = browser.new_page(viewport={"width": 1000, "height": 780})
    Tab(page, poor).open("QN02503M").screenshot(path=tmp_path / "portrait.png")
    page.close()
    assert look_the_same(tmp_path / "portrait.png", "portrait.png")


def violations(page: Page, only: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    """Return what axe finds, with all details open."""
    page.evaluate("for (const more of document.querySelectorAll('details')) { more.open = true }")
    # What passes is not told, or most of the time goes into telling it.
    found = Axe().run(page, options={"runOnly": only, "resultTypes": ["violations"]}).response["violations"]
    return [
        (rule["id"], rule["impact"], [node["html"][:200] for node in rule["nodes"][:3]]) for rule in found
    ]


@pytest.mark.parametrize(
    ("release", "stem", "viewport"),
    [
        ("poor", "index", PHONE),
        ("poor", "QN02502M", DESKTOP),
        ("rich", "index", DESKTOP),
        ("rich", "QN02502M", PHONE),
        ("rich", "QN02503M", DESKTOP),
        ("rich", "sante_QN02503M", PHONE),
        ("rich", "sante", DESKTOP),
    ],
)
def test_axe_finds_nothing(
    browser: Browser, request: pytest.FixtureRequest, release: str, stem: str, viewport: dict[str, int]
) -> None:
    page = browser.new_page(viewport=viewport)
    Tab(page, request.getfixturevalue(release)).open(stem)
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    assert violations(page, {"type": "tag", "values": tags}) == []
    page.close()


@pytest.mark.parametrize("stem", ["index", "QN02502M", "sante_QN02503M"])
def test_dark_pages_have_enough_contrast(browser: Browser, rich: Path, stem: str) -> None:
    page = browser.new_page(color_scheme="dark")
    Tab(page, rich).open(stem)
    assert violations(page, {"type": "rule", "values": ["color-contrast"]}) == []
    page.close()


def test_a_dark_page_keeps_its_drawings_on_white(browser: Browser, rich: Path) -> None:
    page = browser.new_page(color_scheme="dark")
    Tab(page, rich).open("QN02503M")
    back = "element => getComputedStyle(element).backgroundColor"
    assert page.locator("html").evaluate(back) == "rgb(20, 24, 31)"
    for drawing in (".ruban", ".barres", ".legende svg"):
        assert page.locator(drawing).first.evaluate(back) == "rgb(255, 255, 255)", drawing
    page.close()


@pytest.mark.parametrize("stem", ["index", *CODES, "sante_QN02503M", "sante", "sante_methode"])
def test_a_phone_scrolls_in_one_direction(phone: Tab, stem: str) -> None:
    page = phone.open(stem)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    small = page.evaluate(
        """() => {
            const speaks = node => node.nodeType === Node.TEXT_NODE && node.textContent.trim();
            return [...document.querySelectorAll('main *')].filter(element =>
                [...element.childNodes].some(speaks) && element.checkVisibility()
                && !element.closest('svg, .masque') && parseFloat(getComputedStyle(element).fontSize) < 11
            ).map(element => element.outerHTML.slice(0, 80));
        }"""
    )
    assert small == []
    assert phone.console == []


def test_a_phone_shows_figures_beside_the_names(browser: Browser, rich: Path) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844}, locale="fr-FR")
    Tab(page, rich).open("index")
    row = page.locator("#quartiers tbody tr", has_text="Planoise")
    assert "QN02503M" in row.locator("th").inner_text()
    box = page.locator("#quartiers").locator("..").bounding_box()
    assert box
    cells = [cell.bounding_box() for cell in row.locator("td:visible").all()]
    seen = [cell for cell in cells if cell and cell["x"] + cell["width"] <= box["x"] + box["width"] + 8]
    assert len(seen) >= 2
    page.locator("#quartiers").locator("..").evaluate("element => { element.scrollLeft = 400 }")
    name = row.locator("th").bounding_box()
    assert name
    assert name["x"] == pytest.approx(box["x"], abs=1), "names stay"
    page.close()


def test_without_javascript_a_fixed_map_and_the_table_remain(browser: Browser, poor: Path) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto((poor / "portraits" / "index.html").as_uri())
    shapes = page.locator(".fixes path.qpv").all()
    assert len(shapes) == 6
    assert all((box := shape.bounding_box()) and box["width"] > 5 for shape in shapes)
    assert "Carte fixe" in page.inner_text("main")
    assert not page.locator("#carte-territoire, .commandes, #recherche").locator("visible=true").count()
    for table in ("#synthese", "#quartiers"):
        assert page.locator(table).get_by_role("link", name="Planoise").is_visible()
    page.close()


# ---------------------------------------------------------------- on paper


def printed(page: Page, folder: Path) -> PdfReader:
    path = folder / "portrait.pdf"
    page.pdf(path=path, prefer_css_page_size=True)
    return PdfReader(path)


@pytest.mark.parametrize(("release", "stem"), [("poor", "QN02503M"), *(("rich", code) for code in CODES[:2])])
def test_a_portrait_prints_on_three_sheets_of_which_the_first_is_whole(
    browser: Browser, request: pytest.FixtureRequest, tmp_path: Path, release: str, stem: str
) -> None:
    page = browser.new_page(viewport=DESKTOP)
    Tab(page, request.getfixturevalue(release)).open(stem)
    sheets = printed(page, tmp_path).pages
    assert len(sheets) == 3
    first = " ".join(sheets[0].extract_text().split())
    for words in (
        "essentiel",
        "Moins de 25 ans",
        "Le Contrat de ville 2024-2030",
    ):
        assert words in first
    assert all((round(sheet.mediabox.width), round(sheet.mediabox.height)) == A4 for sheet in sheets)
    text = " ".join(" ".join(sheet.extract_text() for sheet in sheets).split())
    for title in (
        "Le Contrat de ville 2024-2030", "Population et ménages", "Revenus et pauvreté",
        "Emploi et activité économique", "Éducation", "Logement", "Santé et droits", "Sources",
    ):  # fmt: skip
        assert title in text
    assert stem in text
    assert "engage pas leurs producteurs" in text
    if release == "poor":
        charted = "Part des résidences principales parmi les logements"
        assert text.count(charted) == 2, "spare room goes to charts, below the tables"
    page.close()


@pytest.mark.parametrize(
    ("release", "stem", "count"),
    [
        ("poor", "sante_QN02503M", 2),
        *(("rich", f"sante_{code}", 2) for code in CODES[:2]),
        ("rich", "sante", 1),
    ],
)
def test_health_pages_print_on_whole_sheets(
    browser: Browser, request: pytest.FixtureRequest, tmp_path: Path, release: str, stem: str, count: int
) -> None:
    tab = Tab(browser.new_page(viewport=DESKTOP), request.getfixturevalue(release))
    sheets = [" ".join(sheet.extract_text().split()) for sheet in printed(tab.open(stem), tmp_path).pages]
    assert len(sheets) == count
    assert tab.console == []
    assert len(tab.requests) == 1
    if count == 2:
        text = " ".join(sheets)
        for words in ("ces chiffres ne sont pas ceux du quartier", "Ce qui est près", "Sources"):
            assert words in text
    assert "engage pas leurs producteurs" in sheets[-1]
    tab.page.close()


def test_the_heaviest_portrait_prints_on_three_sheets(
    browser: Browser, settings: Settings, tmp_path: Path
) -> None:
    """Long labels, a theme more, values missing everywhere, thrice as many facilities."""
    frames = full_frames(settings)
    long = tuple(
        i.model_copy(update={"label": f"{i.label}, y compris ce que la source ne distingue pas autrement"})
        for i in REGISTRY.indicators
    )
    extra = tuple(
        i.model_copy(update={"theme": "Numérique"}) if i.theme == "Nationalité" else i for i in long
    )
    facilities = frames["equipements"]
    copies = [facilities.assign(libelle=facilities["libelle"] + f" ({number})") for number in range(3)]
    copies = [copy.assign(type_equipement=copy["type_equipement"] + str(n)) for n, copy in enumerate(copies)]
    statistics = frames["statistiques"].copy()
    gone = (statistics["zone"] == "ensemble_qpv") | (statistics["zone"] == "departement")
    statistics.loc[gone, ["valeur", "statut"]] = [float("nan"), "non_significatif"]
    frames |= {"equipements": pd.concat(copies, ignore_index=True), "statistiques": statistics}
    folder = write(tmp_path, frames, Registry.model_construct(indicators=extra))
    for stem in CODES:
        page = browser.new_page(viewport=DESKTOP)
        Tab(page, folder).open(stem)
        sheets = printed(page, tmp_path).pages
        assert len(sheets) == 3
        text = " ".join(sheets[2].extract_text().split())
        assert "Part des étrangers dans la population, y compris ce que la source" in text, (
            "a row of each theme"
        )
        assert "engage pas leurs producteurs" in text
        page.close()


def test_more_than_three_sheets_lose_nothing(browser: Browser, rich: Path, tmp_path: Path) -> None:
    page = Tab(browser.new_page(viewport=DESKTOP, bypass_csp=True), rich).open("QN02503M")
    page.add_style_tag(content="@media print { .objectifs { height: 250mm } }")
    sheets = [" ".join(sheet.extract_text().split()) for sheet in printed(page, tmp_path).pages]
    assert len(sheets) > 3
    text = " ".join(sheets)
    for words in ("essentiel", "Revenus et pauvreté", "Emploi et activité", "engage pas leurs producteurs"):
        assert words in text


def test_the_index_prints_its_map_and_its_table(tab: Tab, tmp_path: Path) -> None:
    page = tab.open("index")
    titles = page.eval_on_selector_all(
        "#quartiers thead button", "buttons => buttons.map(button => button.firstChild.data.trim())"
    )
    sheets = printed(page, tmp_path).pages
    assert len(sheets) == 2
    first, text = (" ".join(sheet.extract_text().split()) for sheet in sheets)
    assert "45 % à moins de 50 %" in first
    assert "197 061 habitants" in first.replace("\u202f", " ")
    assert all(code in text for code in CODES)
    assert len(titles) > 20
    assert [title for title in titles[3:] if " ".join(title.split()) not in text] == []
    page.emulate_media(media="print")
    assert page.locator("button:visible, select:visible, input:visible").count() == 0
    assert page.locator(".fichiers:visible").count() == 0, "nobody opens a file from paper"
    page.emulate_media(media="screen")
    assert tab.page.evaluate("document.body.className") == "index", "the screen has its map again"


# ---------------------------------------------------------------- what upstream must not do


def test_a_hostile_name_runs_nothing(browser: Browser, settings: Settings, tmp_path: Path) -> None:
    hostile = "</script><script>window.pris = 1</script><img src=x onerror='window.pris = 1'>"
    frames = full_frames(settings)
    for layer, name in (
        ("qpv", "lib_qp"),
        ("communes", "nom_com"),
        ("iris", "nom_iris"),
        ("epci", "nom_epci"),
    ):
        frames[layer] = frames[layer].assign(**{name: hostile})
    tab = Tab(browser.new_page(viewport=DESKTOP), write(tmp_path, frames))
    for stem in ("index", "QN02503M"):
        page = tab.open(stem)
        if stem == "index":
            page.locator("#carte-territoire path.qpv").first.hover()
            page.locator("#carte-territoire path.commune").first.hover(force=True)
        assert page.evaluate("window.pris") is None
        assert page.locator("img").count() == 0
        assert "<script>window.pris" in page.inner_text("main")
    assert tab.console == []
    assert len(tab.requests) == 2
    tab.page.close()
