"""What the service supports: its configuration, resource types and schemas."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.domain.callers import Caller
from app.domain.errors import NotFound
from app.domain.json_types import JsonObject
from app.domain.scim.errors import show_value
from app.domain.scim.resources import KINDS
from app.services.scim.reads import MAX_RESULTS
from app.web.scim.responses import ScimResponse, base_url, list_message

_CORE = "urn:ietf:params:scim:schemas:core:2.0"


async def show_config(request: Request, _: Caller) -> Response:
    """Return the features that the service supports."""
    return ScimResponse(
        {
            "schemas": [f"{_CORE}:ServiceProviderConfig"],
            "documentationUri": "https://datatracker.ietf.org/doc/html/rfc7644",
            "patch": {"supported": True},
            "bulk": {"supported": False, "maxOperations": 0, "maxPayloadSize": 0},
            "filter": {"supported": True, "maxResults": MAX_RESULTS},
            "changePassword": {"supported": False},
            "sort": {"supported": False},
            "etag": {"supported": True},
            "authenticationSchemes": [
                {
                    "type": "oauthbearertoken",
                    "name": "API key",
                    "description": "An API key as a bearer token.",
                    "primary": True,
                }
            ],
            "meta": {
                "resourceType": "ServiceProviderConfig",
                "location": f"{base_url(request)}/ServiceProviderConfig",
            },
        }
    )


async def list_resource_types(request: Request, _: Caller) -> Response:
    """Return the kinds of resources."""
    return _list(request, _resource_types(request))


async def show_resource_type(request: Request, _: Caller) -> Response:
    """Return one kind of resource."""
    return _show(request, _resource_types(request))


async def list_schemas(request: Request, _: Caller) -> Response:
    """Return the schemas of all resources."""
    return _list(request, _schemas(request))


async def show_schema(request: Request, _: Caller) -> Response:
    """Return one schema."""
    return _show(request, _schemas(request))


def _resource_types(request: Request) -> Mapping[str, JsonObject]:
    found = {}
    for endpoint, kind in KINDS.items():
        location = f"{base_url(request)}/ResourceTypes/{kind.name}"
        found[kind.name] = {
            "schemas": [f"{_CORE}:ResourceType"],
            "id": kind.name,
            "name": kind.name,
            "endpoint": endpoint,
            "description": kind.model.__doc__,
            "schema": kind.schema,
            "meta": {"resourceType": "ResourceType", "location": location},
        }
    return found


def _schemas(request: Request) -> Mapping[str, JsonObject]:
    found = {}
    for kind in KINDS.values():
        location = f"{base_url(request)}/Schemas/{kind.schema}"
        found[kind.schema] = {
            **kind.model.to_schema().model_dump(),
            "meta": {"resourceType": "Schema", "location": location},
        }
    return found


def _list(request: Request, documents: Mapping[str, JsonObject]) -> Response:
    if "filter" in request.query_params:
        # RFC 7644, section 4, requires this status.
        raise HTTPException(403, "This list cannot be filtered")
    return ScimResponse(list_message(list(documents.values()), len(documents)))


def _show(request: Request, documents: Mapping[str, JsonObject]) -> Response:
    wanted = request.path_params["id"]
    if wanted not in documents:
        raise NotFound(f"There is no {show_value(wanted)} here.")
    return ScimResponse(documents[wanted])
