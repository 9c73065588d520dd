"""INSEE tables to value and status."""

import math
import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.checks import Check
from qpv_geo.errors import ContractError
from qpv_geo.ingest.cell_text import decode
from qpv_geo.ingest.registry import Indicator, Registry, load_registry
from qpv_geo.ingest.statistics import Statistics, read_statistics
from qpv_geo.ingest.text_table import MARKS, parse_values
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Catalogue
from tests.raw_files import raw_file, shipped, write_csv, write_zip

COLUMNS = [
    "zone",
    "code",
    "indicateur",
    "millesime",
    "valeur",
    "statut",
    "borne_basse",
    "borne_haute",
    "remarque",
    "source",
    "fichier",
    "fichier_intervalle",
    "code_producteur",
    "geographie",
]
QP = "indic-revenu-disponible-qp24-2021_QP.csv"
DATA = [
    ["CODGEO", "DISP_TP60_A21", "DISP_AUTRE_A21", "DISP_NOTE_A21"],
    ["QN02502M", "50,0", "15230", ""],
    ["QN02503M", "s", "ns", ""],
    ["QN02504M", "", "nd", "1"],
]
DICTIONARY = [
    ["COD_VAR", "LIB_VAR", "COD_MOD", "LIB_MOD"],
    ["DISP_TP60_A21", "Taux de pauvreté au seuil de 60 %", "", ""],
    ["DISP_AUTRE_A21", "Autre mesure (€)", "", ""],
    ["DISP_NOTE_A21", "Note de lecture", "1", "Valeurs masquées"],
    ["CODGEO", "Code du quartier prioritaire", "QN02502M", "Orchamps-Palente"],
]


def csv_bytes(folder: Path, rows: list[list[str]], encoding: str = "utf-8-sig") -> bytes:
    return write_csv(folder / "x.csv", rows, encoding).read_bytes()


def filosofi(folder: Path, settings: Settings, **members: list[list[str]]) -> Statistics:
    """Read an archive with the given members (``QP``, ``COM``, …) and dictionary (``meta``)."""
    names = {"meta": "meta_indic-revenu-disponible-qp24-2021_QP.csv"}
    files = {
        names.get(name, f"indic-revenu-disponible-qp24-2021_{name}.csv"): csv_bytes(folder, rows)
        for name, rows in members.items()
    }
    archive = write_zip(folder / "revenus_pauvrete_2021_qp24_v2_csv.zip", files)
    return read_statistics(raw_file("insee_filosofi", archive), load_registry(), settings)


def check_of(statistics: Statistics, code: str, subject: str | None = None) -> Check:
    """Return the one check of this code, on the main table unless another is named."""
    subject = subject or statistics.rows["source"].iloc[0]
    (found,) = [check for check in statistics.checks if (check.code, check.subject) == (code, subject)]
    return found


def only(*indicators: Indicator) -> Registry:
    return Registry(indicators=indicators)


def population(**changes: object) -> Indicator:
    return load_registry().of_source("insee_population")[0].model_copy(update=changes)


def test_population_of_the_six(settings: Settings) -> None:
    raw = raw_file("insee_population", shipped("insee/pop_QPV24.csv"))
    statistics = read_statistics(raw, load_registry(), settings)
    values = statistics.rows
    assert list(values.columns) == COLUMNS
    assert values["valeur"].sum() == 25627
    planoise = values.astype(object).where(values.notna(), None).set_index("code").loc["QN02503M"]
    assert planoise.to_dict() == {
        "zone": "qpv",
        "indicateur": "population_municipale",
        "millesime": "2020",
        "valeur": 15603.0,
        "statut": "ok",
        "borne_basse": None,
        "borne_haute": None,
        "remarque": None,
        "source": "insee_population",
        "fichier": "pop_QPV24.csv",
        "fichier_intervalle": None,
        "code_producteur": "popMuniQPV",
        "geographie": date(2024, 1, 1),
    }
    assert statistics.unknown == ()
    assert "population_municipale" not in statistics.missing
    assert check_of(statistics, "lecture_du_fichier", "insee_population, pop_QPV24.csv").outcome == "conforme"


