"""Vectorised work of GEOS on all processors: shapely lets other threads run meanwhile."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
