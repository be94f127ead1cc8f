"""Uses by users without a licence are charged to nobody, and the report says so."""

from typing import Any

from app.domain.rates import Measure, Rate
from tests.charges.conftest import AUGUST, SEPTEMBER, Finance
from tests.conftest import Feed, GraphQLClient, event

QUERY = """
query ($month: Month!, $first: Int, $after: String) {
  chargebackReport(month: $month) {
    users { licensedUsers { username uiUsageCount } }
    charges { total }
    chargedToNobody {
      numberOfUsers uiUsageCount sdkUsageCount amount
      users(first: $first, after: $after) {
        username uiUsageCount sdkUsageCount amount similarUsername
      }
    }
  }
}
"""
UI_RATE = Rate("ui", "Uses of the UI", Measure.UI_USES)
SDK_RATE = Rate("sdk", "Uses of the SDK", Measure.SDK_USES)


def use(username: str, channel: str, count: int, day: int = 5) -> bytes:
    at = f"2026-09-{day:02}T08:00:00Z"
    return event("usage.recorded", at, username=username, channel=channel, count=count)


async def fetch(graphql: GraphQLClient, month: str = "2026-09", **variables: Any) -> Any:
    data = await graphql(QUERY, month=month, **variables)
    return data["chargebackReport"]


async def test_uses_under_a_name_in_another_case_are_charged_to_nobody(
    feed: Feed, graphql: GraphQLClient, finance: Finance
) -> None:
    await finance.charge(UI_RATE, "0.333", AUGUST)
    await finance.charge(SDK_RATE, "0.01", AUGUST)
    await feed(
        event("user.upserted", "2026-09-01T00:00:00Z", username="Ann"),
        use("Ann", "ui", 2),
        use("ann", "ui", 10),
        use("ghost", "ui", 10),
        use("ghost", "sdk", 4),
    )

    report = await fetch(graphql)

    # 2 uses at 0.333 are 0.67 for Ann. To nobody: 20 at 0.333 are 6.66, in halves, and 4 at 0.01.
    assert report == {
        "users": {"licensedUsers": [{"username": "Ann", "uiUsageCount": 2}]},
        "charges": {"total": "0.67"},
        "chargedToNobody": {
            "numberOfUsers": 2,
            "uiUsageCount": 20,
            "sdkUsageCount": 4,
            "amount": "6.70",
            "users": [
                {
                    "username": "ann",
                    "uiUsageCount": 10,
                    "sdkUsageCount": 0,
                    "amount": "3.33",
                    "similarUsername": "Ann",
                },
                {
                    "username": "ghost",
                    "uiUsageCount": 10,
                    "sdkUsageCount": 4,
                    "amount": "3.37",
                    "similarUsername": None,
                },
            ],
        },
    }


async def test_a_closed_month_keeps_what_was_charged_to_nobody(
    feed: Feed, graphql: GraphQLClient, finance: Finance
) -> None:
    await finance.charge(UI_RATE, "0.50", AUGUST)
    await feed(event("workspace.upserted", "2026-09-01T00:00:00Z", name="w"), use("x", "ui", 3))
    await finance.close(SEPTEMBER)
    await feed(use("x", "ui", 4), event("user.upserted", "2026-10-01T00:00:00Z", username="x"))

    september, october = await fetch(graphql), await fetch(graphql, "2026-10")

    assert september["chargedToNobody"]["amount"] == "1.50"
    assert september["chargedToNobody"]["users"][0]["uiUsageCount"] == 3
    assert october["chargedToNobody"] == {
        "numberOfUsers": 0,
        "uiUsageCount": 0,
        "sdkUsageCount": None,
        "amount": "0.00",
        "users": [],
    }


async def test_what_is_charged_to_nobody_is_paged(feed: Feed, graphql: GraphQLClient) -> None:
    await feed(*(use(name, "sdk", 1) for name in ("a", "b", "c")))

    report = await fetch(graphql, first=1, after="a")

    # Without a currency nothing is charged.
    assert report["chargedToNobody"]["amount"] is None
    assert report["chargedToNobody"]["numberOfUsers"] == 3
    assert [each["username"] for each in report["chargedToNobody"]["users"]] == ["b"]


async def test_a_carried_month_charges_nothing_to_nobody(
    feed: Feed, graphql: GraphQLClient
) -> None:
    await feed(use("a", "sdk", 1))

    report = await fetch(graphql, "2026-10")

    assert report["chargedToNobody"]["numberOfUsers"] == 0
    assert report["chargedToNobody"]["sdkUsageCount"] == 0
