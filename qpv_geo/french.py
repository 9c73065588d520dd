"""What French readers see: numbers, dates, lists, plurals, and the words for the codes of the tables.

Numbers are rounded in one way everywhere, halves away from zero: 2.5 is 3.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from qpv_geo.statuses import STATUSES
from qpv_geo.toml_file import read_toml

# Narrow no-break space: between groups of three digits and before %, € and double punctuation
# (Lexique des règles typographiques en usage à l'Imprimerie nationale).
THIN = "\u202f"
NO_BREAK = "\u00a0"
MINUS = "\u2212"

# Whole numbers, unless the unit is one of these or the value is an index.
_DECIMALS = {"%": 1, "": 2, "€/m²": 2}
_SIGNS = {"%", "€", "€/m²"}
_MONTHS = (
    *("janvier", "février", "mars", "avril", "mai", "juin"),
    *("juillet", "août", "septembre", "octobre", "novembre", "décembre"),
)
_SIZES = ("octets", "Ko", "Mo", "Go")
_KILO = 1024
_KILOMETRE = 1000
# Community of communes, of agglomeration or urban, before a name that stands by itself.
_KIND_OF_EPCI = re.compile(r"^C[ACU] (?=(?!(?:De|Du|Des|D')\b)[A-ZÀ-Ý])")
# French plurals begin at two: 1,9 point, 2 points.
_PLURAL = 2
_LISTED = 20


class Origin(NamedTuple):
    """Where a raw file came from: of one file, of several, and as the start of a sentence on all of them."""

    one: str
    several: str
    sentence: str


_DECLARED = read_toml(Path(__file__).with_name("words.toml"))
ORIGINS = {code: Origin(**words) for code, words in _DECLARED["origins"].items()}
ZONE_WORDS: dict[str, str] = _DECLARED["zones"]

ORIGIN_WORDS = {code: origin.one for code, origin in ORIGINS.items()}
STATUS_WORDS = {code: status.words for code, status in STATUSES.items()}
CHECK_WORDS: dict[str, str] = _DECLARED["checks"]
AGREEMENT_WORDS: dict[str, str] = _DECLARED["agreements"]

_WORDS = ORIGIN_WORDS | STATUS_WORDS | ZONE_WORDS | CHECK_WORDS | AGREEMENT_WORDS


def word(code: str) -> str:
    """Return the words for a code of the tables; a code without any stands for itself."""
    return _WORDS.get(code, code)


def number(value: float, decimals: int = 0, *, signed: bool = False) -> str:
    """Write a number with a fixed number of decimals: ``15 603``, ``46,0``."""
    rounded = _round(value, decimals)
    if not rounded:
        rounded = abs(rounded)
    digits = f"{abs(rounded):,f}".replace(",", THIN).replace(".", ",")
    return (MINUS if rounded < 0 else "+" if signed and rounded else "") + digits


def short_number(value: float, most: int = 2) -> str:
    """Write a number with as many decimals as it needs, up to `most`: ``55``, ``55,5``."""
    text = number(value, most)
    return text.rstrip("0").rstrip(",") if most else text


def plain_number(value: float) -> str:
    """Write a number for a cell of text: all its decimals, no spaces."""
    return f"{value:.10g}".replace(".", ",")


def significant(value: float, digits: int) -> str:
    """Write a small number by its leading digits: ``0,0012``."""
    return short_number(value, max(digits - 1 - Decimal(f"{value:.15g}").adjusted(), 0))


def _round(value: float, decimals: int) -> Decimal:
    """Round halves away from zero. Digits beyond the fifteenth are noise: 0.285 is stored as 0.28499…."""
    return Decimal(f"{value:.15g}").quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)


def percentage(value: float) -> str:
    """Write a percentage with at most one decimal: ``12,5 %``."""
    return f"{short_number(value, 1)}{THIN}%"


def decimals_of(values: Iterable[float], unit: str, *, index: bool = False) -> int:
    """Return how many decimals values of one source need, so that all are written alike.

    A percentage has one at most: rates published in whole percents have none. An index has one or two.
    """
    most = _DECIMALS[""] if index else _DECIMALS.get(unit, 0)
    least = min(1, most) if index or not unit else 0
    rounded = [round(value, most) for value in values]
    enough = (fewer for fewer in range(least, most) if all(round(value, fewer) == value for value in rounded))
    return next(enough, most)


def measure(value: float, unit: str, decimals: int | None = None) -> str:
    """Write a value with its unit, with the decimals of its unit unless others are given."""
    text = amount(value, unit, decimals)
    return text if unit in _SIGNS else f"{text} {unit}".rstrip()


def amount(value: float, unit: str, decimals: int | None = None) -> str:
    """Write a value with its unit if that is a sign; a unit in words is left to the label beside it."""
    text = number(value, _DECIMALS.get(unit, 0) if decimals is None else decimals)
    return f"{text}{THIN}{unit}" if unit in _SIGNS else text


def interval(low: float, high: float, decimals: int) -> str:
    """Write the bounds of an interval, without unit: ``[37,2 ; 39,6]``."""
    return f"[{number(low, decimals)}{THIN}; {number(high, decimals)}]"


def gap(value: float, unit: str, decimals: int | None = None) -> str:
    """Write a difference with its sign; percentages differ by points."""
    decimals = _DECIMALS.get(unit, 0) if decimals is None else decimals
    if not _round(value, decimals):
        return "aucun"
    if unit == "%":
        return ("+" if value > 0 else MINUS) + points(abs(value), decimals)
    return f"{number(value, decimals, signed=True)} {unit}".rstrip()


def points(value: float, decimals: int) -> str:
    """Write a difference between percentages, which is not negative: ``1,9 point``, ``2,0 points``."""
    return f"{number(value, decimals)} {'points' if _round(value, decimals) >= _PLURAL else 'point'}"


def counted(count: int, noun: str) -> str:
    """Write how many there are of something: ``1 autre indicateur``, ``2 autres indicateurs``."""
    words = noun if count < _PLURAL else " ".join(f"{part}s" for part in noun.split())
    return f"{number(count)} {words}"


def ordinal(rank: int) -> str:
    """Write a rank: ``1ᵉʳ``, ``12ᵉ``."""
    return f"{number(rank)}{'ᵉʳ' if rank == 1 else 'ᵉ'}"


def own_name(epci: str) -> str:
    """Return the name of an EPCI without the letters of its kind: ``CU Grand Besançon Métropole``.

    They stay where the name needs them: ``CC du Val de Morteau``.
    """
    return _KIND_OF_EPCI.sub("", epci)


def in_place(name: str) -> str:
    """Write a town after ``à``: ``à Besançon``, ``au Havre``, ``aux Ulis``."""
    for article, contracted in (("Le ", "au "), ("Les ", "aux ")):
        if name.startswith(article):
            return contracted + name.removeprefix(article)
    return f"à {name}"


def file_size(size: int) -> str:
    """Write a number of bytes."""
    value, unit = float(size), 0
    while value >= _KILO and unit < len(_SIZES) - 1:
        value, unit = value / _KILO, unit + 1
    return f"{number(value, 1 if unit > 1 else 0)} {_SIZES[unit]}"


def length_name(metres: float) -> str:
    """Write a round length: ``500 m``, ``2 km``."""
    return f"{number(metres / _KILOMETRE)} km" if metres >= _KILOMETRE else f"{number(metres)} m"


def class_labels(bounds: Sequence[str]) -> tuple[str, ...]:
    """Return the labels of the classes that bounds part: ``Moins de 35 %``, ``55 % et plus``."""
    between = [f"{low} à moins de {high}" for low, high in pairwise(bounds)]
    return (f"Moins de {bounds[0]}", *between, f"{bounds[-1]} et plus")


def band_name(widths: Iterable[float]) -> str:
    """Name the band around QPV by its widths: ``Bande de 300 ou 500 m (TVA réduite)``."""
    return f"Bande de {' ou '.join(number(width) for width in sorted(set(widths)))} m (TVA réduite)"


def capitalised(text: str) -> str:
    """Return a text that begins with a capital; the rest stays as it is."""
    return text[:1].upper() + text[1:]


def listing(words: Sequence[str]) -> str:
    """Join words as a sentence does: ``a, b et c``."""
    return " et ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def first_of(names: Sequence[str]) -> str:
    """List names of which there may be many: the first twenty, and how many others there are."""
    others = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" et {counted(others, 'autre')}" if others > 0 else "")


def french_date(day: date) -> str:
    """Write a date: ``1er janvier 2024``."""
    return f"{'1er' if day.day == 1 else day.day} {_MONTHS[day.month - 1]} {day.year}"
