"""What changed between two releases, in French, as Markdown that can be read as it is."""

import re
from collections.abc import Iterable, Iterator

from qpv_geo.formats.report_schema import Changes, NamedQpv, SourceState
from qpv_geo.french import french_date, number, short_number, word

_MARKS = re.compile(r"([\\`*\[\]<>|#])")


def changes_markdown(changes: Changes) -> str:
    """Describe all changes: QPV, contours, statistics, layers, fields, rows, sources, overruns.

    Texts from a source are escaped: a QPV named ``<script>`` stays text.
    """
    if changes.none:
        return f"Aucune différence avec la publication {changes.precedente}."
    parts = [f"Différences avec la publication {changes.precedente}."]
    for title, columns, rows in _sections(changes):
        lines = [f"| {' | '.join(row)} |" if columns else f"- {' : '.join(row)}" for row in rows]
        if lines:
            head = [f"| {columns} |", f"|{'---|' * len(columns.split('|'))}"] if columns else []
            parts.append("\n".join([f"## {title} ({len(lines)})", "", *head, *lines]))
    return "\n\n".join(parts)


def _sections(changes: Changes) -> Iterator[tuple[str, str, Iterable[tuple[str, ...]]]]:
    """Yield title, columns and rows of each section; one without columns is a list."""
    yield "Au-delà des bornes déclarées", "", ((_text(over.message),) for over in changes.depassements)
    yield "QPV entrés", "", map(_qpv, changes.qpv_entres)
    yield "QPV sortis", "", map(_qpv, changes.qpv_sortis)
    renamed = ((qpv.code_qp, _text(qpv.avant), _text(qpv.apres)) for qpv in changes.qpv_renommes)
    yield "QPV renommés", "", ((code, f"{before} devient {after}") for code, before, after in renamed)
    yield (
        "Contours changés",
        "QPV | Nom | Surface avant (m²) | Surface (m²) | Entrant (m²) | Sortant (m²)",
        (
            (
                each.code_qp,
                _text(each.lib_qp),
                *map(_number, (each.surface_avant_m2, each.surface_apres_m2)),
                *map(_number, (each.entrant_m2, each.sortant_m2)),
            )
            for each in changes.contours
        ),
    )
    yield (
        "Statistiques changées",
        "Zone | Indicateur | Millésime | Valeurs changées | apparues | disparues | Total | Plus grand écart",
        (
            (
                word(change.zone),
                f"`{change.indicateur}`",
                _from_to(change.millesime_avant, change.millesime_apres),
                *map(number, (change.cellules, change.apparues, change.disparues)),
                _from_to(_number(change.total_avant), _number(change.total_apres)),
                f"{cell.code} : {_from_to(_number(cell.avant), _number(cell.apres))}" if cell else "",
            )
            for change in changes.statistiques
            for cell in (change.plus_grand_ecart,)
        ),
    )
    yield (
        "Santé : lignes changées",
        "QPV | Nom | Lignes changées | Comparables",
        (
            (code, _text(name), number(changed), number(comparable))
            for (code, name), (changed, comparable) in changes.health_by_qpv.items()
        ),
    )
    yield "Couches ajoutées", "", ((f"`{layer.couche}`",) for layer in changes.couches_ajoutees)
    yield "Couches retirées", "", ((f"`{layer.couche}`",) for layer in changes.couches_retirees)
    yield "Champs ajoutés", "", ((f"`{field.couche}.{field.champ}`",) for field in changes.champs_ajoutes)
    yield "Champs retirés", "", ((f"`{field.couche}.{field.champ}`",) for field in changes.champs_retires)
    yield (
        "Couches dont les lignes ont changé",
        "Couche | Lignes | Ajoutées | Retirées | Modifiées",
        (
            (
                f"`{change.couche}`",
                _from_to(number(change.avant), number(change.apres)),
                *map(number, (change.ajoutees, change.retirees, change.modifiees)),
            )
            for change in changes.lignes
        ),
    )
    yield (
        "Sources changées",
        "Source | Millésime | Date | Origine | Fichier | SHA-256",
        ((each.source, *map(_from_to, _state(each.avant), _state(each.apres))) for each in changes.sources),
    )


def _state(state: SourceState | None) -> tuple[str, ...]:
    if state is None:
        return ("non lue",) * 5
    day = french_date(state.date_source) if state.date_source else ""
    origin, file = word(state.origine or ""), _text(state.fichier)
    return state.millesime or "", day, origin, file, (state.sha256 or "")[:10]


def _from_to(before: str | None, after: str | None) -> str:
    """Write a value once if it did not change, else both."""
    return (before or "") if before == after else f"{before or '∅'} → {after or '∅'}"


def _number(value: float | None) -> str:
    return "" if value is None else short_number(value)


def _qpv(qpv: NamedQpv) -> tuple[str, ...]:
    return (qpv.code_qp, _text(qpv.lib_qp)) if qpv.lib_qp else (qpv.code_qp,)


def _text(text: str | None) -> str:
    """Escape a source's text: no mark of Markdown, no line of its own."""
    return _MARKS.sub(r"\\\1", " ".join((text or "sans nom").split()))
