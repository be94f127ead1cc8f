"""Exports as files: to a path, to standard output, or one file for each workspace."""

import codecs
import contextlib
import re
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

from app.console import progress_bar, stdout
from app.domain.errors import InvalidArgument
from app.domain.safe_text import escape_for_terminal
from app.export.report import ReportExport
from app.export.writers import FileFormat, stream_export

_TEXT = {FileFormat.CSV, FileFormat.JSON}
_UNSAFE = re.compile(r"[^\w.-]+")
_MAX_NAME_LENGTH = 80


def require_file(form: FileFormat) -> None:
    """Reject a format that a terminal cannot show.

    Raises:
        InvalidArgument: Standard output is a terminal.
    """
    if form not in _TEXT and sys.stdout.isatty():
        raise InvalidArgument(f"--format {form} needs --output FILE, or a pipe.")


async def write_to_stdout(export: ReportExport, form: FileFormat) -> None:
    """Write an export to standard output."""
    async with aclosing(stream_export(export, form)) as chunks:
        if form in _TEXT:
            await print_text(chunks)
            return
        async for chunk in chunks:
            sys.stdout.buffer.write(chunk)


async def print_text(chunks: AsyncIterator[bytes]) -> None:
    """Write text to standard output; on a terminal, escape control characters."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_terminal = sys.stdout.isatty()
    async for chunk in chunks:
        text = decoder.decode(chunk)
        stdout.file.write(escape_for_terminal(text, keep="\n") if is_terminal else text)


async def write_to_path(export: ReportExport, form: FileFormat, path: Path) -> None:
    """Write an export to a file, which appears once it is complete.

    Raises:
        InvalidArgument: The file cannot be written.
    """
    total = sum(table.row_count for table in export.tables)
    with _row_progress(path.name, total) as count_rows:
        async with aclosing(stream_export(export, form, count_rows)) as chunks:
            await write_chunks(chunks, path)


async def write_chunks(chunks: AsyncIterator[bytes], path: Path) -> None:
    """Write chunks to a file, which appears once it is complete.

    Raises:
        InvalidArgument: The file cannot be written.
    """
    with replace_file(path) as file:
        async for chunk in chunks:
            file.write(chunk)


def create_folder(folder: Path) -> None:
    """Create a folder unless it exists.

    Raises:
        InvalidArgument: It cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidArgument(f"{folder}: cannot be created: {error.strerror}.") from error


@contextmanager
def replace_file(path: Path) -> Iterator[IO[bytes]]:
    """Write to a file that appears, or replaces the earlier one, once it is complete.

    Raises:
        InvalidArgument: It cannot be written.
    """
    unfinished = path.with_name(f"{path.name}.partial")
    try:
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(path)
    except OSError as error:
        raise InvalidArgument(f"{path}: cannot be written: {error.strerror}.") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


@contextmanager
def _row_progress(name: str, total: int) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with progress_bar(*columns, transient=True) as progress:
        yield partial(progress.advance, progress.add_task(name, total=total))


def choose_file_name(month: str, name: str, suffix: str, taken: Collection[str]) -> str:
    """Return a file name that is safe in every file system and not taken yet.

    >>> choose_file_name("2026-10", "nlp [v2]/x", "csv", {"2026-10-nlp_v2_x.csv"})
    '2026-10-nlp_v2_x-2.csv'
    """
    stem = f"{month}-{_UNSAFE.sub('_', name).strip('_.')[:_MAX_NAME_LENGTH] or 'workspace'}"
    names = (f"{stem}.{suffix}", *(f"{stem}-{number}.{suffix}" for number in range(2, 10_000)))
    folded = {each.casefold() for each in taken}
    return next(each for each in names if each.casefold() not in folded)
