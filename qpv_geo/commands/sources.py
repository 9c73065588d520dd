"""``qpv-geo sources list`` and ``sources check``."""

from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, replace

import typer

from qpv_geo.commands.options import DataDir, TerritoryName, settings_of
from qpv_geo.commands.output import Json, on_terminal, print_rows
from qpv_geo.ingest.additions import declarations
from qpv_geo.sources.fetch import Policy
from qpv_geo.sources.plan import Wanted, one_of_each_host_first
from qpv_geo.territory import load_territory


def list_(*, as_json: Json = False) -> None:
    """List every declared source."""
    catalogue, _ = declarations(settings_of(None))
    rows = [
        {
            "id": source.id,
            "title": source.title,
            "publisher": source.publisher,
            "vintage": source.vintage,
            "read": source.used,
            "required": source.required,
            "seen": source.seen or "as declared",
        }
        for source in catalogue.sources
    ]
    print_rows("Sources", rows, as_json=as_json)


def check(*, territory: TerritoryName = "besancon", data: DataDir = None, as_json: Json = False) -> None:
    """Ask each live address whether it is reachable and still as declared."""
    # imported lazily: a list needs neither tables nor the network
    from rich.progress import track  # noqa: PLC0415

    from qpv_geo.pipeline.probe import probe  # noqa: PLC0415

    about, policy = load_territory(territory), Policy()
    # Somebody waits: a site that takes no connection is given less time than by a refresh.
    settings = replace(settings_of(data), connect_timeout=3.0, attempts=2)
    catalogue, registry = declarations(settings, about)
    # The territory's own files have no address, and that of some others is not known.
    asked = [Wanted(source.id, source, about) for source in catalogue.sources if source.hosts]
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = {
            one.key: pool.submit(probe, one.source, about, settings, policy, registry)
            for one in one_of_each_host_first(asked)
        }
        for _ in track(
            as_completed(answers.values()),
            "sources",
            len(asked),
            transient=True,
            disable=as_json or not on_terminal(),
        ):
            pass
    rows = [asdict(answers[one.key].result()) | {"required": one.source.required} for one in asked]
    print_rows("Live addresses", rows, as_json=as_json)
    if any(row["required"] and (row["differences"] or not row["reachable"]) for row in rows):
        raise typer.Exit(3)
