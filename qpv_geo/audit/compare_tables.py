"""Tables whose rows a producer's file lists, against its lines: 2015, the APL, facilities, establishments."""

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import shapely

from qpv_geo.audit.apl_workbook import Meaning
from qpv_geo.audit.mismatches import Mismatch, WrittenLayer
from qpv_geo.audit.original_cells import RawTables
from qpv_geo.audit.originals import Originals, read_finess
from qpv_geo.errors import PublicationError
from qpv_geo.formats.frames import plain_values
from qpv_geo.ingest.cell_text import decode
from qpv_geo.sources.raw import Extract, RawFile, digest

_PAIRS, _APL, _ESTABLISHMENTS = "correspondance_2015", "apl", "etablissements_finess"
# The predecessors stand side by side in a row of the file.
_PREDECESSORS = range(1, 6)
_NO_CELL: Meaning = (None, "non_disponible", None)
# By layer of places: the column that says what is there, and metres around the QPV.
_PLACES = {"equipements_lieux": ("type_equipement", 500.0), "offre_soins_lieux": ("categorie", 1000.0)}
# Drawn at random in the commune: no place; and in the street.
_IN_COMMUNE, _IN_STREET, _AT_ADDRESS = "33", {"12", "22"}, {"11", "21"}
# Where the cells of an establishment stand in a line of FINESS, and those of its position in another.
_CELLS = {"rs": 3, "nofinessej": 2, "categetab": 18, "libcategetab": 19, "siret": 22, "datemaj": 30}
_X, _Y, _SOURCE = 2, 3, 4

_Place = tuple[str, float, float]


def compare_correspondence(release: Mapping[str, WrittenLayer], originals: Originals) -> list[Mismatch]:
    """Compare the table with the file, pair by pair; no pair of a QPV of the release may lack."""
    if _PAIRS not in release:
        return []
    raw = originals.filling("correspondence")
    codes = set(release["qpv"].attributes["code_qp"])
    expected: dict[tuple[str, str | None], tuple[str | None, ...]] = {}
    for row in originals.read(raw, RawTables).only_table():
        code, name, status = row["QP2024"], row["Label_QP2024"] or None, row["Statut"] or None
        if code in codes:
            old = {row.get(f"QP2015_{n}"): row.get(f"Label_QP2015_{n}") or None for n in _PREDECESSORS}
            old = {before: label for before, label in old.items() if before} or {None: None}
            expected |= {(code, before): (name, status, label) for before, label in old.items()}
    key, fields = ("code_qp", "code_qp_2015"), ("lib_qp", "statut", "lib_qp_2015")
    return release[_PAIRS].compare_rows(key, fields, expected, raw.label)


def compare_apl(release: Mapping[str, WrittenLayer], originals: Originals) -> list[Mismatch]:
    """Compare each row of a commune with its cells, and find cells of communes that have no row.

    A mean is proven by tests: of a department, of France, or of the *arrondissements* of a commune that has
    no row of its own.
    """
    if _APL not in release:
        return []
    table = release[_APL].attributes
    rows = table[(table["zone"] == "commune") & (table["statut"] != "estimation")]
    key, codes = ["code", "source", "fichier"], set(rows["code"])
    expected = dict.fromkeys(rows[key].itertuples(index=False, name=None), _NO_CELL)
    for source in rows["source"].unique():
        for member, cells in originals.apl(source).items():
            expected |= {(code, source, member): cells[code] for code in codes & cells.keys()}
    written = replace(release[_APL], attributes=rows)
    return written.compare_rows(key, ("valeur", "statut", "population"), expected, "its cell")


