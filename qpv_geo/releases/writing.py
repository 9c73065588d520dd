"""The files of a release, each format by its own module."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import pandas as pd

from qpv_geo import __version__
from qpv_geo.audit.compare import Written
from qpv_geo.checks import Check
from qpv_geo.formats import Format, write_formats
from qpv_geo.formats.changes_schema import Changes
from qpv_geo.formats.csv import write_csv
from qpv_geo.formats.datapackage import DESCRIPTOR, write_datapackage
from qpv_geo.formats.fields import Layer, as_held, published_layers
from qpv_geo.formats.frames import Frames, conform
from qpv_geo.formats.geojson import to_wgs84, write_geojson
from qpv_geo.formats.geopackage import geopackage_name, write_geopackage
from qpv_geo.formats.provenance import (
    Raws,
    checks_table,
    newest_date,
    origin_sentence,
    present,
    sources_table,
)
from qpv_geo.formats.report import build_report, write_report
from qpv_geo.formats.report_schema import Publication
from qpv_geo.ingest.registry import Registry
from qpv_geo.qgis.content import Content
from qpv_geo.qgis.metadata import add_metadata
from qpv_geo.qgis.project import write_project
from qpv_geo.qgis.styles import add_styles
from qpv_geo.releases.changes import compare_releases
from qpv_geo.releases.fingerprint import environment
from qpv_geo.releases.guards import overruns
from qpv_geo.releases.published import PublishedRelease, read_written
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Catalogue
from qpv_geo.territory import Territory


@dataclass(frozen=True)
class Making:
    """What a release is made from, in which further formats; `fingerprint` stands for all of it."""

    fingerprint: str
    raws: Raws
    territory: Territory
    catalogue: Catalogue
    registry: Registry
    settings: Settings
    formats: tuple[Format, ...] = ()
    pages: bool = True

    @property
    def id(self) -> str:
        """Date of the newest source and beginning of the fingerprint."""
        return f"{newest_date(self.raws)}-{self.fingerprint[:10]}"

    @property
    def raw_files(self) -> tuple[str, ...]:
        """Checksums of the raw files, sorted."""
        return tuple(sorted(raw.sha256 for raw in present(self.raws)))


def write_release(
    folder: Path,
    making: Making,
    layers: Mapping[str, pd.DataFrame],
    checks: Iterable[Check],
    before: PublishedRelease | None,
) -> Written:
    """Write every file of a release and return what they should hold.

    Parameters
    ----------
    folder
        There, and empty.
    making
        What it is made from.
    layers, checks
        As `release.publish_release` takes them.
    before
        The release that the report compares with.

    Raises
    ------
    PublicationError
        If the layers are not as declared or a file cannot be written.
    OSError
        If a file cannot be written.
    """
    raws, territory, registry = making.raws, making.territory, making.registry
    declared = published_layers(registry)
    conformed = conform(layers, declared, territory.published_epsg)
    spatial = {name for name, frame in conformed.items() if isinstance(frame, gpd.GeoDataFrame)}
    declared = as_held(declared, spatial)
    rounded, found = to_wgs84(conformed, declared)
    checks = [*checks, *found]
    provenance = {
        "sources": sources_table(raws, making.catalogue, checks),
        "controles": checks_table(checks),
    }
    conformed |= conform(provenance, declared, territory.published_epsg)
    frames = {name: conformed[name] for name in declared if name in conformed}
    origin, newest = origin_sentence(raws), newest_date(raws)
    package = folder / geopackage_name(territory.id)
    write_geopackage(package, frames, declared, epsg=territory.published_epsg, newest=newest, origin=origin)
    content = Content(frames, declared, territory, newest, origin)
    add_styles(package, content)
    add_metadata(package, content)
    write_project(folder, content)
    write_geojson(folder / "geojson", rounded, declared, origin)
    write_csv(folder / "csv", frames, declared)
    software = f"qpv-geo {__version__}"
    publication = Publication(
        id=making.id,
        empreinte=making.fingerprint,
        territoire=territory.id,
        nom=territory.nom,
        genre=territory.genre,
        code=territory.code,
        epci=territory.epci,
        logiciel=software,
        environnement=environment(),
    )
    write_formats(folder, making.formats, frames, declared, territory=territory, newest=newest, origin=origin)
    differences = _differences(before, package, making)
    report = build_report(publication, frames, declared, raws, registry, differences=differences)
    write_report(folder, report, frames, registry)
    write_pages(folder, frames, declared, making, origin)
    release = {"version": making.id, "fingerprint": making.fingerprint, "software": software}
    write_datapackage(folder, release, frames, declared, raws=raws, territory=territory)
    return Written(frames, rounded, declared)


def _differences(before: PublishedRelease | None, package: Path, making: Making) -> Changes | None:
    if before is None:
        return None
    changes = compare_releases(before, read_written(package, making.id, making.fingerprint))
    return changes.model_copy(update={"depassements": overruns(changes, making.territory.garde)})


def write_pages(
    folder: Path, frames: Frames, layers: Mapping[str, Layer], making: Making, origin: str
) -> None:
    """Write the portraits and their index, which offers every file that is there, and the descriptor.

    A release in degrees has none: it is that of France, whose QPV are too many for pages, in several CRS.
    """
    crs = frames["qpv"].crs
    if not making.pages or crs is None or not crs.is_projected:
        return
    from qpv_geo.portraits import Edition, write_portraits  # noqa: PLC0415 - not for a run without news

    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    write_portraits(
        folder,
        frames,
        layers,
        edition=Edition(making.id, origin, (*files, Path(DESCRIPTOR))),
        territory=making.territory,
        registry=making.registry,
        catalogue=making.catalogue,
    )
