"""Stream the JSON report document that existing scripts and clients parse.

Its keys, their order and their mixed spellings are a fixed contract; the documented example is
`tests/contract/report.json`. The figures are the same as GraphQL's.

Each list is read by one SQL statement, in chunks of rows, so memory does not grow with the
organization. The next chunk is fetched while the current one is serialized: PostgreSQL and this
process each use a core, and neither waits for the other.
"""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from itertools import count
from operator import itemgetter
from typing import NamedTuple, TypeVar
from uuid import UUID

import orjson

from app import __version__
from app.domain.json_types import JsonObject
from app.domain.months import Month, to_epoch_milliseconds
from resolvers.context import Context
from resolvers.levels import ReportKey
from resolvers.members import stream_members
from resolvers.projects import stream_projects
from resolvers.report import fetch_report
from resolvers.rows import Row, RowStream
from resolvers.users import stream_licensed_users
from resolvers.workspaces import stream_workspaces

# Rows of each list in memory; as many again are being fetched.
_ROWS_PER_CHUNK = 2_000
# Users that are serialized before the event loop runs other tasks.
_USERS_PER_PART = 1_000

_Item = TypeVar("_Item")
Chunks = AsyncIterator[Sequence[Row]]

_WORKSPACE_COLUMNS = ("name", "size_in_mb", "experiments")
_MEMBER_COLUMNS = ("username", "email", "experiments", "size_in_mb")
_PROJECT_COLUMNS = ("name", "experiments", "size_in_mb")
_USER_COLUMNS = (
    "username",
    "email",
    "created_ms",
    "ui_usage_count",
    "ui_used_ms",
    "sdk_usage_count",
    "sdk_used_ms",
    "suspended",
)
# Newer clients read these, after the documented keys.
_EXTENDED_USER_COLUMNS = ("deleted_ms", "last_used_ms", "experiments", "size_in_mb")


class ReportHeader(NamedTuple):
    """The report's identity and version, without its lists.

    Attributes:
        report: The key of the report: its organization and its window.
        created_at: When the report was created: now, or when the month was closed.
        version: Changes whenever the report's content may have changed.
        revision: The organization's revision, which counts its changes.
        is_closed: Whether the month is closed.
        is_extended: Whether users have the additional keys that newer clients read.
    """

    report: ReportKey
    created_at: datetime
    version: str
    revision: int
    is_closed: bool
    is_extended: bool

    @property
    def organization_id(self) -> UUID:
        """The organization's id."""
        return self.report[0]

    @property
    def month(self) -> Month:
        """The report month."""
        return self.report[1].month

    @property
    def etag(self) -> str:
        """A tag that is equal only for documents with the same bytes."""
        form = "extended" if self.is_extended else "documented"
        parts = (__version__, self.organization_id.hex, self.month, self.version, form)
        return "-".join(map(str, parts))


async def read_report_header(
    context: Context, organization: str | None, month: Month | None
) -> ReportHeader:
    """Read the header of a month's report; None stands for the current month, extended.

    Raises:
        ChargebackError: As for `resolvers.report.fetch_report`. Streaming the document raises no
            further errors of the caller's.
    """
    result = await fetch_report(
        context, organization, month or Month.containing(context.now), frozenset()
    )
    row, columns = result.groups[0][0], result.columns
    return ReportHeader(
        (row[columns["organization_id"]], row[columns["window"]]),
        row[columns["created_at"]],
        _content_version(row, columns),
        row[columns["revision"]],
        is_closed=row[columns["closed"]],
        is_extended=month is None,
    )


def _content_version(row: Row, columns: Mapping[str, int]) -> str:
    """Combine hash or revision with a time: a restored store reuses revision numbers."""
    closed_at = row[columns["closed_at"]]
    if closed_at is not None:
        return f"{row[columns['rows_hash']]}-{closed_at.timestamp():.6f}"
    return f"{row[columns['revision']]}-{row[columns['created_at']].timestamp():.6f}"


