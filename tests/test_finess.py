"""FINESS: establishments of the territory out of the file of France, and which facilities they are."""

from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import shapely
from shapely import box

from qpv_geo.analysis.finess import finess_layer
from qpv_geo.audit.compare_tables import compare_finess
from qpv_geo.audit.mismatches import WrittenLayer
from qpv_geo.audit.originals import Originals
from qpv_geo.audit.shapes import shapes_of
from qpv_geo.checks import Check
from qpv_geo.errors import ConfigurationError, ContractError, SourceContentError
from qpv_geo.ingest.facilities import FacilityTable, load_facility_types
from qpv_geo.ingest.finess import FinessTable, load_comparable_types, read_finess
from qpv_geo.settings import Settings
from tests.essai import essai
from tests.raw_files import raw_file

LAMBERT = "1,ATLASANTE,96,BAN,EPSG:2154 RGF93 / Lambert-93 (Métropole)"
COMMUNES = gpd.GeoDataFrame(
    {"insee_com": ["25056", "75056"]},
    geometry=[box(920000, 6680000, 930000, 6690000), box(640000, 6855000, 660000, 6870000)],
    crs=2154,
)


def row(
    number: str, category: str = "620", commune: str = "056", department: str = "25", **cells: str
) -> str:
    """Return a line of the first section, in its 32 cells."""
    name = cells.get("name", f"ETABLISSEMENT {number}")
    address = ";;;;12;R;DE DOLE;;"
    label = {"620": "Pharmacie d'Officine", "355": "Centre Hospitalier (C.H.)"}.get(category, "Autre")
    return (
        f"structureet;{number};250000001;{name}{address};{commune};{department};DOUBS;25000 BESANCON;;;"
        f"{category};{label};3201;Agrégat;26250012300015;;01;Tarif libre;;;1990-01-01;1990-01-01;2024-02-29;"
    )


def at(number: str, x: str = "924500.0", y: str = "6687500.0", source: str = LAMBERT) -> str:
    return f"geolocalisation;{number};{x};{y};{source};2026-05-04"


def write(folder: Path, lines: Sequence[str], encoding: str = "utf-8") -> Path:
    path = folder / "etalab-cs1100507-stock-20260512-0343.csv"
    path.write_bytes(
        "".join(f"{line}\n" for line in ["finess;etalab;98;2026-05-12", *lines]).encode(encoding)
    )
    return path


def read(
    folder: Path, *lines: str, communes: gpd.GeoDataFrame = COMMUNES, encoding: str = "utf-8"
) -> tuple[FinessTable, dict[str, Check]]:
    raw = raw_file("finess", write(folder, lines, encoding))
    table, checks = read_finess(raw, communes, Settings(data_dir=folder))
    return table, {check.code: check for check in checks}


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_establishments_of_the_territory(encoding: str, tmp_path: Path) -> None:
    lines = [
        row("250000019", name='"PHARMACIE ""DU PÔLE""; SARL"'),
        row("250000027", "355"),
        # A line that has the place elsewhere, another commune, and an arrondissement of Paris.
        row("390000011", commune="001", department="39", name='"X;056;25;Y"'),
        row("250000035", commune="057"),
        row("750000012", commune="113", department="75"),
        at("250000027"),
        at("390000011"),
        at("250000019", "924600,5"),
    ]
    table, checks = read(tmp_path, *lines, encoding=encoding)
    assert table.vintage == "2026-05-12"
    rows = table.establishments.set_index("nofinesset")
    assert rows.index.tolist() == ["250000019", "250000027", "750000012"]
    assert rows.loc["250000019", "rs"] == 'PHARMACIE "DU PÔLE"; SARL'
    assert rows["insee_com"].tolist() == ["25056", "25056", "75056"]
    assert rows["x"].tolist()[:2] == [924600.5, 924500.0]
    assert rows.loc["250000027", "datemaj"] == pd.Timestamp("2024-02-29")
    assert checks["lecture_du_fichier"].found == "5 établissements, dont 3 dans le territoire"
    assert checks["finess_positions"].message.endswith(": 1 sans coordonnées.")


