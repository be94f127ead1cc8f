# ruff: noqa: S608  the statements are constants
"""One statement in which PostgreSQL serializes the full document; Python only passes it on."""

from datetime import date
from uuid import UUID

import asyncpg

from app.domain.months import Month

_MB = "((200 * {0}size_bytes::bigint + 1048576) / 2097152)::float8 / 100"
_STATEMENT = f"""
    WITH members AS (
        SELECT member.workspace_id, count(*) AS number_of_members, json_agg(json_build_object(
            'userName', member.username, 'email', account.email,
            'numberOfExperiments', member.experiments,
            'totalSizeInMb', {_MB.format("member.")}
        ) ORDER BY member.username) AS items
        FROM member_month AS member
        LEFT JOIN user_month AS account USING (organization_id, month, user_id)
        WHERE organization_id = $1 AND month = $2 AND present
        GROUP BY member.workspace_id
    ), projects AS (
        SELECT workspace_id, json_agg(json_build_object(
            'name', name, 'numberOfExperiments', experiments, 'totalSizeInMb', {_MB.format("")}
        ) ORDER BY name) AS items
        FROM project_month
        WHERE organization_id = $1 AND month = $2 AND present
        GROUP BY workspace_id
    ), workspaces AS (
        SELECT json_agg(json_build_object(
            'name', name, 'numberOfMembers', coalesce(number_of_members, 0),
            'totalSizeInMb', {_MB.format("")}, 'numberOfExperiments', experiments,
            'members', coalesce(members.items, '[]'::json),
            'projects', coalesce(projects.items, '[]'::json)
        ) ORDER BY name) AS items
        FROM workspace_month
        LEFT JOIN members USING (workspace_id) LEFT JOIN projects USING (workspace_id)
        WHERE organization_id = $1 AND month = $2 AND present
    ), users AS (
        SELECT count(*) AS number_of_users, json_agg(json_build_object(
            'username', username, 'email', email, 'createdAt', created_at,
            'uiUsageCount', ui_usage_count, 'uiUsageUpdatedAt', ui_used_at,
            'sdkUsageCount', sdk_usage_count, 'sdkUsageUpdatedAt', sdk_used_at,
            'suspended', suspended
        ) ORDER BY username) AS items
        FROM user_month WHERE organization_id = $1 AND month = $2 AND licensed
    )
    SELECT json_build_object('data', json_build_object('chargebackReport', json_build_object(
        'reportDate', to_char($2::date, 'YYYY-MM'),
        'workspaces', coalesce(workspaces.items, '[]'::json),
        'users', json_build_object(
            'licensedUsers', coalesce(users.items, '[]'::json),
            'numberOfUsers', number_of_users,
            'createdAt', greatest(changed_at, $2::date::timestamp AT TIME ZONE 'UTC')
        )
    ))) FROM organization, workspaces, users WHERE organization_id = $1
"""


class JsonAgg:
    """Produces the full document of one month."""

    def __init__(self, pool: asyncpg.Pool, organization_id: UUID, month: Month) -> None:
        self._pool = pool
        self._key: tuple[UUID, date] = (organization_id, month.first_day)

    async def full(self) -> bytes:
        """Return the full document as GraphQL does, except for the format of timestamps."""
        document: str = await self._pool.fetchval(_STATEMENT, *self._key)
        return document.encode()
