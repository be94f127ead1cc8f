"""Logs and traces of a running service."""

import http.server
import logging
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from app.observability.logs import create_formatter, redact_secrets
from app.settings import LogFormat, Settings, SettingsError
from tests.server_process import ServerProcess, run_command

TOKEN = "a-token-that-nobody-may-see"
CALLER_TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER_SPAN = "b7ad6b7169203331"


@dataclass
class Collector:
    """An OpenTelemetry collector that keeps what it receives by OTLP over HTTP."""

    spans: list[Span] = field(default_factory=list)

    def __enter__(self) -> Self:
        spans = self.spans

        class Receiver(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        spans.extend(scope.spans)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@dataclass
class Recorded:
    """The log and the spans of a few requests, and the key that they used."""

    key: str
    lines: list[dict[str, Any]]
    text: str
    spans: list[Span]

    def of(self, request_id: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line.get("request_id") == request_id]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    data_dir = tmp_path_factory.mktemp("recorded")
    with Collector() as collector:
        settings = {
            "ADMIN_USER_LIST": "root",
            "LOG_LEVEL": "debug",
            "METRICS_TOKEN": TOKEN,
            "SLOW_QUERY_SECONDS": "0.000001",
            "TRACES_ENDPOINT": collector.url,
        }
        with ServerProcess(data_dir, arguments=(), settings=settings) as server:
            created = run_command(
                *(
                    "keys",
                    "create",
                    "--user",
                    "root",
                    "--scope",
                    "admin",
                    "--scope",
                    "events:write",
                ),
                data_dir=data_dir,
            )
            key = created.stdout.removeprefix("API key: ").strip()
            send_requests(server.url, key)
        lines = [line for line in server.lines if line.startswith("{")]
        decoded = [orjson.loads(line) for line in lines]
        yield Recorded(key, decoded, "\n".join(lines), collector.spans)


def send_requests(url: str, key: str) -> None:
    """Send requests with keys and tokens in the wrong places."""
    with httpx.Client(base_url=url, headers={"Authorization": key}) as client:
        query = {"query": "query Mine { viewer { username } }"}
        traced = f"00-{CALLER_TRACE}-{CALLER_SPAN}-01"
        named = {"X-Request-ID": "from-the-client", "traceparent": traced}
        # The first use of a key is recorded by an UPDATE, which would be the slowest statement.
        client.post("/graphql", json=query)
        answer = client.post("/graphql", json=query, headers=named)
        assert answer.headers["X-Request-ID"] == "from-the-client"
        for bad in ("short", "x" * 65, "spaces in it", key, f"id-{key}", "ü-ü-ü-ü-ü-ü"):
            answer = client.get("/healthz", headers=[(b"X-Request-ID", bad.encode())])
            assert len(answer.headers["X-Request-ID"]) == 32
        client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        client.get(f"/{key}?key={key}")
        client.get("/graphql", params={"query": f'{{ workspace(name: "{key}") }}'})
        client.post("/graphql", json={"query": f"query {key} {{ viewer {{ username }} }}"})
        client.post("/signin", data={"key": key}, headers={"Origin": url})
        client.post("/api/events", content=key.encode(), headers={"X-Request-ID": "refused-one"})


def test_a_request_logs_one_line_with_the_id_sent_to_the_client(recorded: Recorded) -> None:
    line, *_ = recorded.of("from-the-client")
    volatile = {"time", "duration_seconds", "client_address"}

    assert {name: line[name] for name in line if name not in volatile} == {
        "event": "request",
        "level": "info",
        "logger": "chargeback",
        "request_id": "from-the-client",
        "method": "POST",
        "path": "/graphql",
        "status": 200,
        "response_bytes": 39,
        "operation": "graphql:viewer",
        "graphql_operation_name": "Mine",
        "graphql_cost": 2,
        "db_query_count": line["db_query_count"],
        "db_row_count": line["db_row_count"],
        "db_query_seconds": line["db_query_seconds"],
        "key_id": recorded.key.split("_")[1],
        "organization": "default",
        "trace_id": CALLER_TRACE,
    }


def test_a_slow_request_is_logged_with_its_slowest_query(recorded: Recorded) -> None:
    _, slow = recorded.of("from-the-client")

    assert (slow["event"], slow["level"]) == ("slow request", "warning")
    assert (slow["operation"], slow["graphql_operation_name"], slow["graphql_cost"]) == (
        "graphql:viewer",
        "Mine",
        2,
    )
    assert slow["slowest_query"].startswith("SELECT ")
    assert 0 < slow["slowest_query_seconds"] <= slow["db_query_seconds"]


def test_an_error_is_logged_with_its_code(recorded: Recorded) -> None:
    line, *_ = recorded.of("refused-one")

    assert (line["status"], line["error_code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_logs_and_spans_contain_no_secret(recorded: Recorded) -> None:
    secret = recorded.key.split("_")[2]
    spans = b"".join(span.SerializeToString() for span in recorded.spans)

    assert secret not in recorded.text
    assert TOKEN not in recorded.text
    assert secret.encode() not in spans
    # The key's id stays, so that the key can be found.
    assert f"cbk_{recorded.key.split('_')[1]}_…" in recorded.text


def test_a_trace_joins_the_callers_and_has_a_span_per_statement(recorded: Recorded) -> None:
    [request] = [s for s in recorded.spans if s.parent_span_id.hex() == CALLER_SPAN]
    statements = [s for s in recorded.spans if s.parent_span_id == request.span_id]
    attributes = {each.key: each.value for each in request.attributes}

    assert request.trace_id.hex() == CALLER_TRACE
    assert request.name == "graphql:viewer"
    assert attributes["http.response.status_code"].int_value == 200
    assert attributes["graphql.operation.name"].string_value == "Mine"
    assert len(statements) == attributes["chargeback.db.query_count"].int_value >= 1
    assert {statement.name for statement in statements} >= {"SELECT"}
    for statement in statements:
        # A statement's start is computed from its end, to within a millisecond.
        assert request.start_time_unix_nano <= statement.start_time_unix_nano + 1_000_000
        assert statement.end_time_unix_nano <= request.end_time_unix_nano


def test_the_database_password_is_masked() -> None:
    line = "cannot reach postgresql://ada:pass:w@rd@db.example/chargeback, ada@x.example"

    assert redact_secrets(line) == (
        "cannot reach postgresql://ada:…@db.example/chargeback, ada@x.example"
    )


@pytest.mark.parametrize(
    ("setting", "value", "shown"),
    [
        ("metrics_token", "too short", "METRICS_TOKEN=… is not allowed"),
        ("database_url", "mysql://ada:secret@db/x", "DATABASE_URL='mysql://ada:…@db/x' is not"),
        ("log_format", "xml", "LOG_FORMAT='xml' is not allowed: use one of json, text"),
        ("request_id_header", "X Y", "REQUEST_ID_HEADER='X Y' is not allowed"),
        ("traces_endpoint", "collector:4318", "TRACES_ENDPOINT='collector:4318' is not allowed"),
    ],
)
def test_a_bad_setting_is_named_without_its_secret(setting: str, value: str, shown: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        Settings.load(None, **{setting: value})

    assert str(refusal.value).startswith(shown)


@pytest.mark.parametrize("form", LogFormat)
def test_both_formats_render_extra_fields(form: LogFormat) -> None:
    logger = logging.getLogger("chargeback.test")
    record = logger.makeRecord(
        logger.name, logging.INFO, "", 0, "request", (), None, extra={"path": "/x", "status": 404}
    )

    line = create_formatter(form, colors=False).format(record)

    if form is LogFormat.JSON:
        assert {"event": "request", "path": "/x", "status": 404}.items() <= orjson.loads(
            line
        ).items()
    else:
        assert re.search(r"info +\] request .*path=/x status=404$", line), line
