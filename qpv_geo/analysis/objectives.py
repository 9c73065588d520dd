"""Table ``objectifs_indicateurs``: what follows each action of the contract."""

import difflib

import pandas as pd

from qpv_geo.analysis.health_plan import load_health_plan
from qpv_geo.errors import ConfigurationError
from qpv_geo.ingest.registry import Registry
from qpv_geo.territory import Territory

_COLUMNS = ["objectif", "action", "indicateur", "libelle", "table_suivie"]


def objectives_table(territory: Territory, registry: Registry) -> pd.DataFrame:
    """Return a row per action of the contract and measure that the territory chose to follow it.

    They stand in the order of the contract. A measure is a line of table ``sante``, or else an indicator of
    ``statistiques``; `ConfigurationError` is raised if it is neither. Without any the frame has no columns.
    """
    contract = territory.contrat
    if contract is None or not contract.objectifs_indicateurs:
        return pd.DataFrame()
    lines = dict(load_health_plan().lines(registry))
    names = {indicator.id: indicator.label for indicator in registry.indicators} | lines
    followed = {entry.action: entry.indicateurs for entry in contract.objectifs_indicateurs}
    rows = []
    for objective in contract.objectifs:
        for action in objective.actions:
            for measure in dict.fromkeys(followed.get(action, ())):
                if measure not in names:
                    raise ConfigurationError(_unknown(territory, action, measure, list(names)))
                table = "sante" if measure in lines else "statistiques"
                rows.append((objective.titre, action, measure, names[measure], table))
    return pd.DataFrame(rows, columns=_COLUMNS)


def _unknown(territory: Territory, action: str, measure: str, names: list[str]) -> str:
    near = difflib.get_close_matches(measure, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "see docs/dictionnaire.md and table 'sante'"
    return (
        f"territory {territory.id!r}: 'contrat.objectifs_indicateurs' follows {action!r} by {measure!r}, "
        f"neither an indicator nor a line of table 'sante'; {hint}"
    )
