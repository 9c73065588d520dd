"""What pages offer around their figures: ways to and fro, data, words, cards, a closed door."""

import csv
import io
import re
import struct
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from qpv_geo.formats.csv import DECIMAL, SEPARATOR
from qpv_geo.portraits.pages import glossary
from qpv_geo.portraits.territory_map import quintiles, round_values
from qpv_geo.releases.release import Release
from qpv_geo.statuses import ABSENCES, STATUSES
from qpv_geo.templates import secured
from tests.browsing import DESKTOP, Tab

# By name, as the table is sorted.
NAMES = ["Battant", "Clairs Soleil", "Hauts de Saint-Claude", "Montrapon", "Orchamps-Palente", "Planoise"]


@pytest.fixture
def tab(browser: Browser, rich: Path) -> Tab:
    return Tab(browser.new_page(viewport=DESKTOP, locale="fr-FR"), rich)


# ---------------------------------------------------------------- to and fro


def test_portraits_follow_one_another(tab: Tab) -> None:
    page = tab.open("index")
    page.locator("#quartiers").get_by_role("link", name=NAMES[0], exact=True).click()
    titles = [page.inner_text("h1")]
    assert page.locator("a[rel=prev]").count() == 0
    while page.locator("a[rel=next]").count():
        assert NAMES[len(titles)] in page.inner_text("a[rel=next]")
        page.click("a[rel=next]")
        page.wait_for_function("name => document.querySelector('h1').textContent !== name", arg=titles[-1])
        titles.append(page.inner_text("h1"))
        assert titles[-2] in page.inner_text("a[rel=prev]")
    assert titles == NAMES
    assert tab.console == []


@pytest.mark.parametrize("stem", ["index", "QN02503M"])
def test_each_heading_is_listed_and_reached(tab: Tab, stem: str) -> None:
    page = tab.open(stem)
    headings = page.locator("main h2[id]").evaluate_all("all => all.map(one => [one.id, one.textContent])")
    links = page.locator(".sommaire a").evaluate_all(
        "all => all.map(one => [one.hash.slice(1), one.textContent])"
    )
    assert links == headings
    assert len(links) > 5
    page.click(".sommaire a[href='#lexique']")
    assert page.locator("#lexique ~ details dl").is_visible()
    assert page.locator("#lexique").is_visible()


def test_print_is_a_button(tab: Tab) -> None:
    for stem in ("index", "QN02503M"):
        page = tab.open(stem)
        page.evaluate("window.print = () => { window.printed = true }")
        page.get_by_role("button", name="Imprimer").click()
        assert page.evaluate("window.printed")


def test_the_figures_of_a_district_are_a_file_for_a_spreadsheet(tab: Tab) -> None:
    page = tab.open("QN02503M")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Chiffres de ce quartier (CSV)").click()
    assert waiting.value.suggested_filename == "QN02503M.csv"
    text = Path(waiting.value.path()).read_bytes().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=SEPARATOR))
    poverty = [row for row in rows if row["indicateur"] == "taux_pauvrete_60"]
    assert [(row["valeur"], row["millesime"], row["statut"]) for row in poverty] == [("55", "2021", "ok")]
    (families,) = (row for row in rows if row["indicateur"] == "part_familles_monoparentales")
    assert families["valeur"] == f"38{DECIMAL}4"
    assert [families["borne_basse"], families["borne_haute"]] == [f"36{DECIMAL}9", f"39{DECIMAL}8"]
    assert all(row["libelle"] and row["source"] for row in rows)
    missing = [row for row in rows if row["statut"] in ABSENCES]
    assert missing
    assert not [row for row in missing if row["valeur"]]


# ---------------------------------------------------------------- words


def test_the_glossary_has_the_words_that_people_ask_about() -> None:
    terms = {term.term: term.meaning for term in glossary()}
    assert {"Seuil de pauvreté", "Secret statistique", "Précision insuffisante", "\N{EN DASH}"} <= set(terms)
    words = [STATUSES[code].words for code in ABSENCES]
    assert set(words) <= {term.lower() for term in terms}
    assert all(meaning.endswith(".") for meaning in terms.values())


# ---------------------------------------------------------------- the map of the index


def options(page: Page) -> list[str]:
    return page.locator("#indicateur option").all_text_contents()


def test_indicators_are_found_by_a_part_of_their_name(tab: Tab) -> None:
    page = tab.open("index")
    every = options(page)
    page.get_by_label("Chercher parmi les indicateurs").fill("MONOPARENTALES part")
    assert 0 < len(options(page)) < len(every)
    assert all("monoparentales" in label for label in options(page))
    assert page.inner_text("#legende p") == options(page)[0]
    page.fill("#filtre", "education")
    assert len(options(page)) > 1, "by theme, without its accents"
    page.fill("#filtre", "zzz")
    assert options(page) == []
    assert page.get_attribute("#filtre", "aria-invalid") == "true"
    page.fill("#filtre", "")
    assert options(page) == every
    assert tab.console == []


def test_each_legend_says_its_method_and_is_round(tab: Tab) -> None:
    page = tab.open("index")
    assert "cinq points" in page.inner_text("#legende small")
    page.select_option("#indicateur", "population_municipale")
    assert "proportionnelle" in page.inner_text("#legende small")
    assert page.locator("#legende li").all_text_contents()[0].startswith("10\u202f000")
    page.select_option("#indicateur", "part_familles_monoparentales")
    assert "quintiles" in page.inner_text("#legende small")


