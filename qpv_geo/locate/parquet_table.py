"""Parquet and GeoParquet: read, answered and written at the same time, in batches of rows."""

import json
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from qpv_geo.errors import ConfigurationError, ContractError
from qpv_geo.locate.coordinates import Geometries, read_wkb, to_floats
from qpv_geo.locate.tables import HEAD_ROWS, Chunk, ChunkAnswer, PointTable

_ROWS = 1 << 20
# CRS of a GeoParquet that declares none; whatever it declares, x comes first.
_LONGITUDE_LATITUDE = "OGC:CRS84"


class ParquetTable(PointTable):
    """A Parquet file; its ``geo`` metadata tell whether it has points."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            # No read-ahead: it would hold a whole row group, and some files have a single one.
            self._file = pq.ParquetFile(path, pre_buffer=False, arrow_extensions_enabled=False)
        except (pa.ArrowInvalid, OSError) as error:
            raise ContractError(f"{path}: not a Parquet file that can be read ({error})") from error
        self._schema: pa.Schema = self._file.schema_arrow
        self._geo: dict[str, Any] = json.loads((self._schema.metadata or {}).get(b"geo", "{}"))
        self._geometry_name = str(self._geo.get("primary_column", ""))
        self.columns = [name for name in self._schema.names if name != self._geometry_name]
        if self._geo:
            declared = self._geo["columns"][self._geometry_name]
            self.geometry_crs = declared.get("crs", _LONGITUDE_LATITUDE)
            kinds = sorted(declared.get("geometry_types", ()), key=lambda kind: "Point" in kind)
            self.kind = kinds[0] if kinds else ""

    def head(self) -> Chunk:
        """Return the first rows."""
        nothing = pa.RecordBatch.from_pylist([], self._schema)
        return self._chunk(next(self._file.iter_batches(HEAD_ROWS), nothing), 1)

    def extend(self, target: Path, added: pa.Schema, answer: ChunkAnswer) -> None:
        """Write the file with columns added; metadata and compression are kept."""
        schema = pa.schema([*self._schema, *added], self._schema.metadata)
        with (
            pq.ParquetWriter(target, schema, **self._writing(added)) as writer,
            ThreadPoolExecutor(2) as pool,
        ):
            batches = self._file.iter_batches(_ROWS)
            ahead: Future[pa.RecordBatch | None] = pool.submit(next, batches, None)
            behind: Future[None] | None = None
            first_row = 1
            while (batch := ahead.result()) is not None:
                ahead = pool.submit(next, batches, None)
                table = answer(self._chunk(batch, first_row))
                first_row += len(batch)
                columns = [*batch.columns, *table.columns]
                if behind:
                    behind.result()
                behind = pool.submit(writer.write_table, pa.Table.from_arrays(columns, schema=schema))
            if behind:
                behind.result()

    def _chunk(self, batch: pa.RecordBatch, first_row: int) -> Chunk:
        numbers = range(first_row, first_row + len(batch))
        return Chunk(numbers, batch.column, lambda: self._points(batch.column(self._geometry_name)))

    def _points(self, column: pa.Array) -> Geometries:
        encoding = self._geo["columns"][self._geometry_name].get("encoding", "WKB")
        if encoding == "WKB":
            return read_wkb(column)
        if encoding == "point":
            x, y = (to_floats(pc.struct_field(column, axis), axis) for axis in ("x", "y"))
            return Geometries(x, y)
        raise ConfigurationError(
            f"{self.path.name}: geometries are encoded as {encoding!r}; expected WKB or 'point', or give the"
            " columns of the coordinates"
        )

    def _writing(self, added: pa.Schema) -> dict[str, Any]:
        """Return the writer's options: those of the file, and no dictionary for added numbers."""
        metadata = self._file.metadata
        texts = [
            metadata.schema.column(place).path
            for place in range(metadata.num_columns)
            if metadata.schema.column(place).physical_type == "BYTE_ARRAY"
        ]
        encoded = [field.name for field in added if field.type != pa.float64()]
        compression = metadata.row_group(0).column(0).compression if metadata.num_row_groups else "SNAPPY"
        return {
            "compression": {"UNCOMPRESSED": "none"}.get(compression, compression.lower()),
            "use_dictionary": [*texts, *encoded],
        }
