"""BD TOPO by WFS, from a local server that pages, limits and fails as the Géoplateforme's does."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.errors import SourceContentError, SourceUnavailableError
from qpv_geo.pipeline.fetching import _boxes
from qpv_geo.pipeline.fetching import fetch as fetch_all
from qpv_geo.pipeline.job import Job
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Catalogue, Source, WfsAddress
from qpv_geo.sources.fetch import Policy, accept, fall_back, fetch_primary
from qpv_geo.sources.plan import around_qpv
from qpv_geo.sources.raw import RawFile
from qpv_geo.territory import Territory
from tests.city import Geoplateforme, city
from tests.country import publish_country
from tests.server import WFS, OfficialSites

WEST = (922_000.0, 6_684_000.0, 923_000.0, 6_685_000.0)
EAST = (930_000.0, 6_686_000.0, 930_500.0, 6_686_500.0)
FEATURES = city([WEST, EAST])
COUNT = sum(map(len, FEATURES.values()))


def asked_in(source: Source, *boxes: tuple[float, float, float, float], page: int = 100) -> Source:
    """Return the source as a run fills it in, without pauses."""
    update = {"boxes": boxes, "page": page, "pause": 0.0}
    return source.model_copy(update={"address": source.address.model_copy(update=update)})


@pytest.fixture
def source(catalogue: Catalogue) -> Source:
    return asked_in(catalogue["bdtopo"], WEST, EAST)


@pytest.fixture
def wfs(sites: OfficialSites) -> Iterator[Geoplateforme]:
    sites.wfs = Geoplateforme(FEATURES)
    return sites.wfs


@pytest.fixture
def quick(live: Settings) -> Settings:
    return replace(live, backoff=0.01)


def features_of(raw: RawFile) -> list[dict[str, Any]]:
    features: list[dict[str, Any]] = json.loads(raw.path.read_bytes())["features"]
    return features


def download(source: Source, territory: Territory, settings: Settings) -> RawFile:
    return fetch_primary(source, territory, settings, Policy())


def test_every_feature_comes_once_in_the_order_of_its_key(
    source: Source, besancon: Territory, quick: Settings, wfs: Geoplateforme
) -> None:
    raw = download(source, besancon, quick)
    features = features_of(raw)
    assert len(features) == COUNT
    of_type = [feature["id"].partition(".")[0] for feature in features]
    keys = [feature["properties"]["cleabs"] for feature in features]
    assert list(dict.fromkeys(of_type)) == [name.partition(":")[2] for name in source.address.types]
    assert all(keys[n] < keys[n + 1] for n in range(len(keys) - 1) if of_type[n] == of_type[n + 1])
    assert features[0] == FEATURES["batiment"][0]
    first = wfs.queries[0]
    assert first["BBOX"] == "922000,6684000,923000,6685000,EPSG:2154"
    assert (first["COUNT"], first["STARTINDEX"], first["SORTBY"]) == ("100", "0", "cleabs")
    assert len(wfs.queries) > len(source.address.types) * 2
    assert raw.origin == "live"
    assert raw.last_modified == datetime(2026, 9, 15, 10, 24, 7, tzinfo=UTC), "the newest feature's"
    assert raw.url == raw.resolved_url
    assert "BBOX=922000%2C6684000%2C923000%2C6685000%2F930000" in f"{raw.url}"


def test_the_time_of_the_requests_changes_no_byte(
    source: Source, besancon: Territory, quick: Settings, wfs: Geoplateforme
) -> None:
    first = download(source, besancon, quick)
    wfs.page_limit = 37
    assert download(source, besancon, quick).sha256 == first.sha256
    wfs.counted = False
    assert download(source, besancon, quick).sha256 == first.sha256


@pytest.mark.usefixtures("wfs")
def test_rectangles_that_share_features_give_them_once(
    source: Source, besancon: Territory, quick: Settings
) -> None:
    overlapping = asked_in(source, WEST, (922_500.0, 6_684_000.0, 923_500.0, 6_685_000.0), EAST)
    assert len(features_of(download(overlapping, besancon, quick))) == COUNT


@pytest.mark.usefixtures("wfs")
@pytest.mark.parametrize("how", [429, 500, 503, "reset", "truncated", "down"])
def test_what_passes_is_asked_for_again(
    source: Source, besancon: Territory, quick: Settings, sites: OfficialSites, how: str
) -> None:
    sites.misbehave(WFS, how, times=2, retry_after="0" if how == 429 else None)
    assert len(features_of(download(source, besancon, quick))) == COUNT


def test_pages_that_change_meanwhile_are_asked_for_again(
    source: Source, besancon: Territory, quick: Settings, wfs: Geoplateforme
) -> None:
    wfs.growing = 2
    assert len(features_of(download(source, besancon, quick))) == COUNT
    wfs.repeating = 2
    assert len(features_of(download(source, besancon, quick))) == COUNT


@pytest.mark.parametrize("fault", ["growing", "repeating"])
def test_pages_that_never_fit_together_are_refused(
    source: Source, besancon: Territory, quick: Settings, wfs: Geoplateforme, fault: str
) -> None:
    setattr(wfs, fault, 10**6)
    with pytest.raises(SourceContentError, match="did not fit together at any of 3 attempts"):
        download(source, besancon, quick)


@pytest.mark.usefixtures("wfs")
@pytest.mark.parametrize(
    ("how", "said"), [("html", "Site en maintenance"), ("cut", "JSON"), ("empty", "empty")]
)
def test_what_is_not_a_page_of_features_is_refused(
    source: Source,
    besancon: Territory,
    quick: Settings,
    sites: OfficialSites,
    how: str,
    said: str,
) -> None:
    sites.misbehave(WFS, how)
    with pytest.raises(SourceContentError, match=said):
        download(source, besancon, quick)


def test_an_exception_report_is_quoted(
    source: Source, besancon: Territory, quick: Settings, wfs: Geoplateforme
) -> None:
    wfs.exception = "route"
    with pytest.raises(SourceContentError, match="an exception: Too many requests"):
        download(source, besancon, quick)


def test_another_type_than_was_asked_for_is_refused(
    source: Source, besancon: Territory, quick: Settings, sites: OfficialSites
) -> None:
    sites.wfs = Geoplateforme(FEATURES | {"batiment": FEATURES["troncon_de_route"]})
    with pytest.raises(SourceContentError, match=r"is not a BDTOPO_V3:batiment"):
        download(source, besancon, quick)


@pytest.mark.usefixtures("wfs")
def test_the_limit_of_bytes_is_that_of_all_pages(
    source: Source, besancon: Territory, quick: Settings
) -> None:
    small = source.model_copy(update={"max_bytes": 200_000})
    with pytest.raises(SourceContentError, match="max_bytes"):
        download(small, besancon, quick)


def test_a_young_copy_is_not_asked_for_again_but_another_rectangle_is(
    source: Source, besancon: Territory, quick: Settings, wfs: Geoplateforme
) -> None:
    accept([download(source, besancon, quick)], quick)
    asked = len(wfs.queries)
    again = download(source, besancon, quick)
    assert (again.origin, again.provenance, len(wfs.queries)) == ("store", "live", asked)
    assert again.reason == "copie de moins de 30 jours"
    assert fetch_primary(source, besancon, quick, Policy(require_live=True)).origin == "live"
    assert download(asked_in(source, EAST), besancon, quick).origin == "live"
    old = source.address.model_copy(update={"days": 0})
    assert download(source.model_copy(update={"address": old}), besancon, quick).origin == "live"


@pytest.mark.usefixtures("wfs")
def test_an_accepted_copy_stands_in_when_the_site_cannot_be_reached(
    source: Source, besancon: Territory, quick: Settings, sites: OfficialSites
) -> None:
    raw = download(source, besancon, quick)
    accept([raw], quick)
    sites.misbehave(WFS, 503)
    with pytest.raises(SourceUnavailableError) as caught:
        fetch_primary(source, besancon, quick, Policy(require_live=True))
    kept = fall_back(source, besancon, quick, Policy(), caught.value)
    assert kept is not None
    assert (kept.origin, kept.sha256) == ("store", raw.sha256)
    assert kept.retrieved_at is not None
    assert datetime.now(UTC) - kept.retrieved_at < timedelta(hours=1)


def test_a_sample_without_rectangles_shows_what_features_look_like(
    catalogue: Catalogue, besancon: Territory, quick: Settings, wfs: Geoplateforme
) -> None:
    features = features_of(download(asked_in(catalogue["bdtopo"]), besancon, quick))
    assert len(features) == len(FEATURES)
    assert all("BBOX" not in query for query in wfs.queries)


# ---------------------------------------------------------------- where, and for whom


def test_a_refresh_asks_around_the_qpv_of_the_contours(
    catalogue: Catalogue, besancon: Territory, quick: Settings, sites: OfficialSites
) -> None:
    publish_country(sites)
    sites.wfs = wfs = Geoplateforme(FEATURES)
    sources = tuple(asked_in(one) if one.id == "bdtopo" else one for one in catalogue.sources)
    raws = fetch_all(Job(besancon, quick, catalogue=Catalogue(sources=sources)))
    raw = raws["bdtopo-242500361"]
    assert raw is not None
    assert raw.origin == "live"
    boxes = [tuple(map(float, query["BBOX"].split(",")[:4])) for query in wfs.queries]
    assert isinstance(raw.source.address, WfsAddress)
    assert set(boxes) == set(raw.source.address.boxes)
    # Planoise and a kilometre around it.
    assert any(west <= 922_782 and east >= 926_437 for west, _, east, _ in boxes)


@pytest.mark.parametrize("code", ["france", "mirror", "offline"])
def test_nobody_is_asked_for_france_nor_without_network(
    catalogue: Catalogue, besancon: Territory, quick: Settings, sites: OfficialSites, code: str
) -> None:
    france = besancon.model_copy(update={"genre": "france"}) if code == "france" else besancon
    assert bool(around_qpv(catalogue, france, lambda _: (WEST,))) == (code != "france")
    policy = {"offline": Policy(offline=True), "mirror": Policy(mirror=sites.mirror_url)}.get(code)
    if policy:
        raws = fetch_all(Job(besancon, quick, policy, catalogue=catalogue))
        assert raws["bdtopo-242500361"] is None
        assert not sites.asked(WFS)


def test_too_large_surroundings_are_left_out(catalogue: Catalogue, besancon: Territory) -> None:
    side = 15_800.0
    assert around_qpv(catalogue, besancon, lambda _: ((0, 0, side, side),))
    assert not around_qpv(catalogue, besancon, lambda _: ((0, 0, side, side + 100),))
    assert not around_qpv(catalogue, besancon, lambda _: ())


@given(
    st.lists(
        st.tuples(st.integers(0, 20_000), st.integers(0, 20_000), st.integers(1, 3000), st.integers(1, 3000)),
        max_size=8,
    )
)
def test_rectangles_cover_all_surroundings_and_ask_for_no_more_than_one_by_one(
    rectangles: list[tuple[int, ...]],
) -> None:
    bounds = np.array([(x, y, x + wide, y + high) for x, y, wide, high in rectangles], dtype=float)
    boxes = _boxes(bounds.reshape(-1, 4), 1000)
    for west, south, east, north in bounds.tolist():
        assert any(
            w <= west - 1000 and s <= south - 1000 and e >= east + 1000 and n >= north + 1000
            for w, s, e, n in boxes
        )
    area = sum((e - w) * (n - s) for w, s, e, n in boxes)
    one_by_one = sum(
        (east - west + 2200) * (north - south + 2200) for west, south, east, north in bounds.tolist()
    )
    assert area <= one_by_one


def test_rectangles_that_lie_in_one_another_or_side_by_side_are_one() -> None:
    bounds = np.array([(0, 0, 1000, 1000), (500, 0, 1500, 1000), (200, 200, 300, 300)], dtype=float)
    assert _boxes(bounds, 1000) == ((-1000, -1000, 2500, 2000),)
    assert len(_boxes(np.array([(0, 0, 1000, 1000), (9000, 9000, 9500, 9500)], dtype=float), 1000)) == 2
