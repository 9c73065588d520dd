"""Districts: sets of IRIS add up, contours are estimated, names and codes that are wrong are named."""

import datetime as dt
import math

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, box
from shapely.geometry.base import BaseGeometry

from qpv_geo.analysis.districts import (
    comparable,
    district_statistics,
    fragile_districts,
    fragile_statistics,
    local_districts,
)
from qpv_geo.checks import Check
from qpv_geo.errors import ConfigurationError, ContractError
from qpv_geo.ingest.registry import Computation
from qpv_geo.territory import (
    Bands,
    Contract,
    FragileDistrict,
    LocalDistrict,
    Territory,
)
from tests.essai import essai

A, B, C = "250560101", "250560102", "250560103"
# Side by side: 1000, 500 and 2000 m wide, 1000 m high.
IRIS = gpd.GeoDataFrame(
    {"code_iris": [A, B, C]},
    geometry=[box(0, 0, 1000, 1000), box(1000, 0, 1500, 1000), box(1500, 0, 3500, 1000)],
    crs=2154,
)
RULES = {
    "population": Computation(additive=True),
    "actifs": Computation(additive=True),
    "chomeurs": Computation(additive=True),
    "taux_chomage": Computation(numerator="chomeurs", denominator="actifs"),
}
VALUES = pd.DataFrame(
    [
        (A, "population", 2000.0, "ok"),
        (B, "population", 1500.0, "ok"),
        (C, "population", 800.0, "ok"),
        (A, "actifs", 1000.0, "ok"),
        (B, "actifs", 600.0, "ok"),
        (C, "actifs", math.nan, "secret"),
        (A, "chomeurs", 100.0, "ok"),
        (B, "chomeurs", 180.0, "ok"),
        (C, "chomeurs", 40.0, "ok"),
        (A, "mediane", 18_000.0, "ok"),
        (B, "mediane", 16_000.0, "ok"),
        (C, "mediane", 21_000.0, "ok"),
    ],
    columns=["code", "indicateur", "valeur", "statut"],
).assign(
    zone="iris",
    millesime="2022",
    source="iris_population",
    fichier="base-ic.csv",
    code_producteur="P22",
    geographie=dt.date(2024, 1, 1),
)

SIX = (
    "Cité Curie-Pasteur",
    "Cité Viotte",
    "Cité des Vareilles",
    "Cité de l'Amitié",
    "Pesty (Rosemont)",
    "Cité de la Pelouse",
)
COMMUNES = gpd.GeoDataFrame(
    {"insee_com": ["25056", "25429"]},
    geometry=[box(0, 0, 3500, 1000), box(3500, 0, 5000, 1000)],
    crs=2154,
)


def territory(*quartiers: LocalDistrict, bandes: Bands | None = None) -> Territory:
    fragile = tuple(
        FragileDistrict(nom=name, insee_com="25429", lib_com="Novillars")
        if name == SIX[0]
        else FragileDistrict(nom=name, insee_com="25056", lib_com="Besançon")
        for name in SIX
    )
    return essai(
        qpv=6,
        contrat=Contract(
            titre="Contrat",
            periode="2024-2030",
            signataires=22,
            presentation=dt.date(2024, 9, 19),
            source="Présentation",
            quartiers_fragiles=fragile,
        ),
        quartiers=quartiers,
        bandes=bandes or Bands(),
    )


def contours(*rows: tuple[str | None, BaseGeometry]) -> gpd.GeoDataFrame:
    names, shapes = zip(*rows, strict=True)
    return gpd.GeoDataFrame({"nom": names}, geometry=[MultiPolygon([s]) for s in shapes], crs=2154)


def cell(frame: pd.DataFrame, code: str, indicator: str) -> tuple[float, str]:
    row = frame[(frame["code"] == code) & (frame["indicateur"] == indicator)]
    assert len(row) == 1
    return row["valeur"].iloc[0], row["statut"].iloc[0]


