"""What is computed for single zones: ratios and sums of shares, never over what a producer says."""

import datetime as dt
import math
from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.analysis.aggregate import add_computed, aggregate
from qpv_geo.ingest.registry import Computation

RULES = {
    "chomeurs": Computation(additive=True),
    "actifs": Computation(additive=True),
    "taux": Computation(numerator="chomeurs", denominator="actifs"),
    "taille": Computation(numerator="actifs", denominator="menages", kind="index"),
    "median": Computation(),
    "sans_diplome": Computation(),
    "bep_cap": Computation(),
    "inferieur_bac": Computation(sum_of=("sans_diplome", "bep_cap")),
}
NAN = math.nan
STATUSES = ("ok", "secret", "non_disponible", "non_significatif")
Row = tuple[str, str, float, str]


def values(*rows: Row) -> pd.DataFrame:
    """Return statistics of QPV: code, indicator, value and status."""
    frame = pd.DataFrame(rows, columns=["code", "indicateur", "valeur", "statut"])
    origin = {"source": "s", "fichier": "f.csv", "code_producteur": frame["indicateur"].str.upper()}
    frame = frame.assign(zone="qpv", millesime="2022", **origin, geographie=dt.date(2024, 1, 1))
    return frame.astype({"valeur": float})


def pair(above: float = 30, below: float = 120) -> pd.DataFrame:
    return values(("A", "chomeurs", above, "ok"), ("A", "actifs", below, "ok"))


def computed(statistics: pd.DataFrame) -> pd.DataFrame:
    """Return what is added; what was there stays as it was."""
    found = add_computed(statistics, RULES)
    pd.testing.assert_frame_equal(found.iloc[: len(statistics)], statistics.reset_index(drop=True))
    return found.iloc[len(statistics) :]


def test_a_ratio_says_where_both_its_terms_come_from() -> None:
    statistics = pair()
    below = statistics["indicateur"] == "actifs"
    statistics.loc[below, ["source", "fichier"]] = ["t", "g.csv"]
    (row,) = computed(statistics).to_dict("records")
    assert row == {
        "zone": "qpv",
        "code": "A",
        "indicateur": "taux",
        "millesime": "2022",
        "valeur": 25.0,
        "statut": "ok",
        "source": "s, t",
        "fichier": "f.csv, g.csv",
        "code_producteur": "CHOMEURS / ACTIFS",
        "geographie": dt.date(2024, 1, 1),
    }
    (row,) = computed(pair()).to_dict("records")
    assert (row["source"], row["fichier"]) == ("s", "f.csv")


@pytest.mark.parametrize(
    ("above", "below", "status"),
    [
        ((NAN, "secret"), (120, "ok"), "secret"),
        ((NAN, "non_disponible"), (NAN, "secret"), "secret"),
        ((30, "ok"), (NAN, "non_significatif"), "non_significatif"),
        ((NAN, "non_disponible"), (NAN, "non_significatif"), "non_significatif"),
        ((30, "ok"), (NAN, "non_disponible"), "non_disponible"),
        ((0, "ok"), (0, "ok"), "non_disponible"),
        ((30, "ok"), (0, "ok"), "non_disponible"),
        ((NAN, "secret"), (0, "ok"), "secret"),
    ],
)
def test_no_value_without_both_terms_and_the_status_says_why(
    above: tuple[float, str], below: tuple[float, str], status: str
) -> None:
    (row,) = computed(values(("A", "chomeurs", *above), ("A", "actifs", *below))).to_dict("records")
    assert row["statut"] == status
    assert math.isnan(row["valeur"])


@pytest.mark.parametrize(
    ("field", "value"),
    [("millesime", "2021"), ("geographie", dt.date(2022, 1, 1)), ("zone", "commune"), ("code", "B")],
)
def test_terms_of_two_zones_vintages_or_geographies_are_not_divided(field: str, value: object) -> None:
    statistics = pair()
    statistics.loc[1, field] = value
    assert computed(statistics).empty


def test_an_index_has_its_own_scale() -> None:
    statistics = values(("A", "actifs", 120, "ok"), ("A", "menages", 60, "ok"))
    assert computed(statistics)["valeur"].tolist() == [2.0]


def test_a_single_term_makes_no_row_and_nothing_makes_none() -> None:
    assert computed(pair().iloc[:1]).empty
    assert computed(pair().iloc[:0]).empty


def shares(*cells: tuple[float, str]) -> pd.DataFrame:
    return values(
        *(("A", name, *cell) for name, cell in zip(("sans_diplome", "bep_cap"), cells, strict=False))
    )


