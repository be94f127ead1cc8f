"""How the service reacts to jumps of the system clock."""

from datetime import timedelta

import pytest

from app.db.engine import Database
from app.server.background_jobs import START_SECONDS, BackgroundJobs
from app.settings import Settings
from tests.conftest import Feed, FixedClock, GraphQLClient, event

HOUR = 3600.0


class Process:
    """The background jobs of a process, with its wall clock and its monotonic clock."""

    def __init__(self, database: Database, clock: FixedClock) -> None:
        self.clock = clock
        self.seconds = 0.0
        self.jumps = 0
        self.jobs = BackgroundJobs(
            database,
            Settings.load(month_close_after_days=5),
            clock=clock,
            boot_time=lambda: self.seconds,
            on_clock_jump=self._count,
        )

    def _count(self) -> None:
        self.jumps += 1

    async def after(self, seconds: float, *, jump: timedelta = timedelta()) -> None:
        """Let time pass, then set the wall clock."""
        self.seconds += seconds
        self.clock.now += timedelta(seconds=seconds) + jump
        await self.jobs.poll()


@pytest.fixture
def process(database: Database, clock: FixedClock) -> Process:
    return Process(database, clock)


async def closed_through(graphql: GraphQLClient) -> list[str]:
    found = await graphql("{ months { month closedAt } }")
    return [month["month"] for month in found["months"] if month["closedAt"]]


async def test_a_running_clock_does_not_jump(process: Process) -> None:
    await process.after(10)
    await process.after(8 * HOUR)  # Also after a long pause between checks.
    await process.after(10, jump=timedelta(seconds=59))

    assert process.jumps == 0


@pytest.mark.parametrize("jump", [timedelta(days=40), timedelta(minutes=-1)])
async def test_a_clock_jump_is_noticed_once(process: Process, jump: timedelta) -> None:
    await process.after(10, jump=jump)
    await process.after(10)

    assert process.jumps == 1


async def test_months_close_when_due(
    process: Process, feed: Feed, graphql: GraphQLClient, clock: FixedClock
) -> None:
    await feed(event("workspace.upserted", "2026-10-01T00:00:00Z", name="a"))
    await process.after(START_SECONDS - 1)
    assert await closed_through(graphql) == []
    await process.after(1)

    # It is 24 November: October has been over for more than 5 days.
    assert await closed_through(graphql) == ["2026-10"]


async def test_a_forward_jump_pauses_automatic_close_for_an_hour(
    process: Process, feed: Feed, graphql: GraphQLClient
) -> None:
    await feed(event("workspace.upserted", "2026-11-01T00:00:00Z", name="a"))
    await process.after(10, jump=timedelta(days=40))
    await process.after(HOUR - 10)
    assert await closed_through(graphql) == []

    # The clock was corrected: November is still open, and closes when due.
    await process.after(5, jump=-timedelta(days=40))
    await process.after(HOUR + 10)
    assert await closed_through(graphql) == []
    assert process.jumps == 2


async def test_a_clock_that_is_ahead_at_the_start_does_not_close_the_future(
    database: Database, feed: Feed, graphql: GraphQLClient, clock: FixedClock
) -> None:
    await feed(event("workspace.upserted", "2026-10-01T00:00:00Z", name="a"))
    right = clock.now
    clock.now += timedelta(days=520)
    process = Process(database, clock)
    await process.after(START_SECONDS)

    # The event arrived on 24 November, so November may not be over.
    assert await closed_through(graphql) == ["2026-10"]

    clock.now = right.replace(month=12)
    await feed(event("workspace.upserted", "2026-10-02T00:00:00Z", name="b"))
    await Process(database, clock).after(START_SECONDS)
    assert await closed_through(graphql) == ["2026-11", "2026-10"]


async def test_a_backward_jump_rejects_future_events_and_loses_nothing(
    feed: Feed, graphql: GraphQLClient, clock: FixedClock
) -> None:
    right = clock.now
    await feed(event("workspace.upserted", "2026-11-24T11:00:00Z", name="a"))
    clock.now = right - timedelta(days=30)
    answer = await graphql.client.post(
        "/api/events",
        content=event("workspace.upserted", "2026-11-24T11:30:00Z", name="b"),
        headers={
            "Authorization": graphql.key,
            "Content-Type": "application/cloudevents+json",
        },
    )
    assert answer.status_code == 400
    assert answer.json()["problems"][0]["field"] == "time"
    assert await graphql("{ viewer { username } }") == {"viewer": {"username": "root"}}

    clock.now = right
    found = await graphql('{ chargebackReport(month: "2026-11") { workspaces { name } } }')
    assert found["chargebackReport"]["workspaces"] == [{"name": "a"}]
