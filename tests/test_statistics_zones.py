"""INSEE tables of zones other than the QPV: members of the same archive, and the tables by IRIS."""

import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from qpv_geo.checks import Check
from qpv_geo.errors import ContractError
from qpv_geo.ingest.registry import load_registry
from qpv_geo.ingest.statistic_tables import Scope
from qpv_geo.ingest.statistics import Statistics, read_statistics
from qpv_geo.settings import Settings
from tests.raw_files import raw_file, write_csv, write_zip

Rows = list[list[str]]

DISPOSABLE, DECLARED = "indic-revenu-disponible-qp24-2021", "indic-revenu-declare-qp24-2021"


def archive(folder: Path, name: str, members: dict[str, Rows], encoding: str = "utf-8-sig") -> Path:
    files = {
        member: write_csv(folder / "member.csv", rows, encoding).read_bytes()
        for member, rows in members.items()
    }
    return write_zip(folder / name, files)


def read(
    source: str, path: Path, settings: Settings, communes: Sequence[str] | None = None, **changes: object
) -> Statistics:
    scope = None if communes is None else Scope(frozenset(communes))
    return read_statistics(raw_file(source, path, **changes), load_registry(), settings, scope)


def values(statistics: Statistics) -> dict[tuple[str, str, str], float]:
    rows = statistics.rows
    keys = zip(rows["zone"], rows["code"], rows["indicateur"], strict=True)
    return dict(zip(keys, rows["valeur"], strict=True))


def checks(statistics: Statistics, code: str) -> dict[str, Check]:
    return {check.subject: check for check in statistics.checks if check.code == code}


# Members of one archive


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_every_kind_of_zone_of_an_archive(encoding: str, tmp_path: Path, settings: Settings) -> None:
    zones = {"QP": "QN02503M", "COM": "25056", "EPCI": "242500361", "DEP": "25", "REG": "27", "ENSQP": "00"}
    members = {
        f"DEFM2024_{suffix}.csv": [["CODGEO", "LIBGEO", "ABCDE"], [code, "Besançon", f"1{n},5"]]
        for n, (suffix, code) in enumerate(zones.items())
    }
    members["meta_DEFM2024.csv"] = [
        ["COD_VAR", "LIB_VAR", "COD_MOD", "LIB_MOD"],
        ["ABCDE", "Demandeurs d'emploi des catégories A à E", "", ""],
    ]
    path = archive(tmp_path, "DEFM2024_QP24_csv.zip", members, encoding)
    statistics = read("insee_demandeurs_emploi", path, settings)
    (indicator,) = set(statistics.rows["indicateur"])
    names = ["qpv", "commune", "epci", "departement", "region", "ensemble_qpv"]
    assert values(statistics) == {
        (zone, code, indicator): 10.5 + n
        for n, (zone, code) in enumerate(zip(names, zones.values(), strict=True))
    }
    assert set(statistics.rows["geographie"]) == {date(2024, 1, 1)}
    assert set(statistics.rows["millesime"]) == {"2024"}
    by_zone = statistics.rows.set_index("zone")["fichier"]
    assert by_zone["epci"] == "DEFM2024_EPCI.csv"
    # What the tables lack is said once for each kind of zone.
    source = "insee_demandeurs_emploi"
    others = {f"{source} ({zone})" for zone in names[1:]}
    assert checks(statistics, "indicateurs_reconnus").keys() == {source, *others}


@pytest.mark.parametrize(
    ("suffix", "code", "problem"),
    [
        ("COM", "1053", "code of a commune, such as 25056; found '1053' (leading zeros lost) at line 2"),
        ("EPCI", "24250036", "SIREN of an EPCI, such as 242500361; found '24250036'"),
        ("DEP", "2", "code of a department, such as 25; found '2' (leading zeros lost)"),
        ("REG", "2", "code of a region, such as 27; found '2' (leading zeros lost)"),
    ],
)
def test_codes_of_every_kind_of_zone_are_held_to_their_pattern(
    suffix: str, code: str, problem: str, tmp_path: Path, settings: Settings
) -> None:
    members = {
        "DEFM2024_QP.csv": [["CODGEO", "ABCDE"], ["QN02503M", "1"]],
        f"DEFM2024_{suffix}.csv": [["CODGEO", "ABCDE"], [code, "1"]],
    }
    with pytest.raises(ContractError) as error:
        read("insee_demandeurs_emploi", archive(tmp_path, "D.zip", members), settings)
    assert problem in str(error.value)
    assert f"member DEFM2024_{suffix}.csv" in str(error.value)


