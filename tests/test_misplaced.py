"""A QPV drawn in another department is refused, one drawn beside its commune is not."""

import json
from pathlib import Path

import geopandas as gpd
import pytest
import shapely
from shapely.geometry import box

from qpv_geo.analysis.selection import refuse_misplaced
from qpv_geo.errors import ContractError
from qpv_geo.ingest.contours import read_contours
from qpv_geo.settings import Settings
from qpv_geo.territory import Territory
from tests.raw_files import Json, raw_file, six_qpv, write_json

PLANOISE = 1
LYON, DOLE, PONTARLIER = (4.85, 45.75), (5.49, 47.09), (6.35, 46.90)


def moved(longitude: float, latitude: float, **properties: str) -> Json:
    """Return the six QPV, Planoise around another point."""
    collection = six_qpv()
    feature = collection["features"][PLANOISE]
    shape = shapely.geometry.shape(feature["geometry"])
    shift = (longitude - shape.centroid.x, latitude - shape.centroid.y)
    feature["geometry"] = json.loads(
        shapely.to_geojson(shapely.transform(shape, lambda points: points + shift))
    )
    feature["properties"] |= properties
    return collection


@pytest.mark.parametrize(("place", "around"), [(LYON, "01, 38, 69"), (DOLE, "21, 39, 71")])
def test_planoise_in_another_department_is_refused_on_the_first_run(
    place: tuple[float, float], around: str, tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    raw = raw_file("qpv_2024", write_json(tmp_path / "qpv.geojson", moved(*place)))
    with pytest.raises(ContractError) as error:
        read_contours(raw, besancon, settings)
    assert "1 problem" in str(error.value)
    assert "(département 25, France métropolitaine)" in str(error.value)
    assert (
        f"in or near département {around}, far from commune 25056 that it declares, at feature 2 (QN02503M)"
        in str(error.value)
    )


def test_elsewhere_in_the_department_is_for_somebody_to_look_at(
    tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    raw = raw_file("qpv_2024", write_json(tmp_path / "qpv.geojson", moved(*PONTARLIER)))
    assert len(read_contours(raw, besancon, settings).by_epsg[2154]) == 6


def test_a_qpv_may_be_where_a_commune_is_that_it_declares(
    tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    collection = moved(*DOLE, insee_com="25056, 39198")
    raw = raw_file("qpv_2024", write_json(tmp_path / "qpv.geojson", collection))
    assert len(read_contours(raw, besancon, settings).by_epsg[2154]) == 6


def communes() -> gpd.GeoDataFrame:
    """Two communes of the Doubs and one of the Jura, in a row, 10 km wide each."""
    codes = ("25056", "25112", "39198")
    places = [box(10_000 * n, 0, 10_000 * (n + 1), 10_000) for n in range(3)]
    return gpd.GeoDataFrame({"insee_com": codes, "nom_com": codes}, geometry=places, crs=2154)


def qpv(west: float, insee_com: str | None = "25056") -> gpd.GeoDataFrame:
    data = {"code_qp": ["QN02503M"], "lib_qp": ["Planoise"], "insee_com": [insee_com]}
    return gpd.GeoDataFrame(data, geometry=[box(west, 100, west + 1000, 1100)], crs=2154)


def test_communes_of_another_department_give_a_qpv_away() -> None:
    with pytest.raises(ContractError) as error:
        refuse_misplaced(qpv(25_000), communes())
    assert (
        "QN02503M (Planoise): expected in commune 25056 or at least in département 25, found in commune 39198"
        in str(error.value)
    )
    with pytest.raises(ContractError, match="in commune unknown"):
        refuse_misplaced(qpv(25_000, None), communes())


@pytest.mark.parametrize(
    ("west", "insee_com"),
    [
        pytest.param(100, "25056", id="in its commune"),
        pytest.param(15_000, "25056", id="in another commune of its department"),
        pytest.param(20_500, "25056", id="beside its department, less than what contours are generalised by"),
        pytest.param(25_000, "25056, 39198", id="in one of two departments that it declares"),
        pytest.param(80_000, "25056", id="where no commune was read"),
        pytest.param(29_900, "25056", id="mostly where no commune was read"),
    ],
)
def test_what_nothing_gives_away_is_not_refused(west: float, insee_com: str) -> None:
    refuse_misplaced(qpv(west, insee_com), communes())
    refuse_misplaced(qpv(west, insee_com), communes().iloc[:0])
