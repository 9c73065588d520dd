"""The published layers and their fields, declared as data: names, French aliases, units, types."""

import re
from collections.abc import Container, Mapping
from functools import cache
from pathlib import Path
from typing import Literal, Self

import pandas as pd
from pydantic import Field, ValidationError, model_validator

from qpv_geo.errors import ConfigurationError
from qpv_geo.french import decimals_of
from qpv_geo.frozen import Frozen
from qpv_geo.ingest.registry import Indicator, Registry
from qpv_geo.statuses import STATUSES
from qpv_geo.toml_file import read_declarations
from qpv_geo.typography import FrenchText

_FIELDS = Path(__file__).with_name("fields.toml")

FieldType = Literal["text", "integer", "real", "boolean", "date", "datetime"]
GeometryType = Literal["MultiPolygon", "MultiLineString", "Point"]

# Columns that every table or spatial layer of a GeoPackage has beside the declared ones.
FID_COLUMN = "fid"
GEOMETRY_COLUMN = "geom"
_RANK = "1 est la valeur la plus élevée parmi les QPV de France métropolitaine ; voir la table statistiques."
_RANKED = "Nombre de QPV de France métropolitaine qui ont une valeur."
_FIELD_NAME = re.compile(r"[a-z][a-z0-9_]*")


class LayerField(Frozen):
    """One published field: official or lower-snake-case name, French alias and description, unit."""

    type: FieldType
    alias: FrenchText
    description: FrenchText = ""
    unit: str = ""
    decimals: int | None = None
    """How many are published of a value that is computed here, or that a producer gives (`with_decimals`)."""
    optional: bool = False
    """For a field of the key: whether it may be empty all the same."""

    @property
    def heading(self) -> str:
        """Alias, with the unit in brackets."""
        return f"{self.alias} ({self.unit})" if self.unit else self.alias

    @property
    def comment(self) -> str:
        """Description and unit in one French sentence or two; empty when there is neither."""
        unit = f"Unité : {self.unit}." if self.unit else ""
        return " ".join(part for part in (self.description, unit) if part)


class Layer(Frozen):
    """One published table, with a geometry or without."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: FrenchText
    abstract: FrenchText
    """In French, what QGIS shows."""
    geometry: GeometryType | None = None
    """Geometry type, None for a table."""
    geometry_optional: bool = False
    """Whether a row may be without geometry."""
    package_only: bool = False
    """Whether it is there to be drawn: written into the GeoPackage, and into no other format."""
    key: tuple[str, ...]
    """Fields whose values are unique together."""
    indicators: bool = False
    """Whether the columns of the registry's `qpv_layer` indicators are added after `fields`: for each, the
    value, ``_statut``, ``_millesime``, ``_rang``, ``_rang_sur`` and, if there are intervals, ``_borne_basse``
    and ``_borne_haute``."""
    fields: dict[str, LayerField]

    @property
    def is_official(self) -> bool:
        """Whether its contours are a producer's, unchanged unless they had to be repaired."""
        return "ecart_reparation_m2" in self.fields

    @model_validator(mode="after")
    def _names_are_sound(self) -> Self:
        bad = [name for name in self.fields if not _FIELD_NAME.fullmatch(name)]
        reserved = {FID_COLUMN, GEOMETRY_COLUMN} & set(self.fields)
        strangers = set(self.key) - set(self.fields)
        aliases = [field.alias for field in self.fields.values()]
        twice = {alias for alias in aliases if aliases.count(alias) > 1}
        problems = {
            "not lower snake case": bad,
            "reserved for the GeoPackage": reserved,
            "in the key without being declared": strangers,
            # Table gpkg_data_columns forbids two columns of one layer with one name.
            "aliases used twice": twice,
        }
        if any(problems.values()):
            listed = "; ".join(
                f"{what}: {', '.join(sorted(names))}" for what, names in problems.items() if names
            )
            raise ValueError(f"layer {self.name}: {listed}")
        return self


@cache
def load_layers(path: Path = _FIELDS) -> dict[str, Layer]:
    """Read the declared layers, by name, in the order of publication."""
    with read_declarations(path, "the declared layers are not valid") as entries:
        return {name: Layer(name=name, **entry) for name, entry in entries.items()}


def published_layers(registry: Registry) -> dict[str, Layer]:
    """Return the declared layers, those with indicators completed by the registry's `qpv_layer` columns.

    Raises `ConfigurationError` if an indicator's columns or labels clash with declared fields.
    """
    layers = {}
    for name, layer in load_layers().items():
        shown = registry.shown if layer.indicators else ()
        added = {key: field for one in shown for key, field in _indicator_fields(one).items()}
        if clash := sorted(added.keys() & layer.fields.keys()):
            raise ConfigurationError(
                f"layer {name} declares {', '.join(clash)}, an indicator does too: rename one"
            )
        try:
            layers[name] = Layer.model_validate(layer.model_dump() | {"fields": layer.fields | added})
        except ValidationError as error:
            raise ConfigurationError(f"indicators of the registry as columns of {name}: {error}") from error
    return layers


def as_held(layers: Mapping[str, Layer], spatial: Container[str]) -> dict[str, Layer]:
    """Return the declarations as a release holds them, `spatial` being the layers that have geometries.

    An optional-geometry layer with no geometries is published as a table: software that checks GeoPackages
    takes a spatial layer without any geometry for an error.
    """
    return {
        name: layer.model_copy(update={"geometry": None})
        if layer.geometry_optional and name not in spatial
        else layer
        for name, layer in layers.items()
    }


def with_decimals(
    layers: Mapping[str, Layer], frames: Mapping[str, pd.DataFrame], registry: Registry
) -> dict[str, Layer]:
    """Return the declarations with the decimals that the values of each indicator's columns have."""
    known = dict(layers)
    for name, layer in layers.items():
        if layer.indicators and name in frames:
            fields = dict(layer.fields)
            for indicator in registry.indicators:
                columns = [indicator.id, *(f"{indicator.id}_borne_{side}" for side in ("basse", "haute"))]
                for column in fields.keys() & set(columns):
                    values = frames[name][column].dropna()
                    decimals = decimals_of(values, indicator.unit, index=indicator.kind == "index")
                    fields[column] = fields[column].model_copy(update={"decimals": decimals})
            known[name] = layer.model_copy(update={"fields": fields})
    return known


def _indicator_fields(indicator: Indicator) -> dict[str, LayerField]:
    """Declare value, status, vintage, rank and interval; the value is real, since counts may be estimates."""
    status = f"{', '.join(STATUSES)} ; voir la table statistiques."
    name, label = indicator.id, indicator.label
    fields = {
        name: LayerField(type="real", alias=label, unit=indicator.unit),
        f"{name}_statut": LayerField(type="text", alias=f"{label} : statut", description=status),
        f"{name}_millesime": LayerField(type="text", alias=f"{label} : millésime"),
        f"{name}_rang": LayerField(type="integer", alias=f"{label} : rang en métropole", description=_RANK),
        f"{name}_rang_sur": LayerField(type="integer", alias=f"{label} : rang sur", description=_RANKED),
    }
    if not indicator.intervals:
        return fields
    interval = "Intervalle de confiance à 95 %, publié même si la valeur est trop imprécise pour l'être."
    return fields | {
        f"{name}_borne_{side}": LayerField(
            type="real", alias=f"{label} : borne {side}", description=interval, unit=indicator.unit
        )
        for side in ("basse", "haute")
    }
