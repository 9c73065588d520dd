"""The gates before a release is visible: each is passed, and what one of them refuses is not published."""

from collections.abc import Callable

import pytest
from publishing import edit

from qpv_geo.errors import QpvGeoError
from qpv_geo.pipeline import one
from qpv_geo.pipeline.job import Job
from qpv_geo.releases.draft import Draft
from qpv_geo.releases.formats import chosen_formats
from qpv_geo.releases.release import current_release, held_releases
from qpv_geo.settings import Settings
from qpv_geo.sources.fetch import Policy
from qpv_geo.territory import Territory

Damage = Callable[[Draft], None]


def a_digit(draft: Draft) -> None:
    with edit(draft.path / "qpv_besancon.gpkg") as database:
        database.execute("UPDATE statistiques SET valeur = valeur + 1 WHERE fid = 1")


def a_stray_file(draft: Draft) -> None:
    (draft.path / "notes.txt").write_text("à voir", encoding="utf-8")


def the_lease(draft: Draft) -> None:
    (draft.content.spec.folder / ".lock-holder.json").unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(a_digit, "what was written is not what was read", id="comparison"),
        pytest.param(a_stray_file, "FILE02", id="rules"),
        pytest.param(the_lease, "another one took the lock", id="lock"),
    ],
)
def test_what_goes_wrong_after_writing_is_not_published(
    besancon: Territory, settings: Settings, monkeypatch: pytest.MonkeyPatch, damage: Damage, words: str
) -> None:
    write = one.write

    def write_and_damage(joined: one.JoinedLayers) -> Draft:
        draft = write(joined)
        damage(draft)
        return draft

    monkeypatch.setattr(one, "write", write_and_damage)
    job = Job(besancon, settings, Policy(offline=True), formats=chosen_formats(pages=False))
    with pytest.raises(QpvGeoError, match=words):
        one.run(job)
    assert current_release(besancon.id, settings) is None
    assert held_releases(besancon.id, settings) == []
    assert {path.name for path in (settings.out_dir / besancon.id).iterdir()} <= {
        ".lock",
        ".lock-holder.json",
    }
