"""Agreement between producers: the contract, the letter of a code, and what the table keeps."""

import math

import pandas as pd
import pytest

from qpv_geo.analysis.concordances import (
    COMMUNES,
    Concordance,
    Statement,
    check_completeness,
    compare_contract,
    compare_sets,
    compare_statuses,
    concordances_table,
    contract_figures,
    report_concordances,
)
from qpv_geo.territory import Territory

NAMES = {
    "QN02502M": "Orchamps-Palente",
    "QN02503M": "Planoise",
    "QN02504M": "Montrapon",
    "QN02505M": "Clairs Soleil",
    "QN02515N": "Hauts de Saint-Claude",
    "QN02517N": "Battant",
}
QPV = pd.DataFrame({"code_qp": list(NAMES), "lib_qp": list(NAMES.values())})
# What INSEE publishes of the six: population 2020, poverty 2021, single-parent families 2020.
INSEE = {
    "population_municipale": ("2020", "insee_population", (3194, 15603, 1636, 1502, 1211, 2481)),
    "taux_pauvrete_60": ("2021", "insee_filosofi", (50, 55, 45, 49, 45, 38)),
    "part_familles_monoparentales": ("2020", "insee_demographie", (35.9, 38.4, 47.0, 35.3, 39.4, 34.0)),
}


