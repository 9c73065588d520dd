"""Work shared among threads, and the garbage collector paused during large allocations."""

import gc
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Rows per task; fewer are not worth a thread.
_BATCH = 256


def in_threads(function: Callable[..., Any], *columns: NDArray[np.object_]) -> NDArray[Any]:
    """Apply a function of geometries that works row by row, such as `shapely.intersection`.

    Threads may share geometries if GEOS caches nothing in them but their bounds.
    """
    rows = len(columns[0])
    if rows <= _BATCH:
        return np.asarray(function(*columns))
    parts = [slice(start, start + _BATCH) for start in range(0, rows, _BATCH)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.concatenate(
            list(pool.map(lambda part: function(*(column[part] for column in columns)), parts))
        )


@contextmanager
def collector_held_off() -> Iterator[None]:
    """Pause the garbage collector while many lasting objects are created: for France a fifth of the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
