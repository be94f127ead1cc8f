"""A renamed user keeps one seat and the cost centre."""

from datetime import UTC, datetime

from app.db.engine import Database
from app.domain.rates import AssignedKind
from app.services.month_verification import verify_month
from tests.charges.conftest import OCTOBER, OWN, SEAT, SEPTEMBER, Finance
from tests.conftest import NOW, Feed, GraphQLClient, event
from tests.scim.conftest import Directory, read_report


async def test_a_rename_over_scim_costs_no_second_seat(
    directory: Directory, graphql: GraphQLClient, database: Database
) -> None:
    """ann is created in September and is anna from 20 October on; a seat is 24.99."""
    finance = Finance(database, graphql)
    await finance.currency("EUR")
    await finance.cost_centre("4711", "Research")
    await finance.charge(SEAT, "24.99")
    directory.clock.now = datetime(2026, 9, 5, tzinfo=UTC)
    ann = await directory.create("/Users", userName="ann", emails=["ann@x.test"])
    await finance.assign(AssignedKind.USER, "ann", "4711")
    directory.clock.now = datetime(2026, 10, 20, tzinfo=UTC)
    await directory.patch(
        f"/Users/{ann['id']}", {"op": "replace", "path": "userName", "value": "anna"}
    )
    directory.clock.now = NOW

    months = ("2026-09", "2026-10", "2026-11")
    reports = [await read_report(graphql, month) for month in months]
    assert [list(report.users) for report in reports] == [["ann"], ["anna"], ["anna"]]
    assert [report.user_count for report in reports] == [1, 1, 1]
    assert reports[1].users["anna"]["email"] == "ann@x.test"
    for month in (SEPTEMBER, OCTOBER, OCTOBER.plus(1)):
        assert await finance.by_cost_centre(month) == {"4711": "24.99"}
    for month in (SEPTEMBER, OCTOBER):
        assert (await verify_month(database, OWN, month)).differences == []


async def test_renames_back_and_forth_leave_the_last_name(
    feed: Feed, graphql: GraphQLClient, database: Database
) -> None:
    facts = [
        event("user.upserted", "2026-09-05T00:00:00Z", username="ann"),
        event("user.deleted", "2026-10-02T00:00:00Z", username="ann", renamedTo="anna"),
        event("user.upserted", "2026-10-02T00:00:00Z", username="anna"),
        event("user.deleted", "2026-10-03T00:00:00Z", username="anna", renamedTo="ann"),
        event("user.upserted", "2026-10-03T00:00:00Z", username="ann"),
    ]
    for fact in reversed(facts):
        await feed(fact)

    for month in ("2026-09", "2026-10", "2026-11"):
        assert list((await read_report(graphql, month)).users) == ["ann"]
    assert (await verify_month(database, OWN, OCTOBER)).differences == []


async def test_a_late_rename_corrects_both_names(
    feed: Feed, graphql: GraphQLClient, database: Database
) -> None:
    finance = Finance(database, graphql)
    await feed(event("user.upserted", "2026-09-05T00:00:00Z", username="ann"))
    await finance.close(OCTOBER)
    await feed(
        event("user.deleted", "2026-10-02T00:00:00Z", username="ann", renamedTo="anna"),
        event("user.upserted", "2026-10-02T00:00:00Z", username="anna"),
    )

    query = """{ chargebackReport(month: "2026-11") {
        corrections { originMonth figure userName amount } } }"""
    corrections = (await graphql(query))["chargebackReport"]["corrections"]
    assert [(each["figure"], each["userName"], each["amount"]) for each in corrections] == [
        ("LICENSED_USERS", "ann", "-1"),
        ("LICENSED_USERS", "anna", "1"),
    ]
    assert (await verify_month(database, OWN, OCTOBER)).differences == []


async def test_a_user_deleted_at_the_first_instant_is_not_licensed_in_that_month(
    feed: Feed, graphql: GraphQLClient, database: Database
) -> None:
    await feed(
        event("user.upserted", "2026-09-05T00:00:00Z", username="ann"),
        event("user.upserted", "2026-09-05T00:00:00Z", username="bob"),
        event("user.deleted", "2026-10-01T00:00:00Z", username="ann"),
        event("user.deleted", "2026-10-01T00:00:00.000001Z", username="bob"),
    )

    assert list((await read_report(graphql, "2026-09")).users) == ["ann", "bob"]
    assert list((await read_report(graphql, "2026-10")).users) == ["bob"]
    assert (await verify_month(database, OWN, OCTOBER)).differences == []
