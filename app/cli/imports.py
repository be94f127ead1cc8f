"""`chargeback import`: files of events, or of tables, into the store: all or nothing."""

import gzip
import sys
import zlib
from bisect import bisect_right
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from io import BufferedReader
from itertools import islice
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
from rich.table import Table

from app.cli.options import DEFAULT_DATA_DIR, DataDir, EnvFile, InOrganization
from app.clock import system_clock
from app.connectors.files.events import TableFiles
from app.connectors.files.mapping import TableMapping, default_mapping, read_mapping
from app.connectors.files.tables import InvalidValue, parse_timestamp
from app.console import stderr, stdout
from app.db.engine import Database
from app.db.months import MonthTotals
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import ChargebackError, InvalidArgument, InvalidBatch
from app.domain.months import Month
from app.ingest.store import CHUNK_SIZE, IngestResult
from app.server.store import run_with_store
from app.services.file_import import import_lines
from app.services.import_dry_run import DryRun, dry_run_import, read_known_entities
from app.services.organizations import find_organization
from app.services.sources import open_source_run
from app.settings import Settings

STDIN = "-"


class FileRefused(ChargebackError):
    """A file that cannot be read, or holds a bad event; nothing of any file was stored."""

    code, status = "INVALID_BATCH", 400


class EventFiles:
    """Files of NDJSON, plain or gzipped, read as one stream of lines.

    Args:
        names: Paths; `-` is the standard input.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._first_lines: list[int] = []
        self._count = 0

    def chunks(self) -> Iterator[Sequence[bytes]]:
        """The lines of all files, some at a time, with a progress bar.

        Raises:
            FileRefused: A file cannot be read.
        """
        with _progress() as progress, ExitStack() as stack:
            for name in self._names:
                self._first_lines.append(self._count)
                yield from self._chunks_of(name, progress, stack)

    def _chunks_of(
        self, name: str, progress: Progress, stack: ExitStack
    ) -> Iterator[Sequence[bytes]]:
        try:
            source = _opened(name, stack)
            size = None if name == STDIN else Path(name).stat().st_size
            task = progress.add_task(name, total=size)
            lines = _decompressed(source, stack)
            while chunk := list(islice(lines, CHUNK_SIZE)):
                if self._count == self._first_lines[-1]:
                    chunk[0] = chunk[0].removeprefix(BOM_UTF8)
                self._count += len(chunk)
                yield chunk
                _advance(progress, task, source, name)
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise FileRefused(f"{name}: cannot be read: {reason}.") from error

    def refusal(self, batch: InvalidBatch) -> FileRefused:
        """The same refusal, by file and line."""
        told = [
            f"  {self._place(problem.index)}: {problem.field or 'event'}: {problem.message}"
            for problem in batch.problems
        ]
        return FileRefused("\n".join([str(batch), *told]))

    def _place(self, index: int) -> str:
        which = bisect_right(self._first_lines, index) - 1
        return f"{self._names[which]}:{index - self._first_lines[which] + 1}"


def _opened(name: str, stack: ExitStack) -> BufferedReader:
    if name == STDIN:
        return cast("BufferedReader", sys.stdin.buffer)
    return stack.enter_context(Path(name).open("rb"))


def _decompressed(source: BufferedReader, stack: ExitStack) -> Iterator[bytes]:
    """The lines of a file; gzip is known by its first bytes, whatever the file is called."""
    if source.peek(2)[:2] == b"\x1f\x8b":
        return iter(stack.enter_context(gzip.open(source)))
    return iter(source)


def _advance(progress: Progress, task: TaskID, source: BufferedReader, name: str) -> None:
    if name != STDIN:
        progress.update(task, completed=source.tell())


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
        console=stderr,
    )


_SUFFIXES = (".csv", ".csv.gz", ".parquet", ".tsv")


def import_files(
    files: Annotated[
        list[str],
        typer.Argument(help="NDJSON of CloudEvents, also .gz, - is stdin; or CSV and Parquet."),
    ],
    mapping: Annotated[
        Path | None, typer.Option(help="What the columns of tables mean, in TOML.")
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(help="Which table files are whose columns have our names: directory, …"),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="With --table: the source of the events.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="When all rows were true, unless they say so themselves.")
    ] = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="The files list all there is: the rest is gone.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")
    ] = False,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Store events, or what tables say, from files: all of them or, when one is bad, none."""
    chosen = _mapping(mapping, table, source, _moment(at), complete=complete)
    if chosen is None and any(name.lower().endswith(_SUFFIXES) for name in files):
        raise InvalidArgument("Tables need --mapping FILE, or --table NAME with --source.")

    async def command(database: Database, _: Settings) -> None:
        found = await find_organization(database, organization)
        if chosen is not None:
            await import_tables(database, found.organization_id, files, chosen, dry_run=dry_run)
        else:
            await import_events(database, found.organization_id, files, dry_run=dry_run)

    run_with_store(data_dir, env_file, command)


