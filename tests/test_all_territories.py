"""A release for each EPCI with a QPV, made by Dask workers: as if made alone, whatever dies."""

import json
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from distributed import Client
from typer.testing import CliRunner

from qpv_geo.audit.verify import verify_release
from qpv_geo.cli import app
from qpv_geo.errors import ConfigurationError, TerritoriesError
from qpv_geo.formats.provenance import Raws
from qpv_geo.ingest.tables import Tables
from qpv_geo.pipeline.country import country_of, read_national
from qpv_geo.pipeline.fetching import fetch
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.many import (
    DASK,
    Result,
    checked_codes,
    chosen_territories,
    dask_client,
    failed,
    left_out_message,
    national_files,
    publish_all,
    publish_one,
    raise_if_any_failed,
    survey,
    write_territory_files,
)
from qpv_geo.pipeline.new_territory import qpv_without_territory, territories_with_qpv
from qpv_geo.pipeline.one import run
from qpv_geo.releases.formats import chosen_formats
from qpv_geo.releases.release import current_release
from qpv_geo.settings import Settings
from qpv_geo.sources.fetch import Policy
from qpv_geo.territory import Territory, load_territory
from qpv_geo.zones import department_of

# Pontarlier, Ajaccio, Saint-Dié in Lambert-93, and CINOR on La Réunion in the projection of the island.
CHOSEN = ("242500338", "242010056", "200071066", "249740119")

Workers = tuple[Client, str]


