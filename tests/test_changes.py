"""What changed between two releases: found in the files of two, of which one was changed by hand."""

import json
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.affinity import scale, translate
from shapely.geometry.base import BaseGeometry

from qpv_geo.audit.geopackage import StoredTable, parse_blob
from qpv_geo.errors import PublicationError
from qpv_geo.formats.report_schema import (
    CellChange,
    Changes,
    NamedField,
    NamedLayer,
    NamedQpv,
    RenamedQpv,
    Report,
    RowsChange,
)
from qpv_geo.releases.changes import PublishedRelease, compare_releases, read_published
from qpv_geo.releases.changes_text import changes_markdown
from qpv_geo.releases.release import Release
from qpv_geo.settings import Settings
from tests.examples import examples
from tests.publishing import (
    SNAPSHOT,
    WITH_PAGES,
    Inputs,
    change,
    edit,
    inputs,
    moved,
    publish,
    snapshot_copy,
    writable_copy,
)

GPKG = "qpv_besancon.gpkg"
PLANOISE, PALENTE = "QN02503M", "QN02502M"


@pytest.fixture(scope="module")
def before(release: Release) -> PublishedRelease:
    return read_published(release.path)


@pytest.fixture
def after(release: Release, tmp_path: Path) -> Callable[..., PublishedRelease]:
    """Return what gives the same release after some statements of SQL."""

    def changed(*statements: str, **values: object) -> PublishedRelease:
        folder = writable_copy(release.path, tmp_path / "after")
        with edit(folder / GPKG) as database:
            for statement in statements:
                database.execute(statement, values)
        return read_published(folder)

    return changed


def blob_of(shape: BaseGeometry, epsg: int = 2154) -> bytes:
    """Return a geometry as a GeoPackage holds it: without an envelope, little-endian."""
    return b"GP\0\1" + struct.pack("<i", epsg) + shapely.to_wkb(shape)


def contour(release: Release, code: str) -> BaseGeometry:
    with closing(sqlite3.connect(release.path / GPKG)) as database:
        (blob,) = database.execute("SELECT geom FROM qpv WHERE code_qp = ?", (code,)).fetchone()
    return shapely.from_wkb(parse_blob(blob).wkb)


def test_a_release_does_not_differ_from_itself(before: PublishedRelease) -> None:
    changes = compare_releases(before, before)
    assert changes.none
    assert changes == Changes(precedente=before.id, empreinte_precedente=before.fingerprint)
    assert changes_markdown(changes) == f"Aucune différence avec la publication {before.id}."


def test_qpv_that_entered_left_and_changed_their_name(
    before: PublishedRelease, after: Callable[..., PublishedRelease]
) -> None:
    changes = compare_releases(
        before,
        after(
            "UPDATE qpv SET code_qp = 'QN02599N', lib_qp = 'Les Vaites' WHERE code_qp = 'QN02502M'",
            "UPDATE qpv SET lib_qp = NULL WHERE code_qp = 'QN02503M'",
        ),
    )
    assert changes.qpv_entres == (NamedQpv(code_qp="QN02599N", lib_qp="Les Vaites"),)
    assert [qpv.code_qp for qpv in changes.qpv_sortis] == [PALENTE]
    assert changes.qpv_renommes == (RenamedQpv(code_qp=PLANOISE, avant="Planoise", apres=None),)
    assert changes.contours == ()
    assert changes.lignes == (
        RowsChange(
            couche="qpv",
            titre="Quartiers prioritaires (QPV 2024)",
            avant=6,
            apres=6,
            ajoutees=1,
            retirees=1,
            modifiees=1,
        ),
    )


