"""Contours of the metropolis's own districts, in any declared CRS."""

import warnings
from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import pandas as pd
from pyproj import CRS
from pyproj.exceptions import CRSError
from pyproj.transformer import TransformerGroup

from qpv_geo.checks import Check
from qpv_geo.errors import SourceContentError
from qpv_geo.ingest.cell_text import check_characters, check_labels, clean_text, report_reading
from qpv_geo.ingest.contracts import Names, Problems, describe_columns, shown
from qpv_geo.ingest.geometry import check_position, check_shapes, project, report_repairs
from qpv_geo.ingest.vector import VectorLayer, read_layer
from qpv_geo.settings import Settings
from qpv_geo.sources.raw import RawFile, digest
from qpv_geo.territory import ContourFile, Territory
from qpv_geo.zones import zone_of

# Metres: how far off a transformation may be. Without the grid that it needs, one is off by more, or by an
# unknown distance (EPSG:27572).
_ACCURACY = 1.0
# Metres outside the communes, whose contours may be generalised, that a district may lie.
_NEAR = 1000.0
_HALF_TURN = 180.0
_FORMULA = ("=", "+", "-", "@")


def read_local_contours(
    raw: RawFile,
    file: ContourFile,
    territory: Territory,
    communes: gpd.GeoDataFrame | None,
    settings: Settings,
) -> tuple[gpd.GeoDataFrame, tuple[Check, ...]]:
    """Read a contour file that the territory declares.

    Without `communes`, the territory's in its CRS, contours may be anywhere in their part of France.

    Returned are ``nom`` (text or None, as in the file), ``ecart_reparation_m2``, MultiPolygons in the
    territory's CRS, in the file's order; ``attrs["fichier"]`` is how errors name the file. Raises
    `SourceContentError` if the file is not a whole file of its format, or was saved meanwhile, and
    `ContractError` if the field of the names is missing, a name cannot be published, the CRS is not declared,
    contradicts the file or cannot be transformed exactly, or a geometry is not a polygon in or near the
    territory.
    """
    layer = read_layer(raw, settings, file.couche)
    if digest(raw.path) != (raw.sha256, raw.size):
        raise SourceContentError(
            f"{raw.label}: the file changed while it was read. What to do: run again once it is saved"
        )
    problems = Problems(layer.label, raw.source)
    available = [str(column) for column in layer.frame.columns if column != layer.frame.geometry.name]
    if file.champ_nom not in available:
        problems.add(
            f"field {file.champ_nom!r} ('champ_nom')", describe_columns(available, (file.champ_nom,))
        )
    if layer.frame.empty:
        problems.add("at least one feature", "an empty layer")
    problems.raise_if_any()
    names = clean_text(layer.frame[file.champ_nom])
    where = layer.names(names)
    _check_names(layer.written(file.champ_nom), where, problems)
    crs = _crs(layer, file, problems)
    geometries = layer.frame.geometry.to_numpy()
    rows = np.flatnonzero(check_shapes(geometries, where, problems))
    if crs is None or not _is_exact(crs, territory.epsg, problems):
        problems.raise_if_any()
    drawn = gpd.GeoDataFrame({"nom": names}, geometry=geometries, crs=crs).iloc[rows].to_crs(territory.epsg)
    zones = [zone_of(territory.departement or "")] * len(rows)
    placed = check_position(drawn.geometry.to_numpy(), territory.epsg, zones, where[rows], problems)
    contours = project(drawn[placed], territory.epsg, where[rows][placed], problems)
    if communes is not None:
        _check_near(contours, communes, territory, where[rows][placed], problems)
    problems.raise_if_any()
    contours.attrs["fichier"] = layer.label
    return contours, (
        report_reading(layer.remarks, f"{len(contours)} contours", raw.source.id),
        report_repairs([contours], "nom", raw.source.id),
    )


def _check_names(names: Sequence[object] | pd.Series, where: Names, problems: Problems) -> None:
    """Check that names are text that pages, workbooks and tables can hold; a number is a name as well."""
    check_characters(names, where, problems, "nom")
    for place, name in zip(where, names, strict=True):
        if isinstance(name, dict | list):
            check_labels([name], np.array([place]), problems, "nom")
        elif isinstance(name, str) and name.strip().startswith(_FORMULA):
            expected = "a name that no spreadsheet takes for a formula"
            problems.add(expected, shown(name), column="nom", where=place)


def _check_near(
    contours: gpd.GeoDataFrame,
    communes: gpd.GeoDataFrame,
    territory: Territory,
    where: Names,
    problems: Problems,
) -> None:
    """Check that each contour touches the territory or nearly does."""
    (rows, _), distances = communes.sindex.nearest(contours.geometry, return_all=False, return_distance=True)
    far = distances > _NEAR
    found = [f"{distance / 1000:,.0f} km away" for distance in distances[far]]
    expected = f"a contour within {_NEAR / 1000:g} km of {territory.nom}"
    problems.add_rows(expected, where[rows[far]], found, column="geometry")
    if far.any():
        key = problems.source.territory_key
        problems.advise(f"take these features out of the file, or correct its CRS ('{key}.crs')")


def _crs(layer: VectorLayer, file: ContourFile, problems: Problems) -> CRS | None:
    """Return the CRS of the coordinates: the file's own, or the declared one if the file has none."""
    own: CRS | None = layer.frame.crs
    if own is not None and own.name.startswith("Undefined"):
        own = None
    if file.crs is None:
        in_metres = bool(np.abs(layer.frame.total_bounds).max() > _HALF_TURN)
        if own is not None and not (layer.assumed_crs and in_metres):
            return own
        beside = " (no .prj beside the .shp?)" if problems.source.format == "shp" else ""
        found = "metres, and GeoJSON that declares none is in degrees" if own else f"none in the file{beside}"
        problems.add("a CRS", f"{found}, and none in 'crs'", column="CRS")
        problems.advise(
            f'declare in which CRS the coordinates are: crs = "EPSG:2154" (Lambert-93), for example, under '
            f"[{problems.source.territory_key}] of the territory file"
        )
        return None
    try:
        declared = CRS.from_user_input(file.crs)
    except CRSError:
        problems.add("a CRS that exists", f"'crs' = {file.crs!r}", column="CRS")
        return None
    if own is not None and not layer.assumed_crs and own.to_epsg(min_confidence=25) != declared.to_epsg():
        problems.add(f"{declared.name} ({file.crs}), as declared in 'crs'", f"{own.name}", column="CRS")
        return None
    return declared


def _is_exact(crs: CRS, epsg: int, problems: Problems) -> bool:
    """Tell whether coordinates can be transformed without a silent error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Best transformation is not available")
        best = TransformerGroup(crs, epsg, always_xy=True).transformers[0]
    if 0 <= best.accuracy <= _ACCURACY:
        return True
    problems.add(
        f"a CRS from which EPSG:{epsg} is reached to {_ACCURACY:g} m, such as EPSG:{epsg} or EPSG:4326",
        f"{crs.name}, whose shift needs a grid that is not there",
        column="CRS",
    )
    return False
