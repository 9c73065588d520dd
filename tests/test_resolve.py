import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.errors import ConfigurationError, SourceContentError
from qpv_geo.sources.catalogue import Catalogue, Source, load_catalogue
from qpv_geo.sources.resolve import (
    Link,
    choose,
    expand,
    known_url,
    links_of,
    lookup_url,
    mirror_paths,
    raw_key,
)
from qpv_geo.territory import Territory

FILOSOFI = load_catalogue()["insee_filosofi"]
BASE = "https://www.insee.fr/fr/statistiques/fichier/8243167"


def linked(*names: str) -> list[Link]:
    return [Link(name, name, f"{BASE}/{quote(name)}") for name in names]


def test_the_links_of_an_insee_page_are_those_to_files(catalogue: Catalogue) -> None:
    page = """<html><body><!-- <a href="/fr/statistiques/fichier/8243167/commented.csv">x</a> -->
    <a href="/fr/accueil">Accueil</a> <a name="sans-href">x</a> <a href>vide</a> <a href="#haut">Haut</a>
    <a href=" /fr/statistiques/fichier/8243167/relative_csv.zip ">CSV (1 Mo)</a>
    <A HREF='https://www.insee.fr/fr/statistiques/fichier/8243167/absolute_csv.zip'>CSV</A>
    <a href="/fr/statistiques/fichier/8243167/donn%C3%A9es%20csv.zip?a=1&amp;b=2"><b>é</b></a>
    <a href="/fr/statistiques/8243167">une page</a>
    <a href="http://[une">une adresse fautive</a>
    <a href="/fr/statistiques/fichier/8243167/">un dossier</a>
    <img src="/fr/statistiques/fichier/8243167/carte.png">
    </body>""".encode()
    links = links_of(catalogue["insee_filosofi"], page)
    assert [(link.name, link.url) for link in links] == [
        ("relative_csv.zip", f"{BASE}/relative_csv.zip"),
        ("absolute_csv.zip", f"{BASE}/absolute_csv.zip"),
        ("données csv.zip", f"{BASE}/donn%C3%A9es%20csv.zip?a=1&b=2"),
    ]


def test_a_page_that_is_no_html_has_no_links(catalogue: Catalogue) -> None:
    assert links_of(catalogue["insee_filosofi"], b"\xff\xfe\x00PK\x03\x04 <a <<< href") == []


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["revenus_pauvrete_2021_qp24_csv.zip"], 0),
        (["revenus_pauvrete_2021_qp24_csv.zip", "revenus_pauvrete_2021_qp24_v2_csv.zip"], 1),
        (["revenus_pauvrete_2021_qp24_v10_csv.zip", "revenus_pauvrete_2021_qp24_v9_csv.zip"], 0),
        (["REVENUS_PAUVRETE_2021_QP24_V2_CSV.ZIP", "revenus_pauvrete_2021_qp24_csv.zip"], 0),
        (["revenus_pauvrete_2021_qp15_csv.zip", "revenus_pauvrete_2021_qp24_csv.zip"], 1),
        (["revenus_pauvrete_2021_qp24_csv.zip", "revenus_pauvrete_2021_qp24_csv.zip"], 0),
        (["revenus_pauvrete_2021_qp24_csv.zip", "note_revenus_pauvrete_2021_qp24_csv.pdf"], 0),
    ],
)
def test_the_best_link_is_the_newest_that_matches(names: list[str], expected: int) -> None:
    assert choose(FILOSOFI, linked(*names)).name == names[expected]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["EDUC_2024_2025_QP24_xlsx.zip", "EDUC_2024_2025_QP24_csv.zip"], 1),
        (["EDUC_2024_2025_QP24.xlsx", "EDUC_2024_2025_QP24.zip"], 1),
        (["EDUC_2024_2025_QP24_v2.xlsx", "EDUC_2024_2025_QP24.csv"], 1),
        (["EDUC_2024_2025_QP24_dictionnaire.pdf", "EDUC_2024_2025_QP24.zip"], 1),
        (["EDUC_2024_2025_QP24.zip", "EDUC_2024_2025_QP24_csv.zip"], 1),
        (["EDUC_2024_2025_QP24.xlsx"], 0),
    ],
)
def test_the_declared_format_is_preferred(catalogue: Catalogue, names: list[str], expected: int) -> None:
    assert choose(catalogue["insee_education"], linked(*names)).name == names[expected]


def test_no_match_lists_the_links_seen() -> None:
    with pytest.raises(SourceContentError) as caught:
        choose(FILOSOFI, linked("autre_csv.zip", "revenus_2022.csv"))
    message = str(caught.value)
    assert "no link matches" in message
    assert "seen: autre_csv.zip, revenus_2022.csv" in message
    assert "https://www.insee.fr/fr/statistiques/8243167" in message
    assert "[sources.insee_filosofi]" in message
    assert 'address = { kind = "insee_page", page = "8243167", pattern = ' in message
    assert 'hosts = ["www.insee.fr"]' in message
    with pytest.raises(SourceContentError, match="seen: no link to a file"):
        choose(FILOSOFI, [])


