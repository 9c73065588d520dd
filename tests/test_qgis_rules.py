"""Rules about styles, metadata and the project: for each a small broken release."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from qpv_geo.audit.rules.base import Finding
from qpv_geo.audit.verify import KINDS, verify_release
from tests.mapping import snapshot_content, write
from tests.publishing import edit

GPKG, QGZ = "qpv_besancon.gpkg", "qpv_besancon.qgz"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    write(folder, snapshot_content())
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "release"))


def findings(folder: Path) -> list[Finding]:
    return [finding for finding in verify_release(folder) if finding.code.startswith("QGIS")]


def sql(statement: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        with edit(folder / GPKG) as database:
            database.execute(statement)

    return damage


def project(old: str, new: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / QGZ
        with zipfile.ZipFile(path) as archive:
            text = archive.read("qpv_besancon.qgs").decode("utf-8")
        assert old in text
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("qpv_besancon.qgs", text.replace(old, new))

    return damage


def no_archive(folder: Path) -> None:
    (folder / QGZ).write_bytes(b"not a zip")


CASES: list[tuple[str, Callable[[Path], None], str]] = [
    ("QGIS01", sql("DELETE FROM layer_styles WHERE f_table_name = 'qpv'"), "qpv: 0 default styles"),
    (
        "QGIS01",
        sql("UPDATE layer_styles SET useAsDefault = 0 WHERE f_table_name = 'epci'"),
        "epci: 0 default styles",
    ),
    (
        "QGIS01",
        sql("UPDATE layer_styles SET f_table_schema = NULL WHERE f_table_name = 'qpv'"),
        "does not find its style",
    ),
    (
        "QGIS01",
        sql("UPDATE layer_styles SET f_geometry_column = 'the_geom'"),
        "communes: QGIS does not find its style",
    ),
    (
        "QGIS01",
        sql("UPDATE layer_styles SET styleQML = '<qgis>' WHERE f_table_name = 'qpv'"),
        "qpv: its style is not well-formed XML",
    ),
    ("QGIS01", sql("DROP TABLE layer_styles"), "no table layer_styles"),
    (
        "QGIS02",
        sql("DELETE FROM gpkg_metadata_reference WHERE reference_scope = 'geopackage'"),
        "0 ISO records of the whole",
    ),
    ("QGIS02", sql("UPDATE gpkg_metadata SET metadata = '<a>' WHERE id = 1"), "not well-formed XML: 1"),
    (
        "QGIS02",
        sql("UPDATE gpkg_metadata_reference SET table_name = 'autre' WHERE table_name = 'qpv'"),
        "not there: autre",
    ),
    ("QGIS02", sql("DROP TABLE gpkg_metadata"), "no table gpkg_metadata: nothing describes the whole"),
    (
        "QGIS03",
        project(
            "<datasource>./qpv_besancon.gpkg|layername=qpv<", "<datasource>./qpv_besancon.gpkg|layername=qp<"
        ),
        "layername=qp: no such layer",
    ),
    (
        "QGIS03",
        project("<datasource>./qpv_besancon", "<datasource>/data/qpv_besancon"),
        "no GeoPackage is there",
    ),
    ("QGIS03", project("<datasource>./qpv_besancon", "<datasource>./qpv_dole"), "no GeoPackage is there"),
    ("QGIS03", project('type="vector"', 'type="mesh"'), "it has no layer"),
    ("QGIS03", project("</qgis>", ""), "cannot be checked: ParseError"),
    ("QGIS03", no_archive, "cannot be checked: BadZipFile"),
    (
        "QGIS04",
        project('layer-tree-layer id="qpv_geo_besancon_epci"', 'layer-tree-layer id="qpv_geo_besancon_epcj"'),
        "the layer tree names qpv_geo_besancon_epcj",
    ),
    (
        "QGIS04",
        project('referencedLayer="qpv_geo_besancon_qpv"', 'referencedLayer="qpv_geo_besancon_qpw"'),
        "a relation names qpv_geo_besancon_qpw",
    ),
    (
        "QGIS04",
        project('coverageLayer="qpv_geo_besancon_qpv"', 'coverageLayer="qpv_geo_besancon_qpw"'),
        "the atlas names qpv_geo_besancon_qpw",
    ),
    ("QGIS05", project("qpv_geo_besancon_qpv<", "france_qpv<"), "10 characters or fewer: france_qpv"),
    ("QGIS05", project("qpv_geo_besancon_qpv<", "qpv<"), "10 characters or fewer: qpv"),
]


def test_a_sound_release_keeps_them(sound: Path) -> None:
    assert findings(sound) == []


@pytest.mark.parametrize(
    ("code", "damage", "message"), CASES, ids=[f"{c}-{n}" for n, (c, *_) in enumerate(CASES)]
)
def test_each_rule_finds_what_breaks_it(
    folder: Path, code: str, damage: Callable[[Path], None], message: str
) -> None:
    damage(folder)
    found = [finding for finding in findings(folder) if finding.code == code]
    assert any(message in finding.message for finding in found), found


def test_each_rule_has_a_case() -> None:
    codes = {rule.code for kind in KINDS for rule in kind.rules}
    assert {code for code in codes if code.startswith("QGIS")} == {code for code, *_ in CASES}
