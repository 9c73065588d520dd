"""Evolution 2015-2024: areas conserved both ways, successions by overlay, letters and table checked."""

from typing import NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import assume, given
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Polygon, box
from shapely.geometry.base import BaseGeometry

from qpv_geo.analysis.evolution import compare_geographies, select_2015
from qpv_geo.analysis.overlay import as_multipolygon
from qpv_geo.checks import Check
from tests.essai import essai

ORIGIN = np.array([926_000.0, 6_685_000.0])
TERRITORY = essai(sliver_share=0.02, sliver_area=100)
COMMUNES = gpd.GeoDataFrame({"insee_com": ["25056"]}, geometry=[box(-9e3, -9e3, 9e3, 9e3)], crs=2154)


def current(*rows: tuple[str, BaseGeometry]) -> gpd.GeoDataFrame:
    codes, shapes = zip(*rows, strict=True) if rows else ((), ())
    names = [f"Quartier {code}" for code in codes]
    return gpd.GeoDataFrame({"code_qp": codes, "lib_qp": names}, geometry=list(shapes), crs=2154)


def former(*rows: tuple[str, BaseGeometry]) -> gpd.GeoDataFrame:
    codes, shapes = zip(*rows, strict=True) if rows else ((), ())
    names = [f"Ancien {code}" for code in codes]
    frame = {"code_qp": codes, "nom_qp": names, "commune_qp": ["Besançon"] * len(codes)}
    return gpd.GeoDataFrame(frame, geometry=list(shapes), crs=2154)


# Planoise 2015 is 1000 x 1000; in 2024 it lost its western 100 m and gained 300 m in the east.
PLANOISE_2015 = ("QP025004", box(0, 0, 1000, 1000))
PLANOISE = ("QN02503M", box(100, 0, 1300, 1000))
# Grette left; Battant entered; Montrapon is the same; Clairs Soleil absorbed a small QPV of 2015 whole.
GRETTE_2015 = ("QP025002", box(2000, 0, 2500, 500))
BATTANT = ("QN02517N", box(3000, 0, 3500, 400))
MONTRAPON_2015 = ("QP025005", box(4000, 0, 4400, 400))
MONTRAPON = ("QN02504I", box(4000, 0, 4400, 400))
SMALL_2015 = ("QP025009", box(5000, 0, 5100, 50))
LARGE_2015 = ("QP025006", box(5200, 0, 6000, 1000))
CLAIRS_SOLEIL = ("QN02505M", box(5000, 0, 6000, 1000))
# Mostly in another EPCI.
AWAY_2015 = ("QP025001", box(8500, 0, 9900, 100))

ALL_2024 = current(PLANOISE, BATTANT, MONTRAPON, CLAIRS_SOLEIL)
ALL_2015 = former(PLANOISE_2015, GRETTE_2015, MONTRAPON_2015, SMALL_2015, LARGE_2015, AWAY_2015)


class Evolution(NamedTuple):
    pieces: gpd.GeoDataFrame
    qpv_2015: gpd.GeoDataFrame
    of_qpv: pd.DataFrame
    checks: list[Check]


def compare(
    qpv: gpd.GeoDataFrame = ALL_2024,
    qpv_2015: gpd.GeoDataFrame = ALL_2015,
    communes: gpd.GeoDataFrame = COMMUNES,
    *,
    others: gpd.GeoDataFrame | None = None,
    correspondence: pd.DataFrame | None = None,
) -> Evolution:
    layers, of_qpv, checks = compare_geographies(
        qpv, qpv_2015, communes, TERRITORY, others=others, correspondence=correspondence
    )
    return Evolution(layers["evolution_2015_2024"], layers["qpv_2015"], of_qpv, checks)


def checks_of(evolution: Evolution, code: str) -> dict[str, Check]:
    return {check.subject: check for check in evolution.checks if check.code == code}


