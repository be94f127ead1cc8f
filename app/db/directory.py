"""Statements for users, workspaces, projects and memberships, and their lifespans."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.unnest import OWNER, Columns, any_of
from app.domain.lifespans import Lifespan

_T = TypeVar("_T")
_UPDATED_AT_ONCE = 1_000
"""Rows of one UPDATE. With poor statistics, the planner compares each of them with each."""


@dataclass(frozen=True, slots=True)
class EntityKind:
    """A kind of entity with lifespans.

    Attributes:
        table: Its table.
        key: The column that identifies it within the organization.
        parents: The columns of its parents. Deleting a parent deletes the entity.
    """

    table: str
    key: str
    parents: tuple[str, ...]


WORKSPACE = EntityKind("workspace", "workspace_id", ())
PROJECT = EntityKind("project", "project_id", ("workspace_id",))
MEMBERSHIP = EntityKind("membership", "member_id", ("workspace_id", "user_id"))


class Entity(NamedTuple):
    """A workspace, project or membership: the ids of its parents, and its lifespans."""

    parents: tuple[UUID, ...]
    lifespans: Sequence[Lifespan]


class NewUser(NamedTuple):
    """A user that an event mentions."""

    user_id: UUID
    username: str


class NewWorkspace(NamedTuple):
    """A workspace that an event mentions."""

    workspace_id: UUID
    name: str


class NewProject(NamedTuple):
    """A project that an event mentions."""

    project_id: UUID
    workspace_id: UUID
    name: str


class NewMembership(NamedTuple):
    """A membership that an event mentions."""

    member_id: UUID
    workspace_id: UUID
    user_id: UUID


async def insert_entities(
    tx: AsyncConnection,
    organization_id: UUID,
    entities: Mapping[type[NamedTuple], Collection[tuple[Any, ...]]],
) -> None:
    """Insert the entities that do not exist yet, without lifespans.

    Args:
        tx: The transaction.
        organization_id: The organization of the entities.
        entities: The rows of each table, by class.
    """
    for kind, columns in _COLUMNS.items():
        if rows := entities.get(kind):
            await tx.execute(
                _INSERT[kind],
                {"organization_id": organization_id, **columns.bind_rows(rows)},
            )


def _compose_insert(table: str, columns: Columns) -> Any:
    return text(f"""
        INSERT INTO {table} (organization_id, {columns.names})
        SELECT organization_id, {columns.names}
        FROM {OWNER} CROSS JOIN {columns.as_rows("new_entity")}
        ON CONFLICT DO NOTHING
    """)


# Parents before children, because of the foreign keys.
_COLUMNS: Mapping[type[NamedTuple], Columns] = {
    NewUser: Columns(NewUser, user_id="uuid", username="text"),
    NewWorkspace: Columns(NewWorkspace, workspace_id="uuid", name="text"),
    NewProject: Columns(NewProject, project_id="uuid", workspace_id="uuid", name="text"),
    NewMembership: Columns(NewMembership, member_id="uuid", workspace_id="uuid", user_id="uuid"),
}
_INSERT = {
    NewUser: _compose_insert("platform_user", _COLUMNS[NewUser]),
    NewWorkspace: _compose_insert("workspace", _COLUMNS[NewWorkspace]),
    NewProject: _compose_insert("project", _COLUMNS[NewProject]),
    NewMembership: _compose_insert("membership", _COLUMNS[NewMembership]),
}


async def select_entities(
    tx: AsyncConnection,
    organization_id: UUID,
    kind: EntityKind,
    keys: Collection[UUID],
    *,
    by: str | None = None,
) -> dict[UUID, Entity]:
    """Return the entities with these keys; with `by`, those with one of them in that column."""
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
            tuple(parents), [Lifespan(*span) for span in zip(started_at, ended_at, strict=True)]
        )
        for key, started_at, ended_at, *parents in found
    }


async def update_lifespans(
    tx: AsyncConnection,
    organization_id: UUID,
    kind: EntityKind,
    lifespans: Mapping[UUID, Sequence[Lifespan]],
) -> None:
    """Replace the lifespans of these entities.

    PostgreSQL's nested arrays must be rectangular, so each lifespan is sent as a row. An entity
    without lifespans is sent as one row with nulls.
    """
    for changed in _split(lifespans.items()):
        rows = [
            (key, rank, *span)
            for key, found in changed
            for rank, span in enumerate(found or [(None, None)])
        ]
        await tx.execute(
            _UPDATE_LIFESPANS[kind.table],
            {"organization_id": organization_id, **_LIFESPANS.bind_rows(rows)},
        )


def _split(rows: Iterable[_T]) -> Iterator[Sequence[_T]]:
    remaining = iter(rows)
    while chunk := list(islice(remaining, _UPDATED_AT_ONCE)):
        yield chunk


_LIFESPANS = Columns(key="uuid", rank="integer", started_at="timestamptz", ended_at="timestamptz")
_UPDATE_LIFESPANS = {
    kind.table: text(f"""
        UPDATE {kind.table} AS entity SET
            started_at = coalesce(changed.started_at, '{{}}'),
            ended_at = coalesce(changed.ended_at, '{{}}')
        FROM (
            SELECT key,
                   array_agg(started_at ORDER BY rank)
                       FILTER (WHERE started_at IS NOT NULL) AS started_at,
                   array_agg(ended_at ORDER BY rank)
                       FILTER (WHERE started_at IS NOT NULL) AS ended_at
            FROM {_LIFESPANS.as_rows("lifespan")}
            GROUP BY key
        ) AS changed
        WHERE entity.organization_id = :organization_id AND entity.{kind.key} = changed.key
          AND entity.{kind.key} = {any_of("key", "uuid")}
    """)
    for kind in (WORKSPACE, PROJECT, MEMBERSHIP)
}


class UserState(NamedTuple):
    """A user's current properties, the start of the first lifespan and the end of the last."""

    user_id: UUID
    email: str | None
    role: str | None
    suspended: bool
    started_at: datetime
    ended_at: datetime | None