def by_subject(checks: tuple[Check, ...], code: str) -> dict[str, Check]:
    return {check.subject: check for check in checks if check.code == code}


CENTRE = LocalDistrict(nom="Centre", iris=(B, A))
OUEST = LocalDistrict(nom="Écoles", iris=(C,))
HALF_OF_A = ("Battant", box(0, 0, 500, 1000))


# Local districts


def test_the_layer_holds_sets_and_contours() -> None:
    layer, _, _ = local_districts(territory(CENTRE, OUEST), IRIS, contours(HALF_OF_A))
    assert set(layer.columns) == {"nom", "mode", "nb_iris", "surface_m2", "geometry"}
    rows = layer.set_index("nom")
    assert rows.index.tolist() == ["Battant", "Centre", "Écoles"]
    assert rows["mode"].tolist() == ["contour", "iris", "iris"]
    assert rows["nb_iris"].tolist() == [1, 2, 1]
    assert rows["surface_m2"].tolist() == [500_000, 1_500_000, 2_000_000]
    assert rows.loc["Centre"].geometry.equals(box(0, 0, 1500, 1000))
    assert set(layer.geom_type) == {"MultiPolygon"}
    assert layer.crs == "EPSG:2154"


def test_sets_are_exact_sums_and_contours_are_estimates() -> None:
    _, shares, _ = local_districts(territory(CENTRE, OUEST), IRIS, contours(HALF_OF_A))
    frame = district_statistics(territory(CENTRE, OUEST), shares, VALUES, RULES)
    assert set(frame["zone"]) == {"quartier"}
    assert cell(frame, "Centre", "population") == (3500, "ok")
    assert cell(frame, "Centre", "taux_chomage") == (17.5, "ok")
    assert cell(frame, "Centre", "mediane")[1] == "non_calculable"
    assert cell(frame, "Écoles", "population") == (800, "ok")
    assert cell(frame, "Écoles", "actifs")[1] == "secret"
    assert cell(frame, "Écoles", "taux_chomage")[1] == "secret"
    assert cell(frame, "Battant", "population") == (1000, "estimation")
    assert cell(frame, "Battant", "taux_chomage") == (10, "estimation")
    assert cell(frame, "Battant", "mediane")[1] == "non_calculable"


def test_without_iris_contours_sets_are_left_out_and_named() -> None:
    layer, shares, checks = local_districts(territory(CENTRE), None, contours(HALF_OF_A))
    assert layer["nom"].tolist() == ["Battant"]
    assert layer["nb_iris"].isna().all()
    (check,) = by_subject(checks, "quartiers_par_iris").values()
    assert check.outcome == "non_verifiable"
    assert "Centre" in check.message
    assert shares.empty


def test_without_any_district_the_layer_is_empty() -> None:
    layer, shares, checks = local_districts(territory(), IRIS, None)
    assert len(layer) == len(checks) == 0
    assert len(district_statistics(territory(), shares, VALUES, RULES)) == 0


def test_every_unknown_iris_is_named() -> None:
    wrong = LocalDistrict(nom="Nord", iris=(A, "250560198", "250560199"))
    other = LocalDistrict(nom="Sud", iris=("254290000",))
    message = r"without contour \(Nord: 250560198, 250560199; Sud: 254290000\).*commune 25056"
    with pytest.raises(ConfigurationError, match=message):
        local_districts(territory(wrong, other), IRIS, None)


def test_names_of_contours_are_given_and_single() -> None:
    rows = (("Battant", box(0, 0, 1, 1)), (None, box(2, 0, 3, 1)), ("battant", box(4, 0, 5, 1)))
    clash = ("CENTRE", box(6, 0, 7, 1))
    with pytest.raises(ContractError) as caught:
        local_districts(territory(CENTRE), IRIS, contours(*rows, clash), "quartiers.gpkg")
    assert "quartiers.gpkg: expected one district per name" in str(caught.value)
    assert "feature 2 has no name" in str(caught.value)
    assert "'Battant' and 'battant' are one name" in str(caught.value)
    assert "'Centre' and 'CENTRE' are one name" in str(caught.value)