def test_two_tables_of_the_same_zones(tmp_path: Path, settings: Settings) -> None:
    members = {
        f"{DISPOSABLE}_QP.csv": [["CODGEO", "DISP_TP60_A21", "DISP_MED_A21"], ["QN02503M", "55,0", "12000"]],
        f"{DECLARED}_QP.csv": [["CODGEO", "DEC_MED_A21"], ["QN02503M", "9000"]],
        f"{DISPOSABLE}_COM.csv": [["CODGEO", "TP6021"], ["25056", "20,0"]],
        f"{DECLARED}_COM.csv": [["CODGEO", "DEC_MED_A21"], ["25056", "20000"]],
    }
    statistics = read("insee_filosofi", archive(tmp_path, "f.zip", members), settings)
    assert values(statistics) == {
        ("qpv", "QN02503M", "taux_pauvrete_60"): 55.0,
        ("qpv", "QN02503M", "niveau_vie_median"): 12000.0,
        ("qpv", "QN02503M", "revenu_declare_median"): 9000.0,
        ("commune", "25056", "tp6021"): 20.0,
        ("commune", "25056", "revenu_declare_median"): 20000.0,
    }
    assert "revenu_declare_median" not in statistics.missing
    assert "niveau_vie_d1" in statistics.missing
    assert checks(statistics, "lecture_du_fichier").keys() == {
        "insee_filosofi",
        f"insee_filosofi, {DISPOSABLE}_QP.csv",
        f"insee_filosofi, {DECLARED}_QP.csv",
        f"insee_filosofi (commune), {DECLARED}_COM.csv",
        f"insee_filosofi (commune), {DISPOSABLE}_COM.csv",
    }
    keys = [(check.code, check.subject) for check in statistics.checks]
    assert len(keys) == len(set(keys))


def test_problems_name_the_member(tmp_path: Path, settings: Settings) -> None:
    members = {
        f"{DISPOSABLE}_QP.csv": [["CODGEO", "DISP_TP60_A21"], ["QN02503M", "155,0"]],
        f"{DISPOSABLE}_ENSQP.csv": [["CODGEO", "DISP_TP60_A21"], ["00", "42,6"]],
    }
    with pytest.raises(ContractError) as error:
        read("insee_filosofi", archive(tmp_path, "f.zip", members), settings)
    assert f"member {DISPOSABLE}_QP.csv" in str(error.value)
    assert "DISP_TP60_A21: expected at most 100 %; found '155,0' at line 2" in str(error.value)


def test_a_required_indicator_is_required_of_the_source_s_own_zones(
    tmp_path: Path, settings: Settings
) -> None:
    members = {
        f"{DISPOSABLE}_QP.csv": [["CODGEO", "DISP_TP60_A21"], ["QN02503M", "55,0"]],
        f"{DISPOSABLE}_ENSQP.csv": [["CODGEO", "DISP_TP60_A21", "DISP_MED_A21"], ["00", "142,6", "14220"]],
    }
    statistics = read("insee_filosofi", archive(tmp_path, "f.zip", members), settings)
    assert values(statistics) == {
        ("qpv", "QN02503M", "taux_pauvrete_60"): 55.0,
        ("ensemble_qpv", "00", "niveau_vie_median"): 14220.0,
    }
    ((subject, left_out),) = checks(statistics, "colonne_ecartee").items()
    assert subject == f"insee_filosofi (ensemble_qpv), {DISPOSABLE}_ENSQP.csv, DISP_TP60_A21"
    assert "DISP_TP60_A21: expected at most 100 %; found '142,6' at line 2" in left_out.message


