"""``locate --with``: communes, IRIS, districts, bands and the QPV of 2015 in the same pass, by every road."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

import qpv_geo
from qpv_geo.errors import ConfigurationError
from qpv_geo.locate.coordinates import split_geometries
from qpv_geo.locate.files import locate_file
from qpv_geo.locate.layers import ZoneLayer, layer_specs
from qpv_geo.locate.locator import Locator
from qpv_geo.locate.points import Points
from qpv_geo.releases.release import Release
from qpv_geo.settings import Settings
from qpv_geo.territory import Territory
from tests.command_line import qpv_geo_here
from tests.examples import examples
from tests.villeneuve import (
    CARRES,
    CARRES_2015,
    EPCI,
    GRANDVILLE,
    MIDDLE,
    PETITBOURG,
    WEST,
    WHOLE_PETITBOURG,
    square,
)

Ville = tuple[Release, Territory]
Ask = Callable[..., pd.DataFrame]
EVERY = tuple(layer_specs())
UNDRAWN = {"quartier_fragile"}


def layer(release: Release, name: str) -> gpd.GeoDataFrame:
    return gpd.read_file(next(release.path.glob("*.gpkg")), layer=name)


@pytest.fixture(scope="module")
def table_of(villeneuve: Ville) -> Ask:
    """Return what asks about all layers; hypothesis would print a locator at length."""
    locator = Locator.of_release(*villeneuve, points_crs=2154, layers=EVERY)

    def ask(shapes: object, precision: float | None = None) -> pd.DataFrame:
        geometries = split_geometries(np.array(shapes, object))
        radius = None if precision is None else np.full(len(geometries.x), precision)
        _, table = locator.locate_geometries(geometries, radius, shares=geometries.shapes is not None)
        return pd.DataFrame(table.to_pylist(), dtype=object)

    return ask


@examples(8)
@given(seed=st.integers(0, 2**32 - 1), precision=st.sampled_from([None, 0.0, 30.0, 900.0, np.nan]))
def test_each_layer_holds_its_points(
    villeneuve: Ville, table_of: Ask, seed: int, precision: float | None
) -> None:
    """Zones are those of shapely's predicate; uncertain is nearer to an edge than precise."""
    release, _ = villeneuve
    rng = np.random.default_rng(seed)
    west, south, *_ = square(0, 0, 1, 1).bounds
    spread = rng.uniform([west - 500, south - 500], [west + 21_000, south + 10_500], (400, 2))
    corners = shapely.get_coordinates(layer(release, "iris").geometry.to_numpy())
    points = shapely.points(np.vstack([spread, corners, corners + rng.normal(size=corners.shape) * 20]))
    found = table_of(points, precision)
    communes = layer(release, "communes").union_all()
    for name, spec in layer_specs().items():
        zones = layer(release, spec.layer)
        drawn = zones[~(zones.is_empty | zones.geometry.isna())].reset_index(drop=True)
        holds = np.array([shapely.intersects(shape, points) for shape in drawn.geometry])
        # A point on the edge of two may be given to either; the first is.
        first = np.where(holds.any(axis=0), holds.argmax(axis=0), -1)
        column, field = next(iter(spec.columns.items()))
        texts = drawn[field].to_numpy(object)
        expected = np.where(first >= 0, texts[first], None)
        if spec.several:
            expected = np.array([", ".join(sorted(texts[held])) or None for held in holds.T], object)
        assert found[column].tolist() == expected.tolist(), name
        answer = np.where(first >= 0, "oui", "non").astype(object)
        edges = shapely.union_all(shapely.boundary(drawn.geometry.to_numpy()))
        if name in UNDRAWN or spec.beyond == "incertain":
            answer[first < 0] = "incertain"
        elif spec.beyond == "territoire":
            answer[(first < 0) & ~shapely.intersects(communes, points)] = "incertain"
            edges = edges.union(communes.boundary)
        if precision is not None:
            near = shapely.distance(edges, points) < (np.inf if np.isnan(precision) else precision)
            answer[near] = "incertain"
        assert found[f"en_{name}"].tolist() == answer.tolist(), name


