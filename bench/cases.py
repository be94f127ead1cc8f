"""The cases: each is one document that several contenders produce."""

import gzip
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import asyncpg

from bench import ours, postgraphile
from bench.handwritten import HandwrittenQueries
from bench.json_agg import JsonAgg
from bench.measure import Contender, Extract, Produce, identity
from bench.narrow import NarrowQuerySql
from bench.postgraphile import parse_instant, run_postgraphile
from bench.processes import Client, run_server, service_command
from bench.store import MONTH, Store

OURS, OURS_HTTP = "GraphQL, in process", "GraphQL over HTTP"
BY_HAND, BY_HAND_HTTP = "by hand, in process", "by hand over HTTP"
STANDARD, JSON_AGG = "Strawberry's standard executor", "json_agg, one statement"
POSTGRAPHILE = "PostGraphile 5 over HTTP"
STRAWBERRY_HTTP = "Strawberry with DataLoaders over HTTP"
REST, REST_HTTP = "REST, in process", "REST over HTTP"
CLOSED, CLOSED_GZIP = "closed month, plain bytes", "closed month, its stored bytes"
NARROW = "narrow: workspaces { name totalSizeInMb }"
PAGE = "a page of 50 workspaces with members and projects"
FIRST_MEMBERS = "members(first: 10) of every workspace"
SAME_SQL = "its SQL, asyncpg and orjson"

_REPORT = f"/api/admin/chargeback/report?reportMonth={MONTH}"


@dataclass(frozen=True, slots=True)
class Case:
    """One document and its contenders."""

    name: str
    contenders: Sequence[Contender]


class LoadContender(NamedTuple):
    """A server under load, and the request that is repeated."""

    name: str
    client: Client
    request: bytes


@dataclass(frozen=True, slots=True)
class Bench:
    """The open store, connections and servers that the cases use."""

    store: Store
    pool: asyncpg.Pool
    in_process: ours.InProcess
    handwritten: HandwrittenQueries
    service: Client
    closed_service: Client
    handwritten_service: Client
    strawberry: Client
    postgraphile: Client | None

    def graphql_contenders(
        self, query: str, rival_query: str, extract: Extract
    ) -> Sequence[Contender]:
        """Return the product in process, and everything that answers a query over HTTP.

        Args:
            query: The query of the product and of Strawberry.
            rival_query: PostGraphile's query for the same figures.
            extract: Converts PostGraphile's response to the product's.
        """
        contenders = [
            Contender(OURS, partial(self.in_process.graphql, query)),
            _http_contender(OURS_HTTP, partial(self.service.query, query), self.service),
            _http_contender(
                STRAWBERRY_HTTP, partial(self.strawberry.query, query), self.strawberry
            ),
        ]
        if self.postgraphile is not None:
            run = partial(self.postgraphile.query, rival_query)
            contenders.append(_http_contender(POSTGRAPHILE, run, self.postgraphile, extract))
        return contenders

    def load_contenders(self) -> Sequence[LoadContender]:
        """Return everything that answers the narrow query over HTTP."""
        clients = {OURS_HTTP: self.service, STRAWBERRY_HTTP: self.strawberry}
        contenders = [
            LoadContender(name, client, client.compose_query(ours.NARROW))
            for name, client in clients.items()
        ]
        if self.postgraphile is not None:
            request = self.postgraphile.compose_query(postgraphile.NARROW)
            contenders.append(LoadContender(POSTGRAPHILE, self.postgraphile, request))
        return contenders


