"""What all processors do together, and what Python's garbage collector need not do meanwhile."""

import gc
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Rows that a thread takes at a time; fewer are not worth a thread.
_BATCH = 256


def in_threads(function: Callable[..., Any], *columns: NDArray[np.object_]) -> NDArray[Any]:
    """Apply a function of geometries that works row by row.

    Threads may share geometries if GEOS keeps nothing in them but their bounds.

    Parameters
    ----------
    function
        As `shapely.is_valid` or `shapely.intersection`: arrays of n rows in, an array of n rows out.
    columns
        Its arguments, all of the same length.
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
    """Hold the collector off while a great many objects are made that all live for a while.

    It would find nothing: what a release leaves behind holds no cycles to speak of. For France it takes a
    fifth of the time.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
