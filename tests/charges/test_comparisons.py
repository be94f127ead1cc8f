"""What is charged to a cost centre or for some of the users, and how it changed."""

from tests.charges.conftest import GB, OCTOBER, SEAT, SEPTEMBER, STORAGE, Finance
from tests.charges.test_worked_examples import experiment
from tests.conftest import Feed, event

START = "2026-08-01T00:00:00Z"

CENTRES = """
query ($month: Month!, $months: Int!) {
  chargebackReport(month: $month) {
    charges {
      costCentres {
        code amount previous(months: $months) { amount }
        change(months: $months) { absolute percent }
      }
    }
  }
}
"""


async def test_a_cost_centre_is_compared_with_an_earlier_month(
    finance: Finance, feed: Feed
) -> None:
    await feed(
        experiment("p", "2026-09-01T00:00:00Z", 50, workspace="pilot"),
        experiment("v", "2026-09-01T00:00:00Z", 150, workspace="vision"),
    )
    await finance.charge(STORAGE, "0.20")
    await finance.price("storage", OCTOBER, "0.30")
    await finance.assign_workspace("vision", "4711")
    await finance.assign_workspace("pilot", "4712", OCTOBER)

    async def compare(month: str, months: int) -> list[tuple[str | None, ...]]:
        data = await finance.graphql(CENTRES, month=month, months=months)
        return [
            (
                each["code"],
                each["amount"],
                each["previous"] and each["previous"]["amount"],
                *each["change"].values(),
            )
            for each in data["chargebackReport"]["charges"]["costCentres"]
        ]

    # October: 150 GB x 0.30 = 45.00 after 30.00; 50 GB x 0.30 = 15.00, unassigned before.
    assert await compare("2026-10", 1) == [
        ("4711", "45.00", "30.00", "15.00", 50.0),
        ("4712", "15.00", None, "15.00", None),
    ]
    assert await compare("2026-09", 1) == [
        ("4711", "30.00", None, "30.00", None),
        (None, "10.00", None, "10.00", None),
    ]
    # 23.5 days of November so far: 45.00 x 23.5 / 30.
    assert (await compare("2026-11", 2))[0][1:4] == ("35.25", "30.00", "5.25")


SUBTOTALS = """
{
  chargebackReport(month: "2026-09") {
    users {
      all: subtotal { numberOfUsers amount }
      idle: subtotal(filter: { idleSince: "2026-09-10" }) { numberOfUsers amount }
      count: subtotal(filter: { suspended: true }) { numberOfUsers }
    }
  }
}
"""


async def test_the_seats_of_idle_users_are_added_up(finance: Finance, feed: Feed) -> None:
    await feed(
        *(event("user.upserted", START, username=name) for name in ("ann", "bob", "cy")),
        event("user.upserted", START, username="dee", suspended=True),
        event("usage.recorded", "2026-08-02T00:00:00Z", username="bob", channel="ui"),
        event("usage.recorded", "2026-08-02T00:00:00Z", username="bob", channel="sdk"),
        event("usage.recorded", "2026-09-20T00:00:00Z", username="ann", channel="ui"),
    )

    async def subtotals() -> list[tuple[int, str | None]]:
        users = (await finance.graphql(SUBTOTALS))["chargebackReport"]["users"]
        return [tuple(each.values()) for each in users.values()]

    # bob, cy and dee have done nothing since 10 September.
    assert await subtotals() == [(4, "0.00"), (3, "0.00"), (1,)]
    await finance.charge(SEAT, "24.99", SEPTEMBER)
    assert await subtotals() == [(4, "99.96"), (3, "74.97"), (1,)]


CHANGES = """
query ($month: Month!, $costCentre: String!) {
  statement(month: $month, costCentre: $costCentre) { total changes { reason amount } }
}
"""


async def test_a_statement_says_why_it_differs_from_the_month_before(
    finance: Finance, feed: Feed
) -> None:
    await feed(
        experiment("v", "2026-09-01T00:00:00Z", 100, workspace="vision"),
        experiment("p", "2026-09-01T00:00:00Z", 50, workspace="pilot"),
        experiment("c", "2026-09-01T00:00:00Z", 40, workspace="crm"),
        experiment("l", "2026-10-01T00:00:00Z", 10, workspace="lab"),
        event("experiment.resized", "2026-10-01T00:00:00Z", experiment="v", sizeBytes=200 * GB),
        event("experiment.resized", "2026-10-01T00:00:00Z", experiment="c", sizeBytes=10 * GB),
        event("workspace.deleted", "2026-09-30T12:00:00Z", name="pilot"),
        event("user.upserted", "2026-10-02T00:00:00Z", username="bob"),
    )
    await finance.charge(STORAGE, "0.20")
    await finance.charge(SEAT, "5.00", OCTOBER)
    for workspace in ("vision", "pilot", "crm", "lab"):
        await finance.assign_workspace(workspace, "4711")
    await finance.assign_user("bob", "4711")
    await finance.assign_user("ann", "4712")

    async def read(month: str) -> tuple[str, list[tuple[str, str]]]:
        data = await finance.graphql(CHANGES, month=month, costCentre="4711")
        changes = data["statement"]["changes"]
        return data["statement"]["total"], [tuple(each.values()) for each in changes]

    # September: vision 20.00, pilot 50 x 0.20 x 29.5 / 30 = 9.83, crm 8.00.
    assert await read("2026-09") == ("37.83", [("NEW", "37.83")])
    # October: vision 40.00, crm 2.00, lab 2.00, bob's seat 5.00.
    assert await read("2026-10") == (
        "49.00",
        [
            ("NEW", "2.00"),
            ("GROWN", "20.00"),
            ("SHRUNK", "-6.00"),
            ("GONE", "-9.83"),
            ("SEATS", "5.00"),
        ],
    )
