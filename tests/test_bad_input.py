"""Everything that has gone wrong upstream, each in a small real file: one clear error, with its exit code."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import pyogrio
import pytest
import shapely

from qpv_geo.errors import ContractError, QpvGeoError, SourceContentError
from qpv_geo.ingest.cog import read_epci_members
from qpv_geo.ingest.communes import read_communes
from qpv_geo.ingest.contours import Contours, read_contours
from qpv_geo.ingest.registry import load_registry
from qpv_geo.ingest.statistics import Statistics, read_statistics
from qpv_geo.settings import Settings
from qpv_geo.territory import Territory
from tests.raw_files import (
    Json,
    raw_file,
    set_property,
    shipped,
    six_qpv,
    some_communes,
    write_csv,
    write_json,
    write_zip,
)

HTML = b"<!DOCTYPE html><html><head><title>Maintenance</title></head><body>Site indisponible</body></html>"


def said(error: pytest.ExceptionInfo[QpvGeoError], exit_code: int, *parts: str) -> None:
    """Assert that an error has its exit code and names everything it should."""
    message = str(error.value)
    assert error.value.exit_code == exit_code
    for part in parts:
        assert part in message, f"{part!r} is not in: {message}"
    for noise in ("pandera", "Schema", "failure_case", "Traceback", "dtype", "DataFrame"):
        assert noise not in message
    assert "What to do" in message or "Run again" in message or "The site may be down" in message


# ---------------------------------------------------------------- contours


def contours_of(collection: Json, path: Path, territory: Territory, settings: Settings) -> Contours:
    write_json(path / "qpv-2024.geojson", collection)
    return read_contours(raw_file("qpv_2024", path / "qpv-2024.geojson"), territory, settings)


def swap_axes(collection: Json) -> None:
    for feature in collection["features"]:
        geometry = shapely.geometry.shape(feature["geometry"])
        swapped = shapely.transform(geometry, lambda coordinates: coordinates[:, ::-1])
        feature["geometry"] = json.loads(shapely.to_geojson(swapped))


def in_lambert_without_saying(collection: Json) -> None:
    frame = gpd.GeoDataFrame.from_features(collection["features"], crs=4326).to_crs(2154)
    projected = json.loads(frame.to_json(drop_id=True))["features"]
    for feature, other in zip(collection["features"], projected, strict=True):
        feature["geometry"] = other["geometry"]
    del collection["crs"]


def claim_crs(name: str) -> Callable[[Json], None]:
    def change(collection: Json) -> None:
        collection["crs"]["properties"]["name"] = name

    return change


def set_geometry(kind: str, coordinates: object, feature: int = 0) -> Callable[[Json], None]:
    def change(collection: Json) -> None:
        collection["features"][feature]["geometry"] = {"type": kind, "coordinates": coordinates}

    return change


def set_first_longitude(value: float) -> Callable[[Json], None]:
    def change(collection: Json) -> None:
        collection["features"][2]["geometry"]["coordinates"][0][0][1][0] = value

    return change


def without(*codes: str) -> Callable[[Json], None]:
    def change(collection: Json) -> None:
        features = collection["features"]
        collection["features"] = [f for f in features if f["properties"]["code_qp"] not in codes]

    return change


def rename(old: str, new: str) -> Callable[[Json], None]:
    def change(collection: Json) -> None:
        for feature in collection["features"]:
            feature["properties"][new] = feature["properties"].pop(old)

    return change


def as_numbers(column: str, divisor: int = 1) -> Callable[[Json], None]:
    """Store a column of codes as floats, as an export with a missing value does; drop digits in front."""

    def change(collection: Json) -> None:
        for feature in collection["features"]:
            feature["properties"][column] = float(int(feature["properties"][column]) % divisor)

    return change


def repeat_feature(collection: Json) -> None:
    collection["features"].append(copy.deepcopy(collection["features"][1]))


def repeat_geometry(collection: Json) -> None:
    collection["features"][4]["geometry"] = collection["features"][1]["geometry"]


def in_2015(collection: Json) -> None:
    for order, feature in enumerate(collection["features"], start=1):
        feature["properties"] = {
            "CODE_QP": f"QP02500{order}",
            "NOM_QP": "Planoise",
            "COMMUNE_QP": "Besançon",
        }


def elsewhere(collection: Json) -> None:
    for feature in collection["features"]:
        feature["properties"]["siren_epci"] = "200000172"


def empty(collection: Json) -> None:
    collection["features"] = []


ALL_SIX = ("QN02502M", "QN02503M", "QN02504M", "QN02505M", "QN02515N", "QN02517N")
BOW_TIE = [[[6.01, 47.23], [6.02, 47.24], [6.02, 47.23], [6.01, 47.24], [6.01, 47.23]]]
UNCLOSED = [[[6.01, 47.23], [6.02, 47.24], [6.02, 47.23]]]


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        pytest.param(
            swap_axes,
            ("feature 1 (QN02502M)", "axes swapped", "longitude -5.5 to 9.8", "France métropolitaine"),
            id="swapped axes",
        ),
        pytest.param(
            in_lambert_without_saying,
            ("metres in place of degrees", "the CRS is wrong or missing", "from EPSG:4326"),
            id="missing CRS",
        ),
        pytest.param(
            claim_crs("urn:ogc:def:crs:EPSG::2154"),
            ("feature 1 (QN02502M)", "from EPSG:2154", "longitude -5.5 to 9.8"),
            id="wrong CRS",
        ),
        pytest.param(
            claim_crs("urn:ogc:def:crs:EPSG::27572"),
            ("CRS: expected one of EPSG:4326", "EPSG:27572"),
            id="CRS whose shift would be off",
        ),
        pytest.param(empty, ("an empty layer", "expected at least one feature"), id="empty layer"),
        pytest.param(
            without(*ALL_SIX[1:]),
            (
                "expected 6 QPV in Grand Besançon Métropole",
                "found 1: QN02502M Orchamps-Palente",
                "'expected'",
            ),
            id="one QPV left",
        ),
        pytest.param(
            without("QN02517N"),
            ("expected 6 QPV in Grand Besançon Métropole", "found 5:", "QN02503M Planoise"),
            id="five QPV",
        ),
        pytest.param(
            elsewhere,
            ("expected 6 QPV in Grand Besançon Métropole; found 0", "the file is not whole"),
            id="Besançon missing",
        ),
        pytest.param(
            set_geometry("LineString", [[6.01, 47.23], [6.02, 47.24]], 3),
            ("geometry: expected a polygon; found LineString at feature 4 (QN02505M)",),
            id="lines",
        ),
        pytest.param(
            set_geometry("Point", [6.01, 47.23], 0),
            ("expected a polygon; found Point at feature 1 (QN02502M)",),
            id="points",
        ),
        pytest.param(
            set_geometry("Polygon", BOW_TIE, 5),
            ("feature 6 (QN02517N)", "Self-intersection", "1% at most"),
            id="bow tie",
        ),
        pytest.param(
            set_geometry("Polygon", UNCLOSED, 1),
            ("polygon with closed rings", "feature 2 (QN02503M)"),
            id="unclosed ring",
        ),
        pytest.param(
            set_first_longitude(float("nan")), ("finite coordinates", "feature 3 (QN02504M)"), id="NaN"
        ),
        pytest.param(
            set_first_longitude(float("-inf")), ("finite coordinates", "feature 3 (QN02504M)"), id="infinite"
        ),
        pytest.param(
            rename("code_qp", "codeqp"),
            ("column 'code_qp'", "perhaps renamed to 'codeqp'", "[sources.qpv_2024]"),
            id="column renamed",
        ),
        pytest.param(
            rename("siren_epci", "x"),
            ("expected column 'siren_epci'", "the file has 'fid', 'code_qp'"),
            id="column missing",
        ),
        pytest.param(
            repeat_feature,
            (
                "code_qp: expected a code that appears once in the file",
                "'QN02503M' at feature 2 (QN02503M); 'QN02503M' at feature 7 (QN02503M)",
                "the same polygon as feature 2 (QN02503M) at feature 7",
            ),
            id="code doubled",
        ),
        pytest.param(
            repeat_geometry,
            ("contours that all differ", "the same polygon as feature 2 (QN02503M) at feature 5 (QN02515N)"),
            id="geometry doubled",
        ),
        pytest.param(
            set_property("code_qp", "QN2503M", 1),
            ("code_qp", "'QN2503M' (leading zeros lost) at feature 2 (QN2503M)", "such as QN02503M"),
            id="leading zeros of a QPV lost",
        ),
        pytest.param(
            as_numbers("insee_com", 1000),
            ("insee_com", "'56' (leading zeros lost) at feature 1 (QN02502M)", "and 1 more"),
            id="leading zeros of a commune lost",
        ),
        pytest.param(
            in_2015,
            ("2015 geography in place of 2024", "take the 2024 contours from", "data.gouv.fr"),
            id="2015 file",
        ),
        pytest.param(
            set_property("code_qp", "QP025004", 1),
            ("'QP025004' (2015 geography in place of 2024) at feature 2",),
            id="2015 code",
        ),
        pytest.param(
            set_property("insee_dep", "39", 1),
            ("insee_dep: expected the department of its code_qp; found '39' in place of '25' at feature 2",),
            id="department of another",
        ),
        pytest.param(
            set_property("lib_qp", "NA", 1),
            ("lib_qp: expected a value; found nothing at feature 2 (QN02503M)",),
            id="no name",
        ),
    ],
)
def test_contours(
    change: Callable[[Json], None],
    parts: tuple[str, ...],
    tmp_path: Path,
    besancon: Territory,
    settings: Settings,
) -> None:
    collection = six_qpv()
    change(collection)
    with pytest.raises(ContractError) as error:
        contours_of(collection, tmp_path, besancon, settings)
    said(error, 4, "qpv-2024.geojson", *parts)


def test_contours_of_which_no_code_can_be_read(
    tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    collection = six_qpv()
    for order in range(6):
        set_property("code_qp", f"QN250{order + 1}M", order)(collection)
    with pytest.raises(ContractError) as error:
        contours_of(collection, tmp_path, besancon, settings)
    said(error, 4, "'QN2501M' (leading zeros lost)", "and 1 more", "expected 6 QPV", "found 0")
    assert "'expected' in the territory file" not in str(error.value), "the codes are wrong, not the number"


def test_contours_tell_every_problem_at_once(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    collection = six_qpv()
    set_property("code_qp", "QN2503M", 1)(collection)
    set_geometry("LineString", [[6.01, 47.23], [6.02, 47.24]], 3)(collection)
    set_geometry("Polygon", BOW_TIE, 5)(collection)
    set_property("siren_epci", "24250036", 2)(collection)
    with pytest.raises(ContractError) as error:
        contours_of(collection, tmp_path, besancon, settings)
    said(error, 4, "QN2503M", "LineString", "Self-intersection", "'24250036'", "expected 6 QPV")


def test_contours_with_a_property_twice(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    text = json.dumps(six_qpv()).replace('"lib_qp":', '"code_qp": "QN02599M", "lib_qp":', 1)
    path = tmp_path / "qpv-2024.geojson"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ContractError) as error:
        read_contours(raw_file("qpv_2024", path), besancon, settings)
    said(error, 4, "qpv-2024.geojson", "each column once; found 'code_qp' twice at feature 1")


def test_contours_in_a_crs_that_does_not_exist(
    tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    collection = six_qpv()
    claim_crs("urn:ogc:def:crs:EPSG::99999")(collection)
    with pytest.raises(ContractError) as error:
        contours_of(collection, tmp_path, besancon, settings)
    said(error, 4, "a CRS that exists; found 'urn:ogc:def:crs:EPSG::99999'")


def test_shapefile_without_its_prj(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    frame = gpd.GeoDataFrame.from_features(six_qpv()["features"], crs=4326).to_crs(2154)
    frame.to_file(tmp_path / "QP.shp", engine="pyogrio")
    members = {f"SHP/QP.{part}": (tmp_path / f"QP.{part}").read_bytes() for part in ("shp", "shx", "dbf")}
    archive = write_zip(tmp_path / "qpv-shp.zip", members)
    raw = raw_file("qpv_2024", archive, format="shp", member=r".*/QP\.shp")
    with pytest.raises(ContractError) as error:
        read_contours(raw, besancon, settings)
    said(error, 4, "SHP/QP.shp", "CRS: expected a declared CRS", "no .prj")


def test_shapefile_without_its_dbf(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    archive = write_zip(tmp_path / "qpv-shp.zip", {"QP.shp": b"\x00\x00\x27\x0a", "QP.prj": b"x"})
    raw = raw_file("qpv_2024", archive, format="shp", member=r"QP\.shp")
    with pytest.raises(
        SourceContentError, match=r"Shapefile with its \.shx and \.dbf, found QP\.prj, QP\.shp"
    ):
        read_contours(raw, besancon, settings)


def test_geopackage_of_several_layers(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    frame = gpd.GeoDataFrame.from_features(six_qpv()["features"], crs=4326).drop(columns="fid")
    for layer in ("metropole", "outremer"):
        pyogrio.write_dataframe(frame, tmp_path / "qpv.gpkg", layer=layer, append=layer == "outremer")
    raw = raw_file("qpv_2024", tmp_path / "qpv.gpkg", format="gpkg")
    with pytest.raises(ContractError, match="expected one spatial layer; found 2: metropole, outremer"):
        read_contours(raw, besancon, settings)


def test_truncated_geopackage(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    frame = gpd.GeoDataFrame.from_features(six_qpv()["features"], crs=4326).drop(columns="fid")
    frame.to_file(tmp_path / "qpv.gpkg")
    data = (tmp_path / "qpv.gpkg").read_bytes()
    (tmp_path / "qpv.gpkg").write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceContentError) as error:
        read_contours(raw_file("qpv_2024", tmp_path / "qpv.gpkg", format="gpkg"), besancon, settings)
    said(error, 3, "qpv.gpkg", "whole GeoPackage file", "truncated")


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.9999])
def test_truncated_geojson(share: float, tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    data = shipped("anct/qpv-2024.geojson").read_bytes().rstrip()
    path = tmp_path / "qpv-2024.geojson"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(SourceContentError) as error:
        read_contours(raw_file("qpv_2024", path), besancon, settings)
    said(error, 3, "qpv-2024.geojson", "whole GeoJSON file", "truncated")


def test_geojson_cut_between_two_features(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    data = shipped("anct/qpv-2024.geojson").read_bytes()
    path = tmp_path / "qpv-2024.geojson"
    path.write_bytes(data[: data.rindex(b'{"type": "Feature"')])
    with pytest.raises(SourceContentError, match="whole GeoJSON file"):
        read_contours(raw_file("qpv_2024", path), besancon, settings)


def test_a_shapefile_where_geojson_was(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    path = tmp_path / "qpv-2024.geojson"
    path.write_bytes(b"\x00\x00\x27\x0a" + b"\x00" * 96)
    with pytest.raises(SourceContentError, match=r"qpv-2024\.geojson.*a Shapefile"):
        read_contours(raw_file("qpv_2024", path), besancon, settings)


@pytest.mark.parametrize(
    "content", ["codeQPV;popMuniQPV\nQN02503M;15603\n", '[{"code_qp": "QN02503M"}]', '{"erreur": 404}']
)
def test_other_text_where_geojson_was(
    content: str, tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    path = tmp_path / "qpv-2024.geojson"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SourceContentError, match=r"qpv-2024\.geojson.*GeoJSON"):
        read_contours(raw_file("qpv_2024", path), besancon, settings)


def test_features_without_any_geometry(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    """ESRI's JSON of a table, which GDAL reads as well."""
    table = {
        "fields": [{"name": "code_qp", "type": "esriFieldTypeString"}],
        "features": [{"attributes": {"code_qp": "QN02503M"}}],
    }
    path = write_json(tmp_path / "qpv-2024.geojson", table)
    with pytest.raises(ContractError) as error:
        read_contours(raw_file("qpv_2024", path), besancon, settings)
    said(error, 4, "qpv-2024.geojson", "a layer with geometries; found a table without any")


