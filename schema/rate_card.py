"""The rate card: prices, cost centres and assignments, and their changes."""

from decimal import Decimal
from enum import Enum
from typing import Annotated

import strawberry

from app.domain import rates
from app.domain.months import Month
from app.domain.rates import effective
from app.services.rate_card import (
    AssignmentEntry,
    assign,
    fetch_rate_card,
    list_assignments,
    set_cost_centre,
    set_currency,
    set_price,
    set_rate,
)
from schema.charge import Measure, to_measure
from schema.month import MonthArgument
from schema.request_info import RequestInfo


@strawberry.enum(description="How a fee is shared among cost centres.")
class Split(Enum):
    """How a fee is shared among cost centres."""

    EVEN = strawberry.enum_value(
        "EVEN", description="In equal parts among the cost centres with an assignment."
    )
    PROPORTIONAL = strawberry.enum_value(
        "PROPORTIONAL", description="In proportion to what each cost centre is charged directly."
    )


@strawberry.enum(description="What can be assigned to a cost centre.")
class AssignedKind(Enum):
    """What can be assigned to a cost centre."""

    WORKSPACE = strawberry.enum_value("WORKSPACE", description="A workspace.")
    USER = strawberry.enum_value("USER", description="A user.")


@strawberry.type(description="Who pays.")
class CostCentre:
    """Who pays."""

    code: str = strawberry.field(description="Unique in the organization.")
    name: str = strawberry.field(description="The name that statements show.")


@strawberry.type(description="Something that is charged by one measure.")
class Rate:
    """Something that is charged by one measure."""

    code: str = strawberry.field(description="Unique in the organization.")
    name: str = strawberry.field(description="The name that statements show.")
    measure: Measure = strawberry.field(description="What it charges for.")
    unit: str = strawberry.field(description="The unit that the price is for, in the singular.")
    price: Decimal | None = strawberry.field(
        description="Null when no price is in force in the month; else the price of one unit."
    )
    split: Split | None = strawberry.field(
        description="Null when the rate is not a shared fee; else how the fee is shared."
    )
    cost_centre: str | None = strawberry.field(
        description="Null when no single cost centre pays; else the code of the one that pays "
        "the fee."
    )


@strawberry.type(description="The cost centre of a workspace or user in a month.")
class Assignment:
    """The cost centre of a workspace or user in a month."""

    kind: AssignedKind = strawberry.field(description="What is assigned.")
    name: str = strawberry.field(description="The workspace's name, or the username.")
    cost_centre: str = strawberry.field(description="The code of the cost centre that pays.")


@strawberry.type(description="What is in force in one month: currency, prices and assignments.")
class RateCard:
    """What is in force in one month."""

    month: Month = strawberry.field(description="The month.")
    currency: str | None = strawberry.field(
        description="Null when nothing is charged yet; else the currency: a code of ISO 4217."
    )
    cost_centres: list[CostCentre] = strawberry.field(
        description="All cost centres, sorted by code."
    )
    rates: list[Rate] = strawberry.field(description="All rates, sorted by code.")
    assignments: list[Assignment] = strawberry.field(
        description="The assignments in force, sorted by kind and name."
    )


Code = Annotated[str, strawberry.argument(description="Its code, unique in the organization.")]
Name = Annotated[str, strawberry.argument(description="The name that statements show.")]
FromMonth = Annotated[
    Month,
    strawberry.argument(
        name="from", description="The first month in which it is in force; it must be open."
    ),
]


async def rate_card(info: RequestInfo, month: MonthArgument) -> RateCard:
    """Return what is in force in a month."""
    database, organization_id = info.context.database, info.context.caller.organization_id
    card = await fetch_rate_card(database, organization_id)
    assignments = await list_assignments(database, organization_id, month)
    return RateCard(
        month=month,
        currency=card.currency.code if card.currency else None,
        cost_centres=[CostCentre(**each._asdict()) for each in card.cost_centres.values()],
        rates=[_to_rate(each, card, month) for each in card.rates],
        assignments=[
            Assignment(kind=AssignedKind[kind.name], name=name, cost_centre=cost_centre)
            for kind, name, cost_centre in assignments
        ],
    )


