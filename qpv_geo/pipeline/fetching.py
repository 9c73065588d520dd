"""The sources of a run, fetched or asked whether they changed, together: only this touches the network."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qpv_geo.errors import ContractError, SourceContentError, SourceUnavailableError
from qpv_geo.formats.provenance import Raws
from qpv_geo.pipeline.job import Job
from qpv_geo.sources.catalogue import Box, TerritoryFileAddress
from qpv_geo.sources.fetch import fall_back, fetch_primary, has_changed
from qpv_geo.sources.plan import (
    Boxes,
    Wanted,
    around_qpv,
    first_choices,
    ignored,
    one_of_each_host_first,
    second_choices,
    source_id_of,
)
from qpv_geo.sources.raw import Progress, RawFile, unusable, usable

_LOGGER = logging.getLogger(__name__)

# Called with the bytes of each download. A flow's parameters are plain data, so it cannot be one of them.
progress_listener: ContextVar[Progress | None] = ContextVar("progress_listener", default=None)
# Metres: rectangles that stay the same while a vertex moves a little.
_STEP = 100.0


def fetch(job: Job) -> Raws:
    """Fetch every source that the pipeline reads, in plain threads; by key (see `plan.Wanted`).

    An optional source that could not be had, or is ignored, is None. Raises `SourceUnavailableError` if a
    required one can be had from nowhere, `SourceContentError` if it was reached and is not the declared file,
    and `ConfigurationError` if the territory ignores it, or declares a file that is not there.
    """
    return fetch_all(job, in_threads)


def fetch_all(job: Job, together: Callable[[list[Wanted], Job], Raws]) -> Raws:
    """Fetch the first choices, second choices where those fail, then what is around the QPV."""
    raws: dict[str, RawFile | None] = dict.fromkeys(ignored(job.catalogue, job.territory))
    first = first_choices(job.catalogue, job.territory)
    fetched = together(one_of_each_host_first(first), job)
    raws |= {wanted.key: fetched[wanted.key] for wanted in first}
    raws |= together(second_choices(job.catalogue, job.territory, raws), job)
    raws |= together(around_qpv(job.catalogue, job.territory, boxes_around_qpv(job, raws)), job)
    for key, raw in raws.items():
        if raw and raw.reason:
            _LOGGER.warning("%s: the copy from the %s stands in for the official file", key, raw.origin)
    return raws


def in_threads(choices: list[Wanted], job: Job) -> Raws:
    """Fetch some sources at the same time, in threads of this process."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        attempts = [pool.submit(copy_context().run, ask, wanted, job) for wanted in choices]
    return {
        wanted.key: settle(wanted, job, attempt.result)
        for wanted, attempt in zip(choices, attempts, strict=True)
    }


def ask(wanted: Wanted, job: Job, progress: Progress | None = None) -> RawFile:
    """Get one raw file at first hand; raises as `fetch_primary`."""
    start = time.monotonic()
    listener = progress or progress_listener.get()
    raw = fetch_primary(wanted.source, wanted.territory, job.settings, job.policy, listener)
    seconds = time.monotonic() - start
    _LOGGER.info("%s: %s, %d bytes, %s, %.1f s", wanted.key, raw.path.name, raw.size, raw.origin, seconds)
    return raw


def settle(wanted: Wanted, job: Job, result: Callable[[], RawFile]) -> RawFile | None:
    """Take what came, or the fallback of a source that could not be reached.

    A source that was reached and is bad stops the run if it is required, and is left out otherwise.
    """
    try:
        return result()
    except SourceUnavailableError as error:
        if not job.policy.offline:
            _LOGGER.warning("%s", error)
        return fall_back(wanted.source, wanted.territory, job.settings, job.policy, error)
    except SourceContentError as error:
        if wanted.source.required or isinstance(wanted.source.address, TerritoryFileAddress):
            raise
        # The sentence is published: it names the file, not where it lies on this machine.
        return unusable(wanted.source, str(error).replace(f"{job.policy.mirror_folder}/", ""))


