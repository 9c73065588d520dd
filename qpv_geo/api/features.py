"""pygeoapi's provider of features: a layer or table of a release's GeoPackage, which is only read."""

import json
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from pygeoapi.provider.base import BaseProvider, ProviderItemNotFoundError

from qpv_geo.audit.geopackage import connect, parse_blob
from qpv_geo.formats.fields import FID_COLUMN

Values = Mapping[str, Any]

_TYPES = {"INTEGER": "integer", "MEDIUMINT": "integer", "REAL": "number", "BOOLEAN": "boolean"}
"""JSON types of SQLite's; every other is a text."""
_FORMATS = {"DATE": "date", "DATETIME": "date-time"}
_LARGEST = 2**62
_DECIMALS = {True: 7, False: 3}
"""Of coordinates in degrees and in metres: a centimetre, a millimetre."""


class ReleaseFeatures(BaseProvider):  # type: ignore[misc] # pygeoapi has no types
    """The rows of a table of a GeoPackage as GeoJSON features.

    Its definition names the file (``data``), the table, its geometry column and CRS (None for a table), the
    column of the identifiers of features, and what each answer says of the release (``credits``).
    """

    def __init__(self, provider_def: Values) -> None:
        super().__init__(provider_def)
        self.table, self.geometry = provider_def["table"], provider_def["geometry"]
        self.epsg: int = provider_def["epsg"]
        self.credits: dict[str, str] = provider_def["credits"]
        self.get_fields()

    def get_fields(self) -> Values:
        """Return type, French title and description of each column."""
        if not self._fields:  # type: ignore[has-type]
            self._fields = dict(self._described_fields())
        return self._fields

    def query(  # noqa: PLR0913 - as pygeoapi calls it
        self,
        *,
        offset: int = 0,
        limit: int = 10,
        resulttype: str = "results",
        bbox: Iterable[float] = (),
        properties: Iterable[tuple[str, str]] = (),
        sortby: Iterable[Values] = (),
        select_properties: Iterable[str] = (),
        skip_geometry: bool = False,
        crs_transform_spec: Any = None,  # noqa: ANN401 - pygeoapi's, without types
        **_: object,
    ) -> dict[str, Any]:
        """Return features as a collection, and how many match.

        `bbox` is in the CRS of the file; a feature is in it if its geometry is.
        """
        where, values = self._where(list(properties), list(bbox))
        # Names are quoted, here and below.
        ((count,),) = self._rows(f"SELECT COUNT(*) FROM {_name(self.table)}{where}", values)  # noqa: S608
        collection: dict[str, Any] = {"type": "FeatureCollection", "features": [], "numberMatched": count}
        if resulttype == "hits":
            return collection
        order = [f"{_name(key['property'])} {'DESC' if key['order'] == '-' else 'ASC'}" for key in sortby]
        collection["features"] = self._features(
            f"{where} ORDER BY {', '.join([*order, FID_COLUMN])} LIMIT ? OFFSET ?",
            [*values, limit, min(offset, _LARGEST)],
            columns=set(select_properties) or None,
            geometry=not skip_geometry,
            transform=crs_transform_spec,
        )
        return {**collection, "numberReturned": len(collection["features"]), **self.credits}

    def get(self, identifier: str, *, crs_transform_spec: Any = None, **_: object) -> dict[str, Any]:  # noqa: ANN401
        """Return one feature; raises `ProviderItemNotFoundError` if there is none."""
        where = f" WHERE {_name(self.id_field)} = ?"
        found = self._features(where, [identifier], transform=crs_transform_spec)
        if not found:
            raise ProviderItemNotFoundError(f"item {identifier} not found")
        return {**found[0], **self.credits}

    def _rows(self, query: str, values: Iterable[Any]) -> list[tuple[Any, ...]]:
        with closing(connect(Path(self.data))) as database:
            return database.execute(query, tuple(values)).fetchall()

    def _where(self, properties: list[tuple[str, str]], bbox: list[float]) -> tuple[str, list[Any]]:
        """Return a clause and its values; `properties` are names of columns, which pygeoapi has checked."""
        clauses = [f"{_name(column)} = ?" for column, _ in properties]
        truths = {"true": 1, "false": 0}
        values = [
            truths.get(value, value) if self.fields[column]["type"] == "boolean" else value
            for column, value in properties
        ]
        if bbox:
            clauses.append("fid IN (SELECT value FROM json_each(?))")
            values.append(json.dumps(self._within(bbox)))
        return f" WHERE {' AND '.join(clauses)}" if clauses else "", values

    def _within(self, bbox: list[float]) -> list[int]:
        """Return the rows whose geometry meets a rectangle: R-tree first, the geometry only where it must."""
        if not self.geometry:
            return []
        west, south, east, north = bbox[:2] + bbox[-2:]
        rows = self._rows(
            f"SELECT id, minx >= ?1 AND miny >= ?2 AND maxx <= ?3 AND maxy <= ?4, {_name(self.geometry)}"  # noqa: S608
            f" FROM {_name(f'rtree_{self.table}_{self.geometry}')} JOIN {_name(self.table)} ON id = fid"
            " WHERE maxx >= ?1 AND maxy >= ?2 AND minx <= ?3 AND miny <= ?4",
            (west, south, east, north),
        )
        box = shapely.box(west, south, east, north)
        return [fid for fid, inside, blob in rows if inside or shapely.intersects(box, _geometry(blob))]

    def _features(
        self,
        tail: str,
        values: Iterable[Any],
        *,
        columns: set[str] | None = None,
        geometry: bool = True,
        transform: Any = None,  # noqa: ANN401 - pygeoapi's, without types
    ) -> list[dict[str, Any]]:
        fields = [name for name in self.fields if columns is None or name in columns]
        shown = geometry and self.geometry
        names = map(_name, [self.id_field, *([self.geometry] if shown else []), *fields])
        rows = self._rows(f"SELECT {', '.join(names)} FROM {_name(self.table)}{tail}", values)  # noqa: S608
        shapes: list[Values | None] = [None] * len(rows)
        if shown:
            shapes = _as_geojson([_geometry(row[1]) for row in rows], self.epsg, transform)
        truths = {name for name in fields if self.fields[name]["type"] == "boolean"}
        return [
            {
                "type": "Feature",
                "id": row[0],
                "geometry": shape,
                "properties": {
                    name: bool(cell) if name in truths and cell is not None else cell
                    for name, cell in zip(fields, row[1 + bool(shown) :], strict=True)
                },
            }
            for row, shape in zip(rows, shapes, strict=True)
        ]

    def _described_fields(self) -> Iterable[tuple[str, dict[str, str]]]:
        """Yield name and description of each column; titles and comments are those that QGIS shows."""
        columns = self._rows(
            "SELECT column.name, type, title, description FROM pragma_table_info(?1) AS column"
            " LEFT JOIN gpkg_data_columns ON table_name = ?1 AND column_name = column.name",
            [self.table],
        )
        for name, kind, title, description in columns:
            if name not in {FID_COLUMN, self.geometry}:
                described = {
                    "type": _TYPES.get(kind.partition("(")[0], "string"),
                    "format": _FORMATS.get(kind),
                    "title": title or name,
                    "description": description,
                }
                yield name, {key: value for key, value in described.items() if value}


def _name(name: str) -> str:
    """Quote a name of SQLite."""
    return '"' + name.replace('"', '""') + '"'


def _geometry(blob: bytes | None) -> shapely.Geometry | None:
    return None if blob is None else shapely.from_wkb(parse_blob(blob).wkb)


def _as_geojson(shapes: list[shapely.Geometry | None], stored: int, transform: Any) -> list[Values | None]:  # noqa: ANN401
    """Return geometries as GeoJSON, in the CRS that pygeoapi asks for, in the order of its axes."""
    geometries, crs = np.array(shapes, object), pyproj.CRS(stored)
    if transform:
        crs = pyproj.CRS(transform.target_crs_wkt)
        to_target = pyproj.Transformer.from_crs(pyproj.CRS(transform.source_crs_wkt), crs).transform
        geometries = shapely.transform(geometries, lambda xy: np.column_stack(to_target(*xy.T)))
    decimals = _DECIMALS[crs.is_geographic]
    geometries = shapely.transform(geometries, lambda xy: np.round(xy, decimals))
    return [None if shape is None else shapely.geometry.mapping(shape) for shape in geometries]
