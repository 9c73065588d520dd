"""``qpv-geo api``: what a GIS reads, what is in a QPV, who may ask how much, and a new release meanwhile."""

import json
import logging
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import geopandas as gpd
import httpx
import numpy as np
import pandas as pd
import pyproj
import pytest
import shapely
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from qpv_geo.api.application import application
from qpv_geo.api.features import ReleaseFeatures
from qpv_geo.api.locating import MOST_POINTS
from qpv_geo.api.service import Service
from qpv_geo.errors import SourceUnavailableError
from qpv_geo.library import OpenRelease, open_release
from qpv_geo.pipeline.one import Outcome
from qpv_geo.releases.release import Release
from qpv_geo.settings import Settings
from qpv_geo.territory import Territory
from tests.command_line import qpv_geo_here

EXECUTION = "/besancon/processes/locate/execution"
ITEMS = "/besancon/collections/{}/items"
LOADED = re.compile(r'(?:src|<link[^>]*(?:stylesheet|icon)[^>]*href)="(https?://[^"]+)')
PLANOISE = "QN02503M"
LICENCE = "https://www.etalab.gouv.fr/licence-ouverte-open-licence"


@pytest.fixture(scope="module")
def settings_served(refreshed: Outcome) -> Settings:
    """Return the settings of the release of a refresh without network, which nothing changes here."""
    return Settings(data_dir=refreshed.release.path.parents[2])


@pytest.fixture(scope="module")
def opened(settings_served: Settings) -> OpenRelease:
    return open_release("besancon", data=settings_served.data_dir)


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture(scope="module")
def service(settings_served: Settings, besancon: Territory, listener: socket.socket) -> Service:
    with patch.object(logging, "basicConfig"):
        return Service.of(besancon, settings_served, f"http://127.0.0.1:{listener.getsockname()[1]}")


@pytest.fixture(scope="module")
def client(service: Service, listener: socket.socket) -> Iterator[httpx.Client]:
    with serving(application({"besancon": service}), listener) as client:
        yield client


