"""Fixtures of the report tests: one store, in which each test has its own organization.

A cloned database for each of a hundred small tests would take longer than the tests.
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
from tests.report.queries import REPORT_QUERY

_numbers = count(1)

FetchMonth = Callable[[str], Awaitable[dict[str, Any]]]
"""`await month("2024-02")` returns that month's report with every field."""


@pytest.fixture(scope="session")
async def shared_store(postgres: str, template: str) -> AsyncIterator[Database]:
    """The store that all report tests share."""
    async with ClonedDatabase(postgres, template) as database:
        yield database


@pytest.fixture
def database(shared_store: Database) -> Database:
    """The shared store, instead of a database for each test."""
    return shared_store


@dataclass
class ArrivingFeed(Feed):
    """Stores events at once, one by one, or one by one in reverse order.

    Each test runs in all three ways, because a report must not depend on the order of arrival.
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
    """Stores events in the test's own organization, in each of the three ways."""
    name = f"test-{next(_numbers)}"
    await create_organization(database, name, clock.now)
    return ArrivingFeed(database, clock, name, request.param)


@pytest.fixture
def month(graphql: GraphQLClient, feed: Feed) -> FetchMonth:
    """Fetches a month of the test's own organization over GraphQL."""

    async def fetch(month: str) -> dict[str, Any]:
        response = await graphql(REPORT_QUERY, month=month, organization=feed.organization)
        found: dict[str, Any] = response["chargebackReport"]
        return found

    return fetch


class RestOfOrganization(RestClient):
    """Downloads documents of the test's own organization."""

    def __init__(self, client: httpx.AsyncClient, key: str, organization: str) -> None:
        super().__init__(client, key)
        self.organization = organization

    async def get(self, key: str | None = None, **parameters: str) -> httpx.Response:
        """Return the response."""
        return await super().get(key, **{"organization": self.organization, **parameters})


@pytest.fixture
def rest(client: httpx.AsyncClient, admin_key: str, feed: Feed) -> RestClient:
    """Downloads documents of the test's own organization over REST."""
    return RestOfOrganization(client, admin_key, feed.organization)
