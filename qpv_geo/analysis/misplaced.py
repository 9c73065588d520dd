"""Refuse QPV drawn neither in the commune nor in the department that they declare."""

import geopandas as gpd
import numpy as np
import shapely

from qpv_geo.analysis.overlay import GRIDS
from qpv_geo.errors import ContractError
from qpv_geo.territory import codes_of
from qpv_geo.zones import department_of, department_of_commune

# Metres: contours of communes are generalised to 1000 m.
_TOLERANCE = 1000.0

# Share of a QPV's area in communes of other departments above which it is misplaced.
_MOSTLY = 0.5


def refuse_misplaced(qpv: gpd.GeoDataFrame, communes: gpd.GeoDataFrame) -> None:
    """Raise `ContractError` for QPV that mostly lie in communes of departments that they do not declare.

    Contours outside the bounding box of their department were refused when they were read. Here the communes
    decide, as far as they were read: a QPV outside its commune but in its department is a difference between
    two producers, not an error. Both layers must be in one projected CRS.
    """
    row, zone = communes.sindex.query(qpv.geometry.to_numpy(), predicate="dwithin", distance=_TOLERANCE)
    declared = [
        {department_of(code), *map(department_of_commune, codes_of(insee_com))}
        for code, insee_com in zip(qpv["code_qp"], qpv["insee_com"], strict=True)
    ]
    there = map(department_of_commune, communes["insee_com"].to_numpy()[zone])
    own = np.array([code in declared[of] for of, code in zip(row, there, strict=True)], dtype=bool)
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
