"""Authentication by API key or session, and signing in and out."""

import asyncio
import hashlib
import hmac
import secrets
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from app.db.engine import Database
from app.db.keys import (
    delete_sessions,
    insert_session,
    select_session,
    select_session_with_user,
    update_key,
)
from app.domain.audit import Action, Actor, AuditEvent
from app.domain.callers import Caller, Scope
from app.domain.errors import Forbidden, ServiceBusy, Unauthenticated
from app.domain.keys import KeyText
from app.services.audit import append_audit_event
from app.services.key_loader import KeyLoader, fetch_holders
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
    if not _is_valid(holder, now):
        raise Unauthenticated(holder.organization_id, holder.username, text.key_id)
    await _record_use(loader.database, holder, now, deadline)
    return _to_caller(holder, settings)


async def explain_denial(database: Database, text: KeyText, settings: Settings) -> str | None:
    """Return why a new key would be denied its scopes at the moment; None if it works."""
    caller = _to_caller(await KeyLoader(database).find(text.key_id), settings)
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
    deadline = asyncio.get_running_loop().time() + KEY_LOOKUP_SECONDS
    holders = await fetch_holders(
        database, select_session_with_user(), token_hash=_hash_token(token), now=now
    )
    holder = holders[0] if holders else None
    if not _is_valid(holder, now):
        raise Unauthenticated
    await _record_use(database, holder, now, deadline)
    return _to_caller(holder, settings)


def _is_valid(holder: Any, now: datetime) -> bool:
    return (
        holder is not None
        and holder.revoked_at is None
        and (holder.expires_at is None or now < holder.expires_at)
        and holder.ended_at is None
        and not holder.suspended
    )


async def _record_use(database: Database, holder: Any, now: datetime, deadline: float) -> None:
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


def _to_caller(holder: Any, settings: Settings) -> Caller:
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
        email is not None and _fold(email) in map(_fold, settings.admin_user_list)
    )


def _fold(email: str) -> bytes:
    """Lower ASCII letters only: other letters may fold to those of another address."""
    return email.encode(errors="surrogatepass").lower()


async def start_session(
    database: Database, caller: Caller, *, lasting: timedelta, now: datetime, by: Actor
) -> str:
    """Sign a caller in and return the session's token, of which only a hash is stored."""
    organization_id, token = caller.organization_id, secrets.token_urlsafe(32)
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
    token_hash = _hash_token(token)
    async with database.unscoped_read() as tx:
        session = await select_session(tx, token_hash)
    if session is None:
        return
    organization_id = session.organization_id
    actor = replace(by, username=session.username, key_id=session.key_id)
    async with database.transaction(organization_id) as tx:
        await delete_sessions(tx, organization_id, token_hash=token_hash)
        event = AuditEvent(organization_id, Action.SIGNED_OUT, session.key_id)
        await append_audit_event(tx, actor, event, now)


def _hash_token(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
