"""What changed between two releases, in French, as Markdown that can be read as it is."""

import re
from collections.abc import Iterable, Iterator

from qpv_geo.formats.report_schema import Changes, NamedQpv, SourceState, StatisticChange
from qpv_geo.french import french_date, number, short_number, word

_MARKS = re.compile(r"([\\`*\[\]<>|#])")


def changes_markdown(changes: Changes) -> str:
    """Describe all changes: QPV, contours, statistics, layers, fields, rows, sources, overruns.

    Texts from a source are escaped: a QPV named ``<script>`` stays text.
    """
    if changes.none:
        return f"Aucune différence avec la publication {changes.precedente}."
    parts = [
        [f"Différences avec la publication {changes.precedente}."],
        _listed("Au-delà des bornes déclarées", (_text(over.message) for over in changes.depassements)),
        _listed("QPV entrés", map(_qpv, changes.qpv_entres)),
        _listed("QPV sortis", map(_qpv, changes.qpv_sortis)),
        _listed(
            "QPV renommés",
            (
                f"{qpv.code_qp} : {_text(qpv.avant)} devient {_text(qpv.apres)}"
                for qpv in changes.qpv_renommes
            ),
        ),
        _contours(changes),
        _statistics(changes),
        _health(changes),
        _listed("Couches ajoutées", (f"`{layer.couche}`" for layer in changes.couches_ajoutees)),
        _listed("Couches retirées", (f"`{layer.couche}`" for layer in changes.couches_retirees)),
        _listed("Champs ajoutés", (f"`{field.couche}.{field.champ}`" for field in changes.champs_ajoutes)),
        _listed("Champs retirés", (f"`{field.couche}.{field.champ}`" for field in changes.champs_retires)),
        _rows(changes),
        _sources(changes),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _listed(title: str, items: Iterable[str]) -> list[str]:
    lines = [f"- {item}" for item in items]
    return [f"## {title} ({len(lines)})", "", *lines] if lines else []


def _table(title: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return []
    head = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return [f"## {title} ({len(lines)})", "", *head, *lines]


def _contours(changes: Changes) -> list[str]:
    columns = ("QPV", "Nom", "Surface avant (m²)", "Surface (m²)", "Entrant (m²)", "Sortant (m²)")
    rows = (
        (
            contour.code_qp,
            _text(contour.lib_qp),
            *map(
                _number,
                (contour.surface_avant_m2, contour.surface_apres_m2, contour.entrant_m2, contour.sortant_m2),
            ),
        )
        for contour in changes.contours
    )
    return _table("Contours changés", columns, rows)


def _statistics(changes: Changes) -> list[str]:
    columns = (
        *("Zone", "Indicateur", "Millésime"),
        *("Valeurs changées", "apparues", "disparues", "Total", "Plus grand écart"),
    )
    rows = (
        (
            word(change.zone),
            f"`{change.indicateur}`",
            _from_to(change.millesime_avant, change.millesime_apres),
            number(change.cellules),
            number(change.apparues),
            number(change.disparues),
            _from_to(_number(change.total_avant), _number(change.total_apres)),
            _largest(change),
        )
        for change in changes.statistiques
    )
    return _table("Statistiques changées", columns, rows)


def _largest(change: StatisticChange) -> str:
    cell = change.plus_grand_ecart
    return f"{cell.code} : {_from_to(_number(cell.avant), _number(cell.apres))}" if cell else ""


def _health(changes: Changes) -> list[str]:
    columns = ("QPV", "Nom", "Lignes changées", "Comparables")
    rows = (
        (code, _text(name), number(changed), number(comparable))
        for (code, name), (changed, comparable) in changes.health_by_qpv.items()
    )
    return _table("Santé : lignes changées", columns, rows)


def _rows(changes: Changes) -> list[str]:
    columns = ("Couche", "Lignes", "Ajoutées", "Retirées", "Modifiées")
    rows = (
        (
            f"`{change.couche}`",
            _from_to(number(change.avant), number(change.apres)),
            number(change.ajoutees),
            number(change.retirees),
            number(change.modifiees),
        )
        for change in changes.lignes
    )
    return _table("Couches dont les lignes ont changé", columns, rows)


def _sources(changes: Changes) -> list[str]:
    columns = ("Source", "Millésime", "Date", "Origine", "Fichier", "SHA-256")
    rows = ((change.source, *_states(change.avant, change.apres)) for change in changes.sources)
    return _table("Sources changées", columns, rows)


def _states(before: SourceState | None, after: SourceState | None) -> Iterator[str]:
    def columns(state: SourceState | None) -> tuple[str, ...]:
        if state is None:
            return ("non lue",) * 5
        day = french_date(state.date_source) if state.date_source else ""
        return (
            state.millesime or "",
            day,
            word(state.origine or ""),
            _text(state.fichier),
            (state.sha256 or "")[:10],
        )

    for earlier, later in zip(columns(before), columns(after), strict=True):
        yield _from_to(earlier, later)


def _from_to(before: str | None, after: str | None) -> str:
    """Write a value once if it did not change, else both."""
    return (before or "") if before == after else f"{before or '∅'} → {after or '∅'}"


def _number(value: float | None) -> str:
    return "" if value is None else short_number(value)


def _qpv(qpv: NamedQpv) -> str:
    return f"{qpv.code_qp} : {_text(qpv.lib_qp)}" if qpv.lib_qp else qpv.code_qp


def _text(text: str | None) -> str:
    """Escape a source's text: no mark of Markdown, no line of its own."""
    return _MARKS.sub(r"\\\1", " ".join((text or "sans nom").split()))
