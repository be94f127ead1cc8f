"""The corrections of an exported section, and what they add to its totals."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from fractions import Fraction
from functools import partial
from typing import Any

from app.db.report_windows import ReportWindow
from app.domain.figures import Figure
from app.domain.months import Month
from app.domain.sections import Section
from app.domain.sizes import MEGABYTE, to_hundredths
from app.export.amounts import SectionAmounts
from app.export.rows import ROW_CLASSES, ExportRow, Fields, RowType
from resolvers.context import Context
from resolvers.levels import ReportKey
from resolvers.sections import SectionQuery, stream_corrected_figures


class CorrectedFlows:
    """The sums of the corrections that a section shows."""

    def __init__(self, amounts: SectionAmounts) -> None:
        self.is_any = False
        self.amounts = amounts
        self._sums: dict[str, int] = {}
        self._megabyte_months = Fraction(0)

    def add(self, row: Fields, byte_microseconds: int, origin: Month) -> None:
        """Add one correction."""
        self.is_any = True
        self._megabyte_months += _megabyte_months(byte_microseconds, origin)
        for name in ("experiments_created", "licences", "ui_usage_count", "sdk_usage_count"):
            self._sums[name] = self._sums.get(name, 0) + (row.get(name) or 0)

    def add_to(
        self, total: ExportRow, totals: Fields, month: Month, window: ReportWindow
    ) -> ExportRow:
        """Return the month's flows and the corrections together; stocks do not add up."""
        flows: Fields = {
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
        row_class: Any = type(total)
        row = row_class(RowType.TOTAL_WITH_CORRECTIONS, month)._replace(
            **flows, average_size_in_mb=average
        )
        return self.amounts.add_corrected_total(row, total)


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
    Figure.UNLICENSED_UI_USAGE: "unlicensed_ui_usage_count",
    Figure.UNLICENSED_SDK_USAGE: "unlicensed_sdk_usage_count",
}


async def stream_corrections(
    context: Context,
    key: ReportKey,
    month: Month,
    query: SectionQuery,
    corrected: CorrectedFlows,
) -> AsyncIterator[Sequence[ExportRow]]:
    """Yield the corrections that a month books, and add them up in `corrected`."""
    await corrected.amounts.prepare_corrections()
    found = stream_corrected_figures(context, key, query)
    to_row = partial(_to_correction, query.section, found.columns, month, corrected)
    async with aclosing(found.chunks) as chunks:
        async for chunk in chunks:
            yield list(map(to_row, chunk))
    others = list(corrected.amounts.other_corrections(month))
    if others:
        corrected.is_any = True
        yield others


def _to_correction(
    section: Section,
    columns: Mapping[str, int],
    month: Month,
    corrected: CorrectedFlows,
    row: Any,
) -> ExportRow:
    """Return a correction; storage as MB-months, which are MB on average over the origin month."""
    row_class, origin = ROW_CLASSES[section], Month.containing(row[columns["origin_month"]])
    values: Fields = {
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
    values |= corrected.amounts.of_correction(origin, values)
    return row_class(RowType.CORRECTION, month, origin)._replace(**values)


def _megabyte_months(byte_microseconds: int, month: Month) -> Fraction:
    return Fraction(byte_microseconds, MEGABYTE * month.microseconds)
