"""Read one nesting level: one statement for all parents, rows grouped by parent."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol
from uuid import UUID

from app.db.orders import Page, Sorting
from app.db.report_windows import ReportWindow, bind_reports, first_days
from app.db.statements import Statement
from app.domain.errors import InvalidArgument
from app.domain.months import Month
from app.domain.text import NUL
from resolvers.connections import TOTAL_COUNT, rows_to_read
from resolvers.context import Context
from resolvers.report_windows import previous_windows
from resolvers.rows import Grouped, Row, RowStream, Selection

ReportKey = tuple[UUID, ReportWindow]
"""`organization_id`, `window`: the columns of a report that `fetch_report` returns."""
WorkspaceKey = tuple[UUID, ReportWindow, UUID]
"""`organization_id`, `window`, `workspace_id`."""
UserKey = tuple[UUID, ReportWindow, UUID]
"""`organization_id`, `window`, `user_id`."""
PartKey = tuple[UUID, ReportWindow, UUID, UUID]
"""`organization_id`, `window`, `workspace_id`, and the `project_id` or `user_id`."""

MAX_PAGE_SIZE = 10_000
_NO_CRITERIA: Mapping[str, Any] = MappingProxyType({})


class SelectLevel(Protocol):
    """Builds a level's statement, for parents of one report or of several."""

    def __call__(self, *, one_report: bool) -> Statement:
        """Return the statement: the parent's ordinal, then the selected columns."""


async def read_level(
    context: Context,
    select: SelectLevel,
    keys: Sequence[tuple[Any, ...]],
    names: Sequence[str] = (),
    *,
    others: Mapping[Month, ReportWindow] | None = None,
    **parameters: object,
) -> Grouped:
    """Run a level's statement for all parents, which belong to one organization.

    The group columns hand the parents' keys down to the rows and to the levels below.

    Args:
        context: The request.
        select: Builds the statement.
        keys: The parents' keys: `organization_id`, `window`, then the columns in `names`.
        names: The names of the further key columns.
        others: By month, the report that each report is compared with; None compares none.
        parameters: The other parameters of the statement.
    """
    organization_id = keys[0][0]
    windows = [key[1] for key in keys]
    reports = list({window.month: window for window in windows}.values())
    # Two aliases of one report are two parents, although there is only one report.
    one_report = len(reports) == 1 and (bool(names) or len(keys) == 1)
    bound = {
        **({} if one_report else {"parent_month": first_days(windows)}),
        **{f"parent_{name}": [key[index] for key in keys] for index, name in enumerate(names, 2)},
        **bind_reports(
            reports,
            one=one_report,
            others=[others[window.month] for window in reports] if others else (),
        ),
        **parameters,
    }
    statement = select(one_report=one_report)
    rows = await context.snapshot.fetch_rows(statement, bound, organization_id=organization_id)
    handed_down = {
        name: [key[index] for key in keys]
        for index, name in enumerate(("organization_id", "window", *names))
    }
    return group_rows(rows, statement.columns, len(keys), handed_down)


async def read_list(
    context: Context,
    select: Callable[..., Statement],
    keys: Sequence[tuple[Any, ...]],
    names: Sequence[str] = (),
    *,
    sorting: Sorting,
    page: Page,
    matching: Mapping[str, Any] = _NO_CRITERIA,
) -> Grouped:
    """Read a page of the rows of each parent, in an order and with criteria.

    Args:
        context: The request.
        select: Builds the statement; takes `sorting`, `paging` and the names of criteria.
        keys: The parents' keys, as for `read_level`.
        names: The names of the further key columns.
        sorting: The order, which may compare with the month before.
        page: The page.
        matching: The criteria that are set, by parameter name.
    """
    shape = {"matching": frozenset(matching)} if matching else {}
    select_page = partial(select, sorting=sorting, paging=page.paging, **shape)
    others = await previous_windows(context, keys, sorting)
    return await read_level(
        context, select_page, keys, names, others=others, **matching, **page.parameters
    )


async def read_gone(
    context: Context,
    select: SelectLevel,
    keys: Sequence[tuple[Any, ...]],
    previous: Sequence[tuple[Any, ...]],
    names: Sequence[str] = (),
) -> Grouped:
    """Run a level's statement for the keys of an earlier month, compared with their own month.

    The rows belong to the parents in `keys`, not to those of the earlier month.
    """
    others = {earlier[1].month: key[1] for earlier, key in zip(previous, keys, strict=True)}
    found = await read_level(context, select, previous, names, others=others)
    windows = [key[1] for key in keys]
    return replace(found, group_columns={**found.group_columns, "window": windows})


def stream_level(
    context: Context, select: SelectLevel, report: ReportKey, chunk_size: int
) -> RowStream:
    """Run a level's statement for one report and stream its rows.

    Args:
        context: The request.
        select: Builds the statement, for the report or for all its workspaces.
        report: The report's key.
        chunk_size: The number of rows per chunk.
    """
    organization_id, window = report
    statement = select(one_report=True)
    bound = bind_reports([window], one=True)
    chunks = context.snapshot.iter_chunks(
        statement, bound, chunk_size, organization_id=organization_id
    )
    return RowStream(statement.columns, chunks)


def group_rows(
    rows: Sequence[Row],
    columns: Mapping[str, int],
    parents: int,
    group_columns: Mapping[str, Sequence[Any]] | None = None,
) -> Grouped:
    """Group rows by the ordinal of their parent: the first column, counted from 1."""
    if parents == 1:
        return Grouped(columns, [rows], group_columns or {})
    groups: list[list[Row]] = [[] for _ in range(parents)]
    for row in rows:
        groups[row[0] - 1].append(row)
    return Grouped(columns, groups, group_columns or {})


def parse_page(
    first: int | None,
    after: str | None,
    selection: Selection = frozenset(),
    *,
    max_size: int = MAX_PAGE_SIZE,
) -> Page:
    """Return the page of a list whose cursor is a name.

    For a connection, `selection` says what the page has to read; see `resolvers.connections`.

    Raises:
        InvalidArgument: `first` is not from 0 to `max_size`, or `after` contains U+0000.
    """
    if first is not None and not 0 <= first <= max_size:
        raise InvalidArgument(f"first: must be from 0 to {max_size}; got {first}.")
    if after is not None and NUL in after:
        raise InvalidArgument(f"after: must not contain the character U+0000; got {after!r}.")
    return Page(rows_to_read(first, selection), after, TOTAL_COUNT in selection)


def parse_id_page(
    first: int | None, after: str | None, selection: Selection = frozenset()
) -> Page:
    """Return the page of a list whose cursor is an id.

    Raises:
        InvalidArgument: `first` is out of range, or `after` is not an id.
    """
    page = parse_page(first, after, selection)
    if after is None:
        return page
    try:
        return replace(page, after=UUID(after))
    except ValueError:
        raise InvalidArgument(
            "after: must be the workspaceId or projectId of the last item on the previous page; "
            f"got {after!r}."
        ) from None


def to_dicts(found: Grouped, index: int = 0) -> Iterator[dict[str, Any]]:
    """Return the rows of one group as dictionaries by column."""
    names = list(found.columns)
    positions = list(found.columns.values())
    return (
        {name: row[position] for name, position in zip(names, positions, strict=True)}
        for row in found.groups[index]
    )
