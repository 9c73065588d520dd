"""All sources of a run to one set of tables."""

from pathlib import Path

import pytest

from qpv_geo.errors import ContractError, SourceContentError, SourceUnavailableError
from qpv_geo.ingest.registry import load_registry
from qpv_geo.ingest.tables import Tables, read_tables
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Catalogue
from qpv_geo.sources.raw import RawFile
from qpv_geo.territory import Territory
from tests.raw_files import (
    raw_file,
    set_property,
    shipped,
    six_qpv,
    some_communes,
    write_csv,
    write_json,
    write_zip,
)

Raws = dict[str, RawFile | None]


@pytest.fixture
def raws() -> Raws:
    """The shipped files."""
    return {
        "qpv_2024": raw_file("qpv_2024", shipped("anct/qpv-2024.geojson")),
        "communes_epci": raw_file("communes_epci", shipped("geo-api/epcis/242500361/communes.geojson")),
        "insee_population": raw_file("insee_population", shipped("insee/pop_QPV24.csv")),
        "insee_filosofi": raw_file("insee_filosofi", shipped("insee/revenus_pauvrete_2021_qp24_v2_csv")),
        "cog_epci": None,
    }


def read(raws: Raws, territory: Territory, catalogue: Catalogue, settings: Settings) -> Tables:
    return read_tables(raws, territory, catalogue, load_registry(), settings)


def test_the_shipped_files(raws: Raws, besancon: Territory, catalogue: Catalogue, settings: Settings) -> None:
    tables = read(raws, besancon, catalogue, settings)
    assert len(tables.contours.by_epsg[2154]) == 6
    assert len(tables.communes) == 67
    assert tables.communes["ecart_reparation_m2"].isna().all()
    assert tables.epci_members is None
    assert tables.labels.empty
    assert list(tables.labels.columns) == ["source", "code_producteur", "indicateur", "libelle"]
    by_indicator = tables.statistics.groupby("indicateur")["valeur"]
    assert by_indicator.count().to_dict() == {"population_municipale": 6, "taux_pauvrete_60": 6}
    assert by_indicator.sum()["population_municipale"] == 25627
    keys = [(check.code, check.subject) for check in tables.checks]
    assert len(keys) == len(set(keys)), "the key of the published table of checks"
    assert {subject for code, subject in keys if code == "lecture_du_fichier"} == {
        "qpv_2024",
        "communes_epci",
        "insee_population",
        "insee_population, pop_QPV24.csv",
        "insee_filosofi",
        "insee_filosofi, indic-revenu-disponible-qp24-2021_QP.csv",
    }


def test_the_whole_mirror(
    mirror: Path, besancon: Territory, catalogue: Catalogue, settings: Settings
) -> None:
    files = {
        "qpv_2024": "anct/qpv-2024-geojson.zip",
        "communes_epci": "geo-api/epcis/242500361/communes.geojson",
        "insee_population": "insee/pop_QPV24.csv",
        "insee_filosofi": "insee/revenus_pauvrete_2021_qp24_v2_csv.zip",
        "cog_epci": "cog/epci.json.gz",
    }
    raws: Raws = {
        source: raw_file(source, mirror / path, provenance="mirror") for source, path in files.items()
    }
    tables = read(raws, besancon, catalogue, settings)
    assert tables.contours.national
    assert tables.epci_members is not None
    assert len(tables.statistics) == 2 * 1518
    assert not tables.statistics.duplicated(["zone", "code", "indicateur", "millesime"]).any()


@pytest.mark.parametrize("source", ["qpv_2024", "communes_epci"])
def test_what_there_is_no_release_without(
    source: str, raws: Raws, besancon: Territory, catalogue: Catalogue, settings: Settings
) -> None:
    raws[source] = None
    with pytest.raises(SourceUnavailableError, match=f"source {source}.* is absent") as error:
        read(raws, besancon, catalogue, settings)
    assert error.value.exit_code == 3


def test_no_statistics_at_all(
    raws: Raws, besancon: Territory, catalogue: Catalogue, settings: Settings
) -> None:
    del raws["insee_population"], raws["insee_filosofi"]
    with pytest.raises(
        SourceUnavailableError, match=r"no statistics: give one of insee_population, .*, insee_filosofi"
    ):
        read(raws, besancon, catalogue, settings)


