"""API keys: create, list, revoke and rotate them."""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from app.db.directory import select_user
from app.db.engine import Database, Transaction
from app.db.keys import KeyRow, insert_key, select_key, select_keys, update_key
from app.db.rate_card import require_cost_centres
from app.db.row_reader import read_from_transaction
from app.domain.audit import OPERATOR, Action, Actor, AuditEvent
from app.domain.callers import Caller, Scope
from app.domain.errors import Forbidden, InvalidArgument, NotFound
from app.domain.keys import RANDOM_BYTES, KeyText
from app.domain.text import NUL, normalize_name, require_text
from app.services.audit import append_audit_event
from app.services.sessions import is_listed_admin
from app.settings import Settings

MAX_KEYS = 1_000
"""The largest page of keys."""


class CreatedKey(NamedTuple):
    """A new key: its row, and its text, which cannot be shown again."""

    row: KeyRow
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
    cost_centres: Sequence[str] = (),
    by: Actor = OPERATOR,
) -> CreatedKey:
    """Create a key for a user, who need not exist yet.

    Raises:
        InvalidArgument: There is no scope, cost centres do not fit the scopes, the username or
            label is invalid, or the expiry is in the past.
        NotFound: There is no such cost centre.
    """
    username = normalize_name(username)
    require_text("username", username, 512)
    require_text("label", label, 200)
    if not scopes:
        raise InvalidArgument(f"scopes: name at least one of {', '.join(Scope)}.")
    _require_fitting_cost_centres(scopes, cost_centres)
    if expires_at is not None and expires_at <= now:
        raise InvalidArgument(f"expiresAt: must be in the future; got {expires_at.isoformat()}.")
    text = KeyText.from_random(secrets.token_bytes(RANDOM_BYTES))
    async with database.transaction(organization_id) as tx:
        await require_cost_centres(read_from_transaction(tx, organization_id), cost_centres)
        row = await _insert(
            tx,
            organization_id,
            text,
            username=username,
            label=label,
            scopes=list(dict.fromkeys(map(str, scopes))),
            cost_centres=sorted(set(cost_centres)),
            created_at=now,
            expires_at=expires_at,
        )
        detail = {
            "username": username,
            "label": label,
            "scopes": row.scopes,
            "costCentres": row.cost_centres,
        }
        event = AuditEvent(organization_id, Action.KEY_CREATED, text.key_id, detail)
        await append_audit_event(tx, by, event, now)
    return CreatedKey(row, text)


def _require_fitting_cost_centres(scopes: Sequence[Scope], cost_centres: Sequence[str]) -> None:
    if bool(cost_centres) != (Scope.STATEMENT_READ in scopes):
        raise InvalidArgument(
            f"costCentres: a key with the scope {Scope.STATEMENT_READ} needs at least one, and "
            f"no other key has any; got {len(cost_centres)}."
        )


async def _insert(
    tx: Transaction, organization_id: UUID, text: KeyText, **values: object
) -> KeyRow:
    await insert_key(
        tx, organization_id, key_id=text.key_id, secret_hash=text.secret_hash, **values
    )
    return await _require_key(tx, organization_id, text.key_id)


async def list_keys(
    database: Database, organization_id: UUID, first: int | None = None, after: str | None = None
) -> Sequence[KeyRow]:
    """Return an organization's keys, newest first: `first` of them after the key `after`.

    Raises:
        InvalidArgument: `first` is out of range, or the organization has no key `after`.
    """
    if first is not None and not 0 <= first <= MAX_KEYS:
        raise InvalidArgument(f"first: must be from 0 to {MAX_KEYS}; got {first}.")
    async with database.transaction(organization_id) as tx:
        last_seen = None
        if after is not None:
            last_seen = None if NUL in after else await select_key(tx, organization_id, after)
            if last_seen is None:
                raise InvalidArgument(f"after: must be the id of a key; got {after!r}.")
        return await select_keys(tx, organization_id, first, last_seen)


async def revoke_key(
    database: Database,
    organization_id: UUID,
    key_id: str,
    now: datetime,
    by: Actor = OPERATOR,
) -> KeyRow:
    """End a key and its sessions at once. Revoking it again is not an error.

    Raises:
        NotFound: The organization has no such key.
    """
    async with database.transaction(organization_id) as tx:
        key = await _require_key(tx, organization_id, key_id)
        if key.revoked_at is None:
            await update_key(tx, organization_id, key_id, revoked_at=now)
            detail = {"username": key.username}
            event = AuditEvent(organization_id, Action.KEY_REVOKED, key_id, detail)
            await append_audit_event(tx, by, event, now)
        return await _require_key(tx, organization_id, key_id)


async def rotate_key(
    database: Database,
    organization_id: UUID,
    key_id: str,
    *,
    overlap: timedelta,
    now: datetime,
    by: Actor = OPERATOR,
) -> CreatedKey:
    """Create a key like an existing one, which keeps working for the time of the overlap.

    Raises:
        NotFound: The organization has no such key, or it has ended.
    """
    text = KeyText.from_random(secrets.token_bytes(RANDOM_BYTES))
    async with database.transaction(organization_id) as tx:
        old = await _require_key(tx, organization_id, key_id)
        if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
            raise NotFound(f"Key {key_id!r} has ended: create a new one.")
        expires_at = None if old.expires_at is None else now + (old.expires_at - old.created_at)
        row = await _insert(
            tx,
            organization_id,
            text,
            username=old.username,
            label=old.label,
            scopes=old.scopes,
            cost_centres=old.cost_centres,
            created_at=now,
            expires_at=expires_at,
        )
        old_ends_at = min(now + overlap, old.expires_at or now + overlap)
        await update_key(tx, organization_id, key_id, expires_at=old_ends_at)
        detail = {"username": old.username, "new": text.key_id, "ends": old_ends_at.isoformat()}
        event = AuditEvent(organization_id, Action.KEY_ROTATED, key_id, detail)
        await append_audit_event(tx, by, event, now)
    return CreatedKey(row, text)


async def require_may_create_key(
    database: Database, caller: Caller, username: str, settings: Settings
) -> None:
    """Reject a key for a user in ADMIN_USER_LIST if the caller is not in it.

    Raises:
        Forbidden: The key would have more rights than the caller.
    """
    username = normalize_name(username)
    async with database.transaction(caller.organization_id) as tx:
        account = (
            None if NUL in username else await select_user(tx, caller.organization_id, username)
        )
    email = account.email if account is not None else None
    if is_listed_admin(username, email, settings) and not caller.is_listed_admin:
        raise Forbidden(
            f"{username!r} is in ADMIN_USER_LIST: only users in that list may create keys for "
            "them."
        )


async def find_key_owner(database: Database, organization_id: UUID, key_id: str) -> str:
    """Return the username that a key belongs to.

    Raises:
        NotFound: The organization has no such key.
    """
    async with database.transaction(organization_id) as tx:
        return (await _require_key(tx, organization_id, key_id)).username


async def _require_key(tx: Transaction, organization_id: UUID, key_id: str) -> KeyRow:
    key = None if NUL in key_id else await select_key(tx, organization_id, key_id)
    if key is None:
        raise NotFound(f"There is no key {key_id!r} in this organization.")
    return key
