"""The Contrat de ville's own figures, beside INSEE's and never in their place."""

import math
from decimal import Decimal

import pandas as pd

from qpv_geo.analysis.statistics import newest_of_qpv
from qpv_geo.checks import Check, Outcome
from qpv_geo.errors import ConfigurationError
from qpv_geo.french import plain_number
from qpv_geo.territory import Territory

# The contract's figures and the indicators that they are compared with.
_FIGURES = {
    "population": ("population_municipale", "Population", "habitants"),
    "taux_pauvrete": ("taux_pauvrete_60", "Taux de pauvreté", "%"),
    "part_familles_monoparentales": (
        "part_familles_monoparentales",
        "Part des familles monoparentales",
        "%",
    ),
}


def decimal_difference(value: float, other: float) -> float:
    """Return the difference of two decimal numbers, without the noise of binary fractions."""
    return value if math.isnan(value) else float(Decimal(str(value)) - Decimal(str(other)))


def contract_figures(territory: Territory, qpv: pd.DataFrame, statistics: pd.DataFrame) -> pd.DataFrame:
    """Return layer ``contrat_de_ville``: each figure of the contract, INSEE's, and INSEE minus contract.

    Parameters
    ----------
    territory
        Holds the contract.
    qpv
        The territory's QPV (``code_qp``, ``lib_qp``).
    statistics
        Columns of layer ``statistiques``.

    Raises
    ------
    ConfigurationError
        If the contract names a QPV that is not in the territory.
    """
    names = dict(zip(qpv["code_qp"], qpv["lib_qp"], strict=True))
    contract = territory.contrat
    if contract is None:
        return pd.DataFrame()
    if strangers := sorted({entry.code_qp for entry in contract.qpv} - set(names)):
        raise ConfigurationError(
            f"territory {territory.id!r}: 'contrat.qpv' names {', '.join(strangers)}, not among its QPV "
            f"({', '.join(sorted(names))})"
        )
    newest = newest_of_qpv(statistics)
    keys = zip(newest["code"], newest["indicateur"], strict=True)
    figures = zip(*(newest[name].tolist() for name in ("valeur", "statut", "millesime")), strict=True)
    insee = dict(zip(keys, figures, strict=True))
    rows = []
    for entry in sorted(contract.qpv, key=lambda entry: entry.code_qp):
        for figure, (indicator, label, unit) in _FIGURES.items():
            stated = getattr(entry, figure)
            if stated is None:
                continue
            absent = (float("nan"), "non_disponible", None)
            value, status, vintage = insee.get((entry.code_qp, indicator), absent)
            rows.append(
                {
                    "code_qp": entry.code_qp,
                    "lib_qp": names[entry.code_qp],
                    "nom_contrat": entry.nom,
                    "indicateur": indicator,
                    "libelle": label,
                    "unite": unit,
                    "valeur_contrat": float(stated),
                    "valeur_insee": value,
                    "statut_insee": status,
                    "millesime_insee": vintage,
                    "ecart": decimal_difference(value, stated),
                    "source_contrat": contract.source,
                }
            )
    return pd.DataFrame(rows)


# What INSEE and the contract may differ by, for other years or by rounding, before somebody should look.
_POINTS, _SHARE = 10.0, 0.1


def check_contract(figures: pd.DataFrame, territory: Territory) -> list[Check]:
    """Tell which of INSEE's values are far from the contract's: a column of another scale or measure is.

    Parameters
    ----------
    figures
        As `contract_figures` returns them.
    territory
        Named by the check.

    Returns
    -------
    list of Check
        One, a warning if a rate differs by more than 10 points or a number by more than 10 %; none without a
        figure to compare.
    """
    compared = figures[figures["ecart"].notna()] if len(figures) else figures
    if not len(compared):
        return []
    bounds = (compared["valeur_contrat"].abs() * _SHARE).mask(compared["unite"] == "%", _POINTS)
    far = compared[compared["ecart"].abs() > bounds]
    listed = " ; ".join(
        f"{row['libelle']} de {row['nom_contrat']} ({row['code_qp']}), {plain_number(row['valeur_insee'])} "
        f"pour l'INSEE et {plain_number(row['valeur_contrat'])} au contrat"
        for row in far.to_dict("records")
    )
    message = f"Écarts de plus de 10 points ou de 10 % : {listed or 'aucun'}."
    outcome: Outcome = "avertissement" if listed else "conforme"
    return [Check("ecart_au_contrat", territory.id, outcome, "0", str(len(far)), message)]
