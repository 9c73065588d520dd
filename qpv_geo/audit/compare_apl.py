"""Table ``apl`` against the cells of DREES's workbooks that it comes from."""

import math
from collections.abc import Mapping

from qpv_geo.audit.mismatches import Mismatch
from qpv_geo.audit.originals import Originals
from qpv_geo.audit.readers import WrittenLayer

_LAYER = "apl"
_ABSENT = (math.nan, "non_disponible", math.nan)


def compare_apl(release: Mapping[str, WrittenLayer], originals: Originals) -> list[Mismatch]:
    """Compare each row of a commune with its cells, and find cells of communes that have no row.

    A mean is proven by tests: of a department, of France, or of the *arrondissements* of a commune that has
    no row of its own.
    """
    if _LAYER not in release:
        return []
    table = release[_LAYER].attributes
    rows = table[(table["zone"] == "commune") & (table["statut"] != "estimation")]
    file = release[_LAYER].path.name
    mismatches, seen = [], set()
    columns = ["source", "fichier", "code", "millesime", "valeur", "statut", "population"]
    for source, member, code, year, *published in rows[columns].itertuples(index=False, name=None):
        cells = originals.apl(source).get(member, {})
        seen.add((source, member, code))
        expected = cells.get(code, _ABSENT)
        name = f"commune / {code} / {source} / {year}"
        mismatches += [
            Mismatch(file, _LAYER, name, field, one, other, member)
            for field, one, other in zip(("valeur", "statut", "population"), published, expected, strict=True)
            if one != other and not (one != one and other != other)  # noqa: PLR0124 - NaN
        ]
    for source in rows["source"].unique():
        for member, cells in originals.apl(source).items():
            lost = sorted(
                code for code in set(rows["code"]) & cells.keys() if (source, member, code) not in seen
            )
            mismatches += [
                Mismatch(file, _LAYER, f"commune / {code}", "valeur", "no row", cells[code][0], member)
                for code in lost
            ]
    return mismatches
