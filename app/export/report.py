"""Read the export of a report: summaries of its months, and its sections as streams of rows."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

from app.domain.errors import InvalidArgument
from app.domain.figures import Figure
from app.domain.months import Month
from app.domain.sections import Section, SectionOrder
from app.domain.sizes import MEGABYTE, to_hundredths, to_megabytes
from app.export.rows import ROW_CLASSES, Column, ExportRow, RowType, WorkspaceRow, columns_of
from resolvers.context import Context
from resolvers.levels import ReportKey, to_dicts
from resolvers.report import fetch_reports
from resolvers.sections import (
    SectionQuery,
    stream_corrected_figures,
    stream_section_rows,
    totals_of_section,
)

_REPORT_TOTALS = frozenset(("number_of_workspaces", "number_of_users"))


class ExportQuery(NamedTuple):
    """What to export.

    Attributes:
        first_month: The first report month.
        last_month: The last one; often the same.
        sections: The sections, in order.
        order: The order of their rows.
        first: At most so many rows of each section and month; totals cover all.
        workspace: Only what belongs to this workspace.
        skip: With `first`, leave out so many rows before these.
    """

    first_month: Month
    last_month: Month
    sections: Sequence[Section]
    order: SectionOrder = SectionOrder.NAME
    first: int | None = None
    workspace: str | None = None
    skip: int = 0


class Summary(NamedTuple):
    """A report month: whether it is final, and its totals.

    Attributes:
        as_of: When it was read, if it is open.
        rows_hash: The SHA-256 of its rows, if it is closed.
        rows: How many rows each section has.
    """

    organization: str
    month: Month
    closed_at: datetime | None
    rows_hash: str | None
    as_of: datetime | None
    imported_from: str | None
    number_of_workspaces: int
    number_of_users: int
    experiments: int
    unmeasured: int
    experiments_created: int | None
    size_bytes: int
    size_in_mb: float
    average_size_in_mb: float | None

    @property
    def status(self) -> str:
        """The status line that ends every file."""
        if self.rows_hash is not None:
            return f"CLOSED, sha256 {self.rows_hash}"
        return f"OPEN, as of {format_instant(self.as_of)}"


class SectionTable(NamedTuple):
    """A section as a table.

    Attributes:
        section: The section.
        row_count: How many rows its entities have, in all months.
        chunks: Its rows, some at a time. The reader closes the generator.
    """

    section: Section
    row_count: int
    chunks: AsyncGenerator[Sequence[ExportRow], None]

    @property
    def columns(self) -> tuple[Column, ...]:
        """Its columns, in the order of the rows' fields."""
        return columns_of(self.section)


class ReportExport(NamedTuple):
    """An export, to be written in a format. Tables are read in order, each once."""

    summaries: Sequence[Summary]
    tables: Sequence[SectionTable]


class _MonthReport(NamedTuple):
    key: ReportKey
    month: Month


def format_instant(instant: datetime | None) -> str:
    """Return an instant to the second, as it stands in files; empty if there is none."""
    return "" if instant is None else f"{instant:%Y-%m-%dT%H:%M:%SZ}"


async def read_export(
    context: Context, organization: str | None, query: ExportQuery
) -> ReportExport:
    """Read the summaries of an export; its tables are read as they are written.

    Raises:
        InvalidArgument: The range, `first` or `workspace` is invalid, or users are to be limited
            to a workspace.
        Forbidden, InvalidMonth, OrganizationNotFound, ReportDisabled: As for `fetch_reports`.
    """
    _validate(query)
    found = await fetch_reports(
        context, organization, query.first_month, query.last_month, _REPORT_TOTALS
    )
    reports = [
        _MonthReport(
            (row["organization_id"], row["window"]), Month.containing(row["window"].month)
        )
        for row in to_dicts(found)
    ]
    totals = [await _read_totals(context, report, query) for report in reports]
    if query.workspace is not None and not any(of[Section.WORKSPACE]["rows"] for of in totals):
        raise InvalidArgument(f"workspace: there is no workspace {query.workspace!r}.")
    summaries = [
        _summarize(row, of[Section.WORKSPACE], context.now)
        for row, of in zip(to_dicts(found), totals, strict=True)
    ]
    tables = [
        SectionTable(
            section,
            sum(of[section]["rows"] for of in totals if section in of),
            _stream_table(context, list(zip(reports, totals, strict=True)), section, query),
        )
        for section in query.sections
    ]
    return ReportExport(summaries, tables)


