"""Ratios of single zones: numerator over denominator, and never over what a producer says."""

import datetime as dt
import math

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qpv_geo.analysis.aggregate import Rule, aggregate
from qpv_geo.analysis.ratios import add_ratios

RULES = {
    "chomeurs": Rule(additive=True),
    "actifs": Rule(additive=True),
    "taux": Rule(numerator="chomeurs", denominator="actifs"),
    "taille": Rule(numerator="actifs", denominator="menages", scale=1),
    "median": Rule(),
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
    found = add_ratios(statistics, RULES)
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


term = st.tuples(st.integers(0, 10_000), st.sampled_from(STATUSES)).map(
    lambda cell: (float(cell[0]) if cell[1] == "ok" else NAN, cell[1])
)
zones = st.lists(st.tuples(term, term, st.none() | term), min_size=1, max_size=6)


@settings(deadline=None)
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
        assert row["valeur"] == 100 * above[0] / below[0]
        assert row["valeur"] >= 0
        assert row["valeur"] <= 100 or above[0] > below[0]
        # A set of one zone says the same as the zone.
        assert alone.loc[code, ["valeur", "statut"]].tolist() == [row["valeur"], "ok"]
