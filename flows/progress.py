"""The progress of each download, as an artifact that Prefect shows meanwhile."""

import time
from typing import cast
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from qpv_geo.sources.raw import Progress

# Seconds between two updates of one artifact: the server has better to do.
_PAUSE = 2.0


class ProgressArtifact:
    """Shows the download of one raw file, and passes its progress on to another listener."""

    def __init__(self, key: str, other: Progress | None = None) -> None:
        self._key = key
        self._other = other
        self._artifact: UUID | None = None
        self._updated = 0.0
        self._complete = False
        self._lost = False

    def __call__(self, source_id: str, done: int, total: int | None) -> None:
        """Show the bytes so far."""
        if self._other:
            self._other(source_id, done, total)
        if not self._lost and (done == total or time.monotonic() - self._updated >= _PAUSE):
            self._updated = time.monotonic()
            self._show(done, total)

    def finish(self, size: int) -> None:
        """Show that all bytes are there, also if the server did not say how many there would be."""
        if self._artifact and not self._complete and not self._lost:
            self._show(size, size)

    def _show(self, done: int, total: int | None) -> None:
        # Without a total there is no percentage: the description says how much came.
        self._complete = done == total
        percent = 100.0 * done / total if total else 0.0
        size = f"{done / 1e6:.1f} Mo" + (f" sur {total / 1e6:.1f} Mo" if total else "")
        description = f"{self._key} : {size}".replace(".", ",")
        try:
            # The download waits meanwhile: do not ask a server twice that is gone.
            with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
                self._send(percent, description)
        except Exception as error:  # noqa: BLE001 - a download does not need the server that shows it
            self._lost = True
            get_run_logger().warning("%s: progress is no longer shown: %s", self._key, type(error).__name__)

    def _send(self, percent: float, description: str) -> None:
        if self._artifact is None:
            key = f"telechargement-{self._key.replace('_', '-').lower()}"
            # Declared as a coroutine as well, it only is one where it is called from one.
            artifact = create_progress_artifact(percent, key=key, description=description)
            self._artifact = cast("UUID", artifact)
        else:
            update_progress_artifact(self._artifact, percent, description=description)