def _to_rate(rate: rates.Rate, card: rates.RateCard, month: Month) -> Rate:
    return Rate(
        code=rate.code,
        name=rate.name,
        measure=to_measure(rate.measure),
        unit=rate.measure.unit,
        price=effective(card.prices.get(rate.code, {}), month),
        split=None if rate.split is None else Split[rate.split.name],
        cost_centre=rate.cost_centre,
    )


@strawberry.type
class RateCardMutation:
    """The mutations of the rate card."""

    @strawberry.mutation(
        description="Set the organization's currency. It cannot change once there are prices."
    )
    async def set_currency(
        self,
        info: RequestInfo,
        currency: Annotated[str, strawberry.argument(description="A code of ISO 4217.")],
    ) -> str:
        context = info.context
        found = await set_currency(
            context.database,
            context.caller.organization_id,
            currency,
            by=context.actor,
            now=context.now,
        )
        return found.code

    @strawberry.mutation(description="Create a cost centre, or rename it.")
    async def set_cost_centre(self, info: RequestInfo, code: Code, name: Name) -> CostCentre:
        context = info.context
        await set_cost_centre(
            context.database,
            context.caller.organization_id,
            rates.CostCentre(code, name),
            by=context.actor,
            now=context.now,
        )
        return CostCentre(code=code, name=name)

    @strawberry.mutation(
        description="Create a rate, or change its name and who pays its fee. Prices follow with "
        "`setPrice`."
    )
    async def set_rate(
        self,
        info: RequestInfo,
        code: Code,
        name: Name,
        measure: Annotated[
            Measure, strawberry.argument(description="What it charges for; it cannot change.")
        ],
        split: Annotated[
            Split | None, strawberry.argument(description="How a fee is shared.")
        ] = None,
        cost_centre: Annotated[
            str | None,
            strawberry.argument(description="The code of the cost centre that pays a fee."),
        ] = None,
    ) -> str:
        context = info.context
        rate = rates.Rate(
            code,
            name,
            rates.Measure[measure.name],
            None if split is None else rates.Split[split.name],
            cost_centre,
        )
        await set_rate(
            context.database,
            context.caller.organization_id,
            rate,
            by=context.actor,
            now=context.now,
        )
        return code

    @strawberry.mutation(
        description="Set the price of one unit from a month on, until the next price. Prices "
        "start with a month, never inside one."
    )
    async def set_price(
        self,
        info: RequestInfo,
        rate: Annotated[str, strawberry.argument(description="The code of the rate.")],
        from_month: FromMonth,
        amount: Annotated[
            Decimal | None,
            strawberry.argument(description="At least 0, at most ten decimals; null ends it."),
        ] = None,
        currency: Annotated[
            str | None,
            strawberry.argument(
                description="The currency of the amount. A price in another currency than the "
                "organization's is rejected."
            ),
        ] = None,
    ) -> str:
        context = info.context
        await set_price(
            context.database,
            context.caller.organization_id,
            rate,
            from_month,
            amount,
            currency=currency,
            by=context.actor,
            now=context.now,
        )
        return rate

    @strawberry.mutation(
        description="Assign a workspace or user to a cost centre from a month on, until the next "
        "assignment."
    )
    async def assign(
        self,
        info: RequestInfo,
        kind: Annotated[AssignedKind, strawberry.argument(description="What is assigned.")],
        name: Annotated[
            str, strawberry.argument(description="The workspace's name, or the username.")
        ],
        from_month: FromMonth,
        cost_centre: Annotated[
            str | None,
            strawberry.argument(description="The code of the cost centre; null ends it."),
        ] = None,
    ) -> str:
        context = info.context
        entry = AssignmentEntry(rates.AssignedKind[kind.name], name, cost_centre, from_month)
        await assign(
            context.database,
            context.caller.organization_id,
            [entry],
            by=context.actor,
            now=context.now,
        )
        return name
