"""Apollo Client with its default cache, which stores every object by type and `id`."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from app.db.engine import Database
from app.domain.audit import OPERATOR
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.ids import organization_id
from app.domain.months import Month
from app.services.rate_card import set_currency, set_price, set_rate
from tests.charges.conftest import SEAT
from tests.clients.conftest import run_node
from tests.conftest import NOW, Feed, FixedClock, event

MONTHS = ("2026-07", "2026-08", "2026-09", "2026-10")
MEGABYTE = 1_048_576
FRAGMENTS = """
fragment Everything on ChargebackReport {
  id reportDate organization { id name } totalSizeInMb
  workspaces { ...InWorkspace }
  formerWorkspaces { ...InWorkspace }
  charges { id total lines { id lineId workspace amount } }
  users { id numberOfUsers licensedUsers { id userId username totalSizeBytes experimentsCreated } }
}
fragment InWorkspace on Workspace {
  id workspaceId name totalSizeInMb experimentsCreated
  members {
    id userId userName totalSizeInMb experimentsCreated user { id username totalSizeInMb }
  }
  formerMembers { id userId userName totalSizeInMb experimentsCreated }
  projects { id projectId name totalSizeInMb experimentsCreated }
  formerProjects { id projectId name totalSizeInMb experimentsCreated }
}
"""
YEAR = (
    "query Year($from: Month!, $to: Month!, $organization: String) { chargebackReports("
    "from: $from, to: $to, organization: $organization) { ...Everything } }" + FRAGMENTS
)
MONTH = (
    "query Report($month: Month!, $organization: String) { chargebackReport("
    "month: $month, organization: $organization) { ...Everything } }" + FRAGMENTS
)
NUMBER_OF_USERS = """
query Users($month: Month!, $organization: String) {
  chargebackReport(month: $month, organization: $organization) {
    id users { id numberOfUsers }
  }
}
"""
USERNAMES = """
query Usernames($month: Month!, $organization: String) {
  chargebackReport(month: $month, organization: $organization) {
    id users { id licensedUsers(orderBy: CREATED_AT) { id username } }
  }
}
"""


def growing_months(megabytes: int) -> Sequence[bytes]:
    """One experiment, of another size in each month; ann leaves, an old workspace is deleted."""
    of_experiment = {"workspace": "vision", "project": "seg", "username": "ann"}
    in_july = "2026-07-01T00:00:00Z"
    return [
        event("user.upserted", in_july, username="ann", createdAt=in_july),
        event("user.upserted", in_july, username="bob", createdAt="2026-06-01T00:00:00Z"),
        event("member.added", in_july, workspace="vision", username="ann"),
        event("member.added", in_july, workspace="vision", username="bob"),
        event("experiment.created", in_july, experiment="e", sizeBytes=1, **of_experiment),
        *(
            event(
                "experiment.resized",
                f"{month}-02T00:00:00Z",
                experiment="e",
                sizeBytes=number * megabytes * MEGABYTE,
            )
            for number, month in enumerate(MONTHS, 1)
        ),
        event(
            "experiment.created",
            "2026-08-05T00:00:00Z",
            experiment="f",
            sizeBytes=7 * MEGABYTE,
            workspace="old",
            project="old",
            username="bob",
        ),
        event("project.upserted", "2026-09-03T00:00:00Z", workspace="vision", name="pose"),
        event("workspace.deleted", "2026-09-05T00:00:00Z", name="old"),
        event("member.removed", "2026-09-20T00:00:00Z", workspace="vision", username="ann"),
    ]


async def charge_seats(database: Database, organization: str, price: str) -> None:
    """Charge each user's seat from the first month on."""
    id_, july = organization_id(organization), Month.parse(MONTHS[0])
    await set_currency(database, id_, "EUR", by=OPERATOR, now=NOW)
    await set_rate(database, id_, SEAT, by=OPERATOR, now=NOW)
    await set_price(
        database, id_, "seat", july, Decimal(price), currency=None, by=OPERATOR, now=NOW
    )


async def test_four_months_of_two_organizations_stay_apart_in_the_cache(
    front_end: Path,
    address: str,
    feed: Feed,
    clock: FixedClock,
    other_organization: str,
    admin_key: str,
) -> None:
    await feed(*growing_months(megabytes=1))
    await Feed(feed.database, clock, other_organization)(*growing_months(megabytes=100))
    await charge_seats(feed.database, DEFAULT_ORGANIZATION, "10.00")
    await charge_seats(feed.database, other_organization, "20.00")
    organizations = (None, other_organization)
    queries: list[dict[str, Any]] = [
        {"query": YEAR, "variables": {"from": MONTHS[0], "to": MONTHS[-1], "organization": name}}
        for name in organizations
    ]
    queries += [
        {"query": query, "variables": {"month": month, "organization": name}}
        for query in (MONTH, NUMBER_OF_USERS, USERNAMES)
        for month in MONTHS
        for name in organizations
    ]

    found = await run_node(
        front_end, "read.mjs", f"{address}/graphql", document=queries, key=admin_key
    )

    answers = found["answers"]
    sizes = [
        report["workspaces"][-1]["totalSizeInMb"]
        for answer in answers[:2]
        for report in answer["fetched"]["chargebackReports"]
    ]
    assert sizes == [1, 2, 3, 4, 100, 200, 300, 400]
    seats = [
        line["amount"]
        for answer in answers[:2]
        for report in answer["fetched"]["chargebackReports"]
        for line in report["charges"]["lines"]
    ]
    assert seats == ["10.00"] * 8 + ["20.00"] * 8
    assert [each["fetched"] for each in answers] == [each["wire"] for each in answers]
    assert [each["cached"] for each in answers] == [each["wire"] for each in answers]
    # Four months of two organizations: vision, and in August and September `old`, with their
    # projects (seg, from September `pose`, and that of `old`) and members and former members:
    # ann and bob in vision, and in August and September bob in `old`.
    assert Counter(key.partition(":")[0] for key in found["keys"]) == {
        "ROOT_QUERY": 1,
        "Organization": 2,
        "ChargebackReport": 8,
        "Users": 8,
        "Charges": 8,
        "ChargeLine": 16,
        "LicensedUser": 16,
        "Workspace": 2 * (4 + 2),
        "Project": 2 * (4 + 2 + 2),
        "Member": 2 * (8 + 2),
    }
