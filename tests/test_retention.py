"""Retention: old releases go by number and age, the current one and the one before never."""

import json
import os
import shutil
import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.audit.verify import verify_release
from qpv_geo.errors import ConfigurationError, PublicationError
from qpv_geo.formats.fingerprint import fingerprint
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.one import run
from qpv_geo.releases import ledger as ledgers
from qpv_geo.releases.decisions import prunable, prune
from qpv_geo.releases.ledger import LEDGER, Ledger, Turn, read_ledger, write_ledger
from qpv_geo.releases.placement import make_current
from qpv_geo.releases.release import Release, current_release, list_releases
from qpv_geo.settings import Settings
from qpv_geo.sources.fetch import Policy
from qpv_geo.territory import Retention
from tests.examples import examples
from tests.publishing import (
    BESANCON,
    CATALOGUE,
    REGISTRY,
    Inputs,
    inhabitants,
    inputs,
    publish,
    snapshot_copy,
    writable_copy,
)

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def folder(settings: Settings) -> Path:
    path = settings.out_dir / BESANCON.id
    path.mkdir(parents=True)
    return path


def name(number: int) -> str:
    return f"2026-01-15-{number:010x}"


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "_now", lambda: NOW)


def stock(folder: Path, release: Release, turns: list[tuple[int, float]]) -> None:
    """Fill a territory's folder: which release became current how many days ago; the last one still is."""
    for number in dict.fromkeys(number for number, _ in turns):
        target = writable_copy(release.path, folder / name(number))
        path = target / "datapackage.json"
        descriptor = json.loads(path.read_text(encoding="utf-8")) | {"version": name(number)}
        path.write_text(json.dumps(descriptor), encoding="utf-8")
        for file in target.rglob("*"):
            if file.is_file():
                file.chmod(0o444)
    entries = tuple(
        Turn(release=name(number), since=NOW - timedelta(days=days), by="refresh") for number, days in turns
    )
    write_ledger(folder, Ledger(turns=entries))
    make_current(folder / name(turns[-1][0]))


def left(settings: Settings) -> set[str]:
    return {release.path.name for release in list_releases(BESANCON.id, settings)}


def numbers(*wanted: int) -> set[str]:
    return {name(number) for number in wanted}


FIVE = [(5, 400.0), (2, 300.0), (9, 200.0), (1, 100.0), (7, 10.0)]


@pytest.mark.parametrize(
    ("retention", "kept"),
    [
        (Retention(), (5, 2, 9, 1, 7)),
        (Retention(nombre=2), (1, 7)),
        (Retention(nombre=3), (9, 1, 7)),
        (Retention(nombre=9), (5, 2, 9, 1, 7)),
        # 5 was left 300 days ago, 2 was 200 days ago, 9 was 100 days ago.
        (Retention(jours=250), (2, 9, 1, 7)),
        (Retention(jours=150), (9, 1, 7)),
        (Retention(jours=0), (1, 7)),
        (Retention(nombre=2, jours=250), (2, 9, 1, 7)),
        (Retention(nombre=4, jours=0), (2, 9, 1, 7)),
    ],
)
def test_what_neither_number_nor_age_keeps_goes(
    settings: Settings, folder: Path, release: Release, retention: Retention, kept: tuple[int, ...]
) -> None:
    stock(folder, release, FIVE)
    expected = numbers(5, 2, 9, 1, 7) - numbers(*kept)
    assert {release.id for release in prunable(BESANCON.id, retention, settings)} == expected
    assert left(settings) == numbers(5, 2, 9, 1, 7), "looking removes nothing"
    assert {release.id for release in prune(BESANCON.id, retention, settings)} == expected
    assert left(settings) == numbers(*kept)
    current = current_release(BESANCON.id, settings)
    assert current
    assert current.id == name(7)
    assert {turn.release for turn in read_ledger(folder).turns} == numbers(*kept)
    assert [path.name for path in folder.glob(".tmp-*")] == []


def test_after_going_back_the_one_before_is_what_users_had(
    settings: Settings, folder: Path, release: Release
) -> None:
    stock(folder, release, [(1, 30.0), (2, 20.0), (3, 10.0), (1, 1.0)])
    prune(BESANCON.id, Retention(nombre=2), settings)
    assert left(settings) == numbers(1, 3)


def test_releases_older_than_the_ledger_go_by_the_age_of_their_folder(
    settings: Settings, folder: Path, release: Release
) -> None:
    stock(folder, release, FIVE)
    stranger = writable_copy(release.path, folder / name(99))
    recent = NOW.timestamp() - 86_400
    os.utime(stranger, (recent, recent))
    prune(BESANCON.id, Retention(jours=5), settings)
    assert left(settings) == numbers(1, 7, 99)
    long_ago = NOW.timestamp() - 900 * 86_400
    os.utime(stranger, (long_ago, long_ago))
    prune(BESANCON.id, Retention(jours=5), settings)
    assert left(settings) == numbers(1, 7)


