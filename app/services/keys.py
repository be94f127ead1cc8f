"""API keys and sessions: minted, shown, rotated, revoked; and who is behind one."""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import UUID

from app.db.directory import select_account
from app.db.engine import Database, Transaction
from app.db.keys import (
    delete_sessions,
    insert_key,
    insert_session,
    select_holder_of_session,
    select_holders_of_keys,
    select_key,
    select_keys,
    select_session,
    update_key,
)
from app.db.statements import Statement
from app.domain.audit import OPERATOR, Action, Actor, AuditEvent
from app.domain.callers import Caller, Scope
from app.domain.errors import (
    Forbidden,
    InvalidArgument,
    NotFound,
    ServiceBusy,
    Unauthenticated,
)
from app.domain.events import NUL
from app.domain.keys import RANDOM_BYTES, KeyText
from app.services.audit import append
from app.settings import Settings

_USE_IS_NOTED_EVERY = timedelta(minutes=1)


class MintedKey(NamedTuple):
    """A new key: its row, and its text, which nobody can show again."""

    row: Any
    text: KeyText


async def create_key(
    database: Database,
    organization_id: UUID,
    *,
    username: str,
    scopes: Sequence[Scope],
    label: str,
    expires_at: datetime | None,
    now: datetime,
    by: Actor = OPERATOR,
) -> MintedKey:
    """Mint a key for a user, who need not be announced yet.

    Raises:
        InvalidArgument: No scope, a bad username or label, or an expiry that has passed.
    """
    _check("username", username, 512)
    _check("label", label, 200)
    if not scopes:
        raise InvalidArgument(f"scopes: name at least one of {', '.join(Scope)}.")
    if expires_at is not None and expires_at <= now:
        raise InvalidArgument(f"expiresAt: must lie in the future; got {expires_at.isoformat()}.")
    text = KeyText.from_random(secrets.token_bytes(RANDOM_BYTES))
    async with database.transaction(organization_id) as tx:
        row = await _mint(tx, organization_id, text, username, scopes, label, expires_at, now)
        told = {"username": username, "label": label, "scopes": row.scopes}
        await append(
            tx, by, AuditEvent(organization_id, Action.KEY_CREATED, text.key_id, told), now
        )
    return MintedKey(row, text)


async def _mint(
    tx: Transaction,
    organization_id: UUID,
    text: KeyText,
    username: str,
    scopes: Sequence[Scope],
    label: str,
    expires_at: datetime | None,
    now: datetime,
) -> Any:
    await insert_key(
        tx,
        organization_id,
        key_id=text.key_id,
        username=username,
        label=label,
        scopes=[str(scope) for scope in dict.fromkeys(scopes)],
        secret_hash=text.secret_hash,
        created_at=now,
        expires_at=expires_at,
    )
    return await select_key(tx, organization_id, text.key_id)


def _check(field: str, value: str, longest: int) -> None:
    if not 1 <= len(value) <= longest or NUL in value:
        raise InvalidArgument(
            f"{field}: must be 1 to {longest} characters without U+0000; got {value[:80]!r}."
        )


async def list_keys(database: Database, organization_id: UUID) -> Sequence[Any]:
    """All keys of an organization, the newest first."""
    async with database.transaction(organization_id) as tx:
        return await select_keys(tx, organization_id)


async def revoke_key(
    database: Database,
    organization_id: UUID,
    key_id: str,
    now: datetime,
    by: Actor = OPERATOR,
) -> Any:
    """End a key at once, and every session begun with it; again is no error.

    Raises:
        NotFound: The organization has no such key.
    """
    async with database.transaction(organization_id) as tx:
        key = await _existing(tx, organization_id, key_id)
        if key.revoked_at is None:
            await update_key(tx, organization_id, key_id, revoked_at=now)
            told = {"username": key.username}
            await append(
                tx, by, AuditEvent(organization_id, Action.KEY_REVOKED, key_id, told), now
            )
        return await select_key(tx, organization_id, key_id)


