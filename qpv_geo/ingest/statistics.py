"""Statistics of any producer: wide tables of text to long rows of value, status and provenance."""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from qpv_geo.checks import Check, Outcome
from qpv_geo.ingest.codes import COMMUNE, ENSEMBLE_QPV, EPCI, IRIS, QPV_2015, QPV_2024, CodeKind
from qpv_geo.ingest.columns import Columns, sort_columns
from qpv_geo.ingest.contracts import Problems, code_column, validate
from qpv_geo.ingest.delimited import read_delimited, read_dictionary
from qpv_geo.ingest.registry import Indicator, Registry
from qpv_geo.ingest.text import report_reading, sentence
from qpv_geo.ingest.text_table import MARKS, TextTable, parse_values
from qpv_geo.ingest.workbook import read_workbook
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import find_member, read_member
from qpv_geo.sources.catalogue import Source
from qpv_geo.sources.raw import RawFile

_GEOGRAPHY_2024 = date(2024, 1, 1)
_MARKS = ", ".join(mark for mark in MARKS if mark)
_LISTED = 20


@dataclass(frozen=True)
class Statistics:
    """What one source holds.

    Attributes
    ----------
    rows
        One row per zone and indicator: ``zone`` (its kind), ``code``, ``indicateur``, ``millesime``,
        ``valeur`` (float, NaN where there is none), ``statut``, ``source``, ``fichier``, ``code_producteur``,
        ``geographie`` (date).
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


def read_statistics(raw: RawFile, registry: Registry, settings: Settings) -> Statistics:
    """Read every table of a source and hold it to its contract.

    Parameters
    ----------
    raw
        INSEE's CSV (bare, or in an archive with its dictionary) or an older ``.xls`` workbook.
    registry
        Names and bounds of the indicators, and the producer's codes for them.
    settings
        Limits of archives.

    Raises
    ------
    SourceContentError
        If a file is not what its format says.
    ContractError
        If the key or a required indicator is missing, a code is wrong or there twice, a cell is neither a
        number nor one of INSEE's marks, or a value is out of its bounds; the message lists every problem.
    """
    main = "iris" if "IRIS" in raw.source.key else "qpv"
    parts = [
        _read_table(table, zone, raw.source, registry, main=zone == main)
        for zone, table in _tables(raw, main, settings).items()
    ]
    return Statistics(
        pd.concat([part.rows for part in parts], ignore_index=True),
        tuple(dict.fromkeys(pair for part in parts for pair in part.unknown)),
        parts[0].missing,
        tuple(check for part in parts for check in part.checks),
    )


def code_kind(zone: str, source: Source) -> CodeKind:
    """Return what the codes of a kind of zone look like; those of QPV depend on the source's geography."""
    if zone == "qpv":
        old = source.geography is not None and source.geography < _GEOGRAPHY_2024
        return QPV_2015 if old else QPV_2024
    return {"commune": COMMUNE, "epci": EPCI, "iris": IRIS, "ensemble_qpv": ENSEMBLE_QPV}[zone]


def _tables(raw: RawFile, main: str, settings: Settings) -> dict[str, TextTable]:
    """Read the main table, first, and those of the other kinds of zones that the archive holds."""
    source = raw.source
    if source.format == "xls":
        return {main: read_workbook(raw, source.member or "", code_kind(main, source), settings)}
    labels, categories, remarks = read_dictionary(raw, settings)
    members = {main: read_member(raw, source.member, settings)}
    for zone, pattern in source.members.items():
        if member := find_member(raw, pattern, settings):
            members[zone] = member
        else:
            remarks += (f"pas de fichier pour les zones de type {zone}",)
    tables = {zone: read_delimited(raw, member) for zone, member in members.items()}
    return {
        zone: replace(table, labels=labels, categories=categories, remarks=table.remarks + remarks)
        for zone, table in tables.items()
    }


def _read_table(table: TextTable, zone: str, source: Source, registry: Registry, *, main: bool) -> Statistics:
    problems = Problems(table.label, source)
    columns = sort_columns(table, zone, registry.of_source(source.id), problems, main=main)
    validate(
        table.cells[[columns.key]],
        pa.DataFrameSchema({columns.key: code_column(code_kind(zone, source), key=True)}),
        problems,
        table.where,
    )
    measures = _parse(table, columns, problems)
    _check_bounds(table, columns, measures, problems)
    problems.raise_if_any()
    names = _names(measures.names, columns.known, source, registry)
    values = _long(table, columns.key, measures, names).assign(
        zone=zone, source=source.id, fichier=table.name, millesime=source.vintage, geographie=source.geography
    )
    unread = [column for column in columns.unknown if column in measures.names]
    texts = [column for column in columns.unknown if column not in measures.names]
    subject = source.id if main else f"{source.id} ({zone})"
    return Statistics(
        values[list(_COLUMNS)],
        tuple((column, table.labels.get(column.upper(), "")) for column in unread),
        tuple(indicator.id for indicator in columns.missing),
        (
            report_reading(table.remarks, f"{len(table.cells)} lignes", subject),
            _recognised(columns, unread, texts, subject),
            _absences(values["statut"], subject),
        ),
    )


_COLUMNS = (
    "zone", "code", "indicateur", "millesime", "valeur", "statut", "source", "fichier", "code_producteur",
    "geographie",
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


def _check_bounds(table: TextTable, columns: Columns, measures: _Measures, problems: Problems) -> None:
    """Check the values of known indicators against the registry's bounds."""
    rules = {}
    for name, indicator in columns.known.items():
        unit = f" {indicator.unit}".rstrip()
        checks = []
        if indicator.minimum is not None:
            checks.append(pa.Check.ge(indicator.minimum, error=f"at least {indicator.minimum:g}{unit}"))
        if indicator.maximum is not None:
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


def _recognised(columns: Columns, unread: list[str], texts: list[str], subject: str) -> Check:
    """Say which indicators the file lacks, and which of its columns the registry does not know."""
    parts = []
    if columns.missing:
        parts.append(f"indicateurs absents du fichier : {_cut([i.id for i in columns.missing])}")
    if unread:
        parts.append(f"colonnes hors registre, reprises sous leur code : {_cut(unread)}")
    outcome: Outcome = "avertissement" if parts else "conforme"
    if texts:
        parts.append(f"colonnes de texte non reprises : {_cut(texts)}")
    message = sentence(parts) or "Tous les indicateurs attendus, et aucun autre."
    expected = len(columns.known) + len(columns.missing)
    return Check("indicateurs_reconnus", subject, outcome, str(expected), str(len(columns.known)), message)


def _cut(names: list[str]) -> str:
    more = f" et {len(names) - _LISTED} autres" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _absences(statuses: "pd.Series[str]", subject: str) -> Check:
    """Count the values that are absent, by reason."""
    reasons = Counter(statuses)
    values = reasons.pop("ok", 0)
    parts = [f"{reason.replace('_', ' ')} ({count})" for reason, count in sorted(reasons.items())]
    message = f"Valeurs absentes : {', '.join(parts)}." if parts else "Aucune valeur absente."
    return Check("valeurs_absentes", subject, "conforme", "", f"{values} valeurs", message)
