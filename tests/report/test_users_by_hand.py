"""Reports of a few events about users and members, with figures worked out by hand.

Unless a test sets the clock, it is late in 2026, so every month here has ended. Each test runs
three times: its events arrive at once, one by one, and backwards.
"""

import pytest

from tests.conftest import Feed, RestClient, event
from tests.report.by_hand import (
    MB,
    NOTHING,
    created,
    deleted,
    figures,
    licensed,
    names_of,
    used,
    user,
)
from tests.report.conftest import FetchMonth

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
