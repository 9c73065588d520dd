"""Territory files: each contradiction is named with its key, and what a valid one answers."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from qpv_geo.errors import ConfigurationError
from qpv_geo.territory import (
    Bands,
    Expected,
    Guard,
    LocalDistrict,
    Retention,
    Territory,
    codes_of,
    load_territory,
    territory_names,
)

EPCI = 'epci = "242500361"\ndepartement = "25"\nregion = "27"\n'
A, B = "250560101", "250560102"
FILE = 'chemin = "q.gpkg", mise_a_jour = 2025-01-31'
CONTRACT = (
    '\n[contrat]\ntitre = "C"\nperiode = "P"\nsignataires = 1\npresentation = 2025-01-01\nsource = "S"\n'
)


def write(folder: Path, declared: str = "", *, codes: str = EPCI, expected: str = "qpv = 6") -> str:
    """Write a small territory file; `declared` comes last, so that it may hold tables."""
    path = folder / "essai.toml"
    text = f'id = "essai"\nnom = "Essai"\n{codes}expected = {{ {expected} }}\n{declared}\n'
    path.write_text(text, encoding="utf-8")
    return str(path)


def refusal(path: str) -> str:
    with pytest.raises(ConfigurationError) as error:
        load_territory(path)
    assert str(error.value).startswith(f"{path}: ")
    return str(error.value)


def test_what_is_not_declared_has_its_default(tmp_path: Path) -> None:
    territory = load_territory(write(tmp_path))
    assert (territory.genre, territory.epsg, territory.communes) == ("epci", 2154, ())
    assert (territory.sliver_share, territory.sliver_area) == (0.02, 100.0)
    assert territory.bandes == Bands(
        distance_m=300, distance_npnru_m=500, npnru=(), decoupe_epci=False, publiees=True
    )
    assert territory.garde == Guard(
        nombre_pct=10, surface_qpv_pct=5, total_pct=10, mediane_pct=25, qpv_entre_ou_sorti=True, retrait=True
    )
    assert territory.conservation == Retention(nombre=None, jours=None)
    assert (territory.contrat, territory.contact, territory.files) == (None, None, {})


def test_a_territory_does_not_change(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        load_territory(write(tmp_path)).nom = "Autre"


@pytest.mark.parametrize(
    ("codes", "facts"),
    [
        ('departement = "25"\nregion = "27"\n', "'epci' needs 'epci'"),
        ('epci = "242500361"\n', "'epci' needs 'departement', 'region'"),
        ('genre = "commune"\nepci = "242500361"\n', "'commune' needs 'commune', 'departement'"),
        ('genre = "departement"\n', "'departement' needs 'departement'"),
        ('genre = "france"\nepci = "242500361"\n', "France as a whole has no 'epci'"),
        ('genre = "france"\ncommune = "25056"\n', "France as a whole has no"),
        ('genre = "france"\ndepartement = "25"\n', "France as a whole has no"),
        ('genre = "france"\nregion = "27"\n', "France as a whole has no"),
        ('genre = "canton"\n', "'genre'"),
        (EPCI.replace("242500361", "24250036"), "'epci'"),
        (EPCI.replace('"25"', '"2C"'), "'departement'"),
        (EPCI.replace('"27"', '"BFC"'), "'region'"),
    ],
)
def test_codes_that_do_not_make_a_territory_are_named(tmp_path: Path, codes: str, facts: str) -> None:
    assert facts in refusal(write(tmp_path, codes=codes))


@pytest.mark.parametrize(
    ("declared", "facts"),
    [
        ('communes = ["25056", "2505"]', ["'communes': not INSEE codes of communes: 2505"]),
        ('communes = ["25056", "25056"]', ["'communes' names a commune twice: 25056"]),
        (
            'communes = ["25056"]\ncommunes_principales = ["25056", "25429"]',
            ["'communes_principales' are not all in 'communes': 25429"],
        ),
        ("epsg = 27572", ["'epsg'"]),
        ("sliver_share = 0.5", ["'sliver_share'"]),
        ("sliver_area = -1", ["'sliver_area'"]),
        ("conservation = { nombre = 1 }", ["'conservation.nombre'"]),
        ("conservation = { jours = -1 }", ["'conservation.jours'"]),
        ("garde = { total_pct = -1 }", ["'garde.total_pct'"]),
        ("bandes = { distance_m = 0 }", ["'bandes.distance_m'"]),
        ("bandes = { distance_npnru_m = 0 }", ["'bandes.distance_npnru_m'"]),
        ('contact = { organisation = "" }', ["'contact.organisation'"]),
        ('contact = { organisation = "O", courriel = "sig" }', ["'contact.courriel'"]),
        ('contact = { organisation = "O", site = "www.o.fr" }', ["'contact.site'"]),
        (
            f'quartiers = [{{nom="N", iris=["{A}"]}}, {{nom="S", iris=["{A}", "{B}"]}}]',
            ["'quartiers' puts an IRIS in two districts", f"{A} (N, S)"],
        ),
        (
            f'quartiers = [{{nom="N", iris=["{A}"]}}, {{nom="N", iris=["{B}"]}}]',
            ["'quartiers' declares a name twice: N"],
        ),
        ('quartiers = [{nom="N", iris=["25056101"]}]', ["'N': not codes of IRIS", "25056101"]),
        (f'quartiers = [{{nom="N", iris=["{A}", "{A}"]}}]', ["'N' names an IRIS twice", A]),
        ('quartiers = [{nom="N", iris=[]}]', ["'quartiers.0.iris'"]),
        (f'quartiers_fichier = {{ {FILE}, crs = "2154" }}', ["'quartiers_fichier.crs'"]),
        ('quartiers_fichier = { chemin = "q.gpkg" }', ["'quartiers_fichier.mise_a_jour'"]),
        (
            f"quartiers_fragiles_fichier = {{ {FILE} }}",
            ["'quartiers_fragiles_fichier' needs 'contrat.quartiers_fragiles'"],
        ),
        (
            f"quartiers_fragiles_fichier = {{ {FILE} }}{CONTRACT}",
            ["'quartiers_fragiles_fichier' needs 'contrat.quartiers_fragiles'"],
        ),
        (f'{CONTRACT}qpv = [{{code_qp = "QP025001", nom = "N"}}]', ["'contrat.qpv.0.code_qp'"]),
        (f'{CONTRACT}total = {{code = "C", population = -1, source = "S"}}', ["'contrat.total.population'"]),
        (
            f'{CONTRACT}quartiers_fragiles = [{{nom = "N", insee_com = "2505", lib_com = "B"}}]',
            ["'contrat.quartiers_fragiles.0.insee_com'"],
        ),
    ],
)
def test_what_contradicts_itself_is_named(tmp_path: Path, declared: str, facts: list[str]) -> None:
    message = refusal(write(tmp_path, declared))
    for fact in facts:
        assert fact in message


@pytest.mark.parametrize(
    ("expected", "key"),
    [("qpv = -1", "expected.qpv"), ("communes = 1", "expected.qpv"), ('qpv = "six"', "expected.qpv")],
)
def test_a_number_to_expect_is_one(tmp_path: Path, expected: str, key: str) -> None:
    assert f"'{key}'" in refusal(write(tmp_path, expected=expected))


def test_what_lies_on_a_bound_is_allowed(tmp_path: Path) -> None:
    declared = (
        "sliver_share = 0\nsliver_area = 0\nconservation = { nombre = 2, jours = 0 }\n"
        "garde = { nombre_pct = 0, surface_qpv_pct = 0, total_pct = 0, mediane_pct = 0 }\n"
        f'{CONTRACT}total = {{code = "C", population = 0, source = "S"}}'
    )
    territory = load_territory(write(tmp_path, declared, expected="qpv = 0"))
    assert (territory.expected.qpv, territory.sliver_share, territory.conservation.nombre) == (0, 0, 2)


def test_the_listed_communes_are_as_many_as_expected(tmp_path: Path) -> None:
    two = 'communes = ["25056", "25429"]'
    message = refusal(write(tmp_path, two, expected="qpv = 6, communes = 3"))
    assert "'communes' lists 2 communes, 'expected.communes' says 3" in message
    assert load_territory(write(tmp_path, two, expected="qpv = 6, communes = 2")).communes == (
        "25056",
        "25429",
    )


@pytest.mark.parametrize(
    ("declared", "fact"),
    [
        ("bande = {}", "unknown key 'bande'; did you mean 'bandes'?"),
        ("zzz = 1", "unknown key 'zzz'; known keys: id, nom, genre, epci"),
        ("bandes = { distance = 3 }", "unknown key 'bandes.distance'; did you mean 'distance_m'?"),
        (
            f"quartiers_fichier = {{ {FILE}, chemins = 1 }}",
            "'quartiers_fichier.chemins'; did you mean 'chemin'?",
        ),
        (
            f'{CONTRACT}qpv = [{{code_qp = "QN02503M", nom = "N", zzz = 1}}]',
            "'contrat.qpv.0.zzz'; known keys: code_qp, nom, population",
        ),
    ],
)
def test_an_unknown_key_comes_with_those_that_there_are(tmp_path: Path, declared: str, fact: str) -> None:
    assert fact in refusal(write(tmp_path, declared))


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    message = refusal(
        write(tmp_path, "epsg = 1\nbande = 1\nbandes = { distance_m = 0 }", expected="qpv = -1")
    )
    for key in ("epsg", "bande", "bandes.distance_m", "expected.qpv"):
        assert f"\n- '{key}'" in message or f"\n- unknown key '{key}'" in message
    assert "Value error" not in message


def test_broken_toml_is_refused_with_its_line(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "communes = ["))
    assert "not valid TOML" in message
    (tmp_path / "essai.toml").unlink()
    (tmp_path / "essai.toml").mkdir()
    with pytest.raises(ConfigurationError, match=r"no territory .*essai\.toml"):
        load_territory(str(tmp_path / "essai.toml"))


def test_a_territory_that_is_not_shipped_comes_with_those_that_are() -> None:
    with pytest.raises(ConfigurationError) as error:
        load_territory("atlantide")
    assert "'atlantide'" in str(error.value)
    assert territory_names() == sorted(territory_names())
    assert ", ".join(territory_names()) in str(error.value)


def test_the_territory_declares_districts_and_files(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        f'quartiers = [{{ nom = "Centre", iris = ["{A}", "{B}"] }}]\n'
        'quartiers_fichier = { chemin = "locaux/q.gpkg", crs = "EPSG:3947", mise_a_jour = 2025-01-31 }\n'
        f"quartiers_fragiles_fichier = {{ {FILE} }}{CONTRACT}"
        'quartiers_fragiles = [{nom = "N", insee_com = "25056", lib_com = "B"}]\n',
    )
    territory = load_territory(path)
    assert territory.quartiers == (LocalDistrict(nom="Centre", iris=(A, B)),)
    assert list(territory.files) == ["quartiers_fichier", "quartiers_fragiles_fichier"]
    file = territory.files["quartiers_fichier"]
    assert territory.path_of(file) == tmp_path / "locaux" / "q.gpkg"
    elsewhere = file.model_copy(update={"chemin": str(tmp_path / "x.shp")})
    assert territory.path_of(elsewhere) == tmp_path / "x.shp"


def test_where_the_file_lies_is_no_part_of_a_territory(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = (load_territory(write(tmp_path / name)) for name in "ab")
    assert one.model_dump_json() == other.model_dump_json()


def of_kind(genre: str) -> Territory:
    codes = {
        "epci": {"epci": "242500361", "departement": "25", "region": "27", "communes": ("25056",)},
        "commune": {"commune": "25056", "departement": "25"},
        "departement": {"departement": "25"},
        "france": {},
    }
    return Territory(id="t", nom="T", genre=genre, expected=Expected(qpv=1), epsg=5490, **codes[genre])


@pytest.mark.parametrize(
    ("genre", "code", "published"),
    [
        ("epci", "242500361", 5490),
        ("commune", "25056", 5490),
        ("departement", "25", 5490),
        ("france", "france", 4326),
    ],
)
def test_each_kind_has_its_code_and_its_crs(genre: str, code: str, published: int) -> None:
    territory = of_kind(genre)
    assert (territory.code, territory.published_epsg) == (code, published)


@pytest.mark.parametrize(
    ("commune", "kinds"),
    [
        (("25056", "242500361", "25"), {"epci", "commune", "departement", "france"}),
        (("25429", "242500361", "25"), {"epci", "departement", "france"}),
        (("25388", "200065647", "25"), {"departement", "france"}),
        (("75056", "200054781", "75"), {"france"}),
        (("29083", None, "29"), {"france"}),
    ],
)
def test_a_commune_is_in_the_territories_that_its_contour_declares(
    commune: tuple[str, str | None, str], kinds: set[str]
) -> None:
    every = ("epci", "commune", "departement", "france")
    assert {genre for genre in every if of_kind(genre).has_commune(*commune)} == kinds


@pytest.mark.parametrize(
    ("qpv", "kinds"),
    [
        (("QN02503M", "25056", "242500361"), {"epci", "commune", "departement", "france"}),
        (("QN02503M", "25429, 25056", "200065647, 242500361"), {"epci", "commune", "departement", "france"}),
        (("QN02503M", "25056", "200057867"), {"epci", "commune", "departement", "france"}),
        (("QN02503M", "25388", "200065647"), {"departement", "france"}),
        (("QN02503M", None, None), {"departement", "france"}),
        (("QN07503M", "75056", "200054781"), {"france"}),
    ],
)
def test_a_qpv_is_in_the_territories_that_it_declares(
    qpv: tuple[str, str | None, str | None], kinds: set[str]
) -> None:
    every = ("epci", "commune", "departement", "france")
    assert {genre for genre in every if of_kind(genre).is_declared(*qpv)} == kinds


@pytest.mark.parametrize(
    ("declared", "codes"),
    [
        ("25056", ("25056",)),
        (" 02571, 02691 ,", ("02571", "02691")),
        ("", ()),
        (None, ()),
        (float("nan"), ()),
    ],
)
def test_declared_codes_are_split(declared: object, codes: tuple[str, ...]) -> None:
    assert codes_of(declared) == codes
