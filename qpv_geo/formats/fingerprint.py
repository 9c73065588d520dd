"""What a release depends on, in one hash: same fingerprint, same bytes."""

import hashlib
import sqlite3
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

import geopandas as gpd
import numpy as np
import orjson
import pandas as pd
import pyogrio
import pyproj
import shapely

from qpv_geo.formats.provenance import Raws
from qpv_geo.ingest.registry import Registry
from qpv_geo.sources.catalogue import Catalogue
from qpv_geo.sources.raw import digest
from qpv_geo.territory import Territory

_PACKAGE = Path(__file__).parents[1]
# The code that makes a release; an installation puts both packages side by side as a checkout does.
_CODE = (_PACKAGE, _PACKAGE.with_name("flows"))
# The shipped originals are inputs, hashed where they are read.
_NOT_CODE = {"__pycache__", "_snapshot"}
# Distributions that write pages and further formats.
_WRITERS = ("jinja2", "pyarrow", "typst", "xlsxwriter", "xstatic-leaflet")


def fingerprint(
    raws: Raws, territory: Territory, catalogue: Catalogue, registry: Registry, formats: Iterable[str] = ()
) -> str:
    """Return the SHA-256 (hexadecimal) of everything that a release is made from.

    The raw files count by id, checksum and where their bytes first came from: a copy from the store is the
    same as the download that it was. To them come the territory with its contour files, the catalogue, the
    registry, the code of this project and the versions of the libraries that compute or write.
    """
    files = {key: territory.path_of(file) for key, file in territory.files.items()}
    inputs = {
        "sources": {
            source: [raw.sha256 or raw.defect, raw.provenance] if raw else None
            for source, raw in sorted(raws.items())
        },
        # Which old releases go changes nothing in a new one.
        "territory": territory.model_dump(mode="json", exclude={"conservation"}),
        # All that makes up each of its own contour files.
        "files": {key: digest(path)[0] for key, path in files.items() if path.is_file()},
        "catalogue": catalogue.model_dump(mode="json"),
        "registry": registry.model_dump(mode="json"),
        "formats": sorted(formats),
        "code": code_digest(),
        "environment": environment(),
    }
    return hashlib.sha256(orjson.dumps(inputs, option=orjson.OPT_SORT_KEYS)).hexdigest()


@cache
def code_digest() -> str:
    """Return the SHA-256 of the code, with templates and declarations, as it was when first asked."""
    lines = [
        f"{path.relative_to(package.parent).as_posix()} {digest(path)[0]}\n"
        for package in _CODE
        for path in sorted(package.rglob("*"))
        if path.is_file() and not _NOT_CODE & set(path.parts)
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@cache
def environment() -> dict[str, str]:
    """Return the versions of the libraries that a release's bytes may depend on."""
    return {
        "geopandas": gpd.__version__,
        "pandas": pd.__version__,
        "numpy": np.__version__,
        "shapely": shapely.__version__,
        "GEOS": shapely.geos_version_string,
        "pyogrio": pyogrio.__version__,
        "GDAL": pyogrio.__gdal_version_string__,
        "pyproj": pyproj.__version__,
        "PROJ": pyproj.proj_version_str,
        "SQLite": sqlite3.sqlite_version,
        **{name: version(name) for name in _WRITERS},
    }
