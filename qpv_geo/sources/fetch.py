"""Getting a source: from its official address or a mirror, else from what was kept of it.

A source that cannot be *reached* is replaced by its last accepted copy, then by the shipped snapshot. A
source that is reached and *bad* is not replaced: somebody has to look.
"""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

from qpv_geo.errors import ConfigurationError, SourceContentError, SourceUnavailableError
from qpv_geo.settings import Settings, split_address
from qpv_geo.sources.archive import list_members
from qpv_geo.sources.catalogue import Format, Source, TerritoryFileAddress, WfsAddress
from qpv_geo.sources.content import check_content
from qpv_geo.sources.raw import Progress, RawFile, raw_at
from qpv_geo.sources.resolve import known_url, mirror_paths
from qpv_geo.sources.store import Copies, Shelf, mark_accepted
from qpv_geo.territory import Territory
from qpv_geo.toml_file import read_toml

_LOGGER = logging.getLogger(__name__)
# Says in a snapshot which territory it holds.
_SNAPSHOT_OF = "territoire.toml"
_FORMATS: dict[str, Format] = {
    ".gpkg": "gpkg",
    ".geojson": "geojson",
    ".json": "geojson",
    ".shp": "shp",
    ".zip": "shp",
}


def territory_file(
    source: Source, address: TerritoryFileAddress, territory: Territory, settings: Settings
) -> RawFile:
    """Return a file that the territory's configuration declares, read where it lies.

    What the territory knows better (format, producer, date) replaces the catalogue's entry, `source`. Raises
    `ConfigurationError` if the territory declares no such file, it is not there, or its name does not say its
    format; `SourceContentError` if its content is not of that format.
    """
    declared = territory.files.get(address.key)
    if declared is None:
        raise ConfigurationError(f"territory {territory.id!r} declares no {address.key!r}")
    path = territory.path_of(declared)
    where = f"territory {territory.id!r}: '{address.key}.chemin'"
    if not path.is_file():
        raise ConfigurationError(f"{where}: no such file: {path}")
    form = _FORMATS.get(path.suffix.lower())
    if form is None:
        known = ", ".join(_FORMATS)
        raise ConfigurationError(
            f"{where}: expected a file whose name ends with one of {known}, found {path}"
        )
    contact = territory.contact
    known_better = source.model_copy(
        update={
            "format": form,
            "member": None,
            "publisher": declared.producteur or (contact.organisation if contact else territory.nom),
            "page": (contact.site if contact else None) or "",
            "vintage": str(declared.mise_a_jour.year),
            "geography": None,
            "published": declared.mise_a_jour,
        }
    )
    try:
        raw = raw_at(known_better, path, "local")
    except OSError as error:
        raise ConfigurationError(f"{where}: {path} cannot be read: {error}") from error
    if form == "shp":
        stem = _shapefile(raw, declared.couche, settings)[: -len(".shp")]
        member = rf"(?i){re.escape(stem)}\.shp"
        raw = replace(raw, source=known_better.model_copy(update={"member": member}))
    check_content(raw, settings)
    return raw


def _shapefile(raw: RawFile, wanted: str | None, settings: Settings) -> str:
    """Return which member is the Shapefile: the only one, or the one that the territory names."""
    paths = {name: PurePosixPath(name) for name in list_members(raw, settings)}
    layers = {name: path.stem for name, path in paths.items() if path.suffix.lower() == ".shp"}
    chosen = [name for name, stem in layers.items() if wanted in {None, stem}]
    if len(chosen) == 1:
        return chosen[0]
    key = raw.source.territory_key
    if layers:
        expected = f"a Shapefile named {wanted!r}" if wanted else "one Shapefile"
        found = f"{len(layers)}: {', '.join(sorted(layers))}"
        what_to_do = f"name the one to read, without .shp, in '{key}.couche' of the territory file"
    else:
        expected, found = "a Shapefile", ", ".join(sorted(paths)) or "nothing"
        what_to_do = f"give the file itself in '{key}.chemin': a .zip is for the files of a Shapefile"
    raise SourceContentError(f"{raw.label}: expected {expected}, found {found}. What to do: {what_to_do}")


