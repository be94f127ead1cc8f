"""Accounts: the month rows of users, and the current state of each account."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from app.db.corrections import select_usage_with_corrections
from app.db.directory import UserState, select_users_started_before, update_users
from app.db.events import select_facts
from app.db.month_states import UserMonthState, set_user_states
from app.domain.accounts import (
    AccountFact,
    AccountLifespan,
    AccountState,
    account_state_in,
    build_account_lifespans,
)
from app.domain.events import UserDeleted, UserDeletedEvent, UserUpserted, UserUpsertedEvent
from app.domain.figures import Figure
from app.domain.ids import user_id
from app.domain.months import Month
from app.ingest.batch import Batch

_decode = msgspec.json.Decoder(UserUpserted).decode
_decode_deletion = msgspec.json.Decoder(UserDeleted).decode


async def store_accounts(batch: Batch) -> None:
    """Recompute and store the accounts that the batch affects.

    These are the accounts that it names and, if it moves the start of the history, those that
    existed before.
    """
    facts = await _load_facts(batch, await _affected_users(batch))
    months: list[UserMonthState] = []
    accounts: list[UserState] = []
    license_changes: dict[tuple[Month, UUID], int] = {}
    for key, known in facts.items():
        after = build_account_lifespans(known)
        if after:
            before = build_account_lifespans(
                fact for fact in known if not batch.contains(fact.uid)
            )
            months += _changed_months(batch, key, before, after)
            license_changes.update(_closed_license_changes(batch, key, before, after))
            accounts.append(_to_account_row(key, after, batch.last_month))
    await _book_corrections(batch, license_changes)
    if months:
        await set_user_states(batch.tx, batch.organization_id, months)
    if accounts:
        await update_users(batch.tx, batch.organization_id, accounts)


async def _affected_users(batch: Batch) -> set[UUID]:
    data = batch.data_of(UserUpsertedEvent, UserDeletedEvent)
    named = {user_id(each.username) for each in data}
    if batch.first_event_month is None or not batch.moves_history_start:
        return named
    return named | await select_users_started_before(
        batch.tx, batch.organization_id, batch.first_event_month.start
    )


async def _load_facts(batch: Batch, users: set[UUID]) -> Mapping[UUID, Sequence[AccountFact]]:
    facts: dict[UUID, list[AccountFact]] = defaultdict(list)
    types = ("user.upserted", "user.deleted")
    for row in await select_facts(batch.tx, batch.organization_id, users, types):
        facts[row.subject_id].append(_to_fact(row))
    return facts


def _to_fact(row: Any) -> AccountFact:
    if row.type == "user.deleted":
        renamed = _decode_deletion(row.data).renamed_to is not None
        return AccountFact(row.occurred_at, deleted=True, uid=row.uid, renamed=renamed)
    data = _decode(row.data)
    return AccountFact(
        row.occurred_at,
        deleted=False,
        uid=row.uid,
        email=data.email,
        created_at=data.created_at,
        role=data.role,
        service_account=data.service_account,
        suspended=data.suspended,
    )


def _changed_months(
    batch: Batch, key: UUID, before: Sequence[AccountLifespan], after: Sequence[AccountLifespan]
) -> Iterable[UserMonthState]:
    for month in batch.open_months:
        account = account_state_in(after, month)
        has_row = batch.first_month_with_rows is not None and batch.first_month_with_rows <= month
        if account is not None and account != (
            account_state_in(before, month) if has_row else None
        ):
            yield _to_month_row(month, key, account)


def _closed_license_changes(
    batch: Batch, key: UUID, before: Sequence[AccountLifespan], after: Sequence[AccountLifespan]
) -> Iterable[tuple[tuple[Month, UUID], int]]:
    """Yield the closed months in which the user becomes licensed (1) or unlicensed (-1)."""
    for month in batch.closed_months:
        had_users = batch.first_event_month is not None and batch.first_event_month <= month
        change = _count_license(after, month) - (_count_license(before, month) if had_users else 0)
        if change:
            yield (month, key), change


async def _book_corrections(
    batch: Batch, license_changes: Mapping[tuple[Month, UUID], int]
) -> None:
    """Correct licensed users, and with a licence move all usage that is known of the month."""
    for (month, key), change in license_changes.items():
        batch.corrections.add(month, Figure.LICENSED_USERS, change, user_id=key)
    for row in await select_usage_with_corrections(
        batch.tx, batch.organization_id, license_changes
    ):
        change = license_changes[row.month, row.user_id]
        uses = (change * row.ui_usage_count, change * row.sdk_usage_count)
        taken = (-uses[0], -uses[1])
        batch.corrections.add_usage(row.month, row.user_id, *uses, is_licensed=True)
        batch.corrections.add_usage(row.month, row.user_id, *taken, is_licensed=False)


async def find_licensed(
    batch: Batch, keys: Collection[tuple[Month, UUID]]
) -> set[tuple[Month, UUID]]:
    """Return those of the months and users in which the user is licensed, the batch included."""
    facts = await _load_facts(batch, {key for _, key in keys})
    lifespans = {key: build_account_lifespans(known) for key, known in facts.items()}
    return {(month, key) for month, key in keys if _count_license(lifespans.get(key, ()), month)}


def _count_license(lifespans: Sequence[AccountLifespan], month: Month) -> int:
    account = account_state_in(lifespans, month)
    return int(account is not None and account.licensed)


def _to_month_row(month: Month, key: UUID, account: AccountState) -> UserMonthState:
    return UserMonthState(
        month,
        key,
        account.licensed,
        account.email,
        account.role,
        account.service_account,
        account.suspended,
        account.created_at,
        account.created_at_is_inferred,
        account.deleted_at,
    )


def _to_account_row(
    key: UUID, lifespans: Sequence[AccountLifespan], last_month: Month
) -> UserState:
    """Return the current state of the account, which is its state in the last month."""
    now = lifespans[-1].state_in(last_month)
    return UserState(
        key,
        now.email,
        now.role,
        now.suspended,
        lifespans[0].lifespan.started_at,
        lifespans[-1].lifespan.ended_at,
    )