def test_values_statuses_and_columns_that_the_registry_does_not_know(
    tmp_path: Path, settings: Settings
) -> None:
    statistics = filosofi(tmp_path, settings, QP=DATA, meta=DICTIONARY)
    found = statistics.rows.set_index(["code", "indicateur"])[["valeur", "statut"]]
    assert found.loc[("QN02502M", "taux_pauvrete_60")].tolist() == [50.0, "ok"]
    assert found.loc[("QN02502M", "disp_autre_a21")].tolist() == [15230.0, "ok"]
    absent = {
        ("QN02503M", "taux_pauvrete_60"): "secret",
        ("QN02503M", "disp_autre_a21"): "non_significatif",
        ("QN02504M", "taux_pauvrete_60"): "non_disponible",
        ("QN02504M", "disp_autre_a21"): "non_disponible",
    }
    for key, status in absent.items():
        assert np.isnan(found.loc[key, "valeur"])
        assert found.loc[key, "statut"] == status
    # A variable whose values the dictionary lists classifies, it does not measure.
    assert len(found) == 6
    assert statistics.unknown == (("DISP_AUTRE_A21", "Autre mesure (€)"),)
    assert set(statistics.rows["fichier"]) == {"indic-revenu-disponible-qp24-2021_QP.csv"}
    recognised = check_of(statistics, "indicateurs_reconnus")
    assert recognised.outcome == "avertissement"
    assert "olonnes hors registre, reprises sous leur code : DISP_AUTRE_A21" in recognised.message
    assert (
        check_of(statistics, "valeurs_absentes", f"insee_filosofi, {QP}").message
        == "Valeurs absentes : non disponible (2), non significatif (1), secret statistique (1)."
    )


def test_zones_of_comparison(tmp_path: Path, settings: Settings) -> None:
    statistics = filosofi(
        tmp_path,
        settings,
        QP=DATA,
        COM=[["CODGEO", "LIBGEO", "TP6021"], ["25056", "Besançon", "20,0"], ["01053", "Bourg", "s"]],
        ENSQP=[["CODGEO", "DISP_TP60_A21"], ["00", "42,6"]],
        meta=DICTIONARY,
    )
    rates = statistics.rows[statistics.rows["indicateur"] == "taux_pauvrete_60"].set_index(["zone", "code"])
    # The communes have a source of their own: what stands here is kept, but is not that indicator.
    communes = statistics.rows[statistics.rows["zone"] == "commune"].set_index("code")
    assert set(communes["indicateur"]) == {"tp6021"}
    assert communes.loc["25056", "valeur"] == 20.0
    assert communes.loc["01053", "statut"] == "secret"
    assert rates.loc[("ensemble_qpv", "00"), "valeur"] == 42.6
    assert rates.loc[("qpv", "QN02502M"), "valeur"] == 50.0
    subjects = [check.subject for check in statistics.checks if check.code == "indicateurs_reconnus"]
    assert sorted(subjects) == ["insee_filosofi", "insee_filosofi (commune)", "insee_filosofi (ensemble_qpv)"]
    keys = [(check.code, check.subject) for check in statistics.checks]
    assert len(keys) == len(set(keys))


def test_codes_of_each_kind_of_zone_are_checked(tmp_path: Path, settings: Settings) -> None:
    communes = [["CODGEO", "TP6021"], ["1053", "20,0"]]
    with pytest.raises(ContractError, match=r"(?s)_COM\.csv.*'1053' \(leading zeros lost\) at line 2"):
        filosofi(tmp_path, settings, QP=DATA, COM=communes, meta=DICTIONARY)


def test_an_archive_without_its_dictionary(tmp_path: Path, settings: Settings) -> None:
    statistics = filosofi(tmp_path, settings, QP=DATA)
    assert statistics.unknown == (("DISP_AUTRE_A21", ""),)
    reading = check_of(statistics, "lecture_du_fichier")
    assert reading.outcome == "avertissement"
    assert "ucun dictionnaire ne dit ce que mesurent DISP_AUTRE_A21" in reading.message


