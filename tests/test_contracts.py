"""Problems of a table: all collected, told once, in the file's own terms."""

import re

import numpy as np
import pandas as pd
import pandera.config
import pandera.pandas as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.errors import ContractError
from qpv_geo.ingest.codes import (
    COMMUNE,
    COMMUNES,
    DEPARTEMENT,
    EPCI,
    FRANCE,
    IRIS,
    QPV_2015,
    QPV_2024,
    REGION,
    CodeKind,
    explain,
)
from qpv_geo.ingest.contracts import Problems, code_column, find_columns, refuse_doubled, shown, validate
from qpv_geo.sources.catalogue import load_catalogue
from qpv_geo.zones import department_of

SOURCE = load_catalogue()["insee_population"]


def told(problems: Problems) -> str:
    with pytest.raises(ContractError) as error:
        problems.raise_if_any()
    return str(error.value)


def test_nothing_wrong_raises_nothing() -> None:
    problems = Problems("f.csv", SOURCE)
    problems.add_rows("a number", [], [])
    problems.advise("look again")
    assert not problems
    problems.raise_if_any()


def test_everything_is_told_once_with_what_to_do() -> None:
    problems = Problems("f.csv", SOURCE)
    problems.add("a number", "'x'", column="popMuniQPV", where="line 3")
    problems.add("a code", "'y'", column="CODGEO", where="line 4")
    problems.add("a number", "'z'", column="popMuniQPV", where="line 9")
    problems.add("6 QPV", "5")
    assert told(problems) == (
        "f.csv: 4 problems, nothing of it is used:\n"
        "  - popMuniQPV: expected a number; found 'x' at line 3; 'z' at line 9\n"
        "  - CODGEO: expected a code; found 'y' at line 4\n"
        "  - expected 6 QPV; found 5\n"
        "  What to do: compare the file with https://www.insee.fr/fr/statistiques/8210600; if the publisher "
        "changed it for good, change entry [insee_population] of qpv_geo/sources/catalogue.toml, if not, "
        "tell the publisher"
    )


def test_advice_takes_the_place_of_the_general_one() -> None:
    problems = Problems("f.csv", SOURCE)
    problems.add("6 QPV", "5")
    problems.advise("count again")
    problems.advise("count again")
    assert told(problems) == (
        "f.csv: 1 problem, nothing of it is used:\n  - expected 6 QPV; found 5\n  What to do: count again"
    )


@given(st.integers(1, 3000))
def test_long_lists_are_cut_with_their_count(count: int) -> None:
    problems = Problems("f.csv", SOURCE)
    problems.add_rows("a number", [f"line {n}" for n in range(count)], ["'x'"] * count)
    message = told(problems)
    assert f"{count} problem" in message
    assert message.count("at line") == min(count, 5)
    assert (f"and {count - 5} more" in message) == (count > 5)


def test_a_schema_tells_every_row_of_every_column() -> None:
    frame = pd.DataFrame(
        {
            "code": ["QN02503M", "QN02503M", "QN2504M", None],
            "nom": ["Planoise", None, "Montrapon", "x"],
            "valeur": [1.0, -2.0, np.nan, 130.0],
        }
    )
    published = frame.assign(valeur=["1", "-2", "s", "130,0"])
    schema = pa.DataFrameSchema(
        {
            "code": code_column(QPV_2024, key=True),
            "nom": pa.Column(),
            "valeur": pa.Column(
                checks=[pa.Check.ge(0, error="at least 0"), pa.Check.le(100, error="at most 100")],
                nullable=True,
            ),
        }
    )
    problems = Problems("f.csv", SOURCE)
    where = np.array([f"line {n}" for n in range(2, 6)], dtype=object)
    validate(frame, schema, problems, where, as_published=published)
    once = "expected a code that appears once in the file"
    assert {line.removeprefix("  - ") for line in told(problems).splitlines()[1:-1]} == {
        "code: expected a value; found nothing at line 5",
        f"code: {once}; found 'QN02503M' at line 2; 'QN02503M' at line 3",
        "code: expected code of a QPV 2024, such as QN02503M; found 'QN2504M' (leading zeros lost) at line 4",
        "nom: expected a value; found nothing at line 3",
        "valeur: expected at least 0; found '-2' at line 3",
        "valeur: expected at most 100; found '130,0' at line 5",
    }


def test_a_sound_table_passes() -> None:
    frame = pd.DataFrame({"code": ["25056", None]}, dtype=object)
    problems = Problems("f.csv", SOURCE)
    where = np.array(["line 2", "line 3"], dtype=object)
    validate(frame, pa.DataFrameSchema({"code": code_column(COMMUNE, nullable=True)}), problems, where)
    assert not problems


def test_a_contract_cannot_be_switched_off() -> None:
    frame = pd.DataFrame({"code": ["Planoise"]})
    problems = Problems("f.csv", SOURCE)
    with pandera.config.config_context(validation_enabled=False):
        validate(
            frame,
            pa.DataFrameSchema({"code": code_column(QPV_2024)}),
            problems,
            np.array(["line 2"], dtype=object),
        )
    assert "'Planoise' at line 2" in told(problems)


