"""The accessibility index: by hand, beside the library's own way, and what it is made from."""

import math
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from access.fca import two_stage_fca
from access.weights import step_fn
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.analysis.accessibility import (
    Demand,
    accessibility_table,
    catchment_index,
    compare_with_apl,
    demand_of,
    load_parameters,
)
from qpv_geo.errors import ConfigurationError
from qpv_geo.ingest.apl import AplSheet, load_professions
from qpv_geo.ingest.facilities import FacilityTable, load_facility_types

CENTRAL = load_parameters().central
CORNER = (950_000.0, 6_670_000.0)


def points(rows: list[tuple[float, ...]], *names: str) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["x", "y", *names], dtype="float64")


def test_an_index_computed_by_hand() -> None:
    demand = points([(0, 0, 100), (6000, 0, 300), (1000, 0, 0), (20_000, 0, 50)], "population")
    supply = points([(1000, 0, 1), (4000, 0, 2)], "nombre")
    # The first is 1,000 m from 100 people and 5,000 m from 300, the second 4,000 and 2,000 m.
    one, two = 1 / (100 * 1 + 300 * 0.22), 2 / (100 * 0.22 + 300 * 0.68)
    expected = [one + 0.22 * two, 0.22 * one + 0.68 * two, one + 0.68 * two, 0]
    index = catchment_index(demand, supply, CENTRAL)
    assert index.tolist() == pytest.approx([100_000 * value for value in expected], rel=1e-12)


def test_a_distance_on_the_end_of_a_band_is_in_it() -> None:
    assert CENTRAL.weights(np.array([0, 1667, 1667.1, 3333, 5000, 5000.1])).tolist() == [
        *(1, 1, 0.68, 0.68, 0.22),
        0,
    ]


PLACES = st.lists(
    st.tuples(st.floats(0, 9000), st.floats(0, 9000), st.integers(1, 5000)), min_size=1, max_size=8
)


@given(PLACES, PLACES)
def test_it_is_that_of_the_library(
    people: list[tuple[float, float, int]], care: list[tuple[float, float, int]]
) -> None:
    demand, supply = points(people, "population"), points(care, "nombre")
    places, providers = (gpd.points_from_xy(frame["x"], frame["y"]).to_numpy() for frame in (demand, supply))
    costs = pd.DataFrame(
        [(n, m, shapely.distance(a, b)) for n, a in enumerate(places) for m, b in enumerate(providers)],
        columns=["origin", "dest", "cost"],
    )
    theirs = two_stage_fca(
        demand[["population"]].rename(columns={"population": "demand"}),
        supply[["nombre"]].rename(columns={"nombre": "supply"}),
        costs[costs["cost"] <= CENTRAL.radius],
        max_cost=CENTRAL.radius,
        demand_index=True,
        supply_index=True,
        weight_fn=step_fn({band.jusqu_a: band.poids for band in CENTRAL.bandes}),
    ).reindex(demand.index, fill_value=0)
    ours = catchment_index(demand, supply, CENTRAL)
    assert ours == pytest.approx(100_000 * theirs.to_numpy(), rel=1e-9, abs=1e-9)


@given(PLACES, PLACES, st.floats(0.1, 10))
def test_all_care_within_reach_is_shared_out_whatever_the_scale_of_the_population(
    people: list[tuple[float, float, int]], care: list[tuple[float, float, int]], scale: float
) -> None:
    demand, supply = points(people, "population"), points(care, "nombre")
    index = catchment_index(demand, supply, CENTRAL)
    near = [
        any(math.hypot(x - a, y - b) <= CENTRAL.radius for a, b, _ in people)
        for x, y in zip(supply["x"], supply["y"], strict=True)
    ]
    shared = (index * demand["population"]).sum() / 100_000
    assert shared == pytest.approx(supply.loc[near, "nombre"].sum(), rel=1e-9)
    more = catchment_index(demand.assign(population=demand["population"] * scale), supply, CENTRAL)
    assert more * scale == pytest.approx(index, rel=1e-9)


def test_care_that_nobody_with_inhabitants_reaches_is_left_out() -> None:
    demand = points([(0, 0, 100), (8000, 0, 0)], "population")
    index = catchment_index(demand, points([(0, 0, 1), (12_000, 0, 9)], "nombre"), CENTRAL)
    assert index.tolist() == pytest.approx([1000, 0])
    assert catchment_index(demand, points([(12_000, 0, 9)], "nombre"), CENTRAL).tolist() == [0, 0]


def square(west: float, south: float, east: float, north: float) -> shapely.Polygon:
    return shapely.box(CORNER[0] + west, CORNER[1] + south, CORNER[0] + east, CORNER[1] + north)


