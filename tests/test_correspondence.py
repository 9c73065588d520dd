"""The official correspondence table of QPV 2024 and 2015."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.errors import ContractError, SourceContentError
from qpv_geo.ingest.correspondence import read_correspondence
from qpv_geo.settings import Settings
from tests.examples import examples
from tests.raw_files import raw_file, shipped, write_csv, write_zip

SOURCE = "correspondance_2024_2015"
HEADER = [
    "QP2024", "Label_QP2024", "Statut",
    "QP2015_1", "Label_QP2015_1", "QP2015_2", "Label_QP2015_2", "QP2015_3", "Label_QP2015_3",
]  # fmt: skip
ROWS = [
    ["QN02503M", "Planoise", "MODIFIE", "QP025004", "Planoise", "", "", "", ""],
    ["QN00603M", "Ranguin", "MODIFIE", "QP006003", "Ranguin-Frayère", "QP006004", "Genêts", "", ""],
    ["QN02517N", "Battant", "NOUVEAU", "", "", "", "", "", ""],
    ["QN00604M", "Frayère", "MODIFIE", "QP006003", "Ranguin-Frayère", "", "", "", ""],
]
PAIRS = [
    ("QN02503M", "Planoise", "MODIFIE", "QP025004", "Planoise"),
    ("QN00603M", "Ranguin", "MODIFIE", "QP006003", "Ranguin-Frayère"),
    ("QN00603M", "Ranguin", "MODIFIE", "QP006004", "Genêts"),
    ("QN02517N", "Battant", "NOUVEAU", None, None),
    # Two QPV may come from one.
    ("QN00604M", "Frayère", "MODIFIE", "QP006003", "Ranguin-Frayère"),
]


def read(path: Path, settings: Settings) -> list[tuple[str | None, ...]]:
    pairs, (check,) = read_correspondence(raw_file(SOURCE, path), settings)
    assert list(pairs.columns) == ["code_qp", "lib_qp", "statut", "code_qp_2015", "lib_qp_2015"]
    assert (check.code, check.subject) == ("lecture_du_fichier", SOURCE)
    return list(pairs.itertuples(index=False, name=None))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_one_row_per_pair_and_one_for_a_new_qpv(encoding: str, tmp_path: Path, settings: Settings) -> None:
    path = write_csv(tmp_path / "liste.csv", [HEADER, *ROWS], encoding)
    assert read(path, settings) == PAIRS
    packed = write_zip(tmp_path / "liste.zip", {"liste.csv": path.read_bytes()})
    assert read(packed, settings) == PAIRS


def test_the_check_counts_both_sides(tmp_path: Path, settings: Settings) -> None:
    path = write_csv(tmp_path / "liste.csv", [HEADER, *ROWS])
    _, (check,) = read_correspondence(raw_file(SOURCE, path), settings)
    assert check.outcome == "conforme"
    assert check.found == "4 QPV 2024, 3 QPV 2015"


def test_the_shipped_file_says_what_each_of_the_six_was(settings: Settings) -> None:
    pairs = read(shipped("anct/liste-correspondance-qp2024-qp2015.csv"), settings)
    assert {code: (status, old) for code, _, status, old, _ in pairs} == {
        "QN02502M": ("MODIFIE", "QP025003"),
        "QN02503M": ("MODIFIE", "QP025004"),
        "QN02504M": ("MODIFIE", "QP025005"),
        "QN02505M": ("MODIFIE", "QP025006"),
        "QN02515N": ("NOUVEAU", None),
        "QN02517N": ("NOUVEAU", None),
    }


def test_the_genuine_rows(mirror: Path, settings: Settings) -> None:
    pairs = read(mirror / "anct" / "liste-correspondance-qp2024-qp2015.csv", settings)
    assert len({code for code, *_ in pairs}) == 22
    assert [old for code, *_, old, _ in pairs if code == "QN00603M"] == ["QP006003", "QP006004"]
    # A QPV of 2015 was cut in three.
    assert sum(old == "QP013032" for *_, old, _ in pairs) == 3


@examples(25)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_columns_and_rows_says_nothing(seed: int, tmp_path: Path, settings: Settings) -> None:
    shuffled = random.Random(seed)  # noqa: S311 - not for secrets
    columns = shuffled.sample(range(len(HEADER)), len(HEADER))
    rows = shuffled.sample(ROWS, len(ROWS))
    path = write_csv(tmp_path / "liste.csv", [[row[place] for place in columns] for row in (HEADER, *rows)])
    assert sorted(map(str, read(path, settings))) == sorted(map(str, PAIRS))


def changed(row: int, column: str, value: str) -> list[list[str]]:
    rows = [list(cells) for cells in (HEADER, *ROWS)]
    rows[row][HEADER.index(column)] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        (
            changed(0, "QP2024", "code"),
            (
                "expected column 'QP2024'",
                "the file has 'code', 'Label_QP2024'",
                f"[sources.{SOURCE}]",
            ),
        ),
        ([["QP2024", "Label_QP2024", "Statut"], ROWS[0][:3]], ("expected column 'QP2015_1' or 'QP2015_2'",)),
        (
            changed(1, "QP2024", "QP025003"),
            (
                "QP2024: expected code of a QPV 2024, such as QN02503M",
                "found 'QP025003' (2015 geography in place of 2024) at line 2",
            ),
        ),
        (changed(2, "QP2015_2", "QN00603M"), ("'QN00603M' (2024 geography in place of 2015) at line 3",)),
        (changed(2, "QP2015_2", "QP6004"), ("'QP6004' (leading zeros lost) at line 3",)),
        (
            changed(2, "QP2015_2", "QP006003"),
            ("each QPV 2015 once in a row; found 'QP006003' again at line 3",),
        ),
        (changed(3, "QP2024", "QN02503M"), ("a code that appears once in the file", "line 2", "line 4")),
        (changed(3, "QP2024", ""), ("QP2024: expected a value; found '' at line 4",)),
        (
            changed(1, "QP2015_1", ""),
            ("a code beside the name of each QPV 2015; found 'Planoise' alone at line 2",),
        ),
        ([["QP2024,QP2015_1"], ["QN02503M,QP025003"]], ("expected columns separated by ';'",)),
        ([HEADER], ("expected at least one row under the header",)),
        ([[*HEADER, "qp2024"], [*ROWS[0], "QN02503M"]], ("each column once",)),
    ],
)
def test_tables_of_another_shape(
    rows: list[list[str]], parts: tuple[str, ...], tmp_path: Path, settings: Settings
) -> None:
    path = write_csv(tmp_path / "liste.csv", rows)
    with pytest.raises(ContractError) as error:
        read(path, settings)
    assert "liste.csv" in str(error.value)
    for part in parts:
        assert part in str(error.value)
    assert error.value.exit_code == 4


def test_a_page_in_place_of_the_table(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "liste.csv").write_text("<!DOCTYPE html><html></html>", encoding="utf-8")
    with pytest.raises(SourceContentError, match=r"liste\.csv"):
        read(tmp_path / "liste.csv", settings)
