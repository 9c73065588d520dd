"""The GeoPackage held against published standards by other people's checkers.

They need Debian's GDAL bindings and live in an environment of their own, which ``.ci/run`` makes from
``.ci/standards.txt`` and names in ``QPV_GEO_STANDARDS``.
"""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qpv_geo.formats.base import Content
from qpv_geo.qgis.metadata import iso_record
from tests.mapping import full_content, snapshot_content, write

# PDOK is Dutch: RQ22 allows reference systems of the Netherlands and of Europe, not Lambert-93. RQ8 compares
# with definitions that we do not have.
NOT_OURS = {"RQ8", "RQ22"}
VALIDATE_XML = """
import importlib.util, sys, lxml.etree
(package,) = importlib.util.find_spec("pycsw").submodule_search_locations
gmd = "/plugins/profiles/apiso/schemas/ogc/iso/19139/20060504/gmd/gmd.xsd"
schema = lxml.etree.XMLSchema(lxml.etree.parse(package + gmd))
schema.validate(lxml.etree.parse(sys.argv[1]))
print(schema.error_log)
"""


@pytest.fixture(scope="session")
def standards() -> Path:
    """Folder of the checkers' commands; skip without them, but never in CI."""
    folder = os.environ.get("QPV_GEO_STANDARDS")
    if folder:
        return Path(folder)
    if os.environ.get("CI") == "true":
        pytest.fail("QPV_GEO_STANDARDS is not set: .ci/run installs .ci/standards.txt and sets it")
    pytest.skip("needs the checkers of .ci/standards.txt, and QPV_GEO_STANDARDS to name their folder")


@pytest.fixture(params=[snapshot_content, full_content], ids=["snapshot", "full"])
def content(request: pytest.FixtureRequest) -> Content:
    made: Content = request.param()
    return made


def run(command: list[str | Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def rules(validator: Path) -> list[str]:
    """Return the codes of the validator's rules, without those that it keeps for old files only."""
    shown: dict[str, str] = json.loads(run([validator, "show-validations"]).stdout)
    legacy = {code for code, text in shown.items() if text.lower().startswith("legacy")}
    return sorted(set(shown) - legacy - NOT_OURS)


def validated(validator: Path, package: Path) -> tuple[int, dict[str, Any]]:
    codes = ",".join(rules(validator))
    done = run([validator, "validate", "--gpkg-path", package, "--validations", codes, "--exit-on-fail"])
    answer: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, answer


def test_pdok_finds_no_error(standards: Path, content: Content, tmp_path: Path) -> None:
    code, answer = validated(standards / "geopackage-validator", write(tmp_path, content))
    errors = [result for result in answer["results"] if result["level"] == "error"]
    assert errors == []
    assert answer["success"]
    assert code == 0
    assert set(answer["validations_executed"]) > {
        "RQ1",
        "RQ9",
        "RQ10",
        "RQ15",
        "RQ23",
        "RQ24",
        "RC17",
        "RC25",
    }


def test_pdok_would_find_one(standards: Path, tmp_path: Path) -> None:
    """The check can fail: a layer without rows breaks RQ2."""
    content = snapshot_content()
    emptied = {**content.frames, "qpv_commune": content.frames["qpv_commune"].iloc[:0]}
    broken = replace(content, frames=emptied)
    code, answer = validated(standards / "geopackage-validator", write(tmp_path, broken))
    assert code == 1
    assert not answer["success"]
    assert "RQ2" in {result["validation_code"] for result in answer["results"]}


def test_the_metadata_obey_the_schema_of_iso_19139(standards: Path, content: Content, tmp_path: Path) -> None:
    record = tmp_path / "record.xml"
    record.write_text(iso_record(content), encoding="utf-8")
    done = run([standards / "python", "-c", VALIDATE_XML, record])
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_the_schema_would_refuse_a_wrong_record(standards: Path, content: Content, tmp_path: Path) -> None:
    record = tmp_path / "record.xml"
    record.write_text(iso_record(content).replace("gmd:abstract", "gmd:summary"), encoding="utf-8")
    done = run([standards / "python", "-c", VALIDATE_XML, record])
    assert done.returncode == 0
    assert "summary" in done.stdout
