"""The Contrat de ville's own figures, beside INSEE's and never in their place."""

import math
from decimal import Decimal

import pandas as pd

from qpv_geo.analysis.statistics import newest_of_qpv
from qpv_geo.checks import Check, check_none
from qpv_geo.errors import ConfigurationError
from qpv_geo.french import plain_number
from qpv_geo.territory import Territory

# Each figure of the contract: the indicator that it is compared with, its label and unit.
_FIGURES = {
    "population": ("population_municipale", "Population", "habitants"),
    "taux_pauvrete": ("taux_pauvrete_60", "Taux de pauvreté", "%"),
    "part_familles_monoparentales": (
        "part_familles_monoparentales",
        "Part des familles monoparentales",
        "%",
    ),
}


def contract_figures(territory: Territory, qpv: pd.DataFrame, statistics: pd.DataFrame) -> pd.DataFrame:
    """Return layer ``contrat_de_ville``: each figure of the contract, INSEE's, and INSEE minus contract.

    Raises `ConfigurationError` if the contract names a QPV that is not in the territory.
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
            # As decimal numbers: without the noise of binary fractions.
            gap = value if math.isnan(value) else float(Decimal(str(value)) - Decimal(str(stated)))
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
                    "ecart": gap,
                    "source_contrat": contract.source,
                }
            )
    return pd.DataFrame(rows)


# How much INSEE and the contract may differ, because of years or rounding, before it is a warning.
_POINTS, _SHARE = 10.0, 0.1


def check_contract(figures: pd.DataFrame, territory: Territory) -> list[Check]:
    """Warn if INSEE's values are far from the contract's, as with a column of another scale or measure.

    Far is more than 10 points for a rate, 10 % for a number. Without a figure to compare there is no check.
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
    return [check_none("ecart_au_contrat", territory.id, far, message)]
