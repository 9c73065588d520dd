"""FINESS: the register of health, social and medico-social establishments, one row for each."""

import csv
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import BinaryIO

import geopandas as gpd
import numpy as np
import pandas as pd
from pydantic import Field, TypeAdapter

from qpv_geo.checks import Check, check_none
from qpv_geo.errors import ConfigurationError
from qpv_geo.french import counted
from qpv_geo.frozen import Frozen
from qpv_geo.ingest.cell_text import decimal_numbers, decode, refuse_page, report_reading
from qpv_geo.ingest.contracts import Problems
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import open_member
from qpv_geo.sources.raw import RawFile
from qpv_geo.toml_file import read_declarations
from qpv_geo.zones import commune_of

# The file has two sections and no header: first the establishments, then their positions.
_ESTABLISHMENT, _POSITION = b"structureet;", b"geolocalisation;"
_COLUMNS = [
    *("nofinesset", "nofinessej", "rs", "rslongue", "complrs", "compldistrib", "numvoie", "typvoie", "voie"),
    *("compvoie", "lieuditbp", "commune", "departement", "libdepartement", "ligneacheminement", "telephone"),
    *("telecopie", "categetab", "libcategetab", "categagretab", "libcategagretab", "siret", "codeape"),
    *("codemft", "libmft", "codesph", "libsph", "dateouv", "dateautor", "datemaj", "numuai"),
]
_POSITION_COLUMNS = ["nofinesset", "coordxet", "coordyet", "sourcecoordet", "datemaj"]
_KEPT = ["nofinesset", "nofinessej", "rs", "categetab", "libcategetab", "siret", "datemaj"]
# Departments overseas, whatever they are elsewhere.
_OVERSEAS = re.compile("9[A-F]")
_EPSG = re.compile(r"EPSG:(\d+)")
_LAMBERT_93 = "LAMBERT_93"
# Geocoded to the commune alone: where it stands in it is not known.
_OF_COMMUNE = "ADMIN-EXPRESS"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_NAMED = 5

_TYPES = Path(__file__).with_name("finess.toml")


class _Categories(Frozen):
    categories: dict[str, str] = Field(min_length=1)


@cache
def load_comparable_types(path: Path = _TYPES) -> Mapping[str, str]:
    """Read which type of facility (TYPEQU of the BPE) each category of establishments (categetab) is."""
    with read_declarations(path, "the types that FINESS and BPE share are not valid") as entries:
        types = TypeAdapter(dict[str, _Categories]).validate_python(entries)
        pairs = [(category, kind) for kind, entry in types.items() for category in entry.categories]
    if len(dict(pairs)) < len(pairs):
        raise ConfigurationError(f"{path}: a category is declared under two types")
    return dict(pairs)


@dataclass(frozen=True)
class FinessTable:
    """Establishments of the territory's communes.

    Columns: ``nofinesset`` (unique), ``nofinessej``, ``rs``, ``categetab``, ``libcategetab``, ``siret``,
    ``datemaj``, ``insee_com``, ``x``, ``y`` in the territory's CRS and ``sourcecoordet``. Coordinates are NaN
    where there is none, it is that of the whole commune, or in another CRS.
    """

    establishments: pd.DataFrame
    vintage: str


def read_finess(
    raw: RawFile, communes: gpd.GeoDataFrame, settings: Settings
) -> tuple[FinessTable, tuple[Check, ...]]:
    """Read the establishments of the territory out of the file of France, line by line.

    `communes` are the territory's (``insee_com``), in its projected CRS. Raises `SourceContentError` if the
    file is a web page, empty, or not whole, and `ContractError` if rows have not the declared cells, two
    differ under one number, coordinates are not numbers, or no establishment is the territory's; the message
    lists every problem.
    """
    codes = frozenset(communes["insee_com"])
    with open_member(raw, raw.source.member, settings) as (name, stream):
        problems = Problems(raw.label_of(name), raw.source)
        lines = _read_lines(stream, codes, problems.label)
    if not lines.total:
        problems.add(f"lines that begin with '{_ESTABLISHMENT.decode()}'", "none")
    every = _table(lines.establishments, _COLUMNS, problems)
    places = map("{};{}".format, every["commune"], every["departement"])
    every["insee_com"] = [_commune(place.encode()) for place in places]
    repeated: list[str] = []
    rows = _once(every[every["insee_com"].isin(codes)], repeated, problems)
    positions = _once(_table(lines.positions, _POSITION_COLUMNS, problems), repeated, problems)
    if rows.empty and not problems:
        problems.add("establishments in the territory's communes", f"none among {lines.total}")
    problems.raise_if_any()
    placed = _with_positions(rows, positions, str(communes.crs.to_epsg()), problems)
    problems.raise_if_any()
    found = f"{counted(lines.total, 'établissement')}, dont {len(rows)} dans le territoire"
    checks = report_reading((), found, raw.source.id), *_report(placed, repeated, raw.source.id)
    table = placed[[*_KEPT, "insee_com", "x", "y", "sourcecoordet"]]
    return FinessTable(table, lines.date or raw.source.vintage), checks


@dataclass
class _Lines:
    """The lines of both sections that may be of some communes, each with its number."""

    establishments: list[tuple[int, bytes]] = field(default_factory=list)
    positions: list[tuple[int, bytes]] = field(default_factory=list)
    total: int = 0
    """Number of establishments in the whole file."""
    date: str = ""
    """The file's own, empty if it gives none."""


