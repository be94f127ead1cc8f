"""Authentication by API key or session, and signing in and out."""

import asyncio
import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from app.db.engine import Database
from app.db.keys import (
    KeyHolderRow,
    delete_sessions,
    insert_session,
    select_session,
    select_session_holder,
    update_key,
)
from app.domain.audit import Action, Actor, AuditEvent
from app.domain.callers import Caller, Scope
from app.domain.errors import Forbidden, ServiceBusy, Unauthenticated
from app.domain.keys import KeyText
from app.domain.role_guard import fold_email
from app.services.audit import append_audit_event
from app.services.key_loader import KeyLoader
from app.settings import Settings
from app.timeouts import KEY_LOOKUP_SECONDS

_RECORD_USE_EVERY = timedelta(minutes=1)


async def authenticate_key(
    loader: KeyLoader, key: str, settings: Settings, now: datetime
) -> Caller:
    """Return the caller that an API key belongs to.

    A key with a wrong checksum is rejected without a statement.

    Raises:
        Unauthenticated: The key is unknown, expired or revoked, or its user is suspended or
            deleted.
    """
    text = KeyText.parse(key)
    if text is None:
        raise Unauthenticated
    deadline = asyncio.get_running_loop().time() + KEY_LOOKUP_SECONDS
    holder = await loader.find(text.key_id)
    # Compare for unknown keys too, so that the time taken does not reveal which keys exist.
    secret_hash = holder.secret_hash if holder is not None else bytes(32)
    if not hmac.compare_digest(text.secret_hash, secret_hash):
        raise Unauthenticated(key_id=text.key_id)
    assert holder is not None  # noqa: S101  no secret has a hash of zeros
    if not _is_valid(holder, now):
        raise Unauthenticated(holder.organization_id, holder.username, text.key_id)
    await _record_use(loader.database, holder, now, deadline)
    return _to_caller(holder, settings)


async def explain_denial(database: Database, text: KeyText, settings: Settings) -> str | None:
    """Return why a new key would be denied its scopes at the moment; None if it works."""
    holder = await KeyLoader(database).find(text.key_id)
    assert holder is not None  # noqa: S101  the key has just been created
    caller = _to_caller(holder, settings)
    try:
        for scope in caller.scopes:
            caller.require(scope)
    except Forbidden as error:
        return str(error)
    return None


async def authenticate_session(
    database: Database, token: str, settings: Settings, now: datetime
) -> Caller:
    """Return the caller that a session belongs to. A session ends with its key.

    Raises:
        Unauthenticated: There is no such session, or it or its key has ended.
    """
    organization_id = _parse_organization(token)
    if organization_id is None:
        raise Unauthenticated
    deadline = asyncio.get_running_loop().time() + KEY_LOOKUP_SECONDS
    rows = await database.fetch_for_sign_in(
        select_session_holder(),
        {"organization_id": organization_id, "token_hash": _hash_token(token), "now": now},
    )
    holder = KeyHolderRow(*rows[0]) if rows else None
    if holder is None or not _is_valid(holder, now):
        raise Unauthenticated
    await _record_use(database, holder, now, deadline)
    return _to_caller(holder, settings)


def _is_valid(holder: KeyHolderRow, now: datetime) -> bool:
    return (
        holder.revoked_at is None
        and (holder.expires_at is None or now < holder.expires_at)
        and holder.ended_at is None
        and not holder.suspended
    )


async def _record_use(
    database: Database, holder: KeyHolderRow, now: datetime, deadline: float
) -> None:
    """Record the key's last use, at most once a minute.

    If it cannot be recorded by the deadline, the request still proceeds, and a later one records
    the use.
    """
    if holder.last_used_at is not None and now - holder.last_used_at < _RECORD_USE_EVERY:
        return
    with suppress(TimeoutError, ServiceBusy):
        async with (
            asyncio.timeout_at(deadline),
            database.transaction(holder.organization_id) as tx,
        ):
            await update_key(tx, holder.organization_id, holder.key_id, last_used_at=now)


def _to_caller(holder: KeyHolderRow, settings: Settings) -> Caller:
    return Caller(
        organization_id=holder.organization_id,
        organization=holder.organization,
        username=holder.username,
        key_id=holder.key_id,
        scopes=frozenset(Scope(scope) for scope in holder.scopes),
        cost_centres=frozenset(holder.cost_centres),
        is_admin=holder.role == "ADMIN",
        is_listed_admin=is_listed_admin(holder.username, holder.email, settings),
        revision=holder.revision,
    )


def is_listed_admin(username: str, email: str | None, settings: Settings) -> bool:
    """Return whether ADMIN_USER_LIST names a user, by username or email."""
    return username in settings.admin_user_list or (
        email is not None and fold_email(email) in map(fold_email, settings.admin_user_list)
    )


async def start_session(
    database: Database, caller: Caller, *, lasting: timedelta, now: datetime, by: Actor
) -> str:
    """Sign a caller in and return the session's token, of which only a hash is stored."""
    organization_id = caller.organization_id
    token = _encode_organization(organization_id) + secrets.token_urlsafe(32)
    async with database.transaction(organization_id) as tx:
        await delete_sessions(tx, organization_id, ended_before=now)
        await insert_session(
            tx,
            organization_id,
            token_hash=_hash_token(token),
            key_id=caller.key_id,
            created_at=now,
            expires_at=now + lasting,
        )
        event = AuditEvent(organization_id, Action.SIGNED_IN, caller.key_id)
        await append_audit_event(tx, by, event, now)
    return token


async def end_session(database: Database, token: str, *, now: datetime, by: Actor) -> None:
    """Sign out. Ending a session that has ended already is not an error."""
    organization_id, token_hash = _parse_organization(token), _hash_token(token)
    if organization_id is None:
        return
    async with database.transaction(organization_id) as tx:
        session = await select_session(tx, organization_id, token_hash)
        if session is None:
            return
        actor = replace(by, username=session.username, key_id=session.key_id)
        await delete_sessions(tx, organization_id, token_hash=token_hash)
        event = AuditEvent(organization_id, Action.SIGNED_OUT, session.key_id)
        await append_audit_event(tx, actor, event, now)


# A token begins with its organization, so that its session is looked up on one node.
_ORGANIZATION_LENGTH = 22


def _encode_organization(organization_id: UUID) -> str:
    return urlsafe_b64encode(organization_id.bytes).decode().rstrip("=")


def _parse_organization(token: str) -> UUID | None:
    """Return the organization that a token names; None if it is not a token of ours."""
    try:
        return UUID(bytes=urlsafe_b64decode(f"{token[:_ORGANIZATION_LENGTH]}=="))
    except ValueError:
        return None


def _hash_token(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
