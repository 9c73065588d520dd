"""INSEE's facilities: what is kept of a file of the whole country."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from shapely import box

from qpv_geo.checks import Check
from qpv_geo.errors import ConfigurationError, ContractError, SourceContentError
from qpv_geo.ingest.facilities import FacilityTable, load_facility_types, read_facilities
from qpv_geo.settings import Settings
from tests.raw_files import raw_file, write_csv, write_zip

HEADER = [
    "AN", "NOMRS", "TYPEQU", "DEPCOM", "LAMBERT_X", "LAMBERT_Y", "EPSG", "QUALITE_XY", "QUALITE_GEOLOC",
]  # fmt: skip
DOCTOR, PHARMACY, BAKERY = "D265", "D307", "B207"


def row(
    kind: str = DOCTOR,
    commune: str = "25056",
    *,
    x: str = "924500.5",
    y: str = "6687500.25",
    epsg: str = "2154",
    quality: str = "11",
) -> list[str]:
    return ["2025", "CABINET, « Œil »", kind, commune, x, y, epsg, "A", quality]


@pytest.fixture
def communes() -> gpd.GeoDataFrame:
    """Two communes, squares of ten kilometres."""
    squares = [box(920000, 6680000, 930000, 6690000), box(930000, 6680000, 940000, 6690000)]
    return gpd.GeoDataFrame({"insee_com": ["25056", "25429"]}, geometry=squares, crs=2154)


def read(
    path: Path, communes: gpd.GeoDataFrame, settings: Settings
) -> tuple[FacilityTable, dict[str, Check]]:
    facilities, checks = read_facilities(raw_file("bpe", path), communes, settings)
    return facilities, {check.code: check for check in checks}


def test_facilities_of_the_territory_and_around_it(
    tmp_path: Path, communes: gpd.GeoDataFrame, settings: Settings
) -> None:
    rows = [
        HEADER,
        row(PHARMACY),
        row(),
        row(commune="25429", x="931000,75", y="6681000"),
        # 4,900 m and 5,100 m west of the territory; at random in the street.
        row(commune="39001", x="915100", y="6685000", quality="12"),
        row(commune="39001", x="914900", y="6685000"),
        # Another type, and another part of France with coordinates that would fall inside.
        row(BAKERY),
        row(commune="97411", epsg="2975"),
    ]
    packed = write_zip(
        tmp_path / "BPE25.zip", {"BPE25.csv": write_csv(tmp_path / "BPE25.csv", rows, "utf-8").read_bytes()}
    )
    for path in (packed, tmp_path / "BPE25.csv"):
        facilities, checks = read(path, communes, settings)
        assert facilities.vintage == "2025"
        assert facilities.points.to_dict("list") == {
            "type_equipement": [DOCTOR, DOCTOR, DOCTOR, PHARMACY],
            "insee_com": ["25056", "25429", "39001", "25056"],
            "x": [924500.5, 931000.75, 915100.0, 924500.5],
            "y": [6687500.25, 6681000.0, 6685000.0, 6687500.25],
            "precision": ["adresse", "adresse", "rue", "adresse"],
            # The file does not say in which QPV they are.
            "code_qp_insee": [None] * 4,
        }
        assert not facilities.placed_by_insee
        assert facilities.types is load_facility_types()
        reading = checks["lecture_du_fichier"]
        assert reading.found.startswith("7 équipements, dont 4 des types comptés")
        # No facility of the file has most of the types: they may have been renumbered.
        types = checks["types_equipement_reconnus"]
        assert types.outcome == "avertissement"
        assert "D281 (Infirmier)" in types.message
        assert DOCTOR not in types.message
        assert types.found == "2"


def test_a_position_that_is_none(tmp_path: Path, communes: gpd.GeoDataFrame, settings: Settings) -> None:
    rows = [
        HEADER,
        row(x="", y="", epsg="", quality="_U"),
        row(x="_U", y="_U", epsg="_U", quality="_Z"),
        # Drawn at random in the commune: a position that says nothing.
        row(quality="33"),
        # Near the territory, but at random: not known to be near.
        row(commune="39001", x="919500", y="6685000", quality="33"),
    ]
    facilities, checks = read(write_csv(tmp_path / "BPE25.csv", rows), communes, settings)
    assert facilities.points["insee_com"].tolist() == ["25056"] * 3
    assert np.isnan(facilities.points[["x", "y"]].to_numpy()).all()
    assert facilities.points["precision"].tolist() == ["commune", "inconnue", "inconnue"]
    assert checks["equipements_positions_aleatoires"].found == "1"


def test_the_order_of_the_file_does_not_matter(
    tmp_path: Path, communes: gpd.GeoDataFrame, settings: Settings
) -> None:
    rows = [row(PHARMACY), row(), row(x="921000"), row(commune="25429")]
    found = [
        read(write_csv(tmp_path / f"{n}.csv", [HEADER, *some]), communes, settings)[0].points
        for n, some in enumerate((rows, rows[::-1]))
    ]
    assert found[0].equals(found[1])


@pytest.mark.parametrize("change", [str, str.lower, " {} ".format, '"{}"'.format])
def test_names_of_columns_are_known_however_they_are_written(
    change: Callable[[str], str], tmp_path: Path, communes: gpd.GeoDataFrame, settings: Settings
) -> None:
    path = write_csv(tmp_path / "BPE25.csv", [[change(name) for name in HEADER], row()])
    facilities, _ = read(path, communes, settings)
    assert len(facilities.points) == 1


def test_every_declared_type_is_in_the_file(
    tmp_path: Path, communes: gpd.GeoDataFrame, settings: Settings
) -> None:
    rows = [HEADER, *(row(kind) for kind in load_facility_types()["type_equipement"])]
    _, checks = read(write_csv(tmp_path / "BPE25.csv", rows), communes, settings)
    assert checks["types_equipement_reconnus"].outcome == "conforme"
    assert checks["equipements_positions_aleatoires"].message.startswith("Aucun équipement")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [[name.replace("TYPEQU", "TYPE") for name in HEADER], row()],
            "expected column 'TYPEQU'; found no such column, perhaps renamed to 'TYPE'",
        ),
        ([HEADER, row()[:-1]], "expected rows of as many cells as the header has"),
        ([[*HEADER, "typequ"], [*row(), PHARMACY]], "expected each column once; found 'TYPEQU' 2 times"),
        (
            [HEADER, row(x="beaucoup")],
            "LAMBERT_X: expected a number of metres; found 'beaucoup' at D265 in 25056",
        ),
        ([HEADER, row(epsg="27572")], "EPSG: expected 2154; found '27572' at D265 in 25056"),
        (
            [HEADER, row(commune="75056")],
            "expected facilities in the territory's communes; found none among 1",
        ),
        ([HEADER], "expected facilities in the territory's communes; found none among 0"),
    ],
)
def test_files_of_another_shape(
    rows: list[list[str]], message: str, tmp_path: Path, communes: gpd.GeoDataFrame, settings: Settings
) -> None:
    path = write_csv(tmp_path / "BPE25.csv", rows)
    with pytest.raises(ContractError) as error:
        read(path, communes, settings)
    assert message in str(error.value)
    assert "BPE25.csv" in str(error.value)


def test_what_is_wrong_elsewhere_is_not_ours(
    tmp_path: Path, communes: gpd.GeoDataFrame, settings: Settings
) -> None:
    rows = [HEADER, row(), row(commune="75056", x="?", y="?"), row(commune="75056", epsg="27572")]
    facilities, _ = read(write_csv(tmp_path / "BPE25.csv", rows), communes, settings)
    assert len(facilities.points) == 1


def test_a_page_in_place_of_the_file(tmp_path: Path, communes: gpd.GeoDataFrame, settings: Settings) -> None:
    (tmp_path / "BPE25.csv").write_text("<!DOCTYPE html><html></html>", encoding="utf-8")
    with pytest.raises(SourceContentError, match=r"BPE25\.csv"):
        read(tmp_path / "BPE25.csv", communes, settings)


def test_a_truncated_archive(tmp_path: Path, communes: gpd.GeoDataFrame, settings: Settings) -> None:
    rng = np.random.default_rng(1)
    rows = [HEADER, *(row(x=f"{920000 + 1000 * value:.6f}") for value in rng.random(20000))]
    data = write_csv(tmp_path / "BPE25.csv", rows).read_bytes()
    packed = write_zip(tmp_path / "BPE25.zip", {"BPE25.csv": data})
    damaged = bytearray(packed.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    packed.write_bytes(bytes(damaged))
    with pytest.raises(SourceContentError, match="damaged or truncated"):
        read(packed, communes, settings)


# The file of 2025 as INSEE writes it


@pytest.fixture(params=["genuine", "generated"])
def header_2025(request: pytest.FixtureRequest) -> list[str]:
    """The 95 columns of the file of 2025: the genuine ones where they are at hand, and as many made here."""
    path = Path(__file__).parents[2] / "shared" / "formats" / "bpe25_header_and_rows.csv"
    if request.param == "generated":
        read_here = [*HEADER, "QP2024", "QUALI_QP2024", "QP2015"]
        return read_here + [f"COLONNE_{number}" for number in range(95 - len(read_here))]
    if not path.is_file():
        pytest.skip("needs the genuine header, in ../shared/formats beside the checkout")
    return next(csv.reader(path.read_text(encoding="utf-8-sig").splitlines(), delimiter=";"))


def write_2025(path: Path, header: list[str], rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, header, restval="_Z", delimiter=";", quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_the_file_of_2025_says_in_which_qpv_each_facility_is(
    header_2025: list[str], tmp_path: Path, communes: gpd.GeoDataFrame, settings: Settings
) -> None:
    assert len(header_2025) == 95
    rows = [
        dict(zip(HEADER, row(kind, x=x, quality=quality), strict=True)) | {"QP2024": code}
        for kind, x, quality, code in (
            (DOCTOR, "924500", "11", "QN02503M"),
            (DOCTOR, "924501", "11", "CSZ"),
            (PHARMACY, "924502", "11", "HZ"),
            # Drawn at random in the commune: no position, though INSEE names a QPV.
            (PHARMACY, "924503", "33", "QN02517N"),
        )
    ]
    path = write_2025(tmp_path / "BPE25.csv", header_2025, rows)
    facilities, checks = read(path, communes, settings)
    assert facilities.placed_by_insee
    assert facilities.points["code_qp_insee"].tolist() == ["QN02503M", None, None, "QN02517N"]
    assert facilities.points["x"].isna().tolist() == [False, False, False, True]
    assert checks["equipements_positions_aleatoires"].found == "1"


def test_the_genuine_rows_of_2025(communes: gpd.GeoDataFrame, settings: Settings) -> None:
    path = Path(__file__).parents[2] / "shared" / "formats" / "bpe25_header_and_rows.csv"
    if not path.is_file():
        pytest.skip("needs the genuine rows, in ../shared/formats beside the checkout")
    # A post office in Saint-Paul-sur-Ubaye; the grocers of Nancy and of Abriès are not counted.
    facilities, checks = read(path, communes.assign(insee_com=["04193", "54395"]), settings)
    assert facilities.points.to_dict("records") == [
        {
            "type_equipement": "A208",
            "insee_com": "04193",
            "x": 998025.0,
            "y": 6386585.0,
            "precision": "adresse",
            "code_qp_insee": None,
        }
    ]
    assert checks["lecture_du_fichier"].found.startswith("3 équipements, dont 1 des types comptés")


# The types that are counted


@pytest.fixture
def declared(tmp_path: Path) -> Iterator[Path]:
    """Where a table of types may be written: no other test reads the same."""
    yield tmp_path / "facilities.toml"
    load_facility_types.cache_clear()


def test_the_shipped_types() -> None:
    types = load_facility_types()
    assert list(types.columns) == ["type_equipement", "libelle", "domaine"]
    assert types["type_equipement"].is_unique
    assert types["type_equipement"].str.fullmatch(r"[A-G][0-9]{3}").all()
    wanted = {
        "Professionnels de santé",
        "Établissements de santé et pharmacies",
        "Enseignement",
        "Services publics",
    }
    assert wanted <= set(types["domaine"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sante]\ndomaine = 'Santé'\n[sante.types]\n", "types"),
        ("[sante]\ndomaine = ''\n[sante.types]\nD1 = 'Médecin'", "domaine"),
        ("[sante]\ndomaine = 'Santé'\ntypes = ['D1']", "types"),
        (
            "[a]\ndomaine = 'A'\n[a.types]\nD1 = 'x'\n[b]\ndomaine = 'B'\n[b.types]\nD1 = 'y'",
            "types of facilities declared twice: D1",
        ),
        ("[sante", "not valid"),
    ],
)
def test_types_that_are_not_valid(text: str, message: str, declared: Path) -> None:
    declared.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as error:
        load_facility_types(declared)
    assert message in str(error.value)
    assert str(declared) in str(error.value)


def test_a_type_of_care_that_nobody_declared_is_reported(
    tmp_path: Path, communes: gpd.GeoDataFrame, settings: Settings
) -> None:
    # New types of care; known ones that are not counted; and one that is no care; elsewhere is not ours.
    kinds = ["D265", "D199", "D199", "D650", "D303", "D799", "B207"]
    rows = [HEADER, *map(row, kinds), row("D198", commune="75056")]
    _, checks = read(write_csv(tmp_path / "BPE25.csv", rows), communes, settings)
    unknown = checks["types_de_soins_inconnus"]
    assert (unknown.outcome, unknown.found) == ("avertissement", "2")
    assert unknown.message.endswith(": 2 D199, 1 D650.")


def test_an_arrondissement_is_its_commune(tmp_path: Path, settings: Settings) -> None:
    paris = gpd.GeoDataFrame(
        {"insee_com": ["75056"]}, geometry=[box(645000, 6857000, 661000, 6867000)], crs=2154
    )
    rows = [
        HEADER,
        row(commune="75113", x="", y="", epsg="", quality="_U"),
        row(commune="75056", x="650000", y="6860000"),
    ]
    facilities, _ = read(write_csv(tmp_path / "BPE25.csv", rows), paris, settings)
    assert facilities.points["insee_com"].tolist() == ["75056", "75056"]
