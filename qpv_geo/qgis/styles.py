"""Default styles of the layers, as QGIS reads them, inside the GeoPackage (table ``layer_styles``)."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from html import escape
from pathlib import Path

import pandas as pd

from qpv_geo.errors import PublicationError
from qpv_geo.formats.base import Bounds, Content
from qpv_geo.formats.fields import GEOMETRY_COLUMN, Layer
from qpv_geo.formats.geopackage import geopackage_name
from qpv_geo.french import NO_BREAK, band_name, class_labels, short_number
from qpv_geo.qgis.cartography import (
    Cartography,
    Choropleth,
    FormTab,
    Label,
    LayerLook,
    LegendRule,
    load_cartography,
)
from qpv_geo.qgis.expressions import html_of, text_of, vintage_of
from qpv_geo.qgis.forms import FormField, form_fields, form_tabs
from qpv_geo.qgis.templating import fill
from qpv_geo.statuses import NOT_AVAILABLE, STATUSES
from qpv_geo.territory import Territory
from qpv_geo.typography import typeset

# As QGIS creates it (`QgsOgrProviderMetadata::saveStyle`), but the moment is given and not the clock's.
_LAYER_STYLES = Path(__file__).with_name("layer_styles.sql").read_text(encoding="utf-8")
_STYLE_NAME = "Style par défaut"

_BAND, _STREETS = "bande_300m", "fond_routes"
# QGIS's number of the blend mode.
_MULTIPLY = 6

# Labels of the layer on top come first when there is not room for all (QGIS: 0 to 10).
_HIGHEST_PRIORITY = 10

# How QGIS calls the symbols of a layer, and its geometries, by the declared type.
_SYMBOLS = {
    "MultiPolygon": ("fill", "Polygon"),
    "MultiLineString": ("line", "Line"),
    "Point": ("marker", "Point"),
}
# How a table is drawn.
_TABLE = LayerLook(name="")


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
    lower = [f'"{field}" >= {breaks[rank - 1]:g}'] if rank > 0 else []
    upper = [f'"{field}" < {breaks[rank]:g}'] if rank < len(breaks) else []
    return " AND ".join(lower + upper)


def _missing_condition(choropleth: Choropleth, status: str) -> str:
    """Select the missing values of one status; a value without any is not available."""
    field = choropleth.field
    status_or_default = f"coalesce(\"{field}_statut\", '{NOT_AVAILABLE}')"
    return f"\"{field}\" IS NULL AND {status_or_default} = '{status}'"


@dataclass(frozen=True)
class StyledLayer:
    """A layer or table as QGIS shows it: ``style.xml`` and the project draw from it."""

    name: str
    id: str
    source: str
    """What the project calls it by, and where it finds it."""
    title: str
    """That of the band has its widths."""
    fields: tuple[FormField, ...]
    tabs: tuple[FormTab, ...]
    preview: str
    tip: str = ""
    """Expression that names a feature, and text shown over one."""
    look: LayerLook = _TABLE
    """As this release draws it; without rules and labels for a table."""
    priority: int = 0
    """Of its labels."""
    blend_mode: int = 0
    bounds: Bounds | None = None
    """None where there is nothing to draw."""
    wkb_type: str = "NoGeometry"
    geometry: str = "No geometry"
    symbol_type: str = ""
    """What the layer holds, as QGIS names it, and the kind of its symbols; empty for a table."""


@lru_cache(maxsize=1)
def styled_layers(content: Content) -> dict[str, StyledLayer]:
    """Return every layer and table of a release with its style, in its order.

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
    return {name: _styled(content.layers[name], content, look) for name in content.frames}


def _styled(layer: Layer, content: Content, look: Cartography) -> StyledLayer:
    name, territory = layer.name, content.spec.territory
    table = StyledLayer(
        name=name,
        id=layer_id(territory, name),
        source=f"./{geopackage_name(territory.id)}|layername={name}",
        title=layer.title,
        fields=form_fields(layer, look),
        tabs=form_tabs(layer, content, look),
        preview=look.previews.get(name, ""),
    )
    frame = content.spatial(name)
    if frame is None:
        return table
    title, drawn = layer.title, look.layers[name]
    rules, labels = drawn.rules, drawn.labels
    blend_mode = 0
    if name == _BAND:
        title = band_name(frame["distance_m"])
    if drawn.generalised and content.spec.communes_generalised:
        title, rules = drawn.generalised.title, drawn.generalised.rules
        labels += drawn.generalised.labels
    if name == look.choropleth.layer:
        rules = (*classify(look.choropleth, frame), *rules)
        if content.is_drawn(_STREETS):
            blend_mode = _MULTIPLY
            rules = tuple(_let_through(rule, look.choropleth.over_base_map) for rule in rules)
    labels = tuple(_with_figure(label, layer, look) for label in labels)
    wkb_type = layer.geometry or ""
    symbol_type, geometry = _SYMBOLS[wkb_type]
    return replace(
        table,
        title=title,
        preview=table.preview or f'"{drawn.name}"',
        tip=_tip(layer, drawn, look),
        look=drawn.model_copy(update={"rules": rules, "labels": labels}),
        priority=max(0, _HIGHEST_PRIORITY - look.order.index(name)),
        blend_mode=blend_mode,
        bounds=content.bounds(name) if content.is_drawn(name) else None,
        wkb_type=wkb_type,
        geometry=geometry,
        symbol_type=symbol_type,
    )


def layer_id(territory: Territory, name: str) -> str:
    """Return what the project calls a layer by: QGIS 3.22 drops ids of ten characters or fewer."""
    return f"qpv_geo_{territory.id.replace('-', '_')}_{name}"


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
            fill("layer.qml", layer=layer),
            content.layers[name].title,
            content.spec.moment,
        )
        for name, layer in styled_layers(content).items()
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
