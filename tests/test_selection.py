"""Which QPV belong to the territory, and declared against computed communes."""

import geopandas as gpd
import pytest
from shapely.geometry import MultiPolygon, box

from qpv_geo.analysis.declared_zones import compare_communes
from qpv_geo.analysis.selection import (
    computed_lists,
    count_by_epci,
    cut_by_communes,
    select,
)
from qpv_geo.checks import Check
from qpv_geo.errors import ContractError
from qpv_geo.territory import codes_of
from tests.essai import essai

EPCI = "242500361"


def communes() -> gpd.GeoDataFrame:
    """Two communes side by side, 1 km wide."""
    return gpd.GeoDataFrame(
        {
            "insee_com": ("25056", "25112"),
            "nom_com": ["Besançon", "Chalezeule"],
            "siren_epci": [EPCI, EPCI],
        },
        geometry=[box(0, 0, 1000, 1000), box(1000, 0, 2000, 1000)],
        crs=2154,
    )


def qpv(*rows: tuple[str, str | None, str | None, tuple[float, float, float, float]]) -> gpd.GeoDataFrame:
    codes, declared, epci, boxes = zip(*rows, strict=True)
    return gpd.GeoDataFrame(
        {"code_qp": codes, "lib_qp": codes, "insee_com": declared, "siren_epci": epci},
        geometry=[MultiPolygon([box(*bounds)]) for bounds in boxes],
        crs=2154,
    )


INSIDE = ("QN02501M", "25056", EPCI, (0, 0, 100, 100))
ON_THE_BORDER = ("QN02502M", "25056", EPCI, (901, 0, 1001, 100))
ACROSS = ("QN02503M", "25056, 25112", EPCI, (900, 0, 1100, 100))
ELSEWHERE = ("QN02504M", "25462", "242500338", (5000, 0, 5100, 100))


def test_lists_of_codes() -> None:
    assert codes_of("02571, 02691") == ("02571", "02691")
    assert codes_of("25056,25112") == ("25056", "25112")
    assert codes_of(None) == ()


def test_sliver_is_no_membership_but_keeps_its_area() -> None:
    pieces = cut_by_communes(qpv(ON_THE_BORDER), communes(), essai())
    assert pieces["insee_com"].tolist() == ["25056", "25112"]
    assert pieces["membre"].tolist() == [True, False]
    assert pieces["declare"].tolist() == [True, False]
    assert pieces["surface_m2"].tolist() == [9900, 100]


def test_a_qpv_across_two_communes_belongs_to_both() -> None:
    layer = qpv(ACROSS)
    pieces = cut_by_communes(layer, communes(), essai())
    lists = computed_lists(layer, pieces)
    assert lists["insee_com_calcule"].tolist() == ["25056, 25112"]
    assert lists["lib_com_calcule"].tolist() == ["Besançon, Chalezeule"]
    assert lists["siren_epci_calcule"].tolist() == [EPCI]


def test_the_part_outside_the_communes_has_no_commune() -> None:
    layer = qpv(("QN02505M", "25056", EPCI, (-100, 0, 100, 100)))
    pieces = cut_by_communes(layer, communes(), essai())
    assert pieces["insee_com"].isna().tolist() == [False, True]
    assert pieces["part_qpv"].tolist() == [50, 50]
    assert pieces["membre"].tolist() == [True, False]


def test_selection_keeps_what_declares_the_epci_or_lies_mostly_in_it() -> None:
    undeclared = ("QN02509N", None, None, (300, 300, 400, 400))
    layer = qpv(undeclared, INSIDE, ELSEWHERE)
    pieces = cut_by_communes(layer, communes(), essai(qpv=2))
    selected, checks = select(layer, pieces, essai(qpv=2))
    assert selected["code_qp"].tolist() == ["QN02501M", "QN02509N"]
    assert [(c.subject, c.outcome) for c in checks if c.code == "epci_declare_ou_calcule"] == [
        ("QN02509N", "avertissement")
    ]


def test_an_epci_declared_and_computed_alike_raises_no_doubt() -> None:
    layer = qpv(INSIDE, ACROSS, ELSEWHERE)
    pieces = cut_by_communes(layer, communes(), essai(qpv=2))
    _, checks = select(layer, pieces, essai(qpv=2))
    assert [check.code for check in checks] == ["qpv_du_territoire"]


def test_a_wrong_number_of_qpv_names_what_was_found() -> None:
    layer = qpv(INSIDE, ACROSS)
    pieces = cut_by_communes(layer, communes(), essai(qpv=6))
    with pytest.raises(ContractError, match=r"expected 6 QPV.*found 2: QN02501M, QN02503M"):
        select(layer, pieces, essai(qpv=6))


def compared(
    *rows: tuple[str, str | None, str | None, tuple[float, float, float, float]],
    drawn: tuple[str, ...] = ("25056", "25112"),
) -> list[Check]:
    layer = qpv(*rows)
    pieces = cut_by_communes(layer, communes()[communes()["insee_com"].isin(drawn)], essai())
    return compare_communes(layer, pieces, drawn, essai())


def test_declared_and_computed_communes_are_compared() -> None:
    same, different = compared(INSIDE, ("QN02507M", "25056, 25112, 25999", EPCI, (901, 0, 1001, 100)))
    assert same.outcome == "conforme"
    assert different.outcome == "avertissement"
    assert (different.expected, different.found) == ("25056, 25112, 25999", "25056")
    assert "déclarée, dont aucun contour n'a été lu : 25999" in different.message
    assert (
        "déclarée mais recouverte en deçà de la tolérance : 25112 (1 % du QPV, 100 m²)" in different.message
    )


def test_the_reason_of_one_qpv_owes_nothing_to_what_another_overlaps() -> None:
    away = ("QN02507M", "25112", EPCI, (200, 200, 300, 300))
    check, _ = compared(away, ACROSS)
    assert (
        check.message
        == "QN02507M : déclarée sans recouvrement : 25112 ; recouverte sans être déclarée : 25056."
    )
    assert check.outcome == "avertissement"


def test_where_no_commune_has_a_contour_nothing_can_be_verified() -> None:
    (none,) = compared(INSIDE, drawn=())
    assert (none.outcome, none.expected, none.found) == ("non_verifiable", "25056", "aucune")
    assert none.message == "QN02501M : déclarée, dont aucun contour n'a été lu : 25056."
    (half,) = compared(ACROSS, drawn=("25056",))
    assert half.outcome == "non_verifiable"
    # Communes that are no more: others lie in their place.
    for declared in ("25999", "25056, 25999"):
        (lapsed,) = compared(("QN02508M", declared, EPCI, (0, 0, 100, 100)))
        assert lapsed.outcome == "avertissement"


def test_qpv_of_an_epci_are_those_that_declare_it_or_a_commune_of_it() -> None:
    other = communes().assign(siren_epci=[EPCI, "200000001"])
    layer = qpv(
        INSIDE,
        ON_THE_BORDER,
        ("QN02503M", "25056, 25112", f"{EPCI}, 200000001", (900, 0, 1100, 100)),
        ("QN02504M", "25112", "200058519", (1500, 0, 1600, 100)),  # an établissement public territorial
        ("QN02505M", None, None, (1500, 200, 1600, 300)),
        ("QN02506M", "25112", "200000001", (100, 100, 200, 200)),  # overhangs, and is no member
    )
    pieces = cut_by_communes(layer, other, essai())
    counts = count_by_epci(layer, other, pieces)
    assert counts[[EPCI, "200000001"]].tolist() == [3, 4]
