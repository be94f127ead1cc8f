"""REST error responses: existing clients parse `{"msg", "code"}`."""

import socket
from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.db.engine import Database
from app.domain.callers import Scope
from app.settings import Settings
from tests.conftest import Feed, FixedClock, MakeKey, create_client, event

REPORT = "/api/admin/chargeback/report"
ACCOUNTS = "/api/admin/service-accounts"
PATHS = (REPORT, f"/clientlib{REPORT}", ACCOUNTS, f"/clientlib{ACCOUNTS}")


def check_error(answer: httpx.Response, status: int) -> str:
    """Check the form and status of an error response; return its message."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    assert list(body)[:2] == ["msg", "code"]
    assert body["code"] == status
    assert isinstance(body["msg"], str)
    assert body["msg"] == body["msg"].strip() != ""
    assert "Traceback" not in answer.text
    return body["msg"]


@pytest.mark.parametrize("path", PATHS)
async def test_the_error_does_not_reveal_why_a_key_is_invalid(
    path: str, client: httpx.AsyncClient, make_key: MakeKey, clock: FixedClock
) -> None:
    expired = await make_key("root", expires_at=clock.now + timedelta(hours=1))
    clock.now += timedelta(hours=1)
    unknown = "cbk_0CK8cYeiijyT_S8vf6xk1lYBOsz8jrWqNarZNUDz423NY1cBYA1"
    headers: list[dict[str, str]] = [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic cm9vdDpyb290"},
        {"Authorization": unknown},
        {"Authorization": expired},
        {"Authorization": expired[:-1]},
        {"Authorization": "x" * 10_000},
        {"Authorization": "*"},
        {"Cookie": "chargeback_session=nonsense"},
    ]

    answers = [await client.get(path, headers=each) for each in headers]

    assert len({check_error(answer, 401) for answer in answers}) == 1
    assert {answer.headers["www-authenticate"] for answer in answers} == {
        'Bearer realm="chargeback"'
    }


@pytest.mark.parametrize("key", [b"\xff\xfe", "Schlüssel".encode(), b"cbk_\x80_*"])
async def test_a_key_with_invalid_bytes_is_unauthenticated(
    client: httpx.AsyncClient, key: bytes
) -> None:
    answer = await client.get(REPORT, headers=[(b"Authorization", key)])
    check_error(answer, 401)


@pytest.mark.parametrize("path", PATHS)
async def test_non_admins_and_other_organizations_are_forbidden(
    path: str,
    client: httpx.AsyncClient,
    feed: Feed,
    make_key: MakeKey,
    other_organization: str,
) -> None:
    await feed(
        event("user.upserted", "2026-01-01T00:00:00Z", username="ann", email="a", role="ADMIN"),
        event("user.upserted", "2026-01-01T00:00:00Z", username="bob", email="b"),
    )
    ann, bob = await make_key("ann"), await make_key("bob")
    writer = await make_key("ann", Scope.EVENTS_WRITE)

    async def fetch_report(key: str, **parameters: str) -> httpx.Response:
        return await client.get(path, params=parameters, headers={"Authorization": key})

    assert (await fetch_report(ann)).status_code == 200
    assert (await fetch_report(ann, organization="default")).status_code == 200
    assert "'bob' is not an admin" in check_error(await fetch_report(bob), 403)
    assert "report:read" in check_error(await fetch_report(writer), 403)
    # The error does not reveal whether the organization exists.
    assert "access organization 'other'" in check_error(
        await fetch_report(ann, organization="other"), 403
    )
    assert "access organization 'none'" in check_error(
        await fetch_report(ann, organization="none"), 403
    )


async def test_a_listed_admin_gets_404_for_an_unknown_organization(
    client: httpx.AsyncClient, admin_key: str
) -> None:
    for path in PATHS:
        answer = await client.get(
            path, params={"organization": "none"}, headers={"Authorization": admin_key}
        )
        assert "'none'" in check_error(answer, 404)


BAD_MONTHS = [
    "",
    " ",
    "2023",
    "2023-1",
    "2023-13",
    "2023-00",
    "23-1",
    "2023-11-01",
    "2023-11 ",
    " 2023-11",
    "2023-11\n",
    "2023/11",
    "+2023-11",
    "-2023-11",
    "0000-01",
    "10000-01",
    "\uff12\uff10\uff12\uff13-11",  # full width
    "\u0968\u0966\u0968\u0969-\u0967\u0967",  # Devanagari
    "2023\u201311",  # an en dash
    "\0",
    "2023-11\0",
    "null",
    "x" * 4_000,
]


async def test_an_invalid_month_is_rejected_with_the_expected_format(
    client: httpx.AsyncClient, admin_key: str
) -> None:
    for month in BAD_MONTHS:
        answer = await client.get(
            REPORT, params={"reportMonth": month}, headers={"Authorization": admin_key}
        )
        message = check_error(answer, 400)
        assert "YYYY-MM" in message, repr(month)
        assert len(message) < 500, repr(month)


@pytest.mark.parametrize("query", ["reportMonth=%FF%FE", "reportMonth=%ED%A0%80", "reportMonth"])
async def test_a_month_with_invalid_bytes_is_rejected(
    client: httpx.AsyncClient, admin_key: str, query: str
) -> None:
    answer = await client.get(f"{REPORT}?{query}", headers={"Authorization": admin_key})
    assert "YYYY-MM" in check_error(answer, 400)


async def test_a_future_month_is_rejected_with_the_latest_month(
    client: httpx.AsyncClient, admin_key: str
) -> None:
    for month in ("2026-12", "2027-01", "9999-12"):
        answer = await client.get(
            REPORT, params={"reportMonth": month}, headers={"Authorization": admin_key}
        )
        message = check_error(answer, 400)
        assert month in message
        assert "2026-11" in message


@pytest.mark.parametrize(
    "query",
    [
        "reportMonth=2023-11&reportMonth=2023-12",
        "reportMonth=2023-11&reportMonth=2023-11",
        "reportMonth=2023-11&reportMonth=",
        "reportMonth=&reportMonth=2023-11",
        "organization=default&organization=default",
        "organization=default&organization=",
    ],
)
async def test_a_repeated_parameter_is_rejected(
    client: httpx.AsyncClient, admin_key: str, query: str
) -> None:
    answer = await client.get(f"{REPORT}?{query}", headers={"Authorization": admin_key})
    assert "once" in check_error(answer, 400)


@pytest.mark.parametrize("path", PATHS)
async def test_an_organization_with_odd_characters_is_a_client_error(
    path: str, client: httpx.AsyncClient, admin_key: str
) -> None:
    for query in ("organization=%00", "organization=%FF", "organization=%ED%A0%80"):
        answer = await client.get(f"{path}?{query}", headers={"Authorization": admin_key})
        assert answer.status_code in {400, 404}, answer.text
        check_error(answer, answer.status_code)


async def test_an_empty_organization_is_not_the_default_one(
    client: httpx.AsyncClient, admin_key: str
) -> None:
    """A script with an unset variable must not get another organization's figures."""
    answer = await client.get(f"{REPORT}?organization=", headers={"Authorization": admin_key})
    assert answer.status_code in {400, 404}