def test_a_position_that_is_of_the_commune_or_in_another_crs_is_none(tmp_path: Path) -> None:
    centre = LAMBERT.replace("96,BAN", ".,ADMIN-EXPRESS-2023")
    sources = [LAMBERT, centre, "4,ATLASANTE,.,MAPS,WGS84/UTM zone 1S", LAMBERT.replace("2154", "2975"), ""]
    sources.append("1,ATLASANTE,100,IGN,BD_ADRESSE,V2.2,LAMBERT_93")
    numbers = [f"25000000{place}" for place in range(len(sources))]
    table, checks = read(
        tmp_path,
        *map(row, numbers),
        *(at(number, source=source) for number, source in zip(numbers, sources, strict=True)),
    )
    assert table.establishments["x"].notna().tolist() == [True, False, False, False, False, True]
    assert checks["finess_positions"].outcome == "avertissement"
    assert "1 placés au centre de leur commune" in checks["finess_positions"].message
    assert checks["finess_positions"].found == "2"


def test_overseas_the_department_is_a_letter(tmp_path: Path) -> None:
    reunion = gpd.GeoDataFrame(
        {"insee_com": ["97411"]}, geometry=[box(330000, 7680000, 350000, 7700000)], crs=2975
    )
    source = LAMBERT.replace("EPSG:2154", "EPSG:2975")
    lines = row("970400024", "101", "411", "9D"), at("970400024", "338000", "7690000", source)
    table, _ = read(tmp_path, *lines, communes=reunion)
    assert table.establishments[["insee_com", "x"]].to_numpy().tolist() == [["97411", 338000.0]]


def test_a_number_that_is_there_twice(tmp_path: Path) -> None:
    same = row("250000019"), row("250000019"), at("250000019"), at("250000019")
    table, checks = read(tmp_path, *same)
    assert len(table.establishments) == 1
    assert checks["finess_doublons"].outcome == "avertissement"
    assert "250000019" in checks["finess_doublons"].message
    with pytest.raises(ContractError, match="250000019 with other cells in lines 2 and 3"):
        read(tmp_path, row("250000019"), row("250000019", "355"))
    # Another one's, elsewhere, are not ours.
    elsewhere = (row("010000011", kind, "001", "01") for kind in ("620", "355"))
    read(tmp_path, row("250000019"), *elsewhere)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([row("250000019")[:-2]], "expected 32 cells; found 31 at line 2"),
        ([row("250000019"), at("250000019", x="là")], "expected a number of metres; found 'là' at 250000019"),
        ([row("010000011", "620", "001", "01")], "expected establishments in the territory's communes"),
        (["250000019;PHARMACIE"], "expected lines that begin with 'structureet;'; found none"),
    ],
)
def test_files_of_another_shape(lines: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError) as error:
        read(tmp_path, *lines)
    assert message in str(error.value)
    assert "etalab-cs1100507" in str(error.value)


def test_a_page_in_place_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("<!DOCTYPE html><html></html>", encoding="utf-8")
    with pytest.raises(SourceContentError, match="web page"):
        read_finess(raw_file("finess", path), COMMUNES, Settings(data_dir=tmp_path))


# Beside the BPE

QPV = gpd.GeoDataFrame(
    {"code_qp": ["QN02503M"], "lib_qp": ["Planoise"]},
    geometry=[box(924000, 6687000, 925000, 6688000)],
    crs=2154,
)
TERRITORY = essai(qpv=1)


def establishments(*rows: tuple[str, float | None, float | None]) -> FinessTable:
    frame = pd.DataFrame(
        [
            (f"25000000{place}", "620" if kind == "D307" else kind, x, y)
            for place, (kind, x, y) in enumerate(rows)
        ],
        columns=["nofinesset", "categetab", "x", "y"],
    )
    return FinessTable(frame.assign(insee_com="25056"), "2026-05-12")


def facilities(*rows: tuple[str, float, float], absent: frozenset[str] = frozenset()) -> FacilityTable:
    points = pd.DataFrame(rows, columns=["type_equipement", "x", "y"]).assign(insee_com="25056")
    return FacilityTable(points, load_facility_types(), "2025", absent=absent)


