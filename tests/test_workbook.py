"""INSEE's older workbooks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from raw_files import raw_file, write_workbook, write_zip

from qpv_geo.errors import ContractError, SourceContentError
from qpv_geo.ingest.registry import load_registry
from qpv_geo.ingest.statistics import Statistics, read_statistics
from qpv_geo.settings import Settings

Rows = list[list[str | float | None]]

TITLES: Rows = [["Estimations démographiques"], ["Données par quartier"], []]
CODES: Rows = [["NOM_QP", "qp", "listcom", "reg", "ind_jeune", "tx_tot_et"]]
LABELS: Rows = [
    ["Nom du quartier", "Code du quartier", "Code commune", "", "Indice de jeunesse", "Part des étrangers"]
]
DATA: Rows = [
    ["Grette", "QP025002", "Besançon", "43", 1.4, "12.5"],
    ["Planoise", "QP025004", "Besançon", "43", "2,25", ""],
    [],
    ["Montrapon", "QP025005", "Besançon", "43", 2.0, "s"],
]


def read(
    folder: Path, settings: Settings, rows: Sequence[Sequence[str | float | None]], **changes: object
) -> Statistics:
    sheets = {"Regions": TITLES, "Quartiers": rows, "Documentation": [["1. Calcul"]]}
    path = write_workbook(folder / "demographie_2010_qpv.xls", sheets)
    return read_statistics(raw_file("insee_demographie_2010", path, **changes), load_registry(), settings)


def test_titles_codes_labels_and_data(tmp_path: Path, settings: Settings) -> None:
    statistics = read(tmp_path, settings, TITLES + CODES + LABELS + DATA)
    values = statistics.rows
    assert set(values["zone"]) == {"qpv"}
    assert set(values["millesime"]) == {"2010"}
    assert set(values["fichier"]) == {"demographie_2010_qpv.xls"}
    assert set(values["geographie"].astype(str)) == {"2015-01-01"}
    found = values.set_index(["code", "indicateur"])[["valeur", "statut"]]
    assert found.loc[("QP025002", "ind_jeune"), "valeur"] == 1.4
    assert found.loc[("QP025002", "tx_tot_et"), "valeur"] == 12.5
    assert found.loc[("QP025004", "ind_jeune"), "valeur"] == 2.25
    assert found.loc[("QP025004", "tx_tot_et"), "statut"] == "non_disponible"
    assert found.loc[("QP025005", "tx_tot_et"), "statut"] == "secret"
    assert len(found) == 6
    assert statistics.unknown == (("ind_jeune", "Indice de jeunesse"), ("tx_tot_et", "Part des étrangers"))


def test_without_a_row_of_labels_no_row_is_lost(tmp_path: Path, settings: Settings) -> None:
    statistics = read(tmp_path, settings, CODES + DATA)
    assert statistics.rows["code"].nunique() == 3
    assert statistics.unknown == (("ind_jeune", ""), ("tx_tot_et", ""))


def test_in_an_archive(tmp_path: Path, settings: Settings) -> None:
    path = write_workbook(tmp_path / "w.xls", {"Quartiers": CODES + LABELS + DATA})
    archive = write_zip(tmp_path / "demographie.zip", {"demographie_2010_qpv.xls": path.read_bytes()})
    statistics = read_statistics(raw_file("insee_demographie_2010", archive), load_registry(), settings)
    assert statistics.rows["code"].nunique() == 3


def test_the_genuine_workbook(mirror: Path, settings: Settings) -> None:
    path = mirror / "insee" / "2015" / "demographie_2010_qpv.xls"
    statistics = read_statistics(raw_file("insee_demographie_2010", path), load_registry(), settings)
    values = statistics.rows
    assert values["code"].nunique() == 1292
    assert values["indicateur"].nunique() == 60
    assert not {"reg", "niv", "listcom", "nom_qp", "qp"} & set(values["indicateur"])
    planoise = values[values["code"] == "QP025004"].set_index("indicateur")
    assert planoise.loc["ind_jeune", "statut"] == "ok"
    assert 0 < planoise.loc["ind_jeune", "valeur"] < 10
    labels = dict(statistics.unknown)
    assert labels["tx_tot_fam_mono"] == "Part des familles monoparentales"
    first = values[values["code"] == "QP001002"].set_index("indicateur")
    assert first.loc["h_ind_jeune", "valeur"] == 1.4
    assert np.isnan(first.loc["f_ind_jeune", "valeur"])
    assert first.loc["f_ind_jeune", "statut"] == "non_disponible"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            TITLES + CODES + LABELS + [["X", "QN02503M", "", "", 1.0, 1.0]],
            "such as QP025003; found 'QN02503M' (2024 geography in place of 2015) at row 6",
        ),
        (
            TITLES
            + CODES
            + LABELS
            + [["X", "QP025004", "", "", 1.0, 1.0], ["X", "QP025003", "", "", "beaucoup", 1.0]],
            "or one of the marks s, nd, ns, or nothing; found 'beaucoup' at row 7",
        ),
        (
            [*CODES, *LABELS, ["X", "QP025004", "", "", None, 1.0], *DATA[:1]],
            "or nothing; found '#N/A' at row 3",
        ),
        (TITLES + CODES + LABELS + DATA + DATA[:1], "'QP025002' at row 6; 'QP025002' at row 10"),
        ([*TITLES, ["NOM", "code"], *DATA], "a row of codes that holds 'qp'; found none in 8 rows"),
        (TITLES + CODES + LABELS, "at least one row under the labels"),
        (
            [["qp", "ind_jeune", "IND_JEUNE"], ["Code", "x", "y"], ["QP025004", 1.0, 2.0]],
            "'ind_jeune' 2 times, as columns 2, 3",
        ),
    ],
)
def test_a_sheet_that_breaks_the_contract(
    rows: Rows, message: str, tmp_path: Path, settings: Settings
) -> None:
    with pytest.raises(ContractError) as error:
        read(tmp_path, settings, rows)
    assert message in str(error.value)
    assert "demographie_2010_qpv.xls" in str(error.value)
    assert "sheet Quartiers" in str(error.value)


def test_a_sheet_that_is_not_there(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(ContractError, match="a sheet named 'QP'; found sheets 'Regions', 'Quartiers'"):
        read(tmp_path, settings, CODES + DATA, member="QP")


@pytest.mark.parametrize(
    "data", [b"CODGEO;x\nQP025003;1\n", b"PK\x03\x04 not a workbook", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"]
)
def test_what_is_not_a_workbook(data: bytes, tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "demographie_2010_qpv.xls"
    path.write_bytes(data)
    with pytest.raises(SourceContentError, match=r"demographie_2010_qpv\.xls"):
        read_statistics(raw_file("insee_demographie_2010", path), load_registry(), settings)
