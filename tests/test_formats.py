"""FlatGeobuf, GeoParquet and XLSX: read back value by value, by readers other than their writers."""

import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import geopandas as gpd
import numpy as np
import openpyxl
import pandas as pd
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely

from qpv_geo.audit.verify import verify_release
from qpv_geo.errors import ConfigurationError, PublicationError
from qpv_geo.formats.base import Format
from qpv_geo.formats.fields import as_held, published_layers
from qpv_geo.formats.frames import Frames
from qpv_geo.formats.geoparquet import write_geoparquet
from qpv_geo.formats.summaries import Summaries
from qpv_geo.formats.xlsx import FIELDS, HEALTH, READ_ME, SYNTHESIS
from qpv_geo.releases.decisions import unchanged_release
from qpv_geo.releases.formats import FORMATS, ON_REQUEST, chosen_formats
from qpv_geo.settings import Settings
from qpv_geo.statuses import STATUSES
from qpv_geo.typography import typeset
from tests.portraying import full_frames
from tests.publishing import REGISTRY, content_of, inputs, publish, spec_of

ROOT = Path(__file__).parents[1]
ORIGIN = content_of({}).spec.origin
FORMULA = '=HYPERLINK("http://exemple.fr";"ouvrir")'


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    frames = full_frames(Settings(data_dir=tmp_path_factory.mktemp("data")))
    # It is there to be drawn, in the GeoPackage alone.
    del frames["offre_soins_lieux"]
    # What a spreadsheet would run, letters beyond ASCII, a number that is a text.
    qpv = frames["qpv"].copy()
    qpv.loc[0, "nom_contrat"], qpv.loc[1, "nom_contrat"] = FORMULA, "@Cœur d'îlot « été »"
    qpv.loc[2, "nom_contrat"] = None
    return frames | {"qpv": qpv}


@pytest.fixture(scope="module")
def layers(frames: Frames) -> dict[str, Any]:
    spatial = {name for name, frame in frames.items() if isinstance(frame, gpd.GeoDataFrame)}
    return as_held(published_layers(REGISTRY), spatial)


