"""Reports are asked of one store, in which each test has an organization of its own.

A clone of the template for each of a hundred small tests would take longer than the tests.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx
import pytest

from app.db.engine import Database
from app.ingest.store import IngestResult
from app.services.organizations import create_organization
from tests.conftest import ClonedDatabase, Feed, FixedClock, GraphQLClient, RestClient
from tests.report.questions import ONE

_numbers = count(1)

AskMonth = Callable[[str], Awaitable[dict[str, Any]]]
"""`await month("2024-02")`: that month's report with every field."""


@pytest.fixture(scope="session")
async def shared_store(postgres: str, template: str) -> AsyncIterator[Database]:
    """The store of all tests of reports."""
    async with ClonedDatabase(postgres, template) as database:
        yield database


@pytest.fixture
def database(shared_store: Database) -> Database:
    """The shared store, where other tests have one of their own."""
    return shared_store


@dataclass
class ArrivingFeed(Feed):
    """Stores events as one batch, or each as a batch of its own: first to last, or last to first.

    What a month says follows from its events alone; so each test is one of all three arrivals.
    """

    arrival: str = "at once"

    async def __call__(self, *lines: bytes) -> IngestResult:
        if self.arrival == "at once":
            return await super().__call__(*lines)
        total = IngestResult()
        for line in reversed(lines) if self.arrival == "backwards" else lines:
            total += await super().__call__(line)
        return total


@pytest.fixture(params=["at once", "one by one", "backwards"])
async def feed(database: Database, clock: FixedClock, request: pytest.FixtureRequest) -> Feed:
    """Stores events in the test's own organization, in each way in which they may arrive."""
    name = f"test-{next(_numbers)}"
    await create_organization(database, name, clock.now)
    return ArrivingFeed(database, clock, name, request.param)


@pytest.fixture
def month(graphql: GraphQLClient, feed: Feed) -> AskMonth:
    """Asks GraphQL for a month of the test's own organization."""

    async def ask(written: str) -> dict[str, Any]:
        answer = await graphql(ONE, month=written, organization=feed.organization)
        found: dict[str, Any] = answer["chargebackReport"]
        return found

    return ask


class RestOfOrganization(RestClient):
    """Asks for documents of the test's own organization."""

    def __init__(self, client: httpx.AsyncClient, key: str, organization: str) -> None:
        super().__init__(client, key)
        self.organization = organization

    async def get(self, key: str | None = None, **parameters: str) -> httpx.Response:
        """The whole answer."""
        return await super().get(key, **{"organization": self.organization, **parameters})


@pytest.fixture
def rest(client: httpx.AsyncClient, admin_key: str, feed: Feed) -> RestClient:
    """Asks REST for documents of the test's own organization."""
    return RestOfOrganization(client, admin_key, feed.organization)
