"""`chargeback import`: store the events of event files or tables, all or none."""

import sys
from bisect import bisect_right
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from io import BufferedReader
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, cast
from uuid import UUID

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from app.cli.options import DEFAULT_DATA_DIR, DataDir, EnvFile, InOrganization
from app.cli.tables import TableRow, print_table
from app.clock import system_clock
from app.connectors.files.events import TableFiles
from app.connectors.files.mapping import TableMapping, default_mapping, read_mapping
from app.connectors.files.tables import InvalidValue, parse_timestamp
from app.console import print_line, progress_bar
from app.db.engine import Database
from app.db.month_totals import MonthTotals
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import ChargebackError, InvalidArgument, InvalidBatch
from app.domain.event_decoding import split_batch
from app.gzip_stream import open_plain
from app.ingest.store import CHUNK_SIZE, IngestResult
from app.server.store import run_with_store
from app.services.file_import import import_lines
from app.services.import_dry_run import DryRun, dry_run_import, read_known_entities
from app.services.organizations import find_organization
from app.services.sources import open_source_run
from app.settings import Settings

STDIN = "-"


class InvalidEventFile(ChargebackError):
    """A file cannot be read or has an invalid event; nothing was stored from any file."""

    code, status = "INVALID_BATCH", 400


class EventFiles:
    """Files of events, plain or gzipped, read as one stream: NDJSON or a JSON array.

    Args:
        names: Paths; `-` is standard input.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._first_lines: list[int] = []
        self._count = 0

    def chunks(self) -> Iterator[Sequence[bytes]]:
        """Yield the lines of all files in chunks, with a progress bar.

        Raises:
            InvalidEventFile: A file cannot be read.
        """
        with _byte_progress() as progress, ExitStack() as stack:
            for name in self._names:
                self._first_lines.append(self._count)
                yield from self._read_file(name, progress, stack)

    def _read_file(
        self, name: str, progress: Progress, stack: ExitStack
    ) -> Iterator[Sequence[bytes]]:
        try:
            source = _open_file(name, stack)
            size = None if name == STDIN else Path(name).stat().st_size
            task = progress.add_task(Path(name).name, total=size)
            lines = _read_events(open_plain(source))
            while chunk := list(islice(lines, CHUNK_SIZE)):
                self._count += len(chunk)
                yield chunk
                _advance(progress, task, source, name)
        except OSError as error:
            raise InvalidEventFile(
                f"{name}: cannot be read: {error.strerror or error}."
            ) from error
        except InvalidBatch as error:
            raise InvalidEventFile(f"{name}: {error.problems[0].message}.") from error

    def locate_problems(self, batch: InvalidBatch) -> InvalidEventFile:
        """Return the error with the file and line of each problem."""
        problems = [
            f"  {self._locate(problem.index)}: {problem.field or 'event'}: {problem.message}"
            for problem in batch.problems
        ]
        return InvalidEventFile("\n".join([str(batch), *problems]))

    def _locate(self, index: int) -> str:
        file = bisect_right(self._first_lines, index) - 1
        return f"{self._names[file]}:{index - self._first_lines[file] + 1}"


def _open_file(name: str, stack: ExitStack) -> BufferedReader:
    if name == STDIN:
        return cast("BufferedReader", sys.stdin.buffer)
    return stack.enter_context(Path(name).open("rb"))


def _read_events(plain: BufferedReader) -> Iterator[bytes]:
    """Yield the lines of NDJSON, or the elements of a JSON array, which is read into memory."""
    first = plain.readline().removeprefix(BOM_UTF8)
    if first.lstrip().startswith(b"["):
        return iter(split_batch(first + plain.read()))
    return chain((first,) if first else (), plain)


def _advance(progress: Progress, task: TaskID, source: BufferedReader, name: str) -> None:
    if name != STDIN:
        progress.update(task, completed=source.tell())


def _byte_progress() -> Progress:
    return progress_bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
    )


_SUFFIXES = (".csv", ".csv.gz", ".parquet", ".tsv")


def import_files(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="NDJSON or a JSON array of CloudEvents, plain or gzipped, - for stdin; or CSV "
            "and Parquet.",
        ),
    ],
    mapping: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A TOML file that maps the columns of tables."),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The kind of table, if its columns have the standard names: directory, "
            "experiments, …",
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --table: the source of the events.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="The time of rows that have no time of their own."),
    ] = None,
    complete: Annotated[
        bool,
        typer.Option("--complete", help="The files list everything; delete what is missing."),
    ] = False,
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss",
            help="With --complete: delete what is missing even if that is most of it.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would change, and store nothing.")
    ] = False,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Import files of events or tables. If one row is bad, nothing is stored."""
    chosen = _choose_mapping(mapping, table, source, _parse_at(at), complete=complete)
    _require_files(files)
    tables = [name for name in files if name.lower().endswith(_SUFFIXES)]
    if chosen is None and tables:
        raise InvalidArgument(f"{tables[0]}: a table needs --mapping, or --table with --source.")

    async def run(database: Database, _: Settings) -> None:
        found = await find_organization(database, organization)
        if chosen is not None:
            await import_tables(
                database,
                found.organization_id,
                files,
                chosen,
                dry_run=dry_run,
                accept_loss=accept_loss,
            )
        else:
            await import_events(database, found.organization_id, files, dry_run=dry_run)

    run_with_store(data_dir, env_file, run)


