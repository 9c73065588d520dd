"""A defect outside the territory is told and stops nothing; inside it stops that territory alone."""

import json
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest

from qpv_geo.checks import Check
from qpv_geo.errors import ContractError
from qpv_geo.ingest.communes import read_communes, read_iris, read_territory_communes
from qpv_geo.ingest.contours import Contours, read_contours, read_qpv_2015
from qpv_geo.ingest.outside import Outside, may_hold
from qpv_geo.settings import Settings
from qpv_geo.territory import Expected, Territory, load_territory
from tests.country import country
from tests.raw_files import Json, raw_file, set_property, some_communes, write_json
from tests.test_iris_contours import geojson, service

PLANOISE, ELSEWHERE = 1, 800


def flat(feature: int) -> Callable[[Json], None]:
    """Return a change that leaves a polygon without area."""

    def change(collection: Json) -> None:
        geometry = collection["features"][feature]["geometry"]
        (x, y), *_ = geometry["coordinates"][0][0]
        ring = [[x, y], [x + 0.01, y], [x, y], [x, y]]
        collection["features"][feature]["geometry"] = {"type": "Polygon", "coordinates": [ring]}

    return change


def shape(feature: int, kind: str, coordinates: object) -> Callable[[Json], None]:
    def change(collection: Json) -> None:
        collection["features"][feature]["geometry"] = {"type": kind, "coordinates": coordinates}

    return change


def twin(feature: int, of: int) -> Callable[[Json], None]:
    def change(collection: Json) -> None:
        collection["features"][feature]["geometry"] = collection["features"][of]["geometry"]

    return change


def double(feature: int) -> Callable[[Json], None]:
    def change(collection: Json) -> None:
        collection["features"].append(json.loads(json.dumps(collection["features"][feature])))

    return change


@pytest.fixture(scope="module")
def whole() -> Json:
    return country()


class Reader:
    """Reads the made-up country, with a change."""

    def __init__(self, whole: Json, folder: Path, settings: Settings) -> None:
        self.whole, self._folder, self._settings = whole, folder, settings

    def __call__(self, change: Callable[[Json], None], outside: Outside, territory: Territory) -> Contours:
        collection = json.loads(json.dumps(self.whole))
        change(collection)
        path = write_json(self._folder / "qpv.geojson", collection)
        return read_contours(
            raw_file("qpv_2024", path, provenance="live"), territory, self._settings, outside
        )

    def code(self, feature: int) -> str:
        return str(self.whole["features"][feature]["properties"]["code_qp"])


@pytest.fixture
def read(whole: Json, tmp_path: Path, settings: Settings) -> Reader:
    return Reader(whole, tmp_path, settings)


DEFECTS = [
    pytest.param(flat, "contour invalide, que sa réparation changerait de plus de 1 %", id="no area"),
    pytest.param(lambda n: shape(n, "Polygon", []), "contour absent, vide ou non fermé", id="empty"),
    pytest.param(
        lambda n: shape(n, "LineString", [[1, 45], [2, 45]]), "géométrie qui n'est pas un polygone", id="line"
    ),
    pytest.param(
        lambda n: shape(n, "Polygon", [[[0, 45], [float("nan"), 45], [0, 46], [0, 45]]]),
        "coordonnées non finies",
        id="NaN",
    ),
    pytest.param(
        lambda n: shape(n, "Polygon", [[[45, 0], [45, 1], [46, 1], [45, 0]]]),
        "contour hors de son département ou de sa partie de la France",
        id="elsewhere in the world",
    ),
    pytest.param(
        lambda n: shape(n, "Polygon", [[[7.7, 48.5], [7.8, 48.5], [7.8, 48.6], [7.7, 48.5]]]),
        "contour hors de son département ou de sa partie de la France",
        id="elsewhere in France",
    ),
    pytest.param(lambda n: set_property("lib_qp", None, n), "champ lib_qp absent ou mal formé", id="no name"),
    pytest.param(
        lambda n: set_property("insee_dep", "39", n), "champ insee_dep absent ou mal formé", id="department"
    ),
    pytest.param(
        lambda n: set_property("insee_com", "1001", n), "champ insee_com absent ou mal formé", id="commune"
    ),
]


@pytest.mark.parametrize(("defect", "nature"), DEFECTS)
def test_a_defect_elsewhere_is_a_warning_and_counts_are_confirmed(
    defect: Callable[[int], Callable[[Json], None]], nature: str, read: Reader, besancon: Territory
) -> None:
    outside = Outside(besancon)
    contours = read(defect(ELSEWHERE), outside, besancon)
    code = read.code(ELSEWHERE)
    assert len(contours.by_epsg[2154]) == 1361
    assert code not in set(contours.by_epsg[2154]["code_qp"])
    assert set(contours.attributes["code_qp"]) == {read.code(feature) for feature in range(1362)}
    counted = {check.code: check.found for check in contours.checks if check.code.startswith("nombre_qpv")}
    assert list(counted.values()) == ["1362", "17", "6"]
    message = f"qpv.geojson, entité 801 ({code}) : {nature}. Hors du territoire, elle est laissée de côté."
    assert outside.checks() == [Check("entite_ecartee", code, "avertissement", "", nature, message)]


