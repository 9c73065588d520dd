"""`locate` on files: each row is kept, in its place, and gets the answer for its point."""

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qpv_geo.errors import ContractError
from qpv_geo.locate.answers import Answer, Located
from qpv_geo.locate.coordinates import Geometries, split_text, to_floats
from qpv_geo.locate.dates import to_dates
from qpv_geo.locate.edges import FloatArray
from qpv_geo.locate.locator import Locator
from qpv_geo.locate.paths import (
    check_target,
    files_of,
    open_table,
    points_crs,
    replacing,
    settle,
    stem_of,
)
from qpv_geo.locate.places import Survey
from qpv_geo.locate.points import Points, geocoder_precision
from qpv_geo.locate.tables import Chunk
from qpv_geo.releases.release import find_release
from qpv_geo.settings import Settings
from qpv_geo.territory import Territory

if TYPE_CHECKING:
    from qpv_geo.locate.report import Tally


Geocode = Callable[[Sequence[str]], pa.Table]

_SHOWN = 10
_SPACES = r"[\s\p{Z}]+"
_HIGHEST_SCORE = 1.1
"""Scores go from 0 to 1, but some geocoders add a little for important places; more is another scale."""
_SCALE = "divide the column by its scale (100 for a percentage), or leave --score-col out"


def _none_yet() -> dict[str, int]:
    return {answer.word: 0 for answer in Answer if answer is not Answer.A_CHEVAL}


@dataclass
class LocateSummary:
    """What `locate` found in a file."""

    path: Path
    """Where the result was written."""
    release: str
    known_around: float = 0.0
    bands: bool = True
    """As in `Locator`."""
    dated: bool = False
    rows: int = 0
    answers: dict[str, int] = field(default_factory=_none_yet)
    band: dict[str, int] = field(default_factory=_none_yet)
    """Number of rows by answer, for ``en_qpv`` and ``bande_tva``."""
    outside_territory: int = 0
    """Points beyond `known_around`, where the release does not know the QPV."""
    outside_france: int = 0
    swapped: int = 0
    """Points outside France, and those that would be inside if x were y."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Number of rows by the reason why no geography answers at their date."""
    unreadable: list[str] = field(default_factory=list)
    """The first ten rows that cannot be read, and what is wrong with each."""
    notes: list[str] = field(default_factory=list)
    """What was decided in the place of the user."""