@pytest.mark.parametrize(
    ("dictionary", "message"),
    [
        ([["CODE", "LIBELLE"], ["DISP_AUTRE_A21", "Autre"]], "expected a key column such as"),
        ([["COD_VAR", "COD_VAR"], ["DISP_AUTRE_A21", "Autre"]], "'COD_VAR' 2 times"),
    ],
)
def test_a_table_that_is_neither_data_nor_a_dictionary(
    dictionary: list[list[str]], message: str, tmp_path: Path, settings: Settings
) -> None:
    with pytest.raises(ContractError, match=rf"(?s)member meta_indic.*{message}"):
        filosofi(tmp_path, settings, QP=DATA, meta=dictionary)


def test_case_of_columns_does_not_matter(tmp_path: Path, settings: Settings) -> None:
    lower = [[name.lower() for name in DATA[0]], *DATA[1:]]
    statistics = filosofi(tmp_path, settings, QP=lower, meta=DICTIONARY)
    assert set(statistics.rows["code_producteur"]) == {"disp_tp60_a21", "disp_autre_a21"}
    assert "taux_pauvrete_60" in set(statistics.rows["indicateur"])
    assert statistics.unknown == (("disp_autre_a21", "Autre mesure (€)"),)


def test_the_preferred_spelling_wins(tmp_path: Path, settings: Settings) -> None:
    path = write_csv(tmp_path / "pop.csv", [["CODGEO", "POP_MUN", "popMuniQPV"], ["QN02503M", "1", "15603"]])
    statistics = read_statistics(raw_file("insee_population", path), load_registry(), settings)
    found = statistics.rows.set_index("indicateur")["valeur"]
    assert found.to_dict() == {"population_municipale": 15603.0, "pop_mun": 1.0}


def test_an_unknown_column_never_takes_the_name_of_an_indicator(tmp_path: Path, settings: Settings) -> None:
    rows = [["codeQPV", "popMuniQPV", "TAUX_PAUVRETE_60"], ["QN02503M", "15603", "1"]]
    path = write_csv(tmp_path / "pop.csv", rows)
    statistics = read_statistics(raw_file("insee_population", path), load_registry(), settings)
    assert set(statistics.rows["indicateur"]) == {
        "population_municipale",
        "taux_pauvrete_60_insee_population",
    }


def test_columns_of_text_are_left_out_and_named(tmp_path: Path, settings: Settings) -> None:
    rows = [["CODGEO", "LIBGEO", "TAILLE", "popMuniQPV"], ["QN02503M", "Planoise", "grand", "15603"]]
    path = write_csv(tmp_path / "pop.csv", rows)
    statistics = read_statistics(raw_file("insee_population", path), load_registry(), settings)
    assert statistics.rows["code_producteur"].tolist() == ["popMuniQPV"]
    recognised = check_of(statistics, "indicateurs_reconnus")
    assert "olonnes de texte non reprises : TAILLE" in recognised.message


def test_a_mixed_column_is_left_out_even_if_unknown(tmp_path: Path, settings: Settings) -> None:
    rows = [["codeQPV", "popMuniQPV", "MEN"], ["QN02503M", "15603", "7000"], ["QN02502M", "3194", "beaucoup"]]
    path = write_csv(tmp_path / "pop.csv", rows)
    statistics = read_statistics(raw_file("insee_population", path), load_registry(), settings)
    assert set(statistics.rows["indicateur"]) == {"population_municipale"}
    left_out = check_of(statistics, "colonne_ecartee", "insee_population, pop.csv, MEN")
    assert left_out.outcome == "avertissement"
    assert re.search(r"MEN: expected a number.* found 'beaucoup' at line 3", left_out.message)


