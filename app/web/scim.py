"""SCIM 2.0 at `/scim/v2`: how directories push accounts and groups, and see what is there."""

import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, NamedTuple, Self

import orjson
from starlette.requests import Request
from starlette.responses import Response

from app.domain.callers import Caller, Scope
from app.domain.errors import BodyTooLarge
from app.domain.scim.errors import (
    ScimMediaType,
    ScimNoFilter,
    ScimNotFound,
    ScimRefusal,
    ScimUnsupported,
)
from app.domain.scim.patches import patched
from app.domain.scim.schemas import SCHEMAS, Resource, Schema, checked, projected
from app.services.scim import (
    MOST_RESULTS,
    Shown,
    change_resource,
    create_resource,
    find_resource,
    list_resources,
    remove_resource,
)
from app.web.app_state import get_app_state
from app.web.auth import AuthenticatedRoute
from app.web.body import read_body
from app.web.conditional import etag_matches, join_header_lines, parse_etags
from app.web.content_type import parse_content_type
from app.web.errors import SCIM_MEDIA_TYPE, SCIM_PREFIX

_MESSAGES = "urn:ietf:params:scim:api:messages:2.0"
_CORE = "urn:ietf:params:scim:schemas:core:2.0"
_MOST_BYTES = 10_485_760
_DEFAULT_COUNT = 100

Answer = Callable[[Request, Caller], Awaitable[Response]]


class ScimResponse(Response):
    """A response in SCIM's own media type."""

    media_type = SCIM_MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        """Write the content; None is no body."""
        return b"" if content is None else orjson.dumps(content)


def _by_method(**answers: Answer) -> Answer:
    """One path, and what it answers to which method."""

    async def answer(request: Request, caller: Caller) -> Response:
        # HEAD asks for what GET answers; the server leaves the body out.
        found = answers.get("GET" if request.method == "HEAD" else request.method)
        if found is None:
            allowed = ", ".join(answers)
            raise ScimUnsupported(f"{request.method} is not for this path: {allowed}.", "")
        return await found(request, caller)

    return answer


def _schema(request: Request) -> Schema:
    path = request.url.path.removeprefix(SCIM_PREFIX)
    return next(schema for schema in SCHEMAS.values() if path.startswith(schema.endpoint))


_PARAMETERS = ("filter", "startIndex", "count", "attributes", "excludedAttributes")


class ListQuery(NamedTuple):
    """What a client wants to see: which resources, and what of each."""

    matching: str | None = None
    start: int = 1
    most: int = _DEFAULT_COUNT
    attributes: Sequence[str] = ()
    excluded: Sequence[str] = ()

    @classmethod
    def of(cls, request: Request) -> Self:
        """The parameters of a request."""
        asked = request.query_params
        return cls(
            asked.get("filter"),
            _number("startIndex", asked.get("startIndex", "1")),
            _number("count", asked.get("count", str(_DEFAULT_COUNT))),
            asked.get("attributes", "").split(","),
            asked.get("excludedAttributes", "").split(","),
        )

    @classmethod
    def searched(cls, body: Any) -> Self:
        """The same in the body of a search (RFC 7644, section 3.4.3)."""
        if not isinstance(body, dict):
            raise ScimRefusal("The body must be a JSON object.", "invalidSyntax")
        return cls(
            body.get("filter"),
            _number("startIndex", str(body.get("startIndex", 1))),
            _number("count", str(body.get("count", _DEFAULT_COUNT))),
            _names(body, "attributes"),
            _names(body, "excludedAttributes"),
        )


def _number(name: str, written: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,9}", written):
        raise ScimRefusal(f"{name}: must be a whole number; got {written[:80]!r}.")
    return int(written)


def _names(body: Resource, name: str) -> Sequence[str]:
    found = body.get(name) or []
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise ScimRefusal(f"{name}: must be a list of names; got {str(found)[:80]}.")
    return found


async def _list(request: Request, caller: Caller) -> Response:
    return await _answer(request, caller, [_schema(request)], ListQuery.of(request))


async def _search(request: Request, caller: Caller) -> Response:
    wishes = ListQuery.searched(await _body(request))
    return await _answer(request, caller, [_schema(request)], wishes)


async def _search_all(request: Request, caller: Caller) -> Response:
    wishes = ListQuery.searched(await _body(request))
    return await _answer(request, caller, list(SCHEMAS.values()), wishes)


