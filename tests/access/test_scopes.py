"""The scope that each field and route requires is declared in one place and enforced."""

from collections.abc import Mapping

import httpx
import pytest
from graphql import GraphQLObjectType, OperationDefinitionNode, get_named_type, parse
from starlette.applications import Starlette

from app.db.engine import Database
from app.domain.audit import OPERATOR
from app.domain.callers import COVERED_BY, DEFAULT_ORGANIZATION, Caller, Scope
from app.domain.errors import Forbidden
from app.domain.ids import organization_id
from app.domain.rates import CostCentre
from app.main import create_app
from app.services.rate_card import set_cost_centre
from app.settings import Settings
from app.web.auth import AuthenticatedRoute
from schema import schema
from schema.access import ANY_KEY, REQUIRED_SCOPES, require_scopes
from schema.operations import Operation
from tests.access.surface import root_fields, routes
from tests.conftest import (
    NOW,
    Feed,
    FixedClock,
    GraphQLClient,
    MakeKey,
    create_client,
    event,
)

FIELDS = list(root_fields())
PUBLIC = {
    "/": "the shell of the pages: it contains no data, and its queries need a session",
    "/months/{month}": "the same shell",
    "/licences": "the same shell",
    "/close": "the same shell",
    "/statements": "the same shell",
    "/graphql": "checks the key itself, and the scope of each field",
    "/signin": "the form, and what it posts",
    "/signout": "ends the session that the request came with",
    "/static/{path:path}": "the files of both pages",
    "/healthz": "states only that the process runs",
    "/openapi.json": "describes the REST routes, as the documentation does",
    "/readyz": "states only whether it can serve requests",
    "/metrics": "checks METRICS_TOKEN itself, or an admin's key of `default`",
    "/clientlib/isAlive/ver": "existing clients request it before they have a key",
}
"""The routes without authentication, and why."""


@pytest.mark.parametrize(
    ("listed", "is_admin"),
    [
        ("Ann@X.test", True),
        ("ann@x.TEST", True),
        ("ANN", False),  # Usernames compare exactly.
        ("ann@\u017f.test", False),  # The long s is no s.
    ],
)
async def test_emails_of_listed_admins_compare_without_case(
    database: Database,
    clock: FixedClock,
    feed: Feed,
    make_key: MakeKey,
    listed: str,
    is_admin: bool,
) -> None:
    email = "ann@s.test" if "\u017f" in listed else "Ann@x.test"
    await feed(event("user.upserted", "2026-09-01T00:00:00Z", username="ann", email=email))
    key = await make_key("ann")
    async with create_client(database, Settings.load(admin_user_list=listed), clock) as client:
        answer = await client.get("/api/admin/service-accounts", headers={"Authorization": key})

    assert answer.status_code == (200 if is_admin else 403)


def test_required_scopes_list_exactly_the_root_fields() -> None:
    assert {field.name for field in FIELDS} == set(REQUIRED_SCOPES)


def test_every_type_is_reachable_only_through_root_fields() -> None:
    """A subscription or a lookup by global id would bypass the required scopes."""
    built = schema._schema
    roots = [each for each in (built.query_type, built.mutation_type) if each is not None]
    seen: set[str] = set()
    waiting = [kind for root in roots for kind in _kinds(root)]
    while waiting:
        kind = waiting.pop()
        if kind.name not in seen:
            seen.add(kind.name)
            waiting += _kinds(kind)
    objects = {
        name
        for name, kind in built.type_map.items()
        if isinstance(kind, GraphQLObjectType) and not name.startswith("__")
    }

    assert built.subscription_type is None
    assert seen == objects - {root.name for root in roots}


def _kinds(kind: GraphQLObjectType) -> list[GraphQLObjectType]:
    named = [get_named_type(field.type) for field in kind.fields.values()]
    return [each for each in named if isinstance(each, GraphQLObjectType)]


@pytest.fixture
def application(database: Database, clock: FixedClock) -> Starlette:
    """The application, whose routes are inspected."""
    return create_app(Settings.load(), database, clock)


@pytest.fixture
async def ann(feed: Feed) -> str:
    """Create an admin and return the username."""
    await feed(
        event("user.upserted", "2026-09-01T00:00:00Z", username="ann", email="a", role="ADMIN")
    )
    return "ann"


async def error_code(graphql: GraphQLClient, query: str, key: str) -> str | None:
    response = await graphql.execute(query, key=key)
    return response["errors"][0]["extensions"]["code"] if "errors" in response else None


