"""One territory by HTTP: its current release, what pygeoapi serves of it, and the locators."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, Self

import pyproj
from pygeoapi.api import API
from pygeoapi.openapi import get_oas

from qpv_geo.api.features import ReleaseFeatures
from qpv_geo.api.locating import DEGREES, PROCESS, LocateProcess
from qpv_geo.audit.geopackage import STYLES, connect
from qpv_geo.errors import PublicationError
from qpv_geo.formats.descriptions import DESCRIPTOR
from qpv_geo.formats.fields import FID_COLUMN, load_layers
from qpv_geo.locate.layers import layer_specs
from qpv_geo.locate.locator import Locator
from qpv_geo.releases.placement import LATEST
from qpv_geo.releases.release import Release, find_release
from qpv_geo.settings import Settings
from qpv_geo.territory import Territory

CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
PAGE, MOST_ITEMS = 100, 1000
"""Features of one answer, unless the request asks for more, and at most."""
# A map without network: pygeoapi wants tiles, and gets an empty picture.
_NO_TILE = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


# It logs what is asked.
logging.getLogger("pygeoapi").setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True)
class Service:
    """The current release of a territory, ready to be served."""

    territory: Territory
    settings: Settings
    release: Release
    credits: dict[str, str]
    """What answers say of the release: id, date of its newest source, licence."""
    headers: dict[str, str]
    """The same as headers, for every answer."""
    server: str
    """Address of the server."""
    api: Any
    """That of pygeoapi, which has no types."""
    _locators: dict[tuple[int, bool, bool], Locator] = field(default_factory=dict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    @classmethod
    def of(cls, territory: Territory, settings: Settings, url: str) -> Self:
        """Open the current release, or raise a `QpvGeoError`; `url` is the address of the server."""
        release = find_release(territory.id, None, settings)
        try:
            descriptor = json.loads((release.path / DESCRIPTOR).read_text(encoding="utf-8"))
            title, page = descriptor["licenses"][0]["title"], descriptor["licenses"][0]["path"]
        except (OSError, ValueError, LookupError) as error:
            raise PublicationError(f"{release.path / DESCRIPTOR}: cannot be read ({error})") from error
        named = {"release": release.id, "date": release.id[: len("2026-01-01")], "licence": title}
        headers = {"QPV-Release": release.id, "Link": f'<{page}>; rel="license"'}
        config = _config(release, territory, named, page, f"{url}/{territory.id}")
        openapi = get_oas(config)
        for path in ("/jobs/{jobId}", "/jobs/{jobId}/results"):
            openapi["paths"].pop(path, None)  # answers are given at once
        service = cls(territory, settings, release, named, headers, url, API(config, openapi))
        for epsg in service.crs:
            service.locator(epsg)
        return service

    @property
    def crs(self) -> tuple[int, int]:
        """EPSG codes of the points that it takes: longitude and latitude, the CRS of the territory."""
        return DEGREES, self.territory.epsg

    @cached_property
    def zone_layers(self) -> list[str]:
        """Names of the layers about which `locate` can answer as well.

        None for France, whose communes take 20 s to index, and a gigabyte: no request may ask for that.
        """
        if self.territory.genre == "france":
            return []
        return [name for name, spec in layer_specs().items() if self.crs_of(spec.layer)]

    def locator(self, epsg: int, *, layers: bool = False, dated: bool = False) -> Locator:
        """Return what locates points of a CRS, made when first asked for: with all layers, or for dates."""
        key = epsg, layers, dated
        with self._lock:
            if key not in self._locators:
                names = self.zone_layers if layers else ()
                self._locators[key] = Locator.of_release(
                    self.release, self.territory, points_crs=epsg, layers=names, dated=dated
                )
            return self._locators[key]

    def current_folder(self) -> Path:
        """Return the folder of the release that is current now."""
        return (self.settings.out_dir / self.territory.id / LATEST).resolve()

    @property
    def url(self) -> str:
        """Address of the territory."""
        return f"{self.server}/{self.territory.id}"

    @property
    def title(self) -> str:
        """French title."""
        title: str = self.api.config["metadata"]["identification"]["title"]
        return title

    def crs_of(self, collection: str) -> int | None:
        """Return the EPSG code of a collection, None if there is no such collection or it is a table."""
        resource = self.api.config["resources"].get(collection, {})
        return resource["providers"][0]["epsg"] if "providers" in resource else None


def _config(
    release: Release, territory: Territory, credits_: Mapping[str, str], licence_page: str, url: str
) -> dict[str, Any]:
    """Return pygeoapi's configuration."""
    known = territory.contact
    contact = {"name": known.organisation if known else territory.nom, "url": (known and known.site) or url}
    if known and known.courriel:
        contact["email"] = known.courriel
    return {
        "server": {
            "bind": {"host": "127.0.0.1", "port": 0},
            "url": url,
            "mimetype": "application/json; charset=UTF-8",
            "encoding": "utf-8",
            "languages": ["fr-FR", "en-US"],
            "limits": {"default_items": PAGE, "max_items": MOST_ITEMS, "on_exceed": "throttle"},
            "map": {"url": _NO_TILE, "attribution": credits_["licence"]},
        },
        "logging": {"level": "CRITICAL"},
        "metadata": {
            "identification": {
                "title": f"Quartiers prioritaires : {territory.nom}",
                "description": f"{release.origin} Publication {release.id}, {credits_['licence']}.",
                "keywords": ["QPV", "politique de la ville", territory.nom],
                "keywords_type": "theme",
                "terms_of_service": licence_page,
                "url": url,
            },
            "license": {"name": credits_["licence"], "url": licence_page},
            "provider": contact,
            "contact": contact,
        },
        "resources": {
            **dict(_collections(release, credits_)),
            PROCESS: {
                "type": "process",
                "processor": {"name": f"{LocateProcess.__module__}.{LocateProcess.__name__}"},
            },
        },
    }


