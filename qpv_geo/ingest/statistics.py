"""Statistics of any producer: wide tables of text to long rows of value, status and provenance."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from qpv_geo.checks import Check, Outcome
from qpv_geo.ingest.codes import (
    COMMUNE,
    DEPARTEMENT,
    ENSEMBLE_QPV,
    EPCI,
    IRIS,
    QPV_2015,
    QPV_2024,
    REGION,
    CodeKind,
)
from qpv_geo.ingest.columns import Columns, sort_columns
from qpv_geo.ingest.contracts import Problems, code_column, validate
from qpv_geo.ingest.delimited import RowFilter, read_delimited, read_dictionary
from qpv_geo.ingest.registry import Indicator, Registry
from qpv_geo.ingest.text import report_reading, sentence
from qpv_geo.ingest.text_table import MARKS, TextTable, parse_values
from qpv_geo.ingest.workbook import read_workbook
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import Member, find_members, read_member
from qpv_geo.sources.catalogue import Source, Zone
from qpv_geo.sources.raw import RawFile

_GEOGRAPHY_2024 = date(2024, 1, 1)
_MARKS = ", ".join(mark for mark in MARKS if mark)
_LISTED = 20

# The codes of zones other than QPV.
_CODES = {
    "commune": COMMUNE,
    "epci": EPCI,
    "departement": DEPARTEMENT,
    "region": REGION,
    "ensemble_qpv": ENSEMBLE_QPV,
    "iris": IRIS,
}
_COMMUNE_DIGITS = 5
# What a mask says of a zone whose values are published.
_NOT_MASKED = ("", "0")


@dataclass(frozen=True)
class Statistics:
    """What one source holds.

    Attributes
    ----------
    rows
        One row per zone and indicator: ``zone`` (its kind), ``code``, ``indicateur``, ``millesime``,
        ``valeur`` (float, NaN where there is none), ``statut``, ``borne_basse`` and ``borne_haute`` (of the
        95 % confidence interval, NaN without), ``remarque`` (what the producer says of the cell, or None),
        ``source``, ``fichier``, ``fichier_intervalle``, ``code_producteur``, ``geographie`` (date).
    unknown
        Producer's code and label of the columns that the registry does not know. They are in `rows` too,
        under their code in lower case.
    missing
        Ids of the indicators that the registry expects of this source and its main table has not.
    checks
        What was controlled.
    """

    rows: pd.DataFrame
    unknown: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class _Measures:
    """The measuring columns of a table, parsed: arrays of one row per column and one column per zone."""

    names: tuple[str, ...]
    value: NDArray[np.float64]
    status: NDArray[np.object_]


def read_statistics(
    raw: RawFile, registry: Registry, settings: Settings, communes: Collection[str] | None = None
) -> Statistics:
    """Read every table of a source and hold it to its contract.

    Parameters
    ----------
    raw
        INSEE's CSV (bare, or in an archive with its dictionary) or an older ``.xls`` workbook.
    registry
        Names and bounds of the indicators, and the producer's codes for them.
    settings
        Limits of archives.
    communes
        INSEE codes: of a table by IRIS, only the rows of these communes are read. None for all of them.

    Raises
    ------
    SourceContentError
        If a file is not what its format says.
    ContractError
        If the key or a required indicator is missing, a code is wrong or there twice, a cell is neither a
        number nor one of INSEE's marks, or a value is out of its bounds; the message lists every problem.
    """
    tables = _tables(raw, settings, communes)
    parts = [_read_table(table, raw.source, registry) for table in tables]
    by_zone = {table.zone: [part for part in parts if part.table.zone == table.zone] for table in tables}
    checks = [check for part in parts for check in part.checks]
    missing: tuple[str, ...] = ()
    for zone, group in by_zone.items():
        lacking = _missing(zone, group, raw.source, registry)
        missing = lacking if zone == raw.source.zone else missing
        checks.append(_recognised(group, lacking, _subject(raw.source, zone)))
    return Statistics(
        pd.concat([part.rows for part in parts], ignore_index=True),
        tuple(dict.fromkeys(pair for part in parts for pair in part.unknown)),
        missing,
        tuple(checks),
    )


def code_kind(zone: Zone, source: Source) -> CodeKind:
    """Return what the codes of a kind of zone look like; those of QPV depend on the source's geography."""
    if zone == "qpv":
        old = source.geography is not None and source.geography < _GEOGRAPHY_2024
        return QPV_2015 if old else QPV_2024
    return _CODES[zone]


@dataclass(frozen=True)
class _Table:
    """A table of a source, the kind of zone that it is about, and how its checks name it."""

    text: TextTable
    zone: Zone
    main: bool
    subject: str


@dataclass(frozen=True)
class _Part:
    """What was read of a table: rows, columns by what became of them, and its own checks."""

    table: _Table
    rows: pd.DataFrame
    columns: Columns
    unread: tuple[str, ...]
    texts: tuple[str, ...]
    ignored: int
    checks: tuple[Check, ...]

    @property
    def unknown(self) -> list[tuple[str, str]]:
        labels = self.table.text.labels
        return [(column, labels.get(column.upper(), "")) for column in self.unread]