async def list_workspaces(context: Context, query: ExportQuery) -> Sequence[str]:
    """Return the names of the workspaces that an export has, deleted ones included, by name."""
    names: set[str] = set()
    found = await read_export(context, None, query._replace(sections=(Section.WORKSPACE,)))
    (table,) = found.tables
    async with aclosing(table.chunks) as chunks:
        async for rows in chunks:
            names.update(
                row.workspace
                for row in rows
                if isinstance(row, WorkspaceRow) and row.workspace is not None
            )
    return sorted(names)


def _validate(query: ExportQuery) -> None:
    if query.first is not None and query.first < 1:
        raise InvalidArgument(f"top: must be at least 1; got {query.first}.")
    if query.workspace is not None and "\0" in query.workspace:
        raise InvalidArgument("workspace: must not contain the character U+0000.")
    if query.workspace is not None and Section.USER in query.sections:
        raise InvalidArgument(
            "workspace: users are listed for the organization; list the workspace's members."
        )


_Totals = Mapping[Section, Mapping[str, Any]]


async def _read_totals(context: Context, report: _MonthReport, query: ExportQuery) -> _Totals:
    wanted = {*query.sections, Section.WORKSPACE} - {Section.CORRECTION}
    return {
        section: await totals_of_section(context, report.key, _section_query(section, query))
        for section in sorted(wanted)
    }


def _section_query(section: Section, query: ExportQuery) -> SectionQuery:
    return SectionQuery(section, query.order, query.first, query.workspace, query.skip)


def _summarize(report: Mapping[str, Any], total: Mapping[str, Any], now: datetime) -> Summary:
    return Summary(
        organization=report["organization_name"],
        month=Month.containing(report["window"].month),
        closed_at=report["closed_at"],
        rows_hash=report["rows_hash"],
        as_of=None if report["rows_hash"] is not None else now,
        imported_from=report["imported_from"],
        number_of_workspaces=int(total["number"]),
        number_of_users=report["number_of_users"],
        experiments=int(total["experiments"]),
        unmeasured=int(total["unmeasured"]),
        experiments_created=_to_int(total["experiments_created"]),
        size_bytes=int(total["size_bytes"]),
        size_in_mb=to_megabytes(int(total["size_bytes"])),
        average_size_in_mb=_from_hundredths(total["average_hundredths"]),
    )


async def _stream_table(
    context: Context,
    reports: Sequence[tuple[_MonthReport, _Totals]],
    section: Section,
    query: ExportQuery,
) -> AsyncGenerator[Sequence[ExportRow], None]:
    """Yield a section's rows, month by month; each month ends with its total."""
    of_section = _section_query(section, query)
    for report, totals in reports:
        async with aclosing(_stream_month(context, report, totals, of_section)) as chunks:
            async for rows in chunks:
                yield rows


async def _stream_month(
    context: Context, report: _MonthReport, totals: _Totals, query: SectionQuery
) -> AsyncGenerator[Sequence[ExportRow], None]:
    if query.section is Section.CORRECTION:
        async for rows in _stream_corrections(context, report, query, _CorrectedFlows()):
            yield rows
        return
    found = stream_section_rows(context, report.key, query)
    to_row = _row_builder(query.section, found.columns, report.month)
    async with aclosing(found.chunks) as chunks:
        async for chunk in chunks:
            yield list(map(to_row, chunk))
    total = _to_total(query.section, totals[query.section], report.month)
    yield [total]
    corrected = _CorrectedFlows()
    async for rows in _stream_corrections(context, report, query, corrected):
        yield rows
    if corrected.is_any:
        yield [corrected.add_to(total, totals[query.section], report)]


_ROW_TYPES: Mapping[Section, tuple[RowType, RowType]] = {
    Section.WORKSPACE: (RowType.DELETED_WORKSPACE, RowType.WORKSPACE),
    Section.PROJECT: (RowType.DELETED_PROJECT, RowType.PROJECT),
    Section.MEMBER: (RowType.FORMER_MEMBER, RowType.MEMBER),
    Section.USER: (RowType.UNLICENSED_USER, RowType.USER),
}
_PRESET_FIELDS = 3  # type, month, origin_month


def _row_builder(
    section: Section, columns: Mapping[str, int], month: Month
) -> Callable[[Any], ExportRow]:
    """Return a function that makes an export row of a row of the store."""
    row_class: Callable[..., ExportRow] = ROW_CLASSES[section]
    types = _ROW_TYPES[section]
    copied = [columns[name] for name in ROW_CLASSES[section]._fields[_PRESET_FIELDS:-1]]
    is_current, average = columns["is_current"], columns["average_hundredths"]

    def to_row(row: Any) -> ExportRow:
        values = [row[position] for position in copied]
        row_type = types[bool(row[is_current])]
        return row_class(row_type, month, None, *values, _from_hundredths(row[average]))

    return to_row


