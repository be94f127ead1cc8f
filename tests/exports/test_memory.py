"""The memory of an export does not grow with its number of rows."""

import tracemalloc
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime

import pytest

from app.domain.months import Month
from app.domain.sections import Section
from app.export.report import ReportExport, SectionTable, Summary
from app.export.rows import ExportRow, MemberRow, RowType
from app.export.writers import FileFormat, stream_export

MONTH = Month(2026, 10)
ROWS_PER_CHUNK = 1_000


async def rows(count: int) -> AsyncGenerator[Sequence[ExportRow], None]:
    for start in range(0, count, ROWS_PER_CHUNK):
        yield [
            MemberRow(RowType.MEMBER, MONTH, None, f"workspace-{number // 60}", f"user-{number}")
            for number in range(start, start + ROWS_PER_CHUNK)
        ]


def export(count: int) -> ReportExport:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    summary = Summary("default", MONTH, None, None, at, None, 1, 1, 1, 0, 1, 1, 1.0, 1.0)
    return ReportExport([summary], [SectionTable(Section.MEMBER, count, rows(count))])


async def peak_bytes(form: FileFormat, count: int) -> int:
    """Return the peak of additional memory while the file is read and dropped."""
    tracemalloc.start()
    async for _ in stream_export(export(count), form):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("form", FileFormat)
async def test_memory_does_not_grow_with_the_rows(form: FileFormat) -> None:
    await peak_bytes(form, ROWS_PER_CHUNK)  # Import what the format needs.

    few, many = await peak_bytes(form, 2_000), await peak_bytes(form, 8_000)

    assert many < 1.3 * few + 1_048_576  # XLSX keeps a megabyte before it writes its file.
