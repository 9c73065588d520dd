"""The command line as users run it: a process, its output, its exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qpv_geo.lock import territory_lock
from tests.country import publish_country
from tests.server import OfficialSites


def qpv_geo(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qpv_geo", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | environment,
    )


def test_refresh_offline_tells_what_it_did_and_releases_can_be_verified(tmp_path: Path) -> None:
    data = tmp_path / "données de l'agglo"
    done = qpv_geo("refresh", "--offline", "--data", data)
    assert done.returncode == 0, done.stderr
    for words in ("qpv_2024", "snapshot", "Instantané livré avec le logiciel", "publiée", str(data)):
        assert words in done.stdout
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stdout

    verified = qpv_geo("releases", "verify", "--data", data)
    assert verified.returncode == 0, verified.stderr
    listed = qpv_geo("releases", "list", QPV_GEO_DATA=str(data))
    assert "2026-01-15-" in listed.stdout

    gpkg = next((data / "out" / "besancon" / "latest").glob("*.gpkg"))
    gpkg.chmod(0o644)
    gpkg.write_bytes(gpkg.read_bytes()[:-100])
    damaged = qpv_geo("releases", "verify", "--data", data)
    assert damaged.returncode == 5
    assert "qpv_besancon.gpkg" in damaged.stderr


def test_a_broken_contract_ends_with_code_4_and_one_explanation(tmp_path: Path, sites: OfficialSites) -> None:
    publish_country(sites)
    sites.publish("insee_population", b"codeQPV;popMuniQPV\nQN02503M;-5\n")
    done = qpv_geo("refresh", "--data", tmp_path, QPV_GEO_OFFICIAL_SITES=sites.url)
    assert done.returncode == 4
    assert "qpv-geo: " in done.stderr
    assert "-5" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not (tmp_path / "out" / "besancon" / "latest").exists()


def test_a_required_source_out_of_reach_ends_with_code_3(tmp_path: Path) -> None:
    done = qpv_geo("refresh", "--require-live", "--data", tmp_path)
    assert done.returncode == 3
    assert "qpv-geo: source " in done.stderr


def test_a_held_lock_ends_with_code_6(tmp_path: Path) -> None:
    with territory_lock(tmp_path / "out" / "besancon"):
        done = qpv_geo("refresh", "--offline", "--data", tmp_path)
    assert done.returncode == 6
    assert f"process {os.getpid()}" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("refresh", "--territory", "atlantide", "--offline"), "no territory 'atlantide'"),
        (("refresh", "--offline", "--require-live"), "--require-live"),
        (("refresh", "--mirror", "nulle-part"), "nulle-part"),
        (("refresh", "--offline", "--formats", "xlsx,shp"), "unknown formats: shp"),
        (("refresh", "--unknown"), "--unknown"),
        (("releases", "verify", "1900-01-01-0000000000"), "1900-01-01-0000000000"),
    ],
    ids=["territory", "contradiction", "mirror", "formats", "option", "release"],
)
def test_wrong_usage_ends_with_code_2(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    done = qpv_geo(*arguments, "--data", tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert words in done.stderr


def test_sources_are_listed() -> None:
    done = qpv_geo("sources", "list")
    assert done.returncode == 0
    for words in ("qpv_2024", "insee_filosofi", "as declared"):
        assert words in done.stdout


def test_sources_are_checked(tmp_path: Path, sites: OfficialSites) -> None:
    publish_country(sites)
    sites.publish("insee_population", b"CODE_INCONNU;popMuniQPV\nQN02503M;5\n")
    done = qpv_geo("sources", "check", "--data", tmp_path, QPV_GEO_OFFICIAL_SITES=sites.url)
    assert done.returncode == 3
    assert "CODE_INCONNU" in done.stdout
    assert not (tmp_path / "raw").exists()
