"""Rules of docs/report.md at their edges: stated creation, one instant, unknown sizes."""

from typing import Any

import pytest

from tests.conftest import Feed, GraphQLClient, event

USERS = "users { licensedUsers { username createdAt createdAtIsInferred deletedAt email } }"
PLACES = """
    workspaces { formerMembers { userName } formerProjects { name } }
    formerWorkspaces { name }
"""


async def fetch(graphql: GraphQLClient, month: str, selection: str) -> Any:
    data = await graphql(f'{{ chargebackReport(month: "{month}") {{ {selection} }} }}')
    return data["chargebackReport"]


async def users_of(graphql: GraphQLClient, month: str) -> list[dict[str, Any]]:
    users: list[dict[str, Any]] = (await fetch(graphql, month, USERS))["users"]["licensedUsers"]
    return users


@pytest.fixture
async def history(feed: Feed) -> None:
    """Start the history in June, so that later months have licences."""
    await feed(event("workspace.upserted", "2026-06-01T00:00:00Z", name="w"))


async def test_a_creation_that_a_later_event_states_moves_the_start_in_every_month(
    history: None, feed: Feed, graphql: GraphQLClient
) -> None:
    await feed(
        event("user.upserted", "2026-09-05T00:00:00Z", username="ann"),
        event(
            "user.upserted",
            "2026-11-02T00:00:00Z",
            username="ann",
            createdAt="2026-07-01T00:00:00Z",
        ),
    )

    for month in ("2026-07", "2026-09", "2026-11"):
        [ann] = await users_of(graphql, month)
        assert ann["createdAt"] == "2026-07-01T00:00:00Z", month
        assert ann["createdAtIsInferred"] is False, month


async def test_a_creation_after_the_first_event_is_shown_from_the_month_that_states_it(
    history: None, feed: Feed, graphql: GraphQLClient
) -> None:
    await feed(
        event("user.upserted", "2026-09-05T00:00:00Z", username="ann"),
        event(
            "user.upserted",
            "2026-10-20T00:00:00Z",
            username="ann",
            createdAt="2026-09-20T00:00:00Z",
        ),
    )

    [september], [october] = (
        await users_of(graphql, "2026-09"),
        await users_of(graphql, "2026-10"),
    )

    assert (september["createdAt"], september["createdAtIsInferred"]) == (
        "2026-09-05T00:00:00Z",
        True,
    )
    assert (october["createdAt"], october["createdAtIsInferred"]) == (
        "2026-09-20T00:00:00Z",
        False,
    )


async def test_announced_and_deleted_at_one_instant_exists_from_the_stated_creation_on(
    history: None, feed: Feed, graphql: GraphQLClient
) -> None:
    at = "2026-09-05T00:00:00Z"
    await feed(
        event("user.deleted", at, username="ann"),
        event(
            "user.upserted",
            at,
            username="ann",
            email="ann@x.test",
            createdAt="2026-07-01T00:00:00Z",
        ),
    )

    [august], [september] = (
        await users_of(graphql, "2026-08"),
        await users_of(graphql, "2026-09"),
    )

    # The properties of the only announcement apply to the time before it too.
    assert (august["email"], august["deletedAt"]) == ("ann@x.test", None)
    assert (september["email"], september["deletedAt"]) == ("ann@x.test", at)
    assert await users_of(graphql, "2026-10") == []


async def test_announced_and_deleted_at_one_instant_never_existed_without_a_creation(
    history: None, feed: Feed, graphql: GraphQLClient
) -> None:
    at = "2026-09-05T00:00:00Z"
    await feed(
        event("user.deleted", at, username="ann"), event("user.upserted", at, username="ann")
    )

    assert await users_of(graphql, "2026-10") == []


async def test_an_experiment_that_holds_no_known_bytes_leaves_no_former_member(
    feed: Feed, graphql: GraphQLClient
) -> None:
    await feed(
        *(
            event(
                "experiment.created",
                "2026-09-10T00:00:00Z",
                experiment=name,
                username=name,
                workspace="w",
                project="p",
                sizeBytes=size,
            )
            for name, size in (("unknown", None), ("empty", 0), ("full", 1))
        ),
        *(
            event("experiment.deleted", "2026-10-10T00:00:00Z", experiment=name)
            for name in ("unknown", "empty", "full")
        ),
    )

    [september] = (await fetch(graphql, "2026-09", PLACES))["workspaces"]
    [october] = (await fetch(graphql, "2026-10", PLACES))["workspaces"]

    assert [each["userName"] for each in september["formerMembers"]] == [
        "empty",
        "full",
        "unknown",
    ]
    assert [each["userName"] for each in october["formerMembers"]] == ["full"]
