"""Every query, mutation and route, requested with another organization's key and ids."""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import httpx
import orjson
import pytest
from graphql import GraphQLObjectType, get_named_type, is_required_argument
from sqlalchemy import text
from starlette.applications import Starlette

from app.db.engine import Database
from app.db.tables import Base
from app.domain.callers import Scope
from app.domain.ids import organization_id
from app.main import create_app
from app.settings import Settings
from app.web import rest
from app.web.auth import AuthenticatedRoute
from tests.access.surface import RootField, root_fields, routes
from tests.conftest import Feed, FixedClock, GraphQLClient, MakeKey, create_client, event

AT = "2026-09-10T00:00:00Z"
OWN = organization_id("default")
MARK = "islander"
"""Part of every name of the organization that must stay hidden."""
DEPTH = 5
ROUTES_WITH_ORGANIZATION = {
    each.path for each in rest.routes if isinstance(each, AuthenticatedRoute)
}
"""The routes with a parameter that names an organization."""


@dataclass
class Intruder:
    """The key of an admin of `other`, and names and ids of `default` to try."""

    key: str
    names: dict[str, str]
    """The value for arguments of these names; others get every id."""
    ids: list[str]


@pytest.fixture
async def intruder(
    database: Database,
    feed: Feed,
    graphql: GraphQLClient,
    make_key: MakeKey,
    other_organization: str,
) -> Intruder:
    """Fill `default` with all kinds of rows: a closed month, a correction, keys, audit entries."""
    await feed(
        event("user.upserted", AT, username=f"{MARK}-ann", email=f"{MARK}@x.test", role="ADMIN"),
        event("member.added", AT, workspace=f"{MARK}-lab", username=f"{MARK}-ann"),
        # These have common names, but properties or parts with the mark.
        event("user.upserted", AT, username="bob", email=f"{MARK}-b@x.test"),
        event("project.upserted", AT, workspace="den", name=f"{MARK}-q"),
        event(
            "experiment.created",
            AT,
            experiment=f"{MARK}-e",
            workspace=f"{MARK}-lab",
            project=f"{MARK}-p",
            username=f"{MARK}-ann",
            sizeBytes=1,
        ),
    )
    await graphql('mutation { closeMonth(month: "2026-09") { month } }')
    await feed(event("experiment.resized", AT, experiment=f"{MARK}-e", sizeBytes=5))
    theirs = await make_key(f"{MARK}-ann", Scope.ADMIN)
    await Feed(database, feed.clock, other_organization)(
        event("user.upserted", AT, username="eve", email="e@x.test", role="ADMIN"),
        event("workspace.upserted", AT, name="own"),
    )
    key_id = theirs.split("_")[1]
    async with database.owner_transaction() as tx:
        found = await tx.execute(
            text(f"""
                SELECT workspace_id::text FROM workspace WHERE organization_id = '{OWN}'
                UNION ALL SELECT project_id::text FROM project WHERE organization_id = '{OWN}'
                UNION ALL SELECT user_id::text FROM platform_user WHERE organization_id = '{OWN}'
                UNION ALL (SELECT max(entry_id::text) FROM audit_log
                           WHERE organization_id = '{OWN}')
            """)
        )
        ids = [*found.scalars(), str(OWN), key_id, "den", "bob", "default"]
    key = await make_key("eve", Scope.ADMIN, organization=other_organization)
    return Intruder(key, {"organization": "default"}, ids)


async def rows_of_default(database: Database) -> dict[str, list[str]]:
    """Return all rows of the organization, without the last use of its keys.

    Its audit log also records requests without a valid key, so these do not count.
    """
    stored = {}
    async with database.owner_transaction() as tx:
        for table in sorted(Base.metadata.tables):
            columns = f"(to_jsonb({table}) - 'last_used_at')::text"
            found = await tx.execute(
                text(f"SELECT {columns} FROM {table} WHERE organization_id = '{OWN}' ORDER BY 1")
            )
            stored[table] = [row for row in found.scalars() if '"REQUEST_REFUSED"' not in row]
    return stored


def selection(kind: Any, depth: int = DEPTH) -> str:
    """Return a selection of all fields below a type."""
    named = get_named_type(kind)
    if not isinstance(named, GraphQLObjectType):
        return ""
    fields = []
    for name, field in named.fields.items():
        inner = selection(field.type, depth - 1) if depth else ""
        if isinstance(get_named_type(field.type), GraphQLObjectType) and not inner:
            continue
        required = [each for each, it in field.args.items() if is_required_argument(it)]
        arguments = ", ".join(f'{each}: "den"' for each in required)
        given = f"({arguments})" if required else ""
        fields.append(f"{name}{given}{inner}")
    return f" {{ {' '.join(fields)} }}" if fields else ""


def queries(field: RootField, intruder: Intruder) -> Iterator[str]:
    """Yield queries of the field, with every id for each text argument in turn."""
    texts = [
        name
        for name, argument in field.arguments.items()
        if get_named_type(argument.type).name in {"ID", "String"}
    ]
    yield field.query()
    for name, value in product(texts, intruder.ids):
        if name not in intruder.names or intruder.names[name] == value:
            yield field.query(**{name: f'"{value}"'})


@pytest.fixture
async def unlimited_graphql(
    database: Database, clock: FixedClock, intruder: Intruder
) -> AsyncIterator[GraphQLClient]:
    """A client without limits of cost and tokens, so that limits hide nothing."""
    settings = Settings.load(
        admin_user_list="root", graphql_max_cost=10_000_000_000, graphql_max_tokens=1_000_000
    )
    async with create_client(database, settings, clock) as client:
        yield GraphQLClient(client, intruder.key)


async def test_no_field_shows_or_changes_anything_of_another_organization(
    database: Database, unlimited_graphql: GraphQLClient, intruder: Intruder
) -> None:
    before = await rows_of_default(database)
    query_count = 0
    for field in root_fields():
        everything = selection(field.field.type)
        for query in queries(field, intruder):
            whole = query.replace(" { __typename }", everything)
            response = await unlimited_graphql.execute(whole)
            query_count += 1
            assert MARK not in orjson.dumps(response.get("data")).decode(), whole
            if 'organization: "default"' in whole:
                codes = {each["extensions"]["code"] for each in response["errors"]}
                assert codes == {"FORBIDDEN"}, whole

    assert await rows_of_default(database) == before
    assert query_count > 60


async def test_no_route_shows_or_changes_anything_of_another_organization(
    database: Database, client: httpx.AsyncClient, clock: FixedClock, intruder: Intruder
) -> None:
    before = await rows_of_default(database)
    application: Starlette = create_app(Settings.load(), database, clock)
    own_events = event("workspace.deleted", AT, name=f"{MARK}-lab")
    for route in routes(application):
        for method, value in product(route.methods or (), [*intruder.ids, "2026-09"]):
            for parameters in ({}, {"organization": "default"}, {"reportMonth": "2026-09"}):
                response = await client.request(
                    method,
                    re.sub(r"\{[^}]*\}", value, route.path),
                    params=parameters,
                    headers={
                        "Authorization": intruder.key,
                        "Content-Type": "application/cloudevents+json",
                    },
                    content=own_events if method != "GET" else None,
                )
                assert response.status_code < 500, (route.path, response.text)
                body = response.text.replace(value, "")
                assert MARK not in body, (route.path, body)
                if route.path in ROUTES_WITH_ORGANIZATION and "organization" in parameters:
                    assert response.status_code == 403, route.path
            if "{" not in route.path:
                break

    assert await rows_of_default(database) == before
