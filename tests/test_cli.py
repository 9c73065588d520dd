"""The command line as users run it: a process, its output, its exit code."""

import errno
import json
import os
from pathlib import Path

import pytest
from typer.main import get_group

from qpv_geo import cli
from qpv_geo.cli import app
from qpv_geo.commands import prefect_server
from qpv_geo.commands.prefect_server import configured_server
from qpv_geo.errors import ConfigurationError
from qpv_geo.lock import territory_lock
from qpv_geo.releases.release import Release
from qpv_geo.settings import Settings
from tests.apl_files import write_apl
from tests.command_line import qpv_geo, qpv_geo_here
from tests.country import publish_country
from tests.server import OfficialSites


@pytest.fixture
def no_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forget how Prefect is configured here; return the file of its profiles."""
    for name in ("PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    (tmp_path / "prefect").mkdir()
    return tmp_path / "prefect" / "profiles.toml"


def test_refresh_offline_tells_what_it_did_and_releases_can_be_verified(
    tmp_path: Path, no_profile: Path
) -> None:
    data = tmp_path / "données de l'agglo"
    done = qpv_geo("refresh", "--offline", "--data", data)
    assert done.returncode == 0, done.stderr
    for words in ("qpv_2024", "snapshot", "Données fournies avec le programme", "(published)", str(data)):
        assert words in done.stdout
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stdout
    assert list(no_profile.parent.iterdir()) == [], "a trace of Prefect"

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


def test_a_broken_contract_ends_with_code_4_and_one_explanation(
    tmp_path: Path, sites: OfficialSites, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_country(sites)
    monkeypatch.setenv("QPV_GEO_OFFICIAL_SITES", sites.url)
    sites.publish("insee_population", b"codeQPV;popMuniQPV\nQN02503M;-5\n")
    done = qpv_geo_here("refresh", "--data", tmp_path)
    assert done.returncode == 4
    assert "qpv-geo: " in done.stderr
    assert "-5" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not (tmp_path / "out" / "besancon" / "latest").exists()


def test_a_required_source_out_of_reach_ends_with_code_3(tmp_path: Path, no_profile: Path) -> None:
    done = qpv_geo("refresh", "--require-live", "--data", tmp_path / "data")
    assert done.returncode == 3
    assert "qpv-geo: source " in done.stderr
    assert list(no_profile.parent.iterdir()) == [], "a trace of Prefect"


def test_a_held_lock_ends_with_code_6(tmp_path: Path) -> None:
    with territory_lock(tmp_path / "out" / "besancon"):
        done = qpv_geo_here("refresh", "--offline", "--data", tmp_path)
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
        (("releases", "prune", "--older-than", "inf"), "--older-than"),
        (("refresh", "--territory", "a" * 5_000), "File name too long"),
        (("refresh", "--mirror", "a" * 5_000), "File name too long"),
    ],
    ids=["territory", "contradiction", "mirror", "formats", "option", "release", "age", "name", "folder"],
)
def test_wrong_usage_ends_with_code_2(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    done = qpv_geo_here(*arguments, "--data", tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_territory_nested_without_end_is_no_territory(tmp_path: Path) -> None:
    path = tmp_path / "profond.toml"
    path.write_text(f"a = {'[' * 100_000}", encoding="utf-8")
    done = qpv_geo_here("refresh", "--territory", path, "--data", tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"qpv-geo: {path}: not valid TOML: brackets nested without end\n"


@pytest.mark.parametrize(
    ("refusal", "code", "sentence"),
    [
        (MemoryError(), 1, "qpv-geo: not enough memory; raise the limit"),
        (
            OSError(errno.EMFILE, "Too many open files"),
            1,
            "qpv-geo: Too many open files; check the name, the",
        ),
        (
            OSError(errno.ENAMETOOLONG, "File name too long", "é" * 999),
            2,
            f"qpv-geo: {'é' * 100}…: File name",
        ),
    ],
    ids=["memory", "handles", "name"],
)
def test_what_the_system_refuses_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    refusal: Exception,
    code: int,
    sentence: str,
) -> None:
    def refuse() -> None:
        raise refusal

    monkeypatch.setattr(cli, "app", refuse)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == code
    written = capsys.readouterr().err
    assert written.startswith(sentence)
    assert len(written.splitlines()) == 1


def test_sources_are_listed() -> None:
    done = qpv_geo_here("sources", "list")
    assert done.returncode == 0
    for words in ("qpv_2024", "insee_filosofi", "as declared"):
        assert words in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        "sources list",
        "sources check",
        "releases list",
        "releases show",
        "releases verify",
        "releases diff",
        "territory list",
        "territory show",
        "refresh",
    ],
)
def test_every_command_that_reports_does_so_in_json(
    command: str, offline: Release, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QPV_GEO_DATA", str(settings.data_dir))
    more = {"releases diff": [offline.id], "territory show": ["besancon"], "refresh": ["--offline"]}
    done = qpv_geo_here(*command.split(), "--json", *more.get(command, []))
    assert done.returncode == (3 if command == "sources check" else 0), done.stderr
    content = json.loads(done.stdout)
    group, _, name = command.partition(" ")
    known = {"sources": "insee_filosofi", "territory": "Grand Besançon Métropole"}
    assert known.get(group, offline.id) in done.stdout
    assert isinstance(content, list) == (name in {"list", "check"})


def test_quiet_prints_errors_and_json_alone(offline: Release, settings: Settings) -> None:
    given = ("--offline", "--data", settings.data_dir)
    quiet = qpv_geo_here("refresh", "-q", *given)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    as_json = qpv_geo_here("refresh", "--quiet", "--json", *given)
    assert json.loads(as_json.stdout)["release"] == offline.id
    wrong = qpv_geo_here("refresh", "-q", "--territory", "bezancon")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "qpv-geo: no territory 'bezancon': did you mean besancon?\n"


def test_verbose_logs_every_step(offline: Release, settings: Settings) -> None:
    done = qpv_geo("refresh", "--offline", "-v", "--data", settings.data_dir)
    assert offline.id in done.stdout
    assert "source bpe is left out" in done.stderr
    usual = qpv_geo_here("refresh", "--offline", "--data", settings.data_dir)
    assert "source bpe is left out" not in usual.stderr


def test_tables_are_as_wide_as_the_terminal_says(offline: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    widths = []
    data = offline.path.parents[2]
    for columns in ("70", "130"):
        monkeypatch.setenv("COLUMNS", columns)
        done = qpv_geo_here("releases", "list", "--data", data)
        widths.append(max(map(len, done.stdout.splitlines())))
    assert widths == [70, 130]


def test_a_refresh_names_the_file_to_open_next(offline: Release, settings: Settings) -> None:
    done = qpv_geo_here("refresh", "--offline", "--data", settings.data_dir)
    assert done.stdout.endswith(f"Open next: {offline.path.resolve() / 'portraits' / 'index.html'}\n")


@pytest.mark.parametrize("help_option", ["-h", "--help"])
def test_help_has_a_short_name_everywhere(help_option: str) -> None:
    for command in ([], ["releases"], ["releases", "list"]):
        done = qpv_geo_here(*command, help_option)
        assert done.returncode == 0
        assert "Usage" in done.stdout


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("Besançon", "did you mean besancon?"),
        ("242500361", "did you mean besancon?"),
        ("frnace", "did you mean france?"),
        ("200065647", "`qpv-geo territory init 200065647`"),
        ("Pays de Montbéliard", "`qpv-geo territory init 'Pays de Montbéliard'`"),
    ],
)
def test_an_unknown_territory_is_answered_with_what_is_rather_meant(given: str, meant: str) -> None:
    done = qpv_geo_here("releases", "list", "--territory", given)
    assert done.returncode == 2
    assert meant in done.stderr


def test_advice_is_about_the_territory_that_was_asked_for(tmp_path: Path) -> None:
    options = f"--territory france --data {tmp_path}`"
    listed = qpv_geo_here("releases", "list", "--territory", "france", "--data", tmp_path)
    assert f"`qpv-geo refresh {options} makes the first" in listed.stdout
    shown = qpv_geo_here("releases", "show", "--territory", "france", "--data", tmp_path)
    assert f"run `qpv-geo refresh {options}" in shown.stderr


def test_sources_are_checked(tmp_path: Path, sites: OfficialSites, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_country(sites)
    monkeypatch.setenv("QPV_GEO_OFFICIAL_SITES", sites.url)
    sites.publish("insee_population", b"CODE_INCONNU;popMuniQPV\nQN02503M;5\n")
    apl = write_apl(tmp_path / "apl.xlsx", "dentistes", {2024: [("25056", "Besançon", 90.5, 117_000.0)]})
    sites.publish("drees_apl_dentistes", apl.read_bytes())
    sites.publish("drees_apl_infirmiers", apl.read_bytes())
    done = qpv_geo_here("sources", "check", "--json", "--data", tmp_path)
    assert done.returncode == 3
    found = {row["source_id"]: row["differences"] for row in json.loads(done.stdout)}
    assert "CODE_INCONNU" in found["insee_population"][0]
    assert found["drees_apl_dentistes"] == []
    assert "APL aux chirurgiens-dentistes" in found["drees_apl_infirmiers"][0]
    assert not (tmp_path / "raw").exists()


def test_the_summary_of_each_command_is_the_first_line_of_its_help() -> None:
    groups = {"qpv-geo": app} | {name: getattr(cli, name) for name in ("sources", "releases", "territory")}
    for name, group in groups.items():
        for command, lazy in get_group(group).lazy.items():
            summary = " ".join((lazy.load(command).help or "").split("\n\n")[0].split())
            assert lazy.summary == summary, f"{name} {command}"


PROFILES = """
active = "{active}"

