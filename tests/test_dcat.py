"""``catalogue.jsonld``: valid by the shapes of DCAT-AP, each file with its checksum, the declared contact."""

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyshacl
import pytest
import shapely
from rdflib import DCAT, DCTERMS, FOAF, RDF, Graph, Literal, Namespace, URIRef

from qpv_geo.formats.base import UNDECLARED
from qpv_geo.formats.dcat import write_dcat
from qpv_geo.ingest.additions import administrator_contact, declarations
from qpv_geo.pipeline.new_territory import to_toml
from qpv_geo.releases.formats import ON_REQUEST, chosen_formats
from qpv_geo.releases.release import Release
from qpv_geo.settings import Settings
from qpv_geo.territory import Contact, Territory
from tests.publishing import BESANCON, CATALOGUE, content_of, frames_of, inputs, publish, raw_file, spec_of

# rdflib's parser of JSON-LD uses classes of its own that it deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning:rdflib")

SHAPES = Path(__file__).with_name("shapes") / "dcat-ap-3.0.0.jsonld.gz"
VCARD = Namespace("http://www.w3.org/2006/vcard/ns#")
SPDX = Namespace("http://spdx.org/rdf/terms#")
ADDRESS = "https://sig.example.fr/qpv"
CONTACT = Contact(
    organisation="Agence d'urbanisme",
    service="Observatoire",
    courriel="sig@example.fr",
    site="https://example.fr",
    publications=ADDRESS,
)


def graph_of(path: Path) -> Graph:
    return Graph().parse(data=path.read_text(encoding="utf-8"), format="json-ld")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Return a release in every format, with a contact."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"))
    territory = BESANCON.model_copy(update={"contact": CONTACT})
    return publish(settings, inputs(), territory=territory, formats=chosen_formats(ON_REQUEST))


@pytest.fixture(scope="module")
def graph(published: Release) -> Graph:
    return graph_of(published.path / "catalogue.jsonld")


def assert_valid(graph: Graph) -> None:
    shapes = Graph().parse(data=gzip.decompress(SHAPES.read_bytes()), format="json-ld")
    # By RDFS every node is an rdfs:Resource, which the ranges ask for.
    valid, _, text = pyshacl.validate(graph, shacl_graph=shapes, inference="rdfs")
    assert valid, text


def test_the_catalogue_conforms_to_the_shapes(graph: Graph, release: Release) -> None:
    assert_valid(graph)
    relative = Graph().parse(release.path / "catalogue.jsonld", format="json-ld")
    assert_valid(relative)
    (dataset,) = relative.subjects(RDF.type, DCAT.Dataset)
    assert str(dataset) == f"{(release.path / 'catalogue.jsonld').as_uri()}#jeu-de-donnees"


def test_the_shapes_refuse_a_catalogue_without_title(graph: Graph) -> None:
    broken = Graph() + graph
    broken.remove((None, DCTERMS.title, None))
    with pytest.raises(AssertionError, match="MinCount"):
        assert_valid(broken)


def test_each_file_has_one_distribution_with_its_checksum(graph: Graph, published: Release) -> None:
    resources = json.loads((published.path / "datapackage.json").read_text(encoding="utf-8"))["resources"]
    listed = {resource["path"]: resource for resource in resources}
    assert listed.pop("catalogue.jsonld")["mediatype"] == "application/ld+json"
    distributions = list(graph.subjects(RDF.type, DCAT.Distribution))
    addresses = {str(graph.value(each, DCAT.downloadURL)): each for each in distributions}
    assert addresses.keys() == {f"{ADDRESS}/besancon/latest/{path}" for path in listed}
    for path, resource in listed.items():
        distribution = addresses[f"{ADDRESS}/besancon/latest/{path}"]
        assert graph.value(distribution, DCAT.byteSize).toPython() == resource["bytes"]
        checksum = graph.value(distribution, SPDX.checksum)
        assert str(graph.value(checksum, SPDX.checksumValue)) == resource["hash"].removeprefix("sha256:")
        media = graph.value(distribution, DCAT.mediaType)
        assert str(media).endswith(f"/{resource['mediatype']}")
    formats = {Path(address).suffix: graph.value(each, DCTERMS.format) for address, each in addresses.items()}
    assert str(formats[".gpkg"]).endswith("/file-type/GPKG")
    assert formats[".fgb"] is None, "the vocabulary has no FlatGeobuf"


