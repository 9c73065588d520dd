"""The steps that make a release of raw files: read, join, write, then `verify_draft` and `publish_draft`."""

from dataclasses import dataclass, replace

import pandas as pd

from qpv_geo.analysis.layers import build_layers
from qpv_geo.checks import Check
from qpv_geo.formats.base import ReleaseSpec
from qpv_geo.ingest.tables import Tables, read_tables
from qpv_geo.releases.draft import Draft, write_draft


@dataclass(frozen=True)
class JoinedLayers:
    """The layers of a release, what was checked on the way, and what they were made from."""

    layers: dict[str, pd.DataFrame]
    checks: tuple[Check, ...]
    spec: ReleaseSpec


def read(spec: ReleaseSpec) -> Tables:
    """Read and check the raw files."""
    return read_tables(spec.raws, spec.territory, spec.catalogue, spec.registry, spec.settings)


def join(tables: Tables, spec: ReleaseSpec) -> JoinedLayers:
    """Join tables into layers; a raw file carries its defect or its extract from here on."""
    layers, checks = build_layers(tables, spec.territory, spec.registry)
    extracts = {extract.source: extract for extract in tables.extracts}
    raws = {
        key: replace(raw, defect=tables.defects.get(key, ""), extract=extracts.get(raw.source.id))
        if raw
        else None
        for key, raw in spec.raws.items()
    }
    return JoinedLayers(layers, (*tables.checks, *checks), replace(spec, raws=raws))


def write(joined: JoinedLayers) -> Draft:
    """Write a release aside."""
    return write_draft(joined.layers, joined.checks, joined.spec)
