"""Reading one nesting level: keys in, one statement, rows grouped by parent out."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Protocol
from uuid import UUID

from app.db.levels import Page, report_parameters
from app.db.statements import Statement
from app.domain.errors import InvalidArgument
from resolvers.context import Context
from resolvers.rows import Grouped, Row, RowStream

ReportKey = tuple[UUID, date]
"""organization_id, and the first day of the report month."""
WorkspaceKey = tuple[UUID, date, UUID]
"""organization_id, month, workspace_id."""
UserKey = tuple[UUID, date, UUID]
"""organization_id, month, user_id."""

MAX_PAGE_SIZE = 10_000


class SelectLevel(Protocol):
    """A level's statement, once it is known whether all parents belong to one report."""

    def __call__(self, *, one_report: bool) -> Statement:
        """The statement: the parent's ordinal, then the selected columns."""


async def read_level(
    context: Context,
    select: SelectLevel,
    keys: Sequence[tuple[Any, ...]],
    names: Sequence[str] = (),
    **parameters: Any,
) -> Grouped:
    """Run a level's statement for parents of one organization.

    Args:
        context: The request.
        select: The statement for parents of one report, or of several.
        keys: The parents: organization_id, month, and what `names` says.
        names: The names of the further keys.
        parameters: What else the statement is bound to.
    """
    organization_id = keys[0][0]
    months = list(dict.fromkeys(key[1] for key in keys))
    # One report given twice, by two aliases, is two parents.
    one_report = len(months) == 1 and (bool(names) or len(keys) == 1)
    reports = [context.reports[organization_id, month] for month in months]
    bound = {
        "parent_month": [key[1] for key in keys],
        **{f"parent_{name}": [key[index] for key in keys] for index, name in enumerate(names, 2)},
        **report_parameters(reports, one=one_report),
        **parameters,
    }
    statement = select(one_report=one_report)
    rows = await context.snapshot.fetch_rows(statement, bound, organization_id=organization_id)
    return grouped(rows, statement.columns, len(keys))


def stream_level(context: Context, select: SelectLevel, report: ReportKey, size: int) -> RowStream:
    """Run a level's statement for one report, `size` rows at a time.

    Args:
        context: The request.
        select: The statement, for the report or for all its workspaces.
        report: The report.
        size: How many rows are read at a time.
    """
    organization_id, month = report
    statement = select(one_report=True)
    bound = report_parameters([context.reports[organization_id, month]], one=True)
    chunks = context.snapshot.iter_chunks(statement, bound, size, organization_id=organization_id)
    return RowStream(statement.columns, chunks)


def grouped(rows: Sequence[Row], columns: Mapping[str, int], parents: int) -> Grouped:
    """Rows by the ordinal of their parent, which comes first in each row and counts from 1."""
    if parents == 1:
        return Grouped(columns, [rows])
    groups: list[list[Row]] = [[] for _ in range(parents)]
    for row in rows:
        groups[row[0] - 1].append(row)
    return Grouped(columns, groups)


def parse_page(first: int | None, after: str | None) -> Page:
    """A page of things that are known by name.

    Raises:
        InvalidArgument: `first` is no page size.
    """
    if first is not None and not 0 <= first <= MAX_PAGE_SIZE:
        raise InvalidArgument(f"first: must be from 0 to {MAX_PAGE_SIZE}; got {first}.")
    if after is not None and "\0" in after:
        raise InvalidArgument(f"after: must not contain the character U+0000; got {after!r}.")
    return Page(first, after)


def parse_id_page(first: int | None, after: str | None) -> Page:
    """A page of things that are known by id.

    Raises:
        InvalidArgument: `first` is no page size, or `after` is no id.
    """
    page = parse_page(first, after)
    if after is None:
        return page
    try:
        return Page(first, UUID(after))
    except ValueError:
        raise InvalidArgument(
            f"after: must be the id of the last one seen; got {after!r}."
        ) from None


def to_dicts(found: Grouped, index: int = 0) -> Iterator[dict[str, Any]]:
    """The rows of one parent, by column."""
    names = list(found.columns)
    positions = list(found.columns.values())
    return (
        {name: row[position] for name, position in zip(names, positions, strict=True)}
        for row in found.groups[index]
    )
