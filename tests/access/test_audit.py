"""The audit log: what is in it, who reads it, and that nobody changes it."""

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


async def lines(graphql: GraphQLClient, **variables: Any) -> list[dict[str, Any]]:
    """The log without its own reading, the earliest line first."""
    found = (await graphql(LOG, **variables))["auditLog"]
    return [line for line in reversed(found) if not line["action"].startswith("AUDIT")]


async def stored(database: Database, organization: str = "default") -> list[Any]:
    async with database.transaction(organization_id(organization)) as tx:
        found = await tx.execute(text("SELECT action, target FROM audit_log ORDER BY entry_id"))
        return [tuple(row) for row in found]


@pytest.fixture
async def september(feed: Feed) -> None:
    await feed(
        event("user.upserted", AT, username="bob", email="b@x.test"),
        event("workspace.upserted", AT, name="lab"),
    )


@pytest.mark.usefixtures("september")
async def test_reads_are_noted_with_who_from_where_and_by_which_key(
    graphql: GraphQLClient, rest: RestClient, admin_key: str
) -> None:
    await graphql('{ chargebackReport(month: "2026-09") { numberOfWorkspaces } }')
    await graphql('{ chargebackReports(from: "2026-09", to: "2026-10") { numberOfWorkspaces } }')
    await rest("2026-09")

    *_, one, two, document = await lines(graphql)
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
async def test_keys_and_months_are_noted_in_their_own_transaction(
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

    assert (await stored(database))[-5:] == [
        ("KEY_CREATED", old),
        ("KEY_ROTATED", old),
        ("KEY_REVOKED", new),
        ("MONTH_CLOSED", "2026-09"),
        ("MONTH_REOPENED", "2026-09"),
    ]
    *_, reopened = await lines(graphql)
    assert orjson.loads(reopened["detail"]) == {"reason": "late"}
    assert (reopened["username"], reopened["interface"]) == ("root", "GRAPHQL")


async def test_what_changed_nothing_leaves_no_line(
    graphql: GraphQLClient, database: Database
) -> None:
    before = await stored(database)
    await graphql.execute('mutation { revokeApiKey(id: "none") { id } }')
    await graphql.execute('mutation { closeMonth(month: "2026-11") { month } }')

    assert await stored(database) == before


@pytest.mark.usefixtures("september")
async def test_refusals_are_noted_where_they_belong(
    client: httpx.AsyncClient,
    graphql: GraphQLClient,
    make_key: MakeKey,
    other_organization: str,
) -> None:
    bob = await make_key("bob")
    unknown = "cbk_0CK8cYeiijyT_S8vf6xk1lYBOsz8jrWqNarZNUDz423NY1cBYA1"
    elsewhere = await make_key("eve", organization=other_organization)
    for key in (bob, unknown, "cbk_mistyped", elsewhere):
        answer = await client.get("/api/admin/chargeback/report", headers={"Authorization": key})
        assert answer.status_code in {401, 403}
    await graphql.execute("{ apiKeys { id } }", key=bob)
    await client.get("/api/admin/chargeback/report")  # Without a key: nobody's business.

    refused = await lines(graphql, actions=["REQUEST_REFUSED"])
    assert [(line["target"], line["outcome"], line["username"]) for line in refused] == [
        ("GET /api/admin/chargeback/report", "FORBIDDEN", "bob"),
        ("GET /api/admin/chargeback/report", "UNAUTHENTICATED", None),
        ("GET /api/admin/chargeback/report", "UNAUTHENTICATED", None),
        ("POST /graphql", "FORBIDDEN", "bob"),
    ]
    assert [line["keyId"] for line in refused[1:3]] == ["0CK8cYeiijyT", None]
    theirs = await lines(graphql, organization=other_organization, actions=["REQUEST_REFUSED"])
    assert [line["username"] for line in theirs] == ["eve"]


async def test_an_ended_key_is_noted_with_its_owner(
    client: httpx.AsyncClient, graphql: GraphQLClient, make_key: MakeKey
) -> None:
    ended = await make_key("ann")
    await graphql("mutation ($id: ID!) { revokeApiKey(id: $id) { id } }", id=ended.split("_")[1])
    await client.get("/api/admin/chargeback/report", headers={"Authorization": ended})

    [line] = await lines(graphql, actions=["REQUEST_REFUSED"])
    assert (line["username"], line["outcome"]) == ("ann", "UNAUTHENTICATED")


async def test_signing_in_and_out_is_noted(
    client: httpx.AsyncClient, graphql: GraphQLClient, admin_key: str
) -> None:
    await client.post("/signin", data={"key": "cbk_wrong"})
    await client.post("/signin", data={"key": admin_key})
    await client.post("/signout")

    wrong, began, ended = [
        line
        for line in await lines(graphql)
        if line["target"] != admin_key.split("_")[1] or line["action"] != "KEY_CREATED"
    ][-3:]
    assert (wrong["action"], wrong["target"]) == ("REQUEST_REFUSED", "POST /signin")
    assert (began["action"], began["username"]) == ("SIGNED_IN", "root")
    assert (ended["action"], ended["username"]) == ("SIGNED_OUT", "root")


async def test_pages_follow_from_the_last_id_and_filters_narrow(
    graphql: GraphQLClient, database: Database
) -> None:
    trail = AuditTrail(database)
    for number in range(7):
        act = AuditEvent(OWN, Action.MONTH_CLOSED, f"{number}")
        trail.record([act], Actor(f"u{number % 2}", Interface.SERVICE), NOW)
    await trail.close()

    seen: list[str] = []
    after = None
    while page := (await graphql(LOG, first=3, after=after, actions=["MONTH_CLOSED"]))["auditLog"]:
        seen += [line["target"] for line in page]
        after = page[-1]["id"]
    assert seen == ["6", "5", "4", "3", "2", "1", "0"]
    odd = await lines(graphql, username="u1")
    assert [line["target"] for line in odd] == ["1", "3", "5"]
    assert await lines(graphql, since="2026-11-24T12:00:01Z") == []
    assert await lines(graphql, until="2026-11-24T12:00:00Z") == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("first: -1", "first: must be from 0 to 10000; got -1."),
        ("first: 10001", "first: must be from 0 to 10000; got 10001."),
        ('after: "x"', "after: must be the id of the last one seen; got 'x'."),
        ('username: "\\u0000"', "username: must not contain U+0000; got '\\x00'."),
    ],
)
async def test_bad_arguments_are_refused(
    graphql: GraphQLClient, arguments: str, words: str
) -> None:
    answer = await graphql.execute(f"{{ auditLog({arguments}) {{ id }} }}")

    [error] = answer["errors"]
    assert (error["message"], error["extensions"]) == (words, {"code": "INVALID_ARGUMENT"})


