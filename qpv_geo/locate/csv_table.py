"""CSV in its own dialect: each line is copied byte for byte, and cells are added at its end."""

import codecs
import csv
import io
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qpv_geo.errors import ContractError
from qpv_geo.locate.csv_dialect import (
    Dialect,
    letters,
    open_bytes,
    open_text,
    recognise_encoding,
    recognise_layout,
)
from qpv_geo.locate.tables import HEAD_ROWS, Chunk, ChunkAnswer, PointTable, suffix_of
from qpv_geo.parallel import collector_held_off

_ROWS = 1 << 14
_QUOTE = '"'


class CsvTable(PointTable):
    """A CSV file with a header, compressed or not; titles above the header are copied as they are."""

    def __init__(self, path: Path, dialect: Dialect | None = None, wanted: Collection[str] = ()) -> None:
        """Open a file, whose header is best recognised by the `wanted` columns."""
        super().__init__(path)
        self.suffix = suffix_of(path)
        self._given, self._wanted = dialect or Dialect(), wanted
        try:
            self._encoding, self._mark = recognise_encoding(path, self._given.encoding)
            self._letters = letters(self._encoding)
            names = [name.encode(self._encoding, "replace").decode(self._letters) for name in wanted]
            self._separator, self.titles = recognise_layout(self._open(), self._given, names)
            with self._open() as stream:
                header = next(islice(self._plain_records(stream), self.titles, None), None)
        except (OSError, EOFError) as error:
            raise ContractError(f"{path}: cannot be read ({error})") from error
        if header is None or not header.line.strip():
            raise ContractError(f"{path}: the file is empty; expected a header with the names of the columns")
        self.columns = [self._decode(name).strip() for name in header.cells]
        if self.titles and self._given.skip_rows is None:
            self.notes.append(f"{path.name}: the header is row {self.titles + 1}; --skip-rows says otherwise")

    def head(self) -> Chunk:
        """Return the first rows."""
        with self._open() as stream:
            deque(islice(self._plain_records(stream), self.titles + 1), maxlen=0)  # above the rows
            records = [record for record in islice(self._records(stream), HEAD_ROWS) if record.cells]
        return self._chunk(records, range(len(records)))

    def extend(self, target: Path, added: pa.Schema, answer: ChunkAnswer) -> None:
        """Write the file with columns added.

        Added cells take the file's encoding, separator and decimal sign, and quotes if all cells have them. A
        row with more or fewer cells than the header, or a quote that is not closed, is written with as many:
        what is too much goes into the last one.
        """
        with self._open() as stream, open_bytes(target, "wb") as sink:
            sink.write(codecs.BOM_UTF8 if self._given.encoding == "utf-8-sig" else self._mark)
            *titles, header = islice(self._plain_records(stream), self.titles + 1)
            sink.write("".join(record.line for record in titles).encode(self._letters))
            records = self._records(stream)
            blocks = iter(partial(_next_block, records), [])
            first = next(blocks, [])
            style = self._style([record for record in first if record.cells])
            self._write_lines(sink, [header.line], [style.header(added.names)])
            number = self.titles + 2
            for block in chain([first], blocks):
                rows = [record for record in block if record.cells]
                numbers = [place for place, record in enumerate(block, number) if record.cells]
                ends = iter(style.cells(answer(self._chunk(rows, numbers))))
                # A blank line is not a row: it stays blank.
                added_ends = [next(ends) if record.cells else "" for record in block]
                self._write_lines(sink, [record.line for record in block], added_ends)
                number += len(block)

    def _style(self, rows: "Sequence[_Record]") -> "_Style":
        """Return how cells are added to these rows."""
        quoted = bool(rows) and rows[0].is_quoted(self._separator)
        columns = [self._column(rows, name) for name in self._wanted]
        return _Style(self._separator, quoted, self._given.decimal or _decimal(self._separator, columns))

    def _chunk(self, rows: "Sequence[_Record]", numbers: Sequence[int]) -> Chunk:
        faults = {place: fault for place, (_, _, fault) in enumerate(rows) if fault}
        return Chunk(numbers, partial(self._column, rows), faults=faults)

    def _column(self, rows: "Sequence[_Record]", name: str) -> pa.Array:
        place = list(self.columns).index(name)
        try:
            return pa.array([self._decode(record.cells[place]) for record in rows], pa.large_string())
        except UnicodeDecodeError as error:
            raise ContractError(
                f"{self.path.name}: column {name!r} is not in {self._encoding}; give another --encoding"
            ) from error

    def _open(self) -> TextIO:
        return open_text(self.path, self._encoding, self._mark)

    def _decode(self, text: str) -> str:
        return text if text.isascii() else text.encode(self._letters).decode(self._encoding)

    def _write_lines(self, sink: BinaryIO, lines: Sequence[str], ends: Sequence[str]) -> None:
        """Write lines, each with what is added before its end."""
        texts = []
        for line, end in zip(lines, ends, strict=True):
            body = line.rstrip("\r\n")
            added = end if end.isascii() else end.encode(self._encoding, "replace").decode(self._letters)
            texts.append(f"{body}{added}{line[len(body) :]}")
        sink.write("".join(texts).encode(self._letters))

    def _plain_records(self, stream: TextIO) -> "Iterator[_Record]":
        """Yield records as they are, whatever they are: titles and the header."""
        raw: list[str] = []
        for cells in csv.reader(_noted_lines(stream, raw, deque()), delimiter=self._separator):
            yield _Record("".join(raw), cells)
            raw.clear()

    def _records(self, stream: TextIO) -> "Iterator[_Record]":
        """Yield each record as written, line breaks inside cells included, with its cells; mend bad ones."""
        raw: list[str] = []
        again: deque[str] = deque()
        width = len(self.columns)
        while True:
            try:
                for cells in csv.reader(
                    _noted_lines(stream, raw, again), delimiter=self._separator, strict=True
                ):
                    if len(cells) == width or not cells:
                        yield _Record("".join(raw), cells)
                    else:
                        yield self._padded_record(
                            "".join(raw), cells, f"{len(cells)} cells, expected {width}"
                        )
                    raw.clear()
            except csv.Error:
                # What follows the line with the quote is read as if there were none.
                first, *rest = raw
                again.extendleft(reversed(rest))
                raw.clear()
                cells = next(csv.reader([first.rstrip("\r\n")], delimiter=self._separator))
                yield self._padded_record(first, cells, "a quote is not closed, or not doubled inside")
            else:
                return

    def _padded_record(self, line: str, cells: Sequence[str], fault: str) -> "_Record":
        """Return a record with as many cells as the header; none of them is read."""
        width = len(self.columns)
        surplus = cells[width - 1 :]
        last = [self._separator.join(surplus)] if len(cells) > width else list(surplus)
        kept = [*cells[: width - 1], *last]
        text = io.StringIO()
        # A cell with either sign of a line's end is quoted only if that sign ends lines.
        writer = csv.writer(text, delimiter=self._separator, lineterminator="\r\n")
        writer.writerow([*kept, *[""] * (width - len(kept))])
        end = line[len(line.rstrip("\r\n")) :]
        return _Record(text.getvalue().removesuffix("\r\n") + end, [""] * width, fault)


