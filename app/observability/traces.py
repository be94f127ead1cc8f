"""OpenTelemetry traces: a server span per request, a client span per SQL statement.

Imported only when TRACES_ENDPOINT is set; the libraries are the extra `traces`.
"""

from collections.abc import Mapping
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app import __version__
from app.db.pool import ExecutedStatement
from app.observability.logs import redact_secrets
from app.observability.request_record import RequestRecord, shorten_path

_PROPAGATOR = TraceContextTextMapPropagator()
_NANOSECONDS = 1_000_000_000


class Traces:
    """Exports spans to a collector by OTLP over HTTP, in a background thread.

    Args:
        endpoint: The collector's URL for traces, such as http://collector:4318/v1/traces.
    """

    def __init__(self, endpoint: str) -> None:
        resource = Resource.create({"service.name": "chargeback", "service.version": __version__})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
        self._tracer = self._provider.get_tracer("chargeback", __version__)

    def close(self) -> None:
        """Export the remaining spans."""
        self._provider.shutdown()

    def request_started(self, record: RequestRecord) -> None:
        """Start a span; it joins the caller's trace if the request has a `traceparent`."""
        parent = _PROPAGATOR.extract(_decode_headers(record.scope))
        span = self._tracer.start_span("request", parent, kind=SpanKind.SERVER)
        span.set_attribute("http.request.method", record.scope["method"])
        span.set_attribute("url.path", redact_secrets(shorten_path(record.scope["path"])))
        record.span = span
        record.trace_id = f"{span.get_span_context().trace_id:032x}"

    def query_executed(self, record: RequestRecord, executed: ExecutedStatement) -> None:
        """Add a finished span for an SQL statement; statements outside of requests get none."""
        if not isinstance(record.span, Span):
            return
        span = self._tracer.start_span(
            executed.text.split(maxsplit=1)[0],
            set_span_in_context(record.span),
            kind=SpanKind.CLIENT,
            attributes={
                "db.system.name": "postgresql",
                "db.query.text": executed.text,
                "db.response.returned_rows": executed.rows,
            },
            start_time=executed.ended_at_ns - int(executed.seconds * _NANOSECONDS),
        )
        span.end(executed.ended_at_ns)

    def request_finished(self, record: RequestRecord) -> None:
        """End the request's span. Its name is the operation, which is known only now."""
        span = record.span
        if not isinstance(span, Span):
            return
        span.update_name(record.operation)
        attributes: dict[str, str | int | None] = {
            "http.response.status_code": record.status,
            "graphql.operation.name": redact_secrets(record.operation_name or ""),
            "error.type": record.code,
            "chargeback.request_id": record.request_id,
            "chargeback.graphql.cost": record.cost,
            "chargeback.db.query_count": record.query_count,
            "chargeback.db.row_count": record.row_count,
        }
        span.set_attributes(
            {name: value for name, value in attributes.items() if value is not None}
        )
        if record.status >= 500 or record.status == 0:
            span.set_status(Status(StatusCode.ERROR))
        span.end()


def _decode_headers(scope: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of an ASGI scope; of duplicates, the first."""
    headers = reversed(scope["headers"])
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
