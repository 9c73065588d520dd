"""All deployments in one process, without a worker: what ``qpv-geo serve`` runs."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

import httpx
import psutil
from prefect import serve
from prefect.deployments.runner import RunnerDeployment
from prefect.logging import get_logger
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    get_current_settings,
    temporary_settings,
)

from flows.deployments import declared
from flows.server_password import FILE_NAME, server_password
from qpv_geo.commands.prefect_server import configured_server
from qpv_geo.errors import ConfigurationError

_LOGGER = get_logger("qpv_geo.serve")
_STARTUP = 120.0
_PR_SET_PDEATHSIG = 1
# What pages may ask: this server alone. Prefect's ask a host of Amplitude, whatever its settings are.
_CONTENT = "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'none'"


def deployments(territory: str, data: Path, file: Path | None = None) -> list[RunnerDeployment]:
    """Return the deployments that ``prefect.yaml`` declares for a worker.

    They are of a territory, by its name or its TOML file, or of those that the TOML file `file` lists. `data`
    holds ``raw/`` and ``out/``.
    """
    served = (
        one.flow.to_deployment(
            one.name,
            description=one.description,
            schedules=one.schedules(),
            parameters={key: known[key] for key in known if key in one.flow.parameters.properties},
            tags=["qpv-geo"],
        )
        for one in declared(territory, file)
        for known in [{"territory": one.territory, "data": str(data.absolute())}]
    )
    return [cast("RunnerDeployment", deployment) for deployment in served]


def serve_deployments(territory: str, data: Path, port: int, file: Path | None = None) -> None:
    """Serve the deployments (see `deployments`) until SIGTERM or Ctrl+C.

    Uses the server that ``PREFECT_API_URL`` names; without it, starts one on this machine for as long as this
    runs, which listens on `port`. Raises `ConfigurationError` if the server does not answer or cannot be
    started, or the file is not valid.
    """
    served = deployments(territory, data, file)
    if configured_server():
        _serve(served)
        return
    home = get_current_settings().home
    password = server_password(home)
    with (
        _own_server(port, _server_environment(port, home, password)) as url,
        temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: password}),
    ):
        # Runs are processes of their own, which find the server there.
        os.environ |= {"PREFECT_API_URL": url, "PREFECT_API_AUTH_STRING": password}
        _LOGGER.info(
            "Prefect's pages: http://127.0.0.1:%d; log in with the whole line of %s", port, home / FILE_NAME
        )
        _serve(served)


def _serve(served: list[RunnerDeployment]) -> None:
    _LOGGER.info("serving %s; stop with SIGTERM", ", ".join(deployment.name for deployment in served))
    # Schedules stay on: those of another process that serves the same, and after a restart.
    serve(*served, pause_on_shutdown=False, print_starting_message=False)
    _LOGGER.info("stopped")


def _server_environment(port: int, home: Path, password: str) -> dict[str, str]:
    """Return the environment of the server, which only this account can read; `ps` shows arguments to all."""
    return os.environ | {
        "PREFECT__SERVER_FINAL": "1",
        "PREFECT_SERVER_API_AUTH_STRING": password,
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port}",
        # Relative: the pages find the API on any port, and through a tunnel or a proxy.
        "PREFECT_SERVER_UI_API_URL": "/api",
        # By default the pages are unpacked into the installed package, which a service cannot write.
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "ui"),
    }


@contextmanager
def _own_server(port: int, environment: dict[str, str]) -> Iterator[str]:
    """Run a Prefect server of this machine only; a group of its own, so that Ctrl+C reaches it last."""
    _require_free(port)
    # As `prefect server start`, which cannot be told of headers; what goes wrong comes on standard error.
    command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning", "--no-access-log"]
    command += ["--header", f"Content-Security-Policy:{_CONTENT}"]
    server = subprocess.Popen(  # noqa: S603 - our own words
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=end_with_parent,  # noqa: PLW1509 - no thread of ours runs yet
    )
    try:
        _wait_for(port, server)
        yield f"http://127.0.0.1:{port}/api"
    finally:
        # Runs that end meanwhile have something to tell it.
        runs = [child for child in psutil.Process().children() if child.pid != server.pid]
        psutil.wait_procs(runs, timeout=30)
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()


def end_with_parent() -> None:
    """Have the system end this process with the one that started it, also if that is killed (Linux)."""
    if prctl := getattr(ctypes.CDLL(None), "prctl", None):
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _require_free(port: int) -> None:
    """Refuse a port that is taken: what answers there would pass for the server that failed to start."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise ConfigurationError(
            f"port {port} of this machine cannot be listened to ({error.strerror}): another `qpv-geo serve` "
            "or a Prefect server may be there; stop it, give --port, or set PREFECT_API_URL to that server"
        ) from error


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server itself answers: whoever was quicker on its port must not get the password."""
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + _STARTUP
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise ConfigurationError(
                f"no Prefect server could be started at {address}: see what it says above"
            )
        with suppress(httpx.TransportError):
            if _listens(server.pid, port) and httpx.get(f"{address}/api/health", timeout=5).is_success:
                return
        time.sleep(0.2)
    raise ConfigurationError(f"the Prefect server at {address} did not start within {_STARTUP:g} s")


def _listens(pid: int, port: int) -> bool:
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:  # it has just ended
        return False
    return any(
        connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        for connection in connections
    )
