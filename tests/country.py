"""A made-up country around the real six QPV: what a national file must hold, without the national file."""

import io
import json
import zipfile
from typing import Any

from qpv_geo.zones import place_of
from tests.raw_files import six_qpv
from tests.server import OfficialSites

METROPOLE, DOUBS = 1362, 17
ARCHIVE = "qpv-2024-geojson.zip"
MEMBER = "GEOJSON/QP2024_France_Hexagonale_Outre_Mer_WGS84.geojson"


def country() -> dict[str, Any]:
    """Return 1,362 QPV, 17 of them in the Doubs: the real six, and squares in the middle of departments."""
    collection = six_qpv()
    known = {feature["properties"]["code_qp"][:-1] for feature in collection["features"]}
    doubs = [f"QN025{order:02}" for order in range(1, 99) if f"QN025{order:02}" not in known]
    others = [f"QN0{department}{order:02}" for department in range(30, 45) for order in range(1, 99)]
    codes = doubs[: DOUBS - len(known)] + others[: METROPOLE - DOUBS]
    collection["features"] += [_square(f"{code}N", index) for index, code in enumerate(codes)]
    return collection


def _square(code: str, index: int) -> dict[str, Any]:
    department = code[3:5]
    low, down, high, up = place_of([department]).bounds
    column, row = divmod(int(code[5:7]), 10)
    # From the east: Grand Besançon and the real six are in the west of the Doubs.
    west, south = high - (high - low) * (column + 1) / 12, down + (up - down) * (row + 1) / 12
    corners = [(0, 0), (0.01, 0), (0.01, 0.01), (0, 0.01), (0, 0)]
    ring = [[round(west + x, 7), round(south + y, 7)] for x, y in corners]
    properties = {
        "fid": 10_000.0 + index,
        "code_qp": code,
        "lib_qp": f"Quartier {code}",
        "insee_reg": "27",
        "lib_reg": "Région",
        "insee_dep": department,
        "lib_dep": "Département",
        "insee_com": f"{department}001",
        "lib_com": "Commune",
        "siren_epci": "200000000",
    }
    geometry = {"type": "MultiPolygon", "coordinates": [[ring]]}
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def zipped(collection: dict[str, Any], member: str = MEMBER) -> bytes:
    """Pack contours as the site ships them, the same bytes each time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        data = json.dumps(collection, ensure_ascii=False)
        archive.writestr(zipfile.ZipInfo(member), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def publish_country(sites: OfficialSites) -> None:
    """Put the made-up country online."""
    sites.publish("qpv_2024", zipped(country()), ARCHIVE)
