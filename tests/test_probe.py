import io
import struct
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import pytest
from shapely import box

from qpv_geo.ingest.registry import load_registry
from qpv_geo.pipeline.probe import Probe, probe
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Catalogue
from qpv_geo.sources.fetch import Policy
from qpv_geo.territory import Territory
from tests.raw_files import write_csv, write_workbook
from tests.server import OfficialSites, zipped

Probed = Callable[[str], Probe]


@pytest.fixture
def probed(catalogue: Catalogue, besancon: Territory, live: Settings) -> Probed:
    return lambda source_id: probe(catalogue[source_id], besancon, live, Policy(), load_registry())


def test_a_source_as_declared_has_no_difference(probed: Probed) -> None:
    assert probed("qpv_2024") == Probe(
        "qpv_2024",
        reachable=True,
        differences=(),
        resolved_url="https://static.data.gouv.fr/resources/qpv_2024/20260115-204323/qpv-2024.geojson",
        last_modified=datetime(2026, 1, 15, 20, 43, 23, tzinfo=UTC),
    )
    for source_id in ("insee_population", "communes_epci"):
        assert probed(source_id).differences == ()


def test_a_table_of_statistics_is_read(
    probed: Probed, sites: OfficialSites, tmp_path: Path, catalogue: Catalogue
) -> None:
    differences = probed("insee_filosofi").differences
    assert "no column of indicator 'niveau_vie_median'" in differences
    assert "no column of indicator 'taux_pauvrete_60'" not in differences
    # Whatever the archive's members are called.
    vintage = catalogue["insee_filosofi"].vintage
    cells = {
        indicator.spellings("qpv", vintage)[0]: str(min(indicator.maximum, 40))
        for indicator in load_registry().of_source("insee_filosofi")
        if indicator.expected_of("insee_filosofi", "qpv") and indicator.is_awaited
    }
    rows = [["codgeo", *cells], ["QN02503M", *cells.values()]]
    write_csv(tmp_path / "zip" / "n'importe.csv", rows)
    sites.publish("insee_filosofi", zipped(tmp_path / "zip"))
    assert probed("insee_filosofi").differences == ()


def test_a_source_that_is_down_is_not_reachable(probed: Probed, sites: OfficialSites) -> None:
    sites.misbehave("www.insee.fr", 503)
    found = probed("insee_population")
    assert not found.reachable
    assert found.resolved_url is None
    assert "answered 503" in found.differences[0]


def test_a_page_in_place_of_the_file_is_a_difference(probed: Probed, sites: OfficialSites) -> None:
    sites.misbehave("fichier/8210600", "html")
    found = probed("insee_population")
    assert found.reachable
    assert "an HTML page" in found.differences[0]


def test_a_renamed_column_is_a_difference(probed: Probed, sites: OfficialSites) -> None:
    sites.publish("qpv_2024", sites.data("qpv_2024").replace(b'"code_qp"', b'"codeqp"'))
    (difference,) = probed("qpv_2024").differences
    assert "column 'code_qp'; found no such column, perhaps renamed to 'codeqp'" in difference
    assert '[sources.qpv_2024]\n      columns = { code_qp = ["codeqp"] }' in difference


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            "zone;Libellé;popMuniQPV\nQN02503M;x;1\n".encode("cp1252"),
            "expected a key column such as 'codeGeo'",
        ),
        (b"codeQPV;popMuniQPV;CODEQPV\nQN02503M;1;x\n", "expected each column once"),
        (b"codeQPV;popMuniQPV\nQP025003;1\n", "2015 geography in place of 2024"),
        (b"codeQPV;populationMuniQPV\nQN02503M;1\n", "perhaps renamed to 'populationMuniQPV'"),
    ],
)
def test_a_table_that_breaks_its_contract_is_a_difference(
    data: bytes, words: str, probed: Probed, sites: OfficialSites
) -> None:
    sites.publish("insee_population", data)
    (difference,) = probed("insee_population").differences
    assert words in difference


