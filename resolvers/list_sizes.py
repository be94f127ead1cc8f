"""How many rows an organization's lists have, which bounds the cost of a query."""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from app.db.sizes import select_sizes
from resolvers.context import Context


class ListSize(NamedTuple):
    """The number of rows of one kind of list in one month.

    Attributes:
        total: The rows of all parents together.
        largest: The rows of the parent that has the most.
    """

    total: int
    largest: int


ListSizes: TypeAlias = Mapping[str, ListSize]
"""By `workspaces`, `users`, `members`, `former_members` and `projects`."""

LARGEST_SUPPORTED: ListSizes = {
    "workspaces": ListSize(10_000, 10_000),
    "users": ListSize(200_000, 200_000),
    "members": ListSize(600_000, 600_000),
    "former_members": ListSize(60_000, 60_000),
    "projects": ListSize(100_000, 100_000),
}
"""The list sizes of the largest organization that the service is designed and measured for."""


async def read_list_sizes(context: Context) -> ListSizes:
    """Return the list sizes of the caller's organization in its latest month.

    Deleted entities count as long as their month rows exist.

    Source: `workspace_month`, `user_month`, `member_month`, `project_month`.
    """
    rows = await context.snapshot.fetch_rows(select_sizes(), {})
    return {kind: ListSize(total, largest) for kind, total, largest in rows}
