"""Care around the QPV: counts on both sides of a limit, and distances from where people live."""

import math

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import Point, box

from qpv_geo.analysis.facilities import care_layers, compare_placements
from qpv_geo.analysis.health_plan import load_health_plan
from qpv_geo.ingest.facilities import FacilityTable, load_facility_types
from tests.essai import essai

TERRITORY = essai(qpv=2, sliver_area=100)
WEST, EAST = "QN02502M", "QN02503M"
COMMUNES = gpd.GeoDataFrame(
    {"insee_com": ["25056", "25112"]}, geometry=[box(0, 0, 5000, 5000), box(5000, 0, 9000, 5000)], crs=2154
)
# A kilometre wide, and two kilometres east of it a small one beside the limit of the communes.
QPV = gpd.GeoDataFrame(
    {"code_qp": [EAST, WEST], "lib_qp": ["Est", "Ouest"]},
    geometry=[box(4000, 1000, 4200, 1200), box(1000, 1000, 2000, 2000)],
    crs=2154,
)
# One house in the western QPV, one that stands beside it.
HOUSES = gpd.GeoDataFrame(geometry=[box(1500, 1500, 1520, 1520), box(2010, 1500, 2030, 1520)], crs=2154)
NOWHERE = (math.nan, math.nan)
Place = tuple[str, str, float, float, str, str | None]


def facilities(*places: Place, absent: frozenset[str] = frozenset(), insee: bool = True) -> FacilityTable:
    columns = ["type_equipement", "insee_com", "x", "y", "precision", "code_qp_insee"]
    points = pd.DataFrame(places, columns=columns).astype({"x": "float64", "y": "float64"})
    return FacilityTable(points, load_facility_types(), "2025", insee, absent, "BPE25.csv")


PLACES = facilities(
    ("D265", "25056", 1500, 1500, "adresse", WEST),  # in the middle, 500 m from the limit, at the house
    ("D265", "25056", 1000, 1500, "adresse", None),  # on the limit
    ("D265", "25056", 2300, 1500, "rue", None),  # 300 m east
    ("D265", "25056", 2301, 1500, "adresse", None),
    ("D265", "25056", 3000, 1500, "rue", None),  # 1,000 m east
    ("D265", "25056", 3001, 1500, "inconnue", None),
    ("D265", "25056", *NOWHERE, "commune", WEST),
    ("D265", "25112", *NOWHERE, "commune", None),
    ("D104", "25056", 1100, 1100, "adresse", WEST),
    ("D106", "25056", 1100, 1100, "rue", WEST),
    ("D307", "25112", 8000, 1100, "adresse", None),
    ("C108", "25056", 1500, 1500, "adresse", WEST),
)


def row(table: pd.DataFrame, code: str, category: str) -> dict[str, object]:
    (found,) = table[(table["code_qp"] == code) & (table["categorie"] == category)].to_dict("records")
    return {str(name): value for name, value in found.items()}


def table_of(places: FacilityTable = PLACES, houses: gpd.GeoDataFrame | None = HOUSES) -> pd.DataFrame:
    return care_layers(places, houses, QPV, COMMUNES, TERRITORY)["offre_soins"]


def test_care_is_counted_around_a_qpv_and_on_both_sides_of_its_limit() -> None:
    doctors = row(table_of(), WEST, "medecins_generalistes")
    counts = [doctors[f"nombre_{reach}"] for reach in ("qpv", "300m", "500m", "1000m")]
    assert counts == [2, 3, 4, 5]
    # The one in the middle is far from the limit.
    assert (doctors["dedans_300m_limite"], doctors["dehors_300m_limite"]) == (1, 1)
    assert doctors["position_dans_la_rue"] == 2
    # A kilometre around touches the first commune alone; INSEE counts those that it drew at random.
    assert (doctors["non_localises"], doctors["nombre_insee"]) == (1, 2)
    # Another commune is a kilometre from the eastern one.
    assert row(table_of(), EAST, "medecins_generalistes")["non_localises"] == 2
    hospitals = row(table_of(), WEST, "hopitaux")
    assert (hospitals["nombre_qpv"], hospitals["types_equipement"]) == (2, "D101, D102, D103, D104, D106")
    assert [doctors[name] for name in ("statut", "millesime", "source", "fichier")] == [
        *("ok", "2025", "bpe", "BPE25.csv")
    ]


def test_distances_start_at_the_houses_of_the_qpv_or_at_its_contour() -> None:
    of_houses, of_contours = table_of(), table_of(houses=None)
    # 20 m wide, the house ends at x 1520; the one at 2010 is not in the QPV.
    assert row(of_houses, WEST, "pharmacies")["distance_m"] == round(math.hypot(8000 - 1520, 400))
    assert row(of_contours, WEST, "pharmacies")["distance_m"] == 6000
    assert row(of_houses, WEST, "medecins_generalistes")["distance_m"] == 0
    assert row(of_houses, WEST, "pharmacies")["depuis"] == "bâtiments"
    # No house is known in the eastern one.
    assert row(of_houses, EAST, "pharmacies")["depuis"] == "contour"
    assert row(of_houses, EAST, "pharmacies")["distance_m"] == 3800
    assert set(of_contours["depuis"]) == {"contour"}


