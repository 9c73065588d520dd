"""What French readers see: one way to write numbers, dates, plurals and lists."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.french import (
    amount,
    band_name,
    class_labels,
    counted,
    decimals_of,
    file_size,
    french_date,
    gap,
    in_place,
    interval,
    listing,
    measure,
    number,
    ordinal,
    own_name,
    percentage,
    plain_number,
    short_number,
    significant,
    word,
)

THIN, MINUS = "\u202f", "\u2212"


@pytest.mark.parametrize(
    ("value", "decimals", "fixed", "short"),
    [
        (15603, 0, f"15{THIN}603", f"15{THIN}603"),
        (100, 0, "100", "100"),
        (2.5, 0, "3", "3"),
        (-2.5, 0, f"{MINUS}3", f"{MINUS}3"),
        (0.125, 2, "0,13", "0,13"),
        (0.285, 2, "0,29", "0,29"),
        (1.1 + 2.2 - 0.8, 0, "3", "3"),
        (1234567.891, 2, f"1{THIN}234{THIN}567,89", f"1{THIN}234{THIN}567,89"),
        (55.0, 2, "55,00", "55"),
        (-0.5, 2, f"{MINUS}0,50", f"{MINUS}0,5"),
        (-0.04, 1, "0,0", "0"),
        (999.5, 0, f"1{THIN}000", f"1{THIN}000"),
        (1_000_000, 2, f"1{THIN}000{THIN}000,00", f"1{THIN}000{THIN}000"),
    ],
)
def test_numbers_are_grouped_and_rounded_away_from_zero(
    value: float, decimals: int, fixed: str, short: str
) -> None:
    assert number(value, decimals) == fixed
    assert short_number(value, decimals) == short


@given(st.floats(-1e9, 1e9), st.integers(0, 3))
def test_a_number_reads_back_as_its_rounding(value: float, decimals: int) -> None:
    for text in (number(value, decimals), short_number(value, decimals)):
        back = float(text.replace(THIN, "").replace(",", ".").replace(MINUS, "-"))
        assert abs(back - value) <= 0.5 * 10**-decimals * (1 + 1e-6) + 1e-9


def test_a_band_is_named_by_its_widths() -> None:
    assert band_name([500.0]) == "Bande de 500 m (TVA réduite)"
    assert band_name([500.0, 300.0, 300.0]) == "Bande de 300 ou 500 m (TVA réduite)"


def test_units_follow_values() -> None:
    assert measure(46, "%") == f"46,0{THIN}%"
    assert percentage(46) == f"46{THIN}%"
    assert measure(15603, "habitants") == f"15{THIN}603 habitants"
    assert amount(15603, "habitants") == f"15{THIN}603"
    assert measure(10230, "€") == f"10{THIN}230{THIN}€"
    assert (measure(46, "%", 0), measure(0.285, "")) == (f"46{THIN}%", "0,29")
    assert measure(5.5, "€/m²") == f"5,50{THIN}€/m²"
    assert interval(37.2, 39.6, 1) == f"[37,2{THIN}; 39,6]"


@pytest.mark.parametrize(
    ("values", "unit", "index", "decimals"),
    [
        ([45, 55], "%", False, 0),
        ([45, 38.4], "%", False, 1),
        ([100 * 2 / 3], "%", False, 1),
        ([45.01], "%", False, 0),
        ([2, 3], "", True, 1),
        ([2, 0.285], "", True, 2),
        ([2.5, 30.25], "personnes", True, 2),
        ([15603.5], "habitants", False, 0),
        ([5.5], "€/m²", False, 1),
        ([], "%", False, 0),
    ],
)
def test_values_of_one_source_have_the_decimals_that_they_need(
    values: list[float],
    unit: str,
    index: bool,  # noqa: FBT001 - a case
    decimals: int,
) -> None:
    assert decimals_of(values, unit, index=index) == decimals


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Besançon", "à Besançon"),
        ("Le Havre", "au Havre"),
        ("Les Ulis", "aux Ulis"),
        ("La Rochelle", "à La Rochelle"),
        ("Lens", "à Lens"),
        ("Lesparre-Médoc", "à Lesparre-Médoc"),
    ],
)
def test_a_town_loses_its_article_after_a_preposition(name: str, text: str) -> None:
    assert in_place(name) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4, "+4,0 points"),
        (1.95, "+2,0 points"),
        (1.94, "+1,9 point"),
        (-1, f"{MINUS}1,0 point"),
        (0.04, "aucun"),
    ],
)
def test_a_gap_has_its_sign_and_agrees_with_what_is_written(value: float, text: str) -> None:
    assert gap(value, "%") == text


def test_counts_ranks_sizes_lists_classes_and_dates() -> None:
    assert (counted(0, "ligne"), counted(1, "autre ligne")) == ("0 ligne", "1 autre ligne")
    assert counted(1500, "autre ligne") == f"1{THIN}500 autres lignes"
    assert (ordinal(1), ordinal(12), ordinal(1162)) == ("1ᵉʳ", "12ᵉ", f"1{THIN}162ᵉ")
    assert [file_size(size) for size in (1023, 221_184, 5 * 1024**2)] == [
        f"1{THIN}023 octets",
        "216 Ko",
        "5,0 Mo",
    ]
    assert (listing(["a", "b", "c"]), listing(["a"]), listing([])) == ("a, b et c", "a", "")
    assert class_labels(["35", "40"]) == ("Moins de 35", "35 à moins de 40", "40 et plus")
    assert french_date(date(2024, 1, 1)) == "1er janvier 2024"
    assert french_date(date(2026, 8, 31)) == "31 août 2026"


def test_small_numbers_keep_their_leading_digits_and_cells_all_of_them() -> None:
    assert [significant(value, 2) for value in (0.00123, 0.025, 45.6, 0)] == ["0,0012", "0,025", "46", "0"]
    assert (plain_number(15603.0), plain_number(0.285)) == ("15603", "0,285")


def test_codes_have_words_and_unknown_ones_stay() -> None:
    assert word("live") == "site officiel"
    assert word("non_verifiable") == "non vérifiable"
    assert word("inconnu") == "inconnu"


@pytest.mark.parametrize(
    ("official", "own"),
    [
        ("CU Grand Besançon Métropole", "Grand Besançon Métropole"),
        ("CC Faucigny - Glières", "Faucigny - Glières"),
        ("CA Évreux Portes de Normandie", "Évreux Portes de Normandie"),
        ("CC du Val de Morteau", "CC du Val de Morteau"),
        ("CC de l'Oriente", "CC de l'Oriente"),
        ("Métropole de Lyon", "Métropole de Lyon"),
        ("Dijon Métropole", "Dijon Métropole"),
    ],
)
def test_an_epci_is_called_by_its_own_name(official: str, own: str) -> None:
    assert own_name(official) == own
