"""The routes of SCIM.

Their endpoints use scim2-models, whose import takes a second of the start. Most installs have no
directory, so the first request imports them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from importlib import import_module

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.domain.callers import Caller, Scope
from app.web.auth import AuthenticatedRoute
from app.web.errors import SCIM_PREFIX

_PARAMETERS = ("filter", "startIndex", "count", "attributes", "excludedAttributes")
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_ENDPOINTS, _DISCOVERY = "app.web.scim.endpoints", "app.web.scim.discovery"

Endpoint = Callable[[Request, Caller], Awaitable[Response]]


@cache
def _import_endpoint(module: str, name: str) -> Endpoint:
    endpoint: Endpoint = getattr(import_module(module), name)
    return endpoint


def _dispatch(module: str, **names: str) -> Endpoint:
    """Return the endpoint of a path that has one function of a module for each method."""

    async def dispatch_scim(request: Request, caller: Caller) -> Response:
        # The server omits the body of the response to HEAD.
        name = names.get("GET" if request.method == "HEAD" else request.method)
        if name is None:
            allowed = ", ".join(names)
            message = f"{request.method} is not allowed here, only {allowed}"
            raise HTTPException(405, message, {"Allow": allowed})
        endpoint = await asyncio.to_thread(_import_endpoint, module, name)
        return await endpoint(request, caller)

    return dispatch_scim


async def _reject_unknown_path(request: Request, _: Caller) -> Response:
    raise HTTPException(404, f"There is nothing at {request.url.path[:200]}")


def _create_routes() -> list[AuthenticatedRoute]:
    paths: dict[str, Endpoint] = {
        "/ServiceProviderConfig": _dispatch(_DISCOVERY, GET="show_config"),
        "/ResourceTypes": _dispatch(_DISCOVERY, GET="list_resource_types"),
        "/ResourceTypes/{id}": _dispatch(_DISCOVERY, GET="show_resource_type"),
        "/Schemas": _dispatch(_DISCOVERY, GET="list_schemas"),
        "/Schemas/{id}": _dispatch(_DISCOVERY, GET="show_schema"),
        "/.search": _dispatch(_ENDPOINTS, POST="search_all"),
    }
    for kind in ("/Users", "/Groups"):
        paths[kind] = _dispatch(_ENDPOINTS, GET="list_kind", POST="create")
        paths[f"{kind}/.search"] = _dispatch(_ENDPOINTS, POST="search_kind")
        paths[f"{kind}/{{id}}"] = _dispatch(
            _ENDPOINTS, GET="find", PUT="replace", PATCH="patch", DELETE="delete"
        )
    paths["/{path:path}"] = _reject_unknown_path
    return [
        AuthenticatedRoute(
            f"{SCIM_PREFIX}{path}",
            endpoint,
            scope=Scope.EVENTS_WRITE,
            methods=_METHODS,
            parameters=_PARAMETERS,
            # Directories add flags of their own, such as Entra's aadOptscim062020.
            ignores_other_parameters=True,
        )
        for path, endpoint in paths.items()
    ]


routes = _create_routes()