def test_a_source_that_is_absent_leaves_the_others(
    raws: Raws, besancon: Territory, catalogue: Catalogue, settings: Settings
) -> None:
    raws["insee_filosofi"] = None
    tables = read(raws, besancon, catalogue, settings)
    assert set(tables.statistics["source"]) == {"insee_population"}


def test_errors_of_several_sources_are_told_together(
    tmp_path: Path, raws: Raws, besancon: Territory, catalogue: Catalogue, settings: Settings
) -> None:
    collection = six_qpv()
    set_property("lib_qp", None, 2)(collection)
    raws["qpv_2024"] = raw_file("qpv_2024", write_json(tmp_path / "qpv.geojson", collection))
    rows = [["codeQPV", "popMuniQPV"], ["QN02503M", "-1"]]
    raws["insee_population"] = raw_file("insee_population", write_csv(tmp_path / "pop.csv", rows))
    (tmp_path / "poverty.csv").write_bytes(b"<html>")
    raws["insee_filosofi"] = raw_file("insee_filosofi", tmp_path / "poverty.csv")
    with pytest.raises(ContractError) as error:
        read(raws, besancon, catalogue, settings)
    message = str(error.value)
    assert error.value.exit_code == 4
    assert "source qpv_2024: qpv.geojson" in message
    assert "lib_qp: expected a value; found nothing at feature 3" in message
    assert "source insee_population: pop.csv" in message
    assert "found '-1' at line 2" in message
    assert "source insee_filosofi: poverty.csv" in message


def test_bad_files_alone_keep_their_exit_code(
    tmp_path: Path, raws: Raws, besancon: Territory, catalogue: Catalogue, settings: Settings
) -> None:
    for source in ("insee_filosofi", "insee_population"):
        (tmp_path / source).write_bytes(b"<html>")
        raws[source] = raw_file(source, tmp_path / source)
    with pytest.raises(SourceContentError, match=r"(?s)insee_population.*insee_filosofi") as error:
        read(raws, besancon, catalogue, settings)
    assert error.value.exit_code == 3


def left_out(tables: Tables) -> dict[str, str]:
    """Return why each optional source is left out, as the report says it."""
    return {check.subject: check.message for check in tables.checks if check.code == "source_ecartee"}


