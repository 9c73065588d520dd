"""What the log of a run shows: every step, and a failure by its explanation if there is one."""

import logging

from qpv_geo.errors import QpvGeoError

_LOGGERS = ("prefect.flow_runs", "prefect.task_runs", "prefect.engine")


def set_up_log() -> None:
    """Log what the pipeline does, and a failure that the project explains without its traceback."""
    logging.getLogger("qpv_geo.pipeline").setLevel(logging.INFO)
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_without_traceback)


def _without_traceback(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(record.exc_info[1], QpvGeoError):
        record.msg, record.args, record.exc_info = str(record.exc_info[1]), (), None
    return True
