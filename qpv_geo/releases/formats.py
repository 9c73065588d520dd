"""The formats that a release may be written in: one entry each, in the order in which they are written.

The command line, the form of the flow, the Data Package and the download page read this list.
"""

from collections.abc import Iterable

from qpv_geo.errors import ConfigurationError
from qpv_geo.formats.base import Format

FORMATS = (
    Format(
        name="gpkg",
        title="SIG",
        detail="GeoPackage : toutes les couches et tables",
        suffix=".gpkg",
        kind="gpkg",
        media_type="application/geopackage+sqlite3",
        file_type="GPKG",
        written="always",
        writer="qpv_geo.formats.geopackage:write_geopackage",
    ),
    # Writes into the GeoPackage as well: styles and metadata.
    Format(
        name="qgz",
        title="SIG",
        detail="Projet QGIS",
        suffix=".qgz",
        kind="qgz",
        media_type="application/zip",
        file_type="ZIP",
        written="always",
        writer="qpv_geo.qgis.project:write_qgis",
    ),
    Format(
        name="geojson",
        title="GeoJSON (WGS 84)",
        suffix=".geojson",
        kind="geojson",
        media_type="application/geo+json",
        file_type="GEOJSON",
        written="always",
        writer="qpv_geo.formats.geojson:write_geojson",
    ),
    Format(
        name="csv",
        title="CSV (tableur)",
        suffix=".csv",
        kind="csv",
        media_type="text/csv",
        file_type="CSV",
        written="always",
        writer="qpv_geo.formats.csv:write_csv",
    ),
    # The kinds "workbook" and "geoparquet" are not "xlsx" and "parquet": readers of Data Packages, such as
    # frictionless, would take sheets for tables, and would not check the bytes of Parquet.
    Format(
        name="xlsx",
        title="Classeur XLSX",
        detail="Toutes les tables",
        suffix=".xlsx",
        kind="workbook",
        media_type="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        file_type="XLSX",
        written="on_request",
        writer="qpv_geo.formats.xlsx:write_xlsx",
    ),
    Format(
        name="fgb",
        title="FlatGeobuf",
        suffix=".fgb",
        kind="fgb",
        media_type="application/flatgeobuf",
        written="on_request",
        writer="qpv_geo.formats.flatgeobuf:write_flatgeobuf",
    ),
    Format(
        name="geoparquet",
        title="GeoParquet",
        suffix=".parquet",
        kind="geoparquet",
        media_type="application/vnd.apache.parquet",
        file_type="PARQUET",
        written="on_request",
        writer="qpv_geo.formats.geoparquet:write_geoparquet",
    ),
    Format(
        name="pdf",
        title="Atlas PDF",
        detail="Une page par quartier, à imprimer ou à projeter",
        suffix=".pdf",
        kind="pdf",
        media_type="application/pdf",
        file_type="PDF",
        written="with_pages",
        writer="qpv_geo.portraits.atlas:write_atlas",
    ),
    Format(
        name="pictures",
        title="Images",
        detail="Pour une présentation ou un message",
        suffix=".png",
        kind="png",
        media_type="image/png",
        file_type="PNG",
        written="with_pages",
        writer="qpv_geo.portraits.atlas:write_pictures",
    ),
    # Written after the report: their index offers every file that is there.
    Format(
        name="portraits",
        title="Rapport et métadonnées",
        suffix=".html",
        kind="html",
        media_type="text/html",
        file_type="HTML",
        written="with_pages",
        writer="qpv_geo.portraits.pages:write_portraits",
    ),
)
ON_REQUEST = tuple(each.name for each in FORMATS if each.written == "on_request")


def chosen_formats(names: Iterable[str] = (), *, pages: bool = True) -> tuple[Format, ...]:
    """Return what is always written, the formats of these names and, unless they are declined, the pages.

    Raises `ConfigurationError` if a name is not that of a format that is written on request.
    """
    chosen = set(names)
    if unknown := sorted(chosen - set(ON_REQUEST)):
        always = ", ".join(each.name for each in FORMATS if each.written == "always")
        raise ConfigurationError(
            f"unknown formats: {', '.join(unknown)}. Always written: {always}; "
            f"on request: {', '.join(ON_REQUEST)}"
        )
    wanted = {"always": True, "with_pages": pages}
    return tuple(each for each in FORMATS if each.name in chosen or wanted.get(each.written, False))
