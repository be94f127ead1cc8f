"""GraphQL over HTTP: status and code of rejected requests, and that errors reveal nothing."""

import gzip
import json
from typing import Any

import httpx
import orjson
import pytest

from app.db.engine import Database
from app.domain.errors import CODES
from app.settings import Settings
from tests.conftest import FixedClock, GraphQLClient, create_client
from tests.graphql.conftest import Shared

REPORT = '{ chargebackReport(month: "2026-10") { reportDate } }'
EXPECTED = {"data": {"chargebackReport": {"reportDate": "2026-10"}}}


async def post_body(
    shared_graphql: GraphQLClient,
    body: bytes,
    content_type: str | None = "application/json",
    **headers: str,
) -> httpx.Response:
    headers = {"Authorization": shared_graphql.key, **headers}
    if content_type is not None:
        headers["Content-Type"] = content_type
    return await shared_graphql.client.post("/graphql", content=body, headers=headers)


def assert_refused(response: httpx.Response, status: int) -> dict[str, Any]:
    """Return the only error of a rejected request; check its form and that it reveals nothing."""
    assert response.status_code == status, response.text
    assert "json" in response.headers["content-type"]
    document = response.json()
    assert document.get("data") is None
    (error,) = document["errors"]
    assert error["extensions"]["code"] in CODES
    if status != 200:
        assert document["extensions"] == {"msg": error["message"], "code": status}
    for word in ("Traceback", 'File "', "asyncpg", "sqlalchemy", "site-packages"):
        assert word not in response.text
    only_error: dict[str, Any] = error
    return only_error


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"true",
        b"0",
        b"1.5",
        b"NaN",
        b"Infinity",
        b'"query"',
        b"[]",
        b"[null]",
        b'[{"query": "{ viewer { username } }"}]',
        b"{}",
        b'{"query": null}',
        b'{"query": 1}',
        b'{"query": ["{ viewer { username } }"]}',
        b'{"query": {"query": "{ viewer { username } }"}}',
        b'{"query": "{ viewer { username } }", "variables": 1}',
        b'{"query": "{ viewer { username } }", "variables": "{}"}',
        b'{"query": "{ viewer { username } }", "variables": []}',
        b'{"query": "{ viewer { username } }", "operationName": 1}',
        b'{"query": "{ viewer { username } }", "operationName": {}}',
        b'{"query": "{ viewer { username } }", "extensions": 1}',
        b'{"query": "{ viewer { username } }", "variables": {"n": NaN}}',
        b'{"query": "{ viewer { username } }"} trailing',
        b'{"query": "{ viewer { username } }"',
        b"\xff\xfe",
        b'{"query": "\xff"}',
        b'\xef\xbb\xbf{"query": "\xff"}',
        "{}".encode("utf-16"),
        b"{" * 100_000,
        b"[" * 100_000,
        b'{"query": "{ viewer { username } }", "variables": ' + b'{"a":' * 50_000,
        b'{"query": "{ viewer { username } }", "variables": {"a": ' + b"[" * 50_000,
    ],
    ids=lambda body: repr(body[:60]),
)
async def test_a_body_that_is_not_a_request_is_rejected(
    shared_graphql: GraphQLClient, body: bytes
) -> None:
    error = assert_refused(await post_body(shared_graphql, body), 400)
    assert error["extensions"]["code"] == "INVALID_QUERY"
    assert len(error["message"]) < 500


@pytest.mark.parametrize(
    "query",
    [
        "",
        " ",
        "{",
        "}",
        "{ }",
        "nonsense",
        "{ nothing }",
        "{ chargebackReport { reportDate } }",
        '{ chargebackReport(month: "2026-10") }',
        '{ chargebackReport(month: "2026-10") { reportDate { year } } }',
        '{ chargebackReport(month: "2026-10", other: 1) { reportDate } }',
        '{ chargebackReport(month: "2026-10") { workspaces(orderBy: COLOUR) { name } } }',
        '{ chargebackReport(month: "2026-10") { workspaces(first: "1") { name } } }',
        '{ chargebackReport(month: "2026-10") { workspaces(first: 2147483648) { name } } }',
        '{ chargebackReport(month: "2026-10") { workspaces(first: 1.5) { name } } }',
        '{ chargebackReport(month: "2026-10") { ...none } }',
        "query ($a: Month!) { viewer { username } }",
        "query A { viewer { username } } query B { viewer { username } }",
        "subscription { viewer { username } }",
        "\u0000",
        "fragment A on Query { ...A } { ...A }",
        "{ viewer { username @skip } }",
        "{ viewer { username @nothing } }",
        "{ a: viewer { username } a: viewer { isAdmin b: username } a: apiKeys { id } }",
    ],
)
async def test_an_invalid_query_is_rejected_as_invalid_query(
    shared_graphql: GraphQLClient, query: str
) -> None:
    response = await shared_graphql.client.post(
        "/graphql", json={"query": query}, headers={"Authorization": shared_graphql.key}
    )
    document = response.json()
    assert response.status_code in {200, 400}
    assert document.get("data") is None
    assert {error["extensions"]["code"] for error in document["errors"]} == {"INVALID_QUERY"}
    assert "Traceback" not in response.text


