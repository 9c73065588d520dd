"""The base map: read from what the WFS sends, cut out, merged, light, valid, published, and guarded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pyogrio
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.analysis.base_map import AROUND, base_map_layers, streets_of
from qpv_geo.audit.verify import verify_release
from qpv_geo.errors import ContractError, SourceContentError
from qpv_geo.ingest.base_map import BackgroundFeatures, read_base_map
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.one import run
from qpv_geo.settings import Settings
from qpv_geo.sources.fetch import Policy
from qpv_geo.territory import load_territory
from tests.city import city
from tests.publishing import raw_file
from tests.villeneuve import REQUIRED, write_mirror, write_territory

WEST, SOUTH = 922_000.0, 6_684_000.0
CITY = city([(WEST, SOUTH, WEST + 3000, SOUTH + 3000)])
COMMUNES = gpd.GeoDataFrame(
    {"insee_com": ["25056"]},
    geometry=[shapely.box(WEST - 2000, SOUTH - 2000, WEST + 5000, SOUTH + 5000)],
    crs=2154,
)
QPV = gpd.GeoDataFrame(
    {"code_qp": ["QN02503M"]},
    geometry=[shapely.box(WEST + 1200, SOUTH + 1000, WEST + 2000, SOUTH + 1700)],
    crs=2154,
)

Features = dict[str, list[dict[str, Any]]]


def read(folder: Path, features: Features, settings: Settings) -> BackgroundFeatures:
    path = folder / "bdtopo.geojson"
    every = [feature for listed in features.values() for feature in listed]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": every}), encoding="utf-8")
    table, (check,) = read_base_map(raw_file("bdtopo", path), COMMUNES, settings)
    assert check.code == "fond_de_plan_lu"
    return table


@pytest.fixture
def features(tmp_path: Path, settings: Settings) -> BackgroundFeatures:
    return read(tmp_path, CITY, settings)


def test_every_type_is_read_valid_and_flat(features: BackgroundFeatures) -> None:
    frames = [features.buildings, features.roads, features.railways, features.water, features.vegetation]
    assert list(map(len, frames)) == list(map(len, CITY.values()))
    for frame in frames:
        assert frame.crs == 2154
        assert shapely.is_valid(frame.geometry.to_numpy()).all()
        assert not shapely.has_z(frame.geometry.to_numpy()).any()
    assert set(features.roads["importance"]) == {"3", "5"}
    assert features.roads["nom"].str.startswith(("Rue", "Avenue", "Chemin")).all()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda city: city | {"batiment": []}, "features of type batiment"),
        (lambda city: city | {"troncon_de_route": _without(city["troncon_de_route"], "nature")}, "nature"),
        (lambda city: city | {"batiment": _moved(city["batiment"])}, "features around the territory"),
    ],
)
def test_what_is_not_as_declared_is_a_broken_contract(
    tmp_path: Path, settings: Settings, spoil: Callable[[Features], Features], said: str
) -> None:
    with pytest.raises(ContractError, match=said):
        read(tmp_path, spoil(CITY), settings)


@pytest.mark.parametrize("text", ['{"features": [', '{"features": [{"type": "Feature"}]}', "[]"])
def test_a_file_that_is_not_features_is_refused(tmp_path: Path, settings: Settings, text: str) -> None:
    path = tmp_path / "bdtopo.geojson"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SourceContentError, match=r"bdtopo\.geojson"):
        read_base_map(raw_file("bdtopo", path), COMMUNES, settings)


def _without(listed: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [
        one | {"properties": {key: value for key, value in one["properties"].items() if key != name}}
        for one in listed
    ]


def _moved(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return features whose axes are swapped."""
    return [
        one
        | {"geometry": {"type": "Polygon", "coordinates": [[[y, x] for x, y, *_ in ring] for ring in rings]}}
        for one in listed
        for rings in [one["geometry"]["coordinates"]]
    ]


def test_layers_are_cut_a_kilometre_around_the_qpv_light_and_valid(features: BackgroundFeatures) -> None:
    layers, (check,) = base_map_layers(features, QPV)
    around = QPV.geometry.iloc[0].buffer(AROUND)
    assert check.outcome == "conforme"
    assert list(layers) == [
        "fond_batiments",
        "fond_routes",
        "fond_voies_ferrees",
        "fond_eau",
        "fond_vegetation",
    ]
    for name, layer in layers.items():
        assert len(layer), name
        shapes = layer.geometry.to_numpy()
        assert shapely.is_valid(shapes).all(), name
        margin = 70 if name == "fond_batiments" else 5
        assert shapely.contains(around.buffer(margin), shapes).all(), name
    buildings = layers["fond_batiments"]
    near = shapely.intersects(features.buildings.geometry.to_numpy(), around)
    # Two of five share a wall, and one is a shed.
    assert len(buildings) == pytest.approx(near.sum() * 3 / 5, rel=0.05)
    assert buildings.geometry.area.min() > 20
    assert set(layers["fond_voies_ferrees"]["classe"]) == {"train", "tramway"}


