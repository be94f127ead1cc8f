"""The workspaces of reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.db.levels import ALL, Page
from app.db.workspaces import select_workspaces_of_reports
from resolvers.context import Context
from resolvers.levels import ReportKey, read_level, stream_level
from resolvers.rows import Grouped, RowStream, Selection


@dataclass(frozen=True, slots=True)
class WorkspaceCriteria:
    """Which workspaces are wanted; what is None does not matter."""

    name: str | None = None
    name_contains: str | None = None
    minimum_size_bytes: int | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """What was given, by name."""
        wanted = {
            "name": self.name,
            "name_contains": self.name_contains or None,
            "minimum_size_bytes": self.minimum_size_bytes,
        }
        return {name: value for name, value in wanted.items() if value is not None}


ANY_WORKSPACE = WorkspaceCriteria()


async def workspaces_of_reports(
    context: Context,
    reports: Sequence[ReportKey],
    selection: Selection,
    *,
    matching: WorkspaceCriteria = ANY_WORKSPACE,
    order: str = "NAME",
    page: Page = ALL,
) -> Grouped:
    """Workspaces that exist at each report's end, for all these reports at once.

    Returns:
        Rows grouped by report, each group in `order`: by name, or by size or experiments from the
        largest, ties by id. Columns: organization_id, month, workspace_id, name,
        number_of_members, number_of_projects, experiments, experiments_created, size_bytes,
        average_hundredths (of a MB); those outside `selection` are not computed.

    Source: table `workspace_month`; counts from `member_month` and `project_month`.
    """
    given = matching.parameters
    select = partial(
        select_workspaces_of_reports,
        selection,
        matching=frozenset(given),
        order=order,
        paging=page.paging,
    )
    return await read_level(context, select, reports, **given, **page.parameters)


def stream_workspaces(
    context: Context, report: ReportKey, selection: Selection, size: int
) -> RowStream:
    """The same of one report, by name, `size` at a time."""
    return stream_level(context, partial(select_workspaces_of_reports, selection), report, size)


async def former_workspaces_of_reports(
    context: Context, reports: Sequence[ReportKey], selection: Selection
) -> Grouped:
    """Workspaces deleted within each report's month that were used in it: their flows remain.

    Returns:
        As `workspaces_of_reports`, by name. Stocks are 0.
    """
    select = partial(select_workspaces_of_reports, selection, former=True)
    return await read_level(context, select, reports)
