"""The Prefect server that runs are told to use."""

import httpx
from prefect.settings import PREFECT_API_URL

from qpv_geo.errors import ConfigurationError


def configured_server() -> str | None:
    """Return the address that ``PREFECT_API_URL`` gives, None if it gives none.

    Raises
    ------
    ConfigurationError
        If the server there does not answer.
    """
    url: str | None = PREFECT_API_URL.value()
    if not url:
        return None
    try:
        httpx.get(f"{url.rstrip('/')}/health", timeout=10)
    except httpx.TransportError as error:
        raise ConfigurationError(
            f"the Prefect server at PREFECT_API_URL={url} does not answer ({error}): start it, or unset "
            "PREFECT_API_URL to do without"
        ) from error
    return url