def _parse_at(text: str | None) -> datetime | None:
    try:
        return None if text is None else parse_timestamp(text)
    except InvalidValue as problem:
        raise InvalidArgument(f"--at: {problem}; got {text!r}.") from None


def _require_files(names: Sequence[str]) -> None:
    """Reject missing files before PostgreSQL is started."""
    for name in names:
        if name != STDIN and not Path(name).exists():
            raise InvalidEventFile(f"{name}: cannot be read: No such file or directory.")


def _choose_mapping(
    path: Path | None,
    table: str | None,
    source: str | None,
    at: datetime | None,
    *,
    complete: bool,
) -> TableMapping | None:
    if path is not None and (table or source):
        raise InvalidArgument("--mapping excludes --table and --source: the file names both.")
    if path is not None:
        return read_mapping(path, at, complete=complete)
    if table is None and source is None:
        if at or complete:
            raise InvalidArgument("--at and --complete need tables: use --mapping or --table.")
        return None
    if table is None or source is None:
        raise InvalidArgument("--table and --source must be used together.")
    return default_mapping(source, table, at, complete=complete)


async def import_events(
    database: Database, organization_id: UUID, files: Sequence[str], *, dry_run: bool
) -> None:
    """Store files of events, or print what would change.

    Raises:
        InvalidEventFile: A file cannot be read, or contains an invalid event.
    """
    events = EventFiles(files)
    try:
        if dry_run:
            _print_changes(
                await dry_run_import(database, organization_id, events.chunks(), system_clock())
            )
            return
        accepted = await import_lines(database, organization_id, events.chunks(), system_clock())
    except InvalidBatch as batch:
        raise events.locate_problems(batch) from None
    _print_counts(accepted)


async def import_tables(
    database: Database,
    organization_id: UUID,
    files: Sequence[str],
    mapping: TableMapping,
    *,
    dry_run: bool,
    accept_loss: bool = False,
) -> None:
    """Store tables as a run of their source, or print what would change.

    Raises:
        InvalidArgument: A file cannot be read, or a complete import lacks most known entities.
        InvalidRows: Rows have invalid values.
    """
    tables = TableFiles(files, mapping, accept_loss=accept_loss)
    if mapping.complete and mapping.at is not None:
        tables.known = await read_known_entities(
            database, organization_id, mapping.source, mapping.at
        )
    if dry_run:
        with _locate_problems(tables):
            _print_changes(
                await dry_run_import(database, organization_id, tables.chunks(), system_clock())
            )
        _print_unread_columns(tables)
        return
    async with open_source_run(
        database, organization_id, mapping.source[:200], kind="file", clock=system_clock
    ) as run:
        # Within the run, so that the run records the error with its place.
        with _locate_problems(tables):
            accepted = await run.accept(tables.chunks())
    _print_counts(accepted)
    print_line(f"from {tables.rows} {'row' if tables.rows == 1 else 'rows'}")
    _print_unread_columns(tables)


def _print_unread_columns(tables: TableFiles) -> None:
    if tables.unread:
        print_line(f"columns not read: {', '.join(map(repr, sorted(tables.unread)))}")


@contextmanager
def _locate_problems(tables: TableFiles) -> Iterator[None]:
    """Add file, row and column to the problems of an invalid batch."""
    try:
        yield
    except InvalidBatch as batch:
        raise tables.to_invalid_rows(batch) from None


def _print_counts(result: IngestResult) -> None:
    print_line(f"accepted {result.accepted}, duplicates {result.duplicates}")


def _print_changes(dry_run: DryRun) -> None:
    """Print each figure of each month that would change."""
    accepted = dry_run.accepted
    print_line(
        f"would accept {accepted.accepted}, duplicates {accepted.duplicates}; nothing was stored"
    )
    changes: list[TableRow] = []
    for month, after in dry_run.after.items():
        before = dry_run.before.get(month, MonthTotals())
        for figure, was, becomes in zip(MonthTotals._fields, before, after, strict=True):
            if was != becomes:
                changes.append((str(month), figure.replace("_", " "), str(was), str(becomes)))
    if changes:
        print_table(("Month", "Figure", "Before", "After"), changes, right={"Before", "After"})
