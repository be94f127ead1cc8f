"""Admission control: organizations share capacity, and requests wait only for a limited time."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from uuid import UUID

import httpx
import pytest

from app.admission import TenantCapacity
from app.db.engine import Database
from app.domain.errors import ServiceBusy
from app.main import create_app
from app.settings import Settings
from tests.conftest import Feed, FixedClock, event

ONE, OTHER = UUID(int=1), UUID(int=2)


async def test_one_organization_cannot_take_the_last_quarter() -> None:
    capacity = TenantCapacity(4, timeout_seconds=0.01)
    async with AsyncExitStack() as held:
        for _ in range(3):
            await held.enter_async_context(capacity.acquire(ONE))
        with pytest.raises(ServiceBusy):
            await held.enter_async_context(capacity.acquire(ONE))
        await held.enter_async_context(capacity.acquire(OTHER))
        with pytest.raises(ServiceBusy):
            await held.enter_async_context(capacity.acquire(OTHER))

    async with capacity.acquire(OTHER, 3):
        pass


async def test_an_amount_above_the_tenant_limit_is_capped() -> None:
    capacity = TenantCapacity(100, timeout_seconds=0.01)
    async with capacity.acquire(ONE, 1_000_000):
        with pytest.raises(ServiceBusy):
            await capacity.acquire(ONE, 1).__aenter__()
        async with capacity.acquire(OTHER, 25):
            pass


async def test_a_single_slot_is_held_by_one_request_at_a_time() -> None:
    capacity = TenantCapacity(1, timeout_seconds=5)
    turns: list[int] = []

    async def take(number: int) -> None:
        async with capacity.acquire(ONE):
            turns.append(number)
            await asyncio.sleep(0)
            assert turns[-1] == number

    await asyncio.gather(*(take(number) for number in range(10)))
    assert sorted(turns) == list(range(10))


async def test_a_cancelled_waiter_holds_nothing() -> None:
    capacity = TenantCapacity(1, timeout_seconds=5)
    async with capacity.acquire(ONE):
        waiting = asyncio.create_task(capacity.acquire(OTHER).__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
    async with capacity.acquire(OTHER):
        pass


USERS = '{ chargebackReport(month: "2026-10") { users { licensedUsers { username } } } }'


async def test_a_large_response_waits_for_memory_and_a_small_one_does_not(
    database: Database, clock: FixedClock, feed: Feed, admin_key: str
) -> None:
    await feed(
        *(
            event("user.upserted", "2026-10-01T00:00:00Z", username=f"user-{number}")
            for number in range(1_000)
        )
    )
    application = create_app(Settings.load(admin_user_list="root"), database, clock)
    room = TenantCapacity(1_000, timeout_seconds=0.05)
    application.state.chargeback = replace(application.state.chargeback, response_memory=room)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(application), base_url="http://chargeback.test"
    ) as client:
        client.headers["Authorization"] = admin_key
        async with room.acquire(ONE, 1_000):
            refused = await client.post("/graphql", json={"query": USERS})
            small = await client.post("/graphql", json={"query": "{ viewer { username } }"})
        answers = [await client.post("/graphql", json={"query": USERS}) for _ in range(2)]
    await application.state.chargeback.audit.close()

    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "2"
    assert refused.json()["errors"][0]["extensions"] == {"code": "SERVICE_BUSY"}
    assert small.json() == {"data": {"viewer": {"username": "root"}}}
    assert ["errors" in answer.json() for answer in answers] == [False, False]


async def test_what_a_block_holds_grows_and_is_given_back() -> None:
    capacity = TenantCapacity(100, timeout_seconds=0.01)
    async with capacity.hold(ONE) as slow:
        await slow.grow(10)
        async with capacity.acquire(ONE, 65):
            with pytest.raises(ServiceBusy):
                await slow.grow(1)
        await slow.grow(1_000)  # Capped: one block may fill its organization's part.
        assert slow.amount == 75
        async with capacity.acquire(OTHER, 25):
            pass
    async with capacity.acquire(ONE, 75):
        pass
