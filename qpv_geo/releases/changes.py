"""What changed between two releases, found in their own files."""

import json
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd

from qpv_geo.analysis.overlay import part_of
from qpv_geo.audit.geopackage import StoredTable, read_geopackage
from qpv_geo.errors import PublicationError
from qpv_geo.formats.descriptions import DESCRIPTOR
from qpv_geo.formats.fields import GEOMETRY_COLUMN, load_layers
from qpv_geo.formats.report_schema import (
    CellChange,
    Changes,
    ContourChange,
    HealthChange,
    HealthState,
    NamedField,
    NamedLayer,
    NamedQpv,
    RenamedQpv,
    RowsChange,
    SourceChange,
    SourceState,
    StatisticChange,
)
from qpv_geo.french import counted
from qpv_geo.sources.catalogue import Source, load_catalogue
from qpv_geo.statuses import STATUSES, VALUED
from qpv_geo.zones import department_of, zone_of

_QPV, _STATISTICS, _DICTIONARY, _SOURCES = "qpv", "statistiques", "indicateurs", "sources"
_HEALTH = "sante"
# Tables about the run itself; `Changes.sources` has what matters of them.
_OF_THE_RUN = {_SOURCES, "controles"}
# Areas are given to a tenth of a square metre: what rounds to zero is reprojection noise.
_DECIMALS = 1

_Names = Mapping[str, str | None]
"""Of QPV, by code."""
_Tables = Mapping[str, StoredTable]

# What a comparison cannot do without.
_NEEDED = {
    "qpv": {"code_qp", "lib_qp", GEOMETRY_COLUMN},
    "statistiques": {"zone", "code", "indicateur", "millesime", "valeur", "statut"},
    "indicateurs": {"indicateur", "libelle", "additif"},
    "sources": {"source", "titre", "etat", "millesime", "date_source", "origine", "fichier", "sha256"},
}
_GROUP = ["zone", "indicateur"]
_VALUES = ["valeur", "statut", "millesime"]
_LINE = ["code_qp", "ligne", "zone", "code"]
_NAMES = ["lib_qp", "libelle", "maille", "nom_zone", "unite", "source"]
# A country is not steered line by line, and its report would be as large as its tables.
_MOST_QPV = 200
_USUAL_GAP = Source.model_fields["comparable_after"].default
# Sums of floats: what differs beyond is noise.
_DIGITS = 6


