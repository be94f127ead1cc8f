"""Guessing keys is slowed down, and costs the store little."""

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
"""Well formed, with the right checksum, and nobody's."""
MISTYPED = UNKNOWN[:-1] + ("0" if UNKNOWN[-1] != "0" else "1")


async def ask(client: httpx.AsyncClient, key: str) -> httpx.Response:
    return await client.get(PATH, headers={"Authorization": key})


@pytest.mark.parametrize("bad", [UNKNOWN, MISTYPED, "cbk_", "x"])
async def test_after_20_bad_keys_the_next_is_told_to_wait(
    client: httpx.AsyncClient, clock: FixedClock, bad: str
) -> None:
    answers = [await ask(client, bad) for _ in range(20)]
    clock.now += timedelta(minutes=2)
    refused = await ask(client, bad)

    assert [answer.status_code for answer in answers] == [401] * 20
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "180"
    assert refused.json() == {
        "msg": "Too many requests with an invalid API key came from this address: try again in "
        "180 seconds.",
        "code": 429,
        "error": "RATE_LIMITED",
    }
    clock.now += timedelta(seconds=180)
    assert (await ask(client, bad)).status_code == 401


async def test_graphql_and_the_sign_in_count_and_wait_alike(client: httpx.AsyncClient) -> None:
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


async def test_a_good_key_beside_the_guessing_is_served(
    client: httpx.AsyncClient, admin_key: str, make_key: MakeKey
) -> None:
    """Also one that this process has never seen."""
    fresh = await make_key("root")
    await ask(client, admin_key)
    for _ in range(30):
        await ask(client, UNKNOWN[:-1])

    assert (await ask(client, admin_key)).status_code == 200
    assert (await ask(client, fresh)).status_code == 200
    assert (await ask(client, UNKNOWN)).status_code == 429


async def test_a_guesser_has_few_keys_looked_up_a_second(
    client: httpx.AsyncClient, database: Database, admin_key: str, clock: FixedClock
) -> None:
    await ask(client, admin_key)
    for _ in range(21):
        await ask(client, UNKNOWN)
    with record_statements(database) as statements:
        for _ in range(50):
            await ask(client, UNKNOWN)
    looked_up = [text for text in statements.texts if "FROM api_key" in text]

    # One of the turns of this second was had by the twenty-first key.
    assert len(looked_up) == 5
    assert (await ask(client, admin_key)).status_code == 200
    clock.now += timedelta(seconds=1)
    with record_statements(database) as statements:
        await ask(client, UNKNOWN)
    assert [text for text in statements.texts if "FROM api_key" in text] != []


async def test_a_wrong_checksum_asks_the_store_nothing(
    client: httpx.AsyncClient, database: Database
) -> None:
    with record_statements(database) as statements:
        assert (await ask(client, MISTYPED)).status_code == 401
        assert (await ask(client, f"{MISTYPED}*eyJ9")).status_code == 401

    assert statements.texts == []


async def test_requests_without_a_key_are_no_guesses(client: httpx.AsyncClient) -> None:
    for _ in range(30):
        assert (await client.get(PATH)).status_code == 401


async def test_a_key_that_was_good_and_ended_is_a_bad_one(
    client: httpx.AsyncClient, graphql: GraphQLClient, make_key: MakeKey
) -> None:
    key = await make_key("root")
    assert (await ask(client, key)).status_code == 200
    await graphql("mutation ($id: ID!) { revokeApiKey(id: $id) { id } }", id=key.split("_")[1])

    answers = [(await ask(client, key)).status_code for _ in range(21)]

    assert answers == [401] * 20 + [429]


async def test_places_are_counted_apart(database: Database, clock: FixedClock) -> None:
    application = create_app(Settings.load(), database, clock)
    here, there = (
        httpx.AsyncClient(
            transport=httpx.ASGITransport(application, client=(address, 1)),
            base_url="http://chargeback.test",
        )
        for address in ("192.0.2.6", "192.0.2.7")
    )
    for _ in range(21):
        await ask(here, UNKNOWN)

    assert (await ask(here, UNKNOWN)).status_code == 429
    assert (await ask(there, UNKNOWN)).status_code == 401
    await application.state.chargeback.audit.close()


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("unknown", "unknown"),
        (None, ""),
    ],
)
def test_an_address_stands_for_a_host_or_a_network(address: str | None, place: str) -> None:
    assert client_network(address) == place
