"""Reports of another service: the months that they close, and how things go on from them."""

from datetime import timedelta

import orjson
import pytest

from app.db.engine import Database
from app.domain.audit import OPERATOR
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import InvalidMonth, InvalidReport, MonthClosed
from app.domain.months import Month
from app.services.month_verification import verify_month
from app.services.months import reopen_month
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


async def verified(database: Database, *months: str) -> None:
    found = await find_organization(database, DEFAULT_ORGANIZATION)
    for month in months:
        assert (
            await verify_month(database, found.organization_id, Month.parse(month))
        ).differences == []


async def shown(rest: RestClient, month: str) -> bytes:
    answer = await rest.get(reportMonth=month)
    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]
    return answer.content


async def test_the_documented_example_comes_back_byte_for_byte(
    import_: ImportReports, rest: RestClient, database: Database
) -> None:
    [imported] = await import_(GOLDEN)

    assert (str(imported.month), imported.stated, imported.gaps) == ("2021-03", 0, [])
    assert await shown(rest, "2021-03") == compact(GOLDEN)
    await verified(database, "2021-03", "2021-04")


async def test_the_next_month_goes_on_from_the_stocks(
    import_: ImportReports, rest: RestClient, graphql: GraphQLClient
) -> None:
    await import_(GOLDEN)

    following = await rest("2021-04")

    assert following["workspaces"] == GOLDEN["workspaces"]
    [known] = following["users"]["licensedUsers"]
    assert known == GOLDEN["users"]["licensedUsers"][0]


async def test_the_same_report_again_changes_nothing(
    import_: ImportReports, rest: RestClient, graphql: GraphQLClient
) -> None:
    await import_(GOLDEN)
    before = await shown(rest, "2021-03"), await rest("2021-04"), await rest()

    [again] = await import_(GOLDEN)

    assert again.accepted is None
    assert (await shown(rest, "2021-03"), await rest("2021-04"), await rest()) == before


MARCH = document(
    "2024-03",
    [
        workspace(
            "lab",
            # 3 experiments and 30 MB are of people who are no members any more.
            [member("ann", 2, 60.0), member("bob", 1, 10.0)],
            [project("p", 4, 70.0), project("q", 2, 30.0)],
            6,
            100.0,
        )
    ],
    [
        user("ann", uiUsageCount=3, uiUsageUpdateTs=ms(2024, 3, 9)),
        user("bob", suspended=True),
        user("cy", created_at=ms(2024, 3, 20)),
    ],
)
APRIL = document(
    "2024-04",
    [
        workspace("lab", [member("ann", 3, 90.0)], [project("p", 5, 95.0)], 5, 95.0),
        workspace("new", [member("dee", 1, 0.01)], [project("p", 1, 0.01)], 1, 0.01),
    ],
    [
        user("ann", email="ann@y.test", sdkUsageCount=2, sdkUsageUpdateTs=ms(2024, 4, 30)),
        user("bob", suspended=True),
        user("dee", created_at=ms(2024, 4, 2)),
    ],
)
APRIL["workspaces"][0]["members"][0]["email"] = "ann@y.test"

FLOWS = """
query ($month: Month!) {
  chargebackReport(month: $month) {
    status importedFrom totalSizeBytes numberOfExperiments
    workspaces {
      name totalSizeBytes experimentsCreated averageSizeInMb
      formerMembers { userName numberOfExperiments totalSizeBytes }
    }
    users { licensedUsers { username uiUsageCount sdkUsageCount experimentsCreated } }
    corrections { originMonth figure amount workspace project userName }
  }
}
"""


async def test_two_months_come_back_and_the_second_follows_from_the_first(
    import_: ImportReports, rest: RestClient, database: Database
) -> None:
    await import_(MARCH)
    await import_(APRIL)

    assert await shown(rest, "2024-03") == compact(MARCH)
    assert await shown(rest, "2024-04") == compact(APRIL)
    await verified(database, "2024-03", "2024-04", "2024-05")
    may = await rest("2024-05")
    assert may["workspaces"] == APRIL["workspaces"]
    # Of a user, only what was used stays in its month.
    assert [each["username"] for each in may["users"]["licensedUsers"]] == ["ann", "bob", "dee"]
    assert may["users"]["licensedUsers"][0]["sdkUsageCount"] == 0


