"""`python -m bench`: measures, prints a table, writes the record and the chart."""

import argparse
from contextlib import AsyncExitStack
from typing import Any

import uvloop

from bench.cases import cases, opened_bench
from bench.execution import measure_execution
from bench.feed import measure_feed
from bench.latency import measure_latency
from bench.machine import machine, versions
from bench.measure import Timings, compare
from bench.postgraphile import version as postgraphile_version
from bench.record import save, table
from bench.store import benchmark_store, say
from bench.targets import Run

PARTS = ("reports", "execution", "latency", "feed")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--scale", type=int, nargs="+", default=[1, 2], help="how many times spec section 11")
    add("--rounds", type=int, default=9, help="how often each contender runs")
    add("--feed-seconds", type=float, default=10, help="how long each size of batch is sent")
    add("--latency-seconds", type=float, default=10, help="how long health checks are asked")
    add("--quick", action="store_true", help="one scale, three rounds; renews no docs")
    add("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to measure")
    add("--without-postgraphile", action="store_true", help="needs no npm")
    options = parser.parse_args()
    if options.quick:
        options.scale, options.rounds = options.scale[:1], 3
        options.feed_seconds, options.latency_seconds = 3, 3
    return options


async def main(options: argparse.Namespace) -> None:
    run, found_versions, hardware = Run({}, {}, [], {}), {}, machine()
    if "execution" in options.only:
        run.execution = await measure_execution(options.rounds)
    for scale in options.scale if {"reports", "latency"} & {*options.only} else ():
        found_versions = await _measure_reports(run, scale, options)
    if "feed" in options.only:
        run.feed = await measure_feed(options.feed_seconds)
    print(table(run))
    partial = options.quick or len(options.only) < len(PARTS)
    say(f"Written to {save(run, hardware, found_versions, quick=partial).name}.")


async def _measure_reports(run: Run, scale: int, options: Any) -> dict[str, str]:
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(benchmark_store(scale))
        with_postgraphile = not options.without_postgraphile
        bench = await stack.enter_async_context(
            opened_bench(store, with_postgraphile=with_postgraphile)
        )
        found: dict[str, Timings] = {}
        if "reports" in options.only:
            async for case in cases(bench):
                title = f"\u00d7{scale} {case.name}"
                found[case.name] = await compare(title, case.contenders, options.rounds)
            run.timings[scale] = found
        if "latency" in options.only and not run.latency:
            run.latency = await measure_latency(bench.service, options.latency_seconds)
        told = await versions(bench.pool)
    return {**told, "postgraphile": postgraphile_version()} if with_postgraphile else told


if __name__ == "__main__":
    uvloop.run(main(_options()))
