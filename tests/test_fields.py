"""The declared layers: what a declaration may say, and what the registry adds to it."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from qpv_geo.errors import ConfigurationError
from qpv_geo.formats.fields import Layer, LayerField, load_layers, published_layers
from qpv_geo.ingest.registry import Registry
from tests.publishing import REGISTRY

TEXT = {"type": "text", "alias": "Texte"}


def layer(**changes: object) -> Layer:
    entry = {"name": "t", "title": "T", "abstract": "A.", "key": ["code"], "fields": {"code": TEXT}}
    return Layer.model_validate(entry | changes)


def test_shipped_layers_have_french_titles_that_differ() -> None:
    layers = load_layers()
    assert next(iter(layers)) == "qpv"
    titles = [entry.title for entry in layers.values()]
    assert len(set(titles)) == len(titles), "GeoPackage wants one identifier per table"


def test_indicators_become_three_columns_of_qpv_and_of_no_other_layer() -> None:
    layers = published_layers(REGISTRY)
    for indicator in REGISTRY.indicators:
        names = [indicator.id, f"{indicator.id}_statut", f"{indicator.id}_millesime"]
        there = [name in layers["qpv"].fields for name in names]
        assert there == [indicator.qpv_layer] * 3
        assert f"{indicator.id}_statut" not in layers["communes"].fields
    assert layers["qpv"].fields["taux_pauvrete_60"].unit == "%"
    assert layers["qpv"].fields["taux_pauvrete_60"].type == "real"


@pytest.mark.parametrize("name", ["fid", "geom"])
def test_a_field_may_not_take_the_name_of_a_column_of_the_geopackage(name: str) -> None:
    with pytest.raises(ValidationError, match=f"reserved for the GeoPackage: {name}"):
        layer(fields={"code": TEXT, name: {"type": "text", "alias": "Autre"}})


def test_every_problem_of_a_declaration_is_told_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        layer(key=["absent"], fields={"Code": TEXT, "autre": TEXT})
    for part in ("not lower snake case: Code", "without being declared: absent", "aliases used twice: Texte"):
        assert part in str(caught.value)


def test_an_indicator_may_not_take_the_place_of_a_declared_field() -> None:
    indicator = REGISTRY.indicators[0].model_copy(update={"id": "surface_m2", "qpv_layer": True})
    with pytest.raises(ConfigurationError, match="layer qpv declares surface_m2, an indicator does too"):
        published_layers(Registry(indicators=(indicator,)))


def test_two_indicators_may_not_have_one_label() -> None:
    first = REGISTRY.indicators[0].model_copy(update={"qpv_layer": True})
    second = first.model_copy(update={"id": "autre", "codes": {"qpv": ("AUTRE",)}})
    with pytest.raises(ConfigurationError, match="aliases used twice"):
        published_layers(Registry(indicators=(first, second)))


def test_comment_joins_description_and_unit() -> None:
    field = LayerField(type="real", alias="Surface", unit="m²", description="Mesurée ici.")
    assert field.comment == "Mesurée ici. Unité : m²."
    assert LayerField(type="text", alias="Nom").comment == ""


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "fields.toml"
    path.write_text("[qpv]\ntitle = 3\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"fields\.toml: the declared layers are not valid"):
        load_layers(path)
