"""QPV of several projections, located together: each is measured in its own."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
import shapely

from qpv_geo.errors import ConfigurationError
from qpv_geo.locate.answers import Answer
from qpv_geo.locate.locator import Locator
from qpv_geo.locate.partitions import PartitionLocator

CENTRES = {"QN97101M": (5490, 655_000.0, 1_795_000.0), "QN02503M": (2154, 924_000.0, 6_684_000.0)}
CENTRES |= {"QN97401M": (2975, 340_000.0, 7_690_000.0)}


@pytest.fixture
def national() -> gpd.GeoDataFrame:
    """Squares of 200 m, one per zone, as a national release has them: in degrees."""
    squares = [
        gpd.GeoSeries([shapely.box(x - 100, y - 100, x + 100, y + 100)], crs=epsg).to_crs(4326).iloc[0]
        for epsg, x, y in CENTRES.values()
    ]
    table = {"code_qp": list(CENTRES), "lib_qp": [f"Q{code[2:5]}" for code in CENTRES]}
    return gpd.GeoDataFrame(table, geometry=squares, crs=4326)


def degrees(epsg: int, x: float, y: float) -> tuple[float, float]:
    return pyproj.Transformer.from_crs(epsg, 4326, always_xy=True).transform(x, y)


def test_each_zone_answers_for_its_points(national: gpd.GeoDataFrame) -> None:
    points = []
    for epsg, x, y in CENTRES.values():
        points += [degrees(epsg, x + 60, y), degrees(epsg, x + 150, y), degrees(epsg, x, y + 5_000)]
    points += [(0.0, 0.0), (np.nan, 1.0)]
    lon, lat = np.array(points).T
    table = Locator.of_districts(national).table(Locator.of_districts(national).locate(lon, lat)).to_pydict()
    codes = list(CENTRES)
    assert table["en_qpv"] == ["oui", "non", "non"] * 3 + ["non", "illisible"]
    assert table["code_qp"] == [cell for code in codes for cell in (code, None, None)] + [None, None]
    assert table["code_qp_proche"] == [cell for code in codes for cell in (code, code, None)] + [None, None]
    assert table["bande_tva"] == ["oui", "oui", "non"] * 3 + ["non", "illisible"]
    # To the centimetre that contours lose in degrees.
    assert [cell for cell in table["distance_m"] if cell is not None] == pytest.approx(
        [-40, 50] * 3, abs=0.02
    )


def test_qpv_of_one_name_are_told_apart_by_their_codes(national: gpd.GeoDataFrame) -> None:
    points = np.array([degrees(epsg, x, y) for epsg, x, y in CENTRES.values()])
    frame = pd.DataFrame(points, columns=["lon", "lat"])
    located = PartitionLocator(Locator.of_districts(national.assign(lib_qp="Centre Ville")), "lon", "lat")(
        frame
    )
    assert located["code_qp"].tolist() == list(CENTRES)
    assert located["lib_qp"].tolist() == ["Centre Ville"] * 3


def test_precision_follows_its_points(national: gpd.GeoDataFrame) -> None:
    lon, lat = np.array([degrees(epsg, x + 60, y) for epsg, x, y in CENTRES.values()]).T
    located = Locator.of_districts(national).locate(lon, lat, np.array([10.0, 50.0, np.nan]))
    assert located.en_qpv.tolist() == [Answer.OUI, Answer.INCERTAIN, Answer.INCERTAIN]
    assert located.qpv.tolist() == [0, -1, -1]


def test_a_projection_of_one_zone_locates_there_only(national: gpd.GeoDataFrame) -> None:
    _, x, y = CENTRES["QN02503M"]
    located = Locator.of_districts(national, points_crs=2154).locate(np.array([x]), np.array([y]))
    assert located.qpv.tolist() == [1]
    with pytest.raises(ConfigurationError, match="not made for where the QPV are"):
        Locator.of_districts(national, points_crs=3163)


@pytest.mark.parametrize("points_crs", [2154, 4326])
def test_near_the_limit_of_the_territory_nobody_can_tell(national: gpd.GeoDataFrame, points_crs: int) -> None:
    _, x, y = CENTRES["QN02503M"]
    # A lake in the territory that is not of it; 5 km from the QPV as the limit is.
    ground = shapely.box(x - 5_000, y - 5_000, x + 5_000, y + 5_000).difference(
        shapely.box(x - 3_000, y - 3_000, x - 2_000, y - 2_000)
    )
    locator = Locator.of_districts(
        national.loc[national["code_qp"] == "QN02503M"],
        points_crs=points_crs,
        ground=gpd.GeoSeries([ground], crs=2154),
    )
    inward = np.array([4_000.0, 1_010.0, 299.0, 301.0, 11.0, 9.0, 0.5, -1.0, -40.0, -60.0, -1_000.0])
    easting, northing = x + 5_000 - inward, np.full(len(inward), y)
    easting, northing = np.append(easting, x - 1_800), np.append(northing, y - 2_500)
    to_points = pyproj.Transformer.from_crs(2154, points_crs, always_xy=True)
    points = to_points.transform(easting, northing)
    non, unsure = Answer.NON, Answer.INCERTAIN
    exact = locator.locate(*points)
    assert exact.en_qpv.tolist() == [non] * 7 + [unsure] * 4 + [non]
    assert exact.bande_tva.tolist() == [non] * 2 + [unsure, non] + [unsure] * 8
    vague = locator.locate(*points, 10.0)
    assert vague.en_qpv.tolist() == [non] * 5 + [unsure] * 6 + [non]
    assert vague.bande_tva.tolist() == [non] * 2 + [unsure] * 10
    # The first is 900 m from the QPV, whose band it may be in.
    vaguer = locator.locate(*points, 800.0)
    assert vaguer.en_qpv.tolist() == [non] * 2 + [unsure] * 10
    assert vaguer.bande_tva.tolist() == [unsure] * 12
    assert locator.outside(*points, exact) == 4


def test_what_a_qpv_decides_stays_decided_at_the_limit(national: gpd.GeoDataFrame) -> None:
    _, x, y = CENTRES["QN02503M"]
    ground = gpd.GeoSeries([shapely.box(x - 5_000, y - 5_000, x + 110, y + 5_000)], crs=2154)
    locator = Locator.of_districts(national, points_crs=2154, ground=ground)
    located = locator.locate(np.array([x + 60, x + 105]), np.array([y, y]))
    assert located.en_qpv.tolist() == [Answer.OUI, Answer.NON]
    assert located.bande_tva.tolist() == [Answer.OUI, Answer.OUI]
