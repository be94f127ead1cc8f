"""The shares of projects in the lines of their workspaces."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import NamedTuple
from uuid import UUID

from app.db.charge_evidence import read_corrected_projects
from app.db.levels import Existence
from app.db.projects import select_projects_of_workspaces
from app.db.row_reader import read_from_snapshot
from app.domain.charges import ChargeLine, MonthCharges, Party, apportion_line
from app.domain.figures import Figure
from app.domain.months import Month
from app.domain.rates import WORKSPACE_MEASURES, Measure
from resolvers.amounts import part_quantity
from resolvers.context import Context
from resolvers.levels import ReportKey, read_level


class ProjectShare(NamedTuple):
    """What a project used of a line's measure, and its share of the booked amount."""

    project: Party
    quantity: Fraction
    booked: int


async def read_project_shares(
    context: Context, report: ReportKey, charges: MonthCharges, lines: Iterable[ChargeLine]
) -> Mapping[ChargeLine, Sequence[ProjectShare]]:
    """Return the shares of projects, former ones included, in each line of a workspace measure.

    The shares of a line add up to it. Projects that used nothing have none.

    Source: `project_month`, and `correction` for lines that correct an earlier month.
    """
    of_workspaces = [line for line in lines if line.rate.measure in WORKSPACE_MEASURES]
    own = await _read_used(context, report, [each for each in of_workspaces if not each.origin])
    late = await _read_late(context, report, [each for each in of_workspaces if each.origin])
    found = {}
    for line in of_workspaces:
        used = late[_late_key(line)] if line.origin else own[line.workspace, line.rate.measure]
        booked = apportion_line(line, [quantity for _, quantity in used], charges.currency)
        shares = [ProjectShare(*each, part) for each, part in zip(used, booked, strict=True)]
        found[line] = [share for share in shares if share.quantity or share.booked]
    return found


_Used = Sequence[tuple[Party, Fraction]]
_COLUMNS = ("project_id", "name", "byte_microseconds", "experiments_created")


async def _read_used(
    context: Context, report: ReportKey, lines: Sequence[ChargeLine]
) -> Mapping[tuple[Party | None, Measure], _Used]:
    """Return what each project of the lines' workspaces used, by workspace and measure."""
    workspaces = list(dict.fromkeys(line.workspace for line in lines if line.workspace))
    if not workspaces:
        return {}
    found = await read_level(
        context,
        partial(select_projects_of_workspaces, frozenset(_COLUMNS), existence=Existence.ANY),
        [(*report, workspace.id) for workspace in workspaces],
        ("workspace_id",),
    )
    positions = [found.columns[name] for name in _COLUMNS]
    month = report[1].month
    used: dict[tuple[Party | None, Measure], _Used] = {}
    for workspace, group in zip(workspaces, found.groups, strict=True):
        rows = [[row[position] for position in positions] for row in group]
        for measure in WORKSPACE_MEASURES:
            used[workspace, measure] = [
                (Party(key, name), part_quantity(measure, month, *figures))
                for key, name, *figures in rows
            ]
    return used


_LateKey = tuple[Month | None, UUID | None, Measure]


def _late_key(line: ChargeLine) -> _LateKey:
    return line.origin, line.workspace and line.workspace.id, line.rate.measure


async def _read_late(
    context: Context, report: ReportKey, lines: Sequence[ChargeLine]
) -> Mapping[_LateKey, _Used]:
    """Return by how much the use of projects changes, by origin month, workspace and measure."""
    used: dict[_LateKey, list[tuple[Party, Fraction]]] = defaultdict(list)
    if not lines:
        return used
    organization_id, window = report
    read = read_from_snapshot(context.snapshot, organization_id)
    for row in await read_corrected_projects(read, window.month, list(CORRECTED)):
        measure = CORRECTED[row.figure]
        figure = int(row.amount)
        quantity = part_quantity(measure, row.origin, figure, figure)
        used[row.origin, row.workspace_id, measure].append((row.project, quantity))
    return used


CORRECTED = {
    Figure.BYTE_MICROSECONDS: Measure.STORAGE,
    Figure.EXPERIMENTS_CREATED: Measure.EXPERIMENTS_CREATED,
}
"""The measure that each of these figures corrects."""
