"""``qpv-geo sources distribution``: count the shipped distributions again; for maintainers."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from qpv_geo.analysis.ranks import with_computed
from qpv_geo.commands.options import DataDir, settings_of
from qpv_geo.ingest.distribution import SHIPPED, CountedFile, count_values, write_distributions
from qpv_geo.ingest.registry import Registry, load_registry
from qpv_geo.ingest.statistics import read_statistics
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Source, load_catalogue
from qpv_geo.sources.fetch import Policy, fetch_primary
from qpv_geo.sources.resolve import mirror_paths
from qpv_geo.territory import load_territory


def distribution(
    mirror: Annotated[
        str, typer.Option(metavar="PATH_OR_URL", help="Folder or address that holds the national files.")
    ],
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write (default: that of the program).")
    ] = None,
    data: DataDir = None,
) -> None:
    """Count the values of the national files again that the program ships, for the files of the snapshot."""
    settings, registry = settings_of(data), load_registry()
    parts, origins = [], {}
    for source in _shipped_sources(registry, settings):
        raw = fetch_primary(source, load_territory("france"), settings, Policy(mirror=mirror))
        parts.append(read_statistics(raw, registry, settings).rows)
        origins[source.id] = CountedFile(source.id, raw.path.name, raw.sha256, shipped=False)
    rows = pd.concat(parts, ignore_index=True)
    of_qpv = rows[(rows["zone"] == "qpv") & rows["indicateur"].isin(_names(registry))]
    counted = count_values(of_qpv, origins) | count_values(with_computed(of_qpv, registry.ranking), origins)
    path = output or SHIPPED
    write_distributions(counted, path)
    typer.echo(f"{path}: {len(counted)} distributions of {', '.join(origins)}, {path.stat().st_size} bytes")


def _names(registry: Registry) -> frozenset[str]:
    """Return what is ranked, and what scales are held to: nobody asks for that of other counts."""
    return registry.ranked | {i.id for i in registry.indicators if not i.additive}


def _shipped_sources(registry: Registry, settings: Settings) -> list[Source]:
    """Return the tables by QPV of which the snapshot holds one territory's rows: these alone need it."""
    france = load_territory("france")
    return [
        source
        for source in load_catalogue().used()
        if source.zone == "qpv"
        and registry.of_source(source.family)
        and any((settings.snapshot_dir / path).exists() for path in mirror_paths(source, france))
    ]