def test_population_of_communes(tmp_path: Path, settings: Settings) -> None:
    rows = [["codeDepcom", "POP_COM", "popMuniQPV"], ["25056", "118 258", "25627"], ["01053", "41248", "800"]]
    path = write_csv(tmp_path / "pop_reference_communales_QPV24.csv", rows)
    statistics = read("insee_population_communes", path, settings)
    assert values(statistics) == {
        ("commune", "25056", "population_municipale"): 118258.0,
        ("commune", "01053", "population_municipale"): 41248.0,
        ("commune", "25056", "population_municipale_qpv"): 25627.0,
        ("commune", "01053", "population_municipale_qpv"): 800.0,
    }


# Tables by IRIS


def filosofi_iris(folder: Path, rows: Rows, column: str = "DISP_NOTE21") -> Path:
    header = ["IRIS", "DISP_TP6021", "DISP_MED21", column]
    return archive(
        folder, "BASE_TD_FILO_IRIS_2021_DISP_CSV.zip", {"BASE_TD_FILO_IRIS_2021_DISP.csv": [header, *rows]}
    )


def test_a_note_beside_a_value_is_a_caution(tmp_path: Path, settings: Settings) -> None:
    rows = [
        ["250560101", "20,5", "21000", "0"],
        ["250560102", "30,5", "19000", "1"],
        ["250560103", "ns", "nd", "so"],
        ["250560104", "10,5", "", "5"],
    ]
    statistics = read("iris_filosofi", filosofi_iris(tmp_path, rows), settings)
    found = statistics.rows.set_index(["code", "indicateur"])
    said = found["remarque"].astype(object).where(found["remarque"].notna(), None)
    assert found.loc[("250560101", "taux_pauvrete_60"), ["valeur", "statut"]].tolist() == [20.5, "ok"]
    assert said["250560101", "taux_pauvrete_60"] is None
    # What the note says stands beside the value, which stays.
    for indicator, value in (("taux_pauvrete_60", 30.5), ("niveau_vie_median", 19000)):
        assert found.loc[("250560102", indicator), ["valeur", "statut"]].tolist() == [value, "ok"]
        assert said["250560102", indicator].startswith("DISP_NOTE21 = 1 : ")
    # Neither a mark in the note nor a note beside a mark changes why there is no value.
    assert found.loc[("250560103", "taux_pauvrete_60"), "statut"] == "non_significatif"
    assert said["250560103", "taux_pauvrete_60"] is None
    assert found.loc[("250560104", "niveau_vie_median"), "statut"] == "non_disponible"
    assert said["250560104", "niveau_vie_median"].startswith("DISP_NOTE21 = 5 : ")
    assert set(statistics.rows["code_producteur"]) == {"DISP_TP6021", "DISP_MED21"}
    assert set(statistics.rows["zone"]) == {"iris"}
    assert set(statistics.rows["geographie"]) == {date(2022, 1, 1)}


def test_only_the_iris_of_the_communes(tmp_path: Path, settings: Settings) -> None:
    rows = [["250560101", "20,5", "21000", "0"], ["250570000", "5,0", "x", "0"], ["010010000", "", "s", "0"]]
    path = filosofi_iris(tmp_path, rows)
    statistics = read("iris_filosofi", path, settings, ["25056", "01001"])
    # What is wrong in the rows of others is not ours.
    assert set(statistics.rows["code"]) == {"250560101", "010010000"}
    assert not checks(statistics, "colonne_ecartee")
    left_out = checks(read("iris_filosofi", path, settings), "colonne_ecartee")
    (message,) = (check.message for check in left_out.values())
    assert re.search(r"DISP_MED21: expected a number.* found 'x' at line 3", message)
    # A commune without IRIS, as most are, has none in the file.
    assert read("iris_filosofi", path, settings, ["75056"]).rows.empty


