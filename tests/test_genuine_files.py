"""Every genuine file that was ever had is read, or refused in words that say what it is."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import geopandas as gpd
import pytest
import shapely

from qpv_geo.errors import ContractError, QpvGeoError, SourceContentError
from qpv_geo.ingest.cog import read_epci_members
from qpv_geo.ingest.communes import read_communes
from qpv_geo.ingest.contours import read_contours
from qpv_geo.ingest.correspondence import read_correspondence
from qpv_geo.ingest.facilities import read_facilities
from qpv_geo.ingest.registry import load_registry
from qpv_geo.ingest.statistics import read_statistics
from qpv_geo.settings import Settings
from qpv_geo.sources.content import check_content
from qpv_geo.sources.raw import RawFile
from qpv_geo.territory import Territory
from tests.raw_files import raw_file

OLD, IRIS_2019, FILOSOFI = "insee_caf", "iris_filosofi", "filosofi_communes"
# Tables of statistics of `formats`: the source that has such columns, the kind of zone, zones, measures.
TABLES = {
    "BASE_TD_FILO_DISP_IRIS_2019.csv": (IRIS_2019, "iris", 12481, 27),
    "DEMO_2021.csv": (OLD, "qpv", 1400, 29),
    "DEMO_2022.csv": (OLD, "qpv", 1400, 29),
    "FILO2019_DISP_DEP.csv": (FILOSOFI, "departement", 98, 29),
    "FILO2019_DISP_EPCI.csv": (FILOSOFI, "epci", 1240, 29),
    "FILO2019_DISP_METROPOLE.csv": (FILOSOFI, "france", 1, 29),
    "FILO2019_DISP_REG.csv": (FILOSOFI, "region", 15, 29),
    "IPRO_2021.csv": (OLD, "qpv", 1345, 55),
    "IPRO_2022.csv": (OLD, "qpv", 1345, 55),
    "REVN_2021.csv": (OLD, "qpv", 1352, 26),
    "REVN_2022.csv": (OLD, "qpv", 1352, 27),
    "data_CAF_2020_IRIS.csv": (OLD, "iris", 13444, 21),
    "data_DEMO_2021_V1_QP.csv": (OLD, "qpv", 1400, 29),
}
COMMAS = "columns separated by ';'; found a single one"
# What is no table of statistics of ours, with the words of the refusal.
REFUSED = {
    "geocodage_answer_2026-09-25.csv": COMMAS,
    "geocodage_answer_2026-10-08.csv": COMMAS,
    "rpls_qpv_2022_commas.csv": COMMAS,
    "iris_besancon_names.csv": "at least one column that measures something",
}
ELSEWHERE = {"README.md", "bpe25_header_and_rows.csv"}


def test_every_file_of_formats_is_tried(formats: Path) -> None:
    assert {path.name for path in formats.iterdir()} == TABLES.keys() | REFUSED.keys() | ELSEWHERE


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_older_vintages_are_read(name: str, formats: Path, settings: Settings) -> None:
    source, zone, zones, measures = TABLES[name]
    raw = raw_file(source, formats / name, geography=date(2015, 1, 1), vintage="2019")
    statistics = read_statistics(raw, load_registry(), settings)
    rows = statistics.rows
    assert set(rows["zone"]) == {zone}
    assert rows["code"].nunique() == zones
    assert len(rows) == zones * measures
    assert not [check for check in statistics.checks if check.code == "colonne_ecartee"]
    # No column that describes became an indicator.
    described = {"COM", "LIBCOM", "LIB_COM", "LIBGEO", "LIBIRIS"}
    assert not {code for code in rows["code_producteur"].unique() if "NOTE" in code} | described & set(
        rows["code_producteur"]
    )


@pytest.mark.parametrize("name", [name for name, (*_, zone, _, _) in TABLES.items() if zone == "qpv"])
def test_tables_of_2015_are_refused_in_2024(name: str, formats: Path, settings: Settings) -> None:
    with pytest.raises(ContractError, match="2015 geography in place of 2024"):
        read_statistics(raw_file("insee_caf", formats / name), load_registry(), settings)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_table_of_statistics_is_refused(name: str, formats: Path, settings: Settings) -> None:
    with pytest.raises(ContractError, match=REFUSED[name]):
        read_statistics(raw_file("insee_caf", formats / name), load_registry(), settings)


def test_thousands_that_a_spreadsheet_grouped(formats: Path, settings: Settings) -> None:
    raw = raw_file("insee_caf", formats / "DEMO_2021.csv", geography=date(2015, 1, 1))
    rows = read_statistics(raw, load_registry(), settings).rows.set_index(["code", "code_producteur"])
    assert rows.loc[("QP001001", "POP_MUN"), "valeur"] == 6490
    assert rows.loc[("QP001001", "PERCOU"), "valeur"] == 4635


def test_the_spreadsheet_and_the_csv_of_one_table_say_the_same(formats: Path, settings: Settings) -> None:
    """The same table of 2021, as INSEE's CSV and as a spreadsheet exported it."""
    both = []
    for name in ("data_DEMO_2021_V1_QP.csv", "DEMO_2021.csv"):
        raw = raw_file("insee_caf", formats / name, geography=date(2015, 1, 1))
        rows = read_statistics(raw, load_registry(), settings).rows
        both.append(rows.set_index(["code", "code_producteur"])["statut"].sort_index())
    assert both[0].equals(both[1])


