"""The REST routes as an OpenAPI document, which the service serves at `/openapi.json`.

A route that `_DETAILS` does not know is listed by its path, its methods and its docstring.
"""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app import __version__
from app.domain.errors import CODES
from app.domain.events import BATCH, LINES, ONE, AnyEvent
from app.web.errors import JsonResponse

Schema: TypeAlias = dict[str, Any]

_UNLISTED = re.compile(r"/|/graphql|/scim/.*|/static/.*|/openapi\.json|/signin|/signout")
"""Pages, their files, and GraphQL and SCIM, which describe themselves."""

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_MB: Schema = {"type": "number", "minimum": 0}
_INSTANT: Schema = {"type": "integer", "description": "Milliseconds since 1970, in UTC."}
_INSTANT_OR_0: Schema = {**_INSTANT, "description": f"{_INSTANT['description']} 0 when never."}
_INSTANT_OR_NULL: Schema = {**_INSTANT, "type": ["integer", "null"]}


def _object(properties: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Any:
    every = {**properties, **(optional or {})}
    return {"type": "object", "required": list(properties), "properties": every}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


_FIGURES = {"numberOfExperiments": _COUNT, "totalSizeInMb": _MB}
_USER = _object(
    {
        "username": _TEXT,
        "email": _TEXT,
        "created_at": _INSTANT,
        "uiUsageCount": _COUNT,
        "uiUsageUpdateTs": _INSTANT_OR_0,
        "sdkUsageCount": _COUNT,
        "sdkUsageUpdateTs": _INSTANT_OR_0,
        "suspended": {"type": "boolean"},
    },
    # In the answer without reportMonth alone.
    {
        "createdAt": _INSTANT,
        "deletedAt": _INSTANT,
        "lastUsedAt": _INSTANT_OR_NULL,
        "emLastUsedAt": _INSTANT_OR_NULL,
        "experimentCount": _COUNT,
        "dataLoggedMb": _MB,
    },
)
_WORKSPACE = _object(
    {
        "name": _TEXT,
        "numberOfMembers": _COUNT,
        **_FIGURES,
        "members": _list(_object({"userName": _TEXT, "email": _TEXT, **_FIGURES})),
        "projects": _list(_object({"name": _TEXT, **_FIGURES})),
    }
)
_REPORT = _object(
    {
        "reportDate": {**_TEXT, "pattern": "^[0-9]{4}-[0-9]{2}$"},
        "workspaces": _list(_WORKSPACE),
        "users": _object(
            {"licensedUsers": _list(_USER), "numberOfUsers": _COUNT, "createdAt": _INSTANT},
            {"organizationId": _TEXT},
        ),
    }
)
_PROBLEM = _object({"index": _COUNT, "field": _TEXT, "message": _TEXT})
_ERROR = _object(
    {"msg": _TEXT, "code": {"type": "integer", "description": "The status again."}},
    {
        "error": {**_TEXT, "enum": sorted(CODES)},
        "accepted": _COUNT,
        "duplicates": _COUNT,
        "problems": _list(_PROBLEM),
        "limit": _COUNT,
        "value": _COUNT,
    },
)
_ACCOUNTS = _object({"serviceAccounts": _list(_object({"name": _TEXT}))})
_ACCEPTED = _object({"accepted": _COUNT, "duplicates": _COUNT})

_MONTH_PARAMETER = {
    "name": "reportMonth",
    "in": "query",
    "description": "The report month, once, not in the future; without it, the current one.",
    "schema": {**_TEXT, "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$", "examples": ["2026-09"]},
}
_ORGANIZATION_PARAMETER = {
    "name": "organization",
    "in": "query",
    "description": "Another organization, once, which only users in ADMIN_USER_LIST may name.",
    "schema": _TEXT,
}


def _answers(schema: Schema, *refusals: int) -> Schema:
    """Responses: 200 with a document, and these statuses with an error's."""
    error = {"$ref": "#/components/schemas/Error"}
    return {
        "200": _content("As asked.", schema),
        **{str(status): _content("Refused.", error) for status in sorted(refusals)},
    }


def _content(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _reading(schema: Schema, *parameters: Schema, refusals: Sequence[int] = ()) -> Schema:
    answers = _answers(schema, 400, 401, 403, 404, 405, 429, 503, *refusals)
    return {"parameters": list(parameters), "responses": answers}


_DETAILS: Mapping[str, Schema] = {
    "/api/admin/chargeback/report": _reading(
        {"$ref": "#/components/schemas/Report"}, _MONTH_PARAMETER, _ORGANIZATION_PARAMETER
    ),
    "/api/admin/service-accounts": _reading(_ACCOUNTS, _ORGANIZATION_PARAMETER),
    "/clientlib/isAlive/ver": {
        "security": [],
        "responses": _answers(_object({"version": _TEXT}), 405),
    },
    "/healthz": {"security": [], "responses": _answers(_object({"status": _TEXT}), 405)},
    "/readyz": {"security": [], "responses": _answers(_object({"status": _TEXT}), 405, 503)},
    "/metrics": {
        "description": "With an operator's key, or METRICS_TOKEN as 'Bearer …'.",
        "responses": {
            **_answers({}, 401, 403, 405, 429, 503),
            "200": {
                "description": "As Prometheus reads it.",
                "content": {
                    "text/plain": {"schema": _TEXT},
                    "application/openmetrics-text": {"schema": _TEXT},
                },
            },
        },
    },
    "/api/events": {
        "requestBody": {
            "required": True,
            "content": {
                BATCH: {"schema": _list({"$ref": "#/components/schemas/Event"})},
                ONE: {"schema": {"$ref": "#/components/schemas/Event"}},
                LINES: {"schema": {**_TEXT, "description": "An event in each line."}},
            },
        },
        "responses": _answers(_ACCEPTED, 400, 401, 403, 404, 405, 408, 413, 415, 429, 503),
    },
}


def openapi_document(routes: Sequence[BaseRoute]) -> Schema:
    """The document of an application's routes, by OpenAPI 3.1."""
    (event,), definitions = msgspec.json.schema_components(
        [AnyEvent], ref_template="#/components/schemas/{name}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Chargeback admin API",
            "version": __version__,
            "description": "The monthly chargeback report over REST, and the feed of events. "
            "GraphQL, at /graphql, and SCIM, at /scim/v2/Schemas, describe themselves.",
        },
        "paths": {path: dict(_operations(routes, path)) for path in _paths(routes)},
        "components": {
            "schemas": {**definitions, "Event": event, "Report": _REPORT, "Error": _ERROR},
            "securitySchemes": {
                "key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "The API key, bare or after 'Bearer '.",
                }
            },
        },
        "security": [{"key": []}],
    }