async def test_what_a_report_cannot_say_is_unknown(
    import_: ImportReports, graphql: GraphQLClient
) -> None:
    await import_(MARCH)

    report = (await graphql(FLOWS, month="2024-03"))["chargebackReport"]

    assert (report["status"], report["importedFrom"]) == ("CLOSED", "2024-03.json")
    assert report["corrections"] == []
    [lab] = report["workspaces"]
    assert (lab["experimentsCreated"], lab["averageSizeInMb"]) == (None, None)
    # 100 MB - 60 MB - 10 MB, to the byte, of nobody who is named.
    assert lab["formerMembers"] == [
        {"userName": "(unknown)", "numberOfExperiments": 3, "totalSizeBytes": 31_457_280}
    ]
    ann = report["users"]["licensedUsers"][0]
    # The UI is measured, since somebody used it; whether the SDK is, the report does not tell.
    assert (ann["uiUsageCount"], ann["sdkUsageCount"]) == (3, None)
    assert ann["experimentsCreated"] is None


async def test_the_month_after_the_last_report_knows_its_flows(
    import_: ImportReports, feed: Feed, graphql: GraphQLClient
) -> None:
    await import_(MARCH, APRIL)
    await feed(
        event(
            "experiment.created",
            "2024-05-16T12:00:00Z",
            experiment="real",
            workspace="new",
            project="p",
            username="dee",
            sizeBytes=62_914_560,
        )
    )

    may = (await graphql(FLOWS, month="2024-05"))["chargebackReport"]

    assert (may["status"], may["importedFrom"]) == ("OPEN", None)
    lab, new = may["workspaces"]
    assert (lab["experimentsCreated"], lab["averageSizeInMb"]) == (0, 95.0)
    # 0.01 MB all the time, and 60 MB for the second half.
    assert (new["experimentsCreated"], new["averageSizeInMb"]) == (1, 30.01)


