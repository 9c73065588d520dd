"""Table ``concordances``: what two producers, or a town and INSEE, say of the same thing, side by side.

Neither is right by rule: a disagreement is published with both values, for people who know the place.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, NamedTuple

import pandas as pd

from qpv_geo.analysis.statistics import newest_of_qpv
from qpv_geo.checks import Check, check_none
from qpv_geo.errors import ConfigurationError
from qpv_geo.french import plain_number
from qpv_geo.statuses import NOT_AVAILABLE
from qpv_geo.territory import Territory

Agreement = Literal["concorde", "diverge", "non_verifiable"]

COMMUNES, EPCI, STATUSES, FACILITIES = "Communes", "EPCI", "Statut depuis 2015", "Équipements"
ANCT, INSEE, COMPUTED = "ANCT", "INSEE", "qpv-geo"

# The tolerance of values that must be equal.
_EXACT = "aucune"

# Comparisons of every QPV: the table has a row for each disagreement, and one that counts the others.
_MANY = (COMMUNES, EPCI, STATUSES)

# The status in ANCT's table for each letter that ends a code. `C`, the communes of Mayotte, has none.
_STATUSES = {"M": "MODIFIE", "I": "INCHANGE", "N": "NOUVEAU"}

_CORRESPONDENCE = "correspondance_2024_2015"
_POPULATION = "population_municipale"
_COLUMNS = [
    "theme", "objet", "libelle", "valeur_a", "producteur_a", "source_a", "valeur_b", "producteur_b",
    "source_b", "tolerance", "resultat", "message", "ecart",
]  # fmt: skip
# How much INSEE and the contract may differ, because of years or rounding, before it is a warning.
_POINTS, _SHARE = 10.0, 0.1
# Each figure of the contract: the indicator that it is compared with, its label and unit.
_FIGURES = {
    "population": ("population_municipale", "Population", "habitants"),
    "taux_pauvrete": ("taux_pauvrete_60", "Taux de pauvreté", "%"),
    "part_familles_monoparentales": (
        "part_familles_monoparentales",
        "Part des familles monoparentales",
        "%",
    ),
}


def contract_figures(territory: Territory, qpv: pd.DataFrame, statistics: pd.DataFrame) -> pd.DataFrame:
    """Return layer ``contrat_de_ville``: each figure of the contract, INSEE's, and INSEE minus contract.

    Raises `ConfigurationError` if the contract names a QPV that is not in the territory.
    """
    names = dict(zip(qpv["code_qp"], qpv["lib_qp"], strict=True))
    contract = territory.contrat
    if contract is None:
        return pd.DataFrame()
    if strangers := sorted({entry.code_qp for entry in contract.qpv} - set(names)):
        raise ConfigurationError(
            f"territory {territory.id!r}: 'contrat.qpv' names {', '.join(strangers)}, not among its QPV "
            f"({', '.join(sorted(names))})"
        )
    stated = [
        (entry.code_qp, names[entry.code_qp], entry.nom, indicator, label, unit, float(value))
        for entry in sorted(contract.qpv, key=lambda entry: entry.code_qp)
        for figure, (indicator, label, unit) in _FIGURES.items()
        if (value := getattr(entry, figure)) is not None
    ]
    if not stated:
        return pd.DataFrame()
    columns = ["code_qp", "lib_qp", "nom_contrat", "indicateur", "libelle", "unite", "valeur_contrat"]
    key, measures = ["code_qp", "indicateur"], ["valeur", "statut", "millesime"]
    insee = newest_of_qpv(statistics).rename(columns={"code": "code_qp"}).set_index(key)[measures]
    figures = pd.DataFrame(stated, columns=columns).join(insee.add_suffix("_insee"), on=key)
    # As decimal numbers: without the noise of binary fractions.
    pairs = zip(figures["valeur_insee"], figures["valeur_contrat"], strict=True)
    figures["ecart"] = [float(Decimal(str(value)) - Decimal(str(figure))) for value, figure in pairs]
    figures["statut_insee"] = figures["statut_insee"].fillna(NOT_AVAILABLE)
    return figures.assign(source_contrat=contract.source)


def check_contract(figures: pd.DataFrame, territory: Territory) -> list[Check]:
    """Warn if INSEE's values are far from the contract's, as with a column of another scale or measure.

    Far is more than 10 points for a rate, 10 % for a number. Without a figure to compare there is no check.
    """
    compared = figures[figures["ecart"].notna()] if len(figures) else figures
    if not len(compared):
        return []
    bounds = (compared["valeur_contrat"].abs() * _SHARE).mask(compared["unite"] == "%", _POINTS)
    far = compared[compared["ecart"].abs() > bounds]
    listed = " ; ".join(
        f"{row['libelle']} de {row['nom_contrat']} ({row['code_qp']}), {plain_number(row['valeur_insee'])} "
        f"pour l'INSEE et {plain_number(row['valeur_contrat'])} au contrat"
        for row in far.to_dict("records")
    )
    message = f"Écarts de plus de 10 points ou de 10 % : {listed or 'aucun'}."
    return [check_none("ecart_au_contrat", territory.id, far, message)]


class Statement(NamedTuple):
    """A producer's value as text (None if missing), and where it stands: a source, a layer, or a citation."""

    value: str | None
    producer: str
    source: str


