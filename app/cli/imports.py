"""`chargeback import`: files of events into the store, all or nothing."""

import gzip
import sys
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import cast

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from app.cli.console import stderr
from app.domain.errors import ChargebackError, InvalidBatch
from resolvers.feed import CHUNK

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
            while chunk := list(islice(lines, CHUNK)):
                self._count += len(chunk)
                yield chunk
                _advance(progress, task, source, name)
        except (OSError, EOFError) as error:
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
