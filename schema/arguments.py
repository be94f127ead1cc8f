"""Arguments that several fields share, described once."""

from typing import Annotated

import strawberry

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
