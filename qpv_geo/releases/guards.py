"""Guards: a change beyond the bounds that a territory declares holds a release until somebody has looked.

New layers, fields and indicators, which a new version of the project may add, never hold a release; more rows
do only if a source that both releases read has other bytes. Whatever is removed holds it.
"""

from collections.abc import Callable, Iterator

from qpv_geo.formats.report_schema import Changes, ContourChange, NamedQpv, Overrun, StatisticChange
from qpv_geo.french import ZONE_WORDS, counted, number, percentage, short_number
from qpv_geo.territory import Guard

# Values are guarded by indicator, and fewer disagreements between producers are not a loss of data.
_NOT_COUNTED = {"statistiques", "repartition", "indicateurs", "concordances", "geographies"}
# Name of an amount, of none, and decimals: a Gini index has three or four.
_AMOUNTS = (("total", "total", "aucun", 2), ("mediane", "médiane", "aucune", 4))
_ORDER = 10


_Found = Iterator[tuple[str, str, str]]
"""Which guard, about what, and a sentence."""


def overruns(changes: Changes, guard: Guard) -> tuple[Overrun, ...]:
    """Return the changes beyond the bounds, in French, the gravest kinds first."""
    found = (each for find in _GUARDS for each in find(changes, guard))
    return tuple(
        Overrun.model_validate({"garde": kind, "objet": what, "message": message})
        for kind, what, message in found
    )


def _qpv(changes: Changes, guard: Guard) -> _Found:
    if guard.qpv_entre_ou_sorti:
        for verb, quarters in (("entré", changes.qpv_entres), ("sorti", changes.qpv_sortis)):
            for qpv in quarters:
                yield "qpv", qpv.code_qp, f"{_quarter(qpv)} {verb}."


def _removed(changes: Changes, guard: Guard) -> _Found:
    if not guard.retrait:
        return
    gone = "absent de cette publication."
    for layer in changes.couches_retirees:
        yield "couche", layer.couche, f"Couche {layer.couche} absente de cette publication."
    for field in changes.champs_retires:
        where = f"{field.couche}.{field.champ}"
        yield "champ", where, f"Champ {where} {gone}"
    for change in changes.statistiques:
        if not change.nombre_apres:
            yield "indicateur", _where(change), f"{_called(change)} : indicateur {gone}"


def _contours(changes: Changes, guard: Guard) -> _Found:
    """Bound what a contour gained and what it lost apart: one that only moved keeps its area."""
    bound = guard.surface_qpv_pct
    for contour in changes.contours:
        gained = _percentage(contour.entrant_m2, contour.surface_avant_m2)
        lost = _percentage(contour.sortant_m2, contour.surface_avant_m2)
        if max(gained, lost) > bound:
            message = (
                f"Contour du {_quarter(contour)} : {number(contour.entrant_m2)} m² "
                f"entrants ({percentage(gained)}), {number(contour.sortant_m2)} m² sortants "
                f"({percentage(lost)}), au-delà de {percentage(bound)} de sa surface."
            )
            yield "surface_qpv", contour.code_qp, message


def _counts(changes: Changes, guard: Guard) -> _Found:
    bound = guard.nombre_pct
    may_grow = not any(source.new_bytes for source in changes.sources)
    counts = [
        (rows.couche, f"Couche {rows.couche}", "ligne", rows.avant, rows.apres)
        for rows in changes.lignes
        if rows.couche not in _NOT_COUNTED
    ]
    counts += [
        (_where(change), _called(change), "valeur", change.nombre_avant, change.nombre_apres)
        for change in changes.statistiques
        if change.nombre_avant and change.nombre_apres
    ]
    for where, what, noun, before, after in counts:
        moved = _percentage(abs(after - before), before)
        if moved > bound and not (may_grow and after > before):
            now = f"{number(after)} maintenant{_beyond(moved, bound)}"
            yield "nombre", where, f"{what} : {counted(before, noun)} avant, {now}."


def _amounts(changes: Changes, guard: Guard) -> _Found:
    """Bound the totals, then the medians, of what each indicator counts or measures."""
    for kind, name, none, decimals in _AMOUNTS:
        bound = getattr(guard, f"{kind}_pct")
        for change in changes.statistiques:
            before, after = (getattr(change, f"{kind}_{moment}") for moment in ("avant", "apres"))
            if before is None or not change.nombre_apres:
                continue
            moved = 100.0 if after is None else _percentage(abs(after - before), abs(before))
            if moved > bound and not (kind == "mediane" and _is_rounding(before, after)):
                now = none if after is None else short_number(after, decimals)
                message = (
                    f"{_called(change)} : {name} de {short_number(before, decimals)} avant, {now} maintenant"
                    f"{_beyond(moved, bound)}."
                )
                yield kind, _where(change), message


# One guard each, the gravest first.
_GUARDS: tuple[Callable[[Changes, Guard], _Found], ...] = (_qpv, _removed, _contours, _counts, _amounts)


def _is_rounding(before: float, after: float | None) -> bool:
    """Return whether two small medians are of one order: 0.1 and 0.3, published to a tenth, are close."""
    if after is None:
        return False
    small, large = sorted((abs(before), abs(after)))
    return large < 1 and (small == 0 or large < _ORDER * small)


def _quarter(qpv: NamedQpv | ContourChange) -> str:
    return f"QPV {qpv.code_qp} ({qpv.lib_qp})" if qpv.lib_qp else f"QPV {qpv.code_qp}"


def _where(change: StatisticChange) -> str:
    return f"{change.zone}.{change.indicateur}"


def _called(change: StatisticChange) -> str:
    return f"{change.libelle or change.indicateur} ({ZONE_WORDS[change.zone]})"


def _percentage(part: float, whole: float) -> float:
    """Return a part in percent of a whole; anything is infinitely much of zero."""
    return 100 * part / whole if whole else (float("inf") if part else 0.0)


def _beyond(moved: float, bound: float) -> str:
    share = f" ({percentage(moved)})" if moved != float("inf") else ""
    return f"{share}, au-delà de {percentage(bound)}"
