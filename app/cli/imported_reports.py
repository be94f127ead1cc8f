"""`chargeback import-report`: another service's reports, from files or from that service."""

import gzip
import http.client
import time
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import orjson
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from app.cli.options import DEFAULT_DATA_DIR, DataDir, EnvFile, InOrganization
from app.clock import Clock, system_clock
from app.connectors.reports.document import Report, read_report
from app.console import stderr, stdout
from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import InvalidArgument, ReportFetchFailed
from app.domain.months import Month
from app.server.store import run_with_store
from app.services.imported_reports import Imported, import_reports
from app.services.organizations import find_organization

_PATH = "/api/admin/chargeback/report"
_TIMEOUT_SECONDS = 120
_WAITS_SECONDS = (1, 4, 10)
"""How long to wait before each further attempt at a server that is busy."""
_BUSY = (429, 500, 502, 503, 504)


def read_files(names: Sequence[str]) -> list[Report]:
    """The reports in some files, plain or gzipped.

    Raises:
        InvalidArgument: A file cannot be read.
        InvalidReport: A file holds no report that can be kept.
    """
    return [read_report(_content(name), Path(name).name) for name in names]


def _content(name: str) -> bytes:
    try:
        content = Path(name).read_bytes()
        plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        return plain.removeprefix(BOM_UTF8)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidArgument(f"{name}: cannot be read: {reason}.") from error


def fetch(url: str, api_key: str, first: Month, last: Month) -> list[Report]:
    """The reports of a range of months from a running server, one after the other.

    Raises:
        InvalidArgument: No http address, a key that no header holds, or an empty range.
        ReportFetchFailed: The server refuses one, or cannot be reached.
    """
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc:
        raise InvalidArgument(f"--from-url: must begin with http:// or https://; got {url!r}.")
    if not api_key.isascii() or not api_key.isprintable():
        raise InvalidArgument("--api-key: must be one line of ASCII; is the whole key there?")
    months = list(first.through(last))
    if not months:
        raise InvalidArgument(f"--to: must not be earlier than --from; got {first} to {last}.")
    return list(_fetched(url.rstrip("/"), api_key, months))


def _fetched(url: str, api_key: str, months: Sequence[Month]) -> Iterator[Report]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=stderr) as progress:
        task = progress.add_task("Fetching", total=len(months))
        for month in months:
            progress.update(task, description=f"Fetching {month}")
            report = read_report(_answer(url, api_key, month), f"{url} {month}")
            if report.month != month:
                raise ReportFetchFailed(f"{url}: asked for {month}, it sent {report.month}.")
            yield report
            progress.advance(task)


def _answer(url: str, api_key: str, month: Month) -> bytes:
    """The document; a server that is busy is asked again."""
    address = f"{url}{_PATH}?{urlencode({'reportMonth': month})}"
    request = Request(  # noqa: S310  the scheme was checked
        address, headers={"Authorization": api_key, "Accept-Encoding": "gzip"}
    )
    for wait in (*_WAITS_SECONDS, None):
        try:
            with _opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
                return _unpacked(answer)
        except HTTPError as error:
            if error.code not in _BUSY or wait is None:
                raise ReportFetchFailed(f"{url}: {month}: {_words(error)}") from None
        except (URLError, OSError, EOFError, zlib.error, http.client.HTTPException) as error:
            if wait is None:
                reason = getattr(error, "reason", None) or error
                raise ReportFetchFailed(f"{url}: {month}: cannot be reached: {reason}.") from None
        time.sleep(wait)
    raise AssertionError


class _Stay(HTTPRedirectHandler):
    """A redirect is not followed: the key is for the server that was named, and for no other."""

    def redirect_request(self, *_: object) -> None: ...


_opener = build_opener(_Stay)


def _unpacked(answer: http.client.HTTPResponse) -> bytes:
    content = answer.read()
    return (
        gzip.decompress(content) if answer.headers.get("Content-Encoding") == "gzip" else content
    )


def _words(error: HTTPError) -> str:
    """What the server said, as far as it is meant to be read."""
    if location := error.headers.get("Location"):
        return f"{error.code}: it is at {location}: name that server, if it is yours."
    try:
        said = orjson.loads(error.read())["msg"]
    except (orjson.JSONDecodeError, KeyError, TypeError, OSError):
        said = error.reason
    return f"{error.code}: {said}"


def last_ended(now: datetime) -> Month:
    """The latest month whose report is final."""
    return Month.containing(now).plus(-1)


async def import_documents(
    database: Database,
    organization: str,
    reports: Sequence[Report],
    clock: Clock,
    *,
    withdrawn: Month | None = None,
    hand_over: Month | None = None,
) -> None:
    """Import reports, and print what became of each."""
    found = await find_organization(database, organization)
    done = await import_reports(
        database,
        found.organization_id,
        reports,
        clock=clock,
        withdrawn=withdrawn,
        hand_over=hand_over,
    )
    if withdrawn is not None:
        told = f"{withdrawn}: the hand-over is taken back; the imported experiments go on"
        stdout.print(told, markup=False, highlight=False)
    for imported in done:
        for line in _told(imported):
            stdout.print(line, markup=False, highlight=False)
    if hand_over is not None:
        told = f"{hand_over}: live sources take over; the imported experiments have ended"
        stdout.print(told, markup=False, highlight=False)


def _told(imported: Imported) -> Iterator[str]:
    for gap in imported.gaps:
        yield f"{gap}: no report of it; closed as the month before left it"
    if imported.accepted is None:
        yield f"{imported.month}: imported already, unchanged"
        return
    yield f"{imported.month}: closed, by {imported.accepted.accepted} events"
    if imported.stated:
        yield (
            f"  {imported.stated} figures do not follow from any experiments: they stand as "
            f"stated; see the month's corrections"
        )


def import_report(
    files: Annotated[
        list[str] | None, typer.Argument(help="Reports in JSON, one a file; also .gz.")
    ] = None,
    from_url: Annotated[
        str | None, typer.Option(help="A running server to fetch them from instead.")
    ] = None,
    api_key: Annotated[
        str, typer.Option(help="A key for that server.", envvar="COMET_API_KEY")
    ] = "",
    first: Annotated[
        str | None, typer.Option("--from", help="The first month to fetch, YYYY-MM.")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", help="The last one; by default the last that has ended.")
    ] = None,
    hand_over: Annotated[
        str | None,
        typer.Option(help="The month from which live sources take over: that after the last."),
    ] = None,
    withdraw_hand_over: Annotated[
        str | None,
        typer.Option(help="The month of a hand-over that is taken back, before anything else."),
    ] = None,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Take over the monthly reports of another service: each becomes a closed month."""
    none = not files and not from_url
    on_its_own = hand_over or withdraw_hand_over
    if (files and from_url) or (none and not on_its_own) or (from_url and not (first and api_key)):
        raise InvalidArgument("Give files, or --from-url with --api-key and --from.")
    withdrawn = Month.parse(withdraw_hand_over) if withdraw_hand_over else None
    taken_over = Month.parse(hand_over) if hand_over else None
    if from_url and first:
        until = Month.parse(last) if last else last_ended(system_clock())
        reports = fetch(from_url, api_key, Month.parse(first), until)
    else:
        reports = read_files(files or [])
    run_with_store(
        data_dir,
        env_file,
        lambda database, _: import_documents(
            database,
            organization,
            reports,
            system_clock,
            withdrawn=withdrawn,
            hand_over=taken_over,
        ),
    )
