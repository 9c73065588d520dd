"""Default styles of the layers, as QGIS reads them, inside the GeoPackage (table ``layer_styles``)."""

import sqlite3
from base64 import b64encode
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from pathlib import Path

import pandas as pd

from qpv_geo.errors import PublicationError
from qpv_geo.formats.base import Content
from qpv_geo.formats.fields import GEOMETRY_COLUMN, Layer
from qpv_geo.french import NO_BREAK, band_name, class_labels, short_number
from qpv_geo.qgis.cartography import (
    Cartography,
    Choropleth,
    Label,
    LayerLook,
    LegendRule,
    Marker,
    Outline,
    load_cartography,
)
from qpv_geo.qgis.expressions import html_of, text_of, vintage_of
from qpv_geo.qgis.forms import FormField, Tab, form_fields, form_tabs
from qpv_geo.qgis.templating import fill, key, rgba
from qpv_geo.statuses import NOT_AVAILABLE, STATUSES
from qpv_geo.typography import typeset

# As QGIS creates it (`QgsOgrProviderMetadata::saveStyle`), but the moment is given and not the clock's.
_LAYER_STYLES = Path(__file__).with_name("layer_styles.sql").read_text(encoding="utf-8")
_STYLE_NAME = "Style par défaut"

_BAND, _STREETS = "bande_300m", "fond_routes"
# QGIS's number of the blend mode.
_MULTIPLY = 6

# Labels of the layer on top come first when there is not room for all (QGIS: 0 to 10).
_HIGHEST_PRIORITY = 10

Properties = dict[str, str]

# How QGIS calls the symbols of a layer, and its geometries, by the declared type.
_SYMBOLS = {
    "MultiPolygon": ("fill", "Polygon"),
    "MultiLineString": ("line", "Line"),
    "Point": ("marker", "Point"),
}


def labels_of(choropleth: Choropleth) -> tuple[str, ...]:
    """Say in French which values each class holds: ``45 % à moins de 50 %``."""
    unit = f"{NO_BREAK}{choropleth.unit}" if choropleth.unit else ""
    return class_labels([short_number(bound) + unit for bound in choropleth.breaks])


def classify(choropleth: Choropleth, frame: pd.DataFrame) -> tuple[LegendRule, ...]:
    """Return the legend of a layer: all classes, and the reasons for missing values that occur in it.

    Every class is listed, whether the territory has values in it or not: the legend is then the same from
    one release and one territory to the next.
    """
    field = choropleth.field
    classes = tuple(
        LegendRule(
            label=label,
            filter=_condition(field, choropleth.breaks, rank),
            fill=color,
            outlines=(choropleth.outline,),
        )
        for rank, (label, color) in enumerate(zip(labels_of(choropleth), choropleth.colors, strict=True))
    )
    years = " et ".join(sorted(set(frame[f"{field}_millesime"].dropna())))
    heading = LegendRule(
        label=f"{choropleth.heading}, {years}" if years else choropleth.heading, children=classes
    )
    present = set(frame.loc[frame[field].isna(), f"{field}_statut"].fillna(NOT_AVAILABLE))
    reasons = tuple(
        LegendRule(
            label=typeset(f"Valeur absente : {STATUSES[status].words}"),
            filter=_missing_condition(choropleth, status),
            fill="#ffffff",
            hatches=hatches,
            outlines=(choropleth.outline,),
        )
        for status, hatches in choropleth.missing.items()
        if status in present
    )
    return (heading, *reasons)


def _condition(field: str, breaks: tuple[float, ...], rank: int) -> str:
    conditions = []
    if rank > 0:
        conditions.append(f'"{field}" >= {breaks[rank - 1]:g}')
    if rank < len(breaks):
        conditions.append(f'"{field}" < {breaks[rank]:g}')
    return " AND ".join(conditions)


def _missing_condition(choropleth: Choropleth, status: str) -> str:
    """Select the missing values of one status; a value without any is not available."""
    field = choropleth.field
    status_or_default = f"coalesce(\"{field}_statut\", '{NOT_AVAILABLE}')"
    return f"\"{field}\" IS NULL AND {status_or_default} = '{status}'"


@dataclass(frozen=True)
class SymbolLayer:
    """One layer of a symbol: QGIS's class, its properties, some by expression, the line symbol of a hatch."""

    kind: str
    properties: Properties
    expressions: Properties = field(default_factory=dict)
    line: tuple["SymbolLayer", ...] = ()


@dataclass(frozen=True)
class StyleRule:
    """A rule of the renderer; `symbol` is the rank of its symbol, None for a heading."""

    key: str
    label: str
    filter: str
    symbol: int | None
    children: tuple["StyleRule", ...]


