"""Convert a report to month rows with exactly its figures."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from app.connectors.reports.document import Document, ReportedUser, to_bytes
from app.db.directory import NewProject, NewUser, NewWorkspace
from app.db.imported_months import ReportedRow, ReportedUserRow
from app.db.months import MEMBER_MONTH, PROJECT_MONTH, WORKSPACE_MONTH, MonthTable
from app.domain.ids import project_id, user_id, workspace_id
from app.domain.months import Month

_DEFAULT_ROLE = "MEMBER"
_MICROSECOND = timedelta(microseconds=1)


class ReportRows(NamedTuple):
    """The rows of a report's month.

    Attributes:
        entities: The entities that the rows refer to, for `app.db.directory.insert_entities`.
        levels: The rows of workspaces, projects and members.
        users: The rows of licensed users, and of members who are not licensed.
    """

    entities: Mapping[type[NamedTuple], Collection[tuple[Any, ...]]]
    levels: Mapping[MonthTable, Sequence[ReportedRow]]
    users: Sequence[ReportedUserRow]

    @property
    def is_ui_measured(self) -> bool:
        """Whether any user used the UI."""
        return any(user.ui_usage_count for user in self.users)

    @property
    def is_sdk_measured(self) -> bool:
        """Whether any user used the SDK."""
        return any(user.sdk_usage_count for user in self.users)

    @property
    def row_count(self) -> int:
        """The number of rows."""
        return len(self.users) + sum(map(len, self.levels.values()))


def to_month_rows(document: Document, month: Month) -> ReportRows:
    """Return the rows of a checked document."""
    workspaces, projects, members = [], [], []
    for workspace in document.workspaces:
        key = workspace_id(workspace.name)
        figures = workspace.number_of_experiments, workspace.size_bytes
        workspaces.append(ReportedRow((key,), workspace.name, *figures))
        for project in workspace.projects:
            keys = key, project_id(workspace.name, project.name)
            figures = project.number_of_experiments, project.size_bytes
            projects.append(ReportedRow(keys, project.name, *figures))
        for member in workspace.members:
            keys = key, user_id(member.user_name)
            figures = member.number_of_experiments, member.size_bytes
            members.append(ReportedRow(keys, member.user_name, *figures))
    users = list(_to_user_rows(document, members, month))
    entities: Mapping[type[NamedTuple], Collection[tuple[Any, ...]]] = {
        NewUser: [(row.user_id, row.username) for row in users],
        NewWorkspace: [(*row.keys, row.name) for row in workspaces],
        NewProject: [(row.keys[1], row.keys[0], row.name) for row in projects],
    }
    levels = {WORKSPACE_MONTH: workspaces, PROJECT_MONTH: projects, MEMBER_MONTH: members}
    return ReportRows(entities, levels, users)


class _Owned(NamedTuple):
    """The experiments that a user owns in all workspaces."""

    experiments: int = 0
    size_bytes: int = 0


def _to_user_rows(
    document: Document, members: Sequence[ReportedRow], month: Month
) -> Iterator[ReportedUserRow]:
    """Yield a row for each user, and for unlicensed members, because it holds their email."""
    emails = {
        member.user_name: member.email
        for workspace in document.workspaces
        for member in workspace.members
        if member.email
    }
    owned = _sum_by_user(members)
    licensed = document.users.licensed_users
    for user in licensed:
        email = user.email or emails.get(user.username)
        key = user_id(user.username)
        yield _to_licensed_row(user, key, email, owned.get(key, _Owned()), month)
    listed = {user.username for user in licensed}
    others = {row.name: row.keys[1] for row in members if row.name not in listed}
    for username, key in others.items():
        yield _to_unlicensed_row(username, key, emails.get(username), owned[key])


def _sum_by_user(members: Sequence[ReportedRow]) -> Mapping[UUID, _Owned]:
    owned: dict[UUID, _Owned] = defaultdict(_Owned)
    for row in members:
        key, known = row.keys[1], owned[row.keys[1]]
        owned[key] = _Owned(known.experiments + row.experiments, known.size_bytes + row.size_bytes)
    return owned


def _to_licensed_row(
    user: ReportedUser, key: UUID, email: str | None, owned: _Owned, month: Month
) -> ReportedUserRow:
    # Without a creation date, the report shows only that the account existed within the month.
    created_at = user.created_at or user.deleted_at or month.end - _MICROSECOND
    count, megabytes = user.experiment_count, user.data_logged_mb
    return ReportedUserRow(
        user_id=key,
        username=user.username,
        licensed=True,
        email=email,
        role=_DEFAULT_ROLE,
        created_at=created_at,
        created_at_is_inferred=user.created_at is None,
        deleted_at=user.deleted_at,
        suspended=bool(user.suspended),
        ui_usage_count=user.ui_usage_count or 0,
        ui_used_at=user.ui_used_at,
        sdk_usage_count=user.sdk_usage_count or 0,
        sdk_used_at=user.sdk_used_at,
        last_used_at=user.last_used_at,
        experiments=owned.experiments if count is None else count,
        size_bytes=owned.size_bytes if megabytes is None else to_bytes(megabytes),
    )


def _to_unlicensed_row(
    username: str, key: UUID, email: str | None, owned: _Owned
) -> ReportedUserRow:
    return ReportedUserRow(
        user_id=key,
        username=username,
        licensed=False,
        email=email,
        role=_DEFAULT_ROLE,
        created_at=None,
        created_at_is_inferred=False,
        deleted_at=None,
        suspended=False,
        ui_usage_count=0,
        ui_used_at=None,
        sdk_usage_count=0,
        sdk_used_at=None,
        last_used_at=None,
        experiments=owned.experiments,
        size_bytes=owned.size_bytes,
    )
