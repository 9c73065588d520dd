"""Comparison: one wrong value anywhere is found, and named beside what the raw file says."""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Hashable
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from qpv_geo.audit.compare import compare_release
from qpv_geo.audit.compare_figures import compare_statistics
from qpv_geo.audit.geopackage import parse_blob, read_geopackage
from qpv_geo.audit.mismatches import WrittenLayer
from qpv_geo.audit.original_cells import OriginalCells, RawTables, read_cells
from qpv_geo.audit.originals import Features, Originals, read_features
from qpv_geo.errors import PublicationError
from qpv_geo.formats.base import Content
from qpv_geo.releases.draft import build_content
from qpv_geo.releases.formats import chosen_formats
from qpv_geo.releases.release import Release
from qpv_geo.settings import Settings
from tests.publishing import (
    BESANCON,
    FILES,
    REGISTRY,
    SNAPSHOT,
    Inputs,
    change,
    conformed,
    edit,
    inputs,
    publish,
    raw_file,
    snapshot_copy,
    spec_of,
    writable_copy,
)
from tests.raw_files import write_zip


def meant(made: Inputs, settings: Settings) -> Content:
    """Return what a release made from these inputs should hold."""
    return build_content(made.layers, made.checks, spec_of(made.raws, settings))


def compare(folder: Path, made: Inputs, settings: Settings) -> None:
    compare_release(folder, meant(made, settings), read_geopackage(folder / "qpv_besancon.gpkg"))


@pytest.fixture
def folder(release: Release, tmp_path: Path) -> Path:
    return writable_copy(release.path, tmp_path / "release")


def test_a_sound_release_passes(folder: Path, settings: Settings) -> None:
    compare(folder, inputs(), settings)


# ------------------------------------------------------------------ a file that is not what was meant


