"""The JSON document that existing scripts and clients read, in chunks.

Its keys, their order and their mixed spellings are a contract that others wrote; the documented
example is `tests/contract/report.json`. The rows are those that GraphQL shows.

Each list is one statement, whose rows are read some at a time: twice the organization takes twice
the time, and no more memory. What comes next is read while what has come is written: the store and
this process each have a core to themselves, and neither waits for the other.
"""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from itertools import count
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import orjson

from app import __version__
from app.domain.months import Month, to_epoch_milliseconds
from resolvers.context import Context
from resolvers.levels import ReportKey
from resolvers.members import stream_members
from resolvers.projects import stream_projects
from resolvers.report import fetch_report
from resolvers.rows import Row, RowStream
from resolvers.users import stream_licensed_users
from resolvers.workspaces import stream_workspaces

# How much of each list is in memory at a time, and as much again that is being read.
_ROWS_AT_ONCE = 2_000
# How many are written before others have their turn.
_USERS_WRITTEN_AT_ONCE = 1_000

_Item = TypeVar("_Item")
Shown = dict[str, Any]

_WORKSPACE = ("name", "size_in_mb", "experiments")
_MEMBER = ("username", "email", "experiments", "size_in_mb")
_PROJECT = ("name", "experiments", "size_in_mb")
_USER = (
    "username",
    "email",
    "created_ms",
    "ui_usage_count",
    "ui_used_ms",
    "sdk_usage_count",
    "sdk_used_ms",
    "suspended",
)
# What newer clients read, after the documented keys.
_NEWER = ("deleted_ms", "last_used_ms", "experiments", "size_in_mb")


def rows_of(
    rows: Iterable[Row], columns: Mapping[str, int], names: Sequence[str]
) -> Iterator[Row]:
    """These columns of rows, in this order."""
    return map(itemgetter(*(columns[name] for name in names)), rows)


def _members(rows: Iterator[Row]) -> list[Shown]:
    return [
        {
            "userName": username,
            "email": email or "",
            "numberOfExperiments": experiments,
            "totalSizeInMb": size,
        }
        for username, email, experiments, size in rows
    ]


def _projects(rows: Iterator[Row]) -> list[Shown]:
    return [
        {"name": name, "numberOfExperiments": experiments, "totalSizeInMb": size}
        for name, experiments, size in rows
    ]


# The document knows no null: what is not measured, or never was, is 0.
def _users(rows: Iterator[Row]) -> list[Shown]:
    return [
        {
            "username": username,
            "email": email or "",
            "created_at": created_ms,
            "uiUsageCount": ui_count or 0,
            "uiUsageUpdateTs": ui_ms or 0,
            "sdkUsageCount": sdk_count or 0,
            "sdkUsageUpdateTs": sdk_ms or 0,
            "suspended": suspended,
        }
        for username, email, created_ms, ui_count, ui_ms, sdk_count, sdk_ms, suspended in rows
    ]


def _newer(user: Shown, row: Row) -> Shown:
    """The user as newer clients read it too; only a deleted one has `deletedAt`."""
    deleted_ms, last_used_ms, experiments, size = row
    return {
        **user,
        "createdAt": user["created_at"],
        **({} if deleted_ms is None else {"deletedAt": deleted_ms}),
        "lastUsedAt": last_used_ms,
        "emLastUsedAt": last_used_ms,
        "experimentCount": experiments,
        "dataLoggedMb": size,
    }


class Totals(NamedTuple):
    """What the report says beside its lists.

    `version` is another whenever anything changed; of a closed month it never is. `revision`
    counts the changes of the organization. `is_newer` when
    users have the newer form.
    """

    report: ReportKey
    created_at: datetime
    version: str
    revision: int
    is_closed: bool
    is_newer: bool

    @property
    def etag(self) -> str:
        """Two answers with one tag are the same bytes: nothing that they show has changed."""
        organization_id, day = self.report
        form = "newer" if self.is_newer else "documented"
        parts = (__version__, organization_id.hex, Month.containing(day), self.version, form)
        return "-".join(map(str, parts))


async def read_totals(context: Context, organization: str | None, month: Month | None) -> Totals:
    """The totals of a month's report, the current one's when None: all that can be refused."""
    chosen = month or Month.containing(context.now)
    found = await fetch_report(context, organization, chosen, frozenset())
    row, at = found.groups[0][0], found.columns
    return Totals(
        (row[at["organization_id"]], row[at["month"]]),
        row[at["created_at"]],
        _version(row, at),
        row[at["revision"]],
        is_closed=row[at["closed"]],
        is_newer=month is None,
    )


def _version(row: Any, at: Mapping[str, int]) -> str:
    """The content, and the moment: a store that is restored counts its revisions anew."""
    if row[at["closed_at"]] is not None:
        return f"{row[at['rows_hash']]}-{row[at['closed_at']].timestamp():.6f}"
    return f"{row[at['revision']]}-{row[at['created_at']].timestamp():.6f}"


