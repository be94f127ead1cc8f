"""How large an organization is: what a query of it may cost."""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from app.db.sizes import select_sizes
from resolvers.context import Context


class Size(NamedTuple):
    """How many rows a kind of list has in one month.

    Attributes:
        total: All of them, of all parents.
        most: Those of the parent that has the most.
    """

    total: int
    most: int


Sizes: TypeAlias = Mapping[str, Size]
"""By `workspaces`, `users`, `members`, `former_members` and `projects`."""

LARGEST_SUPPORTED: Sizes = {
    "workspaces": Size(10_000, 10_000),
    "users": Size(200_000, 200_000),
    "members": Size(600_000, 600_000),
    "former_members": Size(60_000, 60_000),
    "projects": Size(100_000, 100_000),
}
"""Of the largest organization that the service is made and measured for."""


async def sizes_of_organization(context: Context) -> Sizes:
    """The sizes of the caller's organization in its latest month.

    Source: the month rows, those of deleted things included.
    """
    rows = await context.snapshot.rows(select_sizes(), {})
    return {kind: Size(total, most) for kind, total, most in rows}
