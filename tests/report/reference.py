"""The reference: an independent, slow calculation of reports, which the product must agree with.

It sorts all events by time and replays them once for each month, keeping what exists in plain sets
and dictionaries. Between two events it adds the storage of every experiment. It shares nothing
with the product except the key that orders events of the same instant and rank.
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

ReportPart = dict[str, Any]
"""A part of a report with the names of GraphQL, without the fields in `STORE_FIELDS`."""


@dataclass(frozen=True, slots=True)
class Fact:
    """An event. The first three fields determine the order in which events apply."""

    at: datetime
    rank: int
    key: int
    type: str
    data: dict[str, Any]


def facts_of(lines: Iterable[bytes]) -> list[Fact]:
    """Return the events of these lines, each once, in the order in which they apply."""
    found = {}
    for line in lines:
        event = orjson.loads(line)
        found[event["source"], event["id"]] = Fact(
            _parse_time(event["time"]),
            _rank(event["type"]),
            derive_id("event", event["source"], event["id"]).int,
            event["type"],
            event["data"],
        )
    return sorted(found.values(), key=lambda fact: (fact.at, fact.rank, fact.key))


def _parse_time(text: str) -> datetime:
    """Parse a time; `fromisoformat` truncates it to microseconds."""
    return datetime.fromisoformat(text).astimezone(UTC)


def _rank(type_: str) -> int:
    """Return the rank at one instant: created, changed, deleted."""
    if type_.endswith((".deleted", ".removed")):
        return 2
    return 1 if type_ == "experiment.resized" else 0


Place = tuple[str, str, str]
"""Workspace, project and owner of an experiment."""


@dataclass
class Experiment:
    """An experiment that exists."""

    place: Place
    size_bytes: int | None
    """None if no event stated it."""


@dataclass
class Snapshot:
    """What exists at an instant, and the flows of the month so far."""

    workspaces: set[str] = field(default_factory=set)
    projects: set[tuple[str, str]] = field(default_factory=set)
    members: set[tuple[str, str]] = field(default_factory=set)
    experiments: dict[str, Experiment] = field(default_factory=dict)
    # Sizes of experiments that do not exist yet; a creation without a size takes them.
    early_sizes: dict[str, int] = field(default_factory=dict)
    created: Counter[Place] = field(default_factory=Counter)
    byte_microseconds: Counter[Place] = field(default_factory=Counter)

    def pass_time(self, microseconds: int) -> None:
        for experiment in self.experiments.values():
            self.byte_microseconds[experiment.place] += (experiment.size_bytes or 0) * microseconds

    def apply(self, fact: Fact, *, in_month: bool) -> None:
        data = fact.data
        match fact.type:
            case "workspace.upserted":
                self.workspaces.add(data["name"])
            case "workspace.deleted":
                self._end_workspace(data["name"])
            case "project.upserted":
                self._begin_project(data["workspace"], data["name"])
            case "project.deleted":
                self._end_project(data["workspace"], data["name"])
            case "member.added":
                self.workspaces.add(data["workspace"])
                self.members.add((data["workspace"], data["username"]))
            case "member.removed":
                self.members.discard((data["workspace"], data["username"]))
            case "user.deleted":
                self.members = {each for each in self.members if each[1] != data["username"]}
            case "experiment.created":
                self._create(data, in_month=in_month)
            case "experiment.resized":
                self._resize(data["experiment"], data["sizeBytes"])
            case "experiment.deleted":
                self._delete(data["experiment"])

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

    def _create(self, data: dict[str, Any], *, in_month: bool) -> None:
        """Create or move an experiment. Without a new size, the one stated before applies."""
        name, place = data["experiment"], (data["workspace"], data["project"], data["username"])
        self._begin_project(*place[:2])
        previous = self.experiments.get(name)
        known_size = previous.size_bytes if previous else self.early_sizes.pop(name, None)
        size = data.get("sizeBytes")
        self.experiments[name] = Experiment(place, known_size if size is None else size)
        if previous is None and in_month:
            self.created[place] += 1

    def _resize(self, name: str, size_bytes: int) -> None:
        if name in self.experiments:
            self.experiments[name].size_bytes = size_bytes
        else:
            self.early_sizes[name] = size_bytes

    def _delete(self, name: str) -> None:
        self.experiments.pop(name, None)
        self.early_sizes.pop(name, None)


@dataclass
class AccountLifespan:
    """A user's account from its creation to its deletion, and the upserts in between."""

    started_at: datetime
    ended_at: datetime | None = None
    upserts: list[Fact] = field(default_factory=list)


