"""The QPV around a territory: which they are, how far, and that nothing counts them."""

from collections.abc import Callable
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.analysis.bands import neighbours, qpv_bands, undrawn_near
from qpv_geo.analysis.selection import cut_by_communes, select
from qpv_geo.audit.compare_contours import compare_attributes, compare_shapes
from qpv_geo.audit.geopackage import read_geopackage
from qpv_geo.audit.mismatches import WrittenLayer
from qpv_geo.audit.originals import Originals
from qpv_geo.audit.readers import written_layer
from qpv_geo.formats.fields import published_layers
from qpv_geo.ingest.contours import Contours
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.one import run
from qpv_geo.releases.release import Release
from qpv_geo.settings import Settings
from qpv_geo.sources.fetch import Policy
from qpv_geo.territory import LARGEST_REACH, Bands, Territory, load_territory
from tests.essai import essai
from tests.publishing import REGISTRY
from tests.villeneuve import CARRES, NEIGHBOUR, write_mirror, write_territory

EPCI = "242500361"
ESSAI = essai()


def communes() -> gpd.GeoDataFrame:
    """Two communes side by side, 1 km wide."""
    table = {"insee_com": ["25056", "25112"], "nom_com": ["Besançon", "Chalezeule"], "siren_epci": EPCI}
    shapes = [shapely.box(0, 0, 1000, 1000), shapely.box(1000, 0, 2000, 1000)]
    return gpd.GeoDataFrame(table, geometry=shapes, crs=2154)


def qpv(**boxes: tuple[float, float, float, float]) -> gpd.GeoDataFrame:
    """Return QPV of another EPCI, but for those named ``QN025…``."""
    mine = [code.startswith("QN025") for code in boxes]
    table = {
        "code_qp": list(boxes),
        "lib_qp": list(boxes),
        "insee_com": np.where(mine, "25056", "39001"),
        "lib_com": "Commune",
        "siren_epci": np.where(mine, EPCI, "200000000"),
        "ecart_reparation_m2": np.nan,
    }
    shapes = [shapely.MultiPolygon([shapely.box(*bounds)]) for bounds in boxes.values()]
    return gpd.GeoDataFrame(table, geometry=shapes, crs=2154)


OURS = (100.0, 100.0, 200.0, 200.0)
ACROSS = (1900.0, 0.0, 2100.0, 100.0)
NEAR = (2300.0, 400.0, 2400.0, 500.0)
FAR = (2000 + LARGEST_REACH + 1, 0.0, 2200 + LARGEST_REACH, 100.0)


def test_those_that_meet_a_commune_or_lie_near_are_neighbours() -> None:
    layer = qpv(QN03903N=NEAR, QN02501M=OURS, QN03902N=ACROSS, QN03904N=FAR)
    found = neighbours(layer, layer.iloc[[1]], communes(), Bands(npnru=("QN03903N",)))
    assert found["code_qp"].tolist() == ["QN03902N", "QN03903N"]
    assert found["distance_territoire_m"].tolist() == [0, 300]
    assert found["largeur_bande_m"].tolist() == [300, 500]
    assert found["siren_epci"].tolist() == ["200000000"] * 2
    assert found.crs == 2154


def test_no_neighbour_is_an_empty_layer_with_its_columns() -> None:
    layer = qpv(QN02501M=OURS, QN03904N=FAR)
    found = neighbours(layer, layer.iloc[[0]], communes(), Bands())
    assert len(found) == 0
    assert set(found.columns) == {*published_layers(REGISTRY)["qpv_voisins"].fields, "geometry"}
    assert found.crs == 2154


@given(
    st.lists(st.tuples(*[st.integers(-13_000, 13_000)] * 2, st.integers(1, 4000)), min_size=1, max_size=12)
)
def test_all_within_the_distance_are_there_and_no_others(squares: list[tuple[int, int, int]]) -> None:
    boxes = {f"QN039{n:02}N": (x, y, x + side, y + side) for n, (x, y, side) in enumerate(squares)}
    layer = qpv(QN02501M=OURS, **boxes)
    territory = communes()
    found = neighbours(layer, layer.iloc[[0]], territory, Bands()).set_index("code_qp")
    distance = layer.distance(territory.union_all()).set_axis(layer["code_qp"])[1:]
    expected = distance[distance <= LARGEST_REACH]
    assert found["distance_territoire_m"].to_dict() == pytest.approx(expected.sort_index().to_dict())


