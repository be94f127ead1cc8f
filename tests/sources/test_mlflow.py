"""Import from a real MLflow: the report shows what users logged there."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.clock import system_clock
from app.connectors.mlflow.options import MlflowOptions
from app.db.engine import Database
from app.domain.errors import SourceUnavailable
from app.domain.months import Month
from app.postgres.database import with_database_name
from app.services.mlflow import read_mlflow_batches
from app.services.organizations import create_organization, find_organization
from app.services.sources import open_source_run
from tests.conftest import ClonedDatabase, FixedClock, GraphQLClient, execute_as_superuser
from tests.server_process import CHARGEBACK, ServerProcess, clean_environment
from tests.sources.mlflow_install import (
    PASSWORD,
    collect_garbage,
    free_port,
    install_mlflow,
    mariadb,
    mlflow_server,
    run_scene,
    run_server,
)
from tests.sources.mlflow_report import (
    read_last_run,
    read_report,
    run_import,
    sizes_by_workspace,
    uses_by_user,
)

pytestmark = [pytest.mark.mlflow, pytest.mark.timeout(600)]


@pytest.fixture(scope="session")
def programs() -> Path:
    """Return the folder of MLflow's programs."""
    return install_mlflow()


# What the first scene logs, worked out by hand, in MiB: ann's runs have 1 + 0.5 and 0.25; bob's
# run has 2, and its logged model 1 more. bob's run in asr has no files.
FIRST_SIZES = {
    "default": {"projects": {"Default": (0, 0)}, "members": {}, "formerMembers": {}},
    "speech": {
        "projects": {"asr": (1, 0)},
        "members": {"bob": (1, 0), "dora": (0, 0)},
        "formerMembers": {},
    },
    "vision": {
        "projects": {"segmentation": (3, 4.75)},
        "members": {"ann": (2, 1.75), "bob": (1, 3)},
        "formerMembers": {},
    },
}
# Each run and each trace is one SDK use: ann logged two runs, bob two runs and three traces. No
# source measures UI uses, so that count is null and not 0.
FIRST_USES = {
    "admin": (None, 0),
    "ann": (None, 2),
    "bob": (None, 5),
    "carl": (None, 0),
    "dora": (None, 0),
}


async def test_the_report_shows_what_was_logged_and_later_what_changed(
    database: Database,
    graphql: GraphQLClient,
    clock: FixedClock,
    other_organization: str,
    programs: Path,
    tmp_path: Path,
) -> None:
    with mlflow_server(programs, tmp_path) as address:
        ids = run_scene(programs, "first_month", address)
        by_database = {
            "store": f"sqlite:///{tmp_path}/mlflow.db",
            "auth_store": f"sqlite:///{tmp_path}/auth.db",
            "artifacts_destination": str(tmp_path / "artifacts"),
        }

        await run_import(database, **by_database)

        first = await read_report(graphql, clock)
        assert sizes_by_workspace(first) == FIRST_SIZES
        assert uses_by_user(first) == FIRST_USES
        assert {user["email"] for user in first["users"]["licensedUsers"]} == {None}
        skipped = (await read_last_run(database)).skipped
        assert [each.item for each in skipped] == ["model version net/2"], skipped
        assert "s3://elsewhere/net" in skipped[0].reason

        # Over REST, artifacts through the proxy, the report is the same.
        by_rest = address.replace("://", f"://admin:{PASSWORD}@")
        await run_import(database, other_organization, tracking_url=by_rest)
        over_rest = await read_report(graphql, clock, other_organization)
        assert (sizes_by_workspace(over_rest), uses_by_user(over_rest)) == (
            FIRST_SIZES,
            FIRST_USES,
        )

        # An import that is interrupted after every batch ends with the same report.
        stops = await import_with_interruptions(database, clock, **by_database)
        assert stops > 3
        assert sizes_by_workspace(await read_report(graphql, clock, "stopped")) == FIRST_SIZES

        again = await run_import(database, **by_database)
        assert (again.total.accepted, again.total.duplicates) == (0, 0)

        ids = run_scene(programs, "next_month", address, LOGGED=json.dumps(ids))
        collect_garbage(programs, tmp_path, address, ids["b"], workspace="vision")

        changed = await run_import(database, **by_database)

        # Run e: creation, use and size (3). Run d: size (1). Run b: deletion (1). Experiment asr:
        # its new name (1), its moved run (1), the end of its old project (1). carl: deletion (1).
        # dora: the end of her role in speech (1). Nothing else is sent again.
        assert (changed.total.accepted, changed.total.duplicates) == (10, 0)
        second = await read_report(graphql, clock)
        assert sizes_by_workspace(second) == NEXT_SIZES
        assert uses_by_user(second) == FIRST_USES | {"ann": (None, 3)}
        deleted = {
            user["username"]: user["deletedAt"] is not None
            for user in second["users"]["licensedUsers"]
        }
        assert [username for username, is_deleted in deleted.items() if is_deleted] == ["carl"]

        await run_import(database, other_organization, tracking_url=by_rest)
        assert (
            sizes_by_workspace(await read_report(graphql, clock, other_organization)) == NEXT_SIZES
        )

        # Without its checkpoint, a source sends the same facts with the same ids.
        async with database.owner_transaction() as tx:
            await tx.execute(text("DELETE FROM source_checkpoint"))
        repeated = await run_import(database, **by_database)
        assert repeated.total.duplicates > 15
        third = await read_report(graphql, clock)
        assert (sizes_by_workspace(third), uses_by_user(third)) == (
            sizes_by_workspace(second),
            uses_by_user(second),
        )


