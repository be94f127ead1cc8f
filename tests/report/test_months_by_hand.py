"""Reports of a few events each, with figures worked out by hand.

Unless a test sets the clock, it is late in 2026, so every month here has ended. Each test runs
three times: its events arrive at once, one by one, and backwards.
"""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.conftest import Feed, FixedClock, GraphQLClient, RestClient, event
from tests.report.conftest import FetchMonth
from tests.report.queries import REPORT_QUERY

MB = 1_048_576

ReportPart = dict[str, Any]


def user(time: str, username: str = "ann", **data: Any) -> bytes:
    return event(
        "user.upserted", time, **{"username": username, "email": f"{username}@x.org", **data}
    )


def created(time: str, experiment: str = "x", **data: Any) -> bytes:
    """Return the creation of an experiment, by default ann's in project `p` of workspace `lab`."""
    place = {"workspace": "lab", "project": "p", "username": "ann"}
    return event("experiment.created", time, **{"experiment": experiment, **place, **data})


def resized(time: str, size_bytes: int, experiment: str = "x") -> bytes:
    return event("experiment.resized", time, experiment=experiment, sizeBytes=size_bytes)


def deleted(time: str, experiment: str = "x") -> bytes:
    return event("experiment.deleted", time, experiment=experiment)


def used(time: str, channel: str = "ui", username: str = "ann", **data: Any) -> bytes:
    return event("usage.recorded", time, username=username, channel=channel, **data)


def names_of(rows: list[ReportPart]) -> list[str]:
    return [row["name"] if "name" in row else row["userName"] for row in rows]


def licensed(report: ReportPart) -> dict[str, ReportPart]:
    users = report["users"]["licensedUsers"]
    assert report["users"]["numberOfUsers"] == len(users)
    return {each["username"]: each for each in users}


def figures(row: ReportPart) -> tuple[int, int, int, float]:
    """Return experiments, experiments created, bytes, and average MB."""
    names = ("numberOfExperiments", "experimentsCreated", "totalSizeBytes", "averageSizeInMb")
    experiments, experiments_created, size_bytes, average = (row[name] for name in names)
    return experiments, experiments_created, size_bytes, average


NOTHING = (0, 0, 0, 0.0)


# Users: created, deleted, created again


@pytest.mark.parametrize(
    ("created_at", "months"),
    [
        ("2024-02-01T00:00:00Z", ["2024-02", "2024-03"]),
        ("2024-02-29T23:59:59.999999Z", ["2024-02", "2024-03"]),
        ("2024-03-01T00:00:00Z", ["2024-03"]),
    ],
)
async def test_a_user_is_licensed_from_the_month_of_their_creation(
    feed: Feed, month: FetchMonth, created_at: str, months: list[str]
) -> None:
    await feed(event("workspace.upserted", "2024-01-01T00:00:00Z", name="lab"), user(created_at))

    all_months = ["2024-01", "2024-02", "2024-03"]
    assert [each for each in all_months if "ann" in licensed(await month(each))] == months


@pytest.mark.parametrize(
    ("deleted_at", "months"),
    [
        (
            "2024-02-01T00:00:00.000001Z",
            {"2024-01": None, "2024-02": "2024-02-01T00:00:00.000001Z"},
        ),
        ("2024-02-01T00:00:00Z", {"2024-01": None}),
        ("2024-01-31T23:59:59.999999Z", {"2024-01": "2024-01-31T23:59:59.999999Z"}),
    ],
)
async def test_a_user_is_licensed_through_the_month_of_their_deletion(
    feed: Feed, month: FetchMonth, deleted_at: str, months: dict[str, str | None]
) -> None:
    # A user deleted at the first instant of February is not licensed in February.
    await feed(
        user("2024-01-10T00:00:00Z"), event("user.deleted", deleted_at, username="ann"),
        event("workspace.upserted", "2024-04-01T00:00:00Z", name="lab"),
    )  # fmt: skip

    found = {each: licensed(await month(each)) for each in ("2024-01", "2024-02", "2024-03")}

    assert {each: users["ann"]["deletedAt"] for each, users in found.items() if users} == months


