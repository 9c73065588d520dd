"""``qpv-geo locate``: which points of a file, or one point or address, are in a QPV."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from qpv_geo.commands.options import DataDir, TerritoryName, settings_of
from qpv_geo.commands.output import console, print_json
from qpv_geo.errors import ConfigurationError
from qpv_geo.settings import Settings
from qpv_geo.sources.geocoder import SCORE_THRESHOLD
from qpv_geo.territory import Territory, load_territory

if TYPE_CHECKING:
    from qpv_geo.locate.files import LocateSummary
    from qpv_geo.locate.points import Points

_ONE = "One point or address, in place of a file"
_COORDINATES = "Coordinates"
_PRECISION = "Precision"
_READING = "Reading the file, in place of what is recognised"


def _option(metavar: str | None, text: str, panel: str | None = None, *names: str, **more: Any) -> Any:  # noqa: ANN401 - as `typer.Option`
    return typer.Option(*names, metavar=metavar, help=text, rich_help_panel=panel, **more)


def _column(what: str, panel: str | None, *names: str) -> Any:  # noqa: ANN401 - as `typer.Option`
    return _option("COL", f"Column of {what}.", panel, *names)


_FORMATS = "CSV, XLSX, ODS, Parquet, GeoPackage, GeoJSON, Shapefile, FlatGeobuf, folder of Parquet."
_CRS = "CRS of --x and --y, of columns that are guessed, or of a layer that declares none."
_GEOCODE = "Columns of the address, with commas between, SENT to IGN's geocoding service."
_ADDRESS = "One address, SENT to IGN's geocoding service."
_SCORE = (
    "Score below which an answer is uncertain (default: 0.8). Exact addresses such as 3 bis often score about"
    " 0.7; a lower threshold takes more wrong ones."
)
_DATE = "Day at which the QPV were in force, such as 2022-06-30: those of 2015 or of 2024."
_LAYERS = (
    "Layers of the release to answer about as well, with commas between: commune, epci, iris, quartier,"
    " quartier_fragile, bande, bande_quartier_fragile, qpv2015."
)
_REPORT = "Also write counts and shares by QPV, at least and at most, as .xlsx or .html."
_ENCODING = "Encoding of a CSV or a Shapefile; with utf-8-sig, Excel reads the accents of the result."
_DAYS = ["%Y-%m-%d", "%d/%m/%Y"]
_Text = str | None


def locate(  # noqa: PLR0913, PLR0917 - a command is a form
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help=_FORMATS, show_default=False)] = None,
    point: Annotated[_Text, _option("LON,LAT", "One point, or X,Y with --crs.", _ONE)] = None,
    address: Annotated[_Text, _option("TEXT", _ADDRESS, _ONE)] = None,
    lon: Annotated[_Text, _column("the longitude", _COORDINATES)] = None,
    lat: Annotated[_Text, _column("the latitude", _COORDINATES)] = None,
    x: Annotated[_Text, _column("the easting", _COORDINATES, "--x")] = None,
    y: Annotated[_Text, _column("the northing", _COORDINATES, "--y")] = None,
    coordinates: Annotated[_Text, _column("both coordinates: lat, lon or WKT", _COORDINATES)] = None,
    crs: Annotated[_Text, _option("EPSG", _CRS, _COORDINATES)] = None,
    geocode: Annotated[_Text, _option("COLS", _GEOCODE, _COORDINATES)] = None,
    layer: Annotated[
        _Text, _option(None, "Layer of a file, or sheet of a workbook, that has several.")
    ] = None,
    precision: Annotated[_Text, _option("METRES_OR_COL", "How far points may be wrong.", _PRECISION)] = None,
    type_col: Annotated[_Text, _column("a geocoder's type", _PRECISION)] = None,
    score_col: Annotated[_Text, _column("a geocoder's score", _PRECISION)] = None,
    score_threshold: Annotated[float | None, _option("SCORE", _SCORE, _PRECISION)] = None,
    max_distance: Annotated[
        float, _option(None, "Metres beyond which no distance is given.", min=0, max=10_000)
    ] = 1000.0,
    date: Annotated[dt.datetime | None, _option("DAY", _DATE, formats=_DAYS)] = None,
    date_column: Annotated[_Text, _column("such a day for each row", None)] = None,
    beside: Annotated[_Text, _option("LAYERS", _LAYERS, None, "--with")] = None,
    territory: TerritoryName = "besancon",
    data: DataDir = None,
    output: Annotated[
        Path | None, _option("FILE", "Default: beside FILE, with _qpv at the end of its name.")
    ] = None,
    report: Annotated[Path | None, _option("FILE", _REPORT)] = None,
    *,
    skip_rows: Annotated[int | None, _option(None, "Rows above the header.", _READING, min=0)] = None,
    separator: Annotated[_Text, _option("SIGN", "Separator of a CSV.", _READING)] = None,
    encoding: Annotated[_Text, _option(None, _ENCODING, _READING)] = None,
    decimal: Annotated[_Text, _option("SIGN", "Decimal sign of texts.", _READING)] = None,
    as_json: Annotated[bool, _option(None, "The one answer as JSON.", _ONE, "--json")] = False,
    strict: Annotated[bool, _option(None, "Refuse rows that cannot be read.", _READING, "--strict")] = False,
    prefix: Annotated[str, _option(None, "Put before the names of the added columns.")] = "",
    force: Annotated[bool, _option(None, "Replace the output and the report.", None, "--force")] = False,
) -> None:
    """Tell which points of a file, or one point or address, are in a QPV, and how far the nearest is.

    Polygons and lines get their share in QPV (part_en_qpv, in percent), and may be à cheval.
    Columns added: en_qpv (oui, non, incertain, illisible), code_qp, lib_qp, distance_m, code_qp_proche,
    bande_tva, largeur_bande_m, and for this version still bande_300m, the former name of bande_tva. A
    release knows the QPV of its territory, and those up to 10 km around where it has layer qpv_voisins.
    Beyond, a point is incertain, never non. Nor is it non nearer to that limit than the point is precise, or
    for bande_tva nearer than the band is wide. Publish the territory france for points of the whole country.
    """
    from qpv_geo.locate.csv_dialect import Dialect  # noqa: PLC0415
    from qpv_geo.locate.points import Points  # noqa: PLC0415

    if (lon or lat) and (x or y or crs):
        raise ConfigurationError("--lon and --lat, or --x, --y and --crs: give one or the other")
    if score_threshold is not None and not (score_col or geocode or address):
        raise ConfigurationError(
            "--score-threshold without a score: name its column with --score-col, or give --geocode"
        )
    points = Points(
        x=lon or x,
        y=lat or y,
        crs="EPSG:4326" if lon or lat else _crs(crs),
        coordinates=coordinates,
        precision=_precision(precision),
        type_column=type_col,
        score_column=score_col,
        score_threshold=SCORE_THRESHOLD if score_threshold is None else score_threshold,
        addresses=_names(geocode),
        layer=layer,
        dialect=Dialect("\t" if separator in {"tab", "\\t"} else separator, encoding, decimal, skip_rows),
        date=date.date() if date else None,
        date_column=date_column,
        layers=_names(beside),
        strict=strict,
        prefix=prefix,
    )
    place, settings = load_territory(territory), settings_of(data)
    if file is None or point is not None or address is not None or as_json:
        if (point is None and address is None) or file is not None:
            raise ConfigurationError("give a FILE, or --point or --address, and --json for one of these")
        if output is not None or report is not None:
            raise ConfigurationError("--output and --report are for a FILE")
        _answer_one(point, address, points, place, settings, max_distance=max_distance, as_json=as_json)
        return
    from qpv_geo.locate.files import locate_file  # noqa: PLC0415 - shapely takes a second

    outcome = locate_file(
        file,
        points,
        place,
        settings,
        output=output,
        max_distance=max_distance,
        force=force,
        report=report,
    )
    _print(outcome)
    if report is not None:
        typer.echo(str(report))


def _answer_one(
    point: str | None,
    address: str | None,
    points: "Points",
    place: Territory,
    settings: Settings,
    *,
    max_distance: float,
    as_json: bool,
) -> None:
    """Print the answer for a point, in the CRS of `points` or longitude and latitude, or for an address."""
    from qpv_geo.locate.locator import Locator  # noqa: PLC0415 - shapely takes a second
    from qpv_geo.locate.one import locate_address, locate_point, parse_point, sentence  # noqa: PLC0415
    from qpv_geo.releases.release import find_release  # noqa: PLC0415

    if point is not None and address is not None:
        raise ConfigurationError("--point and --address: give one or the other")
    if points.columns or points.layer:
        raise ConfigurationError("--point and --address have no columns: leave the options of a file out")
    release = find_release(place.id, None, settings)
    locator = Locator.of_release(
        release,
        place,
        points_crs=points.crs or 4326,
        max_distance=max_distance,
        layers=points.layers,
        dated=points.dated,
    )
    if point is not None:
        metres = points.precision if isinstance(points.precision, float) else None
        answer = locate_point(locator, parse_point(point), metres, points.date)
    else:
        answer = locate_address(locator, str(address), settings, points.score_threshold, points.date)
    if as_json:
        print_json({"release": release.id, **answer})
    else:
        typer.echo(sentence(answer))
        typer.echo(f"Release {release.id} of {place.nom}.", err=True)


def _print(outcome: "LocateSummary") -> None:
    """Print the counts, and on standard error what their reader should know."""
    for note in outcome.notes:
        typer.echo(note, err=True)
    title = f"{outcome.rows:,} rows, release {outcome.release}"
    table = Table(title=title, min_width=len(title))
    table.add_column("answer")
    columns = {"en_qpv": outcome.answers} | ({} if outcome.dated else {"bande_tva": outcome.band})
    for name in columns:
        table.add_column(name, justify="right")
    for answer in outcome.answers:
        table.add_row(answer, *(f"{counts.get(answer, 0):,}" for counts in columns.values()))
    console().print(table)
    for remark in _remarks(outcome):
        typer.echo(remark, err=True)
    typer.echo(str(outcome.path))


def _remarks(outcome: "LocateSummary") -> Iterator[str]:
    where = "in no commune of the territory"
    if outcome.known_around:
        where = f"farther than {outcome.known_around:g} m from the territory"
    counts = {f"incertain, {reason}": count for reason, count in outcome.reasons.items()} | {
        f"incertain, {where}: its release does not know the QPV there": outcome.outside_territory,
        "outside France": outcome.outside_france,
        "in France only if x and y were exchanged": outcome.swapped,
    }
    yield from (f"points {remark}: {count:,}" for remark, count in counts.items() if count)
    if outcome.rows > outcome.answers["illisible"]:
        yield from (f"illisible: {row}" for row in outcome.unreadable)
    elif outcome.rows:
        yield "no row has a point that can be read: are these the columns of the coordinates?"
    if not outcome.bands and not outcome.dated:
        yield "the release has no layer bande_300m: each band is taken to be 300 m wide"


def _names(given: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (given or "").split(",") if name.strip())


def _crs(given: str | None) -> str | None:
    return f"EPSG:{given}" if given and given.isdigit() else given


def _precision(given: str | None) -> float | str | None:
    """Return metres if the text is a number, else the name of a column."""
    if given is None:
        return None
    try:
        return float(given.replace(",", "."))
    except ValueError:
        return given