def test_a_contour_that_moved_gains_and_loses_the_same(
    release: Release, before: PublishedRelease, after: Callable[..., PublishedRelease]
) -> None:
    shape = contour(release, PLANOISE)
    moved = translate(shape, xoff=30)
    changes = compare_releases(
        before,
        after("UPDATE qpv SET geom = :geom WHERE code_qp = :code", geom=blob_of(moved), code=PLANOISE),
    )
    (found,) = changes.contours
    assert (found.code_qp, found.lib_qp) == (PLANOISE, "Planoise")
    assert found.surface_avant_m2 == found.surface_apres_m2 == round(shape.area, 1)
    assert found.entrant_m2 == pytest.approx(moved.difference(shape).area, abs=0.1)
    assert found.sortant_m2 == pytest.approx(shape.difference(moved).area, abs=0.1)
    assert found.entrant_m2 > 10_000


def test_a_contour_that_grew_loses_nothing(
    release: Release, before: PublishedRelease, after: Callable[..., PublishedRelease]
) -> None:
    grown = shapely.MultiPolygon([contour(release, PALENTE).buffer(10)])
    changes = compare_releases(
        before,
        after("UPDATE qpv SET geom = :geom WHERE code_qp = :code", geom=blob_of(grown), code=PALENTE),
    )
    (found,) = changes.contours
    assert found.sortant_m2 == 0
    assert found.entrant_m2 == pytest.approx(found.surface_apres_m2 - found.surface_avant_m2, abs=0.2)


@examples(25)
@given(dx=st.floats(-2000, -1) | st.floats(1, 2000), dy=st.floats(-2000, 2000), factor=st.floats(0.2, 3))
def test_what_a_contour_gains_and_loses_adds_up(
    before: PublishedRelease, dx: float, dy: float, factor: float
) -> None:
    table = before.tables["qpv"]
    shapes = [translate(scale(shape, factor, factor), dx, dy) for shape in table.shapes]
    rows = table.rows.assign(geom=[blob_of(shape) for shape in shapes])
    later = replace(before, tables={**before.tables, "qpv": StoredTable(table.title, rows, 2154)})
    contours = compare_releases(before, later).contours
    assert [found.code_qp for found in contours] == sorted(table.rows["code_qp"])
    for found in contours:
        balance = found.surface_avant_m2 + found.entrant_m2 - found.sortant_m2
        assert balance == pytest.approx(found.surface_apres_m2, abs=0.3)
        assert 0 <= found.sortant_m2 <= found.surface_avant_m2
        assert 0 <= found.entrant_m2 <= found.surface_apres_m2


def test_the_noise_of_a_reprojection_is_no_change_of_contour(
    release: Release, before: PublishedRelease, after: Callable[..., PublishedRelease]
) -> None:
    shaken = shapely.transform(contour(release, PLANOISE), lambda xy: xy + 1e-7)
    changes = compare_releases(
        before,
        after("UPDATE qpv SET geom = :geom WHERE code_qp = :code", geom=blob_of(shaken), code=PLANOISE),
    )
    assert changes.contours == ()
    assert [rows.modifiees for rows in changes.lignes] == [1], "its bytes did change"


def test_a_territory_that_changes_its_projection_keeps_its_contours(before: PublishedRelease) -> None:
    table = before.tables["qpv"]
    elsewhere = table.shapes.to_crs(3857)
    rows = table.rows.assign(geom=[blob_of(shape, 3857) for shape in elsewhere])
    earlier = replace(before, tables={**before.tables, "qpv": StoredTable(table.title, rows, 3857)})
    assert compare_releases(earlier, before).contours == ()


