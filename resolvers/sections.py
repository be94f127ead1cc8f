"""The sections of an exported report: all workspaces, projects, members, users or corrections."""

from datetime import datetime
from typing import Any, NamedTuple

from app.db.corrections import select_corrected_figures
from app.db.report_sections import select_section_rows, select_section_totals
from app.db.report_windows import ReportWindow, bind_reports
from app.db.statements import Statement
from app.domain.sections import Section, SectionOrder
from resolvers.context import Context
from resolvers.levels import ReportKey
from resolvers.rows import RowStream

_ROWS_PER_CHUNK = 2_000


class SectionQuery(NamedTuple):
    """Which rows of a section to read, and in which order.

    Attributes:
        section: The section.
        order: By name, or by a figure with the largest first; ties by name.
        first: At most so many rows; None is all.
        workspace: Only what belongs to this workspace.
        skip: With `first`, leave out so many rows before these.
        is_descending: The direction; None is the order's own.
        idle_since: Only users, or projects, that are idle since then.
        compared_with: The report to compare with.
    """

    section: Section
    order: SectionOrder = SectionOrder.NAME
    first: int | None = None
    workspace: str | None = None
    skip: int = 0
    is_descending: bool | None = None
    idle_since: datetime | None = None
    compared_with: ReportWindow | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of its statements."""
        return {
            "first": self.first,
            "skip": self.skip,
            "workspace": self.workspace,
            "idle_since": self.idle_since,
        }

    def bind(self, window: ReportWindow) -> dict[str, Any]:
        """Return the parameters of its statements for a report."""
        others = [] if self.compared_with is None else [self.compared_with]
        return {**bind_reports([window], one=True, others=others), **self.parameters}


def stream_section_rows(context: Context, report: ReportKey, query: SectionQuery) -> RowStream:
    """Stream the rows of a section, existing and former entities, as the report's lists show them.

    Columns:

    - `is_current`: false for deleted entities, former members and users who are not licensed
    - `id`, `workspace_id` (null for users), and the names `workspace`, `project`, `username`, as
      far as the section has them
    - of workspaces `number_of_members`, `number_of_projects`; of members and users `email`
    - of users also `role`, `suspended`, `service_account`, `created_at`, `deleted_at`,
      `last_used_at`, `licences` (1 or 0), `ui_usage_count`, `sdk_usage_count`
    - `experiments`, `unmeasured`, `experiments_created`, `size_bytes`, `size_in_mb`,
      `byte_microseconds`, `average_hundredths`
    - `average_hundredths_before`, if the query compares with another report: rows that only that
      report has are added, with figures of 0

    Source: the month table of the section.
    """
    statement = select_section_rows(
        query.section,
        order=query.order,
        is_descending=query.is_descending,
        is_limited=query.first is not None,
        in_workspace=query.workspace is not None,
        is_idle=query.idle_since is not None,
        is_compared=query.compared_with is not None,
    )
    return _stream(context, report, statement, query)


async def totals_of_section(
    context: Context, report: ReportKey, query: SectionQuery
) -> dict[str, Any]:
    """Return the sums of all rows of a section, whatever `query.first` is.

    Keys: `rows` (how many), `number` (of existing entities, or licences) and the section's
    figures. The sums of workspaces, projects and members are equal: the organization's, or the
    workspace's.

    Source: the month table of the section.
    """
    organization_id, window = report
    statement = select_section_totals(
        query.section,
        in_workspace=query.workspace is not None,
        is_idle=query.idle_since is not None,
    )
    (row,) = await context.snapshot.fetch_rows(
        statement, query.bind(window), organization_id=organization_id
    )
    return {name: row[position] for name, position in statement.columns.items()}


def stream_corrected_figures(
    context: Context, report: ReportKey, query: SectionQuery
) -> RowStream:
    """Stream the corrections booked in a report's month, one row per origin month and place.

    Columns: `origin_month`, the names of the section, and an amount for each `Figure` that the
    section shows, in lower case, in the figure's own unit; 0 where it is not corrected. Rows are
    sorted by origin month and names.

    Source: `correction`.
    """
    statement = select_corrected_figures(
        query.section,
        in_workspace=query.workspace is not None,
        # Other sections end with all corrections, and with a total that contains them.
        is_limited=query.section is Section.CORRECTION and query.first is not None,
    )
    return _stream(context, report, statement, query)


def _stream(
    context: Context, report: ReportKey, statement: Statement, query: SectionQuery
) -> RowStream:
    organization_id, window = report
    chunks = context.snapshot.iter_chunks(
        statement, query.bind(window), _ROWS_PER_CHUNK, organization_id=organization_id
    )
    return RowStream(statement.columns, chunks)
