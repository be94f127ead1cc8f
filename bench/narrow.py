"""The narrow query, and its SQL alone.

`python -m bench.narrow` shows where the query spends its time. The first figure of a row is the
10th percentile, which other load on the machine affects least.
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
from bench.processes import run_server, service_command
from bench.store import MONTH, Store, benchmark_store
from resolvers.report import fetch_report
from resolvers.workspaces import workspaces_of_reports

_RUNS = 400
_EMPTY_MONTH = "2020-01"
Statement = tuple[str, Sequence[Any]]
"""The text of a statement and its arguments."""


class NarrowQuerySql:
    """Runs the statements that the service sends for the narrow query; serializes with orjson."""

    def __init__(self, pool: asyncpg.Pool, statements: Sequence[Statement]) -> None:
        self._pool, self._statements = pool, statements

    @classmethod
    async def record(cls, store: Store, pool: asyncpg.Pool) -> "NarrowQuerySql":
        """Execute the query with the product, and record the statements that it sends."""
        statements: list[Statement] = []

        def append_statement(text: str, arguments: Sequence[Any]) -> None:
            statements.append((text, tuple(arguments)))

        store.database.read_observers.append(append_statement)
        try:
            await ours.InProcess(store.database, store.caller).graphql(ours.NARROW)
        finally:
            store.database.read_observers.remove(append_statement)
        return cls(pool, statements)

    async def fetch(self, connection: Any) -> Sequence[asyncpg.Record]:
        """Execute the statements; return the rows of the last one."""
        rows: Sequence[asyncpg.Record] = []
        for text, parameters in self._statements:
            rows = await connection.fetch(text, *parameters)
        return rows

    async def document(self) -> bytes:
        """Return the response."""
        rows = await self.fetch(self._pool)
        names = list(rows[0].keys())
        name, size = names.index("name"), names.index("size_in_mb")
        workspaces = [{"name": row[name], "totalSizeInMb": row[size]} for row in rows]
        return orjson.dumps({"data": {"chargebackReport": {"workspaces": workspaces}}})


async def main() -> None:
    """Print a row for each part of the product."""
    tune_gc()
    print("| step | 10 % ms | median ms |\n| --- | ---: | ---: |")
    async with benchmark_store() as store, asyncpg.create_pool(store.url, min_size=1) as pool:
        narrow_sql = await NarrowQuerySql.record(store, pool)
        product = ours.InProcess(store.database, store.caller)
        async with pool.acquire() as connection:
            await _print_row(
                "the two SQL statements, one connection", partial(narrow_sql.fetch, connection)
            )
        await _print_row("the SQL, a connection from a pool, orjson", narrow_sql.document)
        await _print_row("the resolvers, in a snapshot", partial(_resolve, product, store))
        empty = ours.NARROW.replace(str(MONTH), _EMPTY_MONTH)
        await _print_row("GraphQL, in process, empty month", partial(product.graphql, empty))
        await _print_row("GraphQL, in process", partial(product.graphql, ours.NARROW))
        command, log = service_command(store.folder), store.folder / "narrow.log"
        headers = {"Authorization": store.key}
        async with run_server(command, log=log, headers=headers) as client:
            await _print_row("a health check over HTTP", partial(client.get, "/healthz"))
            await _print_row(
                "a query without a report, over HTTP", partial(client.query, "{ __typename }")
            )
            await _print_row("GraphQL over HTTP, empty month", partial(client.query, empty))
            await _print_row("GraphQL over HTTP", partial(client.query, ours.NARROW))


async def _resolve(product: ours.InProcess, store: Store) -> None:
    async with product.context() as context:
        report = await fetch_report(context, None, MONTH, frozenset())
        window = report.groups[0][0][report.columns["window"]]
        key = (store.organization_id, window)
        await workspaces_of_reports(context, [key], frozenset({"name", "size_in_mb"}))


async def _print_row(name: str, run: Callable[[], Awaitable[Any]]) -> None:
    seconds = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        await run()
        seconds.append(time.perf_counter() - start)
    fast = statistics.quantiles(seconds, n=10)[0]
    print(f"| {name} | {fast * 1e3:.2f} | {statistics.median(seconds) * 1e3:.2f} |", flush=True)


if __name__ == "__main__":
    uvloop.run(main())
