"""Errors on the wire: REST's `{"msg", "code"}`, which existing clients read."""

from collections.abc import Mapping
from typing import Any

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
from app.domain.keys import redact_secrets
from app.domain.scim.errors import ScimRefusal
from app.observability.logs import log
from app.observability.request_record import observation
from app.web.middleware.security_headers import secure_headers

_RETRY_AFTER_SECONDS = "2"


class JsonResponse(Response):
    """A response written by orjson."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Write the content."""
        return orjson.dumps(content)


def headers_of(error: ChargebackError) -> dict[str, str]:
    """What the status of an error obliges a response to say."""
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": 'Bearer realm="chargeback"'}
    if isinstance(error, TooManyFailedAttempts):
        return {"Retry-After": str(error.retry_after_seconds)}
    if isinstance(error, StoreUnavailable | QueryTimedOut | TooManyConcurrentQueries):
        return {"Retry-After": _RETRY_AFTER_SECONDS}
    if isinstance(error, BodyTooLarge | BodyTimedOut):
        return {"Connection": "close"}  # The rest of the body is not waited for.
    return {}


SCIM_PREFIX = "/scim/v2"
SCIM_MEDIA_TYPE = "application/scim+json"


def _scim(request: Request) -> bool:
    return request.url.path.startswith(f"{SCIM_PREFIX}/")


def _scim_refusal(
    message: str, status: int, headers: Mapping[str, str], scim_type: str = ""
) -> Response:
    """A refusal as SCIM's clients read it (RFC 7644, section 3.12)."""
    body = {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": str(status),
        **({"scimType": scim_type} if scim_type else {}),
        "detail": message,
    }
    return JsonResponse(body, status, headers, SCIM_MEDIA_TYPE)


async def refuse(request: Request, error: Exception) -> Response:
    """A rule's refusal, as REST tells it, or SCIM on its paths."""
    assert isinstance(error, ChargebackError)  # noqa: S101  registered for this class alone
    observation().code = error.code
    if _scim(request):
        scim_type = error.scim_type if isinstance(error, ScimRefusal) else ""
        return _scim_refusal(str(error), error.status, headers_of(error), scim_type)
    body: dict[str, Any] = {"msg": str(error), "code": error.status, "error": error.code}
    body |= error.details
    if isinstance(error, InvalidBatch):
        body["accepted"] = body["duplicates"] = 0
        body["problems"] = [
            {
                "index": problem.index,
                "field": problem.field,
                "message": redact_secrets(problem.message),
            }
            for problem in error.problems
        ]
    return JsonResponse(body, error.status, headers_of(error))


async def refuse_http(request: Request, error: Exception) -> Response:
    """What the router refuses: an unknown path, a wrong method."""
    assert isinstance(error, HTTPException)  # noqa: S101  registered for this class alone
    if _scim(request):
        return _scim_refusal(f"{error.detail}.", error.status_code, error.headers or {})
    body = {"msg": f"{error.detail}.", "code": error.status_code}
    return JsonResponse(body, error.status_code, dict(error.headers or {}))


async def fail(request: Request, error: Exception) -> Response:
    """Our own mistake: its trace goes to the log, and nothing of it to the caller."""
    observation().code = "INTERNAL"
    log.error("unexpected error at %s", request.url.path, exc_info=error)
    answer = JsonResponse({"msg": "Unexpected error.", "code": 500, "error": "INTERNAL"}, 500)
    # It goes past the middleware that gives every other answer its headers.
    secure_headers(answer.headers, request.url.scheme)
    return answer
