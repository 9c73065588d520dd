"""CSV in its own dialect: each line is copied byte for byte, and cells are added at its end."""

import codecs
import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qpv_geo.errors import ContractError
from qpv_geo.locate.tables import Chunk, ChunkAnswer

_ROWS = 1 << 17
_SEPARATORS = ";,\t|"
_QUOTE = '"'
_BLOCK = 1 << 22
_SHOWN = 10
# Latin-1 maps every byte to a letter: whatever the encoding of a file, its lines come out as they went in.
_BYTES = "latin-1"


class CsvTable:
    """A CSV file with a header, in UTF-8 (with or without byte-order mark) or Windows-1252."""

    geometry_crs = None
    has_geometry = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._encoding, self._mark = _encoding(path)
        with self._open() as stream:
            # Not strict: the separator is still a guess.
            header = next(_lines(stream, self.path.name, ";", strict=False), ("", []))[0]
        if not header.strip():
            raise ContractError(f"{path}: the file is empty; expected a header with the names of the columns")
        self._separator = max(_SEPARATORS, key=lambda sign: len(next(csv.reader([header], delimiter=sign))))
        names = next(csv.reader([header], delimiter=self._separator))
        self.columns: Sequence[str] = [self._decode(name).strip() for name in names]

    def extend(
        self, target: Path, wanted: Sequence[str], added: pa.Schema, answer: ChunkAnswer, *, geometry: bool
    ) -> None:
        """Write the file with columns added, see `PointTable.extend`.

        Added cells take the file's encoding, separator and decimal sign, and quotes if all cells have them.

        Raises
        ------
        ContractError
            With the row if it has more or fewer cells than the header, or with the line if a quote is not
            closed.
        """
        del geometry
        places = {name: list(self.columns).index(name) for name in wanted}
        with self._open() as stream, target.open("wb") as sink:
            sink.write(self._mark)
            records = _lines(stream, self.path.name, self._separator)
            header, _ = next(records)
            first_row = 1
            style: _Style | None = None
            while block := list(islice(records, _ROWS)):
                rows = [(line, cells) for line, cells in block if cells]
                self._refuse_ragged(rows, first_row)
                columns = {
                    name: pa.array([self._decode(cells[place]) for _, cells in rows], pa.large_string())
                    for name, place in places.items()
                }
                if style is None:
                    style = _Style(self._separator, rows, list(columns.values()))
                    self._write_lines(sink, [header], [style.header(added.names)])
                texts = style.cells(answer(Chunk(first_row, len(rows), columns)))
                following = iter(texts)
                # A blank line is not a row: it stays blank.
                self._write_lines(
                    sink,
                    [line for line, _ in block],
                    [next(following) if cells else "" for _, cells in block],
                )
                first_row += len(rows)
            if style is None:
                self._write_lines(sink, [header], [_Style(self._separator, [], []).header(added.names)])

    def _open(self) -> TextIO:
        stream = self.path.open(encoding=_BYTES, newline="")
        stream.read(len(self._mark))
        return stream

    def _decode(self, text: str) -> str:
        return text if text.isascii() else text.encode(_BYTES).decode(self._encoding)

    def _write_lines(self, sink: BinaryIO, lines: Sequence[str], ends: Sequence[str]) -> None:
        texts = []
        for line, end in zip(lines, ends, strict=True):
            body = line.rstrip("\r\n")
            added = end if end.isascii() else end.encode(self._encoding, "replace").decode(_BYTES)
            texts.append(f"{body}{added}{line[len(body) :]}")
        sink.write("".join(texts).encode(_BYTES))

    def _refuse_ragged(self, rows: Sequence[tuple[str, list[str]]], first_row: int) -> None:
        wanted = len(self.columns)
        ragged = [
            (first_row + place, len(cells)) for place, (_, cells) in enumerate(rows) if len(cells) != wanted
        ]
        if ragged:
            shown = ", ".join(f"row {row}: {count}" for row, count in ragged[:_SHOWN])
            raise ContractError(
                f"{self.path.name}: expected {wanted} cells in each row, as in the header, separated by"
                f" {self._separator!r}; {len(ragged)} rows have another number ({shown}); correct them"
            )


