"""The layers of a release to locate points in beside its QPV: communes, IRIS, districts, bands, QPV 2015."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyproj
import shapely
from pydantic import Field

from qpv_geo.errors import ConfigurationError
from qpv_geo.frozen import Frozen
from qpv_geo.locate.answers import Answer, contains, near_edge
from qpv_geo.locate.coordinates import Geometries
from qpv_geo.locate.edges import BoolArray, FloatArray, GeometryArray, Int32Array, IntArray
from qpv_geo.locate.index import LocateIndex
from qpv_geo.locate.places import Place, places_in
from qpv_geo.locate.shapes import hold_shapes
from qpv_geo.territory import BAND_WIDTH, COMMUNES_PRECISION
from qpv_geo.toml_file import read_declarations
from qpv_geo.zones import ZONES

if TYPE_CHECKING:
    from qpv_geo.locate.known import KnownQpv

_DEGREES = 4326
_TEXTS = pa.dictionary(pa.int32(), pa.string())
_ANSWERS = pa.dictionary(pa.int8(), pa.string())


class LayerSpec(Frozen):
    """What `locate` reads of a layer, and the columns that it fills."""

    name: str
    layer: str
    columns: dict[str, str] = Field(min_length=1)
    """The layer's fields by the columns that they fill."""
    beyond: Literal["non", "incertain", "territoire"]
    several: bool = False
    """Whether zones overlap, so that a point may be in several."""
    generalised: bool = False
    """Whether its outlines are those of communes, which may be generalised."""

    @property
    def schema(self) -> pa.Schema:
        """The columns added: the answer, then those of the layer."""
        return pa.schema([(f"en_{self.name}", _ANSWERS), *((name, _TEXTS) for name in self.columns)])


@cache
def layer_specs() -> Mapping[str, LayerSpec]:
    """Return the layers that `locate` knows, by name."""
    path = Path(__file__).with_name("layers.toml")
    with read_declarations(path, "the layers are not valid") as entries:
        return {name: LayerSpec(name=name, **entry) for name, entry in entries.items()}


def specs_of(names: Sequence[str]) -> list[LayerSpec]:
    """Return layers by their names, or those of the release, each once.

    A name that is unknown is a `ConfigurationError`.
    """
    specs = layer_specs()
    known = {spec.layer: name for name, spec in specs.items()} | dict(zip(specs, specs, strict=True))
    if unknown := [name for name in names if name not in known]:
        raise ConfigurationError(f"--with {', '.join(unknown)}: not a layer; there are {', '.join(specs)}")
    return [specs[name] for name in dict.fromkeys(known[name] for name in names)]


@dataclass(frozen=True)
class Part:
    """The polygons of one projected CRS."""

    index: LocateIndex
    position: IntArray
    """Position of each among all."""
    places: tuple[Place, ...]

    def rows(self, x: FloatArray, y: FloatArray) -> IntArray:
        """Return the positions of the points that are in this part of France."""
        return np.flatnonzero(np.any([place.holds(x, y) for place in self.places], axis=0))

    def among_all(self, zone: Int32Array | IntArray) -> Int32Array:
        """Return positions in this part as positions among all; -1, none, stays."""
        if np.array_equal(self.position, np.arange(len(self.position))):
            return zone.astype(np.int32, copy=False)
        return np.append(self.position, -1).astype(np.int32)[zone]


def parts_of(
    shapes: gpd.GeoSeries,
    zones: Sequence[int],
    points_crs: pyproj.CRS,
    reach: float = BAND_WIDTH,
    widths: FloatArray | None = None,
) -> list[Part]:
    """Index polygons, each in the projected CRS of its part of France; `zones` are their EPSG codes.

    Parts that the CRS of the points does not cover are left out; `reach` and `widths` are those of the index.
    """
    epsg, parts = np.array(zones), []
    for zone in dict.fromkeys(zones):
        here = tuple(place for place in places_in(points_crs) if place.zone.epsg == zone)
        if here:
            position = np.flatnonzero(epsg == zone)
            index = LocateIndex.build(
                projected(shapes.iloc[position], zone),
                points_crs=points_crs,
                reach=reach,
                widths=BAND_WIDTH if widths is None else widths[position],
            )
            parts.append(Part(index, position, here))
    return parts


