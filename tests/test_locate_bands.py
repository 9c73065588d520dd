"""`locate` and the layers of a release agree: bands as wide as it draws them, and the QPV around it."""

from collections.abc import Callable

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.analysis.bands import widen
from qpv_geo.locate.answers import Answer
from qpv_geo.locate.locator import Locator
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.one import Outcome, run
from qpv_geo.releases.release import Release
from qpv_geo.settings import Settings
from qpv_geo.sources.fetch import Policy
from qpv_geo.territory import Territory, load_territory
from tests.villeneuve import CARRES, FRONTIERE, NEIGHBOUR, square, write_mirror, write_territory

Floats = npt.NDArray[np.float64]
PLANOISE = "QN02503M"
# Metres: how far inside the true curve the arcs of the layer may lie, and what GeoPackage's millimetres add.
DRAWN = 0.006


def layer(release: Release, name: str) -> gpd.GeoDataFrame:
    return gpd.read_file(next(release.path.glob("*.gpkg")), layer=name)


def at(release: Release, distance: float, code: str) -> tuple[Floats, Floats]:
    """Return points that are so far from a QPV, all around it."""
    shape = layer(release, "qpv").set_index("code_qp").geometry[code]
    outline = widen(shape, distance).boundary
    points = shapely.line_interpolate_point(outline, np.linspace(0, outline.length, 40))
    return shapely.get_x(points), shapely.get_y(points)


Publishing = Callable[..., tuple[Release, Territory]]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Publishing:
    """Publish Grand Villeneuve with a change of its file."""
    mirror = write_mirror(tmp_path_factory.mktemp("mirror"), only=("qpv_2024", "communes_epci"))

    def publish(old: str = "", new: str = "") -> tuple[Release, Territory]:
        folder = tmp_path_factory.mktemp("villeneuve")
        path = write_territory(folder, files=False)
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
        territory = load_territory(str(path))
        settings = Settings(data_dir=folder / "data")
        return run(Job(territory, settings, Policy(mirror=str(mirror)))).release, territory

    return publish


@pytest.fixture(scope="module")
def villeneuve(published: Publishing) -> tuple[Release, Territory]:
    return published()


@pytest.fixture(scope="module")
def besancon_release(refreshed: Outcome) -> Release:
    return refreshed.release


def test_around_planoise_the_band_is_500_m_wide(besancon_release: Release, besancon: Territory) -> None:
    x, y = at(besancon_release, 400, PLANOISE)
    band = layer(besancon_release, "bande_300m").set_index("code_qp")
    assert band["distance_m"][PLANOISE] == 500
    assert shapely.contains_xy(band.geometry[PLANOISE], x, y).all()
    locator = Locator.of_release(besancon_release, besancon, points_crs=2154)
    located = locator.locate(x, y)
    assert (located.bande_tva == Answer.OUI).all()
    assert (located.largeur_bande_m == 500).all()
    assert located.distance_m == pytest.approx(400, abs=DRAWN)
    table = locator.table(located)
    assert table["bande_300m"] == table["bande_tva"]
    x, y = at(besancon_release, 501, PLANOISE)
    assert (locator.locate(x, y).bande_tva != Answer.OUI).all()
    # Nobody can tell whether a point that may be 30 m wrong is within 500 m, 480 m from the QPV.
    x, y = at(besancon_release, 480, PLANOISE)
    assert (locator.locate(x, y, 30.0).bande_tva == Answer.INCERTAIN).all()
    assert (locator.locate(x, y, 15.0).bande_tva == Answer.OUI).all()


@given(seed=st.integers(0, 2**32 - 1))
def test_the_answer_is_that_of_the_layer(villeneuve: tuple[Release, Territory], seed: int) -> None:
    release, territory = villeneuve
    qpv, bands, around = (layer(release, name) for name in ("qpv", "bande_300m", "qpv_voisins"))
    of_neighbours = [widen(row.geometry, row.largeur_bande_m) for row in around.itertuples()]
    shapes = [*qpv.geometry, *bands.geometry, *of_neighbours]
    rng = np.random.default_rng(seed)
    near = shapely.bounds(rng.choice(np.array(shapes, dtype=object), 300)) + np.array([-50, -50, 50, 50])
    x, y = rng.uniform(near[:, :2], near[:, 2:]).T
    points = shapely.points(x, y)
    limits = shapely.union_all([shapely.boundary(shape) for shape in shapes])
    clear = shapely.distance(limits, points) > DRAWN
    inside = np.any([shapely.contains(shape, points) for shape in shapes], axis=0)
    answers = Locator.of_release(release, territory, points_crs=2154).locate(x, y).bande_tva
    np.testing.assert_array_equal(answers[clear], inside[clear].astype(np.uint8))


