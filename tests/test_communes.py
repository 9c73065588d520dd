"""Contours of the communes."""

import gzip
import json
from pathlib import Path

import pytest

from qpv_geo.errors import SourceContentError
from qpv_geo.ingest.communes import read_communes, report_communes
from qpv_geo.settings import Settings
from tests.raw_files import raw_file, set_property, shipped, some_communes, write_json

EPCI_FILE = "geo-api/epcis/242500361/communes.geojson"
COLUMNS = {"insee_com", "nom_com", "siren_epci", "insee_dep", "insee_reg", "population"}


def test_the_shipped_communes(settings: Settings) -> None:
    communes = read_communes(raw_file("communes_epci", shipped(EPCI_FILE)), settings, 2154)[2154]
    assert set(communes.columns) == {*COLUMNS, "geometry", "ecart_reparation_m2"}
    assert len(communes) == 67
    assert communes.crs == 2154
    assert set(communes.geom_type) == {"MultiPolygon"}
    assert set(communes["siren_epci"]) == {"242500361"}
    assert communes["population"].dtype == "Int64"
    besancon = communes.set_index("insee_com").loc["25056"]
    assert besancon["nom_com"] == "Besançon"
    assert besancon["insee_reg"] == "27"
    # 65 km², published; the shipped contour is generalised.
    assert besancon.geometry.area == pytest.approx(65.05e6, rel=0.02)
    assert [(c.code, c.outcome, c.found) for c in report_communes([communes], "communes_epci")] == [
        ("lecture_du_fichier", "conforme", "67 communes"),
        ("contours_repares", "conforme", "0"),
    ]


def test_each_part_of_france_in_its_projection(mirror: Path, settings: Settings) -> None:
    raw = raw_file("communes_france", mirror / "etalab" / "communes-1000m.geojson.gz")
    metropolitan = read_communes(raw, settings, 2154)[2154]
    assert len(metropolitan) == 34867 - 129
    assert metropolitan["insee_com"].is_unique
    assert not metropolitan["insee_com"].str.startswith("97").any()
    # Published: 544,000 km² with inland waters.
    assert metropolitan.area.sum() == pytest.approx(544e9, rel=0.01)
    without_epci = metropolitan.loc[metropolitan["siren_epci"].isna(), "nom_com"]
    assert "Île-de-Bréhat" in set(without_epci)
    antilles = read_communes(raw, settings, 5490)[5490]
    assert set(antilles["insee_dep"]) == {"971", "972"}
    assert antilles.area.sum() == pytest.approx(1628e6 + 1128e6, rel=0.1)


def test_compressed_or_bare(tmp_path: Path, settings: Settings) -> None:
    collection = some_communes()
    bare = write_json(tmp_path / "communes.geojson", collection)
    packed = tmp_path / "communes.geojson.gz"
    packed.write_bytes(gzip.compress(bare.read_bytes()))
    frames = [read_communes(raw_file("communes_epci", path), settings, 2154)[2154] for path in (bare, packed)]
    assert frames[0].equals(frames[1])


def test_an_unknown_population_is_not_zero(tmp_path: Path, settings: Settings) -> None:
    collection = some_communes()
    set_property("population", None)(collection)
    set_property("codeEpci", "", 1)(collection)
    path = write_json(tmp_path / "communes.geojson", collection)
    communes = read_communes(raw_file("communes_epci", path), settings, 2154)[2154]
    assert communes["population"].isna().tolist() == [True, False, False]
    assert communes["siren_epci"].tolist() == ["242500361", None, "242500361"]
    assert communes["population"].iloc[1] == collection["features"][1]["properties"]["population"]


def test_a_truncated_gzip(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "communes.geojson.gz"
    path.write_bytes(gzip.compress(json.dumps(some_communes()).encode())[:-20])
    with pytest.raises(SourceContentError, match=r"communes\.geojson\.gz.*(damaged|truncated)"):
        read_communes(raw_file("communes_epci", path), settings, 2154)[2154]