async def test_newer_documents_tell_whose_the_rest_is(
    import_: ImportReports, rest: RestClient, graphql: GraphQLClient
) -> None:
    newer = document(
        "2024-03",
        [workspace("lab", [member("ann", 1, 1.0)], [project("p", 3, 5.0)], 3, 5.0)],
        [
            user("ann", createdAt=ms(2020, 1, 1), experimentCount=1, dataLoggedMb=1.0),
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
    for each in newer["users"]["licensedUsers"]:
        each["created_at"] = each["createdAt"]
    await import_(newer)

    report = (await graphql(FLOWS, month="2024-03"))["chargebackReport"]
    users = await graphql(
        """query { chargebackReport(month: "2024-03") { users { licensedUsers {
           username createdAt deletedAt lastUsedAt numberOfExperiments totalSizeInMb } } } }"""
    )

    assert report["corrections"] == []
    assert report["workspaces"][0]["formerMembers"] == [
        {"userName": "gone", "numberOfExperiments": 2, "totalSizeBytes": 4_194_304}
    ]
    assert users["chargebackReport"]["users"]["licensedUsers"][1] == {
        "username": "gone",
        "createdAt": "2020-01-01T00:00:00Z",
        "deletedAt": "2024-03-05T00:00:00Z",
        "lastUsedAt": "2024-02-03T00:00:00Z",
        "numberOfExperiments": 2,
        "totalSizeInMb": 4.0,
    }
    april = await rest("2024-04")
    assert [each["username"] for each in april["users"]["licensedUsers"]] == ["ann"]


async def test_a_report_that_does_not_add_up_stands_and_says_where(
    import_: ImportReports, rest: RestClient, graphql: GraphQLClient, database: Database
) -> None:
    # The workspace counts one experiment and 1 MB that are in no project.
    odd = document(
        "2024-03",
        [workspace("lab", [member("ann", 2, 4.0)], [project("p", 2, 4.0)], 3, 5.0)],
        [user("ann")],
    )

    [imported] = await import_(odd)

    assert imported.stated == 2
    assert await shown(rest, "2024-03") == compact(odd)
    await verified(database, "2024-03", "2024-04")
    report = (await graphql(FLOWS, month="2024-03"))["chargebackReport"]
    place = {"originMonth": "2024-03", "workspace": "lab", "project": None, "userName": None}
    assert report["corrections"] == [
        {**place, "figure": "EXPERIMENTS", "amount": "-1"},
        {**place, "figure": "SIZE_BYTES", "amount": "-1048576"},
    ]
    sources = await graphql("{ sources { name lastRun { outcome skipped { item reason } } } }")
    assert sources["sources"] == [
        {
            "name": "imported reports",
            "lastRun": {
                "outcome": "DONE",
                "skipped": [
                    {
                        "item": "report of 2024-03",
                        "reason": "2 figures stand as it states them, and its events say "
                        "otherwise",
                    }
                ],
            },
        }
    ]


async def test_a_month_between_two_reports_is_as_the_first_left_it(
    import_: ImportReports, rest: RestClient, database: Database
) -> None:
    may = {**APRIL, "reportDate": "2024-05"}

    _, imported = await import_(may, MARCH)

    assert [str(gap) for gap in imported.gaps] == ["2024-04"]
    assert (await rest("2024-04"))["workspaces"] == MARCH["workspaces"]
    assert (await rest("2024-05"))["workspaces"] == APRIL["workspaces"]
    await verified(database, "2024-03", "2024-04", "2024-05", "2024-06")


async def test_a_corrected_report_takes_the_place_of_the_first_once_its_month_is_opened_again(
    import_: ImportReports, rest: RestClient, database: Database, clock: FixedClock
) -> None:
    await import_(MARCH)
    clock.now += timedelta(minutes=1)
    corrected = orjson.loads(orjson.dumps(MARCH))
    corrected["workspaces"][0]["members"][1] |= {"numberOfExperiments": 2, "totalSizeInMb": 12.5}
    corrected["users"]["licensedUsers"][0]["uiUsageCount"] = 5

    with pytest.raises(MonthClosed, match="2024-03 is closed already, by another report"):
        await import_(corrected)
    found = await find_organization(database, DEFAULT_ORGANIZATION)
    month = Month.parse("2024-03")
    await reopen_month(
        database,
        found.organization_id,
        month,
        reason="it was wrong",
        by=OPERATOR,
        now=clock.now,
    )
    [imported] = await import_(corrected)

    assert imported.stated == 0
    assert await shown(rest, "2024-03") == compact(corrected)
    await verified(database, "2024-03", "2024-04")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"reportDate": "2024-13"}, "reportDate: '2024-13' is not a month"),
        ({"workspaces": None}, r"Expected `array`, got `null` - at `\$.workspaces`"),
        (
            {"workspaces": [{**workspace("lab"), "numberOfMembers": 4}]},
            r"workspaces\[0\].numberOfMembers is 4, and 0 are listed",
        ),
        (
            {"workspaces": [workspace("lab"), workspace("lab")]},
            "workspaces: 'lab' is listed 2 times",
        ),
        (
            {"workspaces": [workspace("lab", [member("ann", email="other@x.test")])]},
            "'ann' has the email 'other@x.test' here and 'ann@y.test' elsewhere",
        ),
        (
            {"workspaces": [workspace("lab", [], [project("p", -1)])]},
            r"Expected `int` >= 0 - at `\$.workspaces\[0\].projects\[0\].numberOfExperiments`",
        ),
    ],
)
async def test_a_report_that_cannot_be_kept_is_refused_with_the_place(
    import_: ImportReports, rest: RestClient, changed: Json, told: str
) -> None:
    with pytest.raises(InvalidReport, match=told):
        await import_(MARCH, {**APRIL, **changed})

    assert (await rest("2024-03"))["workspaces"] == []


async def test_a_month_that_has_not_ended_is_refused(import_: ImportReports) -> None:
    with pytest.raises(InvalidMonth, match="2026-11 has not ended"):
        await import_({**MARCH, "reportDate": "2026-11"})


async def test_two_reports_of_one_month_are_refused(import_: ImportReports) -> None:
    with pytest.raises(InvalidMonth, match="2024-03 is also the month of 2024-03"):
        await import_(MARCH, MARCH)