def test_only_the_rows_of_the_communes(tmp_path: Path, settings: Settings) -> None:
    members = {
        "x_COM.csv": [["CODGEO", "TP6021"], ["25056", "23,0"], ["25057", "x"], ["39001", "9,0"]],
        "x_QP.csv": [["CODGEO", "DISP_TP60_A21"], ["QN02503M", "55,0"], ["QN00102M", "40,0"]],
        "x_EPCI.csv": [["CODGEO", "TP6021"], ["242500361", "17,0"]],
    }
    statistics = read("insee_filosofi", archive(tmp_path, "f.zip", members), settings, ["25056"])
    assert {(zone, code) for zone, code, _ in values(statistics)} == {
        ("commune", "25056"),
        ("qpv", "QN02503M"),
        ("qpv", "QN00102M"),
        ("epci", "242500361"),
    }


def test_line_numbers_are_those_of_the_whole_file(tmp_path: Path, settings: Settings) -> None:
    rows = [["010010000", "5,0", "1", "0"], ["010010001", "5,0", "1", "0"], ["250560101", "5,0", "x", "0"]]
    statistics = read("iris_filosofi", filosofi_iris(tmp_path, rows), settings, ["25056"])
    (left_out,) = checks(statistics, "colonne_ecartee").values()
    assert "found 'x' at line 4" in left_out.message


def test_the_census_keeps_what_the_registry_knows(tmp_path: Path, settings: Settings) -> None:
    header = ["IRIS", "COM", "TYP_IRIS", "LAB_IRIS", "P22_POP", "P22_POP9999", "C22_POP15P_STAT_GSEC11"]
    member = [header, ["250560101", "25056", "H", "1", "2500.123456", "80", "12"]]
    members = {
        "base-ic-evol-struct-pop-2022.CSV": member,
        "meta_base-ic-evol-struct-pop-2022.CSV": [["COD_VAR", "LIB_VAR", "COD_MOD", "LIB_MOD"]] * 2,
    }
    path = archive(tmp_path, "base-ic-evol-struct-pop-2022_csv.zip", members)
    statistics = read("iris_population", path, settings)
    assert values(statistics)["iris", "250560101", "population"] == 2500.123456
    assert set(statistics.rows["code_producteur"]) == {"P22_POP"}
    assert statistics.unknown == ()
    recognised = checks(statistics, "indicateurs_reconnus")["iris_population"]
    assert "2 colonnes hors registre non reprises" in recognised.message
    kept = read("iris_population", path, settings, keep_unknown=True)
    assert {code for code, _ in kept.unknown} == {"P22_POP9999", "C22_POP15P_STAT_GSEC11"}


def test_a_code_of_iris_of_another_shape(tmp_path: Path, settings: Settings) -> None:
    path = filosofi_iris(tmp_path, [["50560101", "20,5", "21000", "0"]])
    with pytest.raises(
        ContractError, match=r"IRIS: expected code of an IRIS.*'50560101' \(leading zeros lost\)"
    ):
        read("iris_filosofi", path, settings)


# What the stand-ins of the real files look like


@pytest.mark.parametrize(
    ("source", "codes", "expected"),
    [
        (
            "insee_demographie",
            ["indiceJeunesse", "partPopEt", "partPopImmi", "partMen1p", "partFamMono", "txEmp"],
            {
                "indice_jeunesse",
                "part_etrangers",
                "part_immigres",
                "part_menages_1_personne",
                "part_familles_monoparentales",
                "taux_emploi",
            },
        ),
        ("insee_caf", ["PERCOU", "A", "ARSAS"], None),
        ("insee_logement_social", ["nbLsPls"], None),
    ],
)
def test_codes_of_the_stand_ins_are_known(
    source: str, codes: list[str], expected: set[str] | None, tmp_path: Path, settings: Settings
) -> None:
    path = archive(tmp_path, "x.zip", {"x_QP.csv": [["CODGEO", *codes], ["QN02503M", *["10"] * len(codes)]]})
    statistics = read(source, path, settings)
    assert statistics.unknown == ()
    assert statistics.rows["indicateur"].is_unique
    if expected is not None:
        assert set(statistics.rows["indicateur"]) == expected
