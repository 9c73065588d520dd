"""The print layout of the project: one A3 page per QPV with its map, its key figures and their sources."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from qpv_geo.formats.base import Bounds, Content, rounded_bounds
from qpv_geo.french import french_date
from qpv_geo.qgis.cartography import Atlas, Cartography
from qpv_geo.qgis.expressions import interval_of, literal, quoted, text_of, vintage_of
from qpv_geo.qgis.styles import SymbolLayer
from qpv_geo.qgis.templating import key, rgba
from qpv_geo.territory import Territory

# Qt's alignment flags.
_LEFT, _RIGHT = 1, 2
_TOP, _MIDDLE = 32, 128

# Millimetres on the page: the map on the left, a column on the right of it.
_MAP_X, _MAP_Y, _MAP_WIDTH, _MAP_HEIGHT = 10.0, 32.0, 286.0, 236.0
_COLUMN_X, _COLUMN_WIDTH = 302.0, 108.0
_BOTTOM = _MAP_Y + _MAP_HEIGHT
_TILES_Y, _TILE_WIDTH, _TILE_HEIGHT, _GAP = 40.0, 52.75, 21.0, 2.5
_SITUATION_HEIGHT = 54.0
_BAND = "bande_300m"
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
    title: str = "Portrait cartographique des QPV (A3)"
    map_key: str = key("item", "carte")
    page: Box = Box(0, 0, 420, 297, 0)
    map_box: Box = Box(_MAP_X, _MAP_Y, _MAP_WIDTH, _MAP_HEIGHT, 1)
    situation_box: Box = Box(_COLUMN_X, _BOTTOM - _SITUATION_HEIGHT, _COLUMN_WIDTH, _SITUATION_HEIGHT, 2)
    scale_bar: Box = Box(_MAP_X + 3, _BOTTOM - 14, 80, 11, 5)
    north: Box = Box(_MAP_X + _MAP_WIDTH - 16, _MAP_Y + 4, 12, 14, 6)


def atlas_pages(refs: Mapping[str, LayerRef], content: Content, look: Cartography) -> AtlasPages:
    """Lay out the atlas; `refs` are the layers of the project, by name."""
    known = content.frames["qpv"].notna().any()
    figures = [name for name in look.atlas.figures if known.get(name, default=False)][:_TILES_AT_MOST]
    rows = -(-len(figures) // 2)
    colors = look.atlas
    ruler = {"line_color": rgba(colors.ink), "line_width": "0.3", "line_width_unit": "MM"}
    frame = {"outline_color": rgba(colors.frame), "outline_width": "0.6", "outline_width_unit": "MM"}
    return AtlasPages(
        coverage=refs["qpv"],
        legend=_chosen(refs, look.atlas.legend, content),
        situation=_chosen(refs, look.atlas.situation, content),
        map_view=_fitted(content.bounds("qpv"), _MAP_WIDTH / _MAP_HEIGHT),
        situation_view=_fitted(content.bounds("epci"), _COLUMN_WIDTH / _SITUATION_HEIGHT),
        band=refs.get(_BAND),
        band_title=f"Bande de [% format_number({_band_width(refs)}, 0, 'fr') %] m (TVA réduite)",
        texts=(
            *_headings(content.spec.territory),
            *_tiles(figures, content, look),
            *_notes({*figures, look.choropleth.field}, content),
        ),
        scale=_scale(refs),
        legend_box=Box(_COLUMN_X - 2, _TILES_Y + rows * (_TILE_HEIGHT + _GAP), _COLUMN_WIDTH, 70, 7),
        colors=colors,
        paper=_plain(colors.paper),
        ink=_plain(colors.ink),
        ruler=(SymbolLayer("SimpleLine", ruler),),
        overview=(SymbolLayer("SimpleFill", frame | {"color": rgba(colors.frame, 0.1)}),),
    )


def _chosen(refs: Mapping[str, LayerRef], names: Sequence[str], content: Content) -> tuple[LayerRef, ...]:
    return tuple(refs[name] for name in names if content.is_drawn(name))


def _scale(refs: Mapping[str, LayerRef]) -> str:
    """Return the expression of the map's scale: the QPV and its band fit, the denominator is round."""
    around = _band_width(refs)
    return (
        f"with_variable('autour', buffer(@atlas_geometry, 1.1 * {around}), {_SCALE_STEP} * ceil(max("
        f"bounds_width(@autour) / {_MAP_WIDTH / 1000:g}, bounds_height(@autour) / {_MAP_HEIGHT / 1000:g}"
        f") / {_SCALE_STEP}))"
    )


def _band_width(refs: Mapping[str, LayerRef]) -> str:
    """Return the expression of how wide the band of a page's QPV is, and what is shown around one without."""
    if _BAND not in refs:
        return str(_SURROUNDINGS)
    here = "attribute(@atlas_feature, 'code_qp')"
    band = f"get_feature({quoted(refs[_BAND].id)}, 'code_qp', {here})"
    return f"coalesce(attribute({band}, 'distance_m'), {_SURROUNDINGS})"