async def test_admins_read_the_log_of_their_organization_alone(
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

    assert {line["username"] for line in own["data"]["auditLog"]} == {"operator"}
    assert named["errors"][0]["extensions"] == {"code": "FORBIDDEN"}
    assert read["errors"][0]["extensions"] == {"code": "FORBIDDEN"}


@pytest.mark.parametrize(
    "words",
    ["UPDATE audit_log SET target = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"],
)
async def test_no_line_is_changed_by_the_application_or_by_the_owner(
    database: Database, words: str
) -> None:
    trail = AuditTrail(database)
    trail.record([AuditEvent(OWN, Action.AUDIT_READ, "")], Actor("ann", Interface.REST), NOW)
    await trail.close()

    with pytest.raises(DBAPIError, match="permission denied for table audit_log"):
        async with database.transaction(OWN) as tx:
            await tx.execute(text(words))
    with pytest.raises(DBAPIError, match="append-only"):
        async with database.owner_transaction() as tx:
            await tx.execute(text(words))
    assert await stored(database) == [("AUDIT_READ", "")]


async def test_many_reads_share_a_statement_and_none_is_lost_by_a_stop(
    database: Database,
) -> None:
    trail = AuditTrail(database)
    actor = Actor("ann", Interface.REST)
    with record_statements(database) as statements:
        for number in range(500):
            trail.record([AuditEvent(OWN, Action.REPORT_READ, f"{number}")], actor, NOW)
        await trail.close()

    assert len([each for each in statements.texts if "INSERT INTO audit_log" in each]) == 1
    assert await stored(database) == [("REPORT_READ", f"{number}") for number in range(500)]


async def test_lines_are_written_soon_by_themselves(database: Database) -> None:
    trail = AuditTrail(database)
    trail.record([AuditEvent(OWN, Action.REPORT_READ, "soon")], Actor("ann", Interface.REST), NOW)
    for _ in range(100):
        await asyncio.sleep(0.1)
        if await stored(database):
            break

    assert await stored(database) == [("REPORT_READ", "soon")]


async def test_what_a_stranger_sends_fits_into_a_line(
    database: Database, client: httpx.AsyncClient, admin_key: str, graphql: GraphQLClient
) -> None:
    await client.post(f"/api/events?{admin_key}", headers=[(b"Authorization", b"cbk_\x80")])

    [line] = await lines(graphql, actions=["REQUEST_REFUSED"])
    assert line["target"] == "POST /api/events"


async def test_a_start_is_noted_with_its_settings(
    database: Database, graphql: GraphQLClient
) -> None:
    settings = Settings.load(admin_user_list="ann", database_url="postgresql://me:secret@db/x")
    await record_start(database, settings, NOW)

    [line] = await lines(graphql, actions=["SERVICE_STARTED"])
    told = orjson.loads(line["detail"])
    assert (line["interface"], line["target"], line["username"]) == ("SERVICE", __version__, None)
    assert set(told) == set(Settings.model_fields)
    assert (told["admin_user_list"], told["database_url"]) == (["ann"], "postgresql://me:…@db/x")


async def test_nobody_but_a_listed_admin_has_keys_of_one_rotated(
    graphql: GraphQLClient, feed: Feed, make_key: MakeKey
) -> None:
    await feed(event("user.upserted", AT, username="ann", email="a", role="ADMIN"))
    ann, root = await make_key("ann", Scope.ADMIN), await make_key("root", Scope.ADMIN)
    rotate = "mutation ($id: ID!) { rotateApiKey(id: $id) { secret } }"

    refused = await graphql.execute(rotate, {"id": root.split("_")[1]}, key=ann)
    own = await graphql.execute(rotate, {"id": ann.split("_")[1]}, key=ann)

    assert refused["errors"][0]["extensions"] == {"code": "FORBIDDEN"}
    assert "errors" not in own
    [line] = await lines(graphql, actions=["KEY_ROTATED"])
    assert (line["target"], line["username"]) == (ann.split("_")[1], "ann")
