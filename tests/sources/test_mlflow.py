"""Real MLflow: people log into it, its store is read, and the report says what they logged."""

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
from app.domain.errors import ForeignUnavailable
from app.domain.months import Month
from app.services.mlflow import read_mlflow_batches
from app.services.organizations import create_organization, find_organization
from app.services.sources import open_source_run
from tests.conftest import FixedClock, GraphQLClient, execute_as_superuser, ClonedDatabase
from tests.server_process import CHARGEBACK, ServerProcess, clean_environment
from tests.sources.mlflow_install import (
    PASSWORD,
    collect_garbage,
    free_port,
    installed,
    log,
    mariadb,
    mlflow_server,
    running,
)
from tests.sources.mlflow_report import last_run, read, report, sizes, uses

pytestmark = [pytest.mark.mlflow, pytest.mark.timeout(600)]


@pytest.fixture(scope="session")
def programs() -> Path:
    """MLflow's programs."""
    return installed()


# What the first scene logs, worked by hand, in MiB: ann's runs hold 1 + 0.5 and 0.25; bob's holds
# 2, and its logged model 1 more. bob's run in asr holds nothing.
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
# A use a run and a trace: ann logged two runs, bob two and three traces. Who used the UI is known
# to nobody, so the count is null and not 0.
FIRST_USES = {
    "admin": (None, 0),
    "ann": (None, 2),
    "bob": (None, 5),
    "carl": (None, 0),
    "dora": (None, 0),
}


async def test_the_report_says_what_was_logged_and_then_what_changed(
    database: Database,
    graphql: GraphQLClient,
    clock: FixedClock,
    other_organization: str,
    programs: Path,
    tmp_path: Path,
) -> None:
    with mlflow_server(programs, tmp_path) as address:
        ids = log(programs, "first_month", address)
        by_database = {
            "store": f"sqlite:///{tmp_path}/mlflow.db",
            "auth_store": f"sqlite:///{tmp_path}/auth.db",
            "artifacts_destination": str(tmp_path / "artifacts"),
        }

        await read(database, **by_database)

        first = await report(graphql, clock)
        assert sizes(first) == FIRST_SIZES
        assert uses(first) == FIRST_USES
        assert {user["email"] for user in first["users"]["licensedUsers"]} == {None}
        skipped = (await last_run(database)).skipped
        assert [each.item for each in skipped] == ["model version net/2"], skipped
        assert "s3://elsewhere/net" in skipped[0].reason

        # Over REST, artifacts through the proxy, the report is the same.
        by_rest = address.replace("://", f"://admin:{PASSWORD}@")
        await read(database, other_organization, tracking_url=by_rest)
        over_rest = await report(graphql, clock, other_organization)
        assert (sizes(over_rest), uses(over_rest)) == (FIRST_SIZES, FIRST_USES)

        # A reading that is stopped again and again ends with the same.
        stopped = await stopped_readings(database, clock, **by_database)
        assert stopped > 3
        assert sizes(await report(graphql, clock, "stopped")) == FIRST_SIZES

        again = await read(database, **by_database)
        assert (again.total.accepted, again.total.duplicates) == (0, 0)

        ids = log(programs, "next_month", address, LOGGED=json.dumps(ids))
        collect_garbage(programs, tmp_path, address, ids["b"], workspace="vision")

        changed = await read(database, **by_database)

        # Of run e its creation, use and size (3); the size of d (1); b is gone (1); asr has
        # another name (1), takes its run along (1) and is no more (1); carl is gone (1), and so
        # is dora's role in speech (1). Nothing else is told again.
        assert (changed.total.accepted, changed.total.duplicates) == (10, 0)
        second = await report(graphql, clock)
        assert sizes(second) == NEXT_SIZES
        assert uses(second) == FIRST_USES | {"ann": (None, 3)}
        deleted = {
            user["username"]: user["deletedAt"] is not None
            for user in second["users"]["licensedUsers"]
        }
        assert [username for username, gone in deleted.items() if gone] == ["carl"]

        await read(database, other_organization, tracking_url=by_rest)
        assert sizes(await report(graphql, clock, other_organization)) == NEXT_SIZES

        # A source that has forgotten everything tells the same facts under the same ids.
        async with database.owner_transaction() as tx:
            await tx.execute(text("DELETE FROM source_checkpoint"))
        forgetful = await read(database, **by_database)
        assert forgetful.total.duplicates > 15
        third = await report(graphql, clock)
        assert (sizes(third), uses(third)) == (sizes(second), uses(second))


