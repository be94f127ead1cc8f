"""The queries."""

from collections.abc import Sequence
from typing import Annotated

import strawberry

from app.domain.months import Month
from resolvers.audit_log import read_audit_log
from resolvers.explanations import fetch_explanation
from resolvers.feed_activity import feed_of_caller
from resolvers.ranges import fetch_range
from resolvers.report import fetch_report, fetch_reports
from resolvers.rows import Grouped, Selection
from resolvers.statements import fetch_statement
from schema.arguments import OrganizationName
from schema.audit import (
    AfterEntry,
    AuditLogEntry,
    AuditPageSize,
    OfActions,
    OfUsername,
    Since,
    Until,
    to_audit_filter,
)
from schema.chargeback_range import ChargebackRange
from schema.execution import batched
from schema.explanation import ChargeExplanation
from schema.feed import Feed
from schema.key import ApiKey, api_keys
from schema.month import MonthHistoryEntry, ReportMonth, month_history, months
from schema.rate_card import RateCard, rate_card
from schema.report import ChargebackReport
from schema.request_info import RequestInfo
from schema.source import Source, SourceRun, source_runs, sources
from schema.statement import Payer, Statement
from schema.viewer import Viewer, viewer

_From = Annotated[Month, strawberry.argument(name="from", description="The first report month.")]
_To = Annotated[
    Month,
    strawberry.argument(description="The last report month. The range has at most 120 months."),
]


@strawberry.type(description="The queries.")
class Query:
    """The queries."""

    viewer: Viewer = strawberry.field(resolver=viewer, description="The authenticated user.")

    api_keys: list[ApiKey] = strawberry.field(
        resolver=api_keys,
        description="A page of the API keys of the caller's organization, newest first, including "
        "expired and revoked ones. Empty when there are none.",
    )

    @batched(
        key=(),
        graphql_type=list[AuditLogEntry],
        description="A page of an organization's audit log, latest entry first. Requires the "
        "scope `admin`. Empty when no entry matches.",
    )
    async def audit_log(
        info: RequestInfo,
        _: Sequence[tuple[()]],
        _selection: Selection,
        first: AuditPageSize = 100,
        after: AfterEntry = None,
        actions: OfActions = None,
        username: OfUsername = None,
        since: Since = None,
        until: Until = None,
        organization: OrganizationName = None,
    ) -> Grouped:
        matching = to_audit_filter(actions, username, since, until)
        return await read_audit_log(info.context, organization, matching, first, after)

    @batched(
        key=(),
        graphql_type=Feed,
        description="The events that arrived for the caller's organization, by source and by day.",
    )
    async def feed(
        info: RequestInfo,
        _: Sequence[tuple[()]],
        _selection: Selection,
        days: Annotated[
            int, strawberry.argument(description="The maximum number of days, from 1 to 400.")
        ] = 31,
    ) -> Grouped:
        return feed_of_caller(info.context, days)

    months: list[ReportMonth] = strawberry.field(
        resolver=months,
        description="The months of the caller's organization from its first event to now, latest "
        "first. Empty before the first event.",
    )
    month_history: list[MonthHistoryEntry] = strawberry.field(
        resolver=month_history,
        description="Every close and reopening of a month of the caller's organization, latest "
        "first. Empty before the first close.",
    )

    rate_card: RateCard = strawberry.field(
        resolver=rate_card,
        description="What the caller's organization charges in a month: currency, prices, cost "
        "centres and assignments.",
    )

    sources: list[Source] = strawberry.field(
        resolver=sources,
        description="The sources of the caller's organization, by name, each with its last run. "
        "Empty when all events come from `POST /api/events` and `chargeback import`.",
    )
    source_runs: list[SourceRun] = strawberry.field(
        resolver=source_runs,
        description="The last runs of a source, latest first. The service keeps 400 per source. "
        "Never empty: an unknown source is an error.",
    )

    @batched(
        key=(),
        graphql_type=Statement | None,
        description="Null when the month has no charges: the organization has no currency, or an "
        "imported report states the month. Otherwise what the month charges a cost centre of the "
        "caller's organization. A key with the scope `statement:read` reads those of its cost "
        "centres.",
    )
    async def statement(
        info: RequestInfo,
        _: Sequence[tuple[()]],
        _selection: Selection,
        month: Annotated[Month, strawberry.argument(description="The month; not a future one.")],
        cost_centre: Payer,
    ) -> Grouped:
        return await fetch_statement(info.context, month, cost_centre)

    @batched(
        key=(),
        graphql_type=ChargeExplanation,
        description="Why a charge line of the caller's organization has its amount: quantity, "
        "rounding, and the month rows and events behind it.",
    )
    async def explain(
        info: RequestInfo,
        _: Sequence[tuple[()]],
        _selection: Selection,
        charge: Annotated[
            strawberry.ID, strawberry.argument(description="The `lineId` of the charge line.")
        ],
    ) -> Grouped:
        return await fetch_explanation(info.context, charge)

    @batched(
        key=(),
        graphql_type=ChargebackReport,
        description="The report of one month, which must not be in the future.",
    )
    async def chargeback_report(
        info: RequestInfo,
        _: Sequence[tuple[()]],
        selection: Selection,
        month: Annotated[Month, strawberry.argument(description="The report month.")],
        organization: OrganizationName = None,
    ) -> Grouped:
        return await fetch_report(info.context, organization, month, selection)

    @batched(
        key=(),
        graphql_type=list[ChargebackReport],
        description="The reports of a range of months, earliest first.",
    )
    async def chargeback_reports(
        info: RequestInfo,
        _: Sequence[tuple[()]],
        selection: Selection,
        from_: _From,
        to: _To,
        organization: OrganizationName = None,
    ) -> Grouped:
        return await fetch_reports(info.context, organization, from_, to, selection)

    @batched(
        key=(),
        graphql_type=ChargebackRange,
        description="A range of months added up, such as the year to date.",
    )
    async def chargeback_range(
        info: RequestInfo,
        _: Sequence[tuple[()]],
        _selection: Selection,
        from_: _From,
        to: _To,
        organization: OrganizationName = None,
    ) -> Grouped:
        return await fetch_range(info.context, organization, from_, to)
