"""Table ``accessibilite``: an index of the care within reach of each QPV and commune, by E2SFCA.

The enhanced two-step floating catchment area: each facility is shared out among the inhabitants around it,
nearer ones first, and each place adds up the shares within its reach. The computation is PySAL's (`access`).
Luo W. and Qi Y. (2009), Health & Place 15, 1100-1107.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Self

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pydantic import Field, model_validator
from shapely.geometry.base import BaseGeometry

from qpv_geo.analysis.facilities import shapes_of, within_box
from qpv_geo.checks import Check, Outcome
from qpv_geo.french import capitalised, counted, number
from qpv_geo.frozen import Frozen
from qpv_geo.ingest.apl import AplSheet, load_professions
from qpv_geo.ingest.facilities import AROUND, FacilityTable
from qpv_geo.statuses import ESTIMATE, NOT_COMPUTABLE
from qpv_geo.toml_file import read_declarations

PER = 100_000
_PARAMETERS = Path(__file__).with_name("accessibility.toml")
_COMMUNE_DIGITS = 5
_COLUMNS = ["valeur", "borne_basse", "borne_haute"]
_KEY = ["zone", "code", "profession"]
_NO_SUPPLY = "Aucune position connue de ce type dans le territoire ni autour"
_NOTHING_KNOWN = "Population de la commune inconnue."


class Band(Frozen):
    """What weighs the same: up to a distance in metres."""

    jusqu_a: float = Field(gt=0, le=AROUND)
    poids: float = Field(gt=0, le=1)


class Catchment(Frozen):
    """One set of parameters; without `alentours`, facilities of other communes do not count."""

    libelle: str
    bandes: tuple[Band, ...] = Field(min_length=1)
    alentours: bool = True

    @model_validator(mode="after")
    def _bands_go_outwards(self) -> Self:
        if any(far.jusqu_a <= near.jusqu_a or far.poids > near.poids for near, far in pairwise(self.bandes)):
            raise ValueError("each band ends further out than the one before and weighs no more")
        return self

    @property
    def radius(self) -> float:
        """How far the widest band reaches, in metres."""
        return self.bandes[-1].jusqu_a

    def weights(self, distances: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weight of each distance, 0 beyond the last band."""
        ends = [band.jusqu_a for band in self.bandes]
        weights = np.array([*(band.poids for band in self.bandes), 0.0])
        found: NDArray[np.float64] = weights[np.searchsorted(ends, distances, side="left")]
        return found


class AccessibilityParameters(Frozen):
    """The sets of parameters, and when the comparison with the APL is made and passes."""

    communes_minimum: int = Field(gt=2)
    correlation_minimum: float = Field(ge=-1, le=1)
    central: Catchment
    variantes: dict[str, Catchment]


@cache
def load_parameters(path: Path = _PARAMETERS) -> AccessibilityParameters:
    """Read the parameters of the index."""
    with read_declarations(path, "the parameters of the accessibility index are not valid") as entries:
        return AccessibilityParameters.model_validate(entries)


@dataclass(frozen=True)
class Demand:
    """Where inhabitants are: `points` have ``insee_com``, ``population``, ``x`` and ``y`` (metres).

    `sources` says in French where the populations come from; `by_iris` are communes of several points,
    `unknown` those without a population.
    """

    points: pd.DataFrame
    sources: str
    by_iris: frozenset[str]
    unknown: tuple[str, ...]


def demand_of(communes: gpd.GeoDataFrame, iris: gpd.GeoDataFrame | None, populations: pd.DataFrame) -> Demand:
    """Return the population of each commune at one point, or of each of its IRIS.

    `communes` have ``insee_com`` and ``population``; `populations` are rows of ``statistiques`` of zone
    ``iris``. A commune is counted by IRIS only if each of its IRIS has a contour and a population. The
    point is inside the contour (shapely's representative point).
    """
    frames = []
    by_iris: set[str] = set()
    vintage = ""
    if iris is not None and len(populations):
        vintage = max(populations["millesime"])
        newest = populations[populations["millesime"] == vintage]
        known = newest.dropna(subset=["valeur"]).set_index("code")["valeur"]
        both = pd.Series([*iris["code_iris"], *newest["code"]], dtype=object).drop_duplicates()
        whole = both.isin(iris["code_iris"]) & both.isin(known.index)
        by_iris = set(iris["insee_com"]) - set(both[~whole].str[:_COMMUNE_DIGITS])
        drawn = iris[iris["insee_com"].isin(by_iris)]
        frames.append(_located(drawn, drawn["code_iris"].map(known)))
    others = communes[~communes["insee_com"].isin(by_iris)]
    frames.append(_located(others, others["population"]))
    points = pd.concat(frames, ignore_index=True)
    unknown = tuple(sorted(points.loc[points["population"].isna(), "insee_com"]))
    parts = [f"IRIS de {counted(len(by_iris), 'commune')} ({vintage})"] if by_iris else []
    parts += [f"{counted(len(others), 'commune')}"] if len(others) else []
    known = points.dropna(subset=["population"]).reset_index(drop=True)
    return Demand(known, ", ".join(parts), frozenset(by_iris), unknown)


