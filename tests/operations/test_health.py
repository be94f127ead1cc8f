"""Liveness, readiness, and access to the metrics."""

from collections.abc import Awaitable

import httpx
import pytest
from sqlalchemy import text

from app.db.engine import Database
from app.domain.callers import Scope
from app.settings import Settings
from tests.conftest import FixedClock, MakeKey, create_client

TOKEN = "0123456789abcdef"
AWAY = "postgresql://nobody@127.0.0.1:1/nowhere"


@pytest.fixture
def away(clock: FixedClock) -> httpx.AsyncClient:
    """The application with an unreachable store."""
    return create_client(Database(AWAY), Settings.load(metrics_token=TOKEN), clock)


async def test_healthz_needs_no_store(away: httpx.AsyncClient) -> None:
    answer = await away.get("/healthz")

    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


async def test_a_migrated_store_that_answers_is_ready(client: httpx.AsyncClient) -> None:
    answer = await client.get("/readyz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


async def test_an_unreachable_store_is_not_ready(away: httpx.AsyncClient) -> None:
    answer = await away.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["error"] == "STORE_UNAVAILABLE"
    assert answer.headers["Retry-After"] == "2"


@pytest.mark.parametrize(
    ("revision", "status"),
    [("0001", 503), ("a revision of a later version", 200), (None, 503)],
    ids=["older", "newer", "none"],
)
async def test_an_unmigrated_store_is_not_ready(
    client: httpx.AsyncClient, database: Database, revision: str | None, status: int
) -> None:
    """A newer store is ready: migrations stay compatible with the previous version."""
    change = (
        text("UPDATE alembic_version SET version_num = :revision").bindparams(revision=revision)
        if revision
        else text("DELETE FROM alembic_version")
    )
    async with database.owner_transaction() as tx:
        await tx.execute(change)

    answer = await client.get("/readyz")

    assert answer.status_code == status
    assert status == 200 or answer.json()["error"] == "STORE_NOT_MIGRATED"


async def test_the_metrics_token_works_while_the_store_is_down(
    away: httpx.AsyncClient,
) -> None:
    await away.get("/readyz")
    answer = await away.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})

    assert answer.status_code == 200
    assert "chargeback_db_up 0.0" in answer.text.split("\n")


@pytest.mark.parametrize("sent", ["", "Bearer ", "Bearer 0123456789abcdeF", "Bearer ü"])
async def test_a_wrong_metrics_token_is_rejected(client: httpx.AsyncClient, sent: str) -> None:
    answer = await client.get("/metrics", headers=[(b"Authorization", sent.encode())])

    assert answer.status_code == 401


async def test_metrics_require_an_admin_of_the_default_organization(
    client: httpx.AsyncClient, make_key: MakeKey, other_organization: str
) -> None:
    async def status(key: Awaitable[str]) -> int:
        answer = await client.get("/metrics", headers={"Authorization": await key})
        return answer.status_code

    # `root` is a listed admin in each organization.
    assert await status(make_key("root", Scope.ADMIN)) == 200
    assert await status(make_key("root", Scope.REPORT_READ)) == 403
    assert await status(make_key("member", Scope.ADMIN)) == 403
    assert await status(make_key("root", Scope.ADMIN, organization=other_organization)) == 403
