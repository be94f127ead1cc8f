"""The mutations."""

from datetime import datetime, timedelta
from typing import Annotated

import strawberry

from app.domain.callers import Scope
from app.domain.errors import InvalidArgument
from app.domain.months import Month
from app.services.keys import (
    create_key,
    find_key_owner,
    require_may_create_key,
    revoke_key,
    rotate_key,
)
from app.services.months import MonthState, close_month, list_months, reopen_month
from schema.key import ApiKey, CreatedApiKey, to_api_key, to_created_api_key
from schema.month import MonthArgument, ReportMonth, to_report_month
from schema.rate_card import RateCardMutation
from schema.request_info import RequestInfo
from schema.viewer import KeyScope

_KeyId = Annotated[
    strawberry.ID, strawberry.argument(description="The key's id: the part after `cbk_`.")
]
_MAX_OVERLAP_HOURS = 30 * 24


@strawberry.type(description="The mutations. Each field is one transaction.")
class Mutation(RateCardMutation):
    """The mutations."""

    @strawberry.mutation(description="Create an API key in the caller's organization.")
    async def create_api_key(
        self,
        info: RequestInfo,
        username: Annotated[
            str,
            strawberry.argument(
                description="The user that the key authenticates. The user need not exist yet."
            ),
        ],
        scopes: Annotated[
            list[KeyScope], strawberry.argument(description="What the key may be used for.")
        ],
        cost_centres: Annotated[
            list[str] | None,
            strawberry.argument(
                description="The codes of the cost centres whose statements the key may read; "
                "only for the scope `statement:read`, which needs at least one."
            ),
        ] = None,
        label: Annotated[
            str, strawberry.argument(description="What the key is for, in up to 200 characters.")
        ] = "created over GraphQL",
        expires_at: Annotated[
            datetime | None,
            strawberry.argument(description="When the key expires. By default, never."),
        ] = None,
    ) -> CreatedApiKey:
        context = info.context
        await require_may_create_key(context.database, context.caller, username, context.settings)
        created = await create_key(
            context.database,
            context.caller.organization_id,
            username=username,
            scopes=[Scope[scope.name] for scope in scopes],
            cost_centres=cost_centres or (),
            label=label,
            expires_at=expires_at,
            now=context.now,
            by=context.actor,
        )
        return to_created_api_key(created)

    @strawberry.mutation(
        description="Create a key with the settings of an old one, which keeps working for a "
        "while."
    )
    async def rotate_api_key(
        self,
        info: RequestInfo,
        id: _KeyId,  # noqa: A002  the argument's public name
        overlap_hours: Annotated[
            int,
            strawberry.argument(
                description="Hours for which the old key keeps working, from 0 to 720."
            ),
        ] = 24,
    ) -> CreatedApiKey:
        context = info.context
        if not 0 <= overlap_hours <= _MAX_OVERLAP_HOURS:
            raise InvalidArgument(
                f"overlapHours: must be from 0 to {_MAX_OVERLAP_HOURS}; got {overlap_hours}."
            )
        organization_id = context.caller.organization_id
        username = await find_key_owner(context.database, organization_id, id)
        await require_may_create_key(context.database, context.caller, username, context.settings)
        created = await rotate_key(
            context.database,
            context.caller.organization_id,
            id,
            overlap=timedelta(hours=overlap_hours),
            now=context.now,
            by=context.actor,
        )
        return to_created_api_key(created)

    @strawberry.mutation(
        description="Revoke a key and end its sessions at once. Revoking it again is not an error."
    )
    async def revoke_api_key(
        self,
        info: RequestInfo,
        id: _KeyId,  # noqa: A002  the argument's public name
    ) -> ApiKey:
        context = info.context
        row = await revoke_key(
            context.database, context.caller.organization_id, id, context.now, context.actor
        )
        return to_api_key(row)

    @strawberry.mutation(
        description="Close a month and the earlier open months that `expected` names. Their "
        "reports never change again. Returns the months that were closed, earliest first. "
        "Empty if the month was closed already."
    )
    async def close_month(
        self,
        info: RequestInfo,
        month: MonthArgument,
        expected: Annotated[
            list[Month] | None,
            strawberry.argument(
                description="Every month that may close. If another month would close, too, "
                "nothing is closed, and the error `CLOSES_OTHER_MONTHS` names it. By default "
                "`month` alone."
            ),
        ] = None,
    ) -> list[ReportMonth]:
        context = info.context
        caller = context.caller
        closed = await close_month(
            context.database,
            caller.organization_id,
            month,
            expected=[month] if expected is None else expected,
            by=context.actor,
            now=context.now,
        )
        states = await list_months(context.database, caller.organization_id, context.now)
        return [to_report_month(state) for state in reversed(states) if state.month in closed]

    @strawberry.mutation(
        description="Reopen the latest closed month. Its report then includes the events that "
        "arrived late. `monthHistory` records the reopening."
    )
    async def reopen_month(
        self,
        info: RequestInfo,
        month: MonthArgument,
        reason: Annotated[
            str,
            strawberry.argument(
                description="Why the month is reopened. It is kept in `monthHistory`."
            ),
        ],
    ) -> ReportMonth:
        context = info.context
        caller = context.caller
        await reopen_month(
            context.database,
            caller.organization_id,
            month,
            reason=reason,
            by=context.actor,
            now=context.now,
        )
        return to_report_month(MonthState(month, None, None, None))
