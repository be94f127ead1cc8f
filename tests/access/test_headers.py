"""The security headers of responses, the session cookie, and secrets in responses."""

import json

import httpx
import pytest

from app.db.engine import Database
from app.domain.callers import Scope
from app.settings import Settings, SettingsError
from tests.conftest import FixedClock, MakeKey, create_client

ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
PATHS = [
    ("GET", "/"),
    ("GET", "/months/2026-10"),
    ("GET", "/graphql"),
    ("GET", "/signin"),
    ("POST", "/signin"),
    ("POST", "/signout"),
    ("GET", "/static/signin.css"),
    ("GET", "/api/admin/chargeback/report"),
    ("POST", "/api/events"),
    ("GET", "/clientlib/isAlive/ver"),
    ("GET", "/nowhere"),
    ("DELETE", "/graphql"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize("accept", ["*/*", "text/html"])
async def test_every_response_has_the_security_headers(
    client: httpx.AsyncClient, method: str, path: str, accept: str
) -> None:
    response = await client.request(method, path, headers={"Accept": accept})

    assert {name: response.headers[name] for name in ALWAYS} == ALWAYS
    assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
    assert "cache-control" in response.headers
    assert "strict-transport-security" not in response.headers


async def test_an_unexpected_error_has_the_security_headers_too(
    client: httpx.AsyncClient, database: Database, make_key: MakeKey
) -> None:
    key = await make_key("root")
    async with database.owner_transaction() as tx:
        await tx.exec_driver_sql("ALTER TABLE month_close RENAME TO gone")
    response = await client.get("/api/admin/chargeback/report", headers={"Authorization": key})

    assert response.status_code == 500
    assert {name: response.headers[name] for name in ALWAYS} == ALWAYS


@pytest.mark.parametrize("path", ["/signin", "/graphql"])
async def test_no_page_allows_inline_scripts(
    client: httpx.AsyncClient, make_key: MakeKey, path: str
) -> None:
    """Only GraphiQL may use inline styles."""
    key = await make_key("root", Scope.ADMIN)
    html = {"Accept": "text/html"}
    signed_out = await client.get(path, headers=html)
    await client.post("/signin", data={"key": key})
    signed_in = await client.get(path, headers=html)

    policies = [
        response.headers["content-security-policy"] for response in (signed_out, signed_in)
    ]
    assert "unsafe" not in policies[0]
    assert ("style-src 'self' 'unsafe-inline'" in policies[1]) is (path == "/graphql")
    for policy in policies:
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy.replace("style-src 'self' 'unsafe-inline'", "")
        assert "base-uri 'none'" in policy


async def test_the_cookie_is_secure_over_tls(
    database: Database, clock: FixedClock, make_key: MakeKey
) -> None:
    key = await make_key("root")
    settings = Settings.load(admin_user_list="root")
    async with create_client(database, settings, clock) as client:
        plain = await client.post("/signin", data={"key": key})
        tls = await client.post("https://chargeback.test/signin", data={"key": key})

    assert [part.strip() for part in plain.headers["set-cookie"].split(";")[1:]] == [
        "HttpOnly",
        "Max-Age=43200",
        "Path=/",
        "SameSite=strict",
    ]
    assert plain.headers["set-cookie"].startswith("chargeback_session=")
    assert tls.headers["set-cookie"].startswith("__Host-chargeback_session=")
    assert "; Secure" in tls.headers["set-cookie"]
    assert "domain" not in tls.headers["set-cookie"].lower()
    assert tls.headers["strict-transport-security"] == "max-age=31536000"


async def test_over_tls_only_the_cookie_with_the_prefix_counts(
    database: Database, clock: FixedClock, make_key: MakeKey
) -> None:
    key = await make_key("root", Scope.ADMIN)
    report = "https://chargeback.test/api/admin/chargeback/report"
    settings = Settings.load(admin_user_list="root")
    async with create_client(database, settings, clock) as client:
        signed_in = await client.post("https://chargeback.test/signin", data={"key": key})
        token = signed_in.headers["set-cookie"].partition("=")[2].partition(";")[0]
        client.cookies.clear()
        statuses = [
            (await client.get(report, headers={"Cookie": f"{name}={token}"})).status_code
            for name in ("__Host-chargeback_session", "chargeback_session")
        ]

    assert statuses == [200, 401]


@pytest.mark.parametrize("value", ["10.0.0.0/8, ::1", "10.0.0.1"])
def test_trusted_proxies_are_addresses_or_networks(value: str) -> None:
    assert len(Settings.load(trusted_proxies=value).trusted_proxies) == value.count(",") + 1


@pytest.mark.parametrize("value", ["*", "proxy.example", "10.0.0.0/33", "10.0.0.1/8"])
def test_other_trusted_proxies_are_rejected(value: str) -> None:
    with pytest.raises(SettingsError, match=r"TRUSTED_PROXIES=.*10\.0\.0\.0/8, comma separated"):
        Settings.load(trusted_proxies=value)


def test_the_store_password_is_never_shown() -> None:
    for url in ("postgresql://me:secret@db/x", "postgresql://me@db/x?password=secret"):
        assert "secret" not in str(Settings.load(database_url=url).redacted)
        with pytest.raises(SettingsError) as caught:
            Settings.load(database_url=url.replace("postgresql", "mysql"))
        assert "secret" not in str(caught.value)
        assert "db/x" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@collector/v1/traces", "https://me:…@collector/v1/traces"),
        ("https://secret@collector/v1/traces", "https://…@collector/v1/traces"),
        ("https://collector/v1?a=1&api-key=secret", "https://collector/v1?a=1&api-key=…"),
    ],
)
def test_the_password_of_the_traces_endpoint_is_never_shown(url: str, shown: str) -> None:
    assert Settings.load(traces_endpoint=url).redacted["traces_endpoint"] == shown
    with pytest.raises(SettingsError) as caught:
        Settings.load(traces_endpoint=f"x{url}")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("path", ["/graphql/", "/api/events/"])