@dataclass(frozen=True)
class StyleLabel:
    """A rule of the labels, its key, its priority and whether other texts keep off the features."""

    key: str
    label: Label
    priority: int
    obstacle: bool


@dataclass
class Style:
    """What ``style.xml`` draws from: one layer or table."""

    title: str
    """Of the layer in the project; that of the band has its widths."""
    key: str
    label_key: str
    fields: tuple[FormField, ...]
    tabs: tuple[Tab, ...]
    preview: str
    tip: str
    """Expression that names a feature, and text shown over one."""
    farthest: int = 0
    """Denominator of the smallest scale at which the layer is drawn; 0 for no limit."""
    rules: tuple[StyleRule, ...] = ()
    labels: tuple[StyleLabel, ...] = ()
    symbols: list[tuple[SymbolLayer, ...]] = field(default_factory=list)
    """Each the symbol layers of one rule."""
    blend_mode: int = 0
    wkb_type: str = "NoGeometry"
    geometry: str = "No geometry"
    symbol_type: str = ""
    """What the layer holds, as QGIS names it, and the kind of its symbols."""


@lru_cache(maxsize=1)
def build_styles(content: Content) -> dict[str, Style]:
    """Return the style of every layer and table of a release, in its order.

    Its values decide which reasons for missing values the legend has. A spatial layer of which the
    cartography says nothing is a `PublicationError`.
    """
    look = load_cartography()
    spatial = [name for name in content.frames if content.spatial(name) is not None]
    if unknown := [name for name in spatial if name not in look.layers]:
        raise PublicationError(
            f"spatial layers without a style: {', '.join(unknown)}; declare them in "
            "qpv_geo/qgis/cartography.toml"
        )
    return {name: _style(content.layers[name], content, look) for name in content.frames}


def _style(layer: Layer, content: Content, look: Cartography) -> Style:
    fields = form_fields(layer, look)
    style = Style(
        layer.title,
        key(layer.name, "rules"),
        key(layer.name, "labels"),
        fields,
        form_tabs(layer, fields, content, look),
        preview=look.previews.get(layer.name, ""),
        tip="",
    )
    frame = content.spatial(layer.name)
    if frame is None:
        return style
    style.wkb_type = layer.geometry or ""
    style.symbol_type, style.geometry = _SYMBOLS[style.wkb_type]
    if layer.name == _BAND:
        style.title = band_name(frame["distance_m"])
    drawn = look.layers[layer.name]
    if drawn.generalised and content.spec.communes_generalised:
        style.title = drawn.generalised.title
        labels = (*drawn.labels, *drawn.generalised.labels)
        drawn = drawn.model_copy(update={"rules": drawn.generalised.rules, "labels": labels})
    style.farthest = drawn.farthest
    style.preview = style.preview or f'"{drawn.name}"'
    style.tip = _tip(layer, drawn, look)
    rules = drawn.rules
    if layer.name == look.choropleth.layer:
        rules = (*classify(look.choropleth, frame), *rules)
        if content.is_drawn(_STREETS):
            style.blend_mode = _MULTIPLY
            rules = tuple(_let_through(rule, look.choropleth.over_base_map) for rule in rules)
    style.rules = tuple(_rule(rule, (layer.name, rank), style) for rank, rule in enumerate(rules))
    priority = max(0, _HIGHEST_PRIORITY - look.order.index(layer.name))
    style.labels = tuple(
        StyleLabel(key("label", layer.name, rank), _with_figure(label, layer, look), priority, drawn.obstacle)
        for rank, label in enumerate(drawn.labels)
    )
    return style


def _let_through(rule: LegendRule, opacity: float) -> LegendRule:
    """Return a rule and those under it with fills of some opacity."""
    children = tuple(_let_through(child, opacity) for child in rule.children)
    return rule.model_copy(update={"opacity": opacity, "children": children})


def _with_figure(label: Label, layer: Layer, look: Cartography) -> Label:
    """Write a label's figure, or the reason why it has none, below its text."""
    if not label.figure:
        return label
    figure = text_of(layer, label.figure, look.words_of(layer.name, f"{label.figure}_statut"))
    return label.model_copy(update={"expression": f"{label.expression} || '\\n' || {figure}"})


def _rule(rule: LegendRule, names: tuple[object, ...], style: Style) -> StyleRule:
    """Return a rule with its children, and add their symbols to the style."""
    symbol = None
    if not rule.children:
        symbol = len(style.symbols)
        style.symbols.append((marker(rule.marker),) if rule.marker else _symbol(rule))
    children = tuple(_rule(child, (*names, rank), style) for rank, child in enumerate(rule.children))
    return StyleRule(key("rule", *names), rule.label, rule.filter, symbol, children)


