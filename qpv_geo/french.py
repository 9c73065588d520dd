"""Figures in the words of French readers: ``15 603``, ``46,0 %``, ``secret statistique``."""

from datetime import date

# Narrow no-break space: between groups of three digits and before %, € and double punctuation
# (Lexique des règles typographiques en usage à l'Imprimerie nationale).
THIN = "\u202f"
MINUS = "\u2212"

# Whole numbers, unless the unit is one of these or the value is an index.
_DECIMALS = {"%": 1, "": 2, "€/m²": 2}
_SIGNS = {"%", "€", "€/m²"}
_MONTHS = (
    *("janvier", "février", "mars", "avril", "mai", "juin"),
    *("juillet", "août", "septembre", "octobre", "novembre", "décembre"),
)
_SIZES = ("octets", "Ko", "Mo", "Go")
_STEP = 1024


def number(value: float, decimals: int = 0, *, signed: bool = False) -> str:
    """Write a number with so many decimals, halves away from zero (as readers round), and a true minus."""
    rounded = _round(abs(value), decimals)
    text = f"{rounded:,.{decimals}f}".replace(",", THIN).replace(".", ",")
    if not rounded:
        return text
    return (MINUS if value < 0 else "+" if signed else "") + text


def _round(value: float, decimals: int) -> float:
    """Round halves up; the tiny addition undoes what binary fractions take away (0,285 is 0.28499…)."""
    scale: int = 10**decimals
    return int(value * scale + 0.5 + 1e-9) / scale


def measure(value: float, unit: str, *, index: bool = False) -> str:
    """Write a value with its unit: one decimal for a percentage, at most two for an index, no other."""
    text = amount(value, unit, index=index)
    return text if unit in _SIGNS else f"{text} {unit}".rstrip()


def amount(value: float, unit: str, *, index: bool = False) -> str:
    """Write a value with its unit if that is a sign; a unit in words is left to the label beside it."""
    text = _digits(value, unit, index=index)
    return f"{text}{THIN}{unit}" if unit in _SIGNS else text


def interval(low: float, high: float, unit: str, *, index: bool = False) -> str:
    """Write the bounds of an interval, without unit: ``[37,2 ; 39,6]``."""
    return f"[{_digits(low, unit, index=index)}{THIN}; {_digits(high, unit, index=index)}]"


def ordinal(rank: int) -> str:
    """Write a rank: ``1ᵉʳ``, ``12ᵉ``."""
    return f"{number(rank)}{'ᵉʳ' if rank == 1 else 'ᵉ'}"


def _digits(value: float, unit: str, *, index: bool) -> str:
    """Write a number with the decimals of its unit; an index published with one has no second."""
    bare = index or not unit
    text = number(value, _DECIMALS[""] if bare else _DECIMALS.get(unit, 0))
    return text.removesuffix("0") if bare else text


def gap(value: float, unit: str) -> str:
    """Write a difference, with its sign; percentages differ by points."""
    if not _round(abs(value), _DECIMALS.get(unit, 0)):
        return "aucun"
    text = number(value, _DECIMALS.get(unit, 0), signed=True)
    if unit != "%":
        return f"{text} {unit}".rstrip()
    return f"{text} {'points' if abs(value) >= 2 else 'point'}"  # noqa: PLR2004 - French plurals begin at two


def file_size(size: int) -> str:
    """Write a number of bytes."""
    value, unit = float(size), 0
    while value >= _STEP and unit < len(_SIZES) - 1:
        value, unit = value / _STEP, unit + 1
    return f"{number(value, 1 if unit > 1 else 0)} {_SIZES[unit]}"


def listing(words: list[str]) -> str:
    """Join words as a sentence does: ``a, b et c``."""
    return " et ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def french_date(day: date) -> str:
    """Write a date as French readers do: ``1er janvier 2024``."""
    return f"{'1er' if day.day == 1 else day.day} {_MONTHS[day.month - 1]} {day.year}"


def french_number(value: float, decimals: int = 2) -> str:
    """Write a number as French readers do: ``15 603``, ``55,5``; at most so many decimals."""
    text = f"{round(value, decimals):,.{decimals}f}"
    if decimals:
        text = text.rstrip("0").rstrip(".")
    return text.replace(",", THIN).replace(".", ",")


def french_percentage(value: float) -> str:
    """Write a percentage with at most one decimal: ``12,5 %``."""
    return f"{french_number(value, 1)}{THIN}%"