def _collections(release: Release, credits_: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each layer and table of the release's GeoPackage as a collection of pygeoapi."""
    with closing(connect(release.geopackage)) as database:
        rows = database.execute(
            "SELECT table_name, identifier, contents.description, column_name, organization_coordsys_id,"
            " min_x, min_y, max_x, max_y FROM gpkg_contents AS contents"
            " LEFT JOIN gpkg_geometry_columns USING (table_name)"
            " LEFT JOIN gpkg_spatial_ref_sys AS crs ON crs.srs_id = gpkg_geometry_columns.srs_id"
            " ORDER BY contents.rowid"
        ).fetchall()
    boxes = {row[0]: _in_degrees(row[4], row[5:9]) for row in rows if row[3] and None not in row}
    everywhere = boxes.get("communes", [-180.0, -90.0, 180.0, 90.0])
    for name, title, description, geometry, epsg, *_ in rows:
        if name == STYLES:
            continue
        key = load_layers()[name].key if name in load_layers() else ()
        own = [] if epsg in {None, DEGREES} else [f"http://www.opengis.net/def/crs/EPSG/0/{epsg}"]
        provider = {
            "type": "feature",
            "name": f"{ReleaseFeatures.__module__}.{ReleaseFeatures.__name__}",
            "data": str(release.geopackage),
            "table": name,
            "geometry": geometry,
            "credits": credits_,
            "id_field": key[0] if len(key) == 1 else FID_COLUMN,
            "epsg": epsg,
            "crs": [CRS84, *own],
            "storage_crs": own[0] if own else CRS84,
        }
        yield (
            name,
            {
                "type": "collection",
                "title": title,
                "description": description,
                "keywords": ["QPV"],
                "links": [],
                "extents": {"spatial": {"bbox": boxes.get(name, everywhere), "crs": CRS84}},
                "providers": [provider],
            },
        )


def _in_degrees(epsg: int, box: tuple[float, float, float, float]) -> list[float]:
    """Return the rectangle of longitudes and latitudes around one of another CRS."""
    return list(pyproj.Transformer.from_crs(epsg, DEGREES, always_xy=True).transform_bounds(*box))