def test_what_was_kept_entered_and_left() -> None:
    pieces = compare().pieces
    assert set(pieces.columns) == {
        *("nature", "code_qp", "lib_qp", "code_qp_2015", "nom_qp_2015"),
        *("surface_m2", "part_2024", "part_2015", "geometry", "rues"),
    }
    rows = pieces[(pieces["code_qp"] == "QN02503M") | (pieces["code_qp_2015"] == "QP025004")]
    assert rows["nature"].tolist() == ["conserve", "entrant", "sortant"]
    assert rows["surface_m2"].tolist() == [900_000, 300_000, 100_000]
    assert rows["part_2024"].iloc[:2].tolist() == [75, 25]
    assert rows["part_2015"].iloc[[0, 2]].tolist() == [90, 10]
    assert pd.isna(rows["part_2015"].iloc[1])
    assert pd.isna(rows["part_2024"].iloc[2])
    assert pd.isna(rows["code_qp"].iloc[2])
    assert pd.isna(rows["code_qp_2015"].iloc[1])
    assert rows["nom_qp_2015"].iloc[0] == "Ancien QP025004"
    assert pieces.crs == "EPSG:2154"


def test_the_layer_of_2015_names_successors_and_exits() -> None:
    layer = compare().qpv_2015.set_index("code_qp")
    assert layer.index.tolist() == ["QP025002", "QP025004", "QP025005", "QP025006", "QP025009"]
    assert layer.loc["QP025004", "part_conservee"] == 90
    assert layer.loc["QP025004", "successeurs"] == "QN02503M (90,0 %)"
    assert not layer.loc["QP025004", "sorti"]
    assert layer.loc["QP025002", "sorti"]
    assert layer.loc["QP025002", "part_conservee"] == 0
    assert pd.isna(layer.loc["QP025002", "successeurs"])
    assert layer.loc["QP025002", "surface_m2"] == 250_000


def test_predecessors_of_each_qpv() -> None:
    columns = compare().of_qpv.set_index("code_qp")
    assert columns.loc["QN02503M", "part_conservee_2015"] == 75
    assert columns.loc["QN02503M", "predecesseurs_2015"] == "QP025004 (75,0 %)"
    assert columns.loc["QN02517N", "part_conservee_2015"] == 0
    assert pd.isna(columns.loc["QN02517N", "predecesseurs_2015"])
    # 800 000 m² and 5 000 m² of a million: the small one is a predecessor, for all of it was taken over.
    assert columns.loc["QN02505M", "predecesseurs_2015"] == "QP025006 (80,0 %), QP025009 (0,5 %)"
    assert columns.loc["QN02505M", "part_conservee_2015"] == pytest.approx(80.5)


def test_a_sliver_is_no_predecessor_and_keeps_its_area() -> None:
    neighbour = ("QP025010", box(-1000, 0, 101, 1000))
    evolution = compare(current(PLANOISE), former(neighbour))
    assert evolution.pieces["surface_m2"].tolist() == [1000, 1_199_000, 1_100_000]
    assert evolution.of_qpv["predecesseurs_2015"].isna().all()
    assert evolution.of_qpv["part_conservee_2015"].tolist() == pytest.approx([100 / 1200])
    assert evolution.qpv_2015["sorti"].tolist() == [True]


def test_only_what_mostly_lies_in_the_communes_is_the_territorys() -> None:
    half = ("QP025011", box(8900, 500, 9100, 600))
    assert select_2015(former(AWAY_2015, half, GRETTE_2015), COMMUNES)["code_qp"].tolist() == ["QP025002"]


def test_a_predecessor_from_outside_the_territory_is_named_all_the_same() -> None:
    evolution = compare(current(("QN02516M", box(8500, 0, 9000, 100))))
    assert evolution.of_qpv["predecesseurs_2015"].tolist() == ["QP025001 (100,0 %)"]
    assert "QP025001" not in evolution.qpv_2015["code_qp"].tolist()
    # What it lost lies with its own territory.
    left = evolution.pieces[evolution.pieces["nature"] == "sortant"]
    assert "QP025001" not in left["code_qp_2015"].tolist()


