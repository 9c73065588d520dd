"""What an installation without the clone carries."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and unpack it, as an installation does."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def tracked(*folders: str) -> list[str]:
    done = subprocess.run(
        ["git", "ls-files", *folders],  # noqa: S607 - git is where the user has it
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines()


def test_wheel_holds_every_file_of_both_packages(installed: Path) -> None:
    files = tracked("qpv_geo", "flows")
    assert files
    assert [file for file in files if not (installed / file).is_file()] == []


def test_wheel_holds_the_snapshot_byte_for_byte(installed: Path) -> None:
    files = tracked("data/raw/snapshot")
    assert files
    for file in files:
        copy = installed / "qpv_geo" / "_snapshot" / Path(file).relative_to("data/raw/snapshot")
        assert copy.read_bytes() == (ROOT / file).read_bytes()


def test_an_installation_finds_its_snapshot_and_its_catalogue(installed: Path, tmp_path: Path) -> None:
    code = (
        "from qpv_geo.settings import Settings\n"
        "from qpv_geo.sources.catalogue import load_catalogue\n"
        "from qpv_geo.territory import load_territory\n"
        "load_catalogue(), load_territory('besancon')\n"
        "print(Settings().snapshot_dir, Settings().out_dir, sep='|')"
    )
    environment = {name: value for name, value in os.environ.items() if name != "QPV_GEO_DATA"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(installed)},
        check=True,
        capture_output=True,
        text=True,
    )
    snapshot, out = done.stdout.strip().split("|")
    assert Path(snapshot) == installed / "qpv_geo" / "_snapshot"
    assert Path(out) == tmp_path / "data" / "out"
