"""The registry of indicators."""

import json
import math
from collections import Counter
from pathlib import Path

import pytest

from qpv_geo.errors import ConfigurationError
from qpv_geo.ingest.registry import Indicator, load_registry
from qpv_geo.sources.catalogue import Catalogue

GROUP = """
[[groups]]
theme = "Population"
source = "insee_population"

[groups.indicators]
"""
ZONES = """
[[groups]]
theme = "Revenus"
source = "insee_filosofi"
zones = ["qpv", "commune", "iris"]
sources = { iris = "iris_filosofi" }
patterns = { qpv = ["DISP_{}_A{yy}"], commune = ["{}{yy}", "C_{}"] }

[groups.indicators]
"""


def entry(name: str, **changes: object) -> str:
    """Write an indicator as a line of TOML; None drops a key."""
    fields = {"label": "Population", "unit": "habitants", "kind": "count", "codes": ["P"]} | changes
    return f"{name} = {_toml({key: value for key, value in fields.items() if value is not None})}\n"


def rate(name: str, **changes: object) -> str:
    return entry(name, **({"kind": "rate", "unit": None} | changes))


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return str(value) if isinstance(value, float) else json.dumps(value)


def registry_of(folder: Path, text: str) -> Path:
    path = folder / "indicators.toml"
    path.write_text(text, encoding="utf-8")
    return path


def shipped(name: str) -> Indicator:
    return next(indicator for indicator in load_registry().indicators if indicator.id == name)


def test_the_shipped_registry_fits_the_catalogue(catalogue: Catalogue) -> None:
    registry = load_registry()
    assert len(registry.indicators) > 250
    known = {source.id for source in catalogue.sources}
    for indicator in registry.indicators:
        assert {indicator.source, *indicator.sources.values()} <= known
        # Rates and medians of several zones are never added.
        assert not indicator.additive or indicator.kind == "count"
        if indicator.kind == "rate":
            assert indicator.unit == "%"
        if indicator.required:
            assert catalogue[indicator.source].used


def test_every_theme_of_insee_is_there() -> None:
    themes = Counter(indicator.theme for indicator in load_registry().indicators)
    assert {theme for theme, count in themes.items() if count >= 3} == {
        "Activité",
        "Démographie",
        "Diplômes",
        "Emploi",
        "Logement",
        "Logement social",
        "Ménages et familles",
        "Nationalité",
        "Population",
        "Prestations sociales",
        "Revenus et pauvreté",
        "Santé",
        "Scolarité",
        "Tissu économique",
    }
    assert shipped("part_familles_monoparentales").codes
    columns = [indicator for indicator in load_registry().indicators if indicator.qpv_layer]
    assert {indicator.id for indicator in columns} >= {
        "population_municipale",
        "taux_pauvrete_60",
        "niveau_vie_median",
        "part_familles_monoparentales",
        "part_menages_1_personne",
        "part_etrangers",
        "part_immigres",
        "taux_emploi",
        "taux_chomage_recensement",
        "part_diplome_inferieur_bac",
        "part_sans_diplome",
        "indice_jeunesse",
        "part_moins_25_ans",
    }
    assert len(columns) <= 25
    # What nobody publishes by QPV has no column of its own.
    assert all(indicator.codes and "qpv" in indicator.zones for indicator in columns)


def test_a_ratio_of_zones_has_two_additive_terms() -> None:
    registry = load_registry()
    known = {indicator.id: indicator for indicator in registry.indicators}
    ratios = [indicator for indicator in registry.indicators if indicator.numerator]
    assert len(ratios) > 20
    for ratio in ratios:
        terms = [known[str(name)] for name in (ratio.numerator, ratio.denominator)]
        assert all(term.additive for term in terms)
        assert not ratio.additive
        assert ratio.kind in {"rate", "index"}
    assert shipped("part_familles_monoparentales").scale == 100


