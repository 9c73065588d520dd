"""Removing old releases, by number and by age; the current one and the one before always stay."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

from qpv_geo.errors import ConfigurationError
from qpv_geo.releases.ledger import Ledger, age, read_ledger, write_ledger
from qpv_geo.releases.placement import LATEST, discard, reraise_move_errors
from qpv_geo.releases.release import (
    Release,
    command_options,
    current_release,
    list_releases,
    previous_release,
)
from qpv_geo.settings import Settings
from qpv_geo.territory import Retention

_LOGGER = logging.getLogger(__name__)


def prunable(territory_id: str, retention: Retention, settings: Settings) -> list[Release]:
    """Return the releases that may be removed, the oldest first.

    `nombre` keeps that many of the releases that were current last, `jours` those that were current within
    that many days. A release stays if either keeps it; with neither, all stay. If there are releases and none
    is current, users may have any of them: this is a `ConfigurationError`.
    """
    releases = list_releases(territory_id, settings)
    if not releases or (retention.nombre is None and retention.jours is None):
        return []
    current, previous = current_release(territory_id, settings), previous_release(territory_id, settings)
    folder = settings.out_dir / territory_id
    if current is None:
        options = command_options(territory_id, settings)
        raise ConfigurationError(
            f"{folder / LATEST} leads to no release: run `qpv-geo refresh{options}`, or make one current "
            f"with `qpv-geo releases publish ID{options}`, before old ones are removed"
        )
    ledger = read_ledger(folder)
    releases.sort(key=lambda release: (_last_current(release.path, ledger), release.path.name))
    kept = {current.path.resolve()} | ({previous.path.resolve()} if previous else set())
    others = [release for release in releases if release.path.resolve() not in kept]
    if retention.nombre is not None:
        spare = max(retention.nombre - len(kept), 0)
        others = others[: max(len(others) - spare, 0)]
    if retention.jours is not None:
        limit = timedelta(days=retention.jours)
        others = [release for release in others if age(_last_current(release.path, ledger)) > limit]
    return others


def prune(territory_id: str, retention: Retention, settings: Settings) -> list[Release]:
    """Remove the releases that `prunable` returns, and return those that are gone.

    Callers must hold the territory lock. Files that somebody has open stay readable; where the system refuses
    to move them (SMB, Windows), the release stays until the next time. Raises `PublicationError` if
    ``latest`` is not a link or the ledger cannot be written.
    """
    folder = settings.out_dir / territory_id
    gone = []
    for release in prunable(territory_id, retention, settings):
        try:
            discard(release.path, folder)
        except OSError as error:
            _LOGGER.warning("%s: cannot be removed yet: %s", release.path, error)
        else:
            gone.append(release)
    if gone:
        with reraise_move_errors(folder):
            write_ledger(folder, read_ledger(folder).without({release.path.name for release in gone}))
    return gone


def _last_current(path: Path, ledger: Ledger) -> datetime:
    """Return when a release was last current, or when its folder was made if the ledger does not know."""
    moment = ledger.superseded_at(path.name) or ledger.published_at(path.name)
    return moment or datetime.fromtimestamp(path.stat().st_mtime, UTC)
