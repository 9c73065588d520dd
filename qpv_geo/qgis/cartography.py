"""How layers are drawn, declared as data: groups, symbols, classes, labels, words for coded values."""

from fnmatch import fnmatchcase
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import quote

from pydantic import Field, model_validator

from qpv_geo.french import AGREEMENT_WORDS, CHECK_WORDS, ORIGIN_WORDS, STATUS_WORDS, ZONE_WORDS
from qpv_geo.frozen import Frozen
from qpv_geo.statuses import ABSENCES
from qpv_geo.toml_file import read_declarations
from qpv_geo.typography import FrenchText

_CARTOGRAPHY = Path(__file__).with_name("cartography.toml")

Color = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]


class Outline(Frozen):
    """A line along the border: colour, width in millimetres, lengths of dashes and gaps in millimetres.

    `thinner` gives other widths by the denominator of the scale beyond which they hold: there, small polygons
    would be all border; `solid_beyond` is the denominator up to which there are dashes, 0 for all scales.
    """

    color: Color
    width: float = Field(gt=0)
    thinner: dict[int, Annotated[float, Field(gt=0)]] = Field(default={})
    dash: str | None = Field(default=None, pattern=r"^\d+(\.\d+)?(;\d+(\.\d+)?)+$")
    solid_beyond: int = Field(default=0, ge=0)

    @property
    def expressions(self) -> dict[str, str]:
        """What changes with the scale, by QGIS's property."""
        found = {}
        if self.thinner:
            scales = sorted(self.thinner, reverse=True)
            cases = " ".join(f"WHEN @map_scale > {scale} THEN {self.thinner[scale]:g}" for scale in scales)
            found["outlineWidth"] = f"CASE {cases} ELSE {self.width:g} END"
        if self.solid_beyond:
            # Without a value, the line keeps its dashes.
            found["outlineStyle"] = f"CASE WHEN @map_scale > {self.solid_beyond} THEN 'solid' END"
        return found


class Hatch(Frozen):
    """Parallel lines inside: angle in degrees, distance and width in millimetres, colour."""

    angle: float
    distance: float = Field(gt=0)
    width: float = Field(gt=0)
    color: Color


class Marker(Frozen):
    """A pictogram of the cartography, white on a disc or a square: colour, width in millimetres."""

    pictogram: str
    color: Color
    size: float = Field(gt=0)
    square: bool = False


class LegendRule(Frozen):
    """One entry of the legend and how its features are drawn."""

    label: str = ""
    """In French; empty if it is the only rule, whose legend is the layer's title."""
    filter: str = ""
    """QGIS expression; empty for all features, ``ELSE`` for those that no other rule takes."""
    fill: Color | None = None
    opacity: float = Field(default=1.0, gt=0, le=1)
    """Colour of the inside and how much it covers, from 0 to 1."""
    hatches: tuple[Hatch, ...] = ()
    outlines: tuple[Outline, ...] = ()
    """Drawn over the fill in this order; of a layer of lines, the lines themselves."""
    marker: Marker | None = None
    """What stands at each point of a layer of points."""
    children: tuple["LegendRule", ...] = ()
    """Entries under this one, which is then a heading without a symbol."""

    @property
    def leaves(self) -> tuple["LegendRule", ...]:
        """Those of this rule and the ones under it that have a symbol."""
        return sum((child.leaves for child in self.children), start=()) or (self,)


class Label(Frozen):
    """Texts on the map, with a white halo."""

    expression: str
    """QGIS expression of the text."""
    filter: str = ""
    """QGIS expression of the features that have it; empty for all."""
    figure: str = ""
    """Field whose value, or the reason why it has none, stands on a line below; none if empty."""
    size: float = Field(gt=0)
    """Points."""
    color: Color = "#1a1a1a"
    bold: bool = False
    italic: bool = False
    farthest: int = Field(default=0, ge=0)
    nearest: int = Field(default=0, ge=0)
    """Denominators of the scales between which the text shows; 0 for no limit."""
    outside: bool = False
    """Whether the text may stand beside a polygon that is too small for it."""
    perimeter: bool = False
    """Whether the text follows the outer border."""
    always: bool = False
    """Whether the text is drawn even where it covers another."""


class GeneralisedLook(Frozen):
    """What differs where contours are generalised: title and rules, and labels that are added."""

    title: FrenchText
    rules: tuple[LegendRule, ...]
    labels: tuple[Label, ...] = ()


class LayerLook(Frozen):
    """One spatial layer."""

    name: str
    """Field whose value names a feature (identify, search)."""
    tip: tuple[str, ...] = ()
    """Fields shown over a feature, those that the layer has."""
    visible: bool = True
    """Whether the project shows it at first."""
    farthest: int = Field(default=0, ge=0)
    """Denominator of the smallest scale at which it is drawn; 0 for no limit."""
    obstacle: bool = False
    """Whether texts of other features keep off it."""
    rules: tuple[LegendRule, ...] = ()
    labels: tuple[Label, ...] = ()
    generalised: GeneralisedLook | None = None


class Choropleth(Frozen):
    """Classes of one indicator."""

    layer: str
    field: str
    """What is classified."""
    heading: FrenchText
    unit: str
    """For the legend, in French."""
    method: str
    """How the classes were drawn, in a French sentence."""
    breaks: tuple[float, ...] = Field(min_length=1)
    """Where a class ends and the next begins; the bound belongs to the upper class."""
    colors: tuple[Color, ...]
    """One more than `breaks`."""
    outline: Outline
    over_base_map: float = Field(gt=0, le=1)
    """How much a class covers where there is a base map, with which it is multiplied."""
    missing: dict[str, tuple[Hatch, ...]]
    """Hatches of a missing value, by status."""

    @model_validator(mode="after")
    def _classes_are_sound(self) -> Self:
        if any(low >= high for low, high in pairwise(self.breaks)):
            raise ValueError(f"breaks do not increase: {self.breaks}")
        if len(self.colors) != len(self.breaks) + 1:
            raise ValueError(
                f"{len(self.breaks)} breaks make {len(self.breaks) + 1} classes, not {len(self.colors)}"
            )
        if odd := sorted(set(self.missing) ^ set(ABSENCES)):
            raise ValueError(f"'missing' has hatches for every status of an absence, and no other: {odd}")
        return self


