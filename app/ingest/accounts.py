"""Users: what each account was in each month, and what it is now."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

import msgspec

from app.db.directory import AccountRow, select_accounts_born_before, update_accounts
from app.db.events import select_facts
from app.db.months import AccountMonthRow, select_hidden_usage, set_accounts
from app.domain.accounts import (
    AccountFact,
    AccountLifespan,
    AccountState,
    account_state_in,
    build_account_lifespans,
)
from app.domain.events import UserDeletedEvent, UserUpserted, UserUpsertedEvent
from app.domain.figures import Figure
from app.domain.ids import user_id
from app.domain.months import Month
from app.ingest.batch import Batch

_decode = msgspec.json.Decoder(UserUpserted).decode


async def store_accounts(batch: Batch) -> None:
    """Work out anew the accounts that the batch speaks of, or whose earlier months it opens."""
    facts = await _facts(batch, await _touched(batch))
    months: list[AccountMonthRow] = []
    accounts: list[AccountRow] = []
    licences: dict[tuple[date, UUID], int] = {}
    for key, known in facts.items():
        after = build_account_lifespans(known)
        if after:
            before = build_account_lifespans(fact for fact in known if not batch.brings(fact.uid))
            months += _changed_months(batch, key, before, after)
            licences.update(_late_licences(batch, key, before, after))
            accounts.append(_account_row(key, after, batch.last))
    await _book_late(batch, licences)
    if months:
        await set_accounts(batch.tx, batch.organization_id, months)
    if accounts:
        await update_accounts(batch.tx, batch.organization_id, accounts)


async def _touched(batch: Batch) -> set[UUID]:
    said = batch.said_by(UserUpsertedEvent, UserDeletedEvent)
    spoken_of = {user_id(fact.username) for fact in said}
    if batch.known_before is None or not batch.begins_earlier:
        return spoken_of
    return spoken_of | await select_accounts_born_before(
        batch.tx, batch.organization_id, batch.known_before.start
    )


async def _facts(batch: Batch, users: set[UUID]) -> Mapping[UUID, Sequence[AccountFact]]:
    facts: dict[UUID, list[AccountFact]] = defaultdict(list)
    types = ("user.upserted", "user.deleted")
    for row in await select_facts(batch.tx, batch.organization_id, users, types):
        facts[row.subject_id].append(_fact(row))
    return facts


def _fact(row: Any) -> AccountFact:
    if row.type == "user.deleted":
        return AccountFact(row.occurred_at, deleted=True, uid=row.uid)
    said = _decode(row.data)
    return AccountFact(
        row.occurred_at,
        deleted=False,
        uid=row.uid,
        email=said.email,
        created_at=said.created_at,
        role=said.role,
        service_account=said.service_account,
        suspended=said.suspended,
    )


def _changed_months(
    batch: Batch, key: UUID, before: Sequence[AccountLifespan], after: Sequence[AccountLifespan]
) -> Iterable[AccountMonthRow]:
    for month in batch.months:
        account = account_state_in(after, month)
        has_row = batch.first_before is not None and batch.first_before <= month
        if account is not None and account != (
            account_state_in(before, month) if has_row else None
        ):
            yield _month_row(month, key, account)


def _late_licences(
    batch: Batch, key: UUID, before: Sequence[AccountLifespan], after: Sequence[AccountLifespan]
) -> Iterable[tuple[tuple[date, UUID], int]]:
    """The closed months in which the user is licensed by now and was not (1), or the reverse."""
    for month in batch.closed:
        was_there = batch.known_before is not None and batch.known_before <= month
        change = _licences(after, month) - (_licences(before, month) if was_there else 0)
        if change:
            yield (month.first_day, key), change


async def _book_late(batch: Batch, licences: Mapping[tuple[date, UUID], int]) -> None:
    """Book licences, and with each the usage that a closed report hides for the want of it."""
    for (day, key), change in licences.items():
        batch.late.add(Month.containing(day), Figure.LICENSED_USERS, change, user_id=key)
    for row in await select_hidden_usage(batch.tx, batch.organization_id, licences):
        change, month = licences[row.month, row.user_id], Month.containing(row.month)
        ui_uses, sdk_uses = change * row.ui_usage_count, change * row.sdk_usage_count
        batch.late.add_usage(month, row.user_id, ui_uses, sdk_uses)


def _licences(found: Sequence[AccountLifespan], month: Month) -> int:
    account = account_state_in(found, month)
    return int(account is not None and account.licensed)


def _month_row(month: Month, key: UUID, account: AccountState) -> AccountMonthRow:
    return AccountMonthRow(
        month.first_day,
        key,
        account.licensed,
        account.email,
        account.role,
        account.service_account,
        account.suspended,
        account.created_at,
        account.created_at_is_first_sign,
        account.deleted_at,
    )


def _account_row(key: UUID, found: Sequence[AccountLifespan], last: Month) -> AccountRow:
    """The account as it is now: no fact is later than the last month."""
    now = found[-1].state_in(last)
    return AccountRow(
        key,
        now.email,
        now.role,
        now.suspended,
        found[0].lifespan.started_at,
        found[-1].lifespan.ended_at,
    )