def compare_facilities(release: Mapping[str, WrittenLayer], originals: Originals) -> list[Mismatch]:
    """Compare how many facilities stand where, and how exact their positions are, with INSEE's file.

    Each place within reach of a QPV that the file has must be published, and no other. What is read is the
    extract that ingestion kept. Nothing is compared where it read the whole file of the country.
    """
    written = {name: release[name] for name in _PLACES if name in release}
    raw = originals.filling("facilities") if written else None
    if raw is None or raw.extract is None:
        return []
    facilities = list(_facilities(raw, raw.extract))
    mismatches = []
    for name, layer in written.items():
        column, reach = _PLACES[name]
        groups = _groups_of(release, name)
        places: defaultdict[_Place, list[str]] = defaultdict(list)
        for kind, epsg, x, y, quality in facilities:
            if kind in groups and epsg == str(layer.epsg) and quality != _IN_COMMUNE and x and y:
                places[groups[kind], float(x.replace(",", ".")), float(y.replace(",", "."))].append(quality)
        # A place is as exact as the least exact of its facilities; adresse, inconnue, rue are in order.
        expected = {
            place: (len(places[place]), max(map(_precision, places[place])))
            for place in _near(list(places), release["qpv"], reach)
        }
        fields = [field for field in ("nombre", "precision") if field in layer.attributes]
        mismatches += layer.compare_rows((column, "x", "y"), fields, expected)
    return mismatches


def _facilities(raw: RawFile, extract: Extract) -> Iterator[tuple[str, ...]]:
    """Yield type, EPSG code, position and its quality of each facility, as the extract writes them."""
    if digest(extract.path)[0] != extract.sha256:
        raise PublicationError(f"{raw.label}: its extract in the store changed during the run; run again")
    text, _ = decode(extract.path.read_bytes(), raw.label)
    rows = csv.reader(text.splitlines(), delimiter=";")
    header = [name.strip().upper() for name in next(rows)]
    wanted = ("TYPEQU", "EPSG", "LAMBERT_X", "LAMBERT_Y", "QUALITE_GEOLOC")
    at = [header.index(name) for name in wanted]
    for row in rows:
        yield tuple(row[place] for place in at)


def _groups_of(release: Mapping[str, WrittenLayer], layer: str) -> Mapping[str, str]:
    """Return under which name a layer counts each type of facility."""
    if layer == "equipements_lieux":
        return {kind: kind for kind in release["equipements"].attributes["type_equipement"]}
    categories = release["offre_soins"].attributes
    pairs = zip(categories["categorie"], categories["types_equipement"], strict=True)
    return {kind: category for category, kinds in pairs for kind in kinds.replace(",", " ").split()}


def _near(places: list[_Place], qpv: WrittenLayer, reach: float) -> Iterable[_Place]:
    """Return the places in a QPV or within some metres of one."""
    points = shapely.points(np.array([[x, y] for _, x, y in places]).reshape(-1, 2))
    near = shapely.STRtree(np.asarray(points)).query(qpv.geometry, predicate="dwithin", distance=reach)[1]
    return [places[number] for number in set(near.tolist())]


def _precision(quality: str) -> str:
    if quality in _IN_STREET:
        return "rue"
    return "adresse" if quality in _AT_ADDRESS else "inconnue"


def compare_finess(release: Mapping[str, WrittenLayer], originals: Originals) -> list[Mismatch]:
    """Compare each cell and position of the layer with the file; no establishment may lack."""
    if _ESTABLISHMENTS not in release:
        return []
    written, raw = release[_ESTABLISHMENTS], originals.filling("finess")
    table, lines = written.attributes, originals.read(raw, read_finess)
    shapes = [None] * len(table) if written.geometry is None else written.geometry
    drawn = {
        number: f"{shapely.get_x(shape)} {shapely.get_y(shape)}"
        for number, shape in zip(table["nofinesset"], shapes, strict=True)
        if shape is not None
    }
    expected = {}
    for number, cells in lines.of(set(table["insee_com"])).items():
        position = lines.position(number)
        numbers = [str(float(cell.replace(",", "."))) for cell in position[_X : _Y + 1] if cell]
        at = " ".join(numbers) if number in drawn else ""
        expected[number,] = (*(cells[place] for place in _CELLS.values()), position[_SOURCE], at)
    fields = (*_CELLS, "sourcecoordet")
    texts = {name: [_text(cell) for cell in plain_values(table[name])] for name in ("nofinesset", *fields)}
    texts["geometry"] = [drawn.get(number, "") for number in table["nofinesset"]]
    compared = replace(written, attributes=pd.DataFrame(texts, dtype=object))
    return compared.compare_rows(("nofinesset",), (*fields, "geometry"), expected, raw.label)


def _text(value: object) -> str:
    if isinstance(value, pd.Timestamp):
        return value.date().isoformat()
    return "" if value is None else str(value)
