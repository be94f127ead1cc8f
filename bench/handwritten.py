# ruff: noqa: S608  the statements are constants
"""The same documents from hand-written code without any layers: the fastest an expert would write.

It uses one connection, one snapshot and four statements on the month tables. One comprehension
turns asyncpg's rows of each kind into dictionaries, and orjson serializes them. PostgreSQL rounds
sizes with integer arithmetic. Members and projects carry the number of their workspace instead of
its id, because asyncpg creates an object for every UUID.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from app.domain.months import Month

_NO_LIMIT = 1_000_000
_MB = "((200 * {0}::bigint + 1048576) / 2097152)::float8 / 100"
_SIZE = _MB.format("size_bytes")
_WORKSPACES = f"""
    SELECT name, experiments, {_SIZE} FROM workspace_month
    WHERE organization_id = $1 AND month = $2 AND present
    ORDER BY name LIMIT $3
"""
_WORKSPACE_NUMBERS = """
    WITH workspaces AS (
        SELECT workspace_id, row_number() OVER (ORDER BY name) - 1 AS number
        FROM workspace_month
        WHERE organization_id = $1 AND month = $2 AND present
        ORDER BY name LIMIT $3
    )
"""
_MEMBERS = f"""
    {_WORKSPACE_NUMBERS}
    SELECT number, member.username, email, member.experiments, {_MB.format("member.size_bytes")}
    FROM workspaces JOIN member_month AS member USING (workspace_id)
    LEFT JOIN user_month AS account USING (organization_id, month, user_id)
    WHERE organization_id = $1 AND month = $2 AND present
    ORDER BY number, member.username
"""
_PROJECTS = f"""
    {_WORKSPACE_NUMBERS}
    SELECT number, name, experiments, {_SIZE}
    FROM workspaces JOIN project_month USING (workspace_id)
    WHERE organization_id = $1 AND month = $2 AND present
    ORDER BY number, name
"""
_FIRST_MEMBERS = f"""
    SELECT number, page.* FROM (
        SELECT workspace_id, row_number() OVER (ORDER BY name) - 1 AS number
        FROM workspace_month WHERE organization_id = $1 AND month = $2 AND present
    ) AS workspace CROSS JOIN LATERAL (
        SELECT username, experiments, {_SIZE} FROM member_month
        WHERE organization_id = $1 AND month = $2 AND present
          AND member_month.workspace_id = workspace.workspace_id
        ORDER BY username LIMIT $3
    ) AS page ORDER BY number, username
"""
_USERS = """
    SELECT username, email, created_at, ui_usage_count, ui_used_at, sdk_usage_count, sdk_used_at,
           suspended
    FROM user_month WHERE organization_id = $1 AND month = $2 AND licensed ORDER BY username
"""
_MILLISECONDS = "coalesce((floor(extract(epoch FROM {0}) * 1000))::bigint, 0)"
_REST_USERS = _USERS.replace("created_at", _MILLISECONDS.format("created_at"))
for _column in ("ui_used_at", "sdk_used_at"):
    _REST_USERS = _REST_USERS.replace(_column, _MILLISECONDS.format(_column))
_CHANGED_AT = """
    SELECT greatest(changed_at, $2::date::timestamp AT TIME ZONE 'UTC')
    FROM organization WHERE organization_id = $1
