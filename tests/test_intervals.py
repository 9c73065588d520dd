"""Confidence intervals: from their own table to the estimates, also where the estimate is withheld."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.errors import ContractError
from qpv_geo.ingest.registry import load_registry
from qpv_geo.ingest.statistics import Statistics, read_statistics
from qpv_geo.ingest.text_table import parse_intervals
from qpv_geo.settings import Settings
from tests.raw_files import raw_file, write_csv, write_workbook, write_zip

Rows = list[list[str]]

ESTIMATES: Rows = [
    ["codeGeo", "libGeo", "partFamMono", "indiceJeunesse"],
    ["QN02502M", "Orchamps-Palente", "35,9", "1,3"],
    ["QN02503M", "Planoise", "", "2,1"],
]
INTERVALS: Rows = [
    ["codeGeo", "libGeo", "partFamMono", "indiceJeunesse"],
    ["QN02503M", "Planoise", "[36,0/40,9]", "[2,0/2,3]"],
    ["QN02502M", "Orchamps-Palente", "[30,7/41,1]", "[1,1/1,6]"],
]


def read(folder: Path, settings: Settings, **members: Rows) -> Statistics:
    files = {
        f"{name}.csv": write_csv(folder / "member.csv", rows, "utf-8").read_bytes()
        for name, rows in members.items()
    }
    return read_statistics(
        raw_file("insee_demographie", write_zip(folder / "d.zip", files)), load_registry(), settings
    )


def bounds(statistics: Statistics) -> dict[tuple[str, str], tuple[float, str, float, float]]:
    """Return value, status and bounds by code and column; NaN as None."""
    fields = ["code", "code_producteur", "valeur", "statut", "borne_basse", "borne_haute"]
    rows = statistics.rows[fields].astype(object)
    rows = rows.where(rows.notna(), None)
    return {(row.code, row.code_producteur): tuple(row[3:]) for row in rows.itertuples()}


def replaced(rows: Rows, row: int, column: int, cell: str) -> Rows:
    return [
        [cell if (y, x) == (row, column) else text for x, text in enumerate(cells)]
        for y, cells in enumerate(rows)
    ]


def left_out(statistics: Statistics) -> dict[str, str]:
    return {check.subject: check.message for check in statistics.checks if check.code == "colonne_ecartee"}


def test_bounds_are_joined_by_code(tmp_path: Path, settings: Settings) -> None:
    statistics = read(tmp_path, settings, data=ESTIMATES, ic=INTERVALS)
    assert bounds(statistics) == {
        ("QN02502M", "partFamMono"): (35.9, "ok", 30.7, 41.1),
        ("QN02502M", "indiceJeunesse"): (1.3, "ok", 1.1, 1.6),
        # Its estimate is not precise enough to be published, its interval is.
        ("QN02503M", "partFamMono"): (None, "imprecis", 36, 40.9),
        ("QN02503M", "indiceJeunesse"): (2.1, "ok", 2, 2.3),
    }
    assert set(statistics.rows["fichier"]) == {"data.csv"}
    assert set(statistics.rows["fichier_intervalle"]) == {"ic.csv"}
    assert not left_out(statistics)


def test_the_order_of_the_tables_does_not_matter(tmp_path: Path, settings: Settings) -> None:
    expected = bounds(read(tmp_path, settings, data=ESTIMATES, ic=INTERVALS))
    assert bounds(read(tmp_path, settings, z=ESTIMATES, a=INTERVALS)) == expected


@pytest.mark.parametrize("cell", ["", "[Inf/Inf]", "non estimé", "non estime", "[-Inf/Inf]"])
def test_an_interval_without_bounds(cell: str, tmp_path: Path, settings: Settings) -> None:
    statistics = read(tmp_path, settings, data=ESTIMATES, ic=replaced(INTERVALS, 2, 2, cell))
    found = bounds(statistics)
    assert found["QN02502M", "partFamMono"] == (35.9, "ok", None, None)
    assert found["QN02503M", "partFamMono"] == (None, "imprecis", 36, 40.9)
    assert not left_out(statistics)
    rows = statistics.rows.set_index(["code", "code_producteur"])["fichier_intervalle"]
    assert pd.isna(rows["QN02502M", "partFamMono"])


def test_zones_and_columns_without_intervals(tmp_path: Path, settings: Settings) -> None:
    intervals = [row[:3] for row in INTERVALS[:2]]
    found = bounds(read(tmp_path, settings, data=ESTIMATES, ic=intervals))
    assert found["QN02502M", "partFamMono"] == (35.9, "ok", None, None)
    assert found["QN02503M", "partFamMono"] == (None, "imprecis", 36, 40.9)
    assert found["QN02503M", "indiceJeunesse"] == (2.1, "ok", None, None)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("[36,0/40,9]", "an estimate inside its interval; found '35,9' outside [36/40.9]"),
        ("[20,0/35,8]", "an estimate inside its interval; found '35,9' outside [20/35.8]"),
        ("[41,1/30,7]", "an interval such as [24,0/28,4]; found '[41,1/30,7]'"),
        ("30,7 - 41,1", "an interval such as [24,0/28,4]; found '30,7 - 41,1'"),
        ("[30,7/]", "an interval such as [24,0/28,4]; found '[30,7/]'"),
        ("s", "an interval such as [24,0/28,4]; found 's'"),
    ],
)
def test_a_wrong_interval_leaves_its_column_out(
    cell: str, words: str, tmp_path: Path, settings: Settings
) -> None:
    statistics = read(tmp_path, settings, data=ESTIMATES, ic=replaced(INTERVALS, 2, 2, cell))
    assert set(statistics.rows["code_producteur"]) == {"indiceJeunesse"}
    ((subject, message),) = left_out(statistics).items()
    assert subject == "insee_demographie, data.csv, partFamMono"
    assert words in message


def test_a_bound_belongs_to_the_interval(tmp_path: Path, settings: Settings) -> None:
    for cell in ("[35,9/41,1]", "[30,7/35,9]", "[35,9/35,9]"):
        intervals = replaced(INTERVALS, 2, 2, cell)
        assert not left_out(read(tmp_path, settings, data=ESTIMATES, ic=intervals))


def test_the_code_that_insee_spoilt(tmp_path: Path, settings: Settings) -> None:
    spoilt = replaced(INTERVALS, 0, 3, "Intervalle de confiance de l'indiceJeunesse")
    path = write_workbook(
        tmp_path / "demographie.xlsx",
        {"Données QPV": [["Titre"], *ESTIMATES], "IC Données QPV": [["Titre"], *spoilt]},
    )
    statistics = read_statistics(raw_file("insee_demographie", path), load_registry(), settings)
    assert bounds(statistics)["QN02502M", "indiceJeunesse"] == (1.3, "ok", 1.1, 1.6)
    assert set(statistics.rows["fichier_intervalle"]) == {"demographie.xlsx, feuille IC Données QPV"}
    (reading,) = (check for check in statistics.checks if check.subject == "insee_demographie"
                  and check.code == "lecture_du_fichier")  # fmt: skip
    assert reading.outcome == "avertissement"
    assert "lue comme celle de indiceJeunesse" in reading.message


def test_codes_of_intervals_are_held_to_the_same_contract(tmp_path: Path, settings: Settings) -> None:
    twice = [*INTERVALS, ["QN02503M", "Planoise", "[10,0/90,0]", "[1,0/3,0]"]]
    with pytest.raises(ContractError, match=r"ic\.csv.*(?s:.)*'QN02503M' at line 2; 'QN02503M' at line 4"):
        read(tmp_path, settings, data=ESTIMATES, ic=twice)
    with pytest.raises(ContractError, match=r"ic\.csv.*(?s:.)*'QN2503M' \(leading zeros lost\)"):
        read(tmp_path, settings, data=ESTIMATES, ic=replaced(INTERVALS, 1, 0, "QN2503M"))


def test_intervals_belong_to_estimates_of_the_same_zones(tmp_path: Path, settings: Settings) -> None:
    together = [["codeGeo", "partFamMono"], ["242500361_QPV24", "38,1"]]
    found = bounds(read(tmp_path, settings, data=ESTIMATES, ic=INTERVALS, epci=together))
    assert found["242500361", "partFamMono"] == (38.1, "ok", None, None)


def test_intervals_without_their_estimates_are_said(tmp_path: Path, settings: Settings) -> None:
    statistics = read(tmp_path, settings, ic=INTERVALS)
    assert statistics.rows.empty
    (reading,) = statistics.checks
    assert "ntervalles de ic.csv sans les estimations" in reading.message


numbers = st.decimals(min_value=0, max_value=10**6, places=2)


@given(st.lists(st.tuples(numbers, numbers).map(sorted), min_size=1))
def test_what_is_written_is_what_is_read(pairs: list[list[object]]) -> None:
    cells = np.array([f"[{low}/{high}]".replace(".", ",") for low, high in pairs], dtype=object)
    low, high, wrong = parse_intervals(cells)
    assert low.tolist() == [float(str(pair[0])) for pair in pairs]
    assert high.tolist() == [float(str(pair[1])) for pair in pairs]
    assert not wrong.any()


@given(st.lists(st.text(alphabet="[]/0123456789,.Inf -", max_size=12), min_size=1))
def test_an_interval_is_bounded_or_unbounded_or_wrong(texts: list[str]) -> None:
    low, high, wrong = parse_intervals(np.array(texts, dtype=object))
    assert (np.isnan(low) == np.isnan(high)).all()
    assert (wrong | np.isnan(low) | (low <= high)).all()
