"""Sizes whose sum exceeds 64 bits block nobody's batches and no report."""

from app.db.engine import Database
from app.domain.audit import OPERATOR
from app.domain.ids import organization_id
from app.domain.months import Month
from app.services.month_verification import verify_month
from app.services.months import close_month
from tests.conftest import NOW, Feed, GraphQLClient, RestClient, event

OWN = organization_id("default")
PEBIBYTE = 2**50
LARGEST = 9_223_372_036_854_775_807


async def test_a_total_beyond_64_bits_is_shown_as_the_largest_number(
    database: Database, feed: Feed, graphql: GraphQLClient, rest: RestClient
) -> None:
    at = "2026-10-02T00:00:00Z"
    place = {"workspace": "w", "project": "p", "username": "ann"}
    # 8,192 * 2^50 = 2^63, which is one more than a 64-bit number holds; twice that is 2^64.
    for batch in range(2):
        await feed(
            *(
                event(
                    "experiment.created",
                    at,
                    experiment=f"{batch}-{number}",
                    sizeBytes=PEBIBYTE,
                    **place,
                )
                for number in range(8_192)
            )
        )
    honest = await feed(event("experiment.created", at, experiment="mine", sizeBytes=1, **place))
    assert honest.accepted == 1

    found = await graphql(
        """{ chargebackReport(month: "2026-10") {
            totalSizeBytes workspaces(filter: {minimumSizeBytes: 1}) {
                totalSizeBytes projects { totalSizeBytes } members { totalSizeBytes }
                formerMembers { totalSizeBytes }
            } } }"""
    )
    report = found["chargebackReport"]
    (workspace,) = report["workspaces"]
    owners = workspace["members"] + workspace["formerMembers"]
    for each in (report, workspace, *workspace["projects"], *owners):
        assert each["totalSizeBytes"] == LARGEST
    # 2^63 - 1 bytes are 2^43 MB, rounded to two decimals.
    assert (await rest("2026-10"))["workspaces"][0]["totalSizeInMb"] == 8_796_093_022_208.0
    assert (await verify_month(database, OWN, Month(2026, 10))).differences == []

    await close_month(database, OWN, Month(2026, 10), by=OPERATOR, now=NOW)
    late = await feed(
        *(
            event("experiment.deleted", at, experiment=f"{batch}-{number}")
            for batch in range(2)
            for number in range(8_192)
        )
    )
    assert late.accepted == 16_384
    exported = await rest.client.get(
        "/api/admin/chargeback/export?reportMonth=2026-11&by=correction&format=parquet",
        headers={"Authorization": rest.key},
    )
    assert exported.status_code == 200, exported.text
