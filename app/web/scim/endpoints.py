"""The endpoints of SCIM: users and groups, and searches."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from app.domain.callers import Caller
from app.domain.role_guard import RoleGuard
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
from app.web.scim.requests import ListQuery, expected_versions, find_kind, parsed_body
from app.web.scim.responses import ScimResponse, list_response, resource_response

_MAX_RETURNED_MEMBERS = 1_000


async def list_kind(request: Request, caller: Caller) -> Response:
    """List the users, or the groups."""
    return await _respond_list(
        request, caller, [find_kind(request)], ListQuery.from_parameters(request)
    )


async def search_kind(request: Request, caller: Caller) -> Response:
    """Search the users, or the groups, by a body instead of parameters."""
    async with parsed_body(request, caller) as body:
        query = ListQuery.from_body(body)
    return await _respond_list(request, caller, [find_kind(request)], query)


async def search_all(request: Request, caller: Caller) -> Response:
    """Search users and groups together."""
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


async def create(request: Request, caller: Caller) -> Response:
    """Create a user or a group."""
    state, query = get_app_state(request), ListQuery.from_parameters(request)
    async with (
        parsed_body(request, caller) as body,
        state.scim_slots.acquire(caller.organization_id),
    ):
        view = await create_resource(
            state.database,
            caller.organization_id,
            find_kind(request),
            body,
            now=state.now,
            guard=RoleGuard.of(caller, state.settings.admin_user_list),
        )
        return await resource_response(request, view, query, 201)


async def find(request: Request, caller: Caller) -> Response:
    """Return a user or a group."""
    query, kind = ListQuery.from_parameters(request), find_kind(request)
    view = await find_resource(
        get_app_state(request).database,
        caller.organization_id,
        kind,
        request.path_params["id"],
        with_relation=query.projection(kind).shows(kind.relation),
    )
    return await resource_response(request, view, query)


async def replace(request: Request, caller: Caller) -> Response:
    """Replace a user or a group."""
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
            guard=RoleGuard.of(caller, state.settings.admin_user_list),
        )
        return await resource_response(request, view, query)


async def patch(request: Request, caller: Caller) -> Response:
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
            guard=RoleGuard.of(caller, state.settings.admin_user_list),
            with_relation=query.projection(kind).shows(kind.relation),
        )
        is_large = len(view.members) > _MAX_RETURNED_MEMBERS and not query.selects_attributes
        return await resource_response(request, view, query, 204 if is_large else 200)


async def delete(request: Request, caller: Caller) -> Response:
    """Delete a user or a group."""
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
