"""GraphQL over HTTP: what is refused, with which status and code, and that nothing leaks."""

import gzip
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


async def posted(
    asked: GraphQLClient,
    body: bytes,
    content_type: str | None = "application/json",
    **headers: str,
) -> httpx.Response:
    headers = {"Authorization": asked.key, **headers}
    if content_type is not None:
        headers["Content-Type"] = content_type
    return await asked.client.post("/graphql", content=body, headers=headers)


def refusal(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The one error of a refused request; checks its form, and that it tells nothing of us."""
    assert answer.status_code == status, answer.text
    assert "json" in answer.headers["content-type"]
    document = answer.json()
    assert document.get("data") is None
    (error,) = document["errors"]
    assert error["extensions"]["code"] in CODES
    if status != 200:
        assert document["extensions"] == {"msg": error["message"], "code": status}
    for word in ("Traceback", 'File "', "asyncpg", "sqlalchemy", "site-packages"):
        assert word not in answer.text
    found: dict[str, Any] = error
    return found


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
async def test_a_body_that_is_no_request_is_refused(asked: GraphQLClient, body: bytes) -> None:
    error = refusal(await posted(asked, body), 400)
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
async def test_a_query_that_is_none_is_refused_as_such(asked: GraphQLClient, query: str) -> None:
    answer = await asked.client.post(
        "/graphql", json={"query": query}, headers={"Authorization": asked.key}
    )
    document = answer.json()
    assert answer.status_code in {200, 400}
    assert document.get("data") is None
    assert {error["extensions"]["code"] for error in document["errors"]} == {"INVALID_QUERY"}
    assert "Traceback" not in answer.text


async def test_a_comment_may_hold_anything(asked: GraphQLClient) -> None:
    query = '{ viewer { username } } # { \ud7ff \U0010ffff """'
    assert await asked(query) == {"viewer": {"username": "root"}}


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
async def test_a_query_of_any_depth_is_an_answer_and_not_our_mistake(
    asked: GraphQLClient, query: str
) -> None:
    answer = await asked.client.post(
        "/graphql", json={"query": query}, headers={"Authorization": asked.key}
    )
    assert answer.status_code in {200, 400}, answer.text[:300]
    (code,) = {error["extensions"]["code"] for error in answer.json()["errors"]}
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
async def test_a_query_comes_as_json(
    asked: GraphQLClient, content_type: str | None, status: int
) -> None:
    """Another site's form can send the other types, and no header of its own."""
    answer = await posted(
        asked,
        f'{{"query": {REPORT!r}}}'.replace("'", '"')
        .replace('"2026-10"', '\\"2026-10\\"')
        .encode(),
        content_type,
    )
    if status == 200:
        assert (answer.status_code, answer.json()) == (200, EXPECTED)
    else:
        assert refusal(answer, status)["extensions"]["code"] == "INVALID_QUERY"


async def test_a_packed_body_is_not_read(asked: GraphQLClient) -> None:
    body = gzip.compress(b'{"query": "{ viewer { username } }"}')
    answer = await posted(asked, body, **{"Content-Encoding": "gzip"})
    assert answer.status_code in {400, 415}
    refusal(answer, answer.status_code)


async def test_a_body_larger_than_a_megabyte_is_413(asked: GraphQLClient) -> None:
    query = b'{"query": "{ viewer { username } }%b"}'
    room = 1_000_000 - len(query) + 2
    assert (await posted(asked, query % (b" " * room))).status_code == 200
    refusal(await posted(asked, query % (b" " * (room + 1))), 413)
    refusal(await posted(asked, b"[" * 5_000_000), 413)


async def test_a_body_without_an_end_is_not_read_to_the_end(asked: GraphQLClient) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while sent < 50_000_000:
            sent += 100_000
            yield b" " * 100_000

    answer = await asked.client.post(
        "/graphql",
        content=endless(),
        headers={"Authorization": asked.key, "Content-Type": "application/json"},
    )
    refusal(answer, 413)
    assert sent < 5_000_000


async def test_a_query_may_come_in_the_address(asked: GraphQLClient) -> None:
    answer = await asked.client.get(
        "/graphql",
        params={
            "query": "query Q($m: Month!) { chargebackReport(month: $m) { reportDate } }",
            "variables": '{"m": "2026-10"}',
            "operationName": "Q",
        },
        headers={"Authorization": asked.key},
    )
    assert (answer.status_code, answer.json()) == (200, EXPECTED)


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
async def test_an_address_that_asks_nothing_is_refused(
    asked: GraphQLClient, parameters: dict[str, str]
) -> None:
    answer = await asked.client.get(
        "/graphql", params=parameters, headers={"Authorization": asked.key}
    )
    assert answer.status_code in {200, 400}
    assert refusal(answer, answer.status_code)["extensions"]["code"] == "INVALID_QUERY"


async def test_an_address_changes_nothing(asked: GraphQLClient) -> None:
    mutation = 'mutation { createApiKey(username: "x", scopes: [ADMIN]) { secret } }'
    before = await asked("{ apiKeys { id } }")

    for query in (mutation, f"query A {{ viewer {{ username }} }} {mutation}"):
        answer = await asked.client.get(
            "/graphql",
            params={"query": query, "operationName": ""},
            headers={"Authorization": asked.key},
        )
        assert answer.status_code in {400, 405}, answer.text
        refusal(answer, answer.status_code)

    assert await asked("{ apiKeys { id } }") == before


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
async def test_other_methods_are_no_way_to_ask(asked: GraphQLClient, method: str) -> None:
    answer = await asked.client.request(method, "/graphql", headers={"Authorization": asked.key})
    assert answer.status_code in {400, 405}


BAD_MONTHS: list[object] = [
    "",
    "2023",
    "2023-13",
    "0000-01",
    "2023-1",
    "２０２３-11",  # noqa: RUF001  digits, but not those
    "2023-11\n",
    "\0",
    202311,
    2023.5,
    True,
    ["2023-11"],
    {"month": "2023-11"},
]


@pytest.mark.parametrize("month", BAD_MONTHS, ids=repr)
async def test_a_bad_month_in_a_variable_says_what_is_right(
    asked: GraphQLClient, month: object
) -> None:
    query = "query ($month: Month!) { chargebackReport(month: $month) { reportDate } }"
    answer = await asked.execute(query, {"month": month})
    (error,) = answer["errors"]
    assert error["extensions"] == {"code": "INVALID_MONTH"}
    assert "YYYY-MM" in error["message"]
    assert answer.get("data") is None


@pytest.mark.parametrize("month", ['""', '"2023-13"', '"0000-01"', "202311", "2023.5", "true"])
async def test_a_bad_month_in_the_query_says_what_is_right(
    asked: GraphQLClient, month: str
) -> None:
    answer = await asked.execute(f"{{ chargebackReport(month: {month}) {{ reportDate }} }}")
    (error,) = answer["errors"]
    assert error["extensions"] == {"code": "INVALID_MONTH"}
    assert "YYYY-MM" in error["message"]


@pytest.mark.parametrize("field", ["closeMonth", "chargebackReport"])
async def test_the_last_month_there_is_lies_in_the_future_like_others(
    asked: GraphQLClient, field: str
) -> None:
    query, selection = ("mutation", "month") if field == "closeMonth" else ("query", "reportDate")
    answer = await asked.execute(f'{query} {{ {field}(month: "9999-12") {{ {selection} }} }}')
    (error,) = answer["errors"]
    assert error["extensions"] == {"code": "INVALID_MONTH"}


async def test_a_missing_variable_and_a_null_one_are_refused(asked: GraphQLClient) -> None:
    query = "query ($month: Month!) { chargebackReport(month: $month) { reportDate } }"
    for variables in ({}, {"month": None}):
        (error,) = (await asked.execute(query, variables))["errors"]
        assert error["extensions"] == {"code": "INVALID_QUERY"}


async def test_a_future_month_keeps_its_code_and_place(asked: GraphQLClient) -> None:
    answer = await asked.execute('{ chargebackReport(month: "2026-12") { reportDate } }')
    (error,) = answer["errors"]
    assert error["extensions"] == {"code": "INVALID_MONTH"}
    assert error["path"] == ["chargebackReport"]
    assert "2026-11" in error["message"]
    assert answer["data"] is None


SIZED = """query ($size: BigInt!) { chargebackReport(month: "2026-10") {
    workspaces(filter: {minimumSizeBytes: $size}) { name } } }"""


@pytest.mark.parametrize("size", [2**63, -(2**63) - 1, 10**40, 1.5, True, "1", [1]])
async def test_a_size_beyond_64_bits_is_refused(asked: GraphQLClient, size: object) -> None:
    found = await asked.execute(SIZED, {"size": size})
    assert [error["extensions"]["code"] for error in found["errors"]] == ["INVALID_QUERY"]


async def test_an_integer_of_5000_digits_in_the_variables_is_refused(asked: GraphQLClient) -> None:
    query = orjson.dumps(SIZED)
    body = b'{"query": %b, "variables": {"size": 1%b}}' % (query, b"0" * 5_000)
    assert "INVALID_QUERY" in (await posted(asked, body)).text


async def test_an_integer_of_5000_digits_in_the_query_is_refused(asked: GraphQLClient) -> None:
    for argument in ("first: 1" + "0" * 5_000, "filter: {minimumSizeBytes: 1" + "0" * 5_000 + "}"):
        answer = await asked.execute(
            f'{{ chargebackReport(month: "2026-10") {{ workspaces({argument}) {{ name }} }} }}'
        )
        codes = [error["extensions"]["code"] for error in answer["errors"]]
        assert codes == ["INVALID_QUERY"]


async def test_an_answer_lists_five_errors_at_most(asked: GraphQLClient) -> None:
    fields = " ".join(f"nothing{number}" for number in range(50))
    answer = await asked.execute(f"{{ {fields} }}")
    assert len(answer["errors"]) == 5
    reports = " ".join(
        f'r{number}: chargebackReport(month: "2026-12") {{ reportDate }}' for number in range(9)
    )
    assert len((await asked.execute(f"{{ {reports} }}"))["errors"]) <= 5


MISSPELT = '{ chargebackReprt(month: "2026-10") { reportDate } }'


async def test_who_may_read_the_schema_is_told_what_a_misspelt_name_is_like(
    asked: GraphQLClient,
) -> None:
    (error,) = (await asked.execute(MISSPELT))["errors"]
    assert "Did you mean 'chargebackReport' or 'chargebackReports'?" in error["message"]


async def test_who_has_no_key_is_told_nothing_of_a_query(asked: GraphQLClient) -> None:
    answer = await asked.client.post("/graphql", json={"query": MISSPELT})
    assert refusal(answer, 401)["extensions"] == {"code": "UNAUTHENTICATED"}


async def test_where_introspection_is_switched_off_nothing_tells_the_schema(
    shared: Shared, asked: GraphQLClient, clock: FixedClock
) -> None:
    settings = Settings.load(admin_user_list="root", graphql_introspection_enabled="False")
    async with create_client(shared.database, settings, clock) as client:
        closed = GraphQLClient(client, asked.key)

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
            answer = await closed.execute(query, variables)
            assert answer["errors"]
            assert "Did you mean" not in str(answer), query


async def test_an_error_of_one_field_says_where_and_the_request_is_200(
    asked: GraphQLClient,
) -> None:
    answer = await asked.client.post(
        "/graphql",
        json={
            "query": """{ viewer { username } chargebackReport(month: "2026-10") {
                workspaces { members(first: -1) { userName } } } }"""
        },
        headers={"Authorization": asked.key},
    )
    assert answer.status_code == 200
    (error, *_) = answer.json()["errors"]
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
async def test_the_answer_is_of_the_type_that_was_asked_for(
    asked: GraphQLClient, accept: str, media_type: str
) -> None:
    answer = await asked.client.post(
        "/graphql",
        json={"query": REPORT},
        headers={"Authorization": asked.key, "Accept": accept},
    )
    assert answer.json() == EXPECTED
    assert answer.headers["content-type"].partition(";")[0] == media_type


async def test_a_store_that_is_away_is_503_with_a_code(
    clock: FixedClock, asked: GraphQLClient
) -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/none")
    async with create_client(away, Settings.load(), clock) as client:
        answer = await client.post(
            "/graphql", json={"query": REPORT}, headers={"Authorization": asked.key}
        )
    await away.close()
    assert refusal(answer, 503)["extensions"] == {"code": "STORE_UNAVAILABLE"}
    assert int(answer.headers["retry-after"]) > 0


async def test_an_unforeseen_error_says_nothing_of_itself_and_is_logged(
    shared: Shared, asked: GraphQLClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A table that is gone stands for whatever nobody thought of."""
    async with shared.database.owner_transaction() as tx:
        await tx.exec_driver_sql("ALTER TABLE project_month RENAME TO gone")
    try:
        query = '{ chargebackReport(month: "2026-10") { workspaces { projects { name } } } }'
        answer = await asked.client.post(
            "/graphql",
            json={"query": query},
            headers={"Authorization": asked.key},
        )
    finally:
        async with shared.database.owner_transaction() as tx:
            await tx.exec_driver_sql("ALTER TABLE gone RENAME TO project_month")
    error, *_ = answer.json()["errors"]
    assert (error["message"], error["extensions"]) == ("Unexpected error.", {"code": "INTERNAL"})
    assert "project_month" not in answer.text
    assert "project_month" in caplog.text


async def test_introspection_answers_what_graphiql_asks(asked: GraphQLClient) -> None:
    from graphql import build_client_schema, get_introspection_query, print_schema

    query = get_introspection_query(descriptions=True, input_value_deprecation=True)
    answer: Any = await asked(query)
    assert "type ChargebackReport" in print_schema(build_client_schema(answer))