[profiles.ephemeral]
PREFECT_API_URL = "http://127.0.0.1:9/api"

[profiles.bureau]
PREFECT_API_URL = "{url}"

[profiles.vide]
"""


@pytest.mark.parametrize(
    ("active", "environment", "found"),
    [
        ("bureau", {}, True),
        ("ephemeral", {}, False),
        ("vide", {}, False),
        ("absent", {}, False),
        ("bureau", {"PREFECT_PROFILE": "ephemeral"}, False),
        ("ephemeral", {"PREFECT_PROFILE": "bureau"}, True),
        ("ephemeral", {"PREFECT_API_URL": "{url}"}, True),
    ],
)
def test_a_server_is_configured_by_its_address_or_by_the_active_profile(
    active: str,
    environment: dict[str, str],
    found: bool,  # noqa: FBT001 - a case
    no_profile: Path,
    sites: OfficialSites,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    no_profile.write_text(PROFILES.format(active=active, url=sites.url), encoding="utf-8")
    for name, value in environment.items():
        monkeypatch.setenv(name, value.format(url=sites.url))
    assert configured_server() == (sites.url if found else None)
    assert [request.path for request in sites.requests] == (["/admin/version"] if found else [])


def test_without_profiles_no_server_is_configured(no_profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not no_profile.exists()
    assert configured_server() is None
    # A profile that Prefect ships, and where nothing listens.
    monkeypatch.setenv("PREFECT_PROFILE", "local")
    monkeypatch.setitem(prefect_server.SHIPPED_PROFILES, "local", "http://127.0.0.1:9/api")
    with pytest.raises(ConfigurationError, match="does not answer"):
        configured_server()


@pytest.mark.parametrize("further", [[], ["--all-territories"]], ids=["one", "all"])
def test_prefect_is_insisted_on_in_vain_without_a_server(
    further: list[str], no_profile: Path, tmp_path: Path
) -> None:
    done = qpv_geo_here("refresh", "--offline", "--prefect", *further, "--data", tmp_path / "data")
    assert done.returncode == 2
    assert "`qpv-geo serve`" in done.stderr
    assert list(no_profile.parent.iterdir()) == []


def test_the_log_says_which_sources_a_copy_stands_in_for(tmp_path: Path) -> None:
    done = qpv_geo_here("refresh", "--data", tmp_path)
    assert done.returncode == 0
    log = "WARNING | qpv_geo.pipeline.fetching - "
    assert f"{log}source insee_population: https://www.insee.fr/fr/statistiques/" in done.stderr
    copy = "the copy from the snapshot stands in for the official file"
    assert f"{log}insee_population: {copy}" in done.stderr
    assert "injoignable" not in done.stderr
