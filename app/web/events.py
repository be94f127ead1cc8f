"""The feed's endpoint: `POST /api/events`."""

import zlib

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from app.domain.callers import Caller, Scope
from app.domain.errors import BodyTooLarge, InvalidArgument, InvalidBatch, UnsupportedMediaType
from app.domain.events import MEDIA_TYPES
from app.services.group_commit import IngestRequest
from app.web.app_state import get_app_state
from app.web.auth import AuthenticatedRoute
from app.web.errors import JsonResponse

ENCODINGS = ("identity", "gzip")


async def post_events(request: Request, caller: Caller) -> Response:
    """Store a batch of usage events; the answer comes after the commit."""
    services = get_app_state(request)
    media_type, encoding = _media_type(request), _encoding(request)
    most_bytes = services.settings.feed_max_body_bytes
    expected = _expected_bytes(request, encoding, most_bytes)
    async with services.bodies.taken(caller.organization_id, expected):
        body = await _read(request, encoding, most_bytes)
        delivery = IngestRequest(caller.organization_id, media_type, body, services.now)
        try:
            accepted = await services.intake.ingest(delivery)
        except InvalidBatch as refusal:
            services.metrics.count_events(refused=refusal.event_count)
            raise
    services.metrics.count_events(accepted.accepted, accepted.duplicates)
    return JsonResponse({"accepted": accepted.accepted, "duplicates": accepted.duplicates})


def _media_type(request: Request) -> str:
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found not in MEDIA_TYPES:
        raise UnsupportedMediaType(
            f"Content-Type must be one of {', '.join(MEDIA_TYPES)}; got {found or 'none'}."
        )
    return found


def _encoding(request: Request) -> str:
    found = request.headers.get("content-encoding", "identity").strip().lower()
    if found not in ENCODINGS:
        raise UnsupportedMediaType(
            f"Content-Encoding must be one of {', '.join(ENCODINGS)}; got {found!r}."
        )
    return found


def _expected_bytes(request: Request, encoding: str, most_bytes: int) -> int:
    """What the body will take in memory; what is packed or of no stated length may take all."""
    stated = request.headers.get("content-length", "")
    if encoding != "identity" or not stated.isdecimal():
        return most_bytes
    if int(stated) > most_bytes:
        raise _too_large(most_bytes)
    return int(stated)


def _too_large(most_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"A batch may have {most_bytes} bytes at the most, as sent and as unpacked: "
        "send several, or use 'chargeback import'."
    )


async def _read(request: Request, encoding: str, most_bytes: int) -> bytes:
    body = bytearray()
    unpack = _gunzip() if encoding == "gzip" else None
    try:
        async for chunk in request.stream():
            room = most_bytes - len(body) + 1
            body += chunk[:room] if unpack is None else unpack.decompress(chunk, room)
            if len(body) > most_bytes:
                raise _too_large(most_bytes)
    except zlib.error as error:
        raise InvalidArgument(f"The body is no gzip: {error}.") from None
    except ClientDisconnect:
        raise InvalidArgument("The body ended early.") from None
    if unpack is not None and not unpack.eof:
        raise InvalidArgument("The body is no gzip: it ends early.")
    return bytes(body)


def _gunzip() -> "zlib._Decompress":
    """Unpacks as much as it is told to and no more, so that a small body cannot grow large."""
    return zlib.decompressobj(wbits=31)


routes = [
    AuthenticatedRoute(
        "/api/events", post_events, scope=Scope.EVENTS_WRITE, methods=["POST"], is_query=False
    )
]
