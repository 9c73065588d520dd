"""The registry of indicators: one measure has one name, whatever its producer calls it."""

import math
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from qpv_geo.frozen import Frozen
from qpv_geo.sources.catalogue import Zone
from qpv_geo.toml_file import read_declarations

_REGISTRY = Path(__file__).with_name("indicators.toml")

Kind = Literal["count", "rate", "median", "index", "amount"]
Codes = dict[Zone, tuple[str, ...]]


class Computation(Frozen):
    """How an indicator is computed for a set of zones, or for a zone of which no producer publishes it.

    An `additive` one is added over disjoint zones. `numerator` and `denominator` are the ids of the two
    additive indicators whose ratio it is. `sum_of` are those of the shares of one whole whose sum it is: they
    are added within a zone, never over a set of zones.
    """

    kind: Kind = "rate"
    additive: bool = False
    numerator: str | None = None
    denominator: str | None = None
    sum_of: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_computed_in_one_way(self) -> Self:
        if (self.numerator is None) != (self.denominator is None):
            raise ValueError("give both 'numerator' and 'denominator', or neither")
        if self.additive and self.is_computed:
            raise ValueError(
                "what is added over zones is not a ratio nor a sum of shares: drop 'numerator' and "
                "'denominator' or 'sum_of', or 'additive'"
            )
        if self.numerator is not None and self.sum_of:
            raise ValueError("give 'numerator' and 'denominator', or 'sum_of', not both")
        if self.sum_of and len(set(self.sum_of)) != max(len(self.sum_of), 2):
            raise ValueError("'sum_of' names two shares or more, each once")
        return self

    @property
    def terms(self) -> tuple[str, ...]:
        """Ids of what it is computed from within a zone."""
        return tuple(filter(None, (self.numerator, self.denominator))) or self.sum_of

    @property
    def is_computed(self) -> bool:
        """Whether it can be computed from other indicators of a zone."""
        return bool(self.terms)

    @property
    def operator(self) -> str:
        """What stands between the producer's codes of its terms."""
        return " + " if self.sum_of else " / "

    @property
    def scale(self) -> float:
        """Factor of the ratio of its two terms: 100 for a percentage."""
        return 100.0 if self.kind == "rate" else 1.0


