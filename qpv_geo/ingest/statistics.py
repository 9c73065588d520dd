"""Statistics of any producer: tables of text to long rows of value, status, interval and provenance."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from qpv_geo.checks import Check, Outcome
from qpv_geo.errors import ContractError, SourceContentError
from qpv_geo.french import counted, first_of
from qpv_geo.ingest.cell_text import report_reading, sentence
from qpv_geo.ingest.codes import QPV_2015, QPV_2024
from qpv_geo.ingest.contracts import Problems, code_column, validate
from qpv_geo.ingest.distribution import compare_scale, load_distributions
from qpv_geo.ingest.measures import (
    Columns,
    MeasureColumn,
    add_intervals,
    explain_blanks,
    read_measure,
    require_columns,
    sort_columns,
)
from qpv_geo.ingest.recognition import ZoneTable
from qpv_geo.ingest.registry import Registry
from qpv_geo.ingest.statistic_tables import Scope, read_source_tables
from qpv_geo.ingest.text_table import Dictionary
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Source, Zone
from qpv_geo.sources.raw import RawFile
from qpv_geo.statuses import OK, STATUSES
from qpv_geo.zones import is_metropolitan

_GEOGRAPHY_2024 = date(2024, 1, 1)
_COLUMNS = [
    "zone", "code", "indicateur", "millesime", "valeur", "statut", "borne_basse", "borne_haute", "remarque",
    "source", "fichier", "fichier_intervalle", "code_producteur", "geographie",
]  # fmt: skip


@dataclass(frozen=True)
class Statistics:
    """What one source holds."""

    rows: pd.DataFrame
    """One row per zone and indicator: ``zone`` (its kind), ``code``, ``indicateur``, ``millesime``,
    ``valeur`` (float, NaN where there is none), ``statut``, ``borne_basse`` and ``borne_haute`` (of the 95 %
    confidence interval, NaN without), ``remarque`` (what the producer says of the cell, or None), ``source``,
    ``fichier``, ``fichier_intervalle``, ``code_producteur``, ``geographie`` (date)."""
    unknown: tuple[tuple[str, str], ...]
    """Producer's code and label of the columns that the registry does not know. They are in `rows` too, under
    their code in lower case."""
    missing: tuple[str, ...]
    """Ids of the indicators that the registry expects of this source's own zones and its tables lack."""
    checks: tuple[Check, ...]
    """What was controlled, and which columns were left out (``colonne_ecartee``)."""


@dataclass
class _Part:
    """One table of estimates: its measures, and the columns of text and of faults, which are none."""

    table: ZoneTable
    columns: Columns
    measures: list[MeasureColumn]
    faults: dict[str, Problems]
    texts: list[str]


def read_statistics(
    raw: RawFile, registry: Registry, settings: Settings, scope: Scope | None = None
) -> Statistics:
    """Read every table of a source and hold it to its contract; columns that break theirs are left out.

    Without a `scope`, all rows are read. Raises `SourceContentError` if a file is not what its format says,
    and `ContractError` if no key is known, a code is wrong or there twice, a required indicator is missing or
    wrong, or two tables give one cell two values; the message lists every problem.
    """
    source = raw.source
    scope = scope or Scope()
    tables, dictionary = read_source_tables(raw, settings, scope)
    for table in tables:
        _check_codes(table, source)
    estimates = [table for table in tables if not table.intervals]
    parts = [_read_table(table, source, registry, dictionary) for table in estimates]
    remarks: list[str] = []
    for table in (table for table in tables if table.intervals):
        of_zone = [part for part in parts if part.table.zone == table.zone]
        for part in of_zone:
            remarks += add_intervals(table, part.table, part.measures, part.faults, source)
        if not of_zone:
            remarks.append(f"intervalles de {table.text.name} sans les estimations")
    _require(parts, raw, registry)
    _merge_repeated_columns(parts, raw)
    checks = [check for part in parts for check in _report(part, source)]
    missing: dict[Zone, tuple[str, ...]] = {}
    for zone in dict.fromkeys(part.table.zone for part in parts):
        group = [part for part in parts if part.table.zone == zone]
        known = {indicator.id for part in group for indicator in part.columns.known.values()}
        missing[zone] = tuple(
            indicator.id
            for indicator in registry.of_source(source.family)
            if indicator.is_awaited
            and indicator.expected_of(source.family, zone)
            and indicator.id not in known
        )
        checks.append(_recognised(group, len(known), missing[zone], _subject(source, zone)))
    labels = {code: label for part in parts for code, label in part.table.text.labels.items()}
    labels |= {code: label for code, label in dictionary.labels.items() if label}
    unread = [measure.column for part in parts for measure in part.measures if measure.indicator is None]
    unknown = tuple((column, labels.get(column.upper(), "")) for column in dict.fromkeys(unread))
    if nameless := [column for column, label in unknown if not label]:
        remarks.append(f"aucun dictionnaire ne dit ce que mesurent {first_of(nameless)}")
    checks.append(report_reading(remarks, counted(len(tables), "table"), source.id))
    rows = [_rows(part, source, registry, scope.qpv) for part in parts if part.measures]
    frame = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=_COLUMNS)
    return Statistics(frame, unknown, missing.get(source.zone, ()), tuple(checks))


