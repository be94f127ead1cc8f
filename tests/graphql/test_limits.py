"""Limits on queries: what passes, what is rejected with which error, and at what cost."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest
from graphql import get_introspection_query, parse, print_type
from graphql.language import OperationDefinitionNode

from app.db.engine import Database
from app.domain.errors import LimitExceeded, TooManyConcurrentQueries
from app.settings import Settings
from app.web.limits.concurrency import ConcurrencyLimit
from resolvers.list_sizes import LARGEST_SUPPORTED, ListSize
from schema import schema
from schema.operations import InvalidDocument, Operation
from schema.query_limits import QueryLimits, QueryMeasures, count_tokens, measure_query
from tests.conftest import FixedClock, GraphQLClient, create_client
from tests.graphql.conftest import Shared
from tests.graphql.test_statements import FULL_REPORT

DEFAULTS = Settings.load()
LIMITS = QueryLimits(
    DEFAULTS.graphql_max_tokens,
    DEFAULTS.graphql_max_depth,
    DEFAULTS.graphql_max_aliases,
    DEFAULTS.graphql_max_directives,
)


@asynccontextmanager
async def client_with_settings(
    shared: Shared, shared_graphql: GraphQLClient, clock: FixedClock, **settings: Any
) -> AsyncIterator[GraphQLClient]:
    """Serve the shared organization with other settings."""
    chosen = Settings.load(admin_user_list="root", **settings)
    async with create_client(shared.database, chosen, clock) as client:
        yield GraphQLClient(client, shared_graphql.key)


REPORT = '{{ chargebackReport(month: "2026-10") {{ {} }} }}'
DEEP = REPORT.format("workspaces { members { user { username } } }")  # five fields deep
ALIASES = (
    "{ a: viewer { b: username } c: viewer { ...F ...F } } fragment F on Viewer { d: isAdmin }"
)
DIRECTIVES = (
    "query Q($yes: Boolean! = true) { viewer @include(if: $yes) { ...F ...F @skip(if: false) } } "
    "fragment F on Viewer { username @include(if: $yes) }"
)


@pytest.mark.parametrize(
    ("query", "setting", "value", "code"),
    [
        (DEEP, "graphql_max_depth", 5, "QUERY_TOO_DEEP"),
        # a, b, c, and d twice
        (ALIASES, "graphql_max_aliases", 5, "TOO_MANY_ALIASES"),
        # on viewer, on the second spread, and on username twice
        (DIRECTIVES, "graphql_max_directives", 4, "TOO_MANY_DIRECTIVES"),
        # { viewer { 97 times username } }
        (f"{{ viewer {{ {'username ' * 97} }} }}", "graphql_max_tokens", 102, "TOO_MANY_TOKENS"),
        # the report, 7 workspaces, and of each a name, 7 members and their names
        (
            REPORT.format("workspaces { name members(first: 999) { userName } }"),
            "graphql_max_cost",
            1 + 7 + 7 + 49 + 49,
            "QUERY_TOO_COSTLY",
        ),
    ],
)
async def test_a_query_at_the_limit_passes_and_one_past_it_is_rejected(
    shared: Shared,
    shared_graphql: GraphQLClient,
    clock: FixedClock,
    query: str,
    setting: str,
    value: int,
    code: str,
) -> None:
    def allowing(limit: int) -> Settings:
        settings = Settings.load(admin_user_list="root")
        return settings.model_copy(update={setting: limit})

    async with create_client(shared.database, allowing(value), clock) as client:
        response = await GraphQLClient(client, shared_graphql.key).execute(query)
        assert "errors" not in response, response

    async with create_client(shared.database, allowing(value - 1), clock) as client:
        refused = await client.post(
            "/graphql", json={"query": query}, headers={"Authorization": shared_graphql.key}
        )
    (error,) = refused.json()["errors"]
    assert refused.status_code == 400
    assert "data" not in refused.json()
    assert error["extensions"] == {"code": code, "limit": value - 1, "value": value}
    assert str(value - 1) in error["message"]
    assert str(value) in error["message"]
    assert setting.upper() in error["message"]


async def test_graphql_max_body_bytes_limits_the_body(
    shared: Shared, shared_graphql: GraphQLClient, clock: FixedClock
) -> None:
    async with client_with_settings(
        shared, shared_graphql, clock, graphql_max_body_bytes=1_000
    ) as other:
        response = await other.execute("{ viewer { username } } #" + "x" * 1_000)
    (error,) = response["errors"]
    assert error["extensions"]["code"] == "BODY_TOO_LARGE"
    assert error["extensions"]["limit"] == 1_000
    assert error["extensions"]["value"] > 1_000
    assert "GRAPHQL_MAX_BODY_BYTES" in error["message"]


# Bombs: queries of length O(n) that expand to 2^n fields.


def nest_fragments(count: int, type_: str, outer: str, each: str, last: str) -> str:
    """Chain fragments: `outer` spreads the first, and `each` says how one spreads the next."""
    fragments = [
        f"fragment F{number} on {type_} {{ {each.replace('NEXT', f'...F{number + 1}')} }}"
        for number in range(count)
    ]
    return " ".join([outer, *fragments, f"fragment F{count} on {type_} {{ {last} }}"])


def build_bombs(count: int) -> dict[str, str]:
    """Return queries by kind; each is valid except for its size."""
    workspaces = 'chargebackReport(month: "2026-10") { workspaces { name members { userName } } }'
    introspect = "{ __schema { types { ...F0 } } }"
    return {
        "the same": nest_fragments(
            count, "Query", "{ ...F0 }", "NEXT NEXT", "viewer { username }"
        ),
        "a list": nest_fragments(count, "Query", "{ ...F0 }", "NEXT NEXT", workspaces),
        "aliases": nest_fragments(
            count,
            "Query",
            "{ ...F0 }",
            "NEXT a: viewer { username } NEXT",
            "b: viewer { isAdmin }",
        ),
        "directives": nest_fragments(
            count, "Query", "{ ...F0 }", "NEXT NEXT", "viewer @skip(if: true) { username }"
        ),
        "introspection": nest_fragments(
            count, "__Type", introspect, "ofType { NEXT NEXT }", "name"
        ),
        "introspection with aliases": nest_fragments(
            count, "__Type", introspect, "ofType { NEXT } o: ofType { NEXT }", "name"
        ),
        "introspected lists": nest_fragments(
            count, "__Type", introspect, "fields { type { NEXT } } ", "name"
        ),
    }


BOMBS = build_bombs(28)


@pytest.mark.parametrize("kind", BOMBS)
async def test_a_fragment_bomb_is_rejected(shared_graphql: GraphQLClient, kind: str) -> None:
    response = await shared_graphql.execute(BOMBS[kind])
    assert response.get("data") is None
    codes = {error["extensions"]["code"] for error in response["errors"]}
    assert codes <= {
        "INVALID_QUERY",
        "QUERY_TOO_COSTLY",
        "QUERY_TOO_DEEP",
        "TOO_MANY_ALIASES",
        "TOO_MANY_DIRECTIVES",
    }


@pytest.mark.parametrize("kind", BOMBS)
def test_the_work_of_rejecting_a_bomb_is_linear_in_its_length(kind: str) -> None:
    """Work is counted in function calls, because time depends on the machine.

    From 28 levels to 56 the text doubles, while the number of fields grows by 2^28.
    """
    once, twice = count_calls(build_bombs(28)[kind]), count_calls(build_bombs(56)[kind])
    assert once < 60_000
    assert twice < 2.5 * once


def count_calls(query: str) -> int:
    """Count the function calls until a query is rejected, or its cost is known."""
    calls = 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    previous = sys.getprofile()
    sys.setprofile(count)
    try:
        operation = schema.prepare_operation(query, None, LIMITS)
        cost = schema.estimate_cost(operation, None, LARGEST_SUPPORTED)
        assert cost > DEFAULTS.graphql_max_cost
    except (LimitExceeded, InvalidDocument):
        pass
    finally:
        sys.setprofile(previous)
    return calls


@pytest.mark.parametrize("length", [3, 300])
def test_each_selection_is_visited_once(length: int) -> None:
    """Fragments may form a cycle, and each may spread all later ones."""
    everyone = range(length)
    following = " ".join(
        f"fragment F{one} on Query {{ {' '.join(f'...F{other}' for other in everyone[one:])} }}"
        for one in everyone
    )
    document = parse(f"{{ ...F0 }} {following} fragment F{length} on Query {{ ...F0 }}")
    visited = 0

    def count_visit() -> None:
        nonlocal visited
        visited += 1

    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    measure_query(document, operation, count_visit)
    # F0 of the operation and of the last; length + (length - 1) + … + 1 of the others.
    assert visited == 2 + length * (length + 1) // 2


def test_measures_include_spread_fragments() -> None:
    document = parse(
        """
        query ($yes: Boolean!) {
          a: one { ...Deep }
          two { ... on Two @include(if: $yes) { ... { b: three } } }
          __schema { types { fields { type { ofType { ofType { ofType { ...Deep } } } } } } }
        }
        fragment Deep on One { four { c: five @skip(if: $yes) { six { ...Deeper } } } }
        fragment Deeper on Six { seven { eight } ...Deep }
        fragment Unused on One { d: one { one { one { one { one { one { one { one } } } } } } } }
        """
    )
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    # Depth: one four five six seven eight. Aliases: a, b, and c in both spreads. Directives:
    # include, and skip in both.
    assert measure_query(document, operation) == QueryMeasures(depth=6, aliases=4, directives=3)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("{ a }", 3),
        ("{a(b:1.5e-3,c:$d)...F@g}", 16),
        ('{ a(b: "c { d } \\" e") }', 8),
        ('{ a(b: """c "d" \\""" { e """) }', 8),
        ("{ a # b { c\n }", 4),
        ('"never closed', 1),
        ('"""never closed', 1),
        ('"""\\"""' * 10_000, 19_999),
        ("\ufeff,,, \n\t", 0),
    ],
)
def test_tokens_are_counted(text: str, count: int) -> None:
    assert count_tokens(text) == count


