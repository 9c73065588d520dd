"""IRIS: overlaps with both shares, and statistics matched with contours of their own geography."""

import datetime as dt
import math

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from qpv_geo.analysis.districts import (
    cut_by_iris,
    iris_layer,
    iris_statistics,
    match_geographies,
    shares_of_iris,
)
from tests.essai import essai

TERRITORY = essai(sliver_share=0.02, sliver_area=100)
IN_2022, IN_2024 = dt.date(2022, 1, 1), dt.date(2024, 1, 1)


def iris(*rows: tuple[str, BaseGeometry]) -> gpd.GeoDataFrame:
    codes, shapes = zip(*rows, strict=True)
    return gpd.GeoDataFrame(
        {
            "code_iris": codes,
            "nom_iris": [f"Iris {code[-4:]}" for code in codes],
            "type_iris": "H",
            "insee_com": [code[:5] for code in codes],
            "nom_com": "Besançon",
        },
        geometry=list(shapes),
        crs=2154,
    )


def qpv(*rows: tuple[str, BaseGeometry]) -> gpd.GeoDataFrame:
    codes, shapes = zip(*rows, strict=True)
    return gpd.GeoDataFrame({"code_qp": codes, "lib_qp": codes}, geometry=list(shapes), crs=2154)


# Three IRIS side by side, 1000, 500 and 2000 m wide.
IRIS = iris(
    ("250560103", box(1500, 0, 3500, 1000)),
    ("250560101", box(0, 0, 1000, 1000)),
    ("250560102", box(1000, 0, 1500, 1000)),
)
# 250 m in the first, all of the second's width, 200 m below every IRIS; the other 1 m into the second.
QPV = qpv(("QN02503M", box(750, -200, 1500, 400)), ("QN02502M", box(0, 0, 1001, 400)))


def test_pieces_have_both_shares_and_add_up() -> None:
    pieces = cut_by_iris(QPV, IRIS)
    assert pieces.columns.tolist() == [
        "code_qp",
        "lib_qp",
        "code_iris",
        "nom_iris",
        "insee_com",
        "surface_m2",
        "part_qpv",
        "part_iris",
        "geometry",
    ]
    planoise = pieces[pieces["code_qp"] == "QN02503M"]
    assert planoise["code_iris"].iloc[:2].tolist() == ["250560101", "250560102"]
    assert planoise["code_iris"].isna().tolist() == [False, False, True]
    assert planoise["surface_m2"].tolist() == [100_000, 200_000, 150_000]
    assert planoise["part_qpv"].tolist() == pytest.approx([100 / 4.5, 200 / 4.5, 150 / 4.5])
    assert planoise["part_iris"].iloc[:2].tolist() == pytest.approx([10, 40])
    assert math.isnan(planoise["part_iris"].iloc[2])
    assert planoise["nom_iris"].iloc[1] == "Iris 0102"
    assert pieces["code_qp"].tolist() == sorted(pieces["code_qp"])


def test_the_layer_counts_the_qpv_that_really_overlap() -> None:
    layer = iris_layer(IRIS, cut_by_iris(QPV, IRIS), TERRITORY)
    assert set(layer.columns) == {
        *("code_iris", "nom_iris", "type_iris", "insee_com", "nom_com"),
        *("surface_m2", "nb_qpv", "geometry"),
    }
    assert layer["code_iris"].tolist() == ["250560101", "250560102", "250560103"]
    assert layer["surface_m2"].tolist() == [1_000_000, 500_000, 2_000_000]
    # The 400 m² that the other QPV shares with the second IRIS are a sliver.
    assert layer["nb_qpv"].tolist() == [2, 1, 0]


def test_shares_tell_slivers_from_small_iris_that_lie_whole_inside() -> None:
    tiny = iris(("250560104", box(100, 100, 150, 150)), ("250560105", box(150, 100, 5000, 1000)))
    zones = gpd.GeoDataFrame({"nom": ["Cité"]}, geometry=[box(0, 0, 1000, 1000)], crs=2154)
    shares = shares_of_iris(zones, tiny, TERRITORY).set_index("code_iris")
    # 2 500 m² of a million are a quarter of a percent of the zone, and all of the IRIS.
    assert shares.loc["250560104", "part_iris"] == 100
    assert shares.loc["250560104", "significatif"]
    assert shares.loc["250560105", "code"] == "Cité"
    outside = shares[shares.index.isna()]
    assert outside["significatif"].tolist() == [True]
    edge = gpd.GeoDataFrame({"nom": ["Bord"]}, geometry=[box(-1, 0, 1000, 1000)], crs=2154)
    bare = shares_of_iris(edge, IRIS, TERRITORY)
    assert bare.loc[bare["code_iris"].isna(), "significatif"].tolist() == [False]