def test_an_optional_indicator_that_is_missing_is_listed(tmp_path: Path, settings: Settings) -> None:
    optional = population(id="menages", codes={"qpv": ("MEN",)}, required=False, qpv_layer=False)
    path = write_csv(tmp_path / "pop.csv", [["codeQPV", "popMuniQPV"], ["QN02503M", "15603"]])
    statistics = read_statistics(raw_file("insee_population", path), only(population(), optional), settings)
    assert statistics.missing == ("menages",)
    recognised = check_of(statistics, "indicateurs_reconnus")
    assert "Indicateurs absents du fichier : menages" in recognised.message
    assert (recognised.expected, recognised.found) == ("2", "1")


def test_a_table_that_measures_nothing_is_an_error(tmp_path: Path, settings: Settings) -> None:
    path = write_csv(tmp_path / "pop.csv", [["CODGEO", "LIBGEO"], ["QN02503M", "Planoise"]])
    expected = "at least one column that measures something; found none among CODGEO, LIBGEO"
    with pytest.raises(ContractError, match=expected):
        read_statistics(raw_file("insee_caf", path), load_registry(), settings)


def test_an_unknown_column_is_read_under_its_code_and_the_dictionary_names_it(
    tmp_path: Path, settings: Settings
) -> None:
    rows = [["CODGEO", "AUTRE", "ENCORE"], ["QN02503M", "7", "8"]]
    files = {
        "DEFM_2024_QP.csv": csv_bytes(tmp_path, rows),
        "meta_DEFM_2024_QP.csv": csv_bytes(tmp_path, [DICTIONARY[0], ["autre", "Une mesure", "", ""]]),
    }
    archive = write_zip(tmp_path / "DEFM2024_QP24_csv.zip", files)
    statistics = read_statistics(raw_file("insee_demandeurs_emploi", archive), load_registry(), settings)
    assert statistics.unknown == (("AUTRE", "Une mesure"), ("ENCORE", ""))
    assert statistics.rows[["indicateur", "valeur"]].to_numpy().tolist() == [["autre", 7.0], ["encore", 8.0]]
    assert "demandeurs_emploi_abc" in statistics.missing


def test_a_required_indicator_that_is_missing(tmp_path: Path, settings: Settings) -> None:
    path = write_csv(tmp_path / "pop.csv", [["CODGEO", "popMuniQP"], ["QN02503M", "15603"]])
    with pytest.raises(ContractError) as error:
        read_statistics(raw_file("insee_population", path), load_registry(), settings)
    assert "expected column 'popMuniQPV'" in str(error.value)
    assert "'popMuniQP'" in str(error.value)
    assert "[indicators.population_municipale]\n      codes = [" in str(error.value)


def test_an_indicator_without_bounds_may_be_negative(tmp_path: Path, settings: Settings) -> None:
    path = write_csv(tmp_path / "pop.csv", [["codeQPV", "popMuniQPV"], ["QN02503M", "-1,5"]])
    raw = raw_file("insee_population", path)
    statistics = read_statistics(raw, only(population(minimum=-math.inf, whole=False)), settings)
    assert statistics.rows["valeur"].tolist() == [-1.5]
    expected = "popMuniQPV: expected at least 0 habitants; found '-1,5' at line 2"
    with pytest.raises(ContractError, match=expected):
        read_statistics(raw, load_registry(), settings)


