"""A format, and what every writer of one receives: what a release is made from, and what it holds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from pkgutil import resolve_name
from typing import Literal

import geopandas as gpd
import pandas as pd
import pyproj

from qpv_geo.errors import PublicationError
from qpv_geo.files import reraise_write_errors
from qpv_geo.formats.fields import Layer
from qpv_geo.formats.fingerprint import fingerprint
from qpv_geo.formats.frames import Frames
from qpv_geo.formats.provenance import Raws, are_communes_generalised, newest_date, origin_sentence, present
from qpv_geo.formats.report_schema import Changes
from qpv_geo.frozen import Frozen
from qpv_geo.ingest.additions import administrator_contact
from qpv_geo.ingest.registry import Registry
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Catalogue
from qpv_geo.territory import Contact, Territory

Bounds = tuple[float, float, float, float]
UNDECLARED = Contact(organisation="Organisme de publication non déclaré")
"""The contact of a release that was made without one."""


class Format(Frozen):
    """A way to write a release."""

    name: str
    """As users ask for it, and as fingerprints know it."""
    title: str
    """In French, of its files together on the download page."""
    suffix: str
    kind: str
    media_type: str
    """Its ``format`` and its ``mediatype`` in the Data Package."""
    written: Literal["always", "with_pages", "on_request"]
    """Always; unless pages are declined; or where somebody asks for it."""
    writer: str
    """``module:function`` of ``(folder: Path, content: Content) -> None``, imported when it is needed."""
    detail: str = ""
    """In French, of a file on the download page that is not a single layer."""
    file_type: str = ""
    """Its code in the file types of the Publications Office of the EU, empty if they do not have it."""

    def write(self, folder: Path, content: "Content") -> None:
        """Write a release in this format; a `PublicationError` says what cannot be written or held."""
        with reraise_write_errors(folder):
            resolve_name(self.writer)(folder, content)


@dataclass(frozen=True)
class ReleaseSpec:
    """What a release is made from, and in which formats."""

    raws: Raws
    territory: Territory
    catalogue: Catalogue
    registry: Registry
    settings: Settings
    formats: tuple[Format, ...]

    @cached_property
    def fingerprint(self) -> str:
        """One hash of all of it, and of the code and libraries that make the release."""
        names = [written.name for written in self.formats]
        territory = self.territory.model_copy(update={"contact": self.contact})
        return fingerprint(self.raws, territory, self.catalogue, self.registry, names)

    @cached_property
    def newest(self) -> date:
        """Date of the newest source: it stands for the clock wherever a file wants one."""
        return newest_date(self.raws)

    @property
    def id(self) -> str:
        """Date of the newest source and beginning of the fingerprint."""
        return f"{self.newest}-{self.fingerprint[:10]}"

    @cached_property
    def raw_files(self) -> tuple[str, ...]:
        """Checksums of the raw files, sorted."""
        return tuple(sorted(raw.sha256 for raw in present(self.raws)))

    @cached_property
    def origin(self) -> str:
        """French sentence that says where the data come from."""
        return origin_sentence(self.raws)

    @cached_property
    def communes_generalised(self) -> bool:
        """Whether contours of communes are generalised: near, they are not to be drawn as if exact."""
        return are_communes_generalised(present(self.raws))

    @property
    def title(self) -> str:
        """Title of the whole, in French."""
        return f"Quartiers prioritaires de la politique de la ville : {self.territory.nom}"

    @property
    def moment(self) -> str:
        """`newest` as GeoPackage writes an instant."""
        return f"{self.newest:%Y-%m-%d}T00:00:00.000Z"

    @cached_property
    def contact(self) -> Contact:
        """Who publishes and answers: the territory's file says it, else the administrator's."""
        return self.territory.contact or administrator_contact(self.settings) or UNDECLARED

    @property
    def folder(self) -> Path:
        """Where the territory's releases are."""
        return self.settings.out_dir / self.territory.id


@dataclass(frozen=True, eq=False)
class Content:
    """What a release holds, in memory; equal to itself alone."""

    spec: ReleaseSpec
    frames: Frames
    """All layers, conformed (`frames.conform`), in the territory's CRS."""
    rounded: Frames
    """Spatial layers as GeoJSON holds them (`geojson.to_wgs84`)."""
    layers: Mapping[str, Layer]
    """Declarations of all layers, as the release holds them (`fields.as_held`)."""
    changes: Changes | None = None
    """What changed since the release before; None for a first one, and until it is known."""
    held_because: tuple[str, ...] = ()
    """French sentences that say why somebody has to look at it first; none if it may be published."""

    @property
    def shared(self) -> Frames:
        """The layers that every format holds: `frames` without those that are there to be drawn."""
        return {name: frame for name, frame in self.frames.items() if not self.layers[name].package_only}

    def spatial(self, name: str) -> gpd.GeoDataFrame | None:
        """Return a layer if it is there with geometries."""
        frame = self.frames.get(name)
        return frame if isinstance(frame, gpd.GeoDataFrame) else None

    @cached_property
    def crs(self) -> pyproj.CRS:
        """CRS of every spatial layer: projected, or in degrees where no projection serves the whole."""
        qpv = self.spatial("qpv")
        if qpv is None or qpv.crs is None:
            raise PublicationError("there is no layer qpv with a CRS: nothing can be drawn")
        crs: pyproj.CRS = qpv.crs
        return crs

    @cached_property
    def epsg(self) -> int:
        """EPSG code of `crs`."""
        code = self.crs.to_epsg()
        if code is None:
            raise PublicationError(f"layer qpv: {self.crs.name} has no EPSG code")
        return code

    def is_drawn(self, name: str) -> bool:
        """Tell whether a layer is there with at least one geometry."""
        frame = self.spatial(name)
        return frame is not None and bool(frame.geometry.notna().any())

    def bounds(self, name: str) -> Bounds:
        """Return west, south, east, north of a drawn layer, in its CRS."""
        return rounded_bounds(self.frames[name].total_bounds)

    @cached_property
    def sources_read(self) -> pd.DataFrame:
        """Rows of ``sources`` that were read."""
        sources = self.frames["sources"]
        return sources[sources["etat"] == "lue"]

    @cached_property
    def licences(self) -> tuple[str, ...]:
        """Licences of the sources that were read."""
        return tuple(self.sources_read["licence"].drop_duplicates())

    @cached_property
    def mentions(self) -> tuple[str, ...]:
        """Whom to name, as the licences ask."""
        return tuple(self.sources_read["mention"].drop_duplicates())


def rounded_bounds(bounds: Iterable[float]) -> Bounds:
    """Return west, south, east, north to six decimals: a decimetre at least, in metres or in degrees."""
    west, south, east, north = (round(float(value), 6) for value in bounds)
    return west, south, east, north
