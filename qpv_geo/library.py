"""qpv-geo for Python programs and notebooks: what ``import qpv_geo`` offers.

Releases are opened, read as (Geo)DataFrames and located in; `refresh` makes one. Errors are those of
`qpv_geo.errors`, each a `QpvGeoError`.
"""

import datetime as dt
import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyogrio

from qpv_geo.errors import ConfigurationError, ContractError
from qpv_geo.locate.coordinates import Geometries, split_geometries
from qpv_geo.locate.dates import to_dates
from qpv_geo.locate.edges import FloatArray
from qpv_geo.locate.locator import Locator
from qpv_geo.locate.partitions import answer_columns
from qpv_geo.locate.places import check_in_france
from qpv_geo.releases.release import Release, find_release
from qpv_geo.settings import Settings, default_data_dir
from qpv_geo.territory import Territory, load_territory

_SHOWN = 10


def open_release(
    territory: str = "besancon", release: str | None = None, *, data: str | Path | None = None
) -> "OpenRelease":
    """Open a release of a territory.

    Parameters
    ----------
    territory
        Name of a shipped territory, or path of a TOML file.
    release
        Its id; None: the current one.
    data
        Folder that holds ``out/``; None: ``QPV_GEO_DATA``, else ``data`` of the project.

    Raises
    ------
    ConfigurationError
        If there is no such territory or release.
    """
    settings = Settings(data_dir=Path(data) if data else default_data_dir())
    place = load_territory(territory)
    return OpenRelease(find_release(place.id, release, settings), place)


def refresh(
    territory: str = "besancon",
    *,
    data: str | Path | None = None,
    offline: bool = False,
    mirror: str | None = None,
    require_live: bool = False,
    force: bool = False,
) -> "OpenRelease":
    """Fetch, check, join, verify and publish, as ``qpv-geo refresh`` does; return the current release.

    Parameters
    ----------
    territory, data
        See `open_release`.
    offline, mirror, require_live
        Where files may come from, as the options of the command.
    force
        Publish even if nothing changed.

    Raises
    ------
    QpvGeoError
        If it fails; the current release then stays. `HeldError` if the release changed beyond the bounds of
        its territory and waits for a decision.
    """
    # imported lazily: who reads a release needs none of it
    from qpv_geo.pipeline.job import job_for  # noqa: PLC0415
    from qpv_geo.pipeline.one import run  # noqa: PLC0415
    from qpv_geo.releases.decisions import held_error  # noqa: PLC0415

    job = job_for(territory, data, force=force, offline=offline, mirror=mirror, require_live=require_live)
    outcome = run(job)
    if outcome.release.held:
        raise held_error(outcome.release, job.territory, job.settings)
    return OpenRelease(outcome.release, job.territory)