def projected(shapes: gpd.GeoSeries, epsg: int) -> gpd.GeoSeries:
    """Return polygons in another CRS, repaired if the rounding of coordinates made one cross itself."""
    projected = shapes.to_crs(epsg).reset_index(drop=True)
    for row in np.flatnonzero(~projected.is_valid):
        parts = shapely.get_parts(shapely.make_valid(projected.iloc[row], method="structure"))
        projected.iloc[row] = shapely.union_all(parts[shapely.get_dimensions(parts) == 2])  # noqa: PLR2004
    return projected


@dataclass(frozen=True)
class ZoneLayer:
    """A layer of a release, indexed; the points are in the CRS of its parts."""

    spec: LayerSpec
    _texts: Mapping[str, Sequence[str]]
    _groups: tuple[tuple[Part, ...], ...]
    """Parts of the zones; those that overlap are in different groups."""
    _territory: tuple[Part, ...]
    """The communes of the release, where a no depends on them."""
    _doubt: float
    """Metres by which the outlines may be wrong."""
    _undrawn: bool
    """Whether the layer has a zone without outline."""

    @classmethod
    def build(
        cls,
        spec: LayerSpec,
        frame: gpd.GeoDataFrame,
        points_crs: pyproj.CRS,
        territory: Sequence[Part],
        doubt: float,
    ) -> Self:
        """Index a layer; `territory` and `doubt` are those of the fields."""
        drawn = frame[~(frame.geometry.is_empty | frame.geometry.isna())].reset_index(drop=True)
        group = (
            _disjoint_groups(drawn.geometry.to_numpy()) if spec.several else np.zeros(len(drawn), np.int64)
        )
        zones = _zones_at(drawn.geometry)
        groups = []
        for number in range(group.max(initial=0) + 1):
            rows = np.flatnonzero(group == number)
            parts = parts_of(drawn.geometry.iloc[rows], zones[rows].tolist(), points_crs)
            groups.append(tuple(replace(part, position=rows[part.position]) for part in parts))
        texts = {column: drawn[field].tolist() for column, field in spec.columns.items()}
        return cls(spec, texts, tuple(groups), tuple(territory), doubt, len(drawn) < len(frame))

    def locate(self, geometries: Geometries, precision: FloatArray | None, unreadable: BoolArray) -> pa.Table:
        """Return the columns of `LayerSpec.schema` for points, polygons and lines.

        The zone is the one that holds the point as it is placed, or most of the shape; the answer is
        ``incertain`` if it could be another, or none, were point or outline as wrong as they may be.
        """
        x, y, shapes = geometries
        radius = None if precision is None else np.where(np.isnan(precision), np.inf, precision)
        if self._doubt:
            radius = np.full(len(x), self._doubt) if radius is None else np.maximum(radius, self._doubt)
        found = [_find(parts, x, y) for parts in self._groups]
        answer = np.any([zone >= 0 for zone in found], axis=0).astype(np.uint8)
        near = np.zeros(len(x), bool)
        if radius is not None:
            for parts in (*self._groups, self._territory):
                for part, here in _each_part(parts, x, y):
                    near[here] |= near_edge(part.index, x[here], y[here], radius[here])
        if shapes is not None:
            rows = np.flatnonzero(~shapely.is_missing(shapes))
            near[rows] = False
            answer[rows] = Answer.NON
            for zone, parts in zip(found, self._groups, strict=True):
                zone[rows] = -1
                for part, here in _each_part(parts, x[rows], y[rows]):
                    some = rows[here]
                    wrong = None if radius is None else radius[some]
                    held, holder = hold_shapes(part.index, shapes[some], wrong)
                    answer[some] = np.maximum(held, answer[some])
                    zone[some] = part.among_all(holder)
        no = answer == Answer.NON
        if self._undrawn or self.spec.beyond == "incertain":
            near |= no
        elif self._territory:
            near |= no & (_find(self._territory, x, y) < 0)
        answer[near] = Answer.INCERTAIN
        answer[unreadable] = Answer.ILLISIBLE
        return self._table(answer, found)

    def _table(self, answer: np.ndarray, found: list[Int32Array]) -> pa.Table:
        position, several = found[0], np.array([], np.int64)
        for other in found[1:]:
            position = np.where(position < 0, other, position)
        if len(found) > 1:
            every = np.column_stack(found)
            several = np.flatnonzero((every >= 0).sum(axis=1) > 1)
            combined, place = np.unique(np.sort(every[several], axis=1), axis=0, return_inverse=True)
        arrays = [answer_words(answer)]
        for texts in self._texts.values():
            words = list(texts)
            if len(several):
                position[several] = len(words) + place.ravel()
                words += [", ".join(sorted(texts[k] for k in row if k >= 0)) for row in combined.tolist()]
            arrays.append(as_texts(position, words, pa.int32()))
        return pa.Table.from_arrays(arrays, schema=self.spec.schema)