def test_statistics_that_changed_are_told_by_indicator(
    before: PublishedRelease, after: Callable[..., PublishedRelease]
) -> None:
    changes = compare_releases(
        before,
        after(
            "UPDATE statistiques SET valeur = 16003.0 WHERE code = 'QN02503M' AND indicateur GLOB 'pop*'",
            "UPDATE statistiques SET valeur = 3195.0 WHERE code = 'QN02502M' AND indicateur GLOB 'pop*'",
            "UPDATE statistiques SET valeur = NULL, statut = 'secret' "
            "WHERE code = 'QN02515N' AND indicateur GLOB 'pop*'",
            "DELETE FROM statistiques WHERE code = 'QN02517N' AND indicateur GLOB 'pop*'",
        ),
    )
    (found,) = changes.statistiques
    assert (found.zone, found.indicateur, found.libelle) == (
        "qpv",
        "population_municipale",
        "Population municipale",
    )
    assert (found.millesime_avant, found.millesime_apres) == ("2020", "2020")
    assert (found.nombre_avant, found.nombre_apres) == (6, 5)
    assert (found.cellules, found.apparues, found.disparues) == (3, 0, 1)
    assert (found.total_avant, found.total_apres) == (25_627, 25_627 + 400 + 1 - 1211 - 2481)
    assert found.plus_grand_ecart == CellChange(code=PLANOISE, avant=15_603, apres=16_003)


def test_what_may_not_be_added_has_a_median_and_no_total(
    before: PublishedRelease, after: Callable[..., PublishedRelease]
) -> None:
    changes = compare_releases(
        before,
        after(
            "UPDATE statistiques SET valeur = 56.0 WHERE code = 'QN02503M' "
            "AND indicateur = 'taux_pauvrete_60'"
        ),
    )
    (found,) = changes.statistiques
    assert found.indicateur == "taux_pauvrete_60"
    assert found.total_avant is found.total_apres is None
    assert (found.mediane_avant, found.mediane_apres) == (47, 47)
    assert found.plus_grand_ecart == CellChange(code=PLANOISE, avant=55, apres=56)


def test_the_newest_vintage_of_each_release_is_compared(
    before: PublishedRelease, after: Callable[..., PublishedRelease]
) -> None:
    """Another vintage beside the old one: the values are the same, and the vintage is a change."""
    changes = compare_releases(
        before,
        after(
            "INSERT INTO statistiques (zone, code, indicateur, millesime, valeur, statut, source, fichier, "
            "code_producteur) SELECT zone, code, indicateur, '2022', valeur, statut, source, fichier, "
            "code_producteur FROM statistiques WHERE indicateur = 'population_municipale'"
        ),
    )
    found = next(change for change in changes.statistiques if change.zone == "qpv")
    assert (found.millesime_avant, found.millesime_apres) == ("2020", "2022")
    assert (found.nombre_avant, found.nombre_apres, found.cellules) == (6, 6, 6)
    assert (found.total_avant, found.total_apres) == (25_627, 25_627)
    assert found.plus_grand_ecart is None


def test_an_indicator_that_is_new_has_appeared(
    before: PublishedRelease, after: Callable[..., PublishedRelease]
) -> None:
    later = after(
        "INSERT INTO statistiques (zone, code, indicateur, millesime, valeur, statut, source, fichier, "
        "code_producteur) VALUES ('qpv', :code, 'part_hlm', '2022', 71.5, 'ok', 's', 'f', 'c')",
        code=PLANOISE,
    )
    (found,) = compare_releases(before, later).statistiques
    assert (found.nombre_avant, found.nombre_apres, found.apparues) == (0, 1, 1)
    (gone,) = compare_releases(later, before).statistiques
    assert (gone.nombre_avant, gone.nombre_apres, gone.disparues) == (1, 0, 1)
    assert gone.plus_grand_ecart is None


def test_layers_and_fields_that_came_and_went(
    before: PublishedRelease, after: Callable[..., PublishedRelease]
) -> None:
    later = after(
        "ALTER TABLE qpv DROP COLUMN nom_contrat",
        "DELETE FROM gpkg_data_columns WHERE column_name = 'nom_contrat' AND table_name = 'qpv'",
        "DROP TABLE quartiers_fragiles",
        "DELETE FROM gpkg_data_columns WHERE table_name = 'quartiers_fragiles'",
        "DELETE FROM gpkg_contents WHERE table_name = 'quartiers_fragiles'",
    )
    changes = compare_releases(before, later)
    layer = NamedLayer(couche="quartiers_fragiles", titre=before.tables["quartiers_fragiles"].title)
    field = NamedField(couche="qpv", champ="nom_contrat")
    assert (changes.couches_retirees, changes.champs_retires) == ((layer,), (field,))
    assert changes.lignes == (), "fields of one release only do not make its rows different"
    back = compare_releases(later, before)
    assert (back.couches_ajoutees, back.champs_ajoutes) == ((layer,), (field,))