async def update_users(
    tx: AsyncConnection, organization_id: UUID, rows: Sequence[UserState]
) -> None:
    """Update the properties of these users, which exist already."""
    for changed in _split(rows):
        await tx.execute(
            _UPDATE_USERS,
            {"organization_id": organization_id, **_USER_STATES.bind_rows(changed)},
        )


_USER_STATES = Columns(
    UserState,
    user_id="uuid",
    email="text",
    role="text",
    suspended="boolean",
    started_at="timestamptz",
    ended_at="timestamptz",
)
_UPDATE_USERS = text(f"""
    UPDATE platform_user SET email = state.email, role = state.role, suspended = state.suspended,
                       started_at = state.started_at, ended_at = state.ended_at
    FROM {_USER_STATES.as_rows("state")}
    WHERE platform_user.organization_id = :organization_id
      AND platform_user.user_id = state.user_id
      AND platform_user.user_id = {any_of("user_id", "uuid")}
""")


async def select_users_started_before(
    tx: AsyncConnection, organization_id: UUID, instant: datetime
) -> set[UUID]:
    """Return the users whose account was created before that instant."""
    found = await tx.execute(
        text("""
            SELECT user_id FROM platform_user
            WHERE organization_id = :organization_id AND started_at < :instant
        """),
        {"organization_id": organization_id, "instant": instant},
    )
    return set(found.scalars())


async def select_user(tx: AsyncConnection, organization_id: UUID, username: str) -> Any:
    """Return the user of that name, with all columns; None if there is none."""
    found = await tx.execute(
        text("""
            SELECT user_id, username, email, role, suspended, started_at, ended_at
            FROM platform_user
            WHERE organization_id = :organization_id AND username = :username
        """),
        {"organization_id": organization_id, "username": username},
    )
    return found.first()
