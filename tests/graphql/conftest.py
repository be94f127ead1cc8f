"""An organization that many tests read and none changes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from app.db.engine import Database
from app.domain.callers import Scope
from app.services.organizations import create_organization
from app.settings import Settings
from tests.conftest import (
    ClonedDatabase,
    Feed,
    FixedClock,
    GraphQLClient,
    create_api_key,
    create_client,
    event,
)

# In code-point order: capitals first, then small letters, then others.
WORKSPACES = ("Alpha", "Beta", "alpha", "beta", "gamma", "Äther", "\U0001f600")
USERS = ("Ann", "Bob", "ann", "bob", "cy", "dee", "Éve")
MEGABYTE = 1_048_576


@dataclass(frozen=True)
class Shared:
    """A store with two organizations and an admin's client; the time is 2026-11-24T12:00Z."""

    database: Database
    graphql: GraphQLClient


@pytest.fixture(scope="session")
async def shared(postgres: str, template: str) -> AsyncIterator[Shared]:
    """Fill a store with the events of `shared_events`; figures tie on purpose."""
    clock = FixedClock()
    settings = Settings.load(admin_user_list="root")
    async with (
        ClonedDatabase(postgres, template) as database,
        create_client(database, settings, clock) as client,
    ):
        await Feed(database, clock)(*shared_events())
        await create_organization(database, "other", clock.now)
        await Feed(database, clock, "other")(
            event("workspace.upserted", "2026-09-01T00:00:00Z", name="elsewhere"),
            event("user.upserted", "2026-09-01T00:00:00Z", username="ann", email="o@x.test"),
        )
        key = await create_api_key(database, clock, "root", Scope.ADMIN)
        yield Shared(database, GraphQLClient(client, key))


@pytest.fixture
def shared_graphql(shared: Shared) -> GraphQLClient:
    """A client of the shared organization."""
    return shared.graphql


def shared_events() -> list[bytes]:
    """Seven users who are members of seven workspaces with seven projects each, from September.

    The workspace at position n has n // 2 experiments of 1 MB for each of the first three users,
    in its first project: sizes 0, 0, 3, 3, 6, 6, 9 MB. Nothing changes in October. The
    user "dee" is suspended, and "Éve" is a service account.
    """
    september = "2026-09-10T00:00:00Z"
    # Later users in the list are older.
    users = [
        event(
            "user.upserted",
            f"2026-09-0{9 - number}T00:00:00Z",
            username=username,
            email=f"{number}@x.test",
            suspended=username == "dee",
            serviceAccount=username == "Éve",
        )
        for number, username in enumerate(USERS, 1)
    ]
    members = [
        event("member.added", september, workspace=workspace, username=username)
        for workspace in WORKSPACES
        for username in USERS
    ]
    projects = [
        event("project.upserted", september, workspace=workspace, name=name)
        for workspace in WORKSPACES
        for name in WORKSPACES
    ]
    experiments = [
        event(
            "experiment.created",
            september,
            experiment=f"{workspace} {username} {number}",
            workspace=workspace,
            project=WORKSPACES[0],
            username=username,
            sizeBytes=MEGABYTE,
        )
        for position, workspace in enumerate(WORKSPACES)
        for username in USERS[:3]
        for number in range(position // 2)
    ]
    return users + members + projects + experiments