async def stream_document(context: Context, header: ReportHeader) -> AsyncGenerator[bytes, None]:
    """Yield the document in chunks, in the order of its keys."""
    yield b'{"reportDate":"%b","workspaces":[' % str(header.month).encode()
    separator = b""
    async with aclosing(_iter_workspaces(context, header.report)) as workspaces:
        async for part in workspaces:
            yield separator + _dump_elements(part)
            separator = b","
            await asyncio.sleep(0)  # Let the event loop run other tasks.
    yield b'],"users":{"licensedUsers":['
    separator, number_of_users = b"", 0
    async with aclosing(_iter_licensed_users(context, header)) as users:
        async for part in users:
            yield separator + _dump_elements(part)
            separator, number_of_users = b",", number_of_users + len(part)
            await asyncio.sleep(0)
    yield b"]," + _dump_closing(header, number_of_users)


def _dump_elements(objects: Sequence[JsonObject]) -> bytes:
    """Serialize the elements of a JSON array without its brackets."""
    return orjson.dumps(objects)[1:-1]


def _dump_closing(header: ReportHeader, number_of_users: int) -> bytes:
    """Serialize the remaining keys of `users`, and close the document."""
    keys: JsonObject = {
        "numberOfUsers": number_of_users,
        "createdAt": to_epoch_milliseconds(header.created_at),
    }
    if header.is_extended:
        keys["organizationId"] = str(header.organization_id)
    return orjson.dumps(keys)[1:] + b"}"


async def _iter_workspaces(
    context: Context, report: ReportKey
) -> AsyncGenerator[list[JsonObject], None]:
    """Yield all workspaces with their members and projects, some at a time."""
    workspace_stream, member_stream, project_stream = _open_streams(context, report)
    async with (
        _prefetch_chunks(workspace_stream) as chunks,
        _prefetch_chunks(member_stream) as member_chunks,
        _prefetch_chunks(project_stream) as project_chunks,
    ):
        members = _RowsByWorkspace(member_chunks, member_stream.columns, _MEMBER_COLUMNS)
        projects = _RowsByWorkspace(project_chunks, project_stream.columns, _PROJECT_COLUMNS)
        numbers = count(1)
        async for rows in chunks:
            part: list[JsonObject] = []
            for row in select_columns(rows, workspace_stream.columns, _WORKSPACE_COLUMNS):
                number = next(numbers)
                if not (members.has_all(number) and projects.has_all(number)):
                    if part:
                        yield part
                        part = []
                    await asyncio.gather(members.read_until(number), projects.read_until(number))
                part.append(_to_workspace(row, members.take(number), projects.take(number)))
            yield part


def _open_streams(context: Context, report: ReportKey) -> tuple[RowStream, RowStream, RowStream]:
    """Return the streams of workspaces, members and projects."""
    return (
        stream_workspaces(context, report, frozenset(_WORKSPACE_COLUMNS), _ROWS_PER_CHUNK),
        stream_members(context, report, frozenset(_MEMBER_COLUMNS), _ROWS_PER_CHUNK),
        stream_projects(context, report, frozenset(_PROJECT_COLUMNS), _ROWS_PER_CHUNK),
    )


class _RowsByWorkspace:
    """Splits a stream of rows by workspace.

    The rows are sorted by the number of their workspace, which is their first column.
    """

    def __init__(self, chunks: Chunks, columns: Mapping[str, int], names: Sequence[str]) -> None:
        self._chunks, self._columns, self._names = chunks, columns, names
        self._rows: list[Row] = []
        self._position = 0
        self._is_exhausted = False

    def has_all(self, number: int) -> bool:
        """Return whether all rows of a workspace were read."""
        return self._is_exhausted or (bool(self._rows) and self._rows[-1][0] > number)

    async def read_until(self, number: int) -> None:
        """Read until all rows of a workspace were read."""
        del self._rows[: self._position]
        self._position = 0
        while not self.has_all(number):
            chunk = await anext(self._chunks, None)
            self._is_exhausted = chunk is None
            self._rows += chunk or ()

    def take(self, number: int) -> Iterator[Row]:
        """Return the selected columns of a workspace's rows. Call it in order of numbers."""
        end = bisect_right(self._rows, number, self._position, key=itemgetter(0))
        rows, self._position = self._rows[self._position : end], end
        return select_columns(rows, self._columns, self._names)


