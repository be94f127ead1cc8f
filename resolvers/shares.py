"""The shares of projects, or members, in the lines of their workspaces."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import NamedTuple
from uuid import UUID

from app.db.charge_evidence import read_corrected_parts
from app.db.levels import Existence
from app.db.members import select_members_of_workspaces
from app.db.projects import select_projects_of_workspaces
from app.db.row_reader import read_from_snapshot
from app.domain.charges import ChargeLine, MonthCharges, Party, apportion_line
from app.domain.figures import Figure
from app.domain.months import Month
from app.domain.rates import WORKSPACE_MEASURES, Measure
from app.domain.sections import Section
from resolvers.amounts import SelectParts, part_quantity
from resolvers.context import Context
from resolvers.levels import ReportKey, read_level


class Share(NamedTuple):
    """What a project or member used of a line's measure, and its share of the booked amount."""

    part: Party
    quantity: Fraction
    booked: int


class _Kind(NamedTuple):
    """How parts of one kind are read: the columns with their id and name, and the statement."""

    id: str
    name: str
    select: SelectParts


_KINDS: Mapping[Section, _Kind] = {
    Section.PROJECT: _Kind("project_id", "name", select_projects_of_workspaces),
    Section.MEMBER: _Kind("user_id", "username", select_members_of_workspaces),
}


async def read_shares(
    context: Context,
    report: ReportKey,
    charges: MonthCharges,
    lines: Iterable[ChargeLine],
    kind: Section = Section.PROJECT,
) -> Mapping[ChargeLine, Sequence[Share]]:
    """Return the shares of projects, or members, in each line of a workspace measure.

    Former ones are included, so the shares of a line add up to it. Who used nothing has none.

    Source: `project_month` or `member_month`, and `correction` for lines that correct an earlier
    month.
    """
    of_workspaces = [line for line in lines if line.rate.measure in WORKSPACE_MEASURES]
    own_lines = [line for line in of_workspaces if line.origin is None]
    own = await _read_used(context, report, own_lines, _KINDS[kind])
    late: Mapping[_LateKey, _Used] = {}
    if len(own_lines) < len(of_workspaces):
        late = await _read_late(context, report, kind)
    found = {}
    for line in of_workspaces:
        used = late[_late_key(line)] if line.origin else own[line.workspace, line.rate.measure]
        booked = apportion_line(line, [quantity for _, quantity in used], charges.currency)
        shares = [Share(*each, part) for each, part in zip(used, booked, strict=True)]
        found[line] = [share for share in shares if share.quantity or share.booked]
    return found


_Used = Sequence[tuple[Party, Fraction]]


async def _read_used(
    context: Context, report: ReportKey, lines: Sequence[ChargeLine], kind: _Kind
) -> Mapping[tuple[Party | None, Measure], _Used]:
    """Return what each part of the lines' workspaces used, by workspace and measure."""
    workspaces = list(dict.fromkeys(line.workspace for line in lines if line.workspace))
    if not workspaces:
        return {}
    columns = (kind.id, kind.name, "byte_microseconds", "experiments_created")
    found = await read_level(
        context,
        partial(kind.select, frozenset(columns), existence=Existence.ANY),
        [(*report, workspace.id) for workspace in workspaces],
        ("workspace_id",),
    )
    positions = [found.columns[name] for name in columns]
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
    context: Context, report: ReportKey, kind: Section
) -> Mapping[_LateKey, _Used]:
    """Return by how much the use of parts changes, by origin month, workspace and measure."""
    used: dict[_LateKey, list[tuple[Party, Fraction]]] = defaultdict(list)
    organization_id, window = report
    read = read_from_snapshot(context.snapshot, organization_id)
    for row in await read_corrected_parts(read, window.month, list(_CORRECTED), kind):
        measure = _CORRECTED[row.figure]
        figure = int(row.amount)
        quantity = part_quantity(measure, row.origin, figure, figure)
        used[row.origin, row.workspace_id, measure].append((row.part, quantity))
    return used


_CORRECTED = {
    Figure.BYTE_MICROSECONDS: Measure.STORAGE,
    Figure.EXPERIMENTS_CREATED: Measure.EXPERIMENTS_CREATED,
}
"""The measure that each of these figures corrects."""
