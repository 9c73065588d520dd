"""`locate` on files: each row is kept, in its place, and gets the answer for its point."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from qpv_geo.errors import ConfigurationError, ContractError, PublicationError, QpvGeoError
from qpv_geo.locate import geocoding
from qpv_geo.locate.answers import Answer
from qpv_geo.locate.coordinates import to_floats
from qpv_geo.locate.csv_table import CsvTable
from qpv_geo.locate.edges import FloatArray
from qpv_geo.locate.geocoding import Geocoder
from qpv_geo.locate.geopackage_table import GeoPackageTable
from qpv_geo.locate.locator import COLUMNS, Locator, located_frame
from qpv_geo.locate.parquet_table import ParquetTable
from qpv_geo.locate.places import Survey
from qpv_geo.locate.precision import check_precision, geocoder_precision, least_precise
from qpv_geo.locate.tables import Chunk, Table, refuse_clashes, require_columns
from qpv_geo.releases.release import find_release
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import load_catalogue
from qpv_geo.territory import Territory

_PARQUET = {".parquet", ".geoparquet", ".pq"}
_CSV = {".csv", ".tsv", ".txt"}
_GEOPACKAGE = {".gpkg"}
_LONGITUDE_LATITUDE = 4326


@dataclass(frozen=True)
class Points:
    """How a file tells where its points are, and how precisely.

    Attributes
    ----------
    x, y
        Columns of the coordinates; without them the geometry column serves.
    crs
        CRS of the coordinates (EPSG code, or what pyproj understands); a geometry column has its own.
    precision
        Metres by which points may be wrong, or the column that has them.
    type_column, score_column
        Columns of a geocoder's type and score, see `precision.geocoder_precision`.
    addresses
        Columns of plain addresses, to be sent to IGN's geocoding service in place of coordinates.
    layer
        Layer of a GeoPackage that has several.
    prefix
        Put before the names of the columns added.

    Raises
    ------
    ConfigurationError
        If these do not go together.
    """

    x: str | None = None
    y: str | None = None
    crs: object | None = None
    precision: float | str | None = None
    type_column: str | None = None
    score_column: str | None = None
    addresses: tuple[str, ...] = ()
    layer: str | None = None
    prefix: str = ""

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        if (self.x is None) != (self.y is None):
            raise ConfigurationError("one coordinate without the other: give both columns")
        if self.x is not None and self.crs is None:
            raise ConfigurationError("give the CRS of the coordinates: --crs and its EPSG code, such as 2154")
        if self.addresses and (self.x is not None or self.crs is not None):
            raise ConfigurationError("coordinates and addresses to geocode: give one or the other")
        if self.addresses and (self.type_column or self.score_column):
            raise ConfigurationError(
                "--geocode has its own type and score: leave --type-col and --score-col out"
            )
        if isinstance(self.precision, int | float) and not self.precision >= 0:
            raise ConfigurationError(f"precision {self.precision:g}: expected metres, 0 or more")

    @property
    def columns(self) -> list[str]:
        """Columns that are read."""
        named = [self.x, self.y, self.type_column, self.score_column, *self.addresses]
        if isinstance(self.precision, str):
            named.append(self.precision)
        return list(dict.fromkeys(name for name in named if name is not None))

    @property
    def added(self) -> pa.Schema:
        """Columns that are added."""
        fields = [*(geocoding.COLUMNS if self.addresses else ()), *COLUMNS]
        return pa.schema([field.with_name(self.prefix + field.name) for field in fields])


@dataclass
class Outcome:
    """What was found in a file.

    Attributes
    ----------
    path
        Where it was written.
    release
        Id of the release.
    rows
        Their number.
    answers, band
        Number of rows by answer, for ``en_qpv`` and ``bande_tva``.
    known_around, bands
        See `Locator`.
    outside_territory
        Points farther than that from the territory: the release does not know the QPV there.
    outside_france, swapped
        Points outside France, and those that would not be if x were y.
    """

    path: Path
    release: str
    known_around: float = 0.0
    bands: bool = True
    rows: int = 0
    answers: dict[str, int] = field(default_factory=lambda: {answer.name.lower(): 0 for answer in Answer})
    band: dict[str, int] = field(default_factory=lambda: {answer.name.lower(): 0 for answer in Answer})
    outside_territory: int = 0
    outside_france: int = 0
    swapped: int = 0


class _Run:
    """Answers for the chunks of one file, and what is counted meanwhile."""

    def __init__(self, locator: Locator, points: Points, outcome: Outcome, geocoder: Geocoder | None) -> None:
        self._locator = locator
        self._points = points
        self._outcome = outcome
        self._geocoder = geocoder
        self.survey = Survey(locator.points_crs, declared=points.x is None)
        self.file = ""

    def answer(self, chunk: Chunk) -> pa.Table:
        """Return the columns to add to a chunk."""
        points, before = self._points, []
        radii = []
        if self._geocoder:
            found = self._geocoder(_addresses(chunk, points.addresses))
            x, y = found.longitude, found.latitude
            before = found.table().columns
            radii.append(geocoder_precision(found.type, found.score, chunk.rows))
        elif points.x is not None and points.y is not None:
            x, y = to_floats(chunk.cells[points.x], points.x), to_floats(chunk.cells[points.y], points.y)
        elif chunk.points:
            x, y = chunk.points
        else:
            raise ContractError("a file without points")
        radii += self._radii(chunk)
        located = self._locator.locate(x, y, least_precise(radii))
        self.survey.note(x, y)
        outcome = self._outcome
        outcome.rows += chunk.rows
        for counts, numbers in ((outcome.answers, located.en_qpv), (outcome.band, located.bande_tva)):
            for answer, count in zip(
                Answer, np.bincount(numbers, minlength=len(Answer)).tolist(), strict=True
            ):
                counts[answer.name.lower()] += count
        outcome.outside_territory += self._locator.outside(x, y, located)
        return pa.Table.from_arrays([*before, *self._locator.table(located).columns], schema=points.added)

    def _radii(self, chunk: Chunk) -> list[FloatArray]:
        points, radii = self._points, []
        if isinstance(points.precision, str):
            radius = to_floats(chunk.cells[points.precision], points.precision)
            check_precision(radius, points.precision, chunk.first_row, self.file)
            radii.append(radius)
        elif points.precision is not None:
            radii.append(np.full(chunk.rows, points.precision))
        if points.type_column or points.score_column:
            types = chunk.cells[points.type_column] if points.type_column else None
            score = points.score_column
            scores = to_floats(chunk.cells[score], score) if score else None
            radii.append(geocoder_precision(types, scores, chunk.rows))
        return radii

    def close(self, name: str) -> None:
        """Check what all points have in common."""
        self.survey.check(name)
        self._outcome.outside_france = self.survey.points - self.survey.inside
        self._outcome.swapped = self.survey.swapped


@dataclass(frozen=True)
class PartitionLocator:
    """`locate` for the partitions of a table that others read and write: ``ddf.map_partitions(located)``.

    It can be sent to another process.

    Attributes
    ----------
    locator
        See `Locator.of_release`.
    x, y
        Columns of the coordinates, numbers.
    precision
        Metres, or the column that has them.
    """

    locator: Locator
    x: str
    y: str
    precision: float | str | None = None

    def __call__(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return a table with the columns added."""
        x, y = frame[self.x].to_numpy(np.float64), frame[self.y].to_numpy(np.float64)
        precision = self.precision
        radius = frame[precision].to_numpy(np.float64) if isinstance(precision, str) else precision
        return located_frame(frame, self.locator.table(self.locator.locate(x, y, radius)))