@dataclass(frozen=True)
class Policy:
    """Where a run may take its sources from."""

    offline: bool = False
    """No network: a mirror on disk if there is one, else what was kept."""
    mirror: str | None = None
    """Folder or ``http(s)://`` address that replaces the official sites."""
    require_live: bool = False
    """A source that is not had at first hand fails, whatever was kept of it."""
    unreachable: dict[str, str] = field(default_factory=dict, compare=False, repr=False)
    """The hosts that took no connection during this run, with the reason in French; not asked again."""

    def __post_init__(self) -> None:
        """Refuse what contradicts itself, or a mirror that is not there, in one `ConfigurationError`."""
        problems = []
        if self.offline and self.require_live:
            problems.append("--offline and --require-live contradict each other")
        if self.offline and self.mirror_url:
            problems.append("--offline forbids the network, --mirror gives an address on it")
        if self.mirror_folder and not self.mirror_folder.is_dir():
            problems.append(f"--mirror {self.mirror}: no such folder")
        if self.mirror_url:
            parts = split_address(self.mirror_url)
            if not parts or parts.username or parts.query or parts.fragment:
                shown = f"{parts.scheme}://{parts.hostname}{parts.path}" if parts else "(malformed)"
                problems.append(f"--mirror {shown}: give an address without credentials nor query")
        if problems:
            raise ConfigurationError("; ".join(problems))

    @property
    def shelf(self) -> Shelf:
        """Where the store keeps what comes from there."""
        return "mirror" if self.mirror else "live"

    @property
    def mirror_url(self) -> str | None:
        """The mirror's address without its last slash, None if it is a folder or there is none."""
        is_url = self.mirror is not None and self.mirror.lower().startswith(("http://", "https://"))
        return self.mirror.rstrip("/") if self.mirror and is_url else None

    @property
    def mirror_folder(self) -> Path | None:
        """The mirror's folder, None if it is an address or there is none."""
        return None if self.mirror is None or self.mirror_url else Path(self.mirror)


def fetch(source: Source, territory: Territory, settings: Settings, policy: Policy) -> RawFile | None:
    """Get a source at first hand, else what was kept of it; raises as `fetch_primary` and `fall_back`."""
    try:
        return fetch_primary(source, territory, settings, policy)
    except SourceUnavailableError as error:
        _LOGGER.log(logging.INFO if policy.offline else logging.WARNING, "%s", error)
        return fall_back(source, territory, settings, policy, error)


def fetch_primary(
    source: Source, territory: Territory, settings: Settings, policy: Policy, progress: Progress | None = None
) -> RawFile:
    """Get a source at first hand: its official address, or the mirror that replaces it.

    What is downloaded is put into the store as a candidate; see `accept`. An unchanged source costs headers.
    A file of the territory itself is read where it lies.

    Raises `SourceUnavailableError` if it cannot be reached, is not there, or the run is offline (its `reason`
    says so in French), `SourceContentError` if what was reached is not the declared file,
    `ConfigurationError` if the store cannot be written, or a file that the territory declares is not there,
    and `LockedError` if another run has been downloading the same file for too long.
    """
    if isinstance(source.address, TerritoryFileAddress):
        return territory_file(source, source.address, territory, settings)
    if policy.mirror_folder:
        return _from_mirror_folder(source, territory, settings, policy.mirror_folder)
    if policy.offline:
        raise SourceUnavailableError(
            f"source {source.id}: the network is forbidden (--offline)", reason="exécution hors ligne"
        )
    if copy := _young_copy(source, territory, settings, policy):
        return copy
    # imported lazily: offline runs ask nobody
    from qpv_geo.sources.live import live_source  # noqa: PLC0415

    with live_source(source, territory, settings, policy, progress) as live:
        return live.download()


def _young_copy(source: Source, territory: Territory, settings: Settings, policy: Policy) -> RawFile | None:
    """Return the accepted copy of what a WFS was asked for, if it is young: none says whether it changed."""
    address = source.address
    if not isinstance(address, WfsAddress) or policy.mirror or policy.require_live:
        return None
    oldest = datetime.now(UTC) - timedelta(days=address.days)
    for raw in Copies(source, territory, "live", settings).accepted():
        if raw.url == known_url(source, territory) and raw.retrieved_at and raw.retrieved_at > oldest:
            return replace(raw, origin="store", reason=f"copie de moins de {address.days} jours")
    return None


