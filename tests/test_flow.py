"""The Prefect flow: its states tell the truth, its artifacts tell what was done."""

import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import Artifact, State, StateType, TaskRun
from prefect.testing.utilities import prefect_test_harness

from flows.all_territories import refresh_all
from flows.refresh import refresh
from flows.runs import run_name
from qpv_geo.errors import TerritoriesError
from qpv_geo.settings import Settings
from tests.country import publish_country
from tests.faults.gates import GATES, Damage, assert_nothing_published, damage_drafts
from tests.publishing import change, snapshot_copy
from tests.server import OfficialSites


@pytest.fixture(scope="module", autouse=True)
def _server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


def artifacts() -> dict[str | None, Artifact]:
    """Return the newest artifact of each key."""
    with get_client(sync_client=True) as client:
        found = client.read_artifacts()
    return {artifact.key: artifact for artifact in sorted(found, key=attrgetter("created"))}


def rows(artifact: Artifact) -> list[dict[str, Any]]:
    assert isinstance(artifact.data, str)
    table: list[dict[str, Any]] = json.loads(artifact.data)
    return table


def task_runs(state: State[Any]) -> dict[str, TaskRun]:
    """Return the tasks of a run by name, in the order in which they began; some never do."""
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs()
    mine = [run for run in runs if run.flow_run_id == state.state_details.flow_run_id and run.start_time]
    return {run.name: run for run in sorted(mine, key=attrgetter("start_time"))}


def test_a_run_publishes_and_leaves_its_artifacts(tmp_path: Path) -> None:
    state = refresh(offline=True, data=str(tmp_path), return_state=True)
    summary = state.result()
    assert summary["layers"]["qpv"] == 6
    steps = task_runs(state)
    assert list(steps) == ["fetch", "read", "join", "write", "verify", "publish"]
    for before, step in zip(steps.values(), list(steps.values())[1:], strict=False):
        assert step.state_name == "Completed"
        assert step.total_run_time > timedelta()
        inputs = [str(one.id) for given in step.task_inputs.values() for one in given]
        assert inputs, f"{step.name} follows {before.name} in the graph"
    assert not list((tmp_path / "out").rglob(".tmp-*"))
    again = refresh(offline=True, data=str(tmp_path), return_state=True)
    assert again.result()["state"] == "unchanged"
    assert list(task_runs(again)) == ["fetch"]
    found = artifacts()
    report = found["rapport"].data
    assert isinstance(report, str)
    assert summary["release"] in report
    assert "Données fournies avec le programme" in report
    assert {row["source"] for row in rows(found["sources"])} >= {"qpv_2024", "insee_population"}
    assert all(row["resultat"] for row in rows(found["controles"]))


@GATES
def test_the_flow_passes_every_gate(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, damage: Damage, words: str
) -> None:
    damage_drafts(monkeypatch, damage)
    state = refresh(offline=True, data=str(settings.data_dir), return_state=True)
    assert state.is_failed()
    assert words in (state.message or "")
    assert_nothing_published(settings)


def test_a_broken_contract_fails_the_run(
    tmp_path: Path, sites: OfficialSites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QPV_GEO_OFFICIAL_SITES", sites.url)
    publish_country(sites)
    sites.publish("insee_population", b"codeQPV;popMuniQPV\nQN02503M;-5\n")
    state = refresh(data=str(tmp_path), return_state=True)
    assert state.is_failed()
    assert "-5" in (state.message or "")


def test_a_run_that_does_without_a_source_is_green_and_says_why(
    tmp_path: Path, sites: OfficialSites, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("QPV_GEO_OFFICIAL_SITES", sites.url)
    publish_country(sites)
    sites.misbehave("geo.api.gouv.fr", 404)
    state = refresh(data=str(tmp_path), return_state=True)
    assert state.is_completed()
    origins = {row["source"]: row["origine"] for row in state.result()["sources"]}
    assert origins["communes_epci"] == "snapshot"
    assert origins["qpv_2024"] == "live"
    runs = task_runs(state)
    assert {run.state_type for run in runs.values()} == {StateType.COMPLETED}
    names = {name: run.state_name for name, run in runs.items()}
    assert names["fetch-communes_epci"] == "Données fournies"
    assert names["fetch-bpe"] == "Absente"
    assert names["fetch-qpv_2024"] == names["fetch"] == "Completed"
    communes, bpe = (runs[f"fetch-{key}"].state for key in ("communes_epci", "bpe"))
    assert communes
    assert bpe
    assert "a répondu 404" in (communes.message or "")
    assert (bpe.message or "").startswith("Source facultative : ")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(state.state_details.flow_run_id)
    assert run.expected_start_time
    day = run.expected_start_time.astimezone(ZoneInfo("Europe/Paris"))
    assert run.name == f"besancon · direct · {day:%Y-%m-%d}"


@pytest.mark.parametrize(
    ("start", "day"),
    [
        ("2026-11-30T22:59:59+00:00", "2026-11-30"),
        ("2026-11-30T23:00:00+00:00", "2026-12-01"),
        ("2026-07-01T22:00:00+00:00", "2026-07-02"),
    ],
)
def test_the_name_of_a_run_has_the_day_of_paris(
    start: str, day: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = SimpleNamespace(parameters=None, scheduled_start_time=datetime.fromisoformat(start))
    monkeypatch.setattr("flows.runs.this_run", begun)
    assert run_name() == f"toutes · direct · {day}"


def test_a_required_source_out_of_reach_fails_its_task_and_the_run(
    tmp_path: Path, sites: OfficialSites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QPV_GEO_OFFICIAL_SITES", sites.url)
    publish_country(sites)
    sites.misbehave("data.gouv.fr", 404)
    state = refresh(data=str(tmp_path), require_live=True, return_state=True)
    assert state.is_failed()
    assert "--require-live forbids" in (state.message or "")
    assert task_runs(state)["fetch-qpv_2024"].state_name == "Failed"


def test_a_held_release_fails_the_run_and_leaves_its_differences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr("flows.runs.notify", lambda *message: told.append(message))
    snapshot = snapshot_copy(tmp_path / "raw" / "snapshot")
    refresh(offline=True, data=str(tmp_path))
    change(snapshot / "insee" / "pop_QPV24.csv", "15603", "20000")
    state = refresh(offline=True, data=str(tmp_path), return_state=True)
    assert state.is_failed()
    message = state.message or ""
    assert "is held: it is complete and verified" in message
    assert "`qpv-geo releases publish " in message
    differences = artifacts()["differences"].data
    assert isinstance(differences, str)
    assert "retenue, rien n'a été publié" in differences
    assert "QN02503M : 15\u202f603 → 20\u202f000" in differences
    ((subject, body),) = told
    assert "publication retenue" in subject
    assert message in body


def test_some_territories_are_published_and_listed_in_an_artifact(mirror: Path, tmp_path: Path) -> None:
    spoiled = tmp_path / "out" / "cc-du-grand-pontarlier" / "latest"
    spoiled.parent.mkdir(parents=True)
    spoiled.write_text("a file where a link goes", encoding="utf-8")
    only = ("242500338", "242010056")
    with pytest.raises(TerritoriesError, match="1 of 2 territories were not published"):
        refresh_all(mirror=str(mirror), data=str(tmp_path), pages=False, only=only, workers=1)
    states = {row["territoire"]: row["etat"] for row in rows(artifacts()["territoires"])}
    assert states == {"cc-du-grand-pontarlier": "échec", "ca-du-pays-ajaccien": "publiée"}
