"""Spellings, addresses and members that an administrator adds, without a new version."""

from pathlib import Path

import pandas as pd
import pytest

from qpv_geo.errors import ConfigurationError, ContractError
from qpv_geo.formats.fingerprint import fingerprint
from qpv_geo.ingest.additions import declarations
from qpv_geo.ingest.registry import Indicator, Registry, load_registry
from qpv_geo.pipeline.job import job_for
from qpv_geo.pipeline.one import run
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Catalogue, InseePageAddress, PlainAddress, load_catalogue
from qpv_geo.territory import Territory, load_territory
from tests.villeneuve import REQUIRED, write_mirror, write_territory

ELSEWHERE = "[sources.insee_caf]\naddress = { kind = 'plain', url = 'https://caf.example/x.csv' }"
POPULATION = "[indicators.population_municipale]\ncodes = ['popMun2025']\n"


def settings_with(folder: Path, text: str) -> Settings:
    path = folder / "ajouts.toml"
    path.write_text(text, encoding="utf-8")
    return Settings(data_dir=folder / "data", sources_file=path)


def complete(folder: Path, text: str, territory: Territory | None = None) -> tuple[Catalogue, Registry]:
    return declarations(settings_with(folder, text), territory)


def indicator(registry: Registry, name: str) -> Indicator:
    return next(indicator for indicator in registry.indicators if indicator.id == name)


def test_nothing_added_changes_nothing(besancon: Territory, tmp_path: Path) -> None:
    assert declarations(Settings(data_dir=tmp_path), besancon) == (load_catalogue(), load_registry())
    assert complete(tmp_path, "") == (load_catalogue(), load_registry())


def test_the_file_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert Settings().sources_file is None
    monkeypatch.setenv("QPV_GEO_SOURCES", str(tmp_path / "ajouts.toml"))
    assert Settings().sources_file == tmp_path / "ajouts.toml"


def test_spellings_come_after_those_of_the_registry(tmp_path: Path) -> None:
    _, registry = complete(tmp_path, POPULATION)
    population = indicator(registry, "population_municipale")
    assert population.spellings("qpv", "2020") == ("popMuniQPV", "POP_MUN", "popMun2025")
    assert population.spellings("commune", "2020") == ("POP_COM",)
    text = "[indicators.population_municipale]\ncodes = { commune = ['popMun{yy}'] }"
    _, registry = complete(tmp_path, text)
    population = indicator(registry, "population_municipale")
    assert population.spellings("commune", "2020") == ("POP_COM", "popMun20")


def test_an_address_and_a_member_replace_those_of_the_catalogue(tmp_path: Path) -> None:
    text = """
    [sources.insee_population]
    address = { kind = "plain", url = "https://data.insee.fr/pop.csv" }
    hosts = ["data.insee.fr"]
    mirror = ["insee/pop_v3.csv"]
    key = ["codeQuartier"]

    [sources.qpv_2024]
    member = '.*/QP2024\\.geojson'
    columns = { code_qp = ["codeQp2024"] }
    """
    catalogue, _ = complete(tmp_path, text)
    population, contours = catalogue["insee_population"], catalogue["qpv_2024"]
    assert population.address == PlainAddress(kind="plain", url="https://data.insee.fr/pop.csv")
    assert population.hosts == ("data.insee.fr",)
    assert population.mirror == ("insee/pop_v3.csv", "insee/pop_QPV24.csv")
    assert population.key == ("codeQuartier",)
    assert contours.member == r".*/QP2024\.geojson"
    assert contours.columns["code_qp"] == ("code_qp", "codeQp2024")
    assert contours.columns["lib_qp"] == ("lib_qp",)
    assert contours.address == load_catalogue()["qpv_2024"].address


def test_a_source_without_address_may_be_given_one(tmp_path: Path) -> None:
    text = """
    [sources.insee_demographie_2020]
    address = { kind = "insee_page", page = "8186144", pattern = '.*2020_QPV2024_csv\\.zip' }
    hosts = ["www.insee.fr"]
    """
    catalogue, _ = complete(tmp_path, text)
    assert isinstance(catalogue["insee_demographie_2020"].address, InseePageAddress)


def test_what_a_territory_adds_comes_to_what_the_file_adds(besancon: Territory, tmp_path: Path) -> None:
    own = besancon.model_copy(update={"indicators": {"population_municipale": {"codes": ["popBesancon"]}}})
    catalogue, registry = complete(tmp_path, POPULATION, own)
    spelled = indicator(registry, "population_municipale").spellings("qpv", "2020")
    assert spelled == ("popMuniQPV", "POP_MUN", "popMun2025", "popBesancon")
    assert catalogue["insee_population"].note.endswith(
        "Déclaration complétée par l'administrateur (ajouts.toml) : population_municipale = popMun2025. "
        "Déclaration complétée par l'administrateur (territory 'besancon') : "
        "population_municipale = popBesancon."
    )


