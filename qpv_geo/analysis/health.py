"""Table ``sante``: what a local health contract needs of each QPV, with the mesh of every value.

A value of a larger mesh is a row of its own zone, never the QPV's. What is not known keeps its row, and
says why.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from qpv_geo.analysis.aggregate import aggregate
from qpv_geo.analysis.health_plan import (
    CONTOURS_OF_IRIS,
    HealthPlan,
    IrisRule,
    PlanLine,
    load_health_plan,
)
from qpv_geo.analysis.perimeters import Layers
from qpv_geo.french import short_number
from qpv_geo.ingest.facilities import AROUND
from qpv_geo.ingest.registry import Registry
from qpv_geo.sources.catalogue import load_catalogue
from qpv_geo.statuses import NOT_AVAILABLE, OK
from qpv_geo.territory import codes_of
from qpv_geo.typography import typeset
from qpv_geo.zones import department_of

_QPV, _IRIS, _FRANCE = "qpv", "iris_du_qpv", "france"
# Producers have codes of their own for France, with the overseas departments or without.
_EVERYWHERE, _METROPOLE = "FR", "France métropolitaine"
_AMONG = {_QPV: "QPV de métropole", "commune": "communes de la région"}
_STATISTICS, _CARE, _ACCESS, _PIECES = "statistiques", "offre_soins", "accessibilite", "qpv_iris"
_DISTANCE = "distance_m"
# As layer `accessibilite` publishes them.
_DECIMALS = 1
_FIGURE = [
    *("ligne", "zone", "code", "millesime", "valeur", "statut", "borne_basse", "borne_haute"),
    *("rang", "rang_sur", "source", "fichier", "remarque", "nom"),
]


def health_table(layers: Layers, registry: Registry) -> pd.DataFrame:
    """Return layer ``sante`` from the other layers of a release, by QPV and in the declared order.

    Values of QPV, communes, EPCI, departments and France are those of layer ``statistiques``: of QPV the
    newest vintage, of larger zones the same one, since INSEE advises against comparing vintages. What is
    known by IRIS alone is the sum, or the ratio of sums, of the whole IRIS that cover a QPV.
    """
    plan = load_health_plan()
    declared, read = list(plan.lines(registry)), _sources_read(layers)
    lines = pd.DataFrame(declared).assign(
        place=range(len(declared)),
        motif=[_why_missing(line, read, plan) for line in declared],
        sources=[", ".join(line.sources) for line in declared],
    )
    parts = [
        _of_zones(layers[_STATISTICS], lines),
        _of_iris(layers, lines, registry, plan.iris),
        *_of_care(layers, plan),
        *_of_access(layers, plan),
    ]
    filled = [part.reindex(columns=_FIGURE).astype(object) for part in parts if len(part)]
    figures = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=_FIGURE, dtype=object)
    figures.loc[figures["zone"] == _FRANCE, "code"] = _EVERYWHERE
    rows = lines.merge(_places(layers), on="zone").merge(figures, how="left", on=["ligne", "zone", "code"])
    rows["nom_zone"] = rows["nom"].where(rows["nom"].notna(), rows["nom_zone"])
    missing = rows["statut"].isna()
    rows.loc[missing, "statut"] = NOT_AVAILABLE
    rows.loc[missing, ["remarque", "source"]] = rows.loc[missing, ["motif", "sources"]].to_numpy()
    rows["rang_parmi"] = rows["zone"].map(_AMONG).where(rows["rang"].notna(), None)
    rows = rows.sort_values(["code_qp", "place", "code"], kind="stable", ignore_index=True)
    rows["ordre"] = rows.groupby("code_qp").cumcount() + 1
    return rows.drop(columns=["place", "motif", "sources", "computed", "nom"])


def _sources_read(layers: Layers) -> set[str]:
    """Return the sources of the layers; an edition of a source stands for it."""
    families = {source.id: source.family for source in load_catalogue().sources}
    held = [layers[name]["source"] for name in (_STATISTICS, _CARE, "apl") if name in layers]
    named = set(pd.concat(held).str.split(", ").explode())
    drawn = {CONTOURS_OF_IRIS} if _PIECES in layers else set()
    return {families.get(name, name) for name in named} | drawn


def _why_missing(line: PlanLine, read: set[str], plan: HealthPlan) -> str:
    """Return which of the sources of a line were not read, else that they have no value of it."""
    if line.computed:
        return plan.absences["non_calcule"]
    unread = " ; ".join(load_catalogue()[name].title for name in line.sources if name not in read)
    return typeset(plan.absences["non_lue"].format(unread)) if unread else plan.absences["sans_valeur"]


def _places(layers: Layers) -> pd.DataFrame:
    """Return the zones that each QPV is in: ``code_qp``, ``lib_qp``, ``zone``, ``code``, ``nom_zone``."""
    qpv = layers["qpv"]
    names = {code: f"{name}" for code, name in zip(qpv["code_qp"], qpv["lib_qp"], strict=True)}
    pieces = layers["qpv_commune"]
    members = pieces[pieces["membre"].astype(bool) & pieces["insee_com"].notna()]
    communes = zip(members["code_qp"], members["insee_com"], members["nom_com"], strict=True)
    epci = dict(zip(layers["epci"]["siren_epci"], layers["epci"]["nom_epci"], strict=True))
    rows = [(code, "commune", commune, name) for code, commune, name in communes]
    for row in qpv[["code_qp", "siren_epci_calcule", "lib_dep"]].itertuples(index=False):
        code, declared, department = row
        rows += [(code, zone, code, names[code]) for zone in (_QPV, _IRIS)]
        rows += [(code, "epci", siren, epci.get(siren)) for siren in codes_of(declared)]
        rows.append((code, "departement", department_of(code), department))
        rows.append((code, _FRANCE, _EVERYWHERE, "France"))
    places = pd.DataFrame(rows, columns=["code_qp", "zone", "code", "nom_zone"], dtype=object)
    return places.assign(lib_qp=places["code_qp"].map(names))


def _of_zones(statistics: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of layer ``statistiques`` of every line, of one vintage per indicator."""
    pairs = pd.MultiIndex.from_frame(lines[["ligne", "zone"]])
    rows = statistics[pd.MultiIndex.from_frame(statistics[["indicateur", "zone"]]).isin(pairs)]
    of_qpv = rows["zone"] == _QPV
    newest = rows.groupby(["indicateur", "zone"])["millesime"].transform("max")
    wanted = rows["indicateur"].map(rows[of_qpv].groupby("indicateur")["millesime"].max())
    wanted = wanted.where(wanted.notna(), newest)
    rows = rows[rows["millesime"] == wanted].rename(columns={"indicateur": "ligne"})
    return rows.assign(nom=rows["zone"].map({_FRANCE: _METROPOLE}))