def test_line_numbers_count_every_line(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "pop.csv"
    path.write_text(
        'CODGEO;LIBGEO;popMuniQPV\n\nQN02503M;"Planoise\nOuest";15603\n;;\nQN02502M;x;y\n', encoding="utf-8"
    )
    with pytest.raises(ContractError, match=r"popMuniQPV: .*found 'y' at line 6"):
        read_statistics(raw_file("insee_population", path), load_registry(), settings)


def test_spaces_and_a_last_semicolon_are_nothing(tmp_path: Path, settings: Settings) -> None:
    path = write_csv(tmp_path / "pop.csv", [["CODGEO ", " popMuniQPV", ""], [" QN02503M", "15603 ", " "]])
    statistics = read_statistics(raw_file("insee_population", path), load_registry(), settings)
    assert statistics.rows[["code", "valeur"]].to_numpy().tolist() == [["QN02503M", 15603.0]]


def test_every_table_of_the_mirror(mirror: Path, catalogue: Catalogue, settings: Settings) -> None:
    expected = {  # zones, and columns of measures
        "insee_population": (1518, 1),
        "insee_filosofi": (1518, 1),
        "insee_caf": (1518, 3),
        "insee_logement_social": (1518, 1),
        "iris_filosofi": (16026, 27),
    }
    for source_id, (zones, columns) in expected.items():
        raw = raw_file(source_id, mirror / catalogue[source_id].mirror[0])
        statistics = read_statistics(raw, load_registry(), settings)
        assert len(statistics.rows) == zones * columns
        assert statistics.rows["code"].nunique() == zones
        assert (statistics.rows["valeur"].isna() == (statistics.rows["statut"] != "ok")).all()
        assert not [check for check in statistics.checks if check.code == "colonne_ecartee"]
    of_iris = statistics.rows.set_index("code_producteur")["statut"]
    assert (of_iris["DISP_RD21"] == "sans_objet").sum() == 1536
    rates = read_statistics(
        raw_file("insee_filosofi", mirror / catalogue["insee_filosofi"].mirror[0]), load_registry(), settings
    ).rows.set_index("code")
    assert rates.loc["QN02503M", "valeur"] == 55.0
    assert rates.loc["QN00202M", "statut"] == "secret"


decimals = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=4)


@given(st.lists(decimals, min_size=1, max_size=20), st.sampled_from(["", " ", "\u00a0", "\u202f"]))
def test_french_decimals_are_read_to_the_nearest_double(numbers: list[Decimal], grouped_by: str) -> None:
    texts = [f"{number:,f}".replace(",", grouped_by).replace(".", ",") for number in numbers]
    values, statuses = parse_values(np.array(texts, dtype=object))
    assert values.tolist() == [float(number) for number in numbers]
    assert set(statuses) == {"ok"}


@given(st.lists(st.text(max_size=6), min_size=1, max_size=20))
def test_a_cell_is_a_number_or_a_mark_or_wrong(texts: list[str]) -> None:
    parsed = parse_values(np.array(texts, dtype=object), blank="imprecis")
    for text, value, status in zip(texts, *parsed, strict=True):
        assert np.isnan(value) == (status != "ok")
        if text.lower() in MARKS:
            assert status == MARKS[text.lower()]
        if not text:
            assert status == "imprecis"
        if re.fullmatch(r"[+-]?[0-9]+([.,][0-9]+)?", text):
            assert status == "ok"
        if status == "ok":
            assert float(re.sub(r"\s", "", text).replace(",", ".")) == value


@pytest.mark.parametrize(
    ("mark", "status"),
    [("s", "secret"), ("c", "secret"), ("S", "secret"), ("nd", "non_disponible"), ("ns", "non_significatif"),
     ("so", "sans_objet"), ("", "non_disponible")],
)  # fmt: skip
def test_marks(mark: str, status: str) -> None:
    values, statuses = parse_values(np.array([mark], dtype=object))
    assert statuses.tolist() == [status]
    assert np.isnan(values).all()


@pytest.mark.parametrize(
    "text",
    ["nan", "inf", "1e5", "0x10", "1 23", "12 34 567", "1 2345", "1\u2009234", "1.234,5", "1,234,5", "50 %",
     "--", "٣", "1,", ",5", "-", "x", "sec"],
)  # fmt: skip
def test_what_python_would_take_for_a_number(text: str) -> None:
    assert parse_values(np.array([text], dtype=object))[1].tolist() == [None]


