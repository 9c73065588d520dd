"""Published places of facilities against the lines of INSEE's file, read again by csv."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
import shapely

from qpv_geo.audit.mismatches import Mismatch
from qpv_geo.audit.originals import Originals
from qpv_geo.audit.readers import WrittenLayer
from qpv_geo.errors import PublicationError
from qpv_geo.ingest.cell_text import decode
from qpv_geo.sources.raw import digest

# By layer of places: the column that says what is there, and metres around the QPV.
_LAYERS = {"equipements_lieux": ("type_equipement", 500.0), "offre_soins_lieux": ("categorie", 1000.0)}
# Drawn at random in the commune: no place; and in the street.
_IN_COMMUNE, _IN_STREET, _AT_ADDRESS = "33", {"12", "22"}, {"11", "21"}

_Place = tuple[str, float, float]


def compare_facilities(release: Mapping[str, WrittenLayer], originals: Originals) -> list[Mismatch]:
    """Compare how many facilities stand where, and how exact their positions are, with INSEE's file.

    Each place within reach of a QPV that the file has must be published, and no other. What is read is the
    extract that ingestion kept. Nothing is compared where it read the whole file of the country.
    """
    written = {name: release[name] for name in _LAYERS if name in release}
    extract = originals.raw(originals.filling("facilities")).extract if written else None
    if extract is None:
        return []
    mismatches: list[Mismatch] = []
    for name, layer in written.items():
        column, reach = _LAYERS[name]
        groups = _groups_of(release, name)
        wanted = _near(_places(originals, groups, str(layer.epsg)), release["qpv"], reach)
        mismatches += _unlike(layer, name, column, wanted)
    return mismatches


def _groups_of(release: Mapping[str, WrittenLayer], layer: str) -> Mapping[str, str]:
    """Return under which name a layer counts each type of facility."""
    if layer == "equipements_lieux":
        types = release["equipements"].attributes["type_equipement"].unique()
        return dict(zip(types, types, strict=True))
    categories = release["offre_soins"].attributes
    pairs = zip(categories["categorie"], categories["types_equipement"], strict=True)
    return {kind: category for category, kinds in pairs for kind in kinds.replace(",", " ").split()}


def _places(originals: Originals, groups: Mapping[str, str], epsg: str) -> dict[_Place, Counter[str]]:
    """Return the qualities of the positions of the facilities at each place."""
    places: defaultdict[_Place, Counter[str]] = defaultdict(Counter)
    for kind, place_epsg, x, y, quality in _rows(originals):
        if kind in groups and place_epsg == epsg and quality != _IN_COMMUNE and x and y:
            at = float(x.replace(",", ".")), float(y.replace(",", "."))
            places[groups[kind], *at][quality] += 1
    return places


def _rows(originals: Originals) -> Iterator[tuple[str, str, str, str, str]]:
    raw = originals.raw(originals.filling("facilities"))
    extract = raw.extract
    if extract is None or digest(extract.path)[0] != extract.sha256:
        raise PublicationError(f"{raw.label}: its extract in the store changed during the run; run again")
    text, _ = decode(extract.path.read_bytes(), raw.label)
    rows = csv.reader(text.splitlines(), delimiter=";")
    header = [name.strip().upper() for name in next(rows)]
    wanted = ("TYPEQU", "EPSG", "LAMBERT_X", "LAMBERT_Y", "QUALITE_GEOLOC")
    at = [header.index(name) for name in wanted]
    for row in rows:
        kind, epsg, x, y, quality = (row[place] for place in at)
        yield kind, epsg, x, y, quality


def _near(
    places: Mapping[_Place, Counter[str]], qpv: WrittenLayer, reach: float
) -> dict[_Place, Counter[str]]:
    """Return the places in a QPV or within some metres of one."""
    keys = list(places)
    points = shapely.points(np.array([[x, y] for _, x, y in keys]).reshape(-1, 2))
    near = shapely.STRtree(np.asarray(points)).query(qpv.geometry, predicate="dwithin", distance=reach)[1]
    return {keys[number]: places[keys[number]] for number in sorted(set(near.tolist()))}


def _unlike(
    layer: WrittenLayer, name: str, column: str, wanted: Mapping[_Place, Counter[str]]
) -> Iterator[Mismatch]:
    table = layer.attributes
    keys = list(zip(table[column], table["x"], table["y"], strict=True))
    numbers = dict(zip(keys, table["nombre"], strict=True))
    for place in sorted(numbers.keys() | wanted.keys()):
        expected = sum(wanted.get(place, Counter()).values())
        if (published := numbers.get(place, 0)) != expected:
            yield Mismatch(layer.path.name, name, _named(place), "nombre", published, expected)
    if "precision" not in table:
        return
    for place, precision in zip(keys, table["precision"], strict=True):
        # A place is as exact as the least exact of its facilities; adresse, inconnue, rue are in order.
        exactness = max(map(_precision, wanted.get(place, ())), default=precision)
        if precision != exactness:
            yield Mismatch(layer.path.name, name, _named(place), "precision", precision, exactness)


def _precision(quality: str) -> str:
    if quality in _IN_STREET:
        return "rue"
    return "adresse" if quality in _AT_ADDRESS else "inconnue"


def _named(place: _Place) -> str:
    return " / ".join(map(str, place))
