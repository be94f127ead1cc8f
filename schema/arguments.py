"""Arguments that several fields share, described once."""

from enum import Enum
from typing import Annotated

import strawberry

from app.db.orders import Sorting

First = Annotated[
    int | None,
    strawberry.argument(description="The page size, from 0 to 10000. By default, all items."),
]
AfterId = Annotated[
    str | None,
    strawberry.argument(
        description="Only items after this one: its `workspaceId` or `projectId`, usually that of "
        "the last item of the previous page in the same order. Empty if the list has no such item."
    ),
]
AfterUsername = Annotated[
    str | None,
    strawberry.argument(
        description="Only users after this username, usually the last of the previous page in "
        "the same order. Empty if the order is not USERNAME and the list has no such user."
    ),
]
OrganizationName = Annotated[
    str | None,
    strawberry.argument(
        description="The organization's name. By default, the organization of the key. Only "
        "users in ADMIN_USER_LIST may name another one."
    ),
]


@strawberry.enum(description="The direction of an order.")
class Direction(Enum):
    """The direction of an order."""

    ASCENDING = strawberry.enum_value("ASCENDING", description="The smallest comes first.")
    DESCENDING = strawberry.enum_value("DESCENDING", description="The largest comes first.")


InDirection = Annotated[
    Direction | None,
    strawberry.argument(
        description="The direction of the order; by default the order's own. Ties are in the "
        "same order in both directions."
    ),
]


def to_sorting(order: Enum, direction: Direction | None) -> Sorting:
    """Return an order in a direction, as the resolvers take it."""
    return Sorting(order.name, None if direction is None else direction is Direction.DESCENDING)