def communes(count: int = 3) -> gpd.GeoDataFrame:
    """Return squares of 10 km in a row, of 1,000, 2,000, … inhabitants."""
    codes = [f"2500{number}" for number in range(1, count + 1)]
    return gpd.GeoDataFrame(
        {
            "insee_com": codes,
            "nom_com": [f"Commune {code}" for code in codes],
            "population": pd.array([1000 * (n + 1) for n in range(count)], dtype="Int64"),
        },
        geometry=[square(10_000 * n, 0, 10_000 * (n + 1), 10_000) for n in range(count)],
        crs=2154,
    )


IRIS = gpd.GeoDataFrame(
    {
        "code_iris": ["250010101", "250010102", "250020101", "250020102"],
        "insee_com": ["25001", "25001", "25002", "25002"],
    },
    geometry=[square(x, 0, x + 5000, 10_000) for x in (0, 5000, 10_000, 15_000)],
    crs=2154,
)


def populations(values: dict[str, float]) -> pd.DataFrame:
    return pd.DataFrame({"code": values.keys(), "valeur": values.values(), "millesime": "2022"})


EVERY = {"250010101": 400.0, "250010102": 500.0, "250020101": 700.0, "250020102": 800.0}


@pytest.mark.parametrize(
    ("values", "expected", "sources"),
    [
        (EVERY, [400, 500, 700, 800, 3000], "IRIS de 2 communes (2022), 1 commune"),
        (EVERY | {"250020102": math.nan}, [400, 500, 2000, 3000], "IRIS de 1 commune (2022), 2 communes"),
        (
            {code: EVERY[code] for code in EVERY if code != "250020102"},
            [400, 500, 2000, 3000],
            "IRIS de 1 commune (2022), 2 communes",
        ),
        # An IRIS without contour: that commune is drawn differently today.
        (EVERY | {"250020103": 10.0}, [400, 500, 2000, 3000], "IRIS de 1 commune (2022), 2 communes"),
        ({}, [1000, 2000, 3000], "3 communes"),
    ],
    ids=["all IRIS", "one secret", "one without row", "one without contour", "none"],
)
def test_a_commune_is_counted_once_by_iris_or_as_a_whole(
    values: dict[str, float], expected: list[float], sources: str
) -> None:
    demand = demand_of(communes(), IRIS, populations(values))
    assert demand.points["population"].tolist() == expected
    assert demand.sources == sources
    assert demand.unknown == ()


def test_without_iris_each_commune_is_a_point_inside_it() -> None:
    squares = communes()
    squares.loc[1, "population"] = pd.NA
    demand = demand_of(squares, None, populations({}))
    assert demand.points["insee_com"].tolist() == ["25001", "25003"]
    assert demand.unknown == ("25002",)
    inside = gpd.points_from_xy(demand.points["x"], demand.points["y"])
    assert squares.geometry[[0, 2]].contains(gpd.GeoSeries(inside, index=[0, 2], crs=2154)).all()


QPV = gpd.GeoDataFrame(
    {"code_qp": ["QN02501M"], "lib_qp": ["Le Quartier"]}, geometry=[square(3800, 4800, 4200, 5200)], crs=2154
)


def facilities(*rows: tuple[str, str, float, float]) -> FacilityTable:
    """Return facilities: type, commune, metres from the corner."""
    table = pd.DataFrame(rows, columns=["type_equipement", "insee_com", "x", "y"])
    table["x"] += CORNER[0]
    table["y"] += CORNER[1]
    return FacilityTable(table.assign(precision="adresse"), load_facility_types(), "2025")


def table_of(found: FacilityTable, squares: gpd.GeoDataFrame, demand: Demand | None = None) -> pd.DataFrame:
    demand = demand or demand_of(squares, IRIS, populations(EVERY))
    table = accessibility_table(found, demand, QPV, squares, squares.union_all())
    return table.set_index(["profession", "zone", "code"])