def test_tokens_of_a_parsed_query_form_no_reference_cycles() -> None:
    document = schema.prepare_operation(FULL_REPORT, None, LIMITS).document
    assert document.loc is not None
    assert document.loc.start_token.next is None
    assert document.loc.end_token.prev is None


# Queries that must pass.


def full_document() -> str:
    """Select every field below a report, once per path, and each list once; no comparisons.

    Projects are selected in their workspaces, not once more in the report.
    """
    return REPORT.format(selection("ChargebackReport"))


def selection(type_: str) -> str:
    parts = []
    described: Any = schema._schema.type_map[type_]
    for name, field in described.fields.items():
        inner: Any = field.type
        while hasattr(inner, "of_type"):
            inner = inner.of_type
        is_compared = name in {"previous", "change"} or name.startswith("gone")
        is_repeated = type_ == "ChargebackReport" and name in {"projects", "formerProjects"}
        if (
            name != "workspace"
            and not is_repeated
            and not name.endswith("Connection")
            and not is_compared
        ):
            parts.append(f"{name} {{ {selection(inner.name)} }}" if _has_fields(inner) else name)
    return " ".join(parts)


def _has_fields(type_: Any) -> bool:
    return print_type(type_).splitlines()[-1] == "}" and hasattr(type_, "interfaces")


