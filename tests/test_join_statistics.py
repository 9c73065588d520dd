"""Statistics to QPV by code: orphans both ways, absences with their reason, whole counts."""

import math

import geopandas as gpd
import pandas as pd
from shapely.geometry import box

from qpv_geo.analysis.statistics import add_indicators, dictionary, join_by_code
from qpv_geo.ingest.registry import load_registry
from qpv_geo.ingest.statistic_rows import StatisticRows


def values(*rows: tuple[str, str, str, float, str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["code", "indicateur", "millesime", "valeur", "statut"])
    origin = {"source": "insee_population", "fichier": "pop.csv", "code_producteur": "popMuniQPV"}
    bounds = {"borne_basse": math.nan, "borne_haute": math.nan}
    ranks = {"rang": 3, "rang_sur": 8}
    return frame.assign(zone="qpv", **origin, **bounds, **ranks, geographie=None)


POPULATION = values(
    ("QN02502M", "population_municipale", "2020", 3194.0, "ok"),
    ("QN09999N", "population_municipale", "2020", 12.0, "ok"),
)


ROWS = StatisticRows(POPULATION)


def outcomes(checks: list) -> dict[str, tuple[str, str]]:
    return {check.code: (check.outcome, check.message) for check in checks}


def test_every_orphan_is_named_both_ways() -> None:
    contours = ["QN02502M", "QN02503M", "QN00101M"]
    _, checks = join_by_code(ROWS, ["QN02502M", "QN02503M"], contours)
    found = outcomes(checks)
    assert found["qpv_sans_statistique"][0] == "avertissement"
    assert "QN02503M" in found["qpv_sans_statistique"][1]
    assert "QN09999N" in found["statistique_sans_qpv"][1]
    assert "QN00101M, QN02503M" in found["qpv_de_france_sans_ligne"][1]


def test_a_qpv_without_row_is_published_as_not_available() -> None:
    joined, _ = join_by_code(ROWS, ["QN02502M", "QN02503M"], None)
    assert joined["code"].tolist() == ["QN02502M", "QN02503M"]
    assert joined["statut"].tolist() == ["ok", "non_disponible"]
    assert joined["valeur"].isna().tolist() == [False, True]


def test_orphans_prove_nothing_when_the_contours_hold_one_territory() -> None:
    _, checks = join_by_code(ROWS, ["QN02502M"], None)
    assert outcomes(checks).keys() == {"qpv_sans_statistique"}


def test_a_code_of_a_part_of_france_that_the_contours_leave_out_is_no_orphan() -> None:
    """The edition in metres holds metropolitan France alone."""
    overseas = values(
        ("QN97401M", "population_municipale", "2020", 12.0, "ok"),
        ("QN09999N", "population_municipale", "2020", 12.0, "ok"),
    )
    rows = StatisticRows(pd.concat([POPULATION, overseas]))
    _, checks = join_by_code(rows, ["QN02502M"], ["QN02502M"])
    message = outcomes(checks)["statistique_sans_qpv"][1]
    assert "QN09999N" in message
    assert "QN97401M" not in message
    _, checks = join_by_code(rows, ["QN02502M"], ["QN02502M", "QN97402M"])
    assert "QN97401M" in outcomes(checks)["statistique_sans_qpv"][1]


def layer(*codes: str) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame({"code_qp": codes}, geometry=[box(0, 0, 1, 1)] * len(codes), crs=2154)


def test_the_layer_carries_the_latest_vintage_with_status_and_vintage() -> None:
    statistics = values(
        ("QN02502M", "population_municipale", "2018", 3000.0, "ok"),
        ("QN02502M", "population_municipale", "2020", 3194.0, "ok"),
        ("QN02503M", "population_municipale", "2020", float("nan"), "secret"),
    )
    result = add_indicators(layer("QN02502M", "QN02503M"), statistics, load_registry())
    assert result["population_municipale"].iloc[0] == 3194
    assert result["population_municipale"].isna().tolist() == [False, True]
    assert result["population_municipale_statut"].tolist() == ["ok", "secret"]
    assert result["population_municipale_millesime"].tolist() == ["2020", "2020"]
    assert result["population_municipale_rang"].tolist() == [3, 3]
    assert result["population_municipale_rang_sur"].tolist() == [8, 8]


def test_all_qpv_have_one_vintage_and_an_older_value_never_stands_in() -> None:
    statistics = values(
        ("QN02502M", "taux_emploi", "2020", 40.0, "ok"),
        ("QN02502M", "taux_emploi", "2022", 41.0, "ok"),
        ("QN02503M", "taux_emploi", "2020", 37.6, "ok"),
        ("QN02503M", "taux_emploi", "2022", math.nan, "imprecis"),
        ("QN02504M", "taux_emploi", "2020", 39.9, "ok"),
    )
    statistics[["borne_basse", "borne_haute"]] = [[38, 42], [39, 43], [36, 39], [20, 48], [35, 44]]
    result = add_indicators(layer("QN02502M", "QN02503M", "QN02504M"), statistics, load_registry())
    assert result["taux_emploi"].iloc[0] == 41
    assert result["taux_emploi"].isna().tolist() == [False, True, True]
    assert result["taux_emploi_statut"].tolist() == ["ok", "imprecis", "non_disponible"]
    # The interval stands also where the estimate is withheld.
    assert result["taux_emploi_borne_basse"].tolist()[:2] == [39, 20]
    assert result["taux_emploi_borne_haute"].isna().tolist() == [False, False, True]
    assert "population_municipale_borne_basse" not in result


def test_an_indicator_that_no_source_gave_is_not_available() -> None:
    result = add_indicators(layer("QN02502M"), POPULATION, load_registry())
    assert result["taux_pauvrete_60"].isna().all()
    assert result["taux_pauvrete_60_statut"].tolist() == ["non_disponible"]


def test_estimated_counts_keep_their_decimals() -> None:
    statistics = values(("QN02502M", "population_municipale", "2020", 3194.5, "ok"))
    result = add_indicators(layer("QN02502M"), statistics, load_registry())
    assert result["population_municipale"].tolist() == [3194.5]


def test_the_dictionary_holds_the_registry_and_what_lies_beyond_it() -> None:
    labels = pd.DataFrame(
        {
            "indicateur": ["disp_xx_a21"],
            "source": ["insee_filosofi"],
            "code_producteur": ["DISP_XX_A21"],
            "libelle": ["Autre mesure"],
        }
    )
    frame = dictionary(load_registry(), labels).set_index("indicateur")
    assert frame.loc["population_municipale", "additif"]
    assert frame.loc["disp_xx_a21", "libelle"] == "Autre mesure"
    assert frame.loc["disp_xx_a21", "theme"] == "Hors registre"
