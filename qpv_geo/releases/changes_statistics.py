"""What changed in the statistics from one release to another, by kind of zone and indicator."""

import numpy as np
import pandas as pd

from qpv_geo.formats.changes_schema import CellChange, StatisticChange

_GROUP = ["zone", "indicateur"]
_VALUES = ["valeur", "statut", "millesime"]
_MEDIAN_OF = "qpv"
# Sums of floats: what differs beyond is noise.
_DECIMALS = 6


def statistic_changes(
    before: pd.DataFrame, after: pd.DataFrame, dictionary: pd.DataFrame
) -> tuple[StatisticChange, ...]:
    """Return what changed in the statistics between the newest vintages of two releases, sorted.

    From both layers ``statistiques``, by kind of zone and indicator; a vintage that changes alone is a change
    too. `dictionary` holds the rows of both layers ``indicateurs``: labels, and what may be added; the last
    row of an indicator counts.
    """
    cells = _newest(before).merge(
        _newest(after), on=[*_GROUP, "code"], how="outer", suffixes=("_avant", "_apres"), indicator="where"
    )
    both = cells["where"] == "both"
    pairs = ((cells[f"{name}_avant"], cells[f"{name}_apres"]) for name in _VALUES)
    same = [(before == after) | (before.isna() & after.isna()) for before, after in pairs]
    changed = both & ~np.logical_and.reduce(same)
    counts = pd.DataFrame(
        {
            "cellules": changed,
            "apparues": cells["where"] == "right_only",
            "disparues": cells["where"] == "left_only",
        }
    )
    labels = dict(zip(dictionary["indicateur"], dictionary["libelle"], strict=True))
    additive = dict(zip(dictionary["indicateur"], dictionary["additif"], strict=True))
    changes = []
    for (zone, indicator), rows in cells[counts.any(axis="columns")].groupby(_GROUP, sort=True):
        whole = cells[(cells["zone"] == zone) & (cells["indicateur"] == indicator)]
        number = {str(name): int(column.sum()) for name, column in counts.loc[whole.index].items()}
        change = StatisticChange(
            zone=zone,
            indicateur=indicator,
            libelle=labels.get(indicator),
            millesime_avant=_vintage(whole["millesime_avant"]),
            millesime_apres=_vintage(whole["millesime_apres"]),
            nombre_avant=len(whole) - number["apparues"],
            nombre_apres=len(whole) - number["disparues"],
            **_summary(whole, str(zone), additive=bool(additive.get(indicator))),
            plus_grand_ecart=_largest(rows),
            **number,
        )
        changes.append(change)
    return tuple(changes)


def _newest(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the cells of the newest vintage of each kind of zone and indicator."""
    newest = frame.groupby(_GROUP)["millesime"].transform("max")
    cells = frame.loc[frame["millesime"] == newest, [*_GROUP, "code", *_VALUES]]
    return cells.astype({"valeur": "float64"})


def _vintage(column: pd.Series) -> str | None:
    present = column.dropna()
    return None if present.empty else str(present.iloc[0])


def _summary(cells: pd.DataFrame, zone: str, *, additive: bool) -> dict[str, float | None]:
    """Return the totals, or the medians, before and after of the values that are there; None without any."""
    name = "total" if additive else "mediane"
    found: dict[str, float | None] = {"total_avant": None, "total_apres": None}
    for moment in ("avant", "apres"):
        values = cells[f"valeur_{moment}"].dropna()
        if len(values) and (additive or zone == _MEDIAN_OF):
            found[f"{name}_{moment}"] = round(float(values.sum() if additive else values.median()), _DECIMALS)
    return found


def _largest(cells: pd.DataFrame) -> CellChange | None:
    """Return the zone whose value changed most, or None if no value became another."""
    gap = (cells["valeur_apres"] - cells["valeur_avant"]).abs()
    if not gap.max() > 0:
        return None
    row = cells[gap == gap.max()].to_dict("records")[0]
    return CellChange(code=row["code"], avant=row["valeur_avant"], apres=row["valeur_apres"])
