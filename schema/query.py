"""The queries."""

from collections.abc import Sequence
from typing import Annotated, Any

import strawberry
from strawberry import Info

from app.domain.months import Month
from resolvers.context import Context
from resolvers.report import fetch_report, fetch_reports
from resolvers.rows import Grouped, Selection
from schema.arguments import OrganizationName
from schema.audit import AuditLogEntry, audit_log
from schema.execution import batched
from schema.feed import Feed, feed
from schema.key import ApiKey, api_keys
from schema.month import MonthHistoryEntry, ReportMonth, month_history, months
from schema.report import ChargebackReport
from schema.source import Source, SourceRun, source_runs, sources
from schema.viewer import Viewer, viewer


@strawberry.type(description="The queries.")
class Query:
    """The queries."""

    viewer: Viewer = strawberry.field(resolver=viewer, description="The authenticated user.")

    api_keys: list[ApiKey] = strawberry.field(
        resolver=api_keys,
        description="The keys of the caller's organization, the newest first, ended ones "
        "included. Empty when it has none.",
    )

    audit_log: list[AuditLogEntry] = strawberry.field(
        resolver=audit_log,
        description="The audit log of an organization, the latest line first, a page at a time. "
        "Needs the scope `admin`.",
    )

    feed: Feed = strawberry.field(
        resolver=feed,
        description="What arrived for the caller's organization, from whom, and what became of "
        "it. For admins.",
    )

    months: list[ReportMonth] = strawberry.field(
        resolver=months,
        description="The months of the caller's organization, the latest first, from its first "
        "event to now. Empty before its first event.",
    )
    month_history: list[MonthHistoryEntry] = strawberry.field(
        resolver=month_history,
        description="Every closing and reopening of the organization's months, the latest first. "
        "Empty before the first.",
    )

    sources: list[Source] = strawberry.field(
        resolver=sources,
        description="The sources that bring facts of the caller's organization, by name, each "
        "with its last run. Empty when all events come from `POST /api/events` and "
        "`chargeback import`.",
    )
    source_runs: list[SourceRun] = strawberry.field(
        resolver=source_runs,
        description="The last runs of a source, the latest first; 400 of each are kept. Never "
        "empty: a source that never ran is an error.",
    )

    @batched(
        key=(),
        graphql_type=ChargebackReport,
        description="The report of one month: the current one, or an earlier one.",
    )
    async def chargeback_report(
        info: Info[Context, Any],
        _: Sequence[tuple[()]],
        selection: Selection,
        month: Annotated[Month, strawberry.argument(description="The report month.")],
        organization: OrganizationName = None,
    ) -> Grouped:
        return await fetch_report(info.context, organization, month, selection)

    @batched(
        key=(),
        graphql_type=list[ChargebackReport],
        description="The reports of a range of months, in order.",
    )
    async def chargeback_reports(
        info: Info[Context, Any],
        _: Sequence[tuple[()]],
        selection: Selection,
        from_: Annotated[
            Month, strawberry.argument(name="from", description="The first report month.")
        ],
        to: Annotated[
            Month,
            strawberry.argument(description="The last one, at most 120 months after the first."),
        ],
        organization: OrganizationName = None,
    ) -> Grouped:
        return await fetch_reports(info.context, organization, from_, to, selection)
