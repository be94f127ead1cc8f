"""The narrow query, and its SQL by itself.

`python -m bench.narrow` shows what the query spends its time on. The first figure of a row is what
nine of ten runs take at least: it depends least on what else wants the processor.
"""

import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import asyncpg
import orjson
import uvloop

from app.server.process_tuning import tune_gc
from bench import ours
from bench.processes import service_command, serving
from bench.store import MONTH, Store, benchmark_store
from resolvers.report import fetch_report
from resolvers.workspaces import workspaces_of_reports

_RUNS = 400
_BEFORE_ANYTHING = "2020-01"
Noted = tuple[str, Sequence[Any]]
"""A statement's text and arguments."""


class ItsSql:
    """The very statements that the service sends for the narrow query, and orjson."""

    def __init__(
        self, pool: asyncpg.Pool, statements: Sequence[tuple[str, Sequence[Any]]]
    ) -> None:
        self._pool, self._statements = pool, statements

    @classmethod
    async def noted(cls, store: Store, pool: asyncpg.Pool) -> "ItsSql":
        """The statements as the driver gets them when the product is asked."""
        found: list[Noted] = []

        def note(text: str, arguments: Sequence[Any]) -> None:
            found.append((text, tuple(arguments)))

        store.database.read_observers.append(note)
        try:
            await ours.InProcess(store).graphql(ours.NARROW)
        finally:
            store.database.read_observers.remove(note)
        return cls(pool, found)

    async def rows(self, connection: Any) -> Sequence[asyncpg.Record]:
        """Those of the last statement."""
        rows: Sequence[asyncpg.Record] = []
        for text, parameters in self._statements:
            rows = await connection.fetch(text, *parameters)
        return rows

    async def document(self) -> bytes:
        """The answer."""
        rows = await self.rows(self._pool)
        names = list(rows[0].keys())
        name, size = names.index("name"), names.index("size_in_mb")
        workspaces = [{"name": row[name], "totalSizeInMb": row[size]} for row in rows]
        return orjson.dumps({"data": {"chargebackReport": {"workspaces": workspaces}}})


async def main() -> None:
    """Print a row for each part of the product."""
    tune_gc()
    print("| what | 10 % ms | median ms |\n| --- | ---: | ---: |")
    async with benchmark_store() as store, asyncpg.create_pool(store.url, min_size=1) as pool:
        its_sql, product = await ItsSql.noted(store, pool), ours.InProcess(store)
        async with pool.acquire() as connection:
            await _show("its two statements, on one connection", partial(its_sql.rows, connection))
        await _show("its SQL: from a pool, and orjson", its_sql.document)
        await _show("its resolvers, in a snapshot", partial(_resolve, product, store))
        empty = ours.NARROW.replace(str(MONTH), _BEFORE_ANYTHING)
        await _show("GraphQL, in process, of an empty month", partial(product.graphql, empty))
        await _show("GraphQL, in process", partial(product.graphql, ours.NARROW))
        command, log = service_command(store.folder), store.folder / "narrow.log"
        headers = {"Authorization": store.key}
        async with serving(command, log=log, headers=headers) as client:
            await _show("a health check over HTTP", partial(client.get, "/healthz"))
            await _show("only the key, over HTTP", partial(client.ask, "{ __typename }"))
            await _show("GraphQL over HTTP, of an empty month", partial(client.ask, empty))
            await _show("GraphQL over HTTP", partial(client.ask, ours.NARROW))


async def _resolve(product: ours.InProcess, store: Store) -> None:
    async with product.context() as context:
        report = await fetch_report(context, None, MONTH, frozenset())
        window = report.groups[0][0][report.columns["window"]]
        key = (store.organization_id, window)
        await workspaces_of_reports(context, [key], frozenset({"name", "size_in_mb"}))


async def _show(name: str, run: Callable[[], Awaitable[Any]]) -> None:
    seconds = []
    for _ in range(_RUNS):
        began_at = time.perf_counter()
        await run()
        seconds.append(time.perf_counter() - began_at)
    fast = statistics.quantiles(seconds, n=10)[0]
    print(f"| {name} | {fast * 1e3:.2f} | {statistics.median(seconds) * 1e3:.2f} |", flush=True)


if __name__ == "__main__":
    uvloop.run(main())
