"""A closed month's rows as a report states them.

Events give most reports exactly. Where a report's parts do not add up (a workspace that counts
more than its projects, sums that no experiments can have) its own words stand, in the rows of the
month that it closes; what the events say instead is booked as corrections of that month in that
very month, so that a closed month and its corrections make what a recomputation says, here too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.connectors.reports.document import OpenReport, Reported, ReportedUser, Size
from app.db.corrections import NOWHERE, CorrectionRow, add_corrections
from app.db.engine import Transaction
from app.db.imported_months import StatedRow, StatedUser, write_stated_rows, write_stated_users
from app.db.months import (
    MEMBER_MONTH,
    PROJECT_MONTH,
    USER_MONTH,
    WORKSPACE_MONTH,
    MonthTable,
    select_rows,
)
from app.domain.figures import Figure
from app.domain.ids import project_id, user_id, workspace_id
from app.domain.months import Month

Keys = tuple[UUID, ...]
_COUNTED_AS = {
    WORKSPACE_MONTH: Figure.WORKSPACES,
    PROJECT_MONTH: Figure.PROJECTS,
    MEMBER_MONTH: Figure.MEMBERS,
}


@dataclass
class _Differences:
    """What the events say beyond the report."""

    month: Month
    rows: list[CorrectionRow] = field(default_factory=list)

    def add(self, figure: Figure, amount: int, keys: Mapping[str, UUID]) -> None:
        if amount:
            workspace, project, user = (keys.get(name, NOWHERE) for name in _IDS)
            self.rows.append(CorrectionRow(self.month, figure, workspace, project, user, amount))


_IDS = ("workspace_id", "project_id", "user_id")


async def write_as_stated(tx: Transaction, organization_id: UUID, report: OpenReport) -> int:
    """Make the rows of the report's month say what it says.

    Returns:
        In how many figures the events say otherwise.
    """
    day = report.month.first_day
    differences = _Differences(report.month)
    for table, stated in _stated(report).items():
        found = await _found(tx, organization_id, table, report.month)
        rows = list(_different(table, stated, found, differences))
        if rows:
            await write_stated_rows(tx, organization_id, day, table, rows)
    users = await _found(tx, organization_id, USER_MONTH, report.month)
    changed = list(_different_users(report, users, differences))
    if changed:
        await write_stated_users(tx, organization_id, day, changed)
    if differences.rows:
        await add_corrections(tx, organization_id, report.month, differences.rows)
    return len(differences.rows)


async def _found(
    tx: Transaction, organization_id: UUID, table: MonthTable, month: Month
) -> dict[Keys, Any]:
    rows = await select_rows(tx, organization_id, table, month)
    return {tuple(getattr(row, key) for key in table.keys): row for row in rows}


def _stated(report: OpenReport) -> dict[MonthTable, dict[Keys, Reported]]:
    workspaces: dict[Keys, Reported] = {}
    projects: dict[Keys, Reported] = {}
    members: dict[Keys, Reported] = {}
    for workspace in report.workspaces:
        key = workspace_id(workspace.name)
        workspaces[key,] = workspace
        for project in workspace.projects:
            projects[key, project_id(workspace.name, project.name)] = project
        for member in workspace.members:
            members[key, user_id(member.user_name)] = member
    return {WORKSPACE_MONTH: workspaces, PROJECT_MONTH: projects, MEMBER_MONTH: members}


def _different(
    table: MonthTable,
    stated: Mapping[Keys, Reported],
    found: Mapping[Keys, Any],
    differences: _Differences,
) -> Iterator[StatedRow]:
    for keys in sorted({*stated, *(keys for keys, row in found.items() if row.present)}):
        row, said = found.get(keys), stated.get(keys)
        told = StatedRow(keys, False, 0, 0)
        if row is not None:
            told = StatedRow(keys, row.present, row.experiments, row.size_bytes)
        wanted = told._replace(present=False) if said is None else _as_stated(told, said)
        if wanted != told:
            named = dict(zip(table.keys, keys, strict=True))
            differences.add(_COUNTED_AS[table], told.present - wanted.present, named)
            differences.add(Figure.EXPERIMENTS, told.experiments - wanted.experiments, named)
            differences.add(Figure.SIZE_BYTES, told.size_bytes - wanted.size_bytes, named)
            yield wanted


def _as_stated(told: StatedRow, said: Reported) -> StatedRow:
    return StatedRow(
        told.keys, True, said.number_of_experiments, _bytes_as_stated(told.size_bytes, said.size)
    )


def _bytes_as_stated(told: int, size: Size) -> int:
    return told if told in size else size.likely


_NO_USER = StatedUser(NOWHERE, False, None, None, False, None, False, 0, None, 0, None, None, 0, 0)


def _different_users(
    report: OpenReport, found: Mapping[Keys, Any], differences: _Differences
) -> Iterator[StatedUser]:
    stated = {user_id(user.username): user for user in report.users}
    emails = {
        user_id(member.user_name): member.email or ""
        for workspace in report.workspaces
        for member in workspace.members
    }
    licensed = {row.user_id for row in found.values() if row.licensed}
    for key in sorted({*stated, *emails, *licensed}):
        row, said = found.get((key,)), stated.get(key)
        told = _NO_USER._replace(user_id=key) if row is None else _as_told(row)
        if said is not None:
            wanted = _user_as_stated(told, said)
        else:
            wanted = told._replace(licensed=False, email=emails.get(key) or told.email)
        if wanted != told:
            _note_user(told, wanted, differences)
            yield wanted


def _as_told(row: Any) -> StatedUser:
    return StatedUser(*(getattr(row, name) for name in StatedUser._fields))


def _user_as_stated(told: StatedUser, said: ReportedUser) -> StatedUser:
    """What the document does not say stays as the events tell it."""
    stated: dict[str, Any] = {
        "created_at": said.created_at,
        "created_at_is_inferred": None if said.created_at is None else False,
        "deleted_at": said.deleted_at,
        "suspended": said.suspended,
        "ui_usage_count": said.ui_usage_count,
        "sdk_usage_count": said.sdk_usage_count,
        "last_used_at": said.last_used_at,
        "experiments": said.experiment_count,
    }
    wanted = told._replace(
        licensed=True,
        email=said.email or None,
        **{name: value for name, value in stated.items() if value is not None},
    )
    if said.ui_usage_update_ts is not None:
        wanted = wanted._replace(ui_used_at=said.ui_used_at)
    if said.sdk_usage_update_ts is not None:
        wanted = wanted._replace(sdk_used_at=said.sdk_used_at)
    if said.data_logged_mb is not None:
        size_bytes = _bytes_as_stated(told.size_bytes, Size.of(said.data_logged_mb))
        wanted = wanted._replace(size_bytes=size_bytes)
    return wanted


def _note_user(told: StatedUser, wanted: StatedUser, differences: _Differences) -> None:
    key = {"user_id": told.user_id}
    for figure, name in (
        (Figure.LICENSED_USERS, "licensed"),
        (Figure.EXPERIMENTS, "experiments"),
        (Figure.SIZE_BYTES, "size_bytes"),
        (Figure.UI_USAGE, "ui_usage_count"),
        (Figure.SDK_USAGE, "sdk_usage_count"),
    ):
        differences.add(figure, int(getattr(told, name)) - int(getattr(wanted, name)), key)
