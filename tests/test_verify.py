"""Verification: for each rule a small broken release, and a sound one that keeps them all."""

import json
import sqlite3
import struct
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import shapely
from shapely.geometry.base import BaseGeometry

from qpv_geo.audit.geopackage import parse_blob
from qpv_geo.audit.rules import files
from qpv_geo.audit.rules.base import Finding
from qpv_geo.audit.verify import KINDS, verify_release
from qpv_geo.errors import PublicationError
from qpv_geo.releases.ledger import is_intact
from qpv_geo.releases.release import Release
from tests.publishing import edit, writable_copy
from tests.releases import edit_json, sign

GPKG, GEOJSON = "qpv_besancon.gpkg", "geojson/qpv.geojson"
# Those of styles, metadata and the project have broken releases of their own (`test_qgis_rules.py`).
RULES = {rule.code: (kind, rule) for kind in KINDS for rule in kind.rules if not rule.code.startswith("QGIS")}
Damage = Callable[[Path], object]
Case = tuple[str, Damage, str]


@pytest.fixture
def folder(release: Release, tmp_path: Path) -> Path:
    return writable_copy(release.path, tmp_path / "release")


@pytest.fixture
def one_file(release: Release, tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that copies a single file of the release into a folder, and returns the folder."""

    def copied(name: str) -> Path:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((release.path / name).read_bytes())
        return tmp_path

    return copied


def codes(findings: Iterable[Finding]) -> set[str]:
    return {finding.code for finding in findings}


def assert_breaks(case: Case, path: Path, name: str) -> None:
    """Apply the rule of a case, and no other."""
    code, damage, message = case
    damage(path)
    kind, rule = RULES[code]
    with closing(kind(path / name)) as file:
        found = rule.findings(file, name)
    assert any(message in finding.message for finding in found), [str(finding) for finding in found]
    assert {(finding.code, finding.file) for finding in found} == {(code, name)}


def rewrite(name: str, change: Callable[[dict[str, Any]], object]) -> Damage:
    """Change a JSON file of a release."""
    return lambda folder: edit_json(folder / name, change)


def named(cases: list[Case]) -> list[str]:
    return [f"{code}-{number}" for number, (code, *_) in enumerate(cases)]


def test_a_sound_release_keeps_every_rule(release: Release) -> None:
    assert verify_release(release.path) == []
    assert verify_release(release.path, quick=True) == []


def test_every_rule_has_a_code_of_its_own_and_a_public_text() -> None:
    rules = [rule for kind in KINDS for rule in kind.rules]
    assert len({rule.code for rule in rules}) == len(rules)
    assert all(rule.text for rule in rules)


def test_a_folder_that_is_not_there_is_explained(tmp_path: Path) -> None:
    with pytest.raises(PublicationError, match="no release is there; `qpv-geo releases list`"):
        verify_release(tmp_path / "absent")


# ------------------------------------------------------------------ GeoPackage


def sql(*statements: str) -> Damage:
    def damage(folder: Path) -> None:
        with edit(folder / GPKG) as database:
            database.execute("PRAGMA writable_schema = ON")
            for statement in statements:
                database.execute(statement)

    return damage


def at(offset: int, data: bytes) -> Damage:
    def damage(folder: Path) -> None:
        with (folder / GPKG).open("r+b") as stream:
            stream.seek(offset)
            stream.write(data)

    return damage


def blob(change: Callable[[bytes], bytes], *, and_index: bool = False) -> Damage:
    """Change the geometry of the first QPV; the spatial index follows only if asked."""

    def damage(folder: Path) -> None:
        with edit(folder / GPKG) as database:
            (before,) = database.execute("SELECT geom FROM qpv WHERE fid = 1").fetchone()
            index = database.execute("SELECT * FROM rtree_qpv_geom WHERE id = 1").fetchone()
            after = change(before)
            database.execute("UPDATE qpv SET geom = ? WHERE fid = 1", (after,))
            if and_index:
                west, south, east, north = shapely.bounds(shapely.from_wkb(parse_blob(after).wkb)).tolist()
                index = (1, west, east, south, north)
            database.execute("INSERT OR REPLACE INTO rtree_qpv_geom VALUES (?, ?, ?, ?, ?)", index)

    return damage


def with_shape(change: Callable[[BaseGeometry], BaseGeometry]) -> Callable[[bytes], bytes]:
    def rewritten(before: bytes) -> bytes:
        shape = change(shapely.from_wkb(parse_blob(before).wkb))
        return before[:3] + b"\x01" + before[4:8] + shapely.to_wkb(shape, byte_order=1, output_dimension=3)

    return rewritten


def bow_tie(shape: BaseGeometry) -> BaseGeometry:
    west, south, east, north = shape.bounds
    return shapely.MultiPolygon(
        [shapely.Polygon([(west, south), (east, north), (east, south), (west, north)])]
    )


def wal(folder: Path) -> None:
    with closing(sqlite3.connect(folder / GPKG)) as database:
        database.execute("PRAGMA journal_mode = WAL")


def beside(suffix: str) -> Damage:
    return lambda folder: (folder / f"{GPKG}{suffix}").write_bytes(b"")


GEOPACKAGES: list[Case] = [
    ("GPKG01", at(68, b"GP10"), "application_id is b'GP10'"),
    ("GPKG01", at(0, b"PK\x03\x04"), "does not begin as a SQLite 3 database"),
    ("GPKG02", sql("PRAGMA user_version = 10400"), "user_version is 10400"),
    ("GPKG03", sql("UPDATE sqlite_master SET rootpage = 3 WHERE name = 'sources'"), ""),
    (
        "GPKG04",
        sql("UPDATE gpkg_contents SET srs_id = 27572 WHERE table_name = 'qpv'"),
        "gpkg_spatial_ref_sys",
    ),
    ("GPKG05", wal, "journal mode is WAL"),
    ("GPKG05", beside("-wal"), "-wal lies beside it"),
    ("GPKG05", beside("-journal"), "-journal lies beside it"),
    ("GPKG06", sql("ALTER TABLE gpkg_extensions RENAME TO autre"), "missing: gpkg_extensions"),
    ("GPKG07", sql("CREATE TABLE intrus (fid INTEGER PRIMARY KEY)"), "tables not registered: intrus"),
    ("GPKG07", sql("DROP TABLE sources"), "registered without a table: sources"),
    ("GPKG08", sql("UPDATE gpkg_contents SET identifier = NULL WHERE table_name = 'qpv'"), "qpv: no title"),
    ("GPKG08", sql("UPDATE gpkg_contents SET data_type = 'tiles' WHERE table_name = 'sources'"), "'tiles'"),
    ("GPKG08", sql("UPDATE gpkg_contents SET last_change = '15/01/2026'"), "last_change '15/01/2026'"),
    ("GPKG09", sql("DELETE FROM gpkg_spatial_ref_sys WHERE srs_id = 4326"), "required: 4326"),
    ("GPKG09", sql("DELETE FROM gpkg_spatial_ref_sys WHERE srs_id = 2154"), "used: 2154"),
    ("GPKG10", sql("DELETE FROM gpkg_geometry_columns WHERE table_name = 'qpv'"), "feature tables"),
    ("GPKG10", sql("UPDATE gpkg_geometry_columns SET geometry_type_name = 'POINT'"), "not of type POINT"),
    (
        "GPKG10",
        sql("UPDATE gpkg_geometry_columns SET z = 1 WHERE table_name = 'epci'"),
        "epci: type 'MULTIPOLYGON', z 1",
    ),
    (
        "GPKG10",
        sql("UPDATE gpkg_geometry_columns SET srs_id = 4326 WHERE table_name = 'epci'"),
        "srs_id 4326 here, 2154",
    ),
    (
        "GPKG11",
        sql(
            "CREATE TABLE copie AS SELECT * FROM sources",
            "DROP TABLE sources",
            "ALTER TABLE copie RENAME TO sources",
        ),
        "sources: primary key",
    ),
    ("GPKG12", sql("ALTER TABLE sources ADD COLUMN montant MONEY"), "sources.montant: type 'MONEY'"),
    ("GPKG13", sql('ALTER TABLE sources RENAME COLUMN titre TO "Titre"'), "sources: Titre"),
    ("GPKG14", blob(lambda before: b"XX" + before[2:]), "wrong header in rows 1"),
    (
        "GPKG14",
        blob(lambda before: before[:4] + struct.pack("<i", 4326) + before[8:]),
        "wrong srs_id in rows 1",
    ),
    ("GPKG14", blob(with_shape(lambda shape: shapely.get_parts(shape)[0])), "wrong type in rows 1"),
    ("GPKG14", blob(with_shape(shapely.force_3d)), "wrong dimension in rows 1"),
    (
        "GPKG14",
        blob(lambda before: before[:3] + bytes([before[3] | 16]) + before[4:]),
        "wrong empty flag in rows 1",
    ),
    (
        "GPKG14",
        blob(lambda before: before[:3] + b"\x03" + before[4:8] + bytes(32) + parse_blob(before).wkb),
        "wrong envelope in rows 1",
    ),
    ("GPKG14", blob(lambda before: before[:5]), "cannot be checked: ValueError: shorter than its header"),
    ("GPKG15", blob(with_shape(bow_tie)), "qpv: not valid or empty in rows 1"),
    ("GPKG15", blob(with_shape(lambda _: shapely.MultiPolygon())), "qpv: not valid or empty in rows 1"),
    ("GPKG15", sql("UPDATE qpv SET geom = NULL WHERE fid = 1"), "qpv: 1 rows without geometry"),
    ("GPKG16", sql("UPDATE gpkg_contents SET max_x = max_x + 1 WHERE table_name = 'epci'"), "epci: ["),
    (
        "GPKG17",
        sql("DELETE FROM rtree_communes_geom WHERE id = 3"),
        "66 entries of the index for 67 geometries",
    ),
    (
        "GPKG17",
        sql("UPDATE rtree_communes_geom SET maxx = maxx + 10 WHERE id = 3"),
        "another envelope for rows 3",
    ),
    ("GPKG17", sql("DELETE FROM gpkg_extensions WHERE table_name = 'qpv'"), "qpv: no spatial index"),
    (
        "GPKG18",
        sql("UPDATE gpkg_extensions SET extension_name = 'maison' WHERE table_name = 'qpv'"),
        "'maison'",
    ),
    (
        "GPKG18",
        sql("UPDATE gpkg_extensions SET table_name = 'absente' WHERE table_name = 'qpv'"),
        "absente is not there",
    ),
    (
        "GPKG18",
        sql("UPDATE gpkg_extensions SET column_name = 'forme' WHERE table_name = 'qpv'"),
        "qpv.forme is not there",
    ),
    ("GPKG19", sql("DROP TABLE gpkg_data_columns"), "QGIS shows no alias"),
    (
        "GPKG19",
        sql("DELETE FROM gpkg_data_columns WHERE column_name = 'lib_qp'"),
        "no alias for bande_300m.lib_qp, contrat_de_ville.lib_qp",
    ),
    (
        "GPKG19",
        sql("UPDATE gpkg_data_columns SET column_name = 'autre' WHERE column_name = 'nom'"),
        "alias for what is not a field: quartiers_fragiles.autre",
    ),
]


@pytest.mark.parametrize("case", GEOPACKAGES, ids=named(GEOPACKAGES))
def test_a_broken_geopackage_breaks_its_rule(one_file: Callable[[str], Path], case: Case) -> None:
    assert_breaks(case, one_file(GPKG), GPKG)


def test_a_geopackage_that_is_no_database_does_not_stop_verification(folder: Path) -> None:
    (folder / GPKG).write_bytes(b"<html>503</html>")
    found = verify_release(folder, quick=True)
    assert "GPKG01" in codes(found)
    assert any("cannot be checked: DatabaseError" in finding.message for finding in found)


# ------------------------------------------------------------------ GeoJSON


def qpv(change: Callable[[dict[str, Any]], object]) -> Damage:
    return rewrite(GEOJSON, change)


def ring(document: dict[str, Any]) -> list[list[float]]:
    exterior: list[list[float]] = document["features"][0]["geometry"]["coordinates"][0][0]
    return exterior


def text(old: str, new: str) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / GEOJSON
        content = path.read_text(encoding="utf-8")
        assert old in content
        path.write_text(content.replace(old, new, 1), encoding="utf-8")

    return damage


def cross(document: dict[str, Any]) -> None:
    exterior = ring(document)
    exterior[3], exterior[40] = exterior[40], exterior[3]


GEOJSONS: list[Case] = [
    ("GEOJSON01", qpv(lambda document: document.update(type="Feature")), "not a FeatureCollection"),
    ("GEOJSON01", text('"code_qp":"QN02502M"', '"lib_qp":"X","code_qp":"QN02502M"'), "a name twice"),
    ("GEOJSON01", text('"type"', '\ufeff"type"'), "cannot be checked"),
    ("GEOJSON01", lambda folder: (folder / GEOJSON).write_text("[]"), "not a JSON object"),
    ("GEOJSON02", qpv(lambda document: document.update(crs={"type": "name"})), "crs member"),
    ("GEOJSON03", qpv(lambda document: document["features"][2].pop("properties")), "features 3"),
    (
        "GEOJSON03",
        qpv(lambda document: document["features"][0].update(geometry={"type": "LineString"})),
        "features 1",
    ),
    (
        "GEOJSON04",
        qpv(lambda document: ring(document)[1].reverse() or ring(document)[1].append(3)),
        "cannot be",
    ),
    (
        "GEOJSON04",
        qpv(
            lambda document: [
                point.append(0.0)
                for feature in document["features"]
                for part in feature["geometry"]["coordinates"]
                for r in part
                for point in r
            ]
        ),
        "positions are not pairs",
    ),
    ("GEOJSON04", qpv(lambda document: ring(document)[1].__setitem__(1, 6688835.0)), "leave the ranges"),
    ("GEOJSON05", qpv(lambda document: ring(document).pop()), "features 1"),
    ("GEOJSON06", qpv(lambda document: ring(document).reverse()), "features 1"),
    ("GEOJSON07", qpv(lambda document: document["bbox"].reverse()), "stated"),
    ("GEOJSON07", qpv(lambda document: document.pop("bbox")), "None stated"),
    ("GEOJSON08", qpv(cross), "features 1"),
    (
        "GEOJSON09",
        qpv(lambda document: ring(document)[2].__setitem__(0, 6.03631921234)),
        "more than 7 decimals",
    ),
]


@pytest.mark.parametrize("case", GEOJSONS, ids=named(GEOJSONS))
def test_a_broken_geojson_breaks_its_rule(one_file: Callable[[str], Path], case: Case) -> None:
    assert_breaks(case, one_file(GEOJSON), GEOJSON)


def test_a_feature_without_geometry_is_allowed(folder: Path) -> None:
    def remove_the_first(document: dict[str, Any]) -> None:
        document["features"][0]["geometry"] = None
        points = shapely.get_coordinates(
            [shapely.geometry.shape(feature["geometry"]) for feature in document["features"][1:]]
        )
        document["bbox"] = [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]

    rewrite("geojson/qpv_commune.geojson", remove_the_first)(folder)
    sign(folder)
    assert verify_release(folder, quick=True) == []


# ------------------------------------------------------------------ the release as a whole


def descriptor(change: Callable[[dict[str, Any]], object]) -> Damage:
    return rewrite("datapackage.json", change)


def table(name: str, change: Callable[[bytes], bytes]) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / "csv" / f"{name}.csv"
        before = path.read_bytes()
        path.write_bytes(change(before))
        assert path.read_bytes() != before
        sign(folder)

    return damage


def report(change: Callable[[dict[str, Any]], object]) -> Damage:
    return rewrite("rapport.json", change)


def replaced_by_a_link(folder: Path) -> None:
    """Put a link to the same bytes in place of a file: they can change later."""
    (folder / "rapport.html").rename(folder.with_name("ailleurs.html"))
    (folder / "rapport.html").symlink_to(folder.with_name("ailleurs.html"))


def moved(document: dict[str, Any]) -> None:
    ring = document["features"][0]["geometry"]["coordinates"][0][0]
    ring[1][0] += 0.0001


def renamed(document: dict[str, Any]) -> None:
    document["features"][2]["properties"]["lib_qp"] = "Autre nom"


RELEASES: list[Case] = [
    ("FILE01", lambda folder: (folder / "csv" / "qpv.csv").unlink(), "csv/qpv.csv is missing"),
    ("FILE01", lambda folder: (folder / "rapport.html").write_text("x"), "rapport.html is not the file"),
    ("FILE01", replaced_by_a_link, "rapport.html is a link"),
    ("FILE01", lambda folder: (folder / "datapackage.json").unlink(), "cannot be checked: FileNotFoundError"),
    ("FILE02", lambda folder: (folder / "notes.txt").write_text("x"), "notes.txt is not part of the release"),
    (
        "FILE02",
        lambda folder: (folder / "lien").symlink_to("rapport.html"),
        "lien is not part of the release",
    ),
    ("FILE02", lambda folder: (folder / "csv" / "vide").mkdir(), "csv/vide is not part of the release"),
    (
        "FILE02",
        lambda folder: (folder / "autres").symlink_to("csv", target_is_directory=True),
        "autres is not part of the release",
    ),
    ("FILE03", report(lambda document: document.pop("origine")), "origine"),
    ("FILE03", report(lambda document: document["publication"].update(id="autre")), "is that of autre"),
    (
        "FILE04",
        table("quartiers_fragiles", lambda data: data[: data.rindex(b"\r\n", 0, -2) + 2]),
        "quartiers_fragiles: 6 rows in the report, 5 in the CSV file",
    ),
    (
        "FILE07",
        rewrite("catalogue.jsonld", lambda document: document["dcat:dataset"]["dcat:distribution"].pop()),
        "rapport.json: None in the catalogue",
    ),
    (
        "FILE08",
        table("qpv", lambda data: data.replace(b";15603;", b";15604;")),
        "csv/qpv.csv: field population_municipale is not that of the GeoPackage in rows 2",
    ),
    (
        "FILE08",
        rewrite(
            "geojson/qpv.geojson", lambda document: document["features"][2]["properties"].update(lib_qp="X")
        ),
        "geojson/qpv.geojson: field lib_qp is not that of the GeoPackage in rows 3",
    ),
    (
        "FILE08",
        rewrite("geojson/qpv.geojson", lambda document: document["features"].pop()),
        "geojson/qpv.geojson: 5 rows, 6 in the GeoPackage",
    ),
    (
        "FILE08",
        rewrite("geojson/qpv.geojson", moved),
        "geojson/qpv.geojson: contours that are not those of the GeoPackage, in rows 1",
    ),
    (
        "FILE08",
        sql("DROP TABLE repartition", "DELETE FROM gpkg_contents WHERE table_name = 'repartition'"),
        "csv/repartition.csv: the GeoPackage has no layer repartition",
    ),
    ("FILE05", table("qpv", lambda data: data.removeprefix(b"\xef\xbb\xbf")), "no byte order mark"),
    ("FILE05", table("qpv", lambda data: data.replace(b"lib_qp", b"nom", 1)), "csv/qpv.csv: columns"),
    (
        "FILE06",
        table("qpv", lambda data: data.replace(b";15603;", b";beaucoup;")),
        "csv/qpv.csv: field population_municipale: expected number, found 'beaucoup' in row 3",
    ),
    (
        "FILE06",
        table("qpv", lambda data: data.replace(b"QN02503M", b"QN02502M")),
        "csv/qpv.csv: rows 3 repeat the key ['code_qp']",
    ),
    (
        "FILE06",
        table("qpv", lambda data: data.replace(b"QN02503M", b"")),
        "csv/qpv.csv: rows 3 lack the key ['code_qp']",
    ),
    (
        "FILE06",
        table("qpv", lambda data: data.replace(b"lib_qp", b"nom", 1)),
        "csv/qpv.csv: columns ['code_qp', 'nom', ",
    ),
    (
        "FILE06",
        table("qpv", lambda data: data.replace(b"QN02503M;", b"QN02503M;;", 1)),
        "cannot be checked: ArrowInvalid",
    ),
    (
        "FILE06",
        descriptor(lambda document: document["resources"][1].update(path="../autre.csv", format="autre")),
        "../autre.csv leads out of the release",
    ),
    (
        "FILE06",
        descriptor(lambda document: document["resources"][1].update(name=document["resources"][0]["name"])),
        "several resources have name",
    ),
    ("FILE06", descriptor(lambda document: document.update(profile="tabular-data-package")), "profile"),
    (
        "FILE06",
        descriptor(
            lambda document: document["resources"].append({"name": "datapackage", "path": "datapackage.json"})
        ),
        "the descriptor lists itself",
    ),
]


@pytest.mark.parametrize("case", RELEASES, ids=named(RELEASES))
def test_a_broken_release_breaks_its_rule(folder: Path, case: Case) -> None:
    assert_breaks(case, folder, ".")


def test_there_is_a_broken_release_for_every_rule() -> None:
    broken = {code for code, *_ in (*GEOPACKAGES, *GEOJSONS, *RELEASES)}
    assert broken == set(RULES)


def test_verification_applies_the_rules_of_every_kind_of_file(folder: Path) -> None:
    sql("PRAGMA user_version = 10400", "DELETE FROM layer_styles WHERE f_table_name = 'qpv'")(folder)
    qpv(lambda document: document.update(crs={"type": "name"}))(folder)
    (folder / "qpv_besancon.qgz").write_bytes(b"not a zip")
    found = {(finding.code, finding.file) for finding in verify_release(folder, quick=True)}
    assert found >= {
        ("FILE01", "."),
        ("GPKG02", GPKG),
        ("QGIS01", GPKG),
        ("GEOJSON02", GEOJSON),
        ("QGIS03", "qpv_besancon.qgz"),
    }


def test_a_digit_changed_in_any_file_is_found(folder: Path) -> None:
    """Sizes stay as they are: only the checksum tells."""
    listed = [
        resource["path"] for resource in json.loads((folder / "datapackage.json").read_bytes())["resources"]
    ]
    suffixes = {".gpkg", ".qgz", ".geojson", ".csv", ".html", ".json", ".jsonld"}
    assert {Path(name).suffix for name in listed} == suffixes
    assert is_intact(folder)
    for name in listed:
        path = folder / name
        before = path.read_bytes()
        middle = len(before) // 2
        path.write_bytes(before[:middle] + bytes([before[middle] ^ 1]) + before[middle + 1 :])
        found = files.checksums.findings(files.Folder(folder), ".")
        assert [finding.message.partition(" ")[0] for finding in found] == [name]
        assert not is_intact(folder)
        path.write_bytes(before)
    assert is_intact(folder)


def test_slow_rules_are_left_out_of_a_quick_verification(folder: Path) -> None:
    table("qpv", lambda data: data.replace(b";15603;", b";beaucoup;"))(folder)
    assert verify_release(folder, quick=True) == []
    assert codes(verify_release(folder)) == {"FILE06", "FILE08"}


def test_a_finding_is_said_in_one_line() -> None:
    assert str(Finding("GPKG02", GPKG, "its user_version is 0")) == f"GPKG02 {GPKG}: its user_version is 0"
