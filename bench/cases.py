"""The cases: each is one document that several contenders produce."""

import gzip
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import asyncpg

from bench import ours
from bench.handwritten import HandwrittenQueries
from bench.json_agg import JsonAgg
from bench.measure import Contender, Extract, Produce, identity
from bench.narrow import NarrowQuerySql
from bench.postgraphile import extract_figures, fetch_full, parse_instant, run_postgraphile
from bench.processes import Client, run_server, service_command
from bench.store import MONTH, Store

OURS, OURS_HTTP = "GraphQL, in process", "GraphQL over HTTP"
BY_HAND, BY_HAND_HTTP = "by hand, in process", "by hand over HTTP"
STANDARD, JSON_AGG = "Strawberry's standard executor", "json_agg, one statement"
POSTGRAPHILE = "PostGraphile 5 over HTTP"
REST, REST_HTTP = "REST, in process", "REST over HTTP"
CLOSED, CLOSED_GZIP = "closed month, plain bytes", "closed month, its stored bytes"
SAME_SQL = "its SQL, asyncpg and orjson"

_REPORT = f"/api/admin/chargeback/report?reportMonth={MONTH}"


@dataclass(frozen=True, slots=True)
class Case:
    """One document and its contenders."""

    name: str
    contenders: Sequence[Contender]


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
    postgraphile: Client | None


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
            ours.InProcess(store),
            HandwrittenQueries(pool, store.organization_id, MONTH),
            await enter(run_server(command, log=logs / "serve.log", headers=key)),
            await enter(
                run_server(command, log=logs / "closed.log", headers=key, environment=closed)
            ),
            await enter(run_server(_handwritten_command(store), log=logs / "hand.log")),
            await enter(run_postgraphile(store.url, logs / "postgraphile.log"))
            if with_postgraphile
            else None,
        )


def _handwritten_command(store: Store) -> Sequence[str]:
    return [
        sys.executable,
        "-m",
        "bench.handwritten_server",
        store.url,
        str(store.organization_id),
    ]


async def iter_cases(bench: Bench) -> AsyncIterator[Case]:
    """Yield the cases in the order of the table."""
    yield _full_case(bench)
    yield Case("REST, the documented document", _rest_contenders(bench))
    yield Case("narrow: workspaces { name totalSizeInMb }", await _narrow_contenders(bench))
    yield Case("a page of 50 workspaces with members and projects", _page_contenders(bench))
    yield Case("members(first: 10) of every workspace", _first_members_contenders(bench))


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
        run = partial(fetch_full, bench.postgraphile)
        contenders.append(_http_contender(POSTGRAPHILE, run, bench.postgraphile, extract_figures))
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
        Contender(OURS, partial(bench.in_process.graphql, ours.NARROW)),
        _http_contender(OURS_HTTP, partial(bench.service.query, ours.NARROW), bench.service),
    ]


def _page_contenders(bench: Bench) -> Sequence[Contender]:
    return [
        Contender(BY_HAND, partial(bench.handwritten.page, 50)),
        Contender(OURS, partial(bench.in_process.graphql, ours.PAGE)),
        _http_contender(OURS_HTTP, partial(bench.service.query, ours.PAGE), bench.service),
    ]


def _first_members_contenders(bench: Bench) -> Sequence[Contender]:
    return [
        Contender(BY_HAND, partial(bench.handwritten.first_members, 10)),
        Contender(OURS, partial(bench.in_process.graphql, ours.FIRST_MEMBERS)),
        _http_contender(
            OURS_HTTP, partial(bench.service.query, ours.FIRST_MEMBERS), bench.service
        ),
    ]
