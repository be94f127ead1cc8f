"""The REST routes as an OpenAPI document, which the service serves at `/openapi.json`.

Routes without an entry in `_DETAILS` are listed with path, methods and docstring only.
"""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app import __version__
from app.domain.errors import CODES
from app.domain.event_decoding import BATCH, NDJSON, SINGLE
from app.domain.events import AnyEvent
from app.domain.json_types import JsonObject
from app.domain.rates import Measure
from app.domain.sections import Direction, Section, SectionOrder
from app.export.charge_formats import FILE_TYPES, ChargeFormat
from app.export.writers import FileFormat
from app.web.errors import JsonResponse
from app.web.query_params import require_known_params

Schema: TypeAlias = JsonObject

_EXCLUDED_PATHS = re.compile(r"/|/graphql|/scim/.*|/static/.*|/openapi\.json|/signin|/signout")
"""Pages and their files, and GraphQL and SCIM, which have schemas of their own."""

_STRING: Schema = {"type": "string"}
_STRING_OR_NULL: Schema = {"type": ["string", "null"]}
_DECIMAL: Schema = {**_STRING, "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_MB: Schema = {"type": "number", "minimum": 0}
_TIME: Schema = {"type": "integer", "description": "Milliseconds since 1970-01-01 UTC."}
_TIME_OR_0: Schema = {**_TIME, "description": f"{_TIME['description']} 0 if never."}
_TIME_OR_NULL: Schema = {**_TIME, "type": ["integer", "null"]}


def _object(properties: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Any:
    all_properties = {**properties, **(optional or {})}
    return {"type": "object", "required": list(properties), "properties": all_properties}


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_FIGURES = {"numberOfExperiments": _COUNT, "totalSizeInMb": _MB}
_USER = _object(
    {
        "username": _STRING,
        "email": _STRING,
        "created_at": _TIME,
        "uiUsageCount": _COUNT,
        "uiUsageUpdateTs": _TIME_OR_0,
        "sdkUsageCount": _COUNT,
        "sdkUsageUpdateTs": _TIME_OR_0,
        "suspended": {"type": "boolean"},
    },
    # Only in responses without reportMonth.
    {
        "createdAt": _TIME,
        "deletedAt": _TIME,
        "lastUsedAt": _TIME_OR_NULL,
        "emLastUsedAt": _TIME_OR_NULL,
        "experimentCount": _COUNT,
        "dataLoggedMb": _MB,
    },
)
_WORKSPACE = _object(
    {
        "name": _STRING,
        "numberOfMembers": _COUNT,
        **_FIGURES,
        "members": _array(_object({"userName": _STRING, "email": _STRING, **_FIGURES})),
        "projects": _array(_object({"name": _STRING, **_FIGURES})),
    }
)
_REPORT = _object(
    {
        "reportDate": {**_STRING, "pattern": "^[0-9]{4}-[0-9]{2}$"},
        "workspaces": _array(_WORKSPACE),
        "users": _object(
            {"licensedUsers": _array(_USER), "numberOfUsers": _COUNT, "createdAt": _TIME},
            {"organizationId": _STRING},
        ),
    }
)
_PROBLEM = _object({"index": _COUNT, "field": _STRING, "message": _STRING})
_ERROR = _object(
    {"msg": _STRING, "code": {"type": "integer", "description": "The HTTP status."}},
    {
        "error": {**_STRING, "enum": sorted(CODES)},
        "accepted": _COUNT,
        "duplicates": _COUNT,
        "problems": _array(_PROBLEM),
        "limit": _COUNT,
        "value": _COUNT,
    },
)
_CHARGE_LINE = _object(
    {
        "type": {**_STRING, "enum": ["charge", "correction"]},
        "month": _STRING,
        "originMonth": _STRING_OR_NULL,
        "costCentre": _STRING_OR_NULL,
        "costCentreName": _STRING,
        "rate": _STRING,
        "rateName": _STRING,
        "measure": {**_STRING, "enum": [*Measure]},
        "workspace": _STRING_OR_NULL,
        "userName": _STRING_OR_NULL,
        "quantity": _DECIMAL,
        "unit": _STRING,
        "price": _DECIMAL,
        "exactAmount": _DECIMAL,
        "amount": _DECIMAL,
        "currency": _STRING,
        "id": _STRING,
    }
)
_CHARGES = _object(
    {
        "organization": _STRING,
        "month": _STRING,
        "status": _STRING,
        "currency": _STRING,
        "total": _DECIMAL,
        "corrections": _DECIMAL,
        "lines": _array(_CHARGE_LINE),
    }
)
_ACCOUNTS = _object({"serviceAccounts": _array(_object({"name": _STRING}))})
_ACCEPTED = _object({"accepted": _COUNT, "duplicates": _COUNT})

_MONTH_PARAMETER = {
    "name": "reportMonth",
    "in": "query",
    "description": "The report month, not in the future. Default: the current month.",
    "schema": {**_STRING, "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$", "examples": ["2026-09"]},
}
_ORGANIZATION_PARAMETER = {
    "name": "organization",
    "in": "query",
    "description": "Another organization. Only users in ADMIN_USER_LIST may use this parameter.",
    "schema": _STRING,
}


def _query_parameter(name: str, description: str, choices: Iterable[str] = ()) -> Schema:
    schema = {**_STRING, "enum": [str(choice) for choice in choices]} if choices else _STRING
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _responses(schema: Schema, *error_statuses: int) -> Schema:
    """Return the responses: 200 with the schema, and the statuses with an error."""
    error = {"$ref": "#/components/schemas/Error"}
    return {
        "200": _content("Success.", schema),
        **{str(status): _content("Error.", error) for status in sorted(error_statuses)},
    }


def _content(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _read_operation(schema: Schema, *parameters: Schema) -> Schema:
    responses = _responses(schema, 400, 401, 403, 404, 405, 429, 503)
    return {"parameters": list(parameters), "responses": responses}


def _charges_operation() -> Schema:
    operation = _read_operation(
        _CHARGES,
        {
            **_MONTH_PARAMETER,
            "required": True,
            "description": "The report month, not in the future.",
        },
        {
            "name": "format",
            "in": "query",
            "description": "The format of the file. Default: json.",
            "schema": {**_STRING, "enum": [*ChargeFormat]},
        },
        {
            "name": "costCentre",
            "in": "query",
            "description": "Only what this cost centre pays: its code, or empty for Unassigned.",
            "schema": _STRING,
        },
        _ORGANIZATION_PARAMETER,
    )
    content = operation["responses"]["200"]["content"]
    for form in ChargeFormat:
        content.setdefault(FILE_TYPES[form].media_type.partition(";")[0], {"schema": {}})
    return operation


_DETAILS: Mapping[str, Schema] = {
    "/api/admin/chargeback/charges": _charges_operation(),
    "/api/admin/chargeback/report": _read_operation(
        {"$ref": "#/components/schemas/Report"}, _MONTH_PARAMETER, _ORGANIZATION_PARAMETER
    ),
    "/api/admin/chargeback/export": {
        "parameters": [
            _MONTH_PARAMETER,
            _query_parameter("from", "The first of several months; with `to`."),
            _query_parameter("to", "The last of several months; with `from`."),
            _query_parameter("by", "The rows. Default: workspace; xlsx, json: all.", Section),
            _query_parameter("format", "The format. Default: csv.", FileFormat),
            _query_parameter(
                "order", "The order, the largest first. Default: name.", SectionOrder
            ),
            _query_parameter("direction", "Turns the order round.", Direction),
            _query_parameter("top", "At most so many rows."),
            _query_parameter("skip", "With `top`, leave out so many rows before these."),
            _query_parameter("compare", "An earlier month to compare with."),
            _query_parameter(
                "idleDays", "Only users, or projects, idle for so many days at the month's end."
            ),
            _query_parameter(
                "sum", "`true` adds the months up: one row for each workspace, project or user."
            ),
            _query_parameter("workspace", "The name of the only workspace to export."),
            _ORGANIZATION_PARAMETER,
        ],
        "responses": {
            **_responses({}, 400, 401, 403, 404, 405, 429, 503),
            "200": {
                "description": "The file.",
                "content": {form.media_type: {"schema": _STRING} for form in FileFormat},
            },
        },
    },
    "/api/admin/service-accounts": _read_operation(_ACCOUNTS, _ORGANIZATION_PARAMETER),
    "/clientlib/isAlive/ver": {
        "security": [],
        "responses": _responses(_object({"version": _STRING}), 405),
    },
    "/healthz": {"security": [], "responses": _responses(_object({"status": _STRING}), 405)},
    "/readyz": {"security": [], "responses": _responses(_object({"status": _STRING}), 405, 503)},
    "/metrics": {
        "description": "Requires an operator's key, or METRICS_TOKEN after 'Bearer '.",
        "responses": {
            **_responses({}, 401, 403, 405, 429, 503),
            "200": {
                "description": "Metrics in Prometheus's text formats.",
                "content": {
                    "text/plain": {"schema": _STRING},
                    "application/openmetrics-text": {"schema": _STRING},
                },
            },
        },
    },
    "/api/events": {
        "requestBody": {
            "required": True,
            "content": {
                BATCH: {"schema": _array({"$ref": "#/components/schemas/Event"})},
                SINGLE: {"schema": {"$ref": "#/components/schemas/Event"}},
                NDJSON: {"schema": {**_STRING, "description": "One event per line."}},
            },
        },
        "responses": _responses(_ACCEPTED, 400, 401, 403, 404, 405, 408, 413, 415, 429, 503),
    },
}


def openapi_document(routes: Sequence[BaseRoute]) -> Schema:
    """Return the OpenAPI 3.1 document of an application's routes."""
    (event,), definitions = msgspec.json.schema_components(
        [AnyEvent], ref_template="#/components/schemas/{name}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Chargeback admin API",
            "version": __version__,
            "description": "The monthly chargeback report, and the ingestion of events. "
            "GraphQL (/graphql) and SCIM (/scim/v2/Schemas) have schemas of their own.",
        },
        "paths": {path: dict(_operations(routes, path)) for path in _paths(routes)},
        "components": {
            "schemas": {**definitions, "Event": event, "Report": _REPORT, "Error": _ERROR},
            "securitySchemes": {
                "key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "The API key, alone or after 'Bearer '.",
                }
            },
        },
        "security": [{"key": []}],
    }


def _paths(routes: Sequence[BaseRoute]) -> list[str]:
    """Return the paths to list, without duplicates."""
    paths = [each.path for each in routes if isinstance(each, Route)]
    return [path for path in dict.fromkeys(paths) if not _EXCLUDED_PATHS.fullmatch(path)]


def _operations(routes: Sequence[BaseRoute], path: str) -> Iterator[tuple[str, Schema]]:
    """Yield the methods of a path with their operations."""
    for route in routes:
        if isinstance(route, Route) and route.path == path:
            for method in sorted((route.methods or set()) - {"HEAD"}):
                yield method.lower(), _operation(route, method)


def _operation(route: Route, method: str) -> Schema:
    summary = inspect.cleandoc(route.endpoint.__doc__ or "").partition("\n")[0]
    name = re.sub(r"\W+", "_", f"{method.lower()}{route.path}").strip("_")
    details = _DETAILS.get(route.path.removeprefix("/clientlib")) or _DETAILS.get(route.path)
    return {
        "operationId": name,
        "summary": summary,
        **(details or {"responses": {"default": {"description": "See the documentation."}}}),
        **({"parameters": _parameters(route, details)} if route.param_convertors else {}),
    }


def _parameters(route: Route, details: Schema | None) -> list[Schema]:
    path_parameters = [
        {"name": name, "in": "path", "required": True, "schema": _STRING}
        for name in route.param_convertors
    ]
    return [*path_parameters, *(details or {}).get("parameters", ())]


async def openapi_json(request: Request) -> Response:
    """The REST routes as an OpenAPI document; no key needed."""
    require_known_params(request, ())
    return JsonResponse(openapi_document(request.app.routes))


routes = [Route("/openapi.json", openapi_json)]
