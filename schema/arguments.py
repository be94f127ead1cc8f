"""Arguments that several fields share, described once."""

from typing import Annotated

import strawberry

First = Annotated[
    int | None,
    strawberry.argument(description="At most so many, from 0 to 10000; without it, all."),
]
AfterId = Annotated[
    str | None,
    strawberry.argument(
        description="Only those that come after this `id`, the last one seen in the same order. "
        "Nothing comes after one that is not in the list."
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
        description="The organization's name; without it, the one that the key belongs to. "
        "Only users in ADMIN_USER_LIST may name another."
    ),
]