@given(st.lists(st.integers(0, 3000), min_size=4, max_size=4, unique=True), st.integers(1, 1500))
def test_pieces_of_a_qpv_add_up_to_it(cuts: list[int], height: int) -> None:
    west, *_, east = sorted(cuts)
    layer = qpv(("QN02503M", box(west, 0, east, height)))
    pieces = cut_by_iris(layer, IRIS)
    assert pieces["surface_m2"].sum() == pytest.approx(layer.area.iloc[0], rel=1e-9)
    assert pieces["part_qpv"].sum() == pytest.approx(100)
    assert shapely.union_all(pieces.geometry.to_numpy()).area == pytest.approx(layer.area.iloc[0])


def outcomes(checks: list) -> dict[str, str]:
    return {check.code: check.outcome for check in checks}


def test_one_geography_matches_and_names_orphans_of_both_sides() -> None:
    matched, checks = match_geographies(["1", "2"], IN_2024, ["2", "3"], IN_2024, "iris_population")
    assert matched == {"2"}
    assert outcomes(checks) == {
        "geographie_des_iris": "conforme",
        "iris_sans_contour": "avertissement",
        "iris_sans_statistique": "avertissement",
    }
    assert checks[1].message == "1 IRIS de la source sans contour : 1."
    assert checks[2].message == "1 IRIS sans ligne dans la source : 3."
    assert {check.subject for check in checks} == {"iris_population"}


def test_two_geographies_are_never_matched_silently() -> None:
    matched, checks = match_geographies(["1", "2"], IN_2022, ["1", "2"], IN_2024, "iris_filosofi")
    assert matched == {"1", "2"}
    assert outcomes(checks)["geographie_des_iris"] == "avertissement"
    assert "01/01/2022, contours du 01/01/2024 : 2 IRIS" in checks[0].message


def test_an_unknown_geography_is_said_to_be_unknown() -> None:
    _, checks = match_geographies(["1"], None, ["1"], IN_2024, "iris_filosofi")
    assert outcomes(checks)["geographie_des_iris"] == "non_verifiable"
    _, checks = match_geographies(["1"], None, ["1"], None, "iris_filosofi")
    assert outcomes(checks)["geographie_des_iris"] == "non_verifiable"


def statistics(*rows: tuple[str, str, float, dt.date]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["code", "source", "valeur", "geographie"])
    return frame.assign(
        zone="iris",
        indicateur="population",
        millesime="2022",
        statut="ok",
        fichier="base.csv",
        code_producteur="P22_POP",
    )


VALUES = statistics(
    ("250560101", "iris_population", 2000, IN_2024),
    ("250560102", "iris_population", 1500, IN_2024),
    ("250560199", "iris_population", 900, IN_2024),  # no contour
    ("254290000", "iris_population", 1600, IN_2024),  # Novillars: no contour was asked for
)


def test_statistics_of_the_territory_are_kept_and_completed() -> None:
    found, checks = iris_statistics(VALUES, IRIS, IN_2024)
    rows = found.set_index("code")
    assert rows.index.tolist() == ["250560101", "250560102", "250560103", "250560199", "254290000"]
    assert rows.loc["250560101", "valeur"] == 2000
    assert rows.loc["250560103", "statut"] == "non_disponible"
    assert math.isnan(rows.loc["250560103", "valeur"])
    assert rows.loc["250560103", "geographie"] == IN_2024
    assert found.columns.tolist() == VALUES.columns.tolist()
    messages = {check.code: check.message for check in checks}
    assert messages["iris_sans_contour"] == "1 IRIS de la source sans contour : 250560199."
    assert messages["iris_sans_statistique"] == "1 IRIS sans ligne dans la source : 250560103."


def test_each_source_is_matched_by_its_own_geography() -> None:
    filosofi = statistics(("250560101", "iris_filosofi", 18_000, IN_2022)).assign(indicateur="mediane")
    found, checks = iris_statistics(pd.concat([VALUES, filosofi]), IRIS, IN_2024)
    dates = {c.subject: c.outcome for c in checks if c.code == "geographie_des_iris"}
    assert dates == {"iris_filosofi": "avertissement", "iris_population": "conforme"}
    joined = found[found["source"] == "iris_filosofi"]
    assert joined["statut"].tolist() == ["ok", "non_disponible", "non_disponible"]
    assert set(joined["geographie"]) == {IN_2022}


def test_mixed_dates_within_a_source_count_as_unknown() -> None:
    mixed = VALUES.copy()
    mixed.loc[0, "geographie"] = IN_2022
    _, checks = iris_statistics(mixed, IRIS, IN_2024)
    assert outcomes(checks)["geographie_des_iris"] == "non_verifiable"


def test_without_statistics_nothing_is_made_up() -> None:
    rows, checks = iris_statistics(VALUES.iloc[:0], IRIS, IN_2024)
    assert len(rows) == len(checks) == 0
    assert np.array_equal(rows.columns, VALUES.columns)
