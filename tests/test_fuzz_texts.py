"""What sites say of their files, what the project wrote, what administrators write: any text is explained."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.deployments import declared
from qpv_geo.errors import QpvGeoError
from qpv_geo.ingest.additions import declarations
from qpv_geo.releases.ledger import read_ledger
from qpv_geo.releases.release import Release, load_release
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import load_catalogue
from qpv_geo.sources.content import check_content
from qpv_geo.sources.http_client import RetryableStatusError, http_date, should_retry
from qpv_geo.sources.resolve import choose, links_of
from qpv_geo.territory import load_territory
from tests.prefect_server import ROOT
from tests.raw_files import raw_file
from tests.test_fuzz import LIMITS, bad_bytes, mutated, readers

DATA_GOUV = json.dumps(
    {"resources": [{"title": "QP 2025", "url": "https://static.data.gouv.fr/resources/x/liste.csv"}] * 2}
).encode()
INSEE = b"""<!DOCTYPE html>
<a class='fichier' href='/fr/statistiques/fichier/8210600/pop_QPV24.csv'>x</a>
<![CDATA[x]]><!-- c --><a href="/fr/statistiques/fichier/8210600/pop_QPV24_v2.xlsx">y</a><script>a</script>"""
BESANCON = (ROOT / "qpv_geo" / "territories" / "besancon.toml").read_bytes()
ADDITIONS = b"""[indicators.population_municipale]
codes = ["popMun2025"]
[sources.insee_population]
address = { kind = "insee_page", page = "8210600", pattern = '(?i)population_QPV.*\\.csv' }
hosts = ["www.insee.fr"]
[contact]
organisation = "Ville"
"""
PLAN = b"""fuseau = "Europe/Paris"
territoires = ["besancon", { nom = "france", refresh = "0 5 * * 1", veille = "" }]
toutes = "0 2 * * 6"
"""


@given(bad_bytes(DATA_GOUV))
def test_an_answer_of_data_gouv(page: bytes) -> None:
    source = load_catalogue()["listeqp_2025"]
    with suppress(QpvGeoError):
        choose(source, links_of(source, page))


@given(bad_bytes(INSEE))
def test_a_page_of_insee(page: bytes) -> None:
    source = load_catalogue()["insee_population"]
    with suppress(QpvGeoError):
        choose(source, links_of(source, page))


_DATES = st.from_regex(
    r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d\d:\d\d:\d\d [+-]?[A-Z0-9]{3,6}", fullmatch=True
)


@given(
    st.text(st.characters(max_codepoint=255), max_size=40)
    | _DATES
    | st.from_regex(r"-?[0-9]{1,400}", fullmatch=True)
)
def test_a_header(value: str) -> None:
    http_date(value)
    answer = httpx.Response(
        503,
        headers=[(b"Retry-After", value.encode("latin-1", "replace"))],
        request=httpx.Request("GET", "https://x/"),
    )
    should_retry(RetryableStatusError(answer), LIMITS)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return readers(tmp_path_factory.mktemp("seeds"))["IRIS (GeoPackage in a 7z)"].seed


@given(data=st.data())
def test_the_header_of_a_7z(archive: bytes, tmp_path: Path, data: st.DataObject) -> None:
    # It is at the end, behind what is packed; its place and size are at the beginning.
    (tmp_path / "x.7z").write_bytes(
        data.draw(mutated(archive[:32])) + archive[32:-300] + data.draw(mutated(archive[-300:]))
    )
    with suppress(QpvGeoError):
        check_content(raw_file(load_catalogue()["iris_france"], tmp_path / "x.7z"), LIMITS)


@pytest.mark.parametrize("name", ["rapport.json", "datapackage.json"])
@given(data=st.data())
def test_what_describes_a_release(name: str, offline: Release, tmp_path: Path, data: st.DataObject) -> None:
    for other in ("rapport.json", "datapackage.json"):
        (tmp_path / other).write_bytes((offline.path / other).read_bytes())
    seed = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data.draw(bad_bytes(seed)))
    assert load_release(tmp_path).path == tmp_path


@given(data=st.data())
def test_the_ledger(offline: Release, tmp_path: Path, data: st.DataObject) -> None:
    seed = (offline.path.parent / "releases.json").read_bytes()
    (tmp_path / "releases.json").write_bytes(data.draw(bad_bytes(seed)))
    with suppress(QpvGeoError):
        read_ledger(tmp_path)


READ: dict[str, tuple[bytes, Callable[[Path], object]]] = {
    "territory": (BESANCON, lambda path: load_territory(str(path))),
    "additions": (ADDITIONS, lambda path: declarations(Settings(data_dir=path.parent, sources_file=path))),
    "deployments": (PLAN, lambda path: declared("besancon", path)),
}


@pytest.mark.parametrize("what", READ)
@given(data=st.data())
def test_a_file_of_an_administrator(what: str, tmp_path: Path, data: st.DataObject) -> None:
    seed, read = READ[what]
    path = tmp_path / "x.toml"
    path.write_bytes(data.draw(bad_bytes(seed)))
    with suppress(QpvGeoError):
        read(path)