def locate_file(
    path: Path,
    points: Points,
    territory: Territory,
    settings: Settings,
    *,
    output: Path | None = None,
    max_distance: float = 1000.0,
    force: bool = False,
) -> Outcome:
    """Write a file again with, for each row, whether its point is in a QPV, in which, and how far it is.

    The file is read in chunks of rows: it may be larger than the memory. It keeps its rows, their order and
    its format. A folder of Parquet files becomes such a folder, each file by itself. What is written appears
    under its name when it is complete.

    Parameters
    ----------
    path
        CSV, Parquet, GeoParquet or GeoPackage, or a folder of Parquet files.
    points
        How it tells where the points are.
    territory, settings
        Points are located in the QPV of the territory's current release.
    output
        By default beside the input: ``<stem>_qpv`` and the same extension.
    max_distance
        Metres beyond which there is neither distance nor nearest QPV.
    force
        Replace what there is at `output`.

    Raises
    ------
    ConfigurationError
        If there is no release, the output exists, or the file has not the columns that `points` names.
    ContractError
        If the file cannot be read, or its points are all outside France or have swapped axes.
    SourceUnavailableError, SourceContentError
        If addresses cannot be geocoded.
    """
    parts = _parts(path)
    target = output or path.with_name(f"{path.stem}_qpv{path.suffix}")
    _check_target(path, target, force=force)
    crs = _points_crs([_checked(part, points) for part in parts], points)
    release = find_release(territory.id, None, settings)
    locator = Locator.of_release(release, territory, points_crs=crs, max_distance=max_distance)
    with ExitStack() as stack:
        geocoder = None
        if points.addresses:
            geocoder = stack.enter_context(Geocoder(load_catalogue()["geocodage"], settings))
        aside = stack.enter_context(_aside(target))
        written = [aside / part.relative_to(path) if path.is_dir() else aside for part in parts]
        outcome = locate_with(locator, parts, written, points, name=path.name, geocoder=geocoder)
        if target.is_dir():
            shutil.rmtree(target)
        aside.replace(target)
    return replace(outcome, path=target)


