"""Track users and members: owners of runs, and accounts of the basic-auth app."""

from collections.abc import AsyncIterator, Container, Mapping

import msgspec

from app.connectors.mlflow.checkpoint import (
    MEMBERS,
    USERS,
    BatchBuilder,
    decode_pair,
    encode,
    load_ends,
)
from app.connectors.mlflow.event_writer import EventWriter
from app.connectors.mlflow.load_context import LoadContext
from app.connectors.mlflow.mapping import ProjectKey
from app.connectors.mlflow.records import UNKNOWN_OWNER, MlflowAccount
from app.domain.sources import SourceBatch

_USER, _MEMBER = "user", "member"
Member = tuple[str, str]
"""A workspace and a username."""


class MemberCheckpoint(msgspec.Struct, array_like=True):
    """Since when a user is a member, and whether because of a role."""

    since_ms: int
    by_role: bool


_decode_member = msgspec.json.Decoder(MemberCheckpoint).decode


class UserTracker:
    """Compares the users and members that were reported with those that exist now.

    Args:
        events: Formats the events.
        users: The reported users, and since when.
        members: The reported members.
        accounts: The accounts of the basic-auth app by username; None if it is not used.
        user_ends: When users were reported as deleted.
        member_ends: When members were reported as removed.
    """

    def __init__(
        self,
        events: EventWriter,
        users: dict[str, int],
        members: dict[Member, MemberCheckpoint],
        accounts: Mapping[str, MlflowAccount] | None,
        user_ends: dict[str, int],
        member_ends: dict[Member, int],
    ) -> None:
        self._events = events
        self._users = users
        self._members = members
        self._accounts = accounts
        self._user_ends = user_ends
        self._member_ends = member_ends
        self._without_account: set[str] = set()

    @property
    def has_accounts(self) -> bool:
        """Return whether the accounts of the basic-auth app are known."""
        return self._accounts is not None

    def record_activity(self, batch: BatchBuilder, username: str, workspace: str, at: int) -> None:
        """Make the owner of a run a user and a member since their earliest run.

        A run proves nothing about the time after the user or the membership ended.
        """
        if username == UNKNOWN_OWNER:
            return
        if self._accounts is not None and username not in self._accounts:
            self._skip_user_without_account(batch, username)
            return
        user_end = self._user_ends.get(username, 0)
        if user_end < at < self._users.get(username, at + 1):
            self._report_user(batch, username, at)
        key = (workspace, username)
        before = self._members.get(key)
        member_end = max(user_end, self._member_ends.get(key, 0))
        if member_end < at and (before is None or at < before.since_ms):
            by_role = before is not None and before.by_role
            member = MemberCheckpoint(at, by_role)
            self._report_member(batch, key, member)

    def _skip_user_without_account(self, batch: BatchBuilder, username: str) -> None:
        if username not in self._without_account:
            self._without_account.add(username)
            reason = (
                "has runs but no account in the basic-auth app: owns the runs, is not licensed"
            )
            batch.skip(f"user {username}", reason)

    def _report_user(self, batch: BatchBuilder, username: str, at: int) -> None:
        id_ = f"user/{username}/{at}"
        batch.lines.append(self._events.format_event(id_, "user.upserted", at, username=username))
        batch.set_checkpoint(USERS, username, str(at))
        self._users[username] = at

    def _report_member(
        self, batch: BatchBuilder, member: Member, checkpoint: MemberCheckpoint
    ) -> None:
        batch.lines.append(self._format_member("member.added", member, checkpoint.since_ms))
        batch.set_checkpoint(MEMBERS, encode(member), encode(checkpoint))
        self._members[member] = checkpoint

    def _format_member(self, type_: str, member: Member, at: int) -> bytes:
        workspace, username = member
        id_ = f"{type_}/{encode(member)}/{at}"
        return self._events.format_event(id_, type_, at, workspace=workspace, username=username)

    def report_accounts(
        self, batch: BatchBuilder, now: int, roles: set[Member], workspaces: Container[str]
    ) -> None:
        """Report accounts without runs, deleted accounts, and changed roles."""
        if self._accounts is None:
            return
        for username in sorted(self._accounts.keys() - self._users.keys()):
            self._report_user(batch, username, now)
            self._restore_members(batch, username, now, workspaces)
        for username in sorted(self._users.keys() - self._accounts.keys()):
            self._report_deleted_user(batch, username, now)
        self._report_roles(batch, roles, now)

    def _restore_members(
        self, batch: BatchBuilder, username: str, now: int, workspaces: Container[str]
    ) -> None:
        """Make a user whose account is there again a member where they were when it vanished."""
        for member, ended_ms in sorted(self._member_ends.items()):
            is_theirs = member[1] == username and member[0] in workspaces
            if is_theirs and ended_ms == self._user_ends.get(username):
                self._report_member(batch, member, MemberCheckpoint(now, by_role=False))

    def count_missing(self) -> tuple[int, int]:
        """Return how many reported users have no account any more, and how many there were."""
        if self._accounts is None:
            return 0, 0
        return len(self._users.keys() - self._accounts.keys()), len(self._users)

    def find_roles(
        self, projects: Mapping[str, ProjectKey], *, workspace_roles: bool
    ) -> set[Member]:
        """Return who has a role in a workspace, or a permission for one of its experiments.

        Args:
            projects: The project of each experiment.
            workspace_roles: Whether MLflow's workspaces are the report's workspaces, so that roles
                in them count.
        """
        accounts = (self._accounts or {}).values()
        by_experiment = {
            (projects[experiment_id].workspace, account.username)
            for account in accounts
            for experiment_id in account.experiments
            if experiment_id in projects
        }
        if not workspace_roles:
            return by_experiment
        return by_experiment | {
            (workspace, account.username)
            for account in accounts
            for workspace in account.workspaces
        }

    def _report_deleted_user(self, batch: BatchBuilder, username: str, now: int) -> None:
        id_ = f"user/{username}/{now}/deleted"
        batch.lines.append(self._events.format_event(id_, "user.deleted", now, username=username))
        batch.set_checkpoint(USERS, username, None)
        batch.record_end(_USER, username, now)
        self.forget_members(batch, now, username=username)

    def forget_members(
        self, batch: BatchBuilder, now: int, *, workspace: str = "", username: str = ""
    ) -> None:
        """Delete the checkpoints of the members that ended with their workspace or user."""
        for member in [*self._members]:
            if workspace == member[0] or username == member[1]:
                self._forget_member(batch, member, now)

    def _forget_member(self, batch: BatchBuilder, member: Member, now: int) -> None:
        batch.set_checkpoint(MEMBERS, encode(member), None)
        batch.record_end(_MEMBER, encode(member), now)
        self._member_ends[member] = now
        del self._members[member]

    def _report_roles(self, batch: BatchBuilder, roles: set[Member], now: int) -> None:
        for member in sorted(roles - self._members.keys()):
            self._report_member(batch, member, MemberCheckpoint(now, by_role=True))
        for member, before in sorted(self._members.items()):
            if before.by_role and member not in roles:
                batch.lines.append(self._format_member("member.removed", member, now))
                self._forget_member(batch, member, now)
            elif member in roles and not before.by_role:
                after = MemberCheckpoint(before.since_ms, by_role=True)
                batch.set_checkpoint(MEMBERS, encode(member), encode(after))