def prepare(query: str) -> Operation:
    return schema.prepare_operation(query, None, LIMITS)


def test_a_full_report_of_the_largest_supported_organization_passes() -> None:
    """10,000 workspaces, 600,000 memberships, 60,000 former ones, 100,000 projects, 200,000
    users: ten times the organization of the benchmark, and every field of one month.
    """
    assert {name: size.total for name, size in LARGEST_SUPPORTED.items()} == {
        "workspaces": 10_000,
        "users": 200_000,
        "members": 600_000,
        "former_members": 60_000,
        "projects": 100_000,
    }
    month = {"month": "2026-10"}
    rest = schema.estimate_cost(prepare(FULL_REPORT), month, LARGEST_SUPPORTED)
    everything = schema.estimate_cost(prepare(full_document()), month, LARGEST_SUPPORTED)
    assert rest < everything < DEFAULTS.graphql_max_cost


async def test_cost_depends_on_the_size_of_the_organization(
    shared_graphql: GraphQLClient,
) -> None:
    query = f"""{{ chargebackReports(from: "2024-11", to: "2026-10") {{
        {selection("ChargebackReport")} }} }}"""
    assert (
        schema.estimate_cost(prepare(query), None, LARGEST_SUPPORTED) > DEFAULTS.graphql_max_cost
    )
    assert len((await shared_graphql(query))["chargebackReports"]) == 24


