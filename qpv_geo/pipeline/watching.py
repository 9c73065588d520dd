"""Has a source changed since its last accepted copy? Each is asked, and nothing is kept of its file."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from qpv_geo.errors import SourceContentError, SourceUnavailableError
from qpv_geo.pipeline.job import Job
from qpv_geo.sources.fetch import has_changed
from qpv_geo.sources.plan import Wanted, first_choices, one_of_each_host_first, second_choices


@dataclass(frozen=True)
class SourceNews:
    """Whether a source has changed; `reason` says why it could not be asked, or why it needs a look."""

    key: str
    state: Literal["unchanged", "changed", "unreachable"]
    reason: str = ""

    @property
    def reached(self) -> bool:
        """Whether the source answered at all."""
        return self.state != "unreachable"


def ask_sources(job: Job) -> list[SourceNews]:
    """Ask every source that a refresh reads, concurrently; second choices where the first cannot be reached.

    Raises `SourceUnavailableError` if none of them could be: then it is rather this machine's network that is
    down.
    """
    # The territory's own files have no site to ask.
    choices = first_choices(job.catalogue, job.territory)
    wanted = one_of_each_host_first([one for one in choices if one.source.hosts])
    answers = _together(wanted, job)
    out_of_reach = {one.key for one, answer in zip(wanted, answers, strict=True) if not answer.reached}
    answers += _together(second_choices(job.catalogue, job.territory, dict.fromkeys(out_of_reach)), job)
    if answers and not any(answer.reached for answer in answers):
        reasons = "; ".join(sorted({answer.reason for answer in answers}))
        raise SourceUnavailableError(
            f"none of the {len(answers)} sources could be reached, check network and proxy: {reasons}"
        )
    return answers


def _together(wanted: list[Wanted], job: Job) -> list[SourceNews]:
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(lambda one: _ask(one, job), wanted))


def _ask(wanted: Wanted, job: Job) -> SourceNews:
    try:
        changed = has_changed(wanted.source, wanted.territory, job.settings, job.policy)
    except SourceUnavailableError as error:
        return SourceNews(wanted.key, "unreachable", error.reason)
    except SourceContentError as error:
        # Something is there that was not there before: the refresh says what is wrong with it.
        return SourceNews(wanted.key, "changed", str(error))
    return SourceNews(wanted.key, "changed" if changed else "unchanged")
