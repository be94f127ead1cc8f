"""The worked examples of the charge rules, from events to amounts."""

from app.domain.rates import Split
from tests.charges.conftest import FEE, GB, OCTOBER, SEAT, SEPTEMBER, STORAGE, Finance
from tests.conftest import Feed, event

BEFORE = "2026-08-01T00:00:00Z"


def experiment(
    name: str,
    at: str,
    size_gb: int,
    workspace: str = "vision",
    project: str = "seg",
    owner: str = "ann",
) -> bytes:
    return event(
        "experiment.created",
        at,
        experiment=name,
        workspace=workspace,
        project=project,
        username=owner,
        sizeBytes=size_gb * GB,
    )


def user(
    name: str, at: str = BEFORE, *, suspended: bool = False, service_account: bool = False
) -> bytes:
    return event(
        "user.upserted",
        at,
        username=name,
        suspended=suspended,
        serviceAccount=service_account,
    )


def line(found: dict[str, object]) -> tuple[object, ...]:
    return tuple(
        found[key] for key in ("costCentre", "workspace", "userName", "originMonth", "amount")
    )


async def test_seats_go_to_the_users_cost_centre_or_in_parts_to_their_workspaces(
    finance: Finance, feed: Feed
) -> None:
    await feed(
        user("ann"),
        user("bob", suspended=True),
        user("cy"),
        user("ci-bot", service_account=True),
        user("dee", "2026-09-30T12:00:00Z"),
        event("user.deleted", "2026-09-10T00:00:00Z", username="cy"),
        event("member.added", "2026-09-30T12:00:00Z", workspace="vision", username="dee"),
        event("member.added", "2026-09-30T12:00:00Z", workspace="crm", username="dee"),
    )
    await finance.charge(SEAT, "24.99")
    await finance.assign_workspace("vision", "4711")
    await finance.assign_workspace("crm", "4712")
    for name, code in (("ann", "4711"), ("bob", "4712"), ("cy", "4711")):
        await finance.assign_user(name, code)

    charges = await finance.charges(SEPTEMBER)

    # Four seats; the service account is free without a rate. dee's seat is half and half: 12.495.
    assert charges["total"] == "99.96"
    assert [tuple(each.values()) for each in charges["costCentres"]] == [
        ("4711", "Research", "62.48"),
        ("4712", "Sales", "37.48"),
    ]
    assert [line(each) for each in charges["lines"]] == [
        ("4711", None, "ann", None, "24.99"),
        ("4711", None, "cy", None, "24.99"),
        ("4711", "vision", "dee", None, "12.50"),
        ("4712", None, "bob", None, "24.99"),
        ("4712", "crm", "dee", None, "12.49"),
    ]


async def test_storage_is_weighted_by_time(finance: Finance, feed: Feed) -> None:
    await feed(
        experiment("e", "2026-09-01T00:00:00Z", 1),
        event("experiment.resized", "2026-09-06T00:00:00Z", experiment="e", sizeBytes=3 * GB),
    )
    await finance.charge(STORAGE, "0.23")

    [storage] = (await finance.charges(SEPTEMBER))["lines"]

    # (1 GB x 5 days + 3 GB x 25 days) / 30 days
    assert (storage["quantity"], storage["unit"]) == ("2.666666666667", "GB-month")
    assert (storage["exactAmount"], storage["amount"]) == ("0.613333333333", "0.61")


async def test_a_price_and_an_assignment_start_with_a_month(finance: Finance, feed: Feed) -> None:
    await feed(experiment("e", "2026-09-01T00:00:00Z", 100))
    await finance.charge(STORAGE, "0.20")
    await finance.price("storage", OCTOBER, "0.30")
    await finance.assign_workspace("vision", "4711")
    await finance.assign_workspace("vision", "4712", OCTOBER)

    assert await finance.by_cost_centre(SEPTEMBER) == {"4711": "20.00"}
    assert await finance.by_cost_centre(OCTOBER) == {"4712": "30.00"}


async def test_a_fee_is_shared_in_proportion_to_direct_charges(
    finance: Finance, feed: Feed
) -> None:
    sizes = {"a": 50, "b": 100, "c": 200}
    await feed(
        *(
            experiment(f"{name}-{month}", f"2026-{month}-01T00:00:00Z", size, workspace=name)
            for month, size_of in (("09", sizes),)
            for name, size in size_of.items()
        ),
        # From October on all three hold 200 GB.
        experiment("a-more", "2026-10-01T00:00:00Z", 150, workspace="a"),
        experiment("b-more", "2026-10-01T00:00:00Z", 100, workspace="b"),
    )
    await finance.charge(STORAGE, "0.20")
    await finance.charge(FEE, "1000")
    for name, code in (("a", "4711"), ("b", "4712"), ("c", "4713")):
        await finance.assign_workspace(name, code)

    september = [
        each for each in (await finance.charges(SEPTEMBER))["lines"] if each["rate"] == "fee"
    ]
    october = [each for each in (await finance.charges(OCTOBER))["lines"] if each["rate"] == "fee"]

    # Direct charges of 10, 20 and 40, then of 40 each.
    assert [each["amount"] for each in september] == ["142.86", "285.71", "571.43"]
    assert [each["amount"] for each in october] == ["333.34", "333.33", "333.33"]


