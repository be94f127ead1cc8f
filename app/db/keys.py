"""Statements of API keys and browser sessions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    DateTime,
    LargeBinary,
    Select,
    String,
    Uuid,
    and_,
    any_,
    bindparam,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.statements import compile_once
from app.db.tables import ApiKey, Organization, PlatformUser, Session


class KeyRow(NamedTuple):
    """An API key, without the hash of its secret."""

    key_id: str
    username: str
    label: str
    scopes: Sequence[str]
    cost_centres: Sequence[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class KeyHolderRow(NamedTuple):
    """What authentication needs: a key, its organization and the current state of its user.

    The columns of the user are None if there is no such user yet.
    """

    organization_id: UUID
    organization: str
    revision: int
    key_id: str
    secret_hash: bytes
    username: str
    scopes: Sequence[str]
    cost_centres: Sequence[str]
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    email: str | None
    role: str | None
    suspended: bool | None
    ended_at: datetime | None


class SessionOwnerRow(NamedTuple):
    """The key behind a session, and the user of the key."""

    key_id: str
    username: str


_KEY_COLUMNS = (
    ApiKey.key_id,
    ApiKey.username,
    ApiKey.label,
    ApiKey.scopes,
    ApiKey.cost_centres,
    ApiKey.created_at,
    ApiKey.expires_at,
    ApiKey.revoked_at,
    ApiKey.last_used_at,
)


_HOLDER_COLUMNS: tuple[Any, ...] = (
    ApiKey.organization_id,
    Organization.name,
    Organization.revision,
    ApiKey.key_id,
    ApiKey.secret_hash,
    ApiKey.username,
    ApiKey.scopes,
    ApiKey.cost_centres,
    ApiKey.expires_at,
    ApiKey.revoked_at,
    ApiKey.last_used_at,
    PlatformUser.email,
    PlatformUser.role,
    PlatformUser.suspended,
    PlatformUser.ended_at,
)
"""The columns of `KeyHolderRow`."""


async def insert_key(tx: AsyncConnection, organization_id: UUID, **values: object) -> None:
    """Store a new key."""
    await tx.execute(insert(ApiKey).values(organization_id=organization_id, **values))


async def select_keys(
    tx: AsyncConnection, organization_id: UUID, first: int | None, after: KeyRow | None
) -> Sequence[KeyRow]:
    """Select a page of an organization's keys, newest first, or all of them without `first`."""
    statement = select(*_KEY_COLUMNS).where(ApiKey.organization_id == organization_id)
    if after is not None:
        is_older = ApiKey.created_at < after.created_at
        is_next = and_(ApiKey.created_at == after.created_at, ApiKey.key_id > after.key_id)
        statement = statement.where(or_(is_older, is_next))
    statement = statement.order_by(ApiKey.created_at.desc(), ApiKey.key_id).limit(first)
    return [KeyRow(*row) for row in await tx.execute(statement)]


async def select_key(tx: AsyncConnection, organization_id: UUID, key_id: str) -> KeyRow | None:
    """Select a key of an organization; return None if there is no such key."""
    rows = await tx.execute(
        select(*_KEY_COLUMNS).where(
            ApiKey.organization_id == organization_id, ApiKey.key_id == key_id
        )
    )
    row = rows.first()
    return None if row is None else KeyRow(*row)


@compile_once
def select_key_holders(*, one_organization: bool) -> Select[Any]:
    """Select the holders of the keys whose ids are in `key_ids`; see `KeyHolderRow`.

    With `one_organization`, only keys of `organization_id` are found, on the node that has it.
    """
    key_ids = bindparam("key_ids", type_=ARRAY(String))
    statement = _select_holders(one_organization=one_organization)
    return statement.where(ApiKey.key_id == any_(key_ids))


@compile_once
def select_session_holder() -> Select[Any]:
    """Select the holder of the key behind the session `token_hash`; no row if it has ended."""
    same_key = and_(Session.organization_id == _ORGANIZATION, Session.key_id == ApiKey.key_id)
    return (
        _select_holders(one_organization=True)
        .join(Session, same_key)
        .where(
            Session.token_hash == bindparam("token_hash", type_=LargeBinary),
            Session.expires_at > bindparam("now", type_=DateTime(timezone=True)),
        )
    )


_ORGANIZATION = bindparam("organization_id", type_=Uuid)


def _select_holders(*, one_organization: bool) -> Select[Any]:
    organization: Any = _ORGANIZATION if one_organization else ApiKey.organization_id
    same_user = and_(
        PlatformUser.organization_id == organization, PlatformUser.username == ApiKey.username
    )
    statement = (
        select(*_HOLDER_COLUMNS)
        .select_from(ApiKey)
        .join(Organization, Organization.organization_id == organization)
        .outerjoin(PlatformUser, same_user)
    )
    if one_organization:
        statement = statement.where(ApiKey.organization_id == _ORGANIZATION)
    return statement


async def update_key(
    tx: AsyncConnection, organization_id: UUID, key_id: str, **values: datetime | None
) -> None:
    """Set when a key was last used, was revoked or expires."""
    await tx.execute(
        update(ApiKey)
        .where(ApiKey.organization_id == organization_id, ApiKey.key_id == key_id)
        .values(**values)
    )


async def insert_session(tx: AsyncConnection, organization_id: UUID, **values: object) -> None:
    """Store a new session."""
    await tx.execute(insert(Session).values(organization_id=organization_id, **values))


async def select_session(
    tx: AsyncConnection, organization_id: UUID, token_hash: bytes
) -> SessionOwnerRow | None:
    """Select the owner of a session, ended or not; return None if there is no such session."""
    rows = await tx.execute(
        select(Session.key_id, ApiKey.username)
        .join(ApiKey, ApiKey.key_id == Session.key_id)
        .where(
            ApiKey.organization_id == organization_id,
            Session.organization_id == organization_id,
            Session.token_hash == token_hash,
        )
    )
    row = rows.first()
    return None if row is None else SessionOwnerRow(*row)


async def delete_sessions(
    tx: AsyncConnection,
    organization_id: UUID,
    *,
    token_hash: bytes | None = None,
    ended_before: datetime | None = None,
) -> None:
    """Delete the session with this token, and the sessions that had expired by `ended_before`."""
    statement = delete(Session).where(Session.organization_id == organization_id)
    if token_hash is not None:
        await tx.execute(statement.where(Session.token_hash == token_hash))
    if ended_before is not None:
        await tx.execute(statement.where(Session.expires_at <= ended_before))
