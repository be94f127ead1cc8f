"""Statements of the directory: accounts, workspaces, projects, memberships and their lives."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.unnest import Columns
from app.domain.lifespans import Lifespan


@dataclass(frozen=True, slots=True)
class EntityKind:
    """A kind of thing that lives: its table, and its key within the organization.

    `parents` are the columns of the things whose death is its death too.
    """

    table: str
    key: str
    parents: tuple[str, ...]


WORKSPACE = EntityKind("workspace", "workspace_id", ())
PROJECT = EntityKind("project", "project_id", ("workspace_id",))
MEMBERSHIP = EntityKind("membership", "member_id", ("workspace_id", "user_id"))


class Entity(NamedTuple):
    """A workspace, project or membership: its parents (as its kind names them) and its lives."""

    parents: tuple[UUID, ...]
    lives: Sequence[Lifespan]


class NewUser(NamedTuple):
    """A user that a fact names."""

    user_id: UUID
    username: str


class NewWorkspace(NamedTuple):
    """A workspace that a fact names."""

    workspace_id: UUID
    name: str


class NewProject(NamedTuple):
    """A project that a fact names."""

    project_id: UUID
    workspace_id: UUID
    name: str


class NewMembership(NamedTuple):
    """A membership that a fact names."""

    member_id: UUID
    workspace_id: UUID
    user_id: UUID


async def insert_entities(
    tx: AsyncConnection,
    organization_id: UUID,
    named: Mapping[type[NamedTuple], Collection[tuple[Any, ...]]],
) -> None:
    """Give a row to all that facts name and that has none yet; it lives once facts say so."""
    for kind, columns in _NAMED.items():
        if rows := named.get(kind):
            await tx.execute(
                _INSERT_NAMED[kind],
                {"organization_id": organization_id, **columns.bind_rows(rows)},
            )


def _insert_named(table: str, columns: Columns) -> Any:
    return text(f"""
        INSERT INTO {table} (organization_id, {columns.names})
        SELECT CAST(:organization_id AS uuid), {columns.names}
        FROM {columns.as_rows("named")}
        ON CONFLICT DO NOTHING
    """)


# Parents before children, as their foreign keys want it.
_NAMED: Mapping[type[NamedTuple], Columns] = {
    NewUser: Columns(NewUser, user_id="uuid", username="text"),
    NewWorkspace: Columns(NewWorkspace, workspace_id="uuid", name="text"),
    NewProject: Columns(NewProject, project_id="uuid", workspace_id="uuid", name="text"),
    NewMembership: Columns(NewMembership, member_id="uuid", workspace_id="uuid", user_id="uuid"),
}
_INSERT_NAMED = {
    NewUser: _insert_named("platform_user", _NAMED[NewUser]),
    NewWorkspace: _insert_named("workspace", _NAMED[NewWorkspace]),
    NewProject: _insert_named("project", _NAMED[NewProject]),
    NewMembership: _insert_named("membership", _NAMED[NewMembership]),
}


async def select_entities(
    tx: AsyncConnection,
    organization_id: UUID,
    kind: EntityKind,
    keys: Collection[UUID],
    *,
    by: str | None = None,
) -> dict[UUID, Entity]:
    """The things with these keys or, with `by`, those whose parent column has one of them."""
    if not keys:
        return {}
    statement = text(f"""
        SELECT {kind.key}, started_at, ended_at{"".join(f", {parent}" for parent in kind.parents)}
        FROM {kind.table}
        WHERE organization_id = :organization_id
          AND {by or kind.key} = ANY(CAST(:keys AS uuid[]))
    """)
    found = await tx.execute(statement, {"organization_id": organization_id, "keys": list(keys)})
    return {
        key: Entity(
            tuple(parents), [Lifespan(*life) for life in zip(started_at, ended_at, strict=True)]
        )
        for key, started_at, ended_at, *parents in found
    }


async def update_lifespans(
    tx: AsyncConnection,
    organization_id: UUID,
    kind: EntityKind,
    lives: Mapping[UUID, Sequence[Lifespan]],
) -> None:
    """Replace the lives of these things.

    PostgreSQL's arrays of arrays must be rectangular: lives travel as one row each, and none of a
    thing as one without a birth.
    """
    rows = [
        (key, rank, *life)
        for key, found in lives.items()
        for rank, life in enumerate(found or [(None, None)])
    ]
    await tx.execute(
        _UPDATE_LIVES[kind.table], {"organization_id": organization_id, **_LIVES.bind_rows(rows)}
    )


_LIVES = Columns(key="uuid", rank="integer", started_at="timestamptz", ended_at="timestamptz")
_UPDATE_LIVES = {
    kind.table: text(f"""
        UPDATE {kind.table} AS thing SET
            started_at = coalesce(changed.started_at, '{{}}'),
            ended_at = coalesce(changed.ended_at, '{{}}')
        FROM (
            SELECT key,
                   array_agg(started_at ORDER BY rank)
                       FILTER (WHERE started_at IS NOT NULL) AS started_at,
                   array_agg(ended_at ORDER BY rank)
                       FILTER (WHERE started_at IS NOT NULL) AS ended_at
            FROM {_LIVES.as_rows("life")}
            GROUP BY key
        ) AS changed
        WHERE thing.organization_id = :organization_id AND thing.{kind.key} = changed.key
    """)
    for kind in (WORKSPACE, PROJECT, MEMBERSHIP)
}


class UserState(NamedTuple):
    """An account as it is described now, with its first birth and its last death."""

    user_id: UUID
    email: str | None
    role: str | None
    suspended: bool
    started_at: datetime
    ended_at: datetime | None


async def update_users(
    tx: AsyncConnection, organization_id: UUID, rows: Sequence[UserState]
) -> None:
    """Say what is known now of these accounts; they are there already."""
    await tx.execute(
        _UPDATE_ACCOUNTS, {"organization_id": organization_id, **_ACCOUNTS.bind_rows(rows)}
    )


_ACCOUNTS = Columns(
    UserState,
    user_id="uuid",
    email="text",
    role="text",
    suspended="boolean",
    started_at="timestamptz",
    ended_at="timestamptz",
)
_UPDATE_ACCOUNTS = text(f"""
    UPDATE platform_user SET email = now.email, role = now.role, suspended = now.suspended,
                       started_at = now.started_at, ended_at = now.ended_at
    FROM {_ACCOUNTS.as_rows("now")}
    WHERE platform_user.organization_id = :organization_id AND platform_user.user_id = now.user_id
""")


async def select_users_started_before(
    tx: AsyncConnection, organization_id: UUID, instant: datetime
) -> set[UUID]:
    """Users whose account is older than that instant."""
    found = await tx.execute(
        text("""
            SELECT user_id FROM platform_user
            WHERE organization_id = :organization_id AND started_at < :instant
        """),
        {"organization_id": organization_id, "instant": instant},
    )
    return set(found.scalars())


async def select_user(tx: AsyncConnection, organization_id: UUID, username: str) -> Any:
    """The account of that username: all columns, or None."""
    found = await tx.execute(
        text("""
            SELECT user_id, username, email, role, suspended, started_at, ended_at
            FROM platform_user
            WHERE organization_id = :organization_id AND username = :username
        """),
        {"organization_id": organization_id, "username": username},
    )
    return found.first()
