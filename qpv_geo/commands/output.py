"""What commands print: tables for people, JSON for programs, log lines on standard error."""

import io
import json
import logging
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Literal, TextIO

import typer
from rich.console import Console
from rich.table import Table

from qpv_geo.characters import visible

# Columns of a log or a file, unless COLUMNS says how many.
_WIDE = 160

Json = Annotated[bool, typer.Option("--json", help="Print JSON in place of tables.")]
Rows = Iterable[Mapping[str, Any]]


@dataclass
class _Chosen:
    """What the options of `verbosity` say."""

    verbose: bool = False
    # Where JSON goes, which --quiet leaves; None for standard output.
    results: TextIO | None = None


_chosen = _Chosen()


class _VisibleFormatter(logging.Formatter):
    """Writes the names in a message, such as those in an archive, without letting a terminal obey them."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def _be_quiet(asked: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    _chosen.results = sys.stdout if asked else None
    if asked:
        sys.stdout = io.StringIO()


def _be_verbose(asked: bool) -> None:  # noqa: FBT001 - as above
    _chosen.verbose = asked
    if asked:
        _log_to_stderr(logging.DEBUG)


def verbosity(
    *,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", callback=_be_quiet, expose_value=False, help="Print errors alone, and JSON."
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", callback=_be_verbose, expose_value=False, help="Log every step to stderr."
        ),
    ] = False,
) -> None:
    """Take the options that every command has."""


def on_terminal() -> bool:
    """Tell whether somebody looks on: progress bars and tables say it better than log lines."""
    return sys.stdout.isatty() and not _chosen.verbose


def start_log(*, prefect: bool) -> None:
    """Write log lines to standard error, unless progress is shown on a terminal; Prefect has its own log."""
    quiet = _chosen.results is not None
    if prefect:
        if _chosen.verbose or quiet or on_terminal():
            os.environ.setdefault("PREFECT_LOGGING_LEVEL", "DEBUG" if _chosen.verbose else "CRITICAL")
    elif on_terminal():
        logging.getLogger("qpv_geo").addHandler(logging.NullHandler())
    elif not _chosen.verbose:
        _log_to_stderr(logging.ERROR if quiet else logging.INFO)


def _log_to_stderr(level: int) -> None:
    handler = logging.StreamHandler()
    handler.setLevel(level)
    handler.setFormatter(_VisibleFormatter("%(asctime)s | %(levelname)-7s | %(name)s - %(message)s"))
    logging.getLogger("qpv_geo").addHandler(handler)
    logging.getLogger("qpv_geo" if level == logging.DEBUG else "qpv_geo.pipeline").setLevel(level)


def console() -> Console:
    """Return a console as wide as the terminal, or wide enough for a log."""
    on_paper = not sys.stdout.isatty()
    width = _WIDE if on_paper and not os.environ.get("COLUMNS") else None
    # Names may hold what rich takes for markup: "[contact]" would be gone.
    return Console(width=width, no_color=on_paper or None, markup=False, emoji=False)


def print_rows(title: str, rows: Rows, *, as_json: bool = False) -> None:
    """Print rows as a table, or as a JSON array; their keys are its headings."""
    if as_json:
        print_json(list(rows))
    else:
        console().print(table(title, rows))


def print_entries(title: str, entries: Mapping[str, Any], *, as_json: bool = False) -> None:
    """Print names and values as a table without headings, or as a JSON object; what is empty is left out."""
    if as_json:
        print_json(entries)
    else:
        shown = {name: value for name, value in entries.items() if value not in ("", (), None)}
        rows = [{"name": _heading(name), "value": value} for name, value in shown.items()]
        console().print(table(title, rows, show_header=False))


def print_json(content: object) -> None:
    """Print JSON; dates in ISO 8601, paths as text."""
    text = json.dumps(content, ensure_ascii=False, indent=2, default=_plain)
    typer.echo(text, file=_chosen.results)


def print_markdown(markdown: str) -> None:
    """Print Markdown, laid out on a terminal."""
    if sys.stdout.isatty():
        # imported lazily: a log needs none of it
        from rich.markdown import Markdown  # noqa: PLC0415

        console().print(Markdown(markdown))
    else:
        typer.echo(markdown)


def table(title: str, rows: Rows, columns: Mapping[str, str] | None = None, **options: Any) -> Table:  # noqa: ANN401 - those of `Table`
    """Return a table; `columns` gives the key of each heading, where rows have more or other names."""
    rows = list(rows)
    columns = columns or {_heading(key): key for key in (rows[0] if rows else ())}
    table = Table(title=title, title_justify="left", **options)
    for heading, key in columns.items():
        numbers = bool(rows) and all(type(row.get(key)) in {int, type(None)} for row in rows)
        justify: Literal["left", "right"] = "right" if numbers else "left"
        table.add_column(heading, overflow="fold", justify=justify, no_wrap=not table.columns)
    for row in rows:
        table.add_row(*(_cell(row.get(key)) for key in columns.values()))
    return table


def _heading(key: str) -> str:
    return key.replace("_", " ")


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone():%Y-%m-%d %H:%M}"
    if isinstance(value, list | tuple):
        return "\n".join(map(_cell, value))
    return visible(str(value))


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else str(value)
