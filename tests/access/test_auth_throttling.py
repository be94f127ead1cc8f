"""Guessing API keys is throttled and costs few statements."""

import asyncio
from datetime import timedelta

import httpx
import pytest

from app.db.engine import Database
from app.domain.keys import KeyText
from app.main import create_app
from app.settings import Settings
from app.web.limits.auth_throttle import client_network
from tests.conftest import FixedClock, GraphQLClient, MakeKey, record_statements

PATH = "/api/admin/chargeback/report"
UNKNOWN = str(KeyText.from_random(bytes(32)))
"""A well-formed key with the right checksum that belongs to no user."""
MISTYPED = UNKNOWN[:-1] + ("0" if UNKNOWN[-1] != "0" else "1")


async def fetch_report(client: httpx.AsyncClient, key: str) -> httpx.Response:
    return await client.get(PATH, headers={"Authorization": key})


@pytest.mark.parametrize("key", [UNKNOWN, MISTYPED, "cbk_", "x"])
async def test_after_20_invalid_keys_the_next_request_is_rate_limited(
    client: httpx.AsyncClient, clock: FixedClock, key: str
) -> None:
    responses = [await fetch_report(client, key) for _ in range(20)]
    clock.now += timedelta(minutes=2)
    limited = await fetch_report(client, key)

    assert [response.status_code for response in responses] == [401] * 20
    assert limited.status_code == 429
    assert limited.headers["retry-after"] == "180"
    assert limited.json() == {
        "msg": "Too many requests with an invalid API key came from this address: try again in "
        "180 seconds.",
        "code": 429,
        "error": "RATE_LIMITED",
    }
    clock.now += timedelta(seconds=180)
    assert (await fetch_report(client, key)).status_code == 401


async def test_graphql_and_sign_in_are_rate_limited_together(client: httpx.AsyncClient) -> None:
    for _ in range(10):
        await client.post(
            "/graphql",
            json={"query": "{ viewer { username } }"},
            headers={"Authorization": UNKNOWN},
        )
        await client.post("/signin", data={"key": UNKNOWN})
    graphql = await client.post(
        "/graphql", json={"query": "{ viewer { username } }"}, headers={"Authorization": UNKNOWN}
    )
    page = await client.post("/signin", data={"key": UNKNOWN})

    assert (graphql.status_code, page.status_code) == (429, 429)
    assert graphql.json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    assert graphql.headers["retry-after"] == page.headers["retry-after"] == "300"
    assert "Too many requests with an invalid API key" in page.text


async def test_a_valid_key_from_the_same_address_is_not_rate_limited(
    client: httpx.AsyncClient, admin_key: str, make_key: MakeKey
) -> None:
    """This holds even for a key that the process has not seen before."""
    fresh = await make_key("root")
    await fetch_report(client, admin_key)
    for _ in range(30):
        await fetch_report(client, UNKNOWN[:-1])

    assert (await fetch_report(client, admin_key)).status_code == 200
    assert (await fetch_report(client, fresh)).status_code == 200
    assert (await fetch_report(client, UNKNOWN)).status_code == 429


async def test_keys_are_looked_up_together_once_rate_limited(
    client: httpx.AsyncClient, database: Database, admin_key: str
) -> None:
    await fetch_report(client, admin_key)
    for _ in range(21):
        await fetch_report(client, UNKNOWN)
    with record_statements(database) as statements:
        responses = await asyncio.gather(*(fetch_report(client, UNKNOWN) for _ in range(50)))
    lookups = [text for text in statements.texts if "FROM api_key" in text]

    assert {response.status_code for response in responses} == {429}
    assert 0 < len(lookups) <= 5
    assert (await fetch_report(client, admin_key)).status_code == 200


async def test_bad_keys_of_a_shared_address_do_not_lock_out_good_ones(
    client: httpx.AsyncClient, make_key: MakeKey
) -> None:
    """After a restart no key is known; 39 of 40 good ones were refused."""
    good = [await make_key("root") for _ in range(10)]
    bad = [str(KeyText.from_random(number.to_bytes(32, "big"))) for number in range(121)]
    for key in bad[:21]:
        await fetch_report(client, key)

    responses = await asyncio.gather(*(fetch_report(client, key) for key in [*bad[21:], *good]))

    statuses = [response.status_code for response in responses]
    assert statuses == [429] * 100 + [200] * 10


async def test_a_wrong_checksum_is_rejected_without_a_statement(
    client: httpx.AsyncClient, database: Database
) -> None:
    with record_statements(database) as statements:
        assert (await fetch_report(client, MISTYPED)).status_code == 401
        assert (await fetch_report(client, f"{MISTYPED}*eyJ9")).status_code == 401

    assert statements.texts == []


async def test_requests_without_a_key_are_not_rate_limited(client: httpx.AsyncClient) -> None:
    for _ in range(30):
        assert (await client.get(PATH)).status_code == 401


async def test_a_revoked_key_counts_as_invalid(
    client: httpx.AsyncClient, graphql: GraphQLClient, make_key: MakeKey
) -> None:
    key = await make_key("root")
    assert (await fetch_report(client, key)).status_code == 200
    await graphql("mutation ($id: ID!) { revokeApiKey(id: $id) { id } }", id=key.split("_")[1])

    responses = [(await fetch_report(client, key)).status_code for _ in range(21)]

    assert responses == [401] * 20 + [429]


async def test_addresses_are_counted_separately(database: Database, clock: FixedClock) -> None:
    application = create_app(Settings.load(), database, clock)
    first, second = (
        httpx.AsyncClient(
            transport=httpx.ASGITransport(application, client=(address, 1)),
            base_url="http://chargeback.test",
        )
        for address in ("192.0.2.6", "192.0.2.7")
    )
    for _ in range(21):
        await fetch_report(first, UNKNOWN)

    assert (await fetch_report(first, UNKNOWN)).status_code == 429
    assert (await fetch_report(second, UNKNOWN)).status_code == 401
    await application.state.chargeback.audit.close()


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("unknown", "unknown"),
        (None, ""),
    ],
)
def test_an_ipv6_address_counts_as_its_network(address: str | None, network: str) -> None:
    assert client_network(address) == network