def test_the_facilities_of_2025(formats: Path, settings: Settings) -> None:
    square = gpd.GeoDataFrame(
        {"insee_com": ["04193"]}, geometry=[shapely.box(990000, 6380000, 1000000, 6390000)], crs=2154
    )
    raw = raw_file("bpe", formats / "bpe25_header_and_rows.csv", member=None)
    facilities, checks = read_facilities(raw, square, settings)
    assert facilities.vintage == "2025"
    assert [check.outcome for check in checks if check.code == "lecture_du_fichier"] == ["conforme"]


# ---------------------------------------------------------------- the mirror


def statistics(
    source: str, zones: dict[str, int]
) -> tuple[str, Callable[[RawFile, Settings, Territory], None]]:
    def check(raw: RawFile, settings: Settings, _territory: Territory) -> None:
        found = read_statistics(raw, load_registry(), settings)
        assert found.rows.groupby("zone")["code"].nunique().to_dict() == zones
        assert not [check for check in found.checks if check.code == "colonne_ecartee"]

    return source, check


def contours(raw: RawFile, settings: Settings, territory: Territory) -> None:
    assert len(read_contours(raw, territory, settings).by_epsg[2154]) == 1362


def correspondence(raw: RawFile, settings: Settings, _territory: Territory) -> None:
    _, checks = read_correspondence(raw, settings)
    (reading,) = (check for check in checks if check.code == "lecture_du_fichier")
    assert reading.found == "22 QPV 2024, 16 QPV 2015"


def old_workbook(raw: RawFile, settings: Settings, _territory: Territory) -> None:
    with pytest.raises(SourceContentError, match=r"an old \.xls workbook \(save it as XLSX\)"):
        read_statistics(raw, load_registry(), settings)


def count(reader: Callable[[RawFile, Settings], object], expected: int) -> Callable[..., None]:
    def check(raw: RawFile, settings: Settings, _territory: Territory) -> None:
        assert len(reader(raw, settings)) == expected  # type: ignore[arg-type]

    return check


CENSUS = {
    "qpv": 1362,
    "ensemble_qpv_epci": 323,
    "ensemble_qpv_departement": 96,
    "ensemble_qpv_region": 13,
    "ensemble_qpv": 1,
}
MIRROR = {
    "anct/liste-correspondance-qp2024-qp2015.csv": ("correspondance_2024_2015", correspondence),
    "anct/qpv-2024-geojson.zip": ("qpv_2024", contours),
    "cog/communes.json.gz": ("cog_communes", lambda raw, settings, _: check_content(raw, settings)),
    "cog/epci.json.gz": ("cog_epci", count(read_epci_members, 34871)),
    "etalab/communes-1000m.geojson.gz": (
        "communes_france",
        count(lambda raw, settings: read_communes(raw, settings, 2154)[2154], 34738),
    ),
    "geo-api/epcis/242500361/communes.geojson": (
        "communes_epci",
        count(lambda raw, settings: read_communes(raw, settings, 2154)[2154], 67),
    ),
    "insee/2015/demographie_2010_qpv.xls": ("insee_demographie", old_workbook),
    "insee/BASE_TD_FILO_IRIS_2021_DISP_CSV.zip": statistics("iris_filosofi", {"iris": 16026}),
    "insee/RPLS_01-01-2025_QPV_2024.zip": statistics("insee_logement_social", {"qpv": 1518}),
    "insee/base-cc-filosofi-2021-communes_csv.zip": statistics("filosofi_communes", {"commune": 34909}),
    "insee/beneficiaires_CAF_31-12-2024_QP24.zip": statistics("insee_caf", {"qpv": 1518}),
    "insee/estimations-demographiques_2020_QPV2024.xlsx": statistics("insee_demographie_2020", CENSUS),
    "insee/estimations-demographiques_2020_QPV2024_csv.zip": statistics("insee_demographie_2020", CENSUS),
    "insee/pop_QPV24.csv": statistics("insee_population", {"qpv": 1518}),
    "insee/revenus_pauvrete_2021_qp24_v2_csv.zip": statistics("insee_filosofi", {"qpv": 1518}),
}


def test_every_file_of_the_mirror_is_tried(mirror: Path) -> None:
    there = {path.relative_to(mirror).as_posix() for path in mirror.rglob("*") if path.is_file()}
    assert there == MIRROR.keys() | {"README.md"}


@pytest.mark.parametrize("name", MIRROR)
def test_files_of_the_mirror(name: str, mirror: Path, settings: Settings, besancon: Territory) -> None:
    source, check = MIRROR[name]
    check(raw_file(source, mirror / name, provenance="mirror"), settings, besancon)


# ---------------------------------------------------------------- one file in place of another


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (source, name)
        for source in ("insee_population", "insee_filosofi")
        for name, (own, _) in MIRROR.items()
        if name.startswith("insee/") and own != source
    ],
)
def test_a_genuine_file_in_place_of_another_is_explained(
    source: str, name: str, mirror: Path, settings: Settings
) -> None:
    with pytest.raises(QpvGeoError, match=source):
        read_statistics(raw_file(source, mirror / name), load_registry(), settings)