@pytest.fixture(scope="module")
def folder(frames: Frames, layers: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a release in every further format."""
    folder = tmp_path_factory.mktemp("release")
    write_on_request(folder, frames, layers)
    return folder


def write_on_request(folder: Path, frames: Frames, layers: dict[str, Any], *names: str) -> None:
    content = content_of(frames, layers)
    for each in FORMATS:
        if each.name in (names or ON_REQUEST):
            each.write(folder, content)


def plain(frame: pd.DataFrame, columns: list[str]) -> list[dict[str, object]]:
    """Return rows of plain Python values; dates as midnights, instants without zone, None where missing."""
    return [
        {name: None if pd.isna(value) else _plain(value) for name, value in row.items()}
        for row in frame[columns].astype(object).to_dict("records")
    ]


def _plain(value: object) -> object:
    if isinstance(value, (date, pd.Timestamp)):
        return pd.Timestamp(value).tz_localize(None).to_pydatetime()
    return value.item() if isinstance(value, np.generic) else value


def test_every_layer_is_there(folder: Path, frames: Frames) -> None:
    spatial = {name for name, frame in frames.items() if isinstance(frame, gpd.GeoDataFrame)}
    assert {path.stem for path in (folder / "flatgeobuf").iterdir()} == spatial
    assert {path.stem for path in (folder / "geoparquet").iterdir()} == set(frames)
    assert (folder / "qpv_besancon.xlsx").is_file()
    assert len(spatial) >= 8


# ---------------------------------------------------------------- FlatGeobuf


def test_flatgeobuf_reads_back(folder: Path, frames: Frames, layers: dict[str, Any]) -> None:
    for path in (folder / "flatgeobuf").iterdir():
        expected, layer = frames[path.stem], layers[path.stem]
        read = gpd.read_file(path)
        assert read.crs.to_epsg() == 2154
        key, columns = list(layer.key), list(layer.fields)
        expected = expected.sort_values(key, ignore_index=True)
        read = read.sort_values(key, ignore_index=True)
        assert plain(read, columns) == plain(expected, columns), path.name
        assert shapely.equals_identical(read.geometry.to_numpy(), expected.geometry.to_numpy()).all()


def test_flatgeobuf_is_indexed_typed_and_titled(folder: Path, layers: dict[str, Any]) -> None:
    info = pyogrio.read_info(folder / "flatgeobuf" / "qpv_commune.fgb")
    assert info["capabilities"]["fast_spatial_filter"]
    assert info["geometry_type"] == "MultiPolygon"
    types = dict(zip(info["fields"], zip(info["ogr_types"], info["ogr_subtypes"], strict=True), strict=True))
    assert types["insee_com"] == ("OFTString", "OFSTNone")
    assert types["membre"] == ("OFTInteger", "OFSTBoolean")
    assert info["layer_metadata"]["TITLE"] == layers["qpv_commune"].title
    assert info["layer_metadata"]["DESCRIPTION"].endswith(ORIGIN)


def test_flatgeobuf_finds_by_rectangle(folder: Path, frames: Frames) -> None:
    planoise = frames["qpv"].loc[frames["qpv"]["code_qp"] == "QN02503M"].geometry.iloc[0]
    found = gpd.read_file(folder / "flatgeobuf" / "qpv.fgb", bbox=planoise.bounds)
    assert found["code_qp"].tolist() == ["QN02503M"]


def test_flatgeobuf_keeps_a_layer_without_rows_or_with_missing_geometries(
    frames: Frames, layers: dict[str, Any], tmp_path: Path
) -> None:
    declared = published_layers(REGISTRY)
    fragile = frames["quartiers_fragiles"].drop(columns="geom", errors="ignore")
    shapes = [frames["qpv"].geometry.iloc[0], *[None] * (len(fragile) - 1)]
    partly = gpd.GeoDataFrame(pd.DataFrame(fragile), geometry=gpd.GeoSeries(shapes, name="geom", crs=2154))
    some = {"quartiers_fragiles": partly, "qpv": frames["qpv"].iloc[:0]}
    write_on_request(tmp_path, some, declared, "fgb", "geoparquet")
    for unsorted in (
        gpd.read_file(tmp_path / "flatgeobuf" / "quartiers_fragiles.fgb"),
        gpd.read_parquet(tmp_path / "geoparquet" / "quartiers_fragiles.parquet"),
    ):
        read = unsorted.sort_values("nom", ignore_index=True)
        assert read["nom"].tolist() == fragile["nom"].tolist()
        assert read.geometry.notna().tolist() == [True] + [False] * (len(fragile) - 1)
    empty = gpd.read_file(tmp_path / "flatgeobuf" / "qpv.fgb")
    assert len(empty) == 0
    assert list(layers["qpv"].fields) == [name for name in empty.columns if name != "geometry"]
    assert len(gpd.read_parquet(tmp_path / "geoparquet" / "qpv.parquet")) == 0


# ---------------------------------------------------------------- GeoParquet


def test_geoparquet_reads_back(folder: Path, frames: Frames, layers: dict[str, Any]) -> None:
    for path in (folder / "geoparquet").iterdir():
        expected, columns = frames[path.stem], list(layers[path.stem].fields)
        read = pq.read_table(path).to_pandas(date_as_object=True)
        assert plain(read, columns) == plain(expected, columns), path.name
        if isinstance(expected, gpd.GeoDataFrame):
            shapes = shapely.from_wkb(read["geom"].to_numpy())
            assert shapely.equals_identical(shapes, expected.geometry.to_numpy()).all()


def test_geoparquet_is_version_1_1_with_a_covering_and_the_right_crs(folder: Path, frames: Frames) -> None:
    table = pq.read_table(folder / "geoparquet" / "qpv.parquet")
    described = json.loads(table.schema.metadata[b"geo"])
    assert described["version"] == "1.1.0"
    assert described["primary_column"] == "geom"
    column = described["columns"]["geom"]
    assert column["encoding"] == "WKB"
    assert column["geometry_types"] == ["MultiPolygon"]
    assert column["crs"]["id"] == {"authority": "EPSG", "code": 2154}
    assert column["covering"]["bbox"] == {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")}
    assert column["bbox"] == pytest.approx(frames["qpv"].total_bounds.tolist())
    boxes = pd.DataFrame(table["bbox"].to_pylist())[["xmin", "ymin", "xmax", "ymax"]]
    assert boxes.to_numpy().tolist() == frames["qpv"].bounds.to_numpy().tolist()


def test_geoparquet_reads_only_what_a_rectangle_needs(folder: Path, frames: Frames) -> None:
    planoise = frames["qpv"].loc[frames["qpv"]["code_qp"] == "QN02503M"].geometry.iloc[0]
    found = gpd.read_parquet(folder / "geoparquet" / "qpv.parquet", bbox=planoise.bounds)
    assert found["code_qp"].tolist() == ["QN02503M"]


def test_types_do_not_depend_on_what_a_column_holds(
    frames: Frames, layers: dict[str, Any], tmp_path: Path
) -> None:
    bare = frames["sources"].assign(telecharge_le=pd.NaT, note=None, taille_octets=pd.NA, geographie=pd.NaT)
    write_geoparquet(tmp_path, content_of({"sources": bare}, layers))
    schema = pq.read_schema(tmp_path / "geoparquet" / "sources.parquet")
    types = {
        name: str(schema.field(name).type)
        for name in ("telecharge_le", "note", "taille_octets", "geographie")
    }
    assert types == {
        "telecharge_le": "timestamp[ms, tz=UTC]",
        "note": "string",
        "taille_octets": "int64",
        "geographie": "date32[day]",
    }


# ---------------------------------------------------------------- XLSX


@pytest.fixture(scope="module")
def workbook(folder: Path) -> openpyxl.Workbook:
    return openpyxl.load_workbook(folder / "qpv_besancon.xlsx")


def test_the_workbook_reads_back(workbook: openpyxl.Workbook, frames: Frames, layers: dict[str, Any]) -> None:
    assert workbook.sheetnames == [SYNTHESIS, HEALTH, READ_ME, *frames, FIELDS]
    for name, frame in frames.items():
        rows = list(workbook[name].iter_rows(min_row=2, values_only=True))
        expected = [tuple(row.values()) for row in plain(frame, list(layers[name].fields))]
        assert len(rows) == len(expected)
        for row, cells in zip(expected, rows, strict=True):
            assert cells == tuple(
                pytest.approx(value, rel=1e-15) if isinstance(value, float) else value for value in row
            )


def test_cells_are_typed_and_codes_keep_their_zeros(workbook: openpyxl.Workbook) -> None:
    sheet = workbook["contrat_de_ville"]
    headings = {cell.value: cell.column for cell in sheet[1]}
    value = sheet.cell(2, headings["Valeur du contrat"])
    assert (value.data_type, value.value) == ("n", 3194)
    assert sheet.cell(2, headings["Code du QPV"]).data_type == "s"
    sources = workbook["sources"]
    dated = sources.cell(2, {cell.value: cell.column for cell in sources[1]}["Date de la source"])
    assert (dated.is_date, dated.number_format) == (True, "dd/mm/yyyy")
    shared = workbook["qpv_commune"]
    member = shared.cell(2, {cell.value: cell.column for cell in shared[1]}["Appartenance retenue"])
    assert (member.data_type, member.value) == ("b", True)
    regions = {cell.value for cell in workbook["statistiques"]["B"][1:]}
    assert {"25056", "00", "QN02503M"} <= regions


def test_numbers_have_the_decimals_of_their_unit(workbook: openpyxl.Workbook, frames: Frames) -> None:
    sheet = workbook["qpv"]
    formats = {heading.value: cell.number_format for heading, cell in zip(sheet[1], sheet[2], strict=True)}
    assert formats["Population municipale (habitants)"] == "#,##0"
    assert formats["Surface (m²)"] == "#,##0.0"
    values = frames["statistiques"]["valeur"]
    cells = zip(workbook["statistiques"]["E"][1:], values, strict=True)
    forms = {value == round(value): cell.number_format for cell, value in cells if cell.value is not None}
    assert forms == {True: "#,##0", False: "#,##0.0"}, "a column of several units has them cell by cell"


def test_the_synthesis_shows_the_essential_figures_of_each_qpv(
    workbook: openpyxl.Workbook, frames: Frames, layers: dict[str, Any]
) -> None:
    sheet = workbook[SYNTHESIS]
    rows = {row[0].value: row for row in sheet.iter_rows()}
    headings = [cell.value for cell in rows["Quartier"]]
    assert headings[2:4] == ["Habitants (2020)", "Rang sur 1\u202f362"]
    summaries = Summaries(content_of(frames, layers))
    for summary in summaries.qpv.values():
        row = rows[summary.zone.name]
        for place, essential in enumerate(summary.essentials):
            figure, cell = essential.figure, row[2 + 2 * place]
            assert cell.value == (figure.value if figure.present else figure.text)
            assert row[3 + 2 * place].value == (figure.rank if figure.ranked else None)
    planoise = rows["Planoise"]
    assert [cell.value for cell in planoise[2:6]] == [15603, 38, 55, 108]
    assert planoise[2].number_format == "#,##0"
    assert planoise[4].number_format in {'#,##0"\u202f%"', '#,##0.0"\u202f%"'}
    total = rows["Ensemble des QPV du territoire"]
    assert total[2].value == summaries.territory.essentials[0].figure.value
    assert all(rank.font.bold and rank.value is None for rank in total[3 : len(headings) : 2])
    assert not any(cell.font.bold for cell in planoise[2:])


def test_the_health_sheet_keeps_larger_territories_out_of_the_columns_of_qpv(
    workbook: openpyxl.Workbook, frames: Frames
) -> None:
    """Each value under the name of a QPV is that QPV's own; those of others stand below, with their name."""
    rows = [[cell.value for cell in row] for row in workbook[HEALTH].iter_rows()]
    tops = [place for place, row in enumerate(rows) if row[0] == "Mesure"]
    names = dict(zip(frames["qpv"]["lib_qp"], frames["qpv"]["code_qp"], strict=True))
    assert [rows[top][5] for top in tops] == [
        first := next(iter(names)),
        f"IRIS\u00a0: {first}",
        "Territoire",
    ]
    sante = frames["sante"]
    words = {code: status.words for code, status in STATUSES.items()}
    shown = sante["valeur"].astype(object).where(sante["valeur"].notna(), sante["statut"].map(words))
    known = dict(
        zip(
            zip(*(sante[n] for n in ("zone", "code", "libelle", "rubrique")), strict=True), shown, strict=True
        )
    )
    for top, zone in zip(tops[:2], ("qpv", "iris_du_qpv"), strict=True):
        block = rows[top + 1 : next(place for place in range(top, len(rows)) if rows[place][0] is None)]
        mesh = set(sante.loc[sante["zone"] == zone, "maille"].str.lower())
        assert {row[2].lower() for row in block} == mesh
        for row in block:
            for value, code in zip(row[5:], names.values(), strict=False):
                assert value == known[zone, code, row[0], row[1]], row[0]
        assert len(block) == sante.loc[sante["zone"] == zone, "ligne"].nunique()
    others = rows[tops[2] + 1 :]
    assert {row[5] for row in others} == set(
        sante.loc[~sante["zone"].isin(["qpv", "iris_du_qpv"]), "nom_zone"]
    )
    assert not any("qpv" in row[2].lower() or row[2] == "Quartier" for row in others)


def test_estimates_are_numbers_that_are_called_estimates(workbook: openpyxl.Workbook) -> None:
    (row,) = [
        row for row in workbook[HEALTH].iter_rows() if row[0].value == "Infirmiers : indice d'accessibilité"
    ]
    assert row[5].data_type == "n"
    assert row[5].number_format == '#,##0.0" (estimation)"'


def test_sheets_print_on_landscape_pages_with_their_titles(workbook: openpyxl.Workbook) -> None:
    for sheet in workbook:
        assert (sheet.page_setup.orientation, sheet.page_setup.paperSize) == ("landscape", 9)
        assert sheet.sheet_properties.pageSetUpPr.fitToPage
        assert sheet.page_setup.fitToHeight == 0
        if sheet.title != READ_ME:
            assert sheet.print_title_rows
            assert sheet.freeze_panes == f"B{int(sheet.print_title_rows.split('$')[-1]) + 1}"
    assert workbook[SYNTHESIS].page_setup.fitToWidth in {None, 1}
    assert workbook["qpv"].page_setup.fitToWidth > 1


def test_headings_are_french_frozen_and_filtered(workbook: openpyxl.Workbook, layers: dict[str, Any]) -> None:
    for name, layer in layers.items():
        if name not in workbook.sheetnames:
            continue
        sheet = workbook[name]
        units = {field.alias: field.unit for field in layer.fields.values()}
        assert [cell.value for cell in sheet[1]] == [f"{a} ({u})" if u else a for a, u in units.items()]
        assert sheet.freeze_panes == "B2"
        assert sheet.auto_filter.ref == sheet.dimensions


def test_a_formula_stays_a_text_even_when_edited(workbook: openpyxl.Workbook, folder: Path) -> None:
    sheet = workbook["qpv"]
    column = {cell.value: cell.column for cell in sheet[1]}["Nom au Contrat de ville"]
    formula, sign, missing, name = (sheet.cell(row, column) for row in (2, 3, 4, 5))
    assert (formula.value, formula.data_type, formula.quotePrefix) == (FORMULA, "s", True)
    assert sign.value.startswith("@")
    assert sign.quotePrefix
    assert missing.value is None
    assert not name.quotePrefix
    with zipfile.ZipFile(folder / "qpv_besancon.xlsx") as archive:
        sheets = [
            archive.read(entry) for entry in archive.namelist() if entry.startswith("xl/worksheets/sheet")
        ]
    assert sheets
    assert not any(b"<f>" in sheet for sheet in sheets)


def test_the_workbook_says_where_it_comes_from(workbook: openpyxl.Workbook, frames: Frames) -> None:
    lines = [row[0] for row in workbook[READ_ME].iter_rows(max_row=3, values_only=True)]
    assert lines[0] == "Quartiers prioritaires de la politique de la ville\u00a0: Grand Besançon Métropole"
    assert lines[1] == typeset(ORIGIN)
    assert "n\u2019engage pas les producteurs" in lines[2]
    counts = {row[0]: row[2] for row in workbook[READ_ME].iter_rows(min_row=6, values_only=True)}
    assert counts == {name: len(frame) for name, frame in frames.items()}
    described = {row[:2] for row in workbook[FIELDS].iter_rows(min_row=2, values_only=True)}
    assert ("qpv", "code_qp") in described
    assert workbook.properties.created.isoformat() == "2026-01-15T00:00:00"


def test_a_text_that_no_cell_holds_is_a_clear_error(
    frames: Frames, layers: dict[str, Any], tmp_path: Path
) -> None:
    long = frames["controles"].copy()
    long.loc[0, "message"] = "x" * 40_000
    with pytest.raises(
        PublicationError, match=r"controles, field message: 40000 letters, a cell holds 32767"
    ):
        write_on_request(tmp_path, {"controles": long}, layers)


# ---------------------------------------------------------------- all


def test_formats_are_chosen_by_name() -> None:
    always, pages = ["gpkg", "qgz", "geojson", "csv"], ["pdf", "pictures", "portraits"]
    assert named(chosen_formats(["xlsx", "fgb", "xlsx"])) == [*always, "xlsx", "fgb", *pages]
    assert named(chosen_formats()) == [*always, *pages]
    assert named(chosen_formats(pages=False)) == always
    with pytest.raises(ConfigurationError, match=r"unknown formats: csv, shp\. Always written: gpkg, qgz,"):
        chosen_formats(["shp", "fgb", "csv"])


def named(formats: tuple[Format, ...]) -> list[str]:
    return [each.name for each in formats]


def test_each_format_has_its_writer() -> None:
    for each in FORMATS:
        assert callable(resolve_name(each.writer)), each.name
    assert len({each.name for each in FORMATS}) == len({each.suffix for each in FORMATS}) == len(FORMATS)


def test_what_is_not_asked_for_is_not_loaded() -> None:
    code = "import sys, qpv_geo.releases.formats as f; print('xlsxwriter' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("name", "obstacle"),
    [
        ("gpkg", "qpv_besancon.gpkg/"),
        ("qgz", "qpv_besancon.gpkg"),
        ("geojson", "geojson"),
        ("csv", "csv"),
        ("xlsx", "qpv_besancon.xlsx/"),
        ("fgb", "flatgeobuf"),
        ("geoparquet", "geoparquet"),
        ("portraits", "portraits"),
    ],
)
def test_a_place_that_cannot_be_written_is_a_clear_error(
    frames: Frames, layers: dict[str, Any], tmp_path: Path, name: str, obstacle: str
) -> None:
    """A folder stands where a file should be, or a file that is not what its name says."""
    if obstacle.endswith("/"):
        (tmp_path / obstacle).mkdir()
    else:
        (tmp_path / obstacle).write_text("neither a folder nor a database " * 40, encoding="utf-8")
    (format_,) = (each for each in FORMATS if each.name == name)
    with pytest.raises(PublicationError, match=r"cannot be written .*; check the free space and the rights"):
        format_.write(tmp_path, content_of(frames, layers, frames))


