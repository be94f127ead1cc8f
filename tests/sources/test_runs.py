"""Runs of sources: one at a time, stored whole, seen from outside."""

import asyncio
import subprocess
from uuid import UUID

import pytest
from sqlalchemy import text

from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import InvalidArgument, InvalidBatch, SourceBusy
from app.domain.sources import CheckpointKey, RunOutcome, SkippedItem, SourceBatch
from app.services.organizations import find_organization
from app.services.sources import ActiveSourceRun, list_source_runs, list_sources, open_source_run
from tests.conftest import ClonedDatabase, FixedClock, GraphQLClient, event
from tests.server_process import CHARGEBACK, clean_environment

SOURCES = """
{ sources { name kind connectedAt lastRun {
    number startedAt finishedAt outcome accepted duplicates skippedCount
    skipped { item reason } error } } }
"""
PROJECT = event("project.upserted", "2026-10-01T00:00:00Z", id="p", workspace="w", name="p")
LATE = "2026-11-24T12:06:00Z"
"""Six minutes ahead of the test's clock: refused."""


@pytest.fixture
async def default(database: Database) -> UUID:
    """The id of the default organization."""
    found: UUID = (await find_organization(database, DEFAULT_ORGANIZATION)).organization_id
    return found


async def test_a_run_says_what_it_brought_and_what_not(
    database: Database, default: UUID, clock: FixedClock, graphql: GraphQLClient
) -> None:
    async with open_source_run(database, default, "tracker", kind="files", clock=clock) as run:
        await run.accept([[PROJECT], [PROJECT]])
        run.skip("row 7", "it has no owner")

    assert await graphql(SOURCES) == {
        "sources": [
            {
                "name": "tracker",
                "kind": "files",
                "connectedAt": "2026-11-24T12:00:00Z",
                "lastRun": {
                    "number": 1,
                    "startedAt": "2026-11-24T12:00:00Z",
                    "finishedAt": "2026-11-24T12:00:00Z",
                    "outcome": "DONE",
                    "accepted": 1,
                    "duplicates": 1,
                    "skippedCount": 1,
                    "skipped": [{"item": "row 7", "reason": "it has no owner"}],
                    "error": None,
                },
            }
        ]
    }


async def test_two_runs_of_a_source_never_overlap(
    database: Database, default: UUID, clock: FixedClock
) -> None:
    async with open_source_run(database, default, "tracker", kind="files", clock=clock) as run:
        with pytest.raises(SourceBusy):
            async with open_source_run(database, default, "tracker", kind="files", clock=clock):
                pass
        async with open_source_run(database, default, "other", kind="files", clock=clock):
            pass
        await run.accept([[PROJECT]])

    assert [each.outcome for each in await list_source_runs(database, default, "tracker")] == [
        "DONE"
    ]


async def test_of_many_runs_that_begin_at_once_one_goes_on(
    database: Database, default: UUID, clock: FixedClock
) -> None:
    async def one() -> bool:
        try:
            async with open_source_run(database, default, "tracker", kind="files", clock=clock):
                await asyncio.sleep(0.2)
        except SourceBusy:
            return False
        return True

    # Each run takes two connections, of which the test's store has five.
    assert sorted(await asyncio.gather(one(), one())) == [False, True]


async def test_a_run_that_fails_says_why_and_keeps_what_it_brought(
    database: Database, default: UUID, clock: FixedClock
) -> None:
    async def failing() -> None:
        async with open_source_run(database, default, "tracker", kind="files", clock=clock) as run:
            await run.accept([[PROJECT]])
            raise InvalidArgument("The tracker does not answer.")

    with pytest.raises(InvalidArgument):
        await failing()

    (found,) = await list_source_runs(database, default, "tracker")
    assert (found.outcome, found.error) == (RunOutcome.FAILED, "The tracker does not answer.")
    assert found.accepted == 1


async def test_a_run_whose_process_ended_is_interrupted_by_the_next(
    database: Database, default: UUID, clock: FixedClock
) -> None:
    left = open_source_run(database, default, "tracker", kind="files", clock=clock)
    run = await left.__aenter__()
    async with database.owner_transaction() as tx:
        # The run's connection breaks, as when its process is killed.
        await tx.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        )

    async with open_source_run(
        database, default, "tracker", kind="files", clock=clock
    ) as following:
        # The one that lost its lock must not go on beside it.
        with pytest.raises(SourceBusy):
            await run.accept([[PROJECT]])
        assert (await following.accept([[PROJECT]])).accepted == 1

    outcomes = [each.outcome for each in await list_source_runs(database, default, "tracker")]
    assert outcomes == [RunOutcome.DONE, RunOutcome.INTERRUPTED]


