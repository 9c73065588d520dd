"""Addresses geocoded by a server of this machine that plays IGN's: what is sent, what is kept, what fails."""

import csv
import io
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest

from qpv_geo.errors import ConfigurationError, SourceContentError, SourceUnavailableError
from qpv_geo.locate import geocoding
from qpv_geo.locate.files import locate_file
from qpv_geo.locate.geocoding import geocode
from qpv_geo.locate.locator import Locator
from qpv_geo.locate.one import locate_address, sentence
from qpv_geo.locate.points import Points
from qpv_geo.releases.release import find_release
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Catalogue
from qpv_geo.territory import Territory
from tests.publishing import inputs, publish

HEADER = [
    "n",
    "adresse",
    "longitude",
    "latitude",
    "result_label",
    "result_score",
    "result_type",
    "result_status",
]
PRIVATE = "3 rue de Madame Dupont"


@dataclass
class Service:
    """Answers about the addresses it knows; `faults` come first."""

    known: dict[str, tuple[float, float, float, str]] = field(default_factory=dict)
    faults: list[int] = field(default_factory=list)
    header: list[str] = field(default_factory=lambda: list(HEADER))
    backwards: bool = False
    paths: list[str] = field(default_factory=list)
    fields: list[dict[str, bytes]] = field(default_factory=list)
    url: str = ""

    def answer(self, sent: bytes) -> bytes:
        rows = list(csv.reader(io.StringIO(sent.decode(), newline="")))[1:]
        written = io.StringIO(newline="")
        writer = csv.writer(written)
        writer.writerow(self.header)
        for number, address in reversed(rows) if self.backwards else rows:
            lon, lat, score, kind = self.known.get(address, ("", "", "", ""))
            cells = [number, address, lon, lat, address.upper(), score, kind, "ok" if kind else "not-found"]
            writer.writerow(cells[: len(self.header)])
        return written.getvalue().encode()

    def sent(self) -> list[list[str]]:
        return [
            [address for _, address in list(csv.reader(io.StringIO(fields["data"].decode(), newline="")))[1:]]
            for fields in self.fields
        ]


@pytest.fixture
def service() -> Iterator[Service]:
    played = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kind = self.headers["Content-Type"].encode()
            message = message_from_bytes(b"Content-Type: " + kind + b"\r\n\r\n" + body)
            played.paths.append(self.path)
            played.fields.append(
                {
                    str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)
                    for part in message.get_payload()
                }
            )
            status = played.faults.pop(0) if played.faults else 200
            data = played.answer(played.fields[-1]["data"]) if status == 200 else PRIVATE.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            if status == 429:
                self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        played.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield played
        server.shutdown()


@pytest.fixture
def reaching(settings: Settings, service: Service) -> Settings:
    return replace(settings, official_sites=service.url)


