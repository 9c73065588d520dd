"""The codes of zones: their patterns, and why a value that is not one may look like one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from qpv_geo.sources.catalogue import Zone


@dataclass(frozen=True)
class CodeKind:
    """A kind of official code, always text; if `several`, a value lists such codes with commas between.

    `name` is how error messages call it, `pattern` a regular expression for the whole code.
    """

    name: str
    pattern: str
    example: str
    several: bool = False

    @property
    def expected(self) -> str:
        """What error messages ask for."""
        what = f"{self.name}s separated by commas" if self.several else self.name
        return f"{what}, such as {self.example}"

    @property
    def full_pattern(self) -> str:
        """The pattern of a whole value, lists included."""
        return rf"(?:{self.pattern})(?:\s*,\s*(?:{self.pattern}))*" if self.several else self.pattern


# `QN` or `QP`, then the department on three characters (`025`, `02A`, `976`), then the order: on two digits
# with the letter of how the contour came about (2024; N, M, I and C are seen), or on three digits (2015).
QPV_2024 = CodeKind("code of a QPV 2024", r"QN(?:[0-9]{3}|02[AB])[0-9]{2}[A-Z]", "QN02503M")
QPV_2015 = CodeKind("code of a QPV 2015", r"QP(?:[0-9]{3}|02[AB])[0-9]{3}", "QP025003")
COMMUNE = CodeKind("INSEE code of a commune", r"[0-9][0-9AB][0-9]{3}", "25056")
COMMUNES = CodeKind(COMMUNE.name, COMMUNE.pattern, "02571, 02691", several=True)
# The official lists themselves: two characters are a department or a region (27 is both, Eure and
# Bourgogne-Franche-Comté).
DEPARTEMENT = CodeKind(
    "code of a department", r"0[1-9]|1[0-9]|2[1-9AB]|[3-8][0-9]|9[0-5]|97[1-8]|98[4-9]", "25"
)
REGION = CodeKind("code of a region", r"0[1-6]|11|24|27|28|32|44|52|53|75|76|84|93|94|97[5-8]|98[4-9]", "27")
FRANCE = CodeKind("code of France", r"1|FR?|FM|FE|METRO", "1")
EPCI = CodeKind("SIREN of an EPCI", r"[0-9]{9}", "242500361")
EPCIS = CodeKind(EPCI.name, EPCI.pattern, "200042190, 245901160", several=True)
IRIS = CodeKind("code of an IRIS", r"[0-9][0-9AB][0-9]{7}", "250560101")
KINDS: Mapping[Zone, CodeKind] = {
    "qpv": QPV_2024,
    "commune": COMMUNE,
    "epci": EPCI,
    "iris": IRIS,
    "departement": DEPARTEMENT,
    "region": REGION,
    "france": FRANCE,
}

_SHORT_QPV = re.compile(r"(QN|QP)([0-9]{1,3}|0?2[AB])[0-9]{1,3}[A-Z]?")


def explain(value: str, kind: CodeKind) -> str:
    """Say in a few words why a value that is not a code of `kind` looks as it does; empty if nobody knows."""
    parts = [part.strip() for part in value.split(",")] if kind.several else [value]
    return next(filter(None, (_explain_one(part, kind) for part in parts)), "")


def _explain_one(part: str, kind: CodeKind) -> str:
    if re.fullmatch(kind.pattern, part):
        return ""
    if kind.name == QPV_2024.name and re.fullmatch(QPV_2015.pattern, part):
        return "2015 geography in place of 2024"
    if kind.name == QPV_2015.name and re.fullmatch(QPV_2024.pattern, part):
        return "2024 geography in place of 2015"
    if re.fullmatch(kind.pattern, part.upper()):
        return "lower case in place of upper case"
    size = len(kind.example.split(",")[0])
    is_short = 0 < len(part) < size
    if is_short and (_SHORT_QPV.fullmatch(part) or re.fullmatch(kind.pattern, part.zfill(size))):
        return "leading zeros lost"
    return ""
