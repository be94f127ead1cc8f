"""Read the export of a report: summaries of its months, and its sections as streams of rows."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple

from app.db.report_windows import ReportWindow
from app.domain.charges import MonthCharges
from app.domain.errors import InvalidArgument
from app.domain.months import Month, count_months
from app.domain.sections import Section, SectionOrder
from app.domain.sizes import to_megabytes
from app.export.amounts import SectionAmounts, list_cost_centres
from app.export.comparisons import compare_sizes
from app.export.corrections import CorrectedFlows, stream_corrections
from app.export.rows import (
    OF_CHARGES,
    OF_COMPARISONS,
    ROW_CLASSES,
    SUM_CLASSES,
    Cells,
    Column,
    ExportRow,
    Fields,
    RowType,
    WorkspaceRow,
    column_of,
    format_instant,
)
from app.export.sums import SUM_ORDERS, SumQuery, chunk_rows, read_sums
from resolvers.charges import charges_of_report
from resolvers.context import Context
from resolvers.levels import ReportKey, to_dicts
from resolvers.report import fetch_reports
from resolvers.report_windows import earlier_windows
from resolvers.sections import SectionQuery, stream_section_rows, totals_of_section

_MAX_IDLE_DAYS = 36_500
_CHARGED_SECTIONS = frozenset(Section) - {Section.CORRECTION}
_REPORT_TOTALS = frozenset(("number_of_workspaces", "number_of_users"))


class ExportQuery(NamedTuple):
    """What to export.

    Attributes:
        first_month: The first report month.
        last_month: The last one; often the same.
        sections: The sections, in order.
        order: The order of their rows.
        first: At most so many rows of each section and month, and no corrections among those of
            another section; totals cover all.
        workspace: Only what belongs to this workspace.
        skip: With `first`, leave out so many rows before these.
        is_descending: The direction of the order; None is its own.
        compared_with: The earlier month to compare with.
        idle_days: Only users, or projects, that were idle for so many days at the report's end.
        is_summed: Add the months up: one row for each entity, corrections included.
    """

    first_month: Month
    last_month: Month
    sections: Sequence[Section]
    order: SectionOrder = SectionOrder.NAME
    first: int | None = None
    workspace: str | None = None
    skip: int = 0
    is_descending: bool | None = None
    compared_with: Month | None = None
    idle_days: int | None = None
    is_summed: bool = False


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
        hidden: The fields of the rows that are not shown.
        is_summed: Whether a row has the sums over all months.
    """

    section: Section
    row_count: int
    chunks: AsyncGenerator[Sequence[ExportRow], None]
    hidden: frozenset[str] = frozenset()
    is_summed: bool = False

    @property
    def row_class(self) -> type[ExportRow]:
        """The class of its rows."""
        return (SUM_CLASSES if self.is_summed else ROW_CLASSES)[self.section]

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of its rows that are shown, in order."""
        return tuple(name for name in self.row_class._fields if name not in self.hidden)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of these fields."""
        return tuple(map(column_of, self.fields))

    def cells_of(self, rows: Sequence[ExportRow]) -> Sequence[Cells]:
        """Return the values of these fields of each row."""
        names = self.row_class._fields
        shown = itemgetter(*(names.index(name) for name in self.fields))
        return list(map(shown, rows))


class ReportExport(NamedTuple):
    """An export, to be written in a format. Tables are read in order, each once.

    Attributes:
        decimals: Those of the currency of amounts.
    """

    summaries: Sequence[Summary]
    tables: Sequence[SectionTable]
    decimals: int = 2


class MonthReport(NamedTuple):
    """A report month of an export.

    Attributes:
        key: The report's key.
        compared_with: The report that it is compared with, if any.
        charges: The charges of the month, if there are any.
        charges_before: The charges of the month compared with, if there are any.
    """

    key: ReportKey
    compared_with: ReportWindow | None = None
    charges: MonthCharges | None = None
    charges_before: MonthCharges | None = None

    @property
    def month(self) -> Month:
        """The report month."""
        return self.key[1].month


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
    keys = [(row["organization_id"], row["window"]) for row in to_dicts(found)]
    reports = [await _read_month(context, key, query) for key in keys]
    hidden = _find_hidden(reports, query)
    totals = [await _read_totals(context, report, query) for report in reports]
    if query.workspace is not None and not any(of[Section.WORKSPACE]["rows"] for of in totals):
        raise InvalidArgument(f"workspace: there is no workspace {query.workspace!r}.")
    summaries = [
        _summarize(row, of[Section.WORKSPACE], context.now)
        for row, of in zip(to_dicts(found), totals, strict=True)
    ]
    decimals = [each.charges.currency.exponent for each in reports if each.charges is not None]
    if query.is_summed:
        tables = [await _read_sums(context, keys, each, query, hidden) for each in query.sections]
    else:
        tables = [
            SectionTable(
                section,
                sum(of[section]["rows"] for of in totals if section in of),
                _stream_table(context, list(zip(reports, totals, strict=True)), section, query),
                hidden,
            )
            for section in query.sections
        ]
    return ReportExport(summaries, tables, *decimals[:1])


