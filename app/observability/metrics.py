"""Prometheus metrics. docs/operations.md lists them; a test compares the two."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Protocol

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
from app.db.engine import Database
from app.db.organizations import OrganizationRow
from app.db.pool import ExecutedStatement
from app.domain.months import Month, count_months
from app.observability.request_record import RequestRecord

# They would add a series per counter, and Prometheus does not use them.
disable_created_metrics()

_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 8.0, 10.0)
_QUERY_BUCKETS = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 8.0)


class IngestorHealth(Protocol):
    """The health of the component that stores events."""

    @property
    def is_up(self) -> bool:
        """Whether it accepts batches, regardless of the store."""

    @property
    def restarts(self) -> int:
        """How often it was restarted."""


class Metrics:
    """The metrics of this process, in a registry of their own.

    Labels are bounded: operations, codes and statuses are few, and there is one series per
    organization of the install.
    """

    def __init__(self, database: Database, ingestor: IngestorHealth) -> None:
        self.of_process = CollectorRegistry()
        """The metrics of this process: all but those of organizations."""
        ProcessCollector(registry=self.of_process)
        GCCollector(registry=self.of_process)
        Info("chargeback_build", "The running version.", registry=self.of_process).info(
            {"version": __version__}
        )
        self._add_request_metrics()
        self._add_query_metrics()
        self._add_pool_metrics(database)
        self.of_process.register(_IngestWorkerCollector(ingestor))
        self.organizations = OrganizationCollector()
        self.registry = CollectorRegistry()
        self.registry.register(self.of_process)
        self.registry.register(self.organizations)
        self.gather: Callable[[], Awaitable[Iterable[Metric]]] | None = None
        """Returns the metrics of all workers, this one included, if there are several."""

    def _add_request_metrics(self) -> None:
        self._requests = Counter(
            "chargeback_http_requests",
            "HTTP requests answered.",
            ["operation", "status"],
            registry=self.of_process,
        )
        self._request_duration = Histogram(
            "chargeback_http_request_duration_seconds",
            "Time from the request's headers to the last byte of its response.",
            ["operation"],
            buckets=_REQUEST_BUCKETS,
            registry=self.of_process,
        )
        self._in_progress = Gauge(
            "chargeback_http_requests_in_progress",
            "HTTP requests in progress.",
            registry=self.of_process,
        )
        self._errors = Counter(
            "chargeback_errors",
            "Error responses, GraphQL errors included, by code (see docs/errors.md).",
            ["code"],
            registry=self.of_process,
        )
        self._events = Counter(
            "chargeback_ingest_events",
            "Events received over HTTP: `accepted`, `duplicate` or `rejected`.",
            ["outcome"],
            registry=self.of_process,
        )
        self._clock_jumps = Counter(
            "chargeback_clock_jumps",
            "Jumps of the system clock by more than a minute.",
            registry=self.of_process,
        )

    def _add_query_metrics(self) -> None:
        self._queries = Counter(
            "chargeback_db_queries",
            "SQL statements executed.",
            ["operation"],
            registry=self.of_process,
        )
        self._rows = Counter(
            "chargeback_db_rows",
            "Rows that SQL statements read or wrote.",
            ["operation"],
            registry=self.of_process,
        )
        self._query_duration = Histogram(
            "chargeback_db_query_duration_seconds",
            "Time from sending an SQL statement to its last row.",
            buckets=_QUERY_BUCKETS,
            registry=self.of_process,
        )

    def _add_pool_metrics(self, database: Database) -> None:
        gauges = {
            "chargeback_db_pool_connections_in_use": (
                "PostgreSQL connections in use by requests.",
                lambda: database.in_use,
            ),
            "chargeback_db_pool_connections_max": (
                "Maximum number of PostgreSQL connections for requests: DATABASE_POOL_SIZE.",
                lambda: database.pool_size,
            ),
            "chargeback_db_pool_requests_waiting": (
                "Requests and batches waiting for a connection.",
                lambda: database.waiting,
            ),
            "chargeback_db_up": (
                "Whether PostgreSQL answers: 1 or 0.",
                lambda: not database.monitor.is_down,
            ),
        }
        for name, (help_text, read) in gauges.items():
            Gauge(name, help_text, registry=self.of_process).set_function(read)

    def request_started(self, record: RequestRecord) -> None:  # noqa: ARG002  no route yet
        """Count a request as in progress."""
        self._in_progress.inc()

    def query_executed(self, record: RequestRecord, executed: ExecutedStatement) -> None:
        """Count an SQL statement."""
        operation = record.operation
        self._queries.labels(operation).inc()
        self._rows.labels(operation).inc(executed.rows)
        self._query_duration.observe(executed.seconds)

    def request_finished(self, record: RequestRecord) -> None:
        """Count a finished request."""
        operation = record.operation
        self._in_progress.dec()
        self._requests.labels(operation, record.status or "none").inc()
        self._request_duration.labels(operation).observe(record.seconds)
        if record.code is not None:
            self._errors.labels(record.code).inc()

    def count_clock_jump(self) -> None:
        """Count a jump of the system clock."""
        self._clock_jumps.inc()

    def close(self) -> None:
        """Do nothing: Prometheus fetches metrics, so none is pending."""

    def count_events(self, accepted: int = 0, duplicates: int = 0, rejected: int = 0) -> None:
        """Count the events of a batch."""
        self._events.labels("accepted").inc(accepted)
        self._events.labels("duplicate").inc(duplicates)
        self._events.labels("rejected").inc(rejected)

    async def render(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics as text with their media type, negotiated by an Accept header."""
        encode, media_type = choose_encoder(accept)
        if self.gather is None:
            return encode(self.registry), media_type
        metrics = [*await self.gather(), *self.organizations.collect()]
        return encode(_Collected(metrics)), media_type