def _located(zones: gpd.GeoDataFrame, populations: pd.Series) -> pd.DataFrame:
    points = zones.geometry.representative_point()
    return pd.DataFrame(
        {
            "insee_com": zones["insee_com"].astype(object),
            "population": pd.to_numeric(populations).astype("float64"),
            "x": points.x,
            "y": points.y,
        }
    )


def catchment_index(demand: pd.DataFrame, supply: pd.DataFrame, catchment: Catchment) -> NDArray[np.float64]:
    """Return the index of each point of demand, per 100,000 inhabitants.

    `demand` has ``x``, ``y`` and ``population`` (at 0, a point gets its index and takes nothing), `supply`
    ``x``, ``y`` and ``nombre``, in one projected CRS. 0 means that nothing is within reach. What only points
    without inhabitants reach is left out: nobody is known among whom to share it.
    """
    # imported lazily: runs without facilities skip it
    from access.fca import two_stage_fca  # noqa: PLC0415

    places, providers = shapes_of(demand), shapes_of(supply)
    tree = shapely.STRtree(providers)
    origin, dest = tree.query(places, predicate="dwithin", distance=catchment.radius)
    weights = catchment.weights(shapely.distance(places[origin], providers[dest]))
    population = demand["population"].to_numpy(dtype="float64")
    reached = np.bincount(dest, weights * population[origin], minlength=len(supply)) > 0
    kept = reached[dest]
    if not kept.any():
        return np.zeros(len(demand))
    shares = two_stage_fca(
        pd.DataFrame({"demand": population}),
        pd.DataFrame({"supply": supply["nombre"].to_numpy(dtype="float64")}),
        # The library calls the function once per pair; a ufunc is called once, on weights made beforehand.
        pd.DataFrame({"origin": origin[kept], "dest": dest[kept], "cost": weights[kept]}),
        demand_index=True,
        supply_index=True,
        weight_fn=np.positive,
    )
    index: NDArray[np.float64] = shares.reindex(range(len(demand)), fill_value=0.0).to_numpy() * PER
    return index


def accessibility_table(
    facilities: FacilityTable,
    demand: Demand,
    qpv: gpd.GeoDataFrame,
    communes: gpd.GeoDataFrame,
    around: BaseGeometry,
) -> pd.DataFrame:
    """Return table ``accessibilite``: the index of every QPV and commune, by profession.

    A QPV is one point inside its contour (shapely's representative point) without inhabitants of its own, who
    are counted in the IRIS or the commune; a commune is the mean of its points, weighted by their population.
    `around` is where populations are known. All in one projected CRS.
    """
    parameters = load_parameters()
    radius = parameters.central.radius
    catchments = (parameters.central, *parameters.variantes.values())
    located = _located(qpv.assign(insee_com=None), pd.Series(0.0, qpv.index))
    points = pd.concat([located, demand.points], ignore_index=True)
    places = gpd.GeoSeries(shapes_of(points), crs=communes.crs)
    beyond = places.distance(around.boundary) < radius
    # Where the inhabitants of a commune stand at one point.
    whole = communes[~communes["insee_com"].isin(demand.by_iris)]
    coarse = np.isin(
        range(len(qpv) + len(communes)), whole.sindex.query(places[: len(qpv)], predicate="within")[0]
    )
    zones = pd.DataFrame(
        {
            "zone": ["qpv"] * len(qpv) + ["commune"] * len(communes),
            "code": [*qpv["code_qp"], *communes["insee_com"]],
            "nom": [*qpv["lib_qp"], *communes["nom_com"]],
            "coarse": coarse,
            "beyond": [*beyond[: len(qpv)], *communes["insee_com"].isin(points.loc[beyond, "insee_com"])],
        }
    )
    # Many territories are made from the facilities of all of France.
    known = facilities.points
    known = known[within_box(known, around.bounds, radius) | known["x"].isna()]
    known = known.assign(own=known["insee_com"].isin(communes["insee_com"]))
    frames = []
    for profession in load_professions():
        supply = known[known["type_equipement"] == profession.type_equipement]
        lost = int((supply["own"] & supply["x"].isna()).sum())
        supply = supply.dropna(subset=["x", "y"])
        frame = zones.assign(profession=profession.id, libelle=profession.libelle, **dict.fromkeys(_COLUMNS))
        if len(supply):
            supplies = (supply if one.alentours else supply[supply["own"]] for one in catchments)
            counts = (some.groupby(["x", "y"]).size().reset_index(name="nombre") for some in supplies)
            indices = [catchment_index(points, *pair) for pair in zip(counts, catchments, strict=True)]
            values = np.column_stack([_by_zone(index, points, len(qpv), communes) for index in indices])
            frame[_COLUMNS] = np.column_stack([values[:, 0], values.min(axis=1), values.max(axis=1)])
        without = f"{number(lost)} ({profession.libelle.lower()})" if lost else ""
        nothing = _NOTHING_KNOWN if len(supply) else f"{_NO_SUPPLY} ({profession.type_equipement})."
        frame["remarque"] = [
            nothing if np.isnan(value) else _remark(without, radius if edge and value else 0, coarse=coarse)
            for value, edge, coarse in zip(
                frame["valeur"].astype("float64"), frame["beyond"], frame["coarse"], strict=True
            )
        ]
        frames.append(frame)
    table = pd.concat(frames, ignore_index=True).drop(columns=["beyond", "coarse"])
    table["statut"] = np.where(table["valeur"].isna(), NOT_COMPUTABLE, ESTIMATE)
    table = table.assign(rayon_m=radius, population=demand.sources, millesime=facilities.vintage)
    return table.sort_values(_KEY, ignore_index=True)


