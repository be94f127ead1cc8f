"""The statement of a cost centre, and the keys that read nothing else."""

from typing import Any

import httpx
import orjson
import pytest

from app.db.engine import Database
from app.domain.callers import Scope
from tests.charges.conftest import FEE, GB, OCTOBER, SEAT, SEPTEMBER, STORAGE, Finance
from tests.charges.test_worked_examples import experiment, user
from tests.conftest import Feed, GraphQLClient, MakeKey, event

STATEMENT = """
query ($month: Month!, $costCentre: String!) {
  statement(month: $month, costCentre: $costCentre) {
    month costCentre costCentreName status closedAt chargesHash currency total corrections
    lines { lineId rate workspace userName originMonth quantity price exactAmount amount }
  }
}
"""


@pytest.fixture
async def shared(finance: Finance, feed: Feed) -> Finance:
    """100 GB in vision of 4711, 50 GB in crm of 4712, and a seat of an unassigned user."""
    await feed(
        experiment("v", "2026-09-01T00:00:00Z", 100, workspace="vision"),
        experiment("c", "2026-09-01T00:00:00Z", 50, workspace="crm"),
        user("dee"),
    )
    await finance.charge(STORAGE, "0.20")
    await finance.charge(SEAT, "24.99")
    await finance.assign_workspace("vision", "4711")
    await finance.assign_workspace("crm", "4712")
    return finance


@pytest.fixture
async def grace(shared: Finance, make_key: MakeKey) -> str:
    """The key of the head of Research, who is no admin and no user of the platform."""
    return await make_key("grace", Scope.STATEMENT_READ, cost_centres=["4711"])


async def read(
    graphql: GraphQLClient, month: str, cost_centre: str, key: str | None = None
) -> Any:
    variables = {"month": month, "costCentre": cost_centre}
    return await graphql.execute(STATEMENT, variables, key=key)


async def test_a_statement_has_the_lines_the_total_and_the_hash_of_the_close(
    shared: Finance, graphql: GraphQLClient, client: httpx.AsyncClient, admin_key: str
) -> None:
    await shared.close(SEPTEMBER)

    statement = (await read(graphql, "2026-09", "4711"))["data"]["statement"]

    file = await client.get(
        "/api/admin/chargeback/charges",
        params={"reportMonth": "2026-09"},
        headers={"Authorization": admin_key},
    )
    [line] = statement.pop("lines")
    assert file.json()["status"] == f"CLOSED, sha256 {statement.pop('chargesHash')}"
    assert statement.pop("closedAt") is not None
    assert statement == {
        "month": "2026-09",
        "costCentre": "4711",
        "costCentreName": "Research",
        "status": "CLOSED",
        "currency": "EUR",
        "total": "20.00",
        "corrections": "0.00",
    }
    assert line.pop("lineId").startswith("2026-09-")
    assert line == {
        "rate": "storage",
        "workspace": "vision",
        "userName": None,
        "originMonth": None,
        "quantity": "100",
        "price": "0.2",
        "exactAmount": "20",
        "amount": "20.00",
    }


async def test_statements_of_all_cost_centres_add_up_to_the_month(
    shared: Finance, graphql: GraphQLClient
) -> None:
    found = {
        code: (await read(graphql, "2026-09", code))["data"]["statement"]
        for code in ("4711", "4712", "4713", "")
    }

    # 100 GB and 50 GB at 0.20, and one seat of a user without a cost centre.
    assert {code: each["total"] for code, each in found.items()} == {
        "4711": "20.00",
        "4712": "10.00",
        "4713": "0.00",
        "": "24.99",
    }
    assert found["4713"]["lines"] == []
    assert (found[""]["costCentre"], found[""]["costCentreName"]) == (None, "Unassigned")
    assert {each["chargesHash"] for each in found.values()} == {None}
    assert (await shared.charges(SEPTEMBER))["total"] == "54.99"


async def test_a_line_keeps_its_id_while_its_amount_changes(
    shared: Finance, graphql: GraphQLClient, feed: Feed
) -> None:
    before = (await read(graphql, "2026-09", "4712"))["data"]["statement"]["lines"]
    await feed(
        experiment("a", "2026-09-01T00:00:00Z", 1, workspace="atlas"),
        event("experiment.resized", "2026-09-01T00:00:00Z", experiment="c", sizeBytes=GB),
    )

    after = (await read(graphql, "2026-09", "4712"))["data"]["statement"]["lines"]

    assert [each["lineId"] for each in after] == [each["lineId"] for each in before]
    assert ([each["amount"] for each in before], [each["amount"] for each in after]) == (
        ["10.00"],
        ["0.20"],
    )


async def test_there_is_no_statement_without_a_currency(
    graphql: GraphQLClient, feed: Feed
) -> None:
    await feed(user("ann"))

    assert await read(graphql, "2026-09", "") == {"data": {"statement": None}}


async def test_an_unknown_cost_centre_and_a_future_month_are_refused(
    shared: Finance, graphql: GraphQLClient
) -> None:
    unknown = await read(graphql, "2026-09", "9999")
    future = await read(graphql, "2031-01", "4711")

    assert unknown["errors"][0]["message"] == "costCentre: there is no cost centre '9999'."
    assert future["errors"][0]["extensions"]["code"] == "INVALID_MONTH"


async def test_a_statement_key_reads_its_own_cost_centre(
    graphql: GraphQLClient, grace: str
) -> None:
    own = await read(graphql, "2026-09", "4711", grace)

    assert own["data"]["statement"]["total"] == "20.00"
    assert own == await read(graphql, "2026-09", "4711")


