"""The registry of indicators: one measure has one name, whatever its producer calls it."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from qpv_geo.errors import ConfigurationError

_REGISTRY = Path(__file__).with_name("indicators.toml")

Kind = Literal["count", "rate", "median", "index", "amount"]


class Indicator(BaseModel):
    """One measure.

    Attributes
    ----------
    id
        Lower snake case, never renamed; column name where a layer carries it.
    theme, label
        In French.
    unit
        French unit (``habitants``, ``%``, ``€``), empty for an index.
    kind
        ``count``, ``rate`` (a percentage), ``median``, ``index`` or ``amount``.
    additive
        Whether values of disjoint zones may be added.
    source
        Id in the catalogue.
    codes
        The producer's spellings by kind of zone, each in order of preference; ``{yy}`` stands for the last
        two digits of the source's vintage.
    minimum, maximum
        Bounds of a sound value.
    required
        Whether the source is wrong without it; the others are listed when a file lacks them.
    qpv_layer
        Whether layer ``qpv`` carries it as a column.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    theme: str
    label: str
    unit: str
    kind: Kind
    additive: bool
    source: str
    codes: dict[str, tuple[str, ...]]
    minimum: float | None = 0.0
    maximum: float | None = None
    required: bool = False
    qpv_layer: bool = False

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> Self:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
        return self

    def spellings(self, zone: str, vintage: str) -> tuple[str, ...]:
        """Return the producer's codes for a kind of zone and a vintage, in order of preference.

        A zone without codes of its own has those of the QPV: producers ship both in one archive.
        """
        codes = self.codes.get(zone) or self.codes.get("qpv", ())
        return tuple(code.replace("{yy}", vintage[-2:]) for code in codes)


class Registry(BaseModel):
    """All indicators, in the order of the file."""

    model_config = ConfigDict(frozen=True)

    indicators: tuple[Indicator, ...]

    @model_validator(mode="after")
    def _one_name_per_code(self) -> Self:
        owners: dict[tuple[str, str, str], str] = {}
        for indicator in self.indicators:
            for zone, codes in indicator.codes.items():
                for code in codes:
                    owner = owners.setdefault((indicator.source, zone, code.upper()), indicator.id)
                    if owner != indicator.id:
                        raise ValueError(f"code {code!r} is given to {owner} and to {indicator.id}")
        return self

    def of_source(self, source_id: str) -> tuple[Indicator, ...]:
        """Return the indicators that one source holds."""
        return tuple(indicator for indicator in self.indicators if indicator.source == source_id)


@cache
def load_registry(path: Path = _REGISTRY) -> Registry:
    """Read and validate a registry.

    Raises
    ------
    ConfigurationError
        If the file is not TOML or an entry is not valid.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
        return Registry(indicators=tuple(Indicator(id=key, **entry) for key, entry in entries.items()))
    except (OSError, tomllib.TOMLDecodeError, ValidationError, TypeError) as error:
        raise ConfigurationError(f"{path}: the registry of indicators is not valid: {error}") from error