async def test_a_source_may_switch_between_database_and_rest_and_change_its_rule(
    database: Database, graphql: GraphQLClient, clock: FixedClock, programs: Path, tmp_path: Path
) -> None:
    with mlflow_server(programs, tmp_path, workspaces=False) as address:
        run_scene(programs, "one_run", address)
        by_database = {
            "store": f"sqlite:///{tmp_path}/mlflow.db",
            "auth_store": f"sqlite:///{tmp_path}/auth.db",
            "artifacts_destination": str(tmp_path / "artifacts"),
        }
        await run_import(database, **by_database)
        ann = {"ann": (1, 1)}
        [found] = sizes_by_workspace(await read_report(graphql, clock)).values()
        assert found["projects"] == {"Default": (0, 0), "vision/seg": (1, 1)}
        assert found["members"] == ann

        over_rest = await run_import(
            database, tracking_url=address.replace("://", f"://admin:{PASSWORD}@")
        )

        # A server whose workspaces feature is off lists none, but its runs are found.
        assert over_rest.total.accepted == 0
        assert sizes_by_workspace(await read_report(graphql, clock)) == {"default": found}

        await run_import(database, **by_database, workspace_from="prefix")

        moved = await read_report(graphql, clock)
        assert sizes_by_workspace(moved)["vision"] == {
            "projects": {"seg": (1, 1)},
            "members": ann,
            "formerMembers": {},
        }
        assert moved["unmeasuredExperiments"] == 0


async def test_a_replaced_store_ends_nothing_without_accept_loss(
    database: Database, graphql: GraphQLClient, clock: FixedClock, programs: Path, tmp_path: Path
) -> None:
    (tmp_path / "artifacts").mkdir()
    old, new = (f"sqlite:///{tmp_path}/{name}.db" for name in ("old", "new"))
    run_scene(programs, "without_a_server", old, ARTIFACTS=str(tmp_path / "artifacts"))
    run_scene(programs, "nothing", new)
    rule = {"workspace_from": "prefix", "otherwise": "everybody"}
    await run_import(database, store=old, **rule)

    with pytest.raises(SourceUnavailable, match="3 of 4 known experiments are missing"):
        await run_import(database, store=new, **rule)

    assert sizes_by_workspace(await read_report(graphql, clock)) == BY_PREFIX
    await run_import(database, store=new, **rule, accept_loss=True)
    assert (await read_report(graphql, clock))["numberOfExperiments"] == 0


class Interrupted(Exception):
    """Interrupts an import."""


async def import_with_interruptions(database: Database, clock: FixedClock, **options: Any) -> int:
    """Import into the organization `stopped`, interrupted after every batch.

    Returns the number of interruptions.
    """
    await create_organization(database, "stopped", clock.now)
    organization_id = (await find_organization(database, "stopped")).organization_id

    async def resume() -> None:
        async with open_source_run(
            database, organization_id, "mlflow", kind="mlflow", clock=system_clock
        ) as run:
            async for batch in read_mlflow_batches(
                "mlflow",
                MlflowOptions(**options),
                load_checkpoint=run.load_checkpoint,
                now=system_clock(),
                progress=lambda *_: None,
            ):
                if (await run.store_batch(batch)).accepted:
                    raise Interrupted

    for stops in count():
        try:
            await resume()
        except Interrupted:
            continue
        return stops
    raise AssertionError


