"""The form that QGIS shows of a feature: its tabs, and fields that say vintage, interval, rank and reason."""

from collections.abc import Mapping
from dataclasses import dataclass

from qpv_geo.formats.base import Content
from qpv_geo.formats.fields import Layer
from qpv_geo.ingest.registry import Indicator
from qpv_geo.qgis.cartography import Cartography, FormTab
from qpv_geo.qgis.expressions import decimals_of, interval_of, quoted, rank_of, reason_of, vintage_of

# What the label of an indicator says beside it, in the form.
_SUFFIXES = ("_statut", "_millesime", "_borne_basse", "_borne_haute", "_rang", "_rang_sur")
# Pixels of a column of the attribute table.
_NARROW, _WIDE, _WIDEST = 110, 170, 320
_LONG_NAMES = ("lib", "nom", "libelle", "message", "remarque", "description")


@dataclass(frozen=True)
class FormField:
    """A field of a layer: French alias with its unit, French words for its codes, and how it is shown.

    `label` is the expression of what stands beside it in the form, empty for the alias; `names` is the layer
    whose names stand for its codes.
    """

    name: str
    alias: str
    words: Mapping[str, str]
    decimals: int | None
    width: int
    label: str
    names: str


def form_fields(layer: Layer, look: Cartography) -> tuple[FormField, ...]:
    """Return the fields of a layer, in its order."""
    return tuple(_field(layer, name, look) for name in layer.fields)


def _field(layer: Layer, name: str, look: Cartography) -> FormField:
    declared = layer.fields[name]
    long = declared.type == "text" and name.startswith(_LONG_NAMES)
    short = declared.type != "text" or name.startswith("code")
    return FormField(
        name,
        declared.heading,
        look.words_of(layer.name, name),
        decimals_of(declared) if declared.type == "real" else None,
        _WIDEST if long else _NARROW if short else _WIDE,
        _label(layer, name, look) if f"{name}_statut" in layer.fields else "",
        look.form.named_by.get(f"{layer.name}.{name}", ""),
    )


def _label(layer: Layer, name: str, look: Cartography) -> str:
    """Return an expression of two lines: alias, and vintage with interval and rank or with the reason."""
    alias = quoted(layer.fields[name].heading)
    reason = reason_of(layer, name, look.words_of(layer.name, f"{name}_statut"))
    missing = f"{vintage_of(layer, name, after=', ')} || {reason}"
    known = f"{vintage_of(layer, name)} || {interval_of(layer, name)} || {rank_of(layer, name)}"
    return f"{alias} || '\\n' || CASE WHEN \"{name}\" IS NULL THEN {missing} ELSE {known} END"


def shown_fields(layer: Layer) -> list[str]:
    """Return the fields that the form shows; the labels of these hold the others."""
    folded = {f"{name}{suffix}" for name in layer.fields for suffix in _SUFFIXES}
    return [name for name in layer.fields if name not in folded]


def form_tabs(layer: Layer, content: Content, look: Cartography) -> tuple[FormTab, ...]:
    """Return the tabs of the form of the QPV: the declared ones, and one of indicators after the first.

    Empty for other layers, whose forms are one short list. What no tab declares stands in the first one, so
    that nothing is lost.
    """
    if layer.name != look.form.layer:
        return ()
    shown = shown_fields(layer)
    declared = {name for tab in look.form.tabs for name in tab.fields}
    free = [name for name in shown if name not in declared]
    registry: Mapping[str, Indicator] = content.spec.registry.by_id
    themes: dict[str, list[str]] = {}
    for name in (name for name in free if name in registry):
        themes.setdefault(registry[name].theme, []).append(name)
    first, *rest = (
        tab.model_copy(
            update={
                "fields": tuple(name for name in tab.fields if name in shown),
                "layers": tuple(name for name in tab.layers if name in content.frames),
            }
        )
        for tab in look.form.tabs
    )
    others = tuple(name for name in free if name not in registry)
    boxes = tuple(FormTab(title=theme, fields=tuple(names)) for theme, names in themes.items())
    tabs = (
        first.model_copy(update={"fields": first.fields + others}),
        FormTab(title=look.form.indicators, boxes=boxes),
        *rest,
    )
    return tuple(tab for tab in tabs if tab.fields or tab.layers or tab.boxes)
