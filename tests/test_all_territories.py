"""A release for each EPCI with a QPV, made in several processes: as if made alone, whatever dies."""

import multiprocessing
import os
import shutil
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from flows.all_territories import told_left_out, write_territory_files
from qpv_geo.audit.verify import verify_release
from qpv_geo.cli import app
from qpv_geo.errors import ConfigurationError
from qpv_geo.formats.provenance import Raws
from qpv_geo.pipeline.fetching import fetch_in_threads
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.many import (
    National,
    Result,
    failed,
    largest_first,
    publish_in_processes,
    publish_one,
    qpv_left_out,
    read_national,
    territories_of,
    worst,
)
from qpv_geo.pipeline.one import run
from qpv_geo.releases.formats import chosen_formats
from qpv_geo.releases.release import current_release
from qpv_geo.settings import Settings
from qpv_geo.sources.fetch import Policy
from qpv_geo.territory import Territory, load_territory
from qpv_geo.zones import department_of

# Pontarlier, Ajaccio, Saint-Dié in Lambert-93, and CINOR on La Réunion in the projection of the island.
CHOSEN = ("242500338", "242010056", "200071066", "249740119")


@pytest.fixture(scope="module")
def job(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    settings = Settings(data_dir=tmp_path_factory.mktemp("national") / "data")
    return Job(
        load_territory("france"), settings, Policy(mirror=str(mirror)), formats=chosen_formats(pages=False)
    )


@pytest.fixture(scope="module")
def raws(job: Job) -> Raws:
    return fetch_in_threads(job)


@pytest.fixture(scope="module")
def national(job: Job, raws: Raws) -> National:
    return read_national(job, raws)


@pytest.fixture(scope="module")
def all_of_them(national: National) -> list[Territory]:
    return territories_of(national)


@pytest.fixture
def here(job: Job, tmp_path: Path) -> Job:
    """Return the job, publishing into a folder of this test."""
    return replace(job, settings=replace(job.settings, data_dir=tmp_path / "data"))


@pytest.fixture
def chosen(all_of_them: list[Territory]) -> list[Territory]:
    found = [territory for territory in all_of_them if territory.code in CHOSEN]
    assert len(found) == len(CHOSEN)
    return found


def states(results: Iterator[Result]) -> dict[str, str]:
    return {result.territory: result.etat for result in results}


def assert_published(territories: list[Territory], settings: Settings) -> None:
    for territory in territories:
        release = current_release(territory.id, settings)
        assert release is not None
        assert verify_release(release.path) == []


def test_each_epci_with_a_qpv_is_a_territory_with_what_it_holds(
    all_of_them: list[Territory], national: National
) -> None:
    assert len({territory.id for territory in all_of_them}) == len(all_of_them) > 300
    by_code = {territory.code: territory for territory in all_of_them}
    besancon = by_code["242500361"]
    assert (besancon.expected.qpv, besancon.expected.communes, besancon.epsg) == (6, 67, 2154)
    assert by_code["249740119"].epsg == 2975
    contours = pd.concat(
        [frame.drop(columns="geometry") for frame in national.tables.contours.by_epsg.values()]
    )
    declared = {code.strip() for codes in contours["siren_epci"].dropna() for code in codes.split(",")}
    assert {territory.code for territory in all_of_them} >= declared & set(
        national.tables.communes["siren_epci"].dropna()
    )


def test_qpv_of_no_epci_are_told(all_of_them: list[Territory], national: National) -> None:
    left = qpv_left_out(national, all_of_them)
    # Polynésie française and Saint-Martin have no EPCI; Pierrefitte is in Saint-Denis since 2025.
    assert Counter(department_of(code) for code in left) == {"987": 88, "978": 3, "93": 1}
    told = told_left_out(left)
    assert told.startswith("92 QPV declare no EPCI")
    assert "QN09336I, QN978" in told
    assert told.endswith("88 in 987")
    assert qpv_left_out(national, all_of_them[1:]) != left


def test_all_are_published_and_nothing_is_when_nothing_changed(
    here: Job, raws: Raws, chosen: list[Territory]
) -> None:
    names = {territory.id for territory in chosen}
    assert states(publish_in_processes(chosen, here, raws, 2)) == dict.fromkeys(names, "publiée")
    assert_published(chosen, here.settings)
    again = list(publish_in_processes(chosen, here, raws, 2))
    assert states(iter(again)) == dict.fromkeys(names, "inchangée")
    assert worst(again) == 0


TABLES = ("qpv", "qpv_voisins", "communes", "epci", "qpv_commune", "bande_300m", "statistiques")


def test_a_release_made_with_others_holds_what_one_made_alone_does(
    here: Job, raws: Raws, national: National, chosen: list[Territory], tmp_path: Path
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
    for territory in chosen:
        assert publish_one(replace(here, territory=territory), raws, national).etat == "publiée"
        run(replace(here, territory=territory, settings=alone))
        assert content(here.settings, territory) == content(alone, territory)


def test_one_that_fails_stops_no_other(here: Job, raws: Raws, chosen: list[Territory]) -> None:
    bad, *others = chosen
    here.settings.out_dir.mkdir(parents=True)
    (here.settings.out_dir / bad.id).write_text("a file where releases go", encoding="utf-8")
    results = {result.territory: result for result in publish_in_processes(chosen, here, raws, 2)}
    assert results[bad.id].etat == "échec"
    assert str(here.settings.out_dir / bad.id) in results[bad.id].message
    assert worst(results.values()) == results[bad.id].exit_code > 0
    assert_published(others, here.settings)


def test_a_release_that_changed_too_much_is_held_and_said_to_be(
    here: Job, raws: Raws, national: National, chosen: list[Territory]
) -> None:
    first, second = chosen[:2]
    assert publish_one(replace(here, territory=first), raws, national).etat == "publiée"
    write_territory_files([first], here.settings)
    # As if all QPV of a territory had been replaced.
    other = second.model_copy(update={"id": first.id})
    result = publish_one(replace(here, territory=other), raws, national)
    assert (result.etat, result.exit_code) == ("retenue", 5), result.message
    path = here.settings.territories_dir / f"{first.id}.toml"
    assert f"releases publish {result.version} --territory {path}" in result.message


def test_the_death_of_a_process_costs_no_territory(here: Job, raws: Raws, chosen: list[Territory]) -> None:
    results, killed = [], 0
    before = set(multiprocessing.active_children())
    for result in publish_in_processes(chosen, here, raws, 2):
        results.append(result)
        if not killed:
            for process in set(multiprocessing.active_children()) - before:
                assert process.pid
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
    assert killed
    assert sorted(result.territory for result in results) == sorted(one.id for one in chosen)
    assert {result.exit_code for result in results} == {0}
    assert_published(chosen, here.settings)


def test_the_worst_of_several_failures_is_the_exit_code(chosen: list[Territory]) -> None:
    territory = chosen[0]
    assert worst([]) == 0
    assert (
        worst([failed(territory, 6, "lock"), failed(territory, 4, "contract"), failed(territory, 5, "")]) == 4
    )


def test_those_with_most_qpv_are_begun_first(all_of_them: list[Territory]) -> None:
    counts = [territory.expected.qpv for territory in largest_first(all_of_them)]
    assert counts == sorted(counts, reverse=True)


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
        (["--workers", "2"], "go with --all-territories"),
        (["--no-pages"], "go with --all-territories"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["refresh", *options])
    assert isinstance(result.exception, ConfigurationError)
    assert words in str(result.exception)