def test_what_another_territory_took_over_has_not_left() -> None:
    foreign = current(("QN02516M", box(0, 0, 50, 1000)), PLANOISE)
    pieces = compare(current(PLANOISE), former(PLANOISE_2015), others=foreign).pieces
    rows = pieces.set_index(["nature", "code_qp"])["surface_m2"]
    assert rows["conserve", "QN02516M"] == 50_000
    assert pieces.loc[pieces["nature"] == "sortant", "surface_m2"].tolist() == [50_000]


def test_letters_are_checked_against_the_overlay() -> None:
    found = checks_of(compare(), "lettre_du_code")
    assert {code: check.outcome for code, check in found.items()} == dict.fromkeys(
        ["QN02503M", "QN02504I", "QN02505M", "QN02517N"], "conforme"
    )
    assert found["QN02503M"].found == "prédécesseurs : QP025004 (75,0 %)"


@pytest.mark.parametrize(
    ("code", "shape", "outcome"),
    [
        ("QN02503N", PLANOISE[1], "avertissement"),  # new, though most of it was there
        ("QN02503I", PLANOISE[1], "avertissement"),  # identical, though a quarter is new
        ("QN02503I", box(5, 0, 1000, 1000), "conforme"),  # identical but for half a percent
        ("QN02503M", PLANOISE_2015[1], "avertissement"),  # modified, though the same
        ("QN02503M", BATTANT[1], "avertissement"),  # modified, though nothing was there
        ("QN02503C", PLANOISE[1], "non_verifiable"),
    ],
)
def test_a_letter_that_the_overlay_denies(code: str, shape: Polygon, outcome: str) -> None:
    evolution = compare(current((code, shape)))
    assert checks_of(evolution, "lettre_du_code")[code].outcome == outcome


def test_the_correspondence_table_is_checked_from_both_sides() -> None:
    table = pd.DataFrame(
        {
            "code_qp": ["QN02503M", "QN02504I", "QN02504I", "QN02517N", "QN02505M"],
            "code_qp_2015": ["QP025004", "QP025005", "QP025002", None, "QP025006"],
        }
    )
    found = checks_of(compare(correspondence=table), "table_de_correspondance")
    warned = {code for code, check in found.items() if check.outcome == "avertissement"}
    assert warned == {"QN02504I", "QP025002", "QN02505M", "QP025009"}
    assert "déclaré sans recouvrement : QP025002" in found["QN02504I"].message
    assert "recouvert sans être déclaré : QP025009" in found["QN02505M"].message
    assert (found["QP025002"].expected, found["QP025002"].found) == ("QN02504I", "aucun")
    assert found["QN02517N"].outcome == "conforme"


def test_a_table_of_some_qpv_says_nothing_of_the_others() -> None:
    table = pd.DataFrame({"code_qp": ["QN02503M"], "code_qp_2015": ["QP025004"]})
    found = checks_of(compare(correspondence=table), "table_de_correspondance")
    assert found["QN02503M"].outcome == found["QP025004"].outcome == "conforme"
    # One that it does not cite, a QPV 2015 that such a one took over, and one that none took over.
    assert found["QN02504I"].outcome == found["QP025005"].outcome == "non_verifiable"
    assert found["QP025002"].outcome == "conforme"


def test_without_the_table_nothing_is_claimed() -> None:
    (check,) = checks_of(compare(), "table_de_correspondance").values()
    assert check.outcome == "non_verifiable"


def test_contours_of_one_year_that_overlap_are_reported() -> None:
    evolution = compare(current(PLANOISE, ("QN02599M", box(1000, 0, 1400, 1000))), former(PLANOISE_2015))
    (check,) = checks_of(evolution, "conservation_des_surfaces").values()
    assert check.outcome == "conforme"  # they overlap where 2015 had nothing: all areas add up
    evolution = compare(current(PLANOISE, ("QN02599M", box(500, 0, 1400, 1000))), former(PLANOISE_2015))
    (check,) = checks_of(evolution, "conservation_des_surfaces").values()
    assert check.outcome == "avertissement"
    assert "QP025004" in check.message