class _Style:
    """How added cells are written: separator, quotes, decimal sign."""

    def __init__(
        self, separator: str, rows: Sequence[tuple[str, list[str]]], columns: Sequence[pa.Array]
    ) -> None:
        self._separator = separator
        first = rows[0][0].rstrip("\r\n") if rows else ""
        cells = len(rows[0][1]) if rows else 0
        self._quoted = cells > 0 and (
            first.startswith(_QUOTE)
            and first.endswith(_QUOTE)
            and first.count(_QUOTE + separator + _QUOTE) == cells - 1
        )
        self._decimal = _decimal(separator, columns)

    def header(self, names: Sequence[str]) -> str:
        return "".join(self._separator + self._text(name) for name in names)

    def cells(self, table: pa.Table) -> list[str]:
        columns = [self._column(column) for column in table.columns]
        return [self._separator + self._separator.join(cells) for cells in zip(*columns, strict=True)]

    def _column(self, column: pa.ChunkedArray) -> list[str]:
        if pa.types.is_floating(column.type):
            numbers = column.to_pylist()
            sign = self._decimal
            written = ["" if number is None else repr(number).replace(".", sign) for number in numbers]
            return (
                [self._text(text) for text in written] if self._quoted or sign == self._separator else written
            )
        encoded = column.combine_chunks()
        if not pa.types.is_dictionary(encoded.type):
            encoded = encoded.dictionary_encode()
        texts = np.array(
            [*(self._text(text) for text in encoded.dictionary.to_pylist()), self._text("")], object
        )
        places = encoded.indices.cast(pa.int64()).fill_null(len(texts) - 1)
        cells: list[str] = texts[places.to_numpy(zero_copy_only=False)].tolist()
        return cells

    def _text(self, text: str) -> str:
        if self._quoted or any(sign in text for sign in (self._separator, _QUOTE, "\n", "\r")):
            return _QUOTE + text.replace(_QUOTE, _QUOTE * 2) + _QUOTE
        return text


def _decimal(separator: str, columns: Sequence[pa.Array]) -> str:
    """Return the decimal sign of the columns read; without any, the one that goes with the separator."""
    for sign in ".,":
        number = rf"^\s*[+-]?\d+[{sign}]\d+\s*$"
        if any(pc.any(pc.match_substring_regex(column, number)).as_py() for column in columns):
            return sign
    return "," if separator == ";" else "."


def _lines(
    stream: TextIO, name: str, separator: str, *, strict: bool = True
) -> Iterator[tuple[str, list[str]]]:
    """Yield each record as written, line breaks inside cells included, with its cells."""
    raw: list[str] = []

    def lines() -> Iterator[str]:
        for line in stream:
            raw.append(line)
            yield line

    reader = csv.reader(lines(), delimiter=separator, strict=strict)
    try:
        for cells in reader:
            yield "".join(raw), cells
            raw.clear()
    except csv.Error as error:
        raise ContractError(
            f"{name}: line {reader.line_num}: {error}; expected quotes that are closed, and doubled inside"
        ) from error


def _encoding(path: Path) -> tuple[str, bytes]:
    """Return the encoding of a file and its byte-order mark, after reading all of it."""
    decoders = {
        "utf-8": codecs.getincrementaldecoder("utf-8")(),
        "cp1252": codecs.getincrementaldecoder("cp1252")(),
    }
    mark = b""
    with path.open("rb") as stream:
        start = stream.read(len(codecs.BOM_UTF8))
        if start == codecs.BOM_UTF8:
            mark = start
        elif start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise ContractError(
                f"{path}: expected text in UTF-8 or Windows-1252, found UTF-16; save it in UTF-8"
            )
        stream.seek(0)
        block = b" "
        while block:
            block = stream.read(_BLOCK)
            if b"\x00" in block:
                raise ContractError(f"{path}: expected a CSV file, found binary data")
            if block.isascii() and all(not decoder.getstate()[0] for decoder in decoders.values()):
                continue
            for name in list(decoders):
                try:
                    decoders[name].decode(block, final=not block)
                except UnicodeDecodeError:
                    del decoders[name]
    if not decoders:
        raise ContractError(f"{path}: expected text in UTF-8 or Windows-1252, found bytes that neither has")
    return next(iter(decoders)), mark