def test_cells_of_the_table() -> None:
    """A doctor in the middle of Le Quartier, one 4,000 m east, and one outside the territory."""
    found = facilities(
        ("D265", "25001", 4000, 5000),
        ("D265", "25001", 8000, 5000),
        ("D265", "25001", math.nan, math.nan),
        ("D265", "39001", -1000, 5000),
    )
    table = table_of(found, communes())
    doctors = table.loc["medecins_generalistes"]
    # IRIS are at 2,500 (400 people), 7,500 (500) and 12,500 (700): the first doctor is 1,500 and 3,500 m from
    # two of them, the second 5,500, 500 and 4,500, the third 3,500 m from the first alone.
    shares = [1 / (400 + 500 * 0.22), 1 / (500 + 700 * 0.22), 1 / (400 * 0.22)]
    quarter = 100_000 * (shares[0] + 0.22 * shares[1] + 0.22 * shares[2])
    row = doctors.loc["qpv", "QN02501M"]
    assert row["valeur"] == pytest.approx(quarter)
    without_third = 100_000 * (shares[0] + 0.22 * shares[1])
    assert row["borne_basse"] <= without_third < row["valeur"] <= row["borne_haute"]
    assert (row["statut"], row["rayon_m"], row["millesime"]) == ("estimation", 5000, "2025")
    assert row["population"] == "IRIS de 2 communes (2022), 1 commune"
    assert row["remarque"].startswith(
        "Sans position dans le territoire, hors du calcul : 1 (médecins généralistes) ; à moins de 5 km"
    )
    west = shares[0] + 0.22 * shares[2]
    east = 0.22 * shares[0] + shares[1]
    assert doctors.loc["commune", "25001"]["valeur"] == pytest.approx(
        100_000 * (400 * west + 500 * east) / 900
    )
    assert doctors.loc["commune", "25003"]["valeur"] == 0
    nurses = table.loc["infirmiers"]
    assert set(nurses["statut"]) == {"non_calculable"}
    assert nurses["valeur"].isna().all()
    assert nurses["remarque"].str.contains(r"\(D281\)").all()


def test_a_qpv_whose_commune_is_one_point_says_so() -> None:
    found, squares = facilities(("D265", "25001", 4000, 5000)), communes()
    whole = demand_of(squares, None, populations({}))
    for demand, is_coarse in ((whole, True), (None, False)):
        doctors = table_of(found, squares, demand).loc["medecins_generalistes"]
        assert doctors.loc["qpv", "QN02501M"]["remarque"].startswith("Population de la commune") is is_coarse


def test_a_commune_without_known_population_has_no_index() -> None:
    squares = communes()
    squares.loc[1, "population"] = pd.NA
    demand = demand_of(squares, None, populations({}))
    doctors = table_of(facilities(("D265", "25001", 4000, 5000)), squares, demand).loc[
        "medecins_generalistes"
    ]
    row = doctors.loc["commune", "25002"]
    assert (row["statut"], row["remarque"]) == ("non_calculable", "Population de la commune inconnue.")


def apl(values: dict[str, float]) -> AplSheet:
    table = pd.DataFrame({"valeur": values.values()}, index=pd.Index(values.keys(), dtype=object))
    return AplSheet(load_professions()[0], "2024", "apl.xlsx, feuille APL 2024", "APL", table)


def index_of(values: dict[str, float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "zone": "commune",
            "code": values.keys(),
            "profession": "medecins_generalistes",
            "valeur": values.values(),
        }
    )


SIX = {f"2500{number}": float(number) for number in range(6)}


@pytest.mark.parametrize(
    ("ours", "theirs", "outcome", "words"),
    [
        (
            SIX,
            {code: value**2 for code, value in SIX.items()},
            "conforme",
            "de 1,00 entre l'indice et l'APL 2024",
        ),
        (SIX, {code: -value for code, value in SIX.items()}, "avertissement", "de -1,00"),
        (
            SIX,
            {code: value for code, value in SIX.items() if value < 4},
            "non_verifiable",
            "4 communes, trop peu",
        ),
        (SIX, dict.fromkeys(SIX, 3.0), "non_verifiable", "trop semblables"),
    ],
    ids=["alike", "contrary", "few", "all equal"],
)
def test_the_index_is_compared_with_the_apl(
    ours: dict[str, float], theirs: dict[str, float], outcome: str, words: str
) -> None:
    (check,) = compare_with_apl(index_of(ours), [apl({"25009": 1.0} | theirs)])
    assert check.outcome == outcome
    assert words in check.message.replace("\N{MINUS SIGN}", "-")
    assert compare_with_apl(index_of(ours), []) == []


@pytest.mark.parametrize(
    "bands",
    [
        "{ jusqu_a = 2000, poids = 1 }, { jusqu_a = 1000, poids = 0.5 }",
        "{ jusqu_a = 1000, poids = 0.5 }, { jusqu_a = 2000, poids = 1 }",
        "{ jusqu_a = 9000, poids = 1 }",
        "{ jusqu_a = 1000, poids = 2 }",
    ],
    ids=["inwards", "heavier", "beyond what is read", "more than one"],
)
def test_wrong_parameters_are_refused(tmp_path: Path, bands: str) -> None:
    path = tmp_path / "accessibility.toml"
    comparison = "communes_minimum = 5\ncorrelation_minimum = 0.3\n[variantes]\n"
    path.write_text(f"{comparison}[central]\nlibelle = 'x'\nbandes = [{bands}]")
    with pytest.raises(ConfigurationError, match="accessibility index"):
        load_parameters(path)


def test_professions_have_types_that_are_read() -> None:
    types = set(load_facility_types()["type_equipement"])
    assert {profession.type_equipement for profession in load_professions()} <= types