async def _answer(
    request: Request, caller: Caller, schemas: Sequence[Schema], wishes: ListQuery
) -> Response:
    """One list of the resources of these kinds, one kind after the other."""
    database, total, shown = get_app_state(request).database, 0, list[Resource]()
    start, count = max(wishes.start, 1), min(max(wishes.most, 0), MOST_RESULTS)
    for schema in schemas:
        found = await list_resources(
            database,
            caller.organization_id,
            schema,
            matching=wishes.matching,
            start=start - total,
            count=count - len(shown),
        )
        total += found.total
        shown += [_addressed(request, each, wishes) for each in found.resources]
    return ScimResponse(_listed(shown, total, start))


def _listed(resources: list[Resource], total: int, start: int = 1) -> Resource:
    return {
        "schemas": [f"{_MESSAGES}:ListResponse"],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": len(resources),
        "Resources": resources,
    }


def _addressed(request: Request, shown: Shown, wishes: ListQuery) -> Resource:
    """The resource with its addresses, and only what the client wants to see of it."""
    base = _base(request)
    resource = shown.resource
    resource["meta"]["location"] = f"{base}{shown.schema.endpoint}/{resource['id']}"
    for name, endpoint in (("groups", "/Groups"), ("members", "/Users")):
        for each in resource.get(name, ()):
            each["$ref"] = f"{base}{endpoint}/{each['value']}"
    return projected(shown.schema, resource, wishes.attributes, wishes.excluded)


def _base(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}{SCIM_PREFIX}"


async def _create(request: Request, caller: Caller) -> Response:
    schema, services = _schema(request), get_app_state(request)
    body = await _body(request)
    shown = await create_resource(
        services.database, caller.organization_id, schema, body, services.now
    )
    return _one(request, shown, 201)


def _one(request: Request, shown: Shown, status: int = 200) -> Response:
    """A resource; a client that has its version already gets none."""
    etag = f'W/"{shown.version}"'
    headers = {"ETag": etag}
    if request.method == "GET" and etag_matches(request, etag):
        return ScimResponse(None, 304, headers)
    headers["Location"] = f"{_base(request)}{shown.schema.endpoint}/{shown.resource['id']}"
    return ScimResponse(_addressed(request, shown, ListQuery.of(request)), status, headers)


def _expected(request: Request) -> Collection[str] | None:
    """The versions that `If-Match` names; None when it was not given, or any will do."""
    stated = join_header_lines(request, "if-match").strip()
    if stated in {"", "*"}:
        return None
    return {tag.strip('"') for tag in parse_etags(request, "if-match")} or {stated}


async def _find(request: Request, caller: Caller) -> Response:
    schema = _schema(request)
    shown = await find_resource(
        get_app_state(request).database, caller.organization_id, schema, request.path_params["id"]
    )
    return _one(request, shown)


async def _replace(request: Request, caller: Caller) -> Response:
    said = checked(_schema(request), await _body(request))
    return await _change(request, caller, lambda _: said)


async def _patch(request: Request, caller: Caller) -> Response:
    schema = _schema(request)
    body = await _body(request)
    return await _change(request, caller, lambda resource: patched(schema, resource, body))


async def _change(
    request: Request, caller: Caller, change: Callable[[Resource], Resource]
) -> Response:
    services = get_app_state(request)
    shown = await change_resource(
        services.database,
        caller.organization_id,
        _schema(request),
        request.path_params["id"],
        change,
        expected=_expected(request),
        now=services.now,
    )
    return _one(request, shown)


async def _delete(request: Request, caller: Caller) -> Response:
    services = get_app_state(request)
    await remove_resource(
        services.database,
        caller.organization_id,
        _schema(request),
        request.path_params["id"],
        expected=_expected(request),
        now=services.now,
    )
    return ScimResponse(None, 204)


async def _body(request: Request) -> Any:
    """The JSON of a request.

    Raises:
        BodyTooLarge: It has more than 10 MiB.
        ScimMediaType: It is of another type.
        ScimRefusal: It is no JSON.
    """
    media_type = parse_content_type(request).name
    if media_type not in {SCIM_MEDIA_TYPE, "application/json"}:
        allowed = f"{SCIM_MEDIA_TYPE} or application/json"
        raise ScimMediaType(f"Content-Type must be {allowed}; got {media_type or 'none'}.", "")
    body = await read_body(request, _MOST_BYTES, _too_large)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ScimRefusal(f"The body is not valid JSON: {error}.", "invalidSyntax") from None


