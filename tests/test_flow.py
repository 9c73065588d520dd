"""The Prefect flow: its states tell the truth, its artifacts tell what was done."""

import json
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import Artifact
from prefect.testing.utilities import prefect_test_harness
from publishing import change, snapshot_copy

from flows.refresh import refresh
from tests.country import publish_country
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


def test_a_run_publishes_and_leaves_its_artifacts(tmp_path: Path) -> None:
    summary = refresh(offline=True, data=str(tmp_path))
    assert summary["layers"]["qpv"] == 6
    found = artifacts()
    report = found["rapport"].data
    assert isinstance(report, str)
    assert summary["release"] in report
    assert "Instantané" in report
    assert {row["source"] for row in rows(found["sources"])} >= {"qpv_2024", "insee_population"}
    assert all(row["resultat"] for row in rows(found["controles"]))


def test_a_broken_contract_fails_the_run(
    tmp_path: Path, sites: OfficialSites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QPV_GEO_OFFICIAL_SITES", sites.url)
    publish_country(sites)
    sites.publish("insee_population", b"codeQPV;popMuniQPV\nQN02503M;-5\n")
    state = refresh(data=str(tmp_path), return_state=True)
    assert state.is_failed()
    assert "-5" in (state.message or "")


def test_a_source_out_of_reach_fails_its_task_and_not_the_run(
    tmp_path: Path, sites: OfficialSites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QPV_GEO_OFFICIAL_SITES", sites.url)
    publish_country(sites)
    sites.misbehave("geo.api.gouv.fr", 404)
    state = refresh(data=str(tmp_path), return_state=True)
    assert state.is_completed()
    origins = {row["source"]: row["origine"] for row in state.result()["sources"]}
    assert origins["communes_epci"] == "snapshot"
    assert origins["qpv_2024"] == "live"
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs()
    states = {run.name: run.state_name for run in runs if run.flow_run_id == state.state_details.flow_run_id}
    assert states["fetch-communes_epci"] == "Failed"
    assert states["fetch-qpv_2024"] == "Completed"


def test_a_held_release_fails_the_run_and_leaves_its_differences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr("flows.hooks.notify", lambda *message: told.append(message))
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
    assert "version retenue" in subject
    assert message in body
