"""Rules for sets of zones: exact sums, sums over sums, no value where a part has none, labelled estimates."""

import datetime as dt
import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.analysis.aggregate import aggregate, estimate_by_area
from qpv_geo.errors import ContractError
from qpv_geo.ingest.registry import Computation

RULES = {
    "population": Computation(additive=True),
    "actifs": Computation(additive=True),
    "chomeurs": Computation(additive=True),
    "taux_chomage": Computation(numerator="chomeurs", denominator="actifs"),
    "niveau_de_vie_median": Computation(),
    "moins_25_ans": Computation(sum_of=("moins_15_ans", "15_24_ans")),
}
NAN = math.nan


def values(*rows: tuple[str, str, float, str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["code", "indicateur", "valeur", "statut"])
    return frame.assign(
        zone="iris",
        millesime="2022",
        source="iris_activite",
        fichier="base-ic.csv",
        code_producteur=frame["indicateur"].str.upper(),
        geographie=dt.date(2024, 1, 1),
    )


A, B, C = "250560101", "250560102", "250560103"
VALUES = values(
    (A, "population", 2000, "ok"),
    (B, "population", 1500, "ok"),
    (C, "population", NAN, "secret"),
    (A, "actifs", 1000, "ok"),
    (B, "actifs", 600, "ok"),
    (C, "actifs", 400, "ok"),
    (A, "chomeurs", 100, "ok"),
    (B, "chomeurs", 180, "ok"),
    (C, "chomeurs", 20, "ok"),
    (A, "niveau_de_vie_median", 18_000, "ok"),
    (B, "niveau_de_vie_median", 16_000, "ok"),
    (C, "niveau_de_vie_median", 21_000, "ok"),
)


def cell(frame: pd.DataFrame, code: str, indicator: str) -> tuple[float, str]:
    row = frame[(frame["code"] == code) & (frame["indicateur"] == indicator)]
    assert len(row) == 1
    return row["valeur"].iloc[0], row["statut"].iloc[0]


def same(found: tuple[float, str], value: float, status: str) -> bool:
    return found[1] == status and (found[0] == value or (math.isnan(value) and math.isnan(found[0])))


def test_counts_are_added_and_ratios_are_sums_over_sums() -> None:
    frame = aggregate(VALUES, {"Nord": [A, B]}, RULES, "quartier")
    assert cell(frame, "Nord", "population") == (3500, "ok")
    assert cell(frame, "Nord", "actifs") == (1600, "ok")
    # 280 of 1600; the mean of the two rates (10 % and 30 %) would be 20 %.
    assert cell(frame, "Nord", "taux_chomage") == (17.5, "ok")


def test_a_median_is_neither_added_nor_averaged() -> None:
    frame = aggregate(VALUES, {"Nord": [A, B], "Un": [A]}, RULES, "quartier")
    assert same(cell(frame, "Nord", "niveau_de_vie_median"), NAN, "non_calculable")
    assert same(cell(frame, "Un", "niveau_de_vie_median"), NAN, "non_calculable")


def test_shares_that_are_added_in_a_zone_are_not_added_over_zones() -> None:
    shares = values(
        *(
            (code, name, share, "ok")
            for code in (A, B)
            for name, share in (("moins_15_ans", 20), ("15_24_ans", 15))
        )
    )
    for members in ([A, B], [A]):
        frame = aggregate(shares, {"Nord": members}, RULES, "quartier")
        assert same(cell(frame, "Nord", "moins_25_ans"), NAN, "non_calculable")
        row = frame[frame["indicateur"] == "moins_25_ans"].iloc[0]
        assert row["code_producteur"] == "MOINS_15_ANS + 15_24_ANS"


def test_a_sum_that_misses_a_part_is_no_sum() -> None:
    frame = aggregate(VALUES, {"Tout": [A, B, C], "Autre": [A, "250569999"]}, RULES, "quartier")
    assert same(cell(frame, "Tout", "population"), NAN, "secret")
    assert cell(frame, "Tout", "taux_chomage") == (15, "ok")
    assert same(cell(frame, "Autre", "population"), NAN, "non_disponible")
    assert same(cell(frame, "Autre", "taux_chomage"), NAN, "non_disponible")


def test_a_set_without_any_zone_has_no_value() -> None:
    frame = aggregate(VALUES, {"Vide": []}, RULES, "quartier")
    assert same(cell(frame, "Vide", "population"), NAN, "non_disponible")


def test_a_ratio_to_nothing_has_no_value() -> None:
    none = values((A, "actifs", 0, "ok"), (A, "chomeurs", 0, "ok"))
    frame = aggregate(none, {"Nord": [A]}, RULES, "quartier")
    assert same(cell(frame, "Nord", "taux_chomage"), NAN, "non_calculable")


def test_a_published_rate_whose_terms_were_not_read_is_left_empty() -> None:
    rates = values((A, "taux_chomage", 10, "ok"), (B, "taux_chomage", 30, "ok"), (A, "inconnu", 1, "ok"))
    frame = aggregate(rates, {"Nord": [A, B]}, RULES, "quartier")
    assert same(cell(frame, "Nord", "taux_chomage"), NAN, "non_calculable")
    assert same(cell(frame, "Nord", "inconnu"), NAN, "non_calculable")


def test_values_are_traced_to_their_file() -> None:
    frame = aggregate(VALUES, {"Nord": [A, B]}, RULES, "quartier")
    assert frame.columns.tolist() == [
        "zone",
        "code",
        "indicateur",
        "millesime",
        "valeur",
        "statut",
        "source",
        "fichier",
        "code_producteur",
        "geographie",
    ]
    row = frame.set_index("indicateur").loc["taux_chomage"]
    assert row["zone"] == "quartier"
    assert row["source"] == "iris_activite"
    assert row["fichier"] == "base-ic.csv"
    assert row["code_producteur"] == "CHOMEURS / ACTIFS"
    assert row["geographie"] == dt.date(2024, 1, 1)
    assert row["millesime"] == "2022"


def test_a_zone_counted_twice_is_refused() -> None:
    doubled = pd.concat([VALUES, VALUES.iloc[:1]])
    with pytest.raises(ContractError, match=r"250560101 has population \(2022\) more than once"):
        aggregate(doubled, {"Nord": [A, B]}, RULES, "quartier")


def test_two_geographies_are_not_added() -> None:
    mixed = VALUES.copy()
    mixed.loc[0, "geographie"] = dt.date(2022, 1, 1)
    with pytest.raises(ContractError, match=r"population \(2022\) comes in several geographies"):
        aggregate(mixed, {"Nord": [A, B]}, RULES, "quartier")


def test_half_a_ratio_is_refused() -> None:
    with pytest.raises(ValueError, match="give both 'numerator' and 'denominator'"):
        Computation(numerator="chomeurs")
    with pytest.raises(ValueError, match="what is added over zones is not a ratio"):
        Computation(additive=True, numerator="chomeurs", denominator="actifs")
    with pytest.raises(ValueError, match="or 'sum_of', not both"):
        Computation(sum_of=("a", "b"), numerator="chomeurs", denominator="actifs")
    with pytest.raises(ValueError, match="what is added over zones is not a ratio"):
        Computation(additive=True, sum_of=("a", "b"))


def shares(*rows: tuple[str, str | None, float, bool]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["code", "code_iris", "part_iris", "significatif"])


def test_counts_are_shared_out_by_area_and_labelled() -> None:
    half = shares(("Cité", A, 50, True), ("Cité", B, 10, True))
    frame = estimate_by_area(VALUES, half, RULES, "quartier_fragile")
    assert cell(frame, "Cité", "population") == (1150, "estimation")
    # 50 + 18 of 500 + 60.
    assert cell(frame, "Cité", "taux_chomage") == (12.14, "estimation")
    assert same(cell(frame, "Cité", "niveau_de_vie_median"), NAN, "non_calculable")
    assert set(frame["zone"]) == {"quartier_fragile"}


def test_an_estimate_needs_every_overlap_that_matters() -> None:
    sliver = shares(("Cité", A, 50, True), ("Cité", C, 0.1, False))
    assert cell(estimate_by_area(VALUES, sliver, RULES, "q"), "Cité", "population") == (1000, "estimation")
    secret = shares(("Cité", A, 50, True), ("Cité", C, 30, True))
    assert same(cell(estimate_by_area(VALUES, secret, RULES, "q"), "Cité", "population"), NAN, "secret")
    bare = shares(("Cité", A, 50, True), ("Cité", None, NAN, True))
    assert same(cell(estimate_by_area(VALUES, bare, RULES, "q"), "Cité", "population"), NAN, "non_disponible")
    edge = shares(("Cité", A, 50, True), ("Cité", None, NAN, False))
    assert cell(estimate_by_area(VALUES, edge, RULES, "q"), "Cité", "population") == (1000, "estimation")


# Invariants

status = st.sampled_from(["ok", "ok", "ok", "secret", "non_disponible", "non_significatif", "estimation"])
count = st.floats(0, 1e6, allow_nan=False) | st.integers(0, 100_000)
zones = st.dictionaries(st.from_regex(r"[0-9]{9}", fullmatch=True), st.tuples(count, status), min_size=1)


def population(cells: dict[str, tuple[float, str]]) -> pd.DataFrame:
    return values(*((code, "population", value, status) for code, (value, status) in cells.items()))


@given(zones)
def test_there_is_a_value_exactly_if_every_part_has_one(cells: dict[str, tuple[float, str]]) -> None:
    value, found = cell(aggregate(population(cells), {"T": list(cells)}, RULES, "q"), "T", "population")
    missing = {status for _, status in cells.values()} - {"ok", "estimation"}
    if missing:
        assert math.isnan(value)
        assert found in missing
    else:
        assert value == pytest.approx(sum(value for value, _ in cells.values()))
        assert found == ("estimation" if any(s == "estimation" for _, s in cells.values()) else "ok")


@given(zones, st.randoms(use_true_random=False))
def test_the_order_of_parts_does_not_matter(cells: dict[str, tuple[float, str]], random: object) -> None:
    codes = list(cells)
    one = aggregate(population(cells), {"T": codes}, RULES, "q")
    random.shuffle(codes)
    other = aggregate(population(cells).sample(frac=1, random_state=1), {"T": codes}, RULES, "q")
    pd.testing.assert_frame_equal(one, other, check_exact=True)


@given(
    st.dictionaries(st.from_regex(r"[0-9]{9}", fullmatch=True), st.integers(0, 10**6), min_size=1), st.data()
)
def test_a_partition_adds_up_to_the_whole(cells: dict[str, int], data: st.DataObject) -> None:
    sets: dict[str, list[str]] = {}
    for code in cells:
        sets.setdefault(data.draw(st.sampled_from("NESO")), []).append(code)
    counts = population({code: (value, "ok") for code, value in cells.items()})
    parts = aggregate(counts, sets, RULES, "q")
    whole = aggregate(counts, {"T": list(cells)}, RULES, "q")
    assert parts["valeur"].sum() == whole["valeur"].iloc[0] == sum(cells.values())


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 1000)), min_size=1, max_size=9))
def test_a_ratio_lies_between_those_of_its_parts(terms: list[tuple[int, int]]) -> None:
    rows = [(f"{i:09}", "chomeurs", min(n, d), "ok") for i, (n, d) in enumerate(terms)]
    rows += [(f"{i:09}", "actifs", d, "ok") for i, (_, d) in enumerate(terms)]
    sets = {"T": [f"{i:09}" for i in range(len(terms))]} | {f"{i}": [f"{i:09}"] for i in range(len(terms))}
    frame = aggregate(values(*rows), sets, RULES, "q")
    rates = frame[frame["indicateur"] == "taux_chomage"].set_index("code")["valeur"]
    parts = rates.drop("T")
    assert parts.min() - 1e-9 <= rates["T"] <= parts.max() + 1e-9
    assert 0 <= rates["T"] <= 100


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=6), st.integers(0, 10**6))
def test_contours_that_share_an_iris_out_add_up_to_it(weights: list[float], people: int) -> None:
    total = sum(weights)
    rows = [(f"Z{i}", A, 100 * weight / total, True) for i, weight in enumerate(weights)]
    frame = estimate_by_area(values((A, "population", people, "ok")), shares(*rows), RULES, "q")
    assert frame["valeur"].sum() == pytest.approx(people)
    assert (frame["valeur"] <= people * (1 + 1e-9)).all()
    assert set(frame["statut"]) == {"estimation"}
