"""Files of the territory with the faults of an office: what is read, or said to their owner."""

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import geopandas as gpd
import pyogrio
import pytest
from shapely import box

from qpv_geo.audit.originals import read_features
from qpv_geo.errors import ContractError, QpvGeoError, SourceContentError
from qpv_geo.formats.fingerprint import fingerprint
from qpv_geo.ingest.communes import read_communes
from qpv_geo.ingest.local_contours import read_local_contours
from qpv_geo.ingest.registry import load_registry
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import load_catalogue
from qpv_geo.sources.raw import digest, parts_of
from qpv_geo.territory import Territory
from tests.raw_files import raw_file, shipped, six_qpv, write_zip
from tests.test_local_contours import KEY, declaring, districts, raw_of, written

OF_A_PUBLISHER = ("publisher", "catalogue", "official", "http", "download")


def read(
    territory: Territory, settings: Settings, *, communes: gpd.GeoDataFrame | None = None
) -> gpd.GeoDataFrame:
    raw = raw_of(territory, settings)
    contours, _ = read_local_contours(raw, territory.files[KEY], territory, communes, settings)
    return contours


def told(error: pytest.ExceptionInfo[QpvGeoError], path: Path, *parts: str) -> None:
    """Assert that an error speaks of the file to its owner, and of nothing that a publisher would do."""
    message = str(error.value)
    assert str(path) in message
    assert "What to do: " in message
    for part in parts:
        assert part in message, f"{part!r} is not in: {message}"
    for word in OF_A_PUBLISHER:
        assert word not in message.lower(), f"{word!r} is in: {message}"


@pytest.fixture
def communes(settings: Settings) -> gpd.GeoDataFrame:
    path = shipped("geo-api/epcis/242500361/communes.geojson")
    return read_communes(raw_file("communes_epci", path), settings, 2154)[2154]


# ---------------------------------------------------------------- a GeoPackage that is open


