"""`chargeback db distribute`, on a real Citus cluster.

`CITUS_URL` names an empty database on the coordinator. It has the extension and its nodes, and its
user owns it without being a superuser.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app.db.distribution import CitusMissing
from app.db.engine import Database
from app.db.tables import Base
from app.domain.audit import OPERATOR
from app.domain.callers import DEFAULT_ORGANIZATION, Scope
from app.domain.months import Month
from app.postgres.database import open_database
from app.postgres.staging import StoreDistributed
from app.services.months import close_month, reopen_month
from app.services.organizations import (
    create_organization,
    ensure_default_organization,
    find_organization,
)
from app.services.store_admin import back_up, distribute_store, list_tables_to_distribute
from app.settings import Settings
from tests.conftest import NOW, Feed, FixedClock, create_api_key, create_client, event

_URL = os.environ.get("CITUS_URL", "")
_needs_cluster = pytest.mark.skipif(not _URL, reason="CITUS_URL is not set: no Citus cluster")
_ORGANIZATIONS = (DEFAULT_ORGANIZATION, "other")
_QUERY = """{ chargebackReports(from: "2026-08", to: "2026-11") {
    month createdAt numberOfWorkspaces closed corrections { originMonth figure amount }
    workspaces { name totalSizeInMb members { userName email } projects { name } }
    users { userName uiUsageCount licensed: deletedAt } } }"""


@pytest.fixture
async def cluster() -> str:
    """The URL of the cluster's database, without tables."""
    connection = await asyncpg.connect(_URL)
    for table in (*Base.metadata.tables, "alembic_version"):
        await connection.execute(f"DROP TABLE IF EXISTS {table} CASCADE")
    await connection.execute("DROP FUNCTION IF EXISTS reject_audit_log_change CASCADE")
    await connection.execute("DROP FUNCTION IF EXISTS require_recorded_reopening CASCADE")
    await connection.close()
    return _URL


@asynccontextmanager
async def _open(url: str) -> AsyncIterator[Database]:
    async with open_database(url, Path()) as database:
        yield database


async def _begin(database: Database, clock: FixedClock) -> None:
    """Store two organizations with some months of events, and close one month."""
    await ensure_default_organization(database, NOW)
    await create_organization(database, "other", NOW)
    for name in _ORGANIZATIONS:
        await Feed(database, clock, name)(
            event("user.upserted", "2026-08-01T00:00:00Z", id="u", username="ann", email="a@x"),
            event("workspace.upserted", "2026-08-02T00:00:00Z", id="w", name="lab"),
            event("member.added", "2026-08-02T00:00:00Z", id="m", workspace="lab", username="ann"),
            event("experiment.created", "2026-08-03T00:00:00Z", id="e", **_CREATED),
            event("usage.recorded", "2026-09-01T00:00:00Z", id="1", username="ann", channel="ui"),
        )
        own = (await find_organization(database, name)).organization_id
        await close_month(database, own, Month(2026, 8), by=OPERATOR, now=clock.now)


async def _go_on(database: Database, clock: FixedClock) -> None:
    """Store late events, reopen the closed month of one organization, and close it again."""
    for name in _ORGANIZATIONS:
        late = event("experiment.resized", "2026-08-20T00:00:00Z", id="r", **_RESIZED)
        await Feed(database, clock, name)(late)
    own = (await find_organization(database, "other")).organization_id
    await reopen_month(
        database, own, Month(2026, 8), reason="late sizes", by=OPERATOR, now=clock.now
    )
    await close_month(database, own, Month(2026, 9), by=OPERATOR, now=clock.now)


_CREATED: dict[str, Any] = {
    "experiment": "x",
    "workspace": "lab",
    "project": "seg",
    "username": "ann",
    "sizeBytes": 5_000_000,
}
_RESIZED: dict[str, Any] = {"experiment": "x", "sizeBytes": 7_000_000}


async def _answers(database: Database, clock: FixedClock) -> list[bytes]:
    """Return the answers to a GraphQL query and the REST documents of both organizations."""
    found = []
    async with create_client(database, Settings.load(admin_user_list="root"), clock) as client:
        for name in _ORGANIZATIONS:
            key = await create_api_key(database, clock, "root", Scope.ADMIN, organization=name)
            headers = {"Authorization": key}
            response = await client.post("/graphql", json={"query": _QUERY}, headers=headers)
            found.append(response.content)
            for month in ("2026-08", "2026-09", "2026-11"):
                parameters: dict[str, Any] = {"reportMonth": month}
                path = "/api/admin/chargeback/report"
                response = await client.get(path, params=parameters, headers=headers)
                assert response.status_code == 200, response.text
                found.append(response.content)
    return found


@pytest.mark.citus
@_needs_cluster
async def test_a_distributed_store_answers_like_one_server(
    cluster: str, database: Database, clock: FixedClock, tmp_path: Path
) -> None:
    await _begin(database, clock)
    async with _open(cluster) as store:
        await _begin(store, clock)
    tables = await distribute_store(cluster)
    assert set(tables) == set(Base.metadata.tables)
    assert await list_tables_to_distribute(cluster) == []

    with pytest.raises(StoreDistributed):
        await back_up(cluster, tmp_path / "store.dump", programs=None)
    async with _open(cluster) as store:
        assert (await store.traits()).is_distributed
        assert await _answers(store, clock) == await _answers(database, clock)
        await _go_on(store, clock)
        await _go_on(database, clock)
        assert await _answers(store, clock) == await _answers(database, clock)


@pytest.mark.citus
@_needs_cluster
async def test_the_rows_of_an_organization_lie_on_one_node(
    cluster: str, clock: FixedClock
) -> None:
    await distribute_store(cluster)
    async with _open(cluster) as store:
        await _begin(store, clock)
    connection = await asyncpg.connect(cluster)
    groups = await connection.fetchval("SELECT count(DISTINCT colocation_id) FROM citus_tables")
    await connection.close()
    assert groups == 1


async def test_a_server_without_citus_is_not_distributed(database: Database) -> None:
    await database.close()
    with pytest.raises(CitusMissing, match="CREATE EXTENSION citus"):
        await distribute_store(database.url)
    with pytest.raises(CitusMissing, match="CREATE EXTENSION citus"):
        await list_tables_to_distribute(database.url)
