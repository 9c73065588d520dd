"""Territories made from the official files: each is written, read back, published and verified."""

from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from qpv_geo.audit.verify import verify_release
from qpv_geo.errors import ConfigurationError
from qpv_geo.locate.locator import Locator
from qpv_geo.pipeline.country import Country, read_country
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.new_territory import code_of, describe_territory, to_toml
from qpv_geo.pipeline.one import run
from qpv_geo.settings import Settings
from qpv_geo.sources.fetch import Policy
from qpv_geo.territory import load_territory

# code: kind, QPV, communes, EPSG
DESCRIBED = {
    "200065647": ("epci", 9, 73, 2154),  # Pays de Montbéliard
    "242500338": ("epci", 2, 10, 2154),  # Grand Pontarlier
    "25": ("departement", 17, 563, 2154),
    "249740119": ("epci", 16, 3, 2975),  # La Réunion
    "249720061": ("epci", 5, 4, 5490),  # Martinique
    "2A": ("departement", 3, 124, 2154),
    "2B": ("departement", 2, 236, 2154),
    "242010056": ("epci", 2, 10, 2154),  # Ajaccio
    "25388": ("commune", 3, 1, 2154),  # Montbéliard
    "france": ("france", 1584, 34867, 2154),
}
PUBLISHED = ["25", "249740119", "242010056", "25388"]


