"""Which deployments there are: the usual ones, or those that a file of the administrator lists.

``python -m flows.deployments FILE > prefect.yaml`` declares them for a worker; `flows.serve` serves the same.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from prefect.client.schemas.schedules import CronSchedule
from prefect.flows import Flow
from pydantic import Field, field_validator

from flows.all_territories import refresh_all
from flows.digest import digest
from flows.refresh import refresh
from flows.watch import watch
from qpv_geo.errors import QpvGeoError
from qpv_geo.frozen import Frozen
from qpv_geo.territory import load_territory
from qpv_geo.toml_file import read_declarations

_HEADER = """\
# Deployments for a worker: `prefect deploy --all` in this folder, see docs/exploitation.md.
# `python -m flows.deployments > prefect.yaml` writes this file; with a file of territories, another one.
name: qpv-geo

definitions:
  - &worker
    name: qpv-geo
    job_variables: &job
      env:
        PREFECT_LOGGING_EXTRA_LOGGERS: qpv_geo

deployments:"""
_WEEKLY, _DAILY = "0 5 * * 1", "0 6 * * *"


class Planned(Frozen):
    """A territory, and when it is refreshed and watched (cron; empty for never)."""

    nom: str
    refresh: str = _WEEKLY
    veille: str = _DAILY


class Plan(Frozen):
    """What a file of the administrator lists; ``toutes`` and ``bilan`` have no schedule by default."""

    territoires: Annotated[tuple[Planned, ...], Field(min_length=1)]
    fuseau: str = "Europe/Paris"
    toutes: str = ""
    bilan: str = ""

    @field_validator("territoires", mode="before")
    @classmethod
    def _named(cls, entries: object) -> object:
        if not isinstance(entries, list):
            return entries
        return [{"nom": entry} if isinstance(entry, str) else entry for entry in entries]


class Declared(NamedTuple):
    """A deployment: its flow, name, description, cron (empty for none), territory (None for all)."""

    flow: Flow[..., Any]
    name: str
    description: str
    cron: str
    timezone: str
    territory: str | None = None

    def schedules(self) -> list[CronSchedule]:
        """Return its schedule, if it has one; a cron or a time zone that is none is a ValueError."""
        return [CronSchedule(cron=self.cron, timezone=self.timezone)] if self.cron else []


def declared(territory: str, file: Path | None) -> list[Declared]:
    """Return the deployments of a territory, or of those that a file lists, once all of it is checked."""
    if file is None:
        return _planned(Plan(territoires=(Planned(nom=territory),)), Path(), "hebdomadaire", "quotidienne")
    with read_declarations(file, "the deployments are not valid") as entries:
        found = _planned(Plan.model_validate(entries), file.absolute().parent)
        for one in found:
            one.schedules()
    return found


def _planned(plan: Plan, folder: Path, *names: str) -> list[Declared]:
    """Return the deployments of a plan; `names` end those of its only territory, in the place of its own."""
    zone = plan.fuseau
    found = []
    for one in plan.territoires:
        path = str(folder / one.nom) if one.nom.endswith(".toml") else one.nom
        about = load_territory(path)
        weekly, daily = names or (about.id, about.id)
        ask = f"Demande aux sources de {about.nom} si elles ont changé ; met à jour si oui."
        update = f"Met à jour la publication de {about.nom}."
        found.append(Declared(refresh, f"refresh-{weekly}", update, one.refresh, zone, path))
        found.append(Declared(watch, f"veille-{daily}", ask, one.veille, zone, path))
    manual = "Met à jour à la demande, avec les paramètres choisis."
    every = "Fait une publication pour chaque EPCI qui a un QPV."
    found += [
        Declared(refresh, "refresh-manuel", manual, "", zone, found[0].territory),
        Declared(refresh_all, "refresh-toutes", every, plan.toutes, zone),
    ]
    if plan.bilan:
        found.append(Declared(digest, "bilan", "Envoie le bilan des sept derniers jours.", plan.bilan, zone))
    return found


def prefect_yaml(file: Path | None = None) -> str:
    """Return the same deployments as Prefect's own file, for the work pool ``qpv-geo``."""
    text = _HEADER
    for one in declared("besancon", file):
        parameters = {"territory": one.territory} if file and one.territory else {}
        schedules = [{"cron": one.cron, "timezone": one.timezone}] if one.cron else []
        text += f"""
  - name: {one.name}
    description: {json.dumps(one.description, ensure_ascii=False)}
    entrypoint: {one.flow.fn.__module__.replace(".", "/")}.py:{one.flow.fn.__name__}
    tags: [qpv-geo]
    parameters: {json.dumps(parameters, ensure_ascii=False)}
    schedules: {json.dumps(schedules)}
    work_pool: *worker
"""
    return text


if __name__ == "__main__":
    try:
        sys.stdout.write(prefect_yaml(Path(sys.argv[1]) if sys.argv[1:] else None))
    except QpvGeoError as error:
        sys.exit(f"qpv-geo: {error}")
