"""The whole country from the mirror: what an EPCI's release and France's say alike, and what stops whom."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import shapely

from qpv_geo.analysis.parts import join_parts
from qpv_geo.analysis.perimeters import Joined
from qpv_geo.errors import ContractError
from qpv_geo.ingest.cog import read_epci_members
from qpv_geo.ingest.communes import read_territory_communes
from qpv_geo.ingest.contours import Contours, read_contours
from qpv_geo.ingest.outside import Outside
from qpv_geo.ingest.registry import load_registry
from qpv_geo.ingest.statistic_rows import StatisticRows
from qpv_geo.ingest.tables import Tables
from qpv_geo.pipeline.country import country_of, tables_of
from qpv_geo.pipeline.new_territory import territories_with_qpv
from qpv_geo.settings import Settings
from qpv_geo.territory import Territory, load_territory
from tests.raw_files import raw_file

PLANOISE, ESSONNE = "QN02503M", "QN09101M"
ARCHIVE = "anct/qpv-2024-geojson.zip"
# EPCI with a QPV across two of them, or one of another that overhangs, around Paris and in Mayotte too.
ACROSS = (
    "200042190",
    "245901160",
    "200054781",
    "200060473",
    "200060465",
    "242500361",
    "200072460",
    "200058519",
)


@pytest.fixture(scope="module")
def limits(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("country"))


Features = dict[str, dict[str, Any]]
Change = Callable[[Features], None]


@pytest.fixture(scope="module")
def whole(mirror: Path, limits: Settings) -> Tables:
    """Return the tables of France without any statistics."""
    france, outside = load_territory("france"), Outside(None)
    communes = read_territory_communes(
        raw_file("communes_france", mirror / "etalab/communes-1000m.geojson.gz", provenance="mirror"),
        france,
        limits,
        outside,
    )
    contours = raw_file("qpv_2024", mirror / ARCHIVE, provenance="mirror")
    return Tables(
        read_contours(contours, france, limits, outside),
        communes.of_territory,
        StatisticRows(pd.DataFrame({"zone": []})),
        read_epci_members(raw_file("cog_epci", mirror / "cog/epci.json.gz"), limits),
        pd.DataFrame(),
        (),
        set_aside=tuple(outside.set_aside),
        overseas=communes.overseas,
    )


@pytest.fixture(scope="module")
def france(whole: Tables) -> Joined:
    return join_parts(whole, load_territory("france"), load_registry())


def by_code(tables: Tables) -> dict[str, Territory]:
    return {territory.code: territory for territory in territories_with_qpv(country_of(tables))}


def test_an_epci_and_france_count_the_same_qpv(whole: Tables, france: Joined) -> None:
    territories = by_code(whole)
    epci = france.layers["epci"].set_index("siren_epci")["nb_qpv"]
    communes = france.layers["communes"].set_index("insee_com")["nb_qpv"]
    chosen = [territories[code] for code in ACROSS if code in territories]
    assert len(chosen) >= 5
    for territory in chosen:
        own = join_parts(tables_of(territory, whole), territory, load_registry()).layers
        assert own["epci"]["nb_qpv"].tolist() == [epci[territory.code]] == [len(own["qpv"])]
        counted = own["communes"].set_index("insee_com")["nb_qpv"]
        assert counted.equals(communes.loc[counted.index])
    # Declared by every EPCI that has a release.
    for code, territory in territories.items():
        assert epci[code] == territory.expected.qpv


def test_why_france_has_no_index_of_accessibility_is_said_once(france: Joined) -> None:
    (check,) = [check for check in france.checks_around if check.code == "accessibilite_calculee"]
    assert "non pour la France entière" in check.message


def test_every_difference_between_declared_and_computed_communes_has_its_true_reason(france: Joined) -> None:
    checks = [check for check in france.checks if check.code == "commune_declaree_ou_calculee"]
    assert len(checks) == 1584
    unknown = [check for check in checks if check.outcome == "non_verifiable"]
    # Polynésie française and Saint-Martin: no contour of a commune.
    assert len(unknown) == 91
    assert {check.subject[2:5] for check in unknown} == {"987", "978"}
    assert all("dont aucun contour n'a été lu" in check.message for check in unknown)
    warnings = {check.subject: check for check in checks if check.outcome == "avertissement"}
    assert len(warnings) == 179 - 91
    # Two more declare Pierrefitte-sur-Seine, which is no more, and mostly lie where the file has no contour.
    assert {"QN09335M", "QN09342M"} <= set(warnings)
    lapsed, bandraboua = warnings["QN09336I"], warnings["QN97654C"]
    assert (lapsed.expected, lapsed.found) == ("93059", "93079")
    assert "déclarée, dont aucun contour n'a été lu : 93059" in lapsed.message
    assert (bandraboua.expected, bandraboua.found) == ("97602", "97604")
    assert "déclarée sans recouvrement : 97602" in bandraboua.message


def flat(features: Features) -> None:
    features[ESSONNE]["geometry"] = {
        "type": "Polygon",
        "coordinates": [[[2.4, 48.6], [2.5, 48.6], [2.4, 48.6]]],
    }


def move(longitude: float, latitude: float) -> Change:
    def change(features: Features) -> None:
        shape = shapely.geometry.shape(features[PLANOISE]["geometry"])
        shift = (longitude - shape.centroid.x, latitude - shape.centroid.y)
        moved = shapely.transform(shape, lambda points: points + shift)
        features[PLANOISE]["geometry"] = json.loads(shapely.to_geojson(moved))

    return change


def refused(tables: Tables, expected: int = 344) -> dict[str, str]:
    """Return what each territory that is stopped is stopped by."""
    territories = territories_with_qpv(country_of(tables))
    assert len(territories) == expected
    errors = {}
    for territory in territories:
        try:
            tables_of(territory, tables)
        except ContractError as error:
            errors[territory.code] = str(error)
    return errors


def test_nothing_stops_any_territory_of_the_mirror(whole: Tables) -> None:
    assert whole.set_aside == ()
    assert refused(whole) == {}


class Spoilt:
    """Reads the contours of the mirror, with a change, among the other tables."""

    def __init__(self, whole: Tables, mirror: Path, settings: Settings, folder: Path) -> None:
        self._whole, self._mirror, self._settings, self._folder = whole, mirror, settings, folder

    def contours(self, change: Change, outside: Outside) -> Contours:
        path = self._folder / "qpv.zip"
        with zipfile.ZipFile(self._mirror / ARCHIVE) as archive:
            (member,) = archive.namelist()
            collection = json.loads(archive.read(member))
        change({feature["properties"]["code_qp"]: feature for feature in collection["features"]})
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(member, json.dumps(collection))
        raw = raw_file("qpv_2024", path, provenance="mirror")
        return read_contours(raw, load_territory("france"), self._settings, outside)

    def tables(self, change: Change) -> Tables:
        outside = Outside(None)
        contours = self.contours(change, outside)
        return replace(self._whole, contours=contours, set_aside=tuple(outside.set_aside))


@pytest.fixture
def spoilt(whole: Tables, mirror: Path, limits: Settings, tmp_path: Path) -> Spoilt:
    return Spoilt(whole, mirror, limits, tmp_path)


@pytest.mark.parametrize(
    ("change", "code", "siren", "words"),
    [
        pytest.param(flat, ESSONNE, "200057859", "a valid polygon", id="no area in Essonne"),
        pytest.param(
            move(4.85, 45.75), PLANOISE, "242500361", "in or near département 01, 38, 69", id="Lyon"
        ),
    ],
)
def test_a_defect_stops_the_territory_that_holds_it_and_france(
    change: Change, code: str, siren: str, words: str, spoilt: Spoilt
) -> None:
    errors = refused(spoilt.tables(change))
    assert set(errors) == {siren}
    assert words in errors[siren]
    france = Outside(load_territory("france"))
    with pytest.raises(ContractError, match=code):
        spoilt.contours(change, france)


def test_planoise_in_the_next_department_is_refused_where_its_communes_are_read(spoilt: Spoilt) -> None:
    # Héricourt, in the Haute-Saône, within the rectangle of the Doubs.
    tables = spoilt.tables(move(6.76, 47.577))
    assert tables.set_aside == ()
    told = r"QN02503M \(Planoise\): expected in commune 25056 .* found in commune 70285 \(Héricourt\)"
    with pytest.raises(ContractError, match=told):
        join_parts(tables, load_territory("france"), load_registry())
    errors = refused(tables)
    assert set(errors) == {"242500361"}
    assert "Héricourt" in errors["242500361"]