def _to_total(section: Section, totals: Mapping[str, Any], month: Month) -> ExportRow:
    row_class = ROW_CLASSES[section]
    sums: dict[str, Any] = {
        name: _to_int(totals[name]) for name in row_class._fields if name in totals
    }
    return row_class(RowType.TOTAL, month)._replace(
        **sums,
        size_in_mb=to_megabytes(int(totals["size_bytes"])),
        average_size_in_mb=_from_hundredths(totals["average_hundredths"]),
    )


class _CorrectedFlows:
    """The sums of the corrections that a section shows."""

    def __init__(self) -> None:
        self.is_any = False
        self._sums: dict[str, int] = {}
        self._megabyte_months = Fraction(0)

    def add(self, row: Mapping[str, Any], byte_microseconds: int, origin: Month) -> None:
        """Add one correction."""
        self.is_any = True
        self._megabyte_months += _megabyte_months(byte_microseconds, origin)
        for name in ("experiments_created", "licences", "ui_usage_count", "sdk_usage_count"):
            self._sums[name] = self._sums.get(name, 0) + (row.get(name) or 0)

    def add_to(
        self, total: ExportRow, totals: Mapping[str, Any], report: _MonthReport
    ) -> ExportRow:
        """Return the month's flows and the corrections together; stocks do not add up."""
        _, window = report.key
        flows: dict[str, Any] = {
            name: None if (flow := getattr(total, name)) is None else flow + corrected
            for name, corrected in self._sums.items()
            if name in total._fields
        }
        held = totals["byte_microseconds"]
        elapsed = max(window.elapsed_microseconds, 1) * MEGABYTE
        average = (
            None
            if held is None
            else to_hundredths(Fraction(int(held), elapsed) + self._megabyte_months) / 100
        )
        row_class = type(total)
        return row_class(RowType.TOTAL_WITH_CORRECTIONS, report.month)._replace(
            **flows, average_size_in_mb=average
        )


_FIGURE_COLUMNS: Mapping[Figure, str] = {
    Figure.WORKSPACES: "workspaces",
    Figure.PROJECTS: "projects",
    Figure.MEMBERS: "members",
    Figure.LICENSED_USERS: "licences",
    Figure.EXPERIMENTS: "experiments",
    Figure.EXPERIMENTS_CREATED: "experiments_created",
    Figure.UNMEASURED_EXPERIMENTS: "unmeasured",
    Figure.SIZE_BYTES: "size_bytes",
    Figure.UI_USAGE: "ui_usage_count",
    Figure.SDK_USAGE: "sdk_usage_count",
}


async def _stream_corrections(
    context: Context, report: _MonthReport, query: SectionQuery, corrected: _CorrectedFlows
) -> AsyncIterator[Sequence[ExportRow]]:
    found = stream_corrected_figures(context, report.key, query)
    to_row = partial(_to_correction, query.section, found.columns, report.month, corrected)
    async with aclosing(found.chunks) as chunks:
        async for chunk in chunks:
            yield list(map(to_row, chunk))


def _to_correction(
    section: Section,
    columns: Mapping[str, int],
    month: Month,
    corrected: _CorrectedFlows,
    row: Any,
) -> ExportRow:
    """Return a correction; storage as MB-months, which are MB on average over the origin month."""
    row_class, origin = ROW_CLASSES[section], Month.containing(row[columns["origin_month"]])
    values: dict[str, Any] = {
        name: row[columns[name]]
        for name in ("workspace", "project", "username")
        if name in columns
    }
    for figure, name in _FIGURE_COLUMNS.items():
        position = columns.get(figure.name.lower())
        if position is not None:
            values[name] = int(row[position])
    held = int(row[columns["byte_microseconds"]])
    corrected.add(values, held, origin)
    values["average_size_in_mb"] = to_hundredths(_megabyte_months(held, origin)) / 100
    if section is Section.CORRECTION:
        size = Fraction(values["size_bytes"], MEGABYTE)
        values |= {"size_in_mb": to_hundredths(size) / 100, "byte_microseconds": str(held)}
    return row_class(RowType.CORRECTION, month, origin)._replace(**values)


def _megabyte_months(byte_microseconds: int, month: Month) -> Fraction:
    return Fraction(byte_microseconds, MEGABYTE * month.microseconds)


def _from_hundredths(hundredths: int | None) -> float | None:
    return None if hundredths is None else int(hundredths) / 100


def _to_int(value: Any) -> int | None:
    return None if value is None else int(value)
