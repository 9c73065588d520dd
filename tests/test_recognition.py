"""Which zones a table is about: told by its key column and its codes, whatever its producer calls it."""

import csv
import io
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.errors import ContractError
from qpv_geo.ingest.contracts import Problems
from qpv_geo.ingest.recognition import KEYS, ZoneTable, find_key, recognise
from qpv_geo.ingest.registry import load_registry
from qpv_geo.ingest.statistic_tables import Scope
from qpv_geo.ingest.statistics import read_statistics
from qpv_geo.ingest.text_table import TextTable
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import load_catalogue
from tests.raw_files import raw_file, write_csv, write_zip

SOURCE = load_catalogue()["insee_filosofi"]
BESANCON = frozenset({"242500361"})
NOBODY: frozenset[str] = frozenset()


def table(columns: dict[str, list[str]], name: str = "data.csv") -> TextTable:
    frame = pd.DataFrame(columns, dtype="str")
    return TextTable(name, name, frame, np.array([f"line {n + 2}" for n in range(len(frame))], dtype=object))


def recognised(
    columns: dict[str, list[str]], name: str = "data.csv", official: frozenset[str] = NOBODY
) -> list[ZoneTable]:
    return recognise(table(columns, name), official, Problems(name, SOURCE))


def zones(key: str, codes: list[str], name: str = "data.csv", official: frozenset[str] = NOBODY) -> list[str]:
    measures = [str(n) for n in range(len(codes))]
    return [found.zone for found in recognised({key: codes, "MESURE": measures}, name, official)]


# What each form of code is

FORMS = {
    "qpv": ["QN02503M", "QN02A01M", "QN97651C"],
    "commune": ["25056", "2A004", "97209"],
    "epci": ["242500361", "200042190"],
    "iris": ["250560101", "2A0040101"],
    "departement": ["25", "2A", "974"],
    "region": ["27", "11"],
}
UNMISTAKABLE = ("qpv", "commune")


@pytest.mark.parametrize("spelling", KEYS)
def test_every_spelling_of_the_key_is_known_whatever_its_case(spelling: str) -> None:
    admitted = KEYS[spelling] or {"qpv"}
    for zone in admitted:
        for key in (spelling, spelling.upper(), spelling.title()):
            assert zones(key, FORMS[zone]) == [zone]


@pytest.mark.parametrize("zone", UNMISTAKABLE)
def test_codes_that_nothing_else_looks_like(zone: str) -> None:
    assert zones("CODGEO", FORMS[zone]) == [zone]


@pytest.mark.parametrize("code", ["1", "F", "FR", "FM", "METRO"])
def test_france(code: str) -> None:
    assert zones("CODGEO", [code]) == ["france"]


@pytest.mark.parametrize(
    ("codes", "expected", "bare"),
    [
        (["242500361_QPV24", "200042190_QPV24"], "ensemble_qpv_epci", ["242500361", "200042190"]),
        (["25_QPV24", "2A_QPV24"], "ensemble_qpv_departement", ["25", "2A"]),
        (["39_qpv24", "70_qpv24"], "ensemble_qpv_departement", ["39", "70"]),
    ],
)
def test_the_qpv_of_a_zone_taken_together_are_not_the_zone(
    codes: list[str], expected: str, bare: list[str]
) -> None:
    (found,) = recognised({"codeGeo": codes, "partPopEt": ["1"] * len(codes)})
    assert found.zone == expected
    assert found.codes.tolist() == bare


def test_two_characters_taken_together_are_of_regions_by_the_name_alone() -> None:
    for name, expected in (("x_QPV_REG.csv", "region"), ("x_QPV_DEP.csv", "departement")):
        assert zones("codeGeo", ["27_QPV", "11_QPV"], name) == [f"ensemble_qpv_{expected}"]
    with pytest.raises(ContractError, match=r"which may be of departement or region, in 'x_QPV\.csv'"):
        zones("codeGeo", ["27_QPV", "11_QPV"], "x_QPV.csv")


@pytest.mark.parametrize("code", ["00", "00_QPV", "00_QPV24"])
def test_all_qpv_of_france(code: str) -> None:
    (found,) = recognised({"codeGeo": [code], "partPopEt": ["23,1"]})
    assert (found.zone, found.codes.tolist()) == ("ensemble_qpv", ["00"])


def test_all_qpv_of_france_below_the_regions() -> None:
    codes = ["27_QPV", "11_QPV", "00_QPV"]
    regions, france = recognised({"codeGeo": codes, "partPopReg": ["5,7", "13", "8,1"]}, "QPV_REG.csv")
    assert (regions.zone, regions.codes.tolist()) == ("ensemble_qpv_region", ["27", "11"])
    assert (france.zone, france.codes.tolist()) == ("ensemble_qpv", ["00"])
    assert france.text.cells["partPopReg"].tolist() == ["8,1"]
    assert france.text.where.tolist() == ["line 4"]


