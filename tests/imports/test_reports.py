"""An imported report states a closed month, and nothing else."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest

from app.db.engine import Database
from app.domain.audit import OPERATOR
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import InvalidMonth, InvalidReport, MonthClosed
from app.domain.months import Month
from app.services.month_verification import ComparedWith, verify_month
from app.services.months import (
    close_due_months,
    close_month,
    list_months,
    reopen_month,
)
from app.services.organizations import find_organization
from tests.conftest import CONTRACT, Feed, FixedClock, GraphQLClient, RestClient, event
from tests.imports.conftest import (
    ImportReports,
    Json,
    compact,
    document,
    member,
    ms,
    project,
    user,
    workspace,
)

GOLDEN: Json = orjson.loads((CONTRACT / "report.json").read_bytes())

# The workspace counts an experiment and 30 MB more than its members and projects.
MARCH = document(
    "2024-03",
    [
        workspace(
            "lab",
            [member("ann", 2, 60.0), member("bob", 1, 10.0)],
            [project("p", 3, 70.0), project("q", 2, 30.0)],
            6,
            130.0,
        )
    ],
    [
        user("ann", uiUsageCount=3, uiUsageUpdateTs=ms(2024, 3, 9)),
        user("cy", created_at=ms(2024, 3, 20), suspended=True),
    ],
)
APRIL = document(
    "2024-04",
    [
        workspace("lab", [member("ann", 3, 90.0)], [project("p", 5, 95.0)], 5, 95.0),
        workspace("new", [member("dee", 1, 0.01)], [project("p", 1, 0.01)], 1, 0.01),
    ],
    [
        user("ann", sdkUsageCount=2, sdkUsageUpdateTs=ms(2024, 4, 30)),
        user("dee", created_at=ms(2024, 4, 2)),
    ],
)

REPORT = """
query ($month: Month!) {
  chargebackReport(month: $month) {
    status importedFrom totalSizeBytes numberOfExperiments
    workspaces {
      name numberOfExperiments totalSizeBytes experimentsCreated averageSizeInMb
      formerMembers { userName } formerProjects { name }
    }
    users { licensedUsers {
      username uiUsageCount sdkUsageCount experimentsCreated numberOfExperiments totalSizeBytes
    } }
    corrections { originMonth figure amount workspace project userName }
  }
}
"""

Reopen = Callable[[str], Awaitable[None]]
Months = Callable[[], Awaitable[dict[str, str]]]


@pytest.fixture
def reopen(database: Database, clock: FixedClock) -> Reopen:
    """A function that reopens a month."""

    async def run(month: str) -> None:
        found = await find_organization(database, DEFAULT_ORGANIZATION)
        await reopen_month(
            database,
            found.organization_id,
            Month.parse(month),
            reason="the report was wrong",
            by=OPERATOR,
            now=clock.now,
        )

    return run


@pytest.fixture
def close(database: Database, clock: FixedClock) -> Reopen:
    """A function that closes a month from live events."""

    async def run(month: str) -> None:
        found = await find_organization(database, DEFAULT_ORGANIZATION)
        await close_month(
            database, found.organization_id, Month.parse(month), by=OPERATOR, now=clock.now
        )

    return run


@pytest.fixture
def closed_months(database: Database, clock: FixedClock) -> Months:
    """A function that returns the closed months with the file that states each, if any."""

    async def run() -> dict[str, str]:
        found = await find_organization(database, DEFAULT_ORGANIZATION)
        states = await list_months(database, found.organization_id, clock.now)
        return {
            str(state.month): state.imported_from or "events"
            for state in reversed(states)
            if state.closed_at is not None
        }

    return run


async def verify(database: Database, month: str) -> ComparedWith:
    """Verify a month, and return what it was compared with."""
    found = await find_organization(database, DEFAULT_ORGANIZATION)
    verified = await verify_month(database, found.organization_id, Month.parse(month))
    assert verified.differences == []
    return verified.compared_with


async def fetch_closed(rest: RestClient, month: str) -> bytes:
    response = await rest.get(reportMonth=month)
    assert response.status_code == 200
    assert "immutable" in response.headers["cache-control"]
    return response.content


def created(time: str, experiment: str, megabytes: int) -> bytes:
    """Return the creation of an experiment of ann in the project p of lab."""
    return event(
        "experiment.created",
        time,
        experiment=experiment,
        workspace="lab",
        project="p",
        username="ann",
        sizeBytes=megabytes * 2**20,
    )


EMPTY: dict[str, list[str]] = {"workspaces": [], "users": []}


async def fetch_names(rest: RestClient, month: str) -> dict[str, Any]:
    """Return the names of a month's workspaces and licensed users."""
    report = await rest(month)
    return {
        "workspaces": [each["name"] for each in report["workspaces"]],
        "users": [each["username"] for each in report["users"]["licensedUsers"]],
    }


