"""What each field and route takes is said in one place, and holds."""

import httpx
import pytest
from graphql import GraphQLObjectType, get_named_type
from starlette.applications import Starlette

from app.db.engine import Database
from app.domain.callers import Scope
from app.main import create_app
from app.settings import Settings
from app.web.auth import AuthenticatedRoute
from schema import schema
from schema.access import ANY_KEY, REQUIRED_SCOPES
from tests.access.everything import root_fields, routes
from tests.conftest import Feed, FixedClock, GraphQLClient, MakeKey, event

FIELDS = list(root_fields())
PUBLIC = {
    "/": "leads to GraphiQL",
    "/graphql": "asks for a key itself, and for the scope of each field",
    "/signin": "the form, and what it posts",
    "/signout": "ends the session that the request came with",
    "/static/{path:path}": "the files of both pages",
    "/healthz": "says that the process runs, and no more",
    "/openapi.json": "describes the REST routes, as the documents do",
    "/readyz": "says whether it can serve, and no more",
    "/metrics": "asks itself for METRICS_TOKEN, or for an admin's key of `default`",
    "/clientlib/isAlive/ver": "existing clients ask it before they have a key",
}
"""The routes that anybody may ask, and why."""


def test_each_root_field_says_what_it_takes_and_no_other_is_named() -> None:
    assert {field.name for field in FIELDS} == set(REQUIRED_SCOPES)


def test_every_type_is_reached_through_the_root_fields_alone() -> None:
    """A subscription, or an interface that looks anything up by id, would be another way in."""
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
    """The application, for its routes."""
    return create_app(Settings.load(), database, clock)


@pytest.fixture
async def ann(feed: Feed) -> str:
    """An admin."""
    await feed(
        event("user.upserted", "2026-09-01T00:00:00Z", username="ann", email="a", role="ADMIN")
    )
    return "ann"


async def code(graphql: GraphQLClient, query: str, key: str) -> str | None:
    answer = await graphql.execute(query, key=key)
    return answer["errors"][0]["extensions"]["code"] if "errors" in answer else None


async def test_a_key_without_the_scope_is_refused_at_each_field(
    graphql: GraphQLClient, ann: str, make_key: MakeKey
) -> None:
    keys = {scope: await make_key(ann, scope) for scope in Scope}
    for field in FIELDS:
        wanted = REQUIRED_SCOPES[field.name]
        for scope, key in keys.items():
            refused = await code(graphql, field.query(), key) == "FORBIDDEN"
            may = wanted is ANY_KEY or scope in {wanted, Scope.ADMIN}
            assert refused is not may, (field.name, scope)


@pytest.mark.parametrize(
    "query",
    [
        "{ viewer { username } apiKeys { id } }",
        "{ ...inner } fragment inner on Query { ... { hidden: apiKeys { id } } }",
        "query ($no: Boolean! = false) { apiKeys @include(if: $no) { id } viewer { username } }",
    ],
)
async def test_no_way_of_writing_it_hides_a_field(
    graphql: GraphQLClient, ann: str, make_key: MakeKey, query: str
) -> None:
    assert await code(graphql, query, await make_key(ann, Scope.REPORT_READ)) == "FORBIDDEN"
    assert await code(graphql, query, await make_key(ann, Scope.ADMIN)) is None


async def test_a_refused_mutation_does_nothing(
    graphql: GraphQLClient, ann: str, make_key: MakeKey
) -> None:
    reader = await make_key(ann, Scope.REPORT_READ)
    create = 'createApiKey(username: "x", scopes: [ADMIN]) { secret }'

    assert await code(graphql, f"mutation {{ {create} }}", reader) == "FORBIDDEN"
    keys = (await graphql("{ apiKeys { username } }"))["apiKeys"]
    assert "x" not in {key["username"] for key in keys}


def test_each_route_says_what_it_takes_or_why_it_takes_nothing(application: Starlette) -> None:
    unguarded = {
        route.path for route in routes(application) if not isinstance(route, AuthenticatedRoute)
    }

    assert unguarded == set(PUBLIC)


async def test_a_key_without_the_scope_is_refused_at_each_route(
    application: Starlette, client: httpx.AsyncClient, ann: str, make_key: MakeKey
) -> None:
    keys = {scope: await make_key(ann, scope) for scope in Scope}
    for route in routes(application):
        if not isinstance(route, AuthenticatedRoute):
            continue
        for method in (route.methods or set()) - {"HEAD"}:
            for scope, key in keys.items():
                answer = await client.request(method, route.path, headers={"Authorization": key})
                refused = answer.status_code == 403
                assert refused is (scope not in {route.scope, Scope.ADMIN}), (route.path, scope)
            assert (await client.request(method, route.path)).status_code == 401