def test_a_sum_of_shares_is_that_of_the_published_decimals() -> None:
    statistics = shares((44.8, "ok"), (24.7, "ok"))
    statistics[["borne_basse", "borne_haute"]] = [[43.1, 46.5], [23.2, 26.2]]
    (row,) = computed(statistics).to_dict("records")
    assert (row["valeur"], row["statut"]) == (69.5, "ok")
    assert row["code_producteur"] == "SANS_DIPLOME + BEP_CAP"
    # The interval of a sum does not follow from those of its terms.
    assert math.isnan(row["borne_basse"])
    assert math.isnan(row["borne_haute"])


def test_a_sum_that_a_producer_publishes_stands() -> None:
    statistics = pd.concat([shares((44.8, "ok"), (24.7, "ok")), values(("A", "inferieur_bac", 69.4, "ok"))])
    assert computed(statistics.reset_index(drop=True)).empty


def test_one_share_makes_no_sum() -> None:
    assert computed(shares((44.8, "ok"))).empty


published = st.tuples(st.integers(0, 1000), st.sampled_from(STATUSES)).map(
    lambda cell: (cell[0] / 10 if cell[1] == "ok" else NAN, cell[1])
)


@given(st.lists(st.tuples(published, published), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_a_sum_is_exact_whatever_the_order_of_rows_and_terms(cells: list[tuple], random: object) -> None:
    rows: list[Row] = []
    for number, (one, other) in enumerate(cells):
        rows += [(f"QN{number}", "sans_diplome", *one), (f"QN{number}", "bep_cap", *other)]
    random.shuffle(rows)
    found = computed(values(*rows)).set_index("code")
    turned = add_computed(
        values(*rows), RULES | {"inferieur_bac": Computation(sum_of=("bep_cap", "sans_diplome"))}
    )
    turned = turned[turned["indicateur"] == "inferieur_bac"].set_index("code")
    assert set(found.index) == set(turned.index) == {f"QN{number}" for number in range(len(cells))}
    for number, (one, other) in enumerate(cells):
        row = found.loc[f"QN{number}"]
        missing = {status for _, status in (one, other)} - {"ok"}
        assert row["statut"] in (missing or {"ok"})
        assert turned.loc[f"QN{number}", "statut"] == row["statut"]
        if not missing:
            assert Decimal(str(row["valeur"])) == Decimal(str(one[0])) + Decimal(str(other[0]))
            assert turned.loc[f"QN{number}", "valeur"] == row["valeur"]
        else:
            assert math.isnan(row["valeur"])


term = st.tuples(st.integers(0, 10_000), st.sampled_from(STATUSES)).map(
    lambda cell: (float(cell[0]) if cell[1] == "ok" else NAN, cell[1])
)
zones = st.lists(st.tuples(term, term, st.none() | term), min_size=1, max_size=6)


@given(zones)
def test_a_computed_ratio_is_the_quotient_and_a_published_one_stays(cells: list[tuple]) -> None:
    rows: list[Row] = []
    for number, (above, below, published) in enumerate(cells):
        code = f"QN{number}"
        rows += [(code, "chomeurs", *above), (code, "actifs", *below), (code, "median", 1000.0, "ok")]
        rows += [] if published is None else [(code, "taux", *published)]
    statistics = values(*rows)
    found = computed(statistics).set_index("code")
    assert set(found["indicateur"]) <= {"taux"}
    assert set(found.index) == {f"QN{n}" for n, cell in enumerate(cells) if cell[2] is None}
    sets = {code: [code] for code in found.index}
    of_sets = aggregate(statistics[statistics["indicateur"] != "taux"], sets, RULES, "quartier")
    alone = of_sets[of_sets["indicateur"] == "taux"].set_index("code")
    for code, row in found.iterrows():
        above, below, _ = cells[int(str(code)[2:])]
        assert row["statut"] in STATUSES
        if row["statut"] != "ok":
            assert math.isnan(row["valeur"])
            assert (above[1], below[1]) != ("ok", "ok") or below[0] == 0
            continue
        assert row["valeur"] == pytest.approx(100 * above[0] / below[0], rel=1e-12, abs=0.005001)
        assert row["valeur"] == round(row["valeur"], 2)
        assert row["valeur"] >= 0
        assert row["valeur"] <= 100 or above[0] > below[0]
        # A set of one zone says the same as the zone.
        assert alone.loc[code, ["valeur", "statut"]].tolist() == [row["valeur"], "ok"]
