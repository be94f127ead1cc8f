"""The output of a run: a table, a record in JSON, a chart and a page of the docs."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from bench import cases
from bench.chart import render_chart
from bench.measure import Timings
from bench.targets import Results, Target, list_targets

_HERE = Path(__file__).parent
_DOCS = _HERE.parent / "docs"
_BEGIN, _END = "<!-- the last run -->", "<!-- end of the last run -->"
_FULL = "the full document"


def format_results(results: Results) -> str:
    """Return all measurements as Markdown tables."""
    parts = []
    for case, timings in results.timings.items():
        parts += [f"### {case}", _format_case(timings)]
    if results.load:
        parts += ["### Narrow queries a second, over HTTP", _format_load(results)]
    if results.growth:
        parts += ["### Growth", _format_growth(results)]
    if results.execution:
        parts += ["### Execution without a database", _format_execution(results)]
    if results.feed:
        parts += ["### The feed over HTTP", _format_feed(results)]
    if results.latency:
        parts += ["### Health checks every 10 ms", _format_latency(results)]
    if results.pages:
        parts += ["### The queries of the page Month", _format_pages(results)]
    parts += ["### Targets", _format_targets(list_targets(results))]
    return "\n\n".join(parts) + "\n"


def _format_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _format_case(timings: Timings) -> str:
    unit = next(iter(timings.values())).median
    head = ("contender", "median ms", "min", "max", "ratio", "peak MB", "document MB")
    return _format_table(
        head,
        [
            (
                name,
                f"{measured.median * 1e3:,.1f}",
                f"{measured.best * 1e3:,.1f}",
                f"{max(measured.seconds) * 1e3:,.1f}",
                f"{measured.median / unit:.2f}",
                "" if measured.peak_bytes is None else f"{measured.peak_bytes / 2**20:,.0f}",
                f"{measured.document_bytes / 2**20:,.2f}",
            )
            for name, measured in timings.items()
        ],
    )


def _format_load(results: Results) -> str:
    head = ("contender", "connections", "requests/s", "p50 ms", "p99 ms", "CPU ms a request")
    return _format_table(
        head,
        [
            (
                name,
                str(measured.connections),
                f"{measured.per_second:,.0f}",
                f"{measured.p50_seconds * 1e3:,.1f}",
                f"{measured.p99_seconds * 1e3:,.1f}",
                f"{measured.cpu_per_request * 1e3:,.2f}",
            )
            for name, loads in results.load.items()
            for measured in loads
        ],
    )


def _format_growth(results: Results) -> str:
    head = ("organization", "document", "median ms", "min", "max", "peak MB", "document MB")
    return _format_table(
        head,
        [
            (
                f"\u00d7{scale}",
                name,
                f"{measured.median * 1e3:,.0f}",
                f"{measured.best * 1e3:,.0f}",
                f"{max(measured.seconds) * 1e3:,.0f}",
                "" if measured.peak_bytes is None else f"{measured.peak_bytes / 2**20:,.0f}",
                f"{measured.document_bytes / 2**20:,.1f}",
            )
            for scale, timings in results.growth.items()
            for name, measured in timings.items()
        ],
    )


def _format_execution(results: Results) -> str:
    head = ("executor", "median ms", "min", "max", "MB beyond rows and response")
    return _format_table(
        head,
        [
            (
                name,
                f"{measured.timing.median * 1e3:,.0f}",
                f"{measured.timing.best * 1e3:,.0f}",
                f"{max(measured.timing.seconds) * 1e3:,.0f}",
                f"{measured.overhead_bytes / 2**20:,.1f}",
            )
            for name, measured in results.execution.items()
        ],
    )


def _format_feed(results: Results) -> str:
    head = (
        *("batch", "events", "events/s", "CPU s, service", "CPU s, PostgreSQL", "events/CPU s"),
        *("report ms, idle", "report ms, during the feed"),
    )
    return _format_table(
        head,
        [
            (
                f"{measured.batch:,}",
                f"{measured.events:,}",
                f"{measured.per_second:,.0f}",
                f"{measured.service_cpu_seconds:.1f}",
                f"{measured.postgres_cpu_seconds:.1f}",
                f"{measured.per_core_second:,.0f}",
                f"{1_000 * measured.idle_report_seconds:.0f}",
                f"{1_000 * measured.report_seconds:.0f}",
            )
            for measured in results.feed
        ],
    )


def _format_latency(results: Results) -> str:
    head = ("health checks", "count", "median ms", "99 % ms", "max ms", "longest step ms")
    return _format_table(
        head,
        [
            (
                name,
                str(measured.checks),
                f"{measured.median_seconds * 1e3:.1f}",
                f"{measured.p99_seconds * 1e3:.1f}",
                f"{measured.max_seconds * 1e3:.1f}",
                "" if measured.stall_seconds is None else f"{measured.stall_seconds * 1e3:.1f}",
            )
            for name, measured in results.latency.items()
        ],
    )


def _format_pages(results: Results) -> str:
    slowest_first = sorted(results.pages.items(), key=lambda item: -item[1].median)
    return _format_table(
        ("query", "first ms", "median ms", "min", "max"),
        [
            (
                name,
                f"{timing.seconds[0] * 1e3:.1f}",
                f"{timing.median * 1e3:.1f}",
                f"{timing.best * 1e3:.1f}",
                f"{max(timing.seconds) * 1e3:.1f}",
            )
            for name, timing in slowest_first
        ],
    )


def _format_targets(targets: Sequence[Target]) -> str:
    head = ("target", "measured", "limit", "reached")
    return _format_table(
        head,
        [
            (
                target.name,
                f"{target.ratio:,.2f}",
                f"{'≥' if target.at_least else '≤'} {target.limit:,g}",
                "yes" if target.is_reached else "**no**",
            )
            for target in targets
        ],
    )


def save(
    results: Results, machine: Mapping[str, Any], versions: Mapping[str, str], *, quick: bool
) -> Path:
    """Write the record; a full run also updates the chart and the page of the docs."""
    now = datetime.now(UTC)
    folder = _HERE / "results"
    folder.mkdir(exist_ok=True)
    file = folder / f"{now:%Y-%m-%d}.json"
    record = {"measured_at": f"{now:%Y-%m-%dT%H:%MZ}", "quick": quick, "machine": machine}
    content = {**record, "versions": versions, **_to_record(results)}
    file.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    if not quick:
        _update_docs(results, machine, f"{now:%Y-%m-%d}")
    return file


def _to_record(results: Results) -> dict[str, Any]:
    return {
        "targets": [target.to_record() for target in list_targets(results)],
        "cases": {
            case: {name: measured.to_record() for name, measured in timings.items()}
            for case, timings in results.timings.items()
        },
        "load": {
            name: [measured.to_record() for measured in loads]
            for name, loads in results.load.items()
        },
        "growth": {
            f"x{scale}": {name: measured.to_record() for name, measured in timings.items()}
            for scale, timings in results.growth.items()
        },
        "execution": {
            name: {**measured.timing.to_record(), "overhead_bytes": measured.overhead_bytes}
            for name, measured in results.execution.items()
        },
        "feed": [measured.to_record() for measured in results.feed],
        "pages": {name: timing.to_record() for name, timing in results.pages.items()},
        "latency": {name: measured.to_record() for name, measured in results.latency.items()},
    }


def _update_docs(results: Results, machine: Mapping[str, Any], day: str) -> None:
    full = results.timings.get(_FULL)
    if full is not None:
        seconds = {name: measured.median for name, measured in full.items()}
        title = "The full report of 1,000 workspaces and 20,000 users (shorter is better)"
        (_DOCS / "performance.svg").write_text(render_chart(title, seconds, cases.BY_HAND))
    page = _DOCS / "performance.md"
    if page.exists() and _BEGIN in page.read_text():
        before, _, rest = page.read_text().partition(_BEGIN)
        after = rest.partition(_END)[2]
        summary = (
            f"Measured on {day}: {machine['cores']} cores ({machine['cpu']}), "
            f"{machine['memory_gb']} GB; load {machine['load_at_start']} at the start."
        )
        page.write_text(
            f"{before}{_BEGIN}\n\n{summary}\n\n{format_results(results)}\n{_END}{after}"
        )
