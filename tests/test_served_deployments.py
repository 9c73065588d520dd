"""``qpv-geo serve`` and prefect.yaml declare the same deployments, the usual ones or those of a file."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.schemas.objects import FlowRun
from prefect.deployments.runner import RunnerDeployment
from prefect.states import Completed, Failed

from flows.all_territories import refresh_all
from flows.deployments import prefect_yaml
from flows.digest import text_of
from flows.parameters import job_of_form
from flows.refresh import refresh
from flows.serve import deployments
from qpv_geo.errors import ConfigurationError
from tests.prefect_server import ROOT

PLAN = """
fuseau = "Indian/Reunion"
territoires = ["besancon", { nom = "ville.toml", refresh = "30 5 * * 1", veille = "" }]
toutes = "0 2 * * 6"
bilan = "0 8 * * 1"
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    shipped = (ROOT / "qpv_geo" / "territories" / "besancon.toml").read_text(encoding="utf-8")
    own = shipped.replace('id = "besancon"', 'id = "ville"')
    (tmp_path / "ville.toml").write_text(own, encoding="utf-8")
    path = tmp_path / "deploiements.toml"
    path.write_text(PLAN, encoding="utf-8")
    return path


def schedules(entry: RunnerDeployment) -> list[dict[str, Any]]:
    plans = [json.loads(plan.schedule.model_dump_json()) for plan in entry.schedules or []]
    return [{"cron": plan["cron"], "timezone": plan["timezone"]} for plan in plans]


def test_the_file_for_the_worker_is_the_one_that_is_written() -> None:
    assert (ROOT / "prefect.yaml").read_text(encoding="utf-8") == prefect_yaml()


@pytest.mark.parametrize("listed", [False, True])
def test_the_served_deployments_are_those_of_the_worker(tmp_path: Path, plan: Path, listed: bool) -> None:  # noqa: FBT001 - a case
    file = plan if listed else None
    declared = yaml.safe_load(prefect_yaml(file))["deployments"]
    served = deployments("besancon", tmp_path, file)
    assert [(d["name"], d["description"], d["tags"], d["schedules"]) for d in declared] == [
        (d.name, d.description, d.tags, schedules(d)) for d in served
    ]
    assert [d["entrypoint"].rpartition(":")[2] for d in declared] == [
        d.flow_name.replace("refresh-all", "refresh_all") for d in served
    ]
    assert all(d.parameters["data"] == str(tmp_path) for d in served if d.name != "bilan")


def test_a_file_lists_territories_with_their_schedules(tmp_path: Path, plan: Path) -> None:
    served = {d.name: d for d in deployments("besancon", tmp_path, plan)}
    zone = "Indian/Reunion"
    assert {name: schedules(d) for name, d in served.items()} == {
        "refresh-besancon": [{"cron": "0 5 * * 1", "timezone": zone}],
        "veille-besancon": [{"cron": "0 6 * * *", "timezone": zone}],
        "refresh-ville": [{"cron": "30 5 * * 1", "timezone": zone}],
        "veille-ville": [],
        "refresh-manuel": [],
        "refresh-toutes": [{"cron": "0 2 * * 6", "timezone": zone}],
        "bilan": [{"cron": "0 8 * * 1", "timezone": zone}],
    }
    assert served["refresh-ville"].parameters["territory"] == str(tmp_path / "ville.toml")
    assert "territory" not in served["refresh-toutes"].parameters


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("territoires = []", "at least 1"),
        ('territoires = ["atlantide"]', "no territory 'atlantide'"),
        ('territoires = ["absent.toml"]', "absent.toml"),
        ('territoires = [{ nom = "besancon", refresh = "lundi" }]', "lundi"),
        ('territoires = ["besancon"]\nfuseau = "Europe/Besançon"', "Europe/Besançon"),
        ('territoires = ["besancon"]\nhoraire = "x"', "horaire"),
        ("territoires = 12", "territoires"),
    ],
    ids=["none", "unknown", "absent", "cron", "zone", "key", "type"],
)
def test_a_file_that_is_not_valid_is_an_error_that_names_it(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "deploiements.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        deployments("besancon", tmp_path, path)
    assert words in str(caught.value)


def test_what_a_form_contradicts_is_told_in_its_own_words() -> None:
    with pytest.raises(ConfigurationError) as caught:
        job_of_form("besancon", offline=True, require_live=True)
    assert str(caught.value) == "« Hors ligne » and « Exiger les sites officiels » contradict each other"


def test_the_digest_counts_the_runs_and_names_those_that_did_not_end_well() -> None:
    runs = [
        FlowRun(flow_id="00000000-0000-0000-0000-000000000000", name=name, state=state)
        for name, state in (
            ("besancon · refresh", Completed()),
            ("ville · refresh", Failed(message="source x: does not answer\nand more")),
        )
    ]
    for run in runs:
        run.state_name = run.state.name if run.state else None
    assert text_of(runs) == (
        "2 exécutions\n- bien finies : 1\n- échecs : 1\n\nville · refresh, échecs : source x: does not answer"
    )


def test_a_run_waits_for_another_one_of_its_territory_unless_told_otherwise() -> None:
    assert {flow.parameters.properties["wait"]["default"] for flow in (refresh, refresh_all)} == {7200.0}
