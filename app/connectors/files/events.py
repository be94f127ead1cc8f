"""Turn rows into events. Each row states what was true at one time.

An event's id is derived from its subject and its time, so importing a file again sends the same
events. Identical usage rows are distinguished by their order.
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

from app.connectors.files.mapping import Row, TableMapping
from app.connectors.files.rows import read_rows
from app.connectors.files.tables import InvalidValue
from app.domain.errors import InvalidArgument, InvalidBatch, InvalidRows
from app.domain.sources import is_probably_incomplete

MAX_PROBLEMS = 100
CHUNK = 5_000

KnownEntities = dict[str, set[tuple[str, ...]]]
"""Keys of the entities that exist according to a source, by the event type that ends them."""

# Which column each event field comes from.
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
_TIME_COLUMNS = ("at", "created_at", "deleted_at")
_END_EVENTS = {
    "directory": (
        ("member.removed", ("workspace", "username")),
        ("user.deleted", ("username",)),
    ),
    "experiments": (("experiment.deleted", ("experiment",)),),
}
"""By table: the events that end entities missing from a complete import, and their fields."""
_NOUNS = {
    "member.removed": "members",
    "user.deleted": "users",
    "experiment.deleted": "experiments",
}


@dataclass
class TableFiles:
    """Files with one mapping, read as one stream of events.

    Attributes:
        names: Paths of the files.
        mapping: How to read them.
        known: What the source stated before. A complete import ends those that it lacks.
        accept_loss: Whether to end them even if most of them are missing.
        rows: How many rows were read.
        unread: The columns of the files that the mapping leaves out.
    """

    names: Sequence[str]
    mapping: TableMapping
    known: KnownEntities = field(default_factory=dict)
    accept_loss: bool = False
    rows: int = 0
    unread: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._problems: list[str] = []
        self._lines: list[bytes] = []
        self._first_events: list[int] = []
        # Per event: its row, and the column that its time came from.
        self._row_numbers = array("q")
        self._time_columns = array("B")
        self._duplicate_counts: dict[bytes, int] = defaultdict(int)
        self._described_users: dict[str, tuple[int, str]] = {}
        self._seen: KnownEntities = defaultdict(set)
        self._number = 0

    def chunks(self) -> Iterator[Sequence[bytes]]:
        """Yield the events, one JSON document each, in chunks.

        Raises:
            InvalidArgument: A file cannot be read, or a complete import lacks most of what was
                known.
            InvalidRows: Rows have invalid values; lists them by file, row and column.
        """
        for name in self.names:
            self._first_events.append(len(self._row_numbers))
            for number, row in read_rows(name, self.mapping, self.unread):
                self._number = number
                self.rows += 1
                self._convert_row(name, row)
                if len(self._problems) >= MAX_PROBLEMS:
                    raise InvalidRows(self._problems)
                if len(self._lines) >= CHUNK:
                    yield self._lines
                    self._lines = []
        if self._problems:
            raise InvalidRows(self._problems)
        self._first_events.append(len(self._row_numbers))
        self._number = 0
        self._end_missing_entities()
        if self._lines:
            yield self._lines

    def to_invalid_rows(self, batch: InvalidBatch) -> InvalidRows:
        """Translate rejected events into file, row and column."""
        return InvalidRows([self._locate(each) for each in batch.problems])

    def _locate(self, problem: Any) -> str:
        which = bisect_right(self._first_events, problem.index) - 1
        if which >= len(self.names):
            return (
                f"{self.names[-1]}: ending an entity that the file lacks: {problem.field}: "
                f"{problem.message}"
            )
        column = _COLUMNS.get(problem.field)
        if problem.field == "time":
            column = _TIME_COLUMNS[self._time_columns[problem.index]]
        elif problem.field == "data.name":
            column = "project" if "project" in self.mapping.column_sources else "workspace"
        file_column = self.mapping.file_column(column) if column else problem.field
        row = self._row_numbers[problem.index]
        return f"{self.names[which]}:{row}: {file_column}: {problem.message}"

    def _add_problem(self, name: str, column: str, problem: str) -> None:
        file_column = self.mapping.file_column(column)
        self._problems.append(f"{name}:{self._number}: {file_column}: {problem}")

    def _convert_row(self, name: str, row: Any) -> None:
        values: dict[str, Any] = {}
        for column in self.mapping.columns:
            try:
                values[column.name] = self.mapping.parse_value(column, row)
            except InvalidValue as problem:
                raw = repr(row.get(self.mapping.file_column(column.name)))[:80]
                self._add_problem(name, column.name, f"{problem}; got {raw}")
        if "at" in values and values["at"] is None:
            values["at"] = self.mapping.at
            if self.mapping.at is None:
                self._add_problem(name, "at", "is required here, unless --at is given")
                return
        if len(values) < len(self.mapping.columns) or not self._has_possible_times(name, values):
            return
        match self.mapping.table:
            case "directory":
                self._add_directory_row(name, values)
            case "experiments":
                self._add_experiment(values)
            case "usage":
                self._add_usage(values)

    def _has_possible_times(self, name: str, row: Row) -> bool:
        """Return whether no time of a row is before its creation; record a problem if one is."""
        created_at = row.get("created_at")
        if created_at is None:
            return True
        for column, which in (("at", "the time of the row"), ("deleted_at", "deleted_at")):
            if (other := row.get(column)) is not None and created_at > other:
                problem = f"must not be after {which}, {_format_time(other)}"
                self._add_problem(name, "created_at", f"{problem}; got {_format_time(created_at)}")
                return False
        return True

    def _add_event(
        self, type_: str, time_column: str, at: datetime, key: Sequence[Any], **data: object
    ) -> None:
        digest = hashlib.blake2b(orjson.dumps([type_, *key, at]), digest_size=16).hexdigest()
        self._row_numbers.append(self._number)
        self._time_columns.append(_TIME_COLUMNS.index(time_column))
        self._lines.append(
            orjson.dumps(
                {
                    "specversion": "1.0",
                    "id": f"{type_}/{digest}",
                    "source": self.mapping.source,
                    "type": type_,
                    "time": at,
                    "data": {name: value for name, value in data.items() if value is not None},
                }
            )
        )

    def _add_directory_row(self, name: str, row: Row) -> None:
        username, workspace, project = (row[key] for key in ("username", "workspace", "project"))
        at, ended_at = row["at"], row["deleted_at"]
        if username is None and workspace is None:
            self._problems.append(f"{name}:{self._number}: needs a user or a workspace")
            return
        if username is None and row["email"] is not None:
            self._add_problem(name, "username", "is required, because the row has an email")
            return
        is_gone = ended_at is not None and ended_at <= at
        if username is not None:
            self._add_user(name, row, is_gone=is_gone)
        if workspace is None:
            return
        if username is None:
            self._add_event("workspace.upserted", "at", at, [workspace], name=workspace)
        elif not is_gone:
            key = (workspace, username)
            self._seen["member.removed"].add(key)
            self._add_event("member.added", "at", at, key, workspace=workspace, username=username)
        if project is not None:
            key = (workspace, project)
            self._add_event("project.upserted", "at", at, key, workspace=workspace, name=project)

    def _add_user(self, name: str, row: Row, *, is_gone: bool) -> None:
        username, at, ended_at = row["username"], row["at"], row["deleted_at"]
        data = {
            "username": username,
            "email": row["email"],
            "createdAt": row["created_at"],
            "role": row["role"],
            "serviceAccount": row["service_account"],
            "suspended": row["suspended"],
        }
        description = repr((at, ended_at, data))
        first_row, first = self._described_users.setdefault(username, (self._number, description))
        if first != description:
            problem = f"{username!r} has different values in row {first_row}"
            self._add_problem(name, "username", problem)
            return
        if first_row != self._number:
            return
        time_column = "deleted_at" if is_gone else "at"
        since = ended_at if is_gone else at
        self._add_event("user.upserted", time_column, since, [username], **data)
        if ended_at is not None:
            self._add_event("user.deleted", "deleted_at", ended_at, [username], username=username)
        if not is_gone:
            self._seen["user.deleted"].add((username,))

    def _add_experiment(self, row: Row) -> None:
        data = {name: row[name] for name in ("experiment", "workspace", "project", "username")}
        key, size_bytes = [row["experiment"]], row["size_bytes"]
        at, created_at, ended_at = row["at"], row["created_at"], row["deleted_at"]
        is_gone = ended_at is not None and ended_at <= at
        if created_at is not None and (is_gone or created_at < at):
            self._add_event(
                "experiment.created",
                "created_at",
                created_at,
                key,
                **data,
                sizeBytes=size_bytes if is_gone else None,
            )
        elif is_gone:
            self._add_event("experiment.created", "deleted_at", ended_at, key, **data)
        if not is_gone:
            self._seen["experiment.deleted"].add((row["experiment"],))
            self._add_event("experiment.created", "at", at, key, **data, sizeBytes=size_bytes)
        if ended_at is not None:
            self._add_event(
                "experiment.deleted", "deleted_at", ended_at, key, experiment=row["experiment"]
            )

    def _add_usage(self, row: Row) -> None:
        data = {name: row[name] for name in ("username", "channel", "count")}
        key: list[Any] = [row["id"]]
        if row["id"] is None:
            digest = hashlib.blake2b(orjson.dumps([data, row["at"]]), digest_size=8).digest()
            self._duplicate_counts[digest] += 1
            key = [*data.values(), self._duplicate_counts[digest]]
        self._add_event("usage.recorded", "at", row["at"], key, **data)

    def _end_missing_entities(self) -> None:
        """End the known entities that a complete import lacks."""
        at = self.mapping.at
        if not self.mapping.complete or at is None:
            return
        for type_, names in _END_EVENTS[self.mapping.table]:
            missing: Collection[tuple[str, ...]]
            known = self.known.get(type_, set())
            missing = known - self._seen[type_]
            if not self.accept_loss and is_probably_incomplete(len(missing), len(known)):
                raise InvalidArgument(
                    f"{len(missing)} of {len(known)} known {_NOUNS[type_]} are missing from a "
                    "complete import. Check that the files list everything. Nothing was stored; "
                    "--accept-loss ends what is missing."
                )
            for key in sorted(missing):
                self._add_event(type_, "at", at, key, **dict(zip(names, key, strict=True)))


def _format_time(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def collect_known_entities(facts: Sequence[Any]) -> KnownEntities:
    """Return the entities that exist according to a source.

    Args:
        facts: The source's facts about users, members and experiments, in the order in which they
            apply: type, data.
    """
    known: KnownEntities = defaultdict(set)
    for fact in facts:
        data = orjson.loads(fact.data)
        match fact.type:
            case "user.upserted":
                known["user.deleted"].add((data["username"],))
            case "member.added":
                known["member.removed"].add((data["workspace"], data["username"]))
            case "experiment.created":
                known["experiment.deleted"].add((data["experiment"],))
            case "member.removed":
                known["member.removed"].discard((data["workspace"], data["username"]))
            case "experiment.deleted":
                known["experiment.deleted"].discard((data["experiment"],))
            case "user.deleted":
                username = data["username"]
                known["user.deleted"].discard((username,))
                known["member.removed"] = {
                    member for member in known["member.removed"] if member[1] != username
                }
    return known
