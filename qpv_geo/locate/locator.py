"""The QPV of a release, ready to have points located in them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyproj

from qpv_geo.errors import ConfigurationError
from qpv_geo.locate.answers import Answer, Located, contains, locate
from qpv_geo.locate.edges import BoolArray, FloatArray, IntArray
from qpv_geo.locate.index import BAND, LocateIndex
from qpv_geo.locate.known import projected, read_known
from qpv_geo.locate.places import Place, places_in
from qpv_geo.releases.release import Release
from qpv_geo.territory import Territory
from qpv_geo.zones import department_of, zone_of

_TEXTS = pa.dictionary(pa.int16(), pa.string())

COLUMNS = pa.schema(
    [
        ("en_qpv", pa.dictionary(pa.int8(), pa.string())),
        ("code_qp", _TEXTS),
        ("lib_qp", _TEXTS),
        ("distance_m", pa.float64()),
        ("code_qp_proche", _TEXTS),
        ("bande_tva", pa.dictionary(pa.int8(), pa.string())),
        ("largeur_bande_m", pa.float64()),
        ("bande_300m", pa.dictionary(pa.int8(), pa.string())),
    ]
)
"""What is added to each row; ``bande_300m``, the former name of ``bande_tva``, goes in the next version."""

_ANSWERS = pa.array([answer.name.lower() for answer in Answer])
_CENTIMETRES = 2
_BEYOND = 50.0
"""Width in metres of what stands for all that is beyond what a release knows."""


@dataclass(frozen=True)
class _Part:
    """The QPV of one projected CRS."""

    index: LocateIndex
    position: IntArray
    """Of each of its QPV among all."""
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Locator:
    """Locates points in the QPV of a release. It can be sent to another process.

    Attributes
    ----------
    release
        Id of the release.
    points_crs
        CRS of the points, as WKT.
    max_distance
        Metres beyond which there is neither distance nor nearest QPV.
    known_around
        Metres around the territory's communes within which the release knows every QPV.
    bands
        Whether the release publishes bands; without, each is taken to be 300 m wide.
    """

    release: str
    points_crs: str
    max_distance: float
    _codes: tuple[str, ...]
    _names: tuple[str, ...]
    _parts: tuple[_Part, ...]
    _ground: LocateIndex | None
    _around: LocateIndex | None
    known_around: float = 0.0
    bands: bool = True

    @classmethod
    def of_release(
        cls,
        release: Release,
        territory: Territory,
        *,
        points_crs: object = 4326,
        max_distance: float = 1000.0,
    ) -> Self:
        """Read the QPV of a release and build what locates points in them.

        A national release is measured like its parts: each QPV in the projected CRS of its own zone.

        Parameters
        ----------
        release, territory
            A release of the territory.
        points_crs
            CRS of the points, anything that pyproj understands; x is the longitude or the easting.
        max_distance
            Metres beyond which neither distance nor nearest QPV is wanted.

        Raises
        ------
        ConfigurationError
            If the CRS is not known or not made for where the QPV are, or `max_distance` is out of range.
        PublicationError
            If the release cannot be read.
        """
        known = read_known(release.path, territory)
        locator = cls.of_districts(
            known.qpv,
            release=release.id,
            epsg=territory.epsg,
            points_crs=points_crs,
            max_distance=max_distance,
            ground=known.ground,
        )
        return replace(locator, known_around=known.around, bands=known.bands)

    @classmethod
    def of_districts(
        cls,
        qpv: gpd.GeoDataFrame,
        *,
        release: str = "",
        epsg: int = 2154,
        points_crs: object = 4326,
        max_distance: float = 1000.0,
        ground: gpd.GeoSeries | None = None,
    ) -> Self:
        """Build what locates points in QPV that are read already.

        Parameters
        ----------
        qpv
            With ``code_qp``, ``lib_qp`` and geometries in any CRS; with ``largeur_bande_m``, unless all bands
            are 300 m wide.
        release
            What they come from.
        epsg
            Projected CRS of most of them.
        points_crs, max_distance
            See `of_release`.
        ground
            Where all QPV are in `qpv`, in a projected CRS; None: everywhere. Nothing is ``NON`` elsewhere.

        Raises
        ------
        ConfigurationError
            As `of_release`.
        """
        crs = _crs(points_crs)
        places = places_in(crs)
        zones = np.array([zone_of(department_of(code)).epsg for code in qpv["code_qp"]])
        widths = np.full(len(qpv), BAND)
        if "largeur_bande_m" in qpv:
            widths = qpv["largeur_bande_m"].to_numpy(np.float64)
        widest = float(widths.max())
        parts = []
        for zone in dict.fromkeys(zones[np.argsort(zones != epsg, kind="stable")].tolist()):
            here = tuple(place for place in places if place.zone.epsg == zone)
            if here:
                position = np.flatnonzero(zones == zone)
                shapes = projected(qpv.geometry.iloc[position], zone)
                index = LocateIndex.build(
                    shapes, points_crs=crs, reach=max(max_distance, widest), widths=widths[position]
                )
                parts.append(_Part(index, position, here))
        if not parts:
            raise ConfigurationError(
                f"{crs.name} is not made for where the QPV are (EPSG:{zones[0]}): give the CRS of the points"
                " with --crs, or longitude and latitude with --lon and --lat"
            )
        limit = None
        if ground is not None:
            limit = LocateIndex.build(_around(ground), points_crs=crs, reach=2 * widest, widths=widest)
        return cls(
            release,
            crs.to_wkt(),
            max_distance,
            tuple(qpv["code_qp"]),
            tuple(qpv["lib_qp"]),
            tuple(parts),
            None if ground is None else LocateIndex.build(ground, points_crs=crs, reach=0.0),
            limit,
        )

    def locate(self, x: FloatArray, y: FloatArray, precision: float | FloatArray | None = None) -> Located:
        """Locate points; positions are those of the QPV in the release. See `analysis.locate.locate`.

        The release of one territory knows every QPV up to a limit: that of its communes, or one drawn around
        them if it publishes its neighbours. Beyond, what would be ``NON`` is ``INCERTAIN``. So it is within,
        where that limit is nearer than the point is precise, or for the band nearer than its width: a QPV
        beyond may be as near.
        """
        first, *others = self._parts
        located = self._in_part(first, x, y, precision)
        for part in others:
            here = np.flatnonzero(np.any([place.holds(x, y) for place in part.places], axis=0))
            if len(here):
                radius = precision[here] if isinstance(precision, np.ndarray) else precision
                found = self._in_part(part, x[here], y[here], radius)
                for field in fields(Located):
                    getattr(located, field.name)[here] = getattr(found, field.name)
        if self._around is not None:
            beyond = self._beyond(x, y)
            limit = locate(self._around, x, y, precision=precision, max_distance=0.0)
            for answers, near in (
                (located.en_qpv, limit.en_qpv),
                (located.bande_tva, limit.bande_tva),
            ):
                answers[(beyond | (near != Answer.NON)) & (answers == Answer.NON)] = Answer.INCERTAIN
        return located

    def outside(self, x: FloatArray, y: FloatArray, located: Located) -> int:
        """Count the points that are beyond what the release knows."""
        return int(np.count_nonzero(self._beyond(x, y) & (located.en_qpv != Answer.OUI)))

    def _beyond(self, x: FloatArray, y: FloatArray) -> BoolArray:
        if self._ground is None:
            return np.zeros(len(x), bool)
        beyond: BoolArray = contains(self._ground, x, y).en_qpv == Answer.NON
        return beyond

    def table(self, located: Located) -> pa.Table:
        """Return the answers as `COLUMNS`; distances are rounded to the centimetre."""
        distance = np.round(located.distance_m, _CENTIMETRES)
        band = _answers(located.bande_tva)
        arrays = [
            _answers(located.en_qpv),
            _texts(located.qpv, self._codes),
            _texts(located.qpv, self._names),
            pa.array(distance, mask=np.isnan(distance)),
            _texts(located.qpv_proche, self._codes),
            band,
            pa.array(located.largeur_bande_m, mask=np.isnan(located.largeur_bande_m)),
            band,
        ]
        return pa.Table.from_arrays(arrays, schema=COLUMNS)

    def _in_part(
        self, part: _Part, x: FloatArray, y: FloatArray, precision: float | FloatArray | None
    ) -> Located:
        found = locate(part.index, x, y, precision=precision, max_distance=self.max_distance)
        if len(self._parts) == 1 and len(part.position) == len(self._codes):
            return found
        position = np.append(part.position, -1).astype(np.int32)  # -1, no QPV, stays -1
        return replace(found, qpv=position[found.qpv], qpv_proche=position[found.qpv_proche])


def _crs(given: object) -> pyproj.CRS:
    try:
        return pyproj.CRS.from_user_input(given)
    except pyproj.exceptions.CRSError as error:
        raise ConfigurationError(
            f"{given!r} is not a CRS that PROJ knows; give an EPSG code, such as 2154"
        ) from error


def _around(ground: gpd.GeoSeries) -> gpd.GeoSeries:
    """Return what lies just beyond a ground: its inner edge is the ground's limit, which alone matters."""
    whole = ground.union_all()
    return gpd.GeoSeries([whole.buffer(_BEYOND).difference(whole)], crs=ground.crs)


def _answers(numbers: np.ndarray) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(numbers.astype(np.int8)), _ANSWERS)


def _texts(position: np.ndarray, texts: Sequence[str]) -> pa.DictionaryArray:
    # Several QPV may have one name, a dictionary may not hold it twice.
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    number_of = np.array([numbers[text] for text in texts], dtype=np.int16)
    indices = pa.array(number_of[position], mask=position < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(numbers), pa.string()))


def located_frame(frame: pd.DataFrame, added: pa.Table) -> pd.DataFrame:
    """Return a table with the columns of `COLUMNS` added, texts as texts, whatever the index of the rows."""
    columns = {name: added[name].to_pandas() for name in added.column_names}
    # Arrays that know their type: Dask asks a table without rows for it.
    return frame.assign(
        **{
            name: (column.astype("str") if column.dtype == "category" else column).array
            for name, column in columns.items()
        }
    )
