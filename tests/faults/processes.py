"""Runs in processes of their own, forked from one that has imported everything."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path

from qpv_geo.errors import QpvGeoError
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.one import run
from qpv_geo.settings import Settings
from tests.faults.world import territory


def context() -> ForkServerContext:
    """Return where processes come from: a server that holds the imported project, and no thread."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["tests.faults.processes", "qpv_geo.portraits.pages"])
    return found


def start(target: Callable[..., object], *arguments: object) -> ForkServerProcess:
    """Start a process."""
    process = context().Process(target=target, args=arguments)
    process.start()
    return process


def refresh(settings: Settings, results: Path, barrier: Barrier) -> None:
    """Do the whole job once all are ready to, and write down how it ended."""
    barrier.wait(120)
    try:
        outcome = run(Job(territory(), settings))
        said = f"0 {outcome.release.published} {outcome.release.id}"
    except QpvGeoError as error:
        said = f"{error.exit_code} {error}"
    results.write_text(said, encoding="utf-8")


def together(count: int, settings: Settings, folder: Path) -> list[str]:
    """Do the whole job in several processes at once; return how each ended: exit code, then the rest."""
    barrier = context().Barrier(count)
    files = [folder / f"run-{order}" for order in range(count)]
    processes = [start(refresh, settings, file, barrier) for file in files]
    for process in processes:
        process.join(180)
        assert process.exitcode == 0
    return [file.read_text(encoding="utf-8") for file in files]
