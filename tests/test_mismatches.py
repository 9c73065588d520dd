"""The rows of a written layer against those that a file lists."""

from pathlib import Path

import pandas as pd
import pytest

from qpv_geo.audit.mismatches import WrittenLayer

Rows = dict[tuple[object, ...], tuple[object, ...]]
EXPECTED: Rows = {("25056", "apl"): (4.5, "ok"), ("25245", "apl"): (None, "secret")}
ROWS = [("25056", "apl", 4.5, "ok"), ("25245", "apl", None, "secret")]


def mismatches(rows: list[tuple[object, ...]], expected: Rows = EXPECTED) -> list[str]:
    table = pd.DataFrame(rows, columns=["code", "source", "valeur", "statut"])
    layer = WrittenLayer(Path("apl.csv"), "apl", table)
    return [str(each) for each in layer.compare_rows(["code", "source"], ["valeur", "statut"], expected)]


def test_rows_that_the_file_lists_have_no_mismatch_in_any_order() -> None:
    assert mismatches(ROWS) == mismatches(ROWS[::-1]) == []


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            [("25056", "apl", 4.6, "ok"), ROWS[1]],
            "row 25056 / apl, field valeur: published 4.6, expected 4.5",
        ),
        ([ROWS[0], ("25245", "apl", 0.0, "secret")], "field valeur: published 0.0, expected None"),
        ([ROWS[0], ("25245", "apl", None, "ok")], "field statut: published 'ok', expected 'secret'"),
        (ROWS[:1], "row 25245 / apl, field valeur: published 'no row', expected None"),
        ([*ROWS, ("25057", "apl", 1.0, "ok")], "field valeur: published 1.0, expected 'no row'"),
        ([*ROWS, ROWS[0]], "layer apl, field code, source: published 3, expected 2"),
    ],
)
def test_each_way_to_differ_is_told_once(rows: list[tuple[object, ...]], words: str) -> None:
    (mismatch,) = mismatches(rows)
    assert words in mismatch
