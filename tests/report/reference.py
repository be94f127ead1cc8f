"""The report by the book: spec section 3 read slowly, for the product to be compared with.

All events are sorted by the time that they carry and walked through once for each month. What an
instant says of an experiment, a project or a user is kept in plain sets and dictionaries; between
two events every experiment is weighed once. Nothing here is shared with the product but the key
that orders events of one instant and one kind.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import groupby
from math import floor
from typing import Any

import orjson

from app.domain.ids import derive_id

MEGABYTE = 1_048_576

Shown = dict[str, Any]
"""A part of a report, spelled as GraphQL spells it, less ids and what tells of the storing."""


@dataclass(frozen=True, slots=True)
class Fact:
    """An event; sorting by the first three brings a set of events into the one order."""

    at: datetime
    rank: int
    key: int
    type: str
    data: dict[str, Any]


def facts_of(lines: Iterable[bytes]) -> list[Fact]:
    """The facts that these lines say, each once, in the order in which they apply."""
    found = {}
    for line in lines:
        event = orjson.loads(line)
        found[event["source"], event["id"]] = Fact(
            _instant(event["time"]),
            _rank(event["type"]),
            derive_id("event", event["source"], event["id"]).int,
            event["type"],
            event["data"],
        )
    return sorted(found.values(), key=lambda fact: (fact.at, fact.rank, fact.key))


def _instant(written: str) -> datetime:
    """`fromisoformat` cuts what is finer than a microsecond."""
    return datetime.fromisoformat(written).astimezone(UTC)


def _rank(type_: str) -> int:
    """At one instant: created, changed, deleted."""
    if type_.endswith((".deleted", ".removed")):
        return 2
    return 1 if type_ == "experiment.resized" else 0


Place = tuple[str, str, str]
"""Workspace, project and owner of an experiment."""


@dataclass
class Experiment:
    """One that exists: where, and how large."""

    place: Place
    size_bytes: int | None
    """None where nothing was said of it."""


@dataclass
class World:
    """What exists at an instant, and what the month has seen so far."""

    workspaces: set[str] = field(default_factory=set)
    projects: set[tuple[str, str]] = field(default_factory=set)
    members: set[tuple[str, str]] = field(default_factory=set)
    experiments: dict[str, Experiment] = field(default_factory=dict)
    # Sizes said of experiments that do not exist: each waits for a creation that says none.
    awaiting: dict[str, int] = field(default_factory=dict)
    created: Counter[Place] = field(default_factory=Counter)
    byte_microseconds: Counter[Place] = field(default_factory=Counter)

    def pass_time(self, microseconds: int) -> None:
        for experiment in self.experiments.values():
            self.byte_microseconds[experiment.place] += (experiment.size_bytes or 0) * microseconds

    def apply(self, fact: Fact, *, in_month: bool) -> None:
        said = fact.data
        match fact.type:
            case "workspace.upserted":
                self.workspaces.add(said["name"])
            case "workspace.deleted":
                self._end_workspace(said["name"])
            case "project.upserted":
                self._begin_project(said["workspace"], said["name"])
            case "project.deleted":
                self._end_project(said["workspace"], said["name"])
            case "member.added":
                self.workspaces.add(said["workspace"])
                self.members.add((said["workspace"], said["username"]))
            case "member.removed":
                self.members.discard((said["workspace"], said["username"]))
            case "user.deleted":
                self.members = {each for each in self.members if each[1] != said["username"]}
            case "experiment.created":
                self._create(said, in_month=in_month)
            case "experiment.resized":
                self._resize(said["experiment"], said["sizeBytes"])
            case "experiment.deleted":
                self._delete(said["experiment"])

    def _begin_project(self, workspace: str, project: str) -> None:
        self.workspaces.add(workspace)
        self.projects.add((workspace, project))

    def _end_project(self, workspace: str, project: str) -> None:
        self.projects.discard((workspace, project))
        for name, experiment in [*self.experiments.items()]:
            if experiment.place[:2] == (workspace, project):
                self._delete(name)

    def _end_workspace(self, workspace: str) -> None:
        for project in [name for parent, name in self.projects if parent == workspace]:
            self._end_project(workspace, project)
        self.members = {each for each in self.members if each[0] != workspace}
        self.workspaces.discard(workspace)

    def _create(self, said: dict[str, Any], *, in_month: bool) -> None:
        """One that exists moves; one that does not begins, with the size said last, if any."""
        name, place = said["experiment"], (said["workspace"], said["project"], said["username"])
        self._begin_project(*place[:2])
        there = self.experiments.get(name)
        known = there.size_bytes if there else self.awaiting.pop(name, None)
        size = said.get("sizeBytes")
        self.experiments[name] = Experiment(place, known if size is None else size)
        if there is None and in_month:
            self.created[place] += 1

    def _resize(self, name: str, size_bytes: int) -> None:
        if name in self.experiments:
            self.experiments[name].size_bytes = size_bytes
        else:
            self.awaiting[name] = size_bytes

    def _delete(self, name: str) -> None:
        self.experiments.pop(name, None)
        self.awaiting.pop(name, None)


@dataclass
class AccountLifespan:
    """A user from creation to deletion, and what was said meanwhile."""

    born: datetime
    died: datetime | None = None
    said: list[Fact] = field(default_factory=list)


def lives_of(facts: Sequence[Fact], username: str) -> list[AccountLifespan]:
    """The lives of a user; a creation that an announcement dates back begins one as well."""
    own = [
        fact
        for fact in facts
        if fact.type in {"user.upserted", "user.deleted"} and fact.data["username"] == username
    ]
    moments: list[tuple[datetime, int, int, Fact]] = [(f.at, f.rank, f.key, f) for f in own]
    for fact in own:
        created_at = fact.data.get("createdAt")
        if created_at is not None and _instant(created_at) < fact.at:
            moments.append((_instant(created_at), 0, -1, fact))
    found: list[AccountLifespan] = []
    for at, _, key, fact in sorted(moments, key=lambda moment: moment[:3]):
        alive = bool(found) and found[-1].died is None
        if fact.type == "user.deleted":
            if alive:
                found[-1].died = at
            continue
        # What comes at the very instant of a death comes before it.
        if not alive:
            found.append(AccountLifespan(at))
        if key != -1:
            found[-1].said.append(fact)
    for life in found:
        if not life.said:
            life.said = [next(f for f in own if f.type == "user.upserted" and f.at >= life.born)]
    return found


@dataclass(frozen=True)
class Reference:
    """The reports of a set of events, as they are at `now`."""

    facts: Sequence[Fact]
    now: datetime

    def report(self, month: str) -> Shown:
        """The report of a month `YYYY-MM` that is not in the future."""
        return _MonthReport(self.facts, self.now, month).shown()


class _MonthReport:
    def __init__(self, facts: Sequence[Fact], now: datetime, month: str) -> None:
        self.month = month
        self.start = datetime.fromisoformat(f"{month}-01T00:00:00+00:00")
        after = (self.start + timedelta(days=31)).replace(day=1)
        self.end = min(after, now)
        self.month_end = after
        self.facts = facts
        # What happens at this very moment has happened.
        self.past = [f for f in facts if f.at < self.end or (f.at == now and f.at < after)]
        self.is_empty = not facts or facts[0].at >= after
        self.world = self._walk()

    def _walk(self) -> World:
        world, at = World(), self.start
        for instant, together in groupby(self.past, key=lambda fact: fact.at):
            if instant > self.start:
                world.pass_time((instant - at) // timedelta(microseconds=1))
                at = instant
            for fact in together:
                world.apply(fact, in_month=instant >= self.start)
        world.pass_time((self.end - at) // timedelta(microseconds=1))
        return world

    def shown(self) -> Shown:
        users = [] if self.is_empty else self.licensed_users()
        sizes = [each.size_bytes for each in self.world.experiments.values()]
        held = sum(size or 0 for size in sizes)
        return {
            "reportDate": self.month,
            "numberOfWorkspaces": len(self.world.workspaces),
            "numberOfExperiments": len(sizes),
            "unmeasuredExperiments": sizes.count(None),
            "totalSizeInMb": rounded(Fraction(held, MEGABYTE)),
            "totalSizeBytes": held,
            "users": {"numberOfUsers": len(users), "licensedUsers": users},
            "workspaces": [self.workspace(name) for name in sorted(self.world.workspaces)],
            "formerWorkspaces": [
                self.workspace(name)
                for name in sorted({name for name, *_ in self.used(0)} - self.world.workspaces)
            ],
        }

    def used(self, *parts: int) -> set[tuple[str, ...]]:
        """What held or began anything in the month, or holds an experiment at its end."""
        places = {
            *(place for place, count in self.world.created.items() if count),
            *(place for place, held in self.world.byte_microseconds.items() if held),
            *(each.place for each in self.world.experiments.values()),
        }
        return {tuple(place[part] for part in parts) for place in places}

    def workspace(self, name: str) -> Shown:
        world = self.world
        members = {user for workspace, user in world.members if workspace == name}
        owners = {user for workspace, user in self.used(0, 2) if workspace == name}
        projects = {project for workspace, project in world.projects if workspace == name}
        used = {project for workspace, project in self.used(0, 1) if workspace == name}
        return {
            "name": name,
            "numberOfMembers": len(members),
            "numberOfProjects": len(projects),
            **self.figures(lambda place: place[0] == name),
            "members": [self.member(name, user) for user in sorted(members)],
            "formerMembers": [self.member(name, user) for user in sorted(owners - members)],
            "projects": [self.project(name, project) for project in sorted(projects)],
            "formerProjects": [self.project(name, each) for each in sorted(used - projects)],
        }

    def project(self, workspace: str, name: str) -> Shown:
        figures = self.figures(lambda place: place[:2] == (workspace, name))
        return {"name": name, **figures}

    def member(self, workspace: str, username: str) -> Shown:
        account = self.account(username)
        return {
            "userName": username,
            "email": account["email"] if account else None,
            **self.figures(lambda place: (place[0], place[2]) == (workspace, username)),
            "user": self.licensed_user(username),
        }

    def figures(self, counts: Callable[[Place], bool]) -> Shown:
        world = self.world
        sizes = [e.size_bytes for e in world.experiments.values() if counts(e.place)]
        known = sum(size or 0 for size in sizes)
        held = sum(amount for place, amount in world.byte_microseconds.items() if counts(place))
        elapsed = (self.end - self.start) // timedelta(microseconds=1)
        return {
            "numberOfExperiments": len(sizes),
            "unmeasuredExperiments": sizes.count(None),
            "experimentsCreated": sum(n for place, n in world.created.items() if counts(place)),
            "totalSizeInMb": rounded(Fraction(known, MEGABYTE)),
            "totalSizeBytes": known,
            "averageSizeInMb": rounded(Fraction(held, elapsed * MEGABYTE) if elapsed else 0),
        }

    def account(self, username: str) -> Shown | None:
        """The user as said by the month's end, of the latest life; None before the first."""
        begun = [e for e in lives_of(self.facts, username) if e.born < self.month_end]
        if not begun:
            return None
        life = begun[-1]
        told = [fact.data for fact in life.said if fact.at < self.month_end]
        # Known to have begun before anything was said: it was what was said first.
        told = told or [life.said[0].data]

        def last(name: str, otherwise: Any) -> Any:
            return next((d[name] for d in reversed(told) if d.get(name) is not None), otherwise)

        created_at = last("createdAt", None)
        stated = {_instant(f.data["createdAt"]) for f in life.said if f.data.get("createdAt")}
        died = life.died if life.died is not None and life.died < self.month_end else None
        return {
            "licensed": died is None or died >= self.start,
            "email": last("email", None),
            "role": last("role", "MEMBER"),
            "createdAt": _written(life.born if created_at is None else _instant(created_at)),
            "createdAtIsInferred": created_at is None and life.born not in stated,
            "deletedAt": _written(died),
            "suspended": last("suspended", False),
            "serviceAccount": last("serviceAccount", False),
        }

    def licensed_users(self) -> list[Shown]:
        names = sorted({f.data["username"] for f in self.facts if f.type == "user.upserted"})
        return [shown for name in names if (shown := self.licensed_user(name))]

    def licensed_user(self, username: str) -> Shown | None:
        account = self.account(username)
        if account is None or not account.pop("licensed"):
            return None
        ui, sdk = self.usage(username, "ui"), self.usage(username, "sdk")
        ever = [
            fact.at
            for fact in self.past
            if fact.type == "usage.recorded"
            and fact.data["username"] == username
            and fact.data.get("count", 1)
        ]
        return {
            "username": username,
            **account,
            "uiUsageCount": ui[0],
            "uiUsageUpdatedAt": ui[1],
            "sdkUsageCount": sdk[0],
            "sdkUsageUpdatedAt": sdk[1],
            "lastUsedAt": _written(max(ever, default=None)),
            **self.figures(lambda place: place[2] == username),
        }

    def usage(self, username: str, channel: str) -> tuple[int | None, str | None]:
        """How often and when last in the month; no count where nobody measures the channel."""
        measured = [
            fact
            for fact in self.past
            if fact.type == "usage.recorded" and fact.data["channel"] == channel
        ]
        own = [
            (fact.data.get("count", 1), fact.at)
            for fact in measured
            if fact.data["username"] == username and fact.at >= self.start
        ]
        last = max((at for count, at in own if count), default=None)
        return sum(count for count, _ in own) if measured else None, _written(last)


def rounded(exact: Fraction | int) -> float:
    """Two decimals, half up."""
    return floor(exact * 100 + Fraction(1, 2)) / 100


def _written(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")