async def test_the_documented_example_comes_back_byte_for_byte(
    import_: ImportReports, rest: RestClient, database: Database
) -> None:
    [imported] = await import_(GOLDEN)

    assert (str(imported.month), imported.gaps) == ("2021-03", [])
    assert await fetch_closed(rest, "2021-03") == compact(GOLDEN)
    assert await verify(database, "2021-03") is ComparedWith.CLOSE


@pytest.mark.parametrize("documents", [(MARCH, APRIL), (APRIL, MARCH)])
async def test_two_months_come_back_in_either_order(
    import_: ImportReports, rest: RestClient, database: Database, documents: tuple[Json, Json]
) -> None:
    imported = await import_(*documents)

    assert [str(each.month) for each in imported] == ["2024-03", "2024-04"]
    assert await fetch_closed(rest, "2024-03") == compact(MARCH)
    assert await fetch_closed(rest, "2024-04") == compact(APRIL)
    assert await verify(database, "2024-04") is ComparedWith.CLOSE


async def test_months_after_the_last_report_are_empty_without_live_events(
    import_: ImportReports, rest: RestClient, database: Database
) -> None:
    await import_(MARCH)

    assert [await fetch_names(rest, month) for month in ("2024-02", "2024-04", "2024-12")] == (
        [EMPTY] * 3
    )
    assert await verify(database, "2024-04") is ComparedWith.EVENTS


async def test_each_level_shows_what_the_report_states(
    import_: ImportReports, graphql: GraphQLClient
) -> None:
    await import_(MARCH)

    report = (await graphql(REPORT, month="2024-03"))["chargebackReport"]

    assert (report["status"], report["importedFrom"]) == ("CLOSED", "2024-03.json")
    # 130 MB of the workspace, though its members own 70 MB and its projects hold 100 MB.
    assert (report["numberOfExperiments"], report["totalSizeBytes"]) == (6, 136_314_880)
    assert report["workspaces"] == [
        {
            "name": "lab",
            "numberOfExperiments": 6,
            "totalSizeBytes": 136_314_880,
            "experimentsCreated": None,
            "averageSizeInMb": None,
            "formerMembers": [],
            "formerProjects": [],
        }
    ]
    # The UI is measured, since ann used it; no report shows that the SDK is.
    ann, cy = report["users"]["licensedUsers"]
    assert ann == {
        "username": "ann",
        "uiUsageCount": 3,
        "sdkUsageCount": None,
        "experimentsCreated": None,
        "numberOfExperiments": 2,
        "totalSizeBytes": 62_914_560,
    }
    assert (cy["uiUsageCount"], cy["numberOfExperiments"]) == (0, 0)
    assert report["corrections"] == []


async def test_a_channel_stays_measured_in_later_reports_but_not_in_live_months(
    import_: ImportReports, graphql: GraphQLClient, feed: Feed
) -> None:
    await feed(event("user.upserted", "2024-05-02T00:00:00Z", username="ann"))
    await import_(MARCH, APRIL)

    april = (await graphql(REPORT, month="2024-04"))["chargebackReport"]
    may = (await graphql(REPORT, month="2024-05"))["chargebackReport"]

    ann = april["users"]["licensedUsers"][0]
    assert (ann["uiUsageCount"], ann["sdkUsageCount"]) == (0, 2)
    ann = may["users"]["licensedUsers"][0]
    assert (ann["uiUsageCount"], ann["sdkUsageCount"]) == (None, None)


async def test_newer_keys_state_what_a_user_owns_and_when_the_account_ended(
    import_: ImportReports, graphql: GraphQLClient
) -> None:
    newer = document(
        "2024-03",
        [workspace("lab", [member("ann", 1, 1.0)], [project("p", 3, 5.0)], 3, 5.0)],
        [
            user(
                "gone",
                createdAt=ms(2020, 1, 1),
                deletedAt=ms(2024, 3, 5),
                lastUsedAt=ms(2024, 2, 3),
                experimentCount=2,
                dataLoggedMb=4.0,
            ),
        ],
    )
    del newer["users"]["licensedUsers"][0]["created_at"]
    await import_(newer)

    report = await graphql(
        """query { chargebackReport(month: "2024-03") { users { licensedUsers {
           username createdAt createdAtIsInferred deletedAt lastUsedAt
           numberOfExperiments totalSizeInMb } } } }"""
    )

    assert report["chargebackReport"]["users"]["licensedUsers"] == [
        {
            "username": "gone",
            "createdAt": "2020-01-01T00:00:00Z",
            "createdAtIsInferred": False,
            "deletedAt": "2024-03-05T00:00:00Z",
            "lastUsedAt": "2024-02-03T00:00:00Z",
            "numberOfExperiments": 2,
            "totalSizeInMb": 4.0,
        }
    ]