def marker(look: Marker) -> SymbolLayer:
    """Return the symbol layer of a pictogram, with the picture in it: no file lies beside the project."""
    picture = b64encode(pictogram(look).encode()).decode()
    properties = {
        "name": f"base64:{picture}",
        "size": f"{look.size:g}",
        "size_unit": "MM",
        "angle": "0",
        "offset": "0,0",
        "horizontal_anchor_point": "1",
        "vertical_anchor_point": "1",
    }
    return SymbolLayer("SvgMarker", properties)


def pictogram(look: Marker) -> str:
    """Return a pictogram as an SVG file."""
    # Rounded to a disc, or at the corners; the white outline tells apart pictograms that touch.
    ground = (
        f'<rect width="20" height="20" rx="{3 if look.square else 10}" fill="{look.color}" stroke="#fff"/>'
    )
    path = f'<path fill="#fff" d="{load_cartography().pictograms[look.pictogram]}"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1 -1 22 22">{ground}{path}</svg>'


def _symbol(rule: LegendRule) -> tuple[SymbolLayer, ...]:
    """Return the symbol layers of a rule: fill, hatches, outlines, each drawn over the one before."""
    drawn = []
    if rule.fill:
        properties = {
            "color": rgba(rule.fill, rule.opacity),
            "style": "solid",
            "outline_style": "no",
            "joinstyle": "round",
        }
        drawn.append(SymbolLayer("SimpleFill", properties))
    for hatch in rule.hatches:
        properties = {
            "angle": f"{hatch.angle:g}",
            "distance": f"{hatch.distance:g}",
            "distance_unit": "MM",
            "color": rgba(hatch.color),
            "line_width": f"{hatch.width:g}",
            "line_width_unit": "MM",
            "offset": "0",
        }
        line = (_line(Outline(color=hatch.color, width=hatch.width)),)
        drawn.append(SymbolLayer("LinePatternFill", properties, line=line))
    return (*drawn, *(_line(outline) for outline in rule.outlines))


def _line(outline: Outline) -> SymbolLayer:
    properties = {
        "line_color": rgba(outline.color),
        "line_width": f"{outline.width:g}",
        "line_width_unit": "MM",
        "line_style": "solid",
        "capstyle": "flat" if outline.dash else "round",
        "joinstyle": "round",
        "use_custom_dash": "1" if outline.dash else "0",
        "customdash": outline.dash or "5;2",
        "customdash_unit": "MM",
        "draw_inside_polygon": "0",
        "offset": "0",
    }
    expressions = {}
    if outline.thinner:
        cases = (f"WHEN @map_scale > {s} THEN {outline.thinner[s]:g}" for s in sorted(outline.thinner)[::-1])
        expressions["outlineWidth"] = f"CASE {' '.join(cases)} ELSE {outline.width:g} END"
    if outline.solid_beyond:
        # Without a value, the line keeps its dashes.
        expressions["outlineStyle"] = f"CASE WHEN @map_scale > {outline.solid_beyond} THEN 'solid' END"
    return SymbolLayer("SimpleLine", properties, expressions)


def _tip(layer: Layer, drawn: LayerLook, look: Cartography) -> str:
    """Return what QGIS shows over a feature: its name in bold, some of its fields, as HTML."""
    rows = "".join(
        f"<tr><td>{escape(layer.fields[name].alias)}</td><td>[% {html_of(text)} %]</td></tr>"
        for name in drawn.tip
        if name in layer.fields
        for words in [look.words_of(layer.name, f"{name}_statut")]
        for text in [f"{text_of(layer, name, words)} || {vintage_of(layer, name, ' (', ')')}"]
    )
    return f'<b>[% {html_of(f"""to_string("{drawn.name}")""")} %]</b><table cellspacing="4">{rows}</table>'


def add_styles(path: Path, content: Content) -> None:
    """Write the default style of every layer and table into a GeoPackage.

    With plain SQLite, so that the bytes depend on the arguments alone. Tables have a style as well: it holds
    French aliases and words, and QGIS reads those of ``gpkg_data_columns`` only with GDAL 3.7 or newer.
    """
    rows = [
        (
            name,
            "" if content.spatial(name) is None else GEOMETRY_COLUMN,
            _STYLE_NAME,
            fill("layer.qml", style=style),
            content.layers[name].title,
            content.spec.moment,
        )
        for name, style in build_styles(content).items()
    ]
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute(_LAYER_STYLES)
        database.executemany(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, "
            "styleName, styleQML, useAsDefault, description, owner, update_time) "
            "VALUES ('', '', ?, ?, ?, ?, 1, ?, '', ?)",
            rows,
        )
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, last_change, "
            "srs_id) VALUES ('layer_styles', 'attributes', 'layer_styles', ?, ?, 0)",
            ("Styles des couches, lus par QGIS.", content.spec.moment),
        )
        database.commit()
