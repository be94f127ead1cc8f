"""`chargeback import-report`: reports of another service, from files or from its server."""

from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

from app.cli.operator import current_operator
from app.cli.options import DEFAULT_DATA_DIR, DataDir, EnvFile, InOrganization
from app.clock import system_clock
from app.connectors.reports.document import Report, read_report
from app.connectors.reports.fetch import ReportServer
from app.console import print_line, progress_bar
from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import InvalidArgument
from app.domain.months import Month
from app.gzip_stream import open_plain
from app.server.store import run_with_store
from app.services.imported_reports import ImportedMonth, import_reports
from app.services.organizations import find_organization


def read_files(names: Sequence[str]) -> list[Report]:
    """Read reports from files, plain or gzipped.

    Raises:
        InvalidArgument: A file cannot be read.
        InvalidReport: A file is not a report, or contradicts itself.
    """
    return [read_report(_read_file(name), Path(name).name) for name in names]


def _read_file(name: str) -> bytes:
    try:
        with Path(name).open("rb") as file:
            return open_plain(file).read().removeprefix(BOM_UTF8)
    except OSError as error:
        raise InvalidArgument(f"{name}: cannot be read: {error.strerror or error}.") from error


def fetch_reports(url: str, api_key: str, first: Month, last: Month) -> list[Report]:
    """Fetch the reports of a range of months from a server, with a progress bar.

    Raises:
        InvalidArgument: The address or the key is invalid, or the range is empty.
        InvalidReport: A response is not a report.
        ReportFetchFailed: The server refuses a request, or cannot be reached.
    """
    server = ReportServer(url, api_key)
    months = len(list(first.through(last)))
    if not months:
        raise InvalidArgument(f"--to: must not be earlier than --from; got {first} to {last}.")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with progress_bar(*columns) as progress:
        reports = server.fetch_reports(first, last)
        return list(progress.track(reports, total=months, description="Fetching"))


def import_report(
    files: Annotated[
        list[str] | None, typer.Argument(help="Reports in JSON, one per file; also .gz.")
    ] = None,
    from_url: Annotated[
        str | None, typer.Option(help="Fetch the reports from this server instead.")
    ] = None,
    api_key: Annotated[
        str, typer.Option(help="A key for that server.", envvar="COMET_API_KEY")
    ] = "",
    first: Annotated[
        str | None, typer.Option("--from", help="The first month to fetch, YYYY-MM.")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", help="The last month; by default the last ended one.")
    ] = None,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Import monthly reports of another service: each becomes a closed month."""
    if bool(files) == bool(from_url) or (from_url and not (first and api_key)):
        raise InvalidArgument("Give files, or --from-url with --api-key and --from.")
    if from_url and first:
        ended = Month.containing(system_clock()).plus(-1)
        until = Month.parse(last) if last else ended
        reports = fetch_reports(from_url, api_key, Month.parse(first), until)
    else:
        reports = read_files(files or [])
    run_with_store(
        data_dir, env_file, lambda database, _: _import(database, organization, reports)
    )


async def _import(database: Database, organization: str, reports: Sequence[Report]) -> None:
    found = await find_organization(database, organization)
    for imported in await import_reports(
        database, found.organization_id, reports, clock=system_clock, by=current_operator()
    ):
        for line in _format_result(imported):
            print_line(line)


def _format_result(imported: ImportedMonth) -> Iterator[str]:
    for gap in imported.gaps:
        yield f"{gap}: no report; closed with what its events state"
    if imported.row_count is None:
        yield f"{imported.month}: already imported, unchanged"
    else:
        yield f"{imported.month}: closed as its report states"
