"""The bad files of the matrix: each as an official site would send it."""

import io
import json
import warnings
import zipfile
from collections.abc import Callable

from tests.country import MEMBER, country, zipped
from tests.faults.world import population
from tests.raw_files import Json, set_property, shipped, some_communes

CORNERS = [[[6.01, 47.23], [6.02, 47.24], [6.02, 47.23], [6.01, 47.24], [6.01, 47.23]]]
Change = Callable[[Json], None]


def contours(change: Change) -> bytes:
    """Return the archive of contours after a change."""
    collection = country()
    change(collection)
    return zipped(collection)


def archive(*members: tuple[str, bytes], zeros: int = 0) -> bytes:
    """Return an archive of these members, names as given, the last one after many zeros."""
    packed = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        warnings.filterwarnings("ignore", "Duplicate name")
        for name, data in members:
            with target.open(name, "w") as stream:
                for _ in range(zeros):
                    stream.write(b"\x00" * 1024**2)
                stream.write(data)
    return packed.getvalue()


def with_encrypted_member() -> bytes:
    """Return an archive whose table of contents says that its member needs a password."""
    data = bytearray(zipped(country()))
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def half_a_geojson() -> bytes:
    """Return a whole archive around half a file."""
    text = json.dumps(country(), ensure_ascii=False).encode()
    return archive((MEMBER, text[: len(text) // 2]))


def renamed(old: str, new: str | None) -> Change:
    """Rename a property of every feature, or take it away."""

    def change(collection: Json) -> None:
        for feature in collection["features"]:
            value = feature["properties"].pop(old)
            if new:
                feature["properties"][new] = value

    return change


def without(*codes: str) -> Change:
    """Take QPV away; without any code, all of them."""

    def change(collection: Json) -> None:
        kept = [f for f in collection["features"] if codes and f["properties"]["code_qp"] not in codes]
        collection["features"] = kept

    return change


def repeated(collection: Json) -> None:
    """Have a QPV twice."""
    collection["features"].append(collection["features"][1])


def moved(collection: Json) -> None:
    """Have no QPV in the territory's EPCI any more."""
    for feature in collection["features"]:
        feature["properties"]["siren_epci"] = "200000172"


def with_geometry(kind: str, coordinates: object) -> Change:
    """Give the second QPV another geometry."""

    def change(collection: Json) -> None:
        collection["features"][1]["geometry"] = {"type": kind, "coordinates": coordinates}

    return change


def with_longitude(value: float) -> Change:
    """Give one corner of the third QPV another longitude."""

    def change(collection: Json) -> None:
        collection["features"][2]["geometry"]["coordinates"][0][0][1][0] = value

    return change


def with_crs(name: str) -> Change:
    """Declare another CRS than that of the coordinates."""

    def change(collection: Json) -> None:
        collection["crs"] = {"type": "name", "properties": {"name": name}}

    return change


def swapped(collection: Json) -> None:
    """Put latitudes before longitudes."""
    _each_position(collection, lambda x, y: (y, x))


def in_metres(collection: Json) -> None:
    """Put metres where degrees are expected, and declare no CRS."""
    _each_position(collection, lambda x, y: (x * 80_000 + 446_000, y * 111_000 + 1_446_000))
    del collection["crs"]


def _each_position(collection: Json, move: Callable[[float, float], tuple[float, float]]) -> None:
    def walk(node: list[object]) -> list[object]:
        if isinstance(node[0], int | float):
            return list(move(*node[:2]))  # type: ignore[arg-type]
        return [walk(child) for child in node]  # type: ignore[arg-type]

    for feature in collection["features"]:
        feature["geometry"]["coordinates"] = walk(feature["geometry"]["coordinates"])


def of_2015(collection: Json) -> None:
    """Have the codes and columns of the geography of 2015."""
    for order, feature in enumerate(collection["features"]):
        feature["properties"] = {"CODE_QP": f"QP{order:06}", "NOM_QP": "Planoise", "COMMUNE_QP": "Besançon"}


def communes(change: Change) -> bytes:
    """Return the communes after a change."""
    collection = some_communes(count=1000)
    change(collection)
    return json.dumps(collection, ensure_ascii=False).encode()


def negative_communes() -> bytes:
    """Return the communes, the first of them with fewer than no inhabitants."""
    return communes(set_property("population", -3))


def csv(change: Callable[[str], str]) -> bytes:
    """Return the populations after a change of their text."""
    return change(population().decode("utf-8-sig")).encode()


def poverty(value: str) -> bytes:
    """Return the incomes, the rate of Planoise as given."""
    folder = "insee/revenus_pauvrete_2021_qp24_v2_csv"
    members = []
    for path in sorted(shipped(folder).iterdir()):
        data = path.read_bytes()
        members.append((path.name, data.replace(b"QN02503M;55,0", f"QN02503M;{value}".encode())))
    return archive(*members)


def in_windows_1252() -> bytes:
    """Return the populations with names in Windows-1252, all of them as they were."""
    lines = population().decode("utf-8-sig").splitlines()
    lines = [lines[0] + ";LIBGEO", *(f"{line};Été" for line in lines[1:])]
    return ("\r\n".join(lines) + "\r\n").encode("cp1252")


def with_bom() -> bytes:
    """Return the populations with the mark that INSEE puts in front of other files."""
    return population().decode("utf-8-sig").encode("utf-8-sig")