def test_a_street_is_one_row_whose_segments_are_joined(features: BackgroundFeatures) -> None:
    roads = base_map_layers(features, QPV)[0]["fond_routes"]
    assert not roads.duplicated(["classe", "nom"]).any()
    assert set(roads["classe"]) == {"principale", "locale", "chemin"}
    straight = roads[roads["classe"] == "principale"].geometry
    assert {len(shapely.get_parts(one)) for one in straight} == {1}
    assert {shapely.get_num_coordinates(one) for one in straight} == {2}


def test_layers_do_not_depend_on_the_order_of_the_file(
    tmp_path: Path, settings: Settings, features: BackgroundFeatures
) -> None:
    turned = read(tmp_path, {kind: listed[::-1] for kind, listed in CITY.items()}, settings)
    for name, layer in base_map_layers(turned, QPV)[0].items():
        expected = base_map_layers(features, QPV)[0][name]
        assert layer.geometry.geom_equals_exact(expected.geometry, 1e-6).all(), name
        assert layer.drop(columns="geometry").equals(expected.drop(columns="geometry")), name


def test_a_qpv_without_streets_is_named(features: BackgroundFeatures) -> None:
    far = QPV.assign(geometry=[shapely.box(WEST + 9000, SOUTH, WEST + 9500, SOUTH + 300)])
    layers, (check,) = base_map_layers(features, far.set_crs(2154))
    assert (check.outcome, check.found) == ("avertissement", "0")
    assert "QN02503M" in check.message
    assert all(layer.empty for layer in layers.values())


def test_streets_gained_and_lost_are_named_with_their_length(features: BackgroundFeatures) -> None:
    roads = base_map_layers(features, QPV)[0]["fond_routes"]
    square = shapely.box(WEST + 1300, SOUTH + 1300, WEST + 1375, SOUTH + 1375)
    pieces = gpd.GeoDataFrame({"nature": ["conserve", "entrant"]}, geometry=[square, square], crs=2154)
    kept, gained = streets_of(pieces, roads)
    assert kept is None
    assert gained == "Rue de Bourgogne 0.15 (75 m), Rue de Bourgogne 0.15b (75 m)"


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=25))
def test_merged_buildings_cover_what_the_buildings_covered(corners: list[tuple[int, int]]) -> None:
    shapes = [
        shapely.box(WEST + 5 * x, SOUTH + 5 * y, WEST + 5 * x + 10, SOUTH + 5 * y + 10) for x, y in corners
    ]
    frame = gpd.GeoDataFrame(geometry=shapes, crs=2154)
    columns = pd.DataFrame(columns=["nature", "importance", "nom", "sol"], dtype=object)
    nothing = gpd.GeoDataFrame(columns, geometry=[], crs=2154)
    found = BackgroundFeatures(frame, nothing, nothing, nothing, nothing, "V3")
    here = gpd.GeoDataFrame({"code_qp": ["QN02503M"]}, geometry=[shapes[0]], crs=2154)
    merged = base_map_layers(found, here)[0]["fond_batiments"].geometry.union_all()
    assert merged.symmetric_difference(frame.geometry.union_all()).area == pytest.approx(0, abs=1e-6)


def test_a_release_with_a_base_map_holds_the_one_without(tmp_path: Path) -> None:
    """It is optional, said in one sentence, and missed as any other optional source."""
    territory = load_territory(str(write_territory(tmp_path, files=False)))
    mirror = write_mirror(tmp_path / "mirror", only=(*REQUIRED, "bdtopo"))
    job = Job(territory, Settings(data_dir=tmp_path / "data"), Policy(mirror=str(mirror)))
    full = run(job).release
    held = dict(pyogrio.list_layers(full.path / "qpv_villeneuve.gpkg"))
    assert held["fond_routes"] == "MultiLineString"
    assert held["fond_batiments"] == "MultiPolygon"
    assert verify_release(full.path) == []
    files = {path.stem for path in full.path.rglob("*") if path.parent.name in {"csv", "geojson"}}
    assert not [name for name in files if name.startswith("fond_")]
    (mirror / "ign" / f"bdtopo-{territory.code}.geojson").unlink()
    bare = run(job).release
    assert bare.held
    report = json.loads((bare.path / "rapport.json").read_text(encoding="utf-8"))
    assert {
        f"Couche {name} absente de cette publication." for name in held if name.startswith("fond_")
    } <= set(report["retenue"])
    (absence,) = [row for row in report["sources_absentes"] if row["source"].startswith("bdtopo")]
    assert absence["motif"].startswith(
        "BD TOPO : bâtiments, rues, voies ferrées, eau, végétation : source facultative"
    )


def test_a_bad_base_map_costs_nothing_else(tmp_path: Path) -> None:
    territory = load_territory(str(write_territory(tmp_path, files=False)))
    mirror = write_mirror(tmp_path / "mirror", only=(*REQUIRED, "bdtopo"))
    (mirror / "ign" / f"bdtopo-{territory.code}.geojson").write_text("<html>", encoding="utf-8")
    release = run(Job(territory, Settings(data_dir=tmp_path / "data"), Policy(mirror=str(mirror)))).release
    report = json.loads((release.path / "rapport.json").read_text(encoding="utf-8"))
    (absence,) = [row for row in report["sources_absentes"] if row["source"].startswith("bdtopo")]
    assert absence["etat"] == "écartée"
    assert "GeoJSON was expected" in absence["motif"]
