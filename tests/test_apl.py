"""DREES's local potential accessibility: the workbooks, the table, and its second reading."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.analysis.apl import apl_table
from qpv_geo.audit.apl_workbook import read_workbook
from qpv_geo.audit.compare_tables import compare_apl
from qpv_geo.audit.mismatches import WrittenLayer
from qpv_geo.audit.originals import Originals
from qpv_geo.errors import ContractError, PublicationError, QpvGeoError, SourceContentError
from qpv_geo.ingest.apl import AplSheet, Profession, load_professions, read_apl
from qpv_geo.settings import Settings
from qpv_geo.sources.raw import RawFile
from qpv_geo.zones import region_of
from tests.apl_files import Cell, Row, apl_sheet, write_apl
from tests.raw_files import raw_file, write_workbook

DOCTORS = "medecins_generalistes"
SOURCE = f"drees_apl_{DOCTORS}"
ROWS: list[Row] = [
    ("25056", "Besançon", 5.1, 117_000.5),
    ("25245", "Fontain", "2,5", "1 000"),
    ("2A004", "Ajaccio", "nd", 500.0),
    ("01001", "L'Abergement", 3.0, 760.0),
]


def workbook(folder: Path, sheets: dict[str, Sequence[Sequence[Cell]]]) -> RawFile:
    return raw_file(SOURCE, write_workbook(folder / "apl.xlsx", sheets))


def sheets_of(raw: RawFile) -> dict[str, AplSheet]:
    sheets, _ = read_apl(raw, Settings())
    return {sheet.vintage: sheet for sheet in sheets}


@pytest.mark.parametrize("profession", load_professions(), ids=lambda profession: profession.id)
def test_every_year_of_a_profession_is_read(tmp_path: Path, profession: Profession) -> None:
    path = write_apl(tmp_path / "apl.xlsx", profession.id, {2023: ROWS[:2], 2024: ROWS})
    sheets, (check,) = read_apl(raw_file(profession.source, path), Settings())
    assert [sheet.vintage for sheet in sheets] == ["2023", "2024"]
    newest = sheets[1]
    assert newest.file == "apl.xlsx, feuille APL 2024"
    assert newest.column.startswith("APL aux ")
    assert "65 ans" not in newest.column
    assert newest.table["valeur"].to_dict() == pytest.approx(
        {"01001": 3.0, "25056": 5.1, "25245": 2.5, "2A004": math.nan}, nan_ok=True
    )
    assert newest.table["statut"].to_dict()["2A004"] == "non_disponible"
    assert newest.table["population"]["25056"] == 117_000.5
    assert newest.table["population"]["25245"] == 1000
    assert check.found == "2 années (2023 et 2024), 4 communes en dernier lieu"


def test_an_extract_says_the_same_and_is_made_again_when_it_is_damaged(
    tmp_path: Path, settings: Settings
) -> None:
    raw = raw_file(SOURCE, write_apl(tmp_path / "apl.xlsx", DOCTORS, {2023: ROWS[:2], 2024: ROWS}))
    whole, checks = read_apl(raw, settings)
    assert not list(settings.store_dir.rglob("*.csv"))
    for damage in (False, True):
        kept, again = read_apl(raw, settings, keep=True)
        assert again == checks
        assert [(one.vintage, one.file, one.column) for one in kept] == [
            (one.vintage, one.file, one.column) for one in whole
        ]
        for one, other in zip(kept, whole, strict=True):
            pd.testing.assert_frame_equal(one.table, other.table, check_exact=True, check_like=True)
        (path,) = settings.store_dir.rglob("*.csv")
        if damage:
            path.write_bytes(path.read_bytes().replace(b"5.1", b"6.1"))
    kept, _ = read_apl(raw, settings, keep=True)
    assert kept[-1].table["valeur"]["25056"] == 5.1
    copy = raw_file(SOURCE, raw.path.rename(tmp_path / "autre.xlsx"))
    assert read_apl(copy, settings)[0][0].file == "autre.xlsx, feuille APL 2023"


def moved(cells: list[list[Cell]]) -> list[list[Cell]]:
    """Move everything six rows down and one column to the right, and exchange two columns."""
    shifted: list[list[Cell]] = [["", *row] for row in cells]
    for row in shifted[8:]:
        if len(row) > 3:
            row[1], row[2] = row[2], row[1]
    return [["Un titre de plus"], *([[]] * 5), *shifted]


@pytest.mark.parametrize(
    "sheets",
    [
        {"APL 2025": apl_sheet(DOCTORS, 2025, ROWS)},
        {"Données 2025": apl_sheet(DOCTORS, 2025, ROWS)},
        {"APL_2025 (provisoire)": apl_sheet(DOCTORS, 2025, ROWS)},
        {"Feuil1": apl_sheet(DOCTORS, 2025, ROWS)},
        {"APL 2025": moved(apl_sheet(DOCTORS, 2025, ROWS))},
    ],
    ids=["new year", "renamed", "spelt otherwise", "year in the titles alone", "rows and columns moved"],
)
def test_a_sheet_is_recognised_by_what_it_holds(tmp_path: Path, sheets: dict[str, Any]) -> None:
    read = sheets_of(workbook(tmp_path, sheets))
    assert list(read) == ["2025"]
    assert read["2025"].table["valeur"]["25056"] == 5.1
    assert read["2025"].table["population"]["01001"] == 760


def changed(change: Callable[[list[list[Cell]]], object], name: str = "APL 2024") -> dict[str, Any]:
    cells = apl_sheet(DOCTORS, 2024, ROWS)
    change(cells)
    return {name: cells}


def put(row: int, column: int, cell: Cell) -> Callable[[list[list[Cell]]], object]:
    """Return a change of one cell, numbered from 1 as spreadsheets do."""

    def change(cells: list[list[Cell]]) -> None:
        cells[row - 1][column - 1] = cell

    return change


BAD: dict[str, tuple[dict[str, Any], type[QpvGeoError], list[str]]] = {
    "a column of codes renamed": (
        changed(put(9, 1, "Code géographique")),
        ContractError,
        ["sheet APL 2024", "'Code commune INSEE'", "Code géographique"],
    ),
    "a renamed sheet with a column renamed": (
        changed(put(9, 1, "Code géographique"), "Feuil1"),
        ContractError,
        ["sheet Feuil1", "'Code commune INSEE'"],
    ),
    "a column of values renamed": (
        changed(put(9, 3, "Accessibilité")),
        ContractError,
        ["sheet APL 2024", "expected column 'APL aux médecins généralistes'"],
    ),
    "another profession": (
        {"APL 2024": apl_sheet("infirmiers", 2024, ROWS)},
        ContractError,
        ["sheet APL 2024", "'APL aux médecins généralistes'", "APL aux infirmières"],
    ),
    "another unit": (
        changed(put(10, 3, "En ETP pour 10 000 habitants")),
        ContractError,
        ["sheet APL 2024", "units below the header (consultations", "at row 10"],
    ),
    "no units": (
        changed(lambda cells: cells.pop(9)),
        ContractError,
        ["units below the header", "found '5.1' at row 10"],
    ),
    "no year": (
        changed(put(3, 1, ""), "Données"),
        ContractError,
        ["sheet Données", "one year", "found none"],
    ),
    "the year of another sheet": (
        changed(put(3, 1, "Millésime : 2023")),
        ContractError,
        ["sheet APL 2024", "one year", "2023, 2024"],
    ),
    "two sheets of one year": (
        {"APL 2024": apl_sheet(DOCTORS, 2024, ROWS), "APL 2024 bis": apl_sheet(DOCTORS, 2024, ROWS)},
        ContractError,
        ["one sheet a year", "feuille APL 2024 bis", "all of 2024"],
    ),
    "a commune twice": (
        changed(put(12, 1, "25056")),
        ContractError,
        ["sheet APL 2024", "a code that appears once", "'25056' at row 11", "'25056' at row 12"],
    ),
    "a code that lost its zero": (
        changed(put(14, 1, 1001)),
        ContractError,
        ["'1001' (leading zeros lost) at row 14"],
    ),
    "a total": (changed(put(14, 1, "Total")), ContractError, ["'Total' at row 14"]),
    "text among numbers": (
        changed(put(12, 3, "environ 3")),
        ContractError,
        ["apl: expected a number", "'environ 3' at row 12"],
    ),
    "a negative number": (changed(put(12, 3, -1)), ContractError, ["'-1' at row 12"]),
    "a population of words": (changed(put(11, 7, "?")), ContractError, ["population: ", "'?' at row 11"]),
    "no commune": (changed(lambda cells: cells.__delitem__(slice(10, None))), ContractError, ["at least"]),
    "a cell in error": (changed(put(12, 3, None)), SourceContentError, ["cells in error", "C12"]),
    "a name that XML cannot hold": (
        changed(put(11, 2, "Besan\x07on")),
        ContractError,
        ["nom_com: expected text without control characters", "at row 11"],
    ),
    "documentation alone": (
        {"Lisez-moi": [["Code commune INSEE", "code officiel"]]},
        SourceContentError,
        ["no sheet has a header", "'Lisez-moi'"],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_refused_and_named(tmp_path: Path, name: str) -> None:
    sheets, error, words = BAD[name]
    with pytest.raises(error) as caught:
        read_apl(workbook(tmp_path, sheets), Settings())
    message = str(caught.value)
    assert [word for word in words if word not in message] == [], message


COMMUNES = pd.DataFrame({"insee_com": ["25056", "25245"], "nom_com": ["Besançon", "Fontain"]})


def sheet(rows: Sequence[tuple[str, float, float]], year: str = "2024") -> AplSheet:
    """Return one year of doctors: code, APL, population."""
    codes, values, populations = zip(*rows, strict=True)
    table = pd.DataFrame(
        {
            "nom_com": [f"Commune {code}" for code in codes],
            "valeur": values,
            "statut": ["non_disponible" if math.isnan(value) else "ok" for value in values],
            "population": populations,
        },
        index=pd.Index(codes, dtype=object, name="insee_com"),
    )
    return AplSheet(load_professions()[0], year, "apl.xlsx, feuille APL", "APL", table.sort_index())


def table_of(*sheets: AplSheet, communes: pd.DataFrame = COMMUNES) -> pd.DataFrame:
    table, _ = apl_table(sheets, communes, {"25": "Doubs"}, None)
    return table.set_index(["zone", "code", "millesime"])


def test_means_are_weighted_by_the_population_of_the_file() -> None:
    rows = [("25056", 6.0, 300.0), ("25245", 2.0, 100.0), ("25001", math.nan, 1e9), ("39001", 1.0, 400.0)]
    table = table_of(sheet(rows))
    of_department = table.loc["departement", "25", "2024"]
    assert (of_department["nom"], of_department["valeur"], of_department["population"]) == ("Doubs", 5, 400)
    of_france = table.loc["france", "FR", "2024"]
    assert (of_france["valeur"], of_france["population"]) == (3, 800)
    assert of_department["statut"] == of_france["statut"] == "estimation"
    assert table.loc["commune", "25056", "2024"]["statut"] == "ok"


def test_ranks_are_among_the_communes_of_the_region_in_the_newest_year() -> None:
    rows = [("25056", 3.0, 1.0), ("25245", 3.0, 1.0), ("39001", 4.0, 1.0), ("90010", math.nan, 1.0)]
    table = table_of(sheet(rows), sheet([*rows, ("01001", 9.0, 1.0)], "2025"))
    assert table.loc["commune", "25056", "2025"][["rang", "rang_sur"]].tolist() == [2, 3]
    assert table.loc["commune", "25245", "2025"][["rang", "rang_sur"]].tolist() == [2, 3]
    assert table["rang"].notna().sum() == 2


def test_a_commune_that_merged_is_named_and_has_no_value() -> None:
    rows = [("25056", 6.0, 300.0), ("25020", 2.0, 100.0), ("39001", 1.0, 400.0), ("39999", 1.0, 400.0)]
    table, (check,) = apl_table([sheet(rows)], COMMUNES, {}, {"25056", "25245", "39001"})
    lost = table[table["code"] == "25245"].iloc[0]
    assert lost["statut"] == "non_disponible"
    assert math.isnan(lost["valeur"])
    assert check.outcome == "avertissement"
    assert "25245" in check.message
    assert "25020 (Commune 25020)" in check.message
    # Nobody asked about the other department.
    assert "39999" not in check.message


def test_a_commune_of_arrondissements_is_their_mean() -> None:
    paris = pd.DataFrame({"insee_com": ["75056"], "nom_com": ["Paris"]})
    table, (check,) = apl_table([sheet([("75101", 6.0, 100.0), ("75102", 4.0, 300.0)])], paris, {}, {"75056"})
    row = table[table["zone"] == "commune"].iloc[0]
    assert (row["valeur"], row["statut"], row["population"]) == (4.5, "estimation", 400)
    assert check.outcome == "conforme"


def test_nothing_to_weigh_with_gives_no_mean() -> None:
    table = table_of(sheet([("25056", 6.0, math.nan), ("25245", 2.0, 0.0)]))
    for zone in (("departement", "25", "2024"), ("france", "FR", "2024")):
        assert table.loc[zone]["statut"] == "non_disponible"
        assert math.isnan(table.loc[zone]["valeur"])


FIGURES = st.lists(st.tuples(st.floats(0, 50), st.floats(1, 1e6)), min_size=2, max_size=12)


@given(FIGURES, st.floats(0.01, 100))
def test_a_mean_is_within_its_values_whatever_the_scale_of_the_population(
    figures: list[tuple[float, float]], scale: float
) -> None:
    codes = [f"25{number:03}" for number in range(len(figures))]
    rows = [(code, *figure) for code, figure in zip(codes, figures, strict=True)]
    scaled = [(code, value, population * scale) for code, value, population in rows]
    communes = pd.DataFrame({"insee_com": codes, "nom_com": codes})
    one, other = (
        table_of(sheet(some), communes=communes).loc["departement", "25", "2024"]["valeur"]
        for some in (rows, scaled)
    )
    values = [value for value, _ in figures]
    assert min(values) - 1e-9 <= one <= max(values) + 1e-9
    assert one == pytest.approx(other, rel=1e-9, abs=1e-12)


def test_each_department_is_in_one_region() -> None:
    departments = [f"{number:02}" for number in range(1, 96) if number != 20]
    departments += ["2A", "2B", "971", "972", "973", "974", "976"]
    regions = [region_of(department) for department in departments]
    assert None not in regions
    assert len(set(regions)) == 18
    assert region_of("25") == "27"
    assert region_of("987") is None


@pytest.fixture
def published(tmp_path: Path) -> tuple[WrittenLayer, Originals]:
    """The table of two communes, as if written, and the file that it comes from."""
    raw = raw_file(SOURCE, write_apl(tmp_path / "apl.xlsx", DOCTORS, {2023: ROWS, 2024: ROWS}))
    sheets, _ = read_apl(raw, Settings())
    communes = pd.DataFrame({"insee_com": ["25056", "25999", "2A004"], "nom_com": ["Besançon", "x", "y"]})
    table, _ = apl_table(sheets, communes, {}, None)
    return WrittenLayer(tmp_path / "apl.csv", "apl", table), Originals(
        {SOURCE: raw}, set(communes["insee_com"]), Settings()
    )


def test_the_second_reading_finds_the_same_cells(published: tuple[WrittenLayer, Originals]) -> None:
    layer, originals = published
    assert compare_apl({"apl": layer}, originals) == []
    assert compare_apl({}, originals) == []


@pytest.mark.parametrize(
    ("field", "cell", "published_as"),
    [("valeur", 5.2, 5.2), ("statut", "secret", "secret"), ("population", 117_000.0, 117_000.0)],
)
def test_the_second_reading_finds_a_cell_that_differs(
    published: tuple[WrittenLayer, Originals], field: str, cell: object, published_as: object
) -> None:
    layer, originals = published
    table = layer.attributes.copy()
    (row,) = np.flatnonzero((table["code"] == "25056") & (table["millesime"] == "2024"))
    table.loc[row, field] = cell
    (mismatch,) = compare_apl({"apl": replace(layer, attributes=table)}, originals)
    assert (mismatch.field, mismatch.published) == (field, published_as)
    assert "25056" in mismatch.row


def test_the_second_reading_finds_a_row_that_is_gone(published: tuple[WrittenLayer, Originals]) -> None:
    layer, originals = published
    table = layer.attributes
    gone = (table["code"] == "25056") & (table["millesime"] == "2024")
    (mismatch,) = compare_apl({"apl": replace(layer, attributes=table[~gone])}, originals)
    assert mismatch.published == "no row"
    assert mismatch.expected == 5.1


def test_what_the_second_reading_cannot_read_is_a_defect_of_ours(tmp_path: Path) -> None:
    path = write_workbook(
        tmp_path / "apl.xlsx", {"APL 2024": apl_sheet(DOCTORS, 2024, [("25056", "x", "?", 1)])}
    )
    with pytest.raises(PublicationError, match="cannot be read again to compare"):
        read_workbook(raw_file(SOURCE, path), Settings())


def test_the_second_reading_reads_a_workbook_that_another_program_saved(tmp_path: Path) -> None:
    """Texts in the cells, and columns in another order, as openpyxl's streams write them."""
    import openpyxl  # noqa: PLC0415 - of the tests alone

    book = openpyxl.Workbook(write_only=True)
    target = book.create_sheet("APL & 2024")
    for row in moved(apl_sheet(DOCTORS, 2024, ROWS)):
        target.append(row)
    path = tmp_path / "apl.xlsx"
    book.save(path)
    raw = raw_file(SOURCE, path)
    first = sheets_of(raw)["2024"]
    again = read_workbook(raw, Settings())[first.file]
    assert again.keys() == set(first.table.index)
    assert again["25056"] == (5.1, "ok", 117_000.5)
    assert again["2A004"][1:] == ("non_disponible", 500)
