"""Prefect flows: what runs, in what order, with which retries and schedule."""

import os

# Prefect reads its own settings when it is imported; a settings file in the working directory would only
# count for runs started there. What the environment already says stands.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "qpv_geo")
os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
os.environ.setdefault("PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT", "false")
# Runs that ended more than 90 days ago are forgotten; PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD, in
# seconds, changes that.
os.environ.setdefault("PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED", "events,flow_runs")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "90")
