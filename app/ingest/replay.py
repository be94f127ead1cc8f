"""Replay: compute a month's rows from all events, in one simple pass in order of time.

This is slow and deliberately independent: it shares no code with the timelines that batches are
stored with, so that each implementation verifies the other.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from app.domain.events import (
    AnyEvent,
    ExperimentCreated,
    ExperimentCreatedEvent,
    ExperimentDeletedEvent,
    ExperimentResizedEvent,
    MemberAddedEvent,
    MemberRemovedEvent,
    ProjectDeletedEvent,
    ProjectUpsertedEvent,
    UsageRecordedEvent,
    UserDeleted,
    UserDeletedEvent,
    UserUpserted,
    UserUpsertedEvent,
    WorkspaceDeletedEvent,
    WorkspaceUpsertedEvent,
)
from app.domain.months import Month

_TICK = timedelta(microseconds=1)

Name = tuple[str, ...]
"""Key of a row: (workspace), (workspace, project), (workspace, username) or (username)."""


class FigureTotals(NamedTuple):
    """The experiment figures of one row; `byte_microseconds` covers the whole month."""

    experiments: int = 0
    experiments_created: int = 0
    size_bytes: int = 0
    byte_microseconds: int = 0
    unmeasured: int = 0

    def __add__(self, other: tuple[Any, ...]) -> "FigureTotals":
        return FigureTotals(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class UserRow(NamedTuple):
    """A user in the month. Without any event, everything is unknown."""

    licensed: bool = False
    email: str | None = None
    role: str | None = None
    service_account: bool = False
    suspended: bool = False
    created_at: datetime | None = None
    created_at_is_inferred: bool = False
    deleted_at: datetime | None = None
    ui_usage_count: int = 0
    ui_used_at: datetime | None = None
    sdk_usage_count: int = 0
    sdk_used_at: datetime | None = None
    last_used_at: datetime | None = None


LEVELS = ("workspaces", "projects", "members", "users")


@dataclass
class MonthRows:
    """All rows of a month, by level: which entities exist at its end, and their figures.

    `last_experiments` says when an experiment was last created, moved or resized, in this month or
    an earlier one.
    """

    present: dict[str, set[Name]]
    figures: dict[str, dict[Name, FigureTotals]]
    users: dict[Name, UserRow]
    last_experiments: dict[str, dict[Name, datetime]]

    @classmethod
    def empty(cls) -> "MonthRows":
        """Return a month without any rows."""
        return cls(
            {level: set() for level in LEVELS[:3]},
            {level: {} for level in LEVELS},
            {},
            {level: {} for level in LEVELS},
        )

    @property
    def workspaces(self) -> set[Name]:
        """The workspaces that exist at the month's end."""
        return self.present["workspaces"]

    @property
    def projects(self) -> set[Name]:
        """The projects that exist at the month's end."""
        return self.present["projects"]

    @property
    def members(self) -> set[Name]:
        """The memberships that exist at the month's end."""
        return self.present["members"]


@dataclass
class _Experiment:
    workspace: str
    project: str
    username: str
    size_bytes: int | None
    since: datetime


_KEYS: Mapping[str, Callable[[str, str, str], Name]] = {
    "workspaces": lambda workspace, _, __: (workspace,),
    "projects": lambda workspace, project, _: (workspace, project),
    "members": lambda workspace, _, username: (workspace, username),
    "users": lambda _, __, username: (username,),
}
"""The key of a row, by level, from workspace, project and username."""


def replay(events: Iterable[AnyEvent], month: Month) -> MonthRows:
    """Return the rows of a month.

    Args:
        events: All events before the month's end, and later events about users, because they may
            state when an account was created. Sorted by time, then created before changed before
            deleted, then by uid.
        month: The month.
    """
    state = _ReplayState(month)
    for event in events:
        state.apply(event)
    return state.finish()


