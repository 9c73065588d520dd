import io
import struct
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import geopandas as gpd
import pytest
from shapely import box

from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Catalogue
from qpv_geo.sources.probe import Probe, probe
from qpv_geo.territory import Territory
from tests.server import OfficialSites, zipped

Probed = Callable[[str], Probe]


@pytest.fixture
def probed(catalogue: Catalogue, besancon: Territory, live: Settings) -> Probed:
    return lambda source_id: probe(catalogue[source_id], besancon, live)


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


def test_an_archive_with_every_table_has_no_difference(
    probed: Probed, sites: OfficialSites, tmp_path: Path
) -> None:
    assert "no member matches members.commune" in " ".join(probed("insee_filosofi").differences)
    for income in ("disponible", "declare"):
        for zone in ("QP", "COM", "EPCI", "DEP", "REG", "ENSQP"):
            name = f"indic-revenu-{income}-qp24-2021_{zone}.csv"
            (tmp_path / name).write_text("codgeo;DISP_TP60_A21\n", encoding="utf-8")
    (tmp_path / "meta_indic-revenu-disponible-qp24-2021_QP.csv").write_text("COD_VAR\n", encoding="utf-8")
    sites.publish("insee_filosofi", zipped(tmp_path))
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
    missing, found = probed("qpv_2024").differences
    assert missing == "no column 'code_qp'"
    assert found.startswith("columns found: fid, codeqp, lib_qp, insee_reg, ")
    assert found.endswith("; correct 'columns' in entry [qpv_2024] of qpv_geo/sources/catalogue.toml")


def test_a_table_without_its_key_or_with_a_double_column_is_a_difference(
    probed: Probed, sites: OfficialSites, catalogue: Catalogue
) -> None:
    sites.publish("insee_population", "zone;Libellé;zone\n".encode("cp1252"))
    missing, found, twice = probed("insee_population").differences
    accepted = ", ".join(catalogue["insee_population"].key)
    assert missing == f"no column 'key' (accepted: {accepted})"
    assert found.startswith(
        "columns found: zone, Libellé, zone; correct 'columns' in entry [insee_population]"
    )
    assert twice == "column 'zone' is there more than once"


def test_an_archive_without_its_dictionary_is_a_difference(
    probed: Probed, sites: OfficialSites, tmp_path: Path
) -> None:
    (tmp_path / "zip").mkdir()
    (tmp_path / "zip" / "rpls_QPV2024.csv").write_text("CODGEO;NB_LS\n", encoding="utf-8")
    sites.publish("insee_logement_social", zipped(tmp_path / "zip"))
    assert probed("insee_logement_social").differences[0] == (
        r"no member matches dictionary = '(?i)(.*/)?meta_.*\.csv'"
    )


def test_geojson_of_another_shape_is_a_difference(probed: Probed, sites: OfficialSites) -> None:
    sites.publish("communes_epci", b'[{"code": "25056"}]')
    (difference,) = probed("communes_epci").differences
    assert "is not the declared geojson" in difference


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
    *missing, found = probed("qpv_2015").differences
    assert missing == [
        "no column 'NOM_QP' (accepted: NOM_QP, nom_qp)",
        "no column 'COMMUNE_QP' (accepted: COMMUNE_QP, commune_qp)",
    ]
    assert found.startswith("columns found: CODE_QP, NOM; correct 'columns' in entry [qpv_2015]")


def test_a_shapefile_that_cannot_be_read_is_a_difference(probed: Probed, sites: OfficialSites) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("QP_METROPOLE_LB93.shp", struct.pack(">i", 9994))
    sites.publish("qpv_2015", packed.getvalue(), name="qp-politiquedelaville-shp.zip")
    (difference,) = probed("qpv_2015").differences
    assert "QP_METROPOLE_LB93.shp cannot be read" in difference


def test_the_sheet_of_a_workbook_is_compared(
    catalogue: Catalogue, besancon: Territory, settings: Settings, mirror: Path
) -> None:
    with OfficialSites(mirror) as genuine:
        there = Settings(data_dir=settings.data_dir, official_sites=genuine.url)
        source = catalogue["insee_demographie_2010"]
        assert probe(source, besancon, there).differences == ()
        renamed = source.model_copy(update={"member": "Feuille 1"})
        (difference,) = probe(renamed, besancon, there).differences
        assert "no sheet 'Feuille 1', found: Regions, Quartiers, Documentation" in difference
        genuine.publish("insee_demographie_2010", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504))
        (difference,) = probe(source, besancon, there).differences
        assert "the workbook cannot be read" in difference


def test_a_probe_leaves_no_trace(probed: Probed, live: Settings) -> None:
    probed("qpv_2024")
    assert not live.data_dir.exists()


def test_a_probe_is_told_apart_by_commune(
    catalogue: Catalogue, besancon: Territory, live: Settings, sites: OfficialSites
) -> None:
    several = besancon.model_copy(update={"communes_principales": ("25056", "25429")})
    assert not probe(catalogue["iris"], several, live).reachable
    assert "code_insee='25056'" in sites.requests[-1].path.replace("%27", "'")