# ---------------------------------------------------------------- communes


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (set_property("population", -3), ("population: expected a population of at least 0; found '-3' at",)),
        (set_property("population", "mille"), ("a whole number of inhabitants; found 'mille' at feature 1",)),
        (set_property("population", 12.5), ("a whole number of inhabitants; found '12.5' at feature 1",)),
        (set_property("code", "25056", 1), ("'25056' at feature 2 (25056)", "appears once")),
        (set_property("code", 1014), ("'1014' (leading zeros lost)",)),
        (set_property("nom", None), ("nom_com: expected a value; found nothing at feature 1 (25014)",)),
        (rename("codeEpci", "codesEpci"), ("column 'codeEpci'", "perhaps renamed to 'codesEpci'")),
        (swap_axes, ("axes swapped",)),
        (empty, ("an empty layer",)),
        (set_geometry("Polygon", BOW_TIE), ("Self-intersection",)),
    ],
)
def test_communes(
    change: Callable[[Json], None], parts: tuple[str, ...], tmp_path: Path, settings: Settings
) -> None:
    collection = some_communes()
    collection["features"][0]["properties"]["code"] = "25056" if "25056" in str(parts) else "25014"
    change(collection)
    path = write_json(tmp_path / "communes.geojson", collection)
    with pytest.raises(ContractError) as error:
        read_communes(raw_file("communes_epci", path), settings, 2154)[2154]
    said(error, 4, "communes.geojson", *parts)