@dataclass
class _ChunkLocator:
    """Answers for the chunks of files that belong together, and counts the answers."""

    locator: Locator
    points: Points
    summary: LocateSummary
    geocode: Geocode | None
    tally: "Tally | None"
    survey: Survey
    file: str = ""

    def answer(self, chunk: Chunk) -> pa.Table:
        """Return the columns to add to a chunk, and count the answers."""
        points, radii = self.points, self._radii(chunk)
        geocoded: list[pa.Array] = []
        if self.geocode:
            found = self.geocode(_addresses(chunk, points.addresses))
            x, y, score = (found[name].to_numpy() for name in ("longitude", "latitude", "result_score"))
            types = found["result_type"].combine_chunks()
            radii.append(geocoder_precision(types, score, chunk.rows, points.score_threshold))
            geometries, geocoded = Geometries(x, y), found.columns
        elif points.x is not None and points.y is not None:
            decimal = points.dialect.decimal
            x, y = (to_floats(chunk.column(name), name, decimal) for name in (points.x, points.y))
            geometries = Geometries(x, y)
        elif points.coordinates is not None:
            geometries = split_text(chunk.column(points.coordinates), x_first=points.x_first)
        else:
            geometries = chunk.geometries()
        column = points.date_column
        dates = to_dates(chunk.column(column)) if column else points.date
        precision = np.maximum.reduce(radii) if radii else None  # NaN, unknown, is the largest
        located, table = self.locator.locate_geometries(
            geometries, precision, shares=points.shapes, dates=dates
        )
        self._count(located, table, geometries)
        self._note_unreadable(chunk, located)
        if self.tally is not None:
            self.tally.add(chunk.column, geometries, precision, (located, table))
        return pa.Table.from_arrays([*geocoded, *table.columns], schema=points.added)

    def _count(self, located: Located, table: pa.Table, geometries: Geometries) -> None:
        summary, (x, y, _) = self.summary, geometries
        self.survey.note(x, y)
        summary.rows += len(x)
        summary.outside_territory += self.locator.outside(x, y, located)
        if self.points.dated:
            for reason in table["motif_geographie"].drop_null().value_counts().to_pylist():
                summary.reasons[reason["values"]] += reason["counts"]
        for counts, numbers in ((summary.answers, located.en_qpv), (summary.band, located.bande_tva)):
            for answer, count in enumerate(np.bincount(numbers).tolist()):
                if count:
                    counts[Answer(answer).word] = counts.get(Answer(answer).word, 0) + count

    def _note_unreadable(self, chunk: Chunk, located: Located) -> None:
        """Keep the first rows that cannot be read, with what is wrong; refuse them if they must be read."""
        room = _SHOWN - len(self.summary.unreadable)
        for place in np.flatnonzero(located.en_qpv == Answer.ILLISIBLE)[:room].tolist():
            fault = chunk.faults.get(place, "no coordinates that can be read")
            row = f"{self.file}: row {chunk.numbers[place]}: {fault}"
            if self.points.strict:
                raise ContractError(f"{row}; correct it, or leave --strict out to have it flagged illisible")
            self.summary.unreadable.append(row)

    def _radii(self, chunk: Chunk) -> list[FloatArray]:
        """Return what the file itself says of the precision of its points."""
        points, radii = self.points, []
        if isinstance(points.precision, str):
            expected = "a precision in metres, 0 or more"
            radius = numbers_within(chunk, points.precision, self.file, expected, least=0.0)
            radii.append(radius)
        elif points.precision is not None:
            radii.append(np.full(chunk.rows, points.precision))
        if points.type_column or points.score_column:
            types = chunk.column(points.type_column) if points.type_column else None
            scores, expected = None, f"a score from 0 to 1; {_SCALE}"
            if points.score_column:
                scores = numbers_within(chunk, points.score_column, self.file, expected, most=_HIGHEST_SCORE)
            radii.append(geocoder_precision(types, scores, chunk.rows, points.score_threshold))
        return radii