class Concordance(NamedTuple):
    """Two statements about one object, on a subject in French (`theme`).

    `code` and `name` are those of a QPV, a contract or a territory. `tolerance` is the difference that still
    agrees, in words; `result` is ``non_verifiable`` if one statement has no value. `gap` is the second value
    minus the first, NaN if they are not numbers.
    """

    theme: str
    code: str
    name: str
    first: Statement
    second: Statement
    tolerance: str
    result: Agreement
    message: str
    gap: float = math.nan


def concordances_table(rows: Sequence[Concordance], territory: Territory) -> pd.DataFrame:
    """Return table ``concordances``, sorted; agreements of comparisons of every QPV are only counted."""
    groups: dict[tuple[str, str, str], list[Concordance]] = {}
    for row in rows:
        if row.theme in _MANY:
            groups.setdefault((row.theme, row.first.source, row.second.source), []).append(row)
    kept = [row for row in rows if row.theme not in _MANY or row.result == "diverge"]
    kept += [_summary(group, territory) for group in groups.values()]
    cells = [(*row[:3], *row.first, *row.second, *row[5:]) for row in kept]
    table = pd.DataFrame(cells, columns=_COLUMNS)
    return table.sort_values(["theme", "objet", "source_a", "source_b"], ignore_index=True)


def _summary(group: Sequence[Concordance], territory: Territory) -> Concordance:
    """Count the QPV compared, those that agree, and those that could not be compared."""
    one = group[0]
    counts = Counter(row.result for row in group)
    compared = counts["concorde"] + counts["diverge"]
    return one._replace(
        code=territory.code,
        name=territory.nom,
        first=one.first._replace(value=f"{compared} QPV comparés"),
        second=one.second._replace(value=f"{counts['concorde']} concordent"),
        result=agreement(agrees=not counts["diverge"], known=compared > 0),
        message=f"{one.theme}, {one.first.source} et {one.second.source} : {compared} QPV comparés, "
        f"{counts['concorde']} concordent, {counts['diverge']} divergent, "
        f"{counts['non_verifiable']} non vérifiables.",
    )


def report_concordances(rows: Sequence[Concordance]) -> Check:
    """Return the check that counts disagreements by theme."""
    apart = Counter(row.theme for row in rows if row.result == "diverge")
    listed = ", ".join(f"{theme} ({count})" for theme, count in sorted(apart.items()))
    message = f"Désaccords entre producteurs, dans la table concordances : {listed}."
    otherwise = "Aucun désaccord entre producteurs dans la table concordances."
    return check_none("concordances", "concordances", list(apart.elements()), message, otherwise)