def _of_iris(layers: Layers, lines: pd.DataFrame, registry: Registry, rule: IrisRule) -> pd.DataFrame:
    """Return sums, and ratios of sums, of the whole IRIS that stand for each QPV; secret if a part is."""
    wanted = lines.loc[lines["zone"] == _IRIS, "ligne"].tolist()
    if _PIECES not in layers:
        return pd.DataFrame()
    pieces = layers[_PIECES]
    taken = pieces[(pieces["part_qpv"] >= rule.part_qpv) | (pieces["part_iris"] >= rule.part_iris)]
    # What lies in no IRIS that was read counts as one without values.
    members = {str(code): rows["code_iris"].fillna("").tolist() for code, rows in taken.groupby("code_qp")}
    terms = {term for name in wanted for term in (name, *registry.by_id[name].terms)}
    statistics = layers[_STATISTICS]
    values = statistics[
        (statistics["zone"] == "iris")
        & statistics["indicateur"].isin(terms)
        & statistics["code"].isin(taken["code_iris"])
    ]
    rows = aggregate(values, members, registry.by_id, _IRIS)
    rows = rows[rows["indicateur"].isin(wanted)]
    rows = rows[rows["millesime"] == rows.groupby("indicateur")["millesime"].transform("max")]
    remarks = {str(code): _which_iris(those) for code, those in taken.groupby("code_qp")}
    return rows.rename(columns={"indicateur": "ligne"}).assign(remarque=rows["code"].map(remarks))