async def load_users(context: LoadContext) -> UserTracker:
    """Load the reported users and members, and the current accounts."""
    found = None if context.directory is None else await context.directory.accounts()
    accounts = None if found is None else {each.username: each for each in found}
    users = {key: int(value) for key, value in (await context.load_checkpoint(USERS)).items()}
    members = {
        decode_pair(key): _decode_member(value)
        for key, value in (await context.load_checkpoint(MEMBERS)).items()
    }
    user_ends = await load_ends(context.load_checkpoint, _USER)
    member_ends = await load_ends(context.load_checkpoint, _MEMBER)
    return UserTracker(
        context.events,
        users,
        members,
        accounts,
        user_ends,
        {decode_pair(key): at for key, at in member_ends.items()},
    )


async def read_accounts(
    context: LoadContext, projects: Mapping[str, ProjectKey], users: UserTracker
) -> AsyncIterator[SourceBatch]:
    """Yield the accounts of the basic-auth app.

    Runs must be read first: their owners are users since an earlier time.
    """
    batch = BatchBuilder()
    context.require_most_present("users", *users.count_missing())
    roles = users.find_roles(projects, workspace_roles=context.rule.follows_mlflow)
    workspaces = {project.workspace for project in projects.values()}
    users.report_accounts(batch, context.now_ms, roles, workspaces)
    if context.directory is not None and not users.has_accounts:
        reason = (
            "this version of MLflow does not list them over REST: give --auth-store; without it, "
            "only owners of runs are users"
        )
        batch.skip("users of the basic-auth app", reason)
    yield batch.build()
