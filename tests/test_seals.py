"""Edits of a published release: none passes, since the ledger holds the digest of its descriptor."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qpv_geo.audit.verify import verify_release
from qpv_geo.releases.ledger import LEDGER, is_intact, read_ledger, seal_findings, write_ledger
from qpv_geo.releases.release import Release, current_release, held_releases
from qpv_geo.settings import Settings
from tests.command_line import qpv_geo_here as qpv_geo
from tests.publishing import BESANCON, inhabitants, inputs, publish, snapshot_copy
from tests.releases import edit_json, sign


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with a current release and one that is held."""
    base = tmp_path_factory.mktemp("published")
    settings = Settings(data_dir=base / "data")
    publish(settings, inputs())
    publish(settings, inhabitants(snapshot_copy(base / "originals"), 20_000))
    return settings.data_dir


@pytest.fixture
def settings(published: Path, tmp_path: Path) -> Settings:
    folder = tmp_path / "données"
    shutil.copytree(published, folder, symlinks=True)
    return Settings(data_dir=folder)


@pytest.fixture
def release(settings: Settings) -> Release:
    current = current_release(BESANCON.id, settings)
    assert current is not None
    return current


def codes(path: Path) -> set[str]:
    return {finding.code for finding in seal_findings(path)}


def licence(document: dict[str, Any]) -> None:
    document["licenses"][0]["title"] = "Domaine public"


def source_checksum(document: dict[str, Any]) -> None:
    document["sources"][0]["sha256"] = "0" * 64


def title(document: dict[str, Any]) -> None:
    document["title"] = "Autre titre"


@pytest.mark.parametrize("edit", [licence, source_checksum, title])
def test_an_edited_descriptor_is_found(
    release: Release, settings: Settings, edit: Callable[[dict[str, Any]], None]
) -> None:
    edit_json(release.path / "datapackage.json", edit)
    assert verify_release(release.path) == []
    assert codes(release.path) == {"SEAL01"}
    assert not is_intact(release.path)
    done = qpv_geo("releases", "verify", "--data", settings.data_dir)
    assert done.returncode == 5
    assert "SEAL01 datapackage.json: is not the one that was published" in done.stderr


def test_an_edit_with_every_checksum_made_again_is_found(release: Release) -> None:
    report = release.path / "rapport.html"
    report.chmod(0o644)
    report.write_text(report.read_text(encoding="utf-8").replace("15", "16"), encoding="utf-8")
    report.chmod(0o444)
    sign(release.path)
    assert verify_release(release.path) == []
    assert codes(release.path) == {"SEAL01"}


def test_a_file_that_can_be_written_to_is_found_but_the_release_is_intact(release: Release) -> None:
    (package,) = release.path.glob("*.gpkg")
    package.chmod(0o644)
    assert [str(finding).partition(" can be")[0] for finding in seal_findings(release.path)] == [
        f"SEAL02 {package.name}:"
    ]
    assert is_intact(release.path)


def test_modes_that_the_folder_never_held_are_not_missed(release: Release) -> None:
    """Some shares show every file as writable."""
    folder = release.path.parent
    ledger = read_ledger(folder)
    loose = tuple(seal.model_copy(update={"read_only": False}) for seal in ledger.seals)
    write_ledger(folder, ledger.model_copy(update={"seals": loose}))
    for path in release.path.rglob("*.csv"):
        path.chmod(0o644)
    assert codes(release.path) == set()


def test_a_release_of_before_the_seals_is_taken_as_it_is(release: Release) -> None:
    edit_json(release.path.parent / LEDGER, lambda document: document.pop("seals"))
    edit_json(release.path / "datapackage.json", title)
    assert codes(release.path) == set()
    assert is_intact(release.path)


def test_a_held_release_is_sealed_and_cannot_be_edited_before_it_is_published(
    settings: Settings,
) -> None:
    (held,) = held_releases(BESANCON.id, settings)
    assert seal_findings(held.path) == []
    edit_json(held.path / "datapackage.json", title)
    assert codes(held.path) == {"SEAL01"}
    done = qpv_geo("releases", "publish", held.id, "--data", settings.data_dir)
    assert done.returncode == 5
    assert "its files are not those that were published" in done.stderr


def test_an_edited_release_is_made_again(release: Release, settings: Settings) -> None:
    edit_json(release.path / "datapackage.json", title)
    again = publish(settings, inputs())
    assert again.id == release.id
    assert seal_findings(again.path) == []
    assert is_intact(again.path)
