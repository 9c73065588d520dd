"""The Contrat de ville's figures beside INSEE's, never in their place."""

import pandas as pd
import pytest

from qpv_geo.analysis.contract import contract_figures
from qpv_geo.errors import ConfigurationError
from qpv_geo.territory import load_territory

BESANCON = load_territory("besancon")
NAMES = {"QN02502M": "Orchamps-Palente", "QN02503M": "Planoise", "QN02504M": "Montrapon"} | {
    "QN02505M": "Clairs Soleil",
    "QN02515N": "Hauts de Saint-Claude",
    "QN02517N": "Battant",
}
QPV = pd.DataFrame({"code_qp": list(NAMES), "lib_qp": list(NAMES.values())})
STATISTICS = pd.DataFrame(
    [("qpv", "QN02502M", "taux_pauvrete_60", "2021", 50.0, "ok")],
    columns=["zone", "code", "indicateur", "millesime", "valeur", "statut"],
)


def test_orchamps_palente_differs_by_four_points() -> None:
    figures = contract_figures(BESANCON, QPV, STATISTICS).set_index(["code_qp", "indicateur"])
    row = figures.loc[("QN02502M", "taux_pauvrete_60")]
    assert (row["valeur_contrat"], row["valeur_insee"], row["ecart"]) == (46, 50, 4)
    assert row["millesime_insee"] == "2021"
    assert row["nom_contrat"] == "Orchamps Palente"
    assert row["lib_qp"] == "Orchamps-Palente"


def test_a_figure_that_insee_does_not_give_says_so() -> None:
    figures = contract_figures(BESANCON, QPV, STATISTICS).set_index(["code_qp", "indicateur"])
    row = figures.loc[("QN02503M", "population_municipale")]
    assert row["valeur_contrat"] == 15603
    assert pd.isna(row["valeur_insee"])
    assert pd.isna(row["ecart"])
    assert row["statut_insee"] == "non_disponible"


def test_the_contract_states_three_figures_for_each_of_the_six() -> None:
    figures = contract_figures(BESANCON, QPV, STATISTICS)
    assert len(figures) == 18
    population = figures[figures["indicateur"] == "population_municipale"]
    assert population["valeur_contrat"].sum() == 25_627


def test_a_contract_that_names_a_stranger_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="names QN02503M, not among its QPV"):
        contract_figures(BESANCON, QPV[QPV["code_qp"] != "QN02503M"], STATISTICS)
