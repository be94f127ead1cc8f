"""Cross-origin requests: only from CORS_ALLOWED_ORIGINS, and never with cookies."""

from collections.abc import AsyncIterator

import httpx
import pytest

from app.db.engine import Database
from app.domain.callers import Scope
from app.settings import Settings, SettingsError
from tests.conftest import FixedClock, MakeKey, create_client

ALLOWED = "https://reports.example.com"
QUERY = {"query": "{ viewer { username } }"}
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


@pytest.fixture
async def open_client(database: Database, clock: FixedClock) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that pages of two origins may call."""
    origins = f"{ALLOWED}, http://localhost:5173"
    settings = Settings.load(admin_user_list="root", cors_allowed_origins=origins)
    async with create_client(database, settings, clock) as client:
        yield client


def cors_headers(response: httpx.Response) -> dict[str, str]:
    """Return the headers that a browser reads."""
    return {
        name.removeprefix("access-control-"): value
        for name, value in response.headers.items()
        if name.startswith("access-control-")
    }


async def test_a_preflight_of_an_allowed_origin_names_what_is_allowed(
    open_client: httpx.AsyncClient,
) -> None:
    for origin in (ALLOWED, "http://localhost:5173"):
        response = await open_client.options("/graphql", headers={"Origin": origin, **PREFLIGHT})

        assert response.status_code == 200
        assert cors_headers(response) == {
            "allow-origin": origin,
            "allow-methods": "GET, POST",
            "allow-headers": "Accept, Accept-Language, Authorization, Content-Language, "
            "Content-Type, If-None-Match, X-Request-ID",
            "max-age": "600",
        }
        assert "Origin" in response.headers["vary"]


@pytest.mark.parametrize(
    "changes",
    [
        {"Origin": "https://evil.example.com"},
        {"Origin": "http://reports.example.com"},
        {"Origin": "https://reports.example.com:8443"},
        {"Origin": "null"},
        {"Access-Control-Request-Method": "DELETE"},
        # Requests with a session must have this header.
        {"Access-Control-Request-Headers": "x-chargeback-client"},
    ],
)
async def test_any_other_preflight_is_refused(
    open_client: httpx.AsyncClient, changes: dict[str, str]
) -> None:
    headers = {"Origin": ALLOWED, **PREFLIGHT, **changes}
    response = await open_client.options("/graphql", headers=headers)

    assert response.status_code == 400
    is_allowed = headers["Origin"] == ALLOWED
    assert ("allow-origin" in cors_headers(response)) == is_allowed
    assert "allow-credentials" not in cors_headers(response)


async def test_an_allowed_origin_reads_responses_and_errors(
    open_client: httpx.AsyncClient, make_key: MakeKey
) -> None:
    key = await make_key("root", Scope.REPORT_READ)
    expected = {
        "allow-origin": ALLOWED,
        "expose-headers": "ETag, Retry-After, Content-Disposition, X-Request-ID",
    }
    for path, authorization, status in (
        ("/graphql", key, 200),
        ("/graphql", "cbk_none", 401),
        ("/nowhere", key, 404),
    ):
        response = await open_client.post(
            path, json=QUERY, headers={"Origin": ALLOWED, "Authorization": authorization}
        )
        assert response.status_code == status
        assert cors_headers(response) == expected
        assert "Origin" in response.headers["vary"]


async def test_another_origin_reads_nothing(
    open_client: httpx.AsyncClient, make_key: MakeKey
) -> None:
    headers = {"Origin": "https://evil.example.com", "Authorization": await make_key("root")}
    response = await open_client.post("/graphql", json=QUERY, headers=headers)

    assert "allow-origin" not in cors_headers(response)
    assert "Origin" in response.headers["vary"]


async def test_no_origin_is_allowed_by_default(
    client: httpx.AsyncClient, make_key: MakeKey
) -> None:
    preflight = await client.options("/graphql", headers={"Origin": ALLOWED, **PREFLIGHT})
    headers = {"Origin": ALLOWED, "Authorization": await make_key("root")}
    response = await client.post("/graphql", json=QUERY, headers=headers)

    assert preflight.status_code == 405
    assert cors_headers(preflight) == cors_headers(response) == {}


@pytest.mark.parametrize(
    "origins",
    [
        "*",
        "null",
        "reports.example.com",
        "https://reports.example.com/",
        "https://*.example.com",
        "https://Reports.example.com",
        "https://a.example.com https://b.example.com",
        "ftp://reports.example.com",
    ],
)
def test_a_value_that_is_not_an_origin_is_rejected(origins: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.load(cors_allowed_origins=origins)

    assert str(refused.value) == (
        f"CORS_ALLOWED_ORIGINS={origins!r} is not allowed: use origins such as "
        "https://reports.example.com, comma separated."
    )
