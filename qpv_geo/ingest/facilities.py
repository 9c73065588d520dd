"""INSEE's facilities (BPE): those of the territory and around it, streamed out of a file of 1.5 GB."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv
from pydantic import Field, TypeAdapter

from qpv_geo.checks import Check, check_none
from qpv_geo.errors import ConfigurationError
from qpv_geo.frozen import Frozen
from qpv_geo.ingest.cell_text import refuse_page, report_reading
from qpv_geo.ingest.codes import QPV_2024
from qpv_geo.ingest.contracts import Problems, find_columns, refuse_doubled
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import stream_member
from qpv_geo.sources.raw import RawFile
from qpv_geo.toml_file import read_declarations

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
# Metres around the territory's communes: care there is within reach of those who live in its QPV.
AROUND = 5000.0
_BLOCK = 4 * 1024**2
# How INSEE writes that there is nothing.
_NOTHING = ("", "_U", "_Z")
# How exact a position is, by QUALITE_GEOLOC. INSEE draws at random, in the street or in the commune, where it
# knows no number; of what it does not place by an address (sports grounds) it says nothing.
IN_COMMUNE, IN_STREET = "commune", "rue"
_PRECISIONS = {"11": "adresse", "12": IN_STREET, "21": "adresse", "22": IN_STREET, "33": IN_COMMUNE}
_UNKNOWN_PRECISION = "inconnue"
# INSEE's own answer to "in which QPV"; without it there is one comparison less.
_QPV_OF_INSEE = "QP2024"
_KEPT = ["type_equipement", "insee_com", "x", "y", "precision", "code_qp_insee"]

_TYPES = Path(__file__).with_name("facilities.toml")


class _Domain(Frozen):
    domaine: str = Field(min_length=1)
    types: dict[str, str] = Field(min_length=1)


@cache
def load_facility_types(path: Path = _TYPES) -> pd.DataFrame:
    """Read the types in the order of the file: ``type_equipement`` (each once), ``libelle``, ``domaine``."""
    with read_declarations(path, "the types of facilities are not valid") as entries:
        domains = TypeAdapter(dict[str, _Domain]).validate_python(entries)
        rows = [
            (code, label, domain.domaine)
            for domain in domains.values()
            for code, label in domain.types.items()
        ]
    types = pd.DataFrame(rows, columns=["type_equipement", "libelle", "domaine"], dtype=object)
    if twice := sorted(types.loc[types["type_equipement"].duplicated(), "type_equipement"]):
        raise ConfigurationError(f"{path}: types of facilities declared twice: {', '.join(twice)}")
    return types


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

    @property
    def known_types(self) -> frozenset[str]:
        """Return the counted codes that the file has."""
        return frozenset(self.types["type_equipement"]) - self.absent


def read_facilities(
    raw: RawFile, communes: gpd.GeoDataFrame, settings: Settings
) -> tuple[FacilityTable, tuple[Check, ...]]:
    """Read the facilities of the territory and around it, from INSEE's file of one row per facility.

    `communes` are the territory's (``insee_com``), in its projected CRS. Raises `SourceContentError` if the
    file is a web page, empty, or not whole, and `ContractError` if a column is missing, rows have not as many
    cells as the header, coordinates are not numbers or are in another CRS, or there is nothing in the
    territory's communes; the message lists every problem.
    """
    types = load_facility_types()
    epsg = str(communes.crs.to_epsg())
    with stream_member(raw, raw.source.member, settings) as (name, chunks):
        label = raw.label_of(name)
        problems = Problems(label, raw.source)
        stream = io.BufferedReader(_Stream(chunks), _BLOCK)
        columns = _columns(stream, label, problems)
        selection = _Selection(communes, epsg, types, problems)
        for batch in _batches(stream, columns, problems):
            selection.add(batch)
    points = selection.points()
    own = points["insee_com"].isin(communes["insee_com"])
    if not own.any():
        problems.add("facilities in the territory's communes", f"none among {selection.total}")
    problems.raise_if_any()
    found = (
        f"{selection.total} équipements, dont {len(points)} des types comptés dans le territoire et autour"
    )
    checks = (
        report_reading((), found, raw.source.id),
        _report_types(types, selection.seen, raw.source.id),
        _report_random(selection.at_random, raw.source.id),
    )
    absent = frozenset(types["type_equipement"]) - selection.seen
    placed = _QPV_OF_INSEE in columns
    return FacilityTable(points, types, raw.source.vintage, placed, absent, raw.path.name), checks


class _Stream(io.RawIOBase):
    """Chunks of bytes as a file that can be read once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        if not self._left:
            self._left = memoryview(next(self._chunks, b""))
        target = memoryview(buffer)
        size = min(len(target), len(self._left))
        target[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def _columns(stream: "io.BufferedReader[_Stream]", label: str, problems: Problems) -> dict[str, str]:
    """Find the declared columns in the header, without reading on."""
    head = stream.peek()
    refuse_page(head, label)
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


def _batches(
    stream: "io.BufferedReader[_Stream]", columns: dict[str, str], problems: Problems
) -> Iterator[pa.RecordBatch]:
    """Yield the declared columns as text, under their declared names, some ten thousand rows at a time."""
    spelled = list(columns.values())
    try:
        reader = arrow_csv.open_csv(
            stream,
            read_options=arrow_csv.ReadOptions(block_size=_BLOCK),
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


class _Selection:
    """What is kept of the batches, and what was seen in all of them."""

    def __init__(
        self, communes: gpd.GeoDataFrame, epsg: str, types: pd.DataFrame, problems: Problems
    ) -> None:
        self._communes = frozenset(communes["insee_com"])
        self._bounds = communes.total_bounds + AROUND * np.array([-1, -1, 1, 1])
        self._epsg = epsg
        self._types = pa.array(types["type_equipement"])
        self._problems = problems
        self._kept: list[pd.DataFrame] = []
        self.total = 0
        self.at_random = 0
        self.seen: set[str] = set()

    def add(self, batch: pa.RecordBatch) -> None:
        """Keep the facilities of the counted types that are in the territory or near it."""
        rows = batch.filter(pc.is_in(batch.column("TYPEQU"), value_set=self._types)).to_pandas()
        self.total += batch.num_rows
        self.seen.update(rows["TYPEQU"])
        own = rows["DEPCOM"].isin(self._communes)
        ours = rows["EPSG"] == self._epsg
        self._refuse(rows[own & ~ours & ~rows["EPSG"].isin(_NOTHING)], "EPSG", self._epsg)
        x = self._numbers(rows, "LAMBERT_X", own)
        y = self._numbers(rows, "LAMBERT_Y", own)
        west, south, east, north = self._bounds
        precision = rows["QUALITE_GEOLOC"].map(_PRECISIONS).fillna(_UNKNOWN_PRECISION)
        drawn = precision == IN_COMMUNE
        placed = ours & ~drawn
        kept = own | (placed & x.between(west, east) & y.between(south, north))
        self.at_random += int((kept & drawn).sum())
        of_insee = rows.get(_QPV_OF_INSEE, pd.Series("", index=rows.index))
        in_qpv = of_insee.str.fullmatch(QPV_2024.pattern)
        points = [
            rows["TYPEQU"], rows["DEPCOM"], x.where(placed), y.where(placed), precision,
            of_insee.astype(object).where(in_qpv, None),
        ]  # fmt: skip
        self._kept.append(pd.DataFrame(dict(zip(_KEPT, points, strict=True)))[kept])

    def _numbers(self, rows: pd.DataFrame, column: str, own: pd.Series) -> pd.Series:
        """Return coordinates as numbers, NaN where there is none."""
        text = rows[column].str.replace(",", ".", regex=False)
        numbers = pd.to_numeric(text, errors="coerce").astype("float64")
        numbers = numbers.where(np.isfinite(numbers))
        self._refuse(rows[own & numbers.isna() & ~text.isin(_NOTHING)], column, "a number of metres")
        return numbers

    def _refuse(self, wrong: pd.DataFrame, column: str, expected: str) -> None:
        where = [f"{kind} in {code}" for kind, code in zip(wrong["TYPEQU"], wrong["DEPCOM"], strict=True)]
        self._problems.add_rows(expected, where, map(repr, wrong[column]), column=column)

    def points(self) -> pd.DataFrame:
        """Return everything that was kept, in an order of its own: the file's says nothing."""
        kept = pd.concat(self._kept) if self._kept else pd.DataFrame(columns=_KEPT)
        return kept.sort_values(_KEPT, ignore_index=True)


def _report_types(types: pd.DataFrame, seen: set[str], source_id: str) -> Check:
    """Name the counted types that no facility of the file has: they were renumbered, or misspelt."""
    missing = types[~types["type_equipement"].isin(seen)]
    listed = ", ".join(
        f"{code} ({label})"
        for code, label in zip(missing["type_equipement"], missing["libelle"], strict=True)
    )
    message = f"Types d'équipement déclarés qu'aucun équipement du fichier ne porte : {listed}."
    otherwise = "Tous les types d'équipement déclarés sont dans le fichier."
    counts = len(types), len(types) - len(missing)
    return check_none("types_equipement_reconnus", source_id, missing, message, otherwise, counts)


def _report_random(count: int, source_id: str) -> Check:
    """Say how many facilities have a position drawn at random, which counts as none."""
    message = (
        f"{count} équipements dont la position est tirée au sort dans la commune : tenus pour non localisés."
        if count
        else "Aucun équipement dont la position est tirée au sort dans la commune."
    )
    return Check("equipements_positions_aleatoires", source_id, "conforme", "", str(count), message)