async def _read_sums(
    context: Context,
    keys: Sequence[ReportKey],
    section: Section,
    query: ExportQuery,
    hidden: frozenset[str],
) -> SectionTable:
    of_sums = SumQuery(section, query.order, query.is_descending, query.first, query.skip)
    range_key = keys[0][0], tuple(window for _, window in keys)
    count, rows = await read_sums(context, range_key, of_sums)
    return SectionTable(section, count, chunk_rows(rows), hidden, is_summed=True)


async def _read_month(context: Context, key: ReportKey, query: ExportQuery) -> MonthReport:
    organization_id, window = key
    other: ReportWindow | None = None
    before: MonthCharges | None = None
    is_charged = not _CHARGED_SECTIONS.isdisjoint(query.sections)
    if query.compared_with is not None:
        distance = count_months(query.compared_with, window.month)
        found = await earlier_windows(context, [window], organization_id, distance)
        other = found[window.month]
        if Section.COST_CENTRE in query.sections:
            before = await charges_of_report(context, (organization_id, other))
    charges = await charges_of_report(context, key) if is_charged else None
    return MonthReport(key, other, charges, before)


def _find_hidden(reports: Sequence[MonthReport], query: ExportQuery) -> frozenset[str]:
    """Return the fields that no row of the export has."""
    charged = any(report.charges is not None for report in reports)
    without_charges = frozenset() if charged else OF_CHARGES
    return without_charges | (frozenset() if query.compared_with else OF_COMPARISONS)


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
    _validate_comparison(query)
    if query.is_summed:
        _validate_sum(query)
    if query.idle_days is not None:
        if not 1 <= query.idle_days <= _MAX_IDLE_DAYS:
            raise InvalidArgument(
                f"idleDays: must be from 1 to {_MAX_IDLE_DAYS}; got {query.idle_days}."
            )
        if not {*query.sections} <= {Section.USER, Section.PROJECT}:
            raise InvalidArgument("idleDays: only users and projects can be idle; choose one.")
    if query.workspace is not None and Section.COST_CENTRE in query.sections:
        raise InvalidArgument("workspace: cost centres are listed for the organization.")
    if query.first is not None and query.first < 1:
        raise InvalidArgument(f"top: must be at least 1; got {query.first}.")
    if query.workspace is not None and "\0" in query.workspace:
        raise InvalidArgument("workspace: must not contain the character U+0000.")
    if query.workspace is not None and Section.USER in query.sections:
        raise InvalidArgument(
            "workspace: users are listed for the organization; list the workspace's members."
        )


def _validate_comparison(query: ExportQuery) -> None:
    compared = query.compared_with
    if compared is None:
        if query.order is SectionOrder.GROWTH:
            raise InvalidArgument("order: growth needs a month to compare with.")
        return
    if query.first_month != query.last_month:
        raise InvalidArgument("compare: only one month can be compared with another.")
    if compared >= query.first_month:
        raise InvalidArgument(
            f"compare: must be earlier than {query.first_month}; got {compared}."
        )


def _validate_sum(query: ExportQuery) -> None:
    if query.workspace or query.compared_with or query.idle_days:
        raise InvalidArgument("sum: goes with neither workspace, nor compare, nor idleDays.")
    if not {*query.sections} <= SUM_CLASSES.keys():
        raise InvalidArgument(f"sum: choose by from {', '.join(SUM_CLASSES)}.")
    if query.order not in SUM_ORDERS and {*query.sections} != {Section.COST_CENTRE}:
        raise InvalidArgument(f"order: sums have {', '.join(SUM_ORDERS)}; got {query.order}.")


_Totals = Mapping[Section, Fields]


async def _read_totals(context: Context, report: MonthReport, query: ExportQuery) -> _Totals:
    wanted = {*query.sections, Section.WORKSPACE} - {Section.CORRECTION, Section.COST_CENTRE}
    return {
        section: await totals_of_section(
            context, report.key, _section_query(section, query, report)
        )
        for section in sorted(wanted)
    }


def _section_query(section: Section, query: ExportQuery, report: MonthReport) -> SectionQuery:
    _, window = report.key
    idle_since: datetime | None = None
    if query.idle_days is not None and section in {Section.USER, Section.PROJECT}:
        end = report.month.start + timedelta(microseconds=window.elapsed_microseconds)
        idle_since = end - timedelta(days=query.idle_days)
    return SectionQuery(
        section,
        query.order,
        query.first,
        query.workspace,
        query.skip,
        query.is_descending,
        idle_since,
        report.compared_with,
    )