async def test_a_trailing_slash_is_not_redirected(client: httpx.AsyncClient, path: str) -> None:
    """Behind a TLS proxy, a redirect would lead to http:// and expose the key."""
    response = await client.get(path, headers={"Host": "elsewhere.test"})
    assert response.status_code == 404
    assert "location" not in response.headers


@pytest.mark.parametrize("name", ["Authorization", "Host", "Content-Type"])
@pytest.mark.parametrize("path", ["/graphql", "/api/admin/chargeback/report", "/scim/v2/Users"])
async def test_a_duplicate_header_is_rejected(
    client: httpx.AsyncClient, admin_key: str, name: str, path: str
) -> None:
    """A proxy might use the first value and the service the second, or vice versa."""
    right = {"Authorization": admin_key, "Host": "chargeback.test", "Content-Type": "text/plain"}
    for values in ((right[name], "other"), ("other", right[name]), (right[name], right[name])):
        headers = [*(right | {name: values[0]}).items(), (name, values[1])]
        response = await client.get(path, headers=headers)

        assert response.status_code == 400
        assert f"Send the header {name} only once; got 2." in response.text
        assert "other" not in response.text
        assert {name: response.headers[name] for name in ALWAYS} == ALWAYS


ONE_EVENT = {"Content-Type": "application/cloudevents+json"}
QUERIES_WITH_A_KEY = (
    '{{ chargebackReport(month: "{key}") {{ reportDate }} }}',
    'mutation {{ revokeApiKey(id: "{key}") {{ id }} }}',
    "{{ {key} }}",
)
PATHS_WITH_A_KEY = (
    "/api/admin/chargeback/report?reportMonth={key}",
    "/api/admin/chargeback/report?organization={key}",
    "/scim/v2/Users/{key}",
    "/graphql?query={{viewer{{username}}}}&operationName={key}",
)


async def test_an_api_key_in_the_wrong_place_is_redacted(
    client: httpx.AsyncClient, admin_key: str
) -> None:
    """Clients log error messages, so these must not repeat a key sent as an id or a month."""
    client.headers["Authorization"] = admin_key
    event = {"specversion": "1.0", "id": "1", "source": "a", "type": admin_key}
    responses = [
        *[await client.get(path.format(key=admin_key)) for path in PATHS_WITH_A_KEY],
        *[
            await client.post("/graphql", json={"query": query.format(key=admin_key)})
            for query in QUERIES_WITH_A_KEY
        ],
        await client.post("/api/events", content=json.dumps(event), headers=ONE_EVENT),
    ]

    _, key_id, secret = admin_key.split("_")
    for response in responses:
        assert f"cbk_{key_id}_…" in response.text, response.url
        assert secret[:20] not in response.text, response.url