def account_lifespans(facts: Sequence[Fact], username: str) -> list[AccountLifespan]:
    """Return the lifespans of a user. An earlier `createdAt` starts one too."""
    own = [
        fact
        for fact in facts
        if fact.type in {"user.upserted", "user.deleted"} and fact.data["username"] == username
    ]
    moments: list[tuple[datetime, int, int, Fact]] = [(f.at, f.rank, f.key, f) for f in own]
    for fact in own:
        created_at = fact.data.get("createdAt")
        if created_at is not None and _parse_time(created_at) < fact.at:
            moments.append((_parse_time(created_at), 0, -1, fact))
    lifespans: list[AccountLifespan] = []
    for at, _, key, fact in sorted(moments, key=lambda moment: moment[:3]):
        exists = bool(lifespans) and lifespans[-1].ended_at is None
        if fact.type == "user.deleted":
            if exists:
                lifespans[-1].ended_at = at
            continue
        # At the same instant, an upsert precedes a deletion.
        if not exists:
            lifespans.append(AccountLifespan(at))
        if key != -1:
            lifespans[-1].upserts.append(fact)
    upserts = [fact for fact in own if fact.type == "user.upserted"]
    for lifespan in lifespans:
        if not lifespan.upserts:
            lifespan.upserts = [next(f for f in upserts if f.at >= lifespan.started_at)]
    return lifespans


@dataclass(frozen=True)
class Reference:
    """The reports of a set of events at the time `now`."""

    facts: Sequence[Fact]
    now: datetime

    def report(self, month: str) -> ReportPart:
        """Return the report of a month, `YYYY-MM`, that is not in the future."""
        return self.month(month).to_report()

    def month(self, month: str) -> "MonthReport":
        """Return the calculation of a month's report."""
        return MonthReport(self.facts, self.now, month)