@pytest.mark.parametrize(
    ("codes", "odd"),
    [
        (["242500361_QPV24", "200042190_QPV24", "200000172"], "'200000172' at line 4"),
        (["242500361", "200042190", "200000172_QPV24"], "'200000172_QPV24' at line 4"),
    ],
)
def test_a_suffix_that_is_missing_or_too_much(codes: list[str], odd: str) -> None:
    with pytest.raises(ContractError, match=rf"all end with '_QPV24' or '_QPV', or none; found {odd}"):
        zones("codeGeo", codes, "QPV_EPCI.csv")


# Where two kinds share a form: the key's name, then the official list, then the table's name


@pytest.mark.parametrize(
    ("key", "codes", "name", "official", "expected"),
    [
        # The key's name outweighs the list and the name.
        ("IRIS", ["250560101", "242500361"], "base_EPCI.csv", BESANCON, "iris"),
        ("codeEPCI", ["242500361"], "base_IRIS.csv", NOBODY, "epci"),
        ("DEP", ["27", "11"], "base_REG.csv", NOBODY, "departement"),
        ("codeReg", ["27", "11"], "base_DEP.csv", NOBODY, "region"),
        # The list outweighs the name.
        ("CODGEO", ["242500361"], "base_IRIS.csv", BESANCON, "epci"),
        ("CODGEO", ["250560101"], "base_EPCI.csv", BESANCON, "iris"),
        ("CODGEO", ["25", "39", "27"], "base_REG.csv", NOBODY, "departement"),
        # The name is the last resort.
        ("CODGEO", ["250560101"], "BASE_TD_FILO_IRIS_2021_DISP.csv", NOBODY, "iris"),
        ("CODGEO", ["242500361"], "indic-revenu_EPCI.csv", NOBODY, "epci"),
        ("CODGEO", ["27", "11"], "FILO2019_DISP_REG.csv", NOBODY, "region"),
        ("CODGEO", ["27", "11"], "données départements.csv", NOBODY, "departement"),
        ("CODGEO", ["27", "11"], "w.xlsx, feuille Regions", NOBODY, "region"),
    ],
)
def test_overlapping_forms(
    key: str, codes: list[str], name: str, official: frozenset[str], expected: str
) -> None:
    assert zones(key, codes, name, official) == [expected]


@pytest.mark.parametrize(
    ("codes", "either"),
    [(["250560101"], "epci or iris"), (["27", "11"], "departement or region")],
)
def test_a_zone_that_stays_undecided_is_an_error_that_names_the_table(codes: list[str], either: str) -> None:
    with pytest.raises(ContractError) as error:
        zones("CODGEO", codes, "data_2021.csv")
    assert f"which may be of {either}, in 'data_2021.csv'" in str(error.value)


def test_codes_that_are_all_damaged_are_left_to_the_contract() -> None:
    # The name says what they should be, else the source.
    assert zones("CODGEO", ["1053", "1004"], "base_COM.csv", BESANCON) == ["commune"]
    assert zones("CODGEO", ["24250036"], "base_EPCI.csv", BESANCON) == ["epci"]
    assert zones("CODGEO", ["QN2503M", "x"], "data.csv", BESANCON) == ["qpv"]
    with pytest.raises(ContractError, match="which may be of epci or departement or region, in"):
        zones("codeGeo", ["X1_QPV24"])


def test_no_key() -> None:
    with pytest.raises(ContractError) as error:
        zones("CODE_ZONE", ["25056"])
    assert "expected a key column such as 'codeGeo', 'codeQPV'" in str(error.value)
    assert "(the file has 'CODE_ZONE', 'MESURE')" in str(error.value)
    assert "[sources.insee_filosofi]\n      key = [" in str(error.value)


def test_a_spelling_that_the_catalogue_adds() -> None:
    completed = SOURCE.model_copy(update={"key": ("code_zone",)})
    found = recognise(table({"Code_Zone": ["25056"], "X": ["1"]}), NOBODY, Problems("x", completed))
    assert [zone.zone for zone in found] == ["commune"]


# Which of several keys


def test_the_key_is_the_one_whose_codes_are_unique() -> None:
    cells = table({"CODGEO": ["25056", "25056"], "IRIS": ["250560101", "250560102"], "COM": ["25056"] * 2})
    assert find_key(cells, SOURCE) == "IRIS"
    cells = table({"REG": ["27", "27"], "DEP": ["25", "39"], "MED": ["1", "1"]})
    assert find_key(cells, SOURCE) == "DEP"


def test_of_several_unique_keys_the_finer_zone_is_meant() -> None:
    assert find_key(table({"COM": ["25056"], "IRIS": ["250560101"]}), SOURCE) == "IRIS"
    assert (
        find_key(table({"EPCI": ["242500361"], "DEPCOM": ["25056"], "codeQPV": ["QN02503M"]}), SOURCE)
        == "codeQPV"
    )


