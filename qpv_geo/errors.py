"""The project's errors: each message says what is wrong, where, and what to do, each class its exit code."""

from qpv_geo.characters import visible


class QpvGeoError(Exception):
    """Any failure that qpv-geo explains."""

    exit_code = 1

    def __str__(self) -> str:
        """Write the message, without letting a terminal obey what a file's name holds."""
        return visible(super().__str__())


class ConfigurationError(QpvGeoError, ValueError):
    """A command, a territory file or the catalogue of sources is wrong."""

    exit_code = 2


class SourceUnavailableError(QpvGeoError, ConnectionError):
    """A source could not be reached, and no copy of it may be used instead.

    `reason` is a short French sentence for a release that had to use another copy. A `transient` failure may
    not last: the site was busy or the network failed.
    """

    exit_code = 3

    def __init__(self, message: str, *, reason: str = "", transient: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.transient = transient


class SourceContentError(QpvGeoError, ValueError):
    """A source was reached but sent something else than the declared file."""

    exit_code = 3


class ContractError(QpvGeoError, ValueError):
    """A table or a layer breaks its contract; the message lists every problem found."""

    exit_code = 4


class PublicationError(QpvGeoError, RuntimeError):
    """A release could not be written, or what was written differs from what was read."""

    exit_code = 5


class HeldError(PublicationError):
    """A release is complete and verified, and waits in ``held/`` until somebody has looked at its changes."""


class LockedError(QpvGeoError, RuntimeError):
    """Another run holds the lock of the territory."""

    exit_code = 6


class TerritoriesError(QpvGeoError):
    """Some territories of a run over many failed or are held; `exit_code` is that of the worst."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
