"""Batches are stored in time, whatever the sizes of the other organizations are."""

import pytest
from sqlalchemy import text

from app.db.engine import Database
from app.domain.event_decoding import decode_lines
from app.ingest.store import IngestResult
from app.services.group_commit import GroupCommitIngestor
from tests.conftest import NOW, event
from tests.feed.organizations import AT, new_organization


@pytest.mark.parametrize("users_on_average", [1, 3])
async def test_the_directory_of_a_large_organization_is_stored_beside_small_ones(
    database: Database, users_on_average: int
) -> None:
    for _ in range(20):
        small = await new_organization(database)
        await small.accept(*_users(users_on_average))
    async with database.owner_transaction() as tx:
        await tx.execute(text("ANALYZE"))
    large = await new_organization(database)
    batch = decode_lines(_users(6_000), now=NOW)

    # With a plan for small organizations, a statement would exceed its time limit.
    stored = await GroupCommitIngestor(database).submit(large.id, batch, NOW)

    assert stored == IngestResult(6_000, 0)


def _users(count: int) -> list[bytes]:
    return [
        event("user.upserted", AT, username=f"u{number}", email=f"{number}@x.org")
        for number in range(count)
    ]
