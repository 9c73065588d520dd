"""Table ``apl``: DREES's local potential accessibility of care, by commune, beside department and France."""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qpv_geo.checks import Check, check_none
from qpv_geo.french import first_of
from qpv_geo.ingest.apl import AplSheet
from qpv_geo.statuses import ESTIMATE, NOT_AVAILABLE
from qpv_geo.zones import MUNICIPAL_DISTRICTS, department_of_commune, region_of

_KEY = ["zone", "code", "profession", "millesime"]
# Four islands are in no EPCI: Bréhat, Ouessant, Sein, Yeu.
_WITHOUT_EPCI = {"22016", "29083", "29155", "85113"}


def apl_table(
    sheets: Sequence[AplSheet],
    communes: pd.DataFrame,
    departments: Mapping[str, str],
    members: Collection[str] | None,
) -> tuple[pd.DataFrame, list[Check]]:
    """Return the rows of communes, of their departments and of France, for every profession and year.

    `departments` are names by code, those that are known, `members` the communes of France that are in an
    EPCI, None if unknown. A mean is weighted by standardised population; ranks are among the communes of the
    region, in the newest year. Checks name communes that the newest year lacks, and that exist no more.
    """
    newest = {sheet.profession.id: sheet for sheet in sorted(sheets, key=lambda sheet: sheet.vintage)}
    names = {"insee_com": "code", "nom_com": "nom"}
    own = communes[list(names)].astype(object).rename(columns=names).assign(zone="commune")
    own = own.sort_values("code", ignore_index=True)
    codes = own["code"].tolist()
    around = sorted(set(map(department_of_commune, codes)))
    wider = pd.DataFrame(
        {
            "zone": ["departement"] * len(around) + ["france"],
            "code": [*around, "FR"],
            "nom": [*(departments.get(code) or f"Département {code}" for code in around), "France"],
        },
        index=[*around, ""],
    )
    frames, checks = [], []
    for sheet in sheets:
        of_communes = own.join(_of_communes(sheet, codes))
        if sheet is newest[sheet.profession.id]:
            of_communes = of_communes.join(_ranks(sheet), on="code")
            checks.append(_check_communes(sheet, codes, around, members))
        means = wider.join(_means(sheet))
        means["statut"] = means["statut"].fillna(NOT_AVAILABLE)
        frames.append(
            pd.concat([of_communes, means], ignore_index=True).assign(
                profession=sheet.profession.id,
                libelle=sheet.profession.libelle,
                millesime=sheet.vintage,
                unite=sheet.profession.unite,
                source=sheet.profession.source,
                fichier=sheet.file,
                code_producteur=sheet.column,
            )
        )
    return pd.concat(frames).sort_values(_KEY, ignore_index=True), checks


def _of_communes(sheet: AplSheet, codes: list[str]) -> pd.DataFrame:
    """Return value, status and population of communes, in their order."""
    table = sheet.table[["valeur", "statut", "population"]]
    found = table.reindex(codes).reset_index(drop=True)
    found["statut"] = found["statut"].fillna(NOT_AVAILABLE)
    for row, code in enumerate(codes):
        if code not in table.index and len(parts := _parts(sheet, code)):
            found.loc[row, ["valeur", "statut", "population"]] = _mean(parts)
    return found


def _parts(sheet: AplSheet, code: str) -> pd.DataFrame:
    """Return the *arrondissements* of a commune; of most there are none."""
    pattern = MUNICIPAL_DISTRICTS.get(code)
    return sheet.table[sheet.table.index.str.fullmatch(pattern)] if pattern else sheet.table.iloc[:0]


def _mean(table: pd.DataFrame) -> tuple[float, str, float]:
    """Return value, status and population of communes taken together, weighted by their population."""
    known = table.dropna(subset=["valeur", "population"])
    total = known["population"].sum()
    if not total:
        return np.nan, NOT_AVAILABLE, np.nan
    return (known["valeur"] * known["population"]).sum() / total, ESTIMATE, total


def _departments(rows: pd.DataFrame | pd.Series) -> NDArray[np.str_]:
    """Return `department_of_commune` of every code of the index, all at once."""
    codes = rows.index.to_numpy(dtype="U5")
    two = codes.astype("U2")
    return np.where(np.isin(two, ["97", "98"]), codes.astype("U3"), two)


@lru_cache(maxsize=64)
def _means(sheet: AplSheet) -> pd.DataFrame:
    """Return the mean of every department, and of France at ``""``: territories share them."""
    known = sheet.table.dropna(subset=["valeur", "population"])
    known = known[known["population"] > 0]
    weighted = pd.DataFrame(
        {"valeur": known["valeur"] * known["population"], "population": known["population"]}
    )
    sums = weighted.groupby(_departments(known)).sum()
    if len(weighted):
        sums.loc[""] = weighted.sum()
    sums["valeur"] /= sums["population"]
    return sums.assign(statut=ESTIMATE)


@lru_cache(maxsize=16)
def _ranks(sheet: AplSheet) -> pd.DataFrame:
    """Return the rank of every commune that has a value among those of its region, and their number."""
    values = sheet.table["valeur"].dropna()
    codes, places = np.unique(_departments(values), return_inverse=True)
    # Departments without a region are one of their own.
    regions = np.array([region_of(code) or code for code in codes.tolist()], dtype=object)
    groups = values.groupby(regions[places])
    return pd.DataFrame(
        {"rang": groups.rank(method="min", ascending=False), "rang_sur": groups.transform("size")}
    )


def _check_communes(
    sheet: AplSheet, codes: Sequence[str], departments: Collection[str], members: Collection[str] | None
) -> Check:
    """Compare the communes of the file with those of today: communes merge, and split again."""
    table = sheet.table
    lacking = [code for code in codes if code not in table.index and not len(_parts(sheet, code))]
    lapsed = []
    if members is not None:
        known = {*members, *codes, *_WITHOUT_EPCI}
        there = table[np.isin(_departments(table), list(departments)) & ~table.index.isin(known)]
        districts = there.index.str.fullmatch("|".join(MUNICIPAL_DISTRICTS.values()))
        lapsed = [f"{code} ({name})" for code, name in there.loc[~districts, "nom_com"].items()]
    sentences = []
    if lacking:
        sentences.append(f"Sans ligne dans l'APL {sheet.vintage}, donc sans valeur : {first_of(lacking)}.")
    if lapsed:
        sentences.append(
            f"Dans l'APL {sheet.vintage}, et dans aucun EPCI aujourd'hui (communes fusionnées ?) : "
            f"{first_of(lapsed)}."
        )
    message = " ".join(sentences)
    otherwise = f"APL {sheet.vintage} : chaque commune du territoire a sa ligne."
    return check_none("apl_communes", sheet.profession.source, [*lacking, *lapsed], message, otherwise)
