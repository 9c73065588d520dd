"""The official correspondence table of QPV 2024 and 2015."""

from pathlib import Path

import pytest
from raw_files import raw_file, write_csv, write_zip

from qpv_geo.errors import ContractError, SourceContentError
from qpv_geo.ingest.correspondence import read_correspondence
from qpv_geo.settings import Settings

SOURCE = "correspondance_2024_2015"
HEADER = ["QP2024", "Label_QP2024", "Statut", "QP2015_1", "QP2015_2", "QP2015_3"]
ROWS = [
    ["QN02503M", "Planoise", "Modifié", "QP025003", "", ""],
    ["QN02504M", "Hauts de Saint-Claude", "Modifié", "QP025004", "QP025001", ""],
    ["QN02510N", "Nouveau quartier", "Entrant", "", "", ""],
]
PAIRS = [
    ("QN02503M", "QP025003"),
    ("QN02504M", "QP025004"),
    ("QN02504M", "QP025001"),
    ("QN02510N", None),
]


def read(path: Path, settings: Settings) -> list[tuple[str | None, str | None]]:
    pairs, (check,) = read_correspondence(raw_file(SOURCE, path), settings)
    assert list(pairs.columns) == ["code_qp_2024", "code_qp_2015"]
    assert (check.code, check.subject) == ("lecture_du_fichier", SOURCE)
    return list(pairs.itertuples(index=False, name=None))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_one_column_for_each_predecessor(encoding: str, tmp_path: Path, settings: Settings) -> None:
    path = write_csv(tmp_path / "liste.csv", [HEADER, *ROWS], encoding)
    assert read(path, settings) == PAIRS


def test_the_check_counts_both_sides(tmp_path: Path, settings: Settings) -> None:
    path = write_csv(tmp_path / "liste.csv", [HEADER, *ROWS])
    _, (check,) = read_correspondence(raw_file(SOURCE, path), settings)
    assert check.outcome == "conforme"
    assert check.found == "3 QPV 2024, 3 QPV 2015"


def test_one_column_that_lists_them(tmp_path: Path, settings: Settings) -> None:
    rows = [
        ["CODE_QP_2024", "QP 2015 correspondant"],
        ["QN02503M", "QP025003"],
        ["QN02504M", "QP025004, QP025001"],
        ["QN02510N", ""],
    ]
    assert read(write_csv(tmp_path / "liste.csv", rows), settings) == PAIRS


def test_one_row_for_each_pair_in_an_archive(tmp_path: Path, settings: Settings) -> None:
    rows = [["code_qp2024", "code_qp2015"]]
    rows += [[new or "", old or ""] for new, old in [*PAIRS, PAIRS[0], (None, "QP025099")]]
    data = write_csv(tmp_path / "liste.csv", rows).read_bytes()
    packed = write_zip(tmp_path / "liste.zip", {"liste.csv": data})
    # A QPV of 2015 may have no successor, and a pair said twice is one pair.
    assert read(packed, settings) == [*PAIRS, (None, "QP025099")]


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        (
            [["code", "QP2015_1"], ["QN02503M", "QP025003"]],
            (
                "expected column 'QP2024' or 'code_qp_2024'",
                "(the file has 'code', 'QP2015_1')",
                f"[sources.{SOURCE}]",
            ),
        ),
        ([["QP2024", "ancien"], ["QN02503M", "QP025003"]], ("expected column 'QP2015_1' or 'QP2015_2'",)),
        (
            [["QP2024", "QP2015_1"], ["QP025003", "QN02503M"]],
            (
                "QP2024: expected code of a QPV 2024, such as QN02503M",
                "found 'QP025003' (2015 geography in place of 2024) at line 2",
                "'QN02503M' (2024 geography in place of 2015) at line 2",
            ),
        ),
        (
            [["QP2024", "QP2015_1"], ["QN02503M", "QP25003"], ["QN2503M", "QP025001"]],
            ("2 problems", "'QP25003' (leading zeros lost) at line 2", "'QN2503M' (leading zeros lost)"),
        ),
        (
            [["QP2024", "Statut", "QP2015_1"], ["QN02503M", "", "QP025003"], ["", "Sortant", ""]],
            ("expected a code of a QPV; found none at line 3",),
        ),
        ([["QP2024,QP2015_1"], ["QN02503M,QP025003"]], ("expected columns separated by ';'",)),
        ([["QP2024", "QP2015_1"]], ("expected at least one row under the header",)),
        ([["QP2024", "QP2015_1", "qp2024"], ["a", "b", "c"]], ("each column once",)),
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


def test_nothing_is_none_and_never_nan(tmp_path: Path, settings: Settings) -> None:
    pairs, _ = read_correspondence(raw_file(SOURCE, write_csv(tmp_path / "l.csv", [HEADER, *ROWS])), settings)
    assert pairs["code_qp_2015"].iloc[-1] is None
