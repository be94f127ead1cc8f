"""Access of every kind of caller through every interface: GraphQL, REST and GraphiQL."""

from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.conftest import Feed, MakeKey, event

AT = "2026-10-10T00:00:00Z"
UNKNOWN = "cbk_0CK8cYeiijyT_S8vf6xk1lYBOsz8jrWqNarZNUDz423NY1cBYA1"
"""A well-formed key with the right checksum that belongs to no user."""

Keys = dict[str, str | None]
SendRequest = Callable[[httpx.AsyncClient, str | None, str], Awaitable[int]]


@pytest.fixture
async def keys(feed: Feed, make_key: MakeKey, other_organization: str) -> Keys:
    """A key for each kind of caller; `root` is in ADMIN_USER_LIST."""
    await feed(
        event("user.upserted", AT, username="ann", email="a@x.test", role="ADMIN"),
        event("user.upserted", AT, username="bob", email="b@x.test"),
        event("workspace.upserted", AT, name="lab"),
    )
    elsewhere = Feed(feed.database, feed.clock, other_organization)
    await elsewhere(
        event("user.upserted", AT, username="eve", email="e@x.test", role="ADMIN"),
        event("workspace.upserted", AT, name="lab"),
    )
    return {
        "no key": None,
        "bad key": UNKNOWN,
        "member": await make_key("bob"),
        "admin": await make_key("ann"),
        "admin of other": await make_key("eve", organization=other_organization),
        "listed admin": await make_key("root"),
    }


async def graphql(client: httpx.AsyncClient, key: str | None, organization: str) -> int:
    """Send a query with the key in the header and return the status."""
    return _status(await client.post("/graphql", json=_query(organization), headers=_header(key)))


async def rest(client: httpx.AsyncClient, key: str | None, organization: str) -> int:
    """Download the document with the key in the header and return the status."""
    response = await client.get(
        "/api/admin/chargeback/report",
        params={"reportMonth": "2026-10", "organization": organization},
        headers=_header(key),
    )
    if response.status_code == 200:
        assert [workspace["name"] for workspace in response.json()["workspaces"]] == ["lab"]
    return response.status_code


async def graphiql(client: httpx.AsyncClient, key: str | None, organization: str) -> int:
    """Sign in with the key, open the page, run a query as the page does, return the status."""
    signed_in = await client.post("/signin", data={"key": key or ""})
    page = await client.get("/graphql", headers={"Accept": "text/html"})
    if signed_in.status_code != 303:
        assert page.status_code == 401
        assert 'name="key"' in page.text
        return signed_in.status_code
    assert page.status_code == 200
    assert "graphiql" in page.text
    headers = {"X-Chargeback-Client": "graphiql"}
    return _status(await client.post("/graphql", json=_query(organization), headers=headers))


def _header(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": key}


def _query(organization: str) -> dict[str, object]:
    query = """query ($organization: String!) {
        chargebackReport(month: "2026-10", organization: $organization) { workspaces { name } } }
    """
    return {"query": query, "variables": {"organization": organization}}


def _status(response: httpx.Response) -> int:
    """Return the REST status of a response: GraphQL sends errors as 200 with a code."""
    document = response.json()
    if "errors" not in document:
        assert document["data"] == {"chargebackReport": {"workspaces": [{"name": "lab"}]}}
        return response.status_code
    [error] = document["errors"]
    assert not document.get("data")
    return {"UNAUTHENTICATED": 401, "FORBIDDEN": 403}[error["extensions"]["code"]]


@pytest.mark.parametrize("send", [graphql, rest, graphiql], ids=lambda send: send.__name__)
@pytest.mark.parametrize(
    ("caller", "of_default", "of_other"),
    [
        ("no key", 401, 401),
        ("bad key", 401, 401),
        ("member", 403, 403),
        ("admin", 200, 403),
        ("admin of other", 403, 200),
        ("listed admin", 200, 200),
    ],
)
async def test_only_admins_read_a_report_and_only_listed_ones_another_organization(
    client: httpx.AsyncClient,
    keys: Keys,
    send: SendRequest,
    caller: str,
    of_default: int,
    of_other: int,
) -> None:
    statuses = [await send(client, keys[caller], name) for name in ("default", "other")]

    assert statuses == [of_default, of_other]