def test_columns_are_found_by_their_first_accepted_spelling() -> None:
    problems = Problems("f.csv", SOURCE)
    wanted = {"code": ("CODGEO", "QP"), "nom": ("LIB",)}
    assert find_columns(["QP", "CODGEO", "LIB"], wanted, problems) == {"code": "CODGEO", "nom": "LIB"}
    assert not problems


def test_missing_columns_are_told_with_what_resembles_them() -> None:
    problems = Problems("f.csv", SOURCE)
    available = ["LIBQP", *(f"X{n}" for n in range(50))]
    found = find_columns(available, {"nom": ("lib_qp",), "code": ("CODGEO", "QP")}, problems)
    assert found == {}
    message = told(problems)
    assert (
        "expected column 'lib_qp'; found no such column, perhaps renamed to 'LIBQP' (the file has 'LIBQP'"
        in message
    )
    assert "and 11 more)" in message
    assert "expected column 'CODGEO' or 'QP'; found no such column" in message
    assert message.count("the file has") == 1


def test_a_column_is_found_whatever_its_case() -> None:
    problems = Problems("f.csv", SOURCE)
    wanted = {"code": ("code_qp", "QP"), "nom": ("lib_qp",)}
    assert find_columns(["Code_QP", "LIB_QP"], wanted, problems) == {"code": "Code_QP", "nom": "LIB_QP"}
    # The declared spelling comes first.
    assert find_columns(["CODE_QP", "QP", "lib_qp", "LIB_QP"], wanted, problems) == {
        "code": "QP",
        "nom": "lib_qp",
    }
    assert not problems
    find_columns(["CODE_QP", "Code_QP", "lib_qp"], wanted, problems)
    assert "code: expected each column once; found 'CODE_QP' and 'Code_QP'" in told(problems)


def test_doubled_columns() -> None:
    problems = Problems("f.csv", SOURCE)
    refuse_doubled(["A", "B", "a", "C"], problems)
    assert "expected each column once; found 'A' 2 times, as columns 1, 3" in told(problems)


def test_values_are_quoted_short() -> None:
    assert shown("x" * 200) == "'" + "x" * 58 + "…"
    assert shown(None) == "nothing"
    assert shown(float("nan")) == "nothing"
    assert shown(12.5) == "12.5"
    assert shown("l'été\n") == '"l\'été\\n"'


KINDS = [COMMUNE, DEPARTEMENT, EPCI, FRANCE, IRIS, QPV_2015, QPV_2024, REGION]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_example_of_a_kind_is_one(kind: CodeKind) -> None:
    assert re.fullmatch(kind.full_pattern, kind.example)
    assert explain(kind.example, kind) == ""


@pytest.mark.parametrize(
    ("kind", "value", "valid"),
    [
        (QPV_2024, "QN02A01M", True),
        (QPV_2024, "QN97651C", True),
        (QPV_2024, "QN09104M", True),
        (QPV_2024, "QN0250M", False),
        (QPV_2024, "QN02503", False),
        (QPV_2024, "QN02C01M", False),
        (QPV_2015, "QP02A001", True),
        (COMMUNE, "2A004", True),
        (COMMUNE, "97209", True),
        (COMMUNE, "2C004", False),
        (DEPARTEMENT, "2B", True),
        (DEPARTEMENT, "987", True),
        (DEPARTEMENT, "025", False),
        (DEPARTEMENT, "20", False),
        (DEPARTEMENT, "96", False),
        (REGION, "27", True),
        (REGION, "25", False),
        (REGION, "99", False),
        (FRANCE, "METRO", True),
        (FRANCE, "00", False),
        (COMMUNES, "02571, 02691", True),
        (COMMUNES, "02571,02691,02692", True),
        (COMMUNES, "02571, 2691", False),
        (COMMUNES, "02571;02691", False),
    ],
)
def test_codes(kind: CodeKind, value: str, valid: bool) -> None:  # noqa: FBT001 - a column of the table above
    assert (re.fullmatch(kind.full_pattern, value) is not None) == valid


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        (QPV_2024, "QN2503M", "leading zeros lost"),
        (QPV_2024, "QN102M", "leading zeros lost"),
        (QPV_2024, "qn02503m", "lower case in place of upper case"),
        (QPV_2024, "QP025003", "2015 geography in place of 2024"),
        (QPV_2015, "QN02503M", "2024 geography in place of 2015"),
        (QPV_2015, "QP25003", "leading zeros lost"),
        (QPV_2024, "Planoise", ""),
        (QPV_2024, "", ""),
        (COMMUNE, "1053", "leading zeros lost"),
        (COMMUNE, "2a004", "lower case in place of upper case"),
        (COMMUNE, "250560", ""),
        (COMMUNES, "02571, 2691", "leading zeros lost"),
        (DEPARTEMENT, "1", "leading zeros lost"),
        (EPCI, "24250036", "leading zeros lost"),
        (IRIS, "10530101", "leading zeros lost"),
        (REGION, "4", "leading zeros lost"),
    ],
)
def test_why_a_code_is_wrong(kind: CodeKind, value: str, reason: str) -> None:
    assert explain(value, kind) == reason


@given(st.from_regex(QPV_2024.pattern, fullmatch=True))
def test_the_department_of_any_code_is_one_or_unknown(code: str) -> None:
    department = department_of(code)
    assert 2 <= len(department) <= 3
    assert code[2:5] in {department, f"0{department}"}