def differences_from_declaration(raw: RawFile, registry: Registry, settings: Settings) -> list[str]:
    """Say what is not as declared in a source of statistics: what is broken, left out, or missing."""
    try:
        found = read_statistics(raw, registry, settings)
    except (ContractError, SourceContentError) as error:
        return [str(error)]
    left_out = [check.message for check in found.checks if check.code == "colonne_ecartee"]
    return left_out + [f"no column of indicator {indicator!r}" for indicator in found.missing]


def _check_codes(table: ZoneTable, source: Source) -> None:
    """Hold the key to its contract: each code of the right form, and once."""
    problems = Problems(table.text.label, source)
    codes, kind = pd.DataFrame({table.key: table.codes}), table.kind
    if table.zone == "qpv":
        old = source.geography is not None and source.geography < _GEOGRAPHY_2024
        kind = QPV_2015 if old else QPV_2024
    schema = pa.DataFrameSchema({table.key: code_column(kind, key=True)})
    validate(codes, schema, problems, table.text.where, as_published=table.text.cells)
    problems.raise_if_any()


def _read_table(table: ZoneTable, source: Source, registry: Registry, dictionary: Dictionary) -> _Part:
    columns = sort_columns(table, registry, source, dictionary.modalities)
    of_qpv = np.array([table.zone == "qpv" and is_metropolitan(code) for code in table.codes], dtype=bool)
    part = _Part(table, columns, [], {}, [])
    for name in [*columns.known, *(columns.unknown if source.keep_unknown else ())]:
        fault = Problems(table.text.label, source)
        measure = read_measure(table.text, name, columns.known.get(name), source.blank, fault)
        if measure and measure.indicator and not fault:
            found = (measure.indicator, source.vintage, measure.value, of_qpv)
            if mismatch := compare_scale(*found, load_distributions()):
                fault.add(*mismatch, column=name)
        if fault:
            part.faults[name] = fault
        elif measure is None:
            part.texts.append(name)
        else:
            part.measures.append(measure)
    explain_blanks(part.measures, table.text, columns.notes, dictionary)
    return part


def _require(parts: Sequence[_Part], raw: RawFile, registry: Registry) -> None:
    """Raise if a required indicator is missing or at fault, or if the registry knows no column at all."""
    source = raw.source
    problems = Problems(raw.label, source)
    own = [part for part in parts if part.table.zone == source.zone]
    require_columns([(part.table, part.columns) for part in own], registry, problems)
    for part in own:
        of_table = Problems(part.table.text.label, source)
        for name, fault in part.faults.items():
            indicator = part.columns.known.get(name)
            if indicator and indicator.required:
                of_table.merge(fault)
        of_table.raise_if_any()
    if parts and not problems and not any(part.measures or part.faults for part in parts):
        spelled = [str(column) for part in parts for column in part.table.text.cells.columns]
        problems.add("at least one column that measures something", f"none among {', '.join(spelled)}")
    problems.raise_if_any()


def _merge_repeated_columns(parts: Sequence[_Part], raw: RawFile) -> None:
    """Drop a measure that stands in an earlier table of the same zones with the same values.

    If the two differ, or share some zones alone, nothing tells which is right: that is a broken contract.
    """
    problems = Problems(raw.label, raw.source)
    seen: dict[tuple[Zone, str], tuple[ZoneTable, MeasureColumn]] = {}
    for part in parts:
        kept = []
        for measure in part.measures:
            first = seen.setdefault((part.table.zone, measure.name), (part.table, measure))
            if first[1] is measure or not _repeats(first, (part.table, measure), problems):
                kept.append(measure)
        part.measures = kept
    problems.raise_if_any()


def _repeats(
    first: tuple[ZoneTable, MeasureColumn], second: tuple[ZoneTable, MeasureColumn], problems: Problems
) -> bool:
    """Tell whether all zones of the second table stand in the first; add a problem for values that differ."""
    (table, measure), (other, repeated) = first, second
    places = pd.Index(table.codes).get_indexer(pd.Index(other.codes))
    shared = places >= 0
    # A sheet writes 26 what a CSV file writes 26,0.
    values, statuses = measure.value[places], measure.status[places]
    same = np.isclose(values, repeated.value, rtol=0, atol=0, equal_nan=True) & (statuses == repeated.status)
    different = np.flatnonzero(shared & ~same)
    both = f"{table.text.name} and {other.text.name}"
    problems.add_rows(
        f"one value for a zone in {both}",
        other.text.where[different],
        [f"{measure.texts[places[row]]!r} and {repeated.texts[row]!r}" for row in different],
        column=measure.column,
    )
    if shared.any() and not shared.all():
        problems.add(f"the same zones in {both}, or other ones", "some zones in both", column=measure.column)
    return bool(shared.all())