async def test_without_a_creation_date_an_account_is_inferred_to_start_with_the_report(
    import_: ImportReports, graphql: GraphQLClient
) -> None:
    await import_(document("2024-03", [], [{"username": "ann"}]))

    report = await graphql(
        """query { chargebackReport(month: "2024-03") { users { licensedUsers {
           username email role createdAt createdAtIsInferred suspended uiUsageCount } } } }"""
    )

    assert report["chargebackReport"]["users"]["licensedUsers"] == [
        {
            "username": "ann",
            "email": None,
            "role": "MEMBER",
            "createdAt": "2024-03-31T23:59:59.999999Z",
            "createdAtIsInferred": True,
            "suspended": False,
            "uiUsageCount": None,
        }
    ]


async def test_a_null_email_of_a_member_does_not_contradict_the_users_email(
    import_: ImportReports, rest: RestClient
) -> None:
    report = document(
        "2024-03", [workspace("lab", [member("ann"), member("bob")])], [user("ann"), user("bob")]
    )
    report["workspaces"][0]["members"][0]["email"] = None
    report["users"]["licensedUsers"][1]["email"] = None

    await import_(report)

    found = await rest("2024-03")
    members = found["workspaces"][0]["members"]
    assert [each["email"] for each in members] == ["ann@x.test", "bob@x.test"]
    users = found["users"]["licensedUsers"]
    assert [each["email"] for each in users] == ["ann@x.test", "bob@x.test"]


async def test_the_same_report_again_changes_nothing(
    import_: ImportReports, rest: RestClient
) -> None:
    await import_(MARCH)
    before = await fetch_closed(rest, "2024-03"), await rest("2024-04"), await rest()

    # The same content with other white space and another order of keys.
    [again] = await import_(dict(reversed(MARCH.items())))

    assert again.row_count is None
    assert (await fetch_closed(rest, "2024-03"), await rest("2024-04"), await rest()) == before


async def test_a_corrected_report_is_imported_after_reopening(
    import_: ImportReports, rest: RestClient, reopen: Reopen, clock: FixedClock
) -> None:
    await import_(MARCH)
    clock.now += timedelta(minutes=1)
    corrected = orjson.loads(orjson.dumps(MARCH))
    corrected["workspaces"][0]["members"].pop()
    corrected["workspaces"][0]["numberOfMembers"] = 1
    corrected["users"]["licensedUsers"][0]["uiUsageCount"] = 5

    with pytest.raises(
        MonthClosed, match="2024-03 is already closed by another report: reopen it"
    ):
        await import_(corrected)
    assert await fetch_closed(rest, "2024-03") == compact(MARCH)

    await reopen("2024-03")
    assert await fetch_names(rest, "2024-03") == EMPTY
    await import_(corrected)
    assert await fetch_closed(rest, "2024-03") == compact(corrected)


async def test_live_events_before_an_import_keep_their_months(
    import_: ImportReports, feed: Feed, rest: RestClient, database: Database, closed_months: Months
) -> None:
    await feed(
        event("user.upserted", "2024-02-01T00:00:00Z", username="ann"),
        created("2024-03-16T00:00:00Z", "early", 5),
        created("2024-04-16T12:00:00Z", "late", 60),
    )
    april = await rest("2024-04")

    [imported] = await import_(MARCH)

    # February has events and no report: it closes with March.
    assert [str(gap) for gap in imported.gaps] == ["2024-02"]
    assert await closed_months() == {"2024-02": "events", "2024-03": "2024-03.json"}
    assert (await rest("2024-02"))["users"]["licensedUsers"][0]["username"] == "ann"
    assert await fetch_closed(rest, "2024-03") == compact(MARCH)
    # April follows from the events alone: early and late, 65 MB; ann, who is no member.
    assert (await rest("2024-04"))["workspaces"] == april["workspaces"]
    assert april["workspaces"][0]["totalSizeInMb"] == 65.0
    assert await verify(database, "2024-04") is ComparedWith.EVENTS


