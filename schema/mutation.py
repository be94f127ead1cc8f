"""The mutations."""

from datetime import datetime, timedelta
from typing import Annotated, Any

import strawberry
from strawberry import Info

from app.domain.callers import Scope
from app.domain.errors import InvalidArgument
from app.services.keys import (
    create_key,
    find_key_owner,
    require_may_create_key,
    revoke_key,
    rotate_key,
)
from app.services.months import MonthState, close_month, list_months, reopen_month
from resolvers.context import Context
from schema.key import ApiKey, CreatedApiKey, api_key, created_api_key
from schema.month import MonthArgument, ReportMonth, report_month
from schema.viewer import KeyScope

_KeyId = Annotated[
    strawberry.ID, strawberry.argument(description="The key's id: its part after `cbk_`.")
]
_LONGEST_OVERLAP_HOURS = 30 * 24


@strawberry.type(description="The mutations. Each field is one transaction.")
class Mutation:
    """The mutations."""

    @strawberry.mutation(description="Create an API key in the caller's organization.")
    async def create_api_key(
        self,
        info: Info[Context, Any],
        username: Annotated[
            str, strawberry.argument(description="Whose key it is; need not be announced yet.")
        ],
        scopes: Annotated[
            list[KeyScope], strawberry.argument(description="What it may be used for.")
        ],
        label: Annotated[
            str, strawberry.argument(description="What it is for, to 200 characters.")
        ] = "created over GraphQL",
        expires_at: Annotated[
            datetime | None,
            strawberry.argument(description="When it stops working; without it, never."),
        ] = None,
    ) -> CreatedApiKey:
        context = info.context
        await require_may_create_key(context.database, context.caller, username, context.settings)
        minted = await create_key(
            context.database,
            context.caller.organization_id,
            username=username,
            scopes=[Scope[scope.name] for scope in scopes],
            label=label,
            expires_at=expires_at,
            now=context.now,
            by=context.actor,
        )
        return created_api_key(minted)

    @strawberry.mutation(
        description="Create a key with the settings of an old one, which stays valid for a while."
    )
    async def rotate_api_key(
        self,
        info: Info[Context, Any],
        id: _KeyId,  # noqa: A002  the argument's public name
        overlap_hours: Annotated[
            int,
            strawberry.argument(description="For how long the old key still works: 0 to 720."),
        ] = 24,
    ) -> CreatedApiKey:
        context = info.context
        if not 0 <= overlap_hours <= _LONGEST_OVERLAP_HOURS:
            raise InvalidArgument(
                f"overlapHours: must be from 0 to {_LONGEST_OVERLAP_HOURS}; got {overlap_hours}."
            )
        own = context.caller.organization_id
        username = await find_key_owner(context.database, own, id)
        await require_may_create_key(context.database, context.caller, username, context.settings)
        minted = await rotate_key(
            context.database,
            context.caller.organization_id,
            id,
            overlap=timedelta(hours=overlap_hours),
            now=context.now,
            by=context.actor,
        )
        return created_api_key(minted)

    @strawberry.mutation(
        description="Revoke a key and its sessions at once. Revoking it again is no error."
    )
    async def revoke_api_key(
        self,
        info: Info[Context, Any],
        id: _KeyId,  # noqa: A002  the argument's public name
    ) -> ApiKey:
        context = info.context
        row = await revoke_key(
            context.database, context.caller.organization_id, id, context.now, context.actor
        )
        return api_key(row)

    @strawberry.mutation(
        description="Close a month, and each earlier one that is open: their reports never change "
        "again. A month that is closed stays so. Returns the months that this closed, in order."
    )
    async def close_month(
        self, info: Info[Context, Any], month: MonthArgument
    ) -> list[ReportMonth]:
        context = info.context
        caller = context.caller
        closed = await close_month(
            context.database,
            caller.organization_id,
            month,
            by=context.actor,
            now=context.now,
        )
        states = await list_months(context.database, caller.organization_id, context.now)
        return [report_month(state) for state in reversed(states) if state.month in closed]

    @strawberry.mutation(
        description="Open the latest closed month again, with what came late for it. Leaves a "
        "trace in `monthHistory`."
    )
    async def reopen_month(
        self,
        info: Info[Context, Any],
        month: MonthArgument,
        reason: Annotated[str, strawberry.argument(description="Why; kept for good.")],
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
        return report_month(MonthState(month, None, None, None))
