"""Nobody gets into the server of ``qpv-geo serve``: not another account, not a web page beside a tunnel."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from websockets import Subprotocol
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from flows import serve
from flows.server_password import FILE_NAME
from qpv_geo.commands.prefect_server import configured_server
from qpv_geo.errors import ConfigurationError
from tests.prefect_server import ROOT, PatientTransport, free_port, wait_for

HIDDEN = "jeton-de-la-ville"
HOSTILE = {
    "pull_steps": [{"prefect.deployments.steps.run_shell_script": {"script": "id"}}],
    "entrypoint": "a.py:a",
}
GUESS = "qpv-geo:mot-de-passe-devine"
ELSEWHERE = {"Origin": "https://ailleurs.example"}


@dataclass
class Served:
    """A server that ``serve`` started, what it logged, and what its owner needs to get in."""

    port: int
    home: Path
    log: Path
    process: subprocess.Popen[bytes]
    token: dict[str, str]

    @property
    def password(self) -> str:
        """The line of the file."""
        return (self.home / FILE_NAME).read_text(encoding="ascii").strip()

    def client(self, *, password: str | None = None, token: bool = False) -> httpx.Client:
        """Return a client with or without the password and the CSRF token."""
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}/api",
            auth=httpx.BasicAuth(*password.split(":", 1)) if password else None,
            headers=self.token if token else {},
            timeout=60,
            transport=PatientTransport(),
        )

    def owner(self) -> httpx.Client:
        """Return a client that has both."""
        return self.client(password=self.password, token=True)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder, port = tmp_path_factory.mktemp("serve"), free_port()
    log, home = folder / "serve.log", folder / "accueil"
    unprotected = {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # What an administrator may have set for another server opens nothing here.
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "false",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "*",
        "PREFECT_API_AUTH_STRING": "autre:serveur",
        "NO_COLOR": "1",
    }
    environment = {
        name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"
    } | unprotected
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "qpv_geo", "serve", "--port", str(port), "--data", str(folder / "data")],
            env=environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(
            "serve is ready", lambda: process.poll() is not None or "stop with SIGTERM" in log.read_text()
        )
        server = Served(port, home, log, process, {})
        with server.client(password=server.password) as client:
            token = client.get("/csrf-token", params={"client": "essais"}).raise_for_status().json()["token"]
        server.token = {"Prefect-Csrf-Client": "essais", "Prefect-Csrf-Token": token}
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=120)


@pytest.fixture(scope="module")
def targets(served: Served) -> dict[str, str]:
    """A deployment that no process serves, and a notification secret; the ids by kind."""
    with served.owner() as owner:

        def make(path: str, **body: object) -> str:
            made: str = owner.post(path, json=body).raise_for_status().json()["id"]
            return made

        flow = make("/flows/", name="cible")
        deployment = make("/deployments/", name="cible", flow_id=flow)
        kind = owner.get("/block_types/slug/secret").raise_for_status().json()["id"]
        schemas = {"block_schemas": {"block_type_id": {"any_": [kind]}}}
        (schema,) = owner.post("/block_schemas/filter", json=schemas).raise_for_status().json()
        block = make(
            "/block_documents/",
            name="jeton",
            block_type_id=kind,
            block_schema_id=schema["id"],
            data={"value": HIDDEN},
        )
    return {"flow": flow, "deployment": deployment, "block": block}


ATTACKS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "create a deployment": ("POST", "/deployments/", {"name": "autre", "flow_id": "{flow}"} | HOSTILE),
    "replace a deployment": ("POST", "/deployments/", {"name": "cible", "flow_id": "{flow}"} | HOSTILE),
    "change the steps of a deployment": ("PATCH", "/deployments/{deployment}", HOSTILE),
    "run a deployment": ("POST", "/deployments/{deployment}/create_flow_run", {}),
    "read all secrets": ("POST", "/block_documents/filter", {"include_secrets": True}),
    "read a secret": ("GET", "/block_documents/{block}?include_secrets=true", {}),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_password_and_a_token_are_needed(attack: str, served: Served, targets: dict[str, str]) -> None:
    method, path, body = ATTACKS[attack]
    if "flow_id" in body:
        body = body | {"flow_id": targets["flow"]}

    def ask(client: httpx.Client, **headers: str) -> httpx.Response:
        with client:
            return client.request(
                method, path.format(**targets), json=body if method != "GET" else None, headers=headers
            )

    changing = method != "GET"
    refused = [
        (ask(served.client()), 403 if changing else 401),
        (ask(served.client(), **ELSEWHERE), 403 if changing else 401),
        (ask(served.client(token=True)), 401),
        (ask(served.client(token=True, password=GUESS)), 401),
    ]
    if changing:
        refused.append((ask(served.client(password=served.password)), 403))
    for answer, status in refused:
        assert answer.status_code == status, answer.text
        assert HIDDEN not in answer.text
        assert "Access-Control-Allow-Origin" not in answer.headers
    granted = ask(served.owner())
    assert granted.is_success, granted.text
    assert (HIDDEN in granted.text) == ("secret" in attack)


def test_a_token_is_not_given_without_the_password(served: Served) -> None:
    with served.client() as client:
        assert client.get("/csrf-token", params={"client": "x"}).status_code == 401


@pytest.mark.parametrize("path", ["events/in", "events/out", "logs/out", "task_runs/subscriptions/scheduled"])
def test_no_socket_opens_without_the_password(path: str, served: Served) -> None:
    def first_answer(message: dict[str, str]) -> str:
        address = f"ws://127.0.0.1:{served.port}/api/{path}"
        with connect(address, subprotocols=[Subprotocol("prefect")]) as websocket:
            websocket.send(json.dumps(message))
            return str(websocket.recv(timeout=10))

    for message in ({"type": "watch"}, {"type": "auth"}, {"type": "auth", "token": GUESS}):
        with pytest.raises(ConnectionClosed):
            first_answer(message)
    assert "auth_success" in first_answer({"type": "auth", "token": served.password})


def test_only_its_own_pages_may_read_what_it_answers(served: Served) -> None:
    own = f"http://127.0.0.1:{served.port}"
    with served.owner() as owner:
        foreign = owner.get("/admin/version", headers=ELSEWHERE)
        preflight = owner.options(
            "/deployments/", headers=ELSEWHERE | {"Access-Control-Request-Method": "POST"}
        )
        ours = owner.get("/admin/version", headers={"Origin": own})
    assert (foreign.status_code, preflight.status_code) == (200, 400)
    assert all("Access-Control-Allow-Origin" not in answer.headers for answer in (foreign, preflight))
    assert ours.headers["Access-Control-Allow-Origin"] == own


def test_its_pages_find_it_on_any_port_and_ask_for_the_password(served: Served) -> None:
    settings = httpx.get(f"http://127.0.0.1:{served.port}/ui-settings").json()
    assert (settings["api_url"], settings["auth"], settings["csrf_enabled"]) == ("/api", "BASIC", True)
    assert settings["available_uis"] == ["v1", "v2"]
    assert (served.home / "ui").is_dir()


def test_the_password_is_in_its_file_alone(served: Served) -> None:
    path = served.home / FILE_NAME
    assert path.stat().st_mode & 0o777 == 0o600
    assert served.home.stat().st_mode & 0o777 == 0o700
    secret = served.password.partition(":")[2]
    log = served.log.read_text(encoding="utf-8")
    assert str(path) in log
    assert secret not in log
    listing = "\n".join(
        " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])
    )
    assert f"create_app --host 127.0.0.1 --port {served.port}" in listing
    assert secret not in listing


def test_a_configured_server_needs_its_password(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{served.port}/api"
    monkeypatch.setenv("PREFECT_HOME", str(served.home))
    monkeypatch.delenv("PREFECT_API_AUTH_STRING", raising=False)
    monkeypatch.setenv("PREFECT_API_URL", url)
    with pytest.raises(ConfigurationError, match="PREFECT_API_AUTH_STRING is not set"):
        configured_server()
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", GUESS)
    with pytest.raises(ConfigurationError, match="PREFECT_API_AUTH_STRING is not its own"):
        configured_server()
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", served.password)
    assert configured_server() == url

    profiles = served.home / "profiles.toml"
    monkeypatch.setenv("PREFECT_PROFILE", "bureau")
    monkeypatch.delenv("PREFECT_API_AUTH_STRING")
    profiles.write_text(
        f'[profiles.bureau]\nPREFECT_API_AUTH_STRING = "{served.password}"\n', encoding="utf-8"
    )
    try:
        assert configured_server() == url
    finally:
        profiles.unlink()


def test_whoever_took_the_port_first_is_not_taken_for_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_STARTUP", 1.0)
    with (
        socket.create_server(("127.0.0.1", 0)) as impostor,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as server,
    ):
        port = impostor.getsockname()[1]
        impostor.settimeout(0.1)
        with pytest.raises(ConfigurationError, match="did not start within 1 s"):
            serve._wait_for(port, server)
        with pytest.raises(TimeoutError):
            impostor.accept()
