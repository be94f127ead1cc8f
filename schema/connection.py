"""Connections: pages of the plain lists that say whether there is more, and how much in all."""

from collections.abc import Sequence
from functools import wraps
from typing import Any, Generic, TypeVar

import strawberry

from resolvers.connections import END_CURSOR, TOTAL_COUNT, to_connection
from resolvers.rows import Grouped, Selection
from schema.execution import batched, column, embedded, group_rows
from schema.request_info import RequestInfo

Node = TypeVar("Node")


@strawberry.type(description="Where a page ends, and whether the list goes on.")
class PageInfo:
    """Where a page ends, and whether the list goes on."""

    has_next_page: bool = column(description="Whether items follow the page.")
    end_cursor: str | None = column(
        description="Null when the page is empty; otherwise the argument `after` of the next page."
    )


@strawberry.type(description="A page of a list, and the length of the whole list.")
class Connection(Generic[Node]):
    """A page of a list, and the length of the whole list."""

    nodes: list[Node] = group_rows(description="The items of the page.")
    page_info: PageInfo = embedded(description="Where the page ends.")
    total_count: int = column(
        description="How many items the list has on all pages, after its filter."
    )


def connection(items: Any, node: type, *cursor: str, name: str) -> Any:
    """Declare the connection of a list, with the arguments of the list.

    Args:
        items: The batched field of the plain list. It reads its page with `parse_page`.
        node: The type of its items.
        cursor: The columns that identify an item among its parent's.
        name: The connection's name in the schema.
    """
    read = items.base_resolver.wrapped_func

    @wraps(read)
    async def read_connection(
        info: RequestInfo, keys: Sequence[Any], selection: Selection, **arguments: Any
    ) -> Grouped:
        selection = selection or frozenset({TOTAL_COUNT})
        columns = selection.union(cursor) if END_CURSOR in selection else selection
        found: Grouped = await read(info, keys, columns, **arguments)
        return to_connection(found, selection, arguments.get("first"), cursor)

    declare = batched(
        key=items.metadata["key"],
        name=name,
        graphql_type=Connection[node],  # type: ignore[valid-type]
        description=f"`{name.removesuffix('Connection')}`, and whether there is more. "
        f"{items.description}",
    )
    return declare(read_connection)
