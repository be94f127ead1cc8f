"""Keys of concurrent requests are looked up together, with the result of separate look-ups."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from app.db.engine import Database
from app.domain.audit import OPERATOR
from app.domain.errors import ServiceBusy, StoreUnavailable, Unauthenticated
from app.domain.ids import organization_id
from app.domain.keys import KeyText
from app.services.key_loader import KeyLoader
from app.services.keys import list_keys, revoke_key
from app.services.sessions import authenticate_key, authenticate_session, start_session
from app.settings import Settings
from tests.conftest import FixedClock, MakeKey, record_statements


def parse_key_id(key: str) -> str:
    text = KeyText.parse(key)
    assert text is not None
    return text.key_id


async def test_concurrent_lookups_share_statements_and_each_finds_its_own_key(
    database: Database, make_key: MakeKey
) -> None:
    users = ("ann", "bob", "cem")
    lookups = [(user, parse_key_id(await make_key(user))) for user in users] * 20 + [
        ("", "nobody")
    ] * 20
    loader = KeyLoader(database)

    with record_statements(database) as statements:
        found = await asyncio.gather(*(loader.find(key_id) for _, key_id in lookups))

    assert [holder.username if holder else "" for holder in found] == [user for user, _ in lookups]
    assert 1 <= len(statements.texts) <= 4


async def test_a_known_key_is_looked_up_by_one_statement_in_its_organization(
    database: Database, make_key: MakeKey
) -> None:
    loader, key_id = KeyLoader(database), parse_key_id(await make_key("ann"))

    with record_statements(database) as statements:
        found = [await loader.find(key_id) for _ in range(3)]

    assert [holder and holder.username for holder in found] == ["ann"] * 3
    first, *later = statements.texts
    assert "organization_id = $1" not in first
    assert len(later) == 2
    assert all("api_key.organization_id = $1" in text for text in later)


async def test_a_session_is_found_only_in_the_organization_that_its_token_names(
    database: Database, make_key: MakeKey, other_organization: str, clock: FixedClock
) -> None:
    settings, tokens = Settings.load(), []
    for name in ("default", other_organization):
        key = await make_key("ann", organization=name)
        caller = await authenticate_key(KeyLoader(database), key, settings, clock.now)
        tokens.append(
            await start_session(
                database, caller, lasting=timedelta(hours=1), now=clock.now, by=OPERATOR
            )
        )

    for token, name in zip(tokens, ("default", other_organization), strict=True):
        caller = await authenticate_session(database, token, settings, clock.now)
        assert caller.organization == name
    own, other = tokens
    for bad in (other[:22] + own[22:], own[22:], own[:22], "", "x"):
        with pytest.raises(Unauthenticated):
            await authenticate_session(database, bad, settings, clock.now)


async def test_a_key_revoked_during_other_lookups_is_rejected_from_then_on(
    database: Database, make_key: MakeKey, clock: FixedClock
) -> None:
    loader, settings = KeyLoader(database), Settings.load()
    for _ in range(20):
        key, other = await make_key("ann"), await make_key("bob")
        assert (await authenticate_key(loader, key, settings, clock.now)).username == "ann"
        pending = [
            asyncio.create_task(authenticate_key(loader, each, settings, clock.now))
            for each in [other, key] * 10
        ]
        await asyncio.sleep(0)
        await revoke_key(
            database, organization_id("default"), parse_key_id(key), now=clock.now, by=OPERATOR
        )

        with pytest.raises(Unauthenticated):
            await authenticate_key(loader, key, settings, clock.now)
        results = await asyncio.gather(*pending, return_exceptions=True)
        # Look-ups that began before the revocation may succeed.
        assert {type(each).__name__ for each in results[1::2]} <= {"Caller", "Unauthenticated"}
        assert {type(each).__name__ for each in results[::2]} == {"Caller"}


@pytest.mark.parametrize("number", range(4))
async def test_a_cancelled_lookup_does_not_affect_others(
    database: Database, make_key: MakeKey, number: int
) -> None:
    loader, key_id = KeyLoader(database), parse_key_id(await make_key("ann"))
    # The first two are looked up at once, each alone; the others go together.
    waiting = [asyncio.create_task(loader.find(key_id)) for _ in range(10)]
    await asyncio.sleep(0)
    cancelled_task = waiting.pop(number)
    cancelled_task.cancel()

    async with asyncio.timeout(10):
        found = await asyncio.gather(*waiting)
    assert {holder and holder.username for holder in found} == {"ann"}
    assert cancelled_task.cancelled()


async def test_a_lookup_cancelled_within_a_batch_does_not_affect_others(
    database: Database, make_key: MakeKey
) -> None:
    loader, key_id = KeyLoader(database), parse_key_id(await make_key("ann"))
    with record_statements(database) as statements:
        waiting = [asyncio.create_task(loader.find(key_id)) for _ in range(10)]
        await waiting[0]
        await asyncio.sleep(0)  # The others are now looked up together.
        cancelled_task = waiting.pop(2)
        cancelled_task.cancel()

        async with asyncio.timeout(10):
            assert {holder and holder.username for holder in await asyncio.gather(*waiting)} == {
                "ann"
            }
    assert cancelled_task.cancelled()
    assert len(statements.texts) <= 4


async def test_without_a_free_connection_every_lookup_fails_after_one_timeout(
    database: Database,
) -> None:
    async def wait_for_failure(loader: KeyLoader) -> float:
        began_at = asyncio.get_running_loop().time()
        with pytest.raises(ServiceBusy):
            await loader.find("nobody")
        return asyncio.get_running_loop().time() - began_at

    loader = KeyLoader(database)
    async with AsyncExitStack() as stack:
        for _ in range(database.pool_size):
            await stack.enter_async_context(database.connection())
        waited = await asyncio.gather(*(wait_for_failure(loader) for _ in range(5)))

    assert all(3 < seconds < 6 for seconds in waited), waited


async def test_a_request_proceeds_if_the_use_of_its_key_cannot_be_recorded_in_time(
    database: Database, make_key: MakeKey, clock: FixedClock
) -> None:
    key, settings = await make_key("ann"), Settings.load()
    organization = organization_id("default")
    began_at = asyncio.get_running_loop().time()
    async with database.owner_transaction() as tx:
        await tx.exec_driver_sql("SELECT 1 FROM api_key FOR UPDATE")
        caller = await authenticate_key(KeyLoader(database), key, settings, clock.now)
    waited = asyncio.get_running_loop().time() - began_at

    assert (caller.username, waited < 6) == ("ann", True)
    (row,) = await list_keys(database, organization)
    assert row.last_used_at is None
    await authenticate_key(KeyLoader(database), key, settings, clock.now)
    (row,) = await list_keys(database, organization)
    assert row.last_used_at == clock.now


async def test_every_lookup_fails_if_the_store_is_down(database: Database) -> None:
    loader = KeyLoader(database)
    await database.close()
    database.monitor.is_running = database.monitor.is_down = True

    results = await asyncio.gather(
        *(loader.find("nobody") for _ in range(10)), return_exceptions=True
    )

    assert {type(each) for each in results} == {StoreUnavailable}
