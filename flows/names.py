"""Names of runs: of which territory, what started it, and when."""

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from prefect.runtime import deployment, flow_run

_PARIS = ZoneInfo("Europe/Paris")


def run_name() -> str:
    """Return the name of the run that begins: ``besancon · hebdomadaire · 2026-11-30``.

    Without a territory it is of all; without a deployment, of somebody who called the flow.
    """
    given = flow_run.parameters or {}
    territory = Path(str(given["territory"])).stem if "territory" in given else "toutes"
    # Names of deployments end with what starts them, or the territory: refresh-hebdomadaire, veille-nord.
    trigger = (deployment.name or "direct").removesuffix(f"-{territory}").rpartition("-")[2]
    start = flow_run.scheduled_start_time or datetime.now(_PARIS)
    return f"{territory} · {trigger} · {start.astimezone(_PARIS):%Y-%m-%d}"
