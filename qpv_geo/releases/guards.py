"""Guards: changes beyond the bounds that a territory declares hold a release until somebody has looked.

What a new version of the project adds does not hold a release: new layers, fields and indicators never do,
and more rows only if a source that both releases read has other bytes. What is gone holds it, whatever the
reason.
"""

from collections.abc import Iterator

from qpv_geo.formats.changes_schema import Changes, Overrun, StatisticChange
from qpv_geo.french import ZONE_WORDS, counted, number, percentage, short_number
from qpv_geo.territory import Guard

# Counted value by value, or not a matter of data: two producers who come to disagree take nothing away.
_NOT_COUNTED = {"statistiques", "repartition", "indicateurs", "concordances"}
# A Gini index has three or four.
_MEDIAN_DECIMALS = 4
_ORDER = 10


def overruns(changes: Changes, guard: Guard) -> tuple[Overrun, ...]:
    """Return what goes beyond the bounds, in French, the gravest kinds first.

    Parameters
    ----------
    changes
        As `changes.compare_releases` finds them.
    guard
        The territory's bounds.
    """
    return (
        *(_qpv(changes) if guard.qpv_entre_ou_sorti else ()),
        *(_gone(changes) if guard.retrait else ()),
        *_contours(changes, guard.surface_qpv_pct),
        *_counts(changes, guard.nombre_pct),
        *_totals(changes, guard.total_pct),
        *_medians(changes, guard.mediane_pct),
    )


def _qpv(changes: Changes) -> Iterator[Overrun]:
    for verb, quarters in (("entré", changes.qpv_entres), ("sorti", changes.qpv_sortis)):
        for qpv in quarters:
            name = f" ({qpv.lib_qp})" if qpv.lib_qp else ""
            yield Overrun(garde="qpv", objet=qpv.code_qp, message=f"QPV {qpv.code_qp}{name} {verb}.")


def _gone(changes: Changes) -> Iterator[Overrun]:
    for layer in changes.couches_retirees:
        yield Overrun(
            garde="couche", objet=layer.couche, message=f"Couche {layer.couche} absente de cette publication."
        )
    for field in changes.champs_retires:
        where = f"{field.couche}.{field.champ}"
        yield Overrun(garde="champ", objet=where, message=f"Champ {where} absent de cette publication.")
    for change in changes.statistiques:
        if not change.nombre_apres:
            message = f"{_called(change)} : indicateur absent de cette publication."
            yield Overrun(garde="indicateur", objet=_where(change), message=message)


def _contours(changes: Changes, bound: float) -> Iterator[Overrun]:
    """Compare what a contour gained and what it lost, each: one that only moved has the same area."""
    for contour in changes.contours:
        gained = _percentage(contour.entrant_m2, contour.surface_avant_m2)
        lost = _percentage(contour.sortant_m2, contour.surface_avant_m2)
        if max(gained, lost) > bound:
            name = f" ({contour.lib_qp})" if contour.lib_qp else ""
            message = (
                f"Contour du QPV {contour.code_qp}{name} : {number(contour.entrant_m2)} m² "
                f"entrants ({percentage(gained)}), {number(contour.sortant_m2)} m² sortants "
                f"({percentage(lost)}), au-delà de {percentage(bound)} de sa surface."
            )
            yield Overrun(garde="surface_qpv", objet=contour.code_qp, message=message)


def _counts(changes: Changes, bound: float) -> Iterator[Overrun]:
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
            message = f"{what} : {counted(before, noun)} avant, {now}."
            yield Overrun(garde="nombre", objet=where, message=message)


def _totals(changes: Changes, bound: float) -> Iterator[Overrun]:
    for change in changes.statistiques:
        before, after = change.total_avant, change.total_apres
        if before is None or not change.nombre_apres:
            continue
        moved = 100.0 if after is None else _percentage(abs(after - before), abs(before))
        if moved > bound:
            now = "aucun" if after is None else short_number(after)
            message = (
                f"{_called(change)} : total de {short_number(before)} avant, {now} maintenant"
                f"{_beyond(moved, bound)}."
            )
            yield Overrun(garde="total", objet=_where(change), message=message)


def _medians(changes: Changes, bound: float) -> Iterator[Overrun]:
    for change in changes.statistiques:
        before, after = change.mediane_avant, change.mediane_apres
        if before is None or not change.nombre_apres:
            continue
        moved = 100.0 if after is None else _percentage(abs(after - before), abs(before))
        if moved > bound and not (after is not None and _is_rounding(before, after)):
            now = "aucune" if after is None else short_number(after, _MEDIAN_DECIMALS)
            message = (
                f"{_called(change)} : médiane de {short_number(before, _MEDIAN_DECIMALS)} avant, {now} "
                f"maintenant{_beyond(moved, bound)}."
            )
            yield Overrun(garde="mediane", objet=_where(change), message=message)


def _is_rounding(before: float, after: float) -> bool:
    """Tell whether two small medians are of one order: published to a tenth, 0.1 and 0.3 are close."""
    small, large = sorted((abs(before), abs(after)))
    return large < 1 and (small == 0 or large < _ORDER * small)


def _where(change: StatisticChange) -> str:
    return f"{change.zone}.{change.indicateur}"


def _called(change: StatisticChange) -> str:
    return f"{change.libelle or change.indicateur} ({ZONE_WORDS[change.zone]})"


def _percentage(part: float, whole: float) -> float:
    """Return a part in percent of a whole; of nothing, anything is infinitely much."""
    return 100 * part / whole if whole else (float("inf") if part else 0.0)


def _beyond(moved: float, bound: float) -> str:
    told = f" ({percentage(moved)})" if moved != float("inf") else ""
    return f"{told}, au-delà de {percentage(bound)}"