async def rotate_key(
    database: Database,
    organization_id: UUID,
    key_id: str,
    *,
    overlap: timedelta,
    now: datetime,
    by: Actor = OPERATOR,
) -> MintedKey:
    """Mint a key like an old one, which goes on working for the time of the overlap.

    Raises:
        NotFound: The organization has no such key, or it has ended.
    """
    text = KeyText.from_random(secrets.token_bytes(RANDOM_BYTES))
    async with database.transaction(organization_id) as tx:
        old = await _existing(tx, organization_id, key_id)
        if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
            raise NotFound(f"Key {key_id!r} has ended: create another one.")
        scopes = [Scope(scope) for scope in old.scopes]
        lasts = None if old.expires_at is None else now + (old.expires_at - old.created_at)
        row = await _mint(tx, organization_id, text, old.username, scopes, old.label, lasts, now)
        ends = min(now + overlap, old.expires_at or now + overlap)
        await update_key(tx, organization_id, key_id, expires_at=ends)
        told = {"username": old.username, "new": text.key_id, "ends": ends.isoformat()}
        await append(tx, by, AuditEvent(organization_id, Action.KEY_ROTATED, key_id, told), now)
    return MintedKey(row, text)


async def refuse_listed(
    database: Database, caller: Caller, username: str, settings: Settings
) -> None:
    """Keep those who are not in ADMIN_USER_LIST from keys of those who are.

    Raises:
        Forbidden: The key would be worth more than the caller's own.
    """
    async with database.transaction(caller.organization_id) as tx:
        account = (
            None if NUL in username else await select_account(tx, caller.organization_id, username)
        )
    email = account.email if account is not None else None
    if is_listed_admin(username, email, settings) and not caller.is_listed_admin:
        raise Forbidden(
            f"{username!r} is in ADMIN_USER_LIST: only those in it may have keys made for them."
        )


async def username_of_key(database: Database, organization_id: UUID, key_id: str) -> str:
    """Whose key it is.

    Raises:
        NotFound: The organization has no such key.
    """
    async with database.transaction(organization_id) as tx:
        return str((await _existing(tx, organization_id, key_id)).username)


async def _existing(tx: Any, organization_id: UUID, key_id: str) -> Any:
    key = None if NUL in key_id else await select_key(tx, organization_id, key_id)
    if key is None:
        raise NotFound(f"There is no key {key_id!r} in this organization.")
    return key


class PendingLookup(NamedTuple):
    """A key whose holder somebody waits for, and what that somebody is about."""

    key_id: str
    holder: "asyncio.Future[Any]"
    context: Context


class KeyLoader:
    """Finds who is behind keys; those asked for while enough are looked up go together, next.

    Nothing is checkpoint: every lookup begins after the requests that it answers, so that what
    is revoked is refused from the next request on. But a hundred at once cost a few lookups.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._asked: list[PendingLookup] = []
        self._lookups: set[asyncio.Task[None]] = set()

    async def find(self, key_id: str) -> Any:
        """A key with its user, the columns as attributes; None when there is no such key.

        Raises:
            ServiceBusy: It was not found in time, whoever was looked up meanwhile.
            StoreUnavailable: The store cannot be reached.
        """
        holder: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked.append(PendingLookup(key_id, holder, copy_context()))
        self._begin()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await holder
        except TimeoutError:
            raise ServiceBusy from None

    def _begin(self) -> None:
        if len(self._lookups) >= _LOOKUPS_AT_ONCE:
            return
        together = [asked for asked in self._asked if not asked.holder.done()]
        self._asked.clear()
        if not together:
            return
        # Its statement is noted for the first of them.
        lookup = asyncio.create_task(self._look_up(together), context=together[0].context)
        self._lookups.add(lookup)
        lookup.add_done_callback(self._end)

    def _end(self, lookup: "asyncio.Task[None]") -> None:
        self._lookups.discard(lookup)
        self._begin()

    async def _look_up(self, together: Sequence[PendingLookup]) -> None:
        key_ids = list({asked.key_id for asked in together})
        try:
            rows = await _holders(self.database, select_holders_of_keys(), key_ids=key_ids)
        except Exception as error:
            for asked in together:
                if not asked.holder.done():
                    asked.holder.set_exception(error)
            return
        found = {row.key_id: row for row in rows}
        for asked in together:
            if not asked.holder.done():
                asked.holder.set_result(found.get(asked.key_id))


_LOOKUPS_AT_ONCE = 2
_PATIENCE_SECONDS = 4.0
"""To be let in: clients listen for 10 s, and what is read then may be waited for as long again."""


async def caller_of_key(
    holders: KeyLoader, written: str, settings: Settings, now: datetime
) -> Caller:
    """Who is behind a key; one with a wrong checksum asks the store nothing.

    Raises:
        Unauthenticated: It is unknown, expired or revoked, or its user is gone or suspended.
    """
    text = KeyText.parse(written)
    if text is None:
        raise Unauthenticated
    let_in_by = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    holder = await holders.find(text.key_id)
    # An unknown key costs the same comparison as a known one.
    kept = holder.secret_hash if holder is not None else bytes(32)
    if not hmac.compare_digest(text.secret_hash, kept):
        raise Unauthenticated(key_id=text.key_id)
    if not _is_valid(holder, now):
        raise Unauthenticated(holder.organization_id, holder.username, text.key_id)
    await _note_use(holders.database, holder, now, let_in_by)
    return _caller(holder, settings)


async def why_refused(database: Database, text: KeyText, settings: Settings) -> str | None:
    """Why a new key would be refused as things are, in the refusal's words; None if it works."""
    holder = await KeyLoader(database).find(text.key_id)
    caller = _caller(holder, settings)
    try:
        for scope in caller.scopes:
            caller.require(scope)
    except Forbidden as refusal:
        return str(refusal)
    return None