async def test_the_same_source_may_be_read_by_database_over_rest_and_by_another_rule(
    database: Database, graphql: GraphQLClient, clock: FixedClock, programs: Path, tmp_path: Path
) -> None:
    with mlflow_server(programs, tmp_path, workspaces=False) as address:
        log(programs, "one_run", address)
        by_database = {
            "store": f"sqlite:///{tmp_path}/mlflow.db",
            "auth_store": f"sqlite:///{tmp_path}/auth.db",
            "artifacts_destination": str(tmp_path / "artifacts"),
        }
        await read(database, **by_database)
        ann = {"ann": (1, 1)}
        [found] = sizes(await report(graphql, clock)).values()
        assert found["projects"] == {"Default": (0, 0), "vision/seg": (1, 1)}
        assert found["members"] == ann

        over_rest = await read(
            database, tracking_url=address.replace("://", f"://admin:{PASSWORD}@")
        )

        # A server with workspaces switched off lists none; what it holds is there all the same.
        assert over_rest.total.accepted == 0
        assert sizes(await report(graphql, clock)) == {"default": found}

        await read(database, **by_database, workspace_from="prefix")

        moved = await report(graphql, clock)
        assert sizes(moved)["vision"] == {
            "projects": {"seg": (1, 1)},
            "members": ann,
            "formerMembers": {},
        }
        assert moved["unmeasuredExperiments"] == 0


async def test_another_store_in_the_place_of_the_old_one_ends_nothing_by_itself(
    database: Database, graphql: GraphQLClient, clock: FixedClock, programs: Path, tmp_path: Path
) -> None:
    (tmp_path / "artifacts").mkdir()
    old, new = (f"sqlite:///{tmp_path}/{name}.db" for name in ("old", "new"))
    log(programs, "without_a_server", old, ARTIFACTS=str(tmp_path / "artifacts"))
    log(programs, "nothing", new)
    rule = {"workspace_from": "prefix", "otherwise": "everybody"}
    await read(database, store=old, **rule)

    with pytest.raises(ForeignUnavailable, match="3 of 4 known experiments are missing"):
        await read(database, store=new, **rule)

    assert sizes(await report(graphql, clock)) == BY_PREFIX
    await read(database, store=new, **rule, accept_loss=True)
    assert (await report(graphql, clock))["numberOfExperiments"] == 0


class Stopped(Exception):
    """The reading was stopped."""


async def stopped_readings(database: Database, clock: FixedClock, **options: Any) -> int:
    """Read into the organization `stopped`, stopping after every piece; how often it stopped."""
    await create_organization(database, "stopped", clock.now)
    organization_id = (await find_organization(database, "stopped")).organization_id

    async def read_on() -> None:
        async with open_source_run(
            database, organization_id, "mlflow", kind="mlflow", clock=system_clock
        ) as run:
            async for brought in read_mlflow_batches(
                "mlflow",
                MlflowOptions(**options),
                load_checkpoint=run.load_checkpoint,
                now=system_clock(),
                progress=lambda *_: None,
            ):
                if (await run.store_batch(brought)).accepted:
                    raise Stopped

    for stops in count():
        try:
            await read_on()
        except Stopped:
            continue
        return stops
    raise AssertionError


# a is in the bin and keeps its bytes until they are collected, as b's were. e holds 0.5 more, and
# the file that came late to d 1. dora has no role in speech any more.
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


# What is logged without a server, in MiB: ann's run of vision/seg holds 1 + 0.5, that of
# vision/depth 0.25; bob's of misc holds 2, and bob's trace is one more use.
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
    """A database of PostgreSQL's for MLflow."""
    await execute_as_superuser(postgres, "CREATE DATABASE tracking")
    yield with_database_name(postgres, "tracking")
    await execute_as_superuser(postgres, "DROP DATABASE tracking WITH (FORCE)")


