"""The Prefect flow: its states tell the truth, its artifacts tell what was done."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import Artifact
from prefect.testing.utilities import prefect_test_harness

from flows.refresh import refresh
from tests.country import publish_country
from tests.server import OfficialSites


@pytest.fixture(scope="module", autouse=True)
def _server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


def artifacts() -> dict[str | None, Artifact]:
    with get_client(sync_client=True) as client:
        return {artifact.key: artifact for artifact in client.read_artifacts()}


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
    sites.publish("insee_population", b"CODGEO;PMUN\nQN02503M;-5\n")
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