def compare_contract(
    territory: Territory, figures: pd.DataFrame, statistics: pd.DataFrame
) -> list[Concordance]:
    """Compare each figure of the contract with INSEE's, and ANCT's total with the sum of the populations.

    `figures` is layer ``contrat_de_ville``, `statistics` the rows of ``statistiques`` for QPV.
    """
    contract = territory.contrat
    if contract is None:
        return []
    sources = dict(zip(statistics["indicateur"], statistics["source"], strict=True))
    rows = [_compare_figure(row, sources) for row in figures.to_dict("records")]
    total = contract.total
    if total is None:
        return rows
    codes = [entry.code_qp for entry in contract.qpv]
    people = statistics[(statistics["indicateur"] == _POPULATION) & statistics["code"].isin(codes)]
    values = people.sort_values("millesime").drop_duplicates("code", keep="last")["valeur"]
    insee = float(values.sum()) if values.notna().sum() == len(codes) else math.nan
    both = _both("l'ANCT", total.population, insee)
    statements = (
        Statement(_spell(total.population), ANCT, total.source),
        Statement(_spell(insee), INSEE, sources.get(_POPULATION, _POPULATION)),
    )
    what, gap = ("Population", total.code, contract.titre), insee - total.population
    message = f"Population des {len(codes)} QPV du contrat {total.code} ensemble : {both}."
    result = agreement(agrees=gap == 0, known=not math.isnan(insee))
    return [*rows, Concordance(*what, *statements, _EXACT, result, message, gap)]


def _compare_figure(row: Mapping[Any, Any], sources: Mapping[str, str]) -> Concordance:
    """Compare a figure: a population exactly, a rate to the decimals that the contract gives."""
    stated, insee = row["valeur_contrat"], row["valeur_insee"]
    gap = round(insee - stated, 9)
    agrees, tolerance, cut = gap == 0, _EXACT, ""
    if row["unite"] == "%":
        step = _last_place(stated)
        agrees = 0 <= gap < step
        tolerance = f"0 ≤ INSEE - contrat < {_spell(step)} : le contrat coupe les décimales"
        cut = ", dont le contrat coupe les décimales" if agrees and gap else ""
    both = _both("le contrat", stated, insee) + cut
    if math.isnan(gap):
        both += f" (statut {row['statut_insee']})"
    statements = (
        Statement(_spell(stated), "Contrat de ville", row["source_contrat"]),
        Statement(_spell(insee), INSEE, sources.get(row["indicateur"], row["indicateur"])),
    )
    what = row["libelle"], row["code_qp"], row["lib_qp"]
    message = f"{row['lib_qp']}, {row['libelle'].lower()} : {both}."
    result = agreement(agrees=agrees, known=not math.isnan(insee))
    return Concordance(*what, *statements, tolerance, result, message, gap)


def compare_sets(
    statistics: pd.DataFrame, labels: Mapping[str, str], territory: Territory
) -> list[Concordance]:
    """Compare the values computed for all QPV of the territory with those that INSEE publishes for them.

    INSEE publishes them for EPCI and departments. There is a row per indicator and vintage that both give:
    most rates of several QPV cannot be computed.
    """
    of_one = statistics[(statistics["code"] == territory.code) & statistics["valeur"].notna()]
    key = ["indicateur", "millesime"]
    ours = of_one[of_one["zone"] == f"qpv_{territory.genre}"]
    insee = of_one[of_one["zone"] == f"ensemble_qpv_{territory.genre}"]
    pairs = ours.merge(insee, on=key, suffixes=("", "_insee"))
    rows = []
    for row in pairs.to_dict("records"):
        computed, published = row["valeur"], row["valeur_insee"]
        # INSEE rounds: half of its last decimal either way still agrees.
        step = min(_last_place(published), 0.1) / 2
        gap = round(computed - published, 9)
        label = labels[row["indicateur"]]
        statements = (
            Statement(_spell(published), INSEE, row["source_insee"]),
            Statement(_spell(computed), COMPUTED, "statistiques"),
        )
        what = f"QPV pris ensemble : {label} ({row['millesime']})", territory.code, territory.nom
        verdict = f"{_spell(step)} : l'arrondi de l'INSEE", agreement(agrees=abs(gap) <= step)
        message = (
            f"{label} des QPV de {territory.nom} ensemble : l'INSEE publie {_spell(published)}, le calcul "
            f"donne {_spell(computed)}."
        )
        rows.append(Concordance(*what, *statements, *verdict, message, gap))
    return rows