def _subject(source: Source, zone: Zone) -> str:
    return source.id if zone == source.zone else f"{source.id} ({zone})"


def _tables(raw: RawFile, settings: Settings, communes: Collection[str] | None) -> list[_Table]:
    """Read the main table, first, and the others that the archive holds, by kind of zone."""
    source = raw.source
    if source.format == "xls":
        kind = code_kind(source.zone, source)
        workbook = read_workbook(raw, source.member or "", kind, settings)
        return [_Table(workbook, source.zone, main=True, subject=source.id)]
    dictionary = read_dictionary(raw, settings)
    main = read_member(raw, source.member, settings)
    members: list[tuple[Zone, Member]] = [(source.zone, main)]
    for zone, pattern in source.members.items():
        members += [
            (zone, member) for member in find_members(raw, pattern, settings) if member.name != main.name
        ]
    absent = [zone for zone in source.members if zone not in {found for found, _ in members}]
    remarks = dictionary.remarks
    if absent:
        remarks += (f"pas de fichier pour les zones de type {', '.join(absent)}",)
    tables = []
    for zone, member in members:
        text = read_delimited(raw, member, _of_communes(source, communes) if zone == "iris" else None)
        text = replace(
            text,
            labels=dictionary.labels,
            categories=dictionary.categories,
            remarks=text.remarks + remarks if member is main else text.remarks,
        )
        alone = [found for found, _ in members].count(zone) == 1
        subject = _subject(source, zone) if alone or member is main else f"{source.id} ({zone}, {text.name})"
        tables.append(_Table(text, zone, main=member is main, subject=subject))
    return tables


def _of_communes(source: Source, communes: Collection[str] | None) -> RowFilter | None:
    """Keep the IRIS of communes: a code begins with that of its commune."""
    if communes is None:
        return None
    wanted = frozenset(communes)
    expected = "at least one IRIS of the territory's communes"
    return RowFilter(source.key, lambda code: code[:_COMMUNE_DIGITS] in wanted, expected)


def _read_table(table: _Table, source: Source, registry: Registry) -> _Part:
    text = table.text
    problems = Problems(text.label, source)
    columns = sort_columns(text, table.zone, registry, problems, main=table.main)
    ignored = () if source.keep_unknown else columns.unknown
    if ignored:
        columns = replace(columns, unknown=())
    validate(
        text.cells[[columns.key]],
        pa.DataFrameSchema({columns.key: code_column(code_kind(table.zone, source), key=True)}),
        problems,
        text.where,
    )
    measures = _parse(text, columns, problems)
    _check_bounds(text, columns, measures, problems)
    problems.raise_if_any()
    masked = _mask(text, columns, measures)
    names = _names(measures.names, columns.known, source, registry)
    rows = _long(text, columns.key, measures, names).assign(
        zone=table.zone,
        borne_basse=np.nan,
        borne_haute=np.nan,
        remarque=None,
        fichier_intervalle=None,
        source=source.id,
        fichier=text.name,
        millesime=source.vintage,
        geographie=source.geography,
    )
    checks = [
        report_reading(text.remarks, f"{len(text.cells)} lignes", table.subject),
        _absences(rows["statut"], table.subject),
    ]
    if columns.masks:
        checks.append(_report_masks(columns.masks, masked, table.subject))
    return _Part(
        table,
        rows[list(_COLUMNS)],
        columns,
        tuple(column for column in columns.unknown if column in measures.names),
        tuple(column for column in columns.unknown if column not in measures.names),
        len(ignored),
        tuple(checks),
    )


_COLUMNS = (
    "zone", "code", "indicateur", "millesime", "valeur", "statut", "borne_basse", "borne_haute", "remarque",
    "source", "fichier", "fichier_intervalle", "code_producteur", "geographie",
)  # fmt: skip


def _parse(table: TextTable, columns: Columns, problems: Problems) -> _Measures:
    """Parse the known columns, and the unknown ones but for those that hold text and not one number."""
    names = [*columns.known, *columns.unknown]
    shape = (len(names), len(table.cells))
    cells = pd.concat([table.cells[name] for name in names], ignore_index=True)
    parsed = parse_values(cells)
    wrong = parsed.wrong.reshape(shape)
    numeric = (parsed.status == "ok").reshape(shape).any(axis=1)
    text = [n >= len(columns.known) and wrong[n].any() and not numeric[n] for n in range(len(names))]
    kept = np.flatnonzero(~np.array(text, dtype=bool))
    for n in kept.tolist():
        found = table.cells[names[n]][wrong[n]].map(repr)
        expected = f"a number with a decimal comma, or one of the marks {_MARKS}, or nothing"
        problems.add_rows(expected, table.where[wrong[n]], found, column=names[n])
    return _Measures(
        tuple(names[n] for n in kept), parsed.value.reshape(shape)[kept], parsed.status.reshape(shape)[kept]
    )


