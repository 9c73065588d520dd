"""ISO 19115 metadata inside the GeoPackage (OGC metadata extension), and QGIS's own for each layer."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyproj

from qpv_geo.formats.base import Content
from qpv_geo.formats.geopackage import extended
from qpv_geo.french import french_date
from qpv_geo.qgis.templating import fill, key

# OGC 12-128r17 (GeoPackage 1.3), annex F.8, the Metadata extension.
_EXTENSION = Path(__file__).with_name("gpkg_metadata.sql").read_text(encoding="utf-8")
_ISO = "http://www.isotc211.org/2005/gmd"
_QGIS = "http://mrcc.com/qgis.dtd"

_WHOLE = 1
_KEYWORDS = (
    "politique de la ville",
    "quartier prioritaire",
    "QPV",
    "Contrat de ville",
    "pauvreté",
    "Unités statistiques",
)
# Degrees; the box is rounded outwards to it (a metre or so).
_BOX_STEP = 1e-5
_STATEMENT = (
    "Contours officiels et statistiques de l'INSEE, joints par code et par superposition dans la projection "
    "de la couche ; communes, parts et surfaces sont calculées. Une valeur absente garde son motif. {origin} "
    "Chaque fichier lu est décrit avec son millésime et son empreinte SHA-256."
)


def iso_record(content: Content) -> str:
    """Return the ISO 19139 record of a release: what, where, who, licences, lineage with each source."""
    read = content.sources_read
    titles = [content.layers[name].title for name in content.frames]
    abstract = f"{content.spec.title}. Couches et tables : {' ; '.join(titles)}."
    return fill(
        "metadata.xml",
        content=content,
        identifier=key("metadata", content.spec.territory.id).strip("{}"),
        abstract=abstract,
        keywords=_KEYWORDS,
        licences=dict(zip(read["licence"], read["licence_url"], strict=True)),
        box=_box(content),
        statement=_STATEMENT.format(origin=content.spec.origin),
        sources=[_source(row) for row in read.to_dict("records")],
    )


def _box(content: Content) -> dict[str, str]:
    """Return the territory's bounds in degrees, as the elements of a geographic bounding box."""
    to_degrees = pyproj.Transformer.from_crs(content.crs, 4326, always_xy=True)
    west, south, east, north = to_degrees.transform_bounds(*content.bounds("epci"))
    return {
        "westBoundLongitude": f"{west - _BOX_STEP:.5f}",
        "eastBoundLongitude": f"{east + _BOX_STEP:.5f}",
        "southBoundLatitude": f"{south - _BOX_STEP:.5f}",
        "northBoundLatitude": f"{north + _BOX_STEP:.5f}",
    }


def _source(row: dict[Any, Any]) -> dict[str, str]:
    """Return what the record says of one source."""
    day = pd.Timestamp(row["date_source"]).date()
    geography = ""
    if not pd.isna(row["geographie"]):
        geography = f" Géographie au {french_date(pd.Timestamp(row['geographie']).date())}."
    return {
        "titre": str(row["titre"]),
        "producteur": str(row["producteur"]),
        "page": str(row["page"]),
        "millesime": str(row["millesime"]),
        "sha256": str(row["sha256"]),
        "date": f"{day:%Y-%m-%d}",
        "description": f"{row['mention']}. Fichier : {row['fichier']}.{geography}",
    }


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
