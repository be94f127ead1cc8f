"""Arguments that several fields share, described once."""

from typing import Annotated

import strawberry

First = Annotated[
    int | None,
    strawberry.argument(description="The page size, from 0 to 10000. Without it, all items."),
]
AfterId = Annotated[
    str | None,
    strawberry.argument(
        description="Only items after the one with this `id`, usually the last of the previous "
        "page in the same order. Empty if the list has no such item."
    ),
]
AfterUsername = Annotated[
    str | None,
    strawberry.argument(
        description="Only those that come after this username, the last one seen in the same "
        "order. In an order other than by username, nothing comes after one that is not in the "
        "list."
    ),
]
OrganizationName = Annotated[
    str | None,
    strawberry.argument(
        description="The organization's name; without it, the organization of the key. "
        "Only users in ADMIN_USER_LIST may name another."
    ),
]