@dataclass(frozen=True)
class SourceNews:
    """Whether a source has changed since its last accepted copy; `reason` says why it needs a look."""

    key: str
    state: Literal["unchanged", "changed", "unreachable"]
    reason: str = ""


def ask_sources(job: Job) -> list[SourceNews]:
    """Ask every source that a refresh reads, concurrently; second choices where the first cannot be reached.

    Raises `SourceUnavailableError` if none of them could be: rather this machine's network is down then.
    """
    # The territory's own files have no site to ask.
    choices = first_choices(job.catalogue, job.territory)
    wanted = one_of_each_host_first([one for one in choices if one.source.hosts])
    answers = _news_of(wanted, job)
    lost = {answer.key: None for answer in answers if answer.state == "unreachable"}
    answers += _news_of(second_choices(job.catalogue, job.territory, lost), job)
    if answers and all(answer.state == "unreachable" for answer in answers):
        reasons = "; ".join(sorted({answer.reason for answer in answers}))
        raise SourceUnavailableError(
            f"none of the {len(answers)} sources could be reached, check network and proxy: {reasons}"
        )
    return answers


def _news_of(wanted: list[Wanted], job: Job) -> list[SourceNews]:
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(lambda one: _news(one, job), wanted))


def _news(wanted: Wanted, job: Job) -> SourceNews:
    try:
        changed = has_changed(wanted.source, wanted.territory, job.settings, job.policy)
    except SourceUnavailableError as error:
        return SourceNews(wanted.key, "unreachable", error.reason)
    except SourceContentError as error:
        # Something is there that was not there before: the refresh says what is wrong with it.
        return SourceNews(wanted.key, "changed", str(error))
    return SourceNews(wanted.key, "changed" if changed else "unchanged")


def boxes_around_qpv(job: Job, raws: Raws) -> Boxes | None:
    """Return what gives the rectangles around the QPV; None if nothing needs them: no site will be asked."""
    if job.policy.offline or job.policy.mirror or job.territory.genre == "france":
        return None
    sources = {source.id for source in job.catalogue.filling("contours")}
    found = next((raw for key, raw in raws.items() if source_id_of(key) in sources and usable(raw)), None)
    return partial(_boxes, _bounds(job, found) if found else np.empty((0, 4)))


def _bounds(job: Job, raw: RawFile) -> NDArray[np.float64]:
    """Return the bounds of the QPV that declare the territory, in metres of its CRS."""
    # imported lazily: a run without network needs none of it
    from qpv_geo.analysis.selection import declares  # noqa: PLC0415
    from qpv_geo.ingest.contours import read_contours  # noqa: PLC0415
    from qpv_geo.ingest.outside import Outside  # noqa: PLC0415

    territory = job.territory
    try:
        contours = read_contours(raw, territory, job.settings, Outside(territory))
    except (ContractError, SourceContentError):
        # Whoever reads them for the release says what is wrong.
        return np.empty((0, 4))
    qpv = contours.by_epsg.get(territory.epsg)
    return np.empty((0, 4)) if qpv is None else qpv[declares(qpv, territory)].bounds.to_numpy()


def _boxes(bounds: NDArray[np.float64], metres: float) -> tuple[Box, ...]:
    """Return rectangles that cover what is within some metres of bounds.

    Two are one where that asks for no more: their common rectangle is not larger than both together.
    """
    low, high = (bounds[:, :2] - metres) // _STEP * _STEP, -(-(bounds[:, 2:] + metres) // _STEP) * _STEP
    boxes: list[Box] = sorted(
        {(w, s, e, n) for (w, s), (e, n) in zip(low.tolist(), high.tolist(), strict=True)}
    )
    while pair := next(filter(_fit, combinations(boxes, 2)), None):
        boxes = sorted(set(boxes) - set(pair) | {_together(*pair)})
    return tuple(boxes)


def _together(one: Box, other: Box) -> Box:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def _fit(pair: tuple[Box, Box]) -> bool:
    return _area(_together(*pair)) <= sum(map(_area, pair))


def _area(box: Box) -> float:
    west, south, east, north = box
    return (east - west) * (north - south)