@pytest.fixture
async def keys(database: Database, ann: str, make_key: MakeKey) -> Mapping[Scope, str]:
    """A key of an admin for each scope."""
    own = organization_id(DEFAULT_ORGANIZATION)
    research = CostCentre("4711", "Research")
    await set_cost_centre(database, own, research, by=OPERATOR, now=NOW)
    of_statement = await make_key(ann, Scope.STATEMENT_READ, cost_centres=["4711"])
    others = {scope: await make_key(ann, scope) for scope in set(Scope) - {Scope.STATEMENT_READ}}
    return {Scope.STATEMENT_READ: of_statement, **others}


async def test_every_field_rejects_a_key_without_its_scope(
    graphql: GraphQLClient, keys: Mapping[Scope, str]
) -> None:
    for field in FIELDS:
        required = REQUIRED_SCOPES[field.name]
        query = field.query(costCentre='"4711"') if field.name == "statement" else field.query()
        for scope, key in keys.items():
            is_forbidden = await error_code(graphql, query, key) == "FORBIDDEN"
            is_allowed = required is ANY_KEY or scope in COVERED_BY[required]
            assert is_forbidden is not is_allowed, (field.name, scope)


@pytest.mark.parametrize("scope", sorted(set(Scope) - {Scope.ADMIN}))
def test_a_root_field_that_lists_no_scope_requires_admin(scope: Scope) -> None:
    document = parse("{ newField }")
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    own, scopes = organization_id(DEFAULT_ORGANIZATION), frozenset({scope})
    caller = Caller(own, "default", "ann", "key", scopes, is_admin=True, is_listed_admin=True)

    with pytest.raises(Forbidden, match="needs a key with the scope admin"):
        require_scopes(Operation(document, operation), caller)


@pytest.mark.parametrize(
    "query",
    [
        "{ viewer { username } apiKeys { id } }",
        "{ ...inner } fragment inner on Query { ... { hidden: apiKeys { id } } }",
        "query ($no: Boolean! = false) { apiKeys @include(if: $no) { id } viewer { username } }",
    ],
)
async def test_aliases_fragments_and_directives_do_not_bypass_scopes(
    graphql: GraphQLClient, ann: str, make_key: MakeKey, query: str
) -> None:
    assert await error_code(graphql, query, await make_key(ann, Scope.REPORT_READ)) == "FORBIDDEN"
    assert await error_code(graphql, query, await make_key(ann, Scope.ADMIN)) is None


async def test_a_forbidden_mutation_changes_nothing(
    graphql: GraphQLClient, ann: str, make_key: MakeKey
) -> None:
    reader = await make_key(ann, Scope.REPORT_READ)
    create = 'createApiKey(username: "x", scopes: [ADMIN]) { secret }'

    assert await error_code(graphql, f"mutation {{ {create} }}", reader) == "FORBIDDEN"
    keys = (await graphql("{ apiKeys { username } }"))["apiKeys"]
    assert "x" not in {key["username"] for key in keys}


async def test_keys_are_listed_page_by_page(
    graphql: GraphQLClient, ann: str, make_key: MakeKey
) -> None:
    for _ in range(3):
        admin = await make_key(ann, Scope.ADMIN)

    async def list_ids(arguments: str) -> list[str]:
        return [
            key["id"] for key in (await graphql(f"{{ apiKeys{arguments} {{ id }} }}"))["apiKeys"]
        ]

    every = await list_ids("")
    first = await list_ids("(first: 2)")
    assert len(every) >= 3
    assert first == every[:2]
    assert await list_ids(f'(first: 100, after: "{first[-1]}")') == every[2:]
    for arguments in ("(first: 1001)", "(first: -1)", '(after: "nobody")', '(after: "\\u0000")'):
        query = f"{{ apiKeys{arguments} {{ id }} }}"
        assert await error_code(graphql, query, admin) == "INVALID_ARGUMENT"


def test_every_route_requires_a_scope_or_is_listed_as_public(application: Starlette) -> None:
    unguarded = {
        route.path for route in routes(application) if not isinstance(route, AuthenticatedRoute)
    }

    assert unguarded == set(PUBLIC)


async def test_every_route_rejects_a_key_without_its_scope(
    application: Starlette, client: httpx.AsyncClient, keys: Mapping[Scope, str]
) -> None:
    for route in routes(application):
        if not isinstance(route, AuthenticatedRoute):
            continue
        for method in (route.methods or set()) - {"HEAD"}:
            for scope, key in keys.items():
                response = await client.request(method, route.path, headers={"Authorization": key})
                is_forbidden = response.status_code == 403
                assert is_forbidden is (scope not in COVERED_BY[route.scope]), (
                    route.path,
                    scope,
                )
            assert (await client.request(method, route.path)).status_code == 401