@pytest.mark.parametrize(("defect", "nature"), DEFECTS)
@pytest.mark.parametrize("name", ["besancon", "france"])
def test_the_same_inside_is_a_stop(
    defect: Callable[[int], Callable[[Json], None]], nature: str, name: str, read: Reader
) -> None:
    territory = load_territory(name)
    if name == "france":
        territory = territory.model_copy(update={"expected": Expected(qpv=1362)})
    outside = Outside(territory)
    with pytest.raises(ContractError, match=r"(?s)1 problem, .*feature 2 \(QN02503M\)") as error:
        read(defect(PLANOISE), outside, territory)
    assert nature not in str(error.value)
    assert not outside.checks()


def test_france_lists_every_defect(read: Reader) -> None:
    def change(collection: Json) -> None:
        for feature in (PLANOISE, 300, ELSEWHERE):
            flat(feature)(collection)

    france = load_territory("france").model_copy(update={"expected": Expected(qpv=1362)})
    with pytest.raises(ContractError, match="3 problems") as error:
        read(change, Outside(france), france)
    assert all(f"feature {number}" in str(error.value) for number in (2, 301, 801))


def test_a_code_or_a_contour_that_two_have_stops_whom_it_may_concern(
    read: Reader, besancon: Territory
) -> None:
    for change, left in ((double(ELSEWHERE), 1361), (twin(ELSEWHERE, 830), 1360)):
        outside = Outside(besancon)
        contours = read(change, outside, besancon)
        assert len(contours.by_epsg[2154]) == left
        assert len(outside.set_aside[0].features) == 2
        assert "nombre_qpv_metropole" in {check.code for check in contours.checks if check.found == "1362"}
    for change in (double(PLANOISE), twin(ELSEWHERE, PLANOISE)):
        with pytest.raises(ContractError, match="QN02503M"):
            read(change, Outside(besancon), besancon)


def test_a_code_that_cannot_be_read_is_a_stop_wherever_it_is(read: Reader, besancon: Territory) -> None:
    for outside in (Outside(besancon), Outside(None)):
        with pytest.raises(ContractError, match=r"code of a QPV 2024.*at feature 801") as error:
            read(set_property("code_qp", "QN3001N", ELSEWHERE), outside, besancon)
        assert "expected 1362 QPV in France métropolitaine; found 1361" in str(error.value)


def test_what_declares_nothing_cannot_be_excluded_from_its_department(
    read: Reader, besancon: Territory
) -> None:
    def silent(collection: Json, feature: int) -> None:
        flat(feature)(collection)
        for name in ("insee_com", "siren_epci"):
            set_property(name, None, feature)(collection)

    doubs = 10
    assert read.code(doubs).startswith("QN025")
    with pytest.raises(ContractError, match="at feature 11"):
        read(lambda collection: silent(collection, doubs), Outside(besancon), besancon)
    outside = Outside(besancon)
    read(lambda collection: silent(collection, ELSEWHERE), outside, besancon)
    assert len(outside.checks()) == 1


@pytest.mark.parametrize(
    ("genre", "inside"),
    [
        ("epci", [True, False, False, True, True, False, True]),
        ("commune", [True, False, True, True, True, False, True]),
        ("departement", [True, True, True, True, True, False, True]),
        ("france", [True] * 7),
    ],
)
def test_what_may_lie_in_a_territory(genre: str, inside: list[bool]) -> None:
    codes = {
        "epci": {"epci": "242500361", "region": "27", "departement": "25", "communes": ("25056",)},
        "commune": {"commune": "25056", "departement": "25"},
        "departement": {"departement": "25"},
        "france": {},
    }[genre]
    territory = Territory(id="essai", nom="Essai", genre=genre, expected=Expected(qpv=1), **codes)
    places = pd.DataFrame(
        [
            ("25056", "242500361", "25"),
            ("25462", "242500338", "25"),
            # Not readable: the commune alone, the EPCI alone, both.
            ("5056", "242500338", "25"),
            ("25056", "2425", "25"),
            (None, None, "25"),
            (None, None, "91"),
            (None, None, None),
        ],
        columns=["insee_com", "siren_epci", "insee_dep"],
    )
    assert may_hold(territory, places).tolist() == inside