async def test_a_deletion_without_later_events_ends_the_licence(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(
        user("2024-01-10T00:00:00Z"),
        user("2024-01-10T00:00:00Z", "bob"),
        event("user.deleted", "2024-01-20T00:00:00Z", username="ann"),
    )

    assert list(licensed(await month("2024-01"))) == ["ann", "bob"]
    # February has no rows of its own: it reads January's.
    assert list(licensed(await month("2024-02"))) == ["bob"]


async def test_a_user_exists_from_an_earlier_created_at(feed: Feed, month: FetchMonth) -> None:
    await feed(
        event("workspace.upserted", "2024-01-01T00:00:00Z", name="lab"),
        user("2024-03-05T00:00:00Z", createdAt="2024-02-10T08:00:00Z", role="ADMIN"),
    )

    assert licensed(await month("2024-01")) == {}
    # No event precedes February's end, so the first event's properties apply.
    february = licensed(await month("2024-02"))["ann"]
    assert february["createdAt"] == "2024-02-10T08:00:00Z"
    assert (february["role"], february["email"]) == ("ADMIN", "ann@x.org")


async def test_a_user_exists_from_the_event_if_its_created_at_is_later(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(user("2024-01-20T00:00:00Z", createdAt="2024-02-10T00:00:00Z"))

    january = licensed(await month("2024-01"))["ann"]
    assert january["createdAt"] == "2024-02-10T00:00:00Z"


async def test_an_account_can_be_as_old_as_the_epoch(
    feed: Feed, month: FetchMonth, rest: RestClient
) -> None:
    await feed(user("2024-01-20T00:00:00Z", createdAt="1970-01-01T00:00:00Z"))

    assert licensed(await month("2024-01"))["ann"]["createdAt"] == "1970-01-01T00:00:00Z"
    [ann] = (await rest("2024-01"))["users"]["licensedUsers"]
    assert ann["created_at"] == 0


async def test_a_user_created_again_keeps_no_earlier_properties(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(
        user("2024-01-10T00:00:00Z", role="ADMIN", suspended=True, serviceAccount=True),
        event("user.deleted", "2024-02-10T00:00:00Z", username="ann"),
        user("2024-04-05T00:00:00Z", email="new@x.org"),
    )

    february = licensed(await month("2024-02"))["ann"]
    assert february["deletedAt"] == "2024-02-10T00:00:00Z"
    assert (february["role"], february["suspended"], february["serviceAccount"]) == (
        "ADMIN", True, True,
    )  # fmt: skip
    assert licensed(await month("2024-03")) == {}
    april = licensed(await month("2024-04"))["ann"]
    assert (april["createdAt"], april["deletedAt"]) == ("2024-04-05T00:00:00Z", None)
    assert (april["email"], april["role"]) == ("new@x.org", "MEMBER")
    assert (april["suspended"], april["serviceAccount"]) == (False, False)


async def test_a_user_created_again_in_the_month_of_the_deletion_is_one_active_user(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(
        user("2024-01-10T00:00:00Z", suspended=True),
        event("user.deleted", "2024-02-10T00:00:00Z", username="ann"),
        user("2024-02-20T00:00:00Z"),
    )

    found = licensed(await month("2024-02"))["ann"]
    assert (found["createdAt"], found["deletedAt"]) == ("2024-02-20T00:00:00Z", None)
    assert found["suspended"] is False


async def test_an_account_is_shown_as_of_the_months_end(feed: Feed, month: FetchMonth) -> None:
    # March is sent first; properties that it leaves out keep February's values.
    await feed(user("2024-03-31T23:59:59.999999Z", email="c@x.org"))
    await feed(
        user("2024-01-15T00:00:00Z", email="a@x.org", role="MEMBER"),
        user("2024-02-15T00:00:00Z", email="b@x.org", role="ADMIN", suspended=True),
    )

    shown = {
        each: licensed(await month(each))["ann"] for each in ("2024-01", "2024-02", "2024-03")
    }
    fields = ("email", "role", "suspended", "createdAt")
    assert {each: tuple(row[name] for name in fields) for each, row in shown.items()} == {
        "2024-01": ("a@x.org", "MEMBER", False, "2024-01-15T00:00:00Z"),
        "2024-02": ("b@x.org", "ADMIN", True, "2024-01-15T00:00:00Z"),
        "2024-03": ("c@x.org", "ADMIN", True, "2024-01-15T00:00:00Z"),
    }


async def test_null_leaves_a_property_as_it_was(feed: Feed, month: FetchMonth) -> None:
    await feed(
        user(
            "2024-01-15T00:00:00Z", role="ADMIN", suspended=True, createdAt="2023-05-01T00:00:00Z"
        ),
        user("2024-01-16T00:00:00Z", role=None, suspended=None, createdAt=None),
    )

    found = licensed(await month("2024-01"))["ann"]
    assert (found["role"], found["suspended"]) == ("ADMIN", True)
    assert found["createdAt"] == "2023-05-01T00:00:00Z"


async def test_suspended_users_and_service_accounts_are_licensed_and_unknown_users_are_not(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(
        user("2024-01-01T00:00:00Z", "ann"),
        user("2024-01-01T00:00:00Z", "bob", suspended=True),
        user("2024-01-01T00:00:00Z", "ci", serviceAccount=True),
        event("member.added", "2024-01-01T00:00:00Z", workspace="lab", username="dan"),
        created("2024-01-02T00:00:00Z", username="eve", sizeBytes=1),
        used("2024-01-03T00:00:00Z", username="fay"),
    )

    report = await month("2024-01")

    marked = {name: (u["suspended"], u["serviceAccount"]) for name, u in licensed(report).items()}
    assert marked == {"ann": (False, False), "bob": (True, False), "ci": (False, True)}
    [lab] = report["workspaces"]
    # Users without an account have no email, but are listed as members.
    [dan], [eve] = lab["members"], lab["formerMembers"]
    assert (dan["userName"], dan["email"], dan["user"]) == ("dan", None, None)
    assert (eve["userName"], eve["email"], eve["user"]) == ("eve", None, None)


# Memberships


@pytest.mark.parametrize(
    ("added", "removed", "months"),
    [
        ("2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z", ["2024-02"]),
        ("2024-02-29T23:59:59.999999Z", "2024-03-31T23:59:59.999999Z", ["2024-02"]),
        ("2024-01-31T23:59:59.999999Z", "2024-02-29T23:59:59.999999Z", ["2024-01"]),
        ("2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z", ["2024-03"]),
        ("2024-02-10T00:00:00Z", "2024-02-20T00:00:00Z", []),
        ("2024-02-10T00:00:00Z", "2024-02-10T00:00:00Z", []),
    ],
)
async def test_a_member_counts_in_the_months_at_whose_end_the_membership_exists(
    feed: Feed, month: FetchMonth, added: str, removed: str, months: list[str]
) -> None:
    await feed(event("member.removed", removed, workspace="lab", username="ann"))
    await feed(
        event("member.added", added, workspace="lab", username="ann"),
        event("workspace.upserted", "2024-01-01T00:00:00Z", name="lab"),
    )

    counted = []
    for each in ("2024-01", "2024-02", "2024-03", "2024-04"):
        [lab] = (await month(each))["workspaces"]
        assert lab["numberOfMembers"] == len(lab["members"])
        counted += [each] * lab["numberOfMembers"]
    assert counted == months


async def test_a_member_who_leaves_is_a_former_member_until_added_again(
    feed: Feed, month: FetchMonth
) -> None:
    member = {"workspace": "lab", "username": "ann"}
    await feed(
        event("member.added", "2024-01-05T00:00:00Z", **member),
        created("2024-01-06T00:00:00Z", sizeBytes=2 * MB),
        event("member.removed", "2024-02-05T00:00:00Z", **member),
        event("member.added", "2024-03-05T00:00:00Z", **member),
    )

    found = []
    for each in ("2024-01", "2024-02", "2024-03"):
        [lab] = (await month(each))["workspaces"]
        found.append((names_of(lab["members"]), names_of(lab["formerMembers"])))
    assert found == [(["ann"], []), ([], ["ann"]), (["ann"], [])]


async def test_members_and_former_members_add_up_to_the_workspace(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(
        *(
            event("member.added", "2024-03-01T00:00:00Z", workspace="lab", username=name)
            for name in ("ann", "bob", "cid")
        ),
        created("2024-04-01T00:00:00Z", "a", username="ann", sizeBytes=3 * MB),
        created("2024-04-16T00:00:00Z", "b", username="bob", sizeBytes=8 * MB),
        # Dan was never a member; eve's only experiment is deleted before the month's end.
        created("2024-04-01T00:00:00Z", "d", username="dan", sizeBytes=5),
        created("2024-04-01T00:00:00Z", "e", username="eve", sizeBytes=30 * MB),
        deleted("2024-04-02T00:00:00Z", "e"),
        event("member.removed", "2024-04-20T00:00:00Z", workspace="lab", username="bob"),
    )

    [lab] = (await month("2024-04"))["workspaces"]

    # April has 30 days. b exists for 15 of them: 8 x 15 / 30 = 4; e for one: 30 x 1 / 30 = 1.
    assert {row["userName"]: figures(row) for row in lab["members"]} == {
        "ann": (1, 1, 3 * MB, 3.0),
        "cid": NOTHING,
    }
    assert {row["userName"]: figures(row) for row in lab["formerMembers"]} == {
        "bob": (1, 1, 8 * MB, 4.0),
        "dan": (1, 1, 5, 0.0),
        "eve": (0, 1, 0, 1.0),
    }
    assert figures(lab) == (3, 4, 11 * MB + 5, 8.0)
    # In May eve owns nothing in the workspace and is no longer listed.
    [lab] = (await month("2024-05"))["workspaces"]
    assert names_of(lab["formerMembers"]) == ["bob", "dan"]


async def test_deleting_a_user_ends_memberships_but_not_experiments(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(
        user("2024-01-01T00:00:00Z"),
        event("member.added", "2024-01-01T00:00:00Z", workspace="lab", username="ann"),
        created("2024-01-02T00:00:00Z", sizeBytes=7),
        event("user.deleted", "2024-02-10T00:00:00Z", username="ann"),
        user("2024-03-10T00:00:00Z"),
    )

    [january] = (await month("2024-01"))["workspaces"]
    assert (names_of(january["members"]), names_of(january["formerMembers"])) == (["ann"], [])
    # Creating the account again in March does not restore the membership.
    for each in ("2024-02", "2024-03"):
        [lab] = (await month(each))["workspaces"]
        assert (names_of(lab["members"]), names_of(lab["formerMembers"])) == ([], ["ann"])
        assert (lab["numberOfExperiments"], lab["totalSizeBytes"]) == (1, 7)


# Entities that events imply, and entities that end with their parent


async def test_an_entity_exists_from_the_first_event_that_refers_to_it(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(
        event("workspace.upserted", "2024-01-05T00:00:00Z", name="by itself"),
        event("member.added", "2024-02-05T00:00:00Z", workspace="by member", username="ann"),
        event("project.upserted", "2024-03-05T00:00:00Z", workspace="by project", name="p"),
        created("2024-04-05T00:00:00Z", workspace="by experiment"),
        # A deletion does not prove that the entity existed.
        event("workspace.deleted", "2024-01-05T00:00:00Z", name="never"),
        event("member.removed", "2024-01-05T00:00:00Z", workspace="never", username="ann"),
        event("project.deleted", "2024-01-05T00:00:00Z", workspace="never", name="p"),
    )

    found = {each: await month(each) for each in ("2024-01", "2024-02", "2024-03", "2024-04")}

    assert {each: names_of(report["workspaces"]) for each, report in found.items()} == {
        "2024-01": ["by itself"],
        "2024-02": ["by itself", "by member"],
        "2024-03": ["by itself", "by member", "by project"],
        "2024-04": ["by experiment", "by itself", "by member", "by project"],
    }
    april = {row["name"]: names_of(row["projects"]) for row in found["2024-04"]["workspaces"]}
    assert april == {"by experiment": ["p"], "by itself": [], "by member": [], "by project": ["p"]}


async def test_a_deleted_experiment_keeps_its_flows_in_the_month(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(
        created("2024-04-07T00:00:00Z", sizeBytes=10 * MB),
        deleted("2024-04-16T00:00:00Z"),
    )

    # 9 of 30 days: 10 x 9 / 30 = 3.
    [lab] = (await month("2024-04"))["workspaces"]
    [p] = lab["projects"]
    assert figures(lab) == figures(p) == (0, 1, 0, 3.0)
    [lab] = (await month("2024-05"))["workspaces"]
    [p] = lab["projects"]
    assert figures(lab) == figures(p) == NOTHING


async def test_an_experiment_created_again_after_its_deletion_is_a_new_one(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(
        created("2024-04-01T00:00:00Z", sizeBytes=6 * MB),
        deleted("2024-04-11T00:00:00Z"),
        # The size before the deletion does not carry over.
        created("2024-04-21T00:00:00Z"),
    )

    # 6 x 10 / 30 = 2.
    [lab] = (await month("2024-04"))["workspaces"]
    assert figures(lab) == (1, 2, 0, 2.0)


async def test_deleting_a_project_deletes_its_experiments_for_good(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(
        created("2024-03-01T00:00:00Z", sizeBytes=6 * MB),
        created("2024-03-01T00:00:00Z", "kept", project="q", sizeBytes=MB),
        event("project.deleted", "2024-04-11T00:00:00Z", workspace="lab", name="p"),
        resized("2024-04-12T00:00:00Z", 100 * MB),
        event("project.upserted", "2024-05-11T00:00:00Z", workspace="lab", name="p"),
    )

    [march] = (await month("2024-03"))["workspaces"]
    assert (names_of(march["projects"]), names_of(march["formerProjects"])) == (["p", "q"], [])
    # April: p stores 6 MB for 10 of 30 days, 2 on average; q stores 1 all month.
    [april] = (await month("2024-04"))["workspaces"]
    assert names_of(april["projects"]) == ["q"]
    [p] = april["formerProjects"]
    assert (p["name"], figures(p)) == ("p", (0, 0, 0, 2.0))
    assert figures(april) == (1, 0, MB, 3.0)
    assert april["numberOfProjects"] == 1
    [may] = (await month("2024-05"))["workspaces"]
    assert {row["name"]: figures(row) for row in may["projects"]} == {
        "p": NOTHING,
        "q": (1, 0, MB, 1.0),
    }
    assert may["formerProjects"] == []


async def test_a_project_deleted_without_use_is_not_listed(feed: Feed, month: FetchMonth) -> None:
    await feed(
        event("project.upserted", "2024-04-01T00:00:00Z", workspace="lab", name="p"),
        event("project.deleted", "2024-04-11T00:00:00Z", workspace="lab", name="p"),
    )

    [lab] = (await month("2024-04"))["workspaces"]
    assert (lab["projects"], lab["formerProjects"]) == ([], [])


async def test_deleting_a_workspace_deletes_everything_in_it_for_good(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(
        user("2024-03-01T00:00:00Z"),
        event("member.added", "2024-03-01T00:00:00Z", workspace="lab", username="ann"),
        created("2024-04-06T00:00:00Z", sizeBytes=6 * MB),
        event("workspace.deleted", "2024-04-11T00:00:00Z", name="lab"),
        event("workspace.upserted", "2024-05-11T00:00:00Z", name="lab"),
    )

    april = await month("2024-04")
    assert (april["workspaces"], april["numberOfWorkspaces"]) == ([], 0)
    assert (april["numberOfExperiments"], april["totalSizeBytes"]) == (0, 0)
    # 5 of 30 days: 6 x 5 / 30 = 1; charged to the workspace, the project, the owner and the user.
    [lab] = april["formerWorkspaces"]
    [p], [ann] = lab["formerProjects"], lab["formerMembers"]
    assert (lab["numberOfMembers"], lab["numberOfProjects"]) == (0, 0)
    assert (lab["members"], lab["projects"]) == ([], [])
    for part in (lab, p, ann, licensed(april)["ann"]):
        assert figures(part) == (0, 1, 0, 1.0)
    may = await month("2024-05")
    [lab] = may["workspaces"]
    assert (lab["members"], lab["projects"], figures(lab)) == ([], [], NOTHING)
    assert may["formerWorkspaces"] == []


@pytest.mark.parametrize(
    "ending",
    [
        event("experiment.deleted", "2024-04-11T00:00:00Z", experiment="x"),
        event("project.deleted", "2024-04-11T00:00:00Z", workspace="lab", name="p"),
        event("workspace.deleted", "2024-04-11T00:00:00Z", name="lab"),
    ],
    ids=["experiment", "project", "workspace"],
)
async def test_at_one_instant_creation_comes_first_and_deletion_last(
    feed: Feed, month: FetchMonth, ending: bytes
) -> None:
    # The deletion arrives first. The experiment existed for no time, so it stored nothing.
    await feed(ending)
    await feed(resized("2024-04-11T00:00:00Z", 9 * MB))
    await feed(created("2024-04-11T00:00:00Z", sizeBytes=MB))

    report = await month("2024-04")
    assert (report["numberOfExperiments"], report["totalSizeBytes"]) == (0, 0)
    [lab] = report["workspaces"] + report["formerWorkspaces"]
    assert figures(lab) == (0, 1, 0, 0.0)


async def test_at_one_instant_a_new_size_follows_the_creation(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(resized("2024-04-11T00:00:00Z", 9 * MB))
    await feed(created("2024-04-11T00:00:00Z", sizeBytes=MB))

    assert (await month("2024-04"))["totalSizeBytes"] == 9 * MB


# Sizes over month ends


async def test_sizes_grow_and_shrink_over_month_ends(feed: Feed, month: FetchMonth) -> None:
    await feed(
        created("2024-02-11T00:00:00Z", sizeBytes=10 * MB),
        resized("2024-02-21T00:00:00Z", 30 * MB),
        resized("2024-03-11T00:00:00Z", 5 * MB),
        deleted("2024-04-16T00:00:00Z"),
    )

    # February, 29 days: 10 MB for 10 days and 30 MB for 9: 370 / 29 = 12.7586.
    # March, 31 days: 30 MB for 10 days and 5 MB for 21: 405 / 31 = 13.0645.
    # April, 30 days: 5 MB for 15 days: 75 / 30 = 2.5.
    expected = {
        "2024-01": NOTHING,
        "2024-02": (1, 1, 30 * MB, 12.76),
        "2024-03": (1, 0, 5 * MB, 13.06),
        "2024-04": (0, 0, 0, 2.5),
        "2024-05": NOTHING,
    }
    for each, row in expected.items():
        report = await month(each)
        assert [figures(lab) for lab in report["workspaces"]] == (
            [] if each == "2024-01" else [row]
        )
        assert (report["numberOfExperiments"], report["totalSizeBytes"]) == (row[0], row[2])


@pytest.mark.parametrize(
    ("year", "average"),
    [
        # 58 MB from the 15th: 15 of 29 days in a leap year, 14 of 28 in another.
        ("2024", 30.0),
        ("2023", 29.0),
    ],
)
async def test_february_has_29_days_in_a_leap_year(
    feed: Feed, month: FetchMonth, year: str, average: float
) -> None:
    await feed(created(f"{year}-02-15T00:00:00Z", sizeBytes=58 * MB))

    [lab] = (await month(f"{year}-02"))["workspaces"]
    assert figures(lab) == (1, 1, 58 * MB, average)
    [lab] = (await month(f"{year}-03"))["workspaces"]
    assert figures(lab) == (1, 0, 58 * MB, 58.0)


@pytest.mark.parametrize(
    ("at", "months"),
    [
        ("2024-02-01T00:00:00Z", {"2024-02": 9}),
        ("2024-02-29T23:59:59.999999Z", {"2024-02": 9}),
        ("2024-03-01T00:00:00Z", {"2024-02": 4}),
        ("2023-02-28T23:59:59.999999Z", {"2023-02": 9}),
        ("2023-03-01T00:00:00Z", {"2023-02": 4, "2023-03": 9}),
        # 7 digits are truncated, never rounded into the next month.
        ("2024-02-29T23:59:59.9999999Z", {"2024-02": 9}),
        ("2024-02-29T23:59:59.999999999Z", {"2024-02": 9}),
        # Offsets: 20:30 on the 29th, and half past midnight on the 1st.
        ("2024-03-01T02:00:00+05:30", {"2024-02": 9}),
        ("2024-02-29T23:30:00-01:00", {"2024-02": 4, "2024-03": 9}),
        ("2024-03-01T01:59:59.9999999+02:00", {"2024-02": 9}),
    ],
)
async def test_an_event_belongs_to_the_month_of_its_time_in_utc(
    feed: Feed, month: FetchMonth, at: str, months: dict[str, int]
) -> None:
    await feed(created("2023-01-01T00:00:00Z", sizeBytes=4), resized(at, 9))

    assert {each: (await month(each))["totalSizeBytes"] for each in months} == months


async def test_created_at_is_truncated_to_microseconds(feed: Feed, month: FetchMonth) -> None:
    await feed(user("2024-03-10T00:00:00Z", createdAt="2024-02-29T23:59:59.9999999Z"))
    await feed(event("workspace.upserted", "2024-02-01T00:00:00Z", name="lab"))

    assert licensed(await month("2024-02"))["ann"]["createdAt"] == "2024-02-29T23:59:59.999999Z"


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [
        # 5,242.88 bytes are half a hundredth of a MB.
        (5_242, 0.0),
        (5_243, 0.01),
        # Exact halves: 1/8, 3/8, 5/8 and 7/8 of a MB. Half to even would make 0.12 and 0.62.
        (131_071, 0.12),
        (131_072, 0.13),
        (393_216, 0.38),
        (655_359, 0.62),
        (655_360, 0.63),
        (917_504, 0.88),
        # 2^30 MB less 1/8: more digits than a 32-bit float can represent.
        (2**50 - 131_072, 1_073_741_823.88),
    ],
)
async def test_sizes_are_rounded_half_up_to_two_decimals(
    feed: Feed, month: FetchMonth, rest: RestClient, size_bytes: int, shown: float
) -> None:
    await feed(user("2024-01-01T00:00:00Z"), created("2024-03-01T00:00:00Z", sizeBytes=size_bytes))

    report = await month("2024-03")

    [lab] = report["workspaces"]
    rows = [lab, *lab["projects"], *lab["formerMembers"], licensed(report)["ann"]]
    assert report["totalSizeInMb"] == shown
    assert [row["totalSizeInMb"] for row in rows] == [shown] * 4
    assert [row["averageSizeInMb"] for row in rows] == [shown] * 4
    [lab] = (await rest("2024-03"))["workspaces"]
    assert [row["totalSizeInMb"] for row in (lab, *lab["projects"])] == [shown] * 2


async def test_totals_are_rounded_once_from_exact_bytes(feed: Feed, month: FetchMonth) -> None:
    # 0.004 MB each is shown as 0.00; together they are 10,484 bytes, 0.00999 MB.
    await feed(
        created("2024-03-01T00:00:00Z", "a", project="p", sizeBytes=5_242),
        created("2024-03-01T00:00:00Z", "b", project="q", sizeBytes=5_242),
    )

    report = await month("2024-03")
    [lab] = report["workspaces"]
    assert [row["totalSizeInMb"] for row in lab["projects"]] == [0.0, 0.0]
    assert (lab["totalSizeInMb"], lab["averageSizeInMb"]) == (0.01, 0.01)
    assert report["totalSizeInMb"] == 0.01


@pytest.mark.parametrize(
    ("from_", "average"),
    [
        # A quarter of a MB for 15 of April's 30 days is exactly 0.125; a microsecond less is not.
        ("2024-04-16T00:00:00Z", 0.13),
        ("2024-04-16T00:00:00.000001Z", 0.12),
    ],
)
async def test_averages_are_rounded_half_up_from_exact_byte_seconds(
    feed: Feed, month: FetchMonth, from_: str, average: float
) -> None:
    await feed(created(from_, sizeBytes=262_144))

    [lab] = (await month("2024-04"))["workspaces"]
    assert lab["averageSizeInMb"] == average


async def test_a_size_stated_before_the_creation_applies_unless_the_creation_states_another(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(
        resized("2024-01-05T00:00:00Z", 3, "without size"),
        resized("2024-01-06T00:00:00Z", 5, "without size"),
        created("2024-02-01T00:00:00Z", "without size", project="without size"),
        resized("2024-01-05T00:00:00Z", 3, "with size"),
        created("2024-02-01T00:00:00Z", "with size", project="with size", sizeBytes=8),
        resized("2024-01-05T00:00:00Z", 3, "never"),
    )

    january, february = await month("2024-01"), await month("2024-02")
    assert (january["numberOfExperiments"], january["totalSizeBytes"]) == (0, 0)
    [lab] = february["workspaces"]
    sizes = {row["name"]: row["totalSizeBytes"] for row in lab["projects"]}
    assert sizes == {"with size": 8, "without size": 5}


async def test_an_older_size_that_arrives_late_applies_until_the_newer_one(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(
        created("2024-04-01T00:00:00Z", sizeBytes=0), resized("2024-04-21T00:00:00Z", 12 * MB)
    )
    await feed(resized("2024-04-11T00:00:00Z", 3 * MB))

    # 3 MB for 10 days and 12 MB for 10 of 30: (30 + 120) / 30 = 5.
    [lab] = (await month("2024-04"))["workspaces"]
    assert figures(lab) == (1, 1, 12 * MB, 5.0)


async def test_an_experiment_created_in_another_place_moves_with_its_size(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(
        created("2024-03-01T00:00:00Z", sizeBytes=6 * MB),
        created("2024-04-11T00:00:00Z", workspace="hall", project="q", username="bob"),
    )

    # April: 10 of 30 days in lab, 6 x 10 / 30 = 2; 20 of 30 in hall, 6 x 20 / 30 = 4.
    april = await month("2024-04")
    hall, lab = april["workspaces"]
    assert (hall["name"], figures(hall)) == ("hall", (1, 0, 6 * MB, 4.0))
    assert (lab["name"], figures(lab)) == ("lab", (0, 0, 0, 2.0))
    [bob], [ann] = hall["formerMembers"], lab["formerMembers"]
    assert (bob["userName"], figures(bob)) == ("bob", figures(hall))
    assert (ann["userName"], figures(ann)) == ("ann", figures(lab))
    assert (april["numberOfExperiments"], april["totalSizeBytes"]) == (1, 6 * MB)


async def test_an_experiment_that_moved_survives_the_deletion_of_its_former_project(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(
        event("project.deleted", "2024-04-12T00:00:00Z", workspace="lab", name="p"),
        created("2024-04-01T00:00:00Z", sizeBytes=4),
    )
    assert (await month("2024-04"))["totalSizeBytes"] == 0

    # The move happened on the 11th, a day before the deletion, but arrives last.
    await feed(created("2024-04-11T00:00:00Z", project="q"))

    [lab] = (await month("2024-04"))["workspaces"]
    assert (names_of(lab["projects"]), lab["totalSizeBytes"]) == (["q"], 4)


async def test_a_change_of_owner_moves_the_experiment_between_members(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(
        created("2024-04-01T00:00:00Z", sizeBytes=3 * MB),
        created("2024-04-11T00:00:00Z", username="bob"),
    )

    # 10 and 20 of 30 days: 1 and 2. The project has it all month.
    [lab] = (await month("2024-04"))["workspaces"]
    assert {row["userName"]: figures(row) for row in lab["formerMembers"]} == {
        "ann": (0, 1, 0, 1.0),
        "bob": (1, 0, 3 * MB, 2.0),
    }
    [p] = lab["projects"]
    assert figures(p) == (1, 1, 3 * MB, 3.0)


# Months: before, between and after events, current and future


async def test_a_month_before_the_first_event_is_empty(
    feed: Feed, month: FetchMonth, rest: RestClient
) -> None:
    await feed(
        user("2024-02-01T00:00:00Z", createdAt="2020-01-01T00:00:00Z"),
        created("2024-02-01T00:00:00Z", sizeBytes=5),
    )

    report = await month("2024-01")
    assert (report["workspaces"], report["formerWorkspaces"], licensed(report)) == ([], [], {})
    assert (report["numberOfWorkspaces"], report["numberOfExperiments"]) == (0, 0)
    assert (report["totalSizeInMb"], report["totalSizeBytes"]) == (0.0, 0)
    document = await rest("2024-01")
    assert (document["workspaces"], document["users"]["licensedUsers"]) == ([], [])
    assert document["users"]["numberOfUsers"] == 0


async def test_an_organization_without_events_has_empty_reports(
    month: FetchMonth, rest: RestClient
) -> None:
    for each in ("2000-01", "2024-02", "2026-11"):
        report = await month(each)
        assert (report["numberOfWorkspaces"], report["users"]["numberOfUsers"]) == (0, 0)
        assert (await rest(each))["workspaces"] == []


async def test_months_after_the_last_event_have_its_stocks_and_no_flows(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(
        user("2024-02-10T00:00:00Z"),
        event("member.added", "2024-02-10T00:00:00Z", workspace="lab", username="ann"),
        created("2024-02-15T00:00:00Z", sizeBytes=58 * MB),
        used("2024-02-20T00:00:00Z"),
    )

    for each in ("2024-03", "2026-10"):
        report = await month(each)
        [lab] = report["workspaces"]
        [p], [ann], account = lab["projects"], lab["members"], licensed(report)["ann"]
        for row in (lab, p, ann, account):
            assert figures(row) == (1, 0, 58 * MB, 58.0)
        assert (account["uiUsageCount"], account["uiUsageUpdatedAt"]) == (0, None)
        assert account["lastUsedAt"] == "2024-02-20T00:00:00Z"


async def test_months_between_events_have_the_stocks_of_the_month_before(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(created("2024-01-15T00:00:00Z", sizeBytes=7 * MB))
    await feed(deleted("2024-04-16T00:00:00Z"))

    # January stores 7 MB for 17 of 31 days: 3.84; April for 15 of 30 days: 3.5.
    expected = {
        "2024-01": (1, 1, 7 * MB, 3.84),
        "2024-02": (1, 0, 7 * MB, 7.0),
        "2024-03": (1, 0, 7 * MB, 7.0),
        "2024-04": (0, 0, 0, 3.5),
    }
    for each, row in expected.items():
        [lab] = (await month(each))["workspaces"]
        assert figures(lab) == row


async def test_a_late_event_changes_its_month_and_later_ones(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(user("2024-04-01T00:00:00Z"), created("2024-04-01T00:00:00Z", "new", sizeBytes=MB))
    [lab] = (await month("2024-04"))["workspaces"]
    assert figures(lab) == (1, 1, MB, 1.0)

    # Two months earlier than any other event, and deleted again in March.
    await feed(
        created("2024-02-15T00:00:00Z", "old", sizeBytes=58 * MB),
        event("experiment.deleted", "2024-03-16T12:00:00Z", experiment="old"),
        used("2024-02-03T00:00:00Z", "sdk", count=4),
    )

    # February: 15 of 29 days, 30. March: 15.5 of 31 days, 29. April is unchanged.
    found = {each: await month(each) for each in ("2024-01", "2024-02", "2024-03", "2024-04")}
    labs = {each: [figures(lab) for lab in report["workspaces"]] for each, report in found.items()}
    assert labs == {
        "2024-01": [],
        "2024-02": [(1, 1, 58 * MB, 30.0)],
        "2024-03": [(0, 0, 0, 29.0)],
        "2024-04": [(1, 1, MB, 1.0)],
    }
    ann = licensed(found["2024-04"])["ann"]
    assert (ann["sdkUsageCount"], ann["lastUsedAt"]) == (0, "2024-02-03T00:00:00Z")


async def test_a_late_deletion_of_a_project_removes_its_experiments_from_later_months(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(
        created("2024-02-01T00:00:00Z", sizeBytes=6 * MB),
        resized("2024-04-16T00:00:00Z", 8 * MB),
    )
    await feed(event("project.deleted", "2024-03-01T00:00:00Z", workspace="lab", name="p"))

    expected = {"2024-02": (1, 1, 6 * MB, 6.0), "2024-03": NOTHING, "2024-04": NOTHING}
    for each, row in expected.items():
        [lab] = (await month(each))["workspaces"]
        assert figures(lab) == row
        assert names_of(lab["projects"]) == (["p"] if each == "2024-02" else [])
        # Deleted at the first instant of March, so nothing was stored in March.
        assert lab["formerProjects"] == []


async def test_created_at_of_a_report_is_the_last_change_or_the_months_start(
    feed: Feed, month: FetchMonth, rest: RestClient, clock: FixedClock
) -> None:
    clock.now = datetime(2024, 2, 10, 12, tzinfo=UTC)
    line = user("2024-01-10T00:00:00Z")
    await feed(line)
    clock.now = datetime(2024, 3, 5, tzinfo=UTC)
    # A duplicate changes nothing.
    await feed(line)

    found = {each: await month(each) for each in ("2024-01", "2024-02", "2024-03")}

    expected = {
        "2024-01": "2024-02-10T12:00:00Z",
        "2024-02": "2024-02-10T12:00:00Z",
        "2024-03": "2024-03-01T00:00:00Z",
    }
    assert {each: report["changedAt"] for each, report in found.items()} == expected
    assert {each: report["users"]["changedAt"] for each, report in found.items()} == expected
    # 2024-03-01 is 1709251200 seconds after 1970.
    assert (await rest("2024-03"))["users"]["createdAt"] == 1_709_251_200_000


async def test_a_future_month_is_an_error(
    feed: Feed, graphql: GraphQLClient, rest: RestClient, clock: FixedClock
) -> None:
    clock.now = datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)
    await feed(created("2024-02-01T00:00:00Z"))

    variables = {"month": "2024-03", "organization": feed.organization}
    response = await graphql.execute(REPORT_QUERY, variables)
    rest_response = await rest.get(reportMonth="2024-03")

    message = "2024-03 is in the future: the latest report month is 2024-02."
    [error] = response["errors"]
    assert response["data"] is None
    assert (error["message"], error["extensions"]) == (message, {"code": "INVALID_MONTH"})
    assert rest_response.status_code == 400
    assert {key: rest_response.json()[key] for key in ("msg", "code")} == {
        "msg": message,
        "code": 400,
    }

    clock.now = datetime(2024, 3, 1, tzinfo=UTC)
    assert "errors" not in await graphql.execute(REPORT_QUERY, variables)
    assert (await rest.get(reportMonth="2024-03")).status_code == 200


@pytest.mark.parametrize(
    ("now", "average"),
    [
        # 4 MB from the 6th of March on: for no time yet, then for 5 of 10 days, 15 of 20,
        # 25 of 30 (3.333), and at the end 26 of 31 (3.3548).
        (datetime(2024, 3, 6, tzinfo=UTC), 0.0),
        (datetime(2024, 3, 11, tzinfo=UTC), 2.0),
        (datetime(2024, 3, 21, tzinfo=UTC), 3.0),
        (datetime(2024, 3, 31, tzinfo=UTC), 3.33),
        (datetime(2024, 4, 1, tzinfo=UTC), 3.35),
        (datetime(2025, 4, 1, tzinfo=UTC), 3.35),
    ],
)
async def test_the_current_month_ends_now(
    feed: Feed, month: FetchMonth, clock: FixedClock, now: datetime, average: float
) -> None:
    clock.now = now
    await feed(created("2024-03-06T00:00:00Z", sizeBytes=4 * MB))

    [lab] = (await month("2024-03"))["workspaces"]
    assert figures(lab) == (1, 1, 4 * MB, average)


async def test_the_current_month_moves_with_the_clock(
    feed: Feed, month: FetchMonth, clock: FixedClock
) -> None:
    clock.now = datetime(2024, 3, 11, tzinfo=UTC)
    await feed(created("2024-03-06T00:00:00Z", sizeBytes=4 * MB))
    averages = []
    for now in (
        datetime(2024, 3, 11, tzinfo=UTC),
        datetime(2024, 3, 21, tzinfo=UTC),
        datetime(2024, 4, 16, tzinfo=UTC),
    ):
        clock.now = now
        [lab] = (await month("2024-03"))["workspaces"]
        averages.append(lab["averageSizeInMb"])
    assert averages == [2.0, 3.0, 3.35]
    # April is current and has no events: 4 MB for all the time so far.
    [lab] = (await month("2024-04"))["workspaces"]
    assert figures(lab) == (1, 0, 4 * MB, 4.0)


async def test_an_event_minutes_ahead_of_the_clock_counts_but_has_stored_nothing_yet(
    feed: Feed, month: FetchMonth, clock: FixedClock
) -> None:
    clock.now = datetime(2024, 3, 1, tzinfo=UTC)
    await feed(created("2024-03-01T00:04:00Z", sizeBytes=4 * MB))

    [lab] = (await month("2024-03"))["workspaces"]
    assert figures(lab) == (1, 1, 4 * MB, 0.0)


async def test_an_event_ahead_of_the_clock_in_the_next_month_counts_from_that_month(
    feed: Feed, month: FetchMonth, graphql: GraphQLClient, clock: FixedClock
) -> None:
    clock.now = datetime(2024, 2, 29, 23, 58, tzinfo=UTC)
    await feed(
        created("2024-02-01T00:00:00Z", sizeBytes=4 * MB), resized("2024-03-01T00:02:00Z", 8 * MB)
    )

    [lab] = (await month("2024-02"))["workspaces"]
    assert figures(lab) == (1, 1, 4 * MB, 4.0)
    variables = {"month": "2024-03", "organization": feed.organization}
    assert (await graphql.execute(REPORT_QUERY, variables))["data"] is None
    clock.now = datetime(2024, 3, 1, 0, 4, tzinfo=UTC)
    # 4 MB for 2 minutes, then 8 MB for 2.
    [lab] = (await month("2024-03"))["workspaces"]
    assert figures(lab) == (1, 0, 8 * MB, 6.0)


# Usage


async def test_usage_counts_in_its_month_and_later_months_show_the_last_use(
    feed: Feed, month: FetchMonth, rest: RestClient
) -> None:
    await feed(
        user("2024-01-01T00:00:00Z"),
        used("2024-02-01T00:00:00Z", "ui"),
        used("2024-02-29T23:59:59.999999Z", "ui", count=3),
        used("2024-03-01T00:00:00Z", "ui", count=100),
        used("2024-01-31T23:59:59.999999Z", "sdk", count=50),
        used("2024-02-14T12:00:00Z", "sdk", count=2),
    )

    fields = (
        "uiUsageCount", "uiUsageUpdatedAt", "sdkUsageCount", "sdkUsageUpdatedAt", "lastUsedAt",
    )  # fmt: skip
    found = {}
    for each in ("2024-01", "2024-02", "2024-03", "2024-04"):
        ann = licensed(await month(each))["ann"]
        found[each] = tuple(ann[name] for name in fields)
    first, last = "2024-03-01T00:00:00Z", "2024-02-29T23:59:59.999999Z"
    assert found == {
        # The first UI event is in February, so in January the UI is not measured.
        "2024-01": (
            None, None, 50, "2024-01-31T23:59:59.999999Z", "2024-01-31T23:59:59.999999Z",
        ),
        "2024-02": (4, last, 2, "2024-02-14T12:00:00Z", last),
        "2024-03": (100, first, 0, None, first),
        "2024-04": (0, None, 0, None, first),
    }  # fmt: skip
    [january] = (await rest("2024-01"))["users"]["licensedUsers"]
    assert (january["uiUsageCount"], january["uiUsageUpdateTs"]) == (0, 0)
    # 2024-01-31T23:59:59.999Z is 1706745599.999 seconds after 1970.
    assert (january["sdkUsageCount"], january["sdkUsageUpdateTs"]) == (50, 1_706_745_599_999)


async def test_a_count_of_0_marks_a_channel_as_measured_but_not_as_used(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(
        user("2024-01-01T00:00:00Z", "ann"),
        user("2024-01-01T00:00:00Z", "bob"),
        used("2024-02-10T00:00:00Z", "sdk", count=0),
    )

    january, february = licensed(await month("2024-01")), licensed(await month("2024-02"))
    assert [row["sdkUsageCount"] for row in january.values()] == [None, None]
    assert [row["sdkUsageCount"] for row in february.values()] == [0, 0]
    assert [row["uiUsageCount"] for row in february.values()] == [None, None]
    for row in february.values():
        assert (row["sdkUsageUpdatedAt"], row["lastUsedAt"]) == (None, None)


async def test_usage_is_shown_once_the_user_has_an_account(feed: Feed, month: FetchMonth) -> None:
    await feed(used("2024-02-10T00:00:00Z", count=5))
    assert licensed(await month("2024-02")) == {}

    await feed(user("2024-03-10T00:00:00Z", createdAt="2024-02-01T00:00:00Z"))

    assert licensed(await month("2024-02"))["ann"]["uiUsageCount"] == 5
    march = licensed(await month("2024-03"))["ann"]
    assert (march["uiUsageCount"], march["lastUsedAt"]) == (0, "2024-02-10T00:00:00Z")


async def test_a_deletion_keeps_the_last_use_and_later_usage_counts(
    feed: Feed, month: FetchMonth
) -> None:
    await feed(
        user("2024-01-01T00:00:00Z"),
        used("2024-01-05T00:00:00Z", count=2),
        event("user.deleted", "2024-02-10T00:00:00Z", username="ann"),
        used("2024-02-20T00:00:00Z", count=3),
        user("2024-04-10T00:00:00Z"),
    )

    february, april = licensed(await month("2024-02")), licensed(await month("2024-04"))
    assert february["ann"]["uiUsageCount"] == 3
    assert (april["ann"]["uiUsageCount"], april["ann"]["lastUsedAt"]) == (
        0, "2024-02-20T00:00:00Z",
    )  # fmt: skip


# Order


async def test_rows_are_in_code_point_order_of_their_names(
    feed: Feed, month: FetchMonth, rest: RestClient
) -> None:
    # U+0042, U+0061, U+00E9, U+FF21, U+1F600: differs from dictionary and UTF-16 order.
    names = ["B", "a", "é", "\uff21", "😀"]
    at = "2024-03-01T00:00:00Z"
    await feed(
        *(user(at, name) for name in reversed(names)),
        *(event("workspace.upserted", at, name=name) for name in names),
        *(event("project.upserted", at, workspace="B", name=name) for name in names),
        *(event("member.added", at, workspace="B", username=name) for name in names),
    )

    report, document = await month("2024-03"), await rest("2024-03")

    assert list(licensed(report)) == names
    assert [row["username"] for row in document["users"]["licensedUsers"]] == names
    for workspaces in (report["workspaces"], document["workspaces"]):
        assert names_of(workspaces) == names
        assert names_of(workspaces[0]["projects"]) == names
        assert names_of(workspaces[0]["members"]) == names
