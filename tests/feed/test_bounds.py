"""One sender cannot fill the disk, the memory or the connections."""

import asyncio
import tracemalloc
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from app.db.engine import Database
from app.db.organizations import lock_organization
from app.domain.callers import Scope
from app.domain.errors import InvalidBatch, StoreFull, StoreUnavailable
from app.domain.event_decoding import BATCH, NDJSON, decode_body
from app.domain.ids import organization_id
from app.postgres.free_space import create_reserve
from app.services.file_import import import_lines
from app.settings import Settings
from tests.conftest import NOW, Feed, FixedClock, MakeKey, create_client, event

OWN, OTHER = organization_id("default"), organization_id("other")


async def send(client: httpx.AsyncClient, key: str, *lines: bytes) -> httpx.Response:
    return await client.post(
        "/api/events",
        content=b"\n".join(lines),
        headers={"Authorization": key, "Content-Type": NDJSON},
    )


async def count_month_rows(database: Database) -> int:
    async with database.owner_transaction() as tx:
        return int((await tx.execute(text("SELECT count(*) FROM user_month"))).scalar_one())


async def test_old_events_are_rejected_over_http_and_imported_from_files(
    database: Database, clock: FixedClock, make_key: MakeKey
) -> None:
    settings = Settings.load(admin_user_list="root", feed_max_age_days=30)
    key = await make_key("root", Scope.EVENTS_WRITE)
    old, recent = (
        event("user.upserted", f"{clock.now - timedelta(days=days):%Y-%m-%dT%XZ}", username="a")
        for days in (31, 29)
    )
    async with create_client(database, settings, clock) as client:
        refused = await send(client, key, recent, old)
        accepted = await send(client, key, recent)

    assert refused.status_code == 400
    (problem,) = refused.json()["problems"]
    assert (problem["index"], problem["field"]) == (1, "time")
    assert problem["message"].startswith("must be from 2026-10-25 to 2026-11-24")
    assert accepted.json() == {"accepted": 1, "duplicates": 0}
    assert (await import_lines(database, OWN, [[old]], clock.now)).accepted == 1


async def test_a_batch_that_would_write_many_months_is_rejected(
    database: Database, clock: FixedClock, make_key: MakeKey
) -> None:
    settings = Settings.load(admin_user_list="root", feed_max_batch_rows=1_000)
    key = await make_key("root", Scope.EVENTS_WRITE)
    # From 2024-05 to 2026-11 are 31 months, and 31 * 40 = 1,240 rows.
    lines = [
        event("usage.recorded", time, username=f"user-{number}", channel="ui")
        for number in range(40)
        for time in ("2024-05-01T00:00:00Z", "2026-11-01T00:00:00Z")
    ]
    async with create_client(database, settings, clock) as client:
        refused = await send(client, key, *lines)
        rows_after_refusal = await count_month_rows(database)
        half = await send(client, key, *lines[:20])

    assert (refused.status_code, refused.json()["error"]) == (413, "BATCH_WRITES_TOO_MUCH")
    assert "would write 1,240 month rows, and a batch may write 1,000" in refused.json()["msg"]
    assert rows_after_refusal == 0
    assert half.json() == {"accepted": 20, "duplicates": 0}


async def test_one_event_that_moves_the_history_of_all_users_is_rejected(
    database: Database, clock: FixedClock, make_key: MakeKey, feed: Feed
) -> None:
    settings = Settings.load(admin_user_list="root", feed_max_batch_rows=1_000)
    key = await make_key("root", Scope.EVENTS_WRITE)
    created = "2024-01-01T00:00:00Z"
    await feed(
        *(
            event(
                "user.upserted", "2026-11-02T00:00:00Z", username=f"u{number}", createdAt=created
            )
            for number in range(40)
        )
    )
    before = await count_month_rows(database)
    async with create_client(database, settings, clock) as client:
        refused = await send(
            client, key, event("workspace.upserted", "2024-05-01T00:00:00Z", name="w")
        )

    assert (refused.status_code, refused.json()["error"]) == (413, "BATCH_WRITES_TOO_MUCH")
    assert await count_month_rows(database) == before == 40


