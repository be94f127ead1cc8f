"""The routes that existing scripts and clients call."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Send
from starlette.types import Scope as Connection

from app.domain.audit import OK, Action, AuditEvent
from app.domain.callers import Caller, Scope
from app.domain.errors import InvalidArgument, InvalidMonth
from app.domain.months import Month
from app.services.document_cache import keep_document, kept_document
from app.web.app_state import get_app_state
from app.web.audit import actor_of, note_acts, note_download
from app.web.auth import AuthenticatedRoute
from app.web.closed_report_cache import ClosedDocument, packing
from app.web.conditional import is_known
from app.web.errors import JsonResponse
from app.web.limits.concurrency import HoldUntilSent
from app.web.middleware.compression import accepted, compress, negotiate_encoding
from app.web.report_document import Totals, document, read_totals
from resolvers.context import Context
from resolvers.levels import to_dicts
from resolvers.users import UserCriteria, licensed_users_of_reports

COMPATIBILITY_VERSION = "3.50.0"
"""What existing clients compare with the least version that they work with (1.2.78)."""


async def chargeback_report(request: Request, caller: Caller) -> Response:
    """The report of a month as one JSON document; without a month, the current one's."""
    services = get_app_state(request)
    month, organization = _asked(request)
    known = _known(request, caller, month, organization)
    if known is not None:
        return known
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(services.downloads.taken(caller.organization_id))
        snapshot = await stack.enter_async_context(
            services.database.snapshot(caller.organization_id)
        )
        now = services.now
        actor = actor_of(request, caller)
        context = Context(caller, services.database, snapshot, services.settings, now, actor)
        totals = await read_totals(context, organization, month)
        note_download(request, context)
        if totals.is_closed:
            return await _closed(request, context, totals, stack)
        coding = negotiate_encoding(request)
        headers = _headers(totals.etag, coding.name if coding else None, is_closed=False)
        if is_known(request, headers["ETag"]):
            return _not_modified(headers)
        chunks: AsyncIterator[bytes] = document(context, totals)
        if coding is not None:
            chunks = compress(chunks, coding.packer())
        return _Streamed(stack.pop_all(), chunks, headers)


def _headers(tag: str, coding: str | None, *, is_closed: bool) -> dict[str, str]:
    """A strong tag: other bytes, compressed ones too, have another."""
    fresh = "immutable, max-age=31536000" if is_closed else "no-cache"
    headers = {
        "ETag": f'"{tag}{f"-{coding}" if coding else ""}"',
        "Cache-Control": f"private, {fresh}",
        "Vary": "Accept-Encoding",
    }
    return {**headers, "Content-Encoding": coding} if coding else headers


def _known(
    request: Request, caller: Caller, month: Month | None, organization: str | None
) -> Response | None:
    """A closed month's document from memory, when nothing has changed since it was closed."""
    services = get_app_state(request)
    is_own = organization is None or organization == caller.organization
    if month is None or not is_own or not services.settings.chargeback_usage_report_enabled:
        return None
    key = (caller.organization_id, month, "gzip" in accepted(request))
    found = services.closed_documents.get(key, revision=caller.revision)
    if found is None:
        return None
    act = AuditEvent(caller.organization_id, Action.REPORT_DOWNLOADED, str(month))
    services.audit.record([act], actor_of(request, caller), services.now)
    return _kept(request, found, is_gzipped=key[2])


def _kept(request: Request, kept: ClosedDocument, *, is_gzipped: bool) -> Response:
    headers = _headers(kept.tag, "gzip" if is_gzipped else None, is_closed=True)
    if is_known(request, headers["ETag"]):
        return _not_modified(headers)
    return Response(kept.body, headers=headers, media_type="application/json")


