"""Long lists are exported page by page."""

from typing import Any

from app.db.engine import Database
from app.domain.audit import OPERATOR
from app.domain.ids import organization_id
from app.domain.months import Month
from app.services.months import close_month
from tests.conftest import NOW, Feed, RestClient, event

OWN = organization_id("default")


async def fetch(rest: RestClient, **parameters: str) -> Any:
    return await rest.client.get(
        "/api/admin/chargeback/export",
        params={"reportMonth": "2026-11", "format": "json", **parameters},
        headers={"Authorization": rest.key},
    )


async def test_corrections_come_in_pages(database: Database, feed: Feed, rest: RestClient) -> None:
    await feed(event("workspace.upserted", "2026-10-02T00:00:00Z", name="first"))
    await close_month(database, OWN, Month(2026, 10), by=OPERATOR, now=NOW)
    names = ["a", "b", "c", "d", "e"]
    await feed(*(event("workspace.upserted", "2026-10-03T00:00:00Z", name=name) for name in names))

    pages = [
        (await fetch(rest, by="correction", format="csv", top="2", skip=str(skip))).text
        for skip in (0, 2, 4, 6)
    ]

    found = [
        [name for name in names if any(f",{name}," in line for line in page.splitlines())]
        for page in pages
    ]
    assert found == [["a", "b"], ["c", "d"], ["e"], []]


async def test_a_page_needs_its_length(rest: RestClient) -> None:
    refused = await fetch(rest, by="correction", skip="2")

    assert refused.status_code == 400
    assert refused.json()["msg"] == "skip: give top, the number of rows of a page, too."
