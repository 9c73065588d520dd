"""The print layout of the project: one A3 page per QPV with its map, its key figures and their sources."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from qpv_geo.formats.base import Bounds, Content, rounded_bounds
from qpv_geo.formats.summaries import summaries_of
from qpv_geo.qgis.cartography import Cartography
from qpv_geo.qgis.expressions import evaluation, interval_of, quoted, text_of, vintage_of
from qpv_geo.qgis.styles import layer_id
from qpv_geo.statuses import IMPRECISE
from qpv_geo.typography import typeset

# Qt's alignment flags.
LEFT, RIGHT = 1, 2


class Box(NamedTuple):
    """Where an item lies, in millimetres from the upper left corner; a higher level is on top."""

    x: float
    y: float
    width: float
    height: float
    level: int


class Text(NamedTuple):
    """A text of the page; ``[% %]`` holds expressions. Colours are those of the cartography, by name."""

    name: str
    text: str
    box: Box
    size: float
    color: str = "ink"
    bold: bool = False
    background: str = ""
    horizontal: int = LEFT
    margin: float = 0.0


# The map on the left, a column on the right of it.
MAP = Box(10.0, 32.0, 286.0, 236.0, 1)
COLUMN = Box(302.0, 32.0, 108.0, 236.0, 2)
BOTTOM = MAP.y + MAP.height
HEADING = 8.0
_TILES_Y, _TILE_WIDTH, _TILE_HEIGHT, _GAP = 40.0, 52.75, 21.0, 2.5
_SITUATION_LEAST, _SITUATION_MOST = 46.0, 80.0
_BAND = "bande_300m"
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
class AtlasPages:
    """What ``layout.xml`` draws from; layers are named, and those that the release draws are shown."""

    title: str
    file: str
    """What the file of a page is called by, before the code of its QPV."""
    scale: str
    """Expression of the denominator of the large map's scale."""
    column: str
    """Title of the column."""
    texts: tuple[Text, ...]
    """Those of the column, below its title."""
    mentions: Collection[str]
    legend: tuple[str, ...]
    legend_box: Box
    legend_points: float = 9
    """Size of the legend's text."""
    band_title: str = ""
    """What the legend calls the band: it has the width of the page's."""
    layers: tuple[str, ...] = ()
    """Layers of the large map, top first; empty for those that the project shows."""
    situation: tuple[str, ...] = ()
    """Layers of the small map of the whole territory."""
    situation_box: Box = COLUMN
    situation_view: Bounds = (0, 0, 0, 0)
    """Where the small map is and what it shows, of the same proportions."""