"""


class HandwrittenQueries:
    """Produces the documents of one month."""

    def __init__(self, pool: asyncpg.Pool, organization_id: UUID, month: Month) -> None:
        self._pool = pool
        self._key = (organization_id, month.first_day)
        self._month = str(month)

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[asyncpg.Connection]:
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection

    async def full(self) -> bytes:
        """Return the full document as GraphQL returns it."""
        async with self._snapshot() as connection:
            workspaces = await self._workspaces(connection, _NO_LIMIT)
            rows = await connection.fetch(_USERS, *self._key)
            changed_at = await connection.fetchval(_CHANGED_AT, *self._key)
        users = [
            {
                "username": username,
                "email": email,
                "createdAt": created_at,
                "uiUsageCount": ui_count,
                "uiUsageUpdatedAt": ui_at,
                "sdkUsageCount": sdk_count,
                "sdkUsageUpdatedAt": sdk_at,
                "suspended": suspended,
            }
            for username, email, created_at, ui_count, ui_at, sdk_count, sdk_at, suspended in rows
        ]
        report = {
            "reportDate": self._month,
            "workspaces": workspaces,
            "users": {
                "licensedUsers": users,
                "numberOfUsers": len(users),
                "createdAt": changed_at,
            },
        }
        return orjson.dumps({"data": {"chargebackReport": report}}, option=orjson.OPT_UTC_Z)

    async def rest(self) -> bytes:
        """Return the documented REST document."""
        async with self._snapshot() as connection:
            workspaces = await self._workspaces(connection, _NO_LIMIT)
            rows = await connection.fetch(_REST_USERS, *self._key)
            changed_at = await connection.fetchval(_CHANGED_AT, *self._key)
        users = [
            {
                "username": username,
                "email": email,
                "created_at": created_at,
                "uiUsageCount": ui_count,
                "uiUsageUpdateTs": ui_at,
                "sdkUsageCount": sdk_count,
                "sdkUsageUpdateTs": sdk_at,
                "suspended": suspended,
            }
            for username, email, created_at, ui_count, ui_at, sdk_count, sdk_at, suspended in rows
        ]
        changed_ms = changed_at.timestamp() * 1000 // 1
        tail = {"licensedUsers": users, "numberOfUsers": len(users), "createdAt": int(changed_ms)}
        document = {"reportDate": self._month, "workspaces": workspaces, "users": tail}
        return orjson.dumps(document)

    async def page(self, first: int) -> bytes:
        """Return the first workspaces with their members and projects."""
        async with self._snapshot() as connection:
            workspaces = await self._workspaces(connection, first)
        return orjson.dumps({"data": {"chargebackReport": {"workspaces": workspaces}}})

    async def first_members(self, first: int) -> bytes:
        """Return all workspaces, each with its first members."""
        async with self._snapshot() as connection:
            rows = await connection.fetch(_WORKSPACES, *self._key, _NO_LIMIT)
            member_rows = await connection.fetch(_FIRST_MEMBERS, *self._key, first)
        workspaces: list[dict[str, Any]] = [{"name": name, "members": []} for name, _, _ in rows]
        members = [workspace["members"] for workspace in workspaces]
        for number, username, experiments, size in member_rows:
            members[number].append(
                {
                    "userName": username,
                    "numberOfExperiments": experiments,
                    "totalSizeInMb": size,
                }
            )
        return orjson.dumps({"data": {"chargebackReport": {"workspaces": workspaces}}})

    async def _workspaces(
        self, connection: asyncpg.Connection, first: int
    ) -> Sequence[dict[str, Any]]:
        rows = await connection.fetch(_WORKSPACES, *self._key, first)
        members: list[list[dict[str, Any]]] = [[] for _ in rows]
        projects: list[list[dict[str, Any]]] = [[] for _ in rows]
        member_rows = await connection.fetch(_MEMBERS, *self._key, first)
        for number, username, email, experiments, size in member_rows:
            members[number].append(
                {
                    "userName": username,
                    "email": email,
                    "numberOfExperiments": experiments,
                    "totalSizeInMb": size,
                }
            )
        for number, name, experiments, size in await connection.fetch(
            _PROJECTS, *self._key, first
        ):
            projects[number].append(
                {"name": name, "numberOfExperiments": experiments, "totalSizeInMb": size}
            )
        return [
            {
                "name": name,
                "numberOfMembers": len(workspace_members),
                "totalSizeInMb": size,
                "numberOfExperiments": experiments,
                "members": workspace_members,
                "projects": workspace_projects,
            }
            for (name, experiments, size), workspace_members, workspace_projects in zip(
                rows, members, projects, strict=True
            )
        ]
