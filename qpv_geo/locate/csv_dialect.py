"""How a CSV file is written: encoding, separator, row of the header; recognised, or as its user says."""

import codecs
import csv
import gzip
import io
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from qpv_geo.errors import ConfigurationError, ContractError

# Latin-1 maps every byte to a letter: whatever the encoding of a file, its lines come out as they went in.
_BYTES = "latin-1"
_UTF_16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}

_SEPARATORS = ";\t|,"
"""In the order of trust where all rows agree with several: a comma is in texts and numbers as well."""
_HINT = "sep="
_ROWS = 20
"""Rows among which the header is looked for."""
_SAMPLE = 1 << 20
_BLOCK = 1 << 22

csv.field_size_limit(sys.maxsize)  # 131,072 characters by default: the outline of a commune is longer


@dataclass(frozen=True)
class Dialect:
    """How a file of text or a sheet is written; None: as recognised."""

    separator: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    skip_rows: int | None = None
    """Rows above the header."""

    def __post_init__(self) -> None:
        """Refuse what is not a separator, an encoding or a decimal sign."""
        if self.separator is not None and len(self.separator) != 1:
            raise ConfigurationError(f"--separator {self.separator!r}: expected one character, such as ';'")
        if self.decimal not in {None, ".", ","}:
            raise ConfigurationError(f"--decimal {self.decimal!r}: expected '.' or ','")
        if self.encoding is not None and not _holds_ascii(self.encoding):
            raise ConfigurationError(
                f"--encoding {self.encoding!r}: expected one that extends ASCII, such as utf-8 or cp1252"
            )


def find_header(rows: Sequence[Sequence[str]], wanted: Collection[str] = ()) -> int:
    """Return the position of the header among the first rows of a file.

    It is the first row that has the wanted names. Without such a row, it is the first that has two texts,
    since titles have one; or the first that has any, in a file of one column.
    """
    texts = [[cell.strip() for cell in row] for row in rows[:_ROWS]]
    tests = (
        lambda row: bool(wanted) and set(wanted) <= set(row),
        lambda row: sum(map(bool, row)) > 1,
        any,
    )
    for test in tests:
        for place, row in enumerate(texts):
            if test(row):
                return place
    return 0


def letters(encoding: str) -> str:
    """Return the encoding in which lines are read: one letter for each byte, but for UTF-16."""
    return encoding if encoding in _UTF_16.values() else _BYTES


def open_text(path: Path, encoding: str, mark: bytes = b"") -> TextIO:
    """Open a file, compressed or not, as text in `letters`, after its byte-order mark."""
    stream = io.TextIOWrapper(open_bytes(path), encoding=letters(encoding), newline="")
    stream.read(len(mark.decode(letters(encoding))))
    return stream


def open_bytes(path: Path, mode: str = "rb") -> BinaryIO:
    """Open a file; what is written into a compressed one does not depend on the time."""
    if path.suffix.lower() != ".gz":
        return cast("BinaryIO", path.open(mode))
    return cast("BinaryIO", gzip.GzipFile(path, mode, mtime=0))


def recognise_layout(stream: TextIO, dialect: Dialect, wanted: Collection[str]) -> tuple[str, int]:
    """Return the separator of a file and the number of rows above its header."""
    with stream:
        sample = stream.read(_SAMPLE)
    lines = list(io.StringIO(sample, newline=""))
    if len(sample) == _SAMPLE and len(lines) > 1:
        del lines[-1]  # cut
    hint = lines[0].strip().strip('"') if lines else ""
    above, separator = 0, dialect.separator
    if hint.lower().startswith(_HINT) and len(hint) == len(_HINT) + 1:
        above, separator = 1, separator or hint[-1]
    layouts = [
        (*_agreement(lines[above:], sign, dialect.skip_rows, wanted), sign)
        for sign in (separator or _SEPARATORS)
    ]
    *_, header, separator = max(layouts, key=lambda layout: layout[:-2])
    return separator, above + header


def _agreement(
    lines: Sequence[str], separator: str, skip_rows: int | None, wanted: Collection[str]
) -> tuple[float, bool, bool, int]:
    """Return how well a separator fits some lines, the best first, and the position of the header.

    That is the share of rows with as many cells as the header; whether it has several; and if not, whether
    the separator is inside quotes, which then are there for it.
    """
    rows = list(islice(csv.reader(lines, delimiter=separator), 2 * _ROWS))
    header = find_header(rows, wanted) if skip_rows is None else skip_rows
    names = rows[header] if header < len(rows) else []
    filled = [row for row in rows[header + 1 :] if row]
    several = len(names) > 1
    agreeing = sum(len(row) == len(names) for row in filled) / len(filled) if filled else 1.0
    quoted = not several and agreeing == 1 and any(separator in cell for row in filled for cell in row)
    return (agreeing if several else 0.0), several, quoted, header


def recognise_encoding(path: Path, given: str | None) -> tuple[str, bytes]:
    """Return the encoding of a file and its byte-order mark, after reading all of it."""
    with open_bytes(path) as stream:
        start = stream.read(len(codecs.BOM_UTF8))
        mark = next((mark for mark in (codecs.BOM_UTF8, *_UTF_16) if start.startswith(mark)), b"")
        wide = _UTF_16.get(mark)
        if given is not None and not wide:
            return codecs.lookup(given).name.removesuffix("-sig"), mark
        for name in [wide] if wide else ["utf-8", "cp1252"]:
            decoder = codecs.getincrementaldecoder(name)()
            stream.seek(0)
            try:
                while block := stream.read(_BLOCK):
                    if not wide and b"\x00" in block:
                        raise ContractError(f"{path}: expected a CSV file, found binary data")
                    decoder.decode(block)
                decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                continue
            return name, mark
    raise ContractError(
        f"{path}: expected text in UTF-8, UTF-16 or Windows-1252, found none of these; give --encoding"
    )


def _holds_ascii(encoding: str) -> bool:
    signs = ';,\t|"\r\n0aZ'
    try:
        return signs.encode(encoding.removesuffix("-sig")) == signs.encode("ascii")
    except LookupError:
        return False