def _rows(part: _Part, source: Source, registry: Registry, qpv: Collection[str] | None) -> pd.DataFrame:
    """Return one row per zone and measure; of other QPV than `qpv`, only for measures that are ranked."""
    table, measures = part.table, part.measures
    every = np.arange(len(table.codes))
    own = every
    if qpv is not None and table.zone == "qpv":
        # One row tells which measures the source has, where it has none of these QPV.
        own = np.flatnonzero(table.codes.isin(qpv)) if table.codes.isin(qpv).any() else every[:1]
    ranked = registry.ranked
    # One measure is kept whole in any case: it says which QPV the source has rows of.
    whole = {n for n, measure in enumerate(measures) if measure.name in ranked} or {0}
    chosen = [every if n in whole else own for n in range(len(measures))]
    sizes = [len(places) for places in chosen]

    def cells(name: str) -> NDArray[Any]:
        arrays = (getattr(measure, name)[places] for measure, places in zip(measures, chosen, strict=True))
        return np.concatenate(list(arrays))

    def each(values: Sequence[str | None]) -> NDArray[np.object_]:
        return np.repeat(np.array(values, dtype=object), sizes)

    rows = pd.DataFrame(
        {
            "zone": table.zone,
            "code": table.codes.to_numpy(dtype=object)[np.concatenate(chosen)],
            "indicateur": each([_name(measure, source, registry) for measure in measures]),
            "millesime": source.vintage,
            "valeur": cells("value"),
            "statut": cells("status"),
            "borne_basse": cells("low"),
            "borne_haute": cells("high"),
            "remarque": cells("remark"),
            "source": source.id,
            "fichier": table.text.name,
            "fichier_intervalle": each([measure.interval_file for measure in measures]),
            "code_producteur": each([measure.column for measure in measures]),
            "geographie": source.geography,
        },
        columns=_COLUMNS,
    )
    rows.loc[rows["borne_basse"].isna(), "fichier_intervalle"] = None
    return rows


def _name(measure: MeasureColumn, source: Source, registry: Registry) -> str:
    """Name the indicator of a measure; an unknown one never takes the name of a known one."""
    if measure.indicator:
        return measure.indicator.id
    name = measure.column.lower()
    return f"{name}_{source.id}" if name in registry.by_id else name


def _subject(source: Source, zone: Zone) -> str:
    return source.id if zone == source.zone else f"{source.id} ({zone})"


def _report(part: _Part, source: Source) -> list[Check]:
    """Return what there is to say of one table: how it was read, what is absent, what was left out."""
    text = part.table.text
    subject = f"{_subject(source, part.table.zone)}, {text.name}"
    reasons = Counter(status for measure in part.measures for status in measure.status.tolist())
    values = reasons.pop(OK, 0)
    counts = [f"{STATUSES[reason].words} ({count})" for reason, count in sorted(reasons.items())]
    message = f"Valeurs absentes : {', '.join(counts)}." if counts else "Aucune valeur absente."
    checks = [
        report_reading(text.remarks, counted(len(text.cells), "ligne"), subject),
        Check("valeurs_absentes", subject, "conforme", "", f"{values} valeurs", message),
    ]
    for name, fault in part.faults.items():
        message = f"Colonne {name} écartée, le reste du fichier est repris : {fault}"
        checks.append(Check("colonne_ecartee", f"{subject}, {name}", "avertissement", "", "", message))
    return checks


def _recognised(parts: list[_Part], known: int, missing: tuple[str, ...], subject: str) -> Check:
    """Say which indicators the tables lack, and which of their columns the registry does not know."""
    unread = [measure.column for part in parts for measure in part.measures if measure.indicator is None]
    texts = [column for part in parts for column in part.texts]
    ignored = sum(len(part.columns.unknown) for part in parts) - len(unread) - len(texts)
    sentences = []
    if missing:
        sentences.append(f"indicateurs absents du fichier : {first_of(missing)}")
    if unread:
        sentences.append(f"colonnes hors registre, reprises sous leur code : {first_of(unread)}")
    outcome: Outcome = "avertissement" if sentences else "conforme"
    if texts:
        sentences.append(f"colonnes de texte non reprises : {first_of(texts)}")
    if ignored > 0:
        sentences.append(f"{ignored} colonnes hors registre non reprises")
    message = sentence(sentences) or "Tous les indicateurs attendus, et aucun autre."
    return Check("indicateurs_reconnus", subject, outcome, str(known + len(missing)), str(known), message)