@pytest.mark.parametrize(
    ("largest", "shown"),
    [(15_603, [10_000, 2_000, 500]), (9, [5, 1]), (1, [1]), (21, [20, 5, 1]), (2_481, [2_000, 500, 100])],
)
def test_circles_of_the_legend_are_round_and_to_scale(largest: float, shown: list[float]) -> None:
    assert round_values(largest) == shown


def test_bounds_of_quintiles_have_two_digits() -> None:
    assert all(float(f"{bound:.2g}") == bound for bound in quintiles([1211, 1502, 1636, 2481, 3194, 15603]))


def test_forced_colours_leave_the_legend_its_own(browser: Browser, rich: Path) -> None:
    tab = Tab(browser.new_page(viewport=DESKTOP, forced_colors="active"), rich)
    signs = tab.open("index").locator("#legende .carre")
    drawn = signs.evaluate_all("all => all.map(sign => getComputedStyle(sign).backgroundColor)")
    assert len(set(drawn)) == len(drawn)


# ---------------------------------------------------------------- what others show of a page


def test_a_shared_link_has_a_title_a_sentence_and_a_picture(tab: Tab) -> None:
    page = tab.open("QN02503M")
    meta = page.locator("meta[property]").evaluate_all(
        "all => Object.fromEntries(all.map(one => [one.getAttribute('property'), one.content]))"
    )
    assert meta["og:title"].startswith("Planoise (QN02503M)")
    assert "Besançon" in meta["og:description"]
    assert "og:image" not in meta, "this folder has no pictures"
    assert meta["og:locale"] == "fr_FR"


def test_the_picture_of_a_card_is_beside_the_page(offline: Release) -> None:
    for path in (offline.path / "portraits").glob("*.html"):
        page = path.read_text(encoding="utf-8")
        (name,) = re.findall(r'<meta property="og:image" content="([^"]+)">', page)
        # Health pages have the picture of their QPV, those of the territory that of the index.
        owner = re.fullmatch(r"(?:sante_)?(QN\w+)", path.stem)
        assert name == f"{owner[1] if owner else 'index'}.png"
        header = (path.parent / name).read_bytes()[:24]
        assert struct.unpack(">II", header[16:]) == (1200, 630)


# ---------------------------------------------------------------- the closed door


def test_a_page_runs_and_loads_nothing_that_is_not_its_own(tab: Tab) -> None:
    failures: list[str | None] = []
    tab.page.on("requestfailed", lambda request: failures.append(request.failure))
    for stem in ("index", "QN02503M"):
        page = tab.open(stem)
        page.evaluate(
            """() => {
                const script = document.createElement('script');
                script.textContent = 'window.entered = 1';
                const style = document.createElement('style');
                style.textContent = 'h1 { color: rgb(1, 2, 3) }';
                const image = document.createElement('img');
                image.src = 'https://example.org/pixel.png';
                document.body.append(script, style, image);
                const trap = '<p onclick="window.entered = 2" id=trap>x</p>';
                document.body.insertAdjacentHTML('beforeend', trap);
                document.getElementById('trap').click();
            }"""
        )
        assert page.evaluate("window.entered") is None
        assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") != "rgb(1, 2, 3)"
        reached = page.evaluate("fetch('https://example.org').then(() => true, () => false)")
        assert not reached
    others = [url for url in tab.requests if not url.startswith("file:")]
    assert failures == ["csp"] * len(others)


def test_only_the_index_may_ask_and_only_the_geocoder(rich: Path) -> None:
    policies = {}
    for path in (rich / "portraits").glob("*.html"):
        (policies[path.stem],) = re.findall(
            r'<meta http-equiv="Content-Security-Policy" content="([^"]+)">', path.read_text(encoding="utf-8")
        )
    assert "connect-src https://data.geopf.fr;" in policies.pop("index")
    assert policies
    for policy in policies.values():
        assert "connect-src 'none';" in policy
        assert "default-src 'none';" in policy
        assert "unsafe" not in policy


def test_the_policy_names_each_inline_part_by_its_hash() -> None:
    page = secured('<meta charset="utf-8"><style>a</style><script>b</script><script type="x">c</script>')
    assert "style-src 'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs='" in page
    assert "script-src 'sha256-PiPoFgA5WUoziU9lZOGxNIu9egCI1CxKy3PurtWcAJ0=';" in page


# ---------------------------------------------------------------- the report


@pytest.mark.parametrize("width", [320, 1280])
def test_the_report_is_one_screen_and_then_details(browser: Browser, offline: Release, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto((offline.path / "rapport.html").as_uri())
    heading = page.locator("#details").bounding_box()
    assert heading
    assert heading["y"] < (900 if width > 1000 else 2000)
    for folded in (True, False):
        assert page.evaluate("document.documentElement.scrollWidth") == width
        rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        options = {"runOnly": {"type": "tag", "values": rules}, "resultTypes": ["violations"]}
        found = Axe().run(page, options=options).response["violations"]
        assert [(rule["id"], [node["html"][:150] for node in rule["nodes"][:3]]) for rule in found] == []
        if folded:
            page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")
    assert page.locator("table:visible").count() >= 5
    assert said == []
    page.close()
