"""The Dask cluster that many territories are published on: this machine's cores, or a scheduler elsewhere."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import dask
from distributed import Client, LocalCluster

from qpv_geo.errors import ConfigurationError

DASK = "QPV_GEO_DASK"

# How often a task may have been on a worker that died before Dask gives it up.
_DEATHS = 1
_CONNECT = "10s"


@contextmanager
def dask_client(workers: int = 0) -> Iterator[Client]:
    """Connect to the scheduler that ``QPV_GEO_DASK`` names, or start a cluster of processes on this machine.

    The cluster has `workers` processes; if 0, as many as the variable says (``local:4``), else one per core.
    Raises `ConfigurationError` if the variable is not understood, or the scheduler does not answer.
    """
    where = os.environ.get(DASK, "")
    number = where.removeprefix("local:")
    if "://" in where:
        try:
            client = Client(where, timeout=_CONNECT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{DASK}={where}: no scheduler answers there ({error})") from error
        with client:
            yield client
        return
    if where and not (number != where and number.isdecimal() and int(number)):
        raise ConfigurationError(f"{DASK}={where}: give a scheduler's address (tcp://host:8786) or local:4")
    settings = {
        "distributed.scheduler.allowed-failures": _DEATHS,
        "distributed.scheduler.worker-saturation": 1,
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers or int(number or 0) or os.cpu_count(),
            # One at a time in a process: GDAL's configuration is the process's.
            threads_per_worker=1,
            # A worker whose territory needs more than its share is not killed for it.
            memory_limit=0,
            dashboard_address="127.0.0.1:0",
            silence_logs="CRITICAL",
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client
