"""One application for all examples of a property; each example has organizations of its own."""

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
from tests.conftest import FixedClock, GraphQL, client_of, mint

_numbers = count(1)


@dataclass(frozen=True)
class Doors:
    """GraphQL and REST of one application, for a listed admin, and its clock."""

    database: Database
    client: httpx.AsyncClient
    clock: FixedClock
    graphql: GraphQL

    @classmethod
    @asynccontextmanager
    async def opened(cls, database: Database, clock: FixedClock) -> AsyncIterator[Self]:
        """An application on a store, whose queries may cost what they like."""
        key = await mint(database, clock, "root", Scope.ADMIN)
        listed = Settings.load(
            admin_user_list="root", graphql_max_cost=10**10, graphql_timeout_seconds=600
        )
        async with client_of(database, listed, clock) as client:
            yield cls(database, client, clock, GraphQL(client, key))

    async def organization(self) -> tuple[str, UUID]:
        """A new organization: its name and its id."""
        name = f"organization-{next(_numbers)}"
        await create_organization(self.database, name, self.clock.now)
        return name, (await find_organization(self.database, name)).organization_id

    async def answer(self, organization: str, month: str | None) -> httpx.Response:
        """REST's answer, which must be the document."""
        answer = await self.client.get(
            "/api/admin/chargeback/report",
            params={"organization": organization} | ({"reportMonth": month} if month else {}),
            headers={"Authorization": self.graphql.key},
        )
        assert answer.status_code == 200, answer.text
        return answer
