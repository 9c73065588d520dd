"""The print layout of the project: one A3 page per QPV with its map, its key figures and their sources."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from qpv_geo.formats.base import Bounds, Content, rounded_bounds
from qpv_geo.formats.summaries import summaries_of
from qpv_geo.french import french_date
from qpv_geo.qgis.cartography import Atlas, Cartography
from qpv_geo.qgis.expressions import evaluation, interval_of, literal, quoted, text_of, vintage_of
from qpv_geo.qgis.styles import SymbolLayer
from qpv_geo.qgis.templating import key, rgba
from qpv_geo.statuses import IMPRECISE
from qpv_geo.territory import Territory
from qpv_geo.typography import typeset

# Qt's alignment flags.
_LEFT, RIGHT = 1, 2
_TOP, _MIDDLE = 32, 128

# Millimetres on the page: the map on the left, a column on the right of it.
MAP_X, MAP_Y, MAP_WIDTH, MAP_HEIGHT = 10.0, 32.0, 286.0, 236.0
COLUMN_X, COLUMN_WIDTH = 302.0, 108.0
BOTTOM = MAP_Y + MAP_HEIGHT
HEADING = 8.0
_TILES_Y, _TILE_WIDTH, _TILE_HEIGHT, _GAP = 40.0, 52.75, 21.0, 2.5
_SITUATION_LEAST, _SITUATION_MOST = 46.0, 80.0
_SCALE_WIDTH = 56.0
_MAP = "Carte"
_BAND = "bande_300m"
_EVALUATED = re.compile(r"(\[%.*?%\])", re.DOTALL)
# What an entry of the legend takes, and its titles; the room that the sentences on a QPV need.
_ENTRY, _LEGEND_TITLES, _SENTENCES_HEIGHT = 5.4, 20.0, 24.0
# Words that a tile has room for.
_SHORT = {IMPRECISE: "trop imprécis"}
# More would push the legend onto the small map.
_TILES_AT_MOST = 6

# Denominators of the atlas' scales are multiples of this.
_SCALE_STEP = 2500
# Metres shown around a QPV without a band.
_SURROUNDINGS = 200


@dataclass(frozen=True)
class LayerRef:
    """A layer of the project, as a layout names it."""

    id: str
    name: str
    title: str
    source: str


@dataclass(frozen=True)
class Box:
    """Where an item lies, in millimetres from the upper left corner; a higher level is on top."""

    x: float
    y: float
    width: float
    height: float
    level: int


@dataclass(frozen=True)
class Text:
    """A text of the page; ``[% %]`` holds expressions. Colours are those of the cartography, by name."""

    name: str
    text: str
    box: Box
    size: float
    color: str = "ink"
    bold: bool = False
    background: str = ""
    horizontal: int = _LEFT
    vertical: int = _TOP
    margin: float = 0.0


def _plain(color: str) -> tuple[SymbolLayer, ...]:
    return (SymbolLayer("SimpleFill", {"color": rgba(color), "style": "solid", "outline_style": "no"}),)


@dataclass(frozen=True)
class AtlasPages:
    """What ``layout.xml`` draws from."""

    coverage: LayerRef
    """Layer of which each feature is a page."""
    legend: tuple[LayerRef, ...]
    situation: tuple[LayerRef, ...]
    """Layers of the legend, and of the small map of the whole territory."""
    map_view: Bounds
    situation_view: Bounds
    """What both maps show, of the same proportions as their boxes; the atlas moves the first."""
    band: LayerRef | None
    band_title: str
    """Layer of the bands, and its name in the legend, which has the width of the page's."""
    texts: tuple[Text, ...]
    scale: str
    """Expression of the denominator of the large map's scale."""
    legend_box: Box
    colors: Atlas
    paper: tuple[SymbolLayer, ...]
    ink: tuple[SymbolLayer, ...]
    ruler: tuple[SymbolLayer, ...]
    overview: tuple[SymbolLayer, ...]
    situation_box: Box
    title: str = "Portrait cartographique des QPV (A3)"
    file: str = "qpv_"
    """What the file of a page is called by, before the code of its QPV."""
    layers: tuple[LayerRef, ...] = ()
    """Layers of the large map, top first; empty for those that the project shows."""
    legend_points: float = 9
    """Size of the legend's text."""
    map_key: str = key("item", _MAP)
    page: Box = Box(0, 0, 420, 297, 0)
    map_box: Box = Box(MAP_X, MAP_Y, MAP_WIDTH, MAP_HEIGHT, 1)
    scale_bar: Box = Box(MAP_X + 3, BOTTOM - 14, _SCALE_WIDTH, 11, 5)
    north: Box = Box(MAP_X + MAP_WIDTH - 16, MAP_Y + 4, 12, 14, 6)


