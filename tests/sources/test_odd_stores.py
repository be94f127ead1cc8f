"""MLflow stores with unusual content: runs without times, placeholder names, moved runs."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.connectors.mlflow.options import MlflowOptions
from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.services.mlflow import import_mlflow
from app.services.organizations import find_organization
from tests.conftest import FixedClock, GraphQLClient
from tests.sources.mlflow_report import (
    MIB,
    REPORT,
    read_last_run,
    sizes_by_workspace,
    uses_by_user,
)
from tests.sources.mlflow_tables import MlflowTables

Import = Callable[..., Awaitable[Any]]


def at(day: int, month: int = 11) -> int:
    """Return noon of a day of 2026 in milliseconds since 1970."""
    return int(datetime(2026, month, day, 12, tzinfo=UTC).timestamp()) * 1000


@pytest.fixture
def tables(tmp_path: Path) -> MlflowTables:
    """Return a store with the experiment `prod` and three runs by ann of 1 MiB each."""
    tables = MlflowTables(tmp_path)
    tables.add_experiment(1, "prod", at(1))
    for number in range(3):
        tables.add_run(f"run-{number}", 1, at(2), ended_ms=at(3), size_bytes=MIB)
    return tables


@pytest.fixture
def import_store(database: Database, clock: FixedClock, tables: MlflowTables) -> Import:
    """Return a function that imports the store at the clock's time."""

    async def run(**options: Any) -> Any:
        found = await find_organization(database, DEFAULT_ORGANIZATION)
        await import_mlflow(
            database,
            found.organization_id,
            "mlflow",
            MlflowOptions(store=tables.store, **options),
            clock=clock,
            progress=lambda *_: None,
        )
        return await read_last_run(database)

    return run


async def read_month(graphql: GraphQLClient, month: str = "2026-11") -> Any:
    return (await graphql(REPORT, month=month, organization=None))["chargebackReport"]


def count(report: Any) -> tuple[int, float]:
    """Return the number of experiments and their size in MiB."""
    return report["numberOfExperiments"], report["totalSizeBytes"] / MIB


@pytest.mark.parametrize("start", [None, 0, 1, 86_399_999, -5, 1_790_000_000, 946_684_799_999])
async def test_a_run_without_a_start_counts_since_the_import_and_ends_no_other(
    graphql: GraphQLClient,
    clock: FixedClock,
    tables: MlflowTables,
    import_store: Import,
    start: int | None,
) -> None:
    await import_store()
    assert count(await read_month(graphql)) == (3, 3)
    tables.add_run("bare", 1, start, "bob", size_bytes=MIB)
    clock.now = datetime(2026, 12, 5, tzinfo=UTC)

    assert (await import_store()).accepted == 5  # The run, its use and size, bob, his membership.

    assert count(await read_month(graphql)) == (3, 3)
    december = await read_month(graphql, "2026-12")
    assert count(december) == (4, 4)
    assert uses_by_user(december) == {"ann": (None, 0), "bob": (None, 1)}

    # The end of the run changes nothing; its deletion ends only this run.
    tables.execute("UPDATE runs SET end_time = ? WHERE run_uuid = 'bare'", at(4))
    clock.now = datetime(2026, 12, 6, tzinfo=UTC)
    assert (await import_store()).accepted == 0
    tables.execute("DELETE FROM runs WHERE run_uuid = 'bare'")
    clock.now = datetime(2026, 12, 7, tzinfo=UTC)
    assert (await import_store()).accepted == 1
    assert count(await read_month(graphql, "2026-12")) == (3, 3)


async def test_a_run_without_a_start_counts_since_its_end(
    graphql: GraphQLClient, clock: FixedClock, tables: MlflowTables, import_store: Import
) -> None:
    tables.add_run("bare", 1, 0, ended_ms=at(20, 10))
    clock.now = datetime(2026, 12, 5, tzinfo=UTC)

    assert (await import_store()).skipped_count == 0

    assert count(await read_month(graphql, "2026-10")) == (1, 0)
    assert count(await read_month(graphql)) == (4, 3)


async def test_runs_that_were_ended_by_mistake_come_back_each_time(
    graphql: GraphQLClient, clock: FixedClock, tables: MlflowTables, import_store: Import
) -> None:
    await import_store()
    expected = sizes_by_workspace(await read_month(graphql))
    for day in (25, 27):
        tables.execute("UPDATE runs SET experiment_id = -1")
        clock.now = datetime(2026, 11, day, tzinfo=UTC)
        await import_store()
        assert count(await read_month(graphql)) == (0, 0)
        tables.execute("UPDATE runs SET experiment_id = 1")
        clock.now = datetime(2026, 11, day + 1, tzinfo=UTC)

        await import_store()

        report = await read_month(graphql)
        assert (sizes_by_workspace(report), report["unmeasuredExperiments"]) == (expected, 0)
        assert uses_by_user(report) == {"ann": (None, 3)}


