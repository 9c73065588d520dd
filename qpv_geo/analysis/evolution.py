"""QPV of 2015 and 2024: areas kept, entered and left, from the overlay of contours and never from names."""

from collections.abc import Iterable

import geopandas as gpd
import numpy as np
import pandas as pd

from qpv_geo.analysis.overlay import GRIDS, cut_by_zones, is_sizeable
from qpv_geo.checks import Check, Outcome, check_none
from qpv_geo.french import number, significant
from qpv_geo.territory import Territory

# Percent: a QPV 2015 belongs to the territory if more than this lies in its communes.
_MOSTLY_INSIDE = 50.0

# Tolerance on areas, relative to that of a QPV.
_CONSERVED = 1e-6

_LETTERS: dict[Outcome, str] = {
    "conforme": "la lettre du code et la superposition des contours concordent",
    "avertissement": "la lettre du code et la superposition des contours ne concordent pas",
    "non_verifiable": "la lettre du code n'a pas de sens documenté",
}

# Percent: smaller shares would round to 0,0 %.
_SMALLEST_SHOWN = 0.1


def compare_geographies(
    qpv: gpd.GeoDataFrame,
    qpv_2015: gpd.GeoDataFrame,
    communes: gpd.GeoDataFrame,
    territory: Territory,
    *,
    others: gpd.GeoDataFrame | None = None,
    correspondence: pd.DataFrame | None = None,
) -> tuple[dict[str, gpd.GeoDataFrame], pd.DataFrame, list[Check]]:
    """Overlay the QPV of 2024 and of 2015, all frames in one projected CRS, or `ValueError` is raised.

    An overlap makes one QPV the successor of the other if it exceeds the territory's sliver area and its
    sliver share of either QPV (a small QPV absorbed by a large one is its predecessor). Returned are layers
    ``evolution_2015_2024`` (``code_qp`` is None for an area that left, ``code_qp_2015`` for one that entered)
    and ``qpv_2015``, and columns to join to layer ``qpv`` by ``code_qp``.

    `qpv` and `communes` are the territory's, `qpv_2015` those of the whole file. An area that `others` cover,
    QPV 2024 of other territories, has not left. `correspondence` is the official table.
    """
    columns = ["code_qp", "lib_qp", "geometry"]
    own = qpv[columns].sort_values("code_qp", ignore_index=True)
    foreign = own.iloc[:0] if others is None else others[~others["code_qp"].isin(own["code_qp"])][columns]
    current = pd.concat([own, foreign], ignore_index=True)
    old = select_2015(qpv_2015, communes)
    pieces = _pieces(own, current, old, qpv_2015)
    links = pieces[
        (pieces["nature"] == "conserve") & is_sizeable(pieces, territory, ("part_2024", "part_2015"))
    ]
    listed = ", ".join(old["code_qp"]) or "aucun"
    message = f"QPV 2015 situés pour l'essentiel dans {territory.nom} : {listed}."
    checks = [
        Check("qpv_2015_du_territoire", territory.id, "conforme", "", str(len(old)), message),
        _check_areas(pieces, qpv, old),
        *_check_letters(qpv, links, territory),
        *_check_correspondence(qpv["code_qp"], old["code_qp"], links, correspondence),
    ]
    layers = {
        # Streets are known where there is a base map (`base_map.streets_of`).
        "evolution_2015_2024": pieces.assign(rues=None),
        "qpv_2015": _layer_2015(old, pieces, links),
    }
    return layers, _columns_of_qpv(qpv, pieces, links), checks


