"""The Data Package: frictionless finds it valid, and every file is listed with its checksum."""

import hashlib
import json
from pathlib import Path
from typing import Any

import frictionless
import pytest

from qpv_geo.releases.release import Release
from qpv_geo.settings import Settings
from tests.publishing import CATALOGUE, SNAPSHOT, declared, inputs, publish, raw_file


@pytest.fixture(scope="module")
def descriptor(release: Release) -> dict[str, Any]:
    return dict(json.loads((release.path / "datapackage.json").read_text(encoding="utf-8")))


def test_frictionless_finds_descriptor_and_data_valid(release: Release) -> None:
    report = frictionless.validate(str(release.path / "datapackage.json"))
    assert report.valid, report.flatten(["title", "message"])
    assert {task.name for task in report.tasks if task.type == "table"} == set(release.layers)
    for task in report.tasks:
        if task.type == "table":
            assert task.stats["rows"] == release.layers[task.name]


def test_every_file_is_listed_with_size_and_checksum(release: Release, descriptor: dict[str, Any]) -> None:
    listed = {resource["path"]: resource for resource in descriptor["resources"]}
    there = {path.relative_to(release.path).as_posix() for path in release.path.rglob("*") if path.is_file()}
    assert set(listed) == there - {"datapackage.json"}
    for name, resource in listed.items():
        data = (release.path / name).read_bytes()
        assert resource["bytes"] == len(data)
        assert resource["hash"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
    names = [resource["name"] for resource in descriptor["resources"]]
    assert len(set(names)) == len(names)


def test_profiles_are_those_of_data_package_v1(descriptor: dict[str, Any]) -> None:
    assert descriptor["profile"] == "data-package"
    for resource in descriptor["resources"]:
        tabular = resource["path"].startswith("csv/")
        assert resource["profile"] == ("tabular-data-resource" if tabular else "data-resource")
        assert ("schema" in resource) == tabular, resource["path"]


def test_schemas_say_how_french_spreadsheets_write(descriptor: dict[str, Any]) -> None:
    resources = {resource["name"]: resource for resource in descriptor["resources"]}
    qpv = resources["qpv"]
    assert qpv["dialect"]["delimiter"] == ";"
    assert qpv["schema"]["primaryKey"] == ["code_qp"]
    fields = {field["name"]: field for field in qpv["schema"]["fields"]}
    assert list(fields) == list(declared()["qpv"].fields)
    assert fields["surface_m2"]["decimalChar"] == ","
    assert fields["surface_m2"]["title"] == "Surface"
    assert "Unité : m²." in fields["surface_m2"]["description"]
    assert "apostrophe" in qpv["description"], "the neutralised cells are documented"
    pieces = {field["name"]: field for field in resources["qpv_commune"]["schema"]["fields"]}
    assert pieces["membre"]["trueValues"] == ["VRAI"]
    assert "primaryKey" not in resources["qpv_commune"]["schema"], "its key may be empty"


def test_licences_and_sources_say_who_what_and_when(descriptor: dict[str, Any]) -> None:
    assert descriptor["licenses"] == [
        {
            "name": "etalab-2.0",
            "path": "https://www.etalab.gouv.fr/licence-ouverte-open-licence",
            "title": "Licence Ouverte 2.0 (Etalab)",
        }
    ]
    sources = {source["id"]: source for source in descriptor["sources"]}
    assert set(sources) == {"qpv_2024", "insee_population", "insee_filosofi", "communes_epci"}
    population = sources["insee_population"]
    assert population["title"].endswith("mise à jour du 1er août 2024")
    assert (population["vintage"], population["origin"], population["date"]) == (
        "2020",
        "snapshot",
        "2024-08-01",
    )
    data = (SNAPSHOT / "insee" / "pop_QPV24.csv").read_bytes()
    assert population["sha256"] == hashlib.sha256(data).hexdigest()
    assert descriptor["description"].startswith("Données fournies avec le programme")


def test_another_licence_is_listed_beside(settings: Settings, tmp_path: Path) -> None:
    made = inputs()
    path = tmp_path / "communes.geojson.gz"
    path.write_bytes(b"")
    made.raws["communes_france"] = raw_file("communes_france", path, source=CATALOGUE["communes_france"])
    release = publish(settings, made)
    licences = json.loads((release.path / "datapackage.json").read_text(encoding="utf-8"))["licenses"]
    assert [licence["name"] for licence in licences] == ["etalab-2.0", "other-open"]
    assert "ODbL" in licences[1]["title"]
    assert frictionless.validate(str(release.path / "datapackage.json")).valid
