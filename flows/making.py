"""From raw files to the release of one territory: what every flow that publishes does alike."""

from collections.abc import Callable
from dataclasses import replace

from flows.job import Job
from qpv_geo.analysis.layers import build_layers
from qpv_geo.collector import collector_held_off
from qpv_geo.ingest.tables import Tables
from qpv_geo.publish.provenance import Raws
from qpv_geo.publish.release import Release, publish_release, standing_release


def release_of(
    job: Job,
    raws: Raws,
    read: Callable[[], Tables],
    confirm: Callable[[], None],
) -> Release:
    """Return the standing release of a territory, or make one from its tables.

    Parameters
    ----------
    job
        Territory, folders, what to write.
    raws
        What the release is made from, by key.
    read
        Reads the tables; not called where nothing is to be made.
    confirm
        Makes sure that the territory's lock, which the caller holds, is not lost.

    Raises
    ------
    QpvGeoError
        Whatever went wrong; the last published release is untouched.
    """
    with collector_held_off():
        inputs = (raws, job.territory, job.catalogue, job.registry)
        if not job.force:
            standing = standing_release(*inputs, job.settings, formats=job.formats, pages=job.pages)
            if standing is not None:
                return standing
        tables = read()
        layers, found = build_layers(tables, job.territory, job.registry)
        published = {
            key: replace(raw, defect=tables.defects.get(key, "")) if raw else None
            for key, raw in raws.items()
        }
        return publish_release(
            layers,
            (*tables.checks, *found),
            published,
            *inputs[1:],
            job.settings,
            formats=job.formats,
            pages=job.pages,
            force=job.force,
            confirm=confirm,
        )
