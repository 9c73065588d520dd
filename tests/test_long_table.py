"""INSEE's newer tables in long form: a row per zone and measure."""

from pathlib import Path

import pytest

from qpv_geo.audit.original_cells import RawTables, read_cells
from qpv_geo.errors import ContractError
from qpv_geo.ingest.registry import load_registry
from qpv_geo.ingest.statistic_tables import Scope
from qpv_geo.ingest.statistics import Statistics, read_statistics
from qpv_geo.settings import Settings
from tests.raw_files import raw_file, write_zip

Row = list[str]

# The layout of Filosofi 2023.
HEADER = [
    "FILOSOFI_MEASURE",
    "GEO",
    "GEO_OBJECT",
    "UNIT_MEASURE",
    "CONF_STATUS",
    "OBS_STATUS",
    "UNIT_MULT",
    "TIME_PERIOD",
    "OBS_VALUE",
]
MEMBER = "DS_FILOSOFI_CC_2023_data.csv"


def row(measure: str, code: str, kind: str, value: str, **changes: str) -> Row:
    cells = dict(zip(HEADER, [measure, code, kind, "PT", "F", "A", "0", "2023", value], strict=True))
    return list((cells | changes).values())


ROWS = [
    row("PR_MD60", "25056", "COM", "23.4"),
    row("MED_SL", "25056", "COM", "22150"),
    row("PR_MD60", "25014", "COM", "", CONF_STATUS="C"),
    row("MED_SL", "25014", "COM", "25870"),
    row("PR_MD60", "242500361", "EPCI", "17.1"),
    row("PR_MD60", "25", "DEP", "13.9"),
    row("PR_MD60", "27", "REG", "13.1"),
    row("PR_MD60", "FM", "FRANCE", "15.4"),
    # What is not asked for: other zones, another year.
    row("PR_MD60", "25201", "UU2020", "19"),
    row("PR_MD60", "0051", "ZE2020", "14"),
    row("PR_MD60", "25056", "COM", "22.9", TIME_PERIOD="2022"),
]


def archive(folder: Path, rows: list[Row], header: list[str] = HEADER) -> Path:
    text = "".join(";".join(f'"{cell}"' for cell in cells) + "\n" for cells in [header, *rows])
    metadata = "COD_VAR;LIB_VAR;COD_MOD;LIB_MOD\nFILOSOFI_MEASURE;Indicateur;PR_MD60;Taux de pauvreté\n"
    members = {MEMBER: text.encode(), "DS_FILOSOFI_CC_2023_metadata.csv": metadata.encode()}
    return write_zip(folder / "FILOSOFI_CC_csv.zip", members)


def read(folder: Path, settings: Settings, rows: list[Row], scope: Scope | None = None) -> Statistics:
    raw = raw_file("filosofi_communes_2023", archive(folder, rows))
    return read_statistics(raw, load_registry(), settings, scope)


def cells(statistics: Statistics) -> dict[tuple[str, str, str], tuple[float | None, str]]:
    rows = statistics.rows[["zone", "code", "code_producteur", "valeur", "statut"]].astype(object)
    rows = rows.where(rows.notna(), None)
    return {tuple(cell[1:4]): tuple(cell[4:]) for cell in rows.itertuples()}


EXPECTED = {
    ("commune", "25056", "PR_MD60"): (23.4, "ok"),
    ("commune", "25056", "MED_SL"): (22150, "ok"),
    ("commune", "25014", "PR_MD60"): (None, "secret"),
    ("commune", "25014", "MED_SL"): (25870, "ok"),
    ("epci", "242500361", "PR_MD60"): (17.1, "ok"),
    ("departement", "25", "PR_MD60"): (13.9, "ok"),
    ("region", "27", "PR_MD60"): (13.1, "ok"),
    ("france", "FM", "PR_MD60"): (15.4, "ok"),
}


def test_every_kind_of_zone(tmp_path: Path, settings: Settings) -> None:
    statistics = read(tmp_path, settings, ROWS)
    assert cells(statistics) == EXPECTED
    assert set(statistics.rows["millesime"]) == {"2023"}
    files = statistics.rows.set_index("zone")["fichier"]
    assert files["epci"] == f"{MEMBER}, EPCI"


def test_the_order_of_rows_and_columns_does_not_matter(tmp_path: Path, settings: Settings) -> None:
    shuffled = sorted(ROWS, key=lambda cells: cells[::-1])
    assert cells(read(tmp_path, settings, shuffled)) == EXPECTED
    path = archive(tmp_path, [cells[::-1] for cells in ROWS], [name.lower() for name in HEADER[::-1]])
    found = read_statistics(raw_file("filosofi_communes_2023", path), load_registry(), settings)
    assert cells(found) == EXPECTED


def test_only_the_communes_of_the_territory(tmp_path: Path, settings: Settings) -> None:
    statistics = read(tmp_path, settings, ROWS, Scope(frozenset({"25056"})))
    assert {code for zone, code, _ in cells(statistics) if zone == "commune"} == {"25056"}
    assert ("epci", "242500361", "PR_MD60") in cells(statistics)


def test_a_measure_that_a_zone_has_not(tmp_path: Path, settings: Settings) -> None:
    rows = [cells for cells in ROWS if cells[:2] != ["MED_SL", "25014"]]
    assert cells(read(tmp_path, settings, rows))["commune", "25014", "MED_SL"] == (None, "non_disponible")


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (row("PR_MD60", "25056", "COM", "23.5"), "each measure of a zone once; found PR_MD60 at line 13"),
        (
            row("PR_MD60", "25057", "COM", "2", UNIT_MULT="3"),
            "values as they are (UNIT_MULT 0); found 3 at line 13",
        ),
        (row("PR_MD60", "2507", "COM", "2"), "found '2507'"),
    ],
)
def test_a_row_that_breaks_the_contract(extra: Row, words: str, tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(ContractError) as error:
        read(tmp_path, settings, [*ROWS, extra])
    assert words in str(error.value)
    assert MEMBER in str(error.value)


def test_another_year(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(ContractError, match=r"rows of communes, EPCI, .* of 2023; found 2022"):
        read(tmp_path, settings, ROWS[-1:])


def test_without_a_column_of_measures(tmp_path: Path, settings: Settings) -> None:
    path = archive(tmp_path, [cells[1:] for cells in ROWS], HEADER[1:])
    with pytest.raises(ContractError, match="one column of measures, such as 'FILOSOFI_MEASURE'"):
        read_statistics(raw_file("filosofi_communes_2023", path), load_registry(), settings)


def test_the_raw_cells_are_found_again(tmp_path: Path, settings: Settings) -> None:
    raw = raw_file("filosofi_communes_2023", archive(tmp_path, ROWS))
    statistics = read_statistics(raw, load_registry(), settings)
    tables = RawTables(raw, settings)
    for found in statistics.rows.itertuples():
        again = read_cells(tables, found.fichier, {found.code})
        value, status, remark = again.meaning(found.code, found.code_producteur)
        assert (status, remark) == (found.statut, None)
        assert value == found.valeur or status == "secret"
