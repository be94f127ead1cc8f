"""Exports that compare with an earlier month, list what is idle, and show what is charged."""

import io
from collections.abc import Sequence
from typing import Any

import openpyxl
import orjson
import pytest
from pyarrow import parquet

from tests.conftest import Feed, GraphQLClient, event
from tests.exports.test_reports import Exports, select
from tests.graphql.test_changes import OCTOBER, SEPTEMBER, experiment

COMPARED = ("Type", "Workspace", "Average in MB", "Average before", "Change in MB", "Change in %")


@pytest.fixture
def exports(graphql: GraphQLClient) -> Exports:
    return Exports(graphql)


@pytest.fixture
async def two_months(feed: Feed) -> None:
    """Store the workspaces of `tests.graphql.test_changes`, with users and their usage."""
    await feed(
        event("user.upserted", "2026-08-01T00:00:00Z", username="ann"),
        event("user.upserted", "2026-08-01T00:00:00Z", username="bob"),
        event("usage.recorded", "2026-08-02T00:00:00Z", username="ann", channel="ui"),
        event("usage.recorded", "2026-08-02T00:00:00Z", username="bob", channel="sdk"),
        experiment(SEPTEMBER, "kept", 10),
        experiment(OCTOBER, "kept", 5, "y"),
        experiment(OCTOBER, "fresh", 3),
        experiment(SEPTEMBER, "ending", 31),
        event("workspace.deleted", "2026-10-02T00:00:00Z", name="ending"),
        experiment(SEPTEMBER, "dropped", 8),
        event("workspace.deleted", OCTOBER, name="dropped"),
    )


@pytest.mark.usefixtures("two_months")
async def test_a_comparison_lists_new_deleted_and_gone_workspaces(exports: Exports) -> None:
    lines = await exports.lines(compare="2026-09", order="growth")

    # 15 + 3 + 1 + 0 after 10 + 0 + 31 + 8: 19 after 49.
    assert select(lines, *COMPARED) == [
        ["workspace", "kept", "15.00", "10.00", "5.00", "50.00"],
        ["workspace", "fresh", "3.00", "0.00", "3.00", ""],
        ["deleted workspace", "dropped", "0.00", "8.00", "-8.00", "-100.00"],
        ["deleted workspace", "ending", "1.00", "31.00", "-30.00", "-96.77"],
        ["total", "", "19.00", "49.00", "-30.00", "-61.22"],
    ]


@pytest.mark.usefixtures("two_months")
async def test_growth_compares_with_the_month_before_and_can_be_turned_round(
    exports: Exports,
) -> None:
    grown = await exports.lines(order="growth", top="2")
    shrunk = await exports.lines(order="growth", top="1", direction="ascending")

    # The comparison of a total needs all rows.
    assert select(grown, "Workspace", "Change in MB") == [
        ["kept", "5.00"], ["fresh", "3.00"], ["", ""]
    ]  # fmt: skip
    assert select(shrunk, "Workspace", "Change in MB") == [["ending", "-30.00"], ["", ""]]


@pytest.mark.usefixtures("two_months")
async def test_idle_users_and_projects(exports: Exports) -> None:
    """At the end of October: bob did nothing for 90 days, ann for 30; fresh is 31 days old."""
    assert select(await exports.lines(by="user", idleDays="89"), "User") == [["bob"], [""]]
    assert select(await exports.lines(by="user", idleDays="91"), "User") == [[""]]
    projects = await exports.lines(by="project", idleDays="30")
    assert select(projects, "Workspace", "Size in MB") == [
        ["fresh", "3.00"], ["kept", "15.00"], ["", "18.00"]
    ]  # fmt: skip
    assert select(await exports.lines(by="project", idleDays="31"), "Workspace") == [[""]]


PRICES = """mutation {
    setCurrency(currency: "EUR")
    setCostCentre(code: "4711", name: "Research") { code }
    setRate(code: "x", name: "Experiments", measure: EXPERIMENTS_CREATED)
    seats: setRate(code: "seat", name: "Seats", measure: SEATS)
    setPrice(rate: "x", from: "2026-09", amount: "0.10")
    seat: setPrice(rate: "seat", from: "2026-10", amount: "5.00")
    assign(kind: WORKSPACE, name: "kept", from: "2026-09", costCentre: "4711")
}"""