@contextmanager
def serving(app: Starlette, listener: socket.socket | None = None) -> Iterator[httpx.Client]:
    """Serve an application, as the command does, in a thread."""
    listener = listener or socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = uvicorn.Server(uvicorn.Config(app, access_log=False, log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=60) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def ask(client: httpx.Client, **inputs: object) -> dict[str, Any]:
    answer = client.post(EXECUTION, json={"inputs": inputs})
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def as_objects(frame: pd.DataFrame) -> pd.DataFrame:
    """Return cells as JSON has them: None where there is nothing; no geometry."""
    plain = pd.DataFrame(frame.drop(columns=["geometry", "bande_300m"], errors="ignore")).astype(object)
    return plain.where(plain.notna(), None)


def test_gdal_reads_every_layer(client: httpx.Client, opened: OpenRelease) -> None:
    if shutil.which("ogrinfo") is None:
        pytest.skip("needs Debian's package gdal-bin")
    command = ["ogrinfo", "-ro", "-al", "-geom=SUMMARY", f"OAPIF:{client.base_url}/besancon"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    counts = dict(re.findall(r"^Layer name: (\w+)$.*?^Feature Count: (\d+)$", told, re.MULTILINE | re.DOTALL))
    assert {name: int(count) for name, count in counts.items()} == {
        name: len(opened.table(name)) for name in opened.layers
    }
    assert "code_qp (String) = QN02503M\n  lib_qp (String) = Planoise" in told


def test_features_are_those_of_the_release(client: httpx.Client, opened: OpenRelease) -> None:
    answer = client.get(ITEMS.format("qpv"), params={"f": "json"})
    assert answer.headers["content-type"] == "application/geo+json"
    found = gpd.GeoDataFrame.from_features(answer.json(), crs=4326)
    expected = opened.layer("qpv")
    pd.testing.assert_frame_equal(
        pd.DataFrame(found.drop(columns="geometry")).astype(object).where(lambda cells: cells.notna(), None),
        pd.DataFrame(expected.drop(columns="geometry"))
        .astype(object)
        .where(lambda cells: cells.notna(), None),
        check_dtype=False,
    )
    moved_by = found.to_crs(2154).geometry.hausdorff_distance(expected.geometry)
    assert moved_by.max() < 0.02
    planoise = client.get(f"{ITEMS.format('qpv')}/{PLANOISE}").json()
    assert (planoise["properties"]["taux_pauvrete_60"], planoise["id"]) == (55, PLANOISE)
    stored = client.get(ITEMS.format("qpv"), params={"crs": "http://www.opengis.net/def/crs/EPSG/0/2154"})
    native = gpd.GeoDataFrame.from_features(stored.json(), crs=2154)
    assert native.geometry.hausdorff_distance(expected.geometry).max() < 0.002
    assert client.get(f"{ITEMS.format('qpv')}/none").status_code == 404


def test_a_release_in_degrees_keeps_its_decimals(tmp_path: Path, opened: OpenRelease) -> None:
    """That of France, whose QPV are in several projections."""
    expected = opened.layer("qpv").to_crs(4326)[["code_qp", "geometry"]]
    expected.to_file(tmp_path / "france.gpkg", layer="qpv", engine="pyogrio")
    with closing(sqlite3.connect(tmp_path / "france.gpkg")) as database:
        database.execute("CREATE TABLE gpkg_data_columns (table_name, column_name, title, description)")
    definition = {
        "name": "features",
        "type": "feature",
        "data": str(tmp_path / "france.gpkg"),
        "table": "qpv",
        "geometry": "geom",
        "epsg": 4326,
        "id_field": "code_qp",
        "credits": {},
    }
    found = gpd.GeoDataFrame.from_features(ReleaseFeatures(definition).query(limit=10), crs=4326)
    assert shapely.hausdorff_distance(found.geometry.array, expected.geometry.array).max() < 1e-7
    assert ReleaseFeatures(definition).get(PLANOISE)["id"] == PLANOISE


def test_the_command_serves_until_it_is_told_to_stop(settings_served: Settings) -> None:
    command = [sys.executable, "-m", "qpv_geo", "api", "--port", "0", "--data", str(settings_served.data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address, release = server.stdout.readline().strip().split(": release ")
        answer = httpx.post(
            f"{address}/processes/locate/execution", json={"inputs": {"point": [6.02, 47.24]}}, timeout=60
        )
        server.terminate()
        assert server.wait(timeout=60) in {0, -signal.SIGTERM}
    assert (answer.json()["release"], answer.json()["en_qpv"]) == (release, "oui")


def test_rows_are_chosen_sorted_and_paged(client: httpx.Client, opened: OpenRelease) -> None:
    statistics = opened.table("statistiques")

    def rows(**parameters: str | int) -> list[dict[str, Any]]:
        answer = client.get(ITEMS.format("statistiques"), params=parameters)
        features: list[dict[str, Any]] = answer.json()["features"]
        return features

    chosen = statistics[(statistics["code"] == PLANOISE) & (statistics["statut"] == "ok")]
    found = rows(code=PLANOISE, statut="ok", sortby="-valeur", limit=1000)
    values = [row["properties"]["valeur"] for row in found]
    assert values == sorted(chosen["valeur"], reverse=True)
    assert all(row["geometry"] is None for row in found)
    pages = [row["id"] for start in range(0, 30, 10) for row in rows(offset=start, limit=10)]
    assert pages == [row["id"] for row in rows(limit=30)]
    assert rows(code="x' or 1=1 --") == []
    assert rows(offset=10**20) == []
    assert [*rows(limit=1, properties="code,valeur")[0]["properties"]] == ["code", "valeur"]
    assert rows(bbox="5.9,47.2,6,47.3") == []


@pytest.mark.parametrize("crs", ["degrees", "stored"])
def test_a_rectangle_gives_what_it_meets(client: httpx.Client, opened: OpenRelease, crs: str) -> None:
    """None is missing; one asked for in degrees may bring what its envelope in the stored CRS meets."""
    communes = opened.layer("communes").set_index("insee_com")
    place = communes.to_crs(4326) if crs == "degrees" else communes
    west, south, east, north = place.total_bounds
    rng = np.random.default_rng(7)
    for _ in range(8):
        x, y = np.sort(rng.uniform(west, east, 2)), np.sort(rng.uniform(south, north, 2))
        box = shapely.box(x[0], y[0], x[1], y[1])
        parameters = {"bbox": ",".join(map(str, box.bounds)), "limit": "1000", "skipGeometry": "true"}
        if crs == "stored":
            parameters["bbox-crs"] = "http://www.opengis.net/def/crs/EPSG/0/2154"
        answer = client.get(ITEMS.format("communes"), params=parameters).json()
        found = {feature["id"] for feature in answer["features"]}
        met = set(communes.index[place.intersects(box)])
        assert met <= found
        assert answer["numberMatched"] == len(found)
        if crs == "stored":
            assert met == found


def test_a_point_in_every_place_has_the_answer_of_python(client: httpx.Client, opened: OpenRelease) -> None:
    """On borders and corners too; in degrees and in metres; in one request and in many."""
    qpv = opened.layer("qpv").to_crs(4326)
    corners = shapely.get_coordinates(qpv.geometry.to_numpy())
    rng = np.random.default_rng(13)
    west, south, east, north = qpv.total_bounds + np.array([-0.3, -0.3, 0.3, 0.3])
    spread = np.column_stack([rng.uniform(west, east, 5000), rng.uniform(south, north, 5000)])
    points = np.vstack([corners[:2000], (corners[1:] + corners[:-1])[:2000] / 2, spread])
    for crs in (4326, 2154):
        if crs != 4326:
            to_metres = pyproj.Transformer.from_crs(4326, crs, always_xy=True)
            points = np.column_stack(to_metres.transform(*points.T))
        expected = as_objects(opened.locate(*points.T, crs=crs))
        found = pd.DataFrame(ask(client, points=points.tolist(), crs=crs)["answers"], dtype=object)
        pd.testing.assert_frame_equal(found, expected, check_dtype=False)
        for row in (0, 2000, 4001, len(points) - 1):
            one = ask(client, point=points[row].tolist(), crs=crs)
            assert {name: one[name] for name in expected} == expected.iloc[row].to_dict()


@given(
    longitude=st.floats(5.9, 6.1), latitude=st.floats(47.2, 47.3), precision=st.none() | st.floats(0, 3000)
)
def test_one_point_one_of_many_and_the_command_agree(
    client: httpx.Client, opened: OpenRelease, longitude: float, latitude: float, precision: float | None
) -> None:
    point = [longitude, latitude]
    one = ask(client, point=point, precision=precision)
    (among,) = ask(client, points=[point], precision=precision)["answers"]
    python = as_objects(opened.locate([longitude], [latitude], precision=precision))
    assert among == python.iloc[0].to_dict() == {name: one[name] for name in among}


def test_one_point_has_the_answer_of_the_command(client: httpx.Client, settings_served: Settings) -> None:
    for point in ("5.963,47.226", "6.02,47.24", "2.35,48.85"):
        done = qpv_geo_here("locate", "--point", point, "--json", "--data", settings_served.data_dir)
        found = ask(client, point=[float(number) for number in point.split(",")])
        assert (found.pop("date"), found.pop("licence")) == (
            found["release"][:10],
            "Licence Ouverte 2.0 (Etalab)",
        )
        assert found == json.loads(done.stdout)


def test_layers_and_dates_have_the_answers_of_python(client: httpx.Client, opened: OpenRelease) -> None:
    points = [[6.02, 47.24], [5.9713, 47.22], [5.9, 47.3]]
    for options in ({"with": ["commune", "epci"]}, {"date": "2022-06-30"}, {"date": "2026-01-01"}):
        python = {"with_" if name == "with" else name: given for name, given in options.items()}
        expected = as_objects(opened.locate(*np.transpose(points), **python))
        found = ask(client, points=points, **options)["answers"]
        assert found == json.loads(json.dumps(expected.to_dict("records"), default=str))
        one = ask(client, point=points[1], **options)
        assert {name: one[name] for name in found[1]} == found[1]
    assert ask(client, point=points[0], **{"with": ["commune"]})["lib_com"] == "Besançon"


def test_points_that_cannot_be_read_are_said_one_by_one(client: httpx.Client) -> None:
    found = ask(client, points=[[6.02, 47.24], [None, 47.2]], precision=[None, 5])["answers"]
    assert [row["en_qpv"] for row in found] == ["incertain", "illisible"]
    document = client.post(EXECUTION, json={"inputs": {"point": [6.02, 47.24]}, "response": "document"})
    assert document.json()["answer"]["lib_qp"] == "Battant"


@pytest.mark.parametrize(
    ("body", "fact"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"inputs": {"point": [NaN, 47]}}', "not JSON"),
        (b"[]", "valid dictionary"),
        (b"{}", "inputs: Field required"),
        (b'{"inputs": {}}', "one of point, points and address"),
        (b'{"inputs": {"point": [6, 47], "points": [[6, 47]]}}', "one of point, points and address"),
        (b'{"inputs": {"point": [6]}}', "inputs.point.1: Field required"),
        (b'{"inputs": {"point": [6, 47], "place": 1}}', "inputs.place: Extra inputs"),
        (b'{"inputs": {"point": [6, 47], "precision": -1}}', "greater than or equal to 0"),
        (b'{"inputs": {"points": [[6, 47]], "precision": [1, 2]}}', "as many as points"),
        (b'{"inputs": {"point": [6, 47], "crs": 3857}}', "crs 3857: expected 4326 or 2154"),
        (b'{"inputs": {"point": [47.24, 6.02]}}', "swapped"),
        (b'{"inputs": {"point": [931330, 6683546]}}', "they look like EPSG:2154"),
        (b'{"inputs": {"address": "12 rue de Dole"}}', "sends no address"),
        (b'{"inputs": {"point": [6, 47], "with": ["region"]}}', "with region: there are commune, epci"),
        (b'{"inputs": {"point": [6, 47], "date": "hier"}}', "valid date"),
        (b'{"inputs": {"points": ' + json.dumps([[6, 47]] * (MOST_POINTS + 1)).encode() + b"}}", "10000"),
    ],
)
def test_what_is_no_question_is_refused_in_a_sentence(client: httpx.Client, body: bytes, fact: str) -> None:
    answer = client.post(EXECUTION, content=body)
    assert answer.status_code == 400
    assert fact in answer.json()["description"]
    assert "--" not in answer.json()["description"]


def test_an_address_goes_to_the_geocoder_where_that_is_allowed(service: Service) -> None:
    body = {"inputs": {"address": "4 rue Battant, Besançon"}}
    answer = {"address": "4 rue Battant", "en_qpv": "oui", "territoire_connu": True}
    with serving(application({"besancon": service}, addresses=True)) as allowing:
        with patch("qpv_geo.api.locating.locate_address", return_value=answer) as asked:
            assert allowing.post(EXECUTION, json=body).json()["en_qpv"] == "oui"
        assert asked.call_args.args[1:] == (body["inputs"]["address"], service.settings)
        with patch("qpv_geo.api.locating.locate_address", side_effect=SourceUnavailableError("secret")):
            refused = allowing.post(EXECUTION, json=body)
    assert (refused.status_code, "secret" in refused.text) == (502, False)


def test_every_page_opens_and_asks_no_other_site(client: httpx.Client, service: Service) -> None:
    pages = [
        "", "/", "/openapi", "/conformance", "/collections", "/collections/qpv", "/collections/qpv/schema",
        "/collections/qpv/queryables", "/collections/qpv/items", f"/collections/qpv/items/{PLANOISE}",
        "/collections/statistiques/items", "/processes",
        "/processes/locate", "/jobs", "/TileMatrixSets",
    ]  # fmt: skip
    for page in pages:
        for kind in ("json", "html", "jsonld"):
            answer = client.get(f"/besancon{page}", params={"f": kind})
            assert answer.status_code == 200, (page, kind, answer.text)
            assert answer.headers["qpv-release"] == service.release.id
            assert answer.headers["link"] == service.headers["Link"] == f'<{LICENCE}>; rel="license"'
            if kind == "html":
                shown = re.sub(r"<!--.*?-->", "", answer.text, flags=re.DOTALL)
                loaded = LOADED.findall(shown)
                assert [address for address in loaded if not address.startswith(service.server)] == []
                assert "default-src 'self'" in answer.headers["content-security-policy"]
                for file in {address for address in loaded if "/static/" in address}:
                    assert client.get(file).status_code == 200, file
    assert client.get("/").json()["links"][0]["href"] == service.url
    feature = client.get(ITEMS.format("qpv"), params={"limit": 1}).json()
    assert (feature["release"], feature["licence"]) == (service.release.id, service.credits["licence"])


def test_nothing_but_reading_is_offered(client: httpx.Client) -> None:
    for method, path in [
        ("GET", "/besancon/admin/config"),
        ("GET", "/besancon/static/"),
        ("GET", "/besancon/static/../../../../etc/passwd"),
        ("GET", "/besancon/static/%2e%2e/%2e%2e/setup.py"),
        ("GET", "/nowhere"),
        ("GET", "/besancon/jobs/1"),
        ("GET", "/besancon/stac"),
        ("GET", "/besancon/collections/locate/schema"),
        ("POST", "/besancon/processes/other/execution"),
    ]:
        assert client.request(method, path).status_code == 404, path
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.request(method, ITEMS.format("qpv")).status_code == 405
        assert client.request(method, f"{ITEMS.format('qpv')}/{PLANOISE}").status_code == 405
    for query in ("filter=1", "q=1", "datetime=1", "sortby=", "crs=x", "bbox=1,2", "limit=x", "offset=-1"):
        assert client.get(f"{ITEMS.format('qpv')}?{query}").status_code == 400
    assert not {name for name in client.get("/besancon/conformance").json()["conformsTo"] if "-4/" in name}
    told = client.get("/besancon", headers={"Origin": "https://ailleurs.example"})
    assert "access-control-allow-origin" not in told.headers


def test_pages_of_named_sites_may_ask(service: Service) -> None:
    site = "https://carte.example"
    with serving(application({"besancon": service}, origins=[site])) as client:
        for origin, allowed in ((site, site), ("https://ailleurs.example", None)):
            told = client.get("/besancon", headers={"Origin": origin}).headers
            assert told.get("access-control-allow-origin") == allowed


def test_bodies_are_limited(client: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"{}"

    assert client.post(EXECUTION, content=chunks()).status_code == 411
    assert client.post(EXECUTION, content=b" " * 1_000_001).status_code == 413
    assert client.request("GET", ITEMS.format("qpv"), content=b"{}").status_code == 413


def test_a_client_that_asks_too_often_waits(service: Service) -> None:
    with (
        serving(application({"besancon": service}, rate=5)) as client,
        patch("qpv_geo.api.limits.monotonic", return_value=0.0) as now,
    ):
        codes = [client.get("/").status_code for _ in range(12)]
        assert codes == [200] * 10 + [429] * 2
        assert client.get("/").headers["retry-after"] == "1"
        now.return_value = 1.0
        assert [client.get("/").status_code for _ in range(6)] == [200] * 5 + [429]


def test_a_failure_is_logged_without_what_was_asked(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with patch("qpv_geo.api.application.answer", side_effect=ZeroDivisionError("6.0212345")):
        answer = client.post(EXECUTION, json={"inputs": {"point": [6.0212345, 47.24]}})
    assert (answer.status_code, answer.json()["description"]) == (500, "the server failed")
    ask(client, point=[6.0212345, 47.24])
    client.get(ITEMS.format("qpv"), params={"bbox": "6.0212345,1", "limit": "6.0212345"})
    assert "ZeroDivisionError at " in caplog.text
    assert "6.02" not in caplog.text


def test_a_new_release_is_served_without_a_request_lost(
    offline: Release, settings: Settings, besancon: Territory
) -> None:
    service = Service.of(besancon, settings, "http://127.0.0.1")
    newer = offline.path.with_name("2027-01-01-0123456789")
    seen: list[Sequence[str]] = []
    with (
        patch("qpv_geo.api.application._SECONDS", 0.01),
        serving(application({"besancon": service})) as client,
    ):
        for turn in range(10_000):
            answer = client.post(EXECUTION, json={"inputs": {"point": [6.02, 47.24]}})
            assert answer.status_code == 200
            seen.append((answer.json()["release"], answer.headers["qpv-release"]))
            if turn == 3:
                become_current(offline.path, newer, newer.name)
            if seen[-1][0] != offline.id:
                break
        damaged = offline.path.with_name("2027-02-02-0123456789")
        damaged.mkdir()
        point_to(damaged)
        time.sleep(0.2)
        assert client.get("/besancon").headers["qpv-release"] == newer.name
    assert set(seen) == {(offline.id, offline.id), (newer.name, newer.name)}


def become_current(path: Path, newer: Path, name: str) -> None:
    """Publish a release again under another id."""
    shutil.copytree(path, newer)
    descriptor = newer / "datapackage.json"
    descriptor.write_text(descriptor.read_text("utf-8").replace(path.name, name), encoding="utf-8")
    point_to(newer)


def point_to(release: Path) -> None:
    """Make a release current, in one step."""
    link = release.with_name("next")
    link.symlink_to(release.name)
    link.replace(release.with_name("latest"))


def test_the_command_says_what_is_missing(settings: Settings) -> None:
    with patch("qpv_geo.commands.api.find_spec", return_value=None):
        done = qpv_geo_here("api")
    assert (done.returncode, done.stderr.strip()) == (
        2,
        "qpv-geo: HTTP needs the extra api: install qpv-geo[api], such as pip install '.[api]' in its folder",
    )
    done = qpv_geo_here("api", "--port", "0", "--data", settings.data_dir)
    assert (done.returncode, "no release of 'besancon'" in done.stderr) == (2, True)
    done = qpv_geo_here("api", "--host", "192.0.2.1")
    assert (done.returncode, "cannot listen on 192.0.2.1:5000" in done.stderr) == (2, True)
