"""Layers as they are published: the declared columns in their order, one pandas type per declared type."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from qpv_geo.errors import PublicationError
from qpv_geo.formats.fields import GEOMETRY_COLUMN, FieldType, Layer
from qpv_geo.parallel import in_threads

Frames = dict[str, pd.DataFrame | gpd.GeoDataFrame]

_NAMED_AT_MOST = 5
# What `pandas.api.types.infer_dtype` may say of the present values of a column, by declared type.
_ACCEPTED: dict[FieldType, set[str]] = {
    "text": {"string"},
    "integer": {"integer", "floating", "mixed-integer-float"},
    "real": {"integer", "floating", "mixed-integer-float"},
    "boolean": {"boolean"},
    "date": {"date", "datetime", "datetime64"},
    "datetime": {"datetime", "datetime64"},
}

# What a geometry of a layer may be before it is conformed, and what it is then.
_TYPES = {
    "MultiPolygon": (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON),
    "MultiLineString": (shapely.GeometryType.LINESTRING, shapely.GeometryType.MULTILINESTRING),
    "Point": (shapely.GeometryType.POINT, shapely.GeometryType.POINT),
}


def conform(frames: Mapping[str, pd.DataFrame], layers: Mapping[str, Layer], epsg: int) -> Frames:
    """Bring layers to their declared form (`fields.published_layers`), or refuse them.

    A frame without any column stands for a layer that this release leaves out. The result has the order of
    the declarations, and of each layer the declared columns in their order: text as str or None (an empty
    text is a missing one), ``Int64``, ``float64``, ``boolean``, ``datetime64[s]``, ``datetime64[ms, UTC]`` in
    whole seconds. Rows keep their order. Spatial layers, in the CRS `epsg`, have `geom` as well; one whose
    geometry is optional and that has none at all is a table, see `fields.as_held`. Raises `PublicationError`
    with all problems of all layers: undeclared layer or column, missing column, value of another type,
    infinite number, key that is missing or not unique, geometry that is missing, empty, invalid,
    three-dimensional, of another type or in another CRS.
    """
    problems = [f"layer {name} is not declared in fields.toml" for name in frames if name not in layers]
    conformed: Frames = {}
    for name, layer in layers.items():
        if name not in frames or not len(frames[name].columns):
            continue
        conformed[name] = _conform_layer(frames[name], layer, epsg, problems)
    if problems:
        raise PublicationError(
            "the layers are not what qpv_geo/formats/fields.toml declares:\n- " + "\n- ".join(problems)
        )
    return conformed


def plain_values(column: pd.Series) -> list[Any]:
    """Return the values of a column as Python's own, None for what is missing."""
    values = column.tolist()
    # NaN and NaT alone differ from themselves, and NA says nothing.
    return [None if value is None or value is pd.NA or value != value else value for value in values]  # noqa: PLR0124


