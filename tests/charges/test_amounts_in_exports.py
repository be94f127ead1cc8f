"""Amounts of projects and members in exports, and the sums over a range of months."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest

from app.domain.rates import Measure, Rate
from tests.charges.conftest import SEAT, SEPTEMBER, STORAGE, Finance
from tests.charges.test_worked_examples import experiment, user
from tests.conftest import Feed, event

EXPORT = "/api/admin/chargeback/export"


async def fetch(finance: Finance, parameters: Mapping[str, str], status: int = 200) -> bytes:
    graphql = finance.graphql
    response = await graphql.client.get(
        EXPORT, params=parameters, headers={"Authorization": graphql.key}
    )
    assert response.status_code == status, response.text
    return response.content


async def rows(
    finance: Finance, headings: Sequence[str], **parameters: str
) -> list[tuple[str, ...]]:
    """Return these columns of the lines of a CSV file, but for the status."""
    lines = csv.DictReader(io.StringIO((await fetch(finance, parameters)).decode()))
    return [tuple(line[name] for name in headings) for line in lines if line["Type"] != "status"]


@pytest.fixture
async def vision(finance: Finance, feed: Feed) -> Finance:
    """September, closed, and October with a correction of it; storage costs 0.20, a seat 10.00.

    ann has 100 GB in seg from the 2nd. bob has 30 GB in old, which is deleted on the 17th, and is
    a member of vision. In October it turns out that ann has had 30 GB more since 16 September.
    """
    await feed(
        user("bob"),
        event("member.added", "2026-09-01T00:00:00Z", workspace="vision", username="bob"),
        experiment("s", "2026-09-02T00:00:00Z", 100, project="seg", owner="ann"),
        experiment("o", "2026-09-02T00:00:00Z", 30, project="old", owner="bob"),
        event("project.deleted", "2026-09-17T00:00:00Z", workspace="vision", name="old"),
    )
    await finance.charge(STORAGE, "0.20")
    await finance.charge(SEAT, "10.00")
    await finance.assign_workspace("vision", "4711")
    await finance.close(SEPTEMBER)
    await feed(experiment("late", "2026-09-16T00:00:00Z", 30, project="seg", owner="ann"))
    return finance


async def test_projects_and_members_have_amounts_that_add_up_to_the_workspaces(
    vision: Finance,
) -> None:
    shown = ("Type", "Workspace", "Amount", "Currency")
    workspaces = await rows(vision, shown, reportMonth="2026-09", by="workspace")
    projects = await rows(vision, ("Project", *shown[2:]), reportMonth="2026-09", by="project")
    members = await rows(vision, ("User", *shown[2:]), reportMonth="2026-09", by="member")

    # 100 GB x 29 of 30 days = 19.333; 30 GB x 15 of 30 days = 3.00
    assert workspaces == [
        ("workspace", "vision", "22.33", "EUR"),
        ("total", "", "22.33", "EUR"),
    ]
    assert projects == [("old", "3.00", "EUR"), ("seg", "19.33", "EUR"), ("", "22.33", "EUR")]
    assert members == [("ann", "19.33", "EUR"), ("bob", "3.00", "EUR"), ("", "22.33", "EUR")]


@pytest.mark.parametrize(("by", "heading", "name"), [
    ("project", "Project", "seg"), ("member", "User", "ann"), ("workspace", "Workspace", "vision"),
])  # fmt: skip
async def test_corrections_have_amounts_of_their_own(
    vision: Finance, by: str, heading: str, name: str
) -> None:
    found = await rows(vision, ("Type", heading, "Amount"), reportMonth="2026-10", by=by)

    # October: 130 GB. September's 30 GB for 15 of 30 days are 3.00. ann is no member of vision.
    assert (f"former {by}" if by == "member" else by, name, "26.00") in found
    assert found[-3:] == [
        ("total", "", "26.00"),
        ("correction", name, "3.00"),
        ("total with corrections", "", "29.00"),
    ]


@pytest.mark.parametrize("order", ["name", "average"])
async def test_the_total_of_the_first_rows_covers_all(vision: Finance, order: str) -> None:
    found = await rows(
        vision, ("User", "Amount"), reportMonth="2026-09", by="member", top="1", order=order,
        workspace="vision",
    )  # fmt: skip

    assert found == [("ann", "19.33"), ("", "22.33")]


async def test_the_months_of_a_range_are_added_up(vision: Finance) -> None:
    range_ = {"from": "2026-09", "to": "2026-10", "sum": "true"}
    projects = await rows(
        vision,
        ("Type", "First month", "Last month", "Project", "Created", "Average in MB", "Amount"),
        by="project",
        **range_,
    )
    workspaces = await rows(vision, ("Workspace", "Amount"), by="workspace", **range_)
    users = await rows(
        vision, ("Type", "User", "Licensed months", "Amount"), by="user", order="average", **range_
    )
    centres = await rows(vision, ("Cost centre", "Name", "Amount"), by="cost-centre", **range_)

    # seg: (100 GB x 29 + 130 GB x 31 + 30 GB x 15 days) / 61 days; old: 30 GB x 15 / 61 days.
    # Amounts: 19.33 + 26.00, and 3.00 for the correction.
    months = ("2026-09", "2026-10")
    assert projects == [
        ("deleted project", *months, "old", "1", "7554.10", "3.00"),
        ("project", *months, "seg", "2", "123887.21", "48.33"),
        ("total", *months, "", "3", "131441.31", "51.33"),
    ]
    assert workspaces == [("vision", "51.33"), ("", "51.33")]
    assert users == [
        ("unlicensed user", "ann", "0", "0.00"),
        ("user", "bob", "2", "20.00"),
        ("total", "", "2", "20.00"),
    ]
    # bob's seat goes to vision's cost centre.
    assert centres == [("4711", "Research", "71.33"), ("", "", "71.33")]


async def test_sums_are_the_same_in_json_and_over_graphql(vision: Finance) -> None:
    document = orjson.loads(
        await fetch(vision, {"format": "json", "from": "2026-09", "to": "2026-10", "sum": "true"})
    )
    data: Any = await vision.graphql(
        """{ chargebackRange(from: "2026-09", to: "2026-10") {
            totals { amount averageSizeInMb experimentsCreated }
            workspaces { name amount averageSizeInMb experimentsCreated }
            projects { workspace name amount averageSizeInMb experimentsCreated }
            users { username amount averageSizeInMb experimentsCreated } } }"""
    )

    range_ = data["chargebackRange"]
    names = {"workspaces": "workspace", "projects": "project", "users": "username"}
    for section, name in names.items():
        listed = [row for row in document[section] if row["type"] != "total"]
        field = "username" if section == "users" else "name"
        for figure in ("amount", "averageSizeInMb", "experimentsCreated"):
            assert [(row[name], row[figure]) for row in listed] == [
                (row[field], row[figure]) for row in range_[section]
            ]
    totals = {section: document[section][-1]["amount"] for section in (*names, "costCentres")}
    assert totals == {
        "workspaces": "51.33", "projects": "51.33", "users": "20.00", "costCentres": "71.33",
    }  # fmt: skip
    assert range_["totals"]["amount"] == "71.33"
    assert set(document["status"]) == {"2026-09", "2026-10"}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sum": "yes"}, "sum: must be true or false; got 'yes'."),
        ({"sum": "true", "by": "member"},
         "sum: choose by from workspace, project, user, cost-centre."),
        ({"sum": "true", "by": "project", "workspace": "vision"},
         "sum: goes with neither workspace, nor compare, nor idleDays."),
        ({"sum": "true", "by": "user", "order": "size"},
         "order: sums have name, average, created; got size."),
    ],
)  # fmt: skip
async def test_a_sum_that_cannot_be_is_refused(
    vision: Finance, parameters: dict[str, str], message: str
) -> None:
    content = await fetch(vision, {"from": "2026-09", "to": "2026-10", **parameters}, 400)

    assert orjson.loads(content)["msg"] == message


async def test_a_seat_that_moved_leaves_no_cent_out_of_the_users(
    finance: Finance, feed: Feed
) -> None:
    created = Rate("created", "Experiments", Measure.EXPERIMENTS_CREATED)
    await feed(
        *(user(name) for name in ("dee", "eve", "flo")),
        *(
            event("member.added", "2026-09-02T00:00:00Z", workspace="vision", username=name)
            for name in ("dee", "eve", "flo")
        ),
        event("workspace.upserted", "2026-09-02T00:00:00Z", name="crm"),
    )
    await finance.charge(created, "1.00")
    await finance.charge(SEAT, "24.99")
    await finance.assign_workspace("vision", "4711")
    await finance.assign_workspace("crm", "4712")
    await finance.close(SEPTEMBER)
    await feed(
        *(
            event("member.added", "2026-09-20T00:00:00Z", workspace="crm", username=name)
            for name in ("dee", "eve", "flo")
        )
    )

    charges = await finance.charges(SEPTEMBER.plus(1))
    users = await rows(finance, ("Type", "User", "Amount"), reportMonth="2026-10", by="user")

    # Three halves of 24.99 move: -37.485 and 37.485, a cent of which the seats of users share.
    assert charges["corrections"] == "0.00"
    corrected = [float(amount) for type_, _, amount in users if type_ == "correction"]
    assert sum(corrected) == pytest.approx(0)
    assert users[-1][-1] == charges["total"] == "74.97"