async def caller_of_session(
    database: Database, token: str, settings: Settings, now: datetime
) -> Caller:
    """Who is behind a session; it ends with its key.

    Raises:
        Unauthenticated: There is no such session, or it or its key has ended.
    """
    let_in_by = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    found = await _holders(
        database, select_holder_of_session(), token_hash=_token_hash(token), now=now
    )
    holder = found[0] if found else None
    if not _is_valid(holder, now):
        raise Unauthenticated
    await _note_use(database, holder, now, let_in_by)
    return _caller(holder, settings)


async def _holders(database: Database, statement: Statement, **parameters: Any) -> Sequence[Any]:
    """Who is found, with the columns as attributes; each request asks, so nothing is slow."""
    async with database.snapshot(None) as snapshot:
        rows = await snapshot.rows(statement, parameters)
    return [SimpleNamespace(**row) for row in rows]


def _is_valid(holder: Any, now: datetime) -> bool:
    return (
        holder is not None
        and holder.revoked_at is None
        and (holder.expires_at is None or now < holder.expires_at)
        and holder.ended_at is None
        and not holder.suspended
    )


async def _note_use(database: Database, holder: Any, now: datetime, by: float) -> None:
    """Now and then, and by that time of the loop: a request that comes later notes it, too."""
    noted = holder.last_used_at
    if noted is not None and now - noted < _USE_IS_NOTED_EVERY:
        return
    with suppress(TimeoutError, ServiceBusy):
        async with asyncio.timeout_at(by), database.transaction(holder.organization_id) as tx:
            await update_key(tx, holder.organization_id, holder.key_id, last_used_at=now)


def _caller(holder: Any, settings: Settings) -> Caller:
    return Caller(
        organization_id=holder.organization_id,
        organization=holder.organization,
        username=holder.username,
        key_id=holder.key_id,
        scopes=frozenset(Scope(scope) for scope in holder.scopes),
        is_admin=holder.role == "ADMIN",
        is_listed_admin=is_listed_admin(holder.username, holder.email, settings),
        revision=holder.revision,
    )


def is_listed_admin(username: str, email: str | None, settings: Settings) -> bool:
    """Whether ADMIN_USER_LIST names a user, by username or email."""
    return bool({username, email} & settings.admin_user_list)


async def begin_session(
    database: Database, caller: Caller, *, lasting: timedelta, now: datetime, by: Actor
) -> str:
    """Sign a caller in: the token of a new session, of which only a hash is kept."""
    own, token = caller.organization_id, secrets.token_urlsafe(32)
    async with database.transaction(own) as tx:
        await delete_sessions(tx, own, ended_before=now)
        await insert_session(
            tx,
            own,
            token_hash=_token_hash(token),
            key_id=caller.key_id,
            created_at=now,
            expires_at=now + lasting,
        )
        await append(tx, by, AuditEvent(own, Action.SIGNED_IN, caller.key_id), now)
    return token


async def end_session(database: Database, token: str, *, now: datetime, by: Actor) -> None:
    """Sign out; again is no error."""
    token_hash = _token_hash(token)
    async with database.unscoped_read() as tx:
        session = await select_session(tx, token_hash)
    if session is None:
        return
    own = session.organization_id
    actor = replace(by, username=session.username, key_id=session.key_id)
    async with database.transaction(own) as tx:
        await delete_sessions(tx, own, token_hash=token_hash)
        await append(tx, actor, AuditEvent(own, Action.SIGNED_OUT, session.key_id), now)


def _token_hash(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
