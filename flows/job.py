"""What one run is asked to do."""

from dataclasses import dataclass, field

from qpv_geo.ingest.registry import Registry, load_registry
from qpv_geo.publish.formats import Format
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
