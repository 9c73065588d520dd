"""INSEE's facilities (BPE): those of the territory and around it, streamed out of a file of 1.5 GB."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import compress, islice
from pathlib import Path
from typing import BinaryIO

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv
from pydantic import Field, TypeAdapter
from pyproj import Transformer

from qpv_geo.checks import Check, check_none
from qpv_geo.errors import ConfigurationError
from qpv_geo.frozen import Frozen
from qpv_geo.ingest.cell_text import decimal_numbers, refuse_page, report_reading
from qpv_geo.ingest.codes import QPV_2024
from qpv_geo.ingest.contracts import Problems, find_columns, refuse_doubled
from qpv_geo.ingest.line_filter import LineFilter
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import open_member
from qpv_geo.sources.raw import Extract, RawFile, Whole
from qpv_geo.sources.store import Extracts, Needs
from qpv_geo.toml_file import read_declarations
from qpv_geo.zones import commune_of, departments_meeting

# Metres around the territory's communes: care there is within reach of those who live in its QPV.
AROUND = 5000.0
_BLOCK = 1024**2
# Lines that are parsed together, to tell those of the territory from others of the departments around.
_CANDIDATES = 5000
# Counts up when other lines are kept: extracts made before are not used any more.
_KEEPING = 1
# Of a territory that lies in more, the whole file is read and no extract is kept.
_MOST_DEPARTMENTS = 30
# How INSEE writes that there is nothing.
_NOTHING = ("", "_U", "_Z")
# How exact a position is, by QUALITE_GEOLOC. INSEE draws at random, in the street or in the commune, where it
# knows no number; of what it does not place by an address (sports grounds) it says nothing.
IN_COMMUNE, IN_STREET = "commune", "rue"
_PRECISIONS = {"11": "adresse", "12": IN_STREET, "21": "adresse", "22": IN_STREET, "33": IN_COMMUNE}
_UNKNOWN_PRECISION = "inconnue"
# INSEE's own answer to "in which QPV"; without it there is one comparison less.
_QPV_OF_INSEE = "QP2024"
# Health, and action for older and disabled people, in INSEE's nomenclature.
_CARE = "^D[12346]"
_KEPT = ["type_equipement", "insee_com", "x", "y", "precision", "code_qp_insee"]

_TYPES = Path(__file__).with_name("facilities.toml")


class _Domain(Frozen):
    domaine: str = Field(min_length=1)
    comptes: bool = True
    """Whether facilities of these types are counted; of the others it is known that they are."""
    types: dict[str, str] = Field(min_length=1)


@cache
def load_facility_types(path: Path = _TYPES, *, counted: bool = True) -> pd.DataFrame:
    """Read the types in their order: ``type_equipement`` (each once), ``libelle``, ``domaine``.

    Those that are `counted`, or all that are known.
    """
    with read_declarations(path, "the types of facilities are not valid") as entries:
        domains = TypeAdapter(dict[str, _Domain]).validate_python(entries)
    known = [(*pair, domain) for domain in domains.values() for pair in domain.types.items()]
    times = Counter(code for code, _, _ in known)
    if twice := sorted(code for code in times if times[code] > 1):
        raise ConfigurationError(f"{path}: types of facilities declared twice: {', '.join(twice)}")
    rows = [(code, label, domain.domaine) for code, label, domain in known if domain.comptes or not counted]
    return pd.DataFrame(rows, columns=["type_equipement", "libelle", "domaine"], dtype=object)


@dataclass(frozen=True)
class FacilityTable:
    """Facilities of the territory, of the counted `types` (``type_equipement``, ``libelle``, ``domaine``).

    `points` has one row per facility in the territory's communes or within `AROUND` metres of their bounding
    box: ``type_equipement``, ``insee_com``, ``x``, ``y`` in the territory's CRS, ``precision`` (``adresse``;
    ``rue``, at random in the street; ``commune``, at random in the commune; ``inconnue``), and
    ``code_qp_insee``, the QPV in which INSEE places it (None: in none; unknown for all unless
    `placed_by_insee`). Coordinates are NaN where INSEE has not located the facility, or drew its position at
    random in the commune.
    """

    points: pd.DataFrame
    types: pd.DataFrame
    vintage: str
    placed_by_insee: bool = True
    absent: frozenset[str] = frozenset()
    """Codes of `types` that no facility of the whole file has: their number is unknown, not zero."""
    file: str = ""
    """Name of the file that was read."""
    extract: Extract | None = None
    """The lines that were read; None if the whole file was."""

    @property
    def known_types(self) -> frozenset[str]:
        """Return the counted codes that the file has."""
        return frozenset(self.types["type_equipement"]) - self.absent


def read_facilities(
    raw: RawFile, communes: gpd.GeoDataFrame, settings: Settings
) -> tuple[FacilityTable, tuple[Check, ...]]:
    """Read the facilities of the territory and around it, from INSEE's file of one row per facility.

    `communes` are the territory's (``insee_com``), in its projected CRS. The lines that concern it are kept
    in the store: the next run reads these, as long as the file is the same. Raises `SourceContentError` if
    the file is a web page, empty, or not whole, and `ContractError` if a column is missing, rows have not as
    many cells as the header, coordinates are not numbers or are in another CRS, or there is nothing in the
    territory's communes; the message lists every problem. Raises `ConfigurationError` if the store cannot be
    written.
    """
    types = load_facility_types()
    problems = Problems(raw.label, raw.source)
    selection = _Selection(communes, types, problems)
    extract = None
    if len(selection.departments) <= _MOST_DEPARTMENTS:
        extract = _extract(raw, selection, settings)
        with extract.path.open("rb") as lines:
            columns = selection.read(lines)
        whole = extract.whole
    else:
        with open_member(raw, raw.source.member, settings) as (name, stream):
            problems.label = raw.label_of(name)
            columns = selection.read(stream)
        whole = Whole(rows=selection.rows, absent=tuple(sorted(selection.types - selection.seen)))
    points = selection.points()
    if not points["insee_com"].isin(communes["insee_com"]).any():
        problems.add("facilities in the territory's communes", f"none among {whole.rows}")
    problems.raise_if_any()
    found = f"{whole.rows} équipements, dont {len(points)} des types comptés dans le territoire et autour"
    checks = report_reading((), found, raw.source.id), *_report(selection, types, whole, raw.source.id)
    placed = _QPV_OF_INSEE in columns
    vintage, absent = raw.source.vintage, frozenset(whole.absent)
    return FacilityTable(points, types, vintage, placed, absent, raw.path.name, extract), checks


def _extract(raw: RawFile, selection: "_Selection", settings: Settings) -> Extract:
    """Return the lines of the file that concern the territory: those of an earlier run, or made now."""
    needs: Needs = {
        "rule": _KEEPING,
        "communes": sorted(selection.communes),
        "bounds": selection.bounds.tolist(),
        "epsg": selection.epsg,
        "types": sorted(selection.types),
    }
    extracts = Extracts(raw, needs, settings)
    if kept := extracts.kept():
        return kept
    line_filter = LineFilter(selection.departments, selection.types)
    with open_member(raw, raw.source.member, settings) as (name, stream):
        selection.problems.label = raw.label_of(name)
        columns = _columns(stream, selection.problems)
        header = stream.readline()
        lines = [header.rstrip(b"\r\n") + b"\n"]
        candidates = line_filter.lines(iter(partial(stream.read, _BLOCK), b""))
        while some := list(islice(candidates, _CANDIDATES)):
            table = io.BytesIO(b"".join([header, *some]))
            near = [
                selection.keeps(rows, decimal_numbers(rows["LAMBERT_X"]), decimal_numbers(rows["LAMBERT_Y"]))
                for rows in map(_frame, _batches(table, columns, selection.problems))
            ]
            lines += compress(some, pd.concat(near))
    return extracts.keep(lines, Whole(rows=line_filter.rows, absent=line_filter.absent))


def _columns(stream: io.BufferedReader, problems: Problems) -> dict[str, str]:
    """Find the declared columns in the header, and leave the stream at its beginning."""
    head = stream.peek()
    refuse_page(head, problems.label)
    line = head.partition(b"\n")[0].decode("utf-8-sig", errors="replace")
    try:
        spelled = next(csv.reader([line], delimiter=";"))
    except csv.Error as error:
        problems.add("a header of names separated by ';'", f"{line[:60]!r} ({error})")
        problems.raise_if_any()
    available = [name.strip() for name in spelled]
    refuse_doubled([name for name in available if name], problems)
    wanted = dict(problems.source.columns)
    if not set(wanted[_QPV_OF_INSEE]) & set(available):
        del wanted[_QPV_OF_INSEE]
    columns = find_columns(available, wanted, problems)
    problems.raise_if_any()
    return {name: spelled[available.index(column)] for name, column in columns.items()}


def _batches(stream: BinaryIO, columns: dict[str, str], problems: Problems) -> Iterator[pa.RecordBatch]:
    """Yield the declared columns as text, under their declared names, some ten thousand rows at a time."""
    spelled = list(columns.values())
    try:
        reader = arrow_csv.open_csv(
            stream,
            read_options=arrow_csv.ReadOptions(block_size=4 * _BLOCK),
            parse_options=arrow_csv.ParseOptions(delimiter=";"),
            # Only columns of ASCII are read: the encoding of the others does not matter.
            convert_options=arrow_csv.ConvertOptions(
                include_columns=spelled,
                column_types=dict.fromkeys(spelled, pa.string()),
                strings_can_be_null=False,
                check_utf8=False,
            ),
        )
        for batch in reader:
            yield batch.rename_columns(list(columns))
    except pa.ArrowInvalid as error:
        problems.add("rows of as many cells as the header has", str(error))
        problems.raise_if_any()


def _frame(batch: pa.RecordBatch) -> pd.DataFrame:
    """Return rows as text; an *arrondissement* of Paris, Lyon or Marseille is its commune."""
    rows: pd.DataFrame = batch.to_pandas()
    rows["DEPCOM"] = rows["DEPCOM"].map({code: commune_of(code) for code in rows["DEPCOM"].unique()})
    return rows


class _Selection:
    """What is kept of a table, and what was seen in all of it.

    Facilities are kept in the territory's communes and in the rectangle around them. `departments` are those
    of the communes and those that reach into the rectangle: what another one declares is not looked for,
    wherever its position is.
    """

    def __init__(self, communes: gpd.GeoDataFrame, types: pd.DataFrame, problems: Problems) -> None:
        self.communes = frozenset(communes["insee_com"])
        self.bounds = communes.total_bounds + AROUND * np.array([-1, -1, 1, 1])
        self.epsg = str(communes.crs.to_epsg())
        to_degrees = Transformer.from_crs(communes.crs, 4326, always_xy=True).transform_bounds
        own = {code[:2] for code in self.communes}
        self.departments = sorted(own.union(departments_meeting(*to_degrees(*self.bounds))))
        self.types = frozenset(types["type_equipement"])
        self.problems = problems
        self._counted = pa.array(types["type_equipement"])
        self._known = pa.array(load_facility_types(counted=False)["type_equipement"])
        self._kept: list[pd.DataFrame] = []
        self.rows = 0
        self.at_random = 0
        self.seen: set[str] = set()
        self.unknown: Counter[str] = Counter()

    def keeps(self, rows: pd.DataFrame, x: pd.Series, y: pd.Series) -> "pd.Series[bool]":
        """Tell which rows are in the territory's communes, or have a position in the rectangle."""
        west, south, east, north = self.bounds
        near = x.between(west, east) & y.between(south, north) & (rows["EPSG"] == self.epsg)
        return self._owns(rows) | near

    def _owns(self, rows: pd.DataFrame) -> "pd.Series[bool]":
        """Tell which rows are of the territory's communes."""
        codes = rows["DEPCOM"]
        # Of pandas's `isin`, each call would go over all communes of France.
        return codes.map({code: code in self.communes for code in codes.unique()}).astype(bool)

    def read(self, stream: io.BufferedReader) -> dict[str, str]:
        """Read a table, and return its declared columns."""
        columns = _columns(stream, self.problems)
        for batch in _batches(stream, columns, self.problems):
            self._add(batch)
        return columns

    def _add(self, batch: pa.RecordBatch) -> None:
        """Keep the facilities of the counted types that are in the territory or near it."""
        kinds = batch.column("TYPEQU")
        rows = _frame(batch.filter(pc.is_in(kinds, value_set=self._counted)))
        self.rows += batch.num_rows
        care = pc.match_substring_regex(kinds, _CARE)
        unknown = _frame(batch.filter(pc.and_not(care, pc.is_in(kinds, value_set=self._known))))
        self.unknown.update(unknown.loc[self._owns(unknown), "TYPEQU"])
        self.seen.update(rows["TYPEQU"])
        x, y = (decimal_numbers(rows[column]) for column in ("LAMBERT_X", "LAMBERT_Y"))
        ours = rows["EPSG"] == self.epsg
        own = self._owns(rows)
        self._refuse(rows, own & ~ours, "EPSG", self.epsg)
        for column, numbers in (("LAMBERT_X", x), ("LAMBERT_Y", y)):
            self._refuse(rows, own & numbers.isna(), column, "a number of metres")
        precision = rows["QUALITE_GEOLOC"].map(_PRECISIONS).fillna(_UNKNOWN_PRECISION)
        drawn = precision == IN_COMMUNE
        kept = self.keeps(rows, x.mask(drawn), y)
        self.at_random += int((kept & drawn).sum())
        of_insee = rows.get(_QPV_OF_INSEE, pd.Series("", index=rows.index))
        in_qpv = of_insee.str.fullmatch(QPV_2024.pattern)
        placed = ours & ~drawn
        points = [
            rows["TYPEQU"], rows["DEPCOM"], x.where(placed), y.where(placed), precision,
            of_insee.astype(object).where(in_qpv, None),
        ]  # fmt: skip
        self._kept.append(pd.DataFrame(dict(zip(_KEPT, points, strict=True)))[kept])

    def _refuse(self, rows: pd.DataFrame, unread: pd.Series, column: str, expected: str) -> None:
        wrong = rows[unread & ~rows[column].isin(_NOTHING)]
        where = [f"{kind} in {code}" for kind, code in zip(wrong["TYPEQU"], wrong["DEPCOM"], strict=True)]
        self.problems.add_rows(expected, where, map(repr, wrong[column]), column=column)

    def points(self) -> pd.DataFrame:
        """Return everything that was kept, in an order of its own: the file's says nothing."""
        kept = pd.concat(self._kept) if self._kept else pd.DataFrame(columns=_KEPT)
        return kept.sort_values(_KEPT, ignore_index=True)