async def document(context: Context, totals: Totals) -> AsyncGenerator[bytes, None]:
    """The document, in the order of its keys."""
    yield b'{"reportDate":"%b","workspaces":[' % str(Month.containing(totals.report[1])).encode()
    separator = b""
    async with aclosing(_workspaces(context, totals.report)) as workspaces:
        async for written in workspaces:
            yield separator + _joined(written)
            separator = b","
            await asyncio.sleep(0)  # Others have their turn.
    yield b'],"users":{"licensedUsers":['
    separator, number_of_users = b"", 0
    async with aclosing(_licensed_users(context, totals)) as users:
        async for written in users:
            yield separator + _joined(written)
            separator, number_of_users = b",", number_of_users + len(written)
            await asyncio.sleep(0)
    tail: Shown = {
        "numberOfUsers": number_of_users,
        "createdAt": to_epoch_milliseconds(totals.created_at),
    }
    if totals.is_newer:
        tail["organizationId"] = str(totals.report[0])
    yield b"]," + orjson.dumps(tail)[1:] + b"}"


def _joined(objects: Sequence[Shown]) -> bytes:
    """The elements of a JSON array, without its brackets."""
    return orjson.dumps(objects)[1:-1]


async def _workspaces(context: Context, report: ReportKey) -> AsyncGenerator[list[Shown], None]:
    """All workspaces with their members and projects: as many at a time as are read completely."""
    found = stream_workspaces(context, report, frozenset(_WORKSPACE), _ROWS_AT_ONCE)
    found_members = stream_members(context, report, frozenset(_MEMBER), _ROWS_AT_ONCE)
    found_projects = stream_projects(context, report, frozenset(_PROJECT), _ROWS_AT_ONCE)
    async with (
        _ahead(found) as chunks,
        _ahead(found_members) as member_chunks,
        _ahead(found_projects) as project_chunks,
    ):
        members = _ByWorkspace(member_chunks, found_members.columns, _MEMBER)
        projects = _ByWorkspace(project_chunks, found_projects.columns, _PROJECT)
        numbers = count(1)
        async for rows in chunks:
            shown: list[Shown] = []
            for row in rows_of(rows, found.columns, _WORKSPACE):
                number = next(numbers)
                if not (members.has(number) and projects.has(number)):
                    if shown:
                        yield shown
                        shown = []
                    await asyncio.gather(members.read(number), projects.read(number))
                shown.append(_workspace(row, members.take(number), projects.take(number)))
            yield shown


def _workspace(row: Row, member_rows: Iterator[Row], project_rows: Iterator[Row]) -> Shown:
    (name, size, experiments), members = row, _members(member_rows)
    return {
        "name": name,
        "numberOfMembers": len(members),
        "totalSizeInMb": size,
        "numberOfExperiments": experiments,
        "members": members,
        "projects": _projects(project_rows),
    }


Chunks = AsyncIterator[Sequence[Row]]


class _ByWorkspace:
    """Rows that come in the order of their workspaces, whose numbers they begin with."""

    def __init__(self, chunks: Chunks, columns: Mapping[str, int], names: Sequence[str]) -> None:
        self._chunks, self._columns, self._names = chunks, columns, names
        self._rows: list[Row] = []
        self._taken = 0
        self._ended = False

    def has(self, number: int) -> bool:
        """Whether all rows of a workspace have come: when one of a later workspace has."""
        return self._ended or (bool(self._rows) and self._rows[-1][0] > number)

    async def read(self, number: int) -> None:
        """Read on until all rows of a workspace have come."""
        del self._rows[: self._taken]
        self._taken = 0
        while not self.has(number):
            chunk = await anext(self._chunks, None)
            self._ended = chunk is None
            self._rows += chunk or ()

    def take(self, number: int) -> Iterator[Row]:
        """The named columns of a workspace's rows, which have come; workspaces are in order."""
        end = bisect_right(self._rows, number, self._taken, key=itemgetter(0))
        rows, self._taken = self._rows[self._taken : end], end
        return rows_of(rows, self._columns, self._names)


@asynccontextmanager
async def _ahead(found: RowStream) -> AsyncIterator[Chunks]:
    """The chunks of a stream, each of which is being read while the one before is worked on."""
    async with aclosing(found.chunks), aclosing(ahead(found.chunks)) as chunks:
        yield chunks


async def ahead(items: AsyncIterator[_Item]) -> AsyncGenerator[_Item, None]:
    """The same items, each of which is being made while the one before is worked on."""
    coming: asyncio.Task[_Item] = asyncio.create_task(_next(items))
    try:
        while True:
            try:
                item = await coming
            except StopAsyncIteration:
                return
            coming = asyncio.create_task(_next(items))
            yield item
    finally:
        coming.cancel()
        await asyncio.wait([coming])


async def _next(items: AsyncIterator[_Item]) -> _Item:
    return await anext(items)


async def _licensed_users(context: Context, totals: Totals) -> AsyncGenerator[list[Shown], None]:
    """All licensed users, some at a time."""
    selection = frozenset({*_USER, *(_NEWER if totals.is_newer else ())})
    found = stream_licensed_users(context, totals.report, selection, _ROWS_AT_ONCE)
    async with _ahead(found) as chunks:
        async for rows in chunks:
            for written in _written_users(rows, found.columns, is_newer=totals.is_newer):
                yield written


def _written_users(
    rows: Sequence[Row], columns: Mapping[str, int], *, is_newer: bool
) -> Iterator[list[Shown]]:
    for start in range(0, len(rows), _USERS_WRITTEN_AT_ONCE):
        part = rows[start : start + _USERS_WRITTEN_AT_ONCE]
        users = _users(rows_of(part, columns, _USER))
        yield list(map(_newer, users, rows_of(part, columns, _NEWER))) if is_newer else users
