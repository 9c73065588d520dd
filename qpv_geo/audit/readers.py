"""What the files of a release hold, read without what wrote them (GDAL, orjson, csv): sqlite3, json, pyarrow.

What a library wrote is not proved right by the same library reading it.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import shapely
from numpy.typing import NDArray

from qpv_geo.audit.geopackage import StoredTable
from qpv_geo.audit.mismatches import WrittenLayer
from qpv_geo.audit.shapes import shapes_of
from qpv_geo.errors import PublicationError
from qpv_geo.formats.csv import DECIMAL, FALSE, SEPARATOR, TRUE, restored
from qpv_geo.formats.fields import FieldType, Layer
from qpv_geo.parallel import collector_held_off

WGS84 = 4326
# The Python types that a cell of each declared type may have. Strict: 1 is not 1.0, and 1 is not true.
_IN_SQLITE: Mapping[FieldType, set[type]] = {
    "text": {str},
    "integer": {int},
    "real": {float},
    "boolean": {int},
    "date": {str},
    "datetime": {str},
}
_IN_JSON: Mapping[FieldType, set[type]] = {**_IN_SQLITE, "real": {int, float}, "boolean": {bool}}

_Array = NDArray[Any] | pd.api.extensions.ExtensionArray


def written_layer(path: Path, tables: Mapping[str, StoredTable], layer: Layer) -> WrittenLayer:
    """Return a layer of a GeoPackage that was read; raises PublicationError if it is not as declared."""
    with _reraise_read_errors(path, layer):
        table = tables[layer.name]
        columns = {name: table.rows[name].tolist() for name in layer.fields}
        shapes = table.shapes.to_numpy() if layer.geometry else None
        return WrittenLayer(path, layer.name, _typed(columns, layer, _IN_SQLITE), shapes, table.epsg)


def read_geojson(path: Path, layer: Layer) -> WrittenLayer:
    """Read a layer of a GeoJSON file; raises PublicationError if it is not as declared."""
    with _reraise_read_errors(path, layer):
        with collector_held_off():
            features = json.loads(path.read_bytes())["features"]
        columns = {name: [feature["properties"][name] for feature in features] for name in layer.fields}
        shapes = shapes_of([feature["geometry"] for feature in features])
        return WrittenLayer(path, layer.name, _typed(columns, layer, _IN_JSON), shapes, WGS84)


def read_csv(path: Path, layer: Layer) -> WrittenLayer:
    """Read a layer's attributes from a CSV file; raises PublicationError if it is not as declared."""
    with _reraise_read_errors(path, layer):
        cells = read_cells(path)
        if list(cells) != list(layer.fields):
            raise ValueError(f"its header is {list(cells)}")
        columns = {}
        for name, field in layer.fields.items():
            values = [*converted(cells[name].dictionary.to_pylist(), field.type), None]
            # A missing cell is at place -1: the last one.
            columns[name] = _column(values, field.type).take(cells[name].indices.fill_null(-1).to_numpy())
        return WrittenLayer(path, layer.name, _table(columns))


def read_cells(path: Path, first: int | None = None) -> dict[str, pa.DictionaryArray]:
    """Return the texts of a CSV file of a release, of all columns or of the first ones.

    Raises `ValueError` if a row has more or fewer cells than the header, or the file is not UTF-8.
    """
    with path.open(encoding="utf-8-sig", newline="") as stream:
        header = next(csv.reader(stream, delimiter=SEPARATOR, strict=True), [])
    table = pyarrow.csv.read_csv(
        path,
        # Threads take longer to start than most files to be read.
        read_options=pyarrow.csv.ReadOptions(use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(delimiter=SEPARATOR, newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.dictionary(pa.int32(), pa.string())),
            include_columns=header[:first],
            null_values=[""],
            strings_can_be_null=True,
        ),
    ).unify_dictionaries()
    columns = zip(table.column_names, table.columns, strict=True)
    return {name: chunks.combine_chunks() for name, chunks in columns}


def converted(texts: Iterable[str], kind: FieldType) -> list[Any]:
    """Return what cells of a CSV file say; raises ValueError if one is not of a declared type."""
    return list(map(_FROM_TEXT[kind], texts))


@contextmanager
def _reraise_read_errors(path: Path, layer: Layer) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, shapely.errors.ShapelyError) as error:
        raise PublicationError(
            f"{path.name}, layer {layer.name}: cannot be read back as declared "
            f"({type(error).__name__}: {error})"
        ) from error


def _typed(
    columns: Mapping[str, list[Any]], layer: Layer, types: Mapping[FieldType, set[type]]
) -> pd.DataFrame:
    arrays = {}
    for name, field in layer.fields.items():
        cells, allowed = columns[name], types[field.type] | {type(None)}
        if set(map(type, cells)) - allowed:
            stranger = next(cell for cell in cells if type(cell) not in allowed)
            raise TypeError(f"field {name}: {stranger!r} is not of type {field.type}")
        arrays[name] = _column(cells, field.type)
    return _table(arrays)


def _table(arrays: Mapping[str, _Array]) -> pd.DataFrame:
    # Given as an array, a column of texts would become pandas' own type of text. With one index for all,
    # pandas need not align them.
    index = pd.RangeIndex(len(next(iter(arrays.values()), ())))
    columns = {name: pd.Series(array, index, array.dtype, copy=False) for name, array in arrays.items()}
    return pd.DataFrame(columns, index, copy=False)


def _column(values: list[Any], kind: FieldType) -> _Array:
    if kind == "date":
        for day in {*values} - {None}:
            date.fromisoformat(day)  # numpy would take a year alone for its first day
        return np.array(values, dtype="datetime64[s]")
    if kind == "datetime":
        return pd.DatetimeIndex(pd.to_datetime(values, format="ISO8601", utc=True)).as_unit("ms").array
    if kind == "integer":
        return pd.array(values, dtype="Int64")
    if kind == "boolean":
        return pd.array(values, dtype="boolean")
    return np.array(values, dtype="float64" if kind == "real" else object)


def _truth(text: str) -> bool:
    if text not in {TRUE, FALSE}:
        raise ValueError(f"{text!r} is neither {TRUE} nor {FALSE}")
    return text == TRUE


def _day(text: str) -> str:
    date.fromisoformat(text)
    return text


_FROM_TEXT: Mapping[FieldType, Callable[[str], Any]] = {
    "text": restored,
    "integer": int,
    "real": lambda text: float(text.replace(DECIMAL, ".")),
    "boolean": _truth,
    "date": _day,
    "datetime": str,
}
