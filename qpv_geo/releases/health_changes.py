"""What changed in each line of table ``sante``, and whether the two values may be compared."""

import re
from collections.abc import Hashable, Iterator, Mapping

import numpy as np
import pandas as pd

from qpv_geo.formats.report_schema import HealthChange, HealthState
from qpv_geo.french import counted
from qpv_geo.sources.catalogue import Source, load_catalogue
from qpv_geo.statuses import STATUSES, VALUED

_KEY = ["code_qp", "ligne", "zone", "code"]
_STATE = list(HealthState.model_fields)
_CHANGED = ["valeur", "statut", "millesime"]
_NAMES = ["lib_qp", "libelle", "maille", "nom_zone", "unite", "source"]
# A country is not steered line by line, and its report would be as large as its tables.
_MOST_QPV = 200
_USUAL_GAP = Source.model_fields["comparable_after"].default


def health_changes(before: pd.DataFrame, after: pd.DataFrame) -> tuple[HealthChange, ...]:
    """Return the lines of two tables ``sante`` whose value, status or vintage changed, in their order.

    A line that one of them lacks has no state there. Nothing is returned for a territory of many QPV.
    """
    if after["code_qp"].nunique() > _MOST_QPV:
        return ()
    columns = [*_KEY, "ordre", *_NAMES, *_STATE]
    cells = before[columns].merge(
        after[columns], on=_KEY, how="outer", suffixes=("_avant", "_apres"), indicator="where"
    )
    pairs = [(cells[f"{name}_avant"], cells[f"{name}_apres"]) for name in _CHANGED]
    same = np.logical_and.reduce([(one == other) | (one.isna() & other.isna()) for one, other in pairs])
    cells = cells[~same | (cells["where"] != "both")]
    cells["ordre"] = cells["ordre_apres"].fillna(cells["ordre_avant"])
    return tuple(_changes(cells.sort_values(["code_qp", "ordre", "code"])))


def _changes(cells: pd.DataFrame) -> Iterator[HealthChange]:
    for row in cells.astype(object).where(cells.notna(), None).to_dict("records"):
        earlier, later = _state(row, "avant"), _state(row, "apres")
        names = {name: row[f"{name}_apres"] or row[f"{name}_avant"] for name in _NAMES}
        comparable, reason = compare_states(earlier, later, names.pop("source") or "")
        key = {name: row[name] for name in _KEY}
        yield HealthChange(**key, **names, avant=earlier, apres=later, comparable=comparable, raison=reason)


def _state(row: Mapping[Hashable, object], moment: str) -> HealthState | None:
    if row["where"] == ("right_only" if moment == "avant" else "left_only"):
        return None
    return HealthState.model_validate({name: row[f"{name}_{moment}"] for name in _STATE})


def compare_states(before: HealthState | None, after: HealthState | None, source: str) -> tuple[bool, str]:
    """Tell whether two values of a line may be compared, and say in French what to make of them.

    `source` names the sources of the later value; the strictest of them decides (`Source.comparable_after`,
    `Source.comparable_from`).
    """
    if before is None:
        return False, "Ligne nouvelle."
    if after is None:
        return False, "Ligne qui n'existe plus."
    for state, moment in ((before, "avant"), (after, "maintenant")):
        if state.statut not in VALUED:
            return False, f"Pas de valeur {moment} : {STATUSES[state.statut].words}."
    if before.millesime == after.millesime:
        return True, "Même millésime : la valeur a été corrigée, ce n'est pas une évolution."
    if refusal := _too_near(before.millesime or "", after.millesime or "", source):
        return False, refusal
    return True, _with_chance("Millésimes comparables.", before, after)


def _too_near(before: str, after: str, source: str) -> str:
    """Return why two vintages are not compared; an empty text if they may be."""
    catalogue = {one.id: one for one in load_catalogue().sources}
    known = [catalogue[name] for name in source.split(", ") if name in catalogue]
    breaks = [one.comparable_from for one in known if before < one.comparable_from <= after]
    if breaks:
        return f"La série recommence en {max(breaks)} : les millésimes d'avant ne s'y comparent pas."
    needed = max((one.comparable_after for one in known), default=_USUAL_GAP)
    earlier, later = (re.match(r"\d{4}", vintage) for vintage in (before, after))
    if not earlier or not later or abs(int(later[0]) - int(earlier[0])) < needed:
        return f"Millésimes trop proches : il faut au moins {counted(needed, 'an')} d'écart pour comparer."
    return ""


def _with_chance(text: str, before: HealthState, after: HealthState) -> str:
    """Add to a text that the intervals of two values overlap, if they do."""
    if None in {before.borne_basse, before.borne_haute, after.borne_basse, after.borne_haute}:
        return text
    low = max(before.borne_basse or 0.0, after.borne_basse or 0.0)
    high = min(before.borne_haute or 0.0, after.borne_haute or 0.0)
    chance = " Les intervalles se recouvrent : l'écart peut n'être dû qu'au hasard."
    return text + chance if low <= high else text