async def test_a_comment_may_contain_any_character(shared_graphql: GraphQLClient) -> None:
    query = '{ viewer { username } } # { \ud7ff \U0010ffff """'
    assert await shared_graphql(query) == {"viewer": {"username": "root"}}


DEEP = [
    "{ viewer " * 3_000,
    "{ viewer { username " * 500 + "} }" * 500,
    "{ a" * 20_000 + "}" * 20_000,
    "query ($v: " + "[" * 20_000 + "Int" + "]" * 20_000 + ") { viewer { username } }",
    '{ chargebackReport(month: "2026-10") { workspaces(filter: '
    + "{nameContains: " * 10_000
    + "1"
    + "}" * 10_000
    + ") { name } } }",
    '{ chargebackReport(month: "2026-10") { workspaces(filter: ' + "[" * 20_000 + ") { name } } }",
]


@pytest.mark.parametrize("query", DEEP, ids=lambda query: repr(query[:40]))
async def test_a_very_deep_query_is_a_client_error(
    shared_graphql: GraphQLClient, query: str
) -> None:
    response = await shared_graphql.client.post(
        "/graphql", json={"query": query}, headers={"Authorization": shared_graphql.key}
    )
    assert response.status_code in {200, 400}, response.text[:300]
    (code,) = {error["extensions"]["code"] for error in response.json()["errors"]}
    assert code in {"INVALID_QUERY", "TOO_MANY_TOKENS", "QUERY_TOO_DEEP"}


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("APPLICATION/JSON", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/jsonp", 415),
        ("application/graphql", 415),
        ("", 415),
        (None, 415),
    ],
)
async def test_only_json_bodies_are_accepted(
    shared_graphql: GraphQLClient, content_type: str | None, status: int
) -> None:
    """Forms of other sites can send the other types without a preflight request."""
    response = await post_body(
        shared_graphql,
        f'{{"query": {REPORT!r}}}'.replace("'", '"')
        .replace('"2026-10"', '\\"2026-10\\"')
        .encode(),
        content_type,
    )
    if status == 200:
        assert (response.status_code, response.json()) == (200, EXPECTED)
    else:
        assert assert_refused(response, status)["extensions"]["code"] == "INVALID_QUERY"


async def test_a_compressed_body_is_rejected(shared_graphql: GraphQLClient) -> None:
    body = gzip.compress(b'{"query": "{ viewer { username } }"}')
    response = await post_body(shared_graphql, body, **{"Content-Encoding": "gzip"})
    assert response.status_code in {400, 415}
    assert_refused(response, response.status_code)


async def test_a_body_larger_than_a_megabyte_is_413(shared_graphql: GraphQLClient) -> None:
    query = b'{"query": "{ viewer { username } }%b"}'
    room = 1_000_000 - len(query) + 2
    assert (await post_body(shared_graphql, query % (b" " * room))).status_code == 200
    assert_refused(await post_body(shared_graphql, query % (b" " * (room + 1))), 413)
    assert_refused(await post_body(shared_graphql, b"[" * 5_000_000), 413)


async def test_an_endless_body_is_rejected_early(shared_graphql: GraphQLClient) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while sent < 50_000_000:
            sent += 100_000
            yield b" " * 100_000

    response = await shared_graphql.client.post(
        "/graphql",
        content=endless(),
        headers={"Authorization": shared_graphql.key, "Content-Type": "application/json"},
    )
    assert_refused(response, 413)
    assert sent < 5_000_000