def _paths(routes: Sequence[BaseRoute]) -> list[str]:
    """Paths to list, each once."""
    paths = [each.path for each in routes if isinstance(each, Route)]
    return [path for path in dict.fromkeys(paths) if not _UNLISTED.fullmatch(path)]


def _operations(routes: Sequence[BaseRoute], path: str) -> Iterator[tuple[str, Schema]]:
    """The methods of a path, described."""
    for route in routes:
        if isinstance(route, Route) and route.path == path:
            for method in sorted((route.methods or set()) - {"HEAD"}):
                yield method.lower(), _operation(route, method)


def _operation(route: Route, method: str) -> Schema:
    words = inspect.cleandoc(route.endpoint.__doc__ or "").partition("\n")[0]
    name = re.sub(r"\W+", "_", f"{method.lower()}{route.path}").strip("_")
    details = _DETAILS.get(route.path.removeprefix("/clientlib")) or _DETAILS.get(route.path)
    return {
        "operationId": name,
        "summary": words,
        **(details or {"responses": {"default": {"description": "See the documentation."}}}),
        **({"parameters": _in_path(route, details)} if route.param_convertors else {}),
    }


def _in_path(route: Route, details: Schema | None) -> list[Schema]:
    named = [
        {"name": name, "in": "path", "required": True, "schema": _TEXT}
        for name in route.param_convertors
    ]
    return [*named, *(details or {}).get("parameters", ())]


async def openapi_json(request: Request) -> Response:
    """The REST routes as an OpenAPI document; asked without a key."""
    return JsonResponse(openapi_document(request.app.routes))


routes = [Route("/openapi.json", openapi_json)]
