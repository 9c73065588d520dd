"""What goes wrong between writing a release and publishing it: for each last gate, what it is there for."""

from collections.abc import Callable

import pytest

from qpv_geo.pipeline import steps
from qpv_geo.releases.draft import Draft
from qpv_geo.releases.placement import release_folders
from qpv_geo.settings import Settings
from tests.publishing import edit

Damage = Callable[[Draft], object]


def _a_digit(draft: Draft) -> None:
    path = draft.path / "csv" / "qpv.csv"
    data = path.read_bytes()
    assert b";15603;" in data
    path.write_bytes(data.replace(b";15603;", b";15604;", 1))


def _a_digit_of_the_geopackage(draft: Draft) -> None:
    # It was read for the comparison before: its checksum tells.
    with edit(draft.path / "qpv_besancon.gpkg") as database:
        database.execute("UPDATE statistiques SET valeur = valeur + 1 WHERE fid = 1")


def _a_stray_file(draft: Draft) -> None:
    (draft.path / "notes.txt").write_text("à voir", encoding="utf-8")


def _the_lease(draft: Draft) -> None:
    (draft.content.spec.folder / ".lock-holder.json").unlink()


# What happens, and what the error says.
GATES = pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(_a_digit, "what was written is not what was read", id="comparison"),
        pytest.param(_a_digit_of_the_geopackage, "FILE01", id="checksums"),
        pytest.param(_a_stray_file, "FILE02", id="rules"),
        pytest.param(_the_lease, "another one took the lock", id="lock"),
    ],
)


def damage_drafts(patch: pytest.MonkeyPatch, damage: Damage) -> None:
    """Have something happen to each release between its writing and the gates."""
    write = steps.write_draft

    def write_and_damage(*arguments: object) -> Draft:
        draft = write(*arguments)
        damage(draft)
        return draft

    patch.setattr(steps, "write_draft", write_and_damage)


def assert_nothing_published(settings: Settings) -> None:
    """Assert that no release is visible or held, and that nothing is left behind."""
    folder = settings.out_dir / "besancon"
    assert release_folders(folder) == []
    assert {path.name for path in folder.iterdir()} <= {".lock", ".lock-holder.json"}