def _by_zone(
    index: NDArray[np.float64], points: pd.DataFrame, qpv: int, communes: gpd.GeoDataFrame
) -> NDArray[np.float64]:
    """Return the index of each QPV, then of each commune, NaN for one without inhabitants."""
    population = points["population"]
    sums = pd.DataFrame({"index": index * population, "population": population}).groupby(points["insee_com"])
    totals = sums.sum().reindex(communes["insee_com"])
    with np.errstate(invalid="ignore"):
        means = (totals["index"] / totals["population"]).to_numpy(dtype="float64")
    return np.concatenate([index[:qpv], means])


def _remark(without: str, radius: float, *, coarse: bool) -> str | None:
    """Say which facilities have no position, and that the limit is near, unless `radius` is 0."""
    parts = []
    if coarse:
        parts.append("population de la commune comptée en un seul point, faute d'IRIS : ordre de grandeur")
    if without:
        parts.append(f"sans position dans le territoire, hors du calcul : {without}")
    if radius:
        parts.append(
            f"à moins de {number(radius / 1000)} km de la limite du territoire, au-delà de laquelle la "
            "population n'est pas comptée : l'indice est surestimé"
        )
    return f"{capitalised(' ; '.join(parts))}." if parts else None


def compare_with_apl(table: pd.DataFrame, sheets: Sequence[AplSheet]) -> list[Check]:
    """Return a check per profession: how alike (Spearman) the index and the APL rank the communes."""
    parameters = load_parameters()
    newest = {sheet.profession.id: sheet for sheet in sorted(sheets, key=lambda sheet: sheet.vintage)}
    of_communes = table[table["zone"] == "commune"].dropna(subset=["valeur"])
    checks = []
    for profession, rows in of_communes.groupby("profession", sort=False):
        sheet = newest.get(str(profession))
        if sheet is None:
            continue
        index = rows.set_index("code")["valeur"]
        apl = sheet.table["valeur"].reindex(index.index).dropna()
        index = index.reindex(apl.index)
        count, name = counted(len(apl), "commune"), sheet.profession.libelle
        outcome: Outcome = "non_verifiable"
        expected, found = "", count
        message = f"{name} : {count}, trop peu ou trop semblables pour comparer l'indice à l'APL."
        if len(apl) >= parameters.communes_minimum and min(np.ptp(index), np.ptp(apl)) > 0:
            rank = index.rank().corr(apl.rank())
            outcome = "avertissement" if rank < parameters.correlation_minimum else "conforme"
            expected, found = (
                f"au moins {number(parameters.correlation_minimum, 2)}",
                f"{number(rank, 2)} ({count})",
            )
            message = (
                f"{name} : corrélation des rangs (Spearman) de {number(rank, 2)} entre l'indice et l'APL "
                f"{sheet.vintage} de la DREES, sur {count}."
            )
        checks.append(Check("accessibilite_et_apl", sheet.profession.id, outcome, expected, found, message))
    return checks
