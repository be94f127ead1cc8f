"""The feed's endpoint: `POST /api/events`."""

import asyncio
import zlib
from datetime import datetime

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from app.domain.callers import Caller, Scope
from app.domain.errors import BodyTooLarge, InvalidArgument, InvalidBatch, UnsupportedBody
from app.domain.events import AnyEvent, count_batch, decode_batch, decode_lines
from app.web.auth import Guarded
from app.web.errors import JsonResponse
from app.web.services import services_of
from resolvers.feed import note_refusal

ONE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
LINES = "application/x-ndjson"
MEDIA_TYPES = (ONE, BATCH, LINES)
ENCODINGS = ("identity", "gzip")


async def post_events(request: Request, caller: Caller) -> Response:
    """Store a batch of usage events; the answer comes after the commit."""
    services = services_of(request)
    media_type, encoding = _media_type(request), _encoding(request)
    most_bytes = services.settings.feed_body_bytes
    async with services.bodies.reserve(_expected_bytes(request, encoding, most_bytes)):
        body = await _read(request, encoding, most_bytes)
        now = services.now
        # Decoding holds the interpreter for as long as it takes, but not the event loop's turn.
        try:
            events = await asyncio.to_thread(_decode, media_type, body, now)
        except InvalidBatch:
            count = await asyncio.to_thread(_count, media_type, body)
            services.metrics.count_events(refused=count)
            await note_refusal(services.database, caller.organization_id, count, now)
            raise
        accepted = await services.intake.accept(caller.organization_id, events, now)
    services.metrics.count_events(accepted.accepted, accepted.duplicates)
    return JsonResponse({"accepted": accepted.accepted, "duplicates": accepted.duplicates})


def _media_type(request: Request) -> str:
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found not in MEDIA_TYPES:
        raise UnsupportedBody(
            f"Content-Type must be one of {', '.join(MEDIA_TYPES)}; got {found or 'none'}."
        )
    return found


def _encoding(request: Request) -> str:
    found = request.headers.get("content-encoding", "identity").strip().lower()
    if found not in ENCODINGS:
        raise UnsupportedBody(
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


def _decode(media_type: str, body: bytes, now: datetime) -> list[AnyEvent]:
    if media_type == BATCH:
        return decode_batch(body, now=now)
    return decode_lines(_lines(media_type, body), now=now)


def _count(media_type: str, body: bytes) -> int:
    """How many events a body holds; 0 when it cannot be told."""
    if media_type == BATCH:
        return count_batch(body)
    return sum(1 for line in _lines(media_type, body) if line.strip())


def _lines(media_type: str, body: bytes) -> list[bytes]:
    return [body] if media_type == ONE else body.split(b"\n")


routes = [
    Guarded("/api/events", post_events, scope=Scope.EVENTS_WRITE, methods=["POST"], is_query=False)
]
