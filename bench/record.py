"""What a run leaves behind: a table, a record in JSON, a chart, and a page in the docs."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from bench import cases
from bench.chart import chart
from bench.measure import Timings
from bench.targets import Run, Target, targets

_HERE = Path(__file__).parent
_DOCS = _HERE.parent / "docs"
_BEGIN, _END = "<!-- the last run -->", "<!-- end of the last run -->"
_FULL = "the full document"


def table(run: Run) -> str:
    """All that was measured, in Markdown."""
    parts = []
    for case, timings in run.timings.items():
        parts += [f"### {case}", _of_case(timings)]
    if run.growth:
        parts += ["### Growth", _of_growth(run)]
    if run.execution:
        parts += ["### Execution without a database", _of_execution(run)]
    if run.feed:
        parts += ["### The feed over HTTP", _of_feed(run)]
    if run.latency:
        parts += ["### Health checks every 10 ms", _of_latency(run)]
    parts += ["### Targets", _of_targets(targets(run))]
    return "\n\n".join(parts) + "\n"


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _of_case(timings: Timings) -> str:
    unit = next(iter(timings.values())).median
    head = ("contender", "median ms", "min", "max", "ratio", "peak MB", "document MB")
    return _rows(
        head,
        [
            (
                name,
                f"{found.median * 1e3:,.1f}",
                f"{found.best * 1e3:,.1f}",
                f"{max(found.seconds) * 1e3:,.1f}",
                f"{found.median / unit:.2f}",
                "" if found.peak_bytes is None else f"{found.peak_bytes / 2**20:,.0f}",
                f"{found.document_bytes / 2**20:,.2f}",
            )
            for name, found in timings.items()
        ],
    )


def _of_growth(run: Run) -> str:
    head = ("organization", "document", "median ms", "min", "max", "peak MB", "document MB")
    return _rows(
        head,
        [
            (
                f"\u00d7{scale}",
                name,
                f"{found.median * 1e3:,.0f}",
                f"{found.best * 1e3:,.0f}",
                f"{max(found.seconds) * 1e3:,.0f}",
                "" if found.peak_bytes is None else f"{found.peak_bytes / 2**20:,.0f}",
                f"{found.document_bytes / 2**20:,.1f}",
            )
            for scale, timings in run.growth.items()
            for name, found in timings.items()
        ],
    )


def _of_execution(run: Run) -> str:
    head = ("executor", "median ms", "min", "max", "MB beyond rows and response")
    return _rows(
        head,
        [
            (
                name,
                f"{found.timing.median * 1e3:,.0f}",
                f"{found.timing.best * 1e3:,.0f}",
                f"{max(found.timing.seconds) * 1e3:,.0f}",
                f"{found.overhead_bytes / 2**20:,.1f}",
            )
            for name, found in run.execution.items()
        ],
    )


def _of_feed(run: Run) -> str:
    head = (
        *("batch", "events", "events/s", "CPU s, service", "CPU s, PostgreSQL", "events/CPU s"),
        *("report ms, idle", "report ms, meanwhile"),
    )
    return _rows(
        head,
        [
            (
                f"{found.batch:,}",
                f"{found.events:,}",
                f"{found.per_second:,.0f}",
                f"{found.service_cpu_seconds:.1f}",
                f"{found.postgres_cpu_seconds:.1f}",
                f"{found.per_core_second:,.0f}",
                f"{1_000 * found.idle_report_seconds:.0f}",
                f"{1_000 * found.report_seconds:.0f}",
            )
            for found in run.feed
        ],
    )


def _of_latency(run: Run) -> str:
    head = ("health checks", "count", "median ms", "99 % ms", "max ms", "longest step ms")
    return _rows(
        head,
        [
            (
                name,
                str(found.checks),
                f"{found.median_seconds * 1e3:.1f}",
                f"{found.p99_seconds * 1e3:.1f}",
                f"{found.max_seconds * 1e3:.1f}",
                "" if found.stall_seconds is None else f"{found.stall_seconds * 1e3:.1f}",
            )
            for name, found in run.latency.items()
        ],
    )


def _of_targets(found: Sequence[Target]) -> str:
    head = ("target", "measured", "limit", "reached")
    return _rows(
        head,
        [
            (
                target.name,
                f"{target.ratio:,.2f}",
                f"{'≥' if target.at_least else '≤'} {target.limit:,g}",
                "yes" if target.reached else "**no**",
            )
            for target in found
        ],
    )


def save(
    run: Run, machine: Mapping[str, Any], versions: Mapping[str, str], *, quick: bool
) -> Path:
    """Write the record; a full run also renews the chart and the page in the docs."""
    now = datetime.now(UTC)
    folder = _HERE / "results"
    folder.mkdir(exist_ok=True)
    file = folder / f"{now:%Y-%m-%d}.json"
    record = {"measured_at": f"{now:%Y-%m-%dT%H:%MZ}", "quick": quick, "machine": machine}
    written = {**record, "versions": versions, **_shown(run)}
    file.write_bytes(orjson.dumps(written, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    if not quick:
        _renew_docs(run, machine, f"{now:%Y-%m-%d}")
    return file


def _shown(run: Run) -> dict[str, Any]:
    return {
        "targets": [target.shown() for target in targets(run)],
        "cases": {
            case: {name: found.shown() for name, found in timings.items()}
            for case, timings in run.timings.items()
        },
        "growth": {
            f"x{scale}": {name: found.shown() for name, found in timings.items()}
            for scale, timings in run.growth.items()
        },
        "execution": {
            name: {**found.timing.shown(), "overhead_bytes": found.overhead_bytes}
            for name, found in run.execution.items()
        },
        "feed": [found.to_record() for found in run.feed],
        "latency": {name: found.shown() for name, found in run.latency.items()},
    }


def _renew_docs(run: Run, machine: Mapping[str, Any], day: str) -> None:
    full = run.timings.get(_FULL)
    if full is not None:
        seconds = {name: found.median for name, found in full.items()}
        title = "The full report of 1,000 workspaces and 20,000 users (shorter is better)"
        (_DOCS / "performance.svg").write_text(chart(title, seconds, cases.BY_HAND))
    page = _DOCS / "performance.md"
    if page.exists() and _BEGIN in page.read_text():
        before, _, rest = page.read_text().partition(_BEGIN)
        after = rest.partition(_END)[2]
        told = (
            f"Measured on {day}: {machine['cores']} cores ({machine['cpu']}), "
            f"{machine['memory_gb']} GB; load {machine['load_at_start']} at the start."
        )
        page.write_text(f"{before}{_BEGIN}\n\n{told}\n\n{table(run)}\n{_END}{after}")