def _read_lines(stream: BinaryIO, codes: frozenset[str], label: str) -> _Lines:
    lines = _Lines()
    numbers: set[bytes] = set()
    departments = {_OVERSEAS.pattern if code.startswith("97") else code[:2] for code in codes}
    # A commune's three characters and its department, wherever they stand in a line: no other is parsed.
    places = re.compile(rf"(?=;(\w{{3}};(?:{'|'.join(departments)}));)".encode())
    for number, line in enumerate(stream, 1):
        if number == 1:
            refuse_page(line, label)
            lines.date = next(iter(_DATE.findall(line.decode("latin-1"))), "")
        if line.startswith(_ESTABLISHMENT):
            lines.total += 1
            if not codes.isdisjoint(map(_commune, places.findall(line))):
                lines.establishments.append((number, line))
                numbers.add(line.split(b";", 2)[1])
        elif line.startswith(_POSITION) and line.split(b";", 2)[1] in numbers:
            lines.positions.append((number, line))
    return lines


def _table(lines: Iterable[tuple[int, bytes]], columns: list[str], problems: Problems) -> pd.DataFrame:
    """Parse lines; ``ligne`` is where each stands."""
    rows = []
    for number, line in lines:
        text, _ = decode(line, problems.label)
        cells = [cell.strip() for cell in next(csv.reader([text], delimiter=";"))[1:]]
        if len(cells) == len(columns):
            rows.append((number, *cells))
        else:
            problems.add(f"{len(columns) + 1} cells", str(len(cells) + 1), where=f"line {number}")
    return pd.DataFrame(rows, columns=["ligne", *columns], dtype=object)


def _once(rows: pd.DataFrame, repeated: list[str], problems: Problems) -> pd.DataFrame:
    """Keep one of identical rows; rows that differ under one number are a problem."""
    same = rows.duplicated([name for name in rows.columns if name != "ligne"])
    repeated += rows.loc[same, "nofinesset"].tolist()
    rows = rows[~same]
    for code, several in rows[rows["nofinesset"].duplicated(keep=False)].groupby("nofinesset"):
        lines = " and ".join(map(str, several["ligne"]))
        problems.add("one row of each number", f"{code} with other cells in lines {lines}")
    return rows.drop(columns="ligne").reset_index(drop=True)


@cache
def _commune(place: bytes) -> str:
    """Return the INSEE code of a commune, which FINESS writes in two parts: ``056;25``, ``411;9D``."""
    commune, _, department = place.decode().partition(";")
    return commune_of(f"{'97' if _OVERSEAS.fullmatch(department) else department}{commune}")


def _with_positions(
    rows: pd.DataFrame, positions: pd.DataFrame, epsg: str, problems: Problems
) -> pd.DataFrame:
    """Add ``x``, ``y``, ``sourcecoordet``, and in ``motif`` why there is no position, sorted by number."""
    placed = rows.merge(positions.drop(columns="datemaj"), on="nofinesset", how="left")
    placed = placed.sort_values("nofinesset", ignore_index=True)
    source = placed["sourcecoordet"].fillna("").astype(object)
    text = {axis: placed[f"coord{axis}et"].fillna("") for axis in ("x", "y")}
    for axis, cells in text.items():
        placed[axis] = decimal_numbers(cells)
        wrong = placed[axis].isna() & (cells != "")
        problems.add_rows(
            "a number of metres", placed.loc[wrong, "nofinesset"], map(repr, cells[wrong]), column=axis
        )
    crs = source.str.extract(_EPSG)[0].mask(source.str.contains(_LAMBERT_93, regex=False), "2154")
    reasons = {
        "sans coordonnées": placed["x"].isna() | placed["y"].isna(),
        "placés au centre de leur commune": source.str.contains(_OF_COMMUNE, regex=False),
        "dans un système de coordonnées non déclaré, ou autre que celui du territoire": crs != epsg,
    }
    placed["motif"] = np.select(list(reasons.values()), list(reasons), "")
    placed[["x", "y"]] = placed[["x", "y"]].where(placed["motif"] == "")
    placed["sourcecoordet"] = source.where(source != "", None)
    for column in ("nofinessej", "siret", "datemaj"):
        placed[column] = placed[column].where(placed[column] != "", None)
    placed["datemaj"] = pd.to_datetime(placed["datemaj"], errors="coerce")
    return placed


def _report(placed: pd.DataFrame, repeated: Collection[str], source_id: str) -> Iterator[Check]:
    """Say which lines are repeated, and how many establishments have no position, and why."""
    named = ", ".join(sorted(repeated)[:_NAMED])
    message = f"Lignes identiques, dont une seule est reprise : {len(repeated)} ({named})."
    otherwise = "Chaque numéro FINESS du territoire n'est qu'une fois dans le fichier."
    yield check_none("finess_doublons", source_id, repeated, message, otherwise)
    reasons = placed.loc[placed["motif"] != "", "motif"].value_counts().sort_index()
    listed = ", ".join(f"{number} {reason}" for reason, number in reasons.items())
    message = f"Établissements sans position retenue : {listed}."
    otherwise = "Tous les établissements du territoire ont une position."
    counts = len(placed), len(placed) - int(reasons.sum())
    yield check_none("finess_positions", source_id, reasons, message, otherwise, counts)
