"""``qpv-geo serve``, and which Prefect server is configured here: found out without importing Prefect."""

import os
from base64 import b64encode
from pathlib import Path
from typing import Annotated

import typer

from qpv_geo.commands.options import DataDir, TerritoryName, settings_of
from qpv_geo.errors import ConfigurationError
from qpv_geo.territory import load_territory
from qpv_geo.toml_file import read_toml

_URL, _PASSWORD, _KEY = "PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_API_KEY"
# Prefect's own profiles, where the file of profiles does not declare them.
SHIPPED_PROFILES = {"local": "http://127.0.0.1:4200/api"}


def configured_server() -> str | None:
    """Return the address of the Prefect server that is configured, None if there is none.

    That is ``PREFECT_API_URL``, or the one of the active profile; the profile ``ephemeral`` has none.

    Raises
    ------
    ConfigurationError
        If the server does not answer or refuses the password, or the file of profiles cannot be read.
    """
    configured = _active_profile() | {
        name: os.environ[name] for name in (_URL, _PASSWORD, _KEY) if os.environ.get(name)
    }
    url = configured.get(_URL)
    if not url:
        return None
    import httpx  # noqa: PLC0415 - imported lazily: only where there is a server to ask

    try:
        # Unlike `/health`, this needs the password.
        answer = httpx.get(f"{url.rstrip('/')}/admin/version", headers=_authorization(configured), timeout=10)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise ConfigurationError(
            f"the Prefect server at {_URL}={url} does not answer ({error}): start it, or unset {_URL} (or "
            "`prefect profile use ephemeral`) to do without"
        ) from error
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        fault = "not its own" if configured.get(_PASSWORD) else "not set"
        raise ConfigurationError(
            f"the Prefect server at {_URL}={url} asks for a password, and {_PASSWORD} is {fault}: set it to "
            "user:password, in the environment or the active profile; for a server that `qpv-geo serve` "
            "started, that is the line of qpv-geo.password in its PREFECT_HOME (~/.prefect)"
        )
    return url


def _authorization(configured: dict[str, str]) -> dict[str, str]:
    """Return the header that Prefect's client sends."""
    if password := configured.get(_PASSWORD):
        return {"Authorization": f"Basic {b64encode(password.encode()).decode()}"}
    return {"Authorization": f"Bearer {configured[_KEY]}"} if configured.get(_KEY) else {}


def _active_profile() -> dict[str, str]:
    home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect")
    path = Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml")
    declared = read_toml(path) if path.is_file() else {}
    name = os.environ.get("PREFECT_PROFILE") or declared.get("active")
    profile = declared.get("profiles", {}).get(name)
    if profile is None:
        return {_URL: SHIPPED_PROFILES[name]} if name in SHIPPED_PROFILES else {}
    return {key: value for key, value in profile.items() if (name, key) != ("ephemeral", _URL)}


def serve(
    *,
    territory: TerritoryName = "besancon",
    data: DataDir = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Where Prefect's pages are, without PREFECT_API_URL.")
    ] = 4200,
    deployments: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="QPV_GEO_DEPLOYMENTS",
            help="TOML file that lists territories and their schedules, in the place of --territory.",
        ),
    ] = None,
) -> None:
    """Refresh every week, watch every day, and refresh when asked to; until SIGTERM."""
    load_territory(territory)
    from flows.serve import serve_deployments  # noqa: PLC0415 - imported lazily: loads Prefect

    # Runs are processes of their own, perhaps in another folder.
    chosen = str(Path(territory).absolute()) if territory.endswith(".toml") else territory
    serve_deployments(chosen, settings_of(data).data_dir, port, deployments)
