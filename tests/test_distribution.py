"""National distributions: counted, written, read again, and what is taken from them."""

import string
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.errors import ConfigurationError
from qpv_geo.ingest.distribution import (
    CountedFile,
    Distribution,
    count_values,
    load_distributions,
    write_distributions,
)

FILE = CountedFile("insee_demographie", "estimations.zip", "ab" * 32, shipped=False)
KEY = ("part_familles_monoparentales", "2020")


def rows(values: list[float], statuses: list[str] | None = None, prefix: str = "QN025") -> pd.DataFrame:
    """Return the statistics of as many QPV."""
    letters = [f"{prefix}{n:02d}{string.ascii_uppercase[n // 100]}" for n in range(len(values))]
    return pd.DataFrame(
        {
            "zone": "qpv",
            "code": letters,
            "indicateur": KEY[0],
            "millesime": KEY[1],
            "valeur": values,
            "statut": statuses or ["imprecis" if np.isnan(value) else "ok" for value in values],
            "source": FILE.source,
        }
    )


def counted(values: list[float], statuses: list[str] | None = None) -> Distribution:
    return count_values(rows(values, statuses), {FILE.source: FILE})[KEY]


def test_equal_values_share_the_better_rank() -> None:
    found = counted([40.0, 55.0, 38.0, 40.0])
    assert found.size == 4
    assert found.ranks(np.array([55.0, 40.0, 40.0, 38.0])).tolist() == [1, 2, 2, 4]


def test_missing_values_are_counted_by_reason_and_are_no_rank() -> None:
    found = counted([40.0, np.nan, 55.0, np.nan, np.nan], ["ok", "imprecis", "ok", "secret", "imprecis"])
    assert found.size == 2
    assert dict(found.absences) == {"imprecis": 2, "secret": 1}


def test_deciles_are_published_values() -> None:
    assert counted([float(n) for n in range(1, 11)]).deciles.tolist() == list(range(1, 10))
    # At least half of three QPV do not exceed the second; the ninth decile is the third.
    assert counted([1.0, 2.0, 30.0]).deciles.tolist() == [1, 1, 1, 2, 2, 2, 30, 30, 30]
    assert counted([1.0, 2.0, 30.0]).median == 2.0
    assert counted([1.0, 2.0, 3.0, 30.0]).median == 2.0


def test_only_metropolitan_qpv_of_national_files_are_counted() -> None:
    frame = pd.concat(
        [
            rows([10.0, 20.0]),
            rows([99.0], prefix="QN974"),
            rows([99.0], prefix="QN02A"),
            rows([99.0]).assign(zone="commune", code="25056"),
            rows([99.0]).assign(source="insee_filosofi"),
        ]
    )
    found = count_values(frame, {FILE.source: FILE})
    assert found[KEY].levels.tolist() == [10.0, 20.0, 99.0], "Corsica is in metropolitan France"


def test_what_is_computed_from_two_files_has_both_for_origin() -> None:
    other = CountedFile("insee_filosofi", "revenus.zip", "cd" * 32, shipped=False)
    frame = rows([10.0]).assign(source="insee_demographie, insee_filosofi")
    found = count_values(frame, {FILE.source: FILE, other.source: other})[KEY]
    assert found.origin.file == "estimations.zip, revenus.zip"
    assert found.origin.sha256 == f"{FILE.sha256}, {other.sha256}"
    assert count_values(frame, {FILE.source: FILE}) == {}


def test_the_noise_of_binary_fractions_parts_no_equals() -> None:
    found = counted([0.1 + 0.2, 0.3])
    assert found.levels.tolist() == [0.3]
    assert found.ranks(np.array([0.1 + 0.2, 0.3])).tolist() == [1, 1]


@given(st.lists(st.integers(-500, 99999).map(lambda n: n / 10), min_size=1, max_size=60))
def test_a_rank_is_one_more_than_the_number_of_higher_values(values: list[float]) -> None:
    found = counted(values)
    expected = [1 + sum(other > value for other in values) for value in values]
    assert found.ranks(np.array(values)).tolist() == expected
    for tenth, decile in enumerate(found.deciles, start=1):
        assert 10 * sum(value <= decile for value in values) >= tenth * len(values)
        assert 10 * sum(value < decile for value in values) < tenth * len(values)


@given(st.lists(st.floats(-1e6, 1e9).map(lambda x: round(x, 6)), min_size=1, max_size=30))
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    path = tmp_path_factory.mktemp("distribution") / "distribution.csv"
    written = counted([*values, np.nan])
    write_distributions({KEY: written}, path)
    load_distributions.cache_clear()
    read = load_distributions(path)[KEY]
    assert read.levels.tolist() == written.levels.tolist()
    assert read.counts.tolist() == written.counts.tolist()
    assert read.absences == written.absences
    assert read.origin == CountedFile(FILE.source, FILE.file, FILE.sha256, shipped=True)


@pytest.mark.parametrize(
    "line",
    [
        "taux;2020;s;f;h;;1 x",
        "taux;2020;s;f;h;;2 1",
        "taux;2020;s;f;h;;",
        "taux;2020",
        "taux;2020;s;f;h;secret;1",
    ],
)
def test_a_damaged_file_says_how_it_is_made_again(tmp_path: Path, line: str) -> None:
    path = tmp_path / "distribution.csv"
    path.write_text(
        f"indicateur;millesime;source;fichier;sha256;absences;valeurs\n{line}\n", encoding="utf-8"
    )
    with pytest.raises(ConfigurationError, match=r"distribution\.csv.*qpv-geo sources distribution"):
        load_distributions(path)
