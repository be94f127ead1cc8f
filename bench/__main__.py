"""`python -m bench`: measures, prints a table, writes the record and the chart."""

import argparse
from typing import Any

import uvloop

from app.server.process_tuning import tune_gc
from bench.cases import cases, opened_bench
from bench.execution import measure_execution
from bench.feed import measure_feed
from bench.latency import measure_latency
from bench.machine import machine, versions
from bench.measure import compare
from bench.multiples import measure_growth
from bench.postgraphile import install
from bench.record import save, table
from bench.store import Store, benchmark_store, say
from bench.targets import Run

PARTS = ("reports", "execution", "latency", "feed", "growth")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--scales", type=int, nargs="+", default=[1, 2, 4, 10], help="of growth")
    add("--rounds", type=int, default=9, help="how often each contender runs")
    add("--growth-rounds", type=int, default=3, help="how often each scale runs")
    add("--feed-seconds", type=float, default=10, help="how long each size of batch is sent")
    add("--latency-seconds", type=float, default=10, help="how long health checks are asked")
    add("--quick", action="store_true", help="few rounds, two scales; renews no docs")
    add("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to print; written nowhere")
    add("--without-postgraphile", action="store_true", help="needs no npm")
    options = parser.parse_args()
    if options.quick:
        options.scales, options.rounds, options.growth_rounds = options.scales[:2], 3, 1
        options.feed_seconds, options.latency_seconds = 3, 3
    return options


async def main(options: argparse.Namespace) -> None:
    run, hardware = Run({}, {}, {}, [], {}), machine()
    tune_gc()  # As the service does, for all that runs in this process.
    if not options.without_postgraphile:
        install()
    async with benchmark_store() as store:
        told = await versions(store.url, with_postgraphile=not options.without_postgraphile)
        for part in options.only:
            await _MEASURES[part](run, store, options)
            if set(options.only) == set(PARTS):
                # A run that is broken off leaves what it has measured.
                file = save(run, hardware, told, quick=options.quick)
                say(f"Written to {file.name}.")
    print(table(run))


async def _reports(run: Run, store: Store, options: Any) -> None:
    with_postgraphile = not options.without_postgraphile
    async with opened_bench(store, with_postgraphile=with_postgraphile) as bench:
        async for case in cases(bench):
            run.timings[case.name] = await compare(case.name, case.contenders, options.rounds)


async def _execution(run: Run, _: Store, options: Any) -> None:
    run.execution = await measure_execution(options.rounds)


async def _latency(run: Run, store: Store, options: Any) -> None:
    run.latency = await measure_latency(store, options.latency_seconds)


async def _feed(run: Run, _: Store, options: Any) -> None:
    run.feed = await measure_feed(options.feed_seconds)


async def _growth(run: Run, store: Store, options: Any) -> None:
    run.growth = await measure_growth(store, options.scales, options.growth_rounds)


_MEASURES = {
    "reports": _reports,
    "execution": _execution,
    "latency": _latency,
    "feed": _feed,
    "growth": _growth,
}

if __name__ == "__main__":
    uvloop.run(main(_options()))
