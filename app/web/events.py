"""Event ingestion over HTTP: `POST /api/events`."""

from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from app.domain.callers import Caller, Scope
from app.domain.errors import BodyTooLarge, InvalidBatch, UnsupportedMediaType
from app.domain.event_decoding import MEDIA_TYPES
from app.domain.events import EARLIEST
from app.domain.role_guard import RoleGuard
from app.services.group_commit import IngestRequest
from app.web.app_state import get_app_state
from app.web.auth import AuthenticatedRoute
from app.web.body import GZIP, IDENTITY, parse_content_encoding, read_body
from app.web.content_type import parse_content_type
from app.web.errors import JsonResponse

_ENCODINGS = (IDENTITY, GZIP)


async def post_events(request: Request, caller: Caller) -> Response:
    """Store a batch of usage events; the response follows the commit."""
    state = get_app_state(request)
    media_type, encoding = _require_media_type(request), _require_encoding(request)
    max_bytes = state.settings.feed_max_body_bytes
    state.database.require_free_space()
    async with state.body_memory.hold(caller.organization_id) as memory:
        body = await read_body(
            request,
            max_bytes,
            lambda _: _too_large(max_bytes),
            encoding=encoding,
            reserve=memory.grow,
        )
        now = state.now
        not_before = max(EARLIEST, now - timedelta(days=state.settings.feed_max_age_days))
        guard = RoleGuard.of(caller, state.settings.admin_user_list)
        batch = IngestRequest(caller.organization_id, media_type, body, now, not_before, guard)
        try:
            result = await state.ingestor.ingest(batch)
        except InvalidBatch as error:
            state.metrics.count_events(rejected=error.event_count)
            raise
    state.metrics.count_events(result.accepted, result.duplicates)
    return JsonResponse({"accepted": result.accepted, "duplicates": result.duplicates})


def _require_media_type(request: Request) -> str:
    name = parse_content_type(request).name
    if name not in MEDIA_TYPES:
        allowed = ", ".join(MEDIA_TYPES)
        raise UnsupportedMediaType(f"Content-Type must be one of {allowed}; got {name or 'none'}.")
    return name


def _require_encoding(request: Request) -> str:
    encoding = parse_content_encoding(request)
    if encoding not in _ENCODINGS:
        allowed = ", ".join(_ENCODINGS)
        raise UnsupportedMediaType(f"Content-Encoding must be one of {allowed}; got {encoding!r}.")
    return encoding


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"A batch may have at most {max_bytes} bytes, both as sent and decompressed: "
        "send several batches, or use 'chargeback import'."
    )


routes = [
    AuthenticatedRoute(
        "/api/events", post_events, scope=Scope.EVENTS_WRITE, methods=["POST"], is_query=False
    )
]