def _too_large(_: int) -> BodyTooLarge:
    return BodyTooLarge(f"A body may have at most {_MOST_BYTES} bytes.")


async def _config(request: Request, _: Caller) -> Response:
    return ScimResponse(
        {
            "schemas": [f"{_CORE}:ServiceProviderConfig"],
            "documentationUri": "https://datatracker.ietf.org/doc/html/rfc7644",
            "patch": {"supported": True},
            "bulk": {"supported": False, "maxOperations": 0, "maxPayloadSize": 0},
            "filter": {"supported": True, "maxResults": MOST_RESULTS},
            "changePassword": {"supported": False},
            "sort": {"supported": False},
            "etag": {"supported": True},
            "authenticationSchemes": [
                {
                    "type": "oauthbearertoken",
                    "name": "API key",
                    "description": "An API key with the scope events:write, as a bearer token.",
                    "primary": True,
                }
            ],
            "meta": {
                "resourceType": "ServiceProviderConfig",
                "location": f"{_base(request)}/ServiceProviderConfig",
            },
        }
    )


def _resource_type(request: Request, schema: Schema) -> Resource:
    return {
        "schemas": [f"{_CORE}:ResourceType"],
        "id": schema.name,
        "name": schema.name,
        "endpoint": schema.endpoint,
        "description": schema.description,
        "schema": schema.id,
        "meta": {
            "resourceType": "ResourceType",
            "location": f"{_base(request)}/ResourceTypes/{schema.name}",
        },
    }


def _described(request: Request, schema: Schema) -> Resource:
    return {
        "schemas": [f"{_CORE}:Schema"],
        "id": schema.id,
        "name": schema.name,
        "description": schema.description,
        "attributes": [attribute.described() for attribute in schema.attributes],
        "meta": {
            "resourceType": "Schema",
            "location": f"{_base(request)}/Schemas/{schema.id}",
        },
    }


def _discovery(describe: Callable[[Request, Schema], Resource]) -> tuple[Answer, Answer]:
    """A list of what there is, and one of it by its id. Neither takes a filter."""

    async def several(request: Request, _: Caller) -> Response:
        if "filter" in request.query_params:
            raise ScimNoFilter("There is no filter on what the service can do.", "")
        shown = [describe(request, schema) for schema in SCHEMAS.values()]
        return ScimResponse(_listed(shown, len(shown)))

    async def one(request: Request, _: Caller) -> Response:
        for schema in SCHEMAS.values():
            shown = describe(request, schema)
            if shown["id"] == request.path_params["id"]:
                return ScimResponse(shown)
        raise ScimNotFound(f"There is no {request.path_params['id'][:80]!r} here.", "")

    return several, one


async def _nothing(request: Request, _: Caller) -> Response:
    raise ScimNotFound(f"There is nothing at {request.url.path[:200]}.", "")


_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def _routes() -> list[AuthenticatedRoute]:
    types, one_type = _discovery(_resource_type)
    schemas, one_schema = _discovery(_described)
    paths: dict[str, Answer] = {
        "/ServiceProviderConfig": _by_method(GET=_config),
        "/ResourceTypes": _by_method(GET=types),
        "/ResourceTypes/{id}": _by_method(GET=one_type),
        "/Schemas": _by_method(GET=schemas),
        "/Schemas/{id}": _by_method(GET=one_schema),
        "/.search": _by_method(POST=_search_all),
        **{schema.endpoint: _by_method(GET=_list, POST=_create) for schema in SCHEMAS.values()},
        **{f"{schema.endpoint}/.search": _by_method(POST=_search) for schema in SCHEMAS.values()},
        **{
            f"{schema.endpoint}/{{id}}": _by_method(
                GET=_find, PUT=_replace, PATCH=_patch, DELETE=_delete
            )
            for schema in SCHEMAS.values()
        },
        "/{path:path}": _nothing,
    }
    return [
        AuthenticatedRoute(
            f"{SCIM_PREFIX}{path}",
            answer,
            scope=Scope.EVENTS_WRITE,
            methods=_METHODS,
            parameters=_PARAMETERS,
            # Directories add flags of their own, such as Entra's aadOptscim062020.
            ignores_other_parameters=True,
        )
        for path, answer in paths.items()
    ]


routes = _routes()