async def test_everything_that_was_ended_by_mistake_comes_back(
    graphql: GraphQLClient, clock: FixedClock, tables: MlflowTables, import_store: Import
) -> None:
    tables.add_experiment(2, "asr", at(1), "speech")
    tables.add_run("run-s", 2, at(2), "bob", ended_ms=at(3), size_bytes=MIB)
    for username in ("ann", "bob", "carl"):
        tables.execute_auth("INSERT INTO users (username) VALUES (?)", username)
    with_accounts = {"auth_store": tables.auth_store}
    await import_store(**with_accounts)
    expected = sizes_by_workspace(await read_month(graphql))
    assert expected["speech"]["members"] == {"bob": (1, 1)}
    tables.execute("ALTER TABLE experiments RENAME TO hidden")
    tables.execute("CREATE TABLE experiments AS SELECT * FROM hidden WHERE false")
    tables.execute_auth("ALTER TABLE users RENAME TO hidden")
    tables.execute_auth("CREATE TABLE users AS SELECT * FROM hidden WHERE false")
    clock.now = datetime(2026, 11, 25, tzinfo=UTC)
    await import_store(**with_accounts, accept_loss=True)
    gone = await read_month(graphql)
    assert gone["workspaces"] == []
    assert all(user["deletedAt"] for user in gone["users"]["licensedUsers"])
    tables.execute("INSERT INTO experiments SELECT * FROM hidden")
    tables.execute_auth("INSERT INTO users SELECT * FROM hidden")
    clock.now = datetime(2026, 11, 26, tzinfo=UTC)

    await import_store(**with_accounts)

    report = await read_month(graphql)
    assert sizes_by_workspace(report) == expected
    assert {user["username"]: user["deletedAt"] for user in report["users"]["licensedUsers"]} == {
        "ann": None,
        "bob": None,
        "carl": None,
    }


async def test_owners_are_members_of_the_workspace_that_their_experiment_moves_to(
    graphql: GraphQLClient, clock: FixedClock, tables: MlflowTables, import_store: Import
) -> None:
    tables.execute("INSERT INTO workspaces VALUES ('default'), ('vision')")
    await import_store()
    # What `mlflow db move-resources` does.
    tables.execute("UPDATE experiments SET workspace = 'vision'")
    clock.now = datetime(2026, 12, 5, tzinfo=UTC)

    await import_store()

    assert sizes_by_workspace(await read_month(graphql, "2026-12")) == {
        "default": {"projects": {}, "members": {"ann": (0, 0)}, "formerMembers": {}},
        "vision": {
            "projects": {"prod": (3, 3)},
            "members": {"ann": (3, 3)},
            "formerMembers": {},
        },
    }
    november = sizes_by_workspace(await read_month(graphql))
    assert november["vision"] == {"projects": {}, "members": {}, "formerMembers": {}}


@pytest.mark.parametrize("name", ["unknown", "", "  ", "\n", " unknown\n", "(unknown)"])
async def test_placeholder_names_create_no_users(
    graphql: GraphQLClient, tables: MlflowTables, import_store: Import, name: str
) -> None:
    tables.execute("DELETE FROM runs")
    tables.add_run("run-n", 1, at(2), name, ended_ms=at(3))
    add_model_and_traces(tables, name)

    last = await import_store()

    report = await read_month(graphql)
    assert sizes_by_workspace(report)["default"] == {
        "projects": {"prod": (2, 0)},
        "members": {},
        "formerMembers": {"(unknown)": (2, 0)},
    }
    assert report["users"]["licensedUsers"] == []
    assert [each.item for each in last.skipped] == ["2 traces of experiment prod"]


@pytest.mark.parametrize("name", ["ann\n", " ann "])
async def test_blanks_around_a_name_are_not_part_of_it(
    graphql: GraphQLClient, tables: MlflowTables, import_store: Import, name: str
) -> None:
    tables.add_run("run-n", 1, at(2), name, ended_ms=at(3))
    add_model_and_traces(tables, name)

    await import_store()

    # Four runs and two traces; the model is an experiment, but no use.
    report = await read_month(graphql)
    assert sizes_by_workspace(report)["default"]["members"] == {"ann": (5, 3)}
    assert uses_by_user(report) == {"ann": (None, 6)}


def add_model_and_traces(tables: MlflowTables, name: str) -> None:
    """Add a logged model without a run, and two traces with different tags, of a user."""
    folder = str(tables.artifacts / "1/models/m-1/artifacts")
    model = "INSERT INTO logged_models VALUES ('m-1', 1, NULL, ?, ?, ?, 'active')"
    tables.execute(model, at(2), at(2), folder)
    tables.execute("INSERT INTO logged_model_tags VALUES ('m-1', 'mlflow.user', ?)", name)
    for key in ("mlflow.user", "mlflow.trace.user"):
        tables.execute("INSERT INTO trace_info VALUES (?, 1, ?)", key, at(2))
        tables.execute("INSERT INTO trace_request_metadata VALUES (?, ?, ?)", key, key, name)


async def test_traces_without_a_time_are_listed(
    tables: MlflowTables, import_store: Import
) -> None:
    for number, time in enumerate((0, -5, 3_600_000)):
        tables.execute("INSERT INTO trace_info VALUES (?, 1, ?)", f"trace-{number}", time)

    last = await import_store()

    assert [each.item for each in last.skipped] == ["3 traces of experiment prod"]
    assert last.skipped[0].reason == "their time is before 2000: not counted"
    assert (await import_store()).skipped_count == 0