def has_changed(source: Source, territory: Territory, settings: Settings, policy: Policy) -> bool:
    """Tell whether the official site, or the mirror at an address, has another file than the accepted copy.

    Nothing is kept of the file. It costs headers, but for sites that give nothing else to go by. Without an
    accepted copy, any file counts as changed. Raises as `fetch_primary`.
    """
    from qpv_geo.sources.live import live_source  # noqa: PLC0415 - imported lazily, as above

    with live_source(source, territory, settings, policy) as live:
        return live.has_another()


def fall_back(
    source: Source, territory: Territory, settings: Settings, policy: Policy, cause: SourceUnavailableError
) -> RawFile | None:
    """Get what was kept of a source: its last accepted copy, else the shipped snapshot.

    `cause` says why the first choice is not used; its `reason` is published. An optional source of which
    nothing was kept, or whose fallback the policy forbids, is None; a required one is a
    `SourceUnavailableError`.
    """
    reason = cause.reason
    if policy.require_live and source.required:
        raise SourceUnavailableError(f"{cause}; --require-live forbids to use a copy of it", reason=reason)
    if policy.require_live:
        _LOGGER.warning("source %s is left out: --require-live forbids to use a copy of it", source.id)
        return None
    copies = Copies(source, territory, policy.shelf, settings)
    if not policy.mirror_folder:
        for raw in copies.accepted():
            # A copy from another mirror is not a copy of this one.
            if policy.mirror_url is None or f"{raw.url}".startswith(f"{policy.mirror_url}/"):
                return replace(raw, origin="store", reason=reason)
        reason = " ; ".join([reason, *copies.damaged()])
    own, folder, paths = snapshot_epci(settings), settings.snapshot_dir, mirror_paths(source, territory)
    is_of_it = territory.genre == "epci" and territory.epci == own
    if is_of_it and (shipped := _first_of(folder, paths)):
        return raw_at(source, shipped, "snapshot", reason)
    if source.required:
        shipped_one = f"none of {', '.join(paths)} in {folder}"
        if own and not is_of_it:
            shipped_one = f"the shipped snapshot ({folder}) holds the EPCI {own} alone, not {territory.nom} "
            shipped_one += f"({territory.code})"
        raise SourceUnavailableError(
            f"{cause}; it is required, no copy of it is in {copies.folder}, and {shipped_one}. "
            f"Run again when {source.page} answers, or give --mirror",
            reason=reason,
        )
    # With --offline or a mirror, missing files are expected.
    level = logging.INFO if policy.offline or policy.mirror else logging.WARNING
    _LOGGER.log(level, "source %s is left out: no copy of it was kept", source.id)
    return None


def snapshot_epci(settings: Settings) -> str | None:
    """Return the SIREN of the EPCI that the shipped snapshot is of; None if there is no snapshot."""
    path = settings.snapshot_dir / _SNAPSHOT_OF
    if not path.exists():
        return None
    try:
        return str(read_toml(path)["epci"])
    except KeyError as error:
        raise ConfigurationError(f"{path}: expected the 'epci' that the snapshot holds") from error


def accept(raws: Iterable[RawFile], settings: Settings) -> None:
    """Make what was downloaded the store's current copies, once all contracts passed.

    Files that this run did not download (mirror on disk, store, snapshot) are left alone. Raises
    `ConfigurationError` if the store cannot be written.
    """
    for raw in raws:
        if raw.origin in {"live", "mirror"} and settings.store_dir in raw.path.parents:
            mark_accepted(raw, settings)


def _from_mirror_folder(source: Source, territory: Territory, settings: Settings, folder: Path) -> RawFile:
    paths = mirror_paths(source, territory)
    found = _first_of(folder, paths)
    if found is None:
        raise absent_from_mirror(source, folder, paths)
    try:
        raw = raw_at(source, found, "mirror")
        check_content(raw, settings)
    except OSError as error:
        raise SourceUnavailableError(
            f"source {source.id}: {found} cannot be read: {error}", reason="fichier illisible dans le miroir"
        ) from error
    return raw


def _first_of(folder: Path, paths: Iterable[str]) -> Path | None:
    return next((folder / path for path in paths if (folder / path).exists()), None)


def absent_from_mirror(source: Source, mirror: str | Path, paths: list[str]) -> SourceUnavailableError:
    """Return the error of a mirror that holds a source at none of its paths."""
    return SourceUnavailableError(
        f"source {source.id}: the mirror {mirror} holds none of {', '.join(paths) or 'its files'}",
        reason="fichier absent du miroir",
    )
