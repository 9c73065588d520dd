"""How the perimeter of a QPV changed from 2015 to 2024, in words and in shares."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from qpv_geo.formats.frames import Frames, records
from qpv_geo.french import counted, listing, measure, number
from qpv_geo.portraits.sections import Absence
from qpv_geo.toml_file import read_toml

# By the letter that ends an official code, what it says.
_LETTERS = read_toml(Path(__file__).with_name("evolution.toml"))
_NATURES = {"conserve": "Conservé", "entrant": "Entré en 2024", "sortant": "Sorti en 2024"}
_NAMED_AT_MOST = 20
_HECTARE = 10_000
_STREETS_AT_MOST = 6
_PIECE = ("nature", "nom_qp_2015", "code_qp_2015", "surface_m2", "part_2015", "part_2024", "rues")
EVOLUTION, _CORRESPONDENCE = "evolution_2015_2024", "correspondance_2015"


def evolution_of(code: str, frames: Frames, absences: Mapping[str, Absence]) -> dict[str, Any]:
    """Return the evolution of a QPV's perimeter; `absences` says by layer why the release lacks it.

    What its official code says, the pieces that stayed, entered and left; without contours of 2015, why there
    are none, and what ANCT's correspondence table says of 2015 if the release has it.
    """
    told = {"letter": _LETTERS.get(code[-1], {}).get("meaning", ""), "pieces": [], "why": "", "origin": ""}
    if EVOLUTION not in frames:
        return told | {"why": absences[EVOLUTION].why, "origin": _origin(code, frames)}
    layer = frames[EVOLUTION]
    own = layer[layer["code_qp"] == code]
    left = layer[(layer["nature"] == "sortant") & layer["code_qp_2015"].isin(own["code_qp_2015"].dropna())]
    rows = pd.concat([own, left]).sort_values("surface_m2", ascending=False, kind="stable")
    return told | {"pieces": list(map(_piece, records(rows, _PIECE)))}


def changes_since_2015(frames: Frames) -> Iterator[str]:
    """Yield sentences on what changed in a territory: QPV that entered, were changed or left, and areas.

    The letters of the official codes say what became of each QPV; which QPV of 2015 left, and how much of
    their area stayed, only their contours tell.
    """
    codes, names = frames["qpv"]["code_qp"], frames["qpv"]["lib_qp"].fillna(frames["qpv"]["code_qp"])
    for letter, words in _LETTERS.items():
        those = sorted(names[codes.str.endswith(letter)])
        if those:
            begin = words["one"] if len(those) == 1 else f"{number(len(those))} {words['several']}"
            yield f"{begin} : {listing(those)}." if len(those) <= _NAMED_AT_MOST else f"{begin}."
    if EVOLUTION not in frames:
        return
    layer = frames[EVOLUTION]
    old = layer[layer["nature"].isin(["conserve", "sortant"])]
    kept = old[old["nature"] == "conserve"]
    gone = old[~old["code_qp_2015"].isin(kept["code_qp_2015"])]
    if left := sorted(gone["nom_qp_2015"].fillna(gone["code_qp_2015"]).unique()):
        several = f"{number(len(left))} quartiers de 2015 ne sont plus"
        begin = "Un quartier de 2015 n'est plus" if len(left) == 1 else several
        yield f"{begin} dans la géographie prioritaire : {listing(left)}."
    if area := old["surface_m2"].sum():
        share = measure(100 * kept["surface_m2"].sum() / area, "%")
        yield f"{share} de la surface des QPV de 2015 est encore en QPV."


def _origin(code: str, frames: Frames) -> str:
    """Say which QPV of 2015 a QPV comes from."""
    if _CORRESPONDENCE not in frames:
        return ""
    table = frames[_CORRESPONDENCE]
    own = table[table["code_qp"] == code]
    if own.empty:
        return ""
    old = own.dropna(subset="code_qp_2015")
    names = [
        former if pd.isna(name) else f"{name} ({former})"
        for name, former in zip(old["lib_qp_2015"], old["code_qp_2015"], strict=True)
    ]
    return f"issu de {listing(names)}" if names else "aucun prédécesseur parmi les QPV de 2015"


def _piece(piece: Mapping[str, Any]) -> dict[str, str]:
    """Return a part of the perimeter in words: what became of it, its QPV 2015, area, share and streets."""
    year = 2015 if piece["nature"] == "sortant" else 2024
    return {
        "nature": _NATURES.get(piece["nature"], piece["nature"]),
        "old": " ".join(filter(None, (piece["nom_qp_2015"], piece["code_qp_2015"]))),
        "area": f"{number(piece['surface_m2'] / _HECTARE, 1)} ha",
        "share": f"{measure(piece[f'part_{year}'], '%')} du quartier {year}",
        "streets": _streets(piece["rues"]),
    }


def _streets(listed: str | None) -> str:
    """Name the longest streets; empty if there are none, or no base map."""
    names = listed.split("), ") if listed else []
    more = [counted(len(names) - _STREETS_AT_MOST, "autre rue")] if len(names) > _STREETS_AT_MOST else []
    return listing([*(name.rpartition(" (")[0] for name in names[:_STREETS_AT_MOST]), *more])