async def test_a_full_disk_refuses_events_and_nothing_else(
    database: Database, clock: FixedClock, make_key: MakeKey
) -> None:
    key = await make_key("root", Scope.EVENTS_WRITE, Scope.REPORT_READ)
    database.require_free_space = create_reserve(Path(), 10**9)
    line = event("workspace.upserted", "2026-11-02T00:00:00Z", name="w")
    async with create_client(database, Settings.load(admin_user_list="root"), clock) as client:
        refused = await send(client, key, line)
        report = await client.get("/api/admin/chargeback/report", headers={"Authorization": key})

    assert (refused.status_code, refused.json()["error"]) == (503, "STORE_FULL")
    assert "FREE_SPACE_RESERVE_MB keeps 1,000,000,000 MB" in refused.json()["msg"]
    assert refused.headers["retry-after"] == "2"
    assert report.status_code == 200
    with pytest.raises(StoreFull):
        await import_lines(database, OWN, [[line]], clock.now)


async def test_waiting_writers_of_one_organization_leave_connections_to_others(
    database: Database, other_organization: str
) -> None:
    async def wait() -> None:
        async with database.transaction(OWN) as tx:
            await lock_organization(tx, OWN)

    async with database.transaction(OWN) as blocking:
        await lock_organization(blocking, OWN)
        waiting = [asyncio.create_task(wait()) for _ in range(12)]
        await asyncio.sleep(0.2)
        other = organization_id(other_organization)
        async with asyncio.timeout(2), database.transaction(other) as tx:
            await lock_organization(tx, OTHER)
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)

    # They waited for 8 s for their turn or for 5 s for the lock, and gave up.
    assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        (NDJSON, b"{}\n" * 1_000_000),
        (BATCH, b"[" + b"{}," * 1_100_000 + b"{}]"),
        (NDJSON, b"[" + b"{}," * 1_100_000 + b"{}]"),
        (NDJSON, b"\n" * 3_000_000),
    ],
)
def test_an_invalid_body_takes_little_more_memory_than_its_size(
    media_type: str, body: bytes
) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InvalidBatch) as raised:
            decode_body(media_type, body, now=NOW)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert 1 <= len(raised.value.problems) <= 100
    assert peak < 5 * len(body)


@pytest.mark.parametrize(("begin", "end"), [(b"[[", b"]]"), (b'[{"\\u0041":[', b"]}]")])
def test_an_element_that_is_too_long_is_not_examined(begin: bytes, end: bytes) -> None:
    with pytest.raises(InvalidBatch) as raised:
        decode_body(BATCH, begin + b"{}," * 1_100_000 + b"{}" + end, now=NOW)

    (problem,) = raised.value.problems
    assert problem.message == "has more than 1,048,576 bytes"


def test_problems_of_a_large_array_have_their_index() -> None:
    good = event("workspace.upserted", "2026-11-02T00:00:00Z", name='a, b [c] {d} \\ "e"')
    body = b"[" + b",".join([good] * 3) + b" , {}, " + b"1," * 1_100_000 + b"1]"

    with pytest.raises(InvalidBatch) as raised:
        decode_body(BATCH, body, now=NOW)

    assert [problem.index for problem in raised.value.problems] == list(range(3, 103))


def test_needless_escapes_are_read() -> None:
    line = event("workspace.upserted", "2026-11-02T00:00:00.1234567Z", name="\\u0041 <b>")
    escaped = line.replace(b"<", b"\\u003c").replace(b'"name"', b'"n\\u0061me"')

    (found,) = decode_body(NDJSON, escaped, now=NOW)

    assert found.data.name == "\\u0041 <b>"  # type: ignore[union-attr]
    assert found.time.microsecond == 123456
