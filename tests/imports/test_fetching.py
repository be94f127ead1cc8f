"""What `chargeback import-report` reads: files, or a server that may be busy or be none."""

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
from app.cli.imported_reports import fetch, read_files
from app.domain.errors import InvalidArgument, InvalidReport, ReportFetchFailed
from app.domain.months import Month
from tests.imports.conftest import document, user

MARCH, APRIL = Month(2024, 3), Month(2024, 4)


@contextmanager
def server(
    *answers: tuple[int, bytes] | tuple[int, bytes, str],
) -> Iterator[tuple[str, list[str]]]:
    """A server that gives these answers in turn; its address, and the keys that it was sent.

    An answer is a status, a body, and where it sends the client.
    """
    keys: list[str] = []
    left = iter(answers)

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.append(self.headers["Authorization"])
            status, body, *locations = next(left)
            self.send_response(status)
            for location in locations:
                self.send_header("Location", location)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    serving = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{serving.server_port}", keys
    finally:
        serving.shutdown()
        thread.join()
        serving.server_close()


def told(month: Month) -> bytes:
    return orjson.dumps(document(str(month), [], [user("ann")]))


PACKED = gzip.compress(told(MARCH), mtime=0)
BROKEN = PACKED[:12] + bytes(255 - each for each in PACKED[12:40]) + PACKED[40:]


def test_a_busy_server_is_asked_again() -> None:
    with server((503, b""), (200, told(MARCH)), (200, told(APRIL))) as (url, keys):
        reports = fetch(f"{url}/", "key*long", MARCH, APRIL)

    assert [report.month for report in reports] == [MARCH, APRIL]
    assert reports[0].origin == f"{url} 2024-03"
    assert keys == ["key*long"] * 3


def test_a_refusal_is_told_and_not_repeated() -> None:
    with (
        server((403, b'{"msg": "not yours", "code": 403}')) as (url, keys),
        pytest.raises(ReportFetchFailed, match="2024-03: 403: not yours"),
    ):
        fetch(url, "key", MARCH, APRIL)

    assert len(keys) == 1


def test_a_redirect_is_told_and_the_key_goes_nowhere_else() -> None:
    with (
        server((200, told(MARCH))) as (elsewhere, keys),
        server((302, b"", elsewhere)) as (url, _),
        pytest.raises(ReportFetchFailed, match=f"2024-03: 302: it is at {elsewhere}: name that"),
    ):
        fetch(url, "key", MARCH, MARCH)

    assert keys == []


@pytest.mark.parametrize("key", ["one\ntwo", "kéy"])
def test_a_key_that_no_header_holds_is_refused_and_not_told(key: str) -> None:
    with pytest.raises(InvalidArgument, match="--api-key: must be one line of ASCII") as refused:
        fetch("http://127.0.0.1:1", key, MARCH, MARCH)

    assert key not in str(refused.value)


def test_a_report_of_another_month_than_was_asked_for_is_refused() -> None:
    with (
        server((200, told(APRIL))) as (url, _),
        pytest.raises(ReportFetchFailed, match="asked for 2024-03, it sent 2024-04"),
    ):
        fetch(url, "key", MARCH, MARCH)


@pytest.mark.parametrize(
    ("url", "first", "words"),
    [
        ("ftp://127.0.0.1", MARCH, "--from-url: must begin with http:// or https://"),
        ("nowhere", MARCH, "--from-url: must begin with"),
        ("http://127.0.0.1:1", APRIL, "--to: must not be earlier than --from"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(url: str, first: Month, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        fetch(url, "key", first, MARCH)


def test_files_are_read_packed_or_not(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + told(MARCH))
    (tmp_path / "b.json").write_bytes(gzip.compress(told(APRIL)))

    reports = read_files([str(tmp_path / "a.json"), str(tmp_path / "b.json")])

    assert [(each.origin, each.month) for each in reports] == [
        ("a.json", MARCH),
        ("b.json", APRIL),
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (BROKEN, "cannot be read: Error -3 while decompressing data"),
        (BROKEN[:15], "cannot be read: Compressed file ended"),
        (b"", "no chargeback report: Input data was truncated"),
        (b"[]", "no chargeback report: Expected `object`, got `array`"),
        (told(MARCH).decode().encode("utf-16"), "no chargeback report: JSON is malformed"),
        (told(MARCH).replace(b"2024-03", b"2024-13"), "reportDate: "),
        (told(MARCH).replace(b'"uiUsageCount":0', b'"uiUsageCount":-1'), "Expected `int` >= 0"),
        (
            told(MARCH).replace(b'"uiUsageCount":0', b'"uiUsageCount":1e400'),
            "no chargeback report",
        ),
    ],
)
def test_a_file_that_holds_no_report_is_refused(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    (tmp_path / "a.json").write_bytes(content)

    with pytest.raises((InvalidArgument, InvalidReport), match=re.escape(problem)):
        read_files([str(tmp_path / "a.json")])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((".",), "cannot be read: Is a directory."),
        ((), "Give files, or --from-url"),
        (("nowhere.json",), "nowhere.json: cannot be read: No such file or directory."),
        (("--from-url", "http://127.0.0.1:1"), "Give files, or --from-url with --api-key"),
        (("a.json", "--from-url", "http://127.0.0.1:1"), "Give files, or --from-url"),
    ],
)
def test_wrong_words_are_refused(words: tuple[str, ...], told: str) -> None:
    refused = CliRunner().invoke(cli, ["import-report", *words], env={"COMET_API_KEY": ""})

    assert isinstance(refused.exception, InvalidArgument)
    assert told in str(refused.exception)
