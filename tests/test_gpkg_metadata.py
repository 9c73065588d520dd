"""ISO 19115 metadata inside the GeoPackage: lineage with checksums, licences, dates, contact."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import geopandas as gpd
import pytest
from defusedxml import ElementTree

from qpv_geo.formats.base import UNDECLARED, Content
from qpv_geo.qgis.metadata import iso_record
from qpv_geo.territory import Contact
from tests.mapping import snapshot_content, write
from tests.publishing import snapshot_raws

SPACES = {"gmd": "http://www.isotc211.org/2005/gmd", "gco": "http://www.isotc211.org/2005/gco"}


@pytest.fixture(scope="module")
def content() -> Content:
    return snapshot_content()


@pytest.fixture(scope="module")
def package(content: Content, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("release"), content)


@pytest.fixture(scope="module")
def record(content: Content) -> Element:
    return parsed(content)


def parsed(content: Content) -> Element:
    root: Element = ElementTree.fromstring(iso_record(content).encode())
    return root


def query(package: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(package)) as database:
        return database.execute(sql).fetchall()


def texts(root: Element, path: str) -> list[str | None]:
    return [element.text for element in root.findall(path, SPACES)]


def said(root: Element, name: str) -> list[str | None]:
    return texts(root, f".//gmd:{name}/gco:CharacterString")


def test_the_record_of_the_whole_is_in_the_package(package: Path, content: Content) -> None:
    rows = query(
        package,
        "SELECT m.md_scope, m.mime_type, m.metadata, r.reference_scope, r.timestamp FROM gpkg_metadata m "
        "JOIN gpkg_metadata_reference r ON r.md_file_id = m.id "
        "WHERE md_standard_uri = 'http://www.isotc211.org/2005/gmd'",
    )
    assert rows == [("dataset", "text/xml", iso_record(content), "geopackage", "2026-01-15T00:00:00.000Z")]


def test_each_layer_has_a_record_below_that_of_the_whole(package: Path, content: Content) -> None:
    rows = query(
        package,
        "SELECT r.table_name, r.md_parent_id, m.metadata FROM gpkg_metadata_reference r "
        "JOIN gpkg_metadata m ON m.id = r.md_file_id WHERE r.reference_scope = 'table' ORDER BY m.id",
    )
    assert [(name, parent) for name, parent, _ in rows] == [(name, 1) for name in content.frames]
    for name, _, text in rows:
        root = ElementTree.fromstring(text, forbid_dtd=False)
        assert root.findtext("title") == content.layers[name].title
        assert root.findtext("abstract") == content.layers[name].abstract


def test_the_extension_is_registered(package: Path) -> None:
    rows = query(
        package, "SELECT table_name, scope FROM gpkg_extensions WHERE extension_name = 'gpkg_metadata'"
    )
    assert rows == [("gpkg_metadata", "read-write"), ("gpkg_metadata_reference", "read-write")]


def test_references_hold(package: Path) -> None:
    assert query(package, "PRAGMA foreign_key_check") == []


def test_lineage_names_each_file_with_vintage_date_and_checksum(record: Element, content: Content) -> None:
    sources = record.findall(".//gmd:LI_Source", SPACES)
    read = content.sources_read.to_dict("records")
    # Contours, communes, correspondence, population, incomes of QPV and of communes, census.
    assert len(sources) == len(read) == 7
    for source, row in zip(sources, read, strict=True):
        assert said(source, "title") == [row["titre"]]
        assert said(source, "code") == [f"sha256:{row['sha256']}"]
        assert said(source, "edition") == [row["millesime"]]
        assert said(source, "organisationName") == [row["producteur"]]
        assert texts(source, ".//gco:Date") == [f"{row['date_source']:%Y-%m-%d}"]
        assert row["fichier"] in str(said(source, "description"))


def test_absent_sources_are_not_in_the_lineage(record: Element, content: Content) -> None:
    absent = content.frames["sources"]
    assert (absent["etat"] != "lue").any()
    assert not set(said(record, "title")) & set(absent.loc[absent["etat"] != "lue", "titre"])


def test_the_statement_says_where_the_data_come_from(record: Element, content: Content) -> None:
    (statement,) = said(record, "statement")
    assert content.spec.origin in str(statement)


def test_licences_and_mentions_are_given(record: Element, content: Content) -> None:
    assert said(record, "useLimitation") == list(content.mentions)
    (licence,) = [text for text in said(record, "otherConstraints") if "Licence" in str(text)]
    assert str(licence).startswith("Licence Ouverte 2.0 (Etalab), https://")


def test_dates_are_those_of_the_sources_and_not_of_today(record: Element) -> None:
    assert texts(record, "gmd:dateStamp/gco:Date") == ["2026-01-15"]


def test_the_box_holds_the_territory_in_degrees(record: Element, content: Content) -> None:
    sides = [f".//gmd:{side}/gco:Decimal" for side in (
        "westBoundLongitude", "southBoundLatitude", "eastBoundLongitude", "northBoundLatitude",
    )]  # fmt: skip
    west, south, east, north = (float(str(texts(record, side)[0])) for side in sides)
    epci = content.frames["epci"]
    assert isinstance(epci, gpd.GeoDataFrame)
    bounds = epci.to_crs(4326).total_bounds
    assert west < bounds[0] < bounds[2] < east
    assert south < bounds[1] < bounds[3] < north
    assert [west, south, east, north] == pytest.approx(bounds.tolist(), abs=0.02)


def test_the_reference_system_is_the_territorys(record: Element) -> None:
    codes = record.findall(".//gmd:RS_Identifier/gmd:code/gco:CharacterString", SPACES)
    assert [code.text for code in codes] == ["http://www.opengis.net/def/crs/EPSG/0/2154"]


def with_contact(content: Content, contact: Contact | None) -> Content:
    territory = content.spec.territory.model_copy(update={"contact": contact})
    return replace(content, spec=replace(content.spec, territory=territory))


def test_the_contact_is_that_of_the_configuration(content: Content) -> None:
    contact = Contact(
        organisation="Ville & Métropole", service="Politique de la ville", courriel="sig@example.fr", site="https://example.fr"
    )  # fmt: skip
    parties = parsed(with_contact(content, contact)).findall("gmd:contact/gmd:CI_ResponsibleParty", SPACES)
    (party,) = parties
    assert said(party, "organisationName") == ["Ville & Métropole"]
    assert said(party, "positionName") == ["Politique de la ville"]
    assert said(party, "electronicMailAddress") == ["sig@example.fr"]
    assert texts(party, ".//gmd:URL") == ["https://example.fr"]


def test_without_a_contact_nobody_is_named(content: Content) -> None:
    root = parsed(with_contact(content, None))
    assert said(root, "organisationName")[0] == UNDECLARED.organisation
    assert said(root, "electronicMailAddress") == []


def test_the_identifier_is_the_territorys_from_release_to_release(record: Element, content: Content) -> None:
    later = replace(content, spec=replace(content.spec, raws=snapshot_raws()))
    assert said(parsed(later), "fileIdentifier") == said(record, "fileIdentifier")
    dole = content.spec.territory.model_copy(update={"id": "dole"})
    other = replace(content, spec=replace(content.spec, territory=dole))
    assert said(parsed(other), "fileIdentifier") != said(record, "fileIdentifier")
