"""The published layers and their fields, declared as data: names, French aliases, units, types."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qpv_geo.errors import ConfigurationError

_FIELDS = Path(__file__).with_name("fields.toml")

FieldType = Literal["text", "integer", "real", "boolean", "date", "datetime"]
GeometryType = Literal["MultiPolygon"]


class LayerField(BaseModel):
    """One published field: official or lower-snake-case name, French alias and description, unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: FieldType
    alias: str
    description: str = ""
    unit: str = ""


class Layer(BaseModel):
    """One published table, with a geometry or without.

    Attributes
    ----------
    title, abstract
        In French, what QGIS shows.
    geometry
        Geometry type, None for a table.
    key
        Fields whose values are unique together.
    indicators
        Whether the columns of the registry's `qpv_layer` indicators are added after `fields`: for each, the
        value, ``_statut`` and ``_millesime``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    abstract: str
    geometry: GeometryType | None = None
    key: tuple[str, ...]
    indicators: bool = False
    fields: dict[str, LayerField]


@cache
def load_layers(path: Path = _FIELDS) -> dict[str, Layer]:
    """Read the declared layers, by name, in the order of publication.

    Raises
    ------
    ConfigurationError
        If the file is not TOML or a layer is not valid.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
        return {name: Layer(name=name, **entry) for name, entry in entries.items()}
    except (OSError, tomllib.TOMLDecodeError, ValidationError, TypeError) as error:
        raise ConfigurationError(f"{path}: the declared layers are not valid: {error}") from error