# a is deleted but keeps its bytes until garbage collection; b was collected. e adds 0.5 and the
# late file of d adds 1. dora no longer has a role in speech.
NEXT_SIZES = {
    "default": {"projects": {"Default": (0, 0)}, "members": {}, "formerMembers": {}},
    "speech": {
        "projects": {"asr2": (1, 1)},
        "members": {"bob": (1, 1)},
        "formerMembers": {},
    },
    "vision": {
        "projects": {"segmentation": (3, 5)},
        "members": {"ann": (2, 2), "bob": (1, 3)},
        "formerMembers": {},
    },
}


# What is logged without a server, in MiB: ann's run in vision/seg has 1 + 0.5, the one in
# vision/depth 0.25; bob's in misc has 2, and bob's trace is one more use.
BY_PREFIX = {
    "everybody": {
        "projects": {"Default": (0, 0), "misc": (1, 2)},
        "members": {"bob": (1, 2)},
        "formerMembers": {},
    },
    "vision": {
        "projects": {"depth": (1, 0.25), "seg": (1, 1.5)},
        "members": {"ann": (2, 1.75)},
        "formerMembers": {},
    },
}
BY_TAG = {
    "everybody": {"projects": {"Default": (0, 0)}, "members": {}, "formerMembers": {}},
    "team-m": {
        "projects": {"misc": (1, 2)},
        "members": {"bob": (1, 2)},
        "formerMembers": {},
    },
    "team-v": {
        "projects": {"vision/depth": (1, 0.25), "vision/seg": (1, 1.5)},
        "members": {"ann": (2, 1.75)},
        "formerMembers": {},
    },
}


@pytest.fixture
async def postgres_store(postgres: str) -> AsyncIterator[str]:
    """Create a PostgreSQL database for MLflow and return its URL."""
    await execute_as_superuser(postgres, "CREATE DATABASE tracking")
    yield with_database_name(postgres, "tracking")
    await execute_as_superuser(postgres, "DROP DATABASE tracking WITH (FORCE)")