def _paired(before: pd.DataFrame, after: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Return the rows of two tables side by side, with ``where`` they are, and which are ``unlike``."""
    cells = before.merge(after, on=key, how="outer", suffixes=("_avant", "_apres"), indicator="where")
    pairs = ((cells[f"{name}_avant"], cells[f"{name}_apres"]) for name in _VALUES)
    same = [(one == other) | (one.isna() & other.isna()) for one, other in pairs]
    return cells.assign(unlike=~np.logical_and.reduce(same))


def statistic_changes(
    before: pd.DataFrame, after: pd.DataFrame, dictionary: pd.DataFrame
) -> tuple[StatisticChange, ...]:
    """Return what changed in the statistics between the newest vintages of two releases, sorted.

    From both layers ``statistiques``, by kind of zone and indicator; a vintage that changes alone is a change
    too. `dictionary` holds the rows of both layers ``indicateurs``: labels, and what may be added; the last
    row of an indicator counts.
    """
    cells = _paired(_newest(before), _newest(after), [*_GROUP, "code"])
    cells["cellules"] = cells["unlike"] & (cells["where"] == "both")
    cells["apparues"], cells["disparues"] = (cells["where"] == side for side in ("right_only", "left_only"))
    labels = dict(zip(dictionary["indicateur"], dictionary["libelle"], strict=True))
    additive = dict(zip(dictionary["indicateur"], dictionary["additif"], strict=True))
    changes = []
    for (zone, indicator), rows in cells.groupby(_GROUP, sort=True):
        number = {name: int(rows[name].sum()) for name in ("cellules", "apparues", "disparues")}
        if any(number.values()):
            change = StatisticChange(
                zone=zone,
                indicateur=indicator,
                libelle=labels.get(indicator),
                millesime_avant=_vintage(rows["millesime_avant"]),
                millesime_apres=_vintage(rows["millesime_apres"]),
                nombre_avant=len(rows) - number["apparues"],
                nombre_apres=len(rows) - number["disparues"],
                **_summary(rows, str(zone), additive=bool(additive.get(indicator))),
                plus_grand_ecart=_largest(rows),
                **number,
            )
            changes.append(change)
    return tuple(changes)


def _newest(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the cells of the newest vintage of each kind of zone and indicator."""
    newest = frame.groupby(_GROUP)["millesime"].transform("max")
    cells = frame.loc[frame["millesime"] == newest, [*_GROUP, "code", *_VALUES]]
    return cells.astype({"valeur": "float64"})


def _vintage(column: pd.Series) -> str | None:
    return next(iter(column.dropna().astype(str)), None)


def _summary(cells: pd.DataFrame, zone: str, *, additive: bool) -> dict[str, float | None]:
    """Return the totals, or the medians, before and after of the values that are there; None without any."""
    name = "total" if additive else "mediane"
    found: dict[str, float | None] = {"total_avant": None, "total_apres": None}
    for moment in ("avant", "apres"):
        values = cells[f"valeur_{moment}"].dropna()
        if len(values) and (additive or zone == _QPV):
            found[f"{name}_{moment}"] = round(float(values.sum() if additive else values.median()), _DIGITS)
    return found


def _largest(cells: pd.DataFrame) -> CellChange | None:
    """Return the zone whose value changed most, or None if no value became another."""
    gap = (cells["valeur_apres"] - cells["valeur_avant"]).abs()
    if not gap.max() > 0:
        return None
    row = cells[gap == gap.max()].to_dict("records")[0]
    return CellChange(code=row["code"], avant=row["valeur_avant"], apres=row["valeur_apres"])


def health_changes(before: pd.DataFrame, after: pd.DataFrame) -> tuple[HealthChange, ...]:
    """Return the lines of two tables ``sante`` whose value, status or vintage changed, in their order.

    A line that one of them lacks has no state there. Nothing is returned for a territory of many QPV.
    """
    if after["code_qp"].nunique() > _MOST_QPV:
        return ()
    columns = [*_LINE, "ordre", *_NAMES, *HealthState.model_fields]
    cells = _paired(before[columns], after[columns], _LINE)
    cells = cells[cells["unlike"] | (cells["where"] != "both")]
    cells["ordre"] = cells["ordre_apres"].fillna(cells["ordre_avant"])
    cells = cells.sort_values(["code_qp", "ordre", "code"]).astype(object)
    changes = []
    for row in cells.where(cells.notna(), None).to_dict("records"):
        earlier = None if row["where"] == "right_only" else _state(row, "avant")
        later = None if row["where"] == "left_only" else _state(row, "apres")
        names = {name: row[f"{name}_apres"] or row[f"{name}_avant"] for name in _NAMES}
        comparable, reason = compare_states(earlier, later, names.pop("source") or "")
        key = {name: row[name] for name in _LINE}
        names |= key | {"avant": earlier, "apres": later, "comparable": comparable, "raison": reason}
        changes.append(HealthChange.model_validate(names))
    return tuple(changes)


def _state(row: Mapping[Hashable, object], moment: str) -> HealthState:
    return HealthState.model_validate({name: row[f"{name}_{moment}"] for name in HealthState.model_fields})


def compare_states(before: HealthState | None, after: HealthState | None, source: str) -> tuple[bool, str]:
    """Tell whether two values of a line may be compared, and say in French what to make of them.

    `source` names the sources of the later value; the strictest of them decides (`Source.comparable_after`,
    `Source.comparable_from`).
    """
    if before is None:
        return False, "Ligne nouvelle."
    if after is None:
        return False, "Ligne qui n'existe plus."
    for state, moment in ((before, "avant"), (after, "maintenant")):
        if state.statut not in VALUED:
            return False, f"Pas de valeur {moment} : {STATUSES[state.statut].words}."
    if before.millesime == after.millesime:
        return True, "Même millésime : la valeur a été corrigée, ce n'est pas une évolution."
    if refusal := _too_near(before.millesime or "", after.millesime or "", source):
        return False, refusal
    states = (before, after)
    lows, highs = ([getattr(state, f"borne_{end}") for state in states] for end in ("basse", "haute"))
    text = "Millésimes comparables."
    if None not in lows + highs and max(lows) <= min(highs):
        text += " Les intervalles se recouvrent : l'écart peut n'être dû qu'au hasard."
    return True, text


def _too_near(before: str, after: str, source: str) -> str:
    """Return why two vintages are not compared; an empty text if they may be."""
    catalogue = {one.id: one for one in load_catalogue().sources}
    known = [catalogue[name] for name in source.split(", ") if name in catalogue]
    breaks = [one.comparable_from for one in known if before < one.comparable_from <= after]
    if breaks:
        return f"La série recommence en {max(breaks)} : les millésimes d'avant ne s'y comparent pas."
    needed = max((one.comparable_after for one in known), default=_USUAL_GAP)
    earlier, later = (re.match(r"\d{4}", vintage) for vintage in (before, after))
    if not earlier or not later or abs(int(later[0]) - int(earlier[0])) < needed:
        return f"Millésimes trop proches : il faut au moins {counted(needed, 'an')} d'écart pour comparer."
    return ""


@dataclass(frozen=True)
class PublishedRelease:
    """A release read back: its layers by name."""

    id: str
    fingerprint: str
    tables: _Tables


def read_published(path: Path) -> PublishedRelease:
    """Read a release from its descriptor and its GeoPackage.

    Raises `PublicationError` if it cannot be read, or lacks what a comparison needs.
    """
    try:
        descriptor = json.loads((path / DESCRIPTOR).read_text(encoding="utf-8"))
        (package,) = path.glob("qpv_*.gpkg")
        tables = read_geopackage(package)
        _require_what_is_compared(tables)
        return PublishedRelease(descriptor["version"], descriptor["fingerprint"], tables)
    except (OSError, ValueError, KeyError, TypeError, PublicationError) as error:
        raise PublicationError(
            f"{path}: the release cannot be read ({type(error).__name__}: {error}); "
            "`qpv-geo releases verify` tells what is wrong with it"
        ) from error


def _require_what_is_compared(tables: _Tables) -> None:
    for name, columns in _NEEDED.items():
        if missing := columns - set(tables[name].rows.columns):
            raise KeyError(f"layer {name} lacks {', '.join(sorted(missing))}")


def compare_releases(before: PublishedRelease, after: PublishedRelease) -> Changes:
    """Return what changed from one release to another.

    Areas are measured in the CRS of `after` or, if that is in degrees, of the QPV's part of France. What only
    one version of the project publishes shows as a layer, field or indicator that was added or removed.
    """
    earlier, later = before.tables, after.tables
    qpv = (earlier[_QPV], later[_QPV])
    old, new = (dict(zip(table.rows["code_qp"], table.rows["lib_qp"], strict=True)) for table in qpv)
    has_health = _HEALTH in earlier and _HEALTH in later
    health = health_changes(earlier[_HEALTH].rows, later[_HEALTH].rows) if has_health else ()
    return Changes(
        precedente=before.id,
        empreinte_precedente=before.fingerprint,
        qpv_entres=_qpv_only_in(new, old),
        qpv_sortis=_qpv_only_in(old, new),
        qpv_renommes=tuple(
            RenamedQpv(code_qp=code, avant=old[code], apres=new[code])
            for code in sorted(old.keys() & new.keys())
            if old[code] != new[code]
        ),
        contours=_contours(*qpv, new),
        statistiques=statistic_changes(
            earlier[_STATISTICS].rows,
            later[_STATISTICS].rows,
            pd.concat([earlier[_DICTIONARY].rows, later[_DICTIONARY].rows]),
        ),
        sante=health,
        couches_ajoutees=_layers_only_in(later, earlier),
        couches_retirees=_layers_only_in(earlier, later),
        champs_ajoutes=_fields_only_in(later, earlier),
        champs_retires=_fields_only_in(earlier, later),
        lignes=tuple(
            change
            for name, table in later.items()
            if name in earlier and name not in _OF_THE_RUN
            if (change := _rows(name, earlier[name], table))
        ),
        sources=_sources(earlier[_SOURCES].rows, later[_SOURCES].rows),
    )


def _qpv_only_in(here: _Names, there: _Names) -> tuple[NamedQpv, ...]:
    return tuple(NamedQpv(code_qp=code, lib_qp=here[code]) for code in sorted(here.keys() - there.keys()))


def _contours(before: StoredTable, after: StoredTable, names: _Names) -> tuple[ContourChange, ...]:
    """Overlay the old and new contours of each QPV whose contour changed."""
    shapes = after.shapes
    later = dict(zip(after.rows["code_qp"], shapes, strict=True))
    earlier = dict(zip(before.rows["code_qp"], before.shapes.to_crs(shapes.crs), strict=True))
    changes = []
    for code in sorted(earlier.keys() & later.keys()):
        if earlier[code] == later[code]:
            continue
        pair = gpd.GeoSeries([earlier[code], later[code]], crs=shapes.crs)
        # A release of all France is in degrees.
        old, new = pair if pair.crs.is_projected else pair.to_crs(zone_of(department_of(code)).epsg)
        gained, lost = (
            round(float(part_of(one, other, inside=False).area), _DECIMALS)
            for one, other in ((new, old), (old, new))
        )
        if gained or lost:
            change = ContourChange(
                code_qp=code,
                lib_qp=names[code],
                surface_avant_m2=round(old.area, _DECIMALS),
                surface_apres_m2=round(new.area, _DECIMALS),
                entrant_m2=gained,
                sortant_m2=lost,
            )
            changes.append(change)
    return tuple(changes)


def _layers_only_in(here: _Tables, there: _Tables) -> tuple[NamedLayer, ...]:
    names = [name for name in here if name not in there]
    return tuple(NamedLayer(couche=name, titre=here[name].title) for name in names)


def _fields_only_in(here: _Tables, there: _Tables) -> tuple[NamedField, ...]:
    return tuple(
        NamedField(couche=name, champ=field)
        for name, table in here.items()
        if name in there
        for field in table.fields
        if field not in there[name].fields
    )


def _rows(name: str, before: StoredTable, after: StoredTable) -> RowsChange | None:
    """Count the rows that were added, removed or changed; fields that only one release has do not count."""
    common = [column for column in after.rows.columns if column in set(before.rows.columns)]
    layer = load_layers().get(name)
    key = list(layer.key) if layer and set(layer.key) <= set(common) else common
    rest = [column for column in common if column not in key]
    tables = (table.rows[[*key, *rest]].itertuples(index=False, name=None) for table in (before, after))
    earlier, later = ({row[: len(key)]: row[len(key) :] for row in rows} for rows in tables)
    shared = earlier.keys() & later.keys()
    change = RowsChange(
        couche=name,
        titre=after.title,
        avant=len(before.rows),
        apres=len(after.rows),
        ajoutees=len(later.keys() - shared),
        retirees=len(earlier.keys() - shared),
        modifiees=sum(earlier[row] != later[row] for row in shared),
    )
    return change if change.ajoutees or change.retirees or change.modifiees else None


def _sources(before: pd.DataFrame, after: pd.DataFrame) -> tuple[SourceChange, ...]:
    both = pd.concat([before, after])
    titles = dict(zip(both["source"], both["titre"], strict=True))
    earlier, later = _states(before), _states(after)
    return tuple(
        SourceChange(source=source, titre=title, avant=earlier.get(source), apres=later.get(source))
        for source, title in titles.items()
        if earlier.get(source) != later.get(source)
    )


def _states(sources: pd.DataFrame) -> dict[str, SourceState]:
    read = sources[sources["etat"] == "lue"].set_index("source")[[*SourceState.model_fields]]
    return {str(code): SourceState.model_validate(row) for code, row in read.to_dict("index").items()}
