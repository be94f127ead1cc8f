"""Error responses: REST's `{"msg", "code"}`, which existing clients parse, or SCIM's form."""

from collections.abc import Mapping

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.domain.errors import (
    BodyTimedOut,
    BodyTooLarge,
    ChargebackError,
    InvalidBatch,
    QueryTimedOut,
    StoreUnavailable,
    TooManyConcurrentQueries,
    TooManyFailedAttempts,
    Unauthenticated,
)
from app.domain.json_types import JsonObject
from app.domain.keys import redact_secrets
from app.observability.logs import log
from app.observability.request_record import get_current_record, shorten_path
from app.web.middleware.security_headers import add_security_headers

_RETRY_AFTER_SECONDS = "2"


class JsonResponse(Response):
    """A JSON response, serialized by orjson."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """Serialize the content."""
        return orjson.dumps(content)


def error_headers(error: ChargebackError) -> dict[str, str]:
    """Return the headers that a response with this error needs."""
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": 'Bearer realm="chargeback"'}
    if isinstance(error, TooManyFailedAttempts):
        return {"Retry-After": str(error.retry_after_seconds)}
    if isinstance(error, StoreUnavailable | QueryTimedOut | TooManyConcurrentQueries):
        return {"Retry-After": _RETRY_AFTER_SECONDS}
    if isinstance(error, BodyTooLarge | BodyTimedOut):
        return {"Connection": "close"}  # The rest of the body stays unread.
    return {}


SCIM_PREFIX = "/scim/v2"
SCIM_MEDIA_TYPE = "application/scim+json"


def _is_scim(request: Request) -> bool:
    return request.url.path.startswith(f"{SCIM_PREFIX}/")


def _scim_error_response(
    message: str, status: int, headers: Mapping[str, str], scim_type: str = ""
) -> Response:
    """Return an error in SCIM's form (RFC 7644, section 3.12)."""
    body = {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": str(status),
        **({"scimType": scim_type} if scim_type else {}),
        "detail": message,
    }
    return JsonResponse(body, status, headers, SCIM_MEDIA_TYPE)


async def handle_error(request: Request, error: Exception) -> Response:
    """Return the response to a `ChargebackError`, in SCIM's form on SCIM's paths."""
    assert isinstance(error, ChargebackError)  # noqa: S101  registered for this class only
    get_current_record().code = error.code
    if _is_scim(request):
        headers = error_headers(error)
        return _scim_error_response(str(error), error.status, headers, error.scim_type)
    body: JsonObject = {"msg": str(error), "code": error.status, "error": error.code}
    body |= error.details
    if isinstance(error, InvalidBatch):
        body |= {"accepted": 0, "duplicates": 0, "problems": _format_problems(error)}
    return JsonResponse(body, error.status, error_headers(error))


def _format_problems(error: InvalidBatch) -> list[JsonObject]:
    return [
        {
            "index": problem.index,
            "field": problem.field,
            "message": redact_secrets(problem.message),
        }
        for problem in error.problems
    ]


async def handle_http_error(request: Request, error: Exception) -> Response:
    """Return the response to an error of the router: an unknown path, a wrong method."""
    assert isinstance(error, HTTPException)  # noqa: S101  registered for this class only
    if _is_scim(request):
        return _scim_error_response(f"{error.detail}.", error.status_code, error.headers or {})
    body = {"msg": f"{error.detail}.", "code": error.status_code}
    return JsonResponse(body, error.status_code, dict(error.headers or {}))


async def respond_unexpected(request: Request, error: Exception) -> Response:
    """Log an unexpected error with its traceback; return a response that reveals nothing."""
    get_current_record().code = "INTERNAL"
    log.error("unexpected error at %s", shorten_path(request.url.path), exc_info=error)
    body = {"msg": "Unexpected error.", "code": 500, "error": "INTERNAL"}
    response = JsonResponse(body, 500)
    # This response bypasses the middleware that adds these headers.
    add_security_headers(response.headers, request.url.scheme)
    return response
