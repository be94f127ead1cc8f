"""What must have happened within a month for its end to be as a report says: as events.

A report says how things stood at a month's end, and not when they came to be so. So what differs
from the month before is dated in the middle of the month, and at its first instant in the first
month of all. A user who is listed no more was, by the rule of the report, deleted before the month
began: the deletion is dated in the last instants of the month before.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson

from app.connectors.reports.cells import Cell, Held, Margin, fill
from app.connectors.reports.document import (
    OpenReport,
    ReportedUser,
    ReportedWorkspace,
)
from app.connectors.reports.owners import former_owners, margins
from app.domain.ids import derive_id
from app.ingest.replay import MonthRows, Name, UserRow

SOURCE = "/chargeback/imported-report"
Cells = Mapping[str, Mapping[Cell, Held]]
"""By workspace: what imported experiments there are."""

ENDED_BY_HAND_OVER = "ended/{name}/{at:%Y-%m}"
"""The id of the fact that an experiment, by its name, ended with a hand-over."""
_TICK = timedelta(microseconds=1)


class Changes:
    """The events of one report, after the month as all events before tell it.

    Args:
        report: The report.
        before: How the month would end without it; `first` when there was nothing before.
        cells: The imported experiments at the month's end without it.
        again: How often the month was opened again: facts of a second report come after the
            first one's.
    """

    def __init__(self, report: OpenReport, before: MonthRows, cells: Cells, *, again: int) -> None:
        self._report, self._before, self._cells, self._again = report, before, cells, again
        self._month = report.month
        first = not any(before.present.values())
        self._turn = self._start if first else self._start + (self._end - self._start) / 2
        self._turn += again * _TICK

    @property
    def _start(self) -> datetime:
        return self._month.start

    @property
    def _end(self) -> datetime:
        return self._month.end

    def lines(self) -> Iterator[bytes]:
        """One CloudEvent each; the same report after the same month, the same events."""
        yield from self._users()
        yield from self._directory()
        yield from self._members()
        former = former_owners(self._report)
        for workspace in self._report.workspaces:
            yield from self._experiments(workspace, former.get(workspace.name, {}))
        for user in self._report.users:
            yield from self._usage(user)

    def _event(self, kind: str, at: datetime, **said: Any) -> bytes:
        what = orjson.dumps([kind, at, said], option=orjson.OPT_SORT_KEYS)
        digest = hashlib.blake2b(what, digest_size=16).hexdigest()
        return _line(f"{self._month}/{self._again}/{digest}", kind, at, **said)

    def _users(self) -> Iterator[bytes]:
        listed = {user.username for user in self._report.users}
        workspaces: dict[str, list[str]] = defaultdict(list)
        for workspace, member in sorted(self._before.members):
            workspaces[member].append(workspace)
        for (username,), row in sorted(self._before.users.items()):
            if row.licensed and row.deleted_at is None and username not in listed:
                yield from self._vanished(username, workspaces[username])
        for user in self._report.users:
            yield from self._announced(user)

    def _vanished(self, username: str, workspaces: Iterable[str]) -> Iterator[bytes]:
        """Not licensed in this month, so deleted in the last: after which it stayed a member."""
        gone_at = self._start - 2 * _TICK
        yield self._event("user.deleted", gone_at, username=username)
        for workspace in workspaces:
            yield self._event(
                "member.added", gone_at + _TICK, workspace=workspace, username=username
            )

    def _announced(self, user: ReportedUser) -> Iterator[bytes]:
        ended_at = self._ended_at(user)
        if user.deleted_at is None or user.deleted_at >= self._start:
            known = self._before.users.get((user.username,), UserRow())
            said = _said(user)
            if not known.licensed or any(getattr(known, key) != said[key] for key in said):
                at = self._first_seen(user)
                at = at if ended_at is None else min(at, ended_at)
                yield self._event("user.upserted", at, **_in_the_feed(user))
        if ended_at is not None:
            yield self._event("user.deleted", ended_at, username=user.username)

    def _ended_at(self, user: ReportedUser) -> datetime | None:
        """When a user was deleted, if before the month's end; not before it began."""
        if user.deleted_at is None or user.deleted_at >= self._end:
            return None
        return max(user.deleted_at, self._start)

    def _first_seen(self, user: ReportedUser) -> datetime:
        """When it was created, if that is in the month; else when things changed."""
        created_at = user.created_at
        known = self._before.users.get((user.username,), UserRow()).licensed
        if created_at is None or known or not self._start <= created_at < self._turn:
            return self._turn
        return created_at

    def _directory(self) -> Iterator[bytes]:
        at = self._turn
        workspaces = {(workspace.name,) for workspace in self._report.workspaces}
        projects = {
            (workspace.name, project.name)
            for workspace in self._report.workspaces
            for project in workspace.projects
        }
        for (name,) in sorted(self._before.workspaces - workspaces):
            yield self._event("workspace.deleted", at, name=name)
        for (name,) in sorted(workspaces - self._before.workspaces):
            yield self._event("workspace.upserted", at, name=name)
        for workspace, name in sorted(self._before.projects - projects):
            if (workspace,) in workspaces:
                yield self._event("project.deleted", at, workspace=workspace, name=name)
        for workspace, name in sorted(projects - self._before.projects):
            yield self._event("project.upserted", at, workspace=workspace, name=name)

    def _members(self) -> Iterator[bytes]:
        workspaces = {workspace.name for workspace in self._report.workspaces}
        members = {
            (workspace.name, member.user_name)
            for workspace in self._report.workspaces
            for member in workspace.members
        }
        ended = {user.username: self._ended_at(user) for user in self._report.users}
        for workspace, username in sorted(self._before.members - members):
            if workspace in workspaces:
                yield self._event(
                    "member.removed", self._turn, workspace=workspace, username=username
                )
        for workspace, username in sorted(members):
            # A deletion ends memberships, but the report may list them all the same.
            ended_at = ended.get(username)
            if ended_at is not None or (workspace, username) not in self._before.members:
                at = self._turn if ended_at is None else max(self._turn, ended_at + _TICK)
                yield self._event("member.added", at, workspace=workspace, username=username)

    def _experiments(
        self, workspace: ReportedWorkspace, former: Mapping[str, Margin]
    ) -> Iterator[bytes]:
        before = self._cells.get(workspace.name, {})
        after = fill(*margins(workspace, former), workspace.size, before)
        for cell in sorted({*before, *after}):
            yield from self._cell(
                workspace.name, cell, before.get(cell, Held()), after.get(cell, Held())
            )

    def _cell(self, workspace: str, cell: Cell, was: Held, now: Held) -> Iterator[bytes]:
        """The first experiment of a cell holds all its bytes; the others only count."""
        for number in range(was.experiments + 1, now.experiments + 1):
            yield self._event(
                "experiment.created",
                self._turn,
                experiment=experiment_name(workspace, cell, number),
                workspace=workspace,
                project=cell[0],
                username=cell[1],
                sizeBytes=now.size_bytes if number == 1 else 0,
            )
        for number in range(now.experiments + 1, was.experiments + 1):
            name = experiment_name(workspace, cell, number)
            yield self._event("experiment.deleted", self._turn, experiment=name)
        if was.experiments and now.experiments and was.size_bytes != now.size_bytes:
            name = experiment_name(workspace, cell, 1)
            yield self._event(
                "experiment.resized", self._turn, experiment=name, sizeBytes=now.size_bytes
            )

    def _usage(self, user: ReportedUser) -> Iterator[bytes]:
        known = self._before.users.get((user.username,), UserRow())
        for channel, count, at, counted in (
            ("ui", user.ui_usage_count, user.ui_used_at, known.ui_usage_count),
            ("sdk", user.sdk_usage_count, user.sdk_used_at, known.sdk_usage_count),
        ):
            if (more := (count or 0) - counted) > 0:
                yield self._event(
                    "usage.recorded",
                    at if at is not None and self._start <= at < self._end else self._end - _TICK,
                    username=user.username,
                    channel=channel,
                    count=more,
                )


