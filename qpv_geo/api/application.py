"""The addresses of the server: those of pygeoapi for each territory, and the execution of `locate`.

Only what reads is here: no administration, no transaction, no other kind of data. pygeoapi's own applications
hold one configuration all their life; here a new release takes the place of the one before between two
requests. Executing a process through pygeoapi takes twice the time, and its managers of jobs post to the
addresses that a request names: `_execute` answers in its place.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import pygeoapi
import pyproj
import swagger_ui_bundle
from pydantic import ValidationError
from pygeoapi import api as core
from pygeoapi.api import itemtypes, processes, tiles
from pygeoapi.util import render_j2_template
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from xstatic.pkg import leaflet

from qpv_geo.api.limits import Limits, refusal
from qpv_geo.api.locating import DEGREES, PROCESS, Execution, Inputs, answer
from qpv_geo.api.service import CRS84, Service
from qpv_geo.errors import ContractError, QpvGeoError, SourceContentError, SourceUnavailableError

_LOGGER = logging.getLogger(__name__)
_SECONDS = 1.0
"""Between two looks at which release is current."""
_JSON = "application/json"
_STATIC = {
    "leaflet": Path(leaflet.BASE_DIR),
    "swagger": Path(swagger_ui_bundle.swagger_ui_path),
    "api": Path(__file__).with_name("static"),
    "": Path(pygeoapi.__file__).with_name("static"),
}
# pygeoapi's pages ask other sites for these: what they need comes from here.
_ELSEWHERE = {
    "https://unpkg.com/leaflet@1.3.1/dist/": "leaflet/",
    "https://unpkg.com/swagger-ui-dist/": "swagger/",
    "https://unpkg.com/bootstrap@5.1.3/dist/css/bootstrap.min.css": "api/pages.css",
    "https://unpkg.com/leaflet.markercluster/dist/leaflet.markercluster-src.js": "api/clusters.js",
    "https://unpkg.com/leaflet.markercluster/dist/MarkerCluster.css": "api/pages.css",
    "https://unpkg.com/leaflet.markercluster/dist/MarkerCluster.Default.css": "api/pages.css",
}
_CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; frame-ancestors 'none'"
)
_NOT_SERVED = {"datetime", "filter", "q"}
_FEW = 5


def _conformance(api: core.API, request: core.APIRequest) -> tuple[dict[str, str], int, str]:
    """Tell what is conformed to; pygeoapi's own adds to a list at each request, without end, and boasts."""
    classes = {
        *core.CONFORMANCE_CLASSES,
        *itemtypes.CONFORMANCE_CLASSES_FEATURES,
        *processes.CONFORMANCE_CLASSES,
    }
    served = sorted(name for name in classes if not name.endswith(("/create-replace-delete", "/callback")))
    headers, content = request.get_response_headers(**api.api_headers), {"conformsTo": served}
    if request.format == core.F_HTML:
        templates = api.config["server"]["templates"]
        page = render_j2_template(api.tpl_config, templates, "conformance.html", content, request.locale)
        return headers, HTTPStatus.OK, page
    return headers, HTTPStatus.OK, orjson.dumps(content).decode()


_FEATURES = itemtypes.get_collection_items, itemtypes.get_collection_item
_READ: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "": (core.landing_page, ()),
    "/": (core.landing_page, ()),
    "/openapi": (core.openapi_, ()),
    "/conformance": (_conformance, ()),
    "/collections": (core.describe_collections, ()),
    "/collections/{collection}": (core.describe_collections, ("collection",)),
    "/collections/{collection}/schema": (core.get_collection_schema, ("collection",)),
    "/collections/{collection}/queryables": (itemtypes.get_collection_queryables, ("collection",)),
    "/collections/{collection}/items": (itemtypes.get_collection_items, ("collection",)),
    "/collections/{collection}/items/{item}": (itemtypes.get_collection_item, ("collection", "item")),
    "/processes": (processes.describe_processes, ()),
    "/processes/{process}": (processes.describe_processes, ("process",)),
    "/jobs": (processes.get_jobs, ()),
    "/TileMatrixSets": (tiles.tilematrixsets, ()),
    "/TileMatrixSets/{set}": (tiles.tilematrixset, ("set",)),
}


