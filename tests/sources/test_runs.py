"""Source runs: one at a time, stored atomically, visible over GraphQL and the command line."""

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
FUTURE = "2026-11-24T12:06:00Z"
"""Six minutes ahead of the test's clock, so events with it are rejected."""


@pytest.fixture
async def default(database: Database) -> UUID:
    """Return the id of the default organization."""
    found: UUID = (await find_organization(database, DEFAULT_ORGANIZATION)).organization_id
    return found


async def test_a_run_reports_accepted_and_skipped_items(
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


async def test_only_one_of_two_simultaneous_runs_proceeds(
    database: Database, default: UUID, clock: FixedClock
) -> None:
    async def try_to_run() -> bool:
        try:
            async with open_source_run(database, default, "tracker", kind="files", clock=clock):
                await asyncio.sleep(0.2)
        except SourceBusy:
            return False
        return True

    # Each run needs two connections; the test database allows five.
    assert sorted(await asyncio.gather(try_to_run(), try_to_run())) == [False, True]


async def test_a_failed_run_reports_the_error_and_keeps_its_events(
    database: Database, default: UUID, clock: FixedClock
) -> None:
    async def run_and_fail() -> None:
        async with open_source_run(database, default, "tracker", kind="files", clock=clock) as run:
            await run.accept([[PROJECT]])
            raise InvalidArgument("The tracker does not answer.")

    with pytest.raises(InvalidArgument):
        await run_and_fail()

    (found,) = await list_source_runs(database, default, "tracker")
    assert (found.outcome, found.error) == (RunOutcome.FAILED, "The tracker does not answer.")
    assert found.accepted == 1


async def test_the_next_run_marks_a_dead_run_as_interrupted(
    database: Database, default: UUID, clock: FixedClock
) -> None:
    abandoned = open_source_run(database, default, "tracker", kind="files", clock=clock)
    run = await abandoned.__aenter__()
    async with database.owner_transaction() as tx:
        # Break the run's connection, as if its process had been killed.
        await tx.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        )

    async with open_source_run(
        database, default, "tracker", kind="files", clock=clock
    ) as following:
        # The run that lost its lock must not continue beside the new one.
        with pytest.raises(SourceBusy):
            await run.accept([[PROJECT]])
        assert (await following.accept([[PROJECT]])).accepted == 1

    outcomes = [each.outcome for each in await list_source_runs(database, default, "tracker")]
    assert outcomes == [RunOutcome.DONE, RunOutcome.INTERRUPTED]


async def test_events_and_checkpoint_are_stored_in_one_transaction(
    database: Database, default: UUID, clock: FixedClock
) -> None:
    key, deleted = CheckpointKey("page", "next"), CheckpointKey("page", "last")
    bad = event("project.upserted", FUTURE, workspace="w", name="q")
    async with open_source_run(database, default, "tracker", kind="files", clock=clock) as run:
        await run.accept([[PROJECT]], checkpoint={key: "7", deleted: "1"})
        with pytest.raises(InvalidBatch):
            await run.accept([[bad]], checkpoint={key: "8"})
        assert await run.load_checkpoint("page") == {"next": "7", "last": "1"}
        await run.accept([], checkpoint={deleted: None})

    async with open_source_run(database, default, "tracker", kind="files", clock=clock) as run:
        assert await run.load_checkpoint("page", ["next", "last"]) == {"next": "7"}
        assert await run.load_checkpoint("other") == {}
    async with open_source_run(database, default, "other", kind="files", clock=clock) as run:
        assert await run.load_checkpoint("page") == {}


async def test_invalid_events_of_a_batch_are_skipped(
    database: Database, default: UUID, clock: FixedClock
) -> None:
    bad = event("project.upserted", FUTURE, id="q", workspace="w", name="q")
    batch = SourceBatch([bad, PROJECT, b"{}"], skipped=[SkippedItem("run 1", "it has no owner")])
    async with open_source_run(database, default, "tracker", kind="files", clock=clock) as run:
        assert (await run.store_batch(batch)).accepted == 1

    (source,) = await list_sources(database, default)
    assert source.last_run is not None
    assert source.last_run.skipped_count == 3
    reasons = {each.reason[:5] for each in source.last_run.skipped}
    assert reasons == {"it ha", "event", "time:"}


async def test_a_run_lists_the_first_hundred_skipped_items_and_counts_all(
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


async def test_sources_of_another_organization_are_invisible(
    database: Database, clock: FixedClock, graphql: GraphQLClient, other_organization: str
) -> None:
    other = (await find_organization(database, other_organization)).organization_id
    async with open_source_run(database, other, "tracker", kind="files", clock=clock):
        pass

    assert await graphql(SOURCES) == {"sources": []}
    answer = await graphql.execute('{ sourceRuns(source: "tracker") { number } }')
    assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize("name", ["", "x" * 201, "a\0b"])
async def test_an_invalid_source_name_is_rejected(
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

        listed = chargeback(store.url, "sources", "list")
        runs = chargeback(store.url, "sources", "show", "tracker")
        unknown = chargeback(store.url, "sources", "show", "no such")

    for answer in (listed, runs):
        assert "tracker: row 7: it has no owner" in answer.stdout
        assert "done" in answer.stdout
    assert unknown.returncode == 1
    assert "There is no source 'no such'." in unknown.stderr


def chargeback(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (*CHARGEBACK, *arguments),
        env=clean_environment(DATABASE_URL=url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