def _last_place(value: float) -> float:
    """Return the unit of the last digit that a figure is written with: 1 for 38, 0.1 for 38.4."""
    exponent = Decimal(repr(float(value))).normalize().as_tuple().exponent
    return float(10.0 ** min(int(exponent), 0))


def agreement(*, agrees: bool, known: bool = True) -> Agreement:
    """Return the result of a comparison of two values, if both are `known`."""
    if not known:
        return "non_verifiable"
    return "concorde" if agrees else "diverge"


def _both(who: str, stated: float, insee: float) -> str:
    if math.isnan(insee):
        return f"{who} donne {_spell(stated)}, l'INSEE ne publie pas de valeur"
    if stated == insee:
        return f"{who} et l'INSEE donnent {_spell(stated)}"
    return f"{who} donne {_spell(stated)}, l'INSEE {_spell(insee)}"


def _spell(value: float) -> str | None:
    """Write a number with a decimal comma; None if it is missing."""
    return None if math.isnan(value) else plain_number(value)


def compare_statuses(qpv: pd.DataFrame, correspondence: pd.DataFrame) -> list[Concordance]:
    """Compare each QPV's ``Statut`` in ANCT's table with the letter that ends its code."""
    statuses = dict(zip(correspondence["code_qp"], correspondence["statut"], strict=True))
    rows = []
    for code, name in zip(qpv["code_qp"], qpv["lib_qp"], strict=True):
        letter, status = code[-1], statuses.get(code)
        expected = _STATUSES.get(letter)
        comment = f"la table dit {status}, la lettre {letter} du code {expected}"
        if status is None:
            comment = "la table lue ne donne pas son statut"
        elif expected is None:
            comment = f"la lettre {letter} n'a pas d'équivalent dans la table"
        result = agreement(agrees=status == expected, known=None not in {status, expected})
        statements = Statement(status, ANCT, _CORRESPONDENCE), Statement(letter, ANCT, "qpv_2024")
        rows.append(Concordance(STATUSES, code, name, *statements, _EXACT, result, f"{name} : {comment}."))
    return rows


def check_completeness(correspondence: pd.DataFrame, codes: set[str], *, national: bool) -> Check:
    """Check that the correspondence table lists every QPV 2024 of the contours, if both are national."""
    code, listed = "correspondance_complete", set(correspondence["code_qp"])
    expected, found = f"{len(codes)} QPV", f"{len(listed)} QPV"
    if not national or len(listed) < len(codes):
        message = (
            f"La table de correspondance cite {found}, les contours {expected} : ce n'est pas le fichier "
            "national, sa complétude n'est pas vérifiable."
        )
        return Check(code, _CORRESPONDENCE, "non_verifiable", expected, found, message)
    reasons = []
    if missing := sorted(codes - listed):
        reasons.append(f"QPV absents de la table : {', '.join(missing)}")
    if unknown := sorted(listed - codes):
        reasons.append(f"QPV sans contour : {', '.join(unknown)}")
    message = f"{' ; '.join(reasons) or 'La table de correspondance cite chaque QPV 2024'}."
    return check_none(code, _CORRESPONDENCE, reasons, message, counts=(expected, found))
