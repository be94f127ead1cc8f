"""The REST routes that existing scripts and clients call."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from app.domain.audit import OK, Action, AuditEvent
from app.domain.callers import Caller, Scope
from app.domain.months import Month
from app.observability.logs import log
from app.services.document_cache import cache_document, fetch_cached_document
from app.web.app_state import get_app_state
from app.web.audit import record_actions, record_report_reads, request_actor
from app.web.auth import AuthenticatedRoute
from app.web.closed_report_cache import ClosedDocument, gzip_and_save
from app.web.conditional import etag_matches, not_modified, response_headers
from app.web.context import create_context
from app.web.errors import JsonResponse
from app.web.limits.concurrency import HoldUntilSent
from app.web.middleware.compression import accepted_encodings, compress, negotiate_encoding
from app.web.query_params import require_known_params
from app.web.report_document import ReportHeader, read_report_header, stream_document
from resolvers.context import Context
from resolvers.levels import to_dicts
from resolvers.report import require_report_enabled
from resolvers.users import UserCriteria, licensed_users_of_reports

COMPATIBILITY_VERSION = "3.50.0"
"""The version of the documented service; existing clients require 1.2.78 or later."""


class _Query(NamedTuple):
    month: Month | None
    organization: str | None


async def chargeback_report(request: Request, caller: Caller) -> Response:
    """The report of a month as one JSON document; without a month, the current one's."""
    state = get_app_state(request)
    query = _parse_query(request)
    require_report_enabled(state.settings)
    cached = _cached_report(request, caller, query)
    if cached is not None:
        return cached
    async with AsyncExitStack() as resources:
        await resources.enter_async_context(state.download_slots.acquire(caller.organization_id))
        snapshot = await resources.enter_async_context(
            state.database.snapshot(caller.organization_id)
        )
        context = create_context(request, caller, snapshot)
        header = await read_report_header(context, query.organization, query.month)
        record_report_reads(request, context, Action.REPORT_DOWNLOADED)
        if header.is_closed:
            return await _closed_report(request, context, header, resources)
        return _open_report(request, context, header, resources)


def _open_report(
    request: Request, context: Context, header: ReportHeader, resources: AsyncExitStack
) -> Response:
    """Stream the document of an open month."""
    encoding = negotiate_encoding(request)
    headers = response_headers(header.etag, encoding.name if encoding else None, is_closed=False)
    if etag_matches(request, headers["ETag"]):
        return not_modified(headers)
    chunks: AsyncIterator[bytes] = stream_document(context, header)
    if encoding is not None:
        chunks = compress(chunks, encoding.new_compressor())
    return SnapshotResponse(resources.pop_all(), chunks, headers)


def _cached_report(request: Request, caller: Caller, query: _Query) -> Response | None:
    """Return a closed month's document from memory, if it is certain to be current."""
    state = get_app_state(request)
    is_own = query.organization is None or query.organization == caller.organization
    if query.month is None or not is_own:
        return None
    is_gzipped = "gzip" in accepted_encodings(request)
    key = (caller.organization_id, query.month, is_gzipped)
    document = state.closed_reports.get(key, revision=caller.revision)
    if document is None:
        return None
    event = AuditEvent(caller.organization_id, Action.REPORT_DOWNLOADED, str(query.month))
    state.audit.record([event], request_actor(request, caller), state.now)
    return _cached_response(request, document, is_gzipped=is_gzipped)


def _cached_response(request: Request, document: ClosedDocument, *, is_gzipped: bool) -> Response:
    headers = response_headers(document.tag, "gzip" if is_gzipped else None, is_closed=True)
    if etag_matches(request, headers["ETag"]):
        return not_modified(headers)
    return Response(document.body, headers=headers, media_type="application/json")


async def _closed_report(
    request: Request, context: Context, header: ReportHeader, resources: AsyncExitStack
) -> Response:
    """Return a closed month's document from memory or from the store, or create it."""
    cache, is_gzipped = (
        get_app_state(request).closed_reports,
        "gzip" in accepted_encodings(request),
    )
    key = (header.organization_id, header.month, is_gzipped)
    cached = cache.get(key, tag=header.etag)
    if cached is not None:
        # Its tag is current, so it is valid for the current revision, too.
        cached = ClosedDocument(header.etag, header.revision, cached.body)
        cache.put(key, cached)
        return _cached_response(request, cached, is_gzipped=is_gzipped)
    body = await _read_stored_document(context, header, is_gzipped=is_gzipped)
    if body is not None:
        document = ClosedDocument(header.etag, header.revision, body)
        cache.put(key, document)
        response = _cached_response(request, document, is_gzipped=is_gzipped)
        return await _reserve_memory(request, context, response)
    return _new_closed_report(request, context, header, resources, is_gzipped=is_gzipped)