def _fitted(bounds: Bounds, ratio: float) -> Bounds:
    """Return bounds 5 % larger, of the given ratio of width to height."""
    west, south, east, north = bounds
    width, height = 1.05 * (east - west), 1.05 * (north - south)
    width, height = max(width, height * ratio), max(height, width / ratio)
    x, y = (west + east) / 2, (south + north) / 2
    return rounded_bounds([x - width / 2, y - height / 2, x + width / 2, y + height / 2])


def _headings(territory: Territory) -> tuple[Text, ...]:
    where = '[% coalesce("lib_com_calcule", "lib_com", \'\') %]'
    name = literal(territory.nom)
    subtitle = f'Quartier prioritaire de la politique de la ville [% "code_qp" %] · {where} · {name}'
    contract = literal(territory.contrat.titre) if territory.contrat else name
    title = Box(_MAP_X, 7, _MAP_WIDTH, 14, 10)
    below = Box(_MAP_X, 21.5, _MAP_WIDTH, 8, 10)
    aside = Box(_COLUMN_X, 9, _COLUMN_WIDTH, 20, 10)
    figures = Box(_COLUMN_X, _MAP_Y, _COLUMN_WIDTH, 7, 10)
    situation = Box(_COLUMN_X, _BOTTOM - _SITUATION_HEIGHT - 8, _COLUMN_WIDTH, 7, 10)
    return (
        Text("titre", '[% "lib_qp" %]', title, 30, bold=True, vertical=_MIDDLE),
        Text("sous_titre", subtitle, below, 12, "soft", vertical=_MIDDLE),
        Text("contrat", contract, aside, 10, "soft", horizontal=_RIGHT),
        Text("chiffres", "Chiffres clés", figures, 12, bold=True),
        Text("situation_titre", "Situation dans le territoire", situation, 12, bold=True),
    )


def _tiles(figures: Sequence[str], content: Content, look: Cartography) -> tuple[Text, ...]:
    """Return the key figures, two in a row: value, then what it is and of which year."""
    layer = content.layers["qpv"]
    texts = []
    for rank, name in enumerate(figures):
        row, column = divmod(rank, 2)
        x = _COLUMN_X + column * (_TILE_WIDTH + _GAP)
        y = _TILES_Y + row * (_TILE_HEIGHT + _GAP)
        value = f"[% {text_of(layer, name, look.words_of(layer.name, f'{name}_statut'))} %]"
        vintage = vintage_of(layer, name, before=", ")
        caption = f"{layer.fields[name].alias}[% {vintage} || {interval_of(layer, name)} %]"
        upper = Box(x, y, _TILE_WIDTH, _TILE_HEIGHT, 8)
        lower = Box(x, y + 7.5, _TILE_WIDTH, _TILE_HEIGHT - 7.5, 9)
        texts.append(Text(f"valeur_{name}", value, upper, 16, bold=True, background="panel", margin=2))
        texts.append(Text(f"libelle_{name}", caption, lower, 8, "soft", margin=2))
    return tuple(texts)


def _mentions(indicators: Collection[str], content: Content) -> str:
    """Name the sources of what a page shows: all contours, and the statistics of some indicators."""
    table = content.frames["indicateurs"]
    shown = table.loc[table["indicateur"].isin(indicators), "source"]
    read = content.sources_read
    kept = read["source"].isin(shown) | ~read["source"].isin(table["source"])
    return literal(" ; ".join(read.loc[kept, "mention"].drop_duplicates()))


def _notes(indicators: Collection[str], content: Content) -> tuple[Text, ...]:
    """Return the scale in figures, the sources, the date of the data and the page."""
    denominator = "format_number(10 * round(map_get(item_variables('carte'), 'map_scale') / 10), 0, 'fr')"
    scale = f"Échelle 1:[% {denominator} %] · EPSG:{content.epsg}"
    sources = f"Sources : {_mentions(indicators, content)}. Licences : {', '.join(content.licences)}."
    day = f"Données du {french_date(content.spec.newest)}"
    page = "Page [% @atlas_featurenumber %] sur [% @atlas_totalfeatures %]"
    panel = Box(_MAP_X + 3, _BOTTOM - 21, 80, 18, 4)
    below = Box(_MAP_X, _BOTTOM + 2, _MAP_WIDTH, 18, 10)
    first = Box(_COLUMN_X, _BOTTOM + 2, _COLUMN_WIDTH, 5, 10)
    second = Box(_COLUMN_X, _BOTTOM + 7, _COLUMN_WIDTH, 5, 10)
    return (
        Text("echelle_chiffres", scale, panel, 9, background="paper", margin=1.5),
        Text("sources", sources, below, 7, "soft"),
        Text("date", day, first, 8, "soft", horizontal=_RIGHT),
        Text("page", page, second, 8, "soft", horizontal=_RIGHT),
    )