def test_cost_counts_the_selected_values() -> None:
    """Twelve months of an organization with 3 workspaces, 10 members and 5 projects."""
    sizes = {
        "workspaces": ListSize(3, 3),
        "users": ListSize(8, 8),
        "members": ListSize(10, 6),
        "former_members": ListSize(0, 0),
        "projects": ListSize(5, 4),
    }

    def cost(selected: str, **variables: object) -> int:
        query = f"""query ($first: Int, $no: Boolean = false) {{
            chargebackReports(from: "2025-10", to: "2026-09") {{ {selected} }} viewer {{
            username @include(if: $no) a: username @skip(if: $no) ... {{ b: username
            @include(if: $no) }} }} page: chargebackReport(month: "2026-10") {{
            workspaces(first: $first) {{ name }} }} }}"""
        return schema.estimate_cost(prepare(query), variables, sizes) - others

    others = 0
    # The months and their dates; the viewer and one name; the page's report, 3 workspaces, names.
    others = cost("reportDate", first=3) - 24
    assert others == 2 + 7
    assert cost("reportDate", first=3) == 12 + 12
    # 12 reports, 36 workspaces with names.
    assert cost("workspaces { name }", first=3) == 12 + 36 + 36
    assert cost("workspaces { name }", first=1) == 12 + 36 + 36 - 4
    assert cost("workspaces(first: 2) { name }", first=3) == 12 + 24 + 24
    # 10 members in each of 12 months; two in each of 36 workspaces are at most 72.
    assert cost("workspaces { members { userName } }", first=3) == 12 + 36 + 120 + 120
    assert cost("workspaces { members(first: 2) { userName } }", first=3) == 12 + 36 + 72 + 72
    assert cost("workspaces { formerMembers { userName } }", first=3) == 12 + 36
    # It may be the workspace with the most members: 6 in each of 12 months.
    one = 'workspace(name: "x") { members { userName user { username email } } }'
    assert cost(one, first=3) == 12 + 12 + 72 * 5
    first = "workspaces(first: 1) { members { userName } }"
    assert cost(first, first=3) == 12 + 12 + 72 + 72
    assert cost("users { licensedUsers { username } }", first=3) == 12 + 12 + 96 + 96
    # 12 connections, each with a page of two workspaces with names, a total and a page info.
    connection = "nodes { name } totalCount pageInfo { endCursor }"
    paged = f"workspacesConnection(first: 2) {{ {connection} }}"
    assert cost(paged, first=3) == 12 + 12 + 24 + 24 + 12 + 12 + 12
    in_fragment = "workspacesConnection(first: 2) { ... { nodes { name } } }"
    assert cost(in_fragment, first=3) == 12 + 12 + 24 + 24
    assert cost("workspacesConnection { totalCount }", first=3) == 12 + 12 + 12
    # 36 connections of 10 members in each month.
    nested = "workspaces { membersConnection { nodes { userName } } }"
    assert cost(nested, first=3) == 12 + 36 + 36 + 120 + 120
    # Execution rejects invalid variables.
    assert cost("reportDate", first="three") == -others


async def test_introspection_is_exempt_from_the_depth_limit(
    shared: Shared, shared_graphql: GraphQLClient, clock: FixedClock
) -> None:
    query = get_introspection_query(
        descriptions=True,
        specified_by_url=True,
        directive_is_repeatable=True,
        schema_description=True,
        input_value_deprecation=True,
    )
    async with client_with_settings(shared, shared_graphql, clock, graphql_max_depth=5) as other:
        assert (await other(query))["__schema"]["types"]


# Timeouts and concurrency.


@dataclass
class Lock:
    """Locks a table, so that every statement that reads it blocks."""

    database: Database
    table: str

    async def __aenter__(self) -> None:
        self._connection = await asyncpg.connect(self.database._dsn)
        await self._connection.execute(f"BEGIN; LOCK TABLE {self.table} IN ACCESS EXCLUSIVE MODE")

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()


