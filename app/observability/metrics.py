"""Metrics, as Prometheus reads them. docs/operations.md lists them; a test compares."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from app import __version__
from app.db.engine import Database, Executed
from app.domain.months import Month
from app.observability.request_record import RequestRecord
from app.services.group_commit import Ingestor

# A series more for each counter, and of no use to Prometheus.
disable_created_metrics()

_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 8.0, 10.0)
_STATEMENT_BUCKETS = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 8.0)


class Metrics:
    """One process's metrics, in a registry of their own.

    Operations, codes and statuses are few; organizations are as many as the install has.
    """

    def __init__(self, database: Database, intake: Ingestor) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        Info("chargeback_build", "The version that runs.", registry=self.registry).info(
            {"version": __version__}
        )
        self._count_requests()
        self._count_statements()
        self._look_at_pool(database)
        self.registry.register(_FeedProcess(intake))
        self.organizations = _Organizations()
        self.registry.register(self.organizations)

    def _count_requests(self) -> None:
        self._requests = Counter(
            "chargeback_requests",
            "Requests answered.",
            ["operation", "status"],
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "chargeback_request_seconds",
            "From a request's head to its answer's last byte.",
            ["operation"],
            buckets=_REQUEST_BUCKETS,
            registry=self.registry,
        )
        self._in_progress = Gauge(
            "chargeback_requests_in_progress",
            "Requests that are being answered.",
            registry=self.registry,
        )
        self._refusals = Counter(
            "chargeback_refusals",
            "Refusals and errors, GraphQL's too, by the code of docs/errors.md.",
            ["code"],
            registry=self.registry,
        )
        self._events = Counter(
            "chargeback_feed_events",
            "Events that came by HTTP: `accepted`, `duplicate` or `refused`.",
            ["outcome"],
            registry=self.registry,
        )
        self._clock_jumps = Counter(
            "chargeback_clock_jumps",
            "How often the system's clock was set, by more than a minute.",
            registry=self.registry,
        )

    def _count_statements(self) -> None:
        self._statements = Counter(
            "chargeback_statements",
            "SQL statements executed.",
            ["operation"],
            registry=self.registry,
        )
        self._rows = Counter(
            "chargeback_rows",
            "Rows that statements read or wrote.",
            ["operation"],
            registry=self.registry,
        )
        self._statement_seconds = Histogram(
            "chargeback_statement_seconds",
            "From sending a statement to its last row.",
            buckets=_STATEMENT_BUCKETS,
            registry=self.registry,
        )

    def _look_at_pool(self, database: Database) -> None:
        shown = {
            "chargeback_pool_connections_in_use": (
                "Connections to PostgreSQL that requests hold.",
                lambda: database.in_use,
            ),
            "chargeback_pool_connections_limit": (
                "Connections to PostgreSQL that requests may hold: DATABASE_POOL_SIZE.",
                lambda: database.connections,
            ),
            "chargeback_pool_waiting": (
                "Requests and batches that wait for a connection.",
                lambda: database.waiting,
            ),
            "chargeback_store_up": (
                "Whether PostgreSQL answers: 1 or 0.",
                lambda: not database.pulse.is_away,
            ),
        }
        for name, (help_, look) in shown.items():
            Gauge(name, help_, registry=self.registry).set_function(look)

    def began(self, observed: RequestRecord) -> None:  # noqa: ARG002  its route is not known yet
        """Count a request in."""
        self._in_progress.inc()

    def executed(self, observed: RequestRecord, executed: Executed) -> None:
        """Count a statement."""
        operation = observed.operation
        self._statements.labels(operation).inc()
        self._rows.labels(operation).inc(executed.rows)
        self._statement_seconds.observe(executed.seconds)

    def ended(self, observed: RequestRecord) -> None:
        """Count a request out."""
        operation = observed.operation
        self._in_progress.dec()
        self._requests.labels(operation, observed.status or "none").inc()
        self._request_seconds.labels(operation).observe(observed.seconds)
        if observed.code is not None:
            self._refusals.labels(observed.code).inc()

    def count_clock_jump(self) -> None:
        """The system's clock was set."""
        self._clock_jumps.inc()

    def close(self) -> None:
        """Nothing is left to be sent: metrics are fetched."""

    def count_events(self, accepted: int = 0, duplicates: int = 0, refused: int = 0) -> None:
        """Count the events of a batch that was stored, or refused as a whole."""
        self._events.labels("accepted").inc(accepted)
        self._events.labels("duplicate").inc(duplicates)
        self._events.labels("refused").inc(refused)

    def written(self, accept: str) -> tuple[bytes, str]:
        """All metrics as text, and their media type: the newer one for whoever asks for it."""
        write, media_type = choose_encoder(accept)
        return write(self.registry), media_type


class _FeedProcess:
    """What stores the feed's events."""

    def __init__(self, intake: Ingestor) -> None:
        self._intake = intake

    def collect(self) -> Iterator[Metric]:
        """The metrics, each without labels."""
        yield GaugeMetricFamily(
            "chargeback_feed_process_up",
            "Whether the process that stores events is there and lives: 1 or 0.",
            value=self._intake.is_up,
        )
        yield CounterMetricFamily(
            "chargeback_feed_process_restarts",
            "How often the process that stores events ended, or was silent, and was started anew.",
            value=self._intake.restarts,
        )


class _Organizations:
    """What the store says of each organization, as it was last read."""

    def __init__(self) -> None:
        self.rows: Sequence[Any] = ()
        """Of table `organization`; empty while the store is away, so that nothing is stale."""
        self.now = datetime.now(UTC)

    def collect(self) -> Iterator[Metric]:
        """The metrics, with a sample for each organization."""
        lag = GaugeMetricFamily(
            "chargeback_feed_lag_seconds",
            "Since a batch last stored anything for the organization.",
            labels=["organization"],
        )
        latest = GaugeMetricFamily(
            "chargeback_feed_latest_event_timestamp_seconds",
            "The time of the organization's latest event.",
            labels=["organization"],
        )
        unclosed = GaugeMetricFamily(
            "chargeback_months_unclosed",
            "Months of the organization that have ended and are not closed.",
            labels=["organization"],
        )
        closed = GaugeMetricFamily(
            "chargeback_closed_through_timestamp_seconds",
            "The end of the organization's latest closed month; 0 when none is closed.",
            labels=["organization"],
        )
        for row in (row for row in self.rows if row.first_month is not None):
            name = [row.name]
            lag.add_metric(name, (self.now - row.changed_at).total_seconds())
            latest.add_metric(name, row.latest_event_at.timestamp())
            unclosed.add_metric(name, self._unclosed(row))
            closed.add_metric(name, _end(row.closed_through))
        yield from (lag, latest, unclosed, closed)

    def _unclosed(self, row: Any) -> int:
        last = row.closed_through
        first_open = Month.containing(last).plus(1) if last else Month.containing(row.first_month)
        now = Month.containing(self.now)
        return max(0, (now.year - first_open.year) * 12 + now.number - first_open.number)


def _end(month: date | None) -> float:
    return Month.containing(month).end.timestamp() if month else 0.0