def test_the_control_says_where_a_qpv_that_it_excludes_is_published() -> None:
    layer = qpv(QN02501M=OURS, QN03902N=ACROSS)
    pieces = cut_by_communes(layer, communes(), ESSAI)
    for published in (True, False):
        selected, checks = select(layer, pieces, ESSAI, with_neighbours=published)
        assert selected["code_qp"].tolist() == ["QN02501M"]
        (doubt,) = [check for check in checks if check.code == "epci_declare_ou_calcule"]
        assert doubt.subject == "QN03902N"
        assert ("qpv_voisins" in doubt.message) is published


def test_a_qpv_without_contour_is_far_if_its_department_is() -> None:
    drawn = qpv(QN02501M=OURS, QN03903N=NEAR, QN09101M=(400_000, 0, 400_100, 100))
    lost = pd.DataFrame({"code_qp": ["QN02502M", "QN03901M", "QN09102M", "QN06901M", "QN97101M"]})
    contours = Contours({2154: drawn}, national=True, checks=(), set_aside=lost)
    # None of the Rhône is drawn; Guadeloupe is another part of France.
    assert undrawn_near(contours, communes(), ESSAI) == ["QN02502M", "QN03901M", "QN06901M"]
    assert undrawn_near(replace(contours, set_aside=lost.iloc[:0]), communes(), ESSAI) == []


def test_a_neighbour_may_be_in_the_npnru_and_a_stranger_may_not() -> None:
    layer = qpv(QN02501M=OURS)
    bands = Bands(npnru=("QN03903N",))
    assert qpv_bands(layer, bands, shapely.MultiPolygon(), ["QN03903N"])["distance_m"].tolist() == [300]


@pytest.fixture(scope="module")
def villeneuve(tmp_path_factory: pytest.TempPathFactory) -> tuple[Release, Territory, Originals]:
    folder = tmp_path_factory.mktemp("villeneuve")
    territory = load_territory(str(write_territory(folder, files=False)))
    settings = Settings(data_dir=folder / "data")
    outcome = run(Job(territory, settings, Policy(mirror=str(write_mirror(folder / "mirror")))))
    return outcome.release, territory, Originals(outcome.raws, set(), settings)


def written(release: Release) -> dict[str, WrittenLayer]:
    layers = published_layers(REGISTRY)
    names = ("qpv", "communes", "epci", "qpv_commune", "qpv_voisins", "statistiques", "controles")
    path = next(release.path.glob("*.gpkg"))
    tables = read_geopackage(path, names)
    return {name: written_layer(path, tables, layers[name]) for name in names}


def test_a_neighbour_is_published_and_counted_nowhere(
    villeneuve: tuple[Release, Territory, Originals],
) -> None:
    tables = {name: layer.attributes for name, layer in written(villeneuve[0]).items()}
    (row,) = tables["qpv_voisins"].to_dict("records")
    assert (row["code_qp"], row["lib_qp"]) == (NEIGHBOUR, "Le Voisin")
    assert row["distance_territoire_m"] == pytest.approx(400, abs=1e-3)
    assert row["largeur_bande_m"] == 300
    assert tables["epci"]["nb_qpv"].tolist() == [3]
    assert tables["communes"]["nb_qpv"].sum() == 4
    for name in ("qpv", "qpv_commune", "statistiques"):
        assert NEIGHBOUR not in tables[name].iloc[:, :2].to_numpy()
    assert not (villeneuve[0].path / "portraits" / f"{NEIGHBOUR}.html").exists()


Damage = Callable[[WrittenLayer], WrittenLayer]


def _with(field: str, value: object) -> Damage:
    return lambda layer: replace(layer, attributes=layer.attributes.assign(**{field: value}))


def _moved(layer: WrittenLayer) -> WrittenLayer:
    assert layer.geometry is not None
    return replace(layer, geometry=shapely.transform(layer.geometry, lambda xy: xy + 0.01))


@pytest.mark.parametrize(
    ("damage", "field"),
    [
        (_with("lib_qp", "Autre"), "lib_qp"),
        (_with("code_qp", CARRES), "lib_qp"),
        (_moved, "geometry"),
    ],
)
def test_a_wrong_neighbour_is_found_by_the_second_reading(
    villeneuve: tuple[Release, Territory, Originals], damage: Damage, field: str
) -> None:
    release, territory, originals = villeneuve
    good = written(release)
    assert compare_attributes(good, originals, territory) == []
    assert compare_shapes([good], originals) == []
    damaged = good | {"qpv_voisins": damage(good["qpv_voisins"])}
    mismatches = compare_attributes(damaged, originals, territory) + compare_shapes([damaged], originals)
    assert field in {mismatch.field for mismatch in mismatches}
    assert {mismatch.layer for mismatch in mismatches} == {"qpv_voisins"}