@pytest.mark.parametrize("cost_centre", ["4712", "", "9999"])
async def test_a_statement_key_reads_no_other_cost_centre(
    graphql: GraphQLClient, grace: str, cost_centre: str
) -> None:
    [error] = (await read(graphql, "2026-09", cost_centre, grace))["errors"]

    assert error["extensions"]["code"] == "FORBIDDEN"
    assert error["message"] == (
        "The key may read the charges of these cost centres of 'default', each by itself: 4711."
    )


async def test_a_statement_key_of_an_admin_has_the_same_limits(
    graphql: GraphQLClient, shared: Finance, make_key: MakeKey
) -> None:
    of_root = await make_key("root", Scope.STATEMENT_READ, cost_centres=["4711"])

    assert (await read(graphql, "2026-09", "4712", of_root))["errors"]
    assert (await read(graphql, "2026-09", "4711", of_root))["data"]["statement"]["lines"]


async def test_the_file_of_charges_is_limited_in_the_same_way(
    client: httpx.AsyncClient,
    grace: str,
    admin_key: str,
    make_key: MakeKey,
    other_organization: str,
) -> None:
    of_root = await make_key("root", Scope.STATEMENT_READ, cost_centres=["4711"])

    async def get(key: str, **parameters: str) -> httpx.Response:
        return await client.get(
            "/api/admin/chargeback/charges",
            params={"reportMonth": "2026-09", "format": "csv", **parameters},
            headers={"Authorization": key},
        )

    own = await get(grace, costCentre="4711")
    refused = [
        (await get(key, **parameters)).status_code
        for key in (grace, of_root)
        for parameters in (
            {},
            {"costCentre": ""},
            {"costCentre": "4712"},
            {"costCentre": "4711", "organization": other_organization},
        )
    ]

    assert own.status_code == 200
    assert own.text.count("\n") == 4  # Headings, one line, the total and the status.
    assert own.content == (await get(admin_key, costCentre="4711")).content
    assert refused == [403] * 8


async def test_a_fee_shows_a_statement_key_only_the_own_share(
    shared: Finance, graphql: GraphQLClient, grace: str
) -> None:
    await shared.charge(FEE, "30")

    lines = (await read(graphql, "2026-09", "4711", grace))["data"]["statement"]["lines"]

    # 20.00 of the 30.00 that are charged to cost centres directly: two thirds of the fee.
    assert [(each["rate"], each["amount"]) for each in lines] == [
        ("fee", "20.00"),
        ("storage", "20.00"),
    ]


async def test_only_statement_keys_have_cost_centres_and_they_need_one(
    shared: Finance, graphql: GraphQLClient, database: Database
) -> None:
    async def create(scope: str, cost_centres: str) -> Any:
        return await graphql.execute(
            f'mutation {{ createApiKey(username: "grace", scopes: [{scope}], '
            f"costCentres: {cost_centres}) {{ secret apiKey {{ id scopes costCentres }} }} }}"
        )

    created = (await create("STATEMENT_READ", '["4712", "4711", "4712"]'))["data"]["createApiKey"]
    none, unknown, other = [
        (await create(*arguments))["errors"][0]["message"]
        for arguments in (
            ("STATEMENT_READ", "[]"),
            ("STATEMENT_READ", '["4711", "9999"]'),
            ("REPORT_READ", '["4711"]'),
        )
    ]

    assert created["apiKey"]["costCentres"] == ["4711", "4712"]
    assert none == (
        "costCentres: a key with the scope statement:read needs at least one, and no other key "
        "has any; got 0."
    )
    assert unknown == "costCentre: there is no cost centre '9999'."
    assert other.endswith("got 1.")
    listed = await graphql("{ apiKeys { username } }")
    assert [each["username"] for each in listed["apiKeys"]].count("grace") == 1


async def test_a_rotated_key_keeps_its_cost_centres(graphql: GraphQLClient, grace: str) -> None:
    rotated = await graphql(
        "mutation ($id: ID!) { rotateApiKey(id: $id) { secret apiKey { costCentres } } }",
        id=grace.split("_")[1],
    )

    viewer = await graphql.execute(
        "{ viewer { username isAdmin scopes costCentres } }",
        key=rotated["rotateApiKey"]["secret"],
    )
    assert rotated["rotateApiKey"]["apiKey"]["costCentres"] == ["4711"]
    assert viewer["data"]["viewer"] == {
        "username": "grace",
        "isAdmin": False,
        "scopes": ["STATEMENT_READ"],
        "costCentres": ["4711"],
    }


async def test_the_read_of_a_statement_is_audited(graphql: GraphQLClient, grace: str) -> None:
    await read(graphql, "2026-09", "4711", grace)

    entry = (await graphql("{ auditLog(first: 1) { action target username detail } }"))["auditLog"]
    assert [{**each, "detail": orjson.loads(each["detail"])} for each in entry] == [
        {
            "action": "STATEMENT_READ",
            "target": "2026-09",
            "username": "grace",
            "detail": {"costCentre": "4711"},
        }
    ]


async def test_a_correction_is_in_the_statement_of_the_month_that_books_it(
    shared: Finance, graphql: GraphQLClient, feed: Feed, grace: str
) -> None:
    await shared.close(SEPTEMBER)
    await feed(experiment("late", "2026-09-16T00:00:00Z", 30, workspace="vision"))

    statement = (await read(graphql, str(OCTOBER), "4711", grace))["data"]["statement"]

    # 30 GB for half of September at 0.20.
    assert statement["corrections"] == "3.00"