def locate_with(
    locator: Locator,
    parts: Sequence[Path],
    targets: Sequence[Path],
    points: Points,
    *,
    name: str = "",
    geocoder: Geocoder | None = None,
) -> Outcome:
    """Locate the points of files that belong together, with a locator that is made already.

    Parameters
    ----------
    locator
        For points in the CRS of the files.
    parts, targets
        The files, and where each is written: nothing is there yet.
    points
        How they tell where the points are.
    name
        How the files are called in messages; by default like the first.
    geocoder
        For plain addresses.

    Raises
    ------
    ConfigurationError, ContractError, SourceUnavailableError, SourceContentError
        As `locate_file`. What is written by then is not complete.
    """
    outcome = Outcome(targets[0], locator.release, locator.known_around, locator.bands)
    run = _Run(locator, points, outcome, geocoder)
    geometry = points.x is None and not points.addresses
    for part, target in zip(parts, targets, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        table = _checked(part, points)
        run.file = part.name
        table.extend(target, points.columns, points.added, run.answer, geometry=geometry)
        shutil.copymode(part, target)
    run.close(name or parts[0].name)
    return outcome


def _checked(path: Path, points: Points) -> Table:
    """Return a file that has the columns wanted, and not those to be added."""
    table = _open(path, points)
    require_columns(table, points.columns)
    refuse_clashes(table, points.added.names)
    return table


def _parts(path: Path) -> list[Path]:
    """Return the files of a path: itself, or the Parquet files of a folder."""
    if not path.exists():
        raise ConfigurationError(f"no file {path}")
    if not path.is_dir():
        return [path]
    parts = sorted(
        part
        for part in path.rglob("*")
        if part.suffix.lower() in _PARQUET
        and not any(name.startswith((".", "_")) for name in part.relative_to(path).parts)
    )
    if not parts:
        raise ConfigurationError(f"{path}: a folder without any Parquet file")
    return parts


def _check_target(path: Path, target: Path, *, force: bool) -> None:
    if target.suffix.lower() != path.suffix.lower():
        raise ConfigurationError(
            f"the output keeps the format of the input: its name ends with {path.suffix!r}, not"
            f" {target.suffix!r}"
        )
    if target.exists() and target.samefile(path):
        raise ConfigurationError(f"{target} is the input: give another --output")
    if not target.exists():
        return
    if not force:
        raise ConfigurationError(f"{target} exists: give --force to replace it, or another --output")
    if target.is_dir() != path.is_dir():
        raise ConfigurationError(
            f"{target} is {'a folder' if target.is_dir() else 'a file'}, {path.name} is not"
        )
    strangers = [file for file in target.rglob("*") if file.is_file() and file.suffix.lower() not in _PARQUET]
    if target.is_dir() and strangers:
        raise ConfigurationError(
            f"{target} holds other files than Parquet ones ({strangers[0].name}): not replaced"
        )


def _open(path: Path, points: Points) -> Table:
    suffix = path.suffix.lower()
    if suffix in _CSV:
        table: Table = CsvTable(path)
    elif suffix in _PARQUET:
        table = ParquetTable(path)
    elif suffix in _GEOPACKAGE:
        return GeoPackageTable(path, points.layer)
    else:
        known = ", ".join(sorted(_CSV | _PARQUET | _GEOPACKAGE))
        raise ConfigurationError(
            f"{path.name}: {suffix or 'no extension'} is not a format that is read; {known} are"
        )
    if points.layer:
        raise ConfigurationError("--layer is for a GeoPackage")
    return table


def _points_crs(tables: Sequence[Table], points: Points) -> object:
    """Return the CRS of the points, the same in all files."""
    if points.addresses:
        return _LONGITUDE_LATITUDE
    if points.x is not None and points.crs is not None:
        return points.crs
    table = tables[0]
    if not all(each.has_geometry for each in tables):
        raise ConfigurationError(
            f"{table.path.name} has no geometry: give the columns of the coordinates with --lon and --lat, or"
            f" --x, --y and --crs; it has: {', '.join(table.columns)}"
        )
    found = {str(each.geometry_crs): each.geometry_crs for each in tables}
    if len(found) > 1:
        raise ContractError(f"{table.path.parent}: its files are not all in the same CRS; project them first")
    crs = table.geometry_crs or points.crs
    if crs is None:
        raise ConfigurationError(f"{table.path.name} does not say its CRS: give it with --crs")
    return crs


def _addresses(chunk: Chunk, columns: Sequence[str]) -> list[str]:
    """Return one line of text for each row, empty if it has no address."""
    texts = [chunk.cells[name].cast(pa.string()).to_pylist() for name in columns]
    return [" ".join(" ".join(cell for cell in cells if cell).split()) for cells in zip(*texts, strict=True)]


@contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """Give a path beside `target`, and remove what is left there."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{target.stem}-", dir=target.parent))
    except OSError as error:
        raise PublicationError(f"{target.parent}: cannot be written to ({error.strerror})") from error
    try:
        yield folder / target.name
    except QpvGeoError:
        raise  # some are errors of the operating system as well
    except (OSError, pa.ArrowException) as error:
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise PublicationError(
            f"{target}: cannot be written ({reason}); check the free space and the rights"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
