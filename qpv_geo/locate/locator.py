"""The QPV of a release, indexed to locate points in them."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import geopandas as gpd
import numpy as np
import pyarrow as pa
import shapely

from qpv_geo.errors import ConfigurationError
from qpv_geo.locate.answers import Answer, Located, contains, locate, near_edge
from qpv_geo.locate.coordinates import Geometries
from qpv_geo.locate.dates import DateArray, History
from qpv_geo.locate.edges import BoolArray, FloatArray, GeometryArray, IntArray
from qpv_geo.locate.index import CELL, LocateIndex
from qpv_geo.locate.known import read_known_qpv
from qpv_geo.locate.layers import (
    Part,
    ZoneLayer,
    answer_words,
    as_texts,
    parts_of,
    specs_of,
    zone_layers,
)
from qpv_geo.locate.places import known_crs, places_in
from qpv_geo.locate.shapes import locate_shapes, projected_shapes
from qpv_geo.releases.release import Release
from qpv_geo.territory import BAND_WIDTH, Territory
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
"""The columns added to each row; the next version drops ``bande_300m``, the former name of ``bande_tva``."""

BANDS = ("bande_tva", "largeur_bande_m", "bande_300m")
"""Those of them that a date leaves out: which band opened which right then is not known here."""

SHARE = pa.field("part_en_qpv", pa.float64())
"""The column added for polygons and lines: the share that is in a QPV, in percent."""

_CENTIMETRES = 2
_GROUND_CELL = 8 * CELL
"""Few points lie near the limit of the ground: coarse cells are built in a tenth of the time."""


@dataclass(frozen=True)
class Locator:
    """Locates points in the QPV of a release; it can be sent to another process."""

    release: str
    points_crs: str
    """CRS of the points, as WKT."""
    max_distance: float
    """Metres beyond which there is neither distance nor nearest QPV."""
    codes: tuple[str, ...]
    labels: tuple[str, ...]
    _parts: tuple[Part, ...]
    _ground: LocateIndex | None
    known_around: float = 0.0
    """Metres around the territory's communes within which the release knows every QPV."""
    bands: bool = True
    """Whether the release publishes bands; otherwise all are taken to be 300 m wide."""
    layers: tuple[ZoneLayer, ...] = ()
    """Layers of the release to answer about as well."""
    history: History | None = None
    """Which QPV were in force when, if points have dates."""
    former: "Locator | None" = None
    """The QPV of 2015, if points have dates and the release has them; their codes are also among `codes`."""

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Names of the QPV by code."""
        return dict(zip(self.codes, self.labels, strict=True))

    @classmethod
    def of_release(
        cls,
        release: Release,
        territory: Territory,
        *,
        points_crs: object = 4326,
        max_distance: float = 1000.0,
        layers: Sequence[str] = (),
        dated: bool = False,
    ) -> Self:
        """Index the QPV that a release of a territory knows, each in the projected CRS of its own zone.

        The CRS of the points is anything that pyproj understands; x is the longitude or the easting. `layers`
        names those of `layers.layer_specs` to answer about as well; `dated` points each have a date. Raises
        `ConfigurationError` if the CRS is unknown or does not cover the QPV, the release lacks a layer, or
        `max_distance` is out of range, and `PublicationError` if the release cannot be read.
        """
        specs = specs_of(layers)
        known = read_known_qpv(release, territory, specs, dated=dated)
        locator = cls.of_districts(
            known.qpv,
            release=release.id,
            epsg=territory.epsg,
            points_crs=points_crs,
            max_distance=max_distance,
            ground=known.ground,
        )
        added = zone_layers(known, specs, known_crs(points_crs))
        locator = replace(locator, known_around=known.around, bands=known.bands, layers=added)
        if known.geographies is None:
            return locator
        qpv_2015 = known.layers.get("qpv_2015")
        if qpv_2015 is None or qpv_2015.empty:
            return replace(locator, history=History.of_table(known.geographies, without="qpv_2015"))
        former = cls.of_districts(
            qpv_2015.rename(columns={"nom_qp": "lib_qp"}),
            epsg=territory.epsg,
            points_crs=points_crs,
            max_distance=max_distance,
            ground=known.communes,
        )
        return replace(
            locator,
            history=History.of_table(known.geographies),
            former=former,
            codes=locator.codes + former.codes,
            labels=locator.labels + former.labels,
        )

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
        """Index QPV that are read already, in any CRS; raises `ConfigurationError` as `of_release` does.

        `qpv` has ``code_qp``, ``lib_qp`` and, unless all bands are 300 m wide, ``largeur_bande_m``; `epsg` is
        the projected CRS of most of them. `ground`, in a projected CRS, is the area in which it holds every
        QPV: outside, no point is ``NON``. None: everywhere.
        """
        crs = known_crs(points_crs)
        zones = np.array([zone_of(department_of(code)).epsg for code in qpv["code_qp"]])
        widths = np.full(len(qpv), BAND_WIDTH)
        if "largeur_bande_m" in qpv:
            widths = qpv["largeur_bande_m"].to_numpy(np.float64)
        widest = float(widths.max())
        parts = parts_of(qpv.geometry, zones.tolist(), crs, max(max_distance, widest), widths)
        parts.sort(key=lambda part: part.places[0].zone.epsg != epsg)
        if not parts:
            raise ConfigurationError(
                f"{crs.name} is not made for where the QPV are (EPSG:{zones[0]}): give the CRS of the points"
                " with --crs, or longitude and latitude with --lon and --lat"
            )
        ground_index = None
        if ground is not None:
            ground_index = LocateIndex.build(
                ground, points_crs=crs, reach=2 * widest, widths=widest, cell=_GROUND_CELL
            )
        return cls(
            release,
            crs.to_wkt(),
            max_distance,
            tuple(qpv["code_qp"]),
            tuple(qpv["lib_qp"]),
            tuple(parts),
            ground_index,
        )

    def locate(self, x: FloatArray, y: FloatArray, precision: float | FloatArray | None = None) -> Located:
        """Locate points as `answers.locate` does; positions are those of the QPV in the release.

        The release of one territory knows every QPV up to a limit: that of its communes, or one drawn around
        them if it publishes its neighbours. Beyond it, what would be ``NON`` is ``INCERTAIN``, because an
        unknown QPV may be there. So it is before the limit, if the limit is nearer than the point is precise
        or, for the band, nearer than the band is wide.
        """
        radius = np.full(len(x), precision) if isinstance(precision, float) else precision
        located = self._in_parts(Geometries(x, y), radius)
        if self._ground is not None:
            beyond = self._beyond(x, y)
            wrong = np.zeros(len(x)) if radius is None else np.where(np.isnan(radius), np.inf, radius)
            widest = self._ground.widths.max()
            for answer, within in ((located.en_qpv, wrong), (located.bande_tva, wrong + widest)):
                near = within.any() and near_edge(self._ground, x, y, within)
                answer[(beyond | near) & (answer == Answer.NON)] = Answer.INCERTAIN
        return located

    def locate_geometries(
        self,
        geometries: Geometries,
        precision: float | FloatArray | None = None,
        *,
        shares: bool = False,
        dates: dt.date | DateArray | None = None,
    ) -> tuple[Located, pa.Table]:
        """Locate points, polygons and lines, and return the answers as `table` does, with those of `layers`.

        `precision` in metres and `dates` are one for all, or one each. With `shares`, the table has column
        `SHARE` too; otherwise polygons and lines are ``ILLISIBLE``, and their coordinates in `geometries`
        become NaN. With `dates` (see `of_release`), it has `DATED` in place of the columns about bands: the
        QPV are those in force then, and where the release does not have them, the answer is ``INCERTAIN``.
        """
        x, y, shapes = geometries
        if shapes is not None and not shares:
            rows = np.flatnonzero(~shapely.is_missing(shapes))
            x[rows] = y[rows] = np.nan
            geometries = Geometries(x, y)
        radius = None if precision is None else np.broadcast_to(np.asarray(precision, np.float64), x.shape)
        located = self.locate_all(geometries, radius)
        if dates is None:
            tables = [self.table(located)]
        else:
            days = np.broadcast_to(np.asarray(dates, "datetime64[D]"), x.shape)
            geographies = self._answer_at(days, located, geometries, radius)
            tables = [self.table(located).drop_columns([*BANDS]), geographies]
        unreadable = located.en_qpv == Answer.ILLISIBLE
        if shares:
            unknown = unreadable | (located.en_qpv == Answer.INCERTAIN) | np.isnan(located.share)
            tables.append(pa.table([pa.array(located.share, mask=unknown)], schema=pa.schema([SHARE])))
        tables += [layer.locate(geometries, radius, unreadable) for layer in self.layers]
        columns = [column for table in tables for column in table.columns]
        schema = pa.schema([field for table in tables for field in table.schema])
        return located, pa.Table.from_arrays(columns, schema=schema)

    def locate_all(self, geometries: Geometries, precision: FloatArray | None) -> Located:
        """Locate points, polygons and lines.

        What would be ``NON`` is ``INCERTAIN`` if any vertex is where a QPV may be that the release does not
        know.
        """
        located = self.locate(geometries.x, geometries.y, precision)
        if geometries.shapes is None:
            return located
        rows = np.flatnonzero(~shapely.is_missing(geometries.shapes))
        there = geometries.take(rows)
        answers = self._in_parts(there, None if precision is None else precision[rows])
        if self._ground is not None:
            self._doubt_beyond(answers, geometries.shapes[rows])
        located.put(answers, rows)
        return located

    def _answer_at(
        self, dates: DateArray, located: Located, geometries: Geometries, precision: FloatArray | None
    ) -> pa.Table:
        """Put in place the answers of the QPV in force at each date, and return the columns `DATED`."""
        history = self.history
        if history is None:
            raise ConfigurationError("points with dates need a locator made for them")
        places = places_in(self.points_crs)
        chosen = history.choose(places, geometries.x, geometries.y, dates)
        then = history.rows_of(chosen, "qpv_2015")
        unknown = history.rows_of(chosen, None)
        if self.former is not None and len(then):
            radius = None if precision is None else precision[then]
            former = self.former.locate_all(geometries.take(then), radius)
            here = len(self.codes) - len(self.former.codes)
            moved = [np.where(column < 0, -1, column + here) for column in (former.qpv, former.qpv_proche)]
            located.put(replace(former, qpv=moved[0], qpv_proche=moved[1]), then)
        unknown = unknown[located.en_qpv[unknown] != Answer.ILLISIBLE]
        located.en_qpv[unknown] = located.bande_tva[unknown] = Answer.INCERTAIN
        located.qpv[unknown] = located.qpv_proche[unknown] = -1
        located.distance_m[unknown] = located.largeur_bande_m[unknown] = np.nan
        return history.table(chosen, dates, located.en_qpv == Answer.ILLISIBLE)

    def _in_parts(self, geometries: Geometries, precision: FloatArray | None) -> Located:
        """Locate points, or shapes, in the first part, and again those that are in another."""
        first, *others = self._parts
        located = self._in_part(first, geometries, precision)
        for part in others:
            rows = part.rows(geometries.x, geometries.y)
            if len(rows):
                radius = None if precision is None else precision[rows]
                located.put(self._in_part(part, geometries.take(rows), radius), rows)
        return located

    def _in_part(self, part: Part, geometries: Geometries, precision: FloatArray | None) -> Located:
        x, y, shapes = geometries
        if shapes is None:
            located = locate(part.index, x, y, precision=precision, max_distance=self.max_distance)
        else:
            located = locate_shapes(part.index, shapes, precision=precision, max_distance=self.max_distance)
        qpv, nearest = part.among_all(located.qpv), part.among_all(located.qpv_proche)
        return replace(located, qpv=qpv, qpv_proche=nearest)

    def _doubt_beyond(self, located: Located, shapes: GeometryArray) -> None:
        """Make uncertain each no of a shape that has a vertex for which no is uncertain."""
        for name in ("en_qpv", "bande_tva"):
            answer = getattr(located, name)
            rows = np.flatnonzero(answer == Answer.NON)
            coordinates, owner = shapely.get_coordinates(shapes[rows], return_index=True)
            vertices = self.locate(*np.ascontiguousarray(coordinates.T))
            answer[rows[owner[getattr(vertices, name) == Answer.INCERTAIN]]] = Answer.INCERTAIN

    def within_reach(self, geometries: Geometries, radius: FloatArray) -> tuple[IntArray, IntArray]:
        """Return (row, QPV) of each QPV within so many metres, not infinite, of each geometry."""
        x, y, shapes = geometries
        found = [(np.array([], np.int64),) * 2]
        for part in self._parts:
            rows = part.rows(x, y)
            placed = np.asarray(shapely.points(*part.index.projected(x[rows], y[rows])), object)
            if shapes is not None:
                drawn = ~shapely.is_missing(shapes[rows])
                placed[drawn] = projected_shapes(part.index, shapes[rows][drawn])
            row, zone = part.index.tree.query(placed, predicate="dwithin", distance=radius[rows])
            found.append((rows[row], part.position[zone]))
        row, qpv = (np.concatenate(column) for column in zip(*found, strict=True))
        return row, qpv

    def outside(self, x: FloatArray, y: FloatArray, located: Located) -> int:
        """Count the points outside the ground that the release knows."""
        return int(np.count_nonzero(self._beyond(x, y) & (located.en_qpv != Answer.OUI)))

    def _beyond(self, x: FloatArray, y: FloatArray) -> BoolArray:
        if self._ground is None:
            return np.zeros(len(x), bool)
        beyond: BoolArray = (contains(self._ground, x, y) < 0) & self._ground.readable(x, y)
        return beyond

    def table(self, located: Located) -> pa.Table:
        """Return the answers as `COLUMNS`; distances are rounded to the centimetre."""
        distance = np.round(located.distance_m, _CENTIMETRES)
        band = answer_words(located.bande_tva)
        arrays = [
            answer_words(located.en_qpv),
            as_texts(located.qpv, self.codes, pa.int16()),
            as_texts(located.qpv, self.labels, pa.int16()),
            pa.array(distance, mask=np.isnan(distance)),
            as_texts(located.qpv_proche, self.codes, pa.int16()),
            band,
            pa.array(located.largeur_bande_m, mask=np.isnan(located.largeur_bande_m)),
            band,
        ]
        return pa.Table.from_arrays(arrays, schema=COLUMNS)