def test_communes_without_a_crs(tmp_path: Path, settings: Settings) -> None:
    frame = gpd.GeoDataFrame.from_features(some_communes()["features"])
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        pyogrio.write_dataframe(frame, tmp_path / "communes.gpkg")
    with pytest.raises(ContractError) as error:
        read_communes(raw_file("communes_epci", tmp_path / "communes.gpkg", format="gpkg"), settings, 2154)[
            2154
        ]
    said(error, 4, "communes.gpkg", "CRS: expected a declared CRS")


# ---------------------------------------------------------------- statistics

SIX = [
    ["QN02502M", "3194"],
    ["QN02503M", "15603"],
    ["QN02504M", "1636"],
    ["QN02505M", "1502"],
    ["QN02515N", "1211"],
    ["QN02517N", "2481"],
]


def population_of(
    rows: list[list[str]], path: Path, settings: Settings, encoding: str = "utf-8-sig"
) -> Statistics:
    write_csv(path / "pop_QPV24.csv", rows, encoding)
    return read_statistics(raw_file("insee_population", path / "pop_QPV24.csv"), load_registry(), settings)


def changed(row: int, column: int, value: str) -> list[list[str]]:
    """Return the table with one cell changed; row 0 is the header."""
    rows = [["codeQPV", "popMuniQPV"], *(list(cells) for cells in SIX)]
    rows[row][column] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        pytest.param(
            changed(0, 1, "POPULATION"),
            (
                "expected column 'popMuniQPV'",
                "the file has 'codeQPV', 'POPULATION'",
                "[indicators.population_municipale]",
            ),
            id="column renamed",
        ),
        pytest.param(
            changed(0, 1, "popMuniQPV22"),
            ("perhaps renamed to 'popMuniQPV22'", "[indicators.population_municipale]"),
            id="column of another vintage",
        ),
        pytest.param(
            changed(0, 0, "codesQPV"),
            ("a key column such as", "perhaps renamed to 'codesQPV'", 'key = ["codesQPV"]'),
            id="key renamed",
        ),
        pytest.param(
            [["CODGEO"], *([code] for code, _ in SIX)],
            ("columns separated by ';'", "a single one, 'CODGEO'"),
            id="column missing",
        ),
        pytest.param(
            [["codeQPV", "popMuniQPV", "POPMUNIQPV"], *([*cells, "1"] for cells in SIX)],
            ("each column once", "'popMuniQPV' 2 times, as columns 2, 3"),
            id="column doubled",
        ),
        pytest.param(
            [["codeQPV", "popMuniQPV"], *SIX, SIX[1]],
            ("codeQPV: expected a code that appears once", "'QN02503M' at line 3; 'QN02503M' at line 8"),
            id="code doubled",
        ),
        pytest.param(
            changed(2, 0, "QN2503M"),
            ("codeQPV", "'QN2503M' (leading zeros lost) at line 3", "such as QN02503M"),
            id="leading zeros lost",
        ),
        pytest.param(
            [["codeQPV", "popMuniQPV"], *([f"QP02500{n}", "12"] for n in range(1, 8))],
            ("'QP025001' (2015 geography in place of 2024) at line 2", "and 2 more"),
            id="2015 file",
        ),
        pytest.param(
            changed(3, 1, "environ 1600"),
            (
                "popMuniQPV: expected a number with a decimal comma",
                "'environ 1600' at line 4",
                "s, c, nd, ns, so",
            ),
            id="text for a number",
        ),
        pytest.param(changed(3, 1, "16 36"), ("'16 36' at line 4",), id="not thousands apart"),
        pytest.param(
            changed(3, 1, "1,636"),
            ("popMuniQPV: expected a whole number of habitants; found '1,636' at line 4",),
            id="thousands with a comma",
        ),
        pytest.param(changed(3, 1, "NaN"), ("'NaN' at line 4",), id="not a number"),
        pytest.param(
            changed(3, 1, "-1636"),
            ("popMuniQPV: expected at least 0 habitants; found '-1636' at line 4",),
            id="negative",
        ),
        pytest.param(changed(3, 0, ""), ("codeQPV", "found '' at line 4"), id="no code"),
        pytest.param(
            [["codeQPV", "popMuniQPV"], *SIX[:3], ["QN02505M"]],
            ("2 cells in each row; found 1 at line 5",),
            id="truncated",
        ),
        pytest.param([["codeQPV", "popMuniQPV"]], ("at least one row under the header",), id="header alone"),
        pytest.param(
            [["codeQPV", "popMuniQPV"], ["QN02502M", '"3194']], ("quotes are closed", "line 2"), id="quote"
        ),
        pytest.param(
            [["codeQPV", "popMuniQPV", ""], *([*cells, ""] for cells in SIX[:-1]), [*SIX[-1], "9"]],
            ("a name for each column that holds something", "'9' at line 7"),
            id="nameless column",
        ),
    ],
)
def test_statistics(
    rows: list[list[str]], parts: tuple[str, ...], tmp_path: Path, settings: Settings
) -> None:
    with pytest.raises(ContractError) as error:
        population_of(rows, tmp_path, settings)
    said(error, 4, "pop_QPV24.csv", *parts)