async def test_unassigned_is_charged_but_bears_no_share_of_a_fee(
    finance: Finance, feed: Feed
) -> None:
    await feed(
        experiment("p", "2026-09-01T00:00:00Z", 50, workspace="pilot"),
        experiment("v", "2026-09-01T00:00:00Z", 150, workspace="vision"),
    )
    await finance.charge(STORAGE, "0.20")
    await finance.charge(FEE, "1000")
    await finance.assign_workspace("vision", "4711")

    assert await finance.by_cost_centre(SEPTEMBER) == {"4711": "1030.00", None: "10.00"}
    assert (await finance.charges(SEPTEMBER))["total"] == "1040.00"


LEVELS = """
query ($month: Month!) {
  chargebackReport(month: $month) {
    charges { total }
    projects { name workspace amount } formerProjects { name workspace amount }
    workspaces {
      name amount
      projects { name amount } formerProjects { name amount }
      members { userName amount } formerMembers { userName amount }
    }
  }
}
"""


async def test_projects_and_members_add_up_to_the_workspace(finance: Finance, feed: Feed) -> None:
    await feed(
        event("member.added", BEFORE, workspace="vision", username="ann"),
        event("member.added", BEFORE, workspace="vision", username="bob"),
        experiment("s", "2026-09-02T00:00:00Z", 100, project="seg", owner="ann"),
        experiment("o", "2026-09-02T00:00:00Z", 30, project="old", owner="bob"),
        event("project.deleted", "2026-09-17T00:00:00Z", workspace="vision", name="old"),
        event("member.removed", "2026-09-20T00:00:00Z", workspace="vision", username="ann"),
    )
    await finance.charge(STORAGE, "0.20")

    september = (await finance.graphql(LEVELS, month="2026-09"))["chargebackReport"]
    october = (await finance.graphql(LEVELS, month="2026-10"))["chargebackReport"]

    # 100 GB x 29 of 30 days = 19.333; 30 GB x 15 of 30 days = 3.00
    assert september == {
        "charges": {"total": "22.33"},
        "projects": [{"name": "seg", "workspace": "vision", "amount": "19.33"}],
        "formerProjects": [{"name": "old", "workspace": "vision", "amount": "3.00"}],
        "workspaces": [
            {
                "name": "vision",
                "amount": "22.33",
                "projects": [{"name": "seg", "amount": "19.33"}],
                "formerProjects": [{"name": "old", "amount": "3.00"}],
                "members": [{"userName": "bob", "amount": "3.00"}],
                "formerMembers": [{"userName": "ann", "amount": "19.33"}],
            }
        ],
    }
    assert october["charges"] == {"total": "20.00"}
    assert october["workspaces"][0]["formerProjects"] == []


async def test_late_facts_are_charged_at_the_prices_of_their_own_month(
    finance: Finance, feed: Feed
) -> None:
    await feed(event("workspace.upserted", BEFORE, name="vision"))
    await finance.charge(STORAGE, "0.20")
    await finance.price("storage", OCTOBER, "0.50")
    await finance.assign_workspace("vision", "4711")
    await finance.assign_workspace("vision", "4712", OCTOBER)
    await finance.close(SEPTEMBER)

    # It turns out that ann has had 30 GB since 16 September.
    await feed(experiment("late", "2026-09-16T00:00:00Z", 30))
    october = await finance.charges(OCTOBER)
    assert [line(each) for each in october["lines"]] == [
        ("4712", "vision", None, None, "15.00"),
        ("4711", "vision", None, "2026-09", "3.00"),
    ]
    assert (october["total"], october["corrections"]) == ("18.00", "3.00")
    assert (await finance.charges(SEPTEMBER))["total"] == "0.00"

    # October closes; then the experiment proves to have been deleted when it was created.
    await finance.close(OCTOBER)
    await feed(event("experiment.deleted", "2026-09-16T00:00:00Z", experiment="late"))
    november = await finance.charges(OCTOBER.plus(1))
    assert [line(each) for each in november["lines"]] == [
        ("4711", "vision", None, "2026-09", "-3.00"),
        ("4712", "vision", None, "2026-10", "-15.00"),
    ]
    assert await finance.charges(OCTOBER) == october


async def test_an_empty_workspace_has_no_lines_and_unassigned_pays_the_fee(
    finance: Finance, feed: Feed
) -> None:
    await feed(event("workspace.upserted", BEFORE, name="empty"))
    await finance.charge(STORAGE, "0.20")
    await finance.charge(SEAT, "24.99")

    nothing = await finance.charges(SEPTEMBER)
    assert (nothing["total"], nothing["lines"]) == ("0.00", [])

    await finance.charge(FEE, "1000")
    assert await finance.by_cost_centre(SEPTEMBER) == {None: "1000.00"}

    await finance.rate(FEE._replace(split=Split.EVEN))
    assert await finance.by_cost_centre(SEPTEMBER) == {None: "1000.00"}


async def test_a_currency_without_minor_units_books_whole_amounts(
    finance: Finance, feed: Feed
) -> None:
    await finance.currency("JPY")
    await feed(
        experiment("e", "2026-09-01T00:00:00Z", 1),
        event("experiment.resized", "2026-09-06T00:00:00Z", experiment="e", sizeBytes=3 * GB),
    )
    await finance.charge(STORAGE, "23")

    assert (await finance.charges(SEPTEMBER))["total"] == "61"
