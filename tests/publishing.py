"""What the tests of publication publish: the six QPV of the snapshot, without the optional sources."""

import re
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pandas as pd

from qpv_geo.analysis.layers import build_layers
from qpv_geo.checks import Check
from qpv_geo.formats.base import Content, Format, ReleaseSpec
from qpv_geo.formats.fields import Layer, as_held, published_layers
from qpv_geo.formats.frames import Frames, conform
from qpv_geo.formats.provenance import checks_table, sources_table
from qpv_geo.ingest.registry import load_registry
from qpv_geo.ingest.tables import read_tables
from qpv_geo.releases.decisions import restored_release
from qpv_geo.releases.draft import publish_draft, verify_draft, write_draft
from qpv_geo.releases.formats import chosen_formats
from qpv_geo.releases.placement import sweep
from qpv_geo.releases.release import Release
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import load_catalogue
from qpv_geo.sources.raw import RawFile, digest
from qpv_geo.sources.resolve import mirror_paths
from qpv_geo.territory import Territory, load_territory

CATALOGUE = load_catalogue()
REGISTRY = load_registry()
BESANCON = load_territory("besancon")
# Pages, the atlas and the pictures have tests of their own: other releases need not compose them.
USUAL = chosen_formats(pages=False)
WITH_PAGES = tuple(each for each in chosen_formats() if each.name not in {"pdf", "pictures"})
SNAPSHOT = Path(__file__).parents[1] / "data" / "raw" / "snapshot"

FILES = {
    "qpv_2024": "anct/qpv-2024.geojson",
    "insee_population": "insee/pop_QPV24.csv",
    "insee_filosofi": "insee/revenus_pauvrete_2021_qp24_v2_csv",
    "communes_epci": "geo-api/epcis/242500361/communes.geojson",
}


def declared() -> dict[str, Layer]:
    """Return the declared layers as these releases hold them: no fragile district has a contour."""
    layers = published_layers(REGISTRY)
    return as_held(layers, {name for name, layer in layers.items() if not layer.geometry_optional})


def raw_file(source_id: str, path: Path, **changes: object) -> RawFile:
    """Return a raw file of the snapshot kind, unless changed."""
    sha256, size = digest(path)
    raw = RawFile(
        source=CATALOGUE[source_id],
        path=path,
        sha256=sha256,
        size=size,
        origin="snapshot",
        provenance="snapshot",
        reason="site injoignable : délai dépassé",
    )
    return replace(raw, **changes)


def snapshot_raws(folder: Path = SNAPSHOT) -> dict[str, RawFile | None]:
    raws: dict[str, RawFile | None] = {
        source: raw_file(source, folder / path) for source, path in FILES.items()
    }
    return raws | {"cog_epci": None}


def whole_snapshot() -> dict[str, RawFile | None]:
    """Return what a refresh without network reads: every file of the snapshot."""
    raws: dict[str, RawFile | None] = {"cog_epci": None}
    for source in CATALOGUE.used():
        found = (SNAPSHOT / path for path in mirror_paths(source, BESANCON))
        path = next((path for path in found if path.exists()), None)
        if path:
            raws[source.id] = raw_file(source.id, path)
    return raws


def snapshot_copy(folder: Path) -> Path:
    """Copy the snapshot so that a test may change its originals."""
    shutil.copytree(SNAPSHOT, folder)
    return folder


def change(path: Path, old: str, new: str) -> None:
    """Replace one text in an original."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


@dataclass
class Inputs:
    """What `write_draft` takes, to be changed at will by a test."""

    layers: dict[str, pd.DataFrame]
    raws: dict[str, RawFile | None]
    checks: list[Check]


def inputs(folder: Path = SNAPSHOT) -> Inputs:
    """Read and join the four files without which there is no release."""
    raws = snapshot_raws(folder)
    layers, checks = _joined(folder, tuple(raw.sha256 for raw in raws.values() if raw))
    return Inputs({name: frame.copy() for name, frame in layers.items()}, raws, list(checks))


@cache
def _joined(folder: Path, _sha256: tuple[str, ...]) -> tuple[dict[str, pd.DataFrame], tuple[Check, ...]]:
    tables = read_tables(snapshot_raws(folder), BESANCON, CATALOGUE, REGISTRY, Settings())
    layers, checks = build_layers(tables, BESANCON, REGISTRY)
    return layers, (*tables.checks, *checks)


def inhabitants(originals: Path, figure: int) -> Inputs:
    """Return inputs in which Planoise has so many inhabitants."""
    set_inhabitants(originals, figure)
    return inputs(originals)


def set_inhabitants(originals: Path, figure: int) -> None:
    """Give Planoise so many inhabitants."""
    path = originals / "insee" / "pop_QPV24.csv"
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"(?m)^(QN02503M.*;)\d+", rf"\g<1>{figure}", text), encoding="utf-8")
    assert str(figure) in path.read_text(encoding="utf-8")


def spec_of(
    raws: Mapping[str, RawFile | None],
    settings: Settings | None = None,
    territory: Territory = BESANCON,
    formats: tuple[Format, ...] = USUAL,
) -> ReleaseSpec:
    """Return what a release of these raw files is made from."""
    return ReleaseSpec(raws, territory, CATALOGUE, REGISTRY, settings or Settings(), formats)


def content_of(
    frames: Frames, layers: Mapping[str, Layer] | None = None, rounded: Frames | None = None
) -> Content:
    """Return the content of a release of these layers, made from the snapshot."""
    return Content(spec_of(snapshot_raws()), frames, rounded or {}, layers or declared())


def publish(
    settings: Settings,
    made: Inputs,
    *,
    force: bool = False,
    territory: Territory = BESANCON,
    formats: tuple[Format, ...] = USUAL,
) -> Release:
    """Publish what a test made by hand, by the last steps of a refresh."""
    spec = spec_of(made.raws, settings, territory, formats)
    if not force and (restored := restored_release(spec)):
        return restored
    try:
        draft = write_draft(made.layers, made.checks, spec)
        verify_draft(draft)
        return publish_draft(draft, lambda: None)
    finally:
        sweep(spec.folder)


def frames_of(made: Inputs) -> Frames:
    """Return conformed layers, provenance included, as `write_draft` writes them."""
    provenance = {
        "sources": sources_table(made.raws, CATALOGUE, made.checks),
        "controles": checks_table(made.checks),
    }
    return conformed({**made.layers, **provenance})


def conformed(layers: dict[str, pd.DataFrame]) -> Frames:
    return conform(layers, published_layers(REGISTRY), BESANCON.epsg)


def moved(release: Release, settings: Settings) -> Release:
    """Copy the data folder of a release into that of a test."""
    data = release.path.parents[2]
    shutil.copytree(data, settings.data_dir, symlinks=True, dirs_exist_ok=True)
    return replace(release, path=settings.data_dir / release.path.relative_to(data))


def writable_copy(release: Path, target: Path) -> Path:
    """Copy a release so that a test may damage it."""
    shutil.copytree(release, target)
    for path in target.rglob("*"):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
    return target


@contextmanager
def edit(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a GeoPackage to damage it; the functions that its triggers call are there in name only."""
    with closing(sqlite3.connect(path)) as database:
        for name in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
            database.create_function(name, 1, lambda _: 0)
        yield database
        database.commit()
