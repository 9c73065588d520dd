"""What is left of a release that somebody damaged: it is told, and the next refresh mends it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_line import qpv_geo_here

DEEP = "[" * 100_000 + "]" * 100_000


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("data")
    assert qpv_geo_here("refresh", "--offline", "--data", data).returncode == 0
    return data


@pytest.fixture
def data(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "data", symlinks=True))


def holds(name: str, text: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "latest" / name
        path.chmod(0o644)
        path.write_text(text, encoding="utf-8")

    return damage


def latest_is_its_own(folder: Path) -> None:
    (folder / "latest").unlink()
    (folder / "latest").symlink_to("latest")


def latest_leads_elsewhere(folder: Path) -> None:
    (folder / "latest").unlink()
    (folder / "latest").symlink_to("/etc")


def without_geopackage(folder: Path) -> None:
    (package,) = (folder / "latest").glob("*.gpkg")
    package.unlink()


DAMAGES = {
    "report-list": holds("rapport.json", "[]"),
    "report-deep": holds("rapport.json", DEEP),
    "report-odd": holds("rapport.json", '{"origine": 1, "couches": [3], "retenue": 5}'),
    "descriptor-number": holds("datapackage.json", "7"),
    "descriptor-deep": holds("datapackage.json", DEEP),
    "no-geopackage": without_geopackage,
    "latest-its-own": latest_is_its_own,
    "latest-elsewhere": latest_leads_elsewhere,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_release_is_told_and_made_again(data: Path, damage: Callable[[Path], None]) -> None:
    damage(data / "out" / "besancon")
    for command in ("list", "show", "verify"):
        done = qpv_geo_here("releases", command, "--data", data)
        assert "Traceback" not in done.stderr
        assert command != "verify" or done.returncode in {2, 5}
    done = qpv_geo_here("refresh", "--offline", "--data", data)
    assert done.returncode == 0, done.stderr
    done = qpv_geo_here("releases", "verify", "--data", data)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", ["[]", DEEP, '{"ledger": "autre"}', "\x00"])
def test_a_ledger_that_is_none_stops_with_one_sentence(data: Path, text: str) -> None:
    (data / "out" / "besancon" / "releases.json").write_text(text, encoding="utf-8")
    for command in (("releases", "list"), ("refresh", "--offline")):
        done = qpv_geo_here(*command, "--data", data)
        assert done.returncode == 5
        assert "releases.json: not a ledger of releases (" in done.stderr
        assert "move it away" in done.stderr
        assert "Traceback" not in done.stderr
        assert "https://" not in done.stderr.splitlines()[-1]
