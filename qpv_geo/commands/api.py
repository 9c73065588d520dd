"""``qpv-geo api``: the current releases and `locate` by HTTP."""

import logging
import socket
from contextlib import suppress
from importlib.util import find_spec
from typing import Annotated

import typer

from qpv_geo.commands.options import DataDir, settings_of
from qpv_geo.errors import ConfigurationError
from qpv_geo.territory import load_territory


def api(
    territory: Annotated[
        list[str] | None,
        typer.Option(
            help="Name of a shipped territory, or path of a TOML file (default: besancon); once for each."
        ),
    ] = None,
    data: DataDir = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; only this machine by default.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any that is free.")
    ] = 5000,
    *,
    url: Annotated[
        str | None, typer.Option(help="Public address, behind a proxy (default: http://HOST:PORT).")
    ] = None,
    rate: Annotated[
        float, typer.Option(min=0, help="Requests that a client may make in a second; 0: any number.")
    ] = 50,
    origin: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Site whose pages may ask from a browser (CORS); once for each."),
    ] = None,
    addresses: Annotated[
        bool, typer.Option("--addresses", help="Take addresses, SENT to IGN's geocoding service.")
    ] = False,
) -> None:
    """Serve current releases and locate by HTTP (OGC API), until SIGTERM; needs the extra api.

    A new release is served as soon as it is published. No address and no coordinates are logged.
    """
    if find_spec("pygeoapi") is None or find_spec("uvicorn") is None:
        raise ConfigurationError(
            "HTTP needs the extra api: install qpv-geo[api], such as pip install '.[api]' in its folder"
        )
    # imported lazily: they come with the extra
    import uvicorn  # noqa: PLC0415

    from qpv_geo.api.application import application  # noqa: PLC0415
    from qpv_geo.api.service import Service  # noqa: PLC0415

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("qpv_geo").setLevel(logging.INFO)
    territories = [load_territory(name) for name in territory or ["besancon"]]
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
        # Else head and body of an answer wait for each other, 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror}; give --port") from error
    with listener:
        server = (url or f"http://{host}:{listener.getsockname()[1]}").rstrip("/")
        services = {place.id: Service.of(place, settings_of(data), server) for place in territories}
        app = application(services, rate=rate, origins=origin or (), addresses=addresses)
        for service in services.values():
            typer.echo(f"{service.url}: release {service.release.id}")
        options = uvicorn.Config(app, access_log=False, log_config=None, server_header=False)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(options).run(sockets=[listener])