def application(
    services: dict[str, Service], *, rate: float = 0.0, origins: Sequence[str] = (), addresses: bool = False
) -> Starlette:
    """Return the application that serves territories, by their ids, and their new releases as they come.

    A client may make `rate` requests in a second, as many as it likes if it is 0; pages of the sites
    `origins` may ask. With `addresses`, a request may give one, which is sent to IGN's geocoding service.
    """
    app = Starlette(
        routes=_routes(),
        middleware=[Middleware(Limits, rate=rate), Middleware(GZipMiddleware, minimum_size=10_000)],
        exception_handlers={HTTPException: _refused},
        lifespan=_watched,
    )
    if origins:
        app.add_middleware(CORSMiddleware, allow_origins=list(origins), allow_methods=["GET", "POST"])
    app.router.redirect_slashes = False  # it would redirect to where the proxy asked
    app.state.services, app.state.addresses = services, addresses
    return app


def _routes() -> list[BaseRoute]:
    """Return all addresses: the execution before the description of processes."""
    statics = [
        Mount(f"/{{territory}}/static/{name}".rstrip("/"), StaticFiles(directory=folder))
        for name, folder in _STATIC.items()
    ]
    execution = Route(f"/{{territory}}/processes/{PROCESS}/execution", _execute, methods=["POST"])
    reading = [
        Route(f"/{{territory}}{path}", _reader(function, names), methods=["GET"])
        for path, (function, names) in _READ.items()
    ]
    return [Route("/", _root), *statics, execution, *reading]


@asynccontextmanager
async def _watched(app: Starlette) -> AsyncIterator[None]:
    watch = asyncio.create_task(_renew(app.state.services))
    yield
    watch.cancel()
    with suppress(asyncio.CancelledError):
        await watch


def _service(request: Request) -> Service:
    services: dict[str, Service] = request.app.state.services
    service = services.get(request.path_params["territory"])
    if service is None:
        raise HTTPException(404, f"no such territory; there are: {', '.join(services)}")
    return service


async def _root(request: Request) -> Response:
    """List the territories."""
    links = [
        {"href": service.url, "rel": "item", "type": _JSON, "title": service.title}
        for service in request.app.state.services.values()
    ]
    return JSONResponse({"title": "Quartiers prioritaires de la politique de la ville", "links": links})


