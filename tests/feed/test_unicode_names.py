"""One name in Unicode's forms C and D is one user, workspace or project, at every door."""

import httpx
import orjson
import pytest

from app.connectors.reports.document import read_report
from app.db.engine import Database
from app.domain.callers import Scope
from app.domain.errors import InvalidBatch
from app.domain.event_decoding import decode_batch, decode_lines
from app.services.rate_card_file import parse_rate_card
from app.services.sessions import is_listed_admin
from app.settings import Settings
from tests.conftest import NOW, Feed, FixedClock, GraphQLClient, MakeKey, create_client, event
from tests.imports.conftest import document, user, workspace
from tests.scim.conftest import Directory

COMPOSED, DECOMPOSED = "Jos\u00e9", "Jose\u0301"
AT = "2026-11-02T00:00:00Z"
USERS = """query ($name: String) { chargebackReport(month: "2026-11") {
    users { licensedUsers { username email } }
    workspaces(filter: { nameContains: $name }) { name members { userName } projects { name } }
} }"""


async def test_events_in_both_forms_are_about_one_user_and_workspace(
    feed: Feed, graphql: GraphQLClient
) -> None:
    await feed(
        event("user.upserted", AT, username=COMPOSED, email=f"{DECOMPOSED}@x.test"),
        event("user.upserted", AT, username=DECOMPOSED),
        event("member.added", AT, workspace=DECOMPOSED, username=COMPOSED),
        event("project.upserted", AT, workspace=COMPOSED, name=DECOMPOSED),
    )

    for spelling in (COMPOSED, DECOMPOSED):
        report = (await graphql(USERS, name=spelling))["chargebackReport"]
        assert report["users"]["licensedUsers"] == [
            {"username": COMPOSED, "email": f"{COMPOSED}@x.test"}
        ]
        [workspace] = report["workspaces"]
        assert workspace == {
            "name": COMPOSED,
            "members": [{"userName": COMPOSED}],
            "projects": [{"name": COMPOSED}],
        }


def test_escapes_and_arrays_are_normalized_too() -> None:
    line = event("user.upserted", AT, username="NAME").replace(b"NAME", rb"Jose\u0301")

    [from_line] = decode_lines([line], now=NOW)
    [from_array] = decode_batch(b"[" + line + b"]", now=NOW)

    assert from_line.data.username == from_array.data.username == COMPOSED  # type: ignore[union-attr]


def test_a_name_that_grows_beyond_the_limit_is_rejected() -> None:
    # U+0958 has 1 character; its form C has 2, because it is excluded from composition.
    line = event("user.upserted", AT, username="\u0958" * 257)

    with pytest.raises(InvalidBatch) as raised:
        decode_lines([line], now=NOW)

    [problem] = raised.value.problems
    assert (problem.index, problem.field) == (0, "data.username")
    assert problem.message.endswith("got 514")


async def test_a_directory_finds_a_user_in_either_form(
    client: httpx.AsyncClient, clock: FixedClock, admin_key: str
) -> None:
    directory = Directory(client, admin_key, clock)
    created = await directory.create("/Users", userName=DECOMPOSED)

    assert created["userName"] == COMPOSED
    for spelling in (COMPOSED, DECOMPOSED):
        found = await directory.get("/Users", filter=f'userName eq "{spelling.upper()}"')
        assert found["totalResults"] == 1
    assert (await directory.send("POST", "/Users", json={"userName": COMPOSED})).status_code == 409


async def test_a_key_and_the_admin_list_name_the_user_in_either_form(
    database: Database, clock: FixedClock, make_key: MakeKey
) -> None:
    settings = Settings.load(admin_user_list=f"ann, {DECOMPOSED}")
    key = await make_key(DECOMPOSED, Scope.REPORT_READ)

    async with create_client(database, settings, clock) as client:
        response = await client.get("/api/admin/chargeback/report", headers={"Authorization": key})

    assert response.status_code == 200
    assert is_listed_admin(COMPOSED, None, settings)


async def test_rest_takes_a_workspace_in_either_form(
    feed: Feed, client: httpx.AsyncClient, admin_key: str
) -> None:
    await feed(event("workspace.upserted", AT, name=COMPOSED))

    for spelling in (COMPOSED, DECOMPOSED):
        response = await client.get(
            "/api/admin/chargeback/export",
            params={"reportMonth": "2026-11", "workspace": spelling, "format": "csv"},
            headers={"Authorization": admin_key},
        )
        assert COMPOSED in response.text


def test_a_rate_card_is_normalized() -> None:
    card = parse_rate_card(f'[users."{DECOMPOSED}"]\n2026-11 = "4711"\n')

    assert [entry.name for entry in card.assignments] == [COMPOSED]


def test_an_imported_report_is_normalized() -> None:
    text = orjson.dumps(document("2026-10", [workspace(DECOMPOSED)], [user(DECOMPOSED)]))

    imported = read_report(text, "report.json").decode()

    assert [each.name for each in imported.workspaces] == [COMPOSED]
    assert [each.username for each in imported.users.licensed_users] == [COMPOSED]
