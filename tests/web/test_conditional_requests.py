"""Conditional requests and content negotiation work alike on REST, static files and SCIM."""

from typing import Any

import httpx
import pytest

from tests.conftest import Feed, FixedClock, event
from tests.scim.conftest import Directory

REPORT = "/api/admin/chargeback/report?reportMonth=2026-10"
STATIC = "/static/graphiql.js"
Headers = list[tuple[str, str]]


@pytest.fixture
async def ann(client: httpx.AsyncClient, admin_key: str, clock: FixedClock) -> str:
    """The path of a SCIM user."""
    directory = Directory(client, admin_key, clock)
    return f"/scim/v2/Users/{(await directory.create('/Users', userName='ann'))['id']}"


@pytest.fixture(params=["rest", "static", "scim"])
def address(request: pytest.FixtureRequest, ann: str) -> str:
    return {"rest": REPORT, "static": STATIC, "scim": ann}[request.param]


def header_cases(tag: str) -> dict[str, tuple[Headers, int]]:
    """Request headers by case, with the expected status."""
    none_match = "If-None-Match"
    strong = tag.removeprefix("W/")
    return {
        "the tag": ([(none_match, tag)], 304),
        "weakly": ([(none_match, f"W/{strong}")], 304),
        "in a list": ([(none_match, f'"a",{strong} , W/"b"')], 304),
        "in a second line": ([(none_match, '"a"'), (none_match, strong)], 304),
        "anything": ([(none_match, " * ")], 304),
        "a star among others": ([(none_match, '"a", *')], 200),
        "a star that is a tag": ([(none_match, '"*"')], 200),
        "a star within a tag": ([(none_match, '"a, *, b"')], 200),
        "without its quotes": ([(none_match, strong.strip('"'))], 200),
        "half of it": ([(none_match, strong[:-1])], 200),
        "quotes": ([(none_match, '"' * 999)], 200),
        "bytes": ([(none_match, "\xff\xfe")], 200),
        "nothing": ([(none_match, "")], 200),
    }


@pytest.mark.parametrize("case", header_cases(""))
async def test_if_none_match_is_parsed_on_every_route(
    client: httpx.AsyncClient, admin_key: str, address: str, case: str
) -> None:
    own = [("Authorization", admin_key), ("Accept-Encoding", "identity")]
    tag = (await client.get(address, headers=own)).headers["etag"]
    headers, status = header_cases(tag)[case]
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in (*own, *headers)]

    answer = await client.get(address, headers=encoded)

    assert answer.status_code == status
    assert (answer.content == b"") == (status == 304)
    assert answer.headers["etag"] == tag


@pytest.mark.parametrize(
    ("accepts", "coding"),
    [
        (["gzip"], "gzip"),
        (["br, GZIP;q=0.5"], "gzip"),
        (["br", "gzip"], "gzip"),
        (["gzip;q=0"], None),
        (["gzip; q=0.000"], None),
        (["xgzip"], None),
        ([], None),
    ],
)
@pytest.mark.parametrize("address", [REPORT, STATIC])
async def test_accept_encoding_is_parsed_on_every_route(
    client: httpx.AsyncClient,
    feed: Feed,
    admin_key: str,
    address: str,
    accepts: list[str],
    coding: str | None,
) -> None:
    await feed(event("user.upserted", "2026-10-01T00:00:00Z", username="ann"))
    del client.headers["Accept-Encoding"]
    headers = [("Authorization", admin_key), *(("Accept-Encoding", each) for each in accepts)]

    answer = await client.get(address, headers=headers)

    assert (answer.status_code, answer.headers.get("content-encoding")) == (200, coding)


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        ([], 200),
        (["*"], 200),
        (['W/"1"'], 200),
        (['"1"'], 200),
        (["1"], 200),
        (['W/"7", W/"1"'], 200),
        (['"7"', '"1"'], 200),
        (['W/"7"'], 412),
        (['"1,7"'], 412),
        (["W/"], 412),
    ],
)
async def test_if_match_restricts_a_change_to_known_versions(
    client: httpx.AsyncClient, admin_key: str, ann: str, if_match: list[str], status: int
) -> None:
    headers = [("Authorization", admin_key), *(("If-Match", each) for each in if_match)]
    changed: dict[str, Any] = {"userName": "ann", "displayName": "Ann"}

    answer = await client.put(ann, json=changed, headers=headers)

    assert answer.status_code == status


@pytest.mark.parametrize("name", ["filter", "startIndex", "count", "attributes"])
async def test_repeated_scim_parameters_are_rejected(
    client: httpx.AsyncClient, admin_key: str, name: str
) -> None:
    answer = await client.get(
        f"/scim/v2/Users?{name}=1&{name}=1", headers={"Authorization": admin_key}
    )

    assert answer.status_code == 400
    assert answer.json()["detail"] == f"{name}: must be given once; got 2."