def _summarize(report: Fields, total: Fields, now: datetime) -> Summary:
    return Summary(
        organization=report["organization_name"],
        month=report["window"].month,
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
    reports: Sequence[tuple[MonthReport, _Totals]],
    section: Section,
    query: ExportQuery,
) -> AsyncGenerator[Sequence[ExportRow], None]:
    """Yield a section's rows, month by month; each month ends with its total."""
    for report, totals in reports:
        if section is Section.COST_CENTRE:
            centres = list_cost_centres(
                report.month,
                report.charges,
                report.charges_before,
                order=query.order,
                is_descending=query.is_descending,
                first=query.first,
                is_compared=query.compared_with is not None,
            )
            if centres:
                yield centres
            continue
        of_section = _section_query(section, query, report)
        async with aclosing(_stream_month(context, report, totals, of_section)) as chunks:
            async for rows in chunks:
                yield rows


async def _stream_month(
    context: Context, report: MonthReport, totals: _Totals, query: SectionQuery
) -> AsyncGenerator[Sequence[ExportRow], None]:
    charges = None if query.section is Section.CORRECTION else report.charges
    corrected = CorrectedFlows(SectionAmounts(context, report.key, query, charges))
    if query.section is Section.CORRECTION:
        async for rows in stream_corrections(context, report.key, report.month, query, corrected):
            yield rows
        return
    before = 0
    async for rows in _stream_entities(context, report, query, corrected.amounts):
        before += sum(map(_hundredths_before, rows))
        yield rows
    total = _to_total(query.section, totals[query.section], report.month)
    total = corrected.amounts.add_total(total)
    if query.compared_with is not None and query.first is None:
        total = _compare_total(total, before)
    yield [total]
    if query.idle_since is not None:
        return  # What was used late is no part of what is idle.
    async for rows in stream_corrections(context, report.key, report.month, query, corrected):
        if query.first is None:
            yield rows
    if corrected.is_any:
        window = report.key[1]
        yield [corrected.add_to(total, totals[query.section], report.month, window)]


async def _stream_entities(
    context: Context, report: MonthReport, query: SectionQuery, amounts: SectionAmounts
) -> AsyncGenerator[Sequence[ExportRow], None]:
    found = stream_section_rows(context, report.key, query)
    to_row = _row_builder(query.section, found.columns, report.month, amounts)
    position = found.columns["workspace_id"]
    async with aclosing(found.chunks) as chunks:
        async for chunk in chunks:
            await amounts.prepare({row[position] for row in chunk})
            yield list(map(to_row, chunk))


def _hundredths_before(row: Any) -> int:
    before = row.average_before_in_mb
    return 0 if before is None else round(before * 100)


def _compare_total(total: Any, hundredths_before: int) -> ExportRow:
    """Add the comparison of a total, with the sum of what its rows were before."""
    now = total.average_size_in_mb
    after = None if now is None else round(now * 100)
    row: ExportRow = total._replace(**compare_sizes(after, hundredths_before))
    return row


_ROW_TYPES: Mapping[Section, tuple[RowType, RowType]] = {
    Section.WORKSPACE: (RowType.DELETED_WORKSPACE, RowType.WORKSPACE),
    Section.PROJECT: (RowType.DELETED_PROJECT, RowType.PROJECT),
    Section.MEMBER: (RowType.FORMER_MEMBER, RowType.MEMBER),
    Section.USER: (RowType.UNLICENSED_USER, RowType.USER),
}
_PRESET_FIELDS = 3  # type, month, origin_month


def _row_builder(
    section: Section, columns: Mapping[str, int], month: Month, amounts: SectionAmounts
) -> Callable[[Any], ExportRow]:
    """Return a function that makes an export row of a row of the store."""
    row_class: Callable[..., ExportRow] = ROW_CLASSES[section]
    types, names = _ROW_TYPES[section], ROW_CLASSES[section]._fields[_PRESET_FIELDS:]
    copied = [columns[name] for name in names if name in columns]
    is_current, average, id_, workspace_id = (
        columns[name] for name in ("is_current", "average_hundredths", "id", "workspace_id")
    )
    before = columns.get("average_hundredths_before")

    def to_row(row: Any) -> ExportRow:
        values = [row[position] for position in copied]
        built = row_class(
            types[bool(row[is_current])], month, None, *values, _from_hundredths(row[average])
        )
        if amounts.are_known:
            built = built._replace(**amounts.of_entity(row[id_], row[workspace_id]))
        if before is not None:
            built = built._replace(**compare_sizes(row[average], row[before]))
        return built

    return to_row


def _to_total(section: Section, totals: Fields, month: Month) -> ExportRow:
    row_class: Any = ROW_CLASSES[section]
    sums: Fields = {name: _to_int(totals[name]) for name in row_class._fields if name in totals}
    total: ExportRow = row_class(RowType.TOTAL, month)._replace(
        **sums,
        size_in_mb=to_megabytes(int(totals["size_bytes"])),
        average_size_in_mb=_from_hundredths(totals["average_hundredths"]),
    )
    return total


def _from_hundredths(hundredths: int | None) -> float | None:
    return None if hundredths is None else int(hundredths) / 100


def _to_int(value: Any) -> int | None:
    return None if value is None else int(value)
