"""One application shared by all examples of a property test; each example makes organizations."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Self
from uuid import UUID

import httpx

from app.db.engine import Database
from app.domain.callers import Scope
from app.services.organizations import create_organization, find_organization
from app.settings import Settings
from tests.conftest import FixedClock, GraphQLClient, create_api_key, create_client

_numbers = count(1)


@dataclass(frozen=True)
class AppClient:
    """GraphQL and REST clients of one application, with an admin's key, and its clock."""

    database: Database
    client: httpx.AsyncClient
    clock: FixedClock
    graphql: GraphQLClient

    @classmethod
    @asynccontextmanager
    async def open(cls, database: Database, clock: FixedClock) -> AsyncIterator[Self]:
        """Start an application on a store, without a limit on the cost of queries."""
        key = await create_api_key(database, clock, "root", Scope.ADMIN)
        settings = Settings.load(
            admin_user_list="root", graphql_max_cost=10**10, graphql_timeout_seconds=600
        )
        async with create_client(database, settings, clock) as client:
            yield cls(database, client, clock, GraphQLClient(client, key))

    async def create_organization(self) -> tuple[str, UUID]:
        """Create an organization; return its name and id."""
        name = f"organization-{next(_numbers)}"
        await create_organization(self.database, name, self.clock.now)
        return name, (await find_organization(self.database, name)).organization_id

    async def fetch_report(self, organization: str, month: str | None) -> httpx.Response:
        """Fetch the REST report of a month, or of the current one; fail unless it is 200."""
        response = await self.client.get(
            "/api/admin/chargeback/report",
            params={"organization": organization} | ({"reportMonth": month} if month else {}),
            headers={"Authorization": self.graphql.key},
        )
        assert response.status_code == 200, response.text
        return response