def test_what_is_known_of_one_place(table_of: Ask) -> None:
    """In two bands at once, in a QPV of 2015 alone, on the border, and where the release knows nothing."""
    west, south, *_ = square(0, 0, 1, 1).bounds
    places = {"2015": (1900, 2500), "border": (10_000, 9000), "beyond": (20_100, 5000), "none": (5000, 9000)}
    points = [shapely.Point(west + x, south + y) for x, y in places.values()]
    rows = dict(zip(places, table_of([*points]).to_dict("records"), strict=True))
    assert rows["2015"]["code_qp_2015"] == CARRES_2015
    assert (rows["2015"]["en_qpv"], rows["2015"]["code_qp_bande"]) == ("non", CARRES)
    assert rows["border"]["insee_com"] in {GRANDVILLE, PETITBOURG}
    assert rows["none"] | {"insee_com": GRANDVILLE, "siren_epci": EPCI, "code_iris": MIDDLE} == rows["none"]
    beyond = rows["beyond"]
    for name, spec in layer_specs().items():
        # Local districts are all known; of everything else the release knows nothing here.
        local = name.endswith("quartier") or name == "bande_quartier_fragile"
        assert beyond[f"en_{name}"] == ("non" if local else "incertain"), name
        assert all(beyond[column] is None for column in spec.columns)
    assert rows["none"]["code_qp_2015"] is None
    assert rows["none"]["en_qpv2015"] == "non"


def test_bands_that_overlap_are_all_named(villeneuve: Ville) -> None:
    release, territory = villeneuve
    spec = layer_specs()["bande"]
    frame = gpd.GeoDataFrame(
        {"code_qp": ["C", "A", "B"], "lib_qp": ["c", "a", "b"]},
        geometry=[square(0, 0, 30, 30), square(20, 0, 50, 30), square(90, 0, 99, 30)],
        crs=2154,
    )
    locator = Locator.of_release(release, territory, points_crs=2154, layers=["bande"])
    built = ZoneLayer.build(spec, frame, frame.crs, (), 0.0)
    empty = ZoneLayer.build(spec, frame[:0], frame.crs, (), 0.0)
    centres = [square(at, 10, at + 2, 12).centroid for at in (5, 24, 40, 94, 60)]
    geometries = split_geometries(np.array(centres, object))
    table = built.locate(geometries, None, np.zeros(5, bool))
    assert table["code_qp_bande"].to_pylist() == ["C", "A, C", "A", "B", None]
    nothing = empty.locate(geometries, np.full(5, 10.0), np.zeros(5, bool))
    assert nothing.to_pylist() == [{"en_bande": "non", "code_qp_bande": None}] * 5
    assert len(locator.layers) == 1


def test_shapes_are_in_one_zone_or_across(table_of: Ask) -> None:
    buildings = [
        square(2590, 100, 2600, 110),
        square(2590, 100, 2620, 110),
        square(9990, 100, 10_030, 110),
        square(-40, 0, 10, 5),
        None,
    ]
    found = table_of(buildings)
    assert found["en_iris"].tolist() == ["oui", "à cheval", "à cheval", "à cheval", "illisible"]
    assert found["code_iris"].tolist() == [WEST, MIDDLE, WHOLE_PETITBOURG, WEST, None]
    assert found["en_commune"].tolist() == ["oui", "oui", "à cheval", "à cheval", "illisible"]
    assert found["insee_com"].tolist() == [GRANDVILLE, GRANDVILLE, PETITBOURG, GRANDVILLE, None]
    near = table_of(buildings, 5.0)
    assert near["en_iris"].tolist() == ["incertain", "à cheval", "à cheval", "à cheval", "illisible"]
    far = table_of(buildings, 50.0)
    assert set(far["en_iris"]) == {"incertain", "illisible"}
    assert far["en_commune"].tolist() == ["oui"] * 2 + ["incertain"] * 2 + ["illisible"]


