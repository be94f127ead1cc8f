"""Statements of API keys and sessions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    DateTime,
    LargeBinary,
    Select,
    String,
    and_,
    any_,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.statements import compile_once
from app.db.tables import ApiKey, Organization, PlatformUser, Session

_SHOWN = (
    ApiKey.key_id,
    ApiKey.username,
    ApiKey.label,
    ApiKey.scopes,
    ApiKey.created_at,
    ApiKey.expires_at,
    ApiKey.revoked_at,
    ApiKey.last_used_at,
)


async def insert_key(tx: AsyncConnection, organization_id: UUID, **values: Any) -> None:
    """Store a new key."""
    await tx.execute(insert(ApiKey).values(organization_id=organization_id, **values))


async def select_keys(tx: AsyncConnection, organization_id: UUID) -> Sequence[Any]:
    """All keys of an organization, the newest first, without what proves them."""
    found = await tx.execute(
        select(*_SHOWN)
        .where(ApiKey.organization_id == organization_id)
        .order_by(ApiKey.created_at.desc(), ApiKey.key_id)
    )
    return found.all()


async def select_key(tx: AsyncConnection, organization_id: UUID, key_id: str) -> Any:
    """One key of an organization, or None."""
    found = await tx.execute(
        select(*_SHOWN).where(ApiKey.organization_id == organization_id, ApiKey.key_id == key_id)
    )
    return found.first()


def _select_holder() -> Any:
    """A key with its organization, and the account of its user as it is now."""
    account = and_(
        PlatformUser.organization_id == ApiKey.organization_id,
        PlatformUser.username == ApiKey.username,
    )
    return (
        select(
            *_SHOWN,
            ApiKey.secret_hash,
            ApiKey.organization_id,
            Organization.name.label("organization"),
            Organization.revision,
            PlatformUser.email,
            PlatformUser.role,
            PlatformUser.suspended,
            PlatformUser.ended_at,
        )
        .join(Organization, Organization.organization_id == ApiKey.organization_id)
        .outerjoin(PlatformUser, account)
    )


@compile_once
def select_holders_of_keys() -> Select[Any]:
    """Those of the keys `key_ids` that there are, each with its user."""
    asked = any_(bindparam("key_ids", type_=ARRAY(String)))
    found: Select[Any] = _select_holder().where(ApiKey.key_id == asked)
    return found


@compile_once
def select_holder_of_session() -> Select[Any]:
    """The key behind the session of `token_hash`, if it has not ended by `now`, or nothing."""
    session = and_(
        Session.organization_id == ApiKey.organization_id, Session.key_id == ApiKey.key_id
    )
    found: Select[Any] = (
        _select_holder()
        .join(Session, session)
        .where(
            Session.token_hash == bindparam("token_hash", type_=LargeBinary),
            Session.expires_at > bindparam("now", type_=DateTime(timezone=True)),
        )
    )
    return found


async def update_key(
    tx: AsyncConnection, organization_id: UUID, key_id: str, **values: datetime | None
) -> None:
    """Change when a key was used, was revoked or expires."""
    await tx.execute(
        update(ApiKey)
        .where(ApiKey.organization_id == organization_id, ApiKey.key_id == key_id)
        .values(**values)
    )


async def insert_session(tx: AsyncConnection, organization_id: UUID, **values: Any) -> None:
    """Begin a session."""
    await tx.execute(insert(Session).values(organization_id=organization_id, **values))


async def select_session(tx: AsyncConnection, token_hash: bytes) -> Any:
    """Whose session that is, ended or not: organization_id, key_id, username; None if nobody's."""
    of_key = and_(
        ApiKey.organization_id == Session.organization_id, ApiKey.key_id == Session.key_id
    )
    found = await tx.execute(
        select(Session.organization_id, Session.key_id, ApiKey.username)
        .join(ApiKey, of_key)
        .where(Session.token_hash == token_hash)
    )
    return found.first()


async def delete_sessions(
    tx: AsyncConnection,
    organization_id: UUID,
    *,
    token_hash: bytes | None = None,
    ended_before: datetime | None = None,
) -> None:
    """End one session of an organization, or forget those that ended by themselves."""
    own = delete(Session).where(Session.organization_id == organization_id)
    if token_hash is not None:
        await tx.execute(own.where(Session.token_hash == token_hash))
    if ended_before is not None:
        await tx.execute(own.where(Session.expires_at <= ended_before))
