"""The Contrat de ville's figures beside INSEE's, never in their place."""

from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.analysis.concordances import check_contract, contract_figures
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


@given(st.integers(0, 10**6).map(lambda tenths: tenths / 10))
def test_the_gap_is_exact_and_makes_insee_s_value_of_the_contract_s(value: float) -> None:
    figures = contract_figures(BESANCON, QPV, STATISTICS.assign(valeur=value))
    (row,) = figures[figures["statut_insee"] == "ok"].to_dict("records")
    assert row["valeur_insee"] == value
    assert Decimal(str(row["valeur_contrat"])) + Decimal(str(row["ecart"])) == Decimal(str(value))


def test_the_contract_states_three_figures_for_each_of_the_six() -> None:
    figures = contract_figures(BESANCON, QPV, STATISTICS)
    assert len(figures) == 18
    population = figures[figures["indicateur"] == "population_municipale"]
    assert population["valeur_contrat"].sum() == 25_627


def test_a_contract_that_names_a_stranger_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="names QN02503M, not among its QPV"):
        contract_figures(BESANCON, QPV[QPV["code_qp"] != "QN02503M"], STATISTICS)


def check_of(*rows: tuple[str, str, float]) -> tuple[str, str, str]:
    statistics = pd.DataFrame(
        [("qpv", code, indicator, "2021", value, "ok") for code, indicator, value in rows],
        columns=STATISTICS.columns,
    )
    (check,) = check_contract(contract_figures(BESANCON, QPV, statistics), BESANCON)
    return check.outcome, check.found, check.message


def test_a_gap_of_four_points_or_of_a_tenth_is_no_warning() -> None:
    rates = ("QN02502M", "taux_pauvrete_60", 50.0), ("QN02503M", "taux_pauvrete_60", 65.0)
    assert check_of(*rates, ("QN02503M", "population_municipale", 17163.0))[:2] == ("conforme", "0")


@pytest.mark.parametrize(
    ("indicator", "value"),
    [
        ("taux_pauvrete_60", 0.55),
        ("taux_pauvrete_60", 65.1),
        ("part_familles_monoparentales", 27.9),
        ("population_municipale", 14042.0),
        ("population_municipale", 17164.0),
    ],
)
def test_a_value_far_from_the_contract_is_a_warning(indicator: str, value: float) -> None:
    outcome, found, message = check_of(("QN02503M", indicator, value), ("QN02502M", "taux_pauvrete_60", 50.0))
    assert (outcome, found) == ("avertissement", "1")
    assert "QN02503M" in message
    assert f"{value:g}".replace(".", ",") in message


def test_without_a_figure_nothing_is_compared() -> None:
    assert check_contract(contract_figures(BESANCON, QPV, STATISTICS.iloc[:0]), BESANCON) == []
    assert check_contract(pd.DataFrame(), BESANCON) == []
