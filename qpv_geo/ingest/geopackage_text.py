"""What GDAL hides in a GeoPackage: text behind a NUL, where GDAL takes it to end."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path


def cut_at_nul(path: Path, layer: str, columns: Sequence[str]) -> dict[str, list[object]]:
    """Return, as the file has them, the columns of a layer in which GDAL cut a text at a NUL."""
    found = {}
    table = _quoted(layer)
    with closing(sqlite3.connect(path)) as database:
        there = {name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")}
        for column in there & set(columns):
            name = _quoted(column)
            with_nul = f"typeof({name}) = 'text' AND instr(CAST({name} AS BLOB), x'00')"
            if database.execute(f"SELECT 1 FROM {table} WHERE {with_nul}").fetchone():  # noqa: S608 - quoted
                cells = database.execute(f"SELECT {name} FROM {table}")  # noqa: S608 - quoted
                found[column] = [cell for (cell,) in cells]
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