async def _closed(
    request: Request, context: Context, totals: Totals, stack: AsyncExitStack
) -> Response:
    """A closed month's document from memory, from the store, or made, and then kept in both."""
    memory, is_gzipped = get_app_state(request).closed_documents, "gzip" in accepted(request)
    organization_id, month = totals.report[0], Month.containing(totals.report[1])
    key = (organization_id, month, is_gzipped)
    found = memory.get(key, tag=totals.etag)
    body = found.body if found else await _stored(context, totals, is_gzipped=is_gzipped)
    if body is not None:
        kept = ClosedDocument(totals.etag, totals.revision, body)
        memory.keep(key, kept)
        response = _kept(request, kept, is_gzipped=is_gzipped)
        return response if found else await _with_room(request, context, response)
    headers = _headers(totals.etag, "gzip" if is_gzipped else None, is_closed=True)
    if is_known(request, headers["ETag"]):
        return _not_modified(headers)
    whole: list[bytes] = []
    chunks = packing(document(context, totals), whole.append, as_packed=is_gzipped)

    async def keep() -> None:
        for made in whole:
            gzipped = ClosedDocument(totals.etag, totals.revision, made)
            memory.keep((organization_id, month, True), gzipped)
            await keep_document(context.database, organization_id, month, totals.etag, made)

    return _Streamed(stack.pop_all(), chunks, headers, keep)


async def _with_room(request: Request, context: Context, response: Response) -> Response:
    """Bytes that nobody else has are held until they were read."""
    async with AsyncExitStack() as stack:
        answers, size = get_app_state(request).answers, len(response.body)
        await stack.enter_async_context(answers.taken(context.caller.organization_id, size))
        return HoldUntilSent(response, stack.pop_all())


async def _stored(context: Context, totals: Totals, *, is_gzipped: bool) -> bytes | None:
    """The document as the store keeps it, unpacked for whoever needs that."""
    organization_id, day = totals.report
    stored = await kept_document(context, organization_id, Month.containing(day), totals.etag)
    if stored is None or is_gzipped:
        return stored
    return await asyncio.to_thread(gzip.decompress, stored)


def _asked(request: Request) -> tuple[Month | None, str | None]:
    months = request.query_params.getlist("reportMonth")
    if len(months) > 1:
        raise InvalidMonth(f"reportMonth must be given once; got {', '.join(months)}.")
    organizations = request.query_params.getlist("organization")
    if len(organizations) > 1:
        raise InvalidArgument(f"organization must be given once; got {', '.join(organizations)}.")
    return Month.parse(months[0]) if months else None, organizations[0] if organizations else None


def _not_modified(headers: Mapping[str, str]) -> Response:
    sent = {name: value for name, value in headers.items() if name != "Content-Encoding"}
    return Response(status_code=304, headers=sent)


class _Streamed(StreamingResponse):
    """A response whose snapshot is released when its last byte was sent, or could not be."""

    def __init__(
        self,
        stack: AsyncExitStack,
        chunks: AsyncIterator[bytes],
        headers: dict[str, str],
        afterwards: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(chunks, headers=headers, media_type="application/json")
        self._stack, self._afterwards = stack, afterwards

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        async with self._stack:
            await super().__call__(scope, receive, send)
        if self._afterwards is not None:
            await self._afterwards()


async def service_accounts(request: Request, caller: Caller) -> Response:
    """The service accounts of the caller's organization, by name."""
    services = get_app_state(request)
    async with services.database.snapshot(caller.organization_id) as snapshot:
        actor, now = actor_of(request, caller), services.now
        context = Context(caller, services.database, snapshot, services.settings, now, actor)
        totals = await read_totals(context, _asked(request)[1], None)
        found = await licensed_users_of_reports(
            context,
            [totals.report],
            frozenset({"username"}),
            matching=UserCriteria(service_account=True),
        )
        note_acts(request, context, OK)
    names = [{"name": row["username"]} for row in to_dicts(found)]
    return JsonResponse({"serviceAccounts": names})


async def is_alive(_: Request) -> Response:
    """Which version of the documented service this one is compatible with; asked without a key."""
    return JsonResponse({"version": COMPATIBILITY_VERSION})


def _also_under_clientlib(path: str, endpoint: Any) -> list[Route]:
    """Some clients put the name of a library before every path."""
    paths = (path, f"/clientlib{path}")
    return [AuthenticatedRoute(each, endpoint, scope=Scope.REPORT_READ) for each in paths]


routes = [
    *_also_under_clientlib("/api/admin/chargeback/report", chargeback_report),
    *_also_under_clientlib("/api/admin/service-accounts", service_accounts),
    Route("/clientlib/isAlive/ver", is_alive),
]