def test_without_any_qpv_of_2015_everything_entered() -> None:
    evolution = compare(current(BATTANT), former())
    assert evolution.pieces["nature"].tolist() == ["entrant"]
    assert len(evolution.qpv_2015) == 0
    assert evolution.qpv_2015.columns.tolist() == [
        "code_qp",
        "nom_qp",
        "commune_qp",
        "surface_m2",
        "part_conservee",
        "successeurs",
        "sorti",
        "geometry",
    ]


def test_two_crs_are_refused() -> None:
    with pytest.raises(ValueError, match="projected CRS"):
        compare(ALL_2024, ALL_2015.to_crs(3857))


coordinate = st.integers(-1000, 1000) | st.floats(-1000, 1000, allow_nan=False, width=32)
point = st.tuples(coordinate, coordinate)


@st.composite
def disjoint_polygons(draw: st.DrawFn) -> list[MultiPolygon]:
    """One to three polygons of any shape that do not overlap one another, as the QPV of one year."""
    shapes: list[MultiPolygon] = []
    for ring in draw(st.lists(st.lists(point, min_size=3, max_size=9, unique=True), min_size=1, max_size=3)):
        rough = shapely.make_valid(Polygon(np.array(ring) + ORIGIN), method="structure", keep_collapsed=False)
        shape = as_multipolygon(rough)
        for taken in shapes:
            shape = as_multipolygon(shapely.difference(shape, taken, grid_size=1e-6))
        shape = MultiPolygon([part for part in shape.geoms if part.area > 10])
        if not shape.is_empty and shape.is_valid:
            shapes.append(shape)
    assume(shapes)
    return shapes


@given(disjoint_polygons(), disjoint_polygons())
def test_areas_are_conserved_both_ways(new: list[MultiPolygon], old: list[MultiPolygon]) -> None:
    qpv = current(*((f"QN0250{index}M", shape) for index, shape in enumerate(new)))
    qpv_2015 = former(*((f"QP02500{index}", shape) for index, shape in enumerate(old)))
    communes = COMMUNES.set_geometry(COMMUNES.translate(*ORIGIN))
    evolution = compare(qpv, qpv_2015, communes)
    pieces = evolution.pieces
    assert pieces.geometry.is_valid.all()
    for frame, column in ((qpv, "code_qp"), (qpv_2015, "code_qp_2015")):
        total = pieces.groupby(column)["surface_m2"].sum().reindex(frame["code_qp"])
        # Overlays may move vertices by a micrometre.
        tolerance = 1e-6 * (frame.area + frame.length).to_numpy()
        assert (np.abs(total.to_numpy() - frame.area.to_numpy()) <= tolerance).all()
    (check,) = checks_of(evolution, "conservation_des_surfaces").values()
    assert check.outcome == "conforme"
    assert ((evolution.of_qpv["part_conservee_2015"] - 100) <= 1e-4).all()


@given(disjoint_polygons(), st.permutations(range(3)))
def test_the_same_contours_are_kept_whole_whatever_their_order(
    shapes: list[MultiPolygon], order: list[int]
) -> None:
    order = [index for index in order if index < len(shapes)]
    qpv = current(*((f"QN0250{index}I", shapes[index]) for index in order))
    qpv_2015 = former(*((f"QP02500{index}", shape) for index, shape in enumerate(shapes)))
    communes = COMMUNES.set_geometry(COMMUNES.translate(*ORIGIN))
    evolution = compare(qpv, qpv_2015, communes)
    np.testing.assert_allclose(evolution.of_qpv["part_conservee_2015"], 100, rtol=1e-6)
    kept = evolution.pieces[evolution.pieces["part_2024"] > 99]
    assert kept["code_qp"].str[6].tolist() == kept["code_qp_2015"].str[7].tolist()
