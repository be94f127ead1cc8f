"""Group commit: senders that send again and again share transactions."""

import asyncio

from app.db.engine import Database
from app.domain.event_decoding import decode_lines
from app.domain.ids import organization_id
from app.services.group_commit import GroupCommitIngestor
from tests.conftest import NOW, event, record_statements

ORGANIZATION = organization_id("default")
SENDERS, ROUNDS = 10, 8


async def test_concurrent_senders_share_transactions_although_they_come_back_one_by_one(
    database: Database,
) -> None:
    ingestor = GroupCommitIngestor(database)

    async def send(number: int) -> None:
        for _ in range(ROUNDS):
            await asyncio.sleep(number / 4_000)  # As far apart as requests are.
            line = event("usage.recorded", "2026-10-01T00:00:00Z", username="ann", channel="ui")
            await ingestor.submit(ORGANIZATION, decode_lines([line], now=NOW), NOW)

    with record_statements(database) as statements:
        await asyncio.gather(*map(send, range(SENDERS)))
    transactions = sum("INSERT INTO event" in text for text in statements.texts)

    # Without the pause, each round takes two: one of the first sender, one of the nine others.
    assert ROUNDS <= transactions < ROUNDS * 3 // 2
