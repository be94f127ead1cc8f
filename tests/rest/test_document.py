"""The report document that existing clients parse: the documented and the extended form."""

from datetime import UTC, datetime, timedelta

import httpx
import orjson
import pytest

from app.db.engine import Database
from app.services.organizations import create_organization
from tests.conftest import CONTRACT, Feed, FixedClock, GraphQLClient, RestClient, event

# 1618908727587 ms is `users.createdAt` of the documented example.
LAST_BATCH = datetime(2021, 4, 20, 8, 52, 7, 587_000, tzinfo=UTC)


def the_documented_events() -> list[bytes]:
    """The user's event is of March, with createdAt 1618908727532 ms, which is in April."""
    return [
        event(
            "user.upserted",
            "2021-03-01T00:00:00Z",
            username="some user",
            email="some-user@gmail.com",
            createdAt="2021-04-20T08:52:07.532Z",
        ),
        event("workspace.upserted", "2021-03-02T00:00:00Z", name="workspace 1"),
        event(
            "project.upserted",
            "2021-03-03T00:00:00Z",
            workspace="workspace 1",
            name="some project name",
        ),
        event(
            "member.added", "2021-03-04T00:00:00Z", workspace="workspace 1", username="some user"
        ),
        # 5,243 to 15,728 bytes round to 0.01 MB.
        event(
            "experiment.created",
            "2021-03-31T23:59:59.999999Z",
            experiment="e1",
            workspace="workspace 1",
            project="some project name",
            username="some user",
            sizeBytes=10_486,
        ),
    ]


def compact(content: bytes) -> bytes:
    """Remove whitespace from a document, keeping key order and number formats."""
    return orjson.dumps(orjson.loads(content))


@pytest.fixture
async def documented(database: Database, clock: FixedClock) -> Feed:
    """Store a batch in an organization created before it, on 20 April 2021."""
    clock.now = LAST_BATCH
    await create_organization(database, "documented", clock.now - timedelta(seconds=1))
    return Feed(database, clock, "documented")


async def test_events_reproduce_the_documented_example_byte_for_byte(
    documented: Feed, rest: RestClient
) -> None:
    await documented(*the_documented_events())

    answer = await rest.get(reportMonth="2021-03", organization="documented")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.content == compact((CONTRACT / "report.json").read_bytes())


async def test_the_example_is_independent_of_batches_and_order(
    documented: Feed, rest: RestClient
) -> None:
    for line in reversed(the_documented_events()):
        await documented(line)
        await documented(line)

    answer = await rest.get(reportMonth="2021-03", organization="documented")
    assert answer.content == compact((CONTRACT / "report.json").read_bytes())


async def test_users_created_at_is_the_time_of_the_last_batch_with_changes(
    documented: Feed, rest: RestClient, clock: FixedClock
) -> None:
    lines = the_documented_events()
    await documented(*lines)

    clock.now = datetime(2021, 5, 1, tzinfo=UTC)
    await documented(*lines)  # All are duplicates.

    document = (await rest.get(reportMonth="2021-03", organization="documented")).json()
    assert document["users"]["createdAt"] == 1_618_908_727_587


