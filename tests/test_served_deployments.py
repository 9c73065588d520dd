"""``qpv-geo serve`` and prefect.yaml declare the same deployments."""

import json
from pathlib import Path
from typing import Any

import yaml
from prefect.deployments.runner import RunnerDeployment

from flows.serve import deployments
from tests.prefect_server import ROOT


def test_the_served_deployments_are_those_of_the_worker(tmp_path: Path) -> None:
    declared = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    served = deployments("besancon", tmp_path)

    def served_schedules(entry: RunnerDeployment) -> list[dict[str, Any]]:
        plans = [json.loads(plan.schedule.model_dump_json()) for plan in entry.schedules or []]
        return [{"cron": plan["cron"], "timezone": plan["timezone"]} for plan in plans]

    assert [(d["name"], d["description"], d["tags"], d["schedules"]) for d in declared] == [
        (d.name, d.description, d.tags, served_schedules(d)) for d in served
    ]
    assert [d["entrypoint"].rpartition(":")[2] for d in declared] == [d.flow_name for d in served]