async def test_a_query_may_be_sent_by_get(shared_graphql: GraphQLClient) -> None:
    response = await shared_graphql.client.get(
        "/graphql",
        params={
            "query": "query Q($m: Month!) { chargebackReport(month: $m) { reportDate } }",
            "variables": '{"m": "2026-10"}',
            "operationName": "Q",
        },
        headers={"Authorization": shared_graphql.key},
    )
    assert (response.status_code, response.json()) == (200, EXPECTED)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"query": ""},
        {"query": "{"},
        {"query": "{ viewer { username } }", "variables": "nonsense"},
        {"query": "{ viewer { username } }", "variables": "[1]"},
        {"query": "{ viewer { username } }", "variables": "NaN"},
        {"query": "{ viewer { username } }", "extensions": "{"},
        {"query": "{ viewer { username } }", "variables": "[" * 5_000},
        {"variables": "{}"},
    ],
    ids=repr,
)
async def test_a_get_without_a_valid_query_is_rejected(
    shared_graphql: GraphQLClient, parameters: dict[str, str]
) -> None:
    response = await shared_graphql.client.get(
        "/graphql", params=parameters, headers={"Authorization": shared_graphql.key}
    )
    assert response.status_code in {200, 400}
    assert assert_refused(response, response.status_code)["extensions"]["code"] == "INVALID_QUERY"


PERSISTED = {"persistedQuery": {"version": 1, "sha256Hash": "ab" * 32}}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_hash_of_a_persisted_query_makes_clients_send_the_query(
    shared_graphql: GraphQLClient, method: str
) -> None:
    """Apollo's clients go by this code; any other error ends the query."""
    request: dict[str, Any] = (
        {"params": {"extensions": json.dumps(PERSISTED)}}
        if method == "GET"
        else {"json": {"extensions": PERSISTED, "variables": {}}}
    )
    for media_type, status in (("*/*", 200), ("application/graphql-response+json", 400)):
        response = await shared_graphql.client.request(
            method,
            "/graphql",
            headers={"Authorization": shared_graphql.key, "Accept": media_type},
            **request,
        )
        assert response.status_code == status
        assert response.json()["errors"] == [
            {
                "message": "PersistedQueryNotSupported",
                "extensions": {"code": "PERSISTED_QUERY_NOT_SUPPORTED"},
            }
        ]


async def test_a_query_with_its_hash_is_executed(shared_graphql: GraphQLClient) -> None:
    response = await shared_graphql.client.post(
        "/graphql",
        json={"query": "{ viewer { username } }", "extensions": PERSISTED},
        headers={"Authorization": shared_graphql.key},
    )
    assert response.json() == {"data": {"viewer": {"username": "root"}}}


async def test_a_mutation_by_get_is_rejected(shared_graphql: GraphQLClient) -> None:
    mutation = 'mutation { createApiKey(username: "x", scopes: [ADMIN]) { secret } }'
    before = await shared_graphql("{ apiKeys { id } }")

    for query in (mutation, f"query A {{ viewer {{ username }} }} {mutation}"):
        response = await shared_graphql.client.get(
            "/graphql",
            params={"query": query, "operationName": ""},
            headers={"Authorization": shared_graphql.key},
        )
        assert response.status_code in {400, 405}, response.text
        assert_refused(response, response.status_code)

    assert await shared_graphql("{ apiKeys { id } }") == before


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
async def test_other_methods_are_rejected(shared_graphql: GraphQLClient, method: str) -> None:
    response = await shared_graphql.client.request(
        method, "/graphql", headers={"Authorization": shared_graphql.key}
    )
    assert response.status_code in {400, 405}


BAD_MONTHS: list[object] = [
    "",
    "2023",
    "2023-13",
    "0000-01",
    "2023-1",
    "２０２３-11",  # noqa: RUF001  full-width digits
    "2023-11\n",
    "\0",
    202311,
    2023.5,
    True,
    ["2023-11"],
    {"month": "2023-11"},
]


@pytest.mark.parametrize("month", BAD_MONTHS, ids=repr)
async def test_a_bad_month_in_a_variable_names_the_right_format(
    shared_graphql: GraphQLClient, month: object
) -> None:
    query = "query ($month: Month!) { chargebackReport(month: $month) { reportDate } }"
    response = await shared_graphql.execute(query, {"month": month})
    (error,) = response["errors"]
    assert error["extensions"] == {"code": "INVALID_MONTH"}
    assert "YYYY-MM" in error["message"]
    assert response.get("data") is None