def test_a_territory_file_may_hold_additions(tmp_path: Path) -> None:
    path = write_territory(tmp_path, files=False)
    path.write_text(f"{path.read_text(encoding='utf-8')}\n{POPULATION}", encoding="utf-8")
    territory = load_territory(str(path))
    _, registry = declarations(Settings(data_dir=tmp_path), territory)
    assert "popMun2025" in indicator(registry, "population_municipale").spellings("qpv", "2020")


def test_additions_are_part_of_the_fingerprint(besancon: Territory, tmp_path: Path) -> None:
    def of(text: str) -> str:
        return fingerprint({}, besancon, *complete(tmp_path, text))

    assert of("") != of(POPULATION)
    assert of("") != of("[sources.insee_population]\nkey = ['codeQuartier']")
    assert of(POPULATION) == of(POPULATION)


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("[sources.insee_populations]\nkey = ['x']", ["unknown source 'insee_populations'", "insee_caf"]),
        (
            "[indicators.population]\ncode = ['x']",
            ["unknown key 'indicators.population.code'; did you mean 'codes'?"],
        ),
        ("[indicators.populations]\ncodes = ['x']", ["'indicators.populations'", "no such indicator"]),
        ("[indicators.population_municipale]\ncodes = []", ["'indicators.population_municipale.codes"]),
        ("[source.insee_caf]\nkey = ['x']", ["unknown key 'source'; did you mean 'sources'?"]),
        (
            "[sources.insee_caf]\nclef = ['x']",
            ["unknown key 'sources.insee_caf.clef'", "member, mirror, key"],
        ),
        ("[sources.insee_caf]\nmember = '(['", ["'sources.insee_caf.member'", "not a regular expression"]),
        (
            "[sources.qpv_2024]\ncolumns = { code = ['x'] }",
            ["'sources.qpv_2024.columns' names code", "declares: code_qp, lib_qp"],
        ),
        (
            ELSEWHERE,
            ["'address' asks caf.example: name it in 'hosts'"],
        ),
        (
            f"{ELSEWHERE}\nhosts = ['www.insee.fr']",
            ["'address' asks caf.example: name it in 'hosts'"],
        ),
        ("[sources.insee_caf]\naddress = { kind = 'none' }", ["'sources.insee_caf.address'"]),
        ("[indicators.allocataires]\ncodes = ['PERCOU']", ["code 'PERCOU' is given to allocataires and to"]),
        ("[sources.insee_caf\nkey = ['x']", ["not valid TOML"]),
    ],
)
def test_an_addition_that_is_not_valid_names_file_and_key(
    text: str, facts: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        complete(tmp_path, text)
    assert str(tmp_path / "ajouts.toml") in str(caught.value)
    for fact in facts:
        assert fact in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.toml"):
        declarations(Settings(data_dir=tmp_path, sources_file=tmp_path / "absent.toml"))


def test_a_renamed_column_is_mended_by_the_lines_that_the_message_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    territory = str(write_territory(tmp_path, files=False))
    mirror = write_mirror(tmp_path / "mirror", only=REQUIRED)
    population = mirror / "insee/pop_QPV24.csv"
    renamed = population.read_text(encoding="utf-8-sig").replace("popMuniQPV", "popMun2025")
    population.write_text(renamed, encoding="utf-8")
    with pytest.raises(ContractError) as caught:
        run(job_for(territory, tmp_path / "data", mirror=str(mirror)))
    message = str(caught.value)
    assert "add to the file that QPV_GEO_SOURCES names" in message
    lines = [line.strip() for line in message.splitlines()]
    start = lines.index("[indicators.population_municipale]")
    assert lines[start + 1] == 'codes = ["popMun2025"]'

    settings = settings_with(tmp_path, "\n".join(lines[start : start + 2]))
    monkeypatch.setenv("QPV_GEO_SOURCES", str(settings.sources_file))
    release = run(job_for(territory, settings.data_dir, mirror=str(mirror))).release
    noted = pd.read_csv(release.path / "csv" / "sources.csv", sep=";").set_index("source")["note"]
    assert "ajouts.toml" in noted["insee_population"]
    assert "population_municipale = popMun2025" in noted["insee_population"]
