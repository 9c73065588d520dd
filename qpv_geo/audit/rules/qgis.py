"""Rules about what QGIS and catalogues find in a release: default styles, metadata, the project."""

import zipfile
from collections.abc import Iterator
from contextlib import closing
from functools import cached_property
from xml.etree.ElementTree import Element

from defusedxml import ElementTree

from qpv_geo.audit.geopackage import STYLES, connect
from qpv_geo.audit.rules.base import CheckedFile, listed
from qpv_geo.audit.rules.geopackage import GeoPackage

_ISO = "http://www.isotc211.org/2005/gmd"
_MARK = "|layername="
# Length up to which QGIS 3.22 ignores the id of a layer and makes up another.
_ID_DROPPED = 10


def _is_xml(text: object) -> bool:
    """Tell whether a text is well-formed XML without entities of its own, which may grow without end."""
    try:
        ElementTree.fromstring(str(text))
    except (ElementTree.ParseError, ValueError):
        return False
    return True


@GeoPackage.rule("QGIS01")
def default_styles(package: GeoPackage) -> Iterator[str]:
    """Each layer and table has one default style for QGIS, in well-formed XML."""
    if STYLES not in package.tables:
        yield f"no table {STYLES}: QGIS draws layers at random"
        return
    geometry = {row["table_name"]: row["column_name"] for row in package.spatial}
    for content in package.contents:
        table = content["table_name"]
        if table == STYLES:
            continue
        rows = package.rows(
            f"SELECT * FROM {STYLES} WHERE f_table_name = ? AND useAsDefault = 1",  # noqa: S608 - a constant
            table,
        )
        if len(rows) != 1:
            yield f"{table}: {len(rows)} default styles"
        for row in rows:
            # QGIS looks for empty texts, not for NULL.
            if row["f_geometry_column"] != geometry.get(table, "") or row["f_table_schema"] != "":
                yield f"{table}: QGIS does not find its style by schema and geometry column"
            if not _is_xml(row["styleQML"]):
                yield f"{table}: its style is not well-formed XML"


@GeoPackage.rule("QGIS02")
def metadata(package: GeoPackage) -> Iterator[str]:
    """One ISO 19139 record describes the whole, in well-formed XML; every record belongs to what exists."""
    if not {"gpkg_metadata", "gpkg_metadata_reference"} <= package.tables:
        yield "no metadata tables"
        return
    whole = package.rows(
        "SELECT m.id FROM gpkg_metadata m JOIN gpkg_metadata_reference r ON r.md_file_id = m.id "
        "WHERE m.md_standard_uri = ? AND r.reference_scope = 'geopackage'",
        _ISO,
    )
    if len(whole) != 1:
        yield f"{len(whole)} ISO records of the whole"
    records = package.rows("SELECT * FROM gpkg_metadata")
    broken = [row["id"] for row in records if not _is_xml(row["metadata"])]
    yield from listed("records that are not well-formed XML:", broken)
    described = {row["table_name"] for row in package.rows("SELECT table_name FROM gpkg_metadata_reference")}
    yield from listed("records of tables that are not there:", sorted(described - {None} - package.tables))


class ProjectFile(CheckedFile):
    """A QGIS project."""

    pattern = "*.qgz"

    @cached_property
    def root(self) -> Element:
        """The project's XML."""
        with zipfile.ZipFile(self.path) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".qgs"))
            root: Element = ElementTree.fromstring(archive.read(name))
        return root

    @cached_property
    def sources(self) -> list[str]:
        """Sources of its vector layers."""
        layers = self.root.iter("maplayer")
        return [layer.findtext("datasource", "") for layer in layers if layer.get("type") == "vector"]


@ProjectFile.rule("QGIS03")
def project_sources(project: ProjectFile) -> Iterator[str]:
    """Each vector layer of the project is one of a GeoPackage beside it, named by a relative path."""
    if not project.sources:
        yield "it has no layer"
    tables: dict[str, set[str]] = {}
    for source in project.sources:
        file, _, table = source.partition(_MARK)
        path = project.path.parent / file
        if not file.startswith("./") or not path.is_file():
            yield f"{source}: no GeoPackage is there"
            continue
        if file not in tables:
            with closing(connect(path)) as database:
                tables[file] = {name for (name,) in database.execute("SELECT table_name FROM gpkg_contents")}
        if table not in tables[file]:
            yield f"{source}: no such layer"


@ProjectFile.rule("QGIS04")
def project_tree(project: ProjectFile) -> Iterator[str]:
    """The layer tree, the relations and the atlas name layers that the project has."""
    known = {layer.findtext("id") for layer in project.root.iter("maplayer")}
    named_by = {
        "the layer tree": [node.get("id") for node in project.root.iter("layer-tree-layer")],
        "a relation": [
            relation.get(end)
            for relation in project.root.iter("relation")
            for end in ("referencedLayer", "referencingLayer")
        ],
        "the atlas": [atlas.get("coverageLayer") for atlas in project.root.iter("Atlas")],
    }
    for what, ids in named_by.items():
        yield from listed(f"{what} names", sorted({str(name) for name in ids if name not in known}))


@ProjectFile.rule("QGIS05")
def project_ids(project: ProjectFile) -> Iterator[str]:
    """Each layer of the project has an id of more than ten characters: QGIS drops a shorter one."""
    ids = [layer.findtext("id", "") for layer in project.root.iter("maplayer")]
    short = [name for name in ids if len(name) <= _ID_DROPPED]
    yield from listed(f"ids of {_ID_DROPPED} characters or fewer:", short)