@pytest.fixture
def object_store(programs: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment in which a server that speaks like S3, with a bucket, is found."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    words: list[object] = [programs / "moto_server", "-H", "127.0.0.1", "-p", port]
    with running(words, f"{address}/moto-api/", tmp_path / "moto.log"):
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
    """A database of MariaDB's for MLflow."""
    program = shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None and "CI" not in os.environ:
        pytest.skip("no mariadbd: Debian's package mariadb-server-core has it")
    assert program is not None, "CI installs mariadbd"
    with mariadb(program, tmp_path / "mariadb") as url:
        yield url


async def test_a_store_in_postgresql_with_artifacts_in_s3(
    postgres: str,
    template: str,
    programs: Path,
    postgres_store: str,
    object_store: dict[str, str],
) -> None:
    log(programs, "without_a_server", postgres_store, ARTIFACTS="s3://artifacts", **object_store)
    store = ClonedDatabase(postgres, template)
    async with store:
        words = ("--store", postgres_store, "--workspace-from", "prefix")

        done = chargeback(
            store.url, "import-mlflow", *words, "--otherwise", "everybody", **object_store
        )

        assert "skipped 0" in done.stdout, done.stdout + done.stderr
        assert shown(store.url) == BY_PREFIX
        # Without credentials the sizes are unknown, which is said; nothing becomes 0.
        again = chargeback(
            store.url, "import-mlflow", *words, "--otherwise", "everybody", "--relist"
        )
        assert "accepted 0, duplicates 0, skipped 3" in again.stdout, again.stderr
        assert shown(store.url) == BY_PREFIX


async def test_a_store_in_mysql_with_artifacts_in_a_folder(
    postgres: str, template: str, programs: Path, mysql_store: str, tmp_path: Path
) -> None:
    folder = tmp_path / "artifacts"
    folder.mkdir()
    log(programs, "without_a_server", mysql_store, ARTIFACTS=str(folder))
    store = ClonedDatabase(postgres, template)
    async with store:
        words = ("--store", mysql_store, "--workspace-from", "tag:team")

        done = chargeback(store.url, "import-mlflow", *words, "--otherwise", "everybody")

        assert "skipped 0" in done.stdout, done.stdout + done.stderr
        assert shown(store.url) == BY_TAG
        again = chargeback(store.url, "import-mlflow", *words, "--otherwise", "everybody")
        assert "accepted 0, duplicates 0, skipped 0" in again.stdout, again.stderr

        # The same from a file: by a command, and by the service itself.
        sources = tmp_path / "sources.toml"
        options = f'kind = "mlflow"\nstore = "{mysql_store}"\nevery = "1h"\n'
        by_team = 'workspace-from = "tag:team"\notherwise = "everybody"\n'
        sources.write_text(f"[mlflow]\n{options}{by_team}[other]\n{options}")
        settings = {"SOURCES_FILE": str(sources)}
        ran = chargeback(store.url, "sources", "run", "mlflow", **settings)
        assert "mlflow: accepted 0, duplicates 0, skipped 0" in ran.stdout, ran.stderr
        # Of these, `other` never ran and is due; `mlflow` is not for an hour.
        with ServerProcess(tmp_path / "served", (), {"DATABASE_URL": store.url, **settings}) as served:
            line = await asyncio.to_thread(ran_by_itself, served)
        assert re.fullmatch(r"Source other: [1-9][0-9]* events, 0 skipped\.", line)


async def test_what_names_nobody_or_has_no_run_is_counted_and_what_cannot_be_is_said(
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
    ids = log(programs, "oddities", tracking, ARTIFACTS=str(folder))

    await read(database, store=tracking)

    # The run of nobody holds 0.5 MiB, the model that no run logged 1, ann's run nothing. The run
    # of the year 2100 is not there yet.
    found = await report(graphql, clock)
    assert sizes(found)["default"] == {
        "projects": {"Default": (0, 0), "odd": (3, 1.5)},
        "members": {"ann": (2, 1)},
        "formerMembers": {"(unknown)": (1, 0.5)},
    }
    assert uses(found) == {"ann": (None, 1)}
    (skipped,) = (await last_run(database)).skipped
    assert skipped.item == f"run {ids['future']}"

    # Its files away, the run's size is unknown, and stays as it was last known.
    shutil.rmtree(folder)
    await read(database, store=tracking, relist=True)
    assert sizes(await report(graphql, clock)) == sizes(found)
    whats = {each.item for each in (await last_run(database)).skipped}
    assert f"size of run {ids['nobody']}" in whats

    # Whoever reads them for the first time now knows no size at all, and is told so.
    await read(database, other_organization, store=tracking)
    unmeasured = await report(graphql, clock, other_organization)
    assert (unmeasured["numberOfExperiments"], unmeasured["unmeasuredExperiments"]) == (3, 3)
    assert (found["numberOfExperiments"], found["unmeasuredExperiments"]) == (3, 0)


def ran_by_itself(served: ServerProcess) -> str:
    """What the service says of the first source that it runs."""
    while True:
        for line in served.lines:
            if line.startswith("Source "):
                return line
        time.sleep(0.2)


def shown(url: str) -> dict[str, Any]:
    """What the command line shows of this month, as `sizes` does."""
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


def chargeback(url: str, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A command of the product, to its end."""
    return subprocess.run(
        (*CHARGEBACK, *words),
        env=clean_environment(DATABASE_URL=url, **settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
