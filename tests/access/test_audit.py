"""The audit log: which entries it has, who may read it, and that no entry can be changed."""

import asyncio
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app import __version__
from app.db.engine import Database
from app.domain.audit import Action, Actor, AuditEvent, Interface
from app.domain.callers import Scope
from app.domain.ids import organization_id
from app.services.audit import AuditTrail, record_start
from app.settings import Settings
from tests.conftest import NOW, Feed, GraphQLClient, MakeKey, RestClient, event, record_statements

AT = "2026-09-10T00:00:00Z"
OWN, OTHER = organization_id("default"), organization_id("other")
LOG = """query ($after: ID, $first: Int! = 100, $username: String, $actions: [AuditAction!],
                $since: DateTime, $until: DateTime, $organization: String) {
    auditLog(after: $after, first: $first, username: $username, actions: $actions, since: $since,
             until: $until, organization: $organization) {
        id happenedAt action target outcome username keyId address interface detail } }"""


async def entries(graphql: GraphQLClient, **variables: Any) -> list[dict[str, Any]]:
    """Return the log without entries about reading it, the earliest first."""
    found = (await graphql(LOG, **variables))["auditLog"]
    return [entry for entry in reversed(found) if not entry["action"].startswith("AUDIT")]


_SELECT_ENTRIES = text("""
    SELECT action, target FROM audit_log WHERE organization_id = :own ORDER BY entry_id
""")


async def stored_entries(database: Database, organization: str = "default") -> list[Any]:
    async with database.transaction(organization_id(organization)) as tx:
        found = await tx.execute(_SELECT_ENTRIES, {"own": organization_id(organization)})
        return [tuple(row) for row in found]


@pytest.fixture
async def september(feed: Feed) -> None:
    await feed(
        event("user.upserted", AT, username="bob", email="b@x.test"),
        event("workspace.upserted", AT, name="lab"),
    )


@pytest.mark.usefixtures("september")
async def test_reads_are_recorded_with_user_key_and_address(
    graphql: GraphQLClient, rest: RestClient, admin_key: str
) -> None:
    await graphql('{ chargebackReport(month: "2026-09") { numberOfWorkspaces } }')
    await graphql('{ chargebackReports(from: "2026-09", to: "2026-10") { numberOfWorkspaces } }')
    await rest("2026-09")

    *_, one, two, document = await entries(graphql)
    assert one == {
        "id": one["id"],
        "happenedAt": "2026-11-24T12:00:00Z",
        "action": "REPORT_READ",
        "target": "2026-09",
        "outcome": "OK",
        "username": "root",
        "keyId": admin_key.split("_")[1],
        "address": "127.0.0.1",
        "interface": "GRAPHQL",
        "detail": "{}",
    }
    assert (two["action"], two["target"]) == ("REPORT_READ", "2026-09 to 2026-10")
    assert (document["action"], document["interface"]) == ("REPORT_DOWNLOADED", "REST")


@pytest.mark.usefixtures("september")
async def test_changes_of_keys_and_months_are_recorded(
    graphql: GraphQLClient, database: Database
) -> None:
    created = await graphql(
        'mutation { createApiKey(username: "bob", scopes: [REPORT_READ]) { apiKey { id } } }'
    )
    old = created["createApiKey"]["apiKey"]["id"]
    rotated = await graphql(
        "mutation ($id: ID!) { rotateApiKey(id: $id) { apiKey { id } } }", id=old
    )
    new = rotated["rotateApiKey"]["apiKey"]["id"]
    await graphql("mutation ($id: ID!) { revokeApiKey(id: $id) { id } }", id=new)
    await graphql('mutation { closeMonth(month: "2026-09") { month } }')
    await graphql('mutation { reopenMonth(month: "2026-09", reason: "late") { month } }')

    assert (await stored_entries(database))[-5:] == [
        ("KEY_CREATED", old),
        ("KEY_ROTATED", old),
        ("KEY_REVOKED", new),
        ("MONTH_CLOSED", "2026-09"),
        ("MONTH_REOPENED", "2026-09"),
    ]
    *_, reopened = await entries(graphql)
    assert orjson.loads(reopened["detail"]) == {"reason": "late"}
    assert (reopened["username"], reopened["interface"]) == ("root", "GRAPHQL")


async def test_a_request_that_changes_nothing_leaves_no_entry(
    graphql: GraphQLClient, database: Database
) -> None:
    before = await stored_entries(database)
    await graphql.execute('mutation { revokeApiKey(id: "none") { id } }')
    await graphql.execute('mutation { closeMonth(month: "2026-11") { month } }')

    assert await stored_entries(database) == before