BAD_TABLES = {
    "a web page": (b"<html>", "found a web page"),
    "a wrong code": (b"CODGEO;A\nQN2503M;5\n", "leading zeros lost"),
    "the geography of 2015": (b"CODGEO;A\nQP025004;5\n", "2015 geography in place of 2024"),
    "an unknown key": (b"ZONE;A\nQN02503M;5\n", "expected a key column"),
    "a row cut short": (b"CODGEO;A;B\nQN02503M;5;6\nQN0", "3 cells in each row"),
    "nothing that measures": (b"CODGEO;LIBGEO\nQN02503M;Planoise\n", "at least one column that measures"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_an_optional_table_that_is_bad_is_left_out_alone(
    name: str, tmp_path: Path, raws: Raws, besancon: Territory, catalogue: Catalogue, settings: Settings
) -> None:
    data, words = BAD_TABLES[name]
    whole = read(raws, besancon, catalogue, settings)
    (tmp_path / "caf.csv").write_bytes(data)
    raws["insee_caf"] = raw_file("insee_caf", tmp_path / "caf.csv")
    tables = read(raws, besancon, catalogue, settings)
    assert left_out(tables).keys() == tables.defects.keys() == {"insee_caf"}
    assert words in left_out(tables)["insee_caf"]
    assert tables.statistics.equals(whole.statistics)


def test_a_mark_that_nobody_knows_leaves_its_column_out(
    tmp_path: Path, raws: Raws, besancon: Territory, catalogue: Catalogue, settings: Settings
) -> None:
    rows = [["CODGEO", "A", "PERCOU"], ["QN02503M", "5", "12"], ["QN02502M", "zz", "s"]]
    raws["insee_caf"] = raw_file("insee_caf", write_csv(tmp_path / "caf.csv", rows))
    tables = read(raws, besancon, catalogue, settings)
    assert not left_out(tables)
    of_caf = tables.statistics[tables.statistics["source"] == "insee_caf"]
    assert set(of_caf["code_producteur"]) == {"PERCOU"}
    (column,) = (check for check in tables.checks if check.code == "colonne_ecartee")
    assert column.subject == "insee_caf, caf.csv, A"
    assert "found 'zz' at line 3" in column.message


def test_other_optional_sources_that_are_bad_are_left_out(
    tmp_path: Path, raws: Raws, besancon: Territory, catalogue: Catalogue, settings: Settings
) -> None:
    optional = (
        "cog_epci", "qpv_2015_wfs", "correspondance_2024_2015", "listeqp_2025", "iris-25056", "bpe",
    )  # fmt: skip
    for source in optional:
        (tmp_path / source).write_bytes(b"<html>")
        raws[source] = raw_file(source.partition("-")[0], tmp_path / source)
    tables = read(raws, besancon, catalogue, settings)
    assert left_out(tables).keys() == set(optional)
    assert tables.epci_members is None
    assert tables.qpv_2015 is None
    assert tables.correspondence is None
    # INSEE's populations declare communes as well.
    assert tables.declared_zones is not None
    assert set(tables.declared_zones["source"]) == {"insee_population"}
    assert tables.iris is None
    assert tables.facilities is None


@pytest.mark.parametrize(
    ("source", "rows", "words"),
    [
        ("insee_population", [["codeQPV", "popMuniQPV"], ["QN02503M", "zz"]], "found 'zz' at line 2"),
        ("insee_filosofi", [["CODGEO", "DISP_TP60_A21"], ["QN02503M", "155"]], "found '155' at line 2"),
    ],
)
def test_a_required_indicator_that_is_bad_stops_the_run(
    source: str,
    rows: list[list[str]],
    words: str,
    tmp_path: Path,
    raws: Raws,
    besancon: Territory,
    catalogue: Catalogue,
    settings: Settings,
) -> None:
    raws[source] = raw_file(source, write_csv(tmp_path / "table.csv", rows))
    with pytest.raises(ContractError, match=words):
        read(raws, besancon, catalogue, settings)


def test_communes_of_another_epci(
    tmp_path: Path, raws: Raws, besancon: Territory, catalogue: Catalogue, settings: Settings
) -> None:
    collection = some_communes()
    set_property("codeEpci", "200000172", 1)(collection)
    raws["communes_epci"] = raw_file("communes_epci", write_json(tmp_path / "c.geojson", collection))
    with pytest.raises(ContractError, match=r"codeEpci: expected 242500361 .*found '200000172' at 250\d\d "):
        read(raws, besancon, catalogue, settings)


def test_communes_of_another_part_of_france(
    raws: Raws, besancon: Territory, catalogue: Catalogue, settings: Settings
) -> None:
    elsewhere = besancon.model_copy(update={"epsg": 2975})
    with pytest.raises(ContractError, match="expected communes in EPSG:2975; found none"):
        read(raws, elsewhere, catalogue, settings)


def test_a_name_that_two_sources_share_is_told_apart(
    tmp_path: Path, raws: Raws, besancon: Territory, catalogue: Catalogue, settings: Settings
) -> None:
    population = [["codeQPV", "popMuniQPV", "NB_X"], ["QN02503M", "15603", "7000"]]
    rates = [["CODGEO", "DISP_TP60_A21", "NB_X"], ["QN02503M", "55,0", "7100"]]
    dictionary = [["COD_VAR", "LIB_VAR", "COD_MOD", "LIB_MOD"], ["NB_X", "Foyers fiscaux", "", ""]]
    raws["insee_population"] = raw_file("insee_population", write_csv(tmp_path / "pop.csv", population))
    members = {
        "indic-revenu-disponible_QP.csv": write_csv(tmp_path / "a.csv", rates).read_bytes(),
        "meta_indic-revenu-disponible_QP.csv": write_csv(tmp_path / "b.csv", dictionary).read_bytes(),
    }
    raws["insee_filosofi"] = raw_file("insee_filosofi", write_zip(tmp_path / "f.zip", members))
    tables = read(raws, besancon, catalogue, settings)
    values = tables.statistics.set_index("indicateur")["valeur"]
    assert values["nb_x_insee_population"] == 7000
    assert values["nb_x_insee_filosofi"] == 7100
    assert tables.labels.to_dict("records") == [
        {
            "source": "insee_population",
            "code_producteur": "NB_X",
            "indicateur": "nb_x_insee_population",
            "libelle": "",
        },
        {
            "source": "insee_filosofi",
            "code_producteur": "NB_X",
            "indicateur": "nb_x_insee_filosofi",
            "libelle": "Foyers fiscaux",
        },
    ]