@asynccontextmanager
async def open_bench(store: Store, *, with_postgraphile: bool) -> AsyncIterator[Bench]:
    """Start every server that the cases need, all on one store."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        pool = await enter(asyncpg.create_pool(store.url, min_size=1, max_size=2))
        key = {"Authorization": store.key}
        logs, command = store.folder, service_command(store.folder)
        closed = {"DATABASE_URL": store.closed_url}
        yield Bench(
            store,
            pool,
            ours.InProcess(store.database, store.caller),
            HandwrittenQueries(pool, store.organization_id, MONTH),
            await enter(run_server(command, log=logs / "serve.log", headers=key)),
            await enter(
                run_server(command, log=logs / "closed.log", headers=key, environment=closed)
            ),
            await enter(
                run_server(
                    _bench_server_command("bench.handwritten_server", store), log=logs / "hand.log"
                )
            ),
            await enter(
                run_server(
                    _bench_server_command("bench.strawberry_server", store),
                    log=logs / "strawberry.log",
                )
            ),
            await enter(run_postgraphile(store.url, logs / "postgraphile.log"))
            if with_postgraphile
            else None,
        )


def _bench_server_command(module: str, store: Store) -> Sequence[str]:
    return [sys.executable, "-m", module, store.url, str(store.organization_id)]


async def iter_cases(bench: Bench) -> AsyncIterator[Case]:
    """Yield the cases in the order of the table."""
    yield _full_case(bench)
    yield Case("REST, the documented document", _rest_contenders(bench))
    yield Case(NARROW, await _narrow_contenders(bench))
    yield Case(PAGE, _page_contenders(bench))
    yield Case(FIRST_MEMBERS, _first_members_contenders(bench))


def _http_contender(
    name: str,
    run: Produce,
    client: Client,
    extract: Extract = identity,
    *,
    unpack: Callable[[bytes], bytes] = bytes,
) -> Contender:
    return Contender(name, run, extract, client.pid, client.idle_bytes, unpack)


def _extract_graphql_figures(response: Any) -> Any:
    report = response["data"]["chargebackReport"]
    instants = ("createdAt", "uiUsageUpdatedAt", "sdkUsageUpdatedAt")
    users = report["users"]["licensedUsers"]
    assert report["users"]["numberOfUsers"] == len(users)
    return {
        "workspaces": report["workspaces"],
        "users": [
            {**user, **{name: parse_instant(user[name]) for name in instants}} for user in users
        ],
    }


def _full_case(bench: Bench) -> Case:
    extract = _extract_graphql_figures
    standard = partial(bench.in_process.graphql, ours.FULL, ours.standard_schema)
    json_agg = JsonAgg(bench.pool, bench.store.organization_id, MONTH)
    handwritten_http = partial(bench.handwritten_service.get, "/full")
    contenders = [
        Contender(BY_HAND, bench.handwritten.full, extract),
        Contender(OURS, partial(bench.in_process.graphql, ours.FULL), extract),
        _http_contender(BY_HAND_HTTP, handwritten_http, bench.handwritten_service, extract),
        _http_contender(
            OURS_HTTP, partial(bench.service.query, ours.FULL), bench.service, extract
        ),
        Contender(JSON_AGG, json_agg.full, extract),
        Contender(STANDARD, standard, extract),
    ]
    if bench.postgraphile is not None:
        run, figures = (
            partial(bench.postgraphile.query, postgraphile.FULL),
            postgraphile.extract_figures,
        )
        contenders.append(_http_contender(POSTGRAPHILE, run, bench.postgraphile, figures))
    return Case("the full document", contenders)


def _rest_contenders(bench: Bench) -> Sequence[Contender]:
    closed, service = bench.closed_service, bench.service
    return [
        Contender(BY_HAND, bench.handwritten.rest),
        Contender(REST, bench.in_process.rest),
        _http_contender(
            BY_HAND_HTTP,
            partial(bench.handwritten_service.get, "/rest"),
            bench.handwritten_service,
        ),
        _http_contender(REST_HTTP, partial(service.get, _REPORT), service),
        _http_contender(CLOSED, partial(closed.get, _REPORT), closed),
        _http_contender(
            CLOSED_GZIP,
            partial(closed.get, _REPORT, {"Accept-Encoding": "gzip"}),
            closed,
            unpack=gzip.decompress,
        ),
    ]


async def _narrow_contenders(bench: Bench) -> Sequence[Contender]:
    narrow_sql = await NarrowQuerySql.record(bench.store, bench.pool)
    return [
        Contender(SAME_SQL, narrow_sql.document),
        *bench.graphql_contenders(ours.NARROW, postgraphile.NARROW, postgraphile.extract_narrow),
    ]


def _page_contenders(bench: Bench) -> Sequence[Contender]:
    return [
        Contender(BY_HAND, partial(bench.handwritten.page, 50)),
        *bench.graphql_contenders(ours.PAGE, postgraphile.PAGE, postgraphile.extract_page),
    ]


def _first_members_contenders(bench: Bench) -> Sequence[Contender]:
    return [
        Contender(BY_HAND, partial(bench.handwritten.first_members, 10)),
        *bench.graphql_contenders(
            ours.FIRST_MEMBERS,
            postgraphile.FIRST_MEMBERS,
            postgraphile.extract_first_members,
        ),
    ]
