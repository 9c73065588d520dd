"""Folders of this machine, and the limits that protect it."""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from qpv_geo.errors import ConfigurationError

_PACKAGE = Path(__file__).parent
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def split_address(address: str) -> SplitResult | None:
    """Split an address into its parts; None if it has no host, or its host or port is malformed."""
    with suppress(ValueError):
        parts = urlsplit(address)
        return parts if parts.hostname and parts.port != 0 else None
    return None


def project_root() -> Path | None:
    """Return the checkout that holds this package, or None if the package is installed elsewhere."""
    root = _PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() else None


def default_data_dir() -> Path:
    """Return ``QPV_GEO_DATA``, or the project's ``data/``, or ``data/`` of the current folder."""
    if chosen := os.environ.get("QPV_GEO_DATA"):
        return Path(chosen)
    return (project_root() or Path.cwd()) / "data"


@dataclass(frozen=True)
class Settings:
    """Folders and limits of one run."""

    data_dir: Path = field(default_factory=default_data_dir)
    """Holds ``raw/`` (originals) and ``out/`` (releases)."""
    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    download_deadline: float = 600.0
    """Seconds; the last is for one download in all."""
    attempts: int = 3
    """Number of requests before an address counts as unreachable."""
    backoff: float = 0.5
    """Seconds before the second attempt; doubled at each later one."""
    max_retry_after: float = 60.0
    """Longest pause, in seconds, that is granted to a server (``Retry-After``)."""
    max_unpacked_bytes: int = 2 * 1024**3
    max_unpacked_ratio: int = 200
    """Limits of an unpacked archive, in bytes and relative to its own size."""
    sources_file: Path | None = field(
        default_factory=lambda: Path(chosen) if (chosen := os.environ.get("QPV_GEO_SOURCES")) else None
    )
    """TOML file of an administrator that completes the catalogue and the registry (see `ingest.additions`);
    ``QPV_GEO_SOURCES`` sets it."""
    official_sites: str | None = field(
        default_factory=lambda: os.environ.get("QPV_GEO_OFFICIAL_SITES") or None
    )
    """Loopback address of a server that stands in for all official sites, each below a folder named after its
    host (``http://127.0.0.1:8000/www.insee.fr/…``), to try the live path without them.
    ``QPV_GEO_OFFICIAL_SITES`` sets it; another machine is a `ConfigurationError`."""

    def __post_init__(self) -> None:
        """Refuse another machine in place of the official sites."""
        if self.official_sites is None:
            return
        parts = split_address(self.official_sites)
        if not parts or parts.scheme != "http" or parts.hostname not in _LOOPBACK or parts.path.strip("/"):
            raise ConfigurationError(
                f"QPV_GEO_OFFICIAL_SITES={self.official_sites!r}: only a server of this machine may stand in "
                "for the official sites, such as http://127.0.0.1:8000"
            )

    @property
    def store_dir(self) -> Path:
        """Originals as downloaded."""
        return self.data_dir / "raw" / "store"

    @property
    def out_dir(self) -> Path:
        """Releases, one folder per territory."""
        return self.data_dir / "out"

    @property
    def territories_dir(self) -> Path:
        """Files of the territories that a run for all of them publishes."""
        return self.data_dir / "territories"

    @property
    def snapshot_dir(self) -> Path:
        """The shipped originals: those of ``data_dir``, else the project's, else the package's."""
        root = project_root()
        candidates = [self.data_dir / "raw" / "snapshot"]
        if root:
            candidates.append(root / "data" / "raw" / "snapshot")
        candidates.append(_PACKAGE / "_snapshot")
        return next((folder for folder in candidates if folder.is_dir()), candidates[-1])