@dataclass(frozen=True)
class OpenRelease:
    """A release to read and to locate points in."""

    release: Release
    territory: Territory
    _locators: dict[tuple[object, ...], Locator] = field(default_factory=dict, repr=False, compare=False)

    @property
    def id(self) -> str:
        """Date of its newest source and beginning of its fingerprint."""
        return self.release.id

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.release.path

    @property
    def layers(self) -> list[str]:
        """Names of its layers and tables, without that of QGIS's styles."""
        listed = pyogrio.list_layers(self.release.geopackage)
        return [str(name) for name, _ in listed if name != "layer_styles"]

    def layer(self, name: str) -> gpd.GeoDataFrame:
        """Return a layer in the projected CRS of the territory.

        Raises `ConfigurationError` if there is no such layer, or it is a table (see `table`).
        """
        frame = self._read(name)
        if not isinstance(frame, gpd.GeoDataFrame):
            raise ConfigurationError(f"{name!r} has no geometry: read it with table({name!r})")
        return frame

    def table(self, name: str) -> pd.DataFrame:
        """Return a table, or the rows of a layer without their geometry; raises as `layer` does."""
        return pd.DataFrame(self._read(name, geometry=False))

    def statistics(
        self, zone: str | Sequence[str] | None = None, indicator: str | Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Return statistics, one row per zone, indicator and vintage, with value and status.

        A missing value has a status that says why; it is never 0.

        Parameters
        ----------
        zone
            Kinds of zones (``qpv``, ``commune``, ``epci``, …); None: all.
        indicator
            Identifiers of table ``indicateurs``; None: all.

        Raises
        ------
        ConfigurationError
            If the release has none; the message names the zones or indicators most alike.
        """
        table = self.table("statistiques")
        for column, wanted in (("zone", zone), ("indicateur", indicator)):
            if wanted is None:
                continue
            names = [wanted] if isinstance(wanted, str) else list(wanted)
            known = table[column].unique().tolist()
            if unknown := [name for name in names if name not in known]:
                near = difflib.get_close_matches(unknown[0], known, cutoff=0.4) or known
                raise ConfigurationError(
                    f"no statistics with {column} {', '.join(map(repr, unknown))}; there are"
                    f" {len(known)}, such as {', '.join(near[:_SHOWN])}"
                )
            table = table[table[column].isin(names)]
        return table.reset_index(drop=True)

    def locate(
        self,
        points: pd.DataFrame | npt.ArrayLike,
        y: npt.ArrayLike | None = None,
        *,
        columns: tuple[str, str] = ("lon", "lat"),
        crs: object | None = None,
        precision: float | npt.ArrayLike | None = None,
        max_distance: float = 1000.0,
        with_: Sequence[str] = (),
        date: str | dt.date | npt.ArrayLike | None = None,
    ) -> pd.DataFrame:
        """Tell which points are in a QPV, in which, and how far the nearest is, as ``qpv-geo locate`` does.

        Rows of a DataFrame are returned with the columns that the command adds, else these columns alone.

        Parameters
        ----------
        points, y
            A GeoDataFrame of points, polygons or lines; a DataFrame with coordinates in `columns`; or x and y
            (longitude and latitude) as arrays.
        columns
            Names of the columns of x and y of a DataFrame.
        crs
            CRS of the coordinates; None: that of the GeoDataFrame, else longitude and latitude.
        precision
            Metres by which the points may be wrong, one for all or one each.
        max_distance
            Metres beyond which there is neither distance nor nearest QPV.
        with_
            Layers to answer about as well (``"commune"``, ``"iris"``, …), as option ``--with``.
        date
            Day at which the QPV were in force, one for all or one each; None: those of today.

        Raises
        ------
        ConfigurationError
            If the DataFrame lacks the columns, the release a layer, or the CRS is unknown.
        ContractError
            If the points are all outside France, x and y are swapped or of different lengths.
        """
        geometries, crs = _geometries(points, y, columns, crs)
        locator = self._locator(crs, max_distance, tuple(with_), dated=date is not None)
        declared = isinstance(points, gpd.GeoDataFrame)
        check_in_france(geometries.x, geometries.y, locator.points_crs, "points", declared=declared)
        days = None if date is None else to_dates(pa.array(np.atleast_1d(np.asarray(date)), from_pandas=True))
        radius = None if precision is None else np.asarray(precision, np.float64)
        shares = geometries.shapes is not None
        _, table = locator.locate_geometries(geometries, radius, shares=shares, dates=days)
        answers = answer_columns(table)
        return points.assign(**answers) if isinstance(points, pd.DataFrame) else pd.DataFrame(answers)

    def _locator(self, crs: object, max_distance: float, layers: tuple[str, ...], *, dated: bool) -> Locator:
        key = str(crs), max_distance, layers, dated
        if key not in self._locators:
            self._locators[key] = Locator.of_release(
                self.release,
                self.territory,
                points_crs=crs,
                max_distance=max_distance,
                layers=layers,
                dated=dated,
            )
        return self._locators[key]

    def _read(self, name: str, *, geometry: bool = True) -> pd.DataFrame:
        if name not in self.layers:
            raise ConfigurationError(
                f"release {self.id} has no layer {name!r}; it has: {', '.join(self.layers)}"
            )
        frame: pd.DataFrame = pyogrio.read_dataframe(
            self.release.geopackage, layer=name, read_geometry=geometry
        )
        return frame


def _geometries(
    points: pd.DataFrame | npt.ArrayLike,
    y: npt.ArrayLike | None,
    columns: tuple[str, str],
    crs: object | None,
) -> tuple[Geometries, object]:
    """Return the geometries of what `OpenRelease.locate` takes, and their CRS."""
    if isinstance(points, gpd.GeoDataFrame):
        if crs is None and points.crs is None:
            raise ConfigurationError("the GeoDataFrame has no CRS: give crs, such as 2154")
        own = points.crs if crs is None else crs
        return split_geometries(points.geometry.to_numpy().copy()), own
    if isinstance(points, pd.DataFrame):
        if lacking := [name for name in columns if name not in points]:
            raise ConfigurationError(
                f"no column {', '.join(map(repr, lacking))}: give columns=(x, y); there are:"
                f" {', '.join(map(str, points.columns))}"
            )
        x, north = (_floats(points[name]) for name in columns)
    elif y is None:
        raise ConfigurationError("give x and y as two arrays, or a DataFrame")
    else:
        x, north = _floats(points), _floats(y)
        if len(x) != len(north):
            raise ContractError(f"{len(x)} x and {len(north)} y; expected two arrays of the same length")
    return Geometries(x, north), 4326 if crs is None else crs


def _floats(values: Any) -> FloatArray:  # noqa: ANN401 - whatever pandas takes
    numbers: FloatArray = pd.to_numeric(pd.Series(values), errors="coerce").to_numpy(np.float64).copy()
    return numbers