async def test_live_events_of_imported_months_only_set_where_live_months_start(
    import_: ImportReports,
    feed: Feed,
    graphql: GraphQLClient,
    rest: RestClient,
    database: Database,
    close: Reopen,
) -> None:
    await import_(MARCH)
    await feed(
        event("user.upserted", "2024-01-01T00:00:00Z", username="ann"),
        created("2024-01-10T00:00:00Z", "old", 20),
        event("usage.recorded", "2024-03-09T00:00:00Z", username="ann", channel="ui", count=7),
        created("2024-04-16T00:00:00Z", "new", 60),
    )

    assert await fetch_closed(rest, "2024-03") == compact(MARCH)
    report = (await graphql(REPORT, month="2024-04"))["chargebackReport"]
    [lab] = report["workspaces"]
    # 20 MB for the whole of April, 60 MB for the second half of its 30 days; one is new.
    assert (lab["numberOfExperiments"], lab["totalSizeBytes"]) == (2, 83_886_080)
    assert (lab["experimentsCreated"], lab["averageSizeInMb"]) == (1, 50.0)
    assert report["corrections"] == []
    assert await verify(database, "2024-03") is ComparedWith.CLOSE
    assert await verify(database, "2024-04") is ComparedWith.EVENTS

    # Closed live months are corrected as ever: 30 MB since March, 30 MB late for April.
    await close("2024-04")
    await feed(created("2024-03-10T00:00:00Z", "forgotten", 30))
    assert await fetch_closed(rest, "2024-03") == compact(MARCH)
    may = (await graphql(REPORT, month="2024-05"))["chargebackReport"]
    assert {
        (each["originMonth"], each["figure"], each["amount"]) for each in may["corrections"]
    } == {
        ("2024-04", "EXPERIMENTS", "1"),
        ("2024-04", "SIZE_BYTES", "31457280"),
        # 30 MB for the 30 days of April: 31,457,280 bytes for 2,592,000,000,000 µs.
        ("2024-04", "BYTE_MICROSECONDS", "81537269760000000000"),
    }
    assert await verify(database, "2024-04") is ComparedWith.EVENTS_AND_CLOSE


async def test_live_events_long_after_an_import_leave_the_months_between_empty(
    import_: ImportReports, feed: Feed, rest: RestClient, database: Database
) -> None:
    await import_(MARCH)
    await feed(
        event(
            "user.upserted",
            "2024-07-02T00:00:00Z",
            username="ann",
            createdAt="2020-01-01T00:00:00Z",
        )
    )

    assert await fetch_names(rest, "2024-06") == EMPTY
    assert await fetch_names(rest, "2024-07") == {"workspaces": [], "users": ["ann"]}

    # An earlier event moves the start of the history: ann's account is older than that.
    await feed(created("2024-05-20T00:00:00Z", "x", 1))
    assert await fetch_names(rest, "2024-05") == {"workspaces": ["lab"], "users": ["ann"]}
    for month in ("2024-04", "2024-05", "2024-06", "2024-07"):
        assert await verify(database, month) is ComparedWith.EVENTS


async def test_a_month_between_two_reports_closes_as_its_events_state(
    import_: ImportReports, rest: RestClient, graphql: GraphQLClient, closed_months: Months
) -> None:
    may = {**APRIL, "reportDate": "2024-05"}

    _, imported = await import_(may, MARCH)

    assert [str(gap) for gap in imported.gaps] == ["2024-04"]
    assert await closed_months() == {
        "2024-03": "2024-03.json",
        "2024-04": "events",
        "2024-05": "2024-05.json",
    }
    assert await fetch_names(rest, "2024-04") == EMPTY
    sources = await graphql("{ sources { name lastRun { outcome skipped { item reason } } } }")
    assert sources["sources"] == [
        {
            "name": "imported reports",
            "lastRun": {
                "outcome": "DONE",
                "skipped": [
                    {
                        "item": "report of 2024-04",
                        "reason": "there is none: the month closed as its events state it",
                    }
                ],
            },
        }
    ]


