"""A generated city with streets, buildings, a river, rails and woods, and the WFS that serves it.

Features have the attributes of BD TOPO that are read, and others. As the Géoplateforme's GeoServer does, it
pages, sorts, may send fewer features than were asked for, and says how many there are.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import shapely

Bounds = tuple[float, float, float, float]

BLOCK, STREET = 90.0, 10.0
NAMES = (
    "Rue de Bourgogne",
    "Avenue de l'Île-de-France",
    "Rue Blaise-Pascal",
    "Rue de Savoie",
    "Chemin des Lilas",
)
MODIFIED = "2026-09-15T10:24:07.512Z"
EXCEPTION = b"""<?xml version="1.0" encoding="UTF-8"?>
<ows:ExceptionReport xmlns:ows="http://www.opengis.net/ows/1.1" version="2.0.0"><ows:Exception
exceptionCode="NoApplicableCode"><ows:ExceptionText>Too many requests</ows:ExceptionText></ows:Exception>
</ows:ExceptionReport>"""


def city(extents: Iterable[Bounds]) -> dict[str, list[dict[str, Any]]]:
    """Return the features of a city over some extents in metres of Lambert-93, by type."""
    features: dict[str, list[dict[str, Any]]] = {name: [] for name in _TYPES}
    for number, (west, south, east, north) in enumerate(extents):
        xs, ys = np.arange(west, east, BLOCK), np.arange(south, north, BLOCK)
        _add(features, "troncon_de_route", _streets(xs, ys, number))
        _add(features, "batiment", _buildings(xs, ys))
        middle = (south + north) / 2
        river = shapely.LineString([(west, south + 60), ((west + east) / 2, south + 150), (east, south + 40)])
        _add(features, "surface_hydrographique", [(river.buffer(35), {"nature": "Ecoulement naturel"})])
        rails = shapely.LineString([(west, middle + 40), (east, middle + 260)])
        tram = shapely.LineString([(west, middle - 45), (east, middle - 45)])
        under = shapely.LineString([(west, middle), (east, middle)])
        _add(
            features,
            "troncon_de_voie_ferree",
            [
                (rails, {"nature": "Voie ferrée principale"}),
                (tram, {"nature": "Tramway"}),
                (under, {"nature": "Métro", "position_par_rapport_au_sol": "-1"}),
            ],
        )
        wood = shapely.Point(east - 300, north - 300).buffer(260)
        _add(
            features,
            "zone_de_vegetation",
            [(wood, {"nature": "Bois"}), (_bowtie(west, north), {"nature": "Haie"})],
        )
    return features


_TYPES = (
    "batiment",
    "troncon_de_route",
    "troncon_de_voie_ferree",
    "surface_hydrographique",
    "zone_de_vegetation",
)


def _streets(
    xs: np.ndarray, ys: np.ndarray, number: int
) -> Iterator[tuple[shapely.Geometry, dict[str, Any]]]:
    """Yield a segment for each side of each block; every fifth street is a main one."""
    for across, along, turned in ((xs, ys, False), (ys, xs, True)):
        for rank, here in enumerate(across):
            name = f"{NAMES[rank % len(NAMES)]} {number}.{rank}{'b' if turned else ''}"
            main = rank % 5 == 0
            for one, other in pairwise(along):
                ends = [(here, one), (here, other)]
                line = shapely.LineString([(y, x) for x, y in ends] if turned else ends)
                yield (
                    line,
                    {
                        "nature": "Route à 1 chaussée" if rank % 7 else "Sentier",
                        "importance": "3" if main else "5",
                        "nom_collaboratif_gauche": name,
                        "nom_collaboratif_droite": name,
                    },
                )


def _buildings(xs: np.ndarray, ys: np.ndarray) -> Iterator[tuple[shapely.Geometry, dict[str, Any]]]:
    """Yield four buildings a block, two of which share a wall, and a shed."""
    for x in xs[:-1]:
        for y in ys[:-1]:
            left, low = x + STREET, y + STREET
            for shape in (
                shapely.box(left, low, left + 14, low + 32),
                shapely.box(left + 14, low, left + 32, low + 14),
                shapely.box(left + 42, low + 8, left + 66, low + 24),
                shapely.Polygon(
                    [(left + 6, low + 46), (left + 60, low + 52), (left + 58, low + 66), (left + 4, low + 60)]
                ),
                shapely.box(left + 68, low + 66, left + 70, low + 68),
            ):
                yield shape, {"nature": "Indifférenciée", "usage_1": "Résidentiel", "hauteur": 9.5}


def _bowtie(west: float, north: float) -> shapely.Polygon:
    """Return a polygon that crosses itself."""
    return shapely.Polygon([(west, north), (west + 90, north - 90), (west + 90, north), (west, north - 90)])


def _add(
    features: dict[str, list[dict[str, Any]]],
    kind: str,
    shapes: Iterable[tuple[shapely.Geometry, dict[str, Any]]],
) -> None:
    for shape, attributes in shapes:
        key = f"{kind[:8].upper()}{len(features[kind]):016d}"
        common = {
            "cleabs": key,
            "etat_de_l_objet": "En service",
            "position_par_rapport_au_sol": "0",
            "date_modification": MODIFIED if kind == "batiment" else None,
        }
        features[kind].append(
            {
                "type": "Feature",
                "id": f"{kind}.{key}",
                "geometry": json.loads(shapely.to_geojson(shapely.force_3d(shape, 250.0))),
                "geometry_name": "geometrie",
                "properties": common | attributes,
            }
        )


class Geoplateforme:
    """Answers the queries to the WFS; give it to `OfficialSites.wfs`.

    Attributes
    ----------
    page_limit
        Features that it sends at most, whatever is asked.
    counted
        Whether it says how many features there are.
    growing
        How often a count is one more than that of the page before: the features are being changed.
    repeating
        How often a page has the last feature of the page before in place of its first.
    exception
        Part of the type names whose queries it answers with an exception report.
    """

    def __init__(self, features: dict[str, list[dict[str, Any]]], page_limit: int = 5000) -> None:
        self.features = features
        self.page_limit = page_limit
        self.counted = True
        self.growing = 0
        self.repeating = 0
        self.exception = "none"
        self.queries: list[dict[str, str]] = []
        self._bounds = {
            kind: shapely.bounds([shapely.from_geojson(json.dumps(one["geometry"])) for one in listed])
            for kind, listed in features.items()
        }

    def __call__(self, query: dict[str, str]) -> bytes:
        """Return a page of features as GeoServer does."""
        self.queries.append(query)
        kind = query["TYPENAMES"].removeprefix("BDTOPO_V3:")
        if self.exception in kind:
            return EXCEPTION
        start, count = int(query["STARTINDEX"]), min(int(query["COUNT"]), self.page_limit)
        found = sorted(
            self._in_box(kind, query.get("BBOX")), key=lambda one: one["properties"][query["SORTBY"]]
        )
        matched = len(found)
        if start and self.growing:
            self.growing -= 1
            matched += 1
        page = found[start : start + count]
        if start and self.repeating:
            self.repeating -= 1
            page[0] = found[start - 1]
        answer = {
            "type": "FeatureCollection",
            "features": page,
            "totalFeatures": matched,
            "numberMatched": matched,
            "numberReturned": len(page),
            "timeStamp": f"2026-11-30T08:00:00.{len(self.queries):03d}Z",
            "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::2154"}},
        }
        if not self.counted:
            del answer["totalFeatures"]
            answer["numberMatched"] = "unknown"
        return json.dumps(answer, ensure_ascii=False).encode()

    def _in_box(self, kind: str, box: str | None) -> list[dict[str, Any]]:
        listed = self.features[kind]
        if box is None:
            return listed
        *sides, crs = box.split(",")
        assert crs == "EPSG:2154"
        west, south, east, north = map(float, sides)
        lows = self._bounds[kind]
        inside = (lows[:, 0] <= east) & (lows[:, 2] >= west) & (lows[:, 1] <= north) & (lows[:, 3] >= south)
        return [listed[number] for number in np.flatnonzero(inside)]
