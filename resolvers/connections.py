"""Connections: a page of a list, whether there is more of it, and how long the list is.

A connection reads what the plain list reads, with one call of the same batch resolver. It may
select these columns besides those of the rows:

- `nodes`: not a column; it says that the rows themselves are selected
- `total_count`: how many rows the list has on all pages
- `has_next_page`: whether rows follow the page; the page then reads one row more
- `end_cursor`: what `after` takes to continue; null for an empty page
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any

from app.domain.errors import InvalidArgument
from resolvers.rows import Grouped, Row, Selection

NODES = "nodes"
TOTAL_COUNT = "total_count"
HAS_NEXT_PAGE = "has_next_page"
END_CURSOR = "end_cursor"


def rows_to_read(first: int | None, selection: Selection) -> int | None:
    """Return how many rows of each parent a page of `first` rows has to read."""
    if TOTAL_COUNT in selection and selection.isdisjoint({NODES, HAS_NEXT_PAGE, END_CURSOR}):
        return 0
    return first if first is None or HAS_NEXT_PAGE not in selection else first + 1


def to_connection(
    found: Grouped, selection: Selection, first: int | None, cursor: Sequence[str]
) -> Grouped:
    """Return pages without the additional row, and what is selected about each page.

    Args:
        found: The rows that the list's batch resolver returned.
        selection: The selected columns of the rows and of the page.
        first: The page size.
        cursor: The columns that identify a row among its parent's rows.
    """
    columns = found.columns
    groups, total_counts = found.groups, [0] * len(found.groups)
    if TOTAL_COUNT in selection:
        total_counts = [rows[0][columns[TOTAL_COUNT]] for rows in groups]
        # The page of a counted list is never empty; instead it has one row without a rank.
        groups = [[] if rows[0][columns["rank"]] is None else rows for rows in groups]
    pages = [rows[:first] for rows in groups]
    about_page: dict[str, Sequence[Any]] = {
        TOTAL_COUNT: total_counts,
        HAS_NEXT_PAGE: [len(page) < len(rows) for page, rows in zip(pages, groups, strict=True)],
    }
    if END_CURSOR in selection:
        positions = [columns[name] for name in cursor]
        about_page[END_CURSOR] = [_end_cursor(page, positions) for page in pages]
    return Grouped(columns, pages, {**found.group_columns, **about_page})


def _end_cursor(page: Sequence[Row], positions: Sequence[int]) -> str | None:
    if not page:
        return None
    values = [page[-1][position] for position in positions]
    return str(values[0]) if len(values) == 1 else format_cursor(values)


def format_cursor(values: Sequence[Any]) -> str:
    """Return an opaque cursor for a row that several values identify.

    >>> parse_cursor(format_cursor(["2026-09", None]), 2)
    ['2026-09', '']
    """
    texts = ["" if value is None else str(value) for value in values]
    return urlsafe_b64encode(json.dumps(texts).encode()).decode()


def parse_cursor(cursor: str, length: int) -> list[str]:
    """Return the values of a cursor as text.

    Raises:
        InvalidArgument: It is no cursor of so many values.
    """
    try:
        values = json.loads(urlsafe_b64decode(cursor))
        is_storable = "\0" not in "".join(values) and "".join(values).encode()
    except (TypeError, ValueError, RecursionError):
        is_storable, values = False, []
    if not is_storable or len(values) != length:
        raise InvalidArgument(f"after: must be the endCursor of a page; got {cursor[:80]!r}.")
    return list(values)