def test_a_clock_that_was_set_back_removes_nothing(
    settings: Settings, folder: Path, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock(folder, release, FIVE)
    monkeypatch.setattr(ledgers, "_now", lambda: NOW - timedelta(days=5000))
    assert prune(BESANCON.id, Retention(jours=0), settings) == []


def test_read_only_folders_go_as_well(settings: Settings, folder: Path, release: Release) -> None:
    stock(folder, release, FIVE)
    for path in (folder / name(5)).rglob("*"):
        path.chmod(stat.S_IRUSR | (stat.S_IXUSR if path.is_dir() else 0))
    (folder / name(5)).chmod(0o555)
    prune(BESANCON.id, Retention(nombre=2), settings)
    assert left(settings) == numbers(1, 7)
    assert {path.name for path in folder.iterdir()} == {name(1), name(7), "latest", LEDGER}


def test_what_is_not_a_release_stays(settings: Settings, folder: Path, release: Release) -> None:
    stock(folder, release, FIVE)
    (folder / "notes").mkdir()
    (folder / "2026-notes.txt").write_text("à garder", encoding="utf-8")
    prune(BESANCON.id, Retention(nombre=2), settings)
    assert (folder / "notes").is_dir()
    assert (folder / "2026-notes.txt").is_file()


def test_without_a_current_release_nothing_goes(settings: Settings, folder: Path, release: Release) -> None:
    stock(folder, release, FIVE)
    (folder / "latest").unlink()
    with pytest.raises(ConfigurationError, match="latest leads to no release"):
        prune(BESANCON.id, Retention(nombre=2), settings)
    (folder / "latest").mkdir()
    with pytest.raises(PublicationError, match=r"found a folder\. Move it away"):
        prune(BESANCON.id, Retention(nombre=2), settings)
    assert left(settings) == numbers(5, 2, 9, 1, 7)


def test_nothing_to_remove_where_there_is_nothing(settings: Settings) -> None:
    assert prune(BESANCON.id, Retention(nombre=2), settings) == []


@examples(15)
@given(
    order=st.lists(st.integers(1, 4), min_size=1, max_size=6),
    keep=st.none() | st.integers(2, 5),
    days=st.none() | st.floats(0, 40),
)
def test_the_current_release_and_the_one_before_always_stay(
    settings: Settings, release: Release, order: list[int], keep: int | None, days: float | None
) -> None:
    shutil.rmtree(settings.out_dir, ignore_errors=True)
    folder = settings.out_dir / BESANCON.id
    folder.mkdir(parents=True)
    turns = [(number, 7.0 * (len(order) - index)) for index, number in enumerate(order)]
    stock(folder, release, turns)
    prune(BESANCON.id, Retention(nombre=keep, jours=days), settings)
    previous = [number for number in order if number != order[-1]][-1:]
    assert left(settings) >= numbers(order[-1], *previous)
    if keep is not None:
        assert len(left(settings)) >= min(keep, len(set(order)))


def newer(made: Inputs, value: int) -> Inputs:
    """Return the same inputs as another edition would give them."""
    raw = made.raws["insee_population"]
    assert raw
    edition = raw.source.model_copy(update={"note": f"Édition {value}."})
    date = datetime(2026, 3, value, tzinfo=UTC)
    made.raws["insee_population"] = replace(raw, source=edition, provenance="live", last_modified=date)
    return made


def test_a_release_that_is_open_stays_readable_whatever_is_published_and_removed(
    settings: Settings, first: Release
) -> None:
    latest = settings.out_dir / BESANCON.id / "latest" / "qpv_besancon.gpkg"
    with closing(sqlite3.connect(f"{latest.as_uri()}?mode=ro", uri=True)) as opened:
        cursor = opened.execute("SELECT code_qp, geom FROM qpv ORDER BY code_qp")
        rows = [cursor.fetchone()]
        publish(settings, newer(inputs(), 1))
        rows.append(cursor.fetchone())
        assert prune(BESANCON.id, Retention(nombre=2), settings) == [], "it is the one before"
        assert verify_release(first.path) == []
        publish(settings, newer(inputs(), 2))
        assert [release.id for release in prune(BESANCON.id, Retention(nombre=2), settings)] == [first.id]
        assert not first.path.exists()
        rows += cursor.fetchall()
        assert len(rows) == 6
        assert all(blob[:2] == b"GP" for _, blob in rows)
        assert opened.execute("SELECT count(*) FROM statistiques").fetchone() == (14,)
        assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_refresh_removes_what_the_territory_does_not_keep(settings: Settings) -> None:
    territory = BESANCON.model_copy(update={"conservation": Retention(nombre=2)})
    snapshot = snapshot_copy(settings.data_dir / "raw" / "snapshot")
    published = []
    for figure in (15_603, 15_604, 15_605):
        inhabitants(snapshot, figure)
        published.append(run(Job(territory, settings, Policy(offline=True))).release)
    assert [release.published for release in published] == [True] * 3
    assert left(settings) == {release.id for release in published[1:]}


def test_what_is_kept_does_not_change_a_release() -> None:
    territory = BESANCON.model_copy(update={"conservation": Retention(nombre=2)})
    made = inputs()
    assert fingerprint(made.raws, territory, CATALOGUE, REGISTRY) == fingerprint(
        made.raws, BESANCON, CATALOGUE, REGISTRY
    )
