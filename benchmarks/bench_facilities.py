"""Facilities of Besançon out of a national file of 3 million rows. ``python benchmarks/bench_facilities.py``.

The file is generated as INSEE zips its own, 95 quoted cells a row, once for all measures. Facilities lie
around a point of each commune, as many as it has inhabitants in proportion. Needs ../shared/mirror.
"""

import gzip
import json
import random
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from figures import PEAK, Measure, Stopwatch, measure_apart

MIRROR = Path(__file__).parents[2] / "shared" / "mirror"
MEMBER = "BPE25.csv"
ROWS = 3_000_000
NATIONAL = Path(tempfile.gettempdir()) / "bench-BPE25.zip"
FIRST, AGAIN = "read, extract made", "read from the extract"
_BEFORE = (
    "AN APET NOMRS CNOMRS NUMVOIE INDREP TYPVOIE LIBVOIE CADR CODPOS DEPCOM DEP REG LIBCOM DOM SDOM TYPEQU"
)
_AFTER = (
    "LAMBERT_X LAMBERT_Y LONGITUDE LATITUDE QUALITE_XY EPSG QUALITE_GEOLOC TR_DIST_PRECISION DCIRIS "
    "QUALI_IRIS IRISEE QP2024 QUALI_QP2024 QP2015 QUALI_QP2015 QVA QUALI_QVA ZUS QUALI_ZUS EPCI UU2020 "
    "BV2022 AAV2020 DENS3 DENS7"
)
_COLUMNS = 95
_QUALITIES = ("11",) * 70 + ("12",) * 8 + ("21",) * 14 + ("22",) * 4 + ("33",) * 3 + ("_Z",)
_OTHERS = [f"{domain}{number}" for domain in "ABCF" for number in range(101, 160)]


def lines(rows: int) -> Iterator[str]:
    """Yield the header and `rows` rows, the communes in the order of their codes."""
    from qpv_geo.ingest.facilities import load_facility_types

    before, after = _BEFORE.split(), _AFTER.split()
    middle = [f"COLONNE_{number}" for number in range(_COLUMNS - len(before) - len(after))]
    yield _line([*before, *middle, *after])
    blank = ['"_Z"'] * 30 + ['""', '"0"'] * 15
    filling = ";".join((blank * 2)[: len(middle) - 1])
    draw = random.Random(2025)  # noqa: S311 - no secret is drawn
    types = [*load_facility_types()["type_equipement"], *_OTHERS]
    communes = _communes()
    inhabitants = sum(weight for *_, weight in communes)
    owed = 0.0
    for code, name, x, y, weight in communes:
        owed += rows * weight / inhabitants
        for _ in range(int(owed)):
            kind = types[draw.randrange(len(types))]
            dx, dy = draw.randint(-2500, 2500), draw.randint(-2500, 2500)
            number, street = draw.randint(1, 200), draw.randint(1, 9999)
            # Longitude and latitude are not read: of the right length is enough.
            yield (
                f'"2025";"8621Z";"CABINET {draw.randrange(10**9):x}";"";"{number}";"";"RUE";'
                f'"DES LILAS {street}";"";'
                f'"{code[:2]}000";"{code}";"{code[:2]}";"27";"{name}";"{kind[0]}";"{kind[:2]}";"{kind}";'
                f'"{draw.randrange(10**14):014}";{filling};"{x + dx}";"{y + dy}";"6.{street}1";'
                f'"47.{number}31";"B";"2154";'
                f'"{_QUALITIES[draw.randrange(100)]}";"< 100";"{code}0101";"1";"1";"CSZ";"_Z";"CSZ";"_Z";'
                f'"CSZ";"_Z";"CSZ";"_Z";"242500361";"{code[:2]}701";"{code}";"020";"1";"2"\n'
            )
        owed %= 1


def write_national(path: Path, rows: int = ROWS) -> Path:
    """Write the file; its member is as long as INSEE's."""
    with zipfile.ZipFile(path, "w") as archive:
        entry = zipfile.ZipInfo(MEMBER)
        entry.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(entry, "w", force_zip64=True) as member:
            block: list[str] = []
            for line in lines(rows):
                block.append(line)
                if len(block) == 10_000:  # noqa: PLR2004 - some megabytes
                    member.write("".join(block).encode())
                    block.clear()
            member.write("".join(block).encode())
    return path


def _line(cells: list[str]) -> str:
    return ";".join(f'"{cell}"' for cell in cells) + "\n"


def _communes() -> list[tuple[str, str, int, int, int]]:
    """Return code, name, a point in Lambert-93 and inhabitants of the communes of metropolitan France."""
    import geopandas as gpd

    listed = json.loads(gzip.decompress((MIRROR / "cog" / "communes.json.gz").read_bytes()))
    inhabitants = {row["code"]: row.get("population") or 1 for row in listed}
    contours = gpd.read_file(f"/vsigzip/{MIRROR / 'etalab' / 'communes-1000m.geojson.gz'}")
    contours = contours[contours["code"].str[:2] != "97"].sort_values("code")
    points = contours.to_crs(2154).geometry.representative_point()
    return [
        (code, name.upper(), int(point.x), int(point.y), inhabitants.get(code, 1))
        for code, name, point in zip(contours["code"], contours["nom"], points, strict=True)
    ]


def facilities(watch: Stopwatch) -> None:
    """Read the facilities of Besançon and around it, twice."""
    from qpv_geo.ingest.communes import read_communes
    from qpv_geo.ingest.facilities import read_facilities
    from qpv_geo.settings import Settings
    from qpv_geo.sources.catalogue import load_catalogue
    from qpv_geo.sources.raw import raw_at

    catalogue = load_catalogue()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder))
        path = MIRROR / "geo-api" / "epcis" / "242500361" / "communes.geojson"
        communes = read_communes(raw_at(catalogue["communes_epci"], path, "mirror"), settings, 2154)[2154]
        raw = raw_at(catalogue["bpe"], NATIONAL, "mirror")
        for what in (FIRST, AGAIN):
            with watch.timed(what):
                read_facilities(raw, communes, settings)


MEASURES = {"Facilities": Measure(facilities, 1, wanted={FIRST: 6.0, AGAIN: 1.0, PEAK: 600})}

if __name__ == "__main__":
    if not NATIONAL.exists():
        write_national(NATIONAL)
    measure_apart(__file__, MEASURES)
