"""What is unknown about activity, so that nobody takes it for idleness."""

from collections.abc import Iterator, Sequence
from enum import StrEnum

from app.db.projects import count_projects_of_unknown_activity
from app.db.report_windows import ReportWindow
from resolvers.context import Context
from resolvers.levels import ReportKey, read_level
from resolvers.rows import Grouped


class Unknown(StrEnum):
    """What is unknown about activity in a month."""

    UI_USAGE = "UI_USAGE"
    SDK_USAGE = "SDK_USAGE"
    PROJECT_ACTIVITY = "PROJECT_ACTIVITY"


async def activity_warnings_of_reports(context: Context, reports: Sequence[ReportKey]) -> Grouped:
    """Return what is unknown about activity in each report.

    Columns: `unknown` (an `Unknown`), `message`.

    Source: `project_month`.
    """
    counted = await read_level(context, count_projects_of_unknown_activity, reports)
    groups = [
        list(_find_unknown(window, rows[0][1] if rows else 0))
        for (_, window), rows in zip(reports, counted.groups, strict=True)
    ]
    return Grouped({"unknown": 0, "message": 1}, groups)


def _find_unknown(window: ReportWindow, projects: int) -> Iterator[tuple[Unknown, str]]:
    if not window.ui_measured:
        yield Unknown.UI_USAGE, "Nobody is known to have used the UI: no source measures it."
    if not window.sdk_measured:
        yield Unknown.SDK_USAGE, "Nobody is known to have used the SDK: no source measures it."
    if projects:
        are = "project has" if projects == 1 else "projects have"
        yield (
            Unknown.PROJECT_ACTIVITY,
            f"{projects} {are} experiments, but no event says when they were last active.",
        )