def test_every_road_gives_the_same_columns(tmp_path: Path, villeneuve: Ville) -> None:
    release, territory = villeneuve
    settings = Settings(data_dir=release.path.parents[2])
    rng = np.random.default_rng(3)
    west, south, *_ = square(0, 0, 1, 1).bounds
    points = pd.DataFrame(
        rng.uniform([west, south], [west + 20_500, south + 10_000], (500, 2)), columns=["x", "y"]
    )
    points = points.round(6)
    layer = gpd.GeoDataFrame(points, geometry=gpd.points_from_xy(points["x"], points["y"]), crs=2154)
    points.to_csv(tmp_path / "p.csv", index=False)
    points.to_parquet(tmp_path / "p.parquet")
    points.to_excel(tmp_path / "p.xlsx", index=False, engine="openpyxl")
    layer.to_file(tmp_path / "p.gpkg")
    layer.to_file(tmp_path / "p.fgb", SPATIAL_INDEX="NO")
    opened = qpv_geo.OpenRelease(release, territory)
    names = ("commune", "iris", "bande", "qpv2015")
    expected = opened.locate(points, columns=("x", "y"), crs=2154, precision=20.0, with_=names)
    added = [name for key in names for name in layer_specs()[key].schema.names]
    assert list(expected.columns[-len(added) :]) == added
    texts = expected[added].astype(object).where(expected[added].notna(), None)
    assert {"oui", "incertain"} <= set(texts["en_iris"])
    for path in sorted(tmp_path.iterdir()):
        columns = {} if path.suffix in {".gpkg", ".fgb"} else {"x": "x", "y": "y", "crs": 2154}
        outcome = locate_file(path, Points(precision=20.0, layers=names, **columns), territory, settings)
        readers = {
            ".csv": lambda file: pd.read_csv(file, dtype=str, keep_default_na=False).replace("", None),
            ".xlsx": lambda file: pd.read_excel(file, dtype=str, engine="calamine"),
            ".parquet": pd.read_parquet,
        }
        found = readers.get(path.suffix, gpd.read_file)(outcome.path)[added].astype(object)
        pd.testing.assert_frame_equal(found.where(found.notna(), None), texts, obj=path.name)


def test_generalised_outlines_of_communes_are_not_trusted_near_them(bandless: Settings) -> None:
    opened = qpv_geo.open_release("besancon", data=bandless.data_dir)
    communes = opened.layer("communes")
    besancon_itself = communes.set_index("insee_com").geometry["25056"]
    line = besancon_itself.boundary
    near = shapely.line_interpolate_point(line, np.linspace(0, line.length, 30))
    far = [besancon_itself.representative_point()]
    at = shapely.get_coordinates([*near, *far])
    found = opened.locate(at[:, 0], at[:, 1], crs=2154, with_=["commune"])
    assert found["en_commune"].tolist() == ["incertain"] * 30 + ["oui"]
    assert found["insee_com"].iloc[-1] == "25056"


def test_a_layer_that_is_not_there_is_a_usage_error(bandless: Settings) -> None:
    opened = qpv_geo.open_release("besancon", data=bandless.data_dir)
    with pytest.raises(
        ConfigurationError, match=r"--with iris, bande: the release has no such layer; it has com"
    ):
        opened.locate([6.0], [47.2], with_=["commune", "iris", "bande"])
    sent = pickle.loads(pickle.dumps(opened))  # noqa: S301 - made just now
    assert sent.locate([6.02], [47.24], with_=["commune"], date="2024-06-30")["lib_com"].tolist() == [
        "Besançon"
    ]
    by_layer = opened.locate([6.02], [47.24], with_=["communes", "commune"])
    assert by_layer["insee_com"].tolist() == ["25056"]
    with pytest.raises(
        ConfigurationError, match=r"--with comune: not a layer; there are commune, epci, iris"
    ):
        opened.locate([6.0], [47.2], with_=["comune"])


def test_the_command_says_it_for_one_point(villeneuve: Ville, tmp_path: Path) -> None:
    release, _ = villeneuve
    folder = release.path.parents[3]
    x, y = square(2500, 2500, 2500, 2500).bounds[:2]
    options = ["--point", f"{x},{y}", "--crs", "2154", "--territory", folder / "villeneuve.toml"]
    options += ["--data", folder / "data", "--with", "commune, iris,qpv2015"]
    done = qpv_geo_here("locate", *options)
    assert done.returncode == 0, done.stderr
    assert f"commune: Grandville ({GRANDVILLE}). iris: Ouest ({WEST}). qpv2015: Les Carrés" in done.stdout
    answer = json.loads(qpv_geo_here("locate", *options, "--json").stdout)
    assert (answer["insee_com"], answer["code_qp_2015"]) == (GRANDVILLE, CARRES_2015)
    table = tmp_path / "p.csv"
    table.write_text(f"x;y;insee_com\n{x};{y};?\n")
    done = qpv_geo_here("locate", table, *options[2:])
    assert (done.returncode, "already has 'insee_com'" in done.stderr) == (2, True), done.stderr
    shown = qpv_geo_here("locate", "--help").stdout
    assert all(name in shown for name in EVERY)
