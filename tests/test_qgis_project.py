"""The QGIS project as a file: what it names, in which order, and that it depends on nothing but the release.

What QGIS makes of it is seen by `test_qgis_render.py`.
"""

import re
import zipfile
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element

import geopandas as gpd
import pytest
from defusedxml import ElementTree

from qpv_geo.errors import PublicationError
from qpv_geo.formats.base import UNDECLARED, Content
from qpv_geo.qgis.cartography import load_cartography
from qpv_geo.qgis.project import write_project
from qpv_geo.qgis.styles import styled_layers
from qpv_geo.qgis.templating import fill
from qpv_geo.typography import typeset
from tests.mapping import full_content, snapshot_content, write
from tests.publishing import whole_snapshot


@pytest.fixture(scope="module")
def content() -> Content:
    return full_content()


@pytest.fixture(scope="module")
def release(content: Content, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    write(folder, content)
    return folder


@pytest.fixture(scope="module")
def project(release: Path) -> Element:
    return parsed(release / "qpv_besancon.qgz")


def text_of(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        return archive.read(f"{path.stem}.qgs").decode("utf-8")


def parsed(path: Path) -> Element:
    root: Element = ElementTree.fromstring(text_of(path), forbid_dtd=False)
    return root


def found(root: Element, path: str) -> Element:
    element = root.find(path)
    assert element is not None, path
    return element


def extent(parent: Element) -> list[float]:
    """Return west, south, east and north."""
    element = found(parent, "extent")
    return [float(str(element.findtext(side))) for side in ("xmin", "ymin", "xmax", "ymax")]


def groups(root: Element) -> dict[str | None, list[str | None]]:
    return {
        group.get("name"): [layer.get("name") for layer in group.findall("layer-tree-layer")]
        for group in found(root, "layer-tree-group").findall("layer-tree-group")
    }


def test_the_same_release_gives_the_same_project(content: Content, release: Path, tmp_path: Path) -> None:
    again = write_project(tmp_path, content)
    assert again.name == "qpv_besancon.qgz"
    assert again.read_bytes() == (release / again.name).read_bytes()


def test_the_archive_holds_the_project_alone_and_no_clock(release: Path) -> None:
    with zipfile.ZipFile(release / "qpv_besancon.qgz") as archive:
        (entry,) = archive.infolist()
    assert entry.filename == "qpv_besancon.qgs"
    assert entry.date_time == (1980, 1, 1, 0, 0, 0)
    assert entry.external_attr >> 16 == 0o644


def test_every_layer_is_named_by_a_relative_path(project: Element, content: Content) -> None:
    sources = [
        layer.findtext("datasource") for layer in project.iter("maplayer") if layer.get("type") == "vector"
    ]
    assert sorted(str(source) for source in sources) == sorted(
        f"./qpv_besancon.gpkg|layername={name}" for name in content.frames
    )
    for layer in project.iter("layer-tree-layer"):
        assert str(layer.get("source")).startswith(("./qpv_besancon.gpkg|layername=", "type=xyz&url="))


def test_no_path_or_user_of_this_machine_is_in_it(release: Path) -> None:
    text = text_of(release / "qpv_besancon.qgz")
    assert not re.search(r'["> ](/\w|[A-Z]:\\)', text)
    assert "saveUser" not in text
    assert str(release.parent.name) not in text


def test_layers_are_in_their_groups_top_first(project: Element, content: Content) -> None:
    titles = {name: layer.title for name, layer in styled_layers(content).items()}
    look = load_cartography()
    expected = {group.title: [titles[name] for name in group.layers] for group in look.groups}
    tables = [titles[name] for name in content.frames if content.spatial(name) is None]
    expected |= {"Tables": tables, look.base_map.title: [tiles.title for tiles in look.base_map.tiles]}
    assert groups(project) == expected
    assert list(groups(project)) == list(expected)


def test_the_band_is_named_by_its_widths(content: Content) -> None:
    assert styled_layers(content)["bande_300m"].title == "Bande de 300 ou 500 m (TVA réduite)"
    bands = content.frames["bande_300m"]
    narrow = content.frames | {"bande_300m": bands[bands["distance_m"] == 300]}
    title = styled_layers(replace(content, frames=narrow))["bande_300m"].title
    assert title == "Bande de 300 m (TVA réduite)"


@pytest.mark.parametrize("provenance", ["snapshot", "live"])
def test_only_generalised_limits_are_dashed_and_named_so(content: Content, provenance: str) -> None:
    raws = {key: raw and replace(raw, provenance=provenance) for key, raw in content.spec.raws.items()}
    layers = styled_layers(replace(content, spec=replace(content.spec, raws=raws)))
    for name in ("communes", "epci"):
        dashed = '<Option name="use_custom_dash" type="QString" value="1"/>' in fill(
            "layer.qml", layer=layers[name]
        )
        assert dashed == (provenance == "snapshot"), name
        assert ("généralisé" in layers[name].title) == (provenance == "snapshot"), name
    near = [label for label in layers["communes"].look.labels if label.farthest == 25000]
    assert [label.perimeter for label in near] == ([True] if provenance == "snapshot" else [])


def test_the_base_map_is_off_and_opens_without_asking(project: Element) -> None:
    (base,) = [
        group
        for group in project.iter("layer-tree-group")
        if group.get("name") == load_cartography().base_map.title
    ]
    assert base.get("checked") == "Qt::Unchecked"
    for layer in base.findall("layer-tree-layer"):
        # Tiles by their address: a WMTS layer asks for the capabilities of the service to be opened.
        assert str(layer.get("source")).startswith(
            "type=xyz&url=https://data.geopf.fr/wmts?SERVICE%3DWMTS%26"
        )
        assert "{z}" in str(layer.get("source"))


def test_published_layers_cannot_be_edited(project: Element) -> None:
    vectors = [layer for layer in project.iter("maplayer") if layer.get("type") == "vector"]
    assert vectors
    assert all(layer.get("readOnly") == "1" for layer in vectors)


def test_only_what_the_cartography_shows_is_checked(project: Element) -> None:
    look = load_cartography()
    # The first tree is that of the project, others are legends of layouts.
    for layer in found(project, "layer-tree-group").iter("layer-tree-layer"):
        name = str(layer.get("id")).removeprefix("qpv_geo_besancon_")
        if name in look.layers:
            assert (layer.get("checked") == "Qt::Checked") == look.layers[name].visible, name


def test_extents_are_numbers_that_hold_the_layers(project: Element, content: Content) -> None:
    for layer in project.iter("maplayer"):
        name = str(layer.findtext("id")).removeprefix("qpv_geo_besancon_")
        if content.spatial(name) is None:
            continue
        frame = content.spatial(name)
        assert isinstance(frame, gpd.GeoDataFrame)
        assert extent(layer) == pytest.approx(frame.total_bounds, abs=0.001)


def test_tables_are_related_to_the_qpv_by_its_code(project: Element) -> None:
    relations = {relation.get("name"): relation for relation in project.iter("relation")}
    assert {"Statistiques", "QPV par commune", typeset("Contrat de ville : chiffres comparés")} <= set(
        relations
    )
    for relation in relations.values():
        field = found(relation, "fieldRef")
        assert relation.get("referencedLayer") == "qpv_geo_besancon_qpv"
        assert field.get("referencedField") == "code_qp"
        statistics = relation.get("referencingLayer") == "qpv_geo_besancon_statistiques"
        assert field.get("referencingField") == ("code" if statistics else "code_qp")


def test_codes_of_2015_are_not_related_to_the_qpv_of_2024(project: Element) -> None:
    assert "qpv_geo_besancon_qpv_2015" not in {
        relation.get("referencingLayer") for relation in project.iter("relation")
    }


def test_contact_licences_and_sources_are_told_for_each_layer(project: Element) -> None:
    for layer in project.iter("maplayer"):
        if layer.get("type") == "vector":
            metadata = found(layer, "resourceMetadata")
            assert metadata.findtext("contact/organization") == UNDECLARED.organisation
            assert metadata.findtext("license") == "Licence Ouverte 2.0 (Etalab)"
            assert len(metadata.findall("rights")) == sum(
                raw is not None for raw in whole_snapshot().values()
            )


def test_the_atlas_has_a_page_for_each_qpv(project: Element) -> None:
    layout = found(project, "Layouts/Layout")
    atlas = found(layout, "Atlas")
    assert atlas.get("enabled") == "1"
    assert atlas.get("coverageLayer") == "qpv_geo_besancon_qpv"
    assert atlas.get("filenamePattern") == "'qpv_' || \"code_qp\""
    (page,) = [item for item in layout.iter("LayoutItem") if item.get("type") == "65638"]
    assert page.get("size") == "420,297,mm"


def test_items_of_both_layouts_lie_on_the_page(project: Element) -> None:
    assert len(list(project.iter("Layout"))) == 2
    for item in project.iter("LayoutItem"):
        x, y = (float(value) for value in str(item.get("position")).split(",")[:2])
        width, height = (float(value) for value in str(item.get("size")).split(",")[:2])
        assert 0 <= x <= x + width <= 420, item.get("id")
        assert 0 <= y <= y + height <= 297, item.get("id")


def test_the_health_layout_has_a_page_for_each_qpv_and_says_nothing_of_larger_territories(
    content: Content, tmp_path: Path
) -> None:
    """Values of larger meshes are made recognisable: no text of the layout holds one."""
    sante = content.frames["sante"]
    larger = sante["zone"] != "qpv"
    frames = content.frames | {"sante": sante.assign(valeur=sante["valeur"].mask(larger, 876_543.0))}
    root = parsed(write_project(tmp_path, replace(content, frames=frames)))
    (layout,) = [one for one in root.iter("Layout") if one.get("name") == "Portrait santé des QPV (A3)"]
    atlas = found(layout, "Atlas")
    assert atlas.get("coverageLayer") == "qpv_geo_besancon_qpv"
    assert atlas.get("filenamePattern") == "'sante_' || \"code_qp\""
    (large,) = [item for item in layout.iter("LayoutItem") if item.get("id") == "Carte"]
    assert large.get("keepLayerSet") == "true"
    assert str(found(large, "LayerSet/Layer").text).endswith("_offre_soins_lieux")
    texts = [str(item.get("labelText", "")) for item in layout.iter("LayoutItem")]
    assert any("Pharmacies" in text for text in texts)
    assert not [text for text in texts if "876" in text and "543" in text]


def test_a_layer_that_is_absent_or_empty_is_not_drawn(tmp_path: Path) -> None:
    """The snapshot has no IRIS, no contours of 2015; its fragile districts have no contour."""
    content = snapshot_content()
    root = parsed(write_project(tmp_path, content))
    drawn = [name for group, names in groups(root).items() if group != "Tables" for name in names]
    assert "IRIS" not in drawn
    assert "Quartiers fragiles" not in drawn
    assert "Quartiers fragiles" in groups(root)["Tables"]
    legend = found(root, "Layouts/Layout")
    ids = {layer.get("id") for layer in legend.iter("layer-tree-layer")}
    assert "qpv_geo_besancon_qpv" in ids
    assert not ids & {"qpv_geo_besancon_quartiers_fragiles", "qpv_geo_besancon_qpv_2015"}
    assert "nan" not in text_of(tmp_path / "qpv_besancon.qgz").lower().split()


def test_an_odd_name_of_the_territory_is_escaped(content: Content, tmp_path: Path) -> None:
    territory = content.spec.territory.model_copy(
        update={"id": "a-b", "nom": 'Pays <d\'Ô> & "Cie" [% 1/0 %]'}
    )
    odd = replace(content, spec=replace(content.spec, territory=territory))
    root = parsed(write_project(tmp_path, odd))
    assert root.findtext("title") == f"Quartiers prioritaires de la politique de la ville : {territory.nom}"
    assert all(str(layer.findtext("id")).startswith("qpv_geo_a_b_") for layer in root.iter("maplayer"))


def in_crs(content: Content, epsg: int) -> Content:
    """Return the same layers in another CRS."""
    frames = {
        name: frame.to_crs(epsg) if isinstance(frame, gpd.GeoDataFrame) else frame
        for name, frame in content.frames.items()
    }
    return replace(content, frames=frames)


def test_layers_in_degrees_are_drawn_as_web_maps_are_without_pages(content: Content, tmp_path: Path) -> None:
    """France as a whole lies in several projected CRS: its layers are published in degrees."""
    root = parsed(write_project(tmp_path, in_crs(content, 4326)))
    assert root.findtext("projectCrs/spatialrefsys/authid") == "EPSG:3857"
    layers = [layer for layer in root.iter("maplayer") if layer.get("wkbType") == "MultiPolygon"]
    assert {layer.findtext("srs/spatialrefsys/authid") for layer in layers} == {"EPSG:4326"}
    assert root.find("Layouts/Layout") is None
    # Metropolitan France in web Mercator.
    assert extent(found(root, "mapcanvas")) == pytest.approx([-780e3, 4.81e6, 1.26e6, 6.88e6], rel=0.1)


def test_an_overseas_territory_has_its_own_crs(content: Content, tmp_path: Path) -> None:
    frames = {
        name: frame.set_crs(2975, allow_override=True) if isinstance(frame, gpd.GeoDataFrame) else frame
        for name, frame in content.frames.items()
    }
    overseas = replace(content, frames=frames)
    root = parsed(write_project(tmp_path, overseas))
    assert root.findtext("projectCrs/spatialrefsys/authid") == "EPSG:2975"
    texts = [item.get("labelText", "") for item in root.iter("LayoutItem")]
    assert any(text.endswith("UTM fuseau 40S") for text in texts)


def test_layers_without_a_crs_are_refused(content: Content, tmp_path: Path) -> None:
    bare = {**content.frames, "qpv": content.frames["qpv"].drop(columns="geom")}
    with pytest.raises(PublicationError, match="no layer qpv with a CRS"):
        write_project(tmp_path, replace(content, frames=bare))
