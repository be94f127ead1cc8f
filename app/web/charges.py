"""The REST route of a month's charges, as a file in several formats."""

import asyncio
from contextlib import AsyncExitStack
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from app import __version__
from app.domain.audit import Action
from app.domain.callers import Caller, Scope
from app.domain.errors import InvalidArgument, InvalidMonth
from app.domain.months import Month
from app.export.charge_formats import FILE_TYPES, ChargeFormat
from app.export.charges import read_charge_export
from app.web.app_state import get_app_state
from app.web.audit import record_report_reads
from app.web.auth import AuthenticatedRoute
from app.web.conditional import etag_matches, not_modified, response_headers
from app.web.context import create_context
from app.web.limits.concurrency import HoldUntilSent
from app.web.middleware.compression import ContentEncoding, negotiate_encoding
from resolvers.report import require_report_enabled
from resolvers.statements import Statement

PATH = "/api/admin/chargeback/charges"
_PARAMETERS = ("reportMonth", "format", "costCentre", "organization")


class _Query(NamedTuple):
    month: Month
    form: ChargeFormat
    cost_centre: str | None
    organization: str | None


async def charges(request: Request, caller: Caller) -> Response:
    """The charges of a month as a file, one row per charge line."""
    state = get_app_state(request)
    query = _parse_query(request)
    require_report_enabled(state.settings)
    async with AsyncExitStack() as resources:
        await resources.enter_async_context(state.download_slots.acquire(caller.organization_id))
        async with state.database.snapshot(caller.organization_id) as snapshot:
            context = create_context(request, caller, snapshot)
            statement = await read_charge_export(
                context,
                query.organization,
                query.month,
                query.cost_centre,
                with_projects=query.form.has_projects,
            )
        detail = {"file": "charges", "format": query.form}
        record_report_reads(request, context, Action.REPORT_DOWNLOADED, detail)
        encoding = negotiate_encoding(request)
        headers = response_headers(
            _etag(statement, query),
            encoding.name if encoding else None,
            is_closed=statement.closed_at is not None,
        )
        if etag_matches(request, headers["ETag"]):
            return not_modified(headers)
        body = await asyncio.to_thread(_write, statement, query.form, encoding)
        file_type = FILE_TYPES[query.form]
        headers["Content-Disposition"] = (
            f'attachment; filename="charges-{query.month}.{file_type.suffix}"'
        )
        response = Response(body, headers=headers, media_type=file_type.media_type)
        return HoldUntilSent(response, resources.pop_all())


def _write(statement: Statement, form: ChargeFormat, encoding: ContentEncoding | None) -> bytes:
    body = FILE_TYPES[form].write(statement)
    if encoding is None:
        return body
    compressor = encoding.new_compressor()
    return compressor.compress(body) + compressor.flush()


def _etag(statement: Statement, query: _Query) -> str:
    """Return a tag that is equal only for files with the same bytes."""
    payer = "all" if query.cost_centre is None else f"of-{query.cost_centre.encode().hex()}"
    instant = statement.closed_at or statement.as_of
    parts = (
        __version__,
        statement.organization_id.hex,
        statement.month,
        statement.charges.sha256,
        f"{instant.timestamp():.6f}",
        query.form,
        payer,
        statement.provider.encode().hex(),
    )
    return "-".join(map(str, parts))


def _parse_query(request: Request) -> _Query:
    given = request.query_params
    if "reportMonth" not in given:
        raise InvalidMonth("reportMonth is required: write YYYY-MM, such as 2026-09.")
    form = given.get("format", ChargeFormat.JSON)
    if form not in set(ChargeFormat):
        raise InvalidArgument(
            f"format: must be one of {', '.join(ChargeFormat)}; got {form[:40]!r}."
        )
    return _Query(
        Month.parse(given["reportMonth"]),
        ChargeFormat(form),
        given.get("costCentre"),
        given.get("organization"),
    )


routes = [AuthenticatedRoute(PATH, charges, scope=Scope.STATEMENT_READ, parameters=_PARAMETERS)]