@pytest.fixture(scope="module")
def country(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Country:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"))
    return read_country(settings, Policy(mirror=str(mirror)))


@pytest.mark.parametrize("code", DESCRIBED)
def test_a_territory_is_written_and_reads_back(country: Country, tmp_path: Path, code: str) -> None:
    territory = describe_territory(code, country)[0]
    found = (territory.genre, territory.expected.qpv, territory.expected.communes, territory.epsg)
    assert found == DESCRIBED[code]
    path = tmp_path / "t.toml"
    path.write_text(to_toml(territory), encoding="utf-8")
    assert load_territory(str(path)).model_dump() == territory.model_dump()
    assert territory.contrat is None, "a contract is of one territory"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Montbéliard", "200065647"),
        ("ca pays de montbeliard agglomeration", "200065647"),
        ("Grand Besançon Métropole", "242500361"),
        ("Doubs", "25"),
        ("La Réunion", "974"),
    ],
)
def test_a_name_stands_for_its_epci_or_department(country: Country, name: str, code: str) -> None:
    found, remark = code_of(name, country)
    assert found == code
    assert ("25388" in remark) == (name == "Montbéliard")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Saint-Denis", "several places are called Saint-Denis, give the code of one: "),
        ("pays de montbeliar", "did you mean CA Pays de Montbéliard Agglomération (200065647)"),
        ("xyzzy", "no EPCI, department or commune is called 'xyzzy'"),
    ],
)
def test_a_name_that_nobody_or_several_have_is_answered_with_codes(
    country: Country, name: str, words: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        code_of(name, country)
    assert words in str(caught.value)


@pytest.mark.parametrize("code", PUBLISHED)
def test_a_territory_publishes_and_verifies(
    country: Country, mirror: Path, settings: Settings, tmp_path: Path, code: str
) -> None:
    path = tmp_path / "t.toml"
    path.write_text(to_toml(describe_territory(code, country)[0]), encoding="utf-8")
    territory = load_territory(str(path))
    release = run(Job(territory, settings, Policy(mirror=str(mirror)))).release
    assert verify_release(release.path) == []
    qpv = gpd.read_file(next(release.path.glob("*.gpkg")), layer="qpv")
    assert len(qpv) == DESCRIBED[code][1]
    assert qpv.crs.to_epsg() == territory.epsg
    # In the zone's own CRS: in Lambert-93, La Réunion would be larger by a factor of several.
    assert qpv["surface_m2"].to_numpy() == pytest.approx(qpv.area.to_numpy(), rel=0, abs=0.051)
    geodesic = [
        abs(qpv.crs.get_geod().geometry_area_perimeter(shape)[0]) for shape in qpv.to_crs(4326).geometry
    ]
    assert qpv["surface_m2"].to_numpy() == pytest.approx(geodesic, rel=5e-3)
    pages = [page.read_text(encoding="utf-8") for page in (release.path / "portraits").glob("*.html")]
    assert len(pages) == 2 * len(qpv) + 3, "two of each QPV, index, health of the territory, its method"
    assert all(territory.nom in page for page in pages)
    assert not any("Besançon" in page for page in pages if code != "25"), "nothing of another territory"


def test_a_qpv_across_several_communes_is_cut_by_them(
    country: Country, mirror: Path, settings: Settings
) -> None:
    """QN00306M spans Domérat and Montluçon."""
    territory = describe_territory("200071082", country)[0]
    release = run(Job(territory, settings, Policy(mirror=str(mirror)))).release
    assert verify_release(release.path) == []
    path = next(release.path.glob("*.gpkg"))
    pieces = gpd.read_file(path, layer="qpv_commune")
    pieces = pieces[(pieces["code_qp"] == "QN00306M") & pieces["membre"]]
    assert set(pieces["insee_com"]) == {"03101", "03185"}


def test_points_in_a_qpv_that_overhangs_the_territory_are_in_it(
    country: Country, mirror: Path, settings: Settings
) -> None:
    """QN97654C declares Bandraboua alone, and half of it lies in Bouéni, of CC du Sud."""
    territory = describe_territory("200060473", country)[0]
    release = run(Job(territory, settings, Policy(mirror=str(mirror)))).release
    assert verify_release(release.path) == []
    layers = {
        name: gpd.read_file(next(release.path.glob("*.gpkg")), layer=name)
        for name in ("qpv", "qpv_voisins", "communes", "controles", "epci")
    }
    assert "QN97654C" not in set(layers["qpv"]["code_qp"])
    assert layers["epci"]["nb_qpv"].tolist() == [len(layers["qpv"])] == [3]
    neighbour = layers["qpv_voisins"].set_index("code_qp").loc["QN97654C"]
    assert neighbour["distance_territoire_m"] == 0
    doubts = layers["controles"].set_index(["controle", "objet"])["message"]
    assert "qpv_voisins" in doubts["epci_declare_ou_calcule", "QN97654C"]
    piece = neighbour.geometry.intersection(layers["communes"].union_all())
    rng = np.random.default_rng(97)
    x, y = rng.uniform(*np.reshape(piece.bounds, (2, 2)), (5000, 2)).T
    inside = shapely.contains_xy(piece, x, y)
    assert inside.sum() > 500
    locator = Locator.of_release(release, territory, points_crs=territory.epsg)
    answers = locator.table(locator.locate(x[inside], y[inside])).to_pandas()
    assert set(answers["en_qpv"]) == {"oui"}
    assert set(answers["code_qp"]) == {"QN97654C"}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("242500362", "no EPCI 242500362 .* resemble it: .*242500361"),
        ("25999", "no commune 25999 .* codes that resemble it: 25"),
        ("97", "no department '97'; the national file knows 01, 02"),
        ("987", "no contour of its communes"),
        ("200057867", r"give its EPCI: 200054781 \(Métropole du Grand Paris\)"),
        ("Besançon", "not the code of a territory: give the SIREN"),
    ],
)
def test_what_cannot_be_a_territory(country: Country, code: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        describe_territory(code, country)


def test_an_epci_without_qpv(country: Country) -> None:
    with_qpv = {code for codes in country.qpv["siren_epci"].dropna() for code in codes.split(", ")}
    doubs = country.members[country.members["insee_com"].str.startswith("25")]
    code = next(siren for siren in doubs["siren_epci"] if siren not in with_qpv)
    with pytest.raises(ConfigurationError, match=rf"\({code}\) has no QPV among the 1584"):
        describe_territory(code, country)


def test_an_unknown_key_is_named_with_the_nearest(tmp_path: Path, besancon_file: Path) -> None:
    text = besancon_file.read_text(encoding="utf-8")
    for wrong, message in (
        ("epcii", "unknown key 'epcii'; did you mean 'epci'"),
        ("zzz", "unknown key 'zzz'; known"),
    ):
        path = tmp_path / "t.toml"
        path.write_text(f'{wrong} = "1"\n{text}', encoding="utf-8")
        with pytest.raises(ConfigurationError, match=message) as error:
            load_territory(str(path))
        assert "t.toml" in str(error.value)
    path.write_text(text.replace("qpv_departement = 17", "qpv_departemant = 17"), encoding="utf-8")
    with pytest.raises(
        ConfigurationError, match=r"'expected.qpv_departemant'; did you mean 'qpv_departement'"
    ):
        load_territory(str(path))


@pytest.fixture
def besancon_file() -> Path:
    """Return the shipped territory's file."""
    return Path(__file__).parents[1] / "qpv_geo" / "territories" / "besancon.toml"


def test_communes_that_only_one_of_the_files_holds_are_named(country: Country) -> None:
    siren = "242500338"
    mine = sorted(country.members_of(siren)["insee_com"])
    drawn = country.communes[country.communes["insee_com"] != mine[1]]
    _, (remark,) = describe_territory(siren, replace(country, communes=drawn))
    assert remark.endswith(f": in the COG without contour: {mine[1]}")
    members = country.members[country.members["insee_com"] != mine[2]]
    _, (remark,) = describe_territory(siren, replace(country, members=members))
    assert remark.endswith(f": with a contour that declares it, not in the COG: {mine[2]}")
    assert describe_territory(siren, country)[1] == []
