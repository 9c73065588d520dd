"""Which Prefect server is configured on this machine: found out without importing Prefect."""

import os
from pathlib import Path

from qpv_geo.errors import ConfigurationError
from qpv_geo.toml_file import read_toml

_URL = "PREFECT_API_URL"
# Prefect's own profiles, where the file of profiles does not declare them.
SHIPPED_PROFILES = {"local": "http://127.0.0.1:4200/api"}


def configured_server() -> str | None:
    """Return the address of the Prefect server that is configured, None if there is none.

    That is ``PREFECT_API_URL``, or the one of the active profile; the profile ``ephemeral`` has none.

    Raises
    ------
    ConfigurationError
        If the server does not answer, or the file of profiles cannot be read.
    """
    url = os.environ.get(_URL) or _of_profile()
    if not url:
        return None
    import httpx  # noqa: PLC0415 - imported lazily: only where there is a server to ask

    try:
        httpx.get(f"{url.rstrip('/')}/health", timeout=10)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise ConfigurationError(
            f"the Prefect server at {_URL}={url} does not answer ({error}): start it, or unset {_URL} (or "
            "`prefect profile use ephemeral`) to do without"
        ) from error
    return url


def _of_profile() -> str | None:
    home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect")
    path = Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml")
    declared = read_toml(path) if path.is_file() else {}
    name = os.environ.get("PREFECT_PROFILE") or declared.get("active")
    if name is None or name == "ephemeral":
        return None
    profile = declared.get("profiles", {}).get(name)
    return SHIPPED_PROFILES.get(name) if profile is None else profile.get(_URL)
