"""The first batches of a store, for whose tables PostgreSQL has no statistics yet."""

import time

from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.services.file_import import import_lines
from app.services.organizations import find_organization
from tests.conftest import FixedClock, event

ACCOUNTS = 4_000


async def test_the_first_batch_is_stored_about_as_fast_as_later_ones(
    database: Database, clock: FixedClock
) -> None:
    organization_id = (await find_organization(database, DEFAULT_ORGANIZATION)).organization_id
    seconds = []
    for first in (0, ACCOUNTS):
        names = [f"user{number}" for number in range(first, first + ACCOUNTS)]
        lines = [event("user.upserted", "2026-10-01T00:00:00Z", username=name) for name in names]
        begun = time.monotonic()
        await import_lines(database, organization_id, [lines], clock.now)
        seconds.append(time.monotonic() - begun)

    # With a plan that compares each account with each other one, it took twelve times as long.
    assert seconds[0] < 6 * seconds[1]
