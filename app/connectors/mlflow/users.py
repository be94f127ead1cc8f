"""Users and members: who logs runs, and who has an account in the basic-auth app."""

from collections.abc import AsyncIterator, Mapping

import msgspec

from app.connectors.mlflow.checkpoint import MEMBERS, USERS, BatchBuilder, pair, written
from app.connectors.mlflow.event_writer import EventWriter
from app.connectors.mlflow.load_context import LoadContext
from app.connectors.mlflow.mapping import ProjectKey
from app.connectors.mlflow.records import MlflowAccount
from app.domain.sources import SourceBatch

UNKNOWN_OWNER = "(unknown)"
"""Who owns a run that names nobody: its bytes are there all the same."""
Member = tuple[str, str]
"""A workspace and a username."""


class _Told(msgspec.Struct, array_like=True):
    """Since when somebody is a member, and whether a role says so."""

    since_ms: int
    by_role: bool


_read = msgspec.json.Decoder(_Told).decode


class UserTracker:
    """Users and members as they were told, and as they are found now.

    Args:
        events: Writes the events.
        users: Who was told to be a user, and since when.
        members: Who was told to be a member, and since when.
        accounts: The users of the basic-auth app; None where it is not used.
    """

    def __init__(
        self,
        events: EventWriter,
        users: dict[str, int],
        members: dict[Member, _Told],
        accounts: Mapping[str, MlflowAccount] | None,
    ) -> None:
        self._events = events
        self._users = users
        self._members = members
        self._accounts = accounts
        self._strangers: set[str] = set()

    @property
    def are_listed(self) -> bool:
        """Whether the accounts of the basic-auth app are known."""
        return self._accounts is not None

    def saw(self, draft: BatchBuilder, username: str, workspace: str, at: int) -> None:
        """Whoever logs a run is a user and a member, from the earliest run on that says so."""
        if username == UNKNOWN_OWNER:
            return
        if self._accounts is not None and username not in self._accounts:
            self._note_stranger(draft, username)
            return
        if at < self._users.get(username, at + 1):
            self._tell_user(draft, username, at)
        told = self._members.get((workspace, username))
        if told is None or at < told.since_ms:
            by_role = told is not None and told.by_role
            self._tell_member(draft, (workspace, username), _Told(at, by_role))

    def _note_stranger(self, draft: BatchBuilder, username: str) -> None:
        if username not in self._strangers:
            self._strangers.add(username)
            why = "logs runs and has no account in the basic-auth app: owns them, is not licensed"
            draft.skip(f"user {username}", why)

    def _tell_user(self, draft: BatchBuilder, username: str, at: int) -> None:
        id_ = f"user/{username}/{at}"
        draft.lines.append(self._events.line(id_, "user.upserted", at, username=username))
        draft.remember(USERS, username, str(at))
        self._users[username] = at

    def _tell_member(self, draft: BatchBuilder, member: Member, told: _Told) -> None:
        draft.lines.append(self._line("member.added", member, told.since_ms))
        draft.remember(MEMBERS, written(member), written(told))
        self._members[member] = told

    def _line(self, type_: str, member: Member, at: int) -> bytes:
        workspace, username = member
        id_ = f"{type_}/{written(member)}/{at}"
        return self._events.line(id_, type_, at, workspace=workspace, username=username)

    def account_for(self, draft: BatchBuilder, now: int, roles: set[Member]) -> None:
        """Users of the basic-auth app who log nothing, those who are gone, and their roles."""
        if self._accounts is None:
            return
        for username in sorted(self._accounts.keys() - self._users.keys()):
            self._tell_user(draft, username, now)
        for username in sorted(self._users.keys() - self._accounts.keys()):
            self._tell_gone(draft, username, now)
        self._account_for_roles(draft, roles, now)

    def lost(self) -> tuple[int, int]:
        """How many who were told to be users have no account any more, and how many were told."""
        if self._accounts is None:
            return 0, 0
        return len(self._users.keys() - self._accounts.keys()), len(self._users)

    def roles(self, places: Mapping[str, ProjectKey], *, of_workspaces: bool) -> set[Member]:
        """Who has a role in a workspace, or a permission for an experiment that is counted there.

        Args:
            places: Where each experiment is counted.
            of_workspaces: Whether MLflow's workspaces are ours, so that roles in them count.
        """
        accounts = (self._accounts or {}).values()
        of_experiments = {
            (places[each].workspace, account.username)
            for account in accounts
            for each in account.experiments
            if each in places
        }
        if not of_workspaces:
            return of_experiments
        return of_experiments | {
            (workspace, account.username)
            for account in accounts
            for workspace in account.workspaces
        }

    def _tell_gone(self, draft: BatchBuilder, username: str, now: int) -> None:
        id_ = f"user/{username}/{now}/deleted"
        draft.lines.append(self._events.line(id_, "user.deleted", now, username=username))
        draft.remember(USERS, username, None)
        for member in [each for each in self._members if each[1] == username]:
            draft.remember(MEMBERS, written(member), None)
            del self._members[member]

    def _account_for_roles(self, draft: BatchBuilder, roles: set[Member], now: int) -> None:
        for member in sorted(roles - self._members.keys()):
            self._tell_member(draft, member, _Told(now, by_role=True))
        for member, told in sorted(self._members.items()):
            if told.by_role and member not in roles:
                draft.lines.append(self._line("member.removed", member, now))
                draft.remember(MEMBERS, written(member), None)
            elif member in roles and not told.by_role:
                draft.remember(MEMBERS, written(member), written(_Told(told.since_ms, True)))


async def load_users(context: LoadContext) -> UserTracker:
    """Users and members as they were told, and the accounts as they are."""
    found = None if context.directory is None else await context.directory.accounts()
    accounts = None if found is None else {each.username: each for each in found}
    users = {key: int(value) for key, value in (await context.load_checkpoint(USERS)).items()}
    members = await context.load_checkpoint(MEMBERS)
    told = {pair(key): _read(value) for key, value in members.items()}
    return UserTracker(context.events, users, told, accounts)


async def read_accounts(
    context: LoadContext, places: Mapping[str, ProjectKey], people: UserTracker
) -> AsyncIterator[SourceBatch]:
    """The accounts of the basic-auth app; last, since who logs runs is known longer."""
    draft = BatchBuilder()
    context.insist_on_most("users", *people.lost())
    roles = people.roles(places, of_workspaces=context.rule.follows_mlflow)
    people.account_for(draft, context.now_ms, roles)
    if context.directory is not None and not people.are_listed:
        why = "this version of MLflow does not list them over REST: give --auth-store, or only "
        draft.skip("users of the basic-auth app", f"{why}who logs runs is a user")
    yield draft.build()
