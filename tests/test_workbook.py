"""INSEE's workbooks: titles, labels, the row of codes, data; padded sheets, and cells in error."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from qpv_geo.errors import ContractError, QpvGeoError, SourceContentError
from qpv_geo.ingest.registry import load_registry
from qpv_geo.ingest.statistics import Statistics, read_statistics
from qpv_geo.settings import Settings
from tests.raw_files import raw_file, write_workbook, write_zip

Rows = list[list[str | float | None]]

TITLES: Rows = [["Estimations démographiques en 2020"], ["Données par quartier"], []]
LABELS: Rows = [["Code du quartier", "Nom du quartier", "Part des écrans", "Part des jardins"]]
CODES: Rows = [["codeGeo", "libGeo", "partEcran", "partJardin"]]
DATA: Rows = [
    ["QN02502M", "Orchamps-Palente", 1.4, "12.5"],
    ["QN02503M", "Planoise", "2,25", ""],
    [],
    ["QN02504M", "Montrapon", 2, "s"],
]
SHEET = "demographie.xlsx, feuille Données QPV"


def read(folder: Path, settings: Settings, rows: Sequence[Sequence[str | float | None]]) -> Statistics:
    sheets = {"Lisez-moi": [*TITLES, ["1. Calcul"]], "Données QPV": rows, "Documentation": [["2. Champ"]]}
    path = write_workbook(folder / "demographie.xlsx", sheets)
    return read_statistics(raw_file("insee_demographie", path), load_registry(), settings)


def cells(statistics: Statistics) -> pd.DataFrame:
    """Return value and status by code and the producer's column."""
    return statistics.rows.set_index(["code", "code_producteur"])[["valeur", "statut"]]


def test_titles_labels_codes_and_data(tmp_path: Path, settings: Settings) -> None:
    statistics = read(tmp_path, settings, TITLES + LABELS + CODES + DATA)
    found = cells(statistics)
    assert found.loc[("QN02502M", "partEcran")].tolist() == [1.4, "ok"]
    assert found.loc[("QN02502M", "partJardin")].tolist() == [12.5, "ok"]
    assert found.loc[("QN02503M", "partEcran"), "valeur"] == 2.25
    assert found.loc[("QN02504M", "partEcran"), "valeur"] == 2.0
    # A blank of these estimates says that they are not precise enough.
    assert found.loc[("QN02503M", "partJardin"), "statut"] == "imprecis"
    assert found.loc[("QN02504M", "partJardin"), "statut"] == "secret"
    assert len(found) == 6
    assert set(statistics.rows["fichier"]) == {SHEET}
    assert statistics.unknown == (("partEcran", "Part des écrans"), ("partJardin", "Part des jardins"))


def test_without_a_row_of_labels(tmp_path: Path, settings: Settings) -> None:
    statistics = read(tmp_path, settings, CODES + DATA)
    assert statistics.rows["code"].nunique() == 3
    assert statistics.unknown == (("partEcran", ""), ("partJardin", ""))


def test_empty_rows_and_columns_around_the_table(tmp_path: Path, settings: Settings) -> None:
    padded: Rows = [[], [], *([["", *row, "", ""] for row in TITLES + LABELS + CODES + DATA]), *([[""]] * 5)]
    assert cells(read(tmp_path, settings, padded)).equals(
        cells(read(tmp_path, settings, TITLES + LABELS + CODES + DATA))
    )


def test_a_sheet_that_is_a_dictionary_gives_labels(tmp_path: Path, settings: Settings) -> None:
    variables: Rows = [["Variables"], ["COD_VAR", "LIB_VAR"], ["partEcran", "Foyers qui ont un écran"]]
    path = write_workbook(
        tmp_path / "demographie.xlsx", {"Variables": variables, "Données QPV": CODES + DATA}
    )
    statistics = read_statistics(raw_file("insee_demographie", path), load_registry(), settings)
    assert dict(statistics.unknown)["partEcran"] == "Foyers qui ont un écran"
    assert set(statistics.rows["fichier"]) == {SHEET}


def test_sheets_of_several_kinds_of_zones(tmp_path: Path, settings: Settings) -> None:
    sheets: dict[str, Sequence[Sequence[str | float | None]]] = {
        "Données QPV": CODES + DATA,
        "Données QPV_EPCI": [*CODES, ["242500361_QPV24", "Grand Besançon", 3, 4]],
        "Données QPV_REG": [*CODES, ["27_QPV", "Bourgogne-Franche-Comté", 5, 6], ["00_QPV", "France", 7, 8]],
    }
    path = write_workbook(tmp_path / "demographie.xlsx", sheets)
    rows = read_statistics(raw_file("insee_demographie", path), load_registry(), settings).rows
    screens = rows[rows["code_producteur"] == "partEcran"].set_index(["zone", "code"])["valeur"]
    assert screens["ensemble_qpv_epci", "242500361"] == 3
    assert screens["ensemble_qpv_region", "27"] == 5
    assert screens["ensemble_qpv", "00"] == 7
    assert screens["qpv", "QN02502M"] == 1.4


