"""Retention: usage events are archived by year of arrival, and no report changes."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import text

from app.db.engine import Database
from app.domain.audit import OPERATOR
from app.domain.ids import organization_id
from app.domain.months import Month
from app.services.file_import import import_lines
from app.services.month_verification import verify_month
from app.services.months import close_month, reopen_month
from app.services.retention import prepare_partitions, prune_events
from tests.conftest import NOW, Feed, FixedClock, GraphQLClient, event, record_statements
from tests.report.queries import REPORT_QUERY, STORE_FIELDS, without_fields

OWN: UUID = organization_id("default")
SEPTEMBER, OCTOBER = Month(2024, 9), Month(2024, 10)
USED = {"username": "ann", "channel": "sdk"}
FACTS = (
    event("user.upserted", "2024-09-01T00:00:00Z", username="ann", email="ann@x.test"),
    event("experiment.created", "2024-09-03T00:00:00Z", experiment="e", workspace="lab",
          project="p", username="ann", sizeBytes=5),
)  # fmt: skip
USAGE = (
    event("usage.recorded", "2024-09-10T00:00:00Z", id="a", **USED, count=40),
    event("usage.recorded", "2024-09-20T00:00:00Z", id="b", **USED),
    event("usage.recorded", "2024-10-05T00:00:00Z", id="c", **USED, count=7),
    # A count of 0: the last use is still that of the 5th.
    event("usage.recorded", "2024-10-06T00:00:00Z", id="d", **USED, count=0),
)
STORED = datetime(2024, 11, 1, tzinfo=UTC)


async def count_by_partition_year(database: Database) -> dict[int, int]:
    """Return the number of events of each partition year."""
    async with database.owner_transaction() as tx:
        found = await tx.execute(
            text("SELECT partition_year, count(*) FROM event GROUP BY 1 ORDER BY 1")
        )
        return {row[0]: row[1] for row in found}


@pytest.fixture
async def filled(database: Database, feed: Feed, clock: FixedClock) -> Database:
    """A store with two years of arrival: 2024, and one late event of September in 2025."""
    clock.now = STORED
    await prepare_partitions(database, clock.now)
    await feed(*FACTS, *USAGE)
    clock.now = datetime(2025, 2, 1, tzinfo=UTC)
    await prepare_partitions(database, clock.now)
    await feed(event("usage.recorded", "2024-09-25T00:00:00Z", id="late", **USED, count=100))
    return database


@pytest.mark.parametrize(
    ("now", "archived"),
    [
        # 400 days after the end of 2024 is 5 February 2026.
        (datetime(2026, 2, 4, 23, 59, 59, tzinfo=UTC), []),
        (datetime(2026, 2, 5, tzinfo=UTC), [(2024, 4)]),
        (datetime(2027, 2, 5, tzinfo=UTC), [(2024, 4), (2025, 1)]),
    ],
)
async def test_a_year_is_archived_the_given_days_after_its_end(
    filled: Database, now: datetime, archived: list[tuple[int, int]]
) -> None:
    assert await count_by_partition_year(filled) == {0: 2, 2024: 4, 2025: 1}

    assert await prune_events(filled, after_days=400, now=now) == archived
    assert await prune_events(filled, after_days=400, now=now) == []

    expected = {0: 2, 2024: 4, 2025: 1}
    for year, _ in archived:
        del expected[year]
    assert await count_by_partition_year(filled) == expected


async def test_reports_verification_and_reopening_work_without_archived_events(
    filled: Database, graphql: GraphQLClient, clock: FixedClock
) -> None:
    clock.now = datetime(2027, 2, 5, tzinfo=UTC)
    before = [await graphql(REPORT_QUERY, month=str(month)) for month in (SEPTEMBER, OCTOBER)]
    used = before[0]["chargebackReport"]["users"]["licensedUsers"][0]
    assert (used["sdkUsageCount"], used["sdkUsageUpdatedAt"]) == (141, "2024-09-25T00:00:00Z")

    await prune_events(filled, after_days=400, now=clock.now)

    assert [
        await graphql(REPORT_QUERY, month=str(month)) for month in (SEPTEMBER, OCTOBER)
    ] == before
    for month in (SEPTEMBER, OCTOBER):
        assert (await verify_month(filled, OWN, month)).differences == []
    await close_month(filled, OWN, OCTOBER, by=OPERATOR, now=clock.now)
    for month in (OCTOBER, SEPTEMBER):
        await reopen_month(filled, OWN, month, reason="a test", by=OPERATOR, now=clock.now)
    after = [await graphql(REPORT_QUERY, month=str(month)) for month in (SEPTEMBER, OCTOBER)]
    assert without_fields(after, STORE_FIELDS) == without_fields(before, STORE_FIELDS)


async def test_a_duplicate_is_recognized_in_every_partition(
    filled: Database, feed: Feed, clock: FixedClock
) -> None:
    clock.now = datetime(2026, 1, 31, tzinfo=UTC)
    renamed = [
        event("usage.recorded", "2025-12-31T00:00:00Z", id="a", **USED),
        event("workspace.upserted", "2025-12-31T00:00:00Z", id="late", name="lab"),
        event("usage.recorded", "2025-12-31T00:00:00Z", id="new", **USED),
    ]

    result = await feed(*FACTS, *USAGE, *renamed)

    assert (result.accepted, result.duplicates) == (1, 8)
    assert await count_by_partition_year(filled) == {0: 2, 2024: 4, 2025: 1, 2026: 1}


async def test_usage_stored_before_its_partition_exists_is_archived_too(
    database: Database, feed: Feed, clock: FixedClock
) -> None:
    clock.now = STORED
    await feed(*FACTS, *USAGE)
    await prepare_partitions(database, STORED)
    assert await count_by_partition_year(database) == {0: 2, 2024: 4}

    archived = await prune_events(database, after_days=400, now=datetime(2026, 3, 1, tzinfo=UTC))

    assert (archived, await count_by_partition_year(database)) == ([(2024, 4)], {0: 2})
    assert (await verify_month(database, OWN, OCTOBER)).differences == []


async def test_the_planner_knows_the_size_of_tables_right_after_an_import(
    database: Database, clock: FixedClock
) -> None:
    users = [
        event("user.upserted", "2024-09-01T00:00:00Z", username=f"u{n}", email=f"{n}@x.test")
        for n in range(1_200)
    ]
    await import_lines(database, OWN, [users], clock.now)

    async with database.owner_transaction() as tx:
        found = await tx.execute(
            text("SELECT reltuples FROM pg_class WHERE relname IN ('user_month', 'platform_user')")
        )
        assert set(found.scalars()) == {1_200}


async def test_a_transaction_runs_analyze_once_it_has_doubled_the_events(
    database: Database,
) -> None:
    async def count_statements(first: int, count: int) -> tuple[int, int]:
        """Import events; return how often ANALYZE ran and how often the counts were read."""
        lines = [
            event("usage.recorded", "2026-10-06T00:00:00Z", id=str(number), **USED)
            for number in range(first, first + count)
        ]
        chunks = [lines[start : start + 5_000] for start in range(0, count, 5_000)]
        with record_statements(database) as statements:
            assert (await import_lines(database, OWN, chunks, NOW)).accepted == count
        analyze_count = sum("ANALYZE" in text for text in statements.texts)
        read_count = sum("FROM feed_source" in text for text in statements.texts)
        # `AnalyzeTrigger` runs it once more after the commit.
        return analyze_count - (count >= 1_000), read_count

    assert await count_statements(0, 1) == (0, 0)
    assert await count_statements(1, 10_000) == (1, 1)
    assert await count_statements(10_001, 10_000) == (0, 1)
    assert await count_statements(20_001, 25_000) == (1, 1)
