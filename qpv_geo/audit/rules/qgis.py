"""Rules about the project that QGIS finds in a release."""

import zipfile
from collections.abc import Iterator
from contextlib import closing
from functools import cached_property
from xml.etree.ElementTree import Element

from defusedxml import ElementTree

from qpv_geo.audit.geopackage import connect
from qpv_geo.audit.rules.base import CheckedFile, listed

_MARK = "|layername="
# Length up to which QGIS 3.22 ignores the id of a layer and makes up another.
_ID_DROPPED = 10


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


@ProjectFile.rule("QGIS03")
def project_sources(project: ProjectFile) -> Iterator[str]:
    """Each vector layer of the project is one of a GeoPackage beside it, named by a relative path."""
    layers = [layer for layer in project.root.iter("maplayer") if layer.get("type") == "vector"]
    if not layers:
        yield "it has no layer"
    tables: dict[str, set[str]] = {}
    for source in (layer.findtext("datasource", "") for layer in layers):
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