def in_geopackage(statement: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        with edit(folder / "qpv_besancon.gpkg") as database:
            assert database.execute(statement).rowcount == 1

    return damage


def move_vertex_in_geopackage(folder: Path) -> None:
    with edit(folder / "qpv_besancon.gpkg") as database:
        (blob,) = database.execute("SELECT geom FROM qpv WHERE code_qp = 'QN02503M'").fetchone()
        wkb = parse_blob(blob).wkb
        header, shape = blob[: -len(wkb)], shapely.from_wkb(wkb)
        points = shapely.get_coordinates(shape)
        points[3] += 1e-5
        moved = shapely.set_coordinates(shape, points)
        database.execute(
            "UPDATE qpv SET geom = ? WHERE code_qp = 'QN02503M'",
            (header + shapely.to_wkb(moved, byte_order=1),),
        )


def in_geojson(layer: str, old: str, new: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "geojson" / f"{layer}.geojson"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return damage


def move_vertex_in_geojson(folder: Path) -> None:
    path = folder / "geojson" / "qpv.geojson"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["features"][1]["geometry"]["coordinates"][0][0][3][0] += 3e-7
    path.write_text(json.dumps(document), encoding="utf-8")


def in_csv(layer: str, old: str, new: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "csv" / f"{layer}.csv"
        data = path.read_bytes()
        assert data.count(old.encode()) == 1
        path.write_bytes(data.replace(old.encode(), new.encode()))

    return damage


PLANOISE = "qpv / QN02503M / population_municipale / 2020"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        pytest.param(
            in_geopackage(
                "UPDATE statistiques SET valeur = 15604 WHERE code = 'QN02503M' "
                "AND indicateur = 'population_municipale'"
            ),
            f"qpv_besancon.gpkg, layer statistiques, row {PLANOISE}, field valeur: published '15604.0 (ok)', "
            "raw \"15603.0 (cell '15603')\" (source insee_population: pop_QPV24.csv",
            id="statistic in the GeoPackage",
        ),
        pytest.param(
            in_geopackage(
                "UPDATE statistiques SET valeur = NULL WHERE code = 'QN02503M' "
                "AND indicateur = 'population_municipale'"
            ),
            f"layer statistiques, row {PLANOISE}, field valeur: published 'nan (ok)', "
            "raw \"15603.0 (cell '15603')\"",
            id="null without a status",
        ),
        pytest.param(
            in_geopackage("UPDATE qpv SET taux_pauvrete_60 = 46 WHERE code_qp = 'QN02502M'"),
            "layer qpv, row QN02502M, field taux_pauvrete_60: published 46.0, expected 50.0",
            id="indicator column",
        ),
        pytest.param(
            in_geopackage("UPDATE qpv SET lib_qp = 'Clairs Soleils' WHERE code_qp = 'QN02505M'"),
            "layer qpv, row QN02505M, field lib_qp: published 'Clairs Soleils', raw 'Clairs Soleil' "
            "(source qpv_2024",
            id="official name",
        ),
        pytest.param(
            in_geopackage("UPDATE communes SET population = population + 1 WHERE insee_com = '25056'"),
            "layer communes, row 25056, field population",
            id="population of a commune",
        ),
        pytest.param(
            in_geopackage("UPDATE sources SET sha256 = 'f' WHERE source = 'qpv_2024'"),
            "layer sources, row qpv_2024, field sha256: published 'f', expected '4f35a1f",
            id="checksum of a source",
        ),
        pytest.param(
            in_geopackage("DELETE FROM quartiers_fragiles WHERE nom = 'Cité Viotte'"),
            "layer quartiers_fragiles, field number of rows: published 5, expected 6",
            id="row lost",
        ),
        pytest.param(
            move_vertex_in_geopackage,
            "qpv_besancon.gpkg, layer qpv, row QN02503M, field geometry: published 'a vertex 1e-05 m away', "
            "raw 'the official contour'",
            id="vertex in the GeoPackage",
        ),
        pytest.param(
            in_geojson("qpv", '"population_municipale":15603.0', '"population_municipale":15604.0'),
            "qpv.geojson, layer qpv, row QN02503M, field population_municipale: published",
            id="value in the GeoJSON",
        ),
        pytest.param(
            in_geojson("communes", '"insee_com":"25014"', '"insee_com":"25015"'),
            "communes.geojson, layer communes, row 25014, field insee_com: published None, raw '25014'",
            id="code in the GeoJSON",
        ),
        pytest.param(
            move_vertex_in_geojson,
            "qpv.geojson, layer qpv, row QN02503M, field geometry: published 'a vertex 3e-07 degrees away'",
            id="vertex in the GeoJSON",
        ),
        pytest.param(
            in_csv(
                "statistiques",
                "QN02503M;population_municipale;2020;15603;ok",
                "QN02503M;population_municipale;2020;15604;ok",
            ),
            f"statistiques.csv, layer statistiques, row {PLANOISE}, field valeur: published '15604.0 (ok)', "
            "raw \"15603.0 (cell '15603')\"",
            id="statistic in the CSV",
        ),
        pytest.param(
            in_csv(
                "statistiques",
                "QN02503M;taux_pauvrete_60;2021;55;ok",
                "QN02503M;taux_pauvrete_60;2021;55;secret",
            ),
            "statistiques.csv, layer statistiques, row qpv / QN02503M / taux_pauvrete_60 / 2021, "
            "field statut: published 'secret', expected 'a status that fits the value'",
            id="status in the CSV",
        ),
        pytest.param(
            in_csv("communes", "25014;Amagney;", "25014;;"),
            "communes.csv, layer communes, row 25014, field nom_com: published None, raw 'Amagney'",
            id="name lost in the CSV",
        ),
    ],
)
def test_a_deliberate_corruption_is_found_and_named(
    folder: Path, settings: Settings, damage: Callable[[Path], None], expected: str
) -> None:
    damage(folder)
    with pytest.raises(PublicationError) as caught:
        compare(folder, inputs(), settings)
    assert expected in str(caught.value)


def test_each_wrong_value_is_named_once(folder: Path, settings: Settings) -> None:
    in_csv("communes", "25014;Amagney;", "25014;Magney;")(folder)
    with pytest.raises(PublicationError, match=r"values that differ: 1\.") as caught:
        compare(folder, inputs(), settings)
    assert str(caught.value).count("Magney'") == 1


def test_many_mismatches_are_counted_and_some_named(folder: Path, settings: Settings) -> None:
    with edit(folder / "qpv_besancon.gpkg") as database:
        database.execute("UPDATE communes SET nom_com = 'X'")
    with pytest.raises(PublicationError, match=r"values that differ: 67\.") as caught:
        compare(folder, inputs(), settings)
    assert "and 47 more" in str(caught.value)


# ------------------------------------------------------------------ layers that the raw files contradict


def refuse(made: Inputs, settings: Settings) -> str:
    with pytest.raises(PublicationError) as caught:
        publish(settings, made, formats=chosen_formats(pages=False))
    assert not list((settings.out_dir / BESANCON.id).iterdir()), "nothing is left behind"
    return str(caught.value)


def test_a_layer_that_ingestion_got_wrong_is_not_published(settings: Settings) -> None:
    made = inputs()
    made.layers["statistiques"].loc[0, "valeur"] += 1
    made.layers["communes"].loc[0, "nom_com"] = "Autre"
    message = refuse(made, settings)
    assert "raw \"3194.0 (cell '3194')\"" in message
    assert "published 'Autre', raw 'Amagney'" in message
    for file in ("qpv_besancon.gpkg", "statistiques.csv", "communes.csv", "communes.geojson"):
        assert f"- {file}, layer" in message, "each format is compared with the raw files"


def test_a_value_that_was_read_as_absent_is_not_published(settings: Settings) -> None:
    made = inputs()
    made.layers["statistiques"].loc[0, ["valeur", "statut"]] = [np.nan, "secret"]
    assert "published 'nan (secret)', raw \"3194.0 (cell '3194')\"" in refuse(made, settings)


@pytest.mark.parametrize(
    ("mark", "status"),
    [("s", "secret"), ("nd", "non_disponible"), ("ns", "non_significatif"), ("", "non_disponible")],
)
def test_marks_are_published_with_their_status_and_never_as_zero(
    settings: Settings, tmp_path: Path, mark: str, status: str
) -> None:
    folder = snapshot_copy(tmp_path / "originals")
    (path,) = (folder / FILES["insee_filosofi"]).glob("indic*.csv")
    change(path, "QN02517N;38,0", f"QN02517N;{mark}")
    release = publish(settings, inputs(folder))
    text = (release.path / "csv" / "statistiques.csv").read_text("utf-8-sig")
    assert f"qpv;QN02517N;taux_pauvrete_60;2021;;{status};" in text
    made = inputs(folder)
    rows = made.layers["statistiques"]
    wrong = (rows["code"] == "QN02517N") & (rows["indicateur"] == "taux_pauvrete_60")
    rows.loc[wrong, ["valeur", "statut"]] = [0.0, "ok"]
    with pytest.raises(PublicationError, match=rf"published '0.0 \(ok\)', raw \"nan \(cell '{mark}'\)\""):
        publish(settings, made, force=True)


def test_a_qpv_without_row_in_its_source_is_not_available(settings: Settings, tmp_path: Path) -> None:
    folder = snapshot_copy(tmp_path / "originals")
    made = inputs(folder)
    change(folder / FILES["insee_population"], "QN02517N;Battant;27;25;25056;Besançon;242500361;2481\n", "")
    made.raws["insee_population"] = raw_file("insee_population", folder / FILES["insee_population"])
    assert "published '2481.0 (ok)', raw 'nan (cell None)'" in refuse(made, settings)
    release = publish(settings, inputs(folder))
    qpv = pd.read_csv(release.path / "csv" / "qpv.csv", sep=";").set_index("code_qp")
    assert qpv.loc["QN02517N", "population_municipale_statut"] == "non_disponible"


def test_a_qpv_that_was_dropped_is_missed(settings: Settings) -> None:
    made = inputs()
    for name in ("qpv", "qpv_commune", "contrat_de_ville", "sante"):
        layer = made.layers[name]
        made.layers[name] = layer[layer["code_qp"] != "QN02517N"]
    made.layers["epci"]["nb_qpv"] = 5
    assert "layer qpv, row QN02517N, field code_qp: published None, raw 'QN02517N'" in refuse(made, settings)


def test_a_commune_that_was_dropped_is_missed(settings: Settings) -> None:
    made = inputs()
    made.layers["communes"] = made.layers["communes"].iloc[1:]
    assert "layer communes, row 25014, field insee_com: published None, raw '25014'" in refuse(made, settings)


def test_a_row_of_statistics_that_was_dropped_is_missed(settings: Settings) -> None:
    made = inputs()
    made.layers["statistiques"] = made.layers["statistiques"].iloc[1:]
    message = refuse(made, settings)
    assert (
        "layer statistiques, row qpv / QN02502M, field popMuniQPV: published 'no row', raw '3194'" in message
    )


def test_a_statistic_says_which_cell_it_comes_from(settings: Settings) -> None:
    made = inputs()
    made.layers["statistiques"].loc[0, "fichier"] = None
    assert "published None, expected 'the place of a raw cell'" in refuse(made, settings)


def test_a_statistic_of_a_source_that_was_not_read_is_refused(settings: Settings) -> None:
    made = inputs()
    made.layers["statistiques"].loc[0, "source"] = "insee_caf"
    assert "source 'insee_caf', which was not read" in refuse(made, settings)


def test_a_contour_moved_by_a_centimetre_is_found(settings: Settings) -> None:
    made = inputs()
    qpv = made.layers["qpv"]
    shapes = qpv.geometry.to_numpy().copy()
    shapes[0] = shapely.transform(shapes[0], lambda points: points + 0.01)
    made.layers["qpv"] = qpv.set_geometry(gpd.GeoSeries(shapes, crs=2154))
    assert "layer qpv, row QN02502M, field geometry: published 'a vertex 0.01 m away'" in refuse(
        made, settings
    )


def test_a_contour_that_lost_a_vertex_is_found(settings: Settings) -> None:
    made = inputs()
    qpv = made.layers["qpv"]
    shapes = qpv.geometry.to_numpy().copy()
    ring = shapely.get_parts(shapes[0])[0].exterior.coords[:]
    shapes[0] = shapely.MultiPolygon([shapely.Polygon(ring[:5] + ring[6:])])
    made.layers["qpv"] = qpv.set_geometry(gpd.GeoSeries(shapes, crs=2154)).assign(
        surface_m2=shapely.area(shapes), perimetre_m=shapely.length(shapes)
    )
    assert "vertices in place of" in refuse(made, settings)


def test_figures_of_the_contract_and_of_insee_are_theirs(settings: Settings) -> None:
    made = inputs()
    contract = made.layers["contrat_de_ville"]
    contract["valeur_contrat"] = contract["valeur_contrat"].astype(float)
    rates = contract.index[contract["indicateur"] == "taux_pauvrete_60"]
    contract.loc[rates[0], "valeur_contrat"] = 50.0
    contract.loc[rates[1], "valeur_insee"] = 54.0
    message = refuse(made, settings)
    for field in ("valeur_contrat", "valeur_insee"):
        assert f"/ taux_pauvrete_60, field {field}: published" in message


def test_a_raw_file_that_changed_since_it_was_read_is_found(settings: Settings, tmp_path: Path) -> None:
    folder = snapshot_copy(tmp_path / "originals")
    made = inputs(folder)
    path = folder / FILES["insee_population"]
    path.write_bytes(path.read_bytes() + b"\n")
    assert "row insee_population, field sha256" in refuse(made, settings)


@pytest.mark.parametrize(
    ("value", "status", "problem"),
    [
        (25627.0, "ok", ""),
        (np.nan, "non_calculable", ""),
        (0.0, "secret", "field statut: published 'secret', expected"),
        (46.3, "non_calculable", "field statut: published 'non_calculable', expected"),
        (np.nan, "ok", "field statut: published 'ok', expected"),
    ],
)
def test_there_is_a_value_if_and_only_if_the_status_says_so(
    settings: Settings, value: float, status: str, problem: str
) -> None:
    made = inputs()
    rows = made.layers["statistiques"]
    total = (rows["zone"] == "qpv_epci") & (rows["indicateur"] == "population_municipale")
    assert total.sum() == 1
    rows.loc[total, ["valeur", "statut"]] = [value, status]
    if not problem:
        assert publish(settings, made).published
        return
    row = f"layer statistiques, row qpv_epci / {BESANCON.epci} / population_municipale / 2020, "
    assert row + problem in refuse(made, settings)


def cells_of(text: str, folder: Path, settings: Settings, source: str = "iris_filosofi") -> OriginalCells:
    """Read a table again, and the dictionary of its notes."""
    notes = "COD_VAR;LIB_VAR;COD_MOD;LIB_MOD\n"
    notes += "DEC_NOTE21;Note;1;Forte évolution\nDEC_NOTE21;Note;3;Secret fiscal\n"
    path = write_zip(folder / "table.zip", {"data.csv": text.encode(), "meta.csv": notes.encode()})
    rows = {f"25056010{n}" for n in range(1, 9)} | {"QN02503M", "QN09305I", "242500361"}
    return read_cells(RawTables(raw_file(source, path), settings), "data.csv", rows)


def test_what_a_note_says(settings: Settings, tmp_path: Path) -> None:
    cells = cells_of(
        "IRIS;DISP_TP6021;DISP_NOTE21\n250560101;25,0;0\n250560102;31,0;1\n250560103;ns;so\n250560104;;3\n"
        "250560105;;5\n999999999;1;0\n",
        tmp_path,
        settings,
    )
    assert cells.meaning("250560101", "DISP_TP6021") == (25.0, "ok", None)
    assert cells.meaning("250560102", "DISP_TP6021") == (31.0, "ok", "DISP_NOTE21 = 1 : Forte évolution")
    said = {code: cells.meaning(code, "DISP_TP6021")[1:] for code in ("250560103", "250560104", "250560105")}
    assert said == {
        "250560103": ("non_significatif", None),
        "250560104": ("secret", "DISP_NOTE21 = 3 : Secret fiscal"),
        "250560105": (
            "non_disponible",
            "DISP_NOTE21 = 5 : motif que le dictionnaire du producteur ne donne pas",
        ),
    }
    absent = cells.meaning("999999999", "DISP_TP6021")
    assert np.isnan(absent[0])
    assert absent[1:] == ("non_disponible", None), "its row was not asked for"


def test_what_an_interval_says(settings: Settings, tmp_path: Path) -> None:
    text = "codeGeo;txEmp;Intervalle de confiance de l'indiceJeunesse\n"
    text += "QN02503M;[37,2/39,2];[2,0/2,3]\nQN09305I;[Inf/Inf];non estimé\n"
    cells = cells_of(text, tmp_path, settings, "insee_demographie")
    assert cells.interval("QN02503M", "txEmp") == (37.2, 39.2)
    assert cells.interval("QN02503M", "indiceJeunesse") == (2.0, 2.3)
    for column in ("txEmp", "indiceJeunesse", "partPopEt"):
        assert np.isnan(cells.interval("QN09305I", column)).all()


def test_codes_of_qpv_taken_together_are_found_without_their_suffix(
    settings: Settings, tmp_path: Path
) -> None:
    cells = cells_of("codeGeo;txEmp\n242500361_QPV24;40,5\n", tmp_path, settings, "insee_demographie")
    assert cells.meaning("242500361", "txEmp") == (40.5, "ok", None)


def test_an_empty_cell_means_what_its_source_says(settings: Settings, tmp_path: Path) -> None:
    text = "codeGeo;txEmp\nQN02503M;\n"
    for source, status in (("insee_demographie", "imprecis"), ("insee_filosofi", "non_disponible")):
        assert cells_of(text, tmp_path, settings, source).meaning("QN02503M", "txEmp")[1:] == (status, None)


# ------------------------------------------------------------------ repaired contours


def bow(folder: Path) -> Inputs:
    """Battant with a small bow tie in its official ring, which ingestion repairs."""
    snapshot_copy(folder)
    path = folder / FILES["qpv_2024"]
    document = json.loads(path.read_text(encoding="utf-8"))
    feature = next(f for f in document["features"] if f["properties"]["code_qp"] == "QN02517N")
    ring = feature["geometry"]["coordinates"][0][0]
    ring[5], ring[6] = ring[6], ring[5]
    path.write_text(json.dumps(document), encoding="utf-8")
    made = inputs(folder)
    assert made.layers["qpv"]["ecart_reparation_m2"].notna().tolist() == [False] * 5 + [True]
    return made


def test_a_repaired_contour_follows_the_official_lines(settings: Settings, tmp_path: Path) -> None:
    assert publish(settings, bow(tmp_path / "originals")).published


def test_a_repair_must_be_recorded_with_its_area(settings: Settings, tmp_path: Path) -> None:
    made = bow(tmp_path / "originals")
    recorded = made.layers["qpv"].loc[5, "ecart_reparation_m2"]
    made.layers["qpv"].loc[5, "ecart_reparation_m2"] = recorded + 1
    assert "m² in place of" in refuse(made, settings)
    made.layers["qpv"].loc[5, "ecart_reparation_m2"] = np.nan
    assert "repair recorded: nan, official contour valid: False" in refuse(made, settings)


def test_a_repair_that_leaves_the_official_lines_is_found(settings: Settings, tmp_path: Path) -> None:
    made = bow(tmp_path / "originals")
    qpv = made.layers["qpv"]
    shapes = qpv.geometry.to_numpy().copy()
    shapes[5] = shapely.MultiPolygon([shapely.convex_hull(shapes[5]).buffer(1)])
    made.layers["qpv"] = qpv.set_geometry(gpd.GeoSeries(shapes, crs=2154))
    assert "m away from the official lines" in refuse(made, settings)


def test_a_contour_that_the_official_file_lacks_is_found(settings: Settings, tmp_path: Path) -> None:
    path = snapshot_copy(tmp_path / "originals") / FILES["qpv_2024"]
    document = json.loads(path.read_text(encoding="utf-8"))
    feature = next(f for f in document["features"] if f["properties"]["code_qp"] == "QN02517N")
    feature["geometry"] = None
    path.write_text(json.dumps(document), encoding="utf-8")
    made = inputs()
    made.raws["qpv_2024"] = raw_file("qpv_2024", path)
    assert "layer qpv, row QN02517N, field geometry" in refuse(made, settings)


def test_a_repair_of_what_was_valid_is_found(settings: Settings) -> None:
    made = inputs()
    made.layers["qpv"].loc[0, "ecart_reparation_m2"] = 0.0
    assert "repair recorded: 0.0, official contour valid: True" in refuse(made, settings)


# ------------------------------------------------------------------ the raw files, read again


def properties(features: Features) -> dict[Hashable, Any]:
    return features.table.drop(columns="geometry").to_dict("index")


def test_contours_are_read_again_from_a_zip_and_from_a_geopackage(settings: Settings, tmp_path: Path) -> None:
    source = SNAPSHOT / FILES["qpv_2024"]
    packed = tmp_path / "qpv.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(source, "GEOJSON/QP2024_France_Hexagonale_Outre_Mer_WGS84.geojson")
    package = tmp_path / "qpv.gpkg"
    gpd.read_file(source).drop(columns="fid").to_crs(2154).to_file(package, driver="GPKG")
    shapefile = tmp_path / "shp" / "QP2024_France_Hexagonale_Outre_Mer_WGS84.shp"
    shapefile.parent.mkdir()
    gpd.read_file(source).drop(columns="fid").to_crs(2154).to_file(shapefile, encoding="utf-8")
    bare = raw_file("qpv_2024", source)
    member = r"(.*/)?QP2024_France_Hexagonale_Outre_Mer_WGS84\.shp"
    others = [
        raw_file("qpv_2024", packed),
        raw_file("qpv_2024", package, source=bare.source.model_copy(update={"format": "gpkg"})),
        raw_file(
            "qpv_2024",
            shapefile.parent,
            source=bare.source.model_copy(update={"format": "shp", "member": member}),
        ),
    ]
    first = read_features(bare, settings)
    for raw in others:
        features = read_features(raw, settings)
        assert properties(features) == properties(first)
        for code in first.table.index:
            shapes = [reading.geometries([code], [2154])[0] for reading in (first, features)]
            one, other = (shapely.normalize(shapely.get_parts(shape)) for shape in shapes)
            assert shapely.equals_exact(one, other, 1e-6).all()


def test_a_raw_file_that_cannot_be_read_again_is_named(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "qpv-2024.geojson"
    path.write_text('{"features": [{"properties": {"code_qp": "QN02503M"}, "geometry": null}]}', "utf-8")
    with pytest.raises(PublicationError, match=r"qpv-2024\.geojson .*cannot be read again.*no column lib_qp"):
        read_features(raw_file("qpv_2024", path), settings)


@pytest.mark.parametrize(
    ("cell", "value"),
    [("15603", 15603.0), ("50,0", 50.0), ("1 234,5", 1234.5), ("1\u202f234", 1234.0), ("-2,5", -2.5)],
)
def test_a_cell_means_its_number(cell: str, value: float, settings: Settings, tmp_path: Path) -> None:
    cells = cells_of(f"IRIS;X\n250560101;{cell}\n", tmp_path, settings)
    assert cells.meaning("250560101", "X") == (value, "ok", None)


def test_a_cell_that_is_neither_number_nor_mark_is_refused(settings: Settings, tmp_path: Path) -> None:
    cells = cells_of("IRIS;X\n250560101;beaucoup\n", tmp_path, settings)
    with pytest.raises(PublicationError, match="raw cell 'beaucoup' is neither"):
        cells.meaning("250560101", "X")


def test_every_statistic_of_the_national_files_is_compared(mirror: Path, settings: Settings) -> None:
    """All 1,518 populations and 1,584 poverty rates, `s` included; one wrong value is found among them."""
    raws = {
        "insee_population": raw_file("insee_population", mirror / "insee" / "pop_QPV24.csv"),
        "insee_filosofi": raw_file(
            "insee_filosofi", mirror / "insee" / "revenus_pauvrete_2021_qp24_v2_csv.zip"
        ),
    }
    rows = national_rows(mirror)
    table = pd.DataFrame(rows)
    frame = conformed({"statistiques": table})["statistiques"]
    reading = WrittenLayer(Path("statistiques.csv"), "statistiques", frame)
    qpv = WrittenLayer(Path("qpv.csv"), "qpv", pd.DataFrame({"code_qp": table["code"].unique()}))
    readings = {"statistiques": reading, "qpv": qpv}
    assert len(rows) > 3000
    assert (table["statut"] == "secret").sum() > 10
    originals = Originals(raws, set(table["code"]), settings)
    assert not compare_statistics(readings, originals, REGISTRY)
    reading.attributes.loc[1234, "valeur"] += 1
    (mismatch,) = compare_statistics(readings, originals, REGISTRY)
    assert mismatch.row.startswith(f"qpv / {rows[1234]['code']}")


def national_rows(mirror: Path) -> list[dict[str, object]]:
    with zipfile.ZipFile(mirror / "insee" / "revenus_pauvrete_2021_qp24_v2_csv.zip") as archive:
        member = "indic-revenu-disponible-qp24-2021_QP.csv"
        poverty = archive.read(member).decode("utf-8-sig")
    population = (mirror / "insee" / "pop_QPV24.csv").read_text("utf-8-sig")
    marks = {"s": "secret", "nd": "non_disponible", "ns": "non_significatif", "": "non_disponible"}
    return [
        {
            "zone": "qpv",
            "code": row[key],
            "indicateur": column.lower(),
            "millesime": "2021",
            "valeur": np.nan if row[column] in marks else float(row[column].replace(",", ".")),
            "statut": marks.get(row[column], "ok"),
            "source": source,
            "fichier": file,
            "code_producteur": column,
            "geographie": date(2024, 1, 1),
            "borne_basse": np.nan,
            "borne_haute": np.nan,
            "remarque": None,
            "fichier_intervalle": None,
            **dict.fromkeys(("rang", "rang_sur", "rang_epci", "rang_epci_sur", "decile")),
        }
        for text, key, source, file, column in (
            (population, "codeQPV", "insee_population", "pop_QPV24.csv", "popMuniQPV"),
            (poverty, "CODGEO", "insee_filosofi", member, "DISP_TP60_A21"),
        )
        for row in csv.DictReader(io.StringIO(text), delimiter=";")
    ]


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        # Region 03 is Guyane, department 03 Allier: both are among the codes that a release of Allier holds.
        ("codeReg;codeQPV;popMuniQPV", ["84;QN00303M;3695", "03;QN97301N;100", "03;QN97302N;200"]),
        ("codeReg;codeQPV;popMuniQPV", ["84;QN00303M;3695"]),
        ("codeQPV;codeReg;popMuniQPV", ["QN00303M;84;3695", "QN97301N;03;100"]),
    ],
)
def test_a_column_that_names_other_zones_is_not_taken_for_the_key(
    header: str, rows: list[str], tmp_path: Path, settings: Settings
) -> None:
    path = tmp_path / "pop_QPV24.csv"
    path.write_text("\n".join([header, *rows]), encoding="utf-8")
    tables = RawTables(raw_file("insee_population", path), settings)
    cells = read_cells(tables, path.name, {"QN00303M", "03", "84"})
    assert cells.cell("QN00303M", "popMuniQPV") == "3695"
