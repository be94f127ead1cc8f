"""What is compared: each case is one document, produced in several ways."""

import gzip
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import asyncpg

from bench import ours
from bench.by_hand import ByHand
from bench.json_agg import JsonAgg
from bench.measure import Contender, Read, Run, as_is
from bench.narrow import ItsSql
from bench.postgraphile import figures, full, instant, postgraphile
from bench.processes import Client, service_command, serving
from bench.store import MONTH, Store

OURS, OURS_HTTP = "GraphQL, in process", "GraphQL over HTTP"
BY_HAND, BY_HAND_HTTP = "by hand, in process", "by hand over HTTP"
STANDARD, JSON_AGG = "Strawberry's standard executor", "json_agg, one statement"
POSTGRAPHILE = "PostGraphile 5 over HTTP"
REST, REST_HTTP = "REST, in process", "REST over HTTP"
CLOSED, CLOSED_GZIP = "closed month, plain bytes", "closed month, its stored bytes"
ITS_SQL = "its SQL, asyncpg and orjson"

_REPORT = f"/api/admin/chargeback/report?reportMonth={MONTH}"


@dataclass(frozen=True, slots=True)
class Case:
    """One document, and who produces it."""

    name: str
    contenders: Sequence[Contender]


@dataclass(frozen=True, slots=True)
class Bench:
    """All that the cases need, open."""

    store: Store
    pool: asyncpg.Pool
    in_process: ours.InProcess
    by_hand: ByHand
    service: Client
    closed_service: Client
    hand_service: Client
    postgraphile: Client | None


@asynccontextmanager
async def opened_bench(store: Store, *, with_postgraphile: bool) -> AsyncIterator[Bench]:
    """Every process that the cases need, on one store."""
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
            ByHand(pool, store.organization_id, MONTH),
            await enter(serving(command, log=logs / "serve.log", headers=key)),
            await enter(
                serving(command, log=logs / "closed.log", headers=key, environment=closed)
            ),
            await enter(serving(_hand_command(store), log=logs / "hand.log")),
            await enter(postgraphile(store.url, logs / "postgraphile.log"))
            if with_postgraphile
            else None,
        )


def _hand_command(store: Store) -> Sequence[str]:
    return [sys.executable, "-m", "bench.hand_server", store.url, str(store.organization_id)]


async def cases(bench: Bench) -> AsyncIterator[Case]:
    """Every case, in the order of the table."""
    yield _full(bench)
    yield Case("REST, the documented document", _rest(bench))
    yield Case("narrow: workspaces { name totalSizeInMb }", await _narrow(bench))
    yield Case("a page of 50 workspaces with members and projects", _page(bench))
    yield Case("members(first: 10) of every workspace", _first_members(bench))


def _over_http(
    name: str,
    run: Run,
    client: Client,
    read: Read = as_is,
    *,
    unpack: Callable[[bytes], bytes] = bytes,
) -> Contender:
    return Contender(name, run, read, client.pid, client.idle_bytes, unpack)


def _graphql_figures(answer: Any) -> Any:
    report = answer["data"]["chargebackReport"]
    instants = ("createdAt", "uiUsageUpdatedAt", "sdkUsageUpdatedAt")
    users = report["users"]["licensedUsers"]
    assert report["users"]["numberOfUsers"] == len(users)
    return {
        "workspaces": report["workspaces"],
        "users": [{**user, **{name: instant(user[name]) for name in instants}} for user in users],
    }


def _full(bench: Bench) -> Case:
    read = _graphql_figures
    standard = partial(bench.in_process.graphql, ours.FULL, ours.standard_schema)
    json_agg = JsonAgg(bench.pool, bench.store.organization_id, MONTH)
    hand_http = partial(bench.hand_service.get, "/full")
    contenders = [
        Contender(BY_HAND, bench.by_hand.full, read),
        Contender(OURS, partial(bench.in_process.graphql, ours.FULL), read),
        _over_http(BY_HAND_HTTP, hand_http, bench.hand_service, read),
        _over_http(OURS_HTTP, partial(bench.service.ask, ours.FULL), bench.service, read),
        Contender(JSON_AGG, json_agg.full, read),
        Contender(STANDARD, standard, read),
    ]
    if bench.postgraphile is not None:
        run = partial(full, bench.postgraphile)
        contenders.append(_over_http(POSTGRAPHILE, run, bench.postgraphile, figures))
    return Case("the full document", contenders)


def _rest(bench: Bench) -> Sequence[Contender]:
    closed, service = bench.closed_service, bench.service
    return [
        Contender(BY_HAND, bench.by_hand.rest),
        Contender(REST, bench.in_process.rest),
        _over_http(BY_HAND_HTTP, partial(bench.hand_service.get, "/rest"), bench.hand_service),
        _over_http(REST_HTTP, partial(service.get, _REPORT), service),
        _over_http(CLOSED, partial(closed.get, _REPORT), closed),
        _over_http(
            CLOSED_GZIP,
            partial(closed.get, _REPORT, {"Accept-Encoding": "gzip"}),
            closed,
            unpack=gzip.decompress,
        ),
    ]


async def _narrow(bench: Bench) -> Sequence[Contender]:
    its_sql = await ItsSql.noted(bench.store, bench.pool)
    return [
        Contender(ITS_SQL, its_sql.document),
        Contender(OURS, partial(bench.in_process.graphql, ours.NARROW)),
        _over_http(OURS_HTTP, partial(bench.service.ask, ours.NARROW), bench.service),
    ]


def _page(bench: Bench) -> Sequence[Contender]:
    return [
        Contender(BY_HAND, partial(bench.by_hand.page, 50)),
        Contender(OURS, partial(bench.in_process.graphql, ours.PAGE)),
        _over_http(OURS_HTTP, partial(bench.service.ask, ours.PAGE), bench.service),
    ]


def _first_members(bench: Bench) -> Sequence[Contender]:
    return [
        Contender(BY_HAND, partial(bench.by_hand.first_members, 10)),
        Contender(OURS, partial(bench.in_process.graphql, ours.FIRST_MEMBERS)),
        _over_http(OURS_HTTP, partial(bench.service.ask, ours.FIRST_MEMBERS), bench.service),
    ]
