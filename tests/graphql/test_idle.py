"""Last activity, and who and what is idle; what is not measured is never idle."""

from typing import Any

import pytest

from tests.conftest import Feed, GraphQLClient, event


def used(time: str, username: str, channel: str) -> bytes:
    return event("usage.recorded", time, username=username, channel=channel)


def user(time: str, username: str) -> bytes:
    return event("user.upserted", time, username=username)


def experiment(time: str, project: str, name: str, username: str = "ann") -> bytes:
    place = {"workspace": "w", "project": project, "username": username}
    return event("experiment.created", time, experiment=name, sizeBytes=1, **place)


async def fetch(graphql: GraphQLClient, selection: str) -> dict[str, Any]:
    data = await graphql(f'{{ chargebackReport(month: "2026-10") {{ {selection} }} }}')
    report: dict[str, Any] = data["chargebackReport"]
    return report


async def idle_users(graphql: GraphQLClient, since: str) -> list[str]:
    selection = f'users {{ licensedUsers(filter: {{ idleSince: "{since}" }}) {{ username }} }}'
    report = await fetch(graphql, selection)
    return [each["username"] for each in report["users"]["licensedUsers"]]


@pytest.fixture
async def users(feed: Feed) -> None:
    """Ann used the UI lately, bob the SDK once, cy nothing; dee is new, eve created something."""
    await feed(
        *(user("2026-08-01T00:00:00Z", name) for name in ("ann", "bob", "cy", "eve")),
        user("2026-10-15T00:00:00Z", "dee"),
        used("2026-09-01T08:00:00Z", "ann", "ui"),
        used("2026-10-20T08:00:00Z", "ann", "ui"),
        used("2026-09-02T08:00:00Z", "bob", "sdk"),
        experiment("2026-10-05T08:00:00Z", "p", "x", "eve"),
    )


async def test_users_are_idle_since_their_last_activity_or_creation(
    users: None, graphql: GraphQLClient
) -> None:
    assert await idle_users(graphql, "2026-10-01") == ["bob", "cy"]
    assert await idle_users(graphql, "2026-10-06") == ["bob", "cy", "eve"]
    assert await idle_users(graphql, "2026-10-16") == ["bob", "cy", "dee", "eve"]


async def test_nobody_is_idle_since_before_usage_was_measured(
    users: None, graphql: GraphQLClient
) -> None:
    report = await fetch(graphql, "users { usageMeasuredFrom } activityWarnings { unknown }")
    assert report == {
        "users": {"usageMeasuredFrom": "2026-09-02T08:00:00Z"},  # when the SDK's use began
        "activityWarnings": [],
    }
    assert await idle_users(graphql, "2026-09-02") == []
    assert await idle_users(graphql, "2026-09-03") == ["bob", "cy"]


async def test_each_user_is_idle_active_or_unknown_since_a_day(
    users: None, graphql: GraphQLClient
) -> None:
    async def find(filter_: str) -> list[int | str]:
        order = "orderBy: LAST_ACTIVITY"
        page = f"licensedUsersConnection(filter: {{ {filter_} }}, first: 1, {order})"
        selection = f"users {{ {page} {{ totalCount nodes {{ username }} }} }}"
        found = (await fetch(graphql, selection))["users"]["licensedUsersConnection"]
        return [found["totalCount"], *(each["username"] for each in found["nodes"])]

    # The longest inactive first: cy never did anything; dee is new and did nothing yet.
    assert await find('idleSince: "2026-10-01"') == [2, "cy"]
    assert await find('activeSince: "2026-10-01"') == [2, "eve"]
    assert await find('unknownSince: "2026-10-01"') == [1, "dee"]
    # Before 2 September nobody's use of the SDK was measured.
    assert await find('idleSince: "2026-09-02"') == [0]
    assert await find('activeSince: "2026-09-02"') == [3, "bob"]
    assert await find('unknownSince: "2026-09-02"') == [2, "cy"]


