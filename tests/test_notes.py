"""Notes of the producers: the reason of the blanks of their block of columns, or a caution beside a value."""

from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from qpv_geo.ingest.registry import load_registry
from qpv_geo.ingest.statistics import Statistics, read_statistics
from qpv_geo.settings import Settings
from tests.raw_files import raw_file, write_csv, write_zip

Rows = list[list[str]]
Cell = tuple[float | None, str, str | None]

UNKNOWN = "motif que le dictionnaire du producteur ne donne pas"
DICTIONARY: Rows = [
    ["COD_VAR", "LIB_VAR", "COD_MOD", "LIB_MOD"],
    ["NOTE_CNAF", "Note de la CNAF", "0", "Données publiées"],
    ["NOTE_CNAF", "Note de la CNAF", "3", "Secret statistique"],
    ["NOTE_CNAF", "Note de la CNAF", "5", "Moins de 100 allocataires"],
    ["NOTE_RP", "Note du recensement", "3", "Moins de 200 ménages"],
]


def read(folder: Path, settings: Settings, rows: Rows, dictionary: Rows | None = DICTIONARY) -> Statistics:
    members = {"data.csv": rows} | ({"meta.csv": dictionary} if dictionary else {})
    files = {
        name: write_csv(folder / "member.csv", table, "utf-8").read_bytes() for name, table in members.items()
    }
    raw = raw_file("insee_caf", write_zip(folder / "d.zip", files))
    return read_statistics(raw, load_registry(), settings)


def cells(statistics: Statistics) -> dict[tuple[str, str], Cell]:
    """Return value, status and remark by code and column."""
    rows = statistics.rows[["code", "code_producteur", "valeur", "statut", "remarque"]].astype(object)
    rows = rows.where(rows.notna(), None)
    return {(row.code, row.code_producteur): tuple(row[3:]) for row in rows.itertuples()}


def test_each_of_several_notes_closes_its_block_of_columns(tmp_path: Path, settings: Settings) -> None:
    header = ["CODGEO", "TX_F", "TX_ET", "NOTE_RP", "A", "PERCOU", "NOTE_CNAF", "AUTRE"]
    found = cells(
        read(
            tmp_path,
            settings,
            [
                header,
                ["QN02502M", "52", "12", "0", "", "", "3", ""],
                ["QN02503M", "", "", "3", "8", "", "5", "7"],
            ],
        )
    )
    by_secrecy = "NOTE_CNAF = 3 : Secret statistique"
    too_few = "NOTE_CNAF = 5 : Moins de 100 allocataires"
    assert found == {
        ("QN02502M", "TX_F"): (52, "ok", None),
        ("QN02502M", "TX_ET"): (12, "ok", None),
        ("QN02503M", "TX_F"): (None, "non_disponible", "NOTE_RP = 3 : Moins de 200 ménages"),
        ("QN02503M", "TX_ET"): (None, "non_disponible", "NOTE_RP = 3 : Moins de 200 ménages"),
        # The same code of the other note is of another meaning.
        ("QN02502M", "A"): (None, "secret", by_secrecy),
        ("QN02502M", "PERCOU"): (None, "secret", by_secrecy),
        # A value stays, with the caution beside it.
        ("QN02503M", "A"): (8, "ok", too_few),
        ("QN02503M", "PERCOU"): (None, "non_disponible", too_few),
        # After the last note there is no block.
        ("QN02502M", "AUTRE"): (None, "non_disponible", None),
        ("QN02503M", "AUTRE"): (7, "ok", None),
    }


@pytest.mark.parametrize("place", [1, 2, 3])
def test_a_single_note_speaks_of_the_whole_table(place: int, tmp_path: Path, settings: Settings) -> None:
    rows = [["CODGEO", "A", "PERCOU"], ["QN02502M", "", "3"], ["QN02503M", "4", "5"]]
    for row, cell in zip(rows, ["Note", "6", "0"], strict=True):
        row.insert(place, cell)
    found = cells(read(tmp_path, settings, rows, None))
    assert found == {
        ("QN02502M", "A"): (None, "non_disponible", f"Note = 6 : {UNKNOWN}"),
        ("QN02502M", "PERCOU"): (3, "ok", f"Note = 6 : {UNKNOWN}"),
        ("QN02503M", "A"): (4, "ok", None),
        ("QN02503M", "PERCOU"): (5, "ok", None),
    }