def test_a_rate_of_130_percent(tmp_path: Path, settings: Settings) -> None:
    rows = [["CODGEO", "DISP_TP60_A21"], ["QN02502M", "50,0"], ["QN02503M", "130,0"], ["QN02504M", "-1"]]
    write_csv(tmp_path / "filosofi_csv" / "indic-revenu-disponible_QP.csv", rows)
    with pytest.raises(ContractError) as error:
        read_statistics(raw_file("insee_filosofi", tmp_path / "filosofi_csv"), load_registry(), settings)
    said(
        error,
        4,
        "indic-revenu-disponible_QP.csv",
        "DISP_TP60_A21: expected at most 100 %; found '130,0' at line 3",
        "DISP_TP60_A21: expected at least 0 %; found '-1' at line 4",
    )


def test_commas_in_place_of_semicolons(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "pop_QPV24.csv"
    path.write_text("codeQPV,popMuniQPV\nQN02503M,15603\n", encoding="utf-8")
    with pytest.raises(
        ContractError, match="columns separated by ';'; found a single one, 'codeQPV,popMuniQPV'"
    ):
        read_statistics(raw_file("insee_population", path), load_registry(), settings)


def test_a_long_list_of_problems_is_cut(tmp_path: Path, settings: Settings) -> None:
    rows = [["codeQPV", "popMuniQPV"], *([f"QN025{n:02d}M", "beaucoup"] for n in range(1, 90))]
    with pytest.raises(ContractError) as error:
        population_of(rows, tmp_path, settings)
    said(error, 4, "89 problems", "'beaucoup' at line 2", "and 84 more")
    assert len(str(error.value)) < 1000


# ---------------------------------------------------------------- what is accepted


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_either_encoding_is_read(encoding: str, tmp_path: Path, settings: Settings) -> None:
    rows = [["codeQPV", "libQPV", "popMuniQPV", "Été"], ["QN02503M", "Planoise, l'été", "15603", "1,5"]]
    statistics = population_of(rows, tmp_path, settings, encoding)
    assert statistics.rows["code_producteur"].tolist() == ["popMuniQPV", "Été"]
    assert statistics.rows["code"].tolist() == ["QN02503M", "QN02503M"]
    reading = statistics.checks[0]
    assert reading.code == "lecture_du_fichier"
    assert ("Windows-1252" in reading.message) == (encoding == "cp1252")
    assert (reading.outcome == "avertissement") == (encoding == "cp1252")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_contours_in_either_encoding_are_read(
    encoding: str, tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    path = tmp_path / "qpv-2024.geojson"
    path.write_text(json.dumps(six_qpv(), ensure_ascii=False), encoding=encoding)
    contours = read_contours(raw_file("qpv_2024", path), besancon, settings)
    assert set(contours.by_epsg[2154]["lib_com"]) == {"Besançon"}
    assert ("Windows-1252" in contours.checks[0].message) == (encoding == "cp1252")


# ---------------------------------------------------------------- web pages and other formats


@pytest.mark.parametrize(
    "page", [HTML, b"\xef\xbb\xbf  \n" + HTML, b'<?xml version="1.0"?><ExceptionReport/>']
)
@pytest.mark.parametrize(
    "source", ["qpv_2024", "communes_epci", "insee_population", "insee_demographie", "cog_epci"]
)
def test_a_web_page_in_place_of_the_file(
    source: str, page: bytes, tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    path = tmp_path / "fichier"
    path.write_bytes(page)
    raw = raw_file(source, path)
    readers: dict[str, Callable[[], object]] = {
        "qpv_2024": lambda: read_contours(raw, besancon, settings),
        "communes_epci": lambda: read_communes(raw, settings, 2154)[2154],
        "cog_epci": lambda: read_epci_members(raw, settings),
    }
    with pytest.raises(SourceContentError) as error:
        readers.get(source, lambda: read_statistics(raw, load_registry(), settings))()
    said(error, 3, "fichier", f"source {source}", "a web page or an error document")


@pytest.mark.parametrize("source", ["qpv_2024", "insee_population", "cog_epci"])
def test_an_empty_file(source: str, tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    path = tmp_path / "fichier"
    path.write_bytes(b"")
    raw = raw_file(source, path)
    readers: dict[str, Callable[[], object]] = {
        "qpv_2024": lambda: read_contours(raw, besancon, settings),
        "insee_population": lambda: read_statistics(raw, load_registry(), settings),
        "cog_epci": lambda: read_epci_members(raw, settings),
    }
    with pytest.raises(SourceContentError, match="the file is empty"):
        readers[source]()


@pytest.mark.parametrize(
    "data", [b"codeQPV;pop" + bytes(20), "codeQPV;popMuniQPV".encode("utf-16"), b"CODGEO;PM\x81N\n"]
)
def test_bytes_that_are_not_text(data: bytes, tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "pop_QPV24.csv"
    path.write_bytes(data)
    with pytest.raises(SourceContentError, match=r"pop_QPV24\.csv.*UTF-8 or Windows-1252"):
        read_statistics(raw_file("insee_population", path), load_registry(), settings)


def test_a_single_nul_is_named_by_its_place(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(ContractError, match=r"without control characters.*'popMuniQPV\\x00' \(U\+0000\)"):
        population_of([["codeQPV", "popMuniQPV\x00"], *SIX], tmp_path, settings)


def test_bow_tie_is_really_one() -> None:
    """The shape that the contract must refuse crosses itself in the middle and has no net area."""
    bow_tie = shapely.Polygon(BOW_TIE[0])
    assert not bow_tie.is_valid
    assert bow_tie.area == pytest.approx(0, abs=1e-12)
