"""What one run is asked to do."""

from dataclasses import dataclass, field
from typing import Any

from qpv_geo.formats import Format
from qpv_geo.ingest.additions import declarations
from qpv_geo.ingest.registry import Registry, load_registry
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Catalogue, load_catalogue
from qpv_geo.sources.fetch import Policy
from qpv_geo.territory import Territory


@dataclass(frozen=True)
class Job:
    """Territory, folders, policy, what to write, patience with another run; what is declared as data."""

    territory: Territory
    settings: Settings = field(default_factory=Settings)
    policy: Policy = field(default_factory=Policy)
    formats: tuple[Format, ...] = ()
    pages: bool = True
    force: bool = False
    wait: float = 0.0
    catalogue: Catalogue = field(default_factory=load_catalogue)
    registry: Registry = field(default_factory=load_registry)


def job_for(territory: Territory, settings: Settings, policy: Policy, **options: Any) -> Job:  # noqa: ANN401
    """Return a job whose declarations are completed by the administrator's file and by the territory's.

    Raises
    ------
    ConfigurationError
        If these additions are not valid.
    """
    catalogue, registry = declarations(settings, territory)
    return Job(territory, settings, policy, **options, catalogue=catalogue, registry=registry)
