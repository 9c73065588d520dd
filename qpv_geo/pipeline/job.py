"""The job of one run, and how it is put together."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qpv_geo.formats.base import Format, ReleaseSpec
from qpv_geo.formats.provenance import Raws
from qpv_geo.ingest.additions import declarations
from qpv_geo.ingest.registry import Registry, load_registry
from qpv_geo.releases.formats import chosen_formats
from qpv_geo.settings import Settings, default_data_dir
from qpv_geo.sources.catalogue import Catalogue, load_catalogue
from qpv_geo.sources.fetch import Policy
from qpv_geo.territory import Territory, load_territory


@dataclass(frozen=True)
class Job:
    """What a run is asked to do: `force` remakes an unchanged release, `wait` is seconds for another run."""

    territory: Territory
    settings: Settings = field(default_factory=Settings)
    policy: Policy = field(default_factory=Policy)
    formats: tuple[Format, ...] = field(default_factory=chosen_formats)
    force: bool = False
    wait: float = 0.0
    catalogue: Catalogue = field(default_factory=load_catalogue)
    registry: Registry = field(default_factory=load_registry)

    def spec(self, raws: Raws) -> ReleaseSpec:
        """Return what the release of these raw files is made from."""
        return ReleaseSpec(raws, self.territory, self.catalogue, self.registry, self.settings, self.formats)


def job_for(
    name: str,
    data: str | Path | None = None,
    formats: Iterable[str] = (),
    *,
    pages: bool = True,
    force: bool = False,
    wait: float = 0.0,
    **policy: Any,  # noqa: ANN401 - those of `Policy`
) -> Job:
    """Return the job of a territory, with what the administrator's file and the territory's declare.

    `name` is that of a shipped territory, or the path of a TOML file; `data` the folder that holds ``raw/``
    and ``out/``. Raises `ConfigurationError` if there is no such territory, or something is not valid.
    """
    allowed, written = Policy(**policy), chosen_formats(formats, pages=pages)
    territory = load_territory(name)
    settings = Settings(data_dir=Path(data) if data else default_data_dir())
    catalogue, registry = declarations(settings, territory)
    return Job(territory, settings, allowed, written, force, wait, catalogue, registry)
