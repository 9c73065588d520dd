"""A release for each EPCI that has a QPV: sources fetched once, territories published by Dask workers."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar

from qpv_geo.errors import ConfigurationError, TerritoriesError
from qpv_geo.pipeline.fetching import fetch
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.new_territory import CODE_FORMS, to_toml
from qpv_geo.pipeline.workers import Result, dask_client, national_files, publish_all, survey
from qpv_geo.settings import Settings
from qpv_geo.sources.fetch import accept
from qpv_geo.territory import Territory
from qpv_geo.zones import department_of

_LOGGER = logging.getLogger(__name__)

# Exit codes: what nobody foresaw, broken contracts, failed publications, sources, usage, locks.
_WORST_FIRST = (1, 4, 5, 3, 2, 6)
_SIREN_OR_DEPARTMENT = re.compile(f"{CODE_FORMS['epci']}|{CODE_FORMS['departement']}")
_REWRITTEN = "# `qpv-geo refresh --all-territories` writes this file at each run: change a copy of it.\n"
# QPV of a department that are named one by one.
_NAMED_AT_MOST = 5

# Called with each territory that is done, and their number. A flow's parameters are plain data, so it cannot
# be one of them.
results_listener: ContextVar[Callable[[Result, int], None] | None] = ContextVar(
    "results_listener", default=None
)


def refresh_all(job: Job, *, only: Iterable[str] = (), workers: int = 0) -> list[Result]:
    """Publish a release of each EPCI that has a QPV; the failure of one does not stop the others.

    `job` is of the territory France. `only` are SIREN and departments of the EPCI to publish; empty for all.
    If the national files cannot be had or read, their error is raised and nothing was published.
    """
    codes = checked_codes(only)
    raws = fetch(job)
    with dask_client(workers) as client, national_files(client, job, raws) as files:
        every, left_out, defects = survey(client, files)
        accept((raw for key, raw in raws.items() if raw and key not in defects), job.settings)
        if left_out and not codes:
            _LOGGER.warning(left_out_message(left_out))
        territories = chosen_territories(every, codes)
        write_territory_files(territories, job.settings)
        results = _reported(publish_all(client, files, territories), len(territories))
        return sorted(results, key=lambda result: result.territory)


def checked_codes(only: Iterable[str]) -> frozenset[str]:
    """Return the SIREN and departments that a run is to keep to; refuse what has the form of neither."""
    codes = frozenset(only)
    if wrong := sorted(code for code in codes if not _SIREN_OR_DEPARTMENT.fullmatch(code)):
        raise ConfigurationError(
            f"--only {','.join(wrong)}: give SIREN of EPCI (9 digits) or departments (25, 2A, 974)"
        )
    return codes


def chosen_territories(territories: Iterable[Territory], codes: frozenset[str]) -> list[Territory]:
    """Return the territories that have one of some SIREN or departments; all of them without codes."""
    territories = list(territories)
    known = {code for territory in territories for code in (territory.code, territory.departement)}
    if unknown := sorted(codes - known):
        raise ConfigurationError(
            f"--only {','.join(unknown)}: no EPCI with a QPV has this SIREN or department"
        )
    return [one for one in territories if not codes or codes & {one.code, one.departement}]


def left_out_message(codes: list[str]) -> str:
    """Say which QPV no territory publishes; of a department that has many, how many."""
    by_department: dict[str, list[str]] = {}
    for code in sorted(codes):
        by_department.setdefault(department_of(code), []).append(code)
    listed = ", ".join(
        f"{len(some)} in {department}" if len(some) > _NAMED_AT_MOST else ", ".join(some)
        for department, some in by_department.items()
    )
    return (
        f"{len(codes)} QPV declare no EPCI and no commune of the COG, and are in no release but that of "
        f"France: {listed}"
    )


def write_territory_files(territories: Iterable[Territory], settings: Settings) -> None:
    """Write the file of each territory into ``<data>/territories``, for the commands that ask for one.

    The numbers that they expect are those of the sources: each run writes them again, and each file says so.
    """
    folder = settings.territories_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for territory in territories:
            path = folder / f"{territory.id}.toml"
            path.write_text(_REWRITTEN + to_toml(territory), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{folder}: cannot be written ({error})") from error


def raise_if_any_failed(results: list[Result]) -> None:
    """Raise `TerritoriesError`, with the exit code of the worst result, if some failed or are held."""
    codes = {result.exit_code for result in results}
    if worst := next((code for code in _WORST_FIRST if code in codes), 0):
        bad = [f"{result.territory} ({result.state})" for result in results if result.exit_code]
        raise TerritoriesError(
            f"{len(bad)} of {len(results)} territories were not published: {', '.join(bad)}. The log and the "
            "closing table say why; the others are published",
            worst,
        )


def _reported(results: Iterable[Result], total: int) -> Iterator[Result]:
    """Pass results on, and tell of each in the log and to the listener."""
    listener = results_listener.get()
    for number, result in enumerate(results, start=1):
        level = logging.ERROR if result.exit_code else logging.INFO
        what = result.message or result.release
        _LOGGER.log(level, "%d of %d: %s, %s, %s", number, total, result.territory, result.state, what)
        if listener:
            listener(result, total)
        yield result
