"""Entries of the legend for a classified indicator: one per class, one per reason for a missing value."""

import pandas as pd

from qpv_geo.french import NO_BREAK, class_labels, short_number
from qpv_geo.qgis.cartography import Choropleth, LegendRule
from qpv_geo.statuses import NOT_AVAILABLE, STATUSES
from qpv_geo.typography import typeset


def labels_of(choropleth: Choropleth) -> tuple[str, ...]:
    """Say in French which values each class holds: ``45 % à moins de 50 %``."""
    unit = f"{NO_BREAK}{choropleth.unit}" if choropleth.unit else ""
    return class_labels([short_number(bound) + unit for bound in choropleth.breaks])


def classify(choropleth: Choropleth, frame: pd.DataFrame) -> tuple[LegendRule, ...]:
    """Return the legend of a layer: all classes, and the reasons for missing values that occur in it.

    Every class is listed, whether the territory has values in it or not: the legend is then the same from
    one release and one territory to the next.
    """
    field = choropleth.field
    classes = tuple(
        LegendRule(
            label=label,
            filter=_condition(field, choropleth.breaks, rank),
            fill=color,
            outlines=(choropleth.outline,),
        )
        for rank, (label, color) in enumerate(zip(labels_of(choropleth), choropleth.colors, strict=True))
    )
    years = " et ".join(sorted(set(frame[f"{field}_millesime"].dropna())))
    heading = LegendRule(
        label=f"{choropleth.heading}, {years}" if years else choropleth.heading, children=classes
    )
    present = set(frame.loc[frame[field].isna(), f"{field}_statut"].fillna(NOT_AVAILABLE))
    reasons = tuple(
        LegendRule(
            label=missing_label(status),
            filter=_missing_condition(choropleth, status),
            fill="#ffffff",
            hatches=hatches,
            outlines=(choropleth.outline,),
        )
        for status, hatches in choropleth.missing.items()
        if status in present
    )
    return (heading, *reasons)


def missing_label(status: str) -> str:
    """Say in French why a value is missing."""
    return typeset(f"Valeur absente : {STATUSES[status].words}")


def _condition(field: str, breaks: tuple[float, ...], rank: int) -> str:
    conditions = []
    if rank > 0:
        conditions.append(f'"{field}" >= {breaks[rank - 1]:g}')
    if rank < len(breaks):
        conditions.append(f'"{field}" < {breaks[rank]:g}')
    return " AND ".join(conditions)


def _missing_condition(choropleth: Choropleth, status: str) -> str:
    """Select the missing values of one status; a value without any is not available."""
    field = choropleth.field
    status_or_default = f"coalesce(\"{field}_statut\", '{NOT_AVAILABLE}')"
    return f"\"{field}\" IS NULL AND {status_or_default} = '{status}'"
