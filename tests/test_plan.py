"""What a run asks for."""

from collections.abc import Iterable

import pytest

from qpv_geo.errors import ConfigurationError
from qpv_geo.sources.catalogue import Catalogue
from qpv_geo.sources.plan import (
    Wanted,
    around_qpv,
    first_choices,
    ignored,
    one_of_each_host_first,
    second_choices,
    source_id_of,
)
from qpv_geo.sources.raw import RawFile
from qpv_geo.territory import ContourFile, Territory
from tests.raw_files import raw_file, shipped


def keys(wanted: Iterable[Wanted]) -> list[str]:
    return [each.key for each in wanted]


def with_communes(territory: Territory, *communes: str) -> Territory:
    return territory.model_copy(update={"communes_principales": communes})


def test_every_used_source_but_second_choices(catalogue: Catalogue, besancon: Territory) -> None:
    wanted = first_choices(catalogue, besancon)
    found = {source_id_of(each.key) for each in wanted}
    seconds = {source.id for source in catalogue.used() if source.alternative_to}
    local = {"quartiers_fichier", "quartiers_fragiles_fichier"}
    around = {source_id_of(each.key) for each in around_qpv(catalogue, besancon, None)}
    assert around == {"bdtopo"}
    assert found == {source.id for source in catalogue.used()} - seconds - local - around
    assert {"qpv_2015_wfs", "iris_france"} <= seconds
    assert all(each.source.id == source_id_of(each.key) for each in wanted)


def test_a_source_by_commune_is_one_file_for_each(catalogue: Catalogue, besancon: Territory) -> None:
    wanted = first_choices(catalogue, with_communes(besancon, "25056", "25429"))
    iris = {each.key: each.territory for each in wanted if each.source.id == "iris"}
    assert list(iris) == ["iris-25056", "iris-25429"]
    assert iris["iris-25429"].communes_principales == ("25429",)
    # Without main communes there is nothing to ask for.
    assert "iris" not in {e.source.id for e in first_choices(catalogue, with_communes(besancon))}


def test_a_file_of_the_territory_is_asked_for_if_it_declares_one(
    catalogue: Catalogue, besancon: Territory
) -> None:
    file = ContourFile.model_validate({"chemin": "q.gpkg", "mise_a_jour": "2025-01-31"})
    declaring = besancon.model_copy(update={"quartiers_fichier": file})
    assert "quartiers_fichier" in keys(first_choices(catalogue, declaring))
    assert "quartiers_fichier" not in keys(first_choices(catalogue, besancon))


def test_a_second_choice_only_in_place_of_a_first(catalogue: Catalogue, besancon: Territory) -> None:
    raws: dict[str, RawFile | None] = {each.key: None for each in first_choices(catalogue, besancon)}
    assert {"qpv_2015_wfs", "iris_france"} <= set(keys(second_choices(catalogue, besancon, raws)))
    had = raw_file("qpv_2024", shipped("anct/qpv-2024.geojson"))
    raws |= {"qpv_2015": had, "iris-25056": had}
    seconds = set(keys(second_choices(catalogue, besancon, raws)))
    assert not seconds & {"qpv_2015_wfs", "iris_france"}


def test_one_missing_commune_is_enough(catalogue: Catalogue, besancon: Territory) -> None:
    territory = with_communes(besancon, "25056", "25429")
    had = raw_file("qpv_2024", shipped("anct/qpv-2024.geojson"))
    raws: dict[str, RawFile | None] = {"qpv_2015": had, "iris-25056": had, "iris-25429": None}
    assert "iris_france" in keys(second_choices(catalogue, territory, raws))


def test_what_the_territory_does_without(catalogue: Catalogue, besancon: Territory) -> None:
    without = besancon.model_copy(update={"sources_ignorees": ("bpe", "iris_france", "qpv_2015")})
    assert ignored(catalogue, without) == ("bpe", "iris_france", "qpv_2015")
    assert not {"bpe", "qpv_2015"} & set(keys(first_choices(catalogue, without)))
    raws: dict[str, RawFile | None] = {"qpv_2015": None, "iris-25056": None}
    seconds = keys(second_choices(catalogue, without, raws))
    # To ignore the first choice is to ask for the second; that may be ignored as well.
    assert "qpv_2015_wfs" in seconds
    assert "iris_france" not in seconds


@pytest.mark.parametrize(
    ("source_id", "message"),
    [
        ("qpv_2024", "'sources_ignorees' names qpv_2024, and there is no release without it"),
        ("bp", "unknown source 'bp'; the catalogue declares: .*bpe"),
    ],
)
def test_what_no_territory_does_without(
    source_id: str, message: str, catalogue: Catalogue, besancon: Territory
) -> None:
    without = besancon.model_copy(update={"sources_ignorees": (source_id,)})
    with pytest.raises(ConfigurationError, match=message):
        first_choices(catalogue, without)


def test_the_key_of_a_raw_file_tells_its_source() -> None:
    assert source_id_of("iris-25056") == "iris"
    assert source_id_of("bpe") == "bpe"


def test_every_host_is_asked_before_any_is_asked_again(catalogue: Catalogue, besancon: Territory) -> None:
    choices = first_choices(catalogue, besancon)
    ordered = one_of_each_host_first(choices)
    hosts = [wanted.source.hosts[:1] for wanted in ordered]
    assert len(set(hosts[: len(set(hosts))])) == len(set(hosts)) > 3
    assert sorted(keys(ordered)) == sorted(keys(choices))
    assert hosts.count(("www.insee.fr",)) > 10