@pytest.mark.parametrize("name", ["NOTE", "Note", "NOTE_CNAM", "DISP_NOTE21", "DEC_NOTE", "NOTE_ASP_E"])
def test_a_note_is_no_indicator(name: str, tmp_path: Path, settings: Settings) -> None:
    statistics = read(tmp_path, settings, [["CODGEO", "A", name], ["QN02502M", "5", "2"]], None)
    assert set(statistics.rows["code_producteur"]) == {"A"}
    assert statistics.unknown == ()


def test_what_only_looks_like_a_note_is_read(tmp_path: Path, settings: Settings) -> None:
    rows = [["CODGEO", "A", "NOTEBOOKS", "NB_NOTES"], ["QN02502M", "5", "2", "3"]]
    statistics = read(tmp_path, settings, rows, None)
    assert {code for code, _ in statistics.unknown} == {"NOTEBOOKS", "NB_NOTES"}


@pytest.mark.parametrize("mark", ["", "0", "so", "SO", "nd", "ns", "s"])
def test_a_note_that_says_nothing(mark: str, tmp_path: Path, settings: Settings) -> None:
    rows = [["CODGEO", "A", "NOTE"], ["QN02502M", "", mark], ["QN02503M", "5", mark]]
    found = cells(read(tmp_path, settings, rows, None))
    assert found["QN02502M", "A"] == (None, "non_disponible", None)
    assert found["QN02503M", "A"] == (5, "ok", None)


def test_a_dictionary_that_names_the_note_otherwise(tmp_path: Path, settings: Settings) -> None:
    """INSEE's archive of disposable income explains ``DISP_NOTE21`` under the name of declared income."""
    dictionary = [DICTIONARY[0], ["DEC_NOTE21", "Note de précaution", "1", "Forte évolution"],
                  ["DISP_INCERT21", "Incertitude", "1", "À l'unité"]]  # fmt: skip
    rows = [["CODGEO", "A", "DISP_NOTE21"], ["QN02502M", "5", "1"]]
    assert cells(read(tmp_path, settings, rows, dictionary))["QN02502M", "A"] == (
        5,
        "ok",
        "DISP_NOTE21 = 1 : Forte évolution",
    )


def test_of_several_notes_of_other_names_none_is_guessed(tmp_path: Path, settings: Settings) -> None:
    rows = [["CODGEO", "A", "DISP_NOTE21"], ["QN02502M", "", "3"]]
    assert cells(read(tmp_path, settings, rows))["QN02502M", "A"] == (
        None,
        "non_disponible",
        f"DISP_NOTE21 = 3 : {UNKNOWN}",
    )


def test_a_note_does_not_change_why_a_marked_cell_is_empty(tmp_path: Path, settings: Settings) -> None:
    rows = [["CODGEO", "A", "PERCOU", "NOTE_CNAF"], ["QN02502M", "ns", "so", "3"]]
    found = cells(read(tmp_path, settings, rows))
    assert found["QN02502M", "A"][:2] == (None, "non_significatif")
    assert found["QN02502M", "PERCOU"][:2] == (None, "sans_objet")


@pytest.mark.parametrize(
    ("file", "column", "counts"),
    [
        (
            "data_DEMO_2021_V1_QP.csv",
            "A",
            {
                ("ok", None): 1370,
                ("non_disponible", "NOTE_CNAF = 5"): 27,
                ("non_disponible", "NOTE_CNAF = 3"): 3,
            },
        ),
        (
            "data_DEMO_2021_V1_QP.csv",
            "TX_F",
            {("ok", None): 1349, ("non_disponible", "NOTE_RP = 6"): 49, ("non_disponible", None): 2},
        ),
        (
            "data_CAF_2020_IRIS.csv",
            "A",
            {
                ("ok", None): 12365,
                ("non_disponible", "NOTE = 3"): 694,
                ("non_disponible", "NOTE = 5"): 324,
                ("non_disponible", None): 26,
                ("non_disponible", "NOTE = 2"): 21,
                ("non_disponible", "NOTE = 4"): 14,
            },
        ),
    ],
)
def test_notes_of_genuine_tables(
    file: str, column: str, counts: dict[tuple[str, str | None], int], formats: Path, settings: Settings
) -> None:
    raw = raw_file("insee_caf", formats / file, geography=date(2015, 1, 1))
    found = cells(read_statistics(raw, load_registry(), settings))
    said = Counter(
        (status, remark.partition(" : ")[0] if remark else None)
        for (_, name), (_, status, remark) in found.items()
        if name == column
    )
    assert said == counts
