"""What a release publishes, as styles, metadata and project need it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import geopandas as gpd
import pandas as pd
import pyproj

from qpv_geo.errors import PublicationError
from qpv_geo.formats.fields import Layer
from qpv_geo.formats.frames import Frames
from qpv_geo.territory import Contact, Territory

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Content:
    """The layers of a release and what it is about.

    Attributes
    ----------
    frames
        As `frames.conform` returns them, with ``sources``.
    layers
        Declarations, at least of those in `frames`.
    territory
        The EPCI.
    newest
        Date of the newest source, in place of the clock.
    origin
        French sentence that says where the data come from.
    """

    frames: Frames
    layers: Mapping[str, Layer]
    territory: Territory
    newest: date
    origin: str

    @property
    def moment(self) -> str:
        """Return the date of the newest source as GeoPackage writes an instant."""
        return f"{self.newest:%Y-%m-%d}T00:00:00.000Z"

    @property
    def title(self) -> str:
        """Title of the whole, in French."""
        return f"Quartiers prioritaires de la politique de la ville : {self.territory.nom}"

    @property
    def contact(self) -> Contact:
        """Whom users may ask: at least the EPCI by its name."""
        return self.territory.contact or Contact(organisation=self.territory.nom)

    @cached_property
    def read(self) -> pd.DataFrame:
        """Rows of ``sources`` that were read."""
        sources = self.frames["sources"]
        return sources[sources["etat"] == "lue"]

    @cached_property
    def licences(self) -> tuple[str, ...]:
        """Licences of the sources that were read."""
        return tuple(self.read["licence"].drop_duplicates())

    @cached_property
    def mentions(self) -> tuple[str, ...]:
        """Return whom to name, as the licences ask."""
        return tuple(self.read["mention"].drop_duplicates())

    @cached_property
    def crs(self) -> pyproj.CRS:
        """CRS of every spatial layer: projected, or in degrees where no projection serves the whole.

        Raises
        ------
        PublicationError
            If layer ``qpv`` is not there with a CRS.
        """
        qpv = self.spatial("qpv")
        if qpv is None or qpv.crs is None:
            raise PublicationError("there is no layer qpv with a CRS: nothing can be drawn")
        crs: pyproj.CRS = qpv.crs
        return crs

    @cached_property
    def epsg(self) -> int:
        """EPSG code of `crs`.

        Raises
        ------
        PublicationError
            If it has none.
        """
        code = self.crs.to_epsg()
        if code is None:
            raise PublicationError(f"layer qpv: {self.crs.name} has no EPSG code")
        return code

    def spatial(self, name: str) -> gpd.GeoDataFrame | None:
        """Return a layer if it is there with geometries."""
        frame = self.frames.get(name)
        return frame if isinstance(frame, gpd.GeoDataFrame) else None

    def is_drawn(self, name: str) -> bool:
        """Tell whether a layer is there with at least one geometry; contours that nobody has are empty."""
        frame = self.spatial(name)
        return frame is not None and bool(frame.geometry.notna().any())

    def bounds(self, name: str) -> Bounds:
        """Return west, south, east, north of a drawn layer, in its CRS."""
        return rounded(self.frames[name].total_bounds)


def rounded(bounds: Iterable[float]) -> Bounds:
    """Return west, south, east, north to six decimals: a decimetre at least, in metres or in degrees."""
    west, south, east, north = (round(float(value), 6) for value in bounds)
    return west, south, east, north