def test_a_population_is_a_whole_number_whose_thousands_may_be_apart(
    tmp_path: Path, settings: Settings
) -> None:
    codes = ["QN02502M", "QN02503M", "QN02504M", "QN02505M"]
    texts = ["3194", "15 603", "1\u00a0636", "1\u202f502"]
    rows = [["codeQPV", "popMuniQPV"], *map(list, zip(codes, texts, strict=True))]
    raw = raw_file("insee_population", write_csv(tmp_path / "pop.csv", rows))
    found = read_statistics(raw, load_registry(), settings).rows
    assert found["valeur"].tolist() == [3194, 15603, 1636, 1502]
    raw = raw_file("insee_population", write_csv(tmp_path / "pop.csv", [*rows, ["QN02515N", "1,211"]]))
    expected = "popMuniQPV: expected a whole number of habitants; found '1,211' at line 6"
    with pytest.raises(ContractError, match=expected):
        read_statistics(raw, load_registry(), settings)


@given(st.text(alphabet="abc éèàçùÉœ€;\n", min_size=1).filter(str.strip))
def test_utf_8_is_always_recognised(text: str) -> None:
    assert decode(text.encode(), "x") == (text, "UTF-8")
    assert decode(text.encode("utf-8-sig"), "x") == (text, "UTF-8")


@given(st.lists(st.sampled_from(["Besançon", "Saint-Étienne", "Nîmes", "l'œuvre", "Fos", "5 €"]), min_size=1))
def test_windows_1252_is_recognised_by_its_accents(words: list[str]) -> None:
    text = " ".join(words)
    expected = "UTF-8" if text.isascii() else "Windows-1252"
    assert decode(text.encode("cp1252"), "x") == (text, expected)


def two_tables(folder: Path, settings: Settings, second: list[list[str]]) -> Statistics:
    first = [["CODGEO", "DISP_TP60_A21"], ["QN02502M", "50,0"], ["QN02503M", "s"]]
    members = {"a_QP.csv": csv_bytes(folder, first), "b_QP.csv": csv_bytes(folder, second)}
    archive = write_zip(folder / "f.zip", members)
    return read_statistics(raw_file("insee_filosofi", archive), load_registry(), settings)


def test_a_column_that_two_tables_repeat_is_read_once(tmp_path: Path, settings: Settings) -> None:
    second = [["CODGEO", "disp_tp60_a21", "DISP_MED_A21"], ["QN02503M", "s", "12"], ["QN02502M", "50,0", "9"]]
    rows = two_tables(tmp_path, settings, second).rows
    rates = rows[rows["indicateur"] == "taux_pauvrete_60"]
    assert rates["code"].tolist() == ["QN02502M", "QN02503M"]
    assert set(rates["fichier"]) == {"a_QP.csv"}
    assert set(rows.loc[rows["indicateur"] == "niveau_vie_median", "fichier"]) == {"b_QP.csv"}


@pytest.mark.parametrize("cell", ["51,0", "", "s"])
def test_a_column_to_which_two_tables_give_different_cells(
    cell: str, tmp_path: Path, settings: Settings
) -> None:
    with pytest.raises(ContractError) as error:
        two_tables(tmp_path, settings, [["CODGEO", "DISP_TP60_A21"], ["QN02502M", cell]])
    assert "one value for a zone in a_QP.csv and b_QP.csv" in str(error.value)
    assert f"found '50,0' and {cell!r} at line 2" in str(error.value)


def test_the_same_value_may_be_written_otherwise(tmp_path: Path, settings: Settings) -> None:
    second = [["CODGEO", "DISP_TP60_A21"], ["QN02502M", "50"], ["QN02503M", "S"]]
    assert len(two_tables(tmp_path, settings, second).rows) == 2


def test_two_tables_that_share_some_zones(tmp_path: Path, settings: Settings) -> None:
    second = [["CODGEO", "DISP_TP60_A21"], ["QN02502M", "50,0"], ["QN02504M", "45,0"]]
    with pytest.raises(ContractError, match=r"the same zones in a_QP\.csv and b_QP\.csv, or other ones"):
        two_tables(tmp_path, settings, second)


def test_two_tables_of_other_zones_complete_each_other(tmp_path: Path, settings: Settings) -> None:
    rows = two_tables(tmp_path, settings, [["CODGEO", "DISP_TP60_A21"], ["QN02504M", "45,0"]]).rows
    assert rows["code"].tolist() == ["QN02502M", "QN02503M", "QN02504M"]