async def _iter_licensed_users(
    context: Context, header: ReportHeader
) -> AsyncGenerator[list[JsonObject], None]:
    """Yield all licensed users, some at a time."""
    columns = {*_USER_COLUMNS, *(_EXTENDED_USER_COLUMNS if header.is_extended else ())}
    stream = stream_licensed_users(context, header.report, frozenset(columns), _ROWS_PER_CHUNK)
    async with _prefetch_chunks(stream) as chunks:
        async for rows in chunks:
            for start in range(0, len(rows), _USERS_PER_PART):
                part = rows[start : start + _USERS_PER_PART]
                yield _to_users(part, stream.columns, is_extended=header.is_extended)


def select_columns(
    rows: Iterable[Row], columns: Mapping[str, int], names: Sequence[str]
) -> Iterator[Row]:
    """Yield the named columns of rows, in this order."""
    return map(itemgetter(*(columns[name] for name in names)), rows)


def _to_workspace(row: Row, member_rows: Iterator[Row], project_rows: Iterator[Row]) -> JsonObject:
    (name, size, experiments), members = row, _to_members(member_rows)
    return {
        "name": name,
        "numberOfMembers": len(members),
        "totalSizeInMb": size,
        "numberOfExperiments": experiments,
        "members": members,
        "projects": _to_projects(project_rows),
    }


def _to_members(rows: Iterator[Row]) -> list[JsonObject]:
    return [
        {
            "userName": username,
            "email": email or "",
            "numberOfExperiments": experiments,
            "totalSizeInMb": size,
        }
        for username, email, experiments, size in rows
    ]


def _to_projects(rows: Iterator[Row]) -> list[JsonObject]:
    return [
        {"name": name, "numberOfExperiments": experiments, "totalSizeInMb": size}
        for name, experiments, size in rows
    ]


def _to_users(
    rows: Sequence[Row], columns: Mapping[str, int], *, is_extended: bool
) -> list[JsonObject]:
    users = _to_documented_users(select_columns(rows, columns, _USER_COLUMNS))
    if not is_extended:
        return users
    return list(map(_extend_user, users, select_columns(rows, columns, _EXTENDED_USER_COLUMNS)))


# The document has no null: figures that were never measured are 0.
def _to_documented_users(rows: Iterator[Row]) -> list[JsonObject]:
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


def _extend_user(user: JsonObject, row: Row) -> JsonObject:
    """Add the keys that newer clients read; only deleted users have `deletedAt`."""
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


@asynccontextmanager
async def _prefetch_chunks(stream: RowStream) -> AsyncIterator[Chunks]:
    async with aclosing(stream.chunks), aclosing(prefetch(stream.chunks)) as chunks:
        yield chunks


async def prefetch(items: AsyncIterator[_Item]) -> AsyncGenerator[_Item, None]:
    """Yield the items; the next one is fetched while the consumer handles the current one."""
    pending: asyncio.Task[_Item] = asyncio.create_task(_fetch_next(items))
    try:
        while True:
            try:
                item = await pending
            except StopAsyncIteration:
                return
            pending = asyncio.create_task(_fetch_next(items))
            yield item
    finally:
        pending.cancel()
        await asyncio.wait([pending])


async def _fetch_next(items: AsyncIterator[_Item]) -> _Item:
    return await anext(items)
