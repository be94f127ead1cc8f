"""Exports as tables on the terminal."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, NamedTuple

from rich.console import Console

from app.cli.tables import TableRow, print_table
from app.console import stdout
from app.domain.sections import Section
from app.export.report import ReportExport, SectionTable, Summary
from app.export.rows import OF_CHARGES, OF_COMPARISONS, Column, ExportRow, Kind, RowType, SumRow


class _Layout(NamedTuple):
    """How a section is shown.

    Attributes:
        own_name: The column with the name of the row's own entity, where its state is shown.
        names: The columns of text, in order.
        figures: The columns of figures, in order.
        drop: What to leave out first in a narrow terminal.
    """

    own_name: str
    names: Sequence[str]
    figures: Sequence[str]
    drop: Sequence[str]


_STORAGE = ("experiments", "experiments_created", "size_in_mb", "average_size_in_mb")
_LAYOUTS: Mapping[Section, _Layout] = {
    Section.WORKSPACE: _Layout(
        "workspace",
        ("workspace",),
        ("number_of_members", "number_of_projects", *_STORAGE),
        ("number_of_projects", "number_of_members", "experiments_created"),
    ),
    Section.PROJECT: _Layout(
        "project", ("workspace", "project"), _STORAGE, ("experiments_created", "experiments")
    ),
    Section.MEMBER: _Layout(
        "username",
        ("workspace", "username", "email"),
        _STORAGE,
        ("email", "experiments_created", "experiments"),
    ),
    Section.USER: _Layout(
        "username",
        ("username", "email", "last_used_at"),
        ("ui_usage_count", "sdk_usage_count", *_STORAGE),
        ("email", "experiments_created", "experiments", "last_used_at", "size_in_mb"),
    ),
    Section.CORRECTION: _Layout(
        "",
        ("origin_month", "workspace", "project", "username"),
        ("licences", "ui_usage_count", "sdk_usage_count", *_STORAGE),
        ("experiments", "size_in_mb", "ui_usage_count", "sdk_usage_count", "licences"),
    ),
    Section.COST_CENTRE: _Layout(
        "cost_centre_name",
        ("cost_centre", "cost_centre_name"),
        ("amount", "currency", "amount_before", "amount_change", "change_in_percent"),
        ("currency",),
    ),
}
_STATES: Mapping[RowType, str] = {
    RowType.DELETED_WORKSPACE: " (deleted)",
    RowType.DELETED_PROJECT: " (deleted)",
    RowType.FORMER_MEMBER: " (former)",
    RowType.UNLICENSED_USER: " (not licensed)",
}
_DROPPED_SUMS = ("currency", "ui_usage_count", "sdk_usage_count", "licensed_months")
"""What to leave out of sums first in a narrow terminal."""
_FIRST_FIELD = 3
"""Before it, the rows of a sum have their type and the months."""
_ALONE = frozenset({RowType.TOTAL, RowType.CORRECTION, RowType.TOTAL_WITH_CORRECTIONS})
"""A line is drawn before the first row of these types."""


async def print_export(export: ReportExport, console: Console = stdout) -> None:
    """Print the sections of an export as tables, then totals and status of each month."""
    for table in export.tables:
        await _print_section(export.summaries, table, console)
    for summary in export.summaries:
        prefix = f"{summary.month}: " if len(export.summaries) > 1 else ""
        console.print(prefix + _format_totals(summary))
        console.print(prefix + summary.status)


async def _print_section(
    summaries: Sequence[Summary], table: SectionTable, console: Console
) -> None:
    layout = _complete(_LAYOUTS[table.section], table)
    has_months = len(summaries) > 1 and not table.is_summed
    fields = (*(("month",) if has_months else ()), *layout.names, *layout.figures)
    columns = dict(zip(table.fields, table.columns, strict=True))
    headings = {name: columns[name].heading for name in fields}
    rows: list[TableRow] = []
    previous: RowType | None = None
    async with aclosing(table.chunks) as chunks:
        async for chunk in chunks:
            for row in chunk:
                if row.type is not previous and _ALONE & {row.type, previous}:
                    rows.append(None)
                rows.append([_format_cell(row, name, columns[name], layout) for name in fields])
                previous = row.type
    first, last = summaries[0], summaries[-1]
    months = f"{first.month}" if first is last else f"{first.month} to {last.month}"
    print_table(
        list(headings.values()),
        rows,
        title=f"Chargeback report of {first.organization}, {months}",
        right=[headings[name] for name in layout.figures],
        whole=[headings[name] for name in fields if columns[name].kind is Kind.MONTH],
        drop=[headings[name] for name in layout.drop],
        console=console,
    )


def _complete(layout: _Layout, table: SectionTable) -> _Layout:
    """Add what the section shows of charges and comparisons; drop other figures before these."""
    if table.is_summed:
        names = [name for name in layout.names if name in table.fields]
        figures = [name for name in table.fields[_FIRST_FIELD:] if name not in names]
        return layout._replace(
            names=names, figures=figures, drop=[name for name in ("currency",) if name in figures]
        )
    added = [name for name in table.fields if name in OF_CHARGES | OF_COMPARISONS]
    if not added or table.section is Section.COST_CENTRE:
        return layout._replace(
            figures=[name for name in layout.figures if name in table.fields],
            drop=[name for name in layout.drop if name in table.fields],
        )
    others = [name for name in layout.figures if name != "average_size_in_mb"]
    drop = [*layout.drop, *(name for name in others if name not in layout.drop), "currency"]
    shown = {*layout.names, *layout.figures, *added}
    return layout._replace(
        figures=[*layout.figures, *added], drop=[name for name in drop if name in shown]
    )


def _format_cell(row: ExportRow, name: str, column: Column, layout: _Layout) -> str:
    value: Any = getattr(row, name)
    if name == layout.names[0] and row.type in {RowType.TOTAL, RowType.TOTAL_WITH_CORRECTIONS}:
        return row.type.value.capitalize()
    text = _format_value(value, column.kind)
    if name != layout.own_name:
        return text
    if row.type is RowType.CORRECTION and not isinstance(row, SumRow):
        return f"{text} (correction of {row.origin_month})"
    return text + _STATES.get(row.type, "")


def _format_value(value: object, kind: Kind) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d}"
    if kind is Kind.COUNT:
        return f"{value:,}"
    if kind is Kind.PERCENT:
        return f"{value:,.2f} %"
    if kind is Kind.AMOUNT:
        return f"{value:,f}"
    return f"{value:,.2f}" if kind is Kind.MEGABYTES else str(value)


def _format_totals(summary: Summary) -> str:
    unknown = f" ({summary.unmeasured:,} of unknown size)" if summary.unmeasured else ""
    return (
        f"{summary.number_of_workspaces:,} workspaces, {summary.experiments:,} experiments"
        f"{unknown}, {summary.size_in_mb:,.2f} MB, {summary.number_of_users:,} licensed users"
    )
