"""The daily watch: ask each source whether it has changed, and refresh only then."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact

from flows.hooks import tell_crash, tell_failure
from flows.logs import set_up_log
from flows.parameters import DataFolder, Formats, MirrorAddress, TerritoryName
from flows.refresh import refresh
from qpv_geo.errors import SourceContentError, SourceUnavailableError
from qpv_geo.pipeline.job import Job, job_for
from qpv_geo.releases.formats import chosen_formats
from qpv_geo.settings import Settings, default_data_dir
from qpv_geo.sources.fetch import Policy, has_changed
from qpv_geo.sources.plan import Wanted, first_choices, second_choices
from qpv_geo.territory import load_territory


@flow(name="watch", on_failure=[tell_failure], on_crashed=[tell_crash])
def watch(
    *,
    territory: TerritoryName = "besancon",
    mirror: MirrorAddress = None,
    data: DataFolder = None,
    formats: Formats = (),
) -> dict[str, Any]:
    """Ask each source whether it has changed since the last accepted copy; refresh if one has.

    Parameters
    ----------
    territory
        Name of a shipped territory, or path of a TOML file.
    mirror
        Address of a mirror, in place of the official sites.
    data
        Folder that holds ``raw/`` and ``out/``.
    formats
        As `refresh`.

    Returns
    -------
    dict
        Ids of the sources that changed, and the summary of the refresh, None if there was none.

    Raises
    ------
    SourceUnavailableError
        If no source at all could be asked.
    QpvGeoError
        What stopped the refresh.
    """
    set_up_log()
    job = job_for(
        load_territory(territory),
        Settings(data_dir=Path(data) if data else default_data_dir()),
        Policy(mirror=mirror),
        formats=chosen_formats(formats),
    )
    answers = ask_sources(job)
    for answer in answers:
        get_run_logger().info("%s: %s %s", answer.key, answer.state, answer.reason)
    create_table_artifact(
        [{"source": a.key, "etat": a.state, "motif": a.reason} for a in answers],
        key="veille",
        description="Veille des sources",
    )
    changed = [answer.key for answer in answers if answer.state == "changée"]
    if not changed:
        return {"changed": [], "refresh": None}
    summary = refresh(territory=territory, mirror=mirror, data=data, formats=formats)
    return {"changed": changed, "refresh": summary}


@dataclass(frozen=True)
class AddressAnswer:
    """What one source had to say; `reason` is why it could not be asked, or why it needs somebody's look."""

    key: str
    state: Literal["inchangée", "changée", "injoignable"]
    reason: str = ""

    @property
    def reached(self) -> bool:
        """Whether the source answered at all."""
        return self.state != "injoignable"


def ask_sources(job: Job) -> list[AddressAnswer]:
    """Ask every source that a refresh reads, concurrently; second choices where the first cannot be reached.

    Raises
    ------
    SourceUnavailableError
        If none of them could be reached: then it is rather this machine's network that is down.
    """
    # The territory's own files have no site to ask.
    wanted = [one for one in first_choices(job.catalogue, job.territory) if one.source.hosts]
    answers = _together(wanted, job)
    out_of_reach = {one.key for one, answer in zip(wanted, answers, strict=True) if not answer.reached}
    answers += _together(second_choices(job.catalogue, job.territory, dict.fromkeys(out_of_reach)), job)
    if answers and not any(answer.reached for answer in answers):
        reasons = "; ".join(sorted({answer.reason for answer in answers}))
        raise SourceUnavailableError(
            f"none of the {len(answers)} sources could be reached, check network and proxy: {reasons}"
        )
    return answers


def _together(wanted: list[Wanted], job: Job) -> list[AddressAnswer]:
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(lambda one: _ask(one, job), wanted))


def _ask(wanted: Wanted, job: Job) -> AddressAnswer:
    try:
        changed = has_changed(wanted.source, wanted.territory, job.settings, job.policy)
    except SourceUnavailableError as error:
        return AddressAnswer(wanted.key, "injoignable", error.reason)
    except SourceContentError as error:
        # Something is there that was not there before: the refresh says what is wrong with it.
        return AddressAnswer(wanted.key, "changée", str(error))
    return AddressAnswer(wanted.key, "changée" if changed else "inchangée")