class _ReplayState:
    """The organization as it is after the events that have been applied so far."""

    def __init__(self, month: Month) -> None:
        self.month = month
        self.rows = MonthRows.empty()
        self.experiments: dict[str, _Experiment] = {}
        self.sizes: dict[str, int] = {}
        self.sums: dict[Name, FigureTotals] = defaultdict(FigureTotals)
        self.places: dict[str, set[Name]] = defaultdict(set)
        self.last_experiments: dict[Name, datetime] = {}
        self.usage: dict[tuple[str, str], list[tuple[datetime, int]]] = defaultdict(list)
        self.accounts: dict[str, UserHistory] = defaultdict(list)

    def apply(self, event: AnyEvent) -> None:
        at = event.time
        if isinstance(event, UserUpsertedEvent | UserDeletedEvent):
            self.accounts[event.data.username].append((at, event.data))
        if at >= self.month.end:
            return
        match event:
            case WorkspaceUpsertedEvent():
                self.rows.workspaces.add((event.data.name,))
            case WorkspaceDeletedEvent():
                self.end_workspace(at, event.data.name)
            case ProjectUpsertedEvent():
                self.begin_project(event.data.workspace, event.data.name)
            case ProjectDeletedEvent():
                self.end_project(at, event.data.workspace, event.data.name)
            case MemberAddedEvent():
                self.rows.workspaces.add((event.data.workspace,))
                self.rows.members.add((event.data.workspace, event.data.username))
            case MemberRemovedEvent():
                self.rows.members.discard((event.data.workspace, event.data.username))
            case UserDeletedEvent():
                username = event.data.username
                self.end_members(lambda member: member[1] == username)
            case UsageRecordedEvent():
                usage = event.data
                self.usage[usage.username, usage.channel].append((at, usage.uses))
            case ExperimentCreatedEvent():
                self.place(at, event.data)
            case ExperimentResizedEvent():
                self.resize(at, event.data.experiment, event.data.size_bytes)
            case ExperimentDeletedEvent():
                self.remove(at, event.data.experiment)

    def begin_project(self, workspace: str, project: str) -> None:
        self.rows.workspaces.add((workspace,))
        self.rows.projects.add((workspace, project))

    def end_project(self, at: datetime, workspace: str, project: str) -> None:
        self.rows.projects.discard((workspace, project))
        for name, experiment in list(self.experiments.items()):
            if (experiment.workspace, experiment.project) == (workspace, project):
                self.remove(at, name)

    def end_workspace(self, at: datetime, workspace: str) -> None:
        for owner, project in [each for each in self.rows.projects if each[0] == workspace]:
            self.end_project(at, owner, project)
        self.end_members(lambda member: member[0] == workspace)
        self.rows.workspaces.discard((workspace,))

    def end_members(self, is_ended: Callable[[Name], bool]) -> None:
        ended = [member for member in self.rows.members if is_ended(member)]
        self.rows.members.difference_update(ended)

    def place(self, at: datetime, data: ExperimentCreated) -> None:
        self.begin_project(data.workspace, data.project)
        place = (data.workspace, data.project, data.username)
        self.places[data.experiment].add(place)
        self.last_experiments[place] = at
        name, previous = data.experiment, self.experiments.get(data.experiment)
        size_bytes = self.sizes.get(name) if data.size_bytes is None else data.size_bytes
        if previous is not None:
            self.add_storage(at, previous)
        if size_bytes is not None:
            self.sizes[name] = size_bytes
        experiment = _Experiment(data.workspace, data.project, data.username, size_bytes, at)
        self.experiments[name] = experiment
        if previous is None and at >= self.month.start:
            self.add(experiment, FigureTotals(experiments_created=1))

    def resize(self, at: datetime, name: str, size_bytes: int) -> None:
        self.sizes[name] = size_bytes
        for place in self.places[name]:
            self.last_experiments[place] = at
        if (experiment := self.experiments.get(name)) is not None:
            self.add_storage(at, experiment)
            experiment.size_bytes = size_bytes

    def remove(self, at: datetime, name: str) -> None:
        self.sizes.pop(name, None)
        if (experiment := self.experiments.pop(name, None)) is not None:
            self.add_storage(at, experiment)

    def add_storage(self, at: datetime, experiment: _Experiment) -> None:
        """Add the byte-microseconds that the experiment has stored in the month until `at`."""
        duration = at - max(experiment.since, self.month.start)
        if duration > timedelta(0):
            span = duration // timedelta(microseconds=1)
            self.add(
                experiment, FigureTotals(byte_microseconds=(experiment.size_bytes or 0) * span)
            )
        experiment.since = at

    def add(self, experiment: _Experiment, sums: FigureTotals) -> None:
        self.sums[experiment.workspace, experiment.project, experiment.username] += sums

    def finish(self) -> MonthRows:
        for experiment in self.experiments.values():
            self.add_storage(self.month.end, experiment)
            sums = FigureTotals(
                experiments=1,
                size_bytes=experiment.size_bytes or 0,
                unmeasured=int(experiment.size_bytes is None),
            )
            self.add(experiment, sums)
        self.rows.figures = {level: self.sum_by(key) for level, key in _KEYS.items()}
        self.rows.last_experiments = {level: self.latest_by(key) for level, key in _KEYS.items()}
        usernames = {*self.accounts, *(username for username, _ in self.usage)}
        self.rows.users = {(username,): self.to_user_row(username) for username in usernames}
        return self.rows

    def sum_by(self, key: Any) -> dict[Name, FigureTotals]:
        total: dict[Name, FigureTotals] = defaultdict(FigureTotals)
        for place, sums in self.sums.items():
            total[key(*place)] += sums
        return {name: sums for name, sums in total.items() if any(sums)}

    def latest_by(self, key: Any) -> dict[Name, datetime]:
        latest: dict[Name, datetime] = {}
        for place, at in self.last_experiments.items():
            name = key(*place)
            latest[name] = max(at, latest.get(name, at))
        return latest

    def to_user_row(self, username: str) -> UserRow:
        ui, sdk = (self.usage[username, channel] for channel in ("ui", "sdk"))
        in_month = [[(at, n) for at, n in used if at >= self.month.start] for used in (ui, sdk)]
        (ui_count, ui_at), (sdk_count, sdk_at) = map(_sum_usage, in_month)
        account = _to_account_row(self.accounts[username], self.month)
        return account._replace(
            ui_usage_count=ui_count,
            ui_used_at=ui_at,
            sdk_usage_count=sdk_count,
            sdk_used_at=sdk_at,
            last_used_at=_sum_usage([*ui, *sdk])[1],
        )