def test_what_is_said_of_a_run_is_no_change_of_rows(
    before: PublishedRelease, after: Callable[..., PublishedRelease]
) -> None:
    later = after("DELETE FROM controles", "UPDATE sources SET motif = 'autre'")
    assert compare_releases(before, later).none


def test_sources_that_changed(before: PublishedRelease, after: Callable[..., PublishedRelease]) -> None:
    changes = compare_releases(
        before,
        after(
            "UPDATE sources SET sha256 = 'abc', date_source = '2026-02-01' WHERE source = 'qpv_2024'",
            "UPDATE sources SET origine = 'live' WHERE source = 'insee_population'",
            "UPDATE sources SET etat = 'absente' WHERE source = 'insee_filosofi'",
        ),
    )
    found = {source.source: source for source in changes.sources}
    assert set(found) == {"qpv_2024", "insee_population", "insee_filosofi"}
    assert found["qpv_2024"].new_bytes
    after_state = found["qpv_2024"].apres
    assert after_state
    assert (after_state.sha256, str(after_state.date_source)) == ("abc", "2026-02-01")
    assert not found["insee_population"].new_bytes
    assert found["insee_filosofi"].apres is None


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM gpkg_contents WHERE table_name = 'statistiques'",
        "ALTER TABLE qpv RENAME COLUMN lib_qp TO nom_qp",
    ],
)
def test_a_release_without_what_a_comparison_needs_is_refused(
    release: Release, tmp_path: Path, statement: str
) -> None:
    folder = writable_copy(release.path, tmp_path / "after")
    with edit(folder / GPKG) as database:
        database.execute(statement)
    with pytest.raises(PublicationError, match=r"the release cannot be read .*`qpv-geo releases verify`"):
        read_published(folder)


@pytest.mark.parametrize("content", [b"", b"not a GeoPackage at all"])
def test_a_damaged_release_is_refused(release: Release, tmp_path: Path, content: bytes) -> None:
    folder = writable_copy(release.path, tmp_path / "after")
    (folder / GPKG).write_bytes(content)
    with pytest.raises(PublicationError, match="the release cannot be read"):
        read_published(folder)


def test_the_text_says_everything_and_marks_of_a_source_stay_text(
    before: PublishedRelease, after: Callable[..., PublishedRelease]
) -> None:
    changes = compare_releases(
        before,
        after(
            "UPDATE qpv SET lib_qp = '<script>alert(1)</script> | *x*\n# y' WHERE code_qp = :code",
            "UPDATE statistiques SET valeur = 16003.0 WHERE code = 'QN02503M' "
            "AND indicateur = 'population_municipale'",
            "UPDATE sources SET sha256 = 'abc' WHERE source = 'qpv_2024'",
            code=PALENTE,
        ),
    )
    text = changes_markdown(changes)
    assert "## QPV renommés (1)" in text
    assert r"devient \<script\>alert(1)\</script\> \| \*x\* \# y" in text
    assert f"{PLANOISE} : 15\u202f603 → 16\u202f003" in text
    assert "| qpv_2024 | 2024 |" in text
    assert "→ abc" in text


def rising(folder: Path, figure: str) -> Inputs:
    """Return inputs in which Planoise has that many inhabitants."""
    change(folder / "insee" / "pop_QPV24.csv", "15603", figure)
    return inputs(folder)