class _Record(NamedTuple):
    """A record of a file: its text with the end of the line, its cells, and what is wrong with it."""

    line: str
    cells: Sequence[str]
    fault: str = ""

    def is_quoted(self, separator: str) -> bool:
        """Tell whether all cells are in quotes."""
        line = self.line.rstrip("\r\n")
        between = line.count(_QUOTE + separator + _QUOTE)
        return line.startswith(_QUOTE) and line.endswith(_QUOTE) and between == len(self.cells) - 1


class _Style(NamedTuple):
    """How added cells are written."""

    separator: str
    quoted: bool
    decimal: str

    def header(self, names: Sequence[str]) -> str:
        return "".join(self.separator + self._text(name) for name in names)

    def cells(self, table: pa.Table) -> list[str]:
        columns = [self._column(column) for column in table.columns]
        return [self.separator + self.separator.join(cells) for cells in zip(*columns, strict=True)]

    def _column(self, column: pa.ChunkedArray) -> list[str]:
        if pa.types.is_floating(column.type):
            numbers = column.to_pylist()
            written = [
                "" if number is None else repr(number).replace(".", self.decimal) for number in numbers
            ]
            plain = not self.quoted and self.decimal != self.separator
            return written if plain else [self._text(text) for text in written]
        encoded = column.combine_chunks()
        if not pa.types.is_dictionary(encoded.type):
            encoded = encoded.dictionary_encode()
        words = [*encoded.dictionary.to_pylist(), ""]
        texts = np.array([self._text(word) for word in words], object)
        places = encoded.indices.cast(pa.int64()).fill_null(len(texts) - 1)
        cells: list[str] = texts[places.to_numpy(zero_copy_only=False)].tolist()
        return cells

    def _text(self, text: str) -> str:
        if self.quoted or any(sign in text for sign in (self.separator, _QUOTE, "\n", "\r")):
            return _QUOTE + text.replace(_QUOTE, _QUOTE * 2) + _QUOTE
        return text


def _next_block(records: Iterator[_Record]) -> list[_Record]:
    with collector_held_off():  # it would find nothing, and take as long as the reading
        return list(islice(records, _ROWS))


def _decimal(separator: str, columns: Sequence[pa.Array]) -> str:
    """Return the decimal sign of the columns read; without any, the one that goes with the separator."""
    for sign in ".,":
        number = rf"^\s*[+-]?\d+[{sign}]\d+\s*$"
        if any(pc.any(pc.match_substring_regex(column, number)).as_py() for column in columns):
            return sign
    return "," if separator == ";" else "."


def _noted_lines(stream: TextIO, raw: list[str], again: deque[str]) -> Iterator[str]:
    """Yield lines, those of `again` first, and note them in `raw`."""
    while again:
        raw.append(again.popleft())
        yield raw[-1]
    for line in stream:
        raw.append(line)
        yield line