class Group(Frozen):
    """A group of the layer tree; layers in the order of drawing, top first."""

    title: FrenchText
    expanded: bool = True
    layers: tuple[str, ...]


class Words(Frozen):
    """French words for the coded values of some fields, named ``layer.field`` with wildcards."""

    fields: tuple[str, ...]
    words: dict[str, FrenchText]


# Words that pages and reports say as well; the cartography's own come first.
_SHARED = {
    "statut": Words(fields=("*.statut", "*.*_statut", "*.statut_insee"), words=STATUS_WORDS),
    "zone": Words(fields=("statistiques.zone",), words=ZONE_WORDS),
    "controle": Words(fields=("controles.resultat",), words=CHECK_WORDS),
    "concordance": Words(fields=("concordances.resultat",), words=AGREEMENT_WORDS),
    "origine": Words(fields=("sources.origine",), words=ORIGIN_WORDS),
}


class Atlas(Frozen):
    """The print layout."""

    figures: tuple[str, ...]
    """Indicators of layer ``qpv``, the preferred first; shown are those that have a value, as many as fit."""
    ink: Color
    soft: Color
    panel: Color
    paper: Color
    frame: Color
    """Colours of texts, of lesser ones, behind figures, of the page, and of the frame on the small map."""
    legend: tuple[str, ...]
    situation: tuple[str, ...]
    """Layers in the legend, and on the small map of the whole territory, top first."""


class FormTab(Frozen):
    """A tab of the form of the QPV: fields, boxes of fields, and layers whose rows belong to a QPV."""

    title: FrenchText
    fields: tuple[str, ...] = ()
    boxes: tuple["FormTab", ...] = ()
    layers: tuple[str, ...] = ()


class FormLook(Frozen):
    """The form of a layer; the tab titled `indicators`, with a box per theme, stands after its first tab."""

    layer: str
    indicators: str
    tabs: tuple[FormTab, ...] = Field(min_length=1)
    named_by: dict[str, str]
    """Fields ``layer.field`` whose codes the form shows by the name that another layer gives them."""


class Tiles(Frozen):
    """A base map of web tiles: title, address with ``{x}``, ``{y}``, ``{z}``, greatest zoom, who to name."""

    title: FrenchText
    url: str
    zoom: int = Field(gt=0)
    attribution: str

    @property
    def source(self) -> str:
        """As XYZ tiles, which unlike WMTS layers ask nothing of the network to be opened."""
        return f"type=xyz&url={quote(self.url, safe=':/?{}')}&zmin=0&zmax={self.zoom}"


class BaseMap(Frozen):
    """The group of base maps, off at first: nothing is asked of the network before somebody turns it on."""

    title: FrenchText
    tiles: tuple[Tiles, ...]


class Cartography(Frozen):
    """Everything that decides what a map of qpv-geo looks like."""

    groups: tuple[Group, ...]
    choropleth: Choropleth
    layers: dict[str, LayerLook]
    vocabulary: dict[str, Words]
    pictograms: dict[str, str]
    """The ``d`` of an SVG path each, in a box of 20 units, for QGIS and for pages."""
    previews: dict[str, str]
    """Expressions that name the rows of tables, in forms and in searches."""
    form: FormLook
    themes: dict[FrenchText, tuple[str, ...]]
    """Layers that QGIS shows together, where a release draws the first, by title."""
    atlas: Atlas
    base_map: BaseMap
    scales: tuple[int, ...]

    @model_validator(mode="after")
    def _each_layer_is_in_one_group(self) -> Self:
        grouped = [name for group in self.groups for name in group.layers]
        if sorted(grouped) != sorted(self.layers):
            odd = sorted(set(grouped) ^ set(self.layers)) or sorted(
                n for n in grouped if grouped.count(n) > 1
            )
            raise ValueError(f"each drawn layer must be in one group: {', '.join(odd)}")
        return self

    @property
    def order(self) -> list[str]:
        """Drawn layers, top first."""
        return [name for group in self.groups for name in group.layers]

    def words_of(self, layer: str, field: str) -> dict[str, str]:
        """Return the French words for the coded values of a field; empty if it has none."""
        name = f"{layer}.{field}"
        for words in (self.vocabulary | _SHARED).values():
            if any(fnmatchcase(name, pattern) for pattern in words.fields):
                return words.words
        return {}

    def picture(self, marker: Marker) -> str:
        """Return a pictogram as an SVG file."""
        # Rounded to a disc, or at the corners; the white outline tells apart pictograms that touch.
        corner = 3 if marker.square else 10
        ground = f'<rect width="20" height="20" rx="{corner}" fill="{marker.color}" stroke="#fff"/>'
        path = f'<path fill="#fff" d="{self.pictograms[marker.pictogram]}"/>'
        return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1 -1 22 22">{ground}{path}</svg>'


@cache
def load_cartography(path: Path = _CARTOGRAPHY) -> Cartography:
    """Read how layers are drawn."""
    with read_declarations(path, "the cartography is not valid") as entries:
        return Cartography.model_validate(entries)
