"""Only the service itself sends events with the sources of SCIM and of its connectors."""

from datetime import timedelta

import httpx
import orjson
import pytest

from app.domain.callers import Scope
from tests.conftest import FixedClock, GraphQLClient, MakeKey, event
from tests.scim.conftest import Directory, read_report

HEADERS = {"Content-Type": "application/x-ndjson"}


@pytest.mark.parametrize("source", ["/scim/v2", "/mlflow/mlflow"])
async def test_a_reserved_source_is_rejected_by_index(
    client: httpx.AsyncClient, make_key: MakeKey, graphql: GraphQLClient, source: str
) -> None:
    key = await make_key("root", Scope.EVENTS_WRITE)
    lines = [
        event("user.upserted", "2026-11-02T00:00:00Z", username="ann"),
        event("user.upserted", "2026-11-02T00:00:00Z", username="bob", source=source),
    ]

    response = await client.post(
        "/api/events", content=b"\n".join(lines), headers={**HEADERS, "Authorization": key}
    )

    assert response.status_code == 400
    [problem] = response.json()["problems"]
    assert (problem["index"], problem["field"]) == (1, "source")
    assert (await read_report(graphql)).users == {}


async def test_a_suspension_cannot_be_made_a_duplicate(
    client: httpx.AsyncClient,
    clock: FixedClock,
    admin_key: str,
    make_key: MakeKey,
    graphql: GraphQLClient,
) -> None:
    """Events with the ids that SCIM used to give its next change are just other events."""
    directory = Directory(client, admin_key, clock)
    ann = await directory.create("/Users", userName="ann")
    key = await make_key("root", Scope.EVENTS_WRITE)
    clock.now += timedelta(seconds=1)
    forged = orjson.loads(event("user.upserted", "2026-11-24T12:00:00Z", username="ann"))
    for version in (1, 2, 3):
        forged |= {"source": "/scim/v2", "id": f"{ann['id']}/{version}/0"}
        await client.post(
            "/api/events", content=orjson.dumps(forged), headers={**HEADERS, "Authorization": key}
        )

    await directory.patch(
        f"/Users/{ann['id']}", {"op": "replace", "path": "active", "value": False}
    )

    assert (await read_report(graphql)).users["ann"]["suspended"] is True
