"""`python -m bench`: run the benchmark, print a table, and write the record and the chart."""

import argparse
from typing import Any

import uvloop

from app.server.process_tuning import tune_gc
from bench.cases import iter_cases, open_bench
from bench.charges import EXPORTS, measure_charges, measure_export_memory
from bench.execution import measure_execution
from bench.feed import measure_feed
from bench.latency import measure_latency
from bench.load import measure_load
from bench.machine import describe_machine, read_versions
from bench.measure import compare
from bench.pages import measure_pages
from bench.postgraphile import install
from bench.record import format_results, save
from bench.scaling import measure_growth
from bench.startup import measure_serve, measure_startup
from bench.store import Store, benchmark_store, say
from bench.targets import Results

PARTS = (
    "startup",
    "reports",
    "charges",
    "exports",
    "load",
    "execution",
    "latency",
    "pages",
    "feed",
    "growth",
)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add(
        "--scales",
        type=int,
        nargs="+",
        default=[1, 2, 4, 10],
        help="sizes of the organization in the growth part",
    )
    add("--rounds", type=int, default=9, help="runs of each contender")
    add("--growth-rounds", type=int, default=3, help="runs at each scale")
    add("--feed-seconds", type=float, default=10, help="seconds for each batch size")
    add(
        "--latency-seconds",
        type=float,
        default=10,
        help="seconds of health checks for each document",
    )
    add(
        "--load-seconds",
        type=float,
        default=10,
        help="seconds of the narrow query for each contender and number of connections",
    )
    add("--quick", action="store_true", help="few rounds and two scales; leave the docs alone")
    add(
        "--only",
        nargs="+",
        choices=PARTS,
        default=PARTS,
        help="run and print only these parts; write nothing",
    )
    add("--without-postgraphile", action="store_true", help="skip PostGraphile, which needs npm")
    options = parser.parse_args()
    if options.quick:
        options.scales, options.rounds, options.growth_rounds = options.scales[:2], 3, 1
        options.feed_seconds, options.latency_seconds, options.load_seconds = 3, 3, 3
    return options


async def main(options: argparse.Namespace) -> None:
    results, hardware = Results({}, {}, {}, {}, [], {}), describe_machine()
    tune_gc()  # As the service does, for everything that runs in this process.
    if not options.without_postgraphile:
        install()
    async with benchmark_store() as store:
        versions = await read_versions(
            store.url, with_postgraphile=not options.without_postgraphile
        )
        for part in options.only:
            await _PARTS[part](results, store, options)
            if set(options.only) == set(PARTS):
                # Save after each part, so that an interrupted run keeps its figures.
                file = save(results, hardware, versions, quick=options.quick)
                say(f"Written to {file.name}.")
    print(format_results(results))


async def _measure_startup(results: Results, _: Store, options: Any) -> None:
    results.startup = measure_startup(options.rounds)
    results.serve_seconds = await measure_serve(options.growth_rounds)


async def _measure_reports(results: Results, store: Store, options: Any) -> None:
    with_postgraphile = not options.without_postgraphile
    async with open_bench(store, with_postgraphile=with_postgraphile) as bench:
        async for case in iter_cases(bench):
            results.timings[case.name] = await compare(case.name, case.contenders, options.rounds)


async def _measure_charges(results: Results, store: Store, options: Any) -> None:
    results.timings |= await measure_charges(store, options.rounds)


async def _measure_exports(results: Results, store: Store, options: Any) -> None:
    scale = max(options.scales)
    exports = await measure_export_memory(store, scale)
    results.timings[EXPORTS.format(scale=scale)] = exports


async def _measure_load(results: Results, store: Store, options: Any) -> None:
    with_postgraphile = not options.without_postgraphile
    async with open_bench(store, with_postgraphile=with_postgraphile) as bench:
        results.load = await measure_load(bench.load_contenders(), options.load_seconds)


async def _measure_execution(results: Results, _: Store, options: Any) -> None:
    results.execution = await measure_execution(options.rounds)


async def _measure_latency(results: Results, store: Store, options: Any) -> None:
    results.latency = await measure_latency(store, options.latency_seconds)


async def _measure_pages(results: Results, store: Store, options: Any) -> None:
    results.pages = await measure_pages(store, options.rounds)


async def _measure_feed(results: Results, _: Store, options: Any) -> None:
    results.feed = await measure_feed(options.feed_seconds)


async def _measure_growth(results: Results, store: Store, options: Any) -> None:
    results.growth = await measure_growth(store, options.scales, options.growth_rounds)


_PARTS = {
    "startup": _measure_startup,
    "reports": _measure_reports,
    "charges": _measure_charges,
    "exports": _measure_exports,
    "load": _measure_load,
    "execution": _measure_execution,
    "latency": _measure_latency,
    "pages": _measure_pages,
    "feed": _measure_feed,
    "growth": _measure_growth,
}

if __name__ == "__main__":
    uvloop.run(main(_parse_options()))