def locate_file(
    path: Path,
    points: Points,
    territory: Territory,
    settings: Settings,
    *,
    output: Path | None = None,
    max_distance: float = 1000.0,
    force: bool = False,
    report: Path | None = None,
) -> LocateSummary:
    """Write a file again with, for each row, whether its point is in a QPV, in which, and how far it is.

    The file is a CSV, a workbook, Parquet, GeoParquet, GeoPackage or another vector format of GDAL, or a
    folder of Parquet files. It is read in chunks of rows, so it may exceed the memory. Rows, order and format
    are kept. The result appears under its name only once it is complete.

    Parameters
    ----------
    points
        Where the points are.
    output
        By default beside the input: ``<stem>_qpv`` and the same extension, or ``.gpkg`` if the format cannot
        hold the columns.
    max_distance
        Metres beyond which there is neither distance nor nearest QPV.
    force
        Replace an existing output or report.
    report
        Where to write a report, see `report.write_report`: its suffix is ``.xlsx`` or ``.html``.

    Raises
    ------
    ConfigurationError
        If there is no release, the output exists, or the file lacks the columns that `points` names.
    ContractError
        If the file, or a row if `points` is strict, cannot be read, or its points fail the check of `Survey`.
    SourceUnavailableError, SourceContentError
        If addresses cannot be geocoded.
    """
    parts = files_of(path)
    tables = [open_table(part, points) for part in parts]
    suffix = path.suffix if path.is_dir() else tables[0].suffix
    target = output or path.with_name(f"{stem_of(path, suffix)}_qpv{suffix}")
    check_target(path, target, force=force, suffix=suffix)
    street: dict[str, str] = {}
    if report is not None:
        # imported lazily: most files need none
        from qpv_geo.locate.report import Tally, check_report, street_columns, write_report  # noqa: PLC0415

        check_report(report, force=force)
        street = street_columns(tables[0].columns)
        points = replace(points, street=tuple(street.values()))
    notes = [note for table in tables for note in table.notes]
    points = settle(points, tables, notes)
    crs = points_crs(tables, points)
    release = find_release(territory.id, None, settings)
    locator = Locator.of_release(
        release,
        territory,
        points_crs=crs,
        max_distance=max_distance,
        layers=points.layers,
        dated=points.dated,
    )
    geocoder = None
    if points.addresses:
        from qpv_geo.locate.geocoding import geocode  # noqa: PLC0415 - httpx takes 0.2 s
        from qpv_geo.sources.catalogue import load_catalogue  # noqa: PLC0415

        geocoder = partial(geocode, settings=settings, source=load_catalogue()["geocodage"])
    tally = None if report is None else Tally(locator, street)
    with replacing(target) as aside, replacing(report) if report else nullcontext() as beside:
        written = [aside / part.relative_to(path) if path.is_dir() else aside for part in parts]
        summary = locate_with(locator, parts, written, points, name=path.name, geocoder=geocoder, tally=tally)
        if tally is not None and beside is not None:
            write_report(beside, summary, tally, path.name, territory.nom)
    summary.notes[:0] = notes
    if not path.name.lower().endswith(suffix.lower()):
        summary.notes.append(
            f"{path.name}: {path.suffix} files are read, not written: the result is a {suffix}"
        )
    return replace(summary, path=target)


def locate_with(
    locator: Locator,
    parts: Sequence[Path],
    targets: Sequence[Path],
    points: Points,
    *,
    name: str = "",
    geocoder: Geocode | None = None,
    tally: "Tally | None" = None,
) -> LocateSummary:
    """Locate the points of files that belong together, each written to its target.

    The locator takes points in the CRS of the files, and messages name the files by `name`, or else by the
    first; `points` that names addresses needs a geocoder; a `tally` counts for a report. Raises as
    `locate_file`: targets may then be incomplete.
    """
    summary = LocateSummary(targets[0], locator.release, locator.known_around, locator.bands, points.dated)
    survey = Survey(locator.points_crs, declared=not points.in_columns)
    chunks = _ChunkLocator(locator, points, summary, geocoder, tally, survey)
    for part, target in zip(parts, targets, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        table = open_table(part, points)
        chunks.file = part.name
        table.extend(target, points.added, chunks.answer)
        shutil.copymode(part, target)
    survey.check(name or parts[0].name)
    summary.outside_france = survey.points - survey.inside
    summary.swapped = survey.swapped
    return summary


def numbers_within(
    chunk: Chunk, name: str, file: str, expected: str, *, least: float = -np.inf, most: float = np.inf
) -> FloatArray:
    """Return a column as numbers; a `ContractError` names the file and the first row that is out of range."""
    numbers = to_floats(chunk.column(name), name)
    wrong = np.flatnonzero((numbers < least) | (numbers > most))
    if len(wrong):
        row, number = chunk.numbers[wrong[0]], numbers[wrong[0]]
        raise ContractError(f"{file}: column {name!r}, row {row}: {number:g}; expected {expected}")
    return numbers


def _addresses(chunk: Chunk, columns: Sequence[str]) -> list[str]:
    """Return one line of text for each row, empty if it has no address."""
    texts = []
    for column in map(chunk.column, columns):
        is_number = pa.types.is_floating(column.type)  # NaN is no part of an address
        known = pc.if_else(pc.is_nan(column), None, column) if is_number else column
        texts.append(known.cast(pa.string()))
    joined = pc.binary_join_element_wise(*texts, " ", null_handling="replace")
    lines: list[str] = pc.utf8_trim_whitespace(pc.replace_substring_regex(joined, _SPACES, " ")).to_pylist()
    return lines