def atlas_pages(content: Content, look: Cartography) -> AtlasPages:
    """Lay out the atlas."""
    known = content.frames["qpv"].notna().any()
    figures = [name for name in look.atlas.figures if known.get(name, default=False)][:_TILES_AT_MOST]
    legend_y = _TILES_Y - (-len(figures) // 2) * (_TILE_HEIGHT + _GAP)
    free = BOTTOM - legend_y - _legend_height(content, look) - HEADING
    sentences = free - _SENTENCES_HEIGHT - HEADING >= _SITUATION_LEAST
    small = min(max(free - (_SENTENCES_HEIGHT + HEADING) * sentences, _SITUATION_LEAST), _SITUATION_MOST)
    band_width = _band_width(content)
    band_title = evaluation(f"format_number({band_width}, 0, 'fr')", "300 ou 500")
    return AtlasPages(
        title="Portrait cartographique des QPV (A3)",
        file="qpv_",
        scale=scale_around(f"1.1 * {band_width}"),
        column="Chiffres clés",
        texts=(
            *(_sentences(content, BOTTOM - small - HEADING - _SENTENCES_HEIGHT) if sentences else ()),
            heading("Situation", "Situation dans le territoire", BOTTOM - small),
            *_tiles(figures, content, look),
        ),
        mentions=_mentions({*figures, look.choropleth.field}, content),
        legend=look.atlas.legend,
        legend_box=Box(COLUMN.x - 2, legend_y, COLUMN.width, 70, 7),
        band_title=f"Bande de {band_title} m (TVA réduite)",
        situation=look.atlas.situation,
        situation_box=COLUMN._replace(y=BOTTOM - small, height=small),
        situation_view=fitted(content.bounds("epci"), COLUMN.width / small),
    )


def _legend_height(content: Content, look: Cartography) -> float:
    """Return about how high the legend is: an entry for each class, reason of a missing value and rule."""
    drawn = look.choropleth
    statuses = content.frames[drawn.layer][f"{drawn.field}_statut"].dropna().unique()
    entries = len(drawn.colors) + sum(status in drawn.missing for status in statuses)
    names = {name for name in look.atlas.legend if content.is_drawn(name)} - {drawn.layer}
    entries += sum(len(look.layers[name].rules) for name in names)
    return _LEGEND_TITLES + _ENTRY * entries


def _sentences(content: Content, y: float) -> tuple[Text, Text]:
    """Return the two sentences on each QPV."""
    sentences = {code: summary.sentences for code, summary in summaries_of(content).qpv.items()}
    text = by_qpv(sentences, "Deux phrases sur le quartier")
    return (
        heading("Essentiel", "L'essentiel", y),
        Text("Essentiel", text, Box(COLUMN.x, y, COLUMN.width, _SENTENCES_HEIGHT, 10), 9),
    )


def by_qpv(lines: Mapping[str, Sequence[str]], without: str) -> str:
    """Return a text of which a page chooses the lines by the code of its QPV."""
    pairs = (f"{quoted(code)}, {quoted(typeset(chr(10).join(of)))}" for code, of in lines.items())
    return evaluation(f'map_get(map({", ".join(pairs)}), "code_qp")', without)


def heading(name: str, text: str, y: float) -> Text:
    """Return the heading of what begins at `y` in the column."""
    box = Box(COLUMN.x, y - HEADING, COLUMN.width, HEADING - 1, 10)
    return Text(f"{name} (titre)", text, box, 12, bold=True)


def scale_around(metres: str) -> str:
    """Return the expression of the map's scale: the QPV and so much around it fit, at a round denominator.

    `metres` is an expression.
    """
    return (
        f"with_variable('autour', buffer(@atlas_geometry, {metres}), {_SCALE_STEP} * ceil(max("
        f"bounds_width(@autour) / {MAP.width / 1000:g}, bounds_height(@autour) / {MAP.height / 1000:g}"
        f") / {_SCALE_STEP}))"
    )


def _band_width(content: Content) -> str:
    """Return the expression of how wide the band of a page's QPV is, and what is shown around one without."""
    if _BAND not in content.frames:
        return str(_SURROUNDINGS)
    here = "attribute(@atlas_feature, 'code_qp')"
    band = f"get_feature({quoted(layer_id(content.spec.territory, _BAND))}, 'code_qp', {here})"
    return f"coalesce(attribute({band}, 'distance_m'), {_SURROUNDINGS})"


def fitted(bounds: Bounds, ratio: float) -> Bounds:
    """Return bounds 5 % larger, of the given ratio of width to height."""
    west, south, east, north = bounds
    width, height = 1.05 * (east - west), 1.05 * (north - south)
    width, height = max(width, height * ratio), max(height, width / ratio)
    x, y = (west + east) / 2, (south + north) / 2
    return rounded_bounds([x - width / 2, y - height / 2, x + width / 2, y + height / 2])


def _tiles(figures: Sequence[str], content: Content, look: Cartography) -> tuple[Text, ...]:
    """Return the key figures, two in a row: value, then what it is and of which year."""
    layer = content.layers["qpv"]
    texts = []
    for rank, name in enumerate(figures):
        row, column = divmod(rank, 2)
        x = COLUMN.x + column * (_TILE_WIDTH + _GAP)
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
