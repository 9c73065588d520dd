"""Formats beyond GeoPackage, GeoJSON and CSV, written where they are asked for."""

from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Literal, get_args

from qpv_geo.errors import ConfigurationError
from qpv_geo.formats.fields import Layer
from qpv_geo.formats.frames import Frames
from qpv_geo.territory import Territory

Format = Literal["fgb", "geoparquet", "xlsx"]
FORMATS: tuple[Format, ...] = get_args(Format)


def chosen_formats(names: Iterable[str]) -> tuple[Format, ...]:
    """Return the formats of these names, each once, in one order whatever the order of the names.

    Raises
    ------
    ConfigurationError
        If a name is not that of a format.
    """
    asked = set(names)
    if unknown := sorted(asked - set(FORMATS)):
        raise ConfigurationError(
            f"unknown formats: {', '.join(unknown)}. GeoPackage, GeoJSON and CSV are always written; "
            f"there are besides: {', '.join(FORMATS)}"
        )
    return tuple(name for name in FORMATS if name in asked)


def write_formats(
    folder: Path,
    formats: Iterable[Format],
    frames: Frames,
    layers: Mapping[str, Layer],
    *,
    territory: Territory,
    newest: date,
    origin: str,
) -> list[Path]:
    """Write a release in further formats: ``flatgeobuf/``, ``geoparquet/`` and ``qpv_<territory>.xlsx``.

    Parameters
    ----------
    folder
        The release.
    formats
        Which ones; their libraries are loaded only then.
    frames
        As `frames.conform` returns them.
    layers
        Their declarations.
    territory
        Names the workbook; its CRS is that of the files.
    newest
        Date of the newest source.
    origin
        French sentence that says where the data come from.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    PublicationError
        If a file cannot be written.
    """
    written: list[Path] = []
    if "fgb" in formats:
        from qpv_geo.formats.flatgeobuf import write_flatgeobuf  # noqa: PLC0415 - only where asked

        written += write_flatgeobuf(
            folder / "flatgeobuf", frames, layers, epsg=territory.published_epsg, origin=origin
        )
    if "geoparquet" in formats:
        from qpv_geo.formats.geoparquet import write_geoparquet  # noqa: PLC0415

        written += write_geoparquet(folder / "geoparquet", frames, layers)
    if "xlsx" in formats:
        from qpv_geo.formats.xlsx import workbook_name, write_xlsx  # noqa: PLC0415

        title = f"Quartiers prioritaires de la politique de la ville : {territory.nom}"
        path = folder / workbook_name(territory.id)
        written.append(write_xlsx(path, frames, layers, newest=newest, title=title, origin=origin))
    return written
