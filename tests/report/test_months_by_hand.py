"""Reports of months around a few events, with figures worked out by hand.

Unless a test sets the clock, it is late in 2026, so every month here has ended. Each test runs
three times: its events arrive at once, one by one, and backwards.
"""

from datetime import UTC, datetime

import pytest

from tests.conftest import Feed, FixedClock, GraphQLClient, RestClient, event
from tests.report.by_hand import (
    MB,
    NOTHING,
    created,
    deleted,
    figures,
    licensed,
    names_of,
    resized,
    used,
    user,
)
from tests.report.conftest import FetchMonth
from tests.report.queries import REPORT_QUERY

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