class _Collected(CollectorRegistry):
    """Metrics that were collected already."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        super().__init__()
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """Return the metrics."""
        return self._metrics


class _IngestWorkerCollector:
    """Metrics of the process that stores events."""

    def __init__(self, ingestor: IngestorHealth) -> None:
        self._ingestor = ingestor

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        yield GaugeMetricFamily(
            "chargeback_ingest_worker_up",
            "Whether the ingest worker process is up: 1 or 0.",
            value=self._ingestor.is_up,
        )
        yield CounterMetricFamily(
            "chargeback_ingest_worker_restarts",
            "Restarts of the ingest worker process, after it exited or its heartbeat stopped.",
            value=self._ingestor.restarts,
        )


class OrganizationCollector:
    """Metrics of each organization, from the rows last read from the store.

    Attributes:
        rows: Rows of table `organization`; empty while the store is down, so none is stale.
        now: When the rows were read.
    """

    def __init__(self) -> None:
        self.rows: Sequence[OrganizationRow] = ()
        self.now = datetime.now(UTC)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, with one sample per organization that has events."""
        lag = _gauge_by_organization(
            "chargeback_ingest_lag_seconds", "Time since a batch last stored an event."
        )
        latest_event = _gauge_by_organization(
            "chargeback_ingest_latest_event_timestamp_seconds", "The time of the latest event."
        )
        unclosed = _gauge_by_organization(
            "chargeback_unclosed_months", "Months that have ended and are not closed."
        )
        closed_through = _gauge_by_organization(
            "chargeback_closed_through_timestamp_seconds",
            "The end of the latest closed month; 0 when none is closed.",
        )
        for row in self.rows:
            if row.first_month is None or row.latest_event_at is None:
                continue
            labels = [row.name]
            lag.add_metric(labels, (self.now - row.changed_at).total_seconds())
            latest_event.add_metric(labels, row.latest_event_at.timestamp())
            unclosed.add_metric(labels, self._count_unclosed_months(row))
            closed_through.add_metric(labels, _month_end_timestamp(row.closed_through))
        yield from (lag, latest_event, unclosed, closed_through)

    def _count_unclosed_months(self, row: OrganizationRow) -> int:
        last, now = row.closed_through, Month.containing(self.now)
        first_open = last.plus(1) if last else row.first_month or now
        return max(0, count_months(first_open, now))


def _gauge_by_organization(name: str, help_text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_text, labels=["organization"])


def _month_end_timestamp(month: Month | None) -> float:
    return month.end.timestamp() if month else 0.0