def records(frame: pd.DataFrame, columns: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Return the rows of a table, or some of its columns, as `plain_values`."""
    names = [str(name) for name in (frame.columns if columns is None else columns)]
    # A plain table: a GeoDataFrame looks for geometries at each column that it gives.
    table = pd.DataFrame(frame)
    rows = zip(*(plain_values(table[name]) for name in names), strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


def _conform_layer(frame: pd.DataFrame, layer: Layer, epsg: int, problems: list[str]) -> pd.DataFrame:
    """Return the layer; what is wrong goes to `problems` (the result is then of no use)."""
    spatial = isinstance(frame, gpd.GeoDataFrame)
    geometry = frame.geometry.name if spatial else None
    columns = [column for column in frame.columns if column != geometry]
    if undeclared := [str(column) for column in columns if column not in layer.fields]:
        problems.append(f"layer {layer.name}: columns not declared: {', '.join(undeclared)}")
    if missing := [name for name in layer.fields if name not in columns]:
        problems.append(f"layer {layer.name}: columns missing: {', '.join(missing)}")
    if spatial != (layer.geometry is not None):
        problems.append(f"layer {layer.name}: declared {'with' if layer.geometry else 'without'} geometry")
    if undeclared or missing or spatial != (layer.geometry is not None):
        return frame
    data = {}
    # A plain table: a GeoDataFrame looks for geometries at each column that it gives.
    attributes = pd.DataFrame(frame).reset_index(drop=True)
    for name, field in layer.fields.items():
        where = f"layer {layer.name}, field {name}"
        data[name] = _conform_column(attributes[name], field.type, where, problems)
        if field.decimals is not None:
            data[name] = data[name].round(field.decimals)
    result = pd.DataFrame(data, index=attributes.index, copy=False)
    _check_key(result, layer, problems)
    if not isinstance(frame, gpd.GeoDataFrame) or (layer.geometry_optional and frame.geometry.isna().all()):
        return result
    return _with_geometry(result, frame, layer, epsg, problems)


def _check_key(result: pd.DataFrame, layer: Layer, problems: list[str]) -> None:
    columns = {name: plain_values(result[name]) for name in layer.key}
    required = [name for name in layer.key if not layer.fields[name].optional]
    lacking = {name: columns[name].count(None) for name in required}
    problems += [f"layer {layer.name}: {count} rows lack {name}" for name, count in lacking.items() if count]
    if len(set(zip(*columns.values(), strict=True))) == len(result):
        return
    key = list(layer.key)
    twice = result.duplicated(key)
    rows = result.loc[twice, key].head(_NAMED_AT_MOST).to_dict("records")
    problems.append(f"layer {layer.name}: {int(twice.sum())} rows repeat a key: {rows}")


def _with_geometry(
    result: pd.DataFrame, frame: gpd.GeoDataFrame, layer: Layer, epsg: int, problems: list[str]
) -> pd.DataFrame:
    actual = frame.crs.to_epsg() if frame.crs else None
    if actual != epsg:
        problems.append(f"layer {layer.name}: expected EPSG:{epsg}, found {frame.crs and frame.crs.name}")
    geometries = _conform_geometry(frame.geometry.to_numpy(), layer, result, problems)
    located = result.assign(**{GEOMETRY_COLUMN: geometries})
    published: pd.DataFrame = gpd.GeoDataFrame(located, geometry=GEOMETRY_COLUMN, crs=frame.crs)
    return published


def _conform_column(column: pd.Series, kind: FieldType, where: str, problems: list[str]) -> pd.Series:
    if pd.api.types.infer_dtype(column) not in _ACCEPTED[kind]:
        present = column[column.notna()]
        if len(present):
            actual = pd.api.types.infer_dtype(present)
            if actual not in _ACCEPTED[kind]:
                problems.append(f"{where}: expected {kind}, found {actual}, as in {_examples(present)}")
                return column
        else:
            column = pd.Series([None] * len(column), index=column.index, dtype=object)
    return _CONVERT[kind](column, where, problems)


def _text(column: pd.Series, where: str, problems: list[str]) -> pd.Series:
    values = [value if isinstance(value, str) and value else None for value in column.tolist()]
    if "\0" in "".join(filter(None, values)):
        problems.append(f"{where}: a text holds a NUL character, which no GIS file can hold")
    return pd.Series(values, index=column.index, dtype=object)


def _integer(column: pd.Series, where: str, problems: list[str]) -> pd.Series:
    if pd.api.types.is_integer_dtype(column.dtype):
        return column.astype("Int64")
    present = column.dropna()
    fraction = present.astype("float64") % 1 != 0
    if fraction.any():
        problems.append(f"{where}: expected whole numbers, found {_examples(present[fraction])}")
        return column
    return column.astype("Int64")


def _real(column: pd.Series, where: str, problems: list[str]) -> pd.Series:
    numbers = column if column.dtype == "float64" else column.astype("Float64")
    values = numbers.to_numpy(dtype="float64", na_value=np.nan)
    if np.isinf(values).any():
        problems.append(f"{where}: a value is infinite")
    return pd.Series(values, index=column.index, dtype="float64")


_CONVERT: dict[FieldType, Callable[[pd.Series, str, list[str]], pd.Series]] = {
    "text": _text,
    "integer": _integer,
    "real": _real,
    "boolean": lambda column, *_: column.astype("boolean"),
    "date": lambda column, *_: pd.to_datetime(column).dt.normalize().astype("datetime64[s]"),
    "datetime": lambda column, *_: (
        pd.to_datetime(column, utc=True).dt.floor("s").astype("datetime64[ms, UTC]")
    ),
}


def _conform_geometry(
    geometries: np.ndarray, layer: Layer, result: pd.DataFrame, problems: list[str]
) -> np.ndarray:
    """Return geometries of the declared type; a Polygon becomes a MultiPolygon of one, lines likewise."""
    kinds = shapely.get_type_id(geometries)
    part, whole = _TYPES[layer.geometry or "MultiPolygon"]
    multi = kinds == whole
    single = (kinds == part) & ~multi
    absent = shapely.is_missing(geometries) & layer.geometry_optional
    wrong = {
        f"missing or not a {layer.geometry}": ~(multi | single | absent),
        "empty": shapely.is_empty(geometries),
        "three-dimensional": shapely.has_z(geometries),
        "not valid": (multi | single) & ~in_threads(shapely.is_valid, geometries),
    }
    for what, rows in wrong.items():
        if rows.any():
            named = result.loc[rows, list(layer.key)].head(_NAMED_AT_MOST).to_dict("records")
            problems.append(f"layer {layer.name}: geometry {what}: {named}")
    converted = geometries.copy()
    gather = shapely.multipolygons if part == shapely.GeometryType.POLYGON else shapely.multilinestrings
    converted[single] = [gather([shape]) for shape in geometries[single]]
    return converted


def _examples(values: pd.Series) -> str:
    return ", ".join(repr(value) for value in values.head(_NAMED_AT_MOST))


def row_names(frame: pd.DataFrame, key: Iterable[str]) -> list[str]:
    """Name each row by its key, as messages do."""
    if frame.empty:
        return []
    return [" / ".join(str(part) for part in row) for row in frame[list(key)].to_numpy()]
