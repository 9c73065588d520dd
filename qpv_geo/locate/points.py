"""Where the points of a file are, and how precisely they are placed, as its user declares it."""

import datetime as dt
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qpv_geo.errors import ConfigurationError
from qpv_geo.locate.csv_dialect import Dialect
from qpv_geo.locate.dates import DATED
from qpv_geo.locate.edges import FloatArray
from qpv_geo.locate.layers import specs_of
from qpv_geo.locate.locator import BANDS, COLUMNS, SHARE
from qpv_geo.sources.geocoder import RADIUS, SCORE_THRESHOLD

GEOCODED = pa.schema(
    [
        ("longitude", pa.float64()),
        ("latitude", pa.float64()),
        ("result_score", pa.float64()),
        ("result_type", pa.string()),
        ("result_label", pa.string()),
    ]
)
"""Columns kept from the geocoding service's answers, under the service's names."""


@dataclass(frozen=True)
class Points:
    """Which columns of a file hold the points and their precision; contradictions are refused."""

    x: str | None = None
    y: str | None = None
    """Columns of the coordinates; without them the geometry column serves."""
    coordinates: str | None = None
    """A column of both coordinates, see `coordinates.split_text`."""
    x_first: bool = False
    """Whether its texts of two numbers begin with x."""
    crs: object | None = None
    """CRS of the coordinates (EPSG code, or anything pyproj understands), or of geometries without one."""
    precision: float | str | None = None
    """Metres by which points may be wrong, or the column that holds them."""
    type_column: str | None = None
    score_column: str | None = None
    """Columns of a geocoder's type and score, see `geocoder_precision`."""
    score_threshold: float = SCORE_THRESHOLD
    """Score below which a geocoder's answer is uncertain."""
    addresses: tuple[str, ...] = ()
    """Columns of the address, sent to IGN's geocoding service in place of coordinates."""
    layer: str | None = None
    """Layer of a GeoPackage that has several."""
    dialect: Dialect = field(default_factory=Dialect)
    """How a file of text or a sheet is written."""
    shapes: bool = False
    """Whether geometries may be polygons and lines: `added` then has their share in QPV."""
    date: dt.date | None = None
    """Day at which the QPV were in force, for all points."""
    date_column: str | None = None
    """Column of the day of each, see `dates.to_dates`."""
    layers: tuple[str, ...] = ()
    """Layers of the release to answer about as well, see `layers.layer_specs`."""
    street: tuple[str, ...] = ()
    """Columns of a street and its numbers, which a report counts."""
    strict: bool = False
    """Whether rows that cannot be read are refused, in place of being flagged ``illisible``."""
    prefix: str = ""
    """Prefix of the names of the added columns."""

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if (self.x is None) != (self.y is None):
            raise ConfigurationError("one coordinate without the other: give both columns")
        if self.x is not None and self.crs is None:
            raise ConfigurationError("give the CRS of the coordinates: --crs and its EPSG code, such as 2154")
        if self.x is not None and self.coordinates is not None:
            raise ConfigurationError("two columns and a column of both coordinates: give one or the other")
        if self.addresses and (self.in_columns or self.crs is not None):
            raise ConfigurationError("coordinates and addresses to geocode: give one or the other")
        if self.addresses and (self.type_column or self.score_column):
            raise ConfigurationError(
                "--geocode has its own type and score: leave --type-col and --score-col out"
            )
        if self.date is not None and self.date_column is not None:
            raise ConfigurationError("--date and --date-column: give one or the other")
        if not 0 <= self.score_threshold <= 1:
            raise ConfigurationError(
                f"--score-threshold {self.score_threshold:g}: expected a score from 0 to 1"
            )
        if isinstance(self.precision, int | float) and not self.precision >= 0:
            raise ConfigurationError(f"precision {self.precision:g}: expected metres, 0 or more")

    @property
    def in_columns(self) -> bool:
        """Whether the coordinates are in columns, not in a geometry or to be found from addresses."""
        return self.x is not None or self.coordinates is not None

    @property
    def dated(self) -> bool:
        """Whether points have dates."""
        return self.date is not None or self.date_column is not None

    @property
    def columns(self) -> list[str]:
        """Columns to read."""
        named = [self.x, self.y, self.coordinates, self.type_column, self.score_column, *self.addresses]
        named += [self.date_column, *self.street]
        if isinstance(self.precision, str):
            named.append(self.precision)
        return list(dict.fromkeys(name for name in named if name is not None))

    @property
    def added(self) -> pa.Schema:
        """Columns to add."""
        answers = (
            [*(field for field in COLUMNS if field.name not in BANDS), *DATED] if self.dated else COLUMNS
        )
        fields = [*(GEOCODED if self.addresses else ()), *answers, *([SHARE] if self.shapes else [])]
        fields += [field for spec in specs_of(self.layers) for field in spec.schema]
        return pa.schema([field.with_name(self.prefix + field.name) for field in fields])


def geocoder_precision(
    types: pa.Array | None, scores: FloatArray | None, rows: int, threshold: float = SCORE_THRESHOLD
) -> FloatArray:
    """Return the precision of a geocoder's answers in metres, NaN where it is unknown.

    For types see `RADIUS`, for scores (0 to 1) `SCORE_THRESHOLD`; None if the file does not have them.
    """
    radius = np.zeros(rows)
    if types is not None:
        names = pc.utf8_lower(pc.utf8_trim_whitespace(types.cast(pa.string())))
        place = pc.index_in(names, pa.array(list(RADIUS))).fill_null(len(RADIUS))
        radius = np.array([*RADIUS.values(), np.nan])[place]
    if scores is not None:
        radius = np.where(scores >= threshold, radius, np.nan)
    return radius
