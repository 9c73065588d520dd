"""QPV drawn neither in the commune nor in the department that they declare: no contour to publish."""

import geopandas as gpd
import numpy as np
import shapely

from qpv_geo.analysis.overlay import GRIDS
from qpv_geo.errors import ContractError
from qpv_geo.territory import codes_of
from qpv_geo.zones import department_of, department_of_commune

# Metres: contours of communes are generalised at 1000 m.
_TOLERANCE = 1000.0

# Of the area of a QPV: more than that in the communes of other departments is not for want of communes.
_MOSTLY = 0.5


def refuse_misplaced(qpv: gpd.GeoDataFrame, communes: gpd.GeoDataFrame) -> None:
    """Raise for QPV that mostly lie in communes of departments that they do not declare.

    The reading of the contours has refused what lies outside the rectangle of its department. Here the
    communes tell, as far as they were read: those of one EPCI cannot speak for a whole department, and then
    a QPV outside its commune is a difference between two producers, not an error.

    Parameters
    ----------
    qpv
        ``code_qp``, ``lib_qp``, ``insee_com`` as declared.
    communes
        ``insee_com``, ``nom_com``, in the same projected CRS; those of one territory, or all.

    Raises
    ------
    ContractError
        Naming each such QPV, what it declares, and where it lies.
    """
    row, zone = communes.sindex.query(qpv.geometry.to_numpy(), predicate="dwithin", distance=_TOLERANCE)
    declared = [
        {department_of(code), *map(department_of_commune, codes_of(insee_com))}
        for code, insee_com in zip(qpv["code_qp"], qpv["insee_com"], strict=True)
    ]
    there = map(department_of_commune, communes["insee_com"].to_numpy()[zone])
    own = np.array([place in declared[of] for of, place in zip(row, there, strict=True)], dtype=bool)
    problems = []
    for index in sorted(set(row.tolist()) - set(row[own].tolist())):
        contour = qpv.geometry.iloc[index]
        around = communes.iloc[zone[row == index]]
        parts = shapely.area(shapely.intersection(around.geometry.to_numpy(), contour, grid_size=GRIDS[0]))
        if parts.sum() > _MOSTLY * contour.area:
            first = around.iloc[int(parts.argmax())]
            of = qpv.iloc[index]
            problems.append(
                f"{of['code_qp']} ({of['lib_qp']}): expected in commune {of['insee_com'] or 'unknown'} or at "
                f"least in département {', '.join(sorted(declared[index]))}, found in commune "
                f"{first['insee_com']} ({first['nom_com']})"
            )
    if problems:
        raise ContractError(
            "QPV drawn outside the commune and the department that they declare:\n  - "
            + "\n  - ".join(problems)
            + "\n  What to do: compare the contours with those of the publisher, and tell the publisher"
        )
