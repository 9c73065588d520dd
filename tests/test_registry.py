"""The registry of indicators."""

from pathlib import Path

import pytest

from qpv_geo.errors import ConfigurationError
from qpv_geo.ingest.registry import Indicator, load_registry
from qpv_geo.sources.catalogue import Catalogue

ENTRY = """
theme = "Population"
label = "Population municipale"
unit = "habitants"
kind = "count"
additive = true
source = "insee_population"
"""


def registry_of(path: Path, text: str) -> Path:
    (path / "indicators.toml").write_text(text, encoding="utf-8")
    return path / "indicators.toml"


def test_the_shipped_registry_fits_the_catalogue(catalogue: Catalogue) -> None:
    registry = load_registry()
    assert {indicator.source for indicator in registry.indicators} <= {s.id for s in catalogue.sources}
    for indicator in registry.indicators:
        # Rates and medians of several zones are never added.
        assert not indicator.additive or indicator.kind in {"count", "amount"}
        if indicator.kind == "rate":
            assert indicator.unit == "%"
        if indicator.required:
            assert catalogue[indicator.source].used


def test_indicators_of_a_source_keep_their_order() -> None:
    assert [i.id for i in load_registry().of_source("insee_population")] == ["population_municipale"]
    assert load_registry().of_source("qpv_2024") == ()


def test_the_vintage_is_part_of_a_spelling() -> None:
    rate = next(i for i in load_registry().indicators if i.id == "taux_pauvrete_60")
    assert rate.spellings("qpv", "2021") == ("DISP_TP60_A21",)
    assert rate.spellings("iris", "2021") == ("DISP_TP6021",)
    assert rate.spellings("commune", "2021") == ("TP6021",)
    assert rate.spellings("ensemble_qpv", "2023") == ("DISP_TP60_A23",)


def test_a_vintage_of_two_years_ends_with_the_second() -> None:
    fields = {"theme": "Éducation", "label": "x", "unit": "", "kind": "count", "additive": True}
    indicator = Indicator(id="eleves", source="insee_education", codes={"qpv": ("EL{yy}",)}, **fields)
    assert indicator.spellings("qpv", "2024-2025") == ("EL25",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"[population]{ENTRY}codes = {{ qpv = ['P'] }}\n[menages]{ENTRY}codes = {{ qpv = ['p'] }}",
            "code 'p' is given to population and to menages",
        ),
        (f"[Population]{ENTRY}codes = {{ qpv = ['P'] }}", "Population"),
        (
            f"[population]{ENTRY}codes = {{ qpv = ['P'] }}\nminimum = 10\nmaximum = 5",
            "minimum 10.0 is above maximum 5.0",
        ),
        (f"[population]{ENTRY}codes = {{ qpv = ['P'] }}\ncolour = 'red'", "colour"),
        (f"[population]{ENTRY.replace('count', 'number')}codes = {{ qpv = ['P'] }}", "kind"),
        ("[population", "not valid"),
    ],
)
def test_a_registry_that_is_not_valid(text: str, message: str, tmp_path: Path) -> None:
    path = registry_of(tmp_path, text)
    with pytest.raises(ConfigurationError) as error:
        load_registry(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert error.value.exit_code == 2


def test_a_registry_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml"):
        load_registry(tmp_path / "nowhere.toml")