def _new_closed_report(
    request: Request,
    context: Context,
    header: ReportHeader,
    resources: AsyncExitStack,
    *,
    is_gzipped: bool,
) -> Response:
    """Stream a closed month's document, then store it and cache it in memory."""
    headers = response_headers(header.etag, "gzip" if is_gzipped else None, is_closed=True)
    if etag_matches(request, headers["ETag"]):
        return not_modified(headers)
    cache = get_app_state(request).closed_reports
    gzipped_bodies: list[bytes] = []
    chunks = gzip_and_save(
        stream_document(context, header), gzipped_bodies.append, send_gzipped=is_gzipped
    )

    async def store_document() -> None:
        for body in gzipped_bodies:  # Empty if the client disconnected.
            organization_id, month = header.organization_id, header.month
            document = ClosedDocument(header.etag, header.revision, body)
            cache.put((organization_id, month, True), document)
            try:
                await cache_document(context.database, organization_id, month, header.etag, body)
            except Exception:  # The response has been sent; the next request retries.
                log.exception("a closed month's document was not stored")

    return SnapshotResponse(resources.pop_all(), chunks, headers, store_document)


async def _reserve_memory(request: Request, context: Context, response: Response) -> Response:
    """Reserve memory until the response was sent; other requests do not share its bytes."""
    async with AsyncExitStack() as resources:
        memory, size = get_app_state(request).response_memory, len(response.body)
        await resources.enter_async_context(memory.acquire(context.caller.organization_id, size))
        return HoldUntilSent(response, resources.pop_all())


async def _read_stored_document(
    context: Context, header: ReportHeader, *, is_gzipped: bool
) -> bytes | None:
    """Read the document from the store; decompress it if the client does not accept gzip."""
    stored = await fetch_cached_document(
        context, header.organization_id, header.month, header.etag
    )
    if stored is None or is_gzipped:
        return stored
    return await asyncio.to_thread(gzip.decompress, stored)


def _parse_query(request: Request) -> _Query:
    month = request.query_params.get("reportMonth")
    return _Query(
        Month.parse(month) if month is not None else None,
        request.query_params.get("organization"),
    )


class SnapshotResponse(StreamingResponse):
    """A streaming response that releases its snapshot when it was sent, or sending failed.

    Args:
        resources: Released after sending; among them the snapshot.
        chunks: The body.
        headers: The headers.
        after_sending: Called once the complete body was sent and the resources are released.
        media_type: The body's media type.
    """

    def __init__(
        self,
        resources: AsyncExitStack,
        chunks: AsyncIterator[bytes],
        headers: dict[str, str],
        after_sending: Callable[[], Awaitable[None]] | None = None,
        *,
        media_type: str = "application/json",
    ) -> None:
        super().__init__(chunks, headers=headers, media_type=media_type)
        self._resources, self._after_sending = resources, after_sending

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Send the response, then release its resources."""
        async with self._resources:
            await super().__call__(scope, receive, send)
        if self._after_sending is not None:
            await self._after_sending()


async def service_accounts(request: Request, caller: Caller) -> Response:
    """The service accounts of the caller's organization, by name."""
    state = get_app_state(request)
    async with state.database.snapshot(caller.organization_id) as snapshot:
        context = create_context(request, caller, snapshot)
        header = await read_report_header(context, _parse_query(request).organization, None)
        accounts = await licensed_users_of_reports(
            context,
            [header.report],
            frozenset({"username"}),
            matching=UserCriteria(service_account=True),
        )
        record_actions(request, context, OK)
    names = [{"name": row["username"]} for row in to_dicts(accounts)]
    return JsonResponse({"serviceAccounts": names})


async def is_alive(request: Request) -> Response:
    """The version of the documented service that this service is compatible with; no key."""
    require_known_params(request, ())
    return JsonResponse({"version": COMPATIBILITY_VERSION})


def _create_report_routes(
    path: str, endpoint: Callable[[Request, Caller], Awaitable[Response]], *parameters: str
) -> list[Route]:
    """Return routes with and without the prefix /clientlib, which some clients send."""
    return [
        AuthenticatedRoute(each, endpoint, scope=Scope.REPORT_READ, parameters=parameters)
        for each in (path, f"/clientlib{path}")
    ]


routes = [
    *_create_report_routes(
        "/api/admin/chargeback/report", chargeback_report, "reportMonth", "organization"
    ),
    *_create_report_routes("/api/admin/service-accounts", service_accounts, "organization"),
    Route("/clientlib/isAlive/ver", is_alive),
]