def keys(value: object) -> object:
    """Return a document's shape: keys in order, type names, the first element of each list."""
    if isinstance(value, dict):
        return [(key, keys(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return [keys(value[0])] if value else []
    return type(value).__name__


async def a_busy_month(feed: Feed) -> None:
    """November 2026 with users of every kind; now is 2026-11-24T12:00Z."""
    await feed(
        event("user.upserted", "2026-01-01T00:00:00Z", username="ann", email="ann@x.test"),
        event("user.upserted", "2026-01-02T00:00:00Z", username="bob", email="bob@x.test"),
        event(
            "user.upserted",
            "2026-01-03T00:00:00Z",
            username="robot",
            email="robot@x.test",
            serviceAccount=True,
        ),
        event(
            "user.upserted",
            "2026-01-04T00:00:00Z",
            username="sue",
            email="sue@x.test",
            suspended=True,
        ),
        event("user.deleted", "2026-11-05T00:00:00.5Z", username="bob"),
        event("workspace.upserted", "2026-01-01T00:00:00Z", name="vision"),
        event("member.added", "2026-01-05T00:00:00Z", workspace="vision", username="ann"),
        event(
            "experiment.created",
            "2026-11-10T00:00:00Z",
            experiment="e1",
            workspace="vision",
            project="p",
            username="ann",
            sizeBytes=2_621_440,  # 2.5 MB
        ),
        event("usage.recorded", "2026-10-09T00:00:00.25Z", username="ann", channel="ui", count=9),
        event("usage.recorded", "2026-11-11T00:00:00Z", username="ann", channel="sdk", count=3),
        event("usage.recorded", "2026-11-12T00:00:00.75Z", username="ann", channel="sdk"),
    )


DOCUMENTED_USER = [
    ("username", "str"),
    ("email", "str"),
    ("created_at", "int"),
    ("uiUsageCount", "int"),
    ("uiUsageUpdateTs", "int"),
    ("sdkUsageCount", "int"),
    ("sdkUsageUpdateTs", "int"),
    ("suspended", "bool"),
]


async def test_without_a_month_the_current_one_has_the_additional_keys(
    feed: Feed, rest: RestClient, graphql: GraphQLClient
) -> None:
    await a_busy_month(feed)
    organization_id = (
        await graphql('{ chargebackReport(month: "2026-11") { organization { id } } }')
    )["chargebackReport"]["organization"]["id"]

    document = await rest()

    assert document["reportDate"] == "2026-11"
    assert document["users"]["organizationId"] == organization_id
    assert list(document["users"]) == [
        "licensedUsers",
        "numberOfUsers",
        "createdAt",
        "organizationId",
    ]
    ann, bob, robot, sue = document["users"]["licensedUsers"]
    assert ann == {
        "username": "ann",
        "email": "ann@x.test",
        "created_at": 1_767_225_600_000,  # 2026-01-01T00:00:00Z
        "uiUsageCount": 0,
        "uiUsageUpdateTs": 0,
        "sdkUsageCount": 4,
        "sdkUsageUpdateTs": 1_794_441_600_750,  # 2026-11-12T00:00:00.750Z
        "suspended": False,
        "createdAt": 1_767_225_600_000,
        "lastUsedAt": 1_794_441_600_750,
        "emLastUsedAt": 1_794_441_600_750,
        "experimentCount": 1,
        "dataLoggedMb": 2.5,
    }
    newer = ["createdAt", "lastUsedAt", "emLastUsedAt", "experimentCount", "dataLoggedMb"]
    documented = [key for key, _ in DOCUMENTED_USER]
    assert list(ann) == documented + newer
    assert list(bob) == [*documented, "createdAt", "deletedAt", *newer[1:]]
    assert bob["deletedAt"] == 1_793_836_800_500  # 2026-11-05T00:00:00.500Z
    assert (bob["lastUsedAt"], bob["emLastUsedAt"]) == (None, None)
    assert list(robot) == list(sue) == documented + newer
    assert sue["suspended"] is True


async def test_with_a_month_the_additional_keys_are_absent(feed: Feed, rest: RestClient) -> None:
    await a_busy_month(feed)

    document = await rest("2026-11")

    assert list(document["users"]) == ["licensedUsers", "numberOfUsers", "createdAt"]
    assert [keys(user) for user in document["users"]["licensedUsers"]] == [DOCUMENTED_USER] * 4


async def test_both_forms_have_the_same_workspaces_and_figures(
    feed: Feed, rest: RestClient
) -> None:
    await a_busy_month(feed)

    asked, newer = await rest("2026-11"), await rest()

    assert newer["workspaces"] == asked["workspaces"]
    shared = [key for key, _ in DOCUMENTED_USER]
    assert [
        {key: user[key] for key in shared} for user in newer["users"]["licensedUsers"]
    ] == asked["users"]["licensedUsers"]


@pytest.mark.parametrize("month", ["2025-12", "2000-01", "0001-01"])
async def test_a_month_before_the_first_event_is_an_empty_report(
    feed: Feed, rest: RestClient, month: str
) -> None:
    await a_busy_month(feed)

    document = await rest(month)

    assert (document["reportDate"], document["workspaces"]) == (month, [])
    assert document["users"]["licensedUsers"] == []
    assert document["users"]["numberOfUsers"] == 0


async def test_an_organization_without_events_has_an_empty_report(rest: RestClient) -> None:
    document = await rest()
    assert (document["workspaces"], document["users"]["licensedUsers"]) == ([], [])


async def test_an_unmeasured_count_is_0_and_an_unknown_email_is_empty(
    feed: Feed, rest: RestClient
) -> None:
    await feed(
        event("member.added", "2026-01-05T00:00:00Z", workspace="w", username="who"),
        event("user.upserted", "2026-01-05T00:00:00Z", username="ann"),
    )

    document = await rest("2026-01")

    (member,) = document["workspaces"][0]["members"]
    assert (member["userName"], member["email"]) == ("who", "")
    (ann,) = document["users"]["licensedUsers"]
    assert ann["email"] == ""
    assert [ann["uiUsageCount"], ann["uiUsageUpdateTs"]] == [0, 0]
    assert [ann["sdkUsageCount"], ann["sdkUsageUpdateTs"]] == [0, 0]


async def test_names_are_sorted_by_code_point_and_unchanged(feed: Feed, rest: RestClient) -> None:
    # By code point, U+FFFD sorts before U+1F600; in UTF-16, after it.
    names = ["Z", "a", "ä", "\ufffd", "\U0001f600", 'quo"te', "back\\slash", "new\nline", "</x>"]
    time = "2026-01-05T00:00:00Z"
    await feed(
        *(event("workspace.upserted", time, name=name) for name in names),
        *(event("user.upserted", time, username=name, email="e") for name in names),
        *(event("member.added", time, workspace="a", username=name) for name in names),
        *(event("project.upserted", time, workspace="a", name=name) for name in names),
    )

    document = await rest("2026-01")

    expected = sorted(names)
    assert [workspace["name"] for workspace in document["workspaces"]] == expected
    assert [user["username"] for user in document["users"]["licensedUsers"]] == expected
    (a,) = [workspace for workspace in document["workspaces"] if workspace["name"] == "a"]
    assert [member["userName"] for member in a["members"]] == expected
    assert [project["name"] for project in a["projects"]] == expected


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [
        (5_242, "0.0"),  # 0.00499916… MB
        (5_243, "0.01"),  # 0.00500011… MB: the smallest size that rounds up
        (5_242_880, "5.0"),
        (1_063_256_064, "1014.0"),
        # 1.005 MB is 1,053,818.88 bytes; a binary float would round it down.
        (1_053_818, "1.0"),
        (1_053_819, "1.01"),
        # Exactly 0.125 MB: half up gives 0.13, half to even 0.12.
        (131_072, "0.13"),
        (2**50, "1073741824.0"),
    ],
)
async def test_megabytes_are_rounded_half_up_to_two_decimals(
    feed: Feed, rest: RestClient, size_bytes: int, shown: str
) -> None:
    await feed(
        event(
            "experiment.created",
            "2026-01-05T00:00:00Z",
            experiment="e",
            workspace="w",
            project="p",
            username="ann",
            sizeBytes=size_bytes,
        )
    )
    answer = await rest.get(reportMonth="2026-01")
    assert f'"totalSizeInMb":{shown},'.encode() in answer.content


async def test_lists_longer_than_a_chunk_are_complete_and_sorted(
    feed: Feed, rest: RestClient
) -> None:
    """The document is serialized in chunks; the last one may be full."""
    time = "2026-01-05T00:00:00Z"
    workspaces: list[str] = []
    users: list[str] = []
    for target in (24, 25, 26, 50, 1_000):
        names = [f"w{number:04}" for number in range(len(workspaces), target)]
        await feed(*(event("workspace.upserted", time, name=name) for name in names))
        workspaces += names
        document = await rest("2026-01")
        assert [workspace["name"] for workspace in document["workspaces"]] == workspaces
    for target in (999, 1_999, 2_000, 2_001, 6_000):
        names = [f"u{number:05}" for number in range(len(users), target)]
        await feed(*(event("user.upserted", time, username=name, email="e") for name in names))
        users += names
        document = await rest("2026-01")
        assert [user["username"] for user in document["users"]["licensedUsers"]] == users
        assert document["users"]["numberOfUsers"] == target


async def test_members_and_projects_beyond_a_chunk_stay_with_their_workspace(
    feed: Feed, rest: RestClient
) -> None:
    """Rows are read in chunks of 2,000, which workspaces start, end and span."""
    time = "2026-01-05T00:00:00Z"
    expected = {f"w{number:02}": size for number, size in enumerate((1_998, 2, 0, 1, 2_001, 3))}
    expected |= {f"w{number:02}": number % 3 for number in range(6, 60)}
    for name, size in expected.items():
        users = [f"u{number:05}" for number in range(size)]
        await feed(
            event("workspace.upserted", time, name=name),
            *(event("member.added", time, workspace=name, username=user) for user in users),
            *(event("project.upserted", time, workspace=name, name=user) for user in users),
        )

    document = await rest("2026-01")

    found = {workspace["name"]: workspace for workspace in document["workspaces"]}
    assert list(found) == list(expected)
    for name, size in expected.items():
        names = [f"u{number:05}" for number in range(size)]
        assert found[name]["numberOfMembers"] == size
        assert [member["userName"] for member in found[name]["members"]] == names
        assert [project["name"] for project in found[name]["projects"]] == names


async def test_bearer_and_the_clientlib_prefix_return_the_same_bytes(
    feed: Feed, client: httpx.AsyncClient, admin_key: str
) -> None:
    await a_busy_month(feed)

    async def fetch(path: str, authorization: str) -> bytes:
        answer = await client.get(path, headers={"Authorization": authorization})
        assert answer.status_code == 200
        return answer.content

    path = "/api/admin/chargeback/report?reportMonth=2026-11"
    bare = await fetch(path, admin_key)
    assert await fetch(path, f"Bearer {admin_key}") == bare
    assert await fetch(path, f"bearer {admin_key}") == bare
    assert await fetch(path, f"{admin_key}*eyJiYXNlVXJsIjogIngifQ==") == bare
    assert await fetch(f"/clientlib{path}", admin_key) == bare