COUNT_BLOCKED_STATEMENTS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND state = 'active' AND wait_event_type = 'Lock'
"""


async def count_blocked_statements(database: Database) -> int:
    connection = await asyncpg.connect(database._dsn)
    try:
        return int(await connection.fetchval(COUNT_BLOCKED_STATEMENTS))
    finally:
        await connection.close()


async def wait_until_blocked(database: Database, count: int) -> None:
    async with asyncio.timeout(5):
        while await count_blocked_statements(database) != count:  # noqa: ASYNC110  another process's state
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("table", ["workspace_month", "member_month", "project_month"])
async def test_a_query_that_times_out_has_its_statement_cancelled(
    shared: Shared, shared_graphql: GraphQLClient, clock: FixedClock, table: str
) -> None:
    body = {"query": FULL_REPORT, "variables": {"month": "2026-10"}}
    async with client_with_settings(
        shared, shared_graphql, clock, graphql_timeout_seconds=1
    ) as other:
        async with Lock(shared.database, table):
            response = await other.client.post(
                "/graphql", json=body, headers={"Authorization": shared_graphql.key}
            )
            await wait_until_blocked(shared.database, 0)

        assert response.status_code == 503
        assert int(response.headers["retry-after"]) > 0
        (error,) = response.json()["errors"]
        assert error["extensions"] == {"code": "QUERY_TIMED_OUT", "limit": 1}
        assert "GRAPHQL_TIMEOUT_SECONDS" in error["message"]
        # The connections can be used again.
        for _ in range(10):
            assert await other(FULL_REPORT, month="2026-10")


async def test_concurrent_queries_are_limited_per_key(
    shared: Shared, shared_graphql: GraphQLClient, clock: FixedClock
) -> None:
    query = 'mutation { createApiKey(username: "root", scopes: [REPORT_READ]) { secret } }'
    other_key = (await shared_graphql(query))["createApiKey"]["secret"]
    body = {"query": FULL_REPORT, "variables": {"month": "2026-10"}}
    async with client_with_settings(
        shared, shared_graphql, clock, max_concurrent_queries_per_key=2
    ) as other:

        async def ask(key: str = shared_graphql.key, query: object = body) -> httpx.Response:
            return await other.client.post("/graphql", json=query, headers={"Authorization": key})

        async with Lock(shared.database, "workspace_month"):
            first, second = asyncio.create_task(ask()), asyncio.create_task(ask())
            await wait_until_blocked(shared.database, 2)
            refused = await ask()
            by_rest = await other.client.get(
                "/api/admin/service-accounts", headers={"Authorization": shared_graphql.key}
            )
            beside = await ask(other_key, {"query": "{ viewer { username } }"})

        assert refused.status_code == by_rest.status_code == 429
        assert int(by_rest.headers["retry-after"]) > 0
        assert by_rest.json() == {
            "msg": "One API key may run 2 queries at a time; this would be number 3. Wait for a "
            "response before sending the next query (MAX_CONCURRENT_QUERIES_PER_KEY sets the "
            "limit).",
            "code": 429,
            "error": "TOO_MANY_CONCURRENT_QUERIES",
            "limit": 2,
            "value": 3,
        }
        assert int(refused.headers["retry-after"]) > 0
        (error,) = refused.json()["errors"]
        assert error["extensions"] == {
            "code": "TOO_MANY_CONCURRENT_QUERIES",
            "limit": 2,
            "value": 3,
        }
        assert beside.json() == {"data": {"viewer": {"username": "root"}}}
        assert (await first).json() == (await second).json() == (await ask()).json()
        assert "errors" not in (await first).json()


def test_a_finished_query_frees_its_slot_however_it_ended() -> None:
    running = ConcurrencyLimit(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), running.slot("key"):
            _ = 1 // 0
    with (
        running.slot("key"),
        running.slot("other"),
        pytest.raises(TooManyConcurrentQueries),
        running.slot("key"),
    ):
        raise AssertionError
    assert not running._running


# Disabled features.


async def test_graphiql_can_be_disabled(
    shared: Shared, shared_graphql: GraphQLClient, clock: FixedClock
) -> None:
    async with client_with_settings(
        shared, shared_graphql, clock, graphiql_enabled="False"
    ) as other:
        page = await other.client.get("/graphql", headers={"Accept": "text/html"})
        assert (page.status_code, page.json()["error"]) == (404, "GRAPHIQL_DISABLED")
        assert "GRAPHIQL_ENABLED" in page.json()["msg"]
        for path in ("/signin", "/static/graphiql.js"):
            assert (await other.client.get(path)).status_code == 404
        assert (await other.client.post("/signin")).status_code == 404
        assert await other("{ viewer { username } }") == {"viewer": {"username": "root"}}