def test_answers_come_in_the_order_of_the_addresses(
    service: Service, reaching: Settings, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(geocoding, "BATCH", 2)
    service.known = {"a": (1.0, 41.0, 0.9, "housenumber"), "b": (2.0, 42.0, 0.4, "street")}
    found = geocode(["b", "", "c", "a", "b"], reaching, catalogue["geocodage"])
    np.testing.assert_array_equal(found["longitude"], [2, np.nan, np.nan, 1, 2])
    np.testing.assert_array_equal(found["latitude"], [42, np.nan, np.nan, 41, 42])
    assert found["result_type"].to_pylist() == ["street", None, None, "housenumber", "street"]
    assert service.sent() == [["b", "c"], ["a"]]
    assert set(service.paths) == {"/data.geopf.fr/geocodage/search/csv"}
    assert service.fields[0]["columns"] == b"adresse"


@pytest.mark.parametrize("fault", [429, 503, 500])
def test_a_passing_failure_is_asked_again(
    service: Service, reaching: Settings, catalogue: Catalogue, fault: int
) -> None:
    service.known = {"a": (1.0, 41.0, 0.9, "housenumber")}
    service.faults = [fault, fault]
    found = geocode(["a"], reaching, catalogue["geocodage"])
    assert found["result_label"].to_pylist() == ["A"]
    assert len(service.fields) == 3


@pytest.mark.parametrize(
    ("faults", "error"), [([503] * 3, SourceUnavailableError), ([400], SourceContentError)]
)
def test_a_lasting_failure_tells_no_address(
    service: Service,
    reaching: Settings,
    catalogue: Catalogue,
    caplog: pytest.LogCaptureFixture,
    faults: list[int],
    error: type[Exception],
) -> None:
    service.faults = list(faults)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(error) as raised:
        geocode([PRIVATE], reaching, catalogue["geocodage"])
    assert str(faults[0]) in str(raised.value)
    assert PRIVATE not in str(raised.value) + caplog.text
    assert len(service.fields) == len(faults)


def test_no_service(settings: Settings, catalogue: Catalogue) -> None:
    with pytest.raises(SourceUnavailableError, match="reached"):
        geocode(["a"], settings, catalogue["geocodage"])


def test_answers_of_another_shape_are_refused(
    service: Service, reaching: Settings, catalogue: Catalogue
) -> None:
    service.backwards = True
    with pytest.raises(SourceContentError, match="another order"):
        geocode(["a", "b"], reaching, catalogue["geocodage"])
    service.header = HEADER[:-2]
    with pytest.raises(SourceContentError, match="no column result_type"):
        geocode(["a"], reaching, catalogue["geocodage"])


def test_only_hosts_of_the_catalogue_are_asked(reaching: Settings, catalogue: Catalogue) -> None:
    elsewhere = catalogue["geocodage"].model_copy(update={"hosts": ("www.insee.fr",)})
    with pytest.raises(ConfigurationError, match=r"does not allow data\.geopf\.fr"):
        geocode(["a"], reaching, elsewhere)


def test_a_file_of_addresses(
    tmp_path: Path, service: Service, reaching: Settings, besancon: Territory
) -> None:
    release = publish(reaching, inputs())
    qpv = gpd.read_file(next(release.path.glob("*.gpkg")), layer="qpv").to_crs(4326)
    inside = max(qpv.geometry.to_list(), key=lambda shape: shape.area).representative_point()
    place = (inside.x, inside.y)
    service.known = {
        "1 rue A Besançon": (*place, 0.97, "housenumber"),
        "rue Z Besançon": (*place, 0.5, "housenumber"),
        "Besançon": (*place, 0.99, "municipality"),
    }
    path = tmp_path / "locataires.csv"
    path.write_text(
        "nom;voie;ville\nDupont;1 rue A;Besançon\nDurand;rue Z;Besançon\nMartin;;Besançon\n"
        "Petit;nulle part;\nNemo;;\n"
    )
    outcome = locate_file(path, Points(addresses=("voie", "ville")), besancon, reaching)
    rows = list(csv.DictReader(outcome.path.read_text().splitlines(), delimiter=";"))
    assert [row["en_qpv"] for row in rows] == ["oui", "incertain", "incertain", "illisible", "illisible"]
    assert [row["result_type"] for row in rows] == ["housenumber", "housenumber", "municipality", "", ""]
    assert [row["nom"] for row in rows] == ["Dupont", "Durand", "Martin", "Petit", "Nemo"]
    assert rows[0]["result_label"] == "1 RUE A BESANÇON"
    assert service.sent() == [["1 rue A Besançon", "rue Z Besançon", "Besançon", "nulle part"]]


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet"])
def test_a_missing_number_is_no_part_of_an_address(
    suffix: str, tmp_path: Path, service: Service, reaching: Settings, besancon: Territory
) -> None:
    publish(reaching, inputs())
    path = tmp_path / f"locataires{suffix}"
    columns = {"voie": pa.array(["1 rue A", "2 rue B"]), "code_postal": pa.array([25000.0, np.nan])}
    if suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
    else:
        pyogrio.write_dataframe(pa.table(columns).to_pandas(), path)
    locate_file(path, Points(addresses=("voie", "code_postal")), besancon, reaching)
    assert service.sent() == [["1 rue A 25000", "2 rue B"]]


def test_nothing_is_sent_unless_asked_to(
    tmp_path: Path, service: Service, reaching: Settings, besancon: Territory
) -> None:
    publish(reaching, inputs())
    path = tmp_path / "p.csv"
    path.write_text("adresse,lon,lat\nici,6.02,47.24\n")
    locate_file(path, Points(x="lon", y="lat", crs=4326), besancon, reaching)
    assert service.fields == []


def test_one_address_is_located_as_precisely_as_the_service_says(
    service: Service, reaching: Settings, bandless: Settings, besancon: Territory
) -> None:
    release = find_release("besancon", None, bandless)
    locator = Locator.of_release(release, besancon)
    service.known = {
        "place": (6.0192, 47.2415, 0.95, "housenumber"),
        "rue": (6.0192, 47.2415, 0.95, "street"),
        "bis": (6.0192, 47.2415, 0.7, "housenumber"),
    }
    answers = {name: locate_address(locator, name, reaching) for name in ("place", "rue", "bis", "rien")}
    words = {name: answer["en_qpv"] for name, answer in answers.items()}
    assert words == {"place": "oui", "rue": "incertain", "bis": "incertain", "rien": "illisible"}
    assert locate_address(locator, "bis", reaching, threshold=0.6)["en_qpv"] == "oui"
    assert sentence(answers["place"]).startswith("PLACE (housenumber, score 0.95). In a QPV: Battant")
    assert "within the error of the point" in sentence(answers["rue"])
    assert sentence(answers["rien"]) == "The geocoder finds no such address."
