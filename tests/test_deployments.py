"""The deployments of prefect.yaml on a real server, run by a real worker."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qpv_geo.audit.verify import verify_release
from qpv_geo.lock import territory_lock
from qpv_geo.sources.catalogue import load_catalogue
from tests.country import publish_country
from tests.faults.world import population
from tests.prefect_server import FINAL, ROOT, PrefectServer, wait_for
from tests.server import OfficialSites
from tests.webhook import Webhook

WORKER = ("worker", "start", "--pool", "qpv-geo", "--type", "process")
MANUAL, WEEKLY, DAILY = "refresh/refresh-manuel", "refresh/refresh-hebdomadaire", "watch/veille-quotidienne"
HIDDEN = "jeton-de-la-ville"
CONFIGURE = """
import sys
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.variables import Variable

CustomWebhookNotificationBlock(
    name="essai",
    url=sys.argv[1],
    secrets={"jeton": sys.argv[2]},
    json_data={"subject": "{{subject}}", "body": "{{body}}"},
).save("essai")
Variable.set("qpv_geo_notifications", ["custom-webhook/essai"])
"""


@pytest.fixture(scope="module")
def online(snapshot: Path) -> Iterator[OfficialSites]:
    with OfficialSites(snapshot) as server:
        publish_country(server)
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agglo de l'été")


@pytest.fixture(scope="module")
def territory(folder: Path, online: OfficialSites) -> str:
    """Besançon without the sources that the played sites do not have."""
    absent = [s.id for s in load_catalogue().used() if not s.required and s.id not in online._files]
    shipped = (ROOT / "qpv_geo" / "territories" / "besancon.toml").read_text(encoding="utf-8")
    path = folder / "besancon.toml"
    path.write_text(f"sources_ignorees = {json.dumps(absent)}\n{shipped}", encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    with Webhook() as server:
        yield server


@pytest.fixture(scope="module")
def prefect(
    tmp_path_factory: pytest.TempPathFactory, online: OfficialSites, webhook: Webhook
) -> Iterator[PrefectServer]:
    server = PrefectServer(tmp_path_factory.mktemp("prefect"), {"QPV_GEO_OFFICIAL_SITES": online.url})
    try:
        server.start_server()
        server.ask("/work_pools/", name="qpv-geo", type="process")
        server.command("--no-prompt", "deploy", "--all")
        server.python("-c", CONFIGURE, f"{webhook.url}/{{{{jeton}}}}", HIDDEN)
        server.start("worker", *WORKER)
        yield server
    finally:
        server.stop_all()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "données"


@pytest.fixture(scope="module")
def first_run(prefect: PrefectServer, folder: Path, territory: str, webhook: Webhook) -> str:
    """A manual run that published, of which nobody was notified."""
    webhook.messages.clear()
    run_id = prefect.run(MANUAL, territory=territory, data=str(folder / "données"))
    assert prefect.end_of(run_id)["type"] == "COMPLETED", prefect.log(run_id)
    assert webhook.messages == []
    return run_id


@pytest.fixture(scope="module")
def shared_data(first_run: str, folder: Path) -> Path:  # noqa: ARG001 - it is what published there
    return folder / "données"


def latest(data: Path) -> Path:
    return (data / "out" / "besancon" / "latest").resolve()


def traces(data: Path) -> list[str]:
    """Return what a run left, but for the file that is locked."""
    return sorted(
        path.relative_to(data).as_posix()
        for path in data.rglob("*")
        if ".tmp-" in path.as_posix() or ".unfinished" in path.as_posix() or path.name == ".lock-holder.json"
    )


def run_process(data: Path) -> int:
    """Return the process of the run that holds the lock."""
    holder = data / "out" / "besancon" / ".lock-holder.json"
    wait_for("a run holds the lock", holder.is_file)
    pid: int = json.loads(holder.read_text(encoding="utf-8"))["pid"]
    return pid


def is_over(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_the_schedules_are_listed(prefect: PrefectServer) -> None:
    weekly, daily, manual = (prefect.deployment(name) for name in (WEEKLY, DAILY, MANUAL))
    assert weekly["schedules"][0]["schedule"] == {
        "cron": "0 5 * * 1",
        "timezone": "Europe/Paris",
        "day_or": True,
    }
    assert daily["schedules"][0]["schedule"]["cron"] == "0 6 * * *"
    assert all(schedule["active"] for schedule in weekly["schedules"] + daily["schedules"])
    assert manual["schedules"] == []
    assert {d["work_pool_name"] for d in (weekly, daily, manual)} == {"qpv-geo"}


def test_the_form_of_the_manual_run_says_what_each_parameter_is(prefect: PrefectServer) -> None:
    manual = prefect.deployment(MANUAL)
    assert manual["enforce_parameter_schema"]
    properties = manual["parameter_openapi_schema"]["properties"]
    assert set(properties) == {
        "territory",
        "offline",
        "mirror",
        "require_live",
        "data",
        "formats",
        "force",
        "wait",
    }
    assert properties["wait"]["title"] == "Attente"
    for name, schema in properties.items():
        assert schema["description"], name
        assert schema["title"] != name
        assert "type" in schema or "anyOf" in schema, name


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"territory": ""}, "territory"),
        ({"offline": "peut-être"}, "offline"),
        ({"mirror": 12}, "mirror"),
        ({"data": ""}, "data"),
        ({"wait": -1}, "wait"),
        ({"formats": ["shapefile"]}, "formats"),
    ],
    ids=["territory", "not a boolean", "not a text", "empty", "negative", "not a format"],
)
def test_a_bad_parameter_is_refused_before_any_run(
    prefect: PrefectServer, parameters: dict[str, Any], words: str
) -> None:
    runs = prefect.count_runs()
    answer = prefect.try_run(MANUAL, **parameters)
    assert answer.status_code in {409, 422}
    assert words in answer.text
    assert prefect.count_runs() == runs


def test_a_manual_run_publishes_and_leaves_its_artifacts(
    prefect: PrefectServer, first_run: str, shared_data: Path
) -> None:
    assert verify_release(latest(shared_data)) == []
    artifacts = prefect.artifacts(first_run)
    assert latest(shared_data).name in artifacts["rapport"]["data"]
    assert "qpv_2024" in artifacts["sources"]["data"]
    assert "conforme" in artifacts["controles"]["data"]
    assert "Première publication" in artifacts["differences"]["data"]
    downloads = {key: a for key, a in artifacts.items() if key.startswith("telechargement-")}
    assert "telechargement-insee-population" in downloads
    assert {a["data"] for a in downloads.values()} == {100.0}
    assert re.search(r"qpv_2024: qpv-2024-geojson\.zip, \d+ bytes, live, \d+\.\d s", prefect.log(first_run))


def test_the_command_runs_as_a_flow_where_a_server_is_configured(
    prefect: PrefectServer, data: Path, webhook: Webhook
) -> None:
    def refresh(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "qpv_geo", "refresh", "--prefect", "--data", str(data), *options]
        return subprocess.run(
            command, env=prefect.environment, cwd=ROOT, capture_output=True, text=True, check=False
        )

    runs = prefect.count_runs()
    done = refresh("--offline")
    assert done.returncode == 0, done.stderr
    assert f"(published): {latest(data)}" in done.stdout
    with territory_lock(data / "out" / "besancon"):
        failed = refresh("--offline")
    assert (failed.returncode, failed.stdout) == (6, "")
    assert f"process {os.getpid()}" in failed.stderr
    assert "Traceback" not in done.stderr + failed.stderr
    assert prefect.count_runs() == runs + 2
    wait_for("the webhook is called", lambda: webhook.messages)
    webhook.messages.clear()


def test_wrong_usage_ends_failed_at_once(prefect: PrefectServer, data: Path, webhook: Webhook) -> None:
    webhook.messages.clear()
    run_id = prefect.run(MANUAL, data=str(data), offline=True, require_live=True)
    state = prefect.end_of(run_id)
    assert state["type"] == "FAILED"
    assert "« Hors ligne » and « Exiger les sites officiels » contradict each other" in state["message"]
    assert not data.exists()
    # A run is told to have failed before people are.
    wait_for("the webhook is called", lambda: webhook.messages)


def test_the_watch_refreshes_only_what_changed(
    prefect: PrefectServer, territory: str, shared_data: Path, online: OfficialSites
) -> None:
    before, runs = latest(shared_data), prefect.count_runs()

    online.requests.clear()
    quiet = prefect.run(DAILY, territory=territory, data=str(shared_data))
    assert prefect.end_of(quiet)["type"] == "COMPLETED", prefect.log(quiet)
    assert prefect.count_runs() == runs + 1
    assert sum(request.body for request in online.requests) == 0
    assert "changée" not in prefect.artifacts(quiet)["veille"]["data"].replace("inchangée", "")

    online.publish("insee_population", population(15_700))
    changed = prefect.run(DAILY, territory=territory, data=str(shared_data))
    assert prefect.end_of(changed)["type"] == "COMPLETED", prefect.log(changed)
    assert prefect.count_runs() == runs + 3
    assert latest(shared_data) != before
    assert verify_release(latest(shared_data)) == []


def test_a_bad_source_ends_failed_says_why_and_somebody_is_told(
    prefect: PrefectServer, territory: str, shared_data: Path, online: OfficialSites, webhook: Webhook
) -> None:
    webhook.messages.clear()
    before, good = latest(shared_data), online.data("insee_population")
    online.publish("insee_population", b"codeQPV;popMuniQPV\nQN02503M;-5\n")
    try:
        run_id = prefect.run(MANUAL, territory=territory, data=str(shared_data))
        state = prefect.end_of(run_id)
    finally:
        online.publish("insee_population", good)
    assert state["type"] == "FAILED"
    for words in ("insee_population", "popMuniQPV", "-5"):
        assert words in state["message"]
    assert latest(shared_data) == before
    assert verify_release(before) == []
    (message,) = wait_for("the webhook is called", lambda: webhook.messages)
    assert message["path"] == f"/{HIDDEN}"
    assert "échec" in message["subject"]
    assert "-5" in message["body"]
    log = prefect.log(run_id)
    assert "Traceback" not in log
    assert HIDDEN not in log
    assert HIDDEN not in json.dumps(prefect.artifacts(run_id))
    assert HIDDEN not in (prefect.home / "worker.log").read_text(encoding="utf-8")


def test_a_held_release_ends_failed_somebody_is_told_and_may_publish_it(
    prefect: PrefectServer,
    territory: str,
    shared_data: Path,
    data: Path,
    online: OfficialSites,
    webhook: Webhook,
) -> None:
    webhook.messages.clear()
    shutil.copytree(shared_data, data, symlinks=True)
    before, good = latest(data), online.data("insee_population")
    online.publish("insee_population", population(20_000))
    try:
        run_id = prefect.run(MANUAL, territory=territory, data=str(data))
        state = prefect.end_of(run_id)
    finally:
        online.publish("insee_population", good)
    assert state["type"] == "FAILED"
    found = re.search(r"`qpv-geo releases publish (\S+) ", state["message"])
    assert found, state["message"]
    assert latest(data) == before
    assert verify_release(data / "out" / "besancon" / "held" / found[1]) == []
    (message,) = wait_for("the webhook is called", lambda: webhook.messages)
    assert message["subject"] == "qpv-geo, besancon : publication retenue (refresh)"
    assert f"releases publish {found[1]}" in message["body"]
    differences = prefect.artifacts(run_id)["differences"]["data"]
    assert "retenue" in differences
    assert "15\u202f700 → 20\u202f000" in differences
    told = ("releases", "publish", found[1], "--territory", territory, "--data", str(data))
    prefect.python("-m", "qpv_geo", *told)
    assert latest(data).name == found[1]


@pytest.mark.matrix
def test_a_cancelled_run_leaves_no_trace(
    prefect: PrefectServer, territory: str, data: Path, online: OfficialSites
) -> None:
    online.misbehave("fichier/8210600", "drip")
    try:
        run_id = prefect.run(MANUAL, territory=territory, data=str(data))
        process = run_process(data)
        wait_for("the run downloads", lambda: traces(data / "raw"))
        prefect.cancel(run_id)
        assert prefect.end_of(run_id)["type"] == "CANCELLED"
        wait_for("the process ends", lambda: is_over(process))
    finally:
        online.behave()
    wait_for("nothing is left", lambda: traces(data / "out") == [])
    assert [path.name for path in (data / "out" / "besancon").iterdir() if path.name != ".lock"] == []


@pytest.mark.matrix
def test_a_killed_run_ends_crashed_and_somebody_is_told(
    prefect: PrefectServer, territory: str, data: Path, online: OfficialSites, webhook: Webhook
) -> None:
    webhook.messages.clear()
    online.misbehave("fichier/8210600", "drip")
    try:
        run_id = prefect.run(MANUAL, territory=territory, data=str(data))
        os.kill(run_process(data), signal.SIGKILL)
        assert prefect.end_of(run_id)["type"] == "CRASHED"
    finally:
        online.behave()
    (message,) = wait_for("the webhook is called", lambda: webhook.messages)
    assert "interruption" in message["subject"]
    wait_for("nothing is left", lambda: traces(data / "out") == [])


@pytest.mark.matrix
def test_a_server_that_goes_away_in_mid_run_damages_nothing(
    prefect: PrefectServer, territory: str, shared_data: Path, online: OfficialSites
) -> None:
    before = latest(shared_data)
    online.publish("insee_population", population(15_800))
    online.misbehave("fichier/8210600", 503, times=1, retry_after="6")
    online.requests.clear()
    run_id = prefect.run(MANUAL, territory=territory, data=str(shared_data))
    wait_for("the run is asked to come back later", lambda: online.asked("fichier/8210600"))
    process = run_process(shared_data)
    prefect.stop("server")
    # Prefect then tries for minutes to send what happened.
    wait_for("the run is over", lambda: traces(shared_data) == [])
    assert verify_release(before) == []
    assert verify_release(latest(shared_data)) == []
    prefect.start_server()
    wait_for("its process ends", lambda: is_over(process))
    # As systemd does with a worker that gave up; one that did not would come back in minutes.
    prefect.stop("worker")
    prefect.start("worker", *WORKER)
    again = prefect.run(MANUAL, territory=territory, data=str(shared_data))
    assert prefect.end_of(again)["type"] == "COMPLETED", prefect.log(again)
    assert latest(shared_data) != before
    assert traces(shared_data) == []
    assert prefect.state(run_id)["type"] in FINAL | {"RUNNING"}
