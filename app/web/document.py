"""The JSON document that existing scripts and clients read, in chunks.

Its keys, their order and their mixed spellings are a contract that others wrote; the documented
example is `tests/contract/report.json`. The rows are those that GraphQL shows.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, islice
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from app import __version__
from app.db.levels import Page
from app.domain.months import Month, epoch_milliseconds
from app.domain.sizes import megabytes
from resolvers.context import Context
from resolvers.levels import ReportKey
from resolvers.members import members_of_workspaces
from resolvers.projects import projects_of_workspaces
from resolvers.report import report
from resolvers.rows import Grouped, Row
from resolvers.users import licensed_users_of_reports
from resolvers.workspaces import workspaces_of_reports

# How much of the document is in memory at a time.
_WORKSPACES_AT_ONCE = 100
_USERS_AT_ONCE = 2_000


def _text(value: str | None) -> str:
    return value or ""


def _count(value: int | None) -> int:
    return value or 0


def _milliseconds_or_0(instant: datetime | None) -> int:
    return 0 if instant is None else epoch_milliseconds(instant)


def _milliseconds_or_null(instant: datetime | None) -> int | None:
    return None if instant is None else epoch_milliseconds(instant)


class Key(NamedTuple):
    """A key of the document: the column that it shows, and how the document writes it."""

    name: str
    column: str
    write: Callable[[Any], Any] | None = None


_WORKSPACE = (
    Key("name", "name"),
    Key("numberOfMembers", "number_of_members"),
    Key("totalSizeInMb", "size_bytes", megabytes),
    Key("numberOfExperiments", "experiments"),
)
_MEMBER = (
    Key("userName", "username"),
    Key("email", "email", _text),
    Key("numberOfExperiments", "experiments"),
    Key("totalSizeInMb", "size_bytes", megabytes),
)
_PROJECT = (
    Key("name", "name"),
    Key("numberOfExperiments", "experiments"),
    Key("totalSizeInMb", "size_bytes", megabytes),
)
# The document knows no null: what is not measured, or never was, is 0.
_USER = (
    Key("username", "username"),
    Key("email", "email", _text),
    Key("created_at", "created_at", epoch_milliseconds),
    Key("uiUsageCount", "ui_usage_count", _count),
    Key("uiUsageUpdateTs", "ui_used_at", _milliseconds_or_0),
    Key("sdkUsageCount", "sdk_usage_count", _count),
    Key("sdkUsageUpdateTs", "sdk_used_at", _milliseconds_or_0),
    Key("suspended", "suspended"),
)
# What newer clients read, after the documented keys; only a deleted user has `deletedAt`.
_NEWER_USER = (
    *_USER,
    Key("createdAt", "created_at", epoch_milliseconds),
    Key("deletedAt", "deleted_at", _milliseconds_or_null),
    Key("lastUsedAt", "last_used_at", _milliseconds_or_null),
    Key("emLastUsedAt", "last_used_at", _milliseconds_or_null),
    Key("experimentCount", "experiments"),
    Key("dataLoggedMb", "size_bytes", megabytes),
)
_PARENT = ("organization_id", "month", "workspace_id")


def _columns(keys: Iterable[Key], *further: str) -> frozenset[str]:
    return frozenset({*further, *(key.column for key in keys)})


class Totals(NamedTuple):
    """What the report says beside its lists.

    `version` is another whenever anything changed; of a closed month it never is. `is_newer` when
    users have the newer form.
    """

    report: ReportKey
    created_at: datetime
    version: str
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
        is_closed=row[at["closed"]],
        is_newer=month is None,
    )


def _version(row: Any, at: Mapping[str, int]) -> str:
    """The content, and the moment: a store that is restored counts its revisions anew."""
    if row[at["closed_at"]] is not None:
        return f"{row[at['rows_hash']]}-{row[at['closed_at']].timestamp():.6f}"
    return f"{row[at['revision']]}-{row[at['created_at']].timestamp():.6f}"


async def document(context: Context, totals: Totals) -> AsyncIterator[bytes]:
    """The document, in the order of its keys."""
    yield b'{"reportDate":"%b","workspaces":[' % str(Month.containing(totals.report[1])).encode()
    separator = b""
    async for workspaces in _workspaces(context, totals.report):
        yield separator + _joined(workspaces)
        separator = b","
    yield b'],"users":{"licensedUsers":['
    separator, number_of_users = b"", 0
    async for users in _users(context, totals):
        yield separator + _joined(users)
        separator, number_of_users = b",", number_of_users + len(users)
    tail: dict[str, Any] = {
        "numberOfUsers": number_of_users,
        "createdAt": epoch_milliseconds(totals.created_at),
    }
    if totals.is_newer:
        tail["organizationId"] = str(totals.report[0])
    yield b"]," + orjson.dumps(tail)[1:] + b"}"


def _joined(objects: Sequence[dict[str, Any]]) -> bytes:
    """The elements of a JSON array, without its brackets."""
    return orjson.dumps(objects)[1:-1]


async def _workspaces(
    context: Context, report_key: ReportKey
) -> AsyncIterator[Sequence[dict[str, Any]]]:
    columns = _columns(_WORKSPACE, *_PARENT)
    page = Page(_WORKSPACES_AT_ONCE)
    while True:
        found = await workspaces_of_reports(context, [report_key], columns, page=page)
        rows = found.groups[0]
        if rows:
            yield await _with_members_and_projects(context, found)
        if len(rows) < _WORKSPACES_AT_ONCE:
            return
        page = Page(_WORKSPACES_AT_ONCE, rows[-1][found.columns["workspace_id"]])


async def _with_members_and_projects(context: Context, found: Grouped) -> list[dict[str, Any]]:
    parents = list(map(itemgetter(*(found.columns[name] for name in _PARENT)), found.groups[0]))
    members, projects = await asyncio.gather(
        members_of_workspaces(context, parents, _columns(_MEMBER)),
        projects_of_workspaces(context, parents, _columns(_PROJECT)),
    )
    [workspaces] = written(found, _WORKSPACE)
    written_members, written_projects = written(members, _MEMBER), written(projects, _PROJECT)
    for workspace in workspaces:
        workspace["members"] = next(written_members)
        workspace["projects"] = next(written_projects)
    return workspaces


async def _users(context: Context, totals: Totals) -> AsyncIterator[Sequence[dict[str, Any]]]:
    keys = _NEWER_USER if totals.is_newer else _USER
    page = Page(_USERS_AT_ONCE)
    while True:
        found = await licensed_users_of_reports(
            context, [totals.report], _columns(keys), page=page
        )
        [users] = written(found, keys)
        for user in users if totals.is_newer else ():
            if user["deletedAt"] is None:
                del user["deletedAt"]
        if users:
            yield users
        if len(users) < _USERS_AT_ONCE:
            return
        page = Page(_USERS_AT_ONCE, users[-1]["username"])


def written(found: Grouped, keys: Sequence[Key]) -> Iterator[list[dict[str, Any]]]:
    """The objects of each parent, made column by column, which is faster than row by row."""
    rows = list(chain.from_iterable(found.groups))
    values = [_column(rows, found.columns[key.column], key.write) for key in keys]
    names = [key.name for key in keys]
    objects = iter([dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)])
    return (list(islice(objects, len(group))) for group in found.groups)


def _column(
    rows: Sequence[Row], position: int, write: Callable[[Any], Any] | None
) -> Iterable[Any]:
    values = map(itemgetter(position), rows)
    return values if write is None else map(write, values)