@pytest.mark.usefixtures("september")
async def test_rejected_requests_are_recorded_in_the_organization_of_the_key(
    client: httpx.AsyncClient,
    graphql: GraphQLClient,
    make_key: MakeKey,
    other_organization: str,
) -> None:
    bob = await make_key("bob")
    unknown = "cbk_0CK8cYeiijyT_S8vf6xk1lYBOsz8jrWqNarZNUDz423NY1cBYA1"
    other_key = await make_key("eve", organization=other_organization)
    for key in (bob, unknown, "cbk_mistyped", other_key):
        response = await client.get("/api/admin/chargeback/report", headers={"Authorization": key})
        assert response.status_code in {401, 403}
    await graphql.execute("{ apiKeys { id } }", key=bob)
    await client.get("/api/admin/chargeback/report")  # Without a key nothing is recorded.

    rejected = await entries(graphql, actions=["REQUEST_REFUSED"])
    assert [(entry["target"], entry["outcome"], entry["username"]) for entry in rejected] == [
        ("GET /api/admin/chargeback/report", "FORBIDDEN", "bob"),
        ("GET /api/admin/chargeback/report", "UNAUTHENTICATED", None),
        ("GET /api/admin/chargeback/report", "UNAUTHENTICATED", None),
        ("POST /graphql", "FORBIDDEN", "bob"),
    ]
    assert [entry["keyId"] for entry in rejected[1:3]] == ["0CK8cYeiijyT", None]
    other_entries = await entries(
        graphql, organization=other_organization, actions=["REQUEST_REFUSED"]
    )
    assert [entry["username"] for entry in other_entries] == ["eve"]


async def test_a_request_with_a_revoked_key_is_recorded_with_its_owner(
    client: httpx.AsyncClient, graphql: GraphQLClient, make_key: MakeKey
) -> None:
    ended = await make_key("ann")
    await graphql("mutation ($id: ID!) { revokeApiKey(id: $id) { id } }", id=ended.split("_")[1])
    await client.get("/api/admin/chargeback/report", headers={"Authorization": ended})

    [entry] = await entries(graphql, actions=["REQUEST_REFUSED"])
    assert (entry["username"], entry["outcome"]) == ("ann", "UNAUTHENTICATED")


async def test_signing_in_and_out_is_recorded(
    client: httpx.AsyncClient, graphql: GraphQLClient, admin_key: str
) -> None:
    await client.post("/signin", data={"key": "cbk_wrong"})
    await client.post("/signin", data={"key": admin_key})
    await client.post("/signout")

    wrong, began, ended = [
        entry
        for entry in await entries(graphql)
        if entry["target"] != admin_key.split("_")[1] or entry["action"] != "KEY_CREATED"
    ][-3:]
    assert (wrong["action"], wrong["target"]) == ("REQUEST_REFUSED", "POST /signin")
    assert (began["action"], began["username"]) == ("SIGNED_IN", "root")
    assert (ended["action"], ended["username"]) == ("SIGNED_OUT", "root")


async def test_pages_continue_after_an_id_and_filters_apply(
    graphql: GraphQLClient, database: Database
) -> None:
    trail = AuditTrail(database)
    for number in range(7):
        audit_event = AuditEvent(OWN, Action.MONTH_CLOSED, f"{number}")
        trail.record([audit_event], Actor(f"u{number % 2}", Interface.SERVICE), NOW)
    await trail.close()

    seen: list[str] = []
    after = None
    while page := (await graphql(LOG, first=3, after=after, actions=["MONTH_CLOSED"]))["auditLog"]:
        seen += [entry["target"] for entry in page]
        after = page[-1]["id"]
    assert seen == ["6", "5", "4", "3", "2", "1", "0"]
    odd = await entries(graphql, username="u1")
    assert [entry["target"] for entry in odd] == ["1", "3", "5"]
    assert await entries(graphql, since="2026-11-24T12:00:01Z") == []
    assert await entries(graphql, until="2026-11-24T12:00:00Z") == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("first: -1", "first: must be from 0 to 1000; got -1."),
        ("first: 10001", "first: must be from 0 to 1000; got 10001."),
        ('after: "x"', "after: must be the id of the last one seen; got 'x'."),
        ('username: "\\u0000"', "username: must not contain U+0000; got '\\x00'."),
    ],
)
async def test_invalid_arguments_are_rejected(
    graphql: GraphQLClient, arguments: str, message: str
) -> None:
    response = await graphql.execute(f"{{ auditLog({arguments}) {{ id }} }}")

    [error] = response["errors"]
    assert (error["message"], error["extensions"]) == (message, {"code": "INVALID_ARGUMENT"})