def test_dataset_says_where_when_who_and_from_what(graph: Graph, published: Release) -> None:
    (dataset,) = graph.subjects(RDF.type, DCAT.Dataset)
    assert isinstance(dataset, URIRef)
    place = graph.value(dataset, DCTERMS.spatial)
    assert str(graph.value(place, DCTERMS.identifier)) == "242500361"
    box = shapely.from_wkt(str(graph.value(place, DCAT.bbox)))
    assert box.contains(shapely.Point(6.02, 47.24)), "the Citadelle"
    assert box.area < 0.2
    period = graph.value(dataset, DCTERMS.temporal)
    dates = [str(graph.value(period, bound)) for bound in (DCAT.startDate, DCAT.endDate)]
    assert dates == ["2020-01-01", "2026-12-31"], "the communes are those of 2026"
    contact = graph.value(dataset, DCAT.contactPoint)
    assert str(graph.value(contact, VCARD.fn)) == "Observatoire"
    assert graph.value(contact, VCARD.hasEmail) == URIRef("mailto:sig@example.fr")
    names = {str(graph.value(each, FOAF.name)) for each in graph.objects(None, DCTERMS.publisher)}
    assert names == {"Agence d'urbanisme"}
    sources = json.loads((published.path / "datapackage.json").read_text(encoding="utf-8"))["sources"]
    statements = list(graph.objects(dataset, DCTERMS.provenance))
    assert len(statements) == len(sources)
    assert {str(licence) for licence in graph.objects(None, DCTERMS.license)} == {
        "https://www.etalab.gouv.fr/licence-ouverte-open-licence"
    }


def test_without_contact_nobody_is_named(release: Release) -> None:
    graph = graph_of(release.path / "catalogue.jsonld")
    (publisher,) = set(graph.objects(None, DCTERMS.publisher))
    assert graph.value(publisher, FOAF.name) == Literal(UNDECLARED.organisation, lang="fr")
    assert not list(graph.objects(None, DCAT.contactPoint))
    assert "Grand Besançon" not in UNDECLARED.organisation
    plain = Territory.model_validate(
        BESANCON.model_dump(include={"id", "nom", "epci", "departement", "region", "expected"})
    )
    assert "# [contact]" in to_toml(plain)


def test_the_administrator_declares_the_contact_of_all_territories(tmp_path: Path) -> None:
    path = tmp_path / "ajouts.toml"
    path.write_text("[contact]\norganisation = 'DDT 25'\n", encoding="utf-8")
    settings = Settings(data_dir=tmp_path, sources_file=path)
    assert declarations(settings, BESANCON) == declarations(Settings(data_dir=tmp_path), BESANCON)
    raws = inputs().raws
    spec, nobody = spec_of(raws, settings), spec_of(raws)
    assert administrator_contact(settings) == spec.contact == Contact(organisation="DDT 25")
    assert spec.fingerprint != nobody.fingerprint
    own = spec_of(raws, settings, BESANCON.model_copy(update={"contact": CONTACT}))
    assert own.contact == CONTACT


def test_several_licences_make_one_document_that_names_them(tmp_path: Path) -> None:
    made = inputs()
    path = tmp_path / "communes.geojson.gz"
    path.write_bytes(b"")
    made.raws["communes_france"] = raw_file("communes_france", path, source=CATALOGUE["communes_france"])
    content = content_of(frames_of(made))
    content = replace(content, spec=spec_of(made.raws), rounded=degrees(content.frames))
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "rapport.html").write_text("x", encoding="utf-8")
    write_dcat(folder, content)
    graph = Graph().parse(folder / "catalogue.jsonld", format="json-ld")
    assert_valid(graph)
    (licence,) = graph.objects(None, DCTERMS.license)
    assert "ODbL" in str(graph.value(licence, DCTERMS.title))


def degrees(frames: dict[str, Any]) -> dict[str, Any]:
    return {name: frame.to_crs(4326) for name, frame in frames.items() if hasattr(frame, "to_crs")}
