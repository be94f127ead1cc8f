"""OpenTelemetry traces: a span for each request, and one below it for each statement.

Imported only where TRACES_ENDPOINT is set; the libraries are the extra `traces`.
"""

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers

from app import __version__
from app.db.engine import Executed
from app.observability.logs import redact_secrets
from app.observability.request_record import RequestRecord

_W3C = TraceContextTextMapPropagator()
_NANOSECONDS = 1_000_000_000


class Traces:
    """Sends spans to a collector by OTLP over HTTP, from a thread of its own.

    Args:
        endpoint: The collector's address for traces, like http://collector:4318/v1/traces.
    """

    def __init__(self, endpoint: str) -> None:
        named = Resource.create({"service.name": "chargeback", "service.version": __version__})
        self._provider = TracerProvider(resource=named)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
        self._tracer = self._provider.get_tracer("chargeback", __version__)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()

    def began(self, observed: RequestRecord) -> None:
        """Begin a span, below the caller's when it sent `traceparent`."""
        caller = _W3C.extract(dict(Headers(scope=observed.scope)))
        span = self._tracer.start_span("request", caller, kind=SpanKind.SERVER)
        span.set_attribute("http.request.method", observed.scope["method"])
        span.set_attribute("url.path", redact_secrets(observed.scope["path"]))
        observed.span = span
        observed.trace_id = f"{span.get_span_context().trace_id:032x}"

    def executed(self, observed: RequestRecord, executed: Executed) -> None:
        """A span that has ended already; of nobody's statements none."""
        if not isinstance(observed.span, Span):
            return
        span = self._tracer.start_span(
            executed.text.split(maxsplit=1)[0],
            set_span_in_context(observed.span),
            kind=SpanKind.CLIENT,
            attributes={
                "db.system.name": "postgresql",
                "db.query.text": executed.text,
                "db.response.returned_rows": executed.rows,
            },
            start_time=executed.ended_at_ns - int(executed.seconds * _NANOSECONDS),
        )
        span.end(executed.ended_at_ns)

    def ended(self, observed: RequestRecord) -> None:
        """End the request's span, which has its name only now."""
        span = observed.span
        if not isinstance(span, Span):
            return
        span.update_name(observed.operation)
        told: dict[str, str | int | None] = {
            "http.response.status_code": observed.status,
            "chargeback.request_id": observed.request_id,
            "chargeback.operation_name": redact_secrets(observed.operation_name or ""),
            "chargeback.cost": observed.cost,
            "chargeback.statements": observed.statements,
            "chargeback.rows": observed.rows,
            "chargeback.code": observed.code,
        }
        span.set_attributes({name: value for name, value in told.items() if value is not None})
        if observed.status >= 500 or observed.status == 0:
            span.set_status(Status(StatusCode.ERROR))
        span.end()
