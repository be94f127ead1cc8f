"""The routes of SCIM: users and groups, searches, and discovery."""

from collections.abc import Awaitable, Callable, Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.domain.callers import Caller, Scope
from app.domain.scim.filters import parse_filter
from app.domain.scim.resources import KINDS, ResourceKind
from app.services.scim.documents import ResourceView
from app.services.scim.reads import find_resource, list_resources
from app.services.scim.writes import (
    create_resource,
    patch_resource,
    remove_resource,
    replace_resource,
)
from app.web.app_state import get_app_state
from app.web.auth import AuthenticatedRoute
from app.web.errors import SCIM_PREFIX
from app.web.scim.discovery import (
    list_resource_types,
    list_schemas,
    show_config,
    show_resource_type,
    show_schema,
)
from app.web.scim.requests import PARAMETERS, ListQuery, expected_versions, find_kind, parsed_body
from app.web.scim.responses import ScimResponse, list_response, resource_response

_MAX_RETURNED_MEMBERS = 1_000

Endpoint = Callable[[Request, Caller], Awaitable[Response]]


async def _list(request: Request, caller: Caller) -> Response:
    return await _respond_list(
        request, caller, [find_kind(request)], ListQuery.from_parameters(request)
    )


async def _search(request: Request, caller: Caller) -> Response:
    async with parsed_body(request, caller) as body:
        query = ListQuery.from_body(body)
    return await _respond_list(request, caller, [find_kind(request)], query)


async def _search_all(request: Request, caller: Caller) -> Response:
    async with parsed_body(request, caller) as body:
        query = ListQuery.from_body(body)
    return await _respond_list(request, caller, list(KINDS.values()), query)


async def _respond_list(
    request: Request, caller: Caller, kinds: Sequence[ResourceKind], query: ListQuery
) -> Response:
    """Return one list of the resources of several kinds, one kind after the other."""
    state = get_app_state(request)
    filters = [None] * len(kinds) if query.filter is None else parse_filter(kinds, query.filter)
    total, views = 0, list[ResourceView]()
    async with state.scim_slots.acquire(caller.organization_id):
        for kind, matching in zip(kinds, filters, strict=True):
            page = await list_resources(
                state.database,
                caller.organization_id,
                kind,
                matching=matching,
                offset=max(query.start - 1 - total, 0),
                limit=query.limit - len(views),
                with_relation=query.projection(kind).shows(kind.relation),
            )
            total += page.total
            views += page.resources
        return await list_response(request, views, query, total)


async def _create(request: Request, caller: Caller) -> Response:
    state, query = get_app_state(request), ListQuery.from_parameters(request)
    async with (
        parsed_body(request, caller) as body,
        state.scim_slots.acquire(caller.organization_id),
    ):
        view = await create_resource(
            state.database, caller.organization_id, find_kind(request), body, state.now
        )
        return await resource_response(request, view, query, 201)


async def _find(request: Request, caller: Caller) -> Response:
    query, kind = ListQuery.from_parameters(request), find_kind(request)
    view = await find_resource(
        get_app_state(request).database,
        caller.organization_id,
        kind,
        request.path_params["id"],
        with_relation=query.projection(kind).shows(kind.relation),
    )
    return await resource_response(request, view, query)


async def _replace(request: Request, caller: Caller) -> Response:
    state, query = get_app_state(request), ListQuery.from_parameters(request)
    async with (
        parsed_body(request, caller) as body,
        state.scim_slots.acquire(caller.organization_id),
    ):
        view = await replace_resource(
            state.database,
            caller.organization_id,
            find_kind(request),
            request.path_params["id"],
            body,
            expected=expected_versions(request),
            now=state.now,
        )
        return await resource_response(request, view, query)


async def _patch(request: Request, caller: Caller) -> Response:
    """Patch a resource; a large group is returned only to a client that selects attributes."""
    state, query = get_app_state(request), ListQuery.from_parameters(request)
    kind = find_kind(request)
    async with (
        parsed_body(request, caller) as body,
        state.scim_slots.acquire(caller.organization_id),
    ):
        view = await patch_resource(
            state.database,
            caller.organization_id,
            kind,
            request.path_params["id"],
            body,
            expected=expected_versions(request),
            now=state.now,
            with_relation=query.projection(kind).shows(kind.relation),
        )
        is_large = len(view.members) > _MAX_RETURNED_MEMBERS and not query.selects_attributes
        return await resource_response(request, view, query, 204 if is_large else 200)


async def _delete(request: Request, caller: Caller) -> Response:
    state = get_app_state(request)
    async with state.scim_slots.acquire(caller.organization_id):
        await remove_resource(
            state.database,
            caller.organization_id,
            find_kind(request),
            request.path_params["id"],
            expected=expected_versions(request),
            now=state.now,
        )
    return ScimResponse(None, 204)


async def _reject_unknown_path(request: Request, _: Caller) -> Response:
    raise HTTPException(404, f"There is nothing at {request.url.path[:200]}")


def _dispatch(**endpoints: Endpoint) -> Endpoint:
    """Return the endpoint of a path that has one for each method."""

    async def dispatch_scim(request: Request, caller: Caller) -> Response:
        # The server omits the body of the response to HEAD.
        endpoint = endpoints.get("GET" if request.method == "HEAD" else request.method)
        if endpoint is None:
            allowed = ", ".join(endpoints)
            message = f"{request.method} is not allowed here, only {allowed}"
            raise HTTPException(405, message, {"Allow": allowed})
        return await endpoint(request, caller)

    return dispatch_scim


_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def _create_routes() -> list[AuthenticatedRoute]:
    one = _dispatch(GET=_find, PUT=_replace, PATCH=_patch, DELETE=_delete)
    paths: dict[str, Endpoint] = {
        "/ServiceProviderConfig": _dispatch(GET=show_config),
        "/ResourceTypes": _dispatch(GET=list_resource_types),
        "/ResourceTypes/{id}": _dispatch(GET=show_resource_type),
        "/Schemas": _dispatch(GET=list_schemas),
        "/Schemas/{id}": _dispatch(GET=show_schema),
        "/.search": _dispatch(POST=_search_all),
    }
    for endpoint in KINDS:
        paths[endpoint] = _dispatch(GET=_list, POST=_create)
        paths[f"{endpoint}/.search"] = _dispatch(POST=_search)
        paths[f"{endpoint}/{{id}}"] = one
    paths["/{path:path}"] = _reject_unknown_path
    return [
        AuthenticatedRoute(
            f"{SCIM_PREFIX}{path}",
            endpoint,
            scope=Scope.EVENTS_WRITE,
            methods=_METHODS,
            parameters=PARAMETERS,
            # Directories add flags of their own, such as Entra's aadOptscim062020.
            ignores_other_parameters=True,
        )
        for path, endpoint in paths.items()
    ]


routes = _create_routes()