WRITE = """
import sys
from pathlib import Path
from qpv_geo.settings import Settings
from tests.portraying import full_frames, portray
from tests.publishing import declared
from tests.test_formats import write_on_request

folder = Path(sys.argv[1])
frames = full_frames(Settings(data_dir=folder))
write_on_request(folder, frames, declared())
portray(folder, frames)
"""


def test_same_release_same_bytes_whatever_the_process_and_the_day(tmp_path: Path) -> None:
    sums = []
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        folder = tmp_path / seed
        folder.mkdir()
        subprocess.run([sys.executable, "-c", WRITE, str(folder)], check=True, env=environment, cwd=ROOT)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        sums.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files})
    assert sums[0] == sums[1]
    assert len(sums[0]) > 40
    today = datetime.now(tz=UTC).date().isoformat().encode()
    assert not [path for path in files if path.suffix == ".html" and today in path.read_bytes()]


# ---------------------------------------------------------------- in a release


def test_a_release_holds_pages_and_formats_each_with_its_checksum(settings: Settings) -> None:
    made = inputs()
    release = publish(settings, made, formats=FORMATS)
    assert verify_release(release.path) == []
    descriptor = json.loads((release.path / "datapackage.json").read_text(encoding="utf-8"))
    described = {resource["path"]: resource for resource in descriptor["resources"]}
    files = {path.relative_to(release.path).as_posix() for path in release.path.rglob("*") if path.is_file()}
    assert set(described) == files - {"datapackage.json"}
    for path in (
        "portraits/index.html",
        "portraits/QN02503M.html",
        "flatgeobuf/qpv.fgb",
        "geoparquet/statistiques.parquet",
        "qpv_besancon.xlsx",
    ):
        found = hashlib.sha256((release.path / path).read_bytes()).hexdigest()
        assert described[path]["hash"] == f"sha256:{found}"

    index = (release.path / "portraits" / "index.html").read_text(encoding="utf-8")
    offered = set(re.findall(r'href="\.\./([^"]+)"', index))
    portraits = {path for path in files if path.startswith("portraits/") and path.endswith(".html")}
    assert offered == files - {path for path in portraits if "/sante" not in path}

    everything = spec_of(made.raws, settings, formats=FORMATS)
    assert unchanged_release(everything) == replace(release, published=False)
    assert unchanged_release(spec_of(made.raws, settings)) is None, "fewer formats make another release"
    assert publish(settings, made).id != release.id
