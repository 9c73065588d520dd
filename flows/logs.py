"""How a run's log tells a failure: by its explanation if there is one, by its traceback otherwise."""

import logging

from qpv_geo.errors import QpvGeoError

_LOGGERS = ("prefect.flow_runs", "prefect.task_runs", "prefect.engine")


def explain_failures() -> None:
    """Log a failure that the project explains without its traceback."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_without_traceback)


def _without_traceback(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(record.exc_info[1], QpvGeoError):
        record.msg, record.args, record.exc_info = str(record.exc_info[1]), (), None
    return True
