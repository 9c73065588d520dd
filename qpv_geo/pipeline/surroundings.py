"""The rectangles to ask for around the QPV of a territory: the contours, just fetched, say where."""

from functools import partial
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from qpv_geo.errors import ContractError, SourceContentError
from qpv_geo.formats.provenance import Raws
from qpv_geo.pipeline.job import Job
from qpv_geo.sources.catalogue import Box
from qpv_geo.sources.plan import Boxes, source_id_of
from qpv_geo.sources.raw import RawFile, usable

# Metres: rectangles that stay the same while a vertex moves a little.
_STEP = 100.0


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
    while pair := next((pair for pair in combinations(boxes, 2) if _fit(*pair)), None):
        boxes = sorted(set(boxes) - set(pair) | {_together(*pair)})
    return tuple(boxes)


def _together(one: Box, other: Box) -> Box:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def _fit(one: Box, other: Box) -> bool:
    return _area(_together(one, other)) <= _area(one) + _area(other)


def _area(box: Box) -> float:
    west, south, east, north = box
    return (east - west) * (north - south)
