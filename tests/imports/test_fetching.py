"""`chargeback import-report` reads files or a server, and reports what is wrong with either."""

import gzip
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from app.cli.commands import cli
from app.cli.imported_reports import fetch_reports, read_files
from app.connectors.mlflow.http_client import MlflowClient
from app.domain.errors import (
    InvalidArgument,
    InvalidReport,
    ReportFetchFailed,
    SourceUnavailable,
)
from app.domain.months import Month
from tests.imports.conftest import document, user

MARCH, APRIL = Month(2024, 3), Month(2024, 4)


@contextmanager
def server(
    *responses: tuple[int, bytes] | tuple[int, bytes, str],
) -> Iterator[tuple[str, list[str]]]:
    """Run a server that sends these responses in turn; yield its URL and the keys it receives.

    A response is a status, a body and, for a redirect, a location.
    """
    keys: list[str] = []
    remaining = iter(responses)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.append(self.headers["Authorization"])
            status, body, *locations = next(remaining)
            self.send_response(status)
            for location in locations:
                self.send_header("Location", location)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    http_server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http_server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http_server.server_port}", keys
    finally:
        http_server.shutdown()
        thread.join()
        http_server.server_close()


def report_of(month: Month) -> bytes:
    return orjson.dumps(document(str(month), [], [user("ann")]))


COMPRESSED = gzip.compress(report_of(MARCH), mtime=0)
BROKEN = COMPRESSED[:12] + bytes(255 - each for each in COMPRESSED[12:40]) + COMPRESSED[40:]


def test_a_busy_server_is_retried() -> None:
    with server((503, b""), (200, report_of(MARCH)), (200, report_of(APRIL))) as (url, keys):
        reports = fetch_reports(f"{url}/", "key*long", MARCH, APRIL)

    assert [report.month for report in reports] == [MARCH, APRIL]
    assert reports[0].origin == f"{url} 2024-03"
    assert keys == ["key*long"] * 3


def test_a_rejected_request_is_reported_and_not_retried() -> None:
    with (
        server((403, b'{"msg": "not yours", "code": 403}')) as (url, keys),
        pytest.raises(ReportFetchFailed, match="2024-03: 403: not yours"),
    ):
        fetch_reports(url, "key", MARCH, APRIL)

    assert len(keys) == 1


def test_a_redirect_is_reported_and_not_followed() -> None:
    with (
        server((200, report_of(MARCH))) as (elsewhere, keys),
        server((302, b"", elsewhere)) as (url, _),
        pytest.raises(
            ReportFetchFailed, match=f"2024-03: 302: it redirects to {elsewhere}: use that"
        ),
    ):
        fetch_reports(url, "key", MARCH, MARCH)

    assert keys == []


def test_credentials_do_not_follow_a_redirect_of_the_tracking_server() -> None:
    with server((200, b"{}")) as (elsewhere, keys), server((307, b"", elsewhere)) as (url, _):
        client = MlflowClient(url.replace("//", "//ann:secret@"))
        with pytest.raises(SourceUnavailable) as refused:
            client.get("/version", {})

    assert str(refused.value) == (
        f"{url}/version answers 307: it redirects to {elsewhere}: use that address if it is yours."
    )
    assert keys == []


@pytest.mark.parametrize("key", ["one\ntwo", "kéy"])
def test_a_key_that_no_header_can_contain_is_rejected_and_not_printed(key: str) -> None:
    with pytest.raises(InvalidArgument, match="--api-key: must be one line of ASCII") as rejected:
        fetch_reports("http://127.0.0.1:1", key, MARCH, MARCH)

    assert key not in str(rejected.value)


def test_a_report_of_another_month_than_requested_is_rejected() -> None:
    with (
        server((200, report_of(APRIL))) as (url, _),
        pytest.raises(ReportFetchFailed, match="requested 2024-03, but it sent 2024-04"),
    ):
        fetch_reports(url, "key", MARCH, MARCH)


@pytest.mark.parametrize(
    ("url", "first", "message"),
    [
        ("ftp://127.0.0.1", MARCH, "--from-url: must begin with http:// or https://"),
        ("nowhere", MARCH, "--from-url: must begin with"),
        ("http://127.0.0.1:1", APRIL, "--to: must not be earlier than --from"),
    ],
)
def test_a_bad_address_or_range_is_rejected(url: str, first: Month, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        fetch_reports(url, "key", first, MARCH)


def test_files_are_read_compressed_or_not(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + report_of(MARCH))
    (tmp_path / "b.json").write_bytes(gzip.compress(report_of(APRIL)))

    reports = read_files([str(tmp_path / "a.json"), str(tmp_path / "b.json")])

    assert [(each.origin, each.month) for each in reports] == [
        ("a.json", MARCH),
        ("b.json", APRIL),
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (BROKEN, "cannot be read: not valid gzip: Error -3"),
        (BROKEN[:15], "cannot be read: not valid gzip: it is truncated"),
        (b"", "not a chargeback report: the text ends too early"),
        (b"[]", "not a chargeback report: must be an object; got []"),
        (report_of(MARCH).decode().encode("utf-16"), "not a chargeback report: invalid character"),
        (report_of(MARCH).replace(b"2024-03", b"2024-13"), "reportDate: "),
        (
            report_of(MARCH).replace(b'"uiUsageCount":0', b'"uiUsageCount":-1'),
            "uiUsageCount: must be 0 or more; got -1",
        ),
        (
            report_of(MARCH).replace(b'"uiUsageCount":0', b'"uiUsageCount":1e400'),
            "not a chargeback report",
        ),
    ],
)
def test_a_file_without_a_report_is_rejected(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "a.json").write_bytes(content)

    with pytest.raises((InvalidArgument, InvalidReport), match=re.escape(problem)):
        read_files([str(tmp_path / "a.json")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((".",), "cannot be read: Is a directory."),
        ((), "Give files, or --from-url"),
        (("nowhere.json",), "nowhere.json: cannot be read: No such file or directory."),
        (("--from-url", "http://127.0.0.1:1"), "Give files, or --from-url with --api-key"),
        (("a.json", "--from-url", "http://127.0.0.1:1"), "Give files, or --from-url"),
    ],
)
def test_wrong_arguments_are_rejected(arguments: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(cli, ["import-report", *arguments], env={"COMET_API_KEY": ""})

    assert isinstance(result.exception, InvalidArgument)
    assert message in str(result.exception)