def test_codes_given_twice_are_found_by_the_contract(tmp_path: Path, settings: Settings) -> None:
    path = write_csv(tmp_path / "x.csv", [["IRIS", "COM", "X"], *([["250560101", "25056", "1"]] * 2)])
    with pytest.raises(ContractError, match="IRIS: expected a code that appears once in the file"):
        read_statistics(raw_file("iris_filosofi", path), load_registry(), settings)


# Geographies


def test_qpv_of_2015_are_refused_in_a_source_of_2024(tmp_path: Path, settings: Settings) -> None:
    rows = [["CODGEO", "DISP_TP60_A21"], ["QP025003", "50,0"], ["QP025004", "55,0"]]
    path = write_csv(tmp_path / "data_QP.csv", rows)
    with pytest.raises(ContractError, match=r"'QP025003' \(2015 geography in place of 2024\) at line 2"):
        read_statistics(raw_file("insee_filosofi", path), load_registry(), settings)
    old = raw_file("insee_filosofi", path, geography=pd.Timestamp("2015-01-01").date())
    assert read_statistics(old, load_registry(), settings).rows["code"].tolist() == ["QP025003", "QP025004"]


# Intervals


def test_a_table_of_intervals() -> None:
    cells = {"codeGeo": ["QN02503M", "QN09305I"], "a": ["[24,0/28,4]", ""], "b": ["", "[Inf/Inf]"]}
    (found,) = recognised(cells)
    assert found.intervals
    (found,) = recognised({"codeGeo": ["QN02503M"], "a": ["24,0"], "libGeo": ["Planoise [sud]"]})
    assert not found.intervals


# What does not matter

MEMBERS = {
    "QP": [["CODGEO", "LIBGEO", "DISP_TP60_A21", "DISP_MED_A21", "NOTE"],
           ["QN02502M", "Orchamps-Palente", "50,0", "14000", "0"],
           ["QN02503M", "Planoise", "s", "12000,5", "2"],
           ["QN02504M", "Montrapon", "45,0", "", "3"]],
    "COM": [["CODGEO", "TP6021", "MED21"], ["25056", "23,0", "20680"], ["25429", "s", "nd"]],
    "EPCI": [["CODGEO", "TP6021"], ["242500361", "17,0"], ["200042190", "ns"]],
    "ENSQP": [["CODGEO", "DISP_TP60_A21"], ["00", "42,6"]],
    "meta": [["COD_VAR", "LIB_VAR", "COD_MOD", "LIB_MOD"], ["NOTE", "Note de lecture", "2", "Secret"],
             ["NOTE", "Note de lecture", "3", "Effectif trop petit"]],
}  # fmt: skip


def dressed(rows: list[list[str]], draw: st.DrawFn) -> bytes:
    """Write a table in another dress: order of columns and rows, case, quotes, line ends, byte order mark."""
    header, *body = rows
    columns = draw(st.permutations(range(len(header))))
    body = draw(st.permutations(body))
    case = draw(st.sampled_from([str.upper, str.lower, str.swapcase, str]))
    text = io.StringIO()
    writer = csv.writer(
        text,
        delimiter=";",
        lineterminator=draw(st.sampled_from(["\n", "\r\n"])),
        quoting=draw(st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])),
    )
    writer.writerow([case(header[n]) for n in columns])
    writer.writerows([row[n] for n in columns] for row in body)
    return text.getvalue().encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "cp1252"])))


@st.composite
def archives(draw: st.DrawFn) -> dict[str, bytes]:
    names = draw(st.permutations(list(MEMBERS)))
    # Only what nothing but the name tells keeps its name.
    return {f"{n}_{name if name == 'EPCI' else 'x'}.csv": dressed(MEMBERS[name], draw)
            for n, name in enumerate(names)}  # fmt: skip


def rows_of(members: dict[str, bytes]) -> set[tuple[object, ...]]:
    with tempfile.TemporaryDirectory() as folder:
        raw = raw_file("insee_filosofi", write_zip(Path(folder) / "f.zip", members))
        found = read_statistics(raw, load_registry(), Settings(data_dir=Path(folder)), Scope()).rows
    columns = ["zone", "code", "indicateur", "statut", "valeur", "remarque"]
    named = found.assign(remarque=found["remarque"].str.upper(), valeur=found["valeur"].fillna(-1))
    return set(named[columns].astype(object).where(named[columns].notna(), None).itertuples(index=False))


@given(archives())
def test_recognition_does_not_depend_on_the_dress(members: dict[str, bytes]) -> None:
    plain = {f"x_{name}.csv": ("\r\n".join(map(";".join, rows))).encode() for name, rows in MEMBERS.items()}
    found = rows_of(members)
    assert found == rows_of(plain)
    assert ("qpv", "QN02503M", "taux_pauvrete_60", "secret", -1.0, "NOTE = 2 : SECRET") in found
    assert ("commune", "25056", "tp6021", "ok", 23.0, None) in found
    assert ("ensemble_qpv", "00", "taux_pauvrete_60", "ok", 42.6, None) in found
    assert len(found) == 6 + 4 + 2 + 1
