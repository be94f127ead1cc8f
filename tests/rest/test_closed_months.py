"""A closed month's document is created once and then sent from its stored bytes."""

import asyncio
import gzip
import hashlib
from collections.abc import Sequence
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import text

from app.db.engine import Database
from app.db.month_closes import delete_close
from app.domain.audit import OPERATOR
from app.domain.ids import organization_id
from app.domain.months import Month
from app.services.months import close_month, reopen_month
from app.settings import Settings
from tests.conftest import Feed, FixedClock, create_client, event, record_statements

REPORT = "/api/admin/chargeback/report?reportMonth=2026-09"
MONTH = Month(2026, 9)
OWN = organization_id("default")


@pytest.fixture
async def closed(feed: Feed, database: Database, clock: FixedClock) -> None:
    """Close September with forty workspaces."""
    time = "2026-09-02T00:00:00Z"
    await feed(*(event("workspace.upserted", time, name=f"w{n:02}") for n in range(40)))
    await close_month(database, OWN, MONTH, by=OPERATOR, now=clock.now)


async def fetch_report(
    client: httpx.AsyncClient, key: str, encoding: str = "gzip", tag: str | None = None
) -> httpx.Response:
    headers = {"Authorization": key, "Accept-Encoding": encoding}
    if tag is not None:
        headers["If-None-Match"] = tag
    return await client.get(REPORT, headers=headers)


async def stored(database: Database) -> Sequence[str]:
    """Return the hashes of the stored documents."""
    async with database.owner_transaction() as tx:
        found = await tx.execute(text("SELECT gzipped FROM closed_document"))
        return [hashlib.sha256(gzip.decompress(row.gzipped)).hexdigest() for row in found]


@pytest.mark.usefixtures("closed")
async def test_a_repeated_request_only_queries_the_key(
    client: httpx.AsyncClient, admin_key: str, database: Database
) -> None:
    first = await fetch_report(client, admin_key)
    assert len(first.json()["workspaces"]) == 40
    assert first.headers["content-encoding"] == "gzip"

    with record_statements(database) as statements:
        again = await fetch_report(client, admin_key)
        known = await fetch_report(client, admin_key, tag=first.headers["etag"])
    assert (again.content, again.headers["etag"]) == (first.content, first.headers["etag"])
    assert "immutable" in again.headers["cache-control"]
    assert (known.status_code, known.content) == (304, b"")
    reads = [each for each in statements.texts if "FROM" in each and "audit_log" not in each]
    assert len(reads) == 2  # One for each request's key.
    assert all("api_key" in each for each in reads)


@pytest.mark.usefixtures("closed")
async def test_another_process_sends_the_stored_bytes_and_reads_no_rows(
    client: httpx.AsyncClient, admin_key: str, database: Database, clock: FixedClock
) -> None:
    first = await fetch_report(client, admin_key)
    assert await stored(database) == [hashlib.sha256(first.content).hexdigest()]

    async with create_client(database, Settings.load(admin_user_list="root"), clock) as other:
        with record_statements(database) as statements:
            plain, packed = (
                await fetch_report(other, admin_key, "identity"),
                await fetch_report(other, admin_key),
            )
    assert plain.content == packed.content == first.content
    assert "content-encoding" not in plain.headers
    assert not any("workspace_month" in each for each in statements.texts)


@pytest.mark.usefixtures("closed")
async def test_plain_bytes_are_cached_for_clients_without_gzip(
    client: httpx.AsyncClient, admin_key: str, database: Database
) -> None:
    first = await fetch_report(client, admin_key, "identity")
    await fetch_report(client, admin_key, "identity")
    with record_statements(database) as statements:
        again = await fetch_report(client, admin_key, "identity")
    assert again.content == first.content
    reads = [each for each in statements.texts if "FROM" in each and "audit_log" not in each]
    assert len(reads) == 1
    assert await stored(database) == [hashlib.sha256(first.content).hexdigest()]


@pytest.mark.usefixtures("closed")
async def test_a_batch_for_an_open_month_leaves_the_closed_report_unchanged(
    client: httpx.AsyncClient, admin_key: str, database: Database, feed: Feed
) -> None:
    first = await fetch_report(client, admin_key)
    await feed(event("workspace.upserted", "2026-10-05T00:00:00Z", name="later"))
    with record_statements(database) as statements:
        again = await fetch_report(client, admin_key)
    assert (again.content, again.headers["etag"]) == (first.content, first.headers["etag"])
    assert not any("workspace_month" in each for each in statements.texts)


@pytest.mark.usefixtures("closed")
async def test_reopening_the_month_removes_its_stored_document(
    client: httpx.AsyncClient,
    admin_key: str,
    database: Database,
    clock: FixedClock,
    feed: Feed,
) -> None:
    first = await fetch_report(client, admin_key)
    await reopen_month(
        database, OWN, MONTH, reason="a source was late", by=OPERATOR, now=clock.now
    )
    assert await stored(database) == []

    await feed(event("workspace.upserted", "2026-09-05T00:00:00Z", name="late"))
    opened = await fetch_report(client, admin_key)
    assert len(opened.json()["workspaces"]) == 41
    assert opened.headers["etag"] != first.headers["etag"]
    clock.now += timedelta(minutes=1)
    await close_month(database, OWN, MONTH, by=OPERATOR, now=clock.now)
    closed_again = await fetch_report(client, admin_key)
    assert closed_again.content == opened.content
    assert closed_again.headers["etag"] not in {first.headers["etag"], opened.headers["etag"]}
    assert await stored(database) == [hashlib.sha256(opened.content).hexdigest()]


@pytest.mark.usefixtures("closed")
async def test_a_first_read_during_a_reopening_is_complete_and_stores_nothing(
    client: httpx.AsyncClient, admin_key: str, database: Database, clock: FixedClock
) -> None:
    async with database.transaction(OWN) as reopening:
        await delete_close(reopening, OWN, MONTH, username="ann", reason="late", now=clock.now)
        async with asyncio.timeout(5):
            response = await fetch_report(client, admin_key)

    assert (response.status_code, len(response.json()["workspaces"])) == (200, 40)
    assert await stored(database) == []


@pytest.mark.usefixtures("closed")
async def test_a_document_that_cannot_be_stored_was_sent_all_the_same(
    client: httpx.AsyncClient,
    admin_key: str,
    database: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with database.owner_transaction() as tx:
        await tx.execute(text("ALTER TABLE closed_document ADD CHECK (false)"))

    response = await fetch_report(client, admin_key)

    assert (response.status_code, len(response.json()["workspaces"])) == (200, 40)
    assert "a closed month's document was not stored" in caplog.text