@pytest.mark.parametrize("month", ['""', '"2023-13"', '"0000-01"', "202311", "2023.5", "true"])
async def test_a_bad_month_in_the_query_names_the_right_format(
    shared_graphql: GraphQLClient, month: str
) -> None:
    response = await shared_graphql.execute(
        f"{{ chargebackReport(month: {month}) {{ reportDate }} }}"
    )
    (error,) = response["errors"]
    assert error["extensions"] == {"code": "INVALID_MONTH"}
    assert "YYYY-MM" in error["message"]


@pytest.mark.parametrize("field", ["closeMonth", "chargebackReport"])
async def test_the_last_representable_month_is_a_future_month(
    shared_graphql: GraphQLClient, field: str
) -> None:
    query, selection = ("mutation", "month") if field == "closeMonth" else ("query", "reportDate")
    response = await shared_graphql.execute(
        f'{query} {{ {field}(month: "9999-12") {{ {selection} }} }}'
    )
    (error,) = response["errors"]
    assert error["extensions"] == {"code": "INVALID_MONTH"}


async def test_a_missing_or_null_required_variable_is_rejected(
    shared_graphql: GraphQLClient,
) -> None:
    query = "query ($month: Month!) { chargebackReport(month: $month) { reportDate } }"
    for variables in ({}, {"month": None}):
        (error,) = (await shared_graphql.execute(query, variables))["errors"]
        assert error["extensions"] == {"code": "INVALID_QUERY"}


async def test_a_future_month_has_a_code_and_a_path(shared_graphql: GraphQLClient) -> None:
    response = await shared_graphql.execute(
        '{ chargebackReport(month: "2026-12") { reportDate } }'
    )
    (error,) = response["errors"]
    assert error["extensions"] == {"code": "INVALID_MONTH"}
    assert error["path"] == ["chargebackReport"]
    assert "2026-11" in error["message"]
    assert response["data"] is None


SIZED = """query ($size: BigInt!) { chargebackReport(month: "2026-10") {
    workspaces(filter: {minimumSizeBytes: $size}) { name } } }"""


@pytest.mark.parametrize("size", [2**63, -(2**63) - 1, 10**40, 1.5, True, "1", [1]])
async def test_a_size_that_is_not_a_64_bit_integer_is_rejected(
    shared_graphql: GraphQLClient, size: object
) -> None:
    found = await shared_graphql.execute(SIZED, {"size": size})
    assert [error["extensions"]["code"] for error in found["errors"]] == ["INVALID_QUERY"]


async def test_an_integer_of_5000_digits_in_the_variables_is_rejected(
    shared_graphql: GraphQLClient,
) -> None:
    query = orjson.dumps(SIZED)
    body = b'{"query": %b, "variables": {"size": 1%b}}' % (query, b"0" * 5_000)
    assert "INVALID_QUERY" in (await post_body(shared_graphql, body)).text


async def test_an_integer_of_5000_digits_in_the_query_is_rejected(
    shared_graphql: GraphQLClient,
) -> None:
    for argument in ("first: 1" + "0" * 5_000, "filter: {minimumSizeBytes: 1" + "0" * 5_000 + "}"):
        response = await shared_graphql.execute(
            f'{{ chargebackReport(month: "2026-10") {{ workspaces({argument}) {{ name }} }} }}'
        )
        codes = [error["extensions"]["code"] for error in response["errors"]]
        assert codes == ["INVALID_QUERY"]


async def test_a_response_lists_at_most_five_errors(shared_graphql: GraphQLClient) -> None:
    fields = " ".join(f"nothing{number}" for number in range(50))
    response = await shared_graphql.execute(f"{{ {fields} }}")
    assert len(response["errors"]) == 5
    reports = " ".join(
        f'r{number}: chargebackReport(month: "2026-12") {{ reportDate }}' for number in range(9)
    )
    assert len((await shared_graphql.execute(f"{{ {reports} }}"))["errors"]) <= 5


MISSPELT = '{ chargebackReprt(month: "2026-10") { reportDate } }'


async def test_a_misspelt_name_gets_a_suggestion(
    shared_graphql: GraphQLClient,
) -> None:
    (error,) = (await shared_graphql.execute(MISSPELT))["errors"]
    suggestion = "Did you mean 'chargebackReport', 'chargebackReports', or 'chargebackRange'?"
    assert suggestion in error["message"]


async def test_a_request_without_a_key_gets_no_details_about_its_query(
    shared_graphql: GraphQLClient,
) -> None:
    response = await shared_graphql.client.post("/graphql", json={"query": MISSPELT})
    assert assert_refused(response, 401)["extensions"] == {"code": "UNAUTHENTICATED"}