def select_2015(qpv_2015: gpd.GeoDataFrame, communes: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Keep the QPV 2015 that mostly lie in the communes, sorted by ``code_qp``."""
    near = qpv_2015.iloc[np.unique(qpv_2015.sindex.query(communes.geometry, predicate="intersects")[1])]
    pieces = cut_by_zones(near, communes, "commune")
    inside = pieces[pieces["zone"] >= 0].groupby("polygon")["part_qpv"].sum()
    chosen = near.iloc[inside.index[inside > _MOSTLY_INSIDE]]
    return chosen.sort_values("code_qp", ignore_index=True)


def _pieces(
    own: gpd.GeoDataFrame, current: gpd.GeoDataFrame, old: gpd.GeoDataFrame, every_old: gpd.GeoDataFrame
) -> gpd.GeoDataFrame:
    """Cut the territory's QPV 2024 by all of 2015, then its QPV 2015 by all of 2024 (`own` first).

    The second cut gives the areas that left, and those that QPV of other territories took over.
    """
    names = {"code_qp": "code_qp_2015", "nom_qp": "nom_qp_2015"}
    old, every_old = old.rename(columns=names), every_old.rename(columns=names)
    new_columns, old_columns = ("code_qp", "lib_qp"), tuple(names.values())
    forth = cut_by_zones(own, every_old, "2015", new_columns, old_columns)
    back = cut_by_zones(old, current, "2024", old_columns, new_columns)
    kept = (back["zone"] < 0) | (back["zone"] >= len(own))
    frame = pd.concat(
        [
            forth.rename(columns={"part_qpv": "part_2024"}),
            back[kept].rename(columns={"part_qpv": "part_2015"}),
        ]
    )
    frame["nature"] = np.select(
        [frame["code_qp_2015"].isna(), frame["code_qp"].isna()], ["entrant", "sortant"], "conserve"
    )
    frame = frame.sort_values(["code_qp", "code_qp_2015"], na_position="last", ignore_index=True)
    return frame.drop(columns=["polygon", "zone"])


def _layer_2015(old: gpd.GeoDataFrame, pieces: pd.DataFrame, links: pd.DataFrame) -> gpd.GeoDataFrame:
    kept = pieces[pieces["nature"] == "conserve"].groupby("code_qp_2015")["surface_m2"].sum()
    layer = old[["code_qp", "nom_qp", "commune_qp"]].copy()
    layer["surface_m2"] = old.area
    layer["part_conservee"] = 100 * layer["code_qp"].map(kept).fillna(0.0) / old.area
    layer["successeurs"] = layer["code_qp"].map(_listed(links, "code_qp_2015", "code_qp", "part_2015"))
    layer["sorti"] = ~layer["code_qp"].isin(links["code_qp_2015"])
    return gpd.GeoDataFrame(layer, geometry=old.geometry, crs=old.crs)


def _columns_of_qpv(qpv: gpd.GeoDataFrame, pieces: pd.DataFrame, links: pd.DataFrame) -> pd.DataFrame:
    kept = pieces[pieces["nature"] == "conserve"].groupby("code_qp")["part_2024"].sum()
    codes = qpv["code_qp"].sort_values(ignore_index=True)
    return pd.DataFrame(
        {
            "code_qp": codes,
            "part_conservee_2015": codes.map(kept).fillna(0.0),
            "predecesseurs_2015": codes.map(_listed(links, "code_qp", "code_qp_2015", "part_2024")),
        }
    )


def _listed(links: pd.DataFrame, by: str, named: str, share: str) -> dict[str, str]:
    """Return for each QPV its partners with their shares in text, the largest share first."""
    ordered = links.sort_values([by, share, named], ascending=[True, False, True])
    return {
        str(code): ", ".join(
            f"{partner} ({_percent(part)})" for partner, part in zip(rows[named], rows[share], strict=True)
        )
        for code, rows in ordered.groupby(by)
    }


def _percent(share: float) -> str:
    return "< 0,1 %" if share < _SMALLEST_SHOWN else f"{number(share, 1)} %"


def _check_areas(pieces: pd.DataFrame, qpv: gpd.GeoDataFrame, old: gpd.GeoDataFrame) -> Check:
    """Check that the pieces of each QPV, of 2024 and of 2015, add up to its area."""
    deviating: set[str] = set()
    largest = 0.0
    for frame, column in ((qpv, "code_qp"), (old, "code_qp_2015")):
        total = pieces.groupby(column)["surface_m2"].sum()
        whole = frame.area.set_axis(frame["code_qp"])
        gap = (total.reindex(whole.index, fill_value=0.0) - whole).abs()
        # Every vertex may move by the grid of an overlay.
        tolerance = _CONSERVED * whole + GRIDS[-1] * frame.length.set_axis(whole.index)
        deviating |= set(whole.index[gap > tolerance])
        largest = max(largest, gap.max(), 0.0) if len(gap) else largest
    listed = ", ".join(sorted(deviating))
    message = f"Des contours d'une même année se chevauchent, leurs surfaces ne se partagent pas : {listed}."
    otherwise = "Conservé et entrant totalisent chaque QPV 2024, conservé et sortant chaque QPV 2015."
    counts = "0 m²", f"{significant(largest, 2)} m²"
    return check_none(
        "conservation_des_surfaces", "evolution_2015_2024", deviating, message, otherwise, counts
    )


def _check_letters(qpv: pd.DataFrame, links: pd.DataFrame, territory: Territory) -> list[Check]:
    """Compare the letter that ends each ``code_qp`` with the overlay.

    ``N`` is new in 2024: no predecessor. ``I`` is identical: one predecessor, and each covers the other
    within the tolerance on shares. ``M`` is modified: a predecessor, and contours that differ by more than
    the tolerance on areas. `links` are the pieces that make one QPV the successor of another.
    """
    meaning = {"N": "aucun prédécesseur", "I": "contour de 2015", "M": "contour de 2015 modifié"}
    least = 100 * (1 - territory.sliver_share)
    checks = []
    for code, name in sorted(zip(qpv["code_qp"], qpv["lib_qp"], strict=True)):
        own = links[links["code_qp"] == code]
        predecessors = _listed(own, "code_qp", "code_qp_2015", "part_2024").get(code, "aucun")
        # What each of the two has for itself.
        alone = (own["surface_m2"] * (100 / own["part_2024"] + 100 / own["part_2015"] - 2)).sum()
        identical = len(own) == 1 and bool((own[["part_2024", "part_2015"]] >= least).all(axis=None))
        unchanged = len(own) == 1 and alone <= territory.sliver_area
        letter = code[-1]
        agrees = {"N": own.empty, "I": identical, "M": not own.empty and not unchanged}
        outcome: Outcome = "conforme" if agrees.get(letter) else "avertissement"
        if letter not in meaning:
            outcome = "non_verifiable"
        expected = f"{letter} : {meaning.get(letter, 'sens non documenté')}"
        same = " (le contour est celui de 2015)" if unchanged and outcome == "avertissement" else ""
        message = f"{name} : {_LETTERS[outcome]}{same}."
        checks.append(
            Check("lettre_du_code", code, outcome, expected, f"prédécesseurs : {predecessors}", message)
        )
    return checks


def _check_correspondence(
    qpv: Iterable[str], old: Iterable[str], links: pd.DataFrame, correspondence: pd.DataFrame | None
) -> list[Check]:
    """Compare the official correspondence table with the overlay, QPV by QPV, from both sides.

    `qpv` and `old` are the codes of the territory's QPV of 2024 and of 2015. A table that lists only some QPV
    proves nothing about the others, nor about the areas that they took over.
    """
    code = "table_de_correspondance"
    if correspondence is None:
        message = "Table de correspondance non lue : les prédécesseurs calculés n'ont pas été recoupés."
        return [Check(code, "correspondance_2024_2015", "non_verifiable", "", "", message)]
    cited = set(correspondence["code_qp"])
    pairs = correspondence.dropna(subset="code_qp_2015")
    checks = []
    for codes, by, column in ((qpv, "code_qp", "code_qp_2015"), (old, "code_qp_2015", "code_qp")):
        for subject in sorted(codes):
            declared = set(pairs.loc[pairs[by] == subject, column])
            computed = set(links.loc[links[by] == subject, column])
            known = {subject} if by == "code_qp" else computed
            outcome: Outcome = "conforme" if declared == computed else "avertissement"
            message = _compare(declared, computed)
            if not known <= cited:
                outcome = "non_verifiable"
                message = "La table de correspondance lue ne cite pas tous ces QPV."
            expected, found = (", ".join(sorted(names)) or "aucun" for names in (declared, computed))
            checks.append(Check(code, subject, outcome, expected, found, message))
    return checks


def _compare(declared: set[str], computed: set[str]) -> str:
    if declared == computed:
        return "La table de correspondance et la superposition des contours concordent."
    reasons = []
    if only := sorted(declared - computed):
        reasons.append(f"déclaré sans recouvrement : {', '.join(only)}")
    if only := sorted(computed - declared):
        reasons.append(f"recouvert sans être déclaré : {', '.join(only)}")
    return f"La table de correspondance et la superposition diffèrent ({' ; '.join(reasons)})."