@pytest.fixture
def object_store(programs: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Start an S3-compatible server with a bucket; return the environment that points to it."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command: list[object] = [programs / "moto_server", "-H", "127.0.0.1", "-p", port]
    with run_server(command, f"{address}/moto-api/", tmp_path / "moto.log"):
        httpx.put(f"{address}/artifacts").raise_for_status()
        yield {
            "AWS_ENDPOINT_URL": address,
            "MLFLOW_S3_ENDPOINT_URL": address,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }


@pytest.fixture
def mysql_store(tmp_path: Path) -> Iterator[str]:
    """Start a MariaDB for MLflow and return the URL of its database."""
    program = shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None and "CI" not in os.environ:
        pytest.skip("no mariadbd: Debian's package mariadb-server-core has it")
    assert program is not None, "CI installs mariadbd"
    with mariadb(program, tmp_path / "mariadb") as url:
        yield url


async def test_a_postgresql_store_with_artifacts_in_s3_is_imported(
    postgres: str,
    template: str,
    programs: Path,
    postgres_store: str,
    object_store: dict[str, str],
) -> None:
    run_scene(
        programs, "without_a_server", postgres_store, ARTIFACTS="s3://artifacts", **object_store
    )
    store = ClonedDatabase(postgres, template)
    async with store:
        words = ("--store", postgres_store, "--workspace-from", "prefix")

        done = chargeback(
            store.url, "import-mlflow", *words, "--otherwise", "everybody", **object_store
        )

        assert "skipped 0" in done.stdout, done.stdout + done.stderr
        assert read_sizes_from_cli(store.url) == BY_PREFIX
        # Without credentials, sizes are reported as unknown; they do not become 0.
        again = chargeback(
            store.url, "import-mlflow", *words, "--otherwise", "everybody", "--relist"
        )
        assert "accepted 0, duplicates 0, skipped 3" in again.stdout, again.stderr
        assert read_sizes_from_cli(store.url) == BY_PREFIX


async def test_a_mysql_store_with_artifacts_in_a_folder_is_imported(
    postgres: str, template: str, programs: Path, mysql_store: str, tmp_path: Path
) -> None:
    folder = tmp_path / "artifacts"
    folder.mkdir()
    run_scene(programs, "without_a_server", mysql_store, ARTIFACTS=str(folder))
    store = ClonedDatabase(postgres, template)
    async with store:
        words = ("--store", mysql_store, "--workspace-from", "tag:team")

        done = chargeback(store.url, "import-mlflow", *words, "--otherwise", "everybody")

        assert "skipped 0" in done.stdout, done.stdout + done.stderr
        assert read_sizes_from_cli(store.url) == BY_TAG
        again = chargeback(store.url, "import-mlflow", *words, "--otherwise", "everybody")
        assert "accepted 0, duplicates 0, skipped 0" in again.stdout, again.stderr

        # The same source from a sources file: run by a command, and by the service.
        sources = tmp_path / "sources.toml"
        options = f'kind = "mlflow"\nstore = "{mysql_store}"\nevery = "1h"\n'
        by_team = 'workspace-from = "tag:team"\notherwise = "everybody"\n'
        sources.write_text(f"[mlflow]\n{options}{by_team}[other]\n{options}")
        settings = {"SOURCES_FILE": str(sources)}
        ran = chargeback(store.url, "sources", "run", "mlflow", **settings)
        assert "mlflow: accepted 0, duplicates 0, skipped 0" in ran.stdout, ran.stderr
        # `other` never ran, so it is due; `mlflow` is due in an hour.
        with ServerProcess(
            tmp_path / "served", (), {"DATABASE_URL": store.url, **settings}
        ) as served:
            line = await asyncio.to_thread(wait_for_scheduled_run, served)
        assert re.fullmatch(r"Source other: [1-9][0-9]* events, 0 skipped\.", line)


async def test_runs_without_owner_and_models_without_run_count_and_impossible_runs_are_skipped(
    database: Database,
    graphql: GraphQLClient,
    clock: FixedClock,
    other_organization: str,
    programs: Path,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "artifacts"
    folder.mkdir()
    tracking = f"sqlite:///{tmp_path}/mlflow.db"
    ids = run_scene(programs, "oddities", tracking, ARTIFACTS=str(folder))

    await run_import(database, store=tracking)

    # The run without an owner has 0.5 MiB, the model without a run 1, ann's run no files. The
    # run of the year 2100 is skipped.
    found = await read_report(graphql, clock)
    assert sizes_by_workspace(found)["default"] == {
        "projects": {"Default": (0, 0), "odd": (3, 1.5)},
        "members": {"ann": (2, 1)},
        "formerMembers": {"(unknown)": (1, 0.5)},
    }
    assert uses_by_user(found) == {"ann": (None, 1)}
    (skipped,) = (await read_last_run(database)).skipped
    assert skipped.item == f"run {ids['future']}"

    # Without its files, a run keeps its last known size.
    shutil.rmtree(folder)
    await run_import(database, store=tracking, relist=True)
    assert sizes_by_workspace(await read_report(graphql, clock)) == sizes_by_workspace(found)
    items = {each.item for each in (await read_last_run(database)).skipped}
    assert f"size of run {ids['nobody']}" in items

    # A first import without the files knows no sizes and reports the runs as unmeasured.
    await run_import(database, other_organization, store=tracking)
    unmeasured = await read_report(graphql, clock, other_organization)
    assert (unmeasured["numberOfExperiments"], unmeasured["unmeasuredExperiments"]) == (3, 3)
    assert (found["numberOfExperiments"], found["unmeasuredExperiments"]) == (3, 0)


def wait_for_scheduled_run(server: ServerProcess) -> str:
    """Return the service's log line about the first source that it runs."""
    while True:
        for line in server.lines:
            if line.startswith("Source "):
                return line
        time.sleep(0.2)


def read_sizes_from_cli(url: str) -> dict[str, Any]:
    """Return what `sizes_by_workspace` returns, from the command line's report of this month."""
    month = str(Month.containing(datetime.now(UTC)))
    document = json.loads(chargeback(url, "report", month, "--format", "json").stdout)
    return {
        workspace["name"]: {
            kind: {
                each[key]: (each["numberOfExperiments"], each["totalSizeInMb"])
                for each in workspace.get(kind, ())
            }
            for kind, key in (
                ("projects", "name"),
                ("members", "userName"),
                ("formerMembers", "userName"),
            )
        }
        for workspace in document["workspaces"]
    }


def chargeback(url: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a `chargeback` command to its end."""
    return subprocess.run(
        (*CHARGEBACK, *arguments),
        env=clean_environment(DATABASE_URL=url, **settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
