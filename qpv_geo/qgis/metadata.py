"""ISO 19115 metadata inside the GeoPackage (OGC metadata extension), and QGIS's own for each layer."""

from pathlib import Path

import pyproj

from qpv_geo.formats.base import Content
from qpv_geo.formats.geopackage import extended
from qpv_geo.qgis.templating import fill, key

# OGC 12-128r17 (GeoPackage 1.3), annex F.8, the Metadata extension.
_EXTENSION = Path(__file__).with_name("gpkg_metadata.sql").read_text(encoding="utf-8")
_ISO = "http://www.isotc211.org/2005/gmd"
_QGIS = "http://mrcc.com/qgis.dtd"

_WHOLE = 1


def iso_record(content: Content) -> str:
    """Return the ISO 19139 record of a release: what, where, who, licences, lineage with each source."""
    read = content.sources_read
    to_degrees = pyproj.Transformer.from_crs(content.crs, 4326, always_xy=True)
    return fill(
        "metadata.xml",
        content=content,
        identifier=key("metadata", content.spec.territory.id).strip("{}"),
        titles=[content.layers[name].title for name in content.frames],
        licences=dict(zip(read["licence"], read["licence_url"], strict=True)),
        bounds=to_degrees.transform_bounds(*content.bounds("epci")),
        sources=read.astype(object).where(read.notna(), None).to_dict("records"),
    )


def add_metadata(path: Path, content: Content) -> None:
    """Write the ISO record of the whole, and QGIS's record of each layer below it, into a GeoPackage.

    QGIS shows its own records where a layer is added without the project; other software reads the ISO one.
    """
    records = [(_WHOLE, _ISO, iso_record(content))]
    references: list[tuple[str, str | None, str, int, int | None]] = [
        ("geopackage", None, content.spec.moment, _WHOLE, None)
    ]
    for number, name in enumerate(content.frames, start=_WHOLE + 1):
        spatial = content.spatial(name) is not None
        records.append((number, _QGIS, fill("layer.qmd", content=content, name=name, spatial=spatial)))
        references.append(("table", name, content.spec.moment, number, _WHOLE))
    with extended(path, _EXTENSION, "gpkg_metadata") as database:
        database.executemany("INSERT INTO gpkg_metadata VALUES (?, 'dataset', ?, 'text/xml', ?)", records)
        database.executemany(
            "INSERT INTO gpkg_metadata_reference VALUES (?, ?, NULL, NULL, ?, ?, ?)", references
        )