def test_contours_that_overlap_are_reported() -> None:
    apart = contours(HALF_OF_A, ("Grette", box(499.95, 0, 900, 1000)))
    (check,) = by_subject(
        local_districts(territory(), IRIS, apart)[2], "chevauchement_des_quartiers"
    ).values()
    assert check.outcome == "conforme"
    common = contours(HALF_OF_A, ("Grette", box(400, 0, 900, 1000)))
    (check,) = by_subject(
        local_districts(territory(), IRIS, common)[2], "chevauchement_des_quartiers"
    ).values()
    assert check.outcome == "avertissement"
    assert "Battant et Grette" in check.message


@given(
    st.lists(st.sampled_from(["Nord", "Sud", "Est"]), min_size=3, max_size=3),
    st.lists(st.integers(0, 10**6), min_size=3, max_size=3),
)
def test_districts_that_share_out_the_iris_share_out_people_and_area(
    owners: list[str], people: list[int]
) -> None:
    sets = [
        LocalDistrict(nom=name, iris=tuple(np.array([A, B, C])[np.array(owners) == name]))
        for name in sorted(set(owners))
    ]
    values = VALUES[VALUES["indicateur"] == "population"].assign(valeur=np.array(people, dtype=float))
    layer, shares, _ = local_districts(territory(*sets), IRIS, None)
    assert layer["surface_m2"].sum() == pytest.approx(3_500_000)
    found = district_statistics(territory(*sets), shares, values, RULES)
    assert found["valeur"].sum() == sum(people)


# Fragile districts


def test_without_contours_the_six_have_no_geometry() -> None:
    layer, bands, checks = fragile_districts(territory(), None, COMMUNES)
    assert set(layer.columns) == {"nom", "insee_com", "lib_com", "contour", "surface_m2", "geometry"}
    assert layer["nom"].tolist() == sorted(SIX)
    assert layer.geometry.isna().all()
    assert not layer["contour"].any()
    assert layer["surface_m2"].isna().all()
    assert layer.crs == "EPSG:2154"
    assert set(bands.columns) == {"nom", "distance_m", "surface_m2", "geometry"}
    assert len(bands) == len(checks) == 0
    assert len(fragile_statistics(layer, VALUES, IRIS, RULES, territory())) == 0


VIOTTE = ("CITE VIOTTE", box(100, 100, 200, 300))
AMITIE = ("cité de l\u2019amitié", box(1000, 0, 1100, 100))
CURIE = ("Cite Curie Pasteur", box(4000, 0, 4100, 100))


def test_contours_are_matched_by_name_however_it_is_spelled() -> None:
    layer, _, checks = fragile_districts(
        territory(), contours(VIOTTE, AMITIE, CURIE), COMMUNES, "fragiles.gpkg"
    )
    rows = layer.set_index("nom")
    assert rows["contour"].sum() == 3
    assert rows.loc["Cité Viotte", "surface_m2"] == 20_000
    assert rows.loc["Cité de l'Amitié", "surface_m2"] == 10_000
    assert rows.loc["Cité Curie-Pasteur", "insee_com"] == "25429"
    assert rows.loc["Cité des Vareilles", "geometry"] is None
    (check,) = by_subject(checks, "contours_des_quartiers_fragiles").values()
    assert check.outcome == "avertissement"
    assert "Cité de la Pelouse, Cité des Vareilles, Pesty (Rosemont)" in check.message
    places = by_subject(checks, "commune_du_quartier_fragile")
    assert {check.outcome for check in places.values()} == {"conforme"}
    assert places["Cité Viotte"].found == "100,0 %"


