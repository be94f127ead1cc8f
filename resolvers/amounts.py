"""The column `amount` of workspaces, projects, members and users."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import partial
from itertools import chain
from typing import Protocol
from uuid import UUID

from app.db.levels import Existence
from app.db.statements import Statement
from app.domain.charges import MonthCharges, apportion_line, storage_quantity
from app.domain.months import Month
from app.domain.rates import Measure
from resolvers.charges import charges_of_report
from resolvers.context import Context
from resolvers.levels import ReportKey, WorkspaceKey, read_level
from resolvers.rows import Grouped, Row, Selection

AMOUNT = "amount"


class SelectParts(Protocol):
    """Builds the statement of the projects, or members, that a workspace is charged for."""

    def __call__(
        self, selection: frozenset[str], *, existence: Existence, one_report: bool
    ) -> Statement:
        """Return the statement."""


def select_for_amount(selection: Selection, id_column: str) -> Selection:
    """Add the column that amounts are found by, if amounts are selected."""
    return selection | {id_column} if AMOUNT in selection else selection


async def add_amounts_of_workspaces(
    context: Context, reports: Sequence[ReportKey], selection: Selection, found: Grouped
) -> Grouped:
    """Add what each workspace is charged for storage and experiments, if `amount` is selected."""
    if AMOUNT not in selection:
        return found
    charges = [await charges_of_report(context, report) for report in reports]
    by_month = {each.month: _by_workspace(each) for each in charges if each}
    amounts = [by_month[each.month] if each else {} for each in charges]
    return _add_column(found, "workspace_id", charges, amounts)


async def add_amounts_of_users(
    context: Context, reports: Sequence[ReportKey], selection: Selection, found: Grouped
) -> Grouped:
    """Add what each user is charged for seats and uses, if `amount` is selected."""
    if AMOUNT not in selection:
        return found
    charges = [await charges_of_report(context, report) for report in reports]
    amounts = [each.by_user if each else {} for each in charges]
    return _add_column(found, "user_id", charges, amounts)


async def add_amounts_of_parts(
    context: Context,
    workspaces: Sequence[WorkspaceKey],
    selection: Selection,
    found: Grouped,
    id_column: str,
    select: SelectParts,
) -> Grouped:
    """Add the share of each project, or member, in what its workspace is charged.

    The shares of all of them, former ones included, add up to the workspace, so all of them are
    read: one more statement, if `amount` is selected. `workspaces` has one key for each group.
    """
    if AMOUNT not in selection:
        return found
    amounts = await _apportion_workspaces(context, workspaces, id_column, select)
    charges = [await charges_of_report(context, (key[0], key[1])) for key in workspaces]
    return _add_column(found, id_column, charges, [amounts[key] for key in workspaces])


async def add_amounts_of_projects(
    context: Context,
    reports: Sequence[ReportKey],
    selection: Selection,
    found: Grouped,
    select: SelectParts,
) -> Grouped:
    """Add the share of each project in what its workspace is charged, as `add_amounts_of_parts`.

    The groups are those of reports, so the rows name their workspaces.
    """
    if AMOUNT not in selection:
        return found
    position = found.columns["workspace_id"]
    workspaces = [
        [(*report, workspace) for workspace in dict.fromkeys(row[position] for row in rows)]
        for report, rows in zip(reports, found.groups, strict=True)
    ]
    amounts = await _apportion_workspaces(
        context, list(chain.from_iterable(workspaces)), "project_id", select
    )
    by_report = [
        {project: share for key in keys for project, share in amounts[key].items()}
        for keys in workspaces
    ]
    charges = [await charges_of_report(context, report) for report in reports]
    return _add_column(found, "project_id", charges, by_report)


async def _apportion_workspaces(
    context: Context, workspaces: Sequence[WorkspaceKey], id_column: str, select: SelectParts
) -> Mapping[WorkspaceKey, Mapping[UUID, int]]:
    """Return for each workspace the minor units of its parts."""
    distinct = list(dict.fromkeys(workspaces))
    if not distinct:
        return {}
    columns = (id_column, "byte_microseconds", "experiments_created")
    parts = await read_level(
        context,
        partial(select, frozenset(columns), existence=Existence.ANY),
        distinct,
        ("workspace_id",),
    )
    positions = [parts.columns[name] for name in columns]
    amounts: dict[WorkspaceKey, Mapping[UUID, int]] = {}
    for key, rows in zip(distinct, parts.groups, strict=True):
        charges = await charges_of_report(context, (key[0], key[1]))
        amounts[key] = _apportion(charges, key, rows, positions) if charges else {}
    return amounts


def _by_workspace(charges: MonthCharges) -> Mapping[UUID, int]:
    return {
        workspace: sum(line.booked for line in lines)
        for workspace, lines in charges.workspace_lines.items()
    }


def _apportion(
    charges: MonthCharges, workspace: WorkspaceKey, rows: Sequence[Row], positions: Sequence[int]
) -> Mapping[UUID, int]:
    """Apportion each line of a workspace to its parts, and add up by part."""
    _, window, workspace_id = workspace
    parts = [tuple(row[position] for position in positions) for row in rows]
    amounts = dict.fromkeys((part[0] for part in parts), 0)
    for line in charges.workspace_lines.get(workspace_id, ()):
        quantities = [part_quantity(line.rate.measure, window.month, *part[1:]) for part in parts]
        shares = apportion_line(line, quantities, charges.currency)
        for part, share in zip(parts, shares, strict=True):
            amounts[part[0]] += share
    return amounts


def part_quantity(
    measure: Measure, month: Month, byte_microseconds: int, experiments_created: int
) -> Fraction:
    """Return what a project or member used of a workspace measure."""
    if measure is Measure.STORAGE:
        return storage_quantity(int(byte_microseconds), month)
    return Fraction(experiments_created)


def _add_column(
    found: Grouped,
    id_column: str,
    charges: Sequence[MonthCharges | None],
    amounts: Sequence[Mapping[UUID, int]],
) -> Grouped:
    """Add the amounts as the last column; null where the report has no charges."""
    position = found.columns[id_column]
    groups: list[Sequence[Row]] = []
    for of_month, by_id, rows in zip(charges, amounts, found.groups, strict=True):
        if of_month is None:
            groups.append([(*row, None) for row in rows])
        else:
            to_amount = of_month.currency.from_minor
            groups.append([(*row, to_amount(by_id.get(row[position], 0))) for row in rows])
    last = max(found.columns.values()) + 1
    return Grouped({**found.columns, AMOUNT: last}, groups, found.group_columns)
