"""Reports of a few events about places and sizes, with figures worked out by hand.

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
    resized,
    user,
)
from tests.report.conftest import FetchMonth

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