@contextmanager
def opened_in_qgis(path: Path, name: str) -> Iterator[None]:
    """Rename the first district as QGIS does: in a database in WAL mode that stays open."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA wal_autocheckpoint = 0")
        with database:
            database.execute("UPDATE q SET nom = ? WHERE fid = 1", (name,))
        assert path.with_name(f"{path.name}-wal").stat().st_size > 0
        yield


def geopackage(path: Path, frame: gpd.GeoDataFrame | None = None) -> Path:
    frame = districts(nom=["Battant", "Chaprais"]) if frame is None else frame
    pyogrio.write_dataframe(frame, path, layer="q", spatial_index=False)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    # The index of the WAL belongs to whoever has the file open.
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}


def test_saved_edits_are_read_and_the_file_is_left_alone(
    tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    territory = declaring(besancon, geopackage(tmp_path / "q.gpkg"))
    closed = raw_of(territory, settings)
    with opened_in_qgis(tmp_path / "q.gpkg", "Velotte"):
        before = contents(tmp_path)
        assert b"Velotte" not in before["q.gpkg"]
        assert read(territory, settings)["nom"].tolist() == ["Velotte", "Chaprais"]
        raw = raw_of(territory, settings)
        assert contents(tmp_path) == before
        assert {path.name for path in tmp_path.iterdir()} == {"q.gpkg", "q.gpkg-wal", "q.gpkg-shm"}
    assert raw.sha256 != closed.sha256
    assert raw.size == sum(len(before[name]) for name in ("q.gpkg", "q.gpkg-wal"))


def test_the_checksum_covers_the_edits(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    territory = declaring(besancon, geopackage(tmp_path / "q.gpkg"))
    sums = set()
    prints = set()
    for name in ("Velotte", "Montjoux"):
        with opened_in_qgis(tmp_path / "q.gpkg", name):
            sums.add(raw_of(territory, settings).sha256)
            prints.add(fingerprint_of(territory))
    assert len(sums) == len(prints) == 2


def fingerprint_of(territory: Territory) -> str:
    return fingerprint({}, territory, load_catalogue(), load_registry())


def test_a_reader_that_comes_and_goes_changes_nothing(
    tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    territory = declaring(besancon, geopackage(tmp_path / "q.gpkg"))
    with closing(sqlite3.connect(tmp_path / "q.gpkg")) as database:
        database.execute("PRAGMA journal_mode = WAL")
    alone = raw_of(territory, settings)
    with closing(sqlite3.connect(tmp_path / "q.gpkg")) as database:
        assert database.execute("SELECT count(*) FROM q").fetchone() == (2,)
        assert (tmp_path / "q.gpkg-shm").exists()
        assert raw_of(territory, settings).sha256 == alone.sha256
        assert read(territory, settings)["nom"].tolist() == ["Battant", "Chaprais"]


def test_a_transaction_that_was_broken_off_is_undone(
    tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    path = geopackage(tmp_path / "q.gpkg", districts(nom=["Battant", "Chaprais"]))
    other = tmp_path / "crashed"
    other.mkdir()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute("PRAGMA cache_size = 1")
        database.execute("BEGIN IMMEDIATE")
        database.execute("UPDATE q SET nom = 'Velotte'")
        database.execute("CREATE TABLE much AS SELECT randomblob(1000000) AS blob")
        # What a program leaves that is killed now.
        for file in tmp_path.glob("q.gpkg*"):
            shutil.copy(file, other)
        database.rollback()
    assert (other / "q.gpkg-journal").stat().st_size > 0
    before = contents(other)
    assert b"Velotte" in before["q.gpkg"]
    assert read(declaring(besancon, other / "q.gpkg"), settings)["nom"].tolist() == ["Battant", "Chaprais"]
    assert contents(other) == before


def test_the_second_reading_sees_the_same(tmp_path: Path, settings: Settings) -> None:
    frame = gpd.GeoDataFrame.from_features(six_qpv()["features"], crs=4326).drop(columns="fid")
    path = tmp_path / "qpv.gpkg"
    pyogrio.write_dataframe(frame, path, layer="qpv", spatial_index=False)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        with database:
            database.execute("UPDATE qpv SET lib_qp = 'Autre nom' WHERE code_qp = 'QN02503M'")
        raw = raw_file("qpv_2024", path, format="gpkg")
        assert read_features(raw, settings).table["lib_qp"]["QN02503M"] == "Autre nom"


def test_a_file_that_is_saved_while_it_is_read(
    tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    territory = declaring(besancon, geopackage(tmp_path / "q.gpkg"))
    raw = raw_of(territory, settings)
    with opened_in_qgis(tmp_path / "q.gpkg", "Velotte"), pytest.raises(SourceContentError) as error:
        read_local_contours(raw, territory.files[KEY], territory, None, settings)
    told(error, tmp_path / "q.gpkg", "the file changed while it was read", "run again")
    assert digest(tmp_path / "q.gpkg")[0] != raw.sha256


# ---------------------------------------------------------------- encodings


@pytest.mark.parametrize(
    ("actual", "declared", "parts"),
    [
        ("CP1252", "UTF-8", ("found UTF-8; the text is not UTF-8", "write 1252 into the .cpg file")),
        ("CP1252", "65001", ("found 65001; the text is not UTF-8", "write 1252 into the .cpg file")),
        ("UTF-8", "1252", ("found 1252; the text is UTF-8", "write UTF-8 into the .cpg file")),
        ("UTF-8", "ISO-8859-1\r\n", ("found ISO-8859-1; the text is UTF-8",)),
    ],
)
@pytest.mark.parametrize("suffix", ["shp", "zip"])
def test_a_cpg_that_lies(
    actual: str,
    declared: str,
    parts: tuple[str, ...],
    suffix: str,
    tmp_path: Path,
    besancon: Territory,
    settings: Settings,
) -> None:
    pyogrio.write_dataframe(districts(), tmp_path / "q.shp", encoding=actual)
    (tmp_path / "q.cpg").write_text(declared, newline="")
    if suffix == "zip":
        write_zip(tmp_path / "q.zip", {file.name: file.read_bytes() for file in tmp_path.glob("q.*")})
    with pytest.raises(ContractError) as error:
        read(declaring(besancon, tmp_path / f"q.{suffix}"), settings)
    told(error, tmp_path / f"q.{suffix}", ".cpg: expected the encoding of the text", *parts)


@pytest.mark.parametrize(
    ("actual", "declared"),
    [("CP1252", "1252"), ("CP1252", "ISO-8859-1"), ("UTF-8", "utf8"), ("UTF-8", None), ("CP1252", None)],
)
def test_a_cpg_that_tells_the_truth_or_nothing(
    actual: str, declared: str | None, tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    pyogrio.write_dataframe(districts(), tmp_path / "q.shp", encoding=actual)
    (tmp_path / "q.cpg").unlink()
    if declared:
        (tmp_path / "q.cpg").write_text(declared)
    assert read(declaring(besancon, tmp_path / "q.shp"), settings)["nom"].tolist() == [
        "Île Saint-Pierre",
        None,
    ]


def test_plain_letters_are_the_same_in_every_encoding(
    tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    pyogrio.write_dataframe(districts(nom=["Battant", "b"]), tmp_path / "q.shp", encoding="UTF-8")
    for declared in ("UTF-8", "1252"):
        (tmp_path / "q.cpg").write_text(declared)
        assert read(declaring(besancon, tmp_path / "q.shp"), settings)["nom"].tolist() == ["Battant", "b"]


# ---------------------------------------------------------------- archives and layers


@pytest.fixture
def two_layers(tmp_path: Path) -> Path:
    members = {}
    for name, first in (("Quartiers", "Battant"), ("cantons", "Besançon-1")):
        pyogrio.write_dataframe(districts(nom=[first, "b"]), tmp_path / f"{name}.shp")
        members |= {f"sig/{file.name}": file.read_bytes() for file in tmp_path.glob(f"{name}.*")}
    return write_zip(tmp_path / "two.zip", members)


def test_two_layers_in_one_zip(two_layers: Path, besancon: Territory, settings: Settings) -> None:
    with pytest.raises(SourceContentError) as error:
        read(declaring(besancon, two_layers), settings)
    told(
        error,
        two_layers,
        "expected one Shapefile, found 2: sig/Quartiers.shp, sig/cantons.shp",
        "name the one to read, without .shp, in 'quartiers_fichier.couche' of the territory file",
    )
    assert read(declaring(besancon, two_layers, couche="Quartiers"), settings)["nom"].tolist()[0] == "Battant"
    with pytest.raises(SourceContentError) as error:
        read(declaring(besancon, two_layers, couche="communes"), settings)
    told(error, two_layers, "expected a Shapefile named 'communes', found 2")


def test_a_zip_of_another_format(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    data = geopackage(tmp_path / "q.gpkg").read_bytes()
    path = write_zip(tmp_path / "q.zip", {"q.gpkg": data})
    with pytest.raises(SourceContentError) as error:
        read(declaring(besancon, path), settings)
    told(
        error,
        path,
        "expected a Shapefile, found q.gpkg",
        "give the file itself in 'quartiers_fichier.chemin'",
    )


def test_several_layers_in_a_geopackage(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    for layer in ("quartiers", "cantons"):
        districts().to_file(tmp_path / "q.gpkg", layer=layer)
    with pytest.raises(ContractError) as error:
        read(declaring(besancon, tmp_path / "q.gpkg"), settings)
    told(
        error, tmp_path / "q.gpkg", "name the one to read in 'quartiers_fichier.couche' of the territory file"
    )


@pytest.mark.parametrize("name", ["q.gpkg", "q.geojson", "q.zip"])
def test_a_damaged_file(name: str, tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    path = written(tmp_path / name, districts())
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceContentError) as error:
        read(declaring(besancon, path), settings)
    told(error, path, "correct the file, or what 'quartiers_fichier' says of it in the territory file")


# ---------------------------------------------------------------- coordinates


def test_metres_that_declare_no_crs(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    frame = districts().set_crs(None, allow_override=True)
    geojson, shapefile, database = (tmp_path / f"q.{suffix}" for suffix in ("geojson", "shp", "gpkg"))
    geojson.write_text(frame.to_json(), encoding="utf-8")
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        pyogrio.write_dataframe(frame, shapefile)
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        pyogrio.write_dataframe(frame, database)
    for path in (geojson, shapefile, database):
        with pytest.raises(ContractError) as error:
            read(declaring(besancon, path), settings)
        what_to_do = (
            'crs = "EPSG:2154" (Lambert-93), for example, under [quartiers_fichier] of the territory file'
        )
        told(error, path, "CRS: expected a CRS; found ", what_to_do)
        assert len(read(declaring(besancon, path, crs="EPSG:2154"), settings)) == 2
    with pytest.raises(ContractError, match="found metres, and GeoJSON that declares none is in degrees"):
        read(declaring(besancon, geojson), settings)


def test_a_district_far_from_the_territory(
    tmp_path: Path, besancon: Territory, settings: Settings, communes: gpd.GeoDataFrame
) -> None:
    lyon = box(842000, 6519000, 843000, 6520000)
    path = written(
        tmp_path / "q.gpkg",
        districts(nom=["Battant", "Part-Dieu"], geometry=[box(924000, 6687000, 925000, 6688000), lyon]),
    )
    with pytest.raises(ContractError) as error:
        read(declaring(besancon, path), settings, communes=communes)
    distance = communes.distance(lyon).min() / 1000
    told(
        error,
        path,
        f"expected a contour within 1 km of Grand Besançon Métropole; found {distance:.0f} km away "
        "at feature 2 (Part-Dieu)",
        "take these features out of the file, or correct its CRS ('quartiers_fichier.crs')",
    )
    assert "feature 1" not in str(error.value)
    # Without the communes nobody knows where the territory ends.
    assert len(read(declaring(besancon, path), settings)) == 2


def test_a_district_that_overhangs_the_territory(
    tmp_path: Path, besancon: Territory, settings: Settings, communes: gpd.GeoDataFrame
) -> None:
    west, south, _, _ = communes.total_bounds
    edge = communes.union_all().boundary.interpolate(0.3, normalized=True)
    assert west < edge.x
    assert south < edge.y
    near = edge.buffer(400)
    path = written(tmp_path / "q.gpkg", districts(nom=["a", "b"], geometry=[near, near.buffer(500)]))
    assert len(read(declaring(besancon, path), settings, communes=communes)) == 2


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("=cmd|' /C calc'!A0", "a name that no spreadsheet takes for a formula"),
        ("+33 3 81", "a name that no spreadsheet takes for a formula"),
        ("-Battant", "a name that no spreadsheet takes for a formula"),
        (" @SUM(1)", "a name that no spreadsheet takes for a formula"),
        ("Bat\x07tant", "text without control characters"),
        ("Bat\x00tant", "text without control characters"),
        ("Bat\ufffetant", "text without control characters"),
        ("Bat\ud800tant", "text without control characters"),
        ({"fr": "Battant"}, "text"),
        (["Battant"], "text"),
    ],
)
def test_a_name_that_cannot_be_published(
    name: object, expected: str, tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    document = json.loads(districts(4326).to_json())
    document["features"][1]["properties"]["nom"] = name
    path = tmp_path / "q.geojson"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ContractError) as error:
        read(declaring(besancon, path), settings)
    told(error, path, f"nom: expected {expected}", "at feature 2")


def test_a_number_is_a_name(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    path = written(tmp_path / "q.gpkg", districts())
    assert read(declaring(besancon, path, champ_nom="id"), settings)["nom"].tolist() == ["1", "2"]


def test_a_key_twice(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    path = tmp_path / "q.geojson"
    text = districts(4326, nom=["Battant", "Chaprais"]).to_json()
    path.write_text(text.replace('"nom": "Chaprais"', '"nom": "Chaprais", "nom": "x"'), encoding="utf-8")
    with pytest.raises(ContractError) as error:
        read(declaring(besancon, path), settings)
    told(error, path, "expected each column once; found 'nom' twice at feature 2")


def test_the_checksum_of_a_shapefile_is_that_of_all_its_files(tmp_path: Path) -> None:
    pyogrio.write_dataframe(districts(), tmp_path / "q.shp")
    (tmp_path / "q.txt").write_text("notes", encoding="utf-8")
    (tmp_path / "r.dbf").write_bytes(b"another")
    parts = parts_of(tmp_path / "q.shp")
    assert set(parts) == {"q.shp", "q.shx", "q.dbf", "q.prj", "q.cpg"}
    lines = [
        f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n" for name, path in sorted(parts.items())
    ]
    expected = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert digest(tmp_path / "q.shp") == (expected, sum(path.stat().st_size for path in parts.values()))
