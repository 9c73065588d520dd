"""Contour files of the metropolis itself: found where the territory says, in any CRS that is exact."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
from shapely import Point, box
from shapely.geometry.base import BaseGeometry

from qpv_geo.errors import ConfigurationError, ContractError, SourceContentError
from qpv_geo.ingest.local_contours import read_local_contours
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import load_catalogue
from qpv_geo.sources.fetch import Policy, fetch
from qpv_geo.sources.raw import RawFile, digest
from qpv_geo.territory import Contact, ContourFile, Territory
from tests.raw_files import write_csv, write_zip, zip_shapefile

KEY = "quartiers_fichier"
UPDATED = date(2025, 1, 31)


def districts(
    crs: int = 2154, geometry: Sequence[BaseGeometry | None] = (), **columns: list[Any]
) -> gpd.GeoDataFrame:
    """Return two squares of a kilometre in Besançon."""
    squares = [box(924000, 6687000, 925000, 6688000), box(926000, 6687000, 927000, 6688000)]
    data = {"nom": ["Île Saint-Pierre", None], "id": [1, 2]} | columns
    return gpd.GeoDataFrame(data, geometry=list(geometry or squares), crs=2154).to_crs(crs)


def undeclared(path: Path, crs: int) -> Path:
    """Write coordinates whose file does not say in which CRS they are."""
    frame = districts(crs)
    if path.suffix == ".shp":
        frame.to_file(path)
        path.with_suffix(".prj").unlink()
    else:
        path.write_text(frame.set_crs(None, allow_override=True).to_json(), encoding="utf-8")
    return path


def declaring(territory: Territory, path: Path, **changes: object) -> Territory:
    file = ContourFile(chemin=str(path), mise_a_jour=UPDATED).model_copy(update=changes)
    return territory.model_copy(update={KEY: file})


def raw_of(territory: Territory, settings: Settings, policy: Policy = Policy(offline=True)) -> RawFile:  # noqa: B008
    raw = fetch(load_catalogue()[KEY], territory, settings, policy)
    assert raw is not None
    return raw


def read(territory: Territory, settings: Settings) -> gpd.GeoDataFrame:
    file = territory.files[KEY]
    contours, checks = read_local_contours(raw_of(territory, settings), file, territory, None, settings)
    assert [(check.code, check.subject) for check in checks] == [
        ("lecture_du_fichier", KEY),
        ("contours_repares", KEY),
    ]
    return contours


def written(path: Path, frame: gpd.GeoDataFrame) -> Path:
    match path.suffix:
        case ".zip":
            return zip_shapefile(path, frame, "QUARTIERS", encoding="CP1252")
        case ".geojson":
            frame.to_file(path, driver="GeoJSON", RFC7946="NO")
        case _:
            frame.to_file(path)
    return path


# Where the file comes from


@pytest.mark.parametrize("name", ["q.gpkg", "q.geojson", "q.shp", "q.zip"])
def test_a_file_is_a_source_like_any_other(
    name: str, tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    path = written(tmp_path / name, districts())
    territory = declaring(besancon, path)
    # The network has nothing to do with it: neither has what forbids it, nor a mirror.
    (tmp_path / "mirror").mkdir()
    for policy in (Policy(offline=True), Policy(require_live=True), Policy(mirror=str(tmp_path / "mirror"))):
        raw = raw_of(territory, settings, policy)
        assert (raw.origin, raw.provenance) == ("local", "local")
        assert raw.path == path
        assert (raw.sha256, raw.size) == digest(path)
        assert raw.date == UPDATED
        assert (raw.source.vintage, raw.source.published) == ("2025", UPDATED)
        assert raw.source.publisher == "Grand Besançon Métropole"
        assert raw.reason == ""
    contours = read(territory, settings)
    assert contours["nom"].tolist() == ["Île Saint-Pierre", None]
    assert contours.area.tolist() == pytest.approx([1e6] * 2, rel=1e-6)


def test_a_path_starts_from_the_territorys_file(
    tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    written(tmp_path / "q.gpkg", districts())
    entries = besancon.model_dump(exclude_none=True) | {
        KEY: {"chemin": "q.gpkg", "mise_a_jour": UPDATED, "producteur": "Ville de Besançon"},
        "contact": {"organisation": "Service SIG", "site": "https://sig.example.fr/"},
    }
    territory = Territory.model_validate(entries, context={"folder": tmp_path})
    raw = raw_of(territory, settings)
    assert raw.path == tmp_path / "q.gpkg"
    assert raw.source.publisher == "Ville de Besançon"
    assert raw.source.page == "https://sig.example.fr/"
    anonymous = declaring(territory, tmp_path / "q.gpkg")
    assert raw_of(anonymous, settings).source.publisher == Contact(organisation="Service SIG").organisation


def test_every_part_of_a_shapefile_counts(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    path = written(tmp_path / "q.shp", districts())
    (tmp_path / "q.qmd").write_text("not a part of it")
    (tmp_path / "other.dbf").write_text("nor of it")
    territory = declaring(besancon, path)
    before = raw_of(territory, settings)
    assert before.size == sum(
        (tmp_path / f"q.{part}").stat().st_size for part in ("shp", "shx", "dbf", "prj", "cpg")
    )
    (tmp_path / "q.qmd").write_text("changed")
    assert raw_of(territory, settings).sha256 == before.sha256
    changed = districts(nom=["Battant", None])
    written(path, changed)
    assert raw_of(territory, settings).sha256 != before.sha256


def test_a_file_that_is_not_there(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    territory = declaring(besancon, tmp_path / "q.gpkg")
    with pytest.raises(ConfigurationError) as error:
        raw_of(territory, settings)
    assert str(error.value) == (
        f"territory 'besancon': 'quartiers_fichier.chemin': no such file: {tmp_path / 'q.gpkg'}"
    )
    assert error.value.exit_code == 2


def test_a_name_that_does_not_say_the_format(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    (tmp_path / "q.dxf").write_text("0\nSECTION")
    with pytest.raises(ConfigurationError, match=r"whose name ends with one of \.gpkg, \.geojson"):
        raw_of(declaring(besancon, tmp_path / "q.dxf"), settings)


def test_a_name_that_lies(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    path = write_csv(tmp_path / "q.gpkg", [["nom", "x"], ["Battant", "1"]])
    with pytest.raises(SourceContentError) as error:
        raw_of(declaring(besancon, path), settings)
    assert "a GeoPackage was expected, q.gpkg is text that begins with 'nom;x" in str(error.value)
    assert "correct the file, or what 'quartiers_fichier' says of it in the territory file" in str(
        error.value
    )
    path = write_zip(tmp_path / "q.zip", {"lisez-moi.txt": b"..."})
    with pytest.raises(SourceContentError, match=r"expected a Shapefile, found lisez-moi\.txt"):
        raw_of(declaring(besancon, path), settings)


def test_a_shapefile_without_its_table(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    path = written(tmp_path / "q.shp", districts())
    (tmp_path / "q.dbf").unlink()
    with pytest.raises(SourceContentError, match=r"expected one Shapefile with its \.shx and \.dbf"):
        read(declaring(besancon, path), settings)


# The coordinates


@pytest.mark.parametrize("crs", [4326, 3857, 2154, 3947, 32631])
def test_a_crs_that_the_file_declares(
    crs: int, tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    contours = read(declaring(besancon, written(tmp_path / "q.gpkg", districts(crs))), settings)
    assert contours.crs == 2154
    assert list(contours.columns) == ["nom", "geometry", "ecart_reparation_m2"]
    assert contours.total_bounds.tolist() == pytest.approx([924000, 6687000, 927000, 6688000], abs=0.01)


def test_a_crs_that_only_the_territory_declares(
    tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    for name in ("q.shp", "q.geojson"):
        territory = declaring(besancon, undeclared(tmp_path / name, 3947), crs="EPSG:3947")
        bounds = read(territory, settings).total_bounds
        assert bounds.tolist() == pytest.approx([924000, 6687000, 927000, 6688000], abs=0.01)


def test_geojson_that_declares_nothing_is_in_degrees(
    tmp_path: Path, besancon: Territory, settings: Settings
) -> None:
    path = tmp_path / "q.geojson"
    districts(4326).to_file(path, driver="GeoJSON", RFC7946="YES")
    assert '"crs"' not in path.read_text(encoding="utf-8")
    assert len(read(declaring(besancon, path), settings)) == 2


@pytest.mark.parametrize(
    ("crs", "declared", "message"),
    [
        (
            None,
            None,
            r"CRS: expected a CRS; found none in the file \(no \.prj beside the \.shp\?\), and none",
        ),
        (None, "EPSG:9999", "CRS: expected a CRS that exists; found 'crs' = 'EPSG:9999'"),
        (2154, "EPSG:3947", r"CRS: expected .*\(EPSG:3947\), as declared in 'crs'; found RGF93.*Lambert-93"),
        (27572, None, "expected a CRS from which EPSG:2154 is reached to 1 m.*whose shift needs a grid"),
        (None, "EPSG:27572", "whose shift needs a grid that is not there"),
        (None, "EPSG:4326", "France métropolitaine"),
    ],
)
def test_a_crs_that_cannot_be_trusted(
    crs: int | None,
    declared: str | None,
    message: str,
    *,
    tmp_path: Path,
    besancon: Territory,
    settings: Settings,
) -> None:
    path = tmp_path / "q.shp"
    path = written(path, districts(crs)) if crs else undeclared(path, 2154)
    with pytest.raises(ContractError, match=message) as error:
        read(declaring(besancon, path, crs=declared), settings)
    assert "in the territory file" in str(error.value) or "under [quartiers_fichier]" in str(error.value)


# Names, layers, shapes


def test_the_field_of_the_names(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    path = written(tmp_path / "q.gpkg", districts().rename(columns={"nom": "NOM_QUART"}))
    assert (
        read(declaring(besancon, path, champ_nom="NOM_QUART"), settings)["nom"].tolist()[0]
        == "Île Saint-Pierre"
    )
    with pytest.raises(ContractError) as error:
        read(declaring(besancon, path, champ_nom="NOM_QUARTIER"), settings)
    assert "expected field 'NOM_QUARTIER' ('champ_nom'); found no such column" in str(error.value)
    assert "perhaps renamed to 'NOM_QUART' (the file has 'NOM_QUART', 'id')" in str(error.value)


def test_the_layer_of_several(tmp_path: Path, besancon: Territory, settings: Settings) -> None:
    path = tmp_path / "q.gpkg"
    districts(nom=["a", "b"]).to_file(path, layer="quartiers")
    districts(nom=["c", "d"]).to_file(path, layer="cantons")
    with pytest.raises(ContractError, match="expected one spatial layer; found 2: quartiers, cantons"):
        read(declaring(besancon, path), settings)
    assert read(declaring(besancon, path, couche="cantons"), settings)["nom"].tolist() == ["c", "d"]
    with pytest.raises(ContractError, match="expected a spatial layer named 'x'; found 2"):
        read(declaring(besancon, path, couche="x"), settings)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            districts(geometry=[Point(924000, 6687000)] * 2),
            "geometry: expected a polygon; found Point at feature 1",
        ),
        (districts(geometry=[None, None]), "expected a polygon with closed rings; found no geometry"),
        (districts().iloc[:0], "expected at least one feature; found an empty layer"),
        (districts().translate(xoff=2_000_000), "France métropolitaine"),
    ],
    ids=["points", "none", "empty", "elsewhere"],
)
def test_shapes_that_are_no_districts(
    frame: gpd.GeoDataFrame | gpd.GeoSeries,
    message: str,
    tmp_path: Path,
    besancon: Territory,
    settings: Settings,
) -> None:
    if isinstance(frame, gpd.GeoSeries):
        frame = gpd.GeoDataFrame({"nom": ["a", "b"]}, geometry=frame)
    path = written(tmp_path / "q.gpkg", frame)
    with pytest.raises(ContractError, match=message):
        read(declaring(besancon, path), settings)
