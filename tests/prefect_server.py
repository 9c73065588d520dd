"""A real Prefect server and a real worker on this machine, as processes of their own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx

ROOT = Path(__file__).parents[1]
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
LOGIN = "essais:mot-de-passe-des-essais"
_PATIENCE = 300.0
_Found = TypeVar("_Found")


def free_port() -> int:
    """Return a port that nobody listens to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def wait_for(what: str, look: Callable[[], _Found | None], patience: float = _PATIENCE) -> _Found:
    """Return what `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {patience:g} s")


class PatientTransport(httpx.HTTPTransport):
    """Asks again while the server's database is busy, as it is when it has just started."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the first answer that is not 503."""

        def answer() -> httpx.Response | None:
            response = super(PatientTransport, self).handle_request(request)
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return response
            response.close()
            return None

        return wait_for("the server has time", answer)


class PrefectServer:
    """Processes that share a Prefect home of their own.

    Parameters
    ----------
    home
        Folder for Prefect's database and the logs of the processes.
    environment
        Added to the environment of every process.
    """

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self.home = home
        self.port = free_port()
        self.api = f"http://127.0.0.1:{self.port}/api"
        self.environment = os.environ | {
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": self.api,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_API_AUTH_STRING": LOGIN,
            "PREFECT_API_AUTH_STRING": LOGIN,
            "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            # Retries take a minute each where the server is gone.
            "PREFECT_CLIENT_MAX_RETRIES": "2",
            "NO_COLOR": "1",
        }
        self.environment |= environment
        self._client = httpx.Client(base_url=self.api, timeout=60, transport=PatientTransport())
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *arguments: str) -> None:
        """Start a process of Prefect's in the background; its log is in the home."""
        with (self.home / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "prefect", *arguments],
                env=self.environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def start_server(self) -> None:
        """Start the server and wait until it answers."""
        self.start("server", "server", "start", "--host", "127.0.0.1", "--port", str(self.port), "--no-ui")
        wait_for("the server starts", self.is_up)
        self.log_in(LOGIN)

    def log_in(self, login: str) -> None:
        """Send the password and a CSRF token with every request from now on."""
        self._client.auth = httpx.BasicAuth(*login.split(":", 1))
        answer = self._client.get("/csrf-token", params={"client": "essais"}).raise_for_status()
        token = answer.json()["token"]
        self._client.headers.update({"Prefect-Csrf-Client": "essais", "Prefect-Csrf-Token": token})

    def is_up(self) -> bool:
        """Tell whether the server answers."""
        try:
            return self._client.get("/health").is_success
        except httpx.TransportError:
            return False

    def stop(self, name: str) -> None:
        """End a process that was started, as systemd does."""
        process = self._processes.pop(name)
        process.terminate()
        # A server waits for its background services longer than anybody has time.
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop_all(self) -> None:
        """End every process that was started, the last one first."""
        # The server waits for connections that are open.
        self._client.close()
        for name in reversed(list(self._processes)):
            self.stop(name)

    def command(self, *arguments: str) -> str:
        """Run a command of Prefect's to its end and return what it printed."""
        return self.python("-m", "prefect", *arguments)

    def python(self, *arguments: str) -> str:
        """Run Python against the server and return what it printed."""
        done = subprocess.run(
            [sys.executable, *arguments],
            env=self.environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, path: str, **body: object) -> httpx.Response:
        """Return what the API answers to a POST."""
        return self._client.post(path, json=body).raise_for_status()

    def has_deployment(self, name: str) -> bool:
        """Tell whether there is a deployment ``flow/deployment``."""
        return self._client.get(f"/deployments/name/{name}").is_success

    def deployment(self, name: str) -> dict[str, Any]:
        """Return a deployment by ``flow/deployment``."""
        found: dict[str, Any] = self._client.get(f"/deployments/name/{name}").raise_for_status().json()
        return found

    def try_run(self, name: str, **parameters: object) -> httpx.Response:
        """Ask for a run of a deployment and return the answer."""
        deployment = self.deployment(name)
        wanted = {"parameters": deployment["parameters"] | parameters}
        return self._client.post(f"/deployments/{deployment['id']}/create_flow_run", json=wanted)

    def run(self, name: str, **parameters: object) -> str:
        """Ask for a run of a deployment and return its id."""
        run_id: str = self.try_run(name, **parameters).raise_for_status().json()["id"]
        return run_id

    def state(self, run_id: str) -> dict[str, Any]:
        """Return the state of a run."""
        run = self._client.get(f"/flow_runs/{run_id}").raise_for_status().json()
        state: dict[str, Any] = run["state"]
        return state

    def end_of(self, run_id: str) -> dict[str, Any]:
        """Wait for the end of a run and return its last state."""

        def ended() -> dict[str, Any] | None:
            state = self.state(run_id)
            return state if state["type"] in FINAL else None

        return wait_for(f"run {run_id} ends", ended)

    def artifacts(self, run_id: str) -> dict[str, Any]:
        """Return the artifacts of a run and of its tasks, by key."""
        query = {"flow_runs": {"id": {"any_": [run_id]}}, "limit": 200}
        return {artifact["key"]: artifact for artifact in self.ask("/artifacts/filter", **query).json()}

    def log(self, run_id: str) -> str:
        """Return the log of a run and of its tasks."""
        query = {"logs": {"flow_run_id": {"any_": [run_id]}}, "limit": 200, "sort": "TIMESTAMP_ASC"}
        return "\n".join(line["message"] for line in self.ask("/logs/filter", **query).json())

    def cancel(self, run_id: str) -> None:
        """Cancel a run, as the button of the pages does."""
        self.ask(f"/flow_runs/{run_id}/set_state", state={"type": "CANCELLING", "name": "Cancelling"})

    def count_runs(self) -> int:
        """Return how many runs there are that were not planned by a schedule."""
        query = {"flow_runs": {"state": {"type": {"not_any_": ["SCHEDULED"]}}}}
        number: int = self.ask("/flow_runs/count", **query).json()
        return number