def test_every_column_of_the_demography_is_known() -> None:
    """The dictionary and the tables of the shipped files, as INSEE wrote them."""
    folder = Path(__file__).parents[1] / "data/raw/snapshot/insee/estimations-demographiques_2020_QPV2024_csv"
    (meta,) = folder.glob("meta_*.csv")
    names = [line.partition(";")[0] for line in meta.read_text(encoding="utf-8-sig").splitlines()[1:]]
    codes = [name for name in names if name not in {"codeGeo", "libGeo"}]
    assert len(codes) == 121 + 1
    known = {
        code.upper(): indicator
        for indicator in load_registry().of_source("insee_demographie")
        for zone in indicator.zones
        for code in indicator.spellings(zone, "2020")
    }
    assert [code for code in codes if code.upper() not in known] == []
    assert len({known[code.upper()].id for code in codes}) == len(codes)
    assert {known[code.upper()].id for code in codes if not known[code.upper()].intervals} == {
        "part_population_regionale_qpv"
    }
    assert known["PARTPOPREG"].zones == ("ensemble_qpv_region", "ensemble_qpv")
    # What a table of this shape lacks is worth no word.
    awaited = {i.id for i in load_registry().of_source("insee_demographie") if i.is_awaited}
    assert awaited == {known[code.upper()].id for code in codes}


def test_measures_that_are_not_the_same_have_two_names() -> None:
    def owners(code: str) -> set[str]:
        spelled = [
            (indicator.id, {c.upper() for zone in indicator.zones for c in indicator.spellings(zone, "2021")})
            for indicator in load_registry().indicators
        ]
        return {name for name, codes in spelled if code.upper() in codes}

    # Schooling of 15 to 24 years, and of 16 to 24.
    assert owners("txScol15_24") != owners("TX_TOT_SCOL")
    # Jobs of limited duration were called precarious.
    assert owners("partEmpDurLim") == owners("TX_TOT_EPREC") == owners("TX_TOT_EDLIM")
    # "Below the baccalauréat" is two shares.
    assert shipped("part_diplome_inferieur_bac").sum_of == ("part_sans_diplome", "part_diplome_bep_cap")
    assert owners("partPopBepCap") == {"part_diplome_bep_cap"}
    # In a table by commune, the people of its QPV are not its own.
    assert shipped("population_municipale").spellings("commune", "2020") == ("POP_COM",)
    assert shipped("population_municipale_qpv").spellings("commune", "2020") == ("popMuniQPV", "POP_COM_QP")


@pytest.mark.parametrize(
    "name",
    ["PMUN{yy}", "NB_ALLOC", "NB_RSA_SOCLE", "NB_LS", "TX_TOT_IMMI", "NB_MEN", "NB_ETAB", "POP_MUN_COM"],
)
def test_names_that_no_producer_uses_are_gone(name: str) -> None:
    codes = {c for i in load_registry().indicators for spelled in i.codes.values() for c in spelled}
    assert name not in codes


def test_indicators_of_a_source_keep_their_order() -> None:
    registry = load_registry()
    population = [indicator.id for indicator in registry.of_source("insee_population")]
    assert population[0] == "population_municipale"
    everyone = [indicator.id for indicator in registry.indicators]
    assert sorted(population, key=everyone.index) == population
    assert registry.of_source("qpv_2024") == ()


def test_the_vintage_is_part_of_a_spelling() -> None:
    poverty = shipped("taux_pauvrete_60")
    assert poverty.spellings("qpv", "2021") == ("DISP_TP60_A21", "DISP_TP6021", "TP60")
    assert poverty.spellings("iris", "2021") == ("DISP_TP6021",)
    assert poverty.spellings("commune", "2021")[0] == "TP6021"
    assert "PR_MD60" in poverty.spellings("commune", "2023")
    # The tables of zones without spellings of their own are spelled like those of the QPV.
    assert poverty.spellings("ensemble_qpv_epci", "2023") == ("DISP_TP60_A23", "DISP_TP6023", "TP60")
    assert shipped("niveau_vie_median").spellings("region", "2019") == ("MED19", "MED_SL", "Q219")


def test_a_vintage_of_two_years_ends_with_the_second(tmp_path: Path) -> None:
    path = registry_of(tmp_path, GROUP + entry("eleves", codes=["EL{yy}"]))
    assert load_registry(path).indicators[0].spellings("qpv", "2024-2025") == ("EL25",)


def test_a_vintage_may_have_spellings_of_its_own(tmp_path: Path) -> None:
    own = {"2022": {"qpv": ["POP"], "commune": ["POPC"]}}
    text = GROUP + entry("population", codes_by_vintage=own, zones=["qpv", "commune"])
    indicator = load_registry(registry_of(tmp_path, text)).indicators[0]
    assert indicator.spellings("qpv", "2020") == ("P",)
    assert indicator.spellings("qpv", "2022") == ("POP", "P")
    assert indicator.spellings("commune", "2022") == ("POPC", "P")


