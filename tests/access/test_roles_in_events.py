"""Only keys with the scope `directory:write` make somebody an admin by events."""

from typing import Any

import httpx
import pytest

from app.db.engine import Database
from app.domain.callers import Scope
from app.settings import Settings
from tests.conftest import Feed, FixedClock, GraphQLClient, MakeKey, create_client, event

AT = "2026-11-01T00:00:00Z"
FORBIDDEN_ROLE = "needs a key with the scope directory:write; got 'ADMIN'"


async def post(client: httpx.AsyncClient, key: str, *lines: bytes) -> httpx.Response:
    headers = {"Authorization": key, "Content-Type": "application/x-ndjson"}
    return await client.post("/api/events", content=b"\n".join(lines), headers=headers)


async def roles_of(graphql: GraphQLClient) -> dict[str, str]:
    query = '{ chargebackReport(month: "2026-11") { users { licensedUsers { username role } } } }'
    report = (await graphql(query))["chargebackReport"]
    return {each["username"]: each["role"] for each in report["users"]["licensedUsers"]}


@pytest.mark.parametrize("scopes", [(Scope.ADMIN,), (Scope.ADMIN, Scope.REPORT_READ)])
async def test_a_member_with_an_admin_key_sends_no_events(
    client: httpx.AsyncClient,
    feed: Feed,
    make_key: MakeKey,
    graphql: GraphQLClient,
    scopes: tuple[Scope, ...],
) -> None:
    await feed(event("user.upserted", AT, username="bob"))
    key = await make_key("bob", *scopes)

    answer = await post(client, key, event("user.upserted", AT, username="bob", role="ADMIN"))

    assert answer.status_code == 403
    assert await roles_of(graphql) == {"bob": "MEMBER"}


async def test_a_role_is_refused_by_index_and_nothing_is_stored(
    client: httpx.AsyncClient, feed: Feed, make_key: MakeKey, graphql: GraphQLClient
) -> None:
    await feed(event("user.upserted", AT, username="ann", role="ADMIN"))
    key = await make_key("connector", Scope.EVENTS_WRITE, Scope.ADMIN)

    answer = await post(
        client,
        key,
        event("user.upserted", AT, username="bob"),
        b"",
        event("user.upserted", AT, username="cy", role="ADMIN"),
        event("user.upserted", "2026-11-02T00:00:00Z", username="ann", role="MEMBER"),
    )

    assert answer.status_code == 400
    assert answer.json()["problems"] == [
        {"index": 2, "field": "data.role", "message": FORBIDDEN_ROLE},
        {
            "index": 3,
            "field": "data.role",
            "message": FORBIDDEN_ROLE.replace("ADMIN", "MEMBER"),
        },
    ]
    assert await roles_of(graphql) == {"ann": "ADMIN"}


async def test_the_email_of_a_listed_admin_is_refused(
    database: Database, clock: FixedClock, feed: Feed, make_key: MakeKey
) -> None:
    await feed(event("workspace.upserted", AT, name="w"))
    sender, own = await make_key("connector", Scope.EVENTS_WRITE), await make_key("bob")
    settings = Settings.load(admin_user_list="Boss@x.test")
    async with create_client(database, settings, clock) as client:
        upsert = event("user.upserted", AT, username="bob", email="boss@X.test")
        answer = await post(client, sender, upsert)
        report = await client.get("/api/admin/service-accounts", headers={"Authorization": own})

    message = "of an admin needs a key with the scope directory:write; got 'boss@X.test'"
    assert answer.json()["problems"] == [{"index": 0, "field": "data.email", "message": message}]
    assert report.status_code == 403


async def test_a_key_for_directories_states_roles(
    client: httpx.AsyncClient, make_key: MakeKey, graphql: GraphQLClient
) -> None:
    key = await make_key("directory", Scope.DIRECTORY_WRITE)

    answer = await post(client, key, event("user.upserted", AT, username="ann", role="ADMIN"))

    assert answer.json() == {"accepted": 1, "duplicates": 0}
    assert await roles_of(graphql) == {"ann": "ADMIN"}


async def test_scim_changes_roles_only_with_a_key_for_directories(
    client: httpx.AsyncClient, make_key: MakeKey, graphql: GraphQLClient
) -> None:
    sender = await make_key("idp", Scope.EVENTS_WRITE)
    directory = await make_key("idp", Scope.DIRECTORY_WRITE)
    admin = {"userName": "zoe", "roles": [{"value": "ADMIN", "primary": True}]}

    async def send(method: str, path: str, key: str, body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"}
        return await client.request(method, f"/scim/v2{path}", json=body, headers=headers)

    refused = await send("POST", "/Users", sender, admin)
    member = await send("POST", "/Users", sender, {"userName": "yan"})
    created = await send("POST", "/Users", directory, admin)
    path = f"/Users/{created.json()['id']}"
    renamed = await send("PUT", path, sender, {**admin, "userName": "zoey"})
    demoted = await send("PUT", path, sender, {"userName": "zoe"})

    assert refused.status_code == 403
    assert refused.json()["detail"] == f"role: {FORBIDDEN_ROLE}."
    assert (member.status_code, created.status_code) == (201, 201)
    assert (renamed.status_code, demoted.status_code) == (403, 403)
    assert await roles_of(graphql) == {"yan": "MEMBER", "zoe": "ADMIN"}
    assert (await send("PUT", path, directory, {"userName": "zoe"})).status_code == 200
    assert await roles_of(graphql) == {"yan": "MEMBER", "zoe": "MEMBER"}