async def test_users_by_last_activity_continue_after_those_without_any(
    users: None, graphql: GraphQLClient
) -> None:
    found: list[str] = []
    after = ""
    while not found or len(found) < 5:
        page = f"licensedUsers(orderBy: LAST_ACTIVITY, first: 1{after}) {{ username }}"
        report = await fetch(graphql, f"users {{ {page} }}")
        found += [each["username"] for each in report["users"]["licensedUsers"]]
        after = f', after: "{found[-1]}"'

    assert found == ["cy", "dee", "bob", "eve", "ann"]


async def test_without_measured_usage_nobody_is_idle_and_the_report_says_so(
    feed: Feed, graphql: GraphQLClient
) -> None:
    await feed(user("2026-01-01T00:00:00Z", "ann"))

    assert await idle_users(graphql, "2026-10-01") == []
    warnings = "activityWarnings { unknown message }"
    report = await fetch(graphql, f"users {{ usageMeasuredFrom }} {warnings}")
    assert report == {
        "users": {"usageMeasuredFrom": None},
        "activityWarnings": [
            {
                "unknown": "UI_USAGE",
                "message": "Nobody is known to have used the UI: no source measures it.",
            },
            {
                "unknown": "SDK_USAGE",
                "message": "Nobody is known to have used the SDK: no source measures it.",
            },
        ],
    }


async def test_last_activity_is_the_last_experiment_created_moved_or_resized(
    feed: Feed, graphql: GraphQLClient
) -> None:
    await feed(
        user("2026-08-01T00:00:00Z", "ann"),
        event("project.upserted", "2026-08-01T00:00:00Z", workspace="w", name="empty"),
        experiment("2026-09-01T00:00:00Z", "old", "x"),
        experiment("2026-09-03T00:00:00Z", "new", "y"),
        event("experiment.resized", "2026-10-04T00:00:00Z", experiment="y", sizeBytes=2),
        event("experiment.deleted", "2026-10-09T00:00:00Z", experiment="y"),
        event("experiment.resized", "2026-11-01T00:00:00Z", experiment="x", sizeBytes=2),
    )

    report = await fetch(
        graphql,
        "workspaces { lastActivityAt projects { name lastActivityAt } "
        'idle: projects(filter: { idleSince: "2026-10-01" }) { name } } '
        "users { licensedUsers { lastActivityAt lastUsedAt } }",
    )

    resized = "2026-10-04T00:00:00Z"
    assert report == {
        "workspaces": [
            {
                "lastActivityAt": resized,
                "projects": [
                    {"name": "empty", "lastActivityAt": None},
                    {"name": "new", "lastActivityAt": resized},
                    {"name": "old", "lastActivityAt": "2026-09-01T00:00:00Z"},
                ],
                "idle": [{"name": "old"}],
            }
        ],
        "users": {"licensedUsers": [{"lastActivityAt": resized, "lastUsedAt": None}]},
    }


async def test_a_project_keeps_its_last_activity_when_it_exists_again(
    feed: Feed, graphql: GraphQLClient
) -> None:
    """Between its two lives, the project has no month row in July to September."""
    await feed(experiment("2026-05-03T00:00:00Z", "p", "x"))
    await feed(event("project.deleted", "2026-06-01T00:00:00Z", workspace="w", name="p"))
    await feed(user("2026-09-01T00:00:00Z", "ann"))
    await feed(event("project.upserted", "2026-10-01T00:00:00Z", workspace="w", name="p"))

    report = await fetch(graphql, "workspaces { projects { name lastActivityAt } }")
    assert report["workspaces"] == [
        {"projects": [{"name": "p", "lastActivityAt": "2026-05-03T00:00:00Z"}]}
    ]


@pytest.mark.parametrize("day", ["2026-10", "yesterday", "2026-02-30"])
async def test_a_day_that_is_none_is_refused(graphql: GraphQLClient, day: str) -> None:
    selection = f'users {{ licensedUsers(filter: {{ idleSince: "{day}" }}) {{ username }} }}'
    response = await graphql.execute(f'{{ chargebackReport(month: "2026-10") {{ {selection} }} }}')
    assert day in response["errors"][0]["message"]