@pytest.mark.usefixtures("two_months")
async def test_every_view_and_format_has_the_same_amounts(
    exports: Exports, graphql: GraphQLClient
) -> None:
    """October: two experiments at 0.10 and two seats at 5.00. September: three experiments."""
    await graphql(PRICES)

    workspaces = await exports.lines()
    assert select(workspaces, "Workspace", "Amount", "Currency") == [
        ["fresh", "0.10", "EUR"], ["kept", "0.10", "EUR"], ["ending", "0.00", "EUR"],
        ["", "0.20", "EUR"],
    ]  # fmt: skip
    users = await exports.lines(by="user")
    assert select(users, "User", "Amount") == [["ann", "5.00"], ["bob", "5.00"], ["", "10.00"]]
    # Seats are not assigned: with fresh, 10.10. Before: kept 0.10; ending and dropped 0.20.
    assert select(
        await exports.lines(by="cost-centre", compare="2026-09"),
        *("Type", "Cost centre", "Name", "Amount", "Amount before", "Change", "Change in %"),
    ) == [
        ["cost centre", "4711", "Research", "0.10", "0.10", "0.00", "0.00"],
        ["cost centre", "", "Unassigned", "10.10", "0.20", "9.90", "4950.00"],
        ["total", "", "", "10.20", "0.30", "9.90", "3300.00"],
    ]
    assert await _totals(exports, "cost-centre") == ["10.20"] * 4
    assert await _totals(exports, "workspace") == ["0.20"] * 4
    report = await graphql('{ chargebackReport(month: "2026-10") { amount } }')
    assert report == {"chargebackReport": {"amount": "10.20"}}


async def _totals(exports: Exports, by: str) -> list[str]:
    """Return the total amount of a section in each format."""
    lines = select(await exports.lines(by=by), "Type", "Amount")
    of_json: dict[str, Any] = orjson.loads(await exports("json", by=by))
    key = {"cost-centre": "costCentres", "workspace": "workspaces"}[by]
    book = openpyxl.load_workbook(io.BytesIO(await exports("xlsx", by=by)), read_only=True)
    sheet = list(book.worksheets[1].iter_rows(values_only=True))
    table = parquet.read_table(io.BytesIO(await exports("parquet", by=by))).to_pylist()
    return [
        _amount_of(lines),
        _amount_of([(row["type"], row["amount"]) for row in of_json[key]]),
        _amount_of([(row[0], row[sheet[0].index("Amount")]) for row in sheet]),
        _amount_of([(row["type"], row["amount"]) for row in table]),
    ]


def _amount_of(rows: Sequence[Any]) -> str:
    (amount,) = [amount for type_, amount in rows if type_ == "total"]
    return f"{float(amount):.2f}"


@pytest.mark.usefixtures("two_months")
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"compare": "2026-10"}, "compare: must be earlier than 2026-10; got 2026-10."),
        ({"compare": "2026-13"}, "'2026-13' is not a month"),
        ({"idleDays": "30"}, "idleDays: only users and projects can be idle; choose one."),
        ({"idleDays": "0", "by": "user"}, "idleDays: must be from 1 to 36500; got 0."),
        ({"idleDays": "x", "by": "user"}, "idleDays: must be a whole number from 1 on; got 'x'."),
        ({"direction": "up"}, "direction: must be one of ascending, descending; got 'up'."),
        ({"by": "cost-centre", "workspace": "kept"},
         "workspace: cost centres are listed for the organization."),
    ],
)  # fmt: skip
async def test_what_cannot_be_compared_is_refused(
    exports: Exports, parameters: dict[str, str], message: str
) -> None:
    response = await exports.response(reportMonth="2026-10", **parameters)
    assert response.status_code == 400
    assert response.json()["msg"].startswith(message)


@pytest.mark.usefixtures("two_months")
async def test_a_range_cannot_be_compared(exports: Exports) -> None:
    response = await exports.response(**{"from": "2026-09", "to": "2026-10"}, compare="2026-08")
    assert response.json()["msg"] == "compare: only one month can be compared with another."