@pytest.mark.parametrize("path", PATHS)
async def test_a_disabled_report_is_404_and_names_the_setting(
    path: str, database: Database, clock: FixedClock, admin_key: str
) -> None:
    settings = Settings.load(admin_user_list="root", chargeback_usage_report_enabled="False")
    async with create_client(database, settings, clock) as client:
        answer = await client.get(path, headers={"Authorization": admin_key})
        assert "CHARGEBACK_USAGE_REPORT_ENABLED" in check_error(answer, 404)
        # Without a key, the error reveals no settings.
        check_error(await client.get(path), 401)


@pytest.mark.parametrize("path", PATHS)
async def test_an_unreachable_store_is_503_with_retry_after(
    path: str, clock: FixedClock, admin_key: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    away = Database(f"postgresql://nobody@127.0.0.1:{port}/none")
    async with create_client(away, Settings.load(), clock) as client:
        answer = await client.get(path, headers={"Authorization": admin_key})
    await away.close()

    check_error(answer, 503)
    assert int(answer.headers["retry-after"]) > 0
    assert str(port) not in answer.text


async def test_unknown_paths_and_wrong_methods_have_the_error_form(
    client: httpx.AsyncClient, admin_key: str
) -> None:
    headers = {"Authorization": admin_key}
    check_error(await client.get("/api/admin/nothing", headers=headers), 404)
    answer = await client.post(REPORT, headers=headers)
    check_error(answer, 405)
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize("path", ["/clientlib/isAlive/ver"])
async def test_is_alive_needs_no_key(path: str, client: httpx.AsyncClient) -> None:
    answer = await client.get(path)

    assert answer.status_code == 200
    assert list(answer.json()) == ["version"]
    major, minor, patch = map(int, answer.json()["version"].split("."))
    assert (major, minor, patch) >= (1, 2, 78)


async def test_is_alive_needs_no_store(clock: FixedClock) -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/none")
    async with create_client(away, Settings.load(), clock) as client:
        assert (await client.get("/clientlib/isAlive/ver")).status_code == 200
    await away.close()


@pytest.mark.parametrize("path", [ACCOUNTS, f"/clientlib{ACCOUNTS}"])
async def test_service_accounts_are_listed_by_name(
    path: str, client: httpx.AsyncClient, feed: Feed, admin_key: str
) -> None:
    def create_upsert(username: str, *, bot: bool, time: str = "2026-01-01T00:00:00Z") -> bytes:
        return event("user.upserted", time, username=username, email="e", serviceAccount=bot)

    await feed(
        create_upsert("b bot", bot=True),
        create_upsert("A bot", bot=True),
        create_upsert("ann", bot=False),
        create_upsert("was", bot=True),
        create_upsert("was", bot=False, time="2026-02-01T00:00:00Z"),
    )
    answer = await client.get(path, headers={"Authorization": admin_key})

    assert answer.status_code == 200
    assert answer.content == b'{"serviceAccounts":[{"name":"A bot"},{"name":"b bot"}]}'


async def test_an_organization_without_service_accounts_has_an_empty_list(
    client: httpx.AsyncClient, admin_key: str
) -> None:
    answer = await client.get(ACCOUNTS, headers={"Authorization": admin_key})
    assert answer.content == b'{"serviceAccounts":[]}'


async def test_a_service_account_deleted_this_month_is_listed(
    client: httpx.AsyncClient, feed: Feed, admin_key: str
) -> None:
    """Clients use the list to separate programs from people in the report."""
    time = "2026-01-01T00:00:00Z"
    await feed(
        event("user.upserted", time, username="x", email="e", serviceAccount=True),
        event("user.deleted", "2026-11-02T00:00:00Z", username="x"),
        event("user.upserted", time, username="y", email="e", serviceAccount=True),
        event("user.deleted", "2026-10-31T23:59:59.999999Z", username="y"),
    )
    answer = await client.get(ACCOUNTS, headers={"Authorization": admin_key})
    assert answer.json() == {"serviceAccounts": [{"name": "x"}]}