async def test_what_is_brought_and_what_is_remembered_is_stored_together_or_not(
    database: Database, default: UUID, clock: FixedClock
) -> None:
    key, gone = CheckpointKey("page", "next"), CheckpointKey("page", "last")
    bad = event("project.upserted", LATE, workspace="w", name="q")
    async with open_source_run(database, default, "tracker", kind="files", clock=clock) as run:
        await run.accept([[PROJECT]], checkpoint={key: "7", gone: "1"})
        with pytest.raises(InvalidBatch):
            await run.accept([[bad]], checkpoint={key: "8"})
        assert await run.load_checkpoint("page") == {"next": "7", "last": "1"}
        await run.accept([], checkpoint={gone: None})

    async with open_source_run(database, default, "tracker", kind="files", clock=clock) as run:
        assert await run.load_checkpoint("page", ["next", "last"]) == {"next": "7"}
        assert await run.load_checkpoint("other") == {}
    async with open_source_run(database, default, "other", kind="files", clock=clock) as run:
        assert await run.load_checkpoint("page") == {}


async def test_a_connector_leaves_out_what_the_feed_refuses(
    database: Database, default: UUID, clock: FixedClock
) -> None:
    bad = event("project.upserted", LATE, id="q", workspace="w", name="q")
    brought = SourceBatch([bad, PROJECT, b"{}"], skipped=[SkippedItem("run 1", "it has no owner")])
    async with open_source_run(database, default, "tracker", kind="files", clock=clock) as run:
        assert (await run.store_batch(brought)).accepted == 1

    (source,) = await list_sources(database, default)
    assert source.last_run is not None
    assert source.last_run.skipped_count == 3
    whys = {each.reason[:5] for each in source.last_run.skipped}
    assert whys == {"it ha", "event", "time:"}


async def test_a_run_lists_the_first_hundred_that_it_could_not_place_and_counts_all(
    database: Database, default: UUID, clock: FixedClock
) -> None:
    async with open_source_run(database, default, "tracker", kind="files", clock=clock) as run:
        for number in range(130):
            run.skip(f"row {number}", "it has no owner")
            if number % 40 == 0:
                await run.accept([])

    (found,) = await list_source_runs(database, default, "tracker")
    assert found.skipped_count == 130
    assert [each.item for each in found.skipped] == [f"row {number}" for number in range(100)]


async def test_sources_of_another_organization_are_not_seen(
    database: Database, clock: FixedClock, graphql: GraphQLClient, other_organization: str
) -> None:
    other = (await find_organization(database, other_organization)).organization_id
    async with open_source_run(database, other, "tracker", kind="files", clock=clock):
        pass

    assert await graphql(SOURCES) == {"sources": []}
    answer = await graphql.execute('{ sourceRuns(source: "tracker") { number } }')
    assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize("name", ["", "x" * 201, "a\0b"])
async def test_a_bad_name_is_refused(
    database: Database, default: UUID, clock: FixedClock, name: str
) -> None:
    with pytest.raises(InvalidArgument):
        async with open_source_run(database, default, name, kind="files", clock=clock):
            pass

    assert await list_sources(database, default) == []


async def test_the_command_line_lists_sources_and_their_runs(
    postgres: str, template: str, clock: FixedClock
) -> None:
    store = ClonedDatabase(postgres, template)
    async with store as database:
        found = await find_organization(database, DEFAULT_ORGANIZATION)
        run: ActiveSourceRun
        async with open_source_run(
            database, found.organization_id, "tracker", kind="files", clock=clock
        ) as run:
            await run.accept([[PROJECT]])
            run.skip("row 7", "it has no owner")

        listed = chargeback(store.url, "sources")
        runs = chargeback(store.url, "sources", "show", "tracker")
        unknown = chargeback(store.url, "sources", "show", "no such")

    for answer in (listed, runs):
        assert "tracker: row 7: it has no owner" in answer.stdout
        assert "done" in answer.stdout
    assert unknown.returncode == 1
    assert "There is no source 'no such'." in unknown.stderr


def chargeback(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (*CHARGEBACK, *words),
        env=clean_environment(DATABASE_URL=url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