UserHistory = list[tuple[datetime, UserUpserted | UserDeleted]]
"""Upserts and deletions of a user in order of time."""


def _sum_usage(used: list[tuple[datetime, int]]) -> tuple[int, datetime | None]:
    return sum(n for _, n in used), max((at for at, n in used if n), default=None)


def _to_account_row(history: UserHistory, month: Month) -> UserRow:
    """Return a user's row without usage: the last known properties of the latest lifespan."""
    begun = [lifespan for lifespan in _lifespans(history) if lifespan[0] < month.end]
    if not begun:
        return UserRow()
    started_at, ended_at = begun[-1]
    upserts = [(at, data) for at, data in history if isinstance(data, UserUpserted)]
    renames = [at for at, data in history if isinstance(data, UserDeleted) and data.renamed_to]
    # The licence of a user who was renamed goes to the new name, and a deletion at the month's
    # first instant was before the month.
    last_unlicensed = month.end - _TICK if ended_at in renames else month.start
    during = [
        upsert
        for upsert in upserts
        if started_at <= upsert[0] and (ended_at is None or upsert[0] <= ended_at)
    ]
    during = during or [next(upsert for upsert in upserts if upsert[0] >= started_at)]
    known = [data for at, data in during if at < month.end] or [during[0][1]]

    created_at_is_stated = any(data.created_at == started_at for _, data in during)

    def last(name: str, default: object) -> Any:
        values = [getattr(data, name) for data in known if getattr(data, name) is not None]
        return values[-1] if values else default

    return UserRow(
        licensed=ended_at is None or ended_at > last_unlicensed,
        email=last("email", None),
        role=last("role", "MEMBER"),
        service_account=last("service_account", False),
        suspended=last("suspended", False),
        created_at=last("created_at", started_at),
        created_at_is_inferred=last("created_at", None) is None and not created_at_is_stated,
        deleted_at=ended_at if ended_at is not None and ended_at < month.end else None,
    )


def _lifespans(history: UserHistory) -> list[tuple[datetime, datetime | None]]:
    """Return the lifespans of an account. At the same instant, creation precedes deletion."""
    moments = {(at, isinstance(data, UserDeleted)) for at, data in history}
    moments |= {
        (data.created_at, False)
        for at, data in history
        if isinstance(data, UserUpserted) and data.created_at and data.created_at < at
    }
    lifespans: list[tuple[datetime, datetime | None]] = []
    for at, is_deletion in sorted(moments):
        exists = bool(lifespans) and lifespans[-1][1] is None
        if is_deletion and exists:
            lifespans[-1] = (lifespans[-1][0], at)
        elif not is_deletion and not exists and not (lifespans and lifespans[-1][1] == at):
            lifespans.append((at, None))
    return lifespans