def zone_layers(known: "KnownQpv", specs: Sequence[LayerSpec], crs: pyproj.CRS) -> tuple[ZoneLayer, ...]:
    """Index layers of a release for points in a CRS."""
    territory: list[Part] = []
    if known.communes is not None and any(spec.beyond == "territoire" for spec in specs):
        territory = parts_of(known.communes, _zones_at(known.communes).tolist(), crs)
    doubt = COMMUNES_PRECISION if known.generalised else 0.0
    return tuple(
        ZoneLayer.build(
            spec,
            known.layers[spec.layer],
            crs,
            territory if spec.beyond == "territoire" else (),
            doubt if spec.generalised else 0.0,
        )
        for spec in specs
    )


def answer_words(numbers: np.ndarray) -> pa.DictionaryArray:
    """Return the words of answers."""
    words = pa.array([answer.word for answer in Answer])
    return pa.DictionaryArray.from_arrays(pa.array(numbers.astype(np.int8)), words)


def as_texts(position: np.ndarray, texts: Sequence[str], kind: pa.DataType) -> pa.DictionaryArray:
    """Return the texts at positions, none where it is negative."""
    words, number = _dictionary(tuple(texts))
    if number is not None:
        position = number[position]
    indices = pa.array(position.astype(kind.to_pandas_dtype(), copy=False), mask=position < 0)
    return pa.DictionaryArray.from_arrays(indices, words)


@lru_cache(64)
def _dictionary(texts: tuple[str, ...]) -> tuple[pa.Array, Int32Array | None]:
    """Return the texts, each once as a dictionary wants them, and which of them is at each position.

    None if all differ: several zones may share a name.
    """
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    number = np.array([*(numbers[text] for text in texts), -1], np.int32)
    return pa.array(list(numbers), pa.string()), number if len(numbers) < len(texts) else None


def _zones_at(shapes: gpd.GeoSeries) -> IntArray:
    """Return the EPSG code of the part of France of each shape."""
    points = shapes.representative_point().to_crs(_DEGREES)
    zones = np.full(len(points), ZONES[0].epsg)
    for place in places_in(_DEGREES):
        zones[place.holds(points.x, points.y)] = place.zone.epsg
    return zones


def _disjoint_groups(shapes: GeometryArray) -> IntArray:
    """Return a number for each shape; no two that meet have the same."""
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    group = np.zeros(len(shapes), np.int64)
    for shape in range(len(shapes)):
        before = other[(one == shape) & (other < shape)]
        group[shape] = min(set(range(len(before) + 1)) - set(group[before].tolist()))
    return group


def _each_part(
    parts: Sequence[Part], x: FloatArray, y: FloatArray
) -> Iterator[tuple[Part, IntArray | slice]]:
    """Yield each part with the points that it answers for: all, if there is no other."""
    for part in parts:
        yield part, part.rows(x, y) if len(parts) > 1 else slice(None)


def _find(parts: Sequence[Part], x: FloatArray, y: FloatArray) -> Int32Array:
    """Return the position of the zone that holds each point, -1 if none."""
    found = np.full(len(x), -1, np.int32)
    for part, rows in _each_part(parts, x, y):
        found[rows] = part.among_all(contains(part.index, x[rows], y[rows]))
    return found