def _report(selection: _Selection, types: pd.DataFrame, whole: Whole, source_id: str) -> Iterator[Check]:
    """Name types that no facility has, and types of care that nobody declared; count positions at random."""
    missing = types[types["type_equipement"].isin(whole.absent)]
    pairs = zip(missing["type_equipement"], missing["libelle"], strict=True)
    listed = ", ".join(f"{code} ({label})" for code, label in pairs)
    # They were renumbered, or misspelt.
    yield check_none(
        "types_equipement_reconnus",
        source_id,
        missing,
        f"Types d'équipement déclarés qu'aucun équipement du fichier ne porte : {listed}.",
        "Tous les types d'équipement déclarés sont dans le fichier.",
        (len(types), len(types) - len(missing)),
    )
    listed = ", ".join(f"{count} {kind}" for kind, count in sorted(selection.unknown.items()))
    yield check_none(
        "types_de_soins_inconnus",
        source_id,
        selection.unknown,
        f"Équipements du territoire d'un type de soins inconnu, comptés nulle part : {listed}.",
        "Tous les types de soins du territoire sont connus.",
    )
    message = "Aucun équipement dont la position est tirée au sort dans la commune."
    if count := selection.at_random:
        what = "dont la position est tirée au sort dans la commune : tenus pour non localisés"
        message = f"{count} équipements {what}."
    yield Check("equipements_positions_aleatoires", source_id, "conforme", "", str(count), message)
