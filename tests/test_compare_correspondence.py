"""The published correspondence is the raw file's, pair by pair."""

from pathlib import Path

import pandas as pd
import pytest

from qpv_geo.audit.compare_tables import compare_correspondence
from qpv_geo.audit.mismatches import WrittenLayer
from qpv_geo.audit.originals import Originals
from qpv_geo.ingest.correspondence import read_correspondence
from qpv_geo.settings import Settings
from tests.raw_files import raw_file, shipped

SOURCE = "correspondance_2024_2015"
FILE = "anct/liste-correspondance-qp2024-qp2015.csv"


@pytest.fixture
def published(settings: Settings) -> pd.DataFrame:
    pairs, _ = read_correspondence(raw_file(SOURCE, shipped(FILE)), settings)
    return pairs


def mismatches(table: pd.DataFrame, qpv: set[str], settings: Settings) -> list[str]:
    originals = Originals({SOURCE: raw_file(SOURCE, shipped(FILE))}, qpv, settings)
    release = {
        "correspondance_2015": WrittenLayer(Path("x.csv"), "correspondance_2015", table),
        "qpv": WrittenLayer(Path("y.csv"), "qpv", pd.DataFrame({"code_qp": sorted(qpv)})),
    }
    return [f"{mismatch.row} {mismatch.field}" for mismatch in compare_correspondence(release, originals)]


def test_what_was_read_is_what_is_there(published: pd.DataFrame, settings: Settings) -> None:
    codes = set(published["code_qp"])
    assert not mismatches(published, codes, settings)
    # Another territory's QPV are not missed.
    few = {"QN02503M", "QN02517N"}
    assert not mismatches(published[published["code_qp"].isin(few)], few, settings)


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("statut", "INCHANGE", ["QN02503M / QP025004 statut"]),
        ("lib_qp_2015", None, ["QN02503M / QP025004 lib_qp_2015"]),
        (
            "code_qp_2015",
            "QP025005",
            ["QN02503M / QP025004 lib_qp", "QN02503M / QP025005 lib_qp"],
        ),
    ],
)  # fmt: skip
def test_each_wrong_value_is_found(
    published: pd.DataFrame, column: str, value: str | None, expected: list[str], settings: Settings
) -> None:
    published.loc[published["code_qp"] == "QN02503M", column] = value
    assert mismatches(published, set(published["code_qp"]), settings) == expected


def test_a_pair_that_was_dropped_is_missed(published: pd.DataFrame, settings: Settings) -> None:
    found = mismatches(published[published["code_qp"] != "QN02517N"], set(published["code_qp"]), settings)
    assert found == ["QN02517N / aucun lib_qp"]
