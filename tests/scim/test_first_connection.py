"""A directory that is connected after months were closed does not bill the past."""

from tests.charges.conftest import OCTOBER, Finance
from tests.conftest import Feed, GraphQLClient, event
from tests.scim.conftest import Directory, read_report

CORRECTIONS = '{ chargebackReport(month: "2026-11") { corrections { figure userName amount } } }'


async def test_connecting_a_directory_books_no_corrections_unless_a_creation_is_stated(
    feed: Feed, directory: Directory, graphql: GraphQLClient
) -> None:
    at = "2026-09-05T00:00:00Z"
    await feed(event("usage.recorded", at, username="ann", channel="sdk", count=5))
    await Finance(feed.database, graphql).close(OCTOBER)

    for name in ("ann", "bob"):
        await directory.create("/Users", userName=name)

    connected = await graphql(CORRECTIONS)
    # An event that states an earlier creation asks for the past: October, and September with uses.
    await feed(
        event(
            "user.upserted",
            "2026-11-20T00:00:00Z",
            username="ann",
            createdAt="2026-09-01T00:00:00Z",
        )
    )
    asked = await graphql(CORRECTIONS)

    assert connected["chargebackReport"]["corrections"] == []
    assert list((await read_report(graphql)).users) == ["ann", "bob"]
    assert asked["chargebackReport"]["corrections"] == [
        {"figure": figure, "userName": "ann", "amount": amount}
        for figure, amount in (
            ("LICENSED_USERS", "1"),
            ("SDK_USAGE", "5"),
            ("UNLICENSED_SDK_USAGE", "-5"),
            ("LICENSED_USERS", "1"),
        )
    ]
