"""The JSON document that existing scripts and clients read, in chunks.

Its keys, their order and their mixed spellings are a contract that others wrote; the documented
example is `tests/contract/report.json`. The rows are those that GraphQL shows.

What comes next is read while what has come is written: the store and this process each have a core
to themselves, and neither waits for the other.
"""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from datetime import datetime
from functools import partial
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import orjson

from app import __version__
from app.db.levels import Page
from app.domain.months import Month, epoch_milliseconds
from resolvers.context import Context
from resolvers.levels import ReportKey
from resolvers.members import members_of_workspaces
from resolvers.projects import projects_of_workspaces
from resolvers.report import report
from resolvers.rows import Grouped, Row
from resolvers.users import licensed_users_of_reports
from resolvers.workspaces import workspaces_of_reports

# How much of the document is in memory at a time, and as much again that is being read.
_WORKSPACES_AT_ONCE = 200
_USERS_AT_ONCE = 5_000
_WORKSPACES_WRITTEN_AT_ONCE = 25
_USERS_WRITTEN_AT_ONCE = 1_000

_Item = TypeVar("_Item")
Shown = dict[str, Any]

_PARENT = ("organization_id", "month", "workspace_id")
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
    found = await report(context, organization, chosen, frozenset())
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
    async with aclosing(ahead(_read_workspaces(context, totals.report))) as workspaces:
        async for write in workspaces:
            async for written in _in_turns(write()):
                yield separator + _joined(written)
                separator = b","
    yield b'],"users":{"licensedUsers":['
    separator, number_of_users = b"", 0
    async with aclosing(ahead(_read_users(context, totals))) as users:
        async for write in users:
            async for written in _in_turns(write()):
                yield separator + _joined(written)
                separator, number_of_users = b",", number_of_users + len(written)
    tail: Shown = {
        "numberOfUsers": number_of_users,
        "createdAt": epoch_milliseconds(totals.created_at),
    }
    if totals.is_newer:
        tail["organizationId"] = str(totals.report[0])
    yield b"]," + orjson.dumps(tail)[1:] + b"}"


async def _in_turns(parts: Iterator[list[Shown]]) -> AsyncIterator[list[Shown]]:
    """Others have their turn between two parts."""
    for part in parts:
        yield part
        await asyncio.sleep(0)


def _joined(objects: Sequence[Shown]) -> bytes:
    """The elements of a JSON array, without its brackets."""
    return orjson.dumps(objects)[1:-1]


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


Write = Callable[[], Iterator[list[Shown]]]
"""Makes objects of rows that were read, some at a time: a few milliseconds' worth."""


async def _read_workspaces(context: Context, report_key: ReportKey) -> AsyncIterator[Write]:
    page = Page(_WORKSPACES_AT_ONCE)
    selection = frozenset({*_WORKSPACE, *_PARENT})
    while True:
        found = await workspaces_of_reports(context, [report_key], selection, page=page)
        [rows] = found.groups
        if rows:
            yield await _with_members_and_projects(context, found)
        if len(rows) < _WORKSPACES_AT_ONCE:
            return
        page = Page(_WORKSPACES_AT_ONCE, rows[-1][found.columns["workspace_id"]])


async def _with_members_and_projects(context: Context, found: Grouped) -> Write:
    [rows] = found.groups
    parents = list(rows_of(rows, found.columns, _PARENT))
    members, projects = await asyncio.gather(
        members_of_workspaces(context, parents, frozenset(_MEMBER)),
        projects_of_workspaces(context, parents, frozenset(_PROJECT)),
    )

    def write() -> Iterator[list[Shown]]:
        shown = rows_of(rows, found.columns, _WORKSPACE)
        of_each = zip(shown, members.groups, projects.groups, strict=True)
        while written := [
            {
                "name": name,
                "numberOfMembers": len(its_members),
                "totalSizeInMb": size,
                "numberOfExperiments": experiments,
                "members": _members(rows_of(its_members, members.columns, _MEMBER)),
                "projects": _projects(rows_of(its_projects, projects.columns, _PROJECT)),
            }
            for (name, size, experiments), its_members, its_projects in islice(
                of_each, _WORKSPACES_WRITTEN_AT_ONCE
            )
        ]:
            yield written

    return write


async def _read_users(context: Context, totals: Totals) -> AsyncIterator[Write]:
    selection = frozenset({*_USER, *(_NEWER if totals.is_newer else ())})
    page = Page(_USERS_AT_ONCE)
    while True:
        found = await licensed_users_of_reports(context, [totals.report], selection, page=page)
        [rows] = found.groups
        if rows:
            yield partial(_written_users, rows, found.columns, is_newer=totals.is_newer)
        if len(rows) < _USERS_AT_ONCE:
            return
        page = Page(_USERS_AT_ONCE, rows[-1][found.columns["username"]])


def _written_users(
    rows: Sequence[Row], columns: Mapping[str, int], *, is_newer: bool
) -> Iterator[list[Shown]]:
    for start in range(0, len(rows), _USERS_WRITTEN_AT_ONCE):
        part = rows[start : start + _USERS_WRITTEN_AT_ONCE]
        users = _users(rows_of(part, columns, _USER))
        yield list(map(_newer, users, rows_of(part, columns, _NEWER))) if is_newer else users