def test_in_an_archive(tmp_path: Path, settings: Settings) -> None:
    path = write_workbook(tmp_path / "demographie.xlsx", {"Données QPV": CODES + DATA})
    archive = write_zip(tmp_path / "demographie.zip", {"2020/demographie.xlsx": path.read_bytes()})
    statistics = read_statistics(raw_file("insee_demographie", archive), load_registry(), settings)
    assert set(statistics.rows["fichier"]) == {f"2020/{SHEET}"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [[], [], *CODES, *DATA, ["QP025004", "Planoise", 1, 1]],
            "such as QN02503M; found 'QP025004' (2015 geography in place of 2024) at row 8",
        ),
        (TITLES + LABELS + CODES + DATA + DATA[:1], "'QN02502M' at row 6; 'QN02502M' at row 10"),
        (TITLES + LABELS + CODES, "at least one row under the row of codes"),
        (
            [["codeGeo", "partEcran", "PARTECRAN"], ["QN02503M", 1.0, 2.0]],
            "'partEcran' 2 times, as columns 2, 3",
        ),
    ],
)
def test_a_sheet_that_breaks_the_contract(
    rows: Rows, message: str, tmp_path: Path, settings: Settings
) -> None:
    with pytest.raises(ContractError) as error:
        read(tmp_path, settings, rows)
    assert message in str(error.value)
    assert "demographie.xlsx" in str(error.value)
    assert "sheet Données QPV" in str(error.value)


def test_text_among_numbers_leaves_its_column_out(tmp_path: Path, settings: Settings) -> None:
    statistics = read(tmp_path, settings, [*CODES, *DATA, ["QN02505M", "Clairs Soleil", "beaucoup", 3]])
    assert set(statistics.rows["code_producteur"]) == {"partJardin"}
    (left_out,) = (check for check in statistics.checks if check.code == "colonne_ecartee")
    assert "found 'beaucoup' at row 6" in left_out.message


def test_a_cell_in_error_is_not_a_blank(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(SourceContentError, match=r"cells in error .*: C2 of xl/worksheets/sheet2\.xml$"):
        read(tmp_path, settings, [*CODES, ["QN02503M", "Planoise", None, 1]])


def test_of_many_cells_in_error_five_are_named(tmp_path: Path, settings: Settings) -> None:
    rows = [["QN02503M", "Planoise", None, 1]] * 7
    with pytest.raises(SourceContentError, match=r"C2 of .*, C6 of xl/worksheets/sheet2\.xml and 2 more$"):
        read(tmp_path, settings, [*CODES, *rows])


def test_no_sheet_has_a_row_of_codes(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(
        SourceContentError, match=r"no sheet holds a row of codes.*'Lisez-moi', 'Données QPV'"
    ):
        read(tmp_path, settings, TITLES + LABELS + DATA)


@pytest.mark.parametrize("damage", ["cut", "empty", "no workbook"])
def test_what_is_not_a_workbook(damage: str, tmp_path: Path, settings: Settings) -> None:
    path = write_workbook(tmp_path / "demographie.xlsx", {"Données QPV": CODES + DATA})
    if damage == "no workbook":
        with zipfile.ZipFile(path) as book:
            kept = {name: book.read(name) for name in book.namelist() if name != "xl/workbook.xml"}
        write_zip(path, kept)
    else:
        path.write_bytes(path.read_bytes()[: 3000 if damage == "cut" else 0])
    with pytest.raises(QpvGeoError, match=r"demographie\.xlsx") as error:
        read_statistics(raw_file("insee_demographie", path), load_registry(), settings)
    assert isinstance(error.value, SourceContentError)


def test_an_old_workbook_is_refused_in_clear_words(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "demographie_2010_qpv.xls"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504))
    with pytest.raises(SourceContentError, match=r"an old \.xls workbook \(save it as XLSX\)"):
        read_statistics(raw_file("insee_demographie", path), load_registry(), settings)
    archive = write_zip(tmp_path / "demographie.zip", {path.name: path.read_bytes()})
    with pytest.raises(SourceContentError, match=r"found: demographie_2010_qpv\.xls\. Old \.xls workbooks"):
        read_statistics(raw_file("insee_demographie", archive), load_registry(), settings)


def test_the_old_workbook_of_the_mirror(mirror: Path, settings: Settings) -> None:
    path = mirror / "insee" / "2015" / "demographie_2010_qpv.xls"
    with pytest.raises(SourceContentError, match="save it as XLSX"):
        read_statistics(raw_file("insee_demographie", path), load_registry(), settings)


def test_archive_and_workbook_of_one_census_give_the_same_rows(mirror: Path, settings: Settings) -> None:
    name = "estimations-demographiques_2020_QPV2024"
    where = ["fichier", "fichier_intervalle"]
    key = ["zone", "code", "code_producteur"]
    read_both = [
        read_statistics(raw_file("insee_demographie", mirror / "insee" / file), load_registry(), settings)
        for file in (f"{name}_csv.zip", f"{name}.xlsx")
    ]
    of_archive, of_workbook = (found.rows.drop(columns=where).sort_values(key) for found in read_both)
    pd.testing.assert_frame_equal(of_archive.reset_index(drop=True), of_workbook.reset_index(drop=True))
    assert of_archive.groupby("zone")["code"].nunique().to_dict() == {
        "ensemble_qpv": 1,
        "ensemble_qpv_departement": 96,
        "ensemble_qpv_epci": 323,
        "ensemble_qpv_region": 13,
        "qpv": 1362,
    }
    assert of_archive[of_archive["zone"] == "qpv"]["code_producteur"].nunique() == 121
    assert [check.message for check in read_both[1].checks if check.code == "colonne_ecartee"] == []
