"""What each column of a table of statistics is: a known measure, an unknown one, a note, or a description."""

import numpy as np
import pandas as pd
import pytest

from qpv_geo.ingest.contracts import Problems
from qpv_geo.ingest.measures import Columns, sort_columns
from qpv_geo.ingest.recognition import recognise
from qpv_geo.ingest.registry import load_registry
from qpv_geo.ingest.text_table import TextTable
from qpv_geo.sources.catalogue import load_catalogue
from tests.raw_files import shipped


def columns(
    source_id: str, header: list[str], code: str = "QN02503M", *, listed: tuple[str, ...] = ()
) -> Columns:
    """Sort the columns of a table of one row, whose key is the first."""
    cells = pd.DataFrame([[code, *["1"] * (len(header) - 1)]], columns=header, dtype="str")
    source = load_catalogue()[source_id]
    text = TextTable("x.csv", "x.csv", cells, np.array(["line 2"], dtype=object))
    (table,) = recognise(text, frozenset(), Problems("x.csv", source))
    return sort_columns(table, load_registry(), source, listed)


def header_of(name: str) -> list[str]:
    return shipped(name).read_text("utf-8-sig").splitlines()[0].split(";")


def test_the_columns_of_the_population() -> None:
    found = columns("insee_population", header_of("insee/pop_QPV24.csv"))
    assert {name: indicator.id for name, indicator in found.known.items()} == {
        "popMuniQPV": "population_municipale"
    }
    assert found.unknown == ()


@pytest.mark.parametrize("table", ["QPV", "QPV_EPCI", "QPV_REG"])
def test_every_column_of_the_census_is_known(table: str) -> None:
    folder = "insee/estimations-demographiques_2020_QPV2024_csv"
    header = header_of(f"{folder}/data_estimations_demographiques_2020_{table}.csv")
    code = {"QPV": "QN02503M", "QPV_EPCI": "242500361_QPV24", "QPV_REG": "00_QPV"}[table]
    found = columns("insee_demographie_2020", header, code)
    assert found.unknown == ()
    assert set(found.known) == set(header) - {"codeGeo", "libGeo"}
    assert len({indicator.id for indicator in found.known.values()}) == len(found.known)


def test_every_column_of_the_incomes_of_communes_is_known() -> None:
    header = header_of("insee/base-cc-filosofi-2021-communes_csv/cc_filosofi_2021_COM.csv")
    found = columns("filosofi_communes", header, "25056")
    assert found.unknown == ()
    assert set(found.known) == set(header) - {"CODGEO"}


@pytest.mark.parametrize(
    "name",
    [
        *("libQPV", "LIBGEO", "LIB_COM", "LIBIRIS", "NOM", "nom_com", "LAB_IRIS", "TYP_IRIS", "MODIF_IRIS"),
        *("GRD_QUART", "listeDep", "listeDepcom", "listeLibDepcom", "listeEPCI2022", "codeReg", "codeUU2020"),
        *("UU2020", "ZE2020", "AAV2020", "TAAV2017", "BV2022", "COM", "DEP", "REG", "IRIS", "EPCI"),
        *("NOTE", "Note", "NOTE_RP", "NOTE_CNAF", "DISP_NOTE21", "DEC_NOTE"),
    ],
)
def test_what_describes_a_zone_measures_nothing(name: str) -> None:
    found = columns("insee_caf", ["CODGEO", "A", name])
    assert found.unknown == ()
    assert set(found.known) == {"A"}


@pytest.mark.parametrize("name", ["LOYER", "NB_LISTES", "COMMERCES", "UUX", "NOTEBOOKS", "TX_REG"])
def test_what_only_resembles_a_description_measures(name: str) -> None:
    assert columns("insee_caf", ["CODGEO", "A", name]).unknown == (name,)


def test_a_variable_whose_values_the_dictionary_lists_classifies() -> None:
    header = ["CODGEO", "A", "DISP_INCERT21"]
    assert columns("insee_caf", header).unknown == ("DISP_INCERT21",)
    assert columns("insee_caf", header, listed=("DISP_INCERT21",)).unknown == ()


def test_the_dictionary_does_not_outweigh_the_registry() -> None:
    assert set(columns("insee_caf", ["CODGEO", "A"], listed=("A",)).known) == {"A"}


def test_case_does_not_matter() -> None:
    found = columns("insee_caf", ["codgeo", "arsas", "Percou"])
    assert [indicator.id for indicator in found.known.values()]
    assert set(found.known) == {"arsas", "Percou"}


def test_one_spelling_in_each_kind_of_table() -> None:
    """In a table by commune the same column is the population of its QPV, not its own."""
    found = columns("insee_population_communes", ["codeDepcom", "POP_COM", "popMuniQPV"], "25056")
    assert {name: indicator.id for name, indicator in found.known.items()} == {
        "POP_COM": "population_municipale",
        "popMuniQPV": "population_municipale_qpv",
    }


def test_notes_and_their_blocks() -> None:
    header = ["CODGEO", "X", "NOTE_RP", "A", "PERCOU", "NOTE_CNAF", "Y"]
    assert columns("insee_caf", header).notes == {"X": "NOTE_RP", "A": "NOTE_CNAF", "PERCOU": "NOTE_CNAF"}
    single = columns("insee_caf", ["CODGEO", "X", "NOTE", "A"])
    assert single.notes == {"X": "NOTE", "A": "NOTE"}