def ended(cells: Cells, at: datetime) -> Iterator[bytes]:
    """The imported experiments end: whatever goes on is told by somebody else."""
    for workspace, held in sorted(cells.items()):
        for cell, known in sorted(held.items()):
            for number in range(1, known.experiments + 1):
                name = experiment_name(workspace, cell, number)
                id_ = ENDED_BY_HAND_OVER.format(name=name, at=at)
                yield _line(id_, "experiment.deleted", at, experiment=name)


def _line(id_: str, kind: str, at: datetime, **said: Any) -> bytes:
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": id_,
            "source": SOURCE,
            "type": kind,
            "time": at,
            "data": said,
        }
    )


def experiment_name(workspace: str, cell: Cell, number: int) -> str:
    """The identifier of an imported experiment: which of its workspace, project and owner."""
    return f"imported-{derive_id('cell', workspace, *cell).hex}-{number}"


def _said(user: ReportedUser) -> dict[str, Any]:
    said = {
        "email": user.email or None,
        "created_at": user.created_at,
        "suspended": user.suspended,
    }
    return {key: value for key, value in said.items() if value is not None}


def _in_the_feed(user: ReportedUser) -> dict[str, Any]:
    names = {"created_at": "createdAt"}
    said = {names.get(key, key): value for key, value in _said(user).items()}
    return {"username": user.username, **said}


class CellsTold:
    """The imported experiments that exist after what was told of them.

    It takes facts of the imported experiments, and every deletion of a workspace or a project, in
    the order in which they apply.
    """

    def __init__(self) -> None:
        self._places: dict[str, Name] = {}
        self._sizes: dict[str, int] = {}
        self._projects: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))

    def take(self, kind: str, data: str) -> None:
        """Take a fact: its type and its data, as it is stored."""
        said = orjson.loads(data)
        match kind:
            case "experiment.created":
                name = said["experiment"]
                self._places[name] = (said["workspace"], said["project"], said["username"])
                self._sizes[name] = said.get("sizeBytes") or 0
                self._projects[said["workspace"]][said["project"]].add(name)
            case "experiment.resized" if said["experiment"] in self._places:
                self._sizes[said["experiment"]] = said["sizeBytes"]
            case "experiment.deleted":
                self._end([said["experiment"]])
            case "project.deleted":
                self._end(self._projects[said["workspace"]].pop(said["name"], set()))
            case "workspace.deleted":
                for names in self._projects.pop(said["name"], {}).values():
                    self._end(names)

    def _end(self, names: Iterable[str]) -> None:
        for name in names:
            self._places.pop(name, None)
            self._sizes.pop(name, None)

    def cells(self) -> Cells:
        """What they come to, by workspace, project and owner."""
        held: dict[str, dict[Cell, Held]] = defaultdict(dict)
        for name, (workspace, *cell) in self._places.items():
            known = held[workspace].get((cell[0], cell[1]), Held())
            more = Held(known.experiments + 1, known.size_bytes + self._sizes[name])
            held[workspace][cell[0], cell[1]] = more
        return held
