"""Fixtures of the tests of the feed."""

from collections.abc import AsyncIterator

import pytest

from app.db.engine import Database
from tests.conftest import ClonedDatabase
from tests.feed.organizations import Organization, new_organization


@pytest.fixture(scope="module")
async def store(postgres: str, template: str) -> AsyncIterator[Database]:
    async with ClonedDatabase(postgres, template) as database:
        yield database


@pytest.fixture
async def organization(store: Database) -> Organization:
    return await new_organization(store)


@pytest.fixture
async def other(store: Database) -> Organization:
    return await new_organization(store)