def test_each_is_matched_once_the_nearest_first() -> None:
    table = establishments(("D307", 924500, 6687500), ("D307", 924540, 6687500), ("D307", 925500, 6687500))
    insee = facilities(
        ("D307", 924530, 6687500),
        ("D307", 924380, 6687500),
        ("D302", 925500, 6687500),
        ("D307", 925651, 6687500),
    )
    layer, compared = finess_layer(table, insee, QPV, COMMUNES, TERRITORY)
    assert layer["rapprochement"].tolist() == ["rapproché", "rapproché", "absent de la BPE"]
    assert layer["distance_bpe_m"].tolist()[:2] == [120, 10]
    assert layer["code_qp"].tolist() == ["QN02503M", "QN02503M", None]
    (labs, chemists) = sorted(compared, key=lambda one: one.theme)
    assert chemists.theme == "FINESS et BPE : Pharmacie"
    assert (chemists.first.value, chemists.second.value, chemists.result) == ("3", "3", "diverge")
    assert "dont 2 au même endroit" in chemists.message
    assert (labs.first.value, labs.second.value, labs.result) == ("1", "0", "diverge")


def test_what_cannot_be_compared_says_so() -> None:
    table = establishments(("999", 924500, 6687500), ("D307", None, None), ("D307", 924500, 6687500))
    layer, compared = finess_layer(table, None, QPV, COMMUNES, TERRITORY)
    assert layer["rapprochement"].tolist() == ["sans type comparable", "impossible", "impossible"]
    assert not compared
    assert layer.geometry.isna().tolist() == [False, True, False]
    # INSEE renumbered pharmacies: that none is found says nothing.
    insee = facilities(("D265", 924500, 6687500), absent=frozenset({"D307"}))
    layer, compared = finess_layer(table, insee, QPV, COMMUNES, TERRITORY)
    assert layer["rapprochement"].iloc[2] == "impossible"
    assert not compared


def test_both_agree() -> None:
    both = ("D307", 924500.0, 6687500.0)
    layer, (row,) = finess_layer(establishments(both), facilities(both), QPV, COMMUNES, TERRITORY)
    assert row.result == "concorde"
    assert layer["type_equipement"].tolist() == ["D307"]


def test_compared_types_are_counted_ones(tmp_path: Path) -> None:
    assert set(load_comparable_types().values()) <= set(load_facility_types()["type_equipement"])
    path = tmp_path / "finess.toml"
    path.write_text("[D1]\ncategories = { 620 = 'a' }\n[D2]\ncategories = { 620 = 'a' }", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="two types"):
        load_comparable_types(path)


# What was published, against the file


def test_each_wrong_cell_is_found(tmp_path: Path) -> None:
    lines = row("250000019"), row("250000027", "355"), at("250000019"), row("390000011", "620", "001", "39")
    raw = raw_file("finess", write(tmp_path, lines))
    table, _ = read_finess(raw, COMMUNES, Settings(data_dir=tmp_path))
    layer, _ = finess_layer(table, None, QPV, COMMUNES, TERRITORY)

    def mismatches(layer: gpd.GeoDataFrame) -> list[str]:
        written = WrittenLayer(
            tmp_path / "x.gpkg", "etablissements_finess", pd.DataFrame(layer), layer.geometry.to_numpy(), 2154
        )
        originals = Originals({"finess": raw}, (), Settings(data_dir=tmp_path))
        found = compare_finess({"etablissements_finess": written}, originals)
        return [f"{mismatch.row} {mismatch.field}" for mismatch in found]

    assert not mismatches(layer)
    assert mismatches(layer.assign(rs="AUTRE")) == ["250000019 rs", "250000027 rs"]
    assert mismatches(layer.assign(datemaj=None)) == ["250000019 datemaj", "250000027 datemaj"]
    assert mismatches(layer.set_geometry(layer.translate(1))) == ["250000019 geometry"]
    assert mismatches(layer.assign(nofinesset=["250000019", "250000099"])) == [
        "250000027 rs",
        "250000099 rs",
    ]
    assert mismatches(layer.iloc[:1]) == ["250000027 rs"]


def test_points_of_geojson() -> None:
    points = [
        {"type": "Point", "coordinates": [6, 47, 300]},
        None,
        {"type": "Point", "coordinates": [7, 48, 0]},
    ]
    assert shapely.to_wkt(shapes_of(points)).tolist() == ["POINT (6 47)", None, "POINT (7 48)"]
    with pytest.raises(ValueError, match="points and other geometries"):
        shapes_of([points[0], {"type": "Polygon", "coordinates": []}])