def test_the_report_tells_what_changed_since_the_release_before(
    settings: Settings, tmp_path: Path, first: Release
) -> None:
    second = publish(settings, rising(snapshot_copy(tmp_path / "originals"), "15703"))
    assert second.published
    report = Report.model_validate_json((second.path / "rapport.json").read_bytes())
    assert report.differences
    assert report.differences.precedente == first.id
    assert report.differences.empreinte_precedente == first.fingerprint
    found = next(change for change in report.differences.statistiques if change.zone == "qpv")
    assert (found.total_avant, found.total_apres) == (25_627, 25_727)
    assert report.differences.depassements == ()
    assert second.differences == report.differences
    page = (second.path / "rapport.html").read_text(encoding="utf-8")
    assert "25\u202f627 → 25\u202f727" in page
    assert first.id in page
    earlier = json.loads((first.path / "rapport.json").read_text(encoding="utf-8"))
    assert earlier["differences"] is None
    first_page = (first.path / "rapport.html").read_text(encoding="utf-8")
    assert "est la première publication" in first_page
    assert f"Depuis la publication {first.id}" in page


@pytest.mark.usefixtures("first")
def test_a_name_that_is_markup_stays_text_in_the_report(settings: Settings) -> None:
    folder = snapshot_copy(settings.data_dir / "originals")
    path = folder / "anct" / "qpv-2024.geojson"
    collection = gpd.read_file(SNAPSHOT / "anct" / "qpv-2024.geojson")
    (name,) = collection.loc[collection["code_qp"] == PLANOISE, "lib_qp"]
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(f'"{name}"', '"<script>alert(1)</script>"'), encoding="utf-8")
    second = publish(settings, inputs(folder))
    assert second.differences
    assert [qpv.apres for qpv in second.differences.qpv_renommes] == ["<script>alert(1)</script>"]
    page = (second.path / "rapport.html").read_text(encoding="utf-8")
    assert "devient «\u00a0&lt;script&gt;alert(1)&lt;/script&gt;\u00a0»" in page
    assert "<script>" not in page


def test_the_same_inputs_after_the_same_release_give_the_same_bytes(
    settings: Settings, tmp_path: Path, release: Release
) -> None:
    made = rising(snapshot_copy(tmp_path / "originals"), "15703")
    elsewhere = Settings(data_dir=tmp_path / "ailleurs")
    moved(release, settings)
    moved(release, elsewhere)
    here, there = (publish(each, made, formats=WITH_PAGES) for each in (settings, elsewhere))
    files = sorted(path.relative_to(here.path) for path in here.path.rglob("*") if path.is_file())
    assert all((here.path / name).read_bytes() == (there.path / name).read_bytes() for name in files)
    alone = publish(Settings(data_dir=tmp_path / "seul"), made, formats=WITH_PAGES)
    assert alone.id == here.id
    other = [name for name in files if (alone.path / name).read_bytes() != (here.path / name).read_bytes()]
    assert {name.name for name in other} == {
        *("rapport.json", "rapport.html", "catalogue.jsonld", "datapackage.json"),
        # The index tells the sizes of the files, a health page what changed in its district.
        *("index.html", "sante_QN02503M.html"),
    }


def test_contours_in_degrees_are_measured_in_metres(release: Release, before: PublishedRelease) -> None:
    table = before.tables["qpv"]
    shape = contour(release, PLANOISE)
    moved = table.shapes.where(table.rows["code_qp"] != PLANOISE, translate(shape, xoff=30))
    earlier, later = (
        replace(
            before,
            tables={
                **before.tables,
                "qpv": StoredTable(
                    table.title,
                    table.rows.assign(geom=[blob_of(form, 4326) for form in shapes.to_crs(4326)]),
                    4326,
                ),
            },
        )
        for shapes in (table.shapes, moved)
    )
    (found,) = compare_releases(earlier, later).contours
    assert found.surface_avant_m2 == pytest.approx(shape.area, rel=1e-6)
    assert found.entrant_m2 == pytest.approx(translate(shape, xoff=30).difference(shape).area, rel=1e-3)