def _which_iris(pieces: pd.DataFrame) -> str:
    """Name the whole IRIS that stand for a QPV, and say how well they do."""
    named = pieces.dropna(subset=["code_iris"])
    # How much of what they cover together is the QPV.
    area = named["surface_m2"].sum()
    whole = (named["surface_m2"] * 100 / named["part_iris"]).sum()
    return (
        f"IRIS entiers : {', '.join(sorted(named['nom_iris']))}. Ils contiennent "
        f"{short_number(named['part_qpv'].sum(), 0)} % de la surface du quartier, qui fait "
        f"{short_number(100 * area / whole, 0)} % de la leur."
    )


def _of_care(layers: Layers, plan: HealthPlan) -> Iterator[pd.DataFrame]:
    """Yield what layer ``offre_soins`` says, a frame per line."""
    if _CARE not in layers:
        return
    care = layers[_CARE]
    common = care[["millesime", "source", "fichier", "statut"]].assign(zone=_QPV, code=care["code_qp"])
    for line in (line for heading in plan.rubriques for line in heading.offre):
        values = care[line.champ].astype("Float64")
        unknown = values.isna() & (care["statut"] == OK)
        remark = _far(care) if line.champ == _DISTANCE else _around(care)
        yield common.assign(
            ligne=care["categorie"].map(line.ligne.format),
            valeur=values,
            statut=care["statut"].where(~unknown, NOT_AVAILABLE),
            remarque=remark.where(care["statut"] == OK, plan.absences["sans_type"]),
        )


def _around(care: pd.DataFrame) -> pd.Series:
    """Say what a count of care is made of."""

    def sentence(row: "pd.Series[int]") -> str:
        drawn = f", dont {row['position_dans_la_rue']} au hasard dans leur rue" if row.iloc[2] else ""
        lost = f" Sans position sûre dans les communes : {row.iloc[3]}, non comptés." if row.iloc[3] else ""
        return f"Dans le quartier : {row.iloc[0]}. À 1 km au plus : {row.iloc[1]}{drawn}.{lost}"

    columns = ["nombre_qpv", "nombre_1000m", "position_dans_la_rue", "non_localises"]
    return care[columns].astype("Int64").apply(sentence, axis=1)


def _far(care: pd.DataFrame) -> pd.Series:
    """Say where a distance starts."""
    starts = {"bâtiments": "À vol d'oiseau, depuis le bâtiment du quartier le plus proche."}
    from_where = care["depuis"].map(starts).fillna("À vol d'oiseau, depuis le contour du quartier.")
    beyond = " Un autre, plus proche, peut être hors du territoire et de ses abords."
    return from_where + np.where(care["distance_m"] > AROUND, beyond, "")


def _of_access(layers: Layers, plan: HealthPlan) -> Iterator[pd.DataFrame]:
    """Yield what the layers of accessibility say, in the newest vintage of each profession."""
    for access in filter(None, (heading.acces for heading in plan.rubriques)):
        if (layer := layers.get(access.table)) is None:
            continue
        newest = layer.groupby("profession")["millesime"].transform("max")
        rows = layer[(layer["millesime"] == newest) & layer["zone"].isin(access.zones)]
        if access.table == _ACCESS and _CARE in layers:
            supply = layers[_CARE].iloc[0]
            rows = rows.assign(source=supply["source"], fichier=supply["fichier"])
            rows = rows.round({"valeur": _DECIMALS, "borne_basse": _DECIMALS, "borne_haute": _DECIMALS})
        yield rows.assign(ligne=rows["profession"].map(access.ligne.format))