async def _refused(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return refusal(status, HTTPStatus(status).phrase.replace(" ", ""), str(getattr(error, "detail", "")))


async def _renew(services: dict[str, Service]) -> None:
    """Take the new release of each territory when there is one; what cannot be served is left alone."""
    left_alone: set[Path] = set()
    while True:
        await asyncio.sleep(_SECONDS)
        for name, service in list(services.items()):
            current = service.current_folder()
            if current == service.release.path or current in left_alone:
                continue
            try:
                services[name] = await run_in_threadpool(
                    Service.of, service.territory, service.settings, service.server
                )
                _LOGGER.info("%s: release %s is served", name, services[name].release.id)
            except (QpvGeoError, OSError) as error:
                left_alone.add(current)
                _LOGGER.error(  # noqa: TRY400 - the project's errors say what to do
                    "%s: %s is served still: %s", name, service.release.id, error
                )


def _reader(function: Callable[..., Any], names: Sequence[str]) -> Callable[[Request], Awaitable[Response]]:
    """Return what lets a function of pygeoapi answer; `names` are those of its arguments in the path."""

    async def read(request: Request) -> Response:
        if _NOT_SERVED & set(request.query_params):
            raise HTTPException(400, f"not served: {', '.join(sorted(_NOT_SERVED))}; give bbox or a property")
        # Of these two pygeoapi makes failures of the server.
        if "" in request.query_params.get("sortby", "fid").split(","):
            raise HTTPException(400, "sortby: give names of properties, with commas between")
        if request.path_params.get("collection") == PROCESS:
            raise HTTPException(404, "a process is no collection")
        service, parts = _service(request), [request.path_params[name] for name in names]
        asked = await core.APIRequest.from_starlette(_in_stored_crs(service, request), service.api.locales)
        if asked.is_valid():
            headers, status, content = await run_in_threadpool(function, service.api, asked, *parts)
        else:
            headers, status, content = service.api.get_format_exception(asked)
        if function in _FEATURES and headers["Content-Type"] == _JSON and status == HTTPStatus.OK:
            headers["Content-Type"] = "application/geo+json"
        if headers["Content-Type"].startswith("text/html"):
            for address, file in _ELSEWHERE.items():
                content = content.replace(address, f"{service.url}/static/{file}")
            content = content.replace("&ui=redoc", "")  # a page of another site
            headers["Content-Security-Policy"] = _CONTENT_POLICY
        return Response(content, status, {**headers, **service.headers})

    return read


def _in_stored_crs(service: Service, request: Request) -> Request:
    """Put the rectangle of a request into the CRS of its layer; pygeoapi would move two corners of it alone.

    The rectangle around the moved one is asked for: some more features may come, none is missing.
    """
    query = dict(request.query_params)
    epsg = service.crs_of(request.path_params.get("collection", ""))
    if "bbox" not in query or epsg in {None, DEGREES} or query.get("bbox-crs", CRS84) != CRS84:
        return request
    try:
        west, south, east, north = map(float, query["bbox"].split(","))
        to_stored = pyproj.Transformer.from_crs(DEGREES, epsg, always_xy=True)
        box = to_stored.transform_bounds(west, south, east, north)
    except (ValueError, pyproj.exceptions.ProjError):
        return request  # pygeoapi says what is wrong
    query["bbox"] = ",".join(map(str, box))
    query["bbox-crs"] = f"http://www.opengis.net/def/crs/EPSG/0/{epsg}"
    return Request({**request.scope, "query_string": urlencode(query).encode()}, request.receive)


async def _execute(request: Request) -> Response:
    """Answer the process `locate`: one point at once, many points and addresses in a thread."""
    service = _service(request)
    try:
        execution = Execution.model_validate(orjson.loads(await request.body()))
        inputs = execution.inputs
        _check(inputs, service, addresses=request.app.state.addresses)
        at_once = inputs.point and not inputs.layers and not inputs.date
        found = _found(inputs, service) if at_once else await run_in_threadpool(_found, inputs, service)
    except orjson.JSONDecodeError:
        return refusal(400, "InvalidParameterValue", "the body is not JSON")
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:_FEW]]
        return refusal(400, "InvalidParameterValue", "; ".join(problems))
    except ContractError as error:
        return refusal(400, "InvalidParameterValue", str(error))
    except (SourceUnavailableError, SourceContentError):
        return refusal(502, "NoApplicableCode", "the geocoder does not answer")
    value = service.credits | found
    content = {"answer": value} if execution.response == "document" else value
    return Response(orjson.dumps(content), media_type=_JSON, headers=service.headers)


def _check(inputs: Inputs, service: Service, *, addresses: bool) -> None:
    """Raise `ContractError` if the server does not take the inputs."""
    if inputs.address and not addresses:
        raise ContractError("this server sends no address to a geocoder: give point")
    if inputs.crs not in service.crs:
        raise ContractError(f"crs {inputs.crs}: expected {' or '.join(map(str, service.crs))}")
    if unknown := sorted(set(inputs.layers) - set(service.zone_layers)):
        known = ", ".join(service.zone_layers) or "none"
        raise ContractError(f"with {', '.join(unknown)}: there are {known}")


def _found(inputs: Inputs, service: Service) -> dict[str, Any]:
    locator = service.locator(inputs.crs, layers=bool(inputs.layers), dated=inputs.date is not None)
    return answer(inputs, locator, service.settings)