class Indicator(Computation):
    """One measure."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Lower snake case, never renamed; column name where a layer carries it."""
    theme: str
    label: str
    """In French."""
    unit: str
    """French unit (``habitants``, ``%``, ``€``), empty for an index; that of a rate is ``%`` if not given."""
    kind: Kind
    additive: bool
    """A count is, unless it is declared otherwise."""
    source: str
    sources: dict[Zone, str] = Field(default={})
    """Id in the catalogue; by kind of zone, those of zones that have a source of their own."""
    zones: tuple[Zone, ...] = ("qpv",)
    """Kinds of zones for which the producers publish it."""
    codes: Codes = Field(default={})
    """The producers' spellings by kind of zone, each in order of preference; ``{yy}`` stands for the last two
    digits of the source's vintage. A kind of zone without spellings has those of the first. An indicator
    without codes is computed, as no producer publishes it."""
    codes_by_vintage: dict[str, Codes] = Field(default={})
    """Spellings of one vintage that come before `codes`: a producer renamed a column for a while."""
    intervals: bool = False
    """Whether the producer gives the confidence interval of its values."""
    minimum: float = 0.0
    maximum: float = math.inf
    """Bounds of a sound value; only whole numbers are sound if `whole`."""
    whole: bool = False
    required: bool = False
    """Whether the source is wrong without it; the others are listed when a file lacks them."""
    past: bool = False
    """Whether only earlier tables of the producer hold it: a file without it lacks nothing."""
    qpv_layer: bool = False
    """Whether layer ``qpv`` carries it as a column; QPV are ranked by it."""
    ranks: bool = False
    """Whether QPV are ranked by it all the same."""

    @model_validator(mode="before")
    @classmethod
    def _usual_values(cls, entry: dict[str, Any]) -> dict[str, Any]:
        """Fill in what the kind says, and take a plain list of codes as those of the first kind of zone."""
        kind = entry.get("kind")
        usual = {"additive": kind == "count"} | ({"unit": "%"} if kind == "rate" else {})
        codes = entry.get("codes")
        if isinstance(codes, (list, tuple)):
            entry = entry | {"codes": {entry.get("zones", ["qpv"])[0]: codes}}
        return usual | entry

    @model_validator(mode="after")
    def _is_coherent(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
        if self.required and not self.codes:
            raise ValueError("'required' says that a file has it: give its 'codes'")
        if strangers := sorted({*self.codes, *self.sources} - set(self.zones)):
            raise ValueError(f"'codes' or 'sources' of zones that 'zones' does not name: {strangers}")
        if self.sum_of and self.intervals:
            raise ValueError("a sum has no 'intervals'")
        if not self.codes and not self.is_computed:
            raise ValueError("give 'codes', or the 'numerator' and 'denominator' that it is computed from")
        return self

    def __hash__(self) -> int:
        """Return the hash of the id: spellings are dictionaries, which have none."""
        return hash(self.id)

    @property
    def is_awaited(self) -> bool:
        """Whether the lack of it in a file of its source is reported."""
        return bool(self.codes) and not self.past and not self.sum_of

    def source_of(self, zone: Zone) -> str:
        """Return the id of the source that publishes it for a kind of zone."""
        return self.sources.get(zone, self.source)

    def expected_of(self, source_id: str, zone: Zone) -> bool:
        """Tell whether a source publishes it for a kind of zone."""
        return bool(self.codes) and zone in self.zones and self.source_of(zone) == source_id

    def spellings(self, zone: Zone, vintage: str) -> tuple[str, ...]:
        """Return the producer's codes for a kind of zone and a vintage, in order of preference."""
        declared: list[str] = []
        for codes in (self.codes_by_vintage.get(vintage, {}), self.codes):
            declared += codes.get(zone) or codes.get(self.zones[0], ())
        return tuple(dict.fromkeys(code.replace("{yy}", vintage[-2:]) for code in declared))


class Registry(Frozen):
    """All indicators, in the order of the file."""

    indicators: tuple[Indicator, ...]

    @model_validator(mode="after")
    def _one_owner_per_name_and_code(self) -> Self:
        ids = [indicator.id for indicator in self.indicators]
        if twice := sorted({name for name in ids if ids.count(name) > 1}):
            raise ValueError(f"declared twice: {', '.join(twice)}")
        owners: dict[tuple[str, str, str], str] = {}
        spelled = (
            (indicator, zone, code)
            for indicator in self.indicators
            for codes in (indicator.codes, *indicator.codes_by_vintage.values())
            for zone, spellings in codes.items()
            for code in spellings
        )
        for indicator, zone, code in spelled:
            owner = owners.setdefault((indicator.source_of(zone), zone, code.upper()), indicator.id)
            if owner != indicator.id:
                raise ValueError(f"code {code!r} is given to {owner} and to {indicator.id}")
        return self

    @model_validator(mode="after")
    def _terms_are_there(self) -> Self:
        additive = {indicator.id for indicator in self.indicators if indicator.additive}
        published = {i.id for i in self.indicators if i.kind == "rate" and i.codes and not i.sum_of}
        for indicator in self.indicators:
            if indicator.numerator and (wrong := sorted(set(indicator.terms) - additive)):
                raise ValueError(f"{indicator.id} is a ratio of {', '.join(wrong)}: no additive indicator")
            if wrong := sorted(set(indicator.sum_of) - published):
                raise ValueError(f"{indicator.id} is a sum of {', '.join(wrong)}: no published share")
        return self

    @cached_property
    def by_id(self) -> Mapping[str, Indicator]:
        """The indicators by id."""
        return {indicator.id: indicator for indicator in self.indicators}

    @cached_property
    def shown(self) -> tuple[Indicator, ...]:
        """The indicators of layer ``qpv``."""
        return tuple(indicator for indicator in self.indicators if indicator.qpv_layer)

    @cached_property
    def ranking(self) -> tuple[Indicator, ...]:
        """The indicators that QPV are ranked by."""
        return tuple(indicator for indicator in self.indicators if indicator.qpv_layer or indicator.ranks)

    @cached_property
    def ranked(self) -> frozenset[str]:
        """Ids of the indicators that QPV are ranked by, and of what they are computed from."""
        return frozenset(name for indicator in self.ranking for name in (indicator.id, *indicator.terms))

    def of_source(self, source_id: str) -> tuple[Indicator, ...]:
        """Return the indicators that one source holds."""
        held = (i for i in self.indicators if any(i.expected_of(source_id, zone) for zone in i.zones))
        return tuple(held)


@cache
def load_registry(path: Path = _REGISTRY) -> Registry:
    """Read and validate a registry; raise `ConfigurationError` if it is not valid.

    The file is a list of groups; an indicator has what its group says (theme, source, zones) and what it says
    itself. Its `stem` stands for the codes that the group's `patterns` make of it, by zone; its own `codes`
    come after them.
    """
    with read_declarations(path, "the registry of indicators is not valid") as entries:
        return Registry(indicators=tuple(_indicators(entries["groups"])))


def _indicators(groups: list[dict[str, Any]]) -> Iterator[Indicator]:
    for group in groups:
        shared = {name: value for name, value in group.items() if name not in {"indicators", "patterns"}}
        for key, entry in group["indicators"].items():
            own = dict(entry)
            if "stem" in own:
                stem, further = own.pop("stem"), own.get("codes", {})
                own["codes"] = {
                    zone: [*(pattern.replace("{}", stem) for pattern in patterns), *further.get(zone, [])]
                    for zone, patterns in group["patterns"].items()
                }
            yield Indicator(id=key, **(shared | own))
