"""The GeoPackage: types, missing values, French descriptions, bytes that depend on the inputs alone."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely

from qpv_geo.audit.geopackage import StoredTable, parse_blob, read_geopackage
from qpv_geo.audit.readers import written_layer
from qpv_geo.errors import PublicationError
from qpv_geo.formats.fields import Layer
from qpv_geo.formats.frames import Frames, conform
from qpv_geo.formats.geopackage import gdal_options, geopackage_name, write_geopackage
from tests.publishing import BESANCON, content_of, declared, frames_of, inputs

ORIGIN = content_of({}).spec.origin


def write(folder: Path, frames: Frames, layers: dict[str, Layer] | None = None) -> Path:
    write_geopackage(folder, content_of(frames, layers))
    return folder / geopackage_name(BESANCON.id)


@pytest.fixture(scope="module")
def frames() -> Frames:
    return frames_of(inputs())


@pytest.fixture(scope="module")
def package(frames: Frames, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("gpkg"), frames)


@pytest.fixture
def database(package: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(package)) as connection:
        yield connection


def test_gdal_opens_every_layer_with_its_rows_crs_and_type(package: Path, frames: Frames) -> None:
    found = {str(name): kind for name, kind in pyogrio.list_layers(package)}
    assert set(found) == set(frames), "GDAL lists what has a geometry first"
    for name, frame in frames.items():
        info = pyogrio.read_info(package, layer=name)
        spatial = isinstance(frame, gpd.GeoDataFrame)
        assert found[name] == ("MultiPolygon" if spatial else None)
        assert info["crs"] == ("EPSG:2154" if spatial else None)
        assert info["features"] == len(frame)
        assert info["fields"].tolist() == list(declared()[name].fields)


def test_it_is_a_geopackage_1_3_in_journal_mode_delete(database: sqlite3.Connection, package: Path) -> None:
    assert database.execute("PRAGMA user_version").fetchone() == (10300,)
    assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert [path.name for path in package.parent.iterdir()] == [package.name]


def test_layers_carry_title_and_description_with_the_origin(database: sqlite3.Connection) -> None:
    for name, layer in declared().items():
        row = database.execute(
            "SELECT identifier, description, last_change FROM gpkg_contents WHERE table_name = ?", (name,)
        ).fetchone()
        if row:
            assert row == (layer.title, f"{layer.abstract} {ORIGIN}", "2026-01-15T00:00:00.000Z")


def test_fields_carry_alias_description_and_unit(database: sqlite3.Connection) -> None:
    rows = {
        (table, column): (name, title, description)
        for table, column, name, title, description in database.execute(
            "SELECT table_name, column_name, name, title, description FROM gpkg_data_columns"
        )
    }
    assert rows["qpv", "surface_m2"] == (
        "Surface",
        "Surface",
        "Mesurée dans la projection de la couche. Unité : m².",
    )
    assert rows["qpv", "code_qp"] == ("Code du QPV", "Code du QPV", None)
    assert rows["qpv", "taux_pauvrete_60"][0].startswith("Taux de pauvreté au seuil de 60\u202f%")
    extension = database.execute(
        "SELECT scope FROM gpkg_extensions WHERE extension_name = 'gpkg_schema' ORDER BY table_name"
    ).fetchall()
    assert extension == [("read-write",), ("read-write",)]


EVERY_TYPE = Layer.model_validate(
    {
        "name": "tout",
        "title": "Tout",
        "abstract": "Chaque type.",
        "key": ["code"],
        "geometry": "MultiPolygon",
        "fields": {
            kind: {"type": kind if kind != "code" else "text", "alias": kind}
            for kind in ("code", "text", "integer", "real", "boolean", "date", "datetime")
        },
    }
)


def every_type() -> gpd.GeoDataFrame:
    square = shapely.box(900_000, 6_600_000, 900_100, 6_600_100)
    return gpd.GeoDataFrame(
        {
            "code": ["plein", "vide"],
            "text": ["Hauts de Saint-Claude ; « é »", None],
            "integer": pd.array([2**53 + 1, None], dtype="Int64"),
            "real": [0.1, np.nan],
            "boolean": pd.array([True, None], dtype="boolean"),
            "date": [date(2024, 1, 1), None],
            "datetime": [datetime(2026, 1, 15, 20, 43, 23, tzinfo=UTC), None],
        },
        geometry=[square, square],
        crs=2154,
    )


def test_every_type_is_declared_and_its_missing_values_are_null(tmp_path: Path) -> None:
    layers = {"tout": EVERY_TYPE}
    path = write(tmp_path, conform({"tout": every_type()}, layers, 2154), layers)
    with closing(sqlite3.connect(path)) as database:
        columns = database.execute("SELECT name, type FROM pragma_table_info('tout')").fetchall()
        rows = database.execute(
            "SELECT code, text, integer, real, boolean, date, datetime FROM tout"
        ).fetchall()
    assert dict(columns) == {
        "fid": "INTEGER",
        "geom": "MULTIPOLYGON",
        "code": "TEXT",
        "text": "TEXT",
        "integer": "INTEGER",
        "real": "REAL",
        "boolean": "BOOLEAN",
        "date": "DATE",
        "datetime": "DATETIME",
    }
    full = "Hauts de Saint-Claude ; « é »", 2**53 + 1, 0.1, 1, "2024-01-01", "2026-01-15T20:43:23.000Z"
    assert rows == [("plein", *full), ("vide", *[None] * 6)]


def test_an_empty_layer_keeps_its_type_crs_fields_and_index(tmp_path: Path) -> None:
    layers = {"tout": EVERY_TYPE}
    path = write(tmp_path, conform({"tout": every_type().iloc[:0]}, layers, 2154), layers)
    info = pyogrio.read_info(path, layer="tout")
    assert (info["geometry_type"], info["crs"], info["features"]) == ("MultiPolygon", "EPSG:2154", 0)
    types = ["object", "object", "int64", "float64", "bool", "datetime64[D]", "datetime64[ms]"]
    assert info["dtypes"].tolist() == types
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM rtree_tout_geom").fetchone() == (0,)
    assert len(written_layer(path, read_geopackage(path), EVERY_TYPE).attributes) == 0


def test_the_same_layers_give_the_same_bytes_wherever_they_are_written(
    package: Path, frames: Frames, tmp_path: Path
) -> None:
    other = tmp_path / "un autre dossier"
    other.mkdir()
    assert write(other, frames).read_bytes() == package.read_bytes()


def test_the_clock_of_gdal_is_given_back(tmp_path: Path, frames: Frames) -> None:
    with gdal_options(OGR_CURRENT_DATE="2001-01-01T00:00:00.000Z"):
        write(tmp_path, frames)
        assert pyogrio.get_gdal_config_option("OGR_CURRENT_DATE") == "2001-01-01T00:00:00.000Z"
    assert pyogrio.get_gdal_config_option("OGR_CURRENT_DATE") is None


def test_what_was_written_is_read_back_without_gdal(package: Path, frames: Frames) -> None:
    tables = read_geopackage(package)
    assert list(tables) == list(frames), "all layers, and not QGIS's styles"
    assert list(read_geopackage(package, ["statistiques", "absente"])) == ["statistiques"]
    for name, frame in frames.items():
        written = written_layer(package, tables, declared()[name])
        pd.testing.assert_frame_equal(written.attributes, pd.DataFrame(frame[list(declared()[name].fields)]))
        if isinstance(frame, gpd.GeoDataFrame):
            assert written.epsg == 2154
            meant = shapely.to_wkb(frame.geometry.to_numpy())
            assert shapely.to_wkb(written.geometry).tolist() == meant.tolist()


def test_a_value_of_another_type_in_the_file_is_found_when_it_is_read_back(
    package: Path, tmp_path: Path
) -> None:
    path = tmp_path / "t.gpkg"
    path.write_bytes(package.read_bytes())
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE statistiques SET valeur = 'beaucoup'")
        database.commit()
    with pytest.raises(PublicationError, match=r"layer statistiques: cannot be read back.*'beaucoup'"):
        written_layer(path, read_geopackage(path), declared()["statistiques"])


@pytest.mark.parametrize(("blob", "what"), [(b"GP\0", "shorter"), (b"GP\0\x0f" + bytes(12), "envelope")])
def test_a_blob_that_is_not_a_geopackage_geometry_is_refused(blob: bytes, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        parse_blob(blob)


@pytest.mark.parametrize("blob", [b"GP", b"GP\0\1" + bytes(4) + b"\1\3", "texte"])
def test_a_geometry_that_cannot_be_read_is_explained(blob: object) -> None:
    table = StoredTable("QPV", pd.DataFrame({"geom": [None, blob]}, dtype=object), 2154)
    with pytest.raises(PublicationError, match="layer 'QPV': a geometry cannot be read"):
        _ = table.shapes


def test_a_big_endian_blob_with_envelope_is_read() -> None:
    point = shapely.Point(1, 2)
    header = b"GP\0\x02" + (2154).to_bytes(4, "big")
    envelope = np.array([1, 1, 2, 2], dtype=">f8").tobytes()
    blob = parse_blob(header + envelope + shapely.to_wkb(point))
    assert (blob.srs_id, blob.envelope, shapely.from_wkb(blob.wkb)) == (2154, (1, 1, 2, 2), point)
