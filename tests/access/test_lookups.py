"""Keys of requests that come at once are looked up together, and as if each came alone."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from app.db.engine import Database
from app.domain.audit import OPERATOR
from app.domain.errors import ServiceBusy, StoreUnavailable, Unauthenticated
from app.domain.ids import organization_id
from app.domain.keys import KeyText
from app.services.key_loader import KeyLoader
from app.services.keys import list_keys, revoke_key
from app.services.sessions import authenticate_key
from app.settings import Settings
from tests.conftest import FixedClock, MakeKey, record_statements


def id_of(key: str) -> str:
    text = KeyText.parse(key)
    assert text is not None
    return text.key_id


async def test_many_at_once_cost_a_few_lookups_and_find_each_its_own(
    database: Database, make_key: MakeKey
) -> None:
    users = ("ann", "bob", "cem")
    asked = [(user, id_of(await make_key(user))) for user in users] * 20 + [("", "nobody")] * 20
    holders = KeyLoader(database)

    with record_statements(database) as statements:
        found = await asyncio.gather(*(holders.find(key_id) for _, key_id in asked))

    assert [holder.username if holder else "" for holder in found] == [user for user, _ in asked]
    assert 1 <= len(statements.texts) <= 4


async def test_what_is_revoked_while_others_are_looked_up_is_refused_from_then_on(
    database: Database, make_key: MakeKey, clock: FixedClock
) -> None:
    holders, settings = KeyLoader(database), Settings.load()
    for _ in range(20):
        key, other = await make_key("ann"), await make_key("bob")
        assert (await authenticate_key(holders, key, settings, clock.now)).username == "ann"
        busy = [
            asyncio.create_task(authenticate_key(holders, each, settings, clock.now))
            for each in [other, key] * 10
        ]
        await asyncio.sleep(0)
        await revoke_key(
            database, organization_id("default"), id_of(key), now=clock.now, by=OPERATOR
        )

        with pytest.raises(Unauthenticated):
            await authenticate_key(holders, key, settings, clock.now)
        told = await asyncio.gather(*busy, return_exceptions=True)
        # Those that came before may have been in time.
        assert {type(each).__name__ for each in told[1::2]} <= {"Caller", "Unauthenticated"}
        assert {type(each).__name__ for each in told[::2]} == {"Caller"}


@pytest.mark.parametrize("number", range(4))
async def test_one_who_gives_up_takes_nobody_along(
    database: Database, make_key: MakeKey, number: int
) -> None:
    holders, key_id = KeyLoader(database), id_of(await make_key("ann"))
    # The first and the second are looked up at once, each alone; the others go together.
    waiting = [asyncio.create_task(holders.find(key_id)) for _ in range(10)]
    await asyncio.sleep(0)
    gone = waiting.pop(number)
    gone.cancel()

    async with asyncio.timeout(10):
        assert {holder.username for holder in await asyncio.gather(*waiting)} == {"ann"}
    assert gone.cancelled()


async def test_one_who_gives_up_while_looked_up_with_others_takes_nobody_along(
    database: Database, make_key: MakeKey
) -> None:
    holders, key_id = KeyLoader(database), id_of(await make_key("ann"))
    with record_statements(database) as statements:
        waiting = [asyncio.create_task(holders.find(key_id)) for _ in range(10)]
        await waiting[0]
        await asyncio.sleep(0)  # Now the others are looked up together.
        gone = waiting.pop(2)
        gone.cancel()

        async with asyncio.timeout(10):
            assert {holder.username for holder in await asyncio.gather(*waiting)} == {"ann"}
    assert gone.cancelled()
    assert len(statements.texts) <= 4


async def test_no_connection_is_a_refusal_after_one_patience_whatever_round_it_is(
    database: Database,
) -> None:
    async def refused(holders: KeyLoader) -> float:
        began_at = asyncio.get_running_loop().time()
        with pytest.raises(ServiceBusy):
            await holders.find("nobody")
        return asyncio.get_running_loop().time() - began_at

    holders = KeyLoader(database)
    async with AsyncExitStack() as stack:
        for _ in range(database.pool_size):
            await stack.enter_async_context(database.connection())
        waited = await asyncio.gather(*(refused(holders) for _ in range(5)))

    assert all(3 < seconds < 6 for seconds in waited), waited


async def test_a_key_whose_use_cannot_be_noted_in_time_is_let_in(
    database: Database, make_key: MakeKey, clock: FixedClock
) -> None:
    key, settings = await make_key("ann"), Settings.load()
    organization = organization_id("default")
    began_at = asyncio.get_running_loop().time()
    async with database.transaction(organization) as tx:
        await tx.exec_driver_sql("SELECT 1 FROM api_key FOR UPDATE")
        caller = await authenticate_key(KeyLoader(database), key, settings, clock.now)
    waited = asyncio.get_running_loop().time() - began_at

    assert (caller.username, waited < 6) == ("ann", True)
    (row,) = await list_keys(database, organization)
    assert row.last_used_at is None
    await authenticate_key(KeyLoader(database), key, settings, clock.now)
    (row,) = await list_keys(database, organization)
    assert row.last_used_at == clock.now


async def test_a_store_that_is_away_is_told_to_each(database: Database) -> None:
    holders = KeyLoader(database)
    await database.close()
    database.monitor.is_running = database.monitor.is_down = True

    told = await asyncio.gather(
        *(holders.find("nobody") for _ in range(10)), return_exceptions=True
    )

    assert {type(each) for each in told} == {StoreUnavailable}
