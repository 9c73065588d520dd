"""Whatever bytes a reader is given, it returns a table or raises an error that the project explains.

Each reader runs in a process of its own whose memory and time are limited: a reader that asks for more than
`MEMORY`, or that does not come back, fails its test.
"""

import copy
import gzip
import io
import json
import resource
import signal
import time
import traceback
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from types import FrameType

import geopandas as gpd
import py7zr
import pytest
import shapely
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from qpv_geo.errors import QpvGeoError
from qpv_geo.ingest.apl import read_apl
from qpv_geo.ingest.cog import read_epci_members
from qpv_geo.ingest.communes import read_communes, read_iris
from qpv_geo.ingest.contours import read_contours, read_qpv_2015
from qpv_geo.ingest.correspondence import read_correspondence
from qpv_geo.ingest.facilities import read_facilities
from qpv_geo.ingest.finess import read_finess
from qpv_geo.ingest.local_contours import read_local_contours
from qpv_geo.ingest.registry import load_registry
from qpv_geo.ingest.statistics import read_statistics
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Source, load_catalogue
from qpv_geo.sources.content import check_content
from qpv_geo.sources.raw import RawFile
from qpv_geo.territory import ContourFile, load_territory
from tests.apl_files import Row, apl_sheet
from tests.faults.processes import start
from tests.raw_files import raw_file, shipped, six_qpv, some_communes, write_workbook

MEMORY = 1024**3
SECONDS = 20
EXAMPLES = 150
PARTS = ("xl/workbook.xml", "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml")
DOCTORS = "medecins_generalistes"
APL_ROWS: list[Row] = [("25056", "Besançon", 5.1, 117_000.5), ("25245", "Fontain", "nd", 1000.0)]
LIMITS = Settings(data_dir=Path("unused"), max_unpacked_bytes=8 * 1024**2)


@dataclass(frozen=True)
class Reader:
    """A reader, a small file that it takes, and how the catalogue declares it."""

    source: Source
    seed: bytes
    read: Callable[[RawFile], object]
    name: str
    pack: Callable[[bytes], bytes] = bytes
    """Makes the file of the spoilt bytes: those of a workbook's part are packed with its other parts."""


def _changed(source: str, **changes: object) -> Source:
    return load_catalogue()[source].model_copy(update=changes)


def _zip(**members: bytes) -> bytes:
    return _packed({name.replace("__", "."): data for name, data in members.items()})


