"""The routes that existing scripts and clients call."""

import gzip
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Send
from starlette.types import Scope as Connection

from app.domain.acts import OK
from app.domain.callers import Caller, Scope
from app.domain.errors import InvalidArgument, InvalidMonth
from app.domain.months import Month
from app.web.audit import actor_of, note_acts, note_download
from app.web.auth import Guarded
from app.web.document import Totals, document, read_totals
from app.web.errors import JsonResponse
from app.web.services import services_of
from resolvers.context import Context
from resolvers.levels import dictionaries
from resolvers.users import UsersMatching, licensed_users_of_reports

COMPATIBILITY_VERSION = "3.50.0"
"""What existing clients compare with the least version that they work with (1.2.78)."""


async def chargeback_report(request: Request, caller: Caller) -> Response:
    """The report of a month as one JSON document; without a month, the current one's."""
    services = services_of(request)
    month, organization = _asked(request)
    async with AsyncExitStack() as stack:
        snapshot = await stack.enter_async_context(
            services.database.snapshot(caller.organization_id)
        )
        now = services.now
        actor = actor_of(request, caller)
        context = Context(caller, services.database, snapshot, services.settings, now, actor)
        totals = await read_totals(context, organization, month)
        note_download(request, context)
        fresh = "immutable, max-age=31536000" if totals.is_closed else "no-cache"
        headers = {"ETag": _tag(request, totals), "Cache-Control": f"private, {fresh}"}
        if _tags(request) & {headers["ETag"], "*"}:
            return Response(status_code=304, headers=headers)
        if not totals.is_closed:
            return _Streamed(stack.pop_all(), document(context, totals), headers)
        kept = services.closed_documents.get(totals.etag)
        if kept is not None:
            return _kept(request, kept, headers)
        chunks = services.closed_documents.keeping(totals.etag, document(context, totals))
        return _Streamed(stack.pop_all(), chunks, headers)


def _kept(request: Request, packed: bytes, headers: dict[str, str]) -> Response:
    """A closed month's document as it was packed when it was first asked for."""
    headers["Vary"] = "Accept-Encoding"
    if not _accepts_gzip(request):
        return Response(gzip.decompress(packed), headers=headers, media_type="application/json")
    headers["Content-Encoding"] = "gzip"
    return Response(packed, headers=headers, media_type="application/json")


def _asked(request: Request) -> tuple[Month | None, str | None]:
    months = request.query_params.getlist("reportMonth")
    if len(months) > 1:
        raise InvalidMonth(f"reportMonth must be given once; got {', '.join(months)}.")
    organizations = request.query_params.getlist("organization")
    if len(organizations) > 1:
        raise InvalidArgument(f"organization must be given once; got {', '.join(organizations)}.")
    return Month.parse(months[0]) if months else None, organizations[0] if organizations else None


def _accepts_gzip(request: Request) -> bool:
    return "gzip" in request.headers.get("accept-encoding", "")


def _tag(request: Request, totals: Totals) -> str:
    """A strong tag: other bytes, packed ones too, have another."""
    return f'"{totals.etag}{"-gzip" if _accepts_gzip(request) else ""}"'


def _tags(request: Request) -> set[str]:
    """The tags that the client has; `W/` before one does not matter for this question."""
    tags = request.headers.get("if-none-match", "").split(",")
    return {tag.strip().removeprefix("W/") for tag in tags}


class _Streamed(StreamingResponse):
    """A response whose snapshot is released when its last byte was sent, or could not be."""

    def __init__(
        self, stack: AsyncExitStack, chunks: AsyncIterator[bytes], headers: dict[str, str]
    ) -> None:
        super().__init__(chunks, headers=headers, media_type="application/json")
        self._stack = stack

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        async with self._stack:
            await super().__call__(scope, receive, send)


async def service_accounts(request: Request, caller: Caller) -> Response:
    """The service accounts of the caller's organization, by name."""
    services = services_of(request)
    async with services.database.snapshot(caller.organization_id) as snapshot:
        actor, now = actor_of(request, caller), services.now
        context = Context(caller, services.database, snapshot, services.settings, now, actor)
        totals = await read_totals(context, _asked(request)[1], None)
        found = await licensed_users_of_reports(
            context,
            [totals.report],
            frozenset({"username"}),
            matching=UsersMatching(service_account=True),
        )
        note_acts(request, context, OK)
    names = [{"name": row["username"]} for row in dictionaries(found)]
    return JsonResponse({"serviceAccounts": names})


async def is_alive(_: Request) -> Response:
    """Which version of the documented service this one is compatible with; asked without a key."""
    return JsonResponse({"version": COMPATIBILITY_VERSION})


def _also_under_clientlib(path: str, endpoint: Any) -> list[Route]:
    """Some clients put the name of a library before every path."""
    paths = (path, f"/clientlib{path}")
    return [Guarded(each, endpoint, scope=Scope.REPORT_READ) for each in paths]


routes = [
    *_also_under_clientlib("/api/admin/chargeback/report", chargeback_report),
    *_also_under_clientlib("/api/admin/service-accounts", service_accounts),
    Route("/clientlib/isAlive/ver", is_alive),
]