def test_several_equal_matches_are_nobodys_choice() -> None:
    names = "revenus_pauvrete_2021_qp24_csv_a.zip", "revenus_pauvrete_2021_qp24_csv_b.zip"
    with pytest.raises(SourceContentError, match="several links match equally well") as caught:
        choose(FILOSOFI, linked(*names, "revenus_pauvrete_2021_qp24.zip"))
    assert f"seen: {', '.join(names)}." in str(caught.value)


@given(st.permutations([None, 1, 2, 3, 10, 11]), st.lists(st.integers(0, 5), max_size=8))
def test_the_choice_depends_neither_on_order_nor_on_repetition(
    versions: list[int | None], repeated: list[int]
) -> None:
    names = [
        f"revenus_pauvrete_2021_qp24_{'' if version is None else f'v{version}_'}csv.zip"
        for version in versions
    ]
    links = linked(*names, *(names[index] for index in repeated))
    assert choose(FILOSOFI, links).name == "revenus_pauvrete_2021_qp24_v11_csv.zip"


def resource(title: str, url: str) -> dict[str, str]:
    return {"id": "x", "title": title, "format": "csv", "url": url}


def test_a_resource_is_found_by_its_title_or_by_its_file(catalogue: Catalogue) -> None:
    source = catalogue["listeqp_2024"]
    static = "https://static.data.gouv.fr/resources/x/20260115-204323"
    others = [resource("Contours", f"{static}/qpv-2024-geojson.zip"), resource("", f"{static}/note.pdf")]
    by_file = resource("Liste des QPV", f"{static}/listeqp2024-cog2024.csv")
    by_title = resource("listeqp2024-cog2024.csv", f"{static}/a1b2c3")
    for wanted in (by_file, by_title):
        page = json.dumps({"resources": [*others, wanted]}).encode()
        assert choose(source, links_of(source, page)).url == wanted["url"]


@pytest.mark.parametrize(
    "page",
    [
        b"<!DOCTYPE html><html></html>",
        b"",
        b"[]",
        b'{"message": "not found"}',
        b'{"resources": null}',
        b'{"resources": [{"title": "x"}]}',
        b'{"resources": [{"title": "x", "url": null}]}',
        b'{"resources": ["x"]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_a_description_of_another_shape_is_refused(catalogue: Catalogue, page: bytes) -> None:
    with pytest.raises(SourceContentError, match=r"expected to describe a dataset .*\[listeqp_2024\]"):
        links_of(catalogue["listeqp_2024"], page)


def test_a_source_has_one_first_address(catalogue: Catalogue, besancon: Territory) -> None:
    assert lookup_url(catalogue["qpv_2024"]) is None
    resource_id = "942d4ee8-8142-4556-8ea1-335537ce1119"
    assert known_url(catalogue["qpv_2024"], besancon).endswith(f"/fr/datasets/r/{resource_id}")
    assert lookup_url(catalogue["qpv_2015"]) == (
        "https://www.data.gouv.fr/api/1/datasets/5a561801c751df42d7fca9b6/"
    )
    assert lookup_url(catalogue["insee_population"]) == "https://www.insee.fr/fr/statistiques/8210600"
    with pytest.raises(ValueError, match="found through"):
        known_url(catalogue["insee_population"], besancon)


def test_templates_take_the_territorys_codes(catalogue: Catalogue, besancon: Territory) -> None:
    assert "/epcis/242500361/communes?" in known_url(catalogue["communes_epci"], besancon)
    assert mirror_paths(catalogue["communes_epci"], besancon) == ["geo-api/epcis/242500361/communes.geojson"]
    assert expand("{departement}-{commune}", besancon) == "25-25056"


def test_a_raw_file_is_told_by_the_codes_in_its_address(catalogue: Catalogue, besancon: Territory) -> None:
    assert raw_key(catalogue["qpv_2024"], besancon) == "qpv_2024"
    assert raw_key(catalogue["communes_epci"], besancon) == "communes_epci-242500361"
    assert raw_key(catalogue["iris"], besancon) == "iris-25056"


def test_a_source_by_commune_is_asked_one_commune_at_a_time(
    catalogue: Catalogue, besancon: Territory
) -> None:
    several = besancon.model_copy(update={"communes_principales": ("25056", "25429")})
    with pytest.raises(ConfigurationError, match="exactly one of communes_principales"):
        known_url(catalogue["iris"], several)
    keys = {
        raw_key(catalogue["iris"], several.model_copy(update={"communes_principales": (code,)}))
        for code in several.communes_principales
    }
    assert keys == {"iris-25056", "iris-25429"}


@pytest.mark.parametrize("template", ["{canton}", "{", "{0}", "{}", "{epci.nom}"])
def test_an_unknown_field_is_refused(besancon: Territory, template: str) -> None:
    with pytest.raises(ConfigurationError, match="the fields are"):
        expand(template, besancon)


def test_every_source_has_a_key_of_its_own(besancon: Territory) -> None:
    sources: tuple[Source, ...] = load_catalogue().sources
    assert len({raw_key(source, besancon) for source in sources}) == len(sources)
