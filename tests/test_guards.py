"""Guards: what holds a release, what does not, and what becomes of a held one."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import shapely
from shapely.affinity import translate

from qpv_geo.audit.verify import verify_release
from qpv_geo.errors import ConfigurationError, HeldError, PublicationError
from qpv_geo.formats.report_schema import (
    Changes,
    ContourChange,
    NamedField,
    NamedLayer,
    NamedQpv,
    RowsChange,
    SourceChange,
    SourceState,
    StatisticChange,
)
from qpv_geo.releases.decisions import drop_held, existing_release, held_error, publish_held, roll_back
from qpv_geo.releases.guards import overruns
from qpv_geo.releases.ledger import is_intact, read_ledger
from qpv_geo.releases.release import (
    Release,
    current_release,
    find_release,
    held_releases,
    list_releases,
    previous_release,
)
from qpv_geo.settings import Settings
from qpv_geo.territory import Guard
from tests.publishing import BESANCON, Inputs, inhabitants, inputs, publish, snapshot_copy, spec_of

GUARD = Guard()
PLANOISE = "QN02503M"


# ------------------------------------------------------------------ bounds


def changes(**parts: Any) -> Changes:  # noqa: ANN401 - the parts have many types
    return Changes(precedente="2026-01-01-0000000000", empreinte_precedente="0" * 64, **parts)


def contour(gained: float, lost: float) -> ContourChange:
    return ContourChange(
        code_qp=PLANOISE,
        lib_qp="Planoise",
        surface_avant_m2=1000,
        surface_apres_m2=1000 + gained - lost,
        entrant_m2=gained,
        sortant_m2=lost,
    )


def statistic(**parts: object) -> StatisticChange:
    base = {
        "zone": "qpv",
        "indicateur": "population_municipale",
        "libelle": "Population municipale",
        "millesime_avant": "2020",
        "millesime_apres": "2020",
        "nombre_avant": 6,
        "nombre_apres": 6,
        "cellules": 1,
        "apparues": 0,
        "disparues": 0,
        "total_avant": 1000.0,
        "total_apres": 1000.0,
        "plus_grand_ecart": None,
    }
    return StatisticChange.model_validate(base | parts)


def rate(before: float | None, after: float | None) -> StatisticChange:
    return statistic(
        indicateur="taux_pauvrete_60",
        libelle="Taux de pauvreté",
        total_avant=None,
        total_apres=None,
        mediane_avant=before,
        mediane_apres=after,
    )


def rows(before: int, after: int, layer: str = "communes") -> RowsChange:
    return RowsChange(
        couche=layer, titre=layer, avant=before, apres=after, ajoutees=0, retirees=0, modifiees=0
    )


def source(before: str | None, after: str | None) -> SourceChange:
    states = [
        sha256 and SourceState(millesime="2024", date_source=None, origine="live", fichier="f", sha256=sha256)
        for sha256 in (before, after)
    ]
    return SourceChange(source="qpv_2024", titre="QPV", avant=states[0] or None, apres=states[1] or None)


def guards_of(found: Changes, guard: Guard = GUARD) -> list[str]:
    return [over.garde for over in overruns(found, guard)]


@pytest.mark.parametrize(
    ("found", "guard"),
    [
        (changes(qpv_entres=(NamedQpv(code_qp=PLANOISE, lib_qp=None),)), "qpv"),
        (changes(qpv_sortis=(NamedQpv(code_qp=PLANOISE, lib_qp="Planoise"),)), "qpv"),
        (changes(couches_retirees=(NamedLayer(couche="epci", titre="EPCI"),)), "couche"),
        (changes(champs_retires=(NamedField(couche="qpv", champ="lib_qp"),)), "champ"),
        (changes(statistiques=(statistic(nombre_apres=0, total_apres=None),)), "indicateur"),
        (changes(contours=(contour(50.1, 0),)), "surface_qpv"),
        (changes(contours=(contour(0, 50.1),)), "surface_qpv"),
        (changes(contours=(contour(60, 60),)), "surface_qpv"),
        (changes(lignes=(rows(100, 89),)), "nombre"),
        (changes(lignes=(rows(100, 111),), sources=(source("a", "b"),)), "nombre"),
        (changes(lignes=(rows(0, 1),), sources=(source("a", "b"),)), "nombre"),
        (changes(statistiques=(statistic(nombre_avant=100, nombre_apres=89),)), "nombre"),
        (changes(statistiques=(statistic(total_apres=1100.1),)), "total"),
        (changes(statistiques=(statistic(total_apres=899.9),)), "total"),
        (changes(statistiques=(statistic(total_avant=0.0, total_apres=1.0),)), "total"),
        (changes(statistiques=(statistic(total_apres=None),)), "total"),
        # All poverty rates divided by 100, and other ways to lose the scale.
        (changes(statistiques=(rate(45.0, 0.45),)), "mediane"),
        (changes(statistiques=(rate(45.0, 56.3),)), "mediane"),
        (changes(statistiques=(rate(45.0, 33.7),)), "mediane"),
        (changes(statistiques=(rate(45.0, None),)), "mediane"),
        (changes(statistiques=(rate(0.0, 1.0),)), "mediane"),
        (changes(statistiques=(rate(0.28, 0.0028),)), "mediane"),
        (changes(statistiques=(rate(0.1, 1.0),)), "mediane"),
    ],
)
def test_a_change_beyond_a_bound_is_told(found: Changes, guard: str) -> None:
    (over,) = overruns(found, GUARD)
    assert over.garde == guard
    assert re.fullmatch(r".+\.", over.message)
    objects = {
        PLANOISE,
        "epci",
        "communes",
        "qpv.lib_qp",
        "qpv.population_municipale",
        "qpv.taux_pauvrete_60",
    }
    assert over.objet in objects


@pytest.mark.parametrize(
    "found",
    [
        changes(),
        changes(contours=(contour(50, 0),)),
        changes(contours=(contour(50, 50),)),
        changes(lignes=(rows(100, 90),)),
        changes(lignes=(rows(100, 110),), sources=(source("a", "b"),)),
        changes(statistiques=(statistic(total_apres=1100.0),)),
        changes(statistiques=(statistic(total_apres=900.0),)),
        changes(statistiques=(statistic(total_avant=None, total_apres=None),)),
        changes(statistiques=(rate(45.0, 56.2),)),
        changes(statistiques=(rate(None, 45.0),)),
        # Published to a tenth, these are close.
        changes(statistiques=(rate(0.0, 0.2),)),
        changes(statistiques=(rate(0.1, 0.0),)),
        changes(statistiques=(rate(0.1, 0.9),)),
        # What a new version of the project adds, from the same files or from new ones.
        changes(lignes=(rows(100, 200),)),
        changes(lignes=(rows(100, 200),), sources=(source(None, "a"), source("b", "b"))),
        changes(statistiques=(statistic(nombre_avant=0, total_avant=None, total_apres=5.0),)),
        changes(statistiques=(statistic(nombre_avant=6, nombre_apres=12),)),
        changes(couches_ajoutees=(NamedLayer(couche="iris", titre="IRIS"),)),
        changes(champs_ajoutes=(NamedField(couche="qpv", champ="x"),)),
        # Told value by value, not as a number of rows.
        changes(lignes=(rows(10, 100, "statistiques"),), sources=(source("a", "b"),)),
        # Two producers who come to disagree take nothing away.
        changes(lignes=(rows(10, 100, "concordances"),), sources=(source("a", "b"),)),
    ],
)
def test_a_change_within_the_bounds_is_not(found: Changes) -> None:
    assert overruns(found, GUARD) == ()


def test_each_guard_can_be_widened_or_lifted() -> None:
    found = changes(
        qpv_entres=(NamedQpv(code_qp=PLANOISE, lib_qp=None),),
        couches_retirees=(NamedLayer(couche="epci", titre="EPCI"),),
        contours=(contour(100, 0),),
        lignes=(rows(100, 50),),
        statistiques=(statistic(total_apres=1500.0), rate(40.0, 60.0)),
    )
    assert guards_of(found) == ["qpv", "couche", "surface_qpv", "nombre", "total", "mediane"]
    wide = Guard(
        nombre_pct=50,
        surface_qpv_pct=10,
        total_pct=50,
        mediane_pct=50,
        qpv_entre_ou_sorti=False,
        retrait=False,
    )
    assert guards_of(found, wide) == []


# ------------------------------------------------------------------ held releases


@pytest.fixture
def originals(tmp_path: Path) -> Path:
    return snapshot_copy(tmp_path / "originals")


def standing(settings: Settings, made: Inputs) -> Release | None:
    return existing_release(spec_of(made.raws, settings))


def current(settings: Settings) -> Release:
    found = current_release(BESANCON.id, settings)
    assert found
    return found


def names(settings: Settings) -> set[str]:
    return {path.name for path in (settings.out_dir / BESANCON.id).iterdir()}


@pytest.fixture(scope="module")
def with_held(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of releases of which one is held: a tenth more inhabitants than in the first one, and some."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("held"))
    shutil.copytree(release.path.parents[1], settings.out_dir, symlinks=True)
    assert publish(settings, inhabitants(snapshot_copy(settings.data_dir / "originals"), 18_603)).held
    return settings.out_dir


@pytest.fixture
def held(settings: Settings, first: Release, with_held: Path, originals: Path) -> Release:
    """Return the held release, beside the first one; `originals` are what it was made from."""
    assert first.published
    inhabitants(originals, 18_603)
    shutil.rmtree(settings.out_dir)
    shutil.copytree(with_held, settings.out_dir, symlinks=True)
    (release,) = held_releases(BESANCON.id, settings)
    return release


def test_the_first_release_is_not_compared(settings: Settings, originals: Path) -> None:
    release = publish(settings, inhabitants(originals, 99_999))
    assert (release.published, release.differences) == (True, None)


def test_a_held_release_is_complete_verified_and_not_published(
    settings: Settings, first: Release, held: Release
) -> None:
    assert held.path == settings.out_dir / BESANCON.id / "held" / held.id
    assert verify_release(held.path) == []
    assert not held.published
    assert current(settings).id == first.id
    assert [release.id for release in list_releases(BESANCON.id, settings)] == [first.id]
    assert held_releases(BESANCON.id, settings) == [held]
    assert find_release(BESANCON.id, held.id, settings) == held
    assert names(settings) == {first.id, "latest", "held", "releases.json"}


def test_the_message_says_what_to_look_at_and_how_to_decide(settings: Settings, held: Release) -> None:
    error = held_error(held, BESANCON, settings)
    assert isinstance(error, HeldError)
    assert error.exit_code == 5
    text = str(error)
    assert "Population municipale (QPV) : total de 25\u202f627 avant, 28\u202f627 maintenant" in text
    assert str(held.path / "rapport.html") in text
    assert f"`qpv-geo releases publish {held.id} --data {settings.data_dir}`" in text
    assert f"`qpv-geo releases drop {held.id} --data {settings.data_dir}`" in text


def test_a_contour_that_moved_holds(settings: Settings, first: Release, originals: Path) -> None:
    path = originals / "anct" / "qpv-2024.geojson"
    collection = json.loads(path.read_text(encoding="utf-8"))
    (feature,) = [f for f in collection["features"] if f["properties"]["code_qp"] == PLANOISE]
    shape = shapely.geometry.shape(feature["geometry"])
    feature["geometry"] = shapely.geometry.mapping(translate(shape, xoff=0.002))
    path.write_text(json.dumps(collection), encoding="utf-8")
    release = publish(settings, inputs(originals))
    assert release.held
    assert release.differences
    (over,) = release.differences.depassements
    assert (over.garde, over.objet) == ("surface_qpv", PLANOISE)
    assert re.fullmatch(
        r"Contour du QPV QN02503M \(Planoise\) : .* au-delà de 5.% de sa surface\.", over.message
    )
    assert current(settings).id == first.id


def test_while_it_is_held_nothing_is_made_again(settings: Settings, held: Release, originals: Path) -> None:
    made = inputs(originals)
    again = standing(settings, made)
    assert again == held
    assert is_intact(held.path)


def test_a_damaged_held_release_is_made_again(settings: Settings, held: Release, originals: Path) -> None:
    path = held.path / "csv" / "qpv.csv"
    path.chmod(0o644)
    path.write_text("abîmé", encoding="utf-8")
    made = inputs(originals)
    assert standing(settings, made) is None
    again = publish(settings, made)
    assert (again.held, again.path) == (True, held.path)
    assert is_intact(held.path)


def test_force_does_not_force_the_guards(
    settings: Settings, first: Release, held: Release, originals: Path
) -> None:
    again = publish(settings, inputs(originals), force=True)
    assert (again.held, again.id) == (True, held.id)
    assert current(settings).id == first.id


def test_a_held_release_can_be_published(
    settings: Settings, first: Release, held: Release, originals: Path
) -> None:
    release = publish_held(BESANCON.id, held.id, settings)
    assert release.published
    assert release.path == settings.out_dir / BESANCON.id / held.id
    assert current(settings).id == held.id
    assert verify_release(release.path) == []
    assert held_releases(BESANCON.id, settings) == []
    previous = previous_release(BESANCON.id, settings)
    assert previous
    assert previous.id == first.id
    unchanged = standing(settings, inputs(originals))
    assert unchanged
    assert (unchanged.id, unchanged.held, unchanged.refused) == (held.id, False, None)


def test_what_was_published_by_decision_is_made_again_when_damaged(
    settings: Settings, held: Release, originals: Path
) -> None:
    release = publish_held(BESANCON.id, held.id, settings)
    before = (release.path / "rapport.json").read_bytes()
    path = release.path / "csv" / "qpv.csv"
    path.chmod(0o644)
    path.write_text("abîmé", encoding="utf-8")
    again = publish(settings, inputs(originals))
    assert (again.published, again.held) == (True, False)
    assert (again.path / "rapport.json").read_bytes() == before


def test_a_held_release_that_is_damaged_is_not_published(
    settings: Settings, first: Release, held: Release
) -> None:
    path = held.path / "csv" / "qpv.csv"
    path.chmod(0o644)
    path.write_text("abîmé", encoding="utf-8")
    with pytest.raises(PublicationError, match=r"is damaged and cannot become current.*refresh --force"):
        publish_held(BESANCON.id, held.id, settings)
    assert current(settings).id == first.id


def test_what_was_compared_with_another_release_is_compared_again(
    settings: Settings, first: Release, held: Release, originals: Path, tmp_path: Path
) -> None:
    aside = tmp_path / "aside"
    shutil.copytree(held.path, aside)
    second = publish(settings, inhabitants(originals, 15_700))
    assert second.published
    assert held_releases(BESANCON.id, settings) == [], "a later release supersedes what is held"
    shutil.copytree(aside, held.path)
    with pytest.raises(PublicationError, match=rf"another release than the current one \({second.id}\)"):
        publish_held(BESANCON.id, held.id, settings)
    assert standing(settings, inhabitants(originals, 18_603)) is None
    again = publish(settings, inputs(originals))
    assert again.held
    assert again.differences
    assert again.differences.precedente == second.id
    assert {first.id, second.id} <= names(settings)


def test_a_release_held_later_takes_the_place_of_the_one_before(
    settings: Settings, held: Release, originals: Path
) -> None:
    later = publish(settings, inhabitants(originals, 20_000))
    assert later.held
    assert [release.id for release in held_releases(BESANCON.id, settings)] == [later.id]
    assert later.id != held.id


def test_a_dropped_release_does_not_come_back_by_itself(
    settings: Settings, first: Release, held: Release, originals: Path
) -> None:
    assert drop_held(BESANCON.id, held.id, settings) == held
    assert held_releases(BESANCON.id, settings) == []
    made = inputs(originals)
    refused = standing(settings, made)
    assert refused
    assert (refused.id, refused.refused, refused.published) == (first.id, held.id, False)
    again = publish(settings, made, force=True)
    assert again.held, "force makes it again, and somebody has to publish it"
    assert f"{held.id}, faite des mêmes fichiers bruts, a été abandonnée le" in str(
        held_error(again, BESANCON, settings)
    )
    assert publish_held(BESANCON.id, again.id, settings).published
    assert read_ledger(settings.out_dir / BESANCON.id).refusals == ()


def test_other_sources_are_published_after_a_refusal(
    settings: Settings, held: Release, originals: Path
) -> None:
    drop_held(BESANCON.id, held.id, settings)
    assert publish(settings, inhabitants(originals, 15_700)).published


def test_what_other_code_makes_of_refused_files_is_held(
    settings: Settings, first: Release, originals: Path
) -> None:
    second = publish(settings, inhabitants(originals, 15_700))
    roll_back(BESANCON.id, None, settings)
    made = inputs(originals)
    other = BESANCON.model_copy(update={"sliver_area": 99.0})
    assert existing_release(spec_of(made.raws, settings, other)) is None
    release = publish(settings, made, territory=other)
    assert release.held
    assert f"{second.id}, faite des mêmes fichiers bruts, a été retirée le" in str(
        held_error(release, other, settings)
    )
    assert current(settings).id == first.id


def test_what_other_code_makes_of_the_same_files_is_published(settings: Settings, first: Release) -> None:
    """A new version of the project that says the same is a release of its own, and none to look at."""
    made = inputs()
    other = BESANCON.model_copy(update={"sliver_area": 99.0})
    release = publish(settings, made, territory=other)
    assert release.published
    assert release.differences
    assert release.differences.none
    assert release.differences.precedente == first.id


def test_bounds_of_the_territory_count(settings: Settings, first: Release, originals: Path) -> None:
    made = inhabitants(originals, 18_603)
    wide = BESANCON.model_copy(update={"garde": Guard(total_pct=20)})
    release = publish(settings, made, territory=wide)
    assert release.published
    assert current(settings).id != first.id


def test_a_current_release_that_is_damaged_is_no_reference(
    settings: Settings, originals: Path, first: Release
) -> None:
    second = publish(settings, inhabitants(originals, 15_700))
    path = second.path / "csv" / "qpv.csv"
    path.chmod(0o644)
    path.write_text("abîmé", encoding="utf-8")
    third = publish(settings, inhabitants(originals, 15_800))
    assert third.differences
    assert third.differences.precedente == first.id


def test_a_link_that_leads_nowhere_does_not_lift_the_guards(
    settings: Settings, first: Release, originals: Path
) -> None:
    second = publish(settings, inhabitants(originals, 15_700))
    shutil.rmtree(second.path)
    release = publish(settings, inhabitants(originals, 30_000))
    assert release.held
    assert release.differences
    assert release.differences.precedente == first.id


# ------------------------------------------------------------------ going back


def test_rolling_back_is_one_step_and_stays(settings: Settings, first: Release, originals: Path) -> None:
    made = inhabitants(originals, 15_700)
    second = publish(settings, made)
    back = roll_back(BESANCON.id, None, settings)
    assert (back.id, back.published) == (first.id, True)
    assert current(settings).id == first.id
    assert second.path.is_dir()
    refused = standing(settings, made)
    assert refused
    assert (refused.id, refused.refused) == (first.id, second.id)
    assert publish(settings, made, force=True).held
    assert current(settings).id == first.id
    again = publish_held(BESANCON.id, second.id, settings)
    assert again.published
    unchanged = standing(settings, made)
    assert unchanged
    assert (unchanged.id, unchanged.refused) == (second.id, None)


def test_rolling_back_to_a_release_that_is_named(settings: Settings, first: Release, originals: Path) -> None:
    second = publish(settings, inhabitants(originals, 15_700))
    third = publish(settings, inhabitants(originals, 15_800))
    assert roll_back(BESANCON.id, first.id, settings).id == first.id
    previous = previous_release(BESANCON.id, settings)
    assert previous
    assert previous.id == third.id, "what users had before"
    assert {first.id, second.id, third.id} <= names(settings)


def test_rolling_back_twice_goes_further_back(settings: Settings, first: Release, originals: Path) -> None:
    second = publish(settings, inhabitants(originals, 15_700))
    publish(settings, inhabitants(originals, 15_800))
    assert roll_back(BESANCON.id, None, settings).id == second.id
    assert roll_back(BESANCON.id, None, settings).id == first.id
    with pytest.raises(ConfigurationError, match=f"no release was current before {first.id}"):
        roll_back(BESANCON.id, None, settings)


def test_going_back_where_there_is_nothing_is_explained(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="there is no current release to go back from"):
        roll_back(BESANCON.id, None, settings)
    first = publish(settings, inputs())
    with pytest.raises(ConfigurationError, match=f"no release was current before {first.id}"):
        roll_back(BESANCON.id, None, settings)
    with pytest.raises(ConfigurationError, match="is the current one: give an earlier one"):
        roll_back(BESANCON.id, first.id, settings)
    with pytest.raises(ConfigurationError, match="no release 'autre'"):
        roll_back(BESANCON.id, "autre", settings)
    with pytest.raises(ConfigurationError, match="no release 'autre' is held"):
        drop_held(BESANCON.id, "autre", settings)


def test_going_back_to_a_held_or_damaged_release_is_refused(
    settings: Settings, held: Release, originals: Path
) -> None:
    with pytest.raises(ConfigurationError, match="is held"):
        roll_back(BESANCON.id, held.id, settings)
    second = publish(settings, inhabitants(originals, 15_700))
    (earlier,) = [entry for entry in list_releases(BESANCON.id, settings) if entry.id != second.id]
    path = earlier.path / "csv" / "qpv.csv"
    path.chmod(0o644)
    path.write_text("abîmé", encoding="utf-8")
    with pytest.raises(PublicationError, match="is damaged and cannot become current"):
        roll_back(BESANCON.id, None, settings)
    assert current(settings).id == second.id


def test_inputs_that_come_back_bring_their_release_back(
    settings: Settings, first: Release, originals: Path
) -> None:
    """A source that corrects itself: the release before was good once, and is again."""
    publish(settings, inhabitants(originals, 18_603))
    bad = publish_held(BESANCON.id, held_releases(BESANCON.id, settings)[0].id, settings)
    back = publish(settings, inputs())
    assert (back.id, back.published, back.held) == (first.id, True, False)
    assert back.differences
    assert back.differences.precedente == bad.id
    assert {cell.total_apres for cell in back.differences.statistiques} == {25_627}


@pytest.mark.parametrize("content", ["", "{", '{"ledger": "autre"}', '{"turns": [1]}'])
def test_a_ledger_that_cannot_be_read_is_explained(settings: Settings, first: Release, content: str) -> None:
    (settings.out_dir / BESANCON.id / "releases.json").write_text(content, encoding="utf-8")
    with pytest.raises(
        PublicationError, match=r"(?s)releases\.json: not a ledger of releases .*Restore it from a backup"
    ):
        publish(settings, inhabitants(snapshot_copy(settings.data_dir / "o"), 15_700))
    assert current(settings) == replace(first, published=False)


def test_a_release_older_than_the_ledger_is_known(
    settings: Settings, first: Release, originals: Path
) -> None:
    (settings.out_dir / BESANCON.id / "releases.json").unlink()
    second = publish(settings, inhabitants(originals, 15_700))
    assert second.differences
    assert second.differences.precedente == first.id
    assert roll_back(BESANCON.id, None, settings).id == first.id
