"""What is charged to nobody in a report month."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import strawberry

from resolvers.levels import ReportKey
from resolvers.rows import Grouped, Selection
from resolvers.unlicensed_usage import unlicensed_users_of_reports
from schema.arguments import First
from schema.execution import batched, column
from schema.request_info import RequestInfo
from schema.scalars import BigInt

_After = Annotated[
    str | None,
    strawberry.argument(
        description="Only users after this username, usually the last of the previous page."
    ),
]


@strawberry.type(
    description="A user without a licence who used the platform in the month: never announced, "
    "deleted before the month, or renamed in it."
)
class UnlicensedUser:
    """A user without a licence who used the platform in the month."""

    username: str = column(description="The username as the uses state it.")
    ui_usage_count: BigInt | None = column(
        description="Null when no source measures the UI; otherwise uses of it in the month."
    )
    sdk_usage_count: BigInt | None = column(
        description="Null when no source measures the SDK; otherwise uses of it in the month."
    )
    amount: Decimal | None = column(
        description="Null when nothing is charged in the month; otherwise what these uses would "
        "cost. The amounts of all users add up to that of `chargedToNobody`."
    )
    similar_username: str | None = column(
        description="Null when there is none; otherwise a licensed user of the month whose name "
        "differs only in upper and lower case, which is probably meant.",
    )


@strawberry.type(
    description="Uses by users without a licence. They are in no list of users and in no charge."
)
class UnlicensedUsage:
    """Uses by users without a licence."""

    number_of_users: int = column(description="How many users without a licence had uses.")
    ui_usage_count: BigInt | None = column(
        description="Null when no source measures the UI; otherwise their uses of it."
    )
    sdk_usage_count: BigInt | None = column(
        description="Null when no source measures the SDK; otherwise their uses of it."
    )
    amount: Decimal | None = column(
        description="Null when nothing is charged in the month; otherwise what these uses would "
        "cost at the month's prices. No cost centre pays it, and no total contains it."
    )

    @batched(
        key=("organization_id", "window"),
        graphql_type=list[UnlicensedUser],
        description="These users, by username. Empty when there are none.",
    )
    async def users(
        info: RequestInfo,
        reports: Sequence[ReportKey],
        selection: Selection,
        first: First = None,
        after: _After = None,
    ) -> Grouped:
        return await unlicensed_users_of_reports(
            info.context, reports, selection, first=first, after=after
        )