def test_a_column_that_is_left_out_is_a_difference(
    probed: Probed, sites: OfficialSites, tmp_path: Path
) -> None:
    write_csv(tmp_path / "rpls.csv", [["CodGeo", "nbLsPls", "txVac"], ["QN02503M", "4800", "x"]])
    sites.publish("insee_logement_social", zipped(tmp_path), name="RPLS_01-01-2025_QPV_2024.zip")
    left_out, *missing = probed("insee_logement_social").differences
    assert "Colonne txVac écartée" in left_out
    assert "found 'x' at line 2" in left_out
    assert all(text.startswith("no column of indicator") for text in missing)


@pytest.mark.parametrize("content", [b'[{"code": "25056"}]', b"[" * 100_000 + b"]" * 100_000])
def test_geojson_of_another_shape_is_a_difference(
    probed: Probed, sites: OfficialSites, content: bytes
) -> None:
    sites.publish("communes_epci", content)
    (difference,) = probed("communes_epci").differences
    assert "expected GeoJSON, found" in difference


def test_lines_that_end_as_on_old_macs_are_a_difference(probed: Probed, sites: OfficialSites) -> None:
    sites.publish("correspondance_2024_2015", b"QP2024;QP2015_1\rQN02503M;QP025003\r")
    (difference,) = probed("correspondance_2024_2015").differences
    assert "its first line is not a header of columns" in difference


def test_rows_that_leave_out_empty_values_are_as_declared(probed: Probed, sites: OfficialSites) -> None:
    rows = b'[{"code": "1", "nom": "a"}, {"code": "2", "type": "CU", "membres": []}]'
    sites.publish("cog_epci", rows, name="epci.json")
    assert probed("cog_epci").differences == ()


def test_the_fields_of_a_shapefile_are_compared(probed: Probed, sites: OfficialSites, tmp_path: Path) -> None:
    frame = gpd.GeoDataFrame(
        {"CODE_QP": ["QP025001"], "NOM": ["Planoise"]}, geometry=[box(0, 0, 1, 1)], crs=2154
    )
    (tmp_path / "zip").mkdir()
    frame.to_file(tmp_path / "zip" / "QP_METROPOLE_LB93.shp")
    sites.publish("qpv_2015", zipped(tmp_path / "zip"), name="qp-politiquedelaville-shp.zip")
    (difference,) = probed("qpv_2015").differences
    assert "expected column 'NOM_QP' or 'nom_qp'" in difference
    assert "expected column 'COMMUNE_QP' or 'commune_qp'" in difference
    assert "the file has 'CODE_QP', 'NOM'" in difference


def test_a_shapefile_that_cannot_be_read_is_a_difference(probed: Probed, sites: OfficialSites) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("QP_METROPOLE_LB93.shp", struct.pack(">i", 9994))
    sites.publish("qpv_2015", packed.getvalue(), name="qp-politiquedelaville-shp.zip")
    (difference,) = probed("qpv_2015").differences
    assert "expected one Shapefile with its .shx and .dbf, found QP_METROPOLE_LB93.shp" in difference


def test_a_workbook_is_read(probed: Probed, sites: OfficialSites, tmp_path: Path) -> None:
    rows = [["Logement social", ""], ["codeGeo", "nbLsPls"], ["QN02503M", 4800.0]]
    path = write_workbook(tmp_path / "RPLS.xlsx", {"QPV": rows, "Documentation": [["Champ"]]})
    name = "RPLS_01-01-2025_QPV_2024.xlsx"
    sites.publish("insee_logement_social", path.read_bytes(), name=name)
    differences = probed("insee_logement_social").differences
    assert differences
    assert all(text.startswith("no column of indicator") for text in differences)
    sites.publish("insee_logement_social", path.read_bytes()[:2000], name=name)
    (difference,) = probed("insee_logement_social").differences
    assert "damaged or truncated" in difference


def test_a_probe_leaves_no_trace(probed: Probed, live: Settings) -> None:
    probed("qpv_2024")
    assert not live.data_dir.exists()


def test_a_probe_is_told_apart_by_commune(
    catalogue: Catalogue, besancon: Territory, live: Settings, sites: OfficialSites
) -> None:
    several = besancon.model_copy(update={"communes_principales": ("25056", "25429")})
    assert not probe(catalogue["iris"], several, live, Policy(), load_registry()).reachable
    assert "code_insee='25056'" in sites.requests[-1].path.replace("%27", "'")