def test_a_category_without_any_facility_near_is_counted_and_has_no_distance() -> None:
    midwives = row(table_of(), WEST, "sages_femmes")
    assert (midwives["nombre_1000m"], midwives["statut"]) == (0, "ok")
    assert math.isnan(float(str(midwives["distance_m"])))


def test_a_type_that_the_file_does_not_have_is_not_zero() -> None:
    table = table_of(facilities(*PLACES.points.itertuples(index=False), absent=frozenset({"D278", "D104"})))
    midwives = row(table, WEST, "sages_femmes")
    assert midwives["statut"] == "non_disponible"
    assert pd.isna([midwives[name] for name in ("nombre_qpv", "nombre_1000m", "non_localises")]).all()
    # Of hospitals, one type of five is missing.
    assert row(table, WEST, "hopitaux")["statut"] == "ok"


def test_without_insee_s_own_answer_there_is_no_number_of_insee() -> None:
    places = facilities(*PLACES.points.itertuples(index=False), insee=False)
    assert table_of(places)["nombre_insee"].isna().all()


def test_places_say_how_exact_they_are_and_leave_out_what_is_drawn_at_random() -> None:
    layer = care_layers(PLACES, HOUSES, QPV, COMMUNES, TERRITORY)["offre_soins_lieux"]
    found = {
        (one["categorie"], one["x"]): (one["nombre"], one["precision"], one["code_qp"])
        for one in layer.to_dict("records")
    }
    assert found == {
        ("medecins_generalistes", 1500.0): (1, "adresse", WEST),
        ("medecins_generalistes", 1000.0): (1, "adresse", WEST),
        ("medecins_generalistes", 2300.0): (1, "rue", None),
        ("medecins_generalistes", 2301.0): (1, "adresse", None),
        ("medecins_generalistes", 3000.0): (1, "rue", None),
        # Two types of one category at one place, one of them at random in the street.
        ("hopitaux", 1100.0): (2, "rue", WEST),
    }
    assert layer.crs == QPV.crs


def test_every_type_of_care_is_counted_and_compared_with_insee_s_answer() -> None:
    plan, types = load_health_plan(), load_facility_types()
    care = {code for category in plan.categories.values() for code in category.types}
    assert care <= set(types["type_equipement"])
    # What INSEE says of each QPV is compared once, over all types.
    compared = {one.code: one for one in compare_placements(PLACES.points, QPV)}
    assert (compared[WEST].first.value, compared[WEST].second.value) == ("4", "5")


place = st.tuples(
    st.sampled_from(["D265", "D106", "D278"]), st.integers(0, 5000), st.integers(0, 5000), st.booleans()
)


corner = st.tuples(st.integers(1000, 1980), st.integers(1000, 1980))


@given(st.lists(place, max_size=25), st.lists(corner, min_size=1, max_size=6))
def test_numbers_are_those_of_distances_one_by_one(
    places: list[tuple[str, int, int, bool]], corners: list[tuple[int, int]]
) -> None:
    houses = gpd.GeoDataFrame(geometry=[box(x, y, x + 20, y + 20) for x, y in corners], crs=2154)
    table = table_of(
        facilities(
            *((kind, "25056", x, y, "rue" if drawn else "adresse", None) for kind, x, y, drawn in places)
        ),
        houses,
    )
    kinds = {"medecins_generalistes": "D265", "hopitaux": "D106", "sages_femmes": "D278"}
    for code, shape in zip(QPV["code_qp"], QPV.geometry, strict=True):
        for category, kind in kinds.items():
            own = [(Point(x, y), drawn) for named, x, y, drawn in places if named == kind]
            away = np.array([shape.distance(point) for point, _ in own])
            limit = np.array([shape.boundary.distance(point) for point, _ in own])
            found = row(table, code, category)
            for name, reach in (("qpv", 0), ("300m", 300), ("500m", 500), ("1000m", 1000)):
                assert found[f"nombre_{name}"] == (away <= reach).sum()
            assert found["dedans_300m_limite"] == ((away == 0) & (limit <= 300)).sum()
            assert found["dehors_300m_limite"] == ((away > 0) & (limit <= 300)).sum()
            assert found["position_dans_la_rue"] == sum(
                drawn and metres <= 1000 for (_, drawn), metres in zip(own, away, strict=True)
            )
            homes = houses.geometry if code == WEST else [shape]
            nearest = min((home.distance(point) for home in homes for point, _ in own), default=math.nan)
            assert found["distance_m"] == pytest.approx(nearest, abs=0.5, nan_ok=True)
