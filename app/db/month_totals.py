"""The totals of each month's rows, over all workspaces, projects, members and users."""

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.months import Month


class MonthTotals(NamedTuple):
    """The totals of a month's rows."""

    workspaces: int = 0
    projects: int = 0
    members: int = 0
    licensed_users: int = 0
    experiments: int = 0
    experiments_created: int = 0
    size_bytes: int = 0
    ui_usage: int = 0
    sdk_usage: int = 0


def _compose_total(table: str, columns: Mapping[str, str]) -> str:
    """Compose a part of the union: the columns that a table has, and 0 for the others."""
    columns_sql = ", ".join(f"{columns.get(name, '0')} AS {name}" for name in MonthTotals._fields)
    return f"""
        SELECT month, {columns_sql} FROM {table}
        WHERE organization_id = :organization_id GROUP BY month
    """


_PRESENT = "count(*) FILTER (WHERE present)"
_SELECT_TOTALS = text(f"""
    SELECT month, {", ".join(f"sum({name}) AS {name}" for name in MonthTotals._fields)}
    FROM ({
    " UNION ALL ".join(
        (
            _compose_total(
                "workspace_month",
                {
                    "workspaces": _PRESENT,
                    "experiments": "sum(experiments)",
                    "experiments_created": "sum(experiments_created)",
                    "size_bytes": f"least(sum(size_bytes), {2**63 - 1})",
                },
            ),
            _compose_total("project_month", {"projects": _PRESENT}),
            _compose_total("member_month", {"members": _PRESENT}),
            _compose_total(
                "user_month",
                {
                    "licensed_users": "count(*) FILTER (WHERE licensed)",
                    "ui_usage": "sum(ui_usage_count)",
                    "sdk_usage": "sum(sdk_usage_count)",
                },
            ),
        )
    )
}) AS part
    GROUP BY month ORDER BY month
""")


async def select_totals(tx: AsyncConnection, organization_id: UUID) -> dict[Month, MonthTotals]:
    """Return the totals of each month that has rows."""
    rows = await tx.execute(_SELECT_TOTALS, {"organization_id": organization_id})
    return {Month.containing(row.month): MonthTotals(*map(int, row[1:])) for row in rows}