def test_what_is_not_said_follows_from_the_kind_and_the_group(tmp_path: Path) -> None:
    text = (
        ZONES
        + rate("taux", codes={"qpv": ["TP60"]}, stem="TP60", maximum=100)
        + entry("mediane", kind="median", codes=["M"], zones=["iris"], minimum=-math.inf)
    )
    poverty, median = load_registry(registry_of(tmp_path, text)).indicators
    assert (poverty.unit, poverty.additive, poverty.minimum, poverty.maximum) == ("%", False, 0, 100)
    assert poverty.codes == {"qpv": ("DISP_TP60_A{yy}", "TP60"), "commune": ("TP60{yy}", "C_TP60")}
    assert (poverty.source_of("qpv"), poverty.source_of("iris")) == ("insee_filosofi", "iris_filosofi")
    assert poverty.expected_of("iris_filosofi", "iris")
    assert not poverty.expected_of("insee_filosofi", "iris")
    assert (median.minimum, median.maximum) == (-math.inf, math.inf)
    # A plain list is of the first kind of zone.
    assert median.codes == {"iris": ("M",)}


def test_what_is_computed_from_its_terms_is_expected_of_no_file(tmp_path: Path) -> None:
    share = rate("part", codes=None, numerator="jeunes", denominator="population")
    text = GROUP + entry("population") + entry("jeunes", codes=["J"]) + share
    registry = load_registry(registry_of(tmp_path, text))
    assert [indicator.id for indicator in registry.of_source("insee_population")] == ["population", "jeunes"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            entry("population") + entry("menages", codes=["p"]),
            "code 'p' is given to population and to menages",
        ),
        (entry("population") + GROUP + entry("population", codes=["Q"]), "declared twice: population"),
        (entry("Population"), "Population"),
        (entry("population", minimum=10, maximum=5), "minimum 10.0 is above maximum 5.0"),
        (entry("population", colour="red"), "colour"),
        (entry("population", kind="number"), "kind"),
        (entry("population", codes={"city": ["P"]}), "codes.city"),
        (entry("population", codes={"commune": ["P"]}), "'zones' does not name: ['commune']"),
        (entry("population", codes=None, stem="P"), "patterns"),
        (entry("part", codes=None), "give 'codes', or the 'numerator' and 'denominator'"),
        (rate("part", numerator="a"), "give both 'numerator' and 'denominator'"),
        (entry("part", numerator="a", denominator="b"), "what is added over zones is not a ratio"),
        (
            rate("part", codes=None, required=True, numerator="a", denominator="b"),
            "'required' says that a file has it",
        ),
        (
            rate("part", numerator="a", denominator="b")
            + entry("a", codes=["A"])
            + entry("b", kind="median", codes=["B"]),
            "part is a ratio of b: no additive indicator",
        ),
        (rate("part", sum_of=["a"]), "'sum_of' names two shares or more, each once"),
        (rate("part", sum_of=["a", "a"]), "'sum_of' names two shares or more, each once"),
        (rate("part", sum_of=["a", "b"], intervals=True), "a sum has no 'intervals'"),
        (rate("part", sum_of=["a", "b"], numerator="a", denominator="b"), "or 'sum_of', not both"),
        (entry("part", sum_of=["a", "b"]), "what is added over zones is not a ratio nor a sum of shares"),
        (
            rate("part", sum_of=["a", "b"]) + rate("a", codes=["A"]) + entry("b", codes=["B"]),
            "part is a sum of b: no published share",
        ),
        ("population", "not valid"),
    ],
)
def test_a_registry_that_is_not_valid(text: str, message: str, tmp_path: Path) -> None:
    path = registry_of(tmp_path, GROUP + text)
    with pytest.raises(ConfigurationError) as error:
        load_registry(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("text", ["", "[indicators]", "groups = 3", "[[groups]]\ntheme = 'x'"])
def test_a_registry_without_groups(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the registry of indicators is not valid"):
        load_registry(registry_of(tmp_path, text))


def test_a_registry_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml"):
        load_registry(tmp_path / "nowhere.toml")
