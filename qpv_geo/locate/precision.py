"""By how many metres a point may be wrong: as given, or from a geocoder's type and score."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from qpv_geo.errors import ContractError
from qpv_geo.locate.edges import FloatArray
from qpv_geo.sources.geocoder import RADIUS, SCORE_THRESHOLD

_HIGHEST_SCORE = 1.1
"""Scores go from 0 to 1, but some geocoders add a little for important places; more is another scale."""


def geocoder_precision(
    types: pa.Array | None, scores: FloatArray | None, rows: int, threshold: float = SCORE_THRESHOLD
) -> FloatArray:
    """Return the precision of a geocoder's answers in metres, NaN where it is unknown.

    For types see `RADIUS`, for scores (0 to 1) `SCORE_THRESHOLD`; None if the file does not have them.
    """
    radius = np.zeros(rows)
    if types is not None:
        encoded = types if pa.types.is_dictionary(types.type) else types.dictionary_encode()
        metres = np.array(
            [RADIUS.get(str(name).strip().lower(), np.nan) for name in encoded.dictionary.to_pylist()]
        )
        places = encoded.indices.cast(pa.int64()).fill_null(len(metres)).to_numpy(zero_copy_only=False)
        radius = np.append(metres, np.nan)[places]
    if scores is not None:
        radius = np.where(scores >= threshold, radius, np.nan)
    return radius


def check_precision(radius: FloatArray, name: str, numbers: Sequence[int], file: str) -> None:
    """Raise `ContractError` for a negative precision, with the file and the first such row."""
    negative = np.flatnonzero(radius < 0)
    if len(negative):
        raise ContractError(
            f"{file}: column {name!r}, row {numbers[negative[0]]}: {radius[negative[0]]:g}; expected a"
            " precision in metres, 0 or more"
        )


def check_scores(scores: FloatArray, name: str, numbers: Sequence[int], file: str) -> None:
    """Raise `ContractError` for scores that do not go from 0 to 1, with the file and the first such row."""
    large = np.flatnonzero(scores > _HIGHEST_SCORE)
    if len(large):
        raise ContractError(
            f"{file}: column {name!r}, row {numbers[large[0]]}: {scores[large[0]]:g}; expected a score"
            " from 0 to 1; divide the column by its scale (100 for a percentage), or leave --score-col out"
        )


def least_precise(radii: list[FloatArray]) -> FloatArray | None:
    """Return the largest of each point's precisions, NaN where one is unknown; None if there are none."""
    return np.maximum.reduce(radii) if radii else None