async def test_reopening_an_imported_month_reopens_the_months_that_closed_with_it(
    import_: ImportReports,
    feed: Feed,
    rest: RestClient,
    database: Database,
    reopen: Reopen,
    closed_months: Months,
    clock: FixedClock,
) -> None:
    await import_(MARCH, {**APRIL, "reportDate": "2024-06"})
    await feed(created("2024-05-10T00:00:00Z", "x", 8))
    assert await fetch_names(rest, "2024-05") == EMPTY

    clock.now += timedelta(minutes=1)
    await reopen("2024-06")

    assert await closed_months() == {"2024-03": "2024-03.json"}
    assert await fetch_names(rest, "2024-05") == {"workspaces": ["lab"], "users": []}
    assert await fetch_names(rest, "2024-06") == {"workspaces": ["lab"], "users": []}
    for month in ("2024-04", "2024-05", "2024-06", "2024-07"):
        assert await verify(database, month) is ComparedWith.EVENTS
    assert await verify(database, "2024-03") is ComparedWith.CLOSE
    clock.now += timedelta(minutes=1)
    await import_(APRIL)
    assert await fetch_closed(rest, "2024-04") == compact(APRIL)


async def test_reopening_the_only_import_leaves_a_store_without_months(
    import_: ImportReports, database: Database, clock: FixedClock, reopen: Reopen
) -> None:
    await import_(MARCH)

    await reopen("2024-03")

    organization = await find_organization(database, DEFAULT_ORGANIZATION)
    assert (
        organization.first_month,
        organization.last_month,
        organization.closed_through,
        organization.imported_through,
    ) == (None, None, None, None)
    assert await list_months(database, organization.organization_id, clock.now) == []


async def test_a_report_cannot_follow_a_month_that_closed_from_live_events(
    import_: ImportReports, feed: Feed, close: Reopen, closed_months: Months
) -> None:
    await feed(created("2024-02-10T00:00:00Z", "x", 8))
    await close("2024-02")

    with pytest.raises(MonthClosed, match="2024-02 was closed from live events, and no imported"):
        await import_(MARCH)
    with pytest.raises(MonthClosed, match="2024-02 is already closed from live events: reopen it"):
        await import_({**MARCH, "reportDate": "2024-02"})

    assert await closed_months() == {"2024-02": "events"}


async def test_reports_of_several_months_are_imported_all_or_none(
    import_: ImportReports, rest: RestClient, closed_months: Months
) -> None:
    await import_(APRIL)

    # May could be imported, but March precedes a closed month.
    with pytest.raises(MonthClosed, match="2024-03 is already closed"):
        await import_({**APRIL, "reportDate": "2024-05"}, MARCH)

    assert await closed_months() == {"2024-04": "2024-04.json"}
    assert await fetch_closed(rest, "2024-04") == compact(APRIL)


async def test_months_without_events_do_not_close_by_themselves(
    import_: ImportReports, database: Database, clock: FixedClock
) -> None:
    await import_(MARCH)

    assert (
        await close_due_months(
            database, after_days=5, now=clock.now, on_failure=lambda name, _: pytest.fail(name)
        )
        == []
    )
    await import_(APRIL)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"reportDate": "2024-13"}, "reportDate: '2024-13' is not a month"),
        ({"reportDate": "1024-03"}, "reportDate is 1024-03: the earliest month is 2000-01"),
        ({"workspaces": None}, "workspaces: must be an array; got None"),
        (
            {"workspaces": [{**workspace("lab"), "numberOfMembers": 4}]},
            r"workspaces\[0\].numberOfMembers is 4, but 0 are listed",
        ),
        (
            {"workspaces": [workspace("lab"), workspace("lab")]},
            "workspaces: 'lab' is listed 2 times",
        ),
        (
            {"workspaces": [workspace("lab", [member("ann", email="other@x.test")])]},
            r"workspaces\[0\].members: 'ann' has the email 'other@x.test' here and 'ann@x.test'",
        ),
        (
            {"workspaces": [workspace("lab", [], [project("p", -1)])]},
            r"workspaces\[0\].projects\[0\].numberOfExperiments: must be 0 or more; got -1",
        ),
    ],
)
async def test_a_report_that_rows_cannot_represent_is_rejected_with_the_place(
    import_: ImportReports, rest: RestClient, changed: Json, message: str
) -> None:
    with pytest.raises(InvalidReport, match=message):
        await import_(MARCH, {**APRIL, **changed})

    assert await fetch_names(rest, "2024-03") == EMPTY


async def test_a_month_that_has_not_ended_is_rejected(import_: ImportReports) -> None:
    with pytest.raises(InvalidMonth, match="2026-11 has not ended"):
        await import_({**MARCH, "reportDate": "2026-11"})


async def test_two_reports_of_one_month_are_rejected(import_: ImportReports) -> None:
    with pytest.raises(InvalidMonth, match=r"2024-03\.json also reports 2024-03"):
        await import_(MARCH, MARCH)