class MonthReport:
    """The calculation of one month's report."""

    def __init__(self, facts: Sequence[Fact], now: datetime, month: str) -> None:
        self.month = month
        self.start = datetime.fromisoformat(f"{month}-01T00:00:00+00:00")
        after = (self.start + timedelta(days=31)).replace(day=1)
        self.end = min(after, now)
        self.month_end = after
        self.facts = facts
        # Events at the current instant count.
        self.past = [f for f in facts if f.at < self.end or (f.at == now and f.at < after)]
        # A use count of 0 only shows that a channel is measured.
        self.is_empty = all(f.at >= after or f.data.get("count") == 0 for f in facts)
        self.snapshot = self._replay()

    def _replay(self) -> Snapshot:
        snapshot, at = Snapshot(), self.start
        for instant, facts in groupby(self.past, key=lambda fact: fact.at):
            if instant > self.start:
                snapshot.pass_time((instant - at) // timedelta(microseconds=1))
                at = instant
            for fact in facts:
                snapshot.apply(fact, in_month=instant >= self.start)
        snapshot.pass_time((self.end - at) // timedelta(microseconds=1))
        return snapshot

    def to_report(self) -> ReportPart:
        users = [] if self.is_empty else self.licensed_users()
        return {
            "reportDate": self.month,
            "numberOfWorkspaces": len(self.snapshot.workspaces),
            **self.figures(lambda _: True),
            "users": {"numberOfUsers": len(users), "licensedUsers": users},
            "workspaces": [self.workspace(name) for name in sorted(self.snapshot.workspaces)],
            "formerWorkspaces": [
                self.workspace(name)
                for name in sorted({name for name, *_ in self.used(0)} - self.snapshot.workspaces)
            ],
        }

    def used(self, *parts: int) -> set[tuple[str, ...]]:
        """Return the places that stored or created anything in the month, or hold experiments."""
        places = {
            *(place for place, count in self.snapshot.created.items() if count),
            *(place for place, held in self.snapshot.byte_microseconds.items() if held),
            *(each.place for each in self.snapshot.experiments.values()),
        }
        return {tuple(place[part] for part in parts) for place in places}

    def workspace(self, name: str) -> ReportPart:
        snapshot = self.snapshot
        members = {user for workspace, user in snapshot.members if workspace == name}
        owners = {user for workspace, user in self.used(0, 2) if workspace == name}
        projects = {project for workspace, project in snapshot.projects if workspace == name}
        used = {project for workspace, project in self.used(0, 1) if workspace == name}
        return {
            "name": name,
            "numberOfMembers": len(members),
            "numberOfProjects": len(projects),
            "lastActivityAt": self.last_activity(lambda place: place[0] == name),
            **self.figures(lambda place: place[0] == name),
            "members": [self.member(name, user) for user in sorted(members)],
            "formerMembers": [self.member(name, user) for user in sorted(owners - members)],
            "projects": [self.project(name, project) for project in sorted(projects)],
            "formerProjects": [self.project(name, each) for each in sorted(used - projects)],
        }

    def project(self, workspace: str, name: str) -> ReportPart:
        figures = self.figures(lambda place: place[:2] == (workspace, name))
        last = self.last_activity(lambda place: place[:2] == (workspace, name))
        return {"name": name, "lastActivityAt": last, **figures}

    def member(self, workspace: str, username: str) -> ReportPart:
        account = self.account(username)
        return {
            "userName": username,
            "email": account["email"] if account else None,
            "lastActivityAt": self.last_activity(
                lambda place: (place[0], place[2]) == (workspace, username)
            ),
            **self.figures(lambda place: (place[0], place[2]) == (workspace, username)),
            "user": self.licensed_user(username),
        }

    def figures(self, counts: Callable[[Place], bool]) -> ReportPart:
        snapshot = self.snapshot
        sizes = [e.size_bytes for e in snapshot.experiments.values() if counts(e.place)]
        known = sum(size or 0 for size in sizes)
        held = sum(amount for place, amount in snapshot.byte_microseconds.items() if counts(place))
        elapsed = (self.end - self.start) // timedelta(microseconds=1)
        return {
            "numberOfExperiments": len(sizes),
            "unmeasuredExperiments": sizes.count(None),
            "experimentsCreated": sum(n for place, n in snapshot.created.items() if counts(place)),
            "totalSizeInMb": rounded(Fraction(known, MEGABYTE)),
            "totalSizeBytes": known,
            "averageSizeInMb": rounded(Fraction(held, elapsed * MEGABYTE) if elapsed else 0),
        }

    def last_activity(self, counts: Callable[[Place], bool], *used: datetime) -> str | None:
        """Return when anything was last created, moved or resized at these places, or used.

        A resize counts at each place where its experiment has been created before.
        """
        active = list(used)
        for index, fact in enumerate(self.past):
            if fact.type in {"experiment.created", "experiment.resized"}:
                created = [
                    each.data
                    for each in self.past[: index + 1]
                    if each.type == "experiment.created"
                    and each.data["experiment"] == fact.data["experiment"]
                ]
                if fact.type == "experiment.created":
                    created = [fact.data]
                places = [(d["workspace"], d["project"], d["username"]) for d in created]
                active += [fact.at] if any(map(counts, places)) else []
        return _format_time(max(active, default=None))

    def account(self, username: str) -> ReportPart | None:
        """Return the user's state at the month's end; None if the account was created later."""
        lifespans = account_lifespans(self.facts, username)
        begun = [each for each in lifespans if each.started_at < self.month_end]
        if not begun:
            return None
        lifespan = begun[-1]
        known = [fact.data for fact in lifespan.upserts if fact.at < self.month_end]
        # If the lifespan began before its first upsert, that upsert's properties apply.
        known = known or [lifespan.upserts[0].data]

        def last(name: str, default: Any) -> Any:
            values = [data[name] for data in known if data.get(name) is not None]
            return values[-1] if values else default

        created_at = last("createdAt", None)
        stated = {
            _parse_time(f.data["createdAt"]) for f in lifespan.upserts if f.data.get("createdAt")
        }
        ended_at = lifespan.ended_at
        deleted_at = ended_at if ended_at is not None and ended_at < self.month_end else None
        is_renamed = deleted_at is not None and any(
            fact.at == deleted_at and fact.data["username"] == username
            for fact in self.facts
            if fact.type == "user.deleted" and fact.data.get("renamedTo") is not None
        )
        return {
            "licensed": deleted_at is None or (deleted_at > self.start and not is_renamed),
            "email": last("email", None),
            "role": last("role", "MEMBER"),
            "createdAt": _format_time(
                lifespan.started_at if created_at is None else _parse_time(created_at)
            ),
            "createdAtIsInferred": created_at is None and lifespan.started_at not in stated,
            "deletedAt": _format_time(deleted_at),
            "suspended": last("suspended", False),
            "serviceAccount": last("serviceAccount", False),
        }

    def licensed_users(self) -> list[ReportPart]:
        names = sorted({f.data["username"] for f in self.facts if f.type == "user.upserted"})
        return [user for name in names if (user := self.licensed_user(name))]

    def licensed_user(self, username: str) -> ReportPart | None:
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
            "lastUsedAt": _format_time(max(ever, default=None)),
            "lastActivityAt": self.last_activity(lambda place: place[2] == username, *ever),
            **self.figures(lambda place: place[2] == username),
        }

    def usage(self, username: str, channel: str) -> tuple[int | None, str | None]:
        """Return the count and last use in the month; no count if the channel is not measured."""
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
        return sum(count for count, _ in own) if measured else None, _format_time(last)


def rounded(exact: Fraction | int) -> float:
    """Return the value with two decimals, rounded half up."""
    return floor(exact * 100 + Fraction(1, 2)) / 100


def _format_time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")
