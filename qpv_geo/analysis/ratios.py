"""Ratios of single zones that no producer publishes, where both of their terms are there."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from qpv_geo.analysis.aggregate import REASONS, Rule

_ZONE = ["zone", "code", "millesime"]
_OK = "ok"
_ABSENT = "non_disponible"


def add_ratios(statistics: pd.DataFrame, rules: Mapping[str, Rule]) -> pd.DataFrame:
    """Add the ratios that can be computed zone by zone to what the producers publish.

    A ratio is computed for a zone and vintage if both terms have a row there, in the same geography, and it
    has none itself: a producer's value, or the reason for giving none, always stands.

    Parameters
    ----------
    statistics
        Columns of layer ``statistiques``, zones of the producers' files.
    rules
        By indicator; only ratios count.

    Returns
    -------
    DataFrame
        The rows given, then those computed. ``valeur`` is scale times numerator over denominator, and
        ``statut`` ``ok``, if both terms' are; otherwise there is no value, and ``statut`` is that of the term
        that has none (``secret`` before ``non_significatif`` before ``non_disponible``), or
        ``non_disponible`` for a denominator of 0. ``source`` and ``fichier`` are those of both terms, and
        ``code_producteur`` says ``numerator / denominator``, as for sets of zones.
    """
    pairs = _pairs(statistics, rules)
    missing = [pairs["statut"], pairs["statut_below"]]
    reasons = [missing[0].eq(reason) | missing[1].eq(reason) for reason in REASONS]
    empty = pairs["valeur_below"].eq(0)
    status = np.select([*reasons, empty], [*REASONS, _ABSENT], default=_OK)
    valued = status == _OK
    ratio = pairs["scale"] * pairs["valeur"] / pairs["valeur_below"].mask(empty)
    rows = pairs.assign(
        valeur=ratio.where(valued),
        statut=status.astype(object),
        source=_joined(pairs["source"], pairs["source_below"]),
        fichier=_joined(pairs["fichier"], pairs["fichier_below"]),
        code_producteur=pairs["code_producteur"] + " / " + pairs["code_producteur_below"],
    )[statistics.columns]
    return pd.concat([statistics, rows], ignore_index=True) if len(rows) else statistics


def _pairs(statistics: pd.DataFrame, rules: Mapping[str, Rule]) -> pd.DataFrame:
    """Return a row per ratio to compute: columns of its numerator, of its denominator (``_below``), scale."""
    ratios = pd.DataFrame(
        [
            (indicator, rule.numerator, rule.denominator, rule.scale)
            for indicator, rule in rules.items()
            if rule.numerator is not None
        ],
        columns=["indicateur", "numerator", "denominator", "scale"],
    )
    terms = statistics[statistics["indicateur"].isin({*ratios["numerator"], *ratios["denominator"]})]
    above = terms.rename(columns={"indicateur": "numerator"}).merge(ratios, on="numerator")
    below = terms.rename(columns={"indicateur": "denominator"})
    pairs = above.merge(below, on=[*_ZONE, "denominator"], suffixes=("", "_below"))
    dates = pairs["geographie"], pairs["geographie_below"]
    pairs = pairs[dates[0].eq(dates[1]) | (dates[0].isna() & dates[1].isna())]
    published = statistics.loc[statistics["indicateur"].isin(ratios["indicateur"]), [*_ZONE, "indicateur"]]
    found = pairs.merge(published.drop_duplicates(), how="left", on=[*_ZONE, "indicateur"], indicator=True)
    return found[found["_merge"] == "left_only"].reset_index(drop=True)


def _joined(one: pd.Series, other: pd.Series) -> pd.Series:
    return one.where(one == other, one + ", " + other)
