"""What changed in the lines of a QPV since the release before, as sentences of its health page."""

from qpv_geo.formats.base import Content
from qpv_geo.formats.health import OWN, decimals_shown
from qpv_geo.formats.report_schema import HealthChange, HealthState
from qpv_geo.french import counted, measure
from qpv_geo.statuses import STATUSES

_TOLD_AT_MOST = 6


def follow_up(content: Content, code: str) -> tuple[str, ...]:
    """Return the QPV's own lines that changed, those whose values may be compared first; the rest is counted.

    Empty for a first release, and where nothing changed.
    """
    if content.changes is None:
        return ()
    own = [one for one in content.changes.sante if one.code_qp == code and one.zone == OWN]
    own.sort(key=lambda change: not change.comparable)
    told = [_sentence(change) for change in own[:_TOLD_AT_MOST]]
    others = len(own) - len(told)
    return (*told, *([f"{counted(others, 'autre ligne')} : rapport de la publication."] if others else []))


def _sentence(change: HealthChange) -> str:
    values = [state.valeur for state in (change.avant, change.apres) if state and state.valeur is not None]
    unit = change.unite or ""
    decimals = decimals_shown(values, unit)
    before, after = (_words(state, unit, decimals) for state in (change.avant, change.apres))
    return f"{change.libelle} : {before}, puis {after}. {change.raison}"


def _words(state: HealthState | None, unit: str, decimals: int) -> str:
    if state is None:
        return "pas de ligne"
    if state.valeur is None:
        return STATUSES[state.statut].words
    value = measure(state.valeur, unit, decimals)
    return f"{value} ({state.millesime})" if state.millesime else value