async def test_without_introspection_no_error_reveals_the_schema(
    shared: Shared, shared_graphql: GraphQLClient, clock: FixedClock
) -> None:
    settings = Settings.load(admin_user_list="root", graphql_introspection_enabled="False")
    async with create_client(shared.database, settings, clock) as client:
        closed = GraphQLClient(client, shared_graphql.key)

        assert await closed(REPORT) == EXPECTED["data"]
        assert await closed("{ __typename }") == {"__typename": "Query"}
        for query in ("{ __schema { types { name } } }", '{ __type(name: "Query") { name } }'):
            (error,) = (await closed.execute(query))["errors"]
            assert error["extensions"] == {"code": "INTROSPECTION_DISABLED"}
            assert "GRAPHQL_INTROSPECTION_ENABLED" in error["message"]
        for query, variables in [
            (MISSPELT, {}),
            ('{ chargebackReport(month: "2026-10") { reportDat } }', {}),
            ('{ chargebackReport(mont: "2026-10") { reportDate } }', {}),
            ("query ($w: WorkspaceFiltr) { viewer { username } }", {}),
            (SIZED.replace("BigInt!", "WorkspaceFilter!"), {"size": {"nameContain": "a"}}),
        ]:
            response = await closed.execute(query, variables)
            assert response["errors"]
            assert "Did you mean" not in str(response), query


async def test_a_field_error_has_a_path_and_status_200(
    shared_graphql: GraphQLClient,
) -> None:
    response = await shared_graphql.client.post(
        "/graphql",
        json={
            "query": """{ viewer { username } chargebackReport(month: "2026-10") {
                workspaces { members(first: -1) { userName } } } }"""
        },
        headers={"Authorization": shared_graphql.key},
    )
    assert response.status_code == 200
    (error, *_) = response.json()["errors"]
    assert error["extensions"] == {"code": "INVALID_ARGUMENT"}
    assert error["path"][:2] == ["chargebackReport", "workspaces"]


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/graphql-response+json", "application/graphql-response+json"),
        (
            "application/graphql-response+json, application/json;q=0.9",
            "application/graphql-response+json",
        ),
    ],
)
async def test_the_media_type_follows_the_accept_header(
    shared_graphql: GraphQLClient, accept: str, media_type: str
) -> None:
    response = await shared_graphql.client.post(
        "/graphql",
        json={"query": REPORT},
        headers={"Authorization": shared_graphql.key, "Accept": accept},
    )
    assert response.json() == EXPECTED
    assert response.headers["content-type"].partition(";")[0] == media_type


async def test_an_unreachable_store_is_503_with_a_code(
    clock: FixedClock, shared_graphql: GraphQLClient
) -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/none")
    async with create_client(away, Settings.load(), clock) as client:
        response = await client.post(
            "/graphql", json={"query": REPORT}, headers={"Authorization": shared_graphql.key}
        )
    await away.close()
    assert assert_refused(response, 503)["extensions"] == {"code": "STORE_UNAVAILABLE"}
    assert int(response.headers["retry-after"]) > 0


async def test_an_unexpected_error_is_logged_and_reveals_nothing(
    shared: Shared, shared_graphql: GraphQLClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A missing table stands for any unexpected error."""
    async with shared.database.owner_transaction() as tx:
        await tx.exec_driver_sql("ALTER TABLE project_month RENAME TO gone")
    try:
        query = '{ chargebackReport(month: "2026-10") { workspaces { projects { name } } } }'
        response = await shared_graphql.client.post(
            "/graphql",
            json={"query": query},
            headers={"Authorization": shared_graphql.key},
        )
    finally:
        async with shared.database.owner_transaction() as tx:
            await tx.exec_driver_sql("ALTER TABLE gone RENAME TO project_month")
    error, *_ = response.json()["errors"]
    assert (error["message"], error["extensions"]) == ("Unexpected error.", {"code": "INTERNAL"})
    assert "project_month" not in response.text
    assert "project_month" in caplog.text


async def test_introspection_answers_the_query_of_graphiql(shared_graphql: GraphQLClient) -> None:
    from graphql import build_client_schema, get_introspection_query, print_schema

    query = get_introspection_query(descriptions=True, input_value_deprecation=True)
    response: Any = await shared_graphql(query)
    assert "type ChargebackReport" in print_schema(build_client_schema(response))