def atlas_pages(refs: Mapping[str, LayerRef], content: Content, look: Cartography) -> AtlasPages:
    """Lay out the atlas; `refs` are the layers of the project, by name."""
    known = content.frames["qpv"].notna().any()
    figures = [name for name in look.atlas.figures if known.get(name, default=False)][:_TILES_AT_MOST]
    legend_y = _TILES_Y - (-len(figures) // 2) * (_TILE_HEIGHT + _GAP)
    legend = chosen(refs, look.atlas.legend, content)
    free = BOTTOM - legend_y - _legend_height(legend, content, look) - HEADING
    sentences = free - _SENTENCES_HEIGHT - HEADING >= _SITUATION_LEAST
    small = min(max(free - (_SENTENCES_HEIGHT + HEADING) * sentences, _SITUATION_LEAST), _SITUATION_MOST)
    width = f"format_number({_band_width(refs)}, 0, 'fr')"
    return AtlasPages(
        coverage=refs["qpv"],
        legend=legend,
        situation=chosen(refs, look.atlas.situation, content),
        map_view=fitted(content.bounds("qpv"), MAP_WIDTH / MAP_HEIGHT),
        situation_view=fitted(content.bounds("epci"), COLUMN_WIDTH / small),
        band=refs.get(_BAND),
        band_title=f"Bande de {evaluation(width, '300 ou 500')} m (TVA réduite)",
        texts=set_texts(
            *headings(content.spec.territory),
            *(_sentences(content, BOTTOM - small - HEADING - _SENTENCES_HEIGHT) if sentences else ()),
            heading("Situation", "Situation dans le territoire", BOTTOM - small),
            *_tiles(figures, content, look),
            *notes(_mentions({*figures, look.choropleth.field}, content), content),
        ),
        scale=scale_around(f"1.1 * {_band_width(refs)}"),
        legend_box=Box(COLUMN_X - 2, legend_y, COLUMN_WIDTH, 70, 7),
        situation_box=Box(COLUMN_X, BOTTOM - small, COLUMN_WIDTH, small, 2),
        **symbols(look.atlas),
    )


def symbols(colors: Atlas) -> dict[str, Any]:
    """Return the colours of a page, and the symbols of its paper, its scale bar and its small map."""
    ruler = {"line_color": rgba(colors.ink), "line_width": "0.3", "line_width_unit": "MM"}
    frame = {"outline_color": rgba(colors.frame), "outline_width": "0.6", "outline_width_unit": "MM"}
    return {
        "colors": colors,
        "paper": _plain(colors.paper),
        "ink": _plain(colors.ink),
        "ruler": (SymbolLayer("SimpleLine", ruler),),
        "overview": (SymbolLayer("SimpleFill", frame | {"color": rgba(colors.frame, 0.1)}),),
    }


def set_texts(*texts: Text) -> tuple[Text, ...]:
    """Return the texts in French typography, without what QGIS evaluates in them."""
    return tuple(
        replace(
            text,
            name=typeset(text.name),
            text="".join(
                part if part.startswith("[%") else typeset(part) for part in _EVALUATED.split(text.text)
            ),
        )
        for text in texts
    )


def _legend_height(legend: Sequence[LayerRef], content: Content, look: Cartography) -> float:
    """Return about how high the legend is: an entry for each class, reason of a missing value and rule."""
    drawn = look.choropleth
    statuses = content.frames[drawn.layer][f"{drawn.field}_statut"].dropna().unique()
    entries = len(drawn.colors) + sum(status in drawn.missing for status in statuses)
    names = {layer.name for layer in legend} - {drawn.layer}
    entries += sum(len(look.layers[name].rules) for name in names)
    return _LEGEND_TITLES + _ENTRY * entries


def _sentences(content: Content, y: float) -> tuple[Text, Text]:
    """Return the two sentences on each QPV, which a page chooses by the code of its own."""
    pairs = [
        f"{quoted(code)}, {quoted(typeset(chr(10).join(summary.sentences)))}"
        for code, summary in summaries_of(content).qpv.items()
    ]
    text = evaluation(f'map_get(map({", ".join(pairs)}), "code_qp")', "Deux phrases sur le quartier")
    box = Box(COLUMN_X, y, COLUMN_WIDTH, _SENTENCES_HEIGHT, 10)
    return (
        heading("Essentiel", "L'essentiel", y),
        Text("Essentiel", text, box, 9),
    )


def heading(name: str, text: str, y: float) -> Text:
    """Return the heading of what begins at `y` in the column."""
    box = Box(COLUMN_X, y - HEADING, COLUMN_WIDTH, HEADING - 1, 10)
    return Text(f"{name} (titre)", text, box, 12, bold=True)


def chosen(refs: Mapping[str, LayerRef], names: Sequence[str], content: Content) -> tuple[LayerRef, ...]:
    """Return those of some layers that the release draws."""
    return tuple(refs[name] for name in names if content.is_drawn(name))


def scale_around(metres: str) -> str:
    """Return the expression of the map's scale: the QPV and so much around it fit, at a round denominator.

    `metres` is an expression.
    """
    return (
        f"with_variable('autour', buffer(@atlas_geometry, {metres}), {_SCALE_STEP} * ceil(max("
        f"bounds_width(@autour) / {MAP_WIDTH / 1000:g}, bounds_height(@autour) / {MAP_HEIGHT / 1000:g}"
        f") / {_SCALE_STEP}))"
    )


def _band_width(refs: Mapping[str, LayerRef]) -> str:
    """Return the expression of how wide the band of a page's QPV is, and what is shown around one without."""
    if _BAND not in refs:
        return str(_SURROUNDINGS)
    here = "attribute(@atlas_feature, 'code_qp')"
    band = f"get_feature({quoted(refs[_BAND].id)}, 'code_qp', {here})"
    return f"coalesce(attribute({band}, 'distance_m'), {_SURROUNDINGS})"


def fitted(bounds: Bounds, ratio: float) -> Bounds:
    """Return bounds 5 % larger, of the given ratio of width to height."""
    west, south, east, north = bounds
    width, height = 1.05 * (east - west), 1.05 * (north - south)
    width, height = max(width, height * ratio), max(height, width / ratio)
    x, y = (west + east) / 2, (south + north) / 2
    return rounded_bounds([x - width / 2, y - height / 2, x + width / 2, y + height / 2])


def headings(territory: Territory, column: str = "Chiffres clés") -> tuple[Text, ...]:
    """Return what stands above: name of the QPV, where it is, the contract, the title of the column."""
    where = evaluation('coalesce("lib_com_calcule", "lib_com", \'\')', "commune")
    code, name = evaluation('"code_qp"', "code"), literal(territory.nom)
    subtitle = f"Quartier prioritaire de la politique de la ville {code} · {where} · {name}"
    contract = literal(territory.contrat.titre) if territory.contrat else name
    title = Box(MAP_X, 7, MAP_WIDTH, 14, 10)
    below = Box(MAP_X, 21.5, MAP_WIDTH, 8, 10)
    aside = Box(COLUMN_X, 9, COLUMN_WIDTH, 20, 10)
    figures = Box(COLUMN_X, MAP_Y, COLUMN_WIDTH, 7, 10)
    return (
        Text("Titre", evaluation('"lib_qp"', "Nom du quartier"), title, 30, bold=True, vertical=_MIDDLE),
        Text("Sous-titre", subtitle, below, 12, "soft", vertical=_MIDDLE),
        Text("Contrat de ville", contract, aside, 10, "soft", horizontal=RIGHT),
        Text(f"{column} (titre)", column, figures, 12, bold=True),
    )


def _tiles(figures: Sequence[str], content: Content, look: Cartography) -> tuple[Text, ...]:
    """Return the key figures, two in a row: value, then what it is and of which year."""
    layer = content.layers["qpv"]
    texts = []
    for rank, name in enumerate(figures):
        row, column = divmod(rank, 2)
        x = COLUMN_X + column * (_TILE_WIDTH + _GAP)
        y = _TILES_Y + row * (_TILE_HEIGHT + _GAP)
        value = evaluation(text_of(layer, name, look.words_of(layer.name, f"{name}_statut") | _SHORT))
        vintage = vintage_of(layer, name, before=", ")
        alias = layer.fields[name].alias
        caption = alias + evaluation(f"{vintage} || {interval_of(layer, name)}", "")
        upper = Box(x, y, _TILE_WIDTH, _TILE_HEIGHT, 8)
        lower = Box(x, y + 7.5, _TILE_WIDTH, _TILE_HEIGHT - 7.5, 9)
        texts.append(Text(f"Valeur : {alias}", value, upper, 16, bold=True, background="panel", margin=2))
        texts.append(Text(f"Libellé : {alias}", caption, lower, 8, "soft", margin=2))
    return tuple(texts)


def _mentions(indicators: Collection[str], content: Content) -> pd.Series:
    """Name the sources of what a page shows: all contours, and the statistics of some indicators."""
    table = content.frames["indicateurs"]
    shown = table.loc[table["indicateur"].isin(indicators), "source"]
    read = content.sources_read
    kept = read["source"].isin(shown) | ~read["source"].isin(table["source"])
    return read.loc[kept, "mention"]


def notes(mentions: pd.Series, content: Content) -> tuple[Text, ...]:
    """Return the scale in figures, the sources, the date of the data and the page."""
    named = literal(" ; ".join(mentions.drop_duplicates()))
    scale_of_map = f"map_get(item_variables({quoted(_MAP)}), 'map_scale')"
    denominator = evaluation(f"format_number(10 * round({scale_of_map} / 10), 0, 'fr')")
    # Without the datum: "RGF93 v1 / Lambert-93", "RGR92 / UTM zone 40S".
    crs = content.crs.name.rpartition(" / ")[2].replace("zone", "fuseau")
    scale = f"Échelle 1:{denominator} · {crs}"
    sources = f"Sources : {named}. Licences : {', '.join(content.licences)}."
    day = f"Données du {french_date(content.spec.newest)}"
    page = "Page [% @atlas_featurenumber %] sur [% @atlas_totalfeatures %]"
    panel = Box(MAP_X + 3, BOTTOM - 21, _SCALE_WIDTH, 18, 4)
    below = Box(MAP_X, BOTTOM + 2, MAP_WIDTH, 25, 10)
    first = Box(COLUMN_X, BOTTOM + 2, COLUMN_WIDTH, 5, 10)
    second = Box(COLUMN_X, BOTTOM + 7, COLUMN_WIDTH, 5, 10)
    return (
        Text("Échelle (texte)", scale, panel, 9, background="paper", margin=1.5),
        Text("Sources", sources, below, 7, "soft"),
        Text("Date", day, first, 8, "soft", horizontal=RIGHT),
        Text("Page", page, second, 8, "soft", horizontal=RIGHT),
    )
