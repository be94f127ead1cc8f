"""From rows to events: each row says what was true at a moment.

Ids follow from what a fact is about and from its moment, so that the same file again brings the
same events. Rows of usage that are alike in everything are told apart by their order.
"""

import hashlib
from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from app.connectors.files.mapping import Mapping
from app.connectors.files.rows import read_rows
from app.connectors.files.tables import InvalidValue
from app.domain.errors import InvalidBatch, InvalidRows

MOST_PROBLEMS = 100
CHUNK = 5_000

KnownEntities = dict[str, set[tuple[str, ...]]]
"""What a source said that exists, by the type of event that ends it."""

# Which column of ours a field of an event comes from.
_COLUMNS = {
    "data.username": "username",
    "data.email": "email",
    "data.createdAt": "created_at",
    "data.role": "role",
    "data.workspace": "workspace",
    "data.project": "project",
    "data.experiment": "experiment",
    "data.sizeBytes": "size_bytes",
    "data.channel": "channel",
    "data.count": "count",
}
_TIMES = ("at", "created_at", "deleted_at")


@dataclass
class TableFiles:
    """Files of one mapping, read as one stream of events.

    Attributes:
        names: Paths.
        mapping: What they are.
        known: What the source said before, of which a complete import ends what it lacks.
        rows: How many rows were read.
    """

    names: Sequence[str]
    mapping: Mapping
    known: KnownEntities = field(default_factory=dict)
    rows: int = 0

    def __post_init__(self) -> None:
        self._problems: list[str] = []
        self._lines: list[bytes] = []
        self._first_events: list[int] = []
        self._row_of = array("q")
        self._time_of = array("B")
        self._alike: dict[bytes, int] = defaultdict(int)
        self._told: dict[str, tuple[int, str]] = {}
        self._seen: KnownEntities = defaultdict(set)
        self._number = 0

    def chunks(self) -> Iterator[Sequence[bytes]]:
        """The events, some at a time.

        Raises:
            InvalidArgument: A file cannot be read.
            InvalidRows: Rows have bad cells; lists them by file, row and column.
        """
        for name in self.names:
            self._first_events.append(len(self._row_of))
            for number, row in read_rows(name, self.mapping):
                self._number = number
                self.rows += 1
                self._take(name, row)
                if len(self._problems) >= MOST_PROBLEMS:
                    raise InvalidRows(self._problems)
                if len(self._lines) >= CHUNK:
                    yield self._lines
                    self._lines = []
        if self._problems:
            raise InvalidRows(self._problems)
        self._first_events.append(len(self._row_of))
        self._number = 0
        self._end_what_is_lacking()
        if self._lines:
            yield self._lines

    def refusal(self, batch: InvalidBatch) -> InvalidRows:
        """What the feed refuses, by file, row and column."""
        return InvalidRows([self._place(each) for each in batch.problems])

    def _place(self, problem: Any) -> str:
        which = bisect_right(self._first_events, problem.index) - 1
        if which >= len(self.names):
            return f"{self.names[-1]}: what the file lacks: {problem.field}: {problem.message}"
        column = _COLUMNS.get(problem.field)
        if problem.field == "time":
            column = _TIMES[self._time_of[problem.index]]
        elif problem.field == "data.name":
            column = "project" if "project" in self.mapping.cells else "workspace"
        shown = self.mapping.theirs(column) if column else problem.field
        row = self._row_of[problem.index]
        return f"{self.names[which]}:{row}: {shown}: {problem.message}"

    def _take(self, name: str, row: Any) -> None:
        values: dict[str, Any] = {}
        for column in self.mapping.columns:
            try:
                values[column.name] = self.mapping.value(column, row)
            except InvalidValue as problem:
                theirs = self.mapping.theirs(column.name)
                got = repr(row.get(theirs))[:80]
                self._problems.append(f"{name}:{self._number}: {theirs}: {problem}; got {got}")
        if "at" in values and values["at"] is None:
            values["at"] = self.mapping.at
            if self.mapping.at is None:
                theirs = self.mapping.theirs("at")
                self._problems.append(f"{name}:{self._number}: {theirs}: is needed here, or --at")
                return
        if len(values) == len(self.mapping.columns):
            getattr(self, f"_{self.mapping.table}")(name, values)

    def _event(self, kind: str, time: str, at: datetime, key: Sequence[Any], **said: Any) -> None:
        written = orjson.dumps([kind, *key, at])
        digest = hashlib.blake2b(written, digest_size=16).hexdigest()
        self._row_of.append(self._number)
        self._time_of.append(_TIMES.index(time))
        self._lines.append(
            orjson.dumps(
                {
                    "specversion": "1.0",
                    "id": f"{kind}/{digest}",
                    "source": self.mapping.source,
                    "type": kind,
                    "time": at,
                    "data": {name: value for name, value in said.items() if value is not None},
                }
            )
        )

    def _directory(self, name: str, row: dict[str, Any]) -> None:
        username, workspace, project = (row[key] for key in ("username", "workspace", "project"))
        at, ended_at = row["at"], row["deleted_at"]
        if username is None and workspace is None:
            self._problems.append(f"{name}:{self._number}: has neither a user nor a workspace")
            return
        if username is None and row["email"] is not None:
            theirs = self.mapping.theirs("username")
            self._problems.append(
                f"{name}:{self._number}: {theirs}: is needed, since the row has an email"
            )
            return
        gone = ended_at is not None and ended_at <= at
        if username is not None:
            self._user(name, row, gone=gone)
        if workspace is None:
            return
        if username is None:
            self._event("workspace.upserted", "at", at, [workspace], name=workspace)
        elif not gone:
            key = (workspace, username)
            self._seen["member.removed"].add(key)
            self._event("member.added", "at", at, key, workspace=workspace, username=username)
        if project is not None:
            key = (workspace, project)
            self._event("project.upserted", "at", at, key, workspace=workspace, name=project)

    def _user(self, name: str, row: dict[str, Any], *, gone: bool) -> None:
        username, at, ended_at = row["username"], row["at"], row["deleted_at"]
        said = {
            "username": username,
            "email": row["email"],
            "createdAt": row["created_at"],
            "role": row["role"],
            "serviceAccount": row["service_account"],
            "suspended": row["suspended"],
        }
        told = repr((at, ended_at, said))
        before, earlier = self._told.setdefault(username, (self._number, told))
        if earlier != told:
            self._problems.append(
                f"{name}:{self._number}: {self.mapping.theirs('username')}: {username!r} is "
                f"described otherwise in row {before}"
            )
            return
        if before != self._number:
            return
        time = "deleted_at" if gone else "at"
        self._event("user.upserted", time, ended_at if gone else at, [username], **said)
        if ended_at is not None:
            self._event("user.deleted", "deleted_at", ended_at, [username], username=username)
        if not gone:
            self._seen["user.deleted"].add((username,))

    def _experiments(self, _: str, row: dict[str, Any]) -> None:
        names = ("experiment", "workspace", "project", "username")
        said = {name: row[name] for name in names}
        key, size_bytes = [row["experiment"]], row["size_bytes"]
        at, created_at, ended_at = row["at"], row["created_at"], row["deleted_at"]
        gone = ended_at is not None and ended_at <= at
        if created_at is not None and (gone or created_at < at):
            self._event(
                "experiment.created",
                "created_at",
                created_at,
                key,
                **said,
                sizeBytes=size_bytes if gone else None,
            )
        elif gone:
            self._event("experiment.created", "deleted_at", ended_at, key, **said)
        if not gone:
            self._seen["experiment.deleted"].add((row["experiment"],))
            self._event("experiment.created", "at", at, key, **said, sizeBytes=size_bytes)
        if ended_at is not None:
            self._event(
                "experiment.deleted", "deleted_at", ended_at, key, experiment=row["experiment"]
            )

    def _usage(self, _: str, row: dict[str, Any]) -> None:
        said = {name: row[name] for name in ("username", "channel", "count")}
        key: list[Any] = [row["id"]]
        if row["id"] is None:
            like = hashlib.blake2b(orjson.dumps([said, row["at"]]), digest_size=8).digest()
            self._alike[like] += 1
            key = [*said.values(), self._alike[like]]
        self._event("usage.recorded", "at", row["at"], key, **said)

    def _end_what_is_lacking(self) -> None:
        """Of what the source said before, a complete import ends what it does not say."""
        at = self.mapping.at
        if not self.mapping.complete or at is None:
            return
        for kind, names in _ENDED_BY[self.mapping.table]:
            lacking: Collection[tuple[str, ...]] = self.known.get(kind, set()) - self._seen[kind]
            for key in sorted(lacking):
                self._event(kind, "at", at, key, **dict(zip(names, key, strict=True)))


_ENDED_BY = {
    "directory": (
        ("member.removed", ("workspace", "username")),
        ("user.deleted", ("username",)),
    ),
    "experiments": (("experiment.deleted", ("experiment",)),),
}


def collect_known_entities(facts: Sequence[Any]) -> KnownEntities:
    """What exists by the word of a source.

    Args:
        facts: Its facts of users, members and experiments, in the order in which they apply:
            type, data.
    """
    known: KnownEntities = defaultdict(set)
    for fact in facts:
        said = orjson.loads(fact.data)
        match fact.type:
            case "user.upserted":
                known["user.deleted"].add((said["username"],))
            case "member.added":
                known["member.removed"].add((said["workspace"], said["username"]))
            case "experiment.created":
                known["experiment.deleted"].add((said["experiment"],))
            case "member.removed":
                known["member.removed"].discard((said["workspace"], said["username"]))
            case "experiment.deleted":
                known["experiment.deleted"].discard((said["experiment"],))
            case "user.deleted":
                gone = said["username"]
                known["user.deleted"].discard((gone,))
                known["member.removed"] = {
                    each for each in known["member.removed"] if each[1] != gone
                }
    return known