def _packed(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


def _seven_zip(data: bytes, folder: Path) -> bytes:
    with py7zr.SevenZipFile(folder / "seed.7z", "w") as archive:
        archive.writestr(data, "iris.gpkg")
    return (folder / "seed.7z").read_bytes()


def _json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode()


def _frame(**columns: list[str]) -> gpd.GeoDataFrame:
    squares = [shapely.box(6.0 + 0.01 * n, 47.2, 6.005 + 0.01 * n, 47.205) for n in range(2)]
    return gpd.GeoDataFrame(columns, geometry=squares, crs=4326)


def _vector(frame: gpd.GeoDataFrame, folder: Path, suffix: str) -> bytes:
    frame.to_file(folder / f"seed.{suffix}", engine="pyogrio")
    if suffix != "shp":
        return (folder / f"seed.{suffix}").read_bytes()
    return _zip(
        **{f"seed__{part}": (folder / f"seed.{part}").read_bytes() for part in ("shp", "shx", "dbf", "prj")}
    )


_SQUARE = _frame(code_qp=["QN02502M", "QN02503M"])
_TERRITORY = load_territory("besancon")


def _contours(raw: RawFile) -> object:
    return read_contours(raw, _TERRITORY, LIMITS)


def _statistics(raw: RawFile) -> object:
    return read_statistics(raw, load_registry(), LIMITS)


def _communes_of_the_territory() -> gpd.GeoDataFrame:
    return _frame(insee_com=["25056", "25112"]).to_crs(2154)


def readers(folder: Path) -> dict[str, Reader]:
    """Return every reader, with a file that it reads."""
    qpv = gpd.GeoDataFrame.from_features(six_qpv()["features"], crs=4326).drop(columns="fid")
    old = _frame(CODE_QP=["QP025003", "QP025004"], NOM_QP=["A", "B"], COMMUNE_QP=["Besançon", "Besançon"])
    iris = _frame(
        code_iris=["250560101", "250560102"],
        nom_iris=["A", "B"],
        type_iris=["H", "H"],
        code_insee=["25056", "25056"],
        nom_commune=["Besançon", "Besançon"],
    )
    file = ContourFile(chemin="quartiers.gpkg", mise_a_jour=date(2024, 1, 1))
    sheet = [["Titre"], ["codeGeo", "libGeo", "partPopEt"], ["QN02503M", "Planoise", 24.7]]
    workbook = write_workbook(folder / "seed.xlsx", {"Données QPV": sheet, "Documentation": [["Champ"]]})
    with zipfile.ZipFile(workbook) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    apl = write_workbook(folder / "apl.xlsx", {"APL 2024": apl_sheet(DOCTORS, 2024, APL_ROWS)})
    with zipfile.ZipFile(apl) as book:
        sheets = {name: book.read(name) for name in book.namelist()}
    intervals = b"codeGeo;partPopEt\nQN02503M;[23,4/26,1]\n"
    estimates = b"codeGeo;partPopEt;NOTE_RP\nQN02503M;24,7;0\nQN02502M;;2\n"
    long = b"FILOSOFI_MEASURE;GEO;GEO_OBJECT;CONF_STATUS;UNIT_MULT;TIME_PERIOD;OBS_VALUE\n"
    long += b"PR_MD60;25056;COM;F;0;2021;23\nMED_SL;25056;COM;C;0;2021;\n"
    bpe = "AN;DEPCOM;TYPEQU;LAMBERT_X;LAMBERT_Y;QUALITE_GEOLOC;EPSG\n"
    finess = (
        "finess;etalab;98;2026-05-12\n"
        'structureet;250000019;250000001;"L""ÉTÉ";;;;1;R;HAUTE;;;056;25;DOUBS;25000 BESANCON;;;620;'
        "Officine;3201;;;;01;;;;1990-01-01;1990-01-01;2024-02-29;\n"
        "geolocalisation;250000019;926000.5;6687000.1;1,ATLASANTE,96,BAN,EPSG:2154 RGF93;2026-05-04\n"
    )
    bpe += "2025;25056;D265;926000.0;6687000.0;1.00;2154\n"
    members = [
        {"code": "242500361", "nom": "GBM", "type": "CU", "membres": [{"code": "25056", "nom": "Besançon"}]}
    ]
    population = shipped("insee/pop_QPV24.csv").read_bytes()
    poverty = {
        path.name.replace(".", "__"): path.read_bytes()
        for path in shipped("insee/revenus_pauvrete_2021_qp24_v2_csv").iterdir()
    }
    pairs = (
        b"QP2024;Label_QP2024;Statut;QP2015_1;Label_QP2015_1\nQN02503M;Planoise;MODIFIE;QP025004;Planoise\n"
    )
    catalogue = load_catalogue()
    found = [
        Reader(catalogue["qpv_2024"], _json(six_qpv()), _contours, "contours (GeoJSON)"),
        Reader(
            _changed("qpv_2024", member=None),
            _zip(qpv__geojson=_json(six_qpv())),
            _contours,
            "contours (GeoJSON in a zip)",
        ),
        Reader(
            _changed("qpv_2024", format="gpkg", member=None),
            _vector(qpv, folder, "gpkg"),
            _contours,
            "contours (GeoPackage)",
        ),
        Reader(
            _changed("qpv_2024", format="shp", member=r".*\.shp"),
            _vector(qpv, folder, "shp"),
            _contours,
            "contours (Shapefile)",
        ),
        Reader(
            catalogue["communes_epci"],
            _json(some_communes(2)),
            lambda raw: read_communes(raw, LIMITS, 2154)[2154],
            "communes",
        ),
        Reader(catalogue["insee_population"], population, _statistics, "statistics (CSV)"),
        Reader(catalogue["insee_filosofi"], _zip(**poverty), _statistics, "statistics (CSV in a zip)"),
        Reader(
            catalogue["insee_demographie"],
            _zip(estimates__csv=estimates, intervals__csv=intervals),
            _statistics,
            "statistics (estimates and intervals)",
        ),
        Reader(catalogue["filosofi_communes"], long, _statistics, "statistics (long form)"),
        Reader(catalogue["insee_demographie"], workbook.read_bytes(), _statistics, "statistics (XLSX)"),
        *(
            Reader(
                catalogue["insee_demographie"],
                parts[part],
                _statistics,
                f"statistics ({part} of XLSX)",
                lambda data, part=part: _packed(parts | {part: data}),
            )
            for part in PARTS
        ),
        Reader(
            catalogue["cog_epci"],
            gzip.compress(_json(members)),
            lambda raw: read_epci_members(raw, LIMITS),
            "members of the EPCI",
        ),
        Reader(
            catalogue["qpv_2015_wfs"],
            _json(json.loads(old.to_json())),
            lambda raw: read_qpv_2015(raw, LIMITS, 2154),
            "QPV of 2015",
        ),
        Reader(
            catalogue["correspondance_2024_2015"],
            pairs,
            lambda raw: read_correspondence(raw, LIMITS),
            "correspondence",
        ),
        Reader(
            catalogue["iris"],
            _json(json.loads(iris.to_json())),
            lambda raw: read_iris({"iris-25056": raw}, {"25056"}, LIMITS, 2154),
            "IRIS",
        ),
        Reader(
            catalogue["iris_france"],
            _seven_zip(_vector(iris, folder, "gpkg"), folder),
            lambda raw: read_iris({"iris_france": raw}, {"25056"}, LIMITS, 2154),
            "IRIS (GeoPackage in a 7z)",
        ),
        Reader(
            _changed("bpe", member=None),
            bpe.encode(),
            # What is kept of the file lies beside it.
            lambda raw: read_facilities(
                raw, _communes_of_the_territory(), replace(LIMITS, data_dir=raw.path.parent)
            ),
            "facilities",
        ),
        Reader(
            _changed("finess", member=None),
            finess.encode(),
            lambda raw: read_finess(raw, _communes_of_the_territory(), LIMITS),
            "FINESS",
        ),
        *(
            Reader(
                catalogue[f"drees_apl_{DOCTORS}"],
                sheets[part],
                lambda raw: read_apl(raw, LIMITS),
                f"APL ({part} of XLSX)",
                lambda data, part=part: _packed(sheets | {part: data}),
            )
            for part in PARTS
        ),
        Reader(
            catalogue["quartiers_fichier"],
            _vector(_frame(nom=["Centre", "Ouest"]), folder, "gpkg"),
            lambda raw: read_local_contours(raw, file, _TERRITORY, None, LIMITS),
            "local contours",
        ),
    ]
    return {reader.name: reader for reader in found}


NAMES = (
    "contours (GeoJSON)",
    "contours (GeoJSON in a zip)",
    "contours (GeoPackage)",
    "contours (Shapefile)",
    "communes",
    "statistics (CSV)",
    "statistics (CSV in a zip)",
    "statistics (estimates and intervals)",
    "statistics (long form)",
    "statistics (XLSX)",
    *(f"statistics ({part} of XLSX)" for part in PARTS),
    "members of the EPCI",
    "QPV of 2015",
    "correspondence",
    "IRIS",
    "IRIS (GeoPackage in a 7z)",
    "facilities",
    "FINESS",
    *(f"APL ({part} of XLSX)" for part in PARTS),
    "local contours",
)

# ---------------------------------------------------------------- bad bytes

_FIELDS = (
    b";",
    b",",
    b'"',
    b":",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\n",
    b"0",
    b"-",
    b"null",
    b"NaN",
    b"1e999",
    b"\x00",
    b"\xff",
)


@st.composite
def mutated(draw: st.DrawFn, seed: bytes) -> bytes:
    """Return a file after a few accidents: bits that flip, cuts, chunks twice or gone, words exchanged."""
    data = bytearray(seed)
    for _ in range(draw(st.integers(1, 6))):
        if not data:
            break
        place = draw(st.integers(0, len(data) - 1))
        end = min(len(data), place + draw(st.integers(1, 64)))
        other = draw(st.integers(0, len(data) - 1))
        match draw(st.sampled_from(("flip", "cut", "double", "drop", "swap", "insert", "zero"))):
            case "flip":
                data[place] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[place:]
            case "double":
                data[other:other] = data[place:end]
            case "drop":
                del data[place:end]
            case "swap":
                chunk = bytes(data[place:end])
                data[place:end] = data[other : other + len(chunk)]
                data[other : other + len(chunk)] = chunk
            case "insert":
                data[place:place] = draw(st.sampled_from(_FIELDS))
            case "zero":
                data[place:end] = bytes(end - place)
    return bytes(data)


@st.composite
def exchanged(draw: st.DrawFn, seed: bytes) -> bytes:
    """Return JSON whose values, anywhere, became others; what is not JSON has its cells exchanged."""
    strange = st.sampled_from(
        (
            None,
            True,
            -1,
            0,
            1e308,
            10**40,
            "",
            "NA",
            "é" * 300,
            "\ud800",
            [],
            {},
            [[]],
            [None],
            {"code": None},
        )
    )
    try:
        root = json.loads(seed)
    except ValueError:
        cells = seed.split(b";")
        first, second = (draw(st.integers(0, len(cells) - 1)) for _ in range(2))
        cells[first], cells[second] = cells[second], cells[first]
        return b";".join(cells)
    for _ in range(draw(st.integers(1, 3))):
        node = root
        for _ in range(draw(st.integers(0, 6))):
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            inner = [key for key in keys if isinstance(node[key], dict | list) and node[key]]
            if not inner:
                break
            node = node[draw(st.sampled_from(inner))]
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if keys:
            node[draw(st.sampled_from(keys))] = copy.deepcopy(draw(strange))
    return json.dumps(root).encode()


def bad_bytes(seed: bytes) -> st.SearchStrategy[bytes]:
    """Return random bytes, behind a head that passes for the format or not, and files after accidents."""
    noise = st.binary(max_size=300)
    return st.one_of(
        mutated(seed),
        exchanged(seed),
        noise,
        noise.map(lambda tail: seed[:40] + tail),
        noise.map(lambda tail: seed + tail),
    )


# ---------------------------------------------------------------- one reader, in a process of its own


class _TooSlowError(Exception):
    """A reader did not come back in time."""


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    size = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def _alarm(_signal: int, _frame: FrameType | None) -> None:
    raise _TooSlowError(f"no answer after {SECONDS} s")


def try_bytes(reader: Reader, data: bytes, folder: Path) -> None:
    """Check and read a file; anything but the project's errors gets out."""
    path = folder / "file"
    path.write_bytes(reader.pack(data))
    signal.alarm(SECONDS)
    started = time.monotonic()
    try:
        raw = raw_file(reader.source, path)
        with suppress(QpvGeoError):
            check_content(raw, LIMITS)
        with suppress(QpvGeoError):
            reader.read(raw)
    finally:
        signal.alarm(0)
    # A reader may explain whatever a library raises, the alarm included.
    assert time.monotonic() - started < SECONDS


def fuzz(name: str, folder: Path, report: Path) -> None:
    """Give a reader bad bytes, and write down what it should not have raised."""
    reader = readers(folder)[name]
    # The file itself is read, or the reader would never get far.
    reader.read(_described(reader, folder))
    signal.signal(signal.SIGALRM, _alarm)
    _limit_memory()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(bad_bytes(reader.seed))
    def reads(data: bytes) -> None:
        try_bytes(reader, data, folder)

    try:
        reads()
    except BaseException:  # noqa: BLE001 - whatever it is, the test shows it
        report.write_text(traceback.format_exc(), encoding="utf-8")
    else:
        report.write_text("nothing", encoding="utf-8")


def _described(reader: Reader, folder: Path) -> RawFile:
    path = folder / "file"
    path.write_bytes(reader.pack(reader.seed))
    return raw_file(reader.source, path)


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_takes_anything(name: str, tmp_path: Path) -> None:
    report = tmp_path / "report.txt"
    process = start(fuzz, name, tmp_path, report)
    process.join(600)
    hangs = process.is_alive()
    process.kill()
    process.join()
    assert not hangs, "the reader hangs in a library"
    assert process.exitcode == 0, "the reader's process died"
    assert report.read_text(encoding="utf-8") == "nothing"


def test_every_reader_is_tried(tmp_path: Path) -> None:
    assert tuple(readers(tmp_path)) == NAMES


def _pointing_before_the_file(archive: bytes) -> bytes:
    """Return an archive whose end says that everything begins later than it does."""
    end = archive.rindex(b"PK\x05\x06") + 16
    offset = int.from_bytes(archive[end : end + 4], "little") + 1000
    return archive[:end] + offset.to_bytes(4, "little") + archive[end + 4 :]


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("statistics (CSV in a zip)", _pointing_before_the_file),
        ("facilities", lambda _: b"TYPEQU\r\x00"),
        ("facilities", lambda seed: seed.replace(b"926000.0", b"1e999")),
        ("statistics (XLSX)", lambda seed: seed[:-1]),
        ("statistics (xl/workbook.xml of XLSX)", lambda _: b""),
        ("statistics (xl/worksheets/sheet1.xml of XLSX)", lambda seed: seed.replace(b'r="A3"', b'r="A"')),
        ("communes", lambda seed: seed.replace(b'"population": 934', b'"population": 1e308')),
    ],
)
def test_what_was_once_let_out_is_explained(
    name: str, spoil: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    reader = readers(tmp_path)[name]
    data = spoil(reader.seed)
    assert data != reader.seed
    (tmp_path / "file").write_bytes(reader.pack(data))
    with pytest.raises(QpvGeoError, match=r"\bfile\b"):
        reader.read(raw_file(reader.source, tmp_path / "file"))
