"""``qpv-geo serve`` as administrators run it: one command, its own server, stopped by SIGTERM."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from flows.server_password import server_password
from tests.prefect_server import PrefectServer, free_port, wait_for


def start(*arguments: str | Path, log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with log.open("ab") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "qpv_geo", "serve", *map(str, arguments)],
            env=environment,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )


@pytest.fixture
def prefect(tmp_path: Path) -> Iterator[PrefectServer]:
    """A client of the server that ``serve`` is about to start."""
    (tmp_path / "accueil").mkdir(mode=0o700)
    server = PrefectServer(tmp_path / "accueil", {})
    del server.environment["PREFECT_API_URL"]
    yield server
    server.stop_all()


def test_one_command_serves_runs_and_stops(tmp_path: Path, prefect: PrefectServer) -> None:
    data, log = tmp_path / "données", tmp_path / "serve.log"
    process = start("--data", data, "--port", str(prefect.port), log=log, environment=prefect.environment)
    try:
        wait_for(
            "serve is ready", lambda: process.poll() is not None or "stop with SIGTERM" in log.read_text()
        )
        assert process.poll() is None, log.read_text()
        prefect.log_in(server_password(prefect.home))
        wait_for("the deployments are there", lambda: prefect.has_deployment("refresh/refresh-manuel"))
        weekly = prefect.deployment("refresh/refresh-hebdomadaire")
        assert [schedule["active"] for schedule in weekly["schedules"]] == [True]
        second = start(
            "--data",
            tmp_path / "autre",
            "--port",
            str(prefect.port),
            log=tmp_path / "second.log",
            environment=prefect.environment,
        )
        assert second.wait(timeout=120) == 2
        assert f"port {prefect.port} of this machine" in (tmp_path / "second.log").read_text(encoding="utf-8")
        assert prefect.try_run("refresh/refresh-manuel", wait=-1).status_code in {409, 422}
        # Pages may ask nobody else, whatever they are made to.
        policy = httpx.get(f"http://127.0.0.1:{prefect.port}/").headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'self' ")
        run_id = prefect.run("refresh/refresh-manuel", offline=True)
        assert prefect.end_of(run_id)["type"] == "COMPLETED", prefect.log(run_id)
        assert (data / "out" / "besancon" / "latest").is_symlink()
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(timeout=120)
    assert status == 0
    assert not prefect.is_up()
    text = log.read_text(encoding="utf-8")
    assert "stopped" in text
    assert "\x1b" not in text
    assert "Traceback" not in text


@pytest.mark.matrix
def test_what_serve_starts_ends_with_it_even_if_it_is_killed() -> None:
    code = (
        "import subprocess, sys, time\n"
        "from flows.serve import end_with_parent\n"
        "command = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "child = subprocess.Popen(command, preexec_fn=end_with_parent)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    psutil.wait_procs([child], timeout=60)
    assert not child.is_running()


def test_a_server_that_does_not_answer_is_wrong_configuration(tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    silent = {"PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api", "PREFECT_HOME": str(tmp_path)}
    process = start(log=log, environment=os.environ | silent)
    assert process.wait(timeout=120) == 2
    assert "does not answer" in log.read_text(encoding="utf-8")


def test_a_refresh_says_so_as_well_and_writes_nothing(tmp_path: Path) -> None:
    silent = {"PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api", "PREFECT_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "qpv_geo", "refresh", "--offline", "--data", str(tmp_path / "data")],
        env=os.environ | silent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "does not answer" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_an_unknown_territory_is_refused_before_anything_starts(tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    process = start("--territory", "atlantide", log=log, environment=dict(os.environ))
    assert process.wait(timeout=120) == 2
    assert "no territory 'atlantide'" in log.read_text(encoding="utf-8")