def test_a_point_in_a_neighbour_is_in_a_qpv(villeneuve: tuple[Release, Territory]) -> None:
    release, territory = villeneuve
    (shape,) = layer(release, "qpv_voisins").geometry
    inner = shape.representative_point()
    locator = Locator.of_release(release, territory, points_crs=2154)
    table = locator.table(locator.locate(np.array([inner.x]), np.array([inner.y]))).to_pylist()
    assert [(row["en_qpv"], row["code_qp"], row["bande_tva"]) for row in table] == [("oui", NEIGHBOUR, "oui")]


def along_the_limit() -> tuple[Floats, Floats]:
    """Return points on a line to the east, across the limit of the territory and through its neighbour."""
    east = np.array([19_850, 20_050, 20_150, 20_650, 21_150, 21_300, 29_200, 29_400, 31_000.0])
    west, south, *_ = square(0, 5250, 0, 5250).bounds
    return west + east, np.full(len(east), south)


def test_what_the_release_knows_around_it_is_answered(villeneuve: tuple[Release, Territory]) -> None:
    release, territory = villeneuve
    locator = Locator.of_release(release, territory, points_crs=2154)
    x, y = along_the_limit()
    located = locator.locate(x, y)
    oui, non, unsure = Answer.OUI, Answer.NON, Answer.INCERTAIN
    assert located.en_qpv.tolist() == [non, non, non, oui, non, non, non, non, unsure]
    # 250 m before the neighbour and after, its band. 400 m before what is not known, the widest band of the
    # release, 500 m, may come from beyond.
    assert located.bande_tva.tolist() == [non, non, oui, oui, oui, non, non, unsure, unsure]
    assert locator.outside(x, y, located) == 1
    assert locator.locate(x, y, 500.0).en_qpv.tolist() == [non] + [unsure] * 5 + [non] + [unsure] * 2


def test_a_release_that_knows_no_neighbour_is_sure_within_its_communes_alone(
    besancon_release: Release, besancon: Territory
) -> None:
    locator = Locator.of_release(besancon_release, besancon, points_crs=2154)
    assert locator.known_around == 0
    _, _, east, north = layer(besancon_release, "communes").total_bounds
    located = locator.locate(np.array([east + 500]), np.array([north + 500]))
    assert located.en_qpv.tolist() == located.bande_tva.tolist() == [Answer.INCERTAIN]


def test_without_layer_of_bands_each_is_300_m_wide(published: Publishing) -> None:
    release, territory = published("[bandes]\n", "[bandes]\npubliees = false\n")
    locator = Locator.of_release(release, territory, points_crs=2154)
    assert not locator.bands
    x, y = at(release, 400, CARRES)
    assert (locator.locate(x, y).bande_tva == Answer.NON).all()
    assert (locator.locate(x, y).largeur_bande_m == 300).all()


def test_the_territory_may_say_that_a_neighbour_is_in_the_npnru(published: Publishing) -> None:
    release, territory = published(f'npnru = ["{CARRES}"]', f'npnru = ["{NEIGHBOUR}"]\ndistance_m = 200')
    assert layer(release, "qpv_voisins")["largeur_bande_m"].tolist() == [500]
    locator = Locator.of_release(release, territory, points_crs=2154)
    x, y = along_the_limit()
    located = locator.locate(x, y)
    assert located.bande_tva.tolist()[:6] == [Answer.NON] + [Answer.OUI] * 5
    assert located.largeur_bande_m.tolist()[:6] == [500] * 6
    # 250 m from a QPV whose band is 200 m wide.
    x, y = at(release, 250, FRONTIERE)
    assert (locator.locate(x, y).bande_tva == Answer.NON).all()
    assert (locator.locate(x, y).largeur_bande_m == 200).all()