def two_epci() -> Json:
    """Return three communes: one of Grand Besançon, one of another EPCI, one of none."""
    collection = some_communes()
    set_property("codeEpci", "242500338", 1)(collection)
    set_property("codeEpci", None, 2)(collection)
    set_property("codeDepartement", "25", 2)(collection)
    return collection


@pytest.mark.parametrize(
    "change", [shape(1, "Polygon", []), set_property("population", "beaucoup", 1)], ids=["empty", "people"]
)
def test_communes_elsewhere(change: Callable[[Json], None], tmp_path: Path, settings: Settings) -> None:
    collection = two_epci()
    change(collection)
    raw = raw_file("communes_france", write_json(tmp_path / "c.geojson", collection))
    besancon = load_territory("besancon")
    outside = Outside(besancon)
    found = read_territory_communes(raw, besancon, settings, outside)
    assert len(found.of_territory) == 1
    (check,) = outside.checks()
    assert (check.code, check.outcome) == ("entite_ecartee", "avertissement")
    assert check.subject == collection["features"][1]["properties"]["code"]
    everywhere = Outside(None)
    assert len(read_communes(raw, settings, None, everywhere)[2154]) == 2
    pontarlier = besancon.model_copy(update={"epci": "242500338"})
    (aside,) = everywhere.set_aside
    with pytest.raises(ContractError, match="at feature 2"):
        aside.refuse(may_hold(pontarlier, aside.features))
    aside.refuse(may_hold(besancon, aside.features))
    with pytest.raises(ContractError, match="at feature 2"):
        read_territory_communes(raw, pontarlier, settings, Outside(pontarlier))


def test_a_commune_needs_its_whole_epci(tmp_path: Path, settings: Settings) -> None:
    collection = some_communes()
    shape(1, "Polygon", [])(collection)
    raw = raw_file("communes_france", write_json(tmp_path / "c.geojson", collection))
    mine = collection["features"][0]["properties"]["code"]
    one = Territory(
        id="essai", nom="Essai", genre="commune", commune=mine, departement="25", expected=Expected(qpv=1)
    )
    with pytest.raises(ContractError, match="at feature 2"):
        read_territory_communes(raw, one, settings, Outside(one))
    set_property("codeEpci", "242500338", 1)(collection)
    write_json(tmp_path / "c.geojson", collection)
    assert len(read_territory_communes(raw, one, settings, Outside(one)).of_territory) == 1


def test_iris_elsewhere_stop_the_territory_that_they_are_in(tmp_path: Path, settings: Settings) -> None:
    frame = pd.concat([service(), service("25462", 2)], ignore_index=True)
    frame.loc[3, "nom_iris"] = None
    raws = {"iris_france": geojson(tmp_path / "i.geojson", gpd.GeoDataFrame(frame, crs=4326))}
    communes = {"25056", "25462"}
    outside = Outside(None)
    iris, _ = read_iris(raws, communes, settings, 2154, outside)
    assert iris["code_iris"].tolist() == ["250560101", "250560102", "250560103", "254620101"]
    (aside,) = outside.set_aside
    besancon = load_territory("besancon").model_copy(update={"communes": ("25056",)})
    aside.refuse(may_hold(besancon, aside.features))
    with pytest.raises(ContractError, match=r"nom_iris.*feature 4 \(254620102\)"):
        aside.refuse(may_hold(besancon.model_copy(update={"communes": ("25462",)}), aside.features))


def test_qpv_2015_are_placed_by_the_department_of_their_code(
    tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    ring = [[6.0, 47.2], [6.01, 47.2], [6.01, 47.21], [6.0, 47.2]]
    there = [[2.3, 48.6], [2.31, 48.6], [2.31, 48.61], [2.3, 48.6]]
    features = [
        {
            "type": "Feature",
            "properties": {"code_qp": code, "nom_qp": "Quartier", "commune_qp": "Commune"},
            "geometry": {"type": "Polygon", "coordinates": rings},
        }
        for code, rings in (("QP025001", [ring]), ("QP091001", []), ("QP091002", [there]))
    ]
    path = write_json(tmp_path / "q.geojson", {"type": "FeatureCollection", "features": features})
    raw = raw_file("qpv_2015_wfs", path, counts={"metropole": 3}, provenance="live")
    outside = Outside(besancon)
    qpv, checks = read_qpv_2015(raw, settings, 2154, outside)
    assert qpv["code_qp"].tolist() == ["QP025001", "QP091002"]
    assert [check.found for check in checks if check.code.startswith("nombre")] == ["3"]
    assert [check.subject for check in outside.checks()] == ["QP091001"]
    with pytest.raises(ContractError, match="at feature 2"):
        read_qpv_2015(raw, settings, 2154, Outside(besancon.model_copy(update={"departement": "91"})))