def statistics(**changes: float) -> pd.DataFrame:
    """Return INSEE's rows; ``QN02503M__taux_pauvrete_60=5.5`` changes one."""
    rows = [
        ("qpv", code, indicator, vintage, changes.get(f"{code}__{indicator}", float(value)), "ok", source)
        for indicator, (vintage, source, values) in INSEE.items()
        for code, value in zip(NAMES, values, strict=True)
    ]
    columns = ["zone", "code", "indicateur", "millesime", "valeur", "statut", "source"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(statut=frame["statut"].where(frame["valeur"].notna(), "imprecis"))


def compared(territory: Territory, found: pd.DataFrame) -> dict[tuple[str, str], Concordance]:
    rows = compare_contract(territory, contract_figures(territory, QPV, found), found)
    return {(row.theme, row.code): row for row in rows}


def diverging(rows: dict[tuple[str, str], Concordance]) -> set[tuple[str, str]]:
    return {key for key, row in rows.items() if row.result == "diverge"}


SINGLE_PARENTS, POVERTY = "Part des familles monoparentales", "Taux de pauvreté"


def test_the_contract_of_besancon(besancon: Territory) -> None:
    rows = compared(besancon, statistics())
    assert len(rows) == 19
    assert diverging(rows) == {(POVERTY, "QN02502M")}
    poverty = rows[POVERTY, "QN02502M"]
    assert (poverty.first.value, poverty.second.value, poverty.gap) == ("46", "50", 4.0)
    assert poverty.second == Statement("50", "INSEE", "insee_filosofi")
    assert "le contrat donne 46, l'INSEE 50" in poverty.message


@pytest.mark.parametrize(
    ("code", "stated", "official"),
    [
        ("QN02503M", "38", "38,4"),
        ("QN02502M", "35", "35,9"),
        ("QN02517N", "34", "34"),
        ("QN02504M", "47", "47"),
        ("QN02505M", "35", "35,3"),
        ("QN02515N", "39", "39,4"),
    ],
)
def test_the_contract_cuts_the_decimals_of_its_single_parent_families(
    besancon: Territory, code: str, stated: str, official: str
) -> None:
    row = compared(besancon, statistics())[SINGLE_PARENTS, code]
    assert (row.first.value, row.second.value, row.result) == (stated, official, "concorde")
    assert row.tolerance == "0 ≤ INSEE - contrat < 1 : le contrat coupe les décimales"


@pytest.mark.parametrize(
    ("change", "planted"),
    [
        # Rounded, 37.9 is 38; cut, it is 37.
        ({"QN02503M__part_familles_monoparentales": 37.9}, (SINGLE_PARENTS, "QN02503M")),
        ({"QN02503M__part_familles_monoparentales": 39.0}, (SINGLE_PARENTS, "QN02503M")),
        ({"QN02504M__taux_pauvrete_60": 4.5}, (POVERTY, "QN02504M")),
        ({"QN02517N__population_municipale": 2482}, ("Population", "QN02517N")),
    ],
)
def test_a_planted_error_is_found(
    besancon: Territory, change: dict[str, float], planted: tuple[str, str]
) -> None:
    rows = compared(besancon, statistics(**change))
    expected = {(POVERTY, "QN02502M"), planted}
    if planted[0] == "Population":
        expected.add(("Population", "CN02502I"))
    assert diverging(rows) == expected


def test_the_six_populations_are_ancts_total(besancon: Territory) -> None:
    row = compared(besancon, statistics())["Population", "CN02502I"]
    assert (row.first.value, row.second.value, row.gap, row.result) == ("25627", "25627", 0.0, "concorde")
    assert row.first.producer == "ANCT"
    assert besancon.contrat
    assert besancon.contrat.total
    assert row.first.source == besancon.contrat.total.source
    lacking = compared(besancon, statistics(QN02517N__population_municipale=math.nan))
    assert lacking["Population", "CN02502I"].result == "non_verifiable"


def test_the_newest_population_counts(besancon: Territory) -> None:
    older = statistics(QN02503M__population_municipale=1.0).assign(millesime="2018")
    row = compared(besancon, pd.concat([statistics(), older]))["Population", "CN02502I"]
    assert row.second.value == "25627"


def test_what_insee_does_not_publish_is_not_compared(besancon: Territory) -> None:
    rows = compared(besancon, statistics(QN02503M__part_familles_monoparentales=math.nan))
    row = rows[SINGLE_PARENTS, "QN02503M"]
    assert (row.second.value, row.result) == (None, "non_verifiable")
    assert "statut imprecis" in row.message


def test_a_contract_that_writes_decimals_is_held_to_them(besancon: Territory) -> None:
    assert besancon.contrat
    entries = [entry.model_copy(update={"taux_pauvrete": 54.9}) for entry in besancon.contrat.qpv[:1]]
    contract = besancon.contrat.model_copy(update={"qpv": tuple(entries), "total": None})
    territory = besancon.model_copy(update={"contrat": contract})
    assert diverging(compared(territory, statistics())) == {(POVERTY, "QN02503M")}
    assert not diverging(compared(territory, statistics(QN02503M__taux_pauvrete_60=54.95)))


def test_without_a_contract_there_is_nothing_to_compare(besancon: Territory) -> None:
    assert not compared(besancon.model_copy(update={"contrat": None}), statistics())


# The letter of a code


def correspondence(*rows: tuple[str, str | None]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["code_qp", "statut"])


@pytest.mark.parametrize(
    ("code", "status", "result"),
    [
        ("QN02503M", "MODIFIE", "concorde"),
        ("QN02601I", "INCHANGE", "concorde"),
        ("QN02517N", "NOUVEAU", "concorde"),
        ("QN02503M", "INCHANGE", "diverge"),
        ("QN02517N", "MODIFIE", "diverge"),
        ("QN02601I", "Inchangé", "diverge"),
        # Mayotte's communes have no counterpart.
        ("QN97654C", "MODIFIE", "non_verifiable"),
        ("QN02503M", None, "non_verifiable"),
    ],
)
def test_the_status_against_the_letter(code: str, status: str | None, result: str) -> None:
    qpv = pd.DataFrame({"code_qp": [code], "lib_qp": ["Ici"]})
    (row,) = compare_statuses(qpv, correspondence((code, status)))
    assert (row.result, row.first.value, row.second.value) == (result, status, code[-1])


def test_a_qpv_that_the_table_does_not_cite() -> None:
    rows = compare_statuses(QPV, correspondence(("QN02503M", "MODIFIE"), ("QN97654C", "MODIFIE")))
    assert {row.code: row.result for row in rows if row.result != "non_verifiable"} == {
        "QN02503M": "concorde"
    }


@pytest.mark.parametrize(
    ("told", "national", "outcome", "said"),
    [
        (NAMES, True, "conforme", "cite chaque QPV 2024"),
        (list(NAMES)[1:], True, "non_verifiable", "ce n'est pas le fichier national"),
        (NAMES, False, "non_verifiable", "ce n'est pas le fichier national"),
        ([*list(NAMES)[1:], "QN09999M"], True, "avertissement", "QPV absents de la table : QN02502M"),
        ([*NAMES, "QN09999M"], True, "avertissement", "QPV sans contour : QN09999M"),
    ],
)
def test_completeness_is_known_of_the_national_file_alone(
    told: list[str], outcome: str, said: str, *, national: bool
) -> None:
    table = correspondence(*((code, "MODIFIE") for code in told))
    check = check_completeness(table, set(NAMES), national=national)
    assert (check.outcome, check.code) == (outcome, "correspondance_complete")
    assert said in check.message


# The table


def row(theme: str, code: str, result: str, source: str = "qpv_2024") -> Concordance:
    first, second = Statement("25056", "ANCT", source), Statement("25429", "qpv-geo", "qpv_commune")
    return Concordance(theme, code, "Ici", first, second, "aucune", result, "Ici.")  # type: ignore[arg-type]


def test_of_what_is_compared_everywhere_disagreements_and_one_count_are_kept(besancon: Territory) -> None:
    rows = [
        row(COMMUNES, "QN02503M", "concorde"),
        row(COMMUNES, "QN02504M", "diverge"),
        row(COMMUNES, "QN98701M", "non_verifiable"),
        row(COMMUNES, "QN02503M", "concorde", "insee_population"),
        row(POVERTY, "QN02503M", "concorde"),
    ]
    table = concordances_table(rows, besancon)
    found = list(table[["theme", "objet", "source_a", "resultat"]].itertuples(index=False, name=None))
    assert found == [
        (COMMUNES, "242500361", "insee_population", "concorde"),
        (COMMUNES, "242500361", "qpv_2024", "diverge"),
        (COMMUNES, "QN02504M", "qpv_2024", "diverge"),
        (POVERTY, "QN02503M", "qpv_2024", "concorde"),
    ]
    count = table.iloc[1]
    assert (count["valeur_a"], count["valeur_b"]) == ("2 QPV comparés", "1 concordent")
    assert "1 divergent, 1 non vérifiables" in count["message"]
    check = report_concordances(rows)
    assert (check.outcome, check.found) == ("avertissement", "1")
    assert "Communes (1)" in check.message


def test_nothing_compared_is_an_empty_table(besancon: Territory) -> None:
    table = concordances_table([], besancon)
    assert table.empty
    assert "resultat" in table
    assert report_concordances([]).outcome == "conforme"


@pytest.mark.parametrize(("published", "result"), [(27.3, "concorde"), (27.4, "diverge"), (27.0, "diverge")])
def test_what_is_computed_of_all_qpv_together_against_insees_own(
    besancon: Territory, published: float, result: str
) -> None:
    columns = ["zone", "code", "indicateur", "millesime", "valeur", "source"]
    rows = [
        ("qpv_epci", besancon.code, "part_x", "2020", 27.308, "computed"),
        ("ensemble_qpv_epci", besancon.code, "part_x", "2020", published, "insee_demographie"),
        # Another vintage, another zone, and a rate that cannot be computed are compared with nothing.
        ("ensemble_qpv_epci", besancon.code, "part_x", "2022", 10.0, "insee_demographie"),
        ("epci", besancon.code, "part_x", "2020", 10.0, "insee_demographie"),
        ("qpv_epci", besancon.code, "part_y", "2020", math.nan, "computed"),
        ("ensemble_qpv_epci", besancon.code, "part_y", "2020", 5.0, "insee_demographie"),
    ]
    found = compare_sets(pd.DataFrame(rows, columns=columns), {"part_x": "Part de x"}, besancon)
    (row,) = found
    assert (row.result, row.code, row.gap) == (result, "242500361", pytest.approx(27.308 - published))
    assert row.theme == "QPV pris ensemble : Part de x (2020)"