def _moment(written: str | None) -> datetime | None:
    try:
        return None if written is None else parse_timestamp(written)
    except InvalidValue as problem:
        raise InvalidArgument(f"--at: {problem}; got {written!r}.") from None


def _mapping(
    path: Path | None,
    table: str | None,
    source: str | None,
    at: datetime | None,
    *,
    complete: bool,
) -> TableMapping | None:
    if path is not None and (table or source):
        raise InvalidArgument("--mapping says the table and the source: leave out the others.")
    if path is not None:
        return read_mapping(path, at, complete=complete)
    if table is None and source is None:
        if at or complete:
            raise InvalidArgument("--at and --complete are for tables: give --mapping or --table.")
        return None
    if table is None or source is None:
        raise InvalidArgument("--table and --source go together.")
    return default_mapping(source, table, at, complete=complete)


async def import_events(
    database: Database, organization_id: UUID, files: Sequence[str], *, dry_run: bool
) -> None:
    """Store files of events, or show what would change.

    Raises:
        FileRefused: A file cannot be read, or holds a bad event.
    """
    events = EventFiles(files)
    try:
        if dry_run:
            _show(await dry_run_import(database, organization_id, events.chunks(), system_clock()))
            return
        accepted = await import_lines(database, organization_id, events.chunks(), system_clock())
    except InvalidBatch as batch:
        raise events.refusal(batch) from None
    _tell(accepted)


async def import_tables(
    database: Database,
    organization_id: UUID,
    files: Sequence[str],
    mapping: TableMapping,
    *,
    dry_run: bool,
) -> None:
    """Store what tables say, as a run of their source; or show what would change.

    Raises:
        InvalidArgument: A file cannot be read.
        InvalidRows: Rows have bad cells.
    """
    tables = TableFiles(files, mapping)
    if mapping.complete and mapping.at is not None:
        tables.known = await read_known_entities(
            database, organization_id, mapping.source, mapping.at
        )
    if dry_run:
        with _told_by_row(tables):
            _show(await dry_run_import(database, organization_id, tables.chunks(), system_clock()))
        return
    async with open_source_run(
        database, organization_id, mapping.source[:200], kind="file", clock=system_clock
    ) as run:
        # Within the run, which keeps why it failed.
        with _told_by_row(tables):
            accepted = await run.accept(tables.chunks())
    _tell(accepted)
    stdout.print(f"from {tables.rows} rows", highlight=False)


@contextmanager
def _told_by_row(tables: TableFiles) -> Iterator[None]:
    """What the feed refuses is told by file, row and column."""
    try:
        yield
    except InvalidBatch as batch:
        raise tables.to_invalid_rows(batch) from None


def _tell(accepted: IngestResult) -> None:
    stdout.print(f"accepted {accepted.accepted}, duplicates {accepted.duplicates}")


def _show(rehearsal: DryRun) -> None:
    """The months that would change, figure by figure."""
    accepted = rehearsal.accepted
    stdout.print(
        f"would accept {accepted.accepted}, duplicates {accepted.duplicates}; nothing was stored"
    )
    shown = Table("Month", "Figure", "Before", "After")
    for day, after in rehearsal.after.items():
        before = rehearsal.before.get(day, MonthTotals())
        for figure, was, becomes in zip(MonthTotals._fields, before, after, strict=True):
            if was != becomes:
                month = str(Month.containing(day))
                shown.add_row(month, figure.replace("_", " "), str(was), str(becomes))
    if shown.row_count:
        stdout.print(shown)
