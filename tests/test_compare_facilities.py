"""The published places of facilities are those of INSEE's lines, each with its number."""

from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
from shapely import box

from qpv_geo.analysis.facilities import locate_facilities
from qpv_geo.audit.compare_tables import compare_facilities
from qpv_geo.audit.mismatches import WrittenLayer
from qpv_geo.audit.originals import Originals
from qpv_geo.errors import PublicationError
from qpv_geo.ingest.facilities import read_facilities
from qpv_geo.settings import Settings
from qpv_geo.sources.raw import RawFile
from tests.raw_files import raw_file, write_csv

HEADER = ["TYPEQU", "DEPCOM", "LAMBERT_X", "LAMBERT_Y", "EPSG", "QUALITE_GEOLOC"]
COMMUNE = box(920000, 6680000, 930000, 6690000)
QPV = gpd.GeoDataFrame(
    {"code_qp": ["QN02503M"], "lib_qp": ["Planoise"]},
    geometry=[box(924000, 6687000, 925000, 6688000)],
    crs=2154,
)
Places = tuple[pd.DataFrame, RawFile]


@pytest.fixture
def places(tmp_path: Path, settings: Settings) -> Places:
    def row(kind: str, x: str, quality: str = "11", y: str = "6687500") -> list[str]:
        return [kind, "25056", x, y, "2154", quality]

    rows = [
        HEADER,
        *(row("D265", "924500") for _ in range(3)),
        row("D265", "924500", "33"),
        row("D307", "925400,5"),
        row("D307", "925600"),
        row("B207", "924500"),
        row("D281", "", y=""),
    ]
    raw = raw_file("bpe", write_csv(tmp_path / "BPE25.csv", rows, "utf-8"))
    communes = gpd.GeoDataFrame({"insee_com": ["25056"]}, geometry=[COMMUNE], crs=2154)
    table, _ = read_facilities(raw, communes, settings)
    layer = locate_facilities(table.points, table.types, QPV, table.vintage)
    return pd.DataFrame(layer.drop(columns="geometry")), replace(raw, extract=table.extract)


def mismatches(table: pd.DataFrame, raw: RawFile, settings: Settings) -> list[str]:
    kinds = pd.DataFrame({"type_equipement": ["D265", "D281", "D307"]})
    release = {
        "equipements_lieux": WrittenLayer(Path("x.gpkg"), "equipements_lieux", table, epsg=2154),
        "equipements": WrittenLayer(Path("x.gpkg"), "equipements", kinds),
        "qpv": WrittenLayer(Path("x.gpkg"), "qpv", QPV[["code_qp"]], QPV.geometry.to_numpy(), 2154),
    }
    found = compare_facilities(release, Originals({"bpe": raw}, (), settings))
    return [f"{mismatch.row}: {mismatch.published}, not {mismatch.expected}" for mismatch in found]


def test_what_was_read_is_what_is_there(places: Places, settings: Settings) -> None:
    table, raw = places
    assert list(table["nombre"]) == [3, 1]
    assert not mismatches(table, raw, settings)
    # The whole file of the country is not read again.
    assert not mismatches(table.iloc[:0], replace(raw, extract=None), settings)


def test_a_wrong_number_a_moved_place_and_a_lost_one_are_found(places: Places, settings: Settings) -> None:
    table, raw = places
    assert mismatches(table.assign(nombre=[2, 1]), raw, settings) == ["D265 / 924500.0 / 6687500.0: 2, not 3"]
    assert mismatches(table.iloc[:1], raw, settings) == ["D307 / 925400.5 / 6687500.0: no row, not 1"]
    assert len(mismatches(table.assign(x=table["x"] + 1), raw, settings)) == 4


def test_lines_that_were_changed_since_prove_nothing(places: Places, settings: Settings) -> None:
    table, raw = places
    assert raw.extract
    raw.extract.path.write_bytes(raw.extract.path.read_bytes().replace(b"924500", b"924501"))
    with pytest.raises(PublicationError, match="changed during the run"):
        mismatches(table, raw, settings)
