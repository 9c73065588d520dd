"""How the perimeter of a QPV changed from 2015 to 2024, in words and in shares."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from qpv_geo.formats.frames import Frames
from qpv_geo.french import listing, measure, number
from qpv_geo.portraits.sections import Absence

# What the letter of an official code says (ANCT).
_LETTERS = {
    "N": "quartier entré dans la géographie prioritaire en 2024",
    "M": "quartier prioritaire en 2015, dont le contour a changé en 2024",
    "I": "quartier prioritaire en 2015, au contour identique en 2024",
}
_NATURES = {"conserve": "Conservé", "entrant": "Entré en 2024", "sortant": "Sorti en 2024"}
_HECTARE = 10_000
EVOLUTION, _CORRESPONDENCE = "evolution_2015_2024", "correspondance_2015"


@dataclass(frozen=True)
class Piece:
    """A part of the perimeter: what became of it, which QPV 2015 it was in, area and share in words."""

    nature: str
    old: str
    area: str
    share: str


@dataclass(frozen=True)
class EvolutionFigures:
    """The evolution of one perimeter.

    Attributes
    ----------
    letter
        What the official code says, empty if nothing is known of its letter.
    pieces
        By overlay; empty if the release has no contours of 2015.
    why
        Why there is no overlay.
    origin
        What ANCT's correspondence table says of 2015, as a clause; empty if the release does not tell.
    """

    letter: str
    pieces: tuple[Piece, ...]
    why: str = ""
    origin: str = ""


def tell_evolution(row: pd.Series, frames: Frames, absences: Mapping[str, Absence]) -> EvolutionFigures:
    """Tell how a perimeter changed.

    Parameters
    ----------
    row
        The QPV's row of layer ``qpv``.
    frames
        Conformed layers; ``evolution_2015_2024`` and ``correspondance_2015`` may be missing.
    absences
        By layer, why the release lacks it.
    """
    code = row["code_qp"]
    letter = _LETTERS.get(code[-1], "")
    if EVOLUTION not in frames:
        return EvolutionFigures(letter, (), absences[EVOLUTION].why, _origin(code, frames))
    layer = frames[EVOLUTION]
    own = layer[layer["code_qp"] == code]
    left = layer[(layer["nature"] == "sortant") & layer["code_qp_2015"].isin(own["code_qp_2015"].dropna())]
    rows = pd.concat([own, left]).sort_values("surface_m2", ascending=False, kind="stable")
    return EvolutionFigures(letter, tuple(_piece(piece) for piece in rows.to_dict("records")))


def _origin(code: str, frames: Frames) -> str:
    """Say which QPV of 2015 a QPV comes from."""
    if _CORRESPONDENCE not in frames:
        return ""
    table = frames[_CORRESPONDENCE]
    own = table[table["code_qp"] == code]
    if own.empty:
        return ""
    old = own.dropna(subset="code_qp_2015")
    named = [
        former if pd.isna(name) else f"{name} ({former})"
        for name, former in zip(old["lib_qp_2015"], old["code_qp_2015"], strict=True)
    ]
    return f"issu de {listing(named)}" if named else "aucun prédécesseur parmi les QPV de 2015"


def _piece(piece: dict[Any, Any]) -> Piece:
    left = piece["nature"] == "sortant"
    share = piece["part_2015"] if left else piece["part_2024"]
    of = "du quartier 2015" if left else "du quartier 2024"
    return Piece(
        _NATURES.get(piece["nature"], piece["nature"]),
        " ".join(piece[name] for name in ("nom_qp_2015", "code_qp_2015") if not pd.isna(piece[name])),
        f"{number(piece['surface_m2'] / _HECTARE, 1)} ha",
        f"{measure(share, '%')} {of}",
    )
