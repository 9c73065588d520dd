"""Which columns hold the coordinates, and in which CRS, if their user does not say it."""

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from qpv_geo.errors import ConfigurationError
from qpv_geo.locate.coordinates import split_text, to_floats
from qpv_geo.locate.places import fitting, known_crs, share_in_france
from qpv_geo.locate.points import Points
from qpv_geo.locate.tables import PointTable

_DEGREES = 4326
_UTM = {"20": 5490, "21": 4467, "22": 2972, "38": 4471, "40": 2975}


class _Pair(NamedTuple):
    """Two columns that are the coordinates by their names."""

    axes: int
    """0 for longitude and latitude, 1 for x and y."""
    beside: frozenset[str]
    """The other words of their names."""
    x: str
    y: str

    @property
    def rank(self) -> tuple[int, int]:
        """The surest first."""
        return self.axes, len(self.beside)


def guess_points(points: Points, table: PointTable) -> tuple[Points, str]:
    """Return the points of a file that has no geometry, and a sentence that says what was guessed.

    Raises `ConfigurationError` if no columns, or several, are the coordinates by their names, or several CRS
    fit their values.
    """
    pairs = list(_pairs(table.columns))
    if pairs:
        best = [pair for pair in pairs if pair.rank == min(each.rank for each in pairs)]
        if len(best) > 1:
            raise ConfigurationError(
                f"{table.path.name}: several columns may be the coordinates"
                f" ({', '.join(f'{pair.x} and {pair.y}' for pair in best)}); name them with --lon and --lat,"
                " or --x, --y and --crs"
            )
        (pair,) = best
        crs, why = _crs_of(pair, points, table)
        noted = f"{pair.x!r} and {pair.y!r} in {known_crs(crs).name}, {why}"
        return replace(points, x=pair.x, y=pair.y, crs=crs), _sentence(table, noted)
    both = [name for name in table.columns if spelled(name) in _names()["both"]["names"]]
    if len(both) != 1:
        raise ConfigurationError(
            f"{table.path.name} has no geometry: give the columns of the coordinates with --lon and --lat,"
            f" --x, --y and --crs, or --coordinates; it has: {', '.join(table.columns)}"
        )
    return replace(points, coordinates=both[0]), ""


def settle_coordinates(points: Points, table: PointTable) -> tuple[Points, str]:
    """Return the points of a column of both coordinates: order, CRS, polygons and lines or not."""
    name = str(points.coordinates)
    crs = points.crs or _DEGREES
    column = table.head().column(name)
    shares = []
    for x_first in (False, True):
        x, y, shapes = split_text(column, x_first=x_first)
        shares.append(share_in_france(x, y, crs))
    x_first = shares[1] > shares[0] if shares[0] != shares[1] else not known_crs(crs).is_geographic
    order = "x (longitude) first" if x_first else "y (latitude) first"
    settled = replace(points, crs=crs, x_first=x_first, shapes=shapes is not None)
    return settled, _sentence(table, f"{name!r} in {known_crs(crs).name}; of two numbers, {order}")


def _sentence(table: PointTable, what: str) -> str:
    return f"{table.path.name}: coordinates are {what}; name the columns and --crs to say otherwise"


def spelled(name: str) -> str:
    """Return the name of a column as ``columns.toml`` spells it."""
    return " ".join(_words(name))


def names_of(part: str) -> list[str]:
    """Return the names by which a part of an address is recognised, the surest first."""
    return _names()["address"][part]


def _words(name: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", re.sub(r"([a-z])([A-Z])", r"\1 \2", name))
    return re.findall(r"[a-z]+|\d+", plain.encode("ascii", "ignore").decode().lower())


def _pairs(columns: Sequence[str]) -> Iterator[_Pair]:
    allowed = set(_names()["beside"]["words"])
    words = {name: set(_words(name)) for name in columns}
    for number, unit in enumerate(("degrees", "metres")):
        easts, norths = (set(_names()[unit][axis]) for axis in "xy")
        for x, these in words.items():
            beside = these - easts
            if len(these & easts) != 1 or not beside <= allowed:
                continue
            for y, those in words.items():
                if len(those & norths) == 1 and those - norths == beside:
                    yield _Pair(number, frozenset(beside), x, y)


def _crs_of(pair: _Pair, points: Points, table: PointTable) -> tuple[object, str]:
    """Return the CRS of two columns, and why it is this one."""
    if points.crs is not None:
        return points.crs, "by --crs"
    named = _named_crs(pair)
    if named:
        return named, "by their names"
    head = table.head()
    x, y = (to_floats(head.column(name), name, points.dialect.decimal) for name in (pair.x, pair.y))
    fits = fitting(x, y)
    if len(fits) == 1:
        return fits[0], "the only one that fits their values"
    which = f"EPSG:{', EPSG:'.join(map(str, fits))} fit" if fits else "none that is usual in France fits"
    raise ConfigurationError(
        f"{table.path.name}: the CRS of columns {pair.x!r} and {pair.y!r} is unknown ({which} their values);"
        " give --crs and its EPSG code"
    )


def _named_crs(pair: _Pair) -> int | None:
    beside = pair.beside
    conic = [
        number for number in range(42, 51) if {str(3900 + number)} & beside or {"cc", str(number)} <= beside
    ]
    zones = [epsg for zone, epsg in _UTM.items() if {"utm", zone} <= beside]
    if pair.axes == 0 or beside & {"wgs", "4326"}:
        return _DEGREES
    if "2154" in beside or ("93" in beside and beside & {"l", "lambert", "rgf"}):
        return 2154
    if "3857" in beside:
        return 3857
    return 3900 + conic[0] if conic else zones[0] if zones else None


@cache
def _names() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads(Path(__file__).with_name("columns.toml").read_text(encoding="utf-8"))