@pytest.fixture(scope="module")
def job(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    settings = Settings(data_dir=tmp_path_factory.mktemp("national") / "data")
    formats = chosen_formats(pages=False)
    return Job(load_territory("france"), settings, Policy(mirror=str(mirror)), formats)


@pytest.fixture(scope="module")
def raws(job: Job) -> Raws:
    return fetch(job)


@pytest.fixture(scope="module")
def national(job: Job, raws: Raws) -> Tables:
    return read_national(job, raws)


@pytest.fixture(scope="module")
def all_of_them(national: Tables) -> list[Territory]:
    return territories_with_qpv(country_of(national))


@pytest.fixture(scope="module")
def workers(job: Job, raws: Raws) -> Iterator[Workers]:
    """Two processes that publish into the folder of `job`."""
    with dask_client(2) as client, national_files(client, job, raws) as files:
        yield client, files


@pytest.fixture
def here(job: Job, tmp_path: Path) -> Job:
    """Return the job, publishing into a folder of this test."""
    return replace(job, settings=replace(job.settings, data_dir=tmp_path / "data"))


@pytest.fixture
def chosen(all_of_them: list[Territory]) -> list[Territory]:
    found = [territory for territory in all_of_them if territory.code in CHOSEN]
    assert len(found) == len(CHOSEN)
    return found


def renamed(territories: list[Territory], beginning: str) -> list[Territory]:
    """Return the territories under other names: nothing was published of them yet."""
    return [one.model_copy(update={"id": f"{beginning}-{one.id}"}) for one in territories]


def states(results: Iterator[Result]) -> dict[str, str]:
    return {result.territory: result.state for result in results}


def assert_published(territories: list[Territory], settings: Settings) -> None:
    for territory in territories:
        release = current_release(territory.id, settings)
        assert release is not None
        assert verify_release(release.path) == []


def test_each_epci_with_a_qpv_is_a_territory_with_what_it_holds(
    all_of_them: list[Territory], national: Tables
) -> None:
    assert len({territory.id for territory in all_of_them}) == len(all_of_them) > 300
    by_code = {territory.code: territory for territory in all_of_them}
    besancon = by_code["242500361"]
    assert (besancon.expected.qpv, besancon.expected.communes, besancon.epsg) == (6, 67, 2154)
    assert by_code["249740119"].epsg == 2975
    contours = pd.concat([frame.drop(columns="geometry") for frame in national.contours.by_epsg.values()])
    declared = {code.strip() for codes in contours["siren_epci"].dropna() for code in codes.split(",")}
    assert {territory.code for territory in all_of_them} >= declared & set(
        national.communes["siren_epci"].dropna()
    )


def test_qpv_of_no_epci_are_told(all_of_them: list[Territory], national: Tables) -> None:
    left = qpv_without_territory(country_of(national), all_of_them)
    # Polynésie française and Saint-Martin have no EPCI; Pierrefitte is in Saint-Denis since 2025.
    assert Counter(department_of(code) for code in left) == {"987": 88, "978": 3, "93": 1}
    told = left_out_message(left)
    assert told.startswith("92 QPV declare no EPCI")
    assert "QN09336I, QN978" in told
    assert told.endswith("88 in 987")
    assert qpv_without_territory(country_of(national), all_of_them[1:]) != left


def test_the_workers_say_what_the_national_files_hold(
    workers: Workers, all_of_them: list[Territory], national: Tables
) -> None:
    left_out = qpv_without_territory(country_of(national), all_of_them)
    assert survey(*workers) == (all_of_them, left_out, national.defects)


def test_all_are_published_and_nothing_is_when_nothing_changed(
    workers: Workers, job: Job, chosen: list[Territory]
) -> None:
    names = {territory.id for territory in chosen}
    assert states(publish_all(*workers, chosen)) == dict.fromkeys(names, "published")
    assert_published(chosen, job.settings)
    again = list(publish_all(*workers, chosen))
    assert states(iter(again)) == dict.fromkeys(names, "unchanged")
    raise_if_any_failed(again)


TABLES = ("qpv", "qpv_voisins", "communes", "epci", "qpv_commune", "bande_300m", "statistiques")


def test_a_release_made_with_others_holds_what_one_made_alone_does(
    here: Job, raws: Raws, national: Tables, chosen: list[Territory], tmp_path: Path
) -> None:
    def content(settings: Settings, territory: Territory) -> dict[str, list[tuple[object, ...]]]:
        release = current_release(territory.id, settings)
        assert release is not None
        with closing(sqlite3.connect(release.path / f"qpv_{territory.id}.gpkg")) as database:
            return {
                table: database.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - our own names
                for table in TABLES
            }

    alone = replace(here.settings, data_dir=tmp_path / "alone")
    # One in Lambert-93, and one that has a projection of its own.
    for territory in (one for one in chosen if one.code in {CHOSEN[0], CHOSEN[-1]}):
        assert publish_one(replace(here, territory=territory), raws, national).state == "published"
        run(replace(here, territory=territory, settings=alone))
        assert content(here.settings, territory) == content(alone, territory)


def test_one_that_fails_stops_no_other(workers: Workers, job: Job, chosen: list[Territory]) -> None:
    bad, *others = renamed(chosen[:3], "fails")
    job.settings.out_dir.mkdir(parents=True, exist_ok=True)
    (job.settings.out_dir / bad.id).write_text("a file where releases go", encoding="utf-8")
    results = {result.territory: result for result in publish_all(*workers, [bad, *others])}
    assert results[bad.id].state == "failed"
    assert str(job.settings.out_dir / bad.id) in results[bad.id].message
    with pytest.raises(TerritoriesError, match=f"1 of 3 territories were not published: {bad.id}"):
        raise_if_any_failed(list(results.values()))
    assert_published(others, job.settings)


def test_a_release_that_changed_too_much_is_held_and_said_to_be(
    here: Job, raws: Raws, national: Tables, chosen: list[Territory]
) -> None:
    first, second = chosen[:2]
    assert publish_one(replace(here, territory=first), raws, national).state == "published"
    write_territory_files([first], here.settings)
    # As if all QPV of a territory had been replaced.
    other = second.model_copy(update={"id": first.id})
    result = publish_one(replace(here, territory=other), raws, national)
    assert (result.state, result.exit_code) == ("held", 5), result.message
    path = here.settings.territories_dir / f"{first.id}.toml"
    assert f"releases publish {result.release} --territory {path}" in result.message


@pytest.mark.matrix
def test_the_death_of_every_worker_costs_no_territory(
    workers: Workers, job: Job, chosen: list[Territory]
) -> None:
    territories = renamed(chosen, "killed")
    results = []
    for result in publish_all(*workers, territories):
        if not results:
            for pid in workers[0].run(os.getpid).values():
                os.kill(pid, signal.SIGKILL)
        results.append(result)
    assert sorted(result.territory for result in results) == sorted(one.id for one in territories)
    assert {result.exit_code for result in results} == {0}
    assert_published(territories, job.settings)


@contextmanager
def killed(territory: Territory, job: Job, deaths: float) -> Iterator[None]:
    """Kill whichever worker begins a territory, so many times."""
    holder, over = job.settings.out_dir / territory.id / ".lock-holder.json", threading.Event()

    def kill_whoever_begins_it() -> None:
        left = deaths
        while left and not over.wait(0.01):
            with suppress(OSError, ValueError):
                os.kill(json.loads(holder.read_text(encoding="utf-8"))["pid"], signal.SIGKILL)
                holder.unlink()
                left -= 1

    killer = threading.Thread(target=kill_whoever_begins_it)
    killer.start()
    try:
        yield
    finally:
        over.set()
        killer.join()


@pytest.mark.matrix
def test_a_territory_that_kills_its_workers_fails_and_the_others_are_published(
    workers: Workers, job: Job, chosen: list[Territory]
) -> None:
    deadly, *others = renamed(chosen, "deadly")
    with killed(deadly, job, math.inf):
        results = {result.territory: result for result in publish_all(*workers, [deadly, *others])}
    assert (results[deadly.id].state, results[deadly.id].exit_code) == ("failed", 1)
    assert "is there enough memory?" in results[deadly.id].message
    assert [results[one.id].message for one in others] == [""] * len(others)
    assert_published(others, job.settings)


@pytest.mark.matrix
def test_a_territory_whose_workers_died_twice_is_tried_once_more_alone(
    workers: Workers, job: Job, chosen: list[Territory]
) -> None:
    """As one that only waited where another one killed: Dask suspects both alike."""
    suspect = renamed(chosen[:1], "suspect")
    with killed(suspect[0], job, 2):
        (result,) = publish_all(*workers, suspect)
    assert (result.state, result.message) == ("published", "")
    assert_published(suspect, job.settings)


@pytest.mark.matrix
def test_where_no_worker_is_left_territories_fail_in_place_of_waiting(
    job: Job, raws: Raws, chosen: list[Territory], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qpv_geo.pipeline.many._WITHOUT_WORKERS", "1s")
    with dask_client(1) as client, national_files(client, job, raws) as files:
        client.retire_workers(close_workers=True, remove=True)
        results = list(publish_all(client, files, renamed(chosen, "nobody")))
    assert len(results) == len(chosen)
    for result in results:
        assert (result.state, result.exit_code) == ("failed", 1)
        assert result.message.startswith("its task failed: ")


@pytest.mark.parametrize(("codes", "worst"), [((6, 4, 5), 4), ((6, 2, 3), 3), ((5, 1), 1)])
def test_the_worst_of_several_failures_is_the_exit_code(
    chosen: list[Territory], codes: tuple[int, ...], worst: int
) -> None:
    raise_if_any_failed([])
    with pytest.raises(TerritoriesError) as caught:
        raise_if_any_failed([failed(chosen[0], code, "why") for code in codes])
    assert caught.value.exit_code == worst


def test_some_are_chosen_by_their_codes_or_departments(all_of_them: list[Territory]) -> None:
    def codes(*only: str) -> set[str]:
        return {one.code for one in chosen_territories(all_of_them, checked_codes(only))}

    assert codes("242500338", "249740119") == {"242500338", "249740119"}
    assert {"242500361", "242500338", "200065647"} == codes("25") < codes("25", "2A", "974")
    assert codes() == {one.code for one in all_of_them}
    with pytest.raises(ConfigurationError, match="--only 246900245,978: no EPCI with a QPV"):
        codes("25", "978", "246900245")
    with pytest.raises(ConfigurationError, match="--only 25056,besancon: give SIREN"):
        checked_codes(["besancon", "25056", "25"])


def test_each_territory_has_a_file_that_commands_read(here: Job, chosen: list[Territory]) -> None:
    write_territory_files(chosen, here.settings)
    for territory in chosen:
        path = here.settings.territories_dir / f"{territory.id}.toml"
        assert load_territory(str(path)).model_dump() == territory.model_dump()
    shutil.rmtree(here.settings.territories_dir)
    (here.settings.territories_dir).write_text("", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_territory_files(chosen, here.settings)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--all-territories", "--territory", "besancon"], "give no --territory"),
        (["--only", "25", "--territory", "besancon"], "give no --territory"),
        (["--only", "25056"], "give SIREN of EPCI"),
        (["--workers", "2"], "go with --all-territories"),
        (["--no-pages"], "go with --all-territories"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["refresh", *options])
    assert isinstance(result.exception, ConfigurationError)
    assert words in str(result.exception)


@pytest.mark.parametrize("where", ["here", "local:", "local:0", "local:many", "local:\N{SUPERSCRIPT TWO}"])
def test_a_cluster_that_is_not_understood_is_refused(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DASK, where)
    with pytest.raises(ConfigurationError, match="local:4"), dask_client():
        pass


def test_a_scheduler_elsewhere_is_used_and_said_to_be_away(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = workers[0].scheduler.address
    monkeypatch.setenv(DASK, scheduler)
    with dask_client() as client:
        assert client.scheduler_info()["address"] == scheduler
    monkeypatch.setenv(DASK, "tcp://127.0.0.1:9")
    monkeypatch.setattr("qpv_geo.pipeline.many._CONNECT", "0.5s")
    with pytest.raises(ConfigurationError, match="no scheduler answers there"), dask_client():
        pass


def started(mirror: Path, data: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "qpv_geo", "refresh", "--mirror", str(mirror), "--data", str(data)]
    return subprocess.Popen(
        [*command, "--no-pages", "--workers", "1", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_command_publishes_some_and_closes_with_one_table(mirror: Path, tmp_path: Path) -> None:
    output, log = (process := started(mirror, tmp_path, "--only", "242500338")).communicate(timeout=300)
    assert process.returncode == 0, log
    assert "1 territories" in output
    assert output.count("Territories") == 1
    assert "INFO    | qpv_geo.pipeline.many - 1 of 1: cc-du-grand-pontarlier, published" in log
    assert [path.name for path in (tmp_path / "territories").iterdir()] == ["cc-du-grand-pontarlier.toml"]


@pytest.mark.matrix
def test_a_killed_command_leaves_no_process_behind(mirror: Path, tmp_path: Path) -> None:
    process = started(mirror, tmp_path, "--all-territories")
    deadline = time.monotonic() + 120
    while not (children := descendants(process.pid)) or len(children) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.kill()
    process.communicate()
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def descendants(pid: int) -> list[int]:
    """Return the processes that a process started, and those that these did."""
    children = [
        int(child)
        for path in Path(f"/proc/{pid}/task").glob("*/children")
        for child in path.read_text(encoding="ascii").split()
    ]
    return [*children, *(below for child in children for below in descendants(child))]