def _mask(table: TextTable, columns: Columns, measures: _Measures) -> int:
    """Take away the values of the zones that the source masks, and return how many zones that are."""
    masked = np.zeros(len(table.cells), dtype=bool)
    for column in columns.masks:
        masked |= ~table.cells[column].isin(_NOT_MASKED).to_numpy()
    hidden = masked[np.newaxis, :] & (measures.status == "ok")
    measures.value[hidden] = np.nan
    measures.status[hidden] = "secret"
    return int(masked.sum())


def _check_bounds(table: TextTable, columns: Columns, measures: _Measures, problems: Problems) -> None:
    """Check the values of known indicators against the registry's bounds."""
    rules = {}
    for name, indicator in columns.known.items():
        unit = f" {indicator.unit}".rstrip()
        checks = []
        if np.isfinite(indicator.minimum):
            checks.append(pa.Check.ge(indicator.minimum, error=f"at least {indicator.minimum:g}{unit}"))
        if np.isfinite(indicator.maximum):
            checks.append(pa.Check.le(indicator.maximum, error=f"at most {indicator.maximum:g}{unit}"))
        rules[name] = pa.Column(checks=checks, nullable=True)
    values = pd.DataFrame(dict(zip(measures.names, measures.value, strict=True)))
    validate(values, pa.DataFrameSchema(rules), problems, table.where, as_published=table.cells)


def _names(
    columns: tuple[str, ...], known: dict[str, Indicator], source: Source, registry: Registry
) -> list[str]:
    """Name the indicator of each column; an unknown one never takes the name of a known one."""
    taken = {indicator.id for indicator in registry.indicators}
    names = []
    for column in columns:
        name = known[column].id if column in known else column.lower()
        names.append(f"{name}_{source.id}" if column not in known and name in taken else name)
    return names


def _long(table: TextTable, key: str, measures: _Measures, names: list[str]) -> pd.DataFrame:
    """Return one row per zone and column."""
    size = len(table.cells)
    return pd.DataFrame(
        {
            "code": np.tile(table.cells[key].to_numpy(dtype=object), len(names)),
            "indicateur": np.repeat(np.array(names, dtype=object), size),
            "code_producteur": np.repeat(np.array(measures.names, dtype=object), size),
            "valeur": measures.value.ravel(),
            "statut": measures.status.ravel(),
        }
    )


def _missing(zone: Zone, parts: list[_Part], source: Source, registry: Registry) -> tuple[str, ...]:
    """Return the indicators that the registry expects of tables of this kind and none of them has."""
    found = {indicator.id for part in parts for indicator in part.columns.known.values()}
    return tuple(
        indicator.id
        for indicator in registry.of_source(source.id)
        if indicator.expected_of(source.id, zone) and indicator.id not in found
    )


def _recognised(parts: list[_Part], missing: tuple[str, ...], subject: str) -> Check:
    """Say which indicators the tables lack, and which of their columns the registry does not know."""
    unread = [column for part in parts for column in part.unread]
    texts = [column for part in parts for column in part.texts]
    ignored = sum(part.ignored for part in parts)
    sentences = []
    if missing:
        sentences.append(f"indicateurs absents du fichier : {_cut(missing)}")
    if unread:
        sentences.append(f"colonnes hors registre, reprises sous leur code : {_cut(unread)}")
    outcome: Outcome = "avertissement" if sentences else "conforme"
    if texts:
        sentences.append(f"colonnes de texte non reprises : {_cut(texts)}")
    if ignored:
        sentences.append(f"{ignored} colonnes hors registre non reprises")
    message = sentence(sentences) or "Tous les indicateurs attendus, et aucun autre."
    known = len({indicator.id for part in parts for indicator in part.columns.known.values()})
    return Check("indicateurs_reconnus", subject, outcome, str(known + len(missing)), str(known), message)


def _cut(names: Sequence[str]) -> str:
    more = f" et {len(names) - _LISTED} autres" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _absences(statuses: "pd.Series[str]", subject: str) -> Check:
    """Count the values that are absent, by reason."""
    reasons = Counter(statuses)
    values = reasons.pop("ok", 0)
    parts = [f"{reason.replace('_', ' ')} ({count})" for reason, count in sorted(reasons.items())]
    message = f"Valeurs absentes : {', '.join(parts)}." if parts else "Aucune valeur absente."
    return Check("valeurs_absentes", subject, "conforme", "", f"{values} valeurs", message)


def _report_masks(masks: tuple[str, ...], masked: int, subject: str) -> Check:
    """Say of how many zones the source masks the values."""
    message = f"{masked} zones dont la source masque les valeurs ({', '.join(masks)}) : valeurs non reprises."
    return Check("valeurs_masquees", subject, "conforme", "", str(masked), message)
