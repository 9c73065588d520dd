"""The PDF atlas and the pictures: what each page says, tagged, with bookmarks, the same bytes twice."""

import struct
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pypdf
import pypdfium2
import pytest
from PIL import Image, ImageChops

from qpv_geo.formats.base import Content
from qpv_geo.formats.figures import Figures
from qpv_geo.formats.summaries import Summaries
from qpv_geo.french import number
from qpv_geo.portraits.atlas import svg_of, write_atlas, write_pictures
from qpv_geo.portraits.qpv_map import draw_qpv
from qpv_geo.portraits.territory_map import coloured_classes, draw_overview, groups_of
from tests.mapping import full_content, snapshot_content
from tests.pictures import GUIDE, SHARE, SQUARE, differing_share, look_the_same

SIZE = 10 * 1024**2


@pytest.fixture(scope="module")
def content() -> Content:
    return snapshot_content()


@pytest.fixture(scope="module")
def folder(content: Content, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    write_atlas(folder, content)
    write_pictures(folder, content)
    return folder


@pytest.fixture(scope="module")
def pdf(folder: Path) -> pypdf.PdfReader:
    return pypdf.PdfReader(folder / "atlas_besancon.pdf")


def words(page: pypdf.PageObject) -> str:
    """Return the text of a page, with one kind of space."""
    return " ".join(page.extract_text().split())


def said(text: str) -> str:
    return " ".join(text.split())


def test_it_is_tagged_and_says_what_it_is(pdf: pypdf.PdfReader, folder: Path, content: Content) -> None:
    root = pdf.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert str(root["/Lang"]).startswith("fr")
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert pdf.metadata is not None
    assert said(pdf.metadata.title or "") == said(content.spec.title)
    assert pdf.metadata.creation_date_raw.startswith(f"D:{content.spec.newest:%Y%m%d}")
    assert (folder / "atlas_besancon.pdf").stat().st_size < SIZE


def test_every_font_is_included(pdf: pypdf.PdfReader) -> None:
    resources = [page["/Resources"].get("/Font", {}) for page in pdf.pages]
    fonts = [font.get_object() for each in resources for font in each.values()]
    assert fonts
    for font in fonts:
        (descendant,) = font["/DescendantFonts"]
        assert {"/FontFile2", "/FontFile3"} & descendant["/FontDescriptor"].keys()


def test_bookmarks_lead_to_each_page(pdf: pypdf.PdfReader, content: Content) -> None:
    names = content.frames["qpv"]["lib_qp"].tolist()
    outline = [said(entry.title) for entry in pdf.outline if not isinstance(entry, list)]
    assert outline == ["Le territoire", "Les quartiers comparés", *names, "Sources et méthode"]
    assert len(pdf.pages) == len(names) + 4


def test_each_qpv_has_its_figures_as_published(pdf: pypdf.PdfReader, content: Content) -> None:
    summaries = Summaries(content)
    for page, summary in zip(pdf.pages[3:-1], summaries.qpv.values(), strict=True):
        text = words(page)
        assert text.startswith(summary.zone.name)
        for essential in summary.essentials:
            assert said(essential.figure.short) in text
            assert said(essential.figure.ranked) in text
    planoise = next(page for page in pdf.pages[3:] if words(page).startswith("Planoise"))
    assert said(number(15603)) in words(planoise)
    assert "[36,9 ; 39,8]" in words(planoise)
    compared = words(pdf.pages[2])
    assert all(name in compared for name in content.frames["qpv"]["lib_qp"])


def test_the_last_page_names_every_source(pdf: pypdf.PdfReader, content: Content) -> None:
    text = words(pdf.pages[-1]).replace("\u2019", "'")
    for mention in content.mentions:
        assert said(mention) in text


def test_every_map_has_words_for_it(pdf: pypdf.PdfReader) -> None:
    """PDF/UA-1 refuses a picture without; these are the words of the maps."""
    objects = (pdf.get_object(number) for number in range(1, pdf.trailer["/Size"]))
    data = {
        str(each["/Alt"])
        for each in objects
        if isinstance(each, pypdf.generic.DictionaryObject) and "/Alt" in each
    }
    for start in ("Carte du territoire", "Carte des quartiers prioritaires", "Carte du quartier Planoise"):
        assert any(alternative.startswith(start) for alternative in data)


def test_pictures_are_those_of_links_and_slides(folder: Path, content: Content) -> None:
    names = {path.stem for path in (folder / "portraits").glob("*.png")}
    assert names == {"index", *content.frames["qpv"]["code_qp"]}
    for path in (folder / "portraits").glob("*.png"):
        assert struct.unpack(">II", path.read_bytes()[16:24]) == (1200, 630)


def test_the_same_content_gives_the_same_bytes(folder: Path, content: Content, tmp_path: Path) -> None:
    again = replace(content)
    write_atlas(tmp_path, again)
    write_pictures(tmp_path, again)
    for path in (*tmp_path.glob("*.pdf"), *tmp_path.glob("portraits/*.png")):
        assert path.read_bytes() == (folder / path.relative_to(tmp_path)).read_bytes()


def test_a_territory_with_every_layer_and_missing_values_is_composed(tmp_path: Path) -> None:
    write_atlas(tmp_path, full_content())
    text = " ".join(words(page) for page in pypdf.PdfReader(next(tmp_path.glob("*.pdf"))).pages)
    assert "secret statistique" in text
    assert "Valeur absente" in text
    assert "Contour de 2015" in text


def test_qpv_far_apart_have_maps_of_their_own(content: Content) -> None:
    codes = content.frames["qpv"]["code_qp"].tolist()
    assert groups_of(content) == [codes]
    qpv = content.frames["qpv"].copy()
    moved = qpv.geometry.translate(xoff=30_000).where(qpv["code_qp"] == codes[1], qpv.geometry)
    apart = replace(content, frames=dict(content.frames) | {"qpv": qpv.set_geometry(moved)})
    groups = groups_of(apart)
    assert sorted(map(sorted, groups)) == sorted([[codes[1]], sorted(set(codes) - {codes[1]})])


def test_maps_are_files_of_their_own_with_the_colours_of_pages(content: Content) -> None:
    svg = svg_of(draw_qpv("QN02503M", content.frames))
    assert svg.startswith("<svg xmlns=")
    assert "var(--" not in svg
    assert "Planoise" in svg
    _, kinds = coloured_classes(content, Figures(content))
    overview = draw_overview(content, list(kinds), kinds)
    assert kinds["QN02503M"] == "classe-6", "55 % begins the last class"
    assert [label.text for label in overview.labels if label.kind == "qpv"][1] == "2 Planoise"


def test_the_page_of_a_qpv_is_the_one_of_the_guide(folder: Path, tmp_path: Path) -> None:
    with closing(pypdfium2.PdfDocument(folder / "atlas_besancon.pdf")) as pdf:
        pages = [page.get_textpage().get_text_bounded() for page in pdf]
        (place,) = (place for place, text in enumerate(pages) if text.startswith("Planoise"))
        pdf[place].render().to_pil().save(tmp_path / "page.png")
    assert look_the_same(tmp_path / "page.png", "atlas-pdf.png")


def test_a_moved_map_and_another_colour_are_noticed() -> None:
    page = Image.open(GUIDE / "atlas-pdf.png").convert("RGB")
    moved = ImageChops.offset(page, SQUARE, 0)
    assert differing_share(page, page) == 0
    assert differing_share(page, moved) > SHARE
    orange = np.asarray(page).copy()
    orange[orange[..., 2] < 100] = (0, 114, 178)
    assert differing_share(page, Image.fromarray(orange)) > SHARE