async def test_admins_read_only_the_log_of_their_organization(
    graphql: GraphQLClient, feed: Feed, make_key: MakeKey, other_organization: str
) -> None:
    await Feed(feed.database, feed.clock, other_organization)(
        event("user.upserted", AT, username="eve", email="e", role="ADMIN")
    )
    eve = await make_key("eve", Scope.ADMIN, organization=other_organization)
    reader = await make_key("eve", Scope.REPORT_READ, organization=other_organization)

    own = await graphql.execute(LOG, key=eve)
    named = await graphql.execute(LOG, {"organization": "default"}, key=eve)
    read = await graphql.execute(LOG, key=reader)

    assert {entry["username"] for entry in own["data"]["auditLog"]} == {"operator"}
    assert named["errors"][0]["extensions"] == {"code": "FORBIDDEN"}
    assert read["errors"][0]["extensions"] == {"code": "FORBIDDEN"}


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_log SET target = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"],
)
async def test_neither_the_application_nor_the_owner_can_change_an_entry(
    database: Database, statement: str
) -> None:
    trail = AuditTrail(database)
    trail.record([AuditEvent(OWN, Action.AUDIT_READ, "")], Actor("ann", Interface.REST), NOW)
    await trail.close()

    with pytest.raises(DBAPIError, match="permission denied for table audit_log"):
        async with database.transaction(OWN) as tx:
            await tx.execute(text(statement))
    with pytest.raises(DBAPIError, match="append-only"):
        async with database.owner_transaction() as tx:
            await tx.execute(text(statement))
    assert await stored_entries(database) == [("AUDIT_READ", "")]


async def test_many_entries_share_a_statement_and_none_is_lost_on_close(
    database: Database,
) -> None:
    trail = AuditTrail(database)
    actor = Actor("ann", Interface.REST)
    with record_statements(database) as statements:
        for number in range(500):
            trail.record([AuditEvent(OWN, Action.REPORT_READ, f"{number}")], actor, NOW)
        await trail.close()

    assert len([each for each in statements.texts if "INSERT INTO audit_log" in each]) == 1
    assert await stored_entries(database) == [
        ("REPORT_READ", f"{number}") for number in range(500)
    ]


async def test_queued_entries_are_written_soon(database: Database) -> None:
    trail = AuditTrail(database)
    trail.record([AuditEvent(OWN, Action.REPORT_READ, "soon")], Actor("ann", Interface.REST), NOW)
    for _ in range(100):
        await asyncio.sleep(0.1)
        if await stored_entries(database):
            break

    assert await stored_entries(database) == [("REPORT_READ", "soon")]


async def test_an_unauthenticated_request_with_odd_bytes_is_recorded(
    database: Database, client: httpx.AsyncClient, admin_key: str, graphql: GraphQLClient
) -> None:
    await client.post(f"/api/events?{admin_key}", headers=[(b"Authorization", b"cbk_\x80")])

    [entry] = await entries(graphql, actions=["REQUEST_REFUSED"])
    assert entry["target"] == "POST /api/events"


async def test_the_start_of_the_service_is_recorded_with_its_settings(
    database: Database, graphql: GraphQLClient
) -> None:
    settings = Settings.load(admin_user_list="ann", database_url="postgresql://me:secret@db/x")
    await record_start(database, settings, NOW)

    [entry] = await entries(graphql, actions=["SERVICE_STARTED"])
    detail = orjson.loads(entry["detail"])
    assert (entry["interface"], entry["target"], entry["username"]) == (
        "SERVICE",
        __version__,
        None,
    )
    assert set(detail) == set(Settings.model_fields)
    assert (detail["admin_user_list"], detail["database_url"]) == (
        ["ann"],
        "postgresql://me:…@db/x",
    )


async def test_only_a_listed_admin_can_rotate_the_key_of_a_listed_admin(
    graphql: GraphQLClient, feed: Feed, make_key: MakeKey
) -> None:
    await feed(event("user.upserted", AT, username="ann", email="a", role="ADMIN"))
    ann, root = await make_key("ann", Scope.ADMIN), await make_key("root", Scope.ADMIN)
    rotate = "mutation ($id: ID!) { rotateApiKey(id: $id) { secret } }"

    rejected = await graphql.execute(rotate, {"id": root.split("_")[1]}, key=ann)
    own = await graphql.execute(rotate, {"id": ann.split("_")[1]}, key=ann)

    assert rejected["errors"][0]["extensions"] == {"code": "FORBIDDEN"}
    assert "errors" not in own
    [entry] = await entries(graphql, actions=["KEY_ROTATED"])
    assert (entry["target"], entry["username"]) == (ann.split("_")[1], "ann")