def test_their_bands_are_those_of_qpv() -> None:
    _, bands, _ = fragile_districts(territory(), contours(AMITIE), COMMUNES)
    # 400 x 300 + pi 300².
    assert bands["surface_m2"].tolist() == pytest.approx([402_743.34], abs=15)
    assert bands["distance_m"].tolist() == [300]
    _, cut, _ = fragile_districts(territory(bandes=Bands(decoupe_epci=True)), contours(AMITIE), COMMUNES)
    # The commune's southern limit takes away the southern side and half the disc: 300 x 300 + pi 300² / 2.
    assert cut["surface_m2"].tolist() == pytest.approx([231_371.67], abs=10)


def test_their_figures_are_estimates() -> None:
    layer, _, _ = fragile_districts(territory(), contours(VIOTTE, CURIE), COMMUNES)
    frame = fragile_statistics(layer, VALUES, IRIS, RULES, territory())
    assert set(frame["zone"]) == {"quartier_fragile"}
    # 20 000 m² of a square kilometre: 2 % of 2 000 people.
    assert cell(frame, "Cité Viotte", "population") == (pytest.approx(40), "estimation")
    assert cell(frame, "Cité Viotte", "taux_chomage") == (pytest.approx(10), "estimation")
    assert cell(frame, "Cité Viotte", "mediane")[1] == "non_calculable"
    # No IRIS contour covers Novillars: no figure, and not 0.
    value, status = cell(frame, "Cité Curie-Pasteur", "population")
    assert math.isnan(value)
    assert status == "non_disponible"


def test_all_that_is_wrong_with_the_file_is_said_at_once() -> None:
    rows = (
        ("Pesty", box(0, 0, 10, 10)),
        ("Planoise", box(20, 0, 30, 10)),
        VIOTTE,
        ("Cité-Viotte", box(40, 0, 50, 10)),
        (None, box(60, 0, 70, 10)),
        ("Cité de la Pelouse", box(4000, 0, 4100, 100)),
    )
    with pytest.raises(ContractError) as caught:
        fragile_districts(territory(), contours(*rows), COMMUNES, "fragiles.gpkg")
    message = str(caught.value)
    assert message.startswith("fragiles.gpkg: ")
    assert "'Pesty'" in message
    assert "'Planoise'" in message
    assert all(name in message for name in SIX)
    assert "'CITE VIOTTE' and 'Cité-Viotte' are one name" in message
    assert "feature 5 has no name" in message
    assert "'Cité de la Pelouse' does not touch Besançon (25056)" in message
    assert "contrat.quartiers_fragiles" in message


def test_a_close_name_is_suggested() -> None:
    with pytest.raises(ContractError, match=r"'Cité Viote' \(perhaps 'Cité Viotte'\)"):
        fragile_districts(territory(), contours(("Cité Viote", box(0, 0, 10, 10))), COMMUNES)


def test_a_contour_mostly_outside_its_commune_is_reported() -> None:
    across = ("Cité Viotte", box(3400, 0, 3900, 100))
    _, _, checks = fragile_districts(territory(), contours(across), COMMUNES)
    (check,) = by_subject(checks, "commune_du_quartier_fragile").values()
    assert (check.outcome, check.found) == ("avertissement", "20,0 %")


def test_a_commune_that_is_not_the_territorys_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"Cité Curie-Pasteur \(25429\)"):
        fragile_districts(territory(), None, COMMUNES.iloc[:1])


def test_besancon_has_six_without_contour(besancon: Territory) -> None:
    communes = COMMUNES.assign(insee_com=["25056", "25429"])
    assert len(fragile_districts(besancon, None, communes)[0]) == 6
    assert besancon.bandes.npnru == ("QN02503M",)


@given(
    st.sampled_from(SIX),
    st.sampled_from(["upper", "lower", "title"]),
    st.sampled_from(["'", "\u2019", "\u02bc", " ", "-"]),
    st.sampled_from(["-", "\u2013", " ", "'"]),
)
def test_spelling_does_not_change_a_name(name: str, case: str, apostrophe: str, hyphen: str) -> None:
    spelled = getattr(name, case)().replace("'", apostrophe).replace("-", hyphen)
    assert comparable(spelled) == comparable(name)
