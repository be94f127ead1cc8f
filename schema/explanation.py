"""Why a charge line has its amount."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import strawberry

from app.db.charge_evidence import EventRow
from app.domain.months import Month
from resolvers import explanations
from resolvers.rows import Grouped, Selection, positions
from schema.charge import ChargeLine
from schema.execution import batched, column, embedded
from schema.request_info import RequestInfo


@strawberry.enum(description="A level at which amounts are rounded.")
class RoundingLevel(Enum):
    """A level at which amounts are rounded."""

    RATE = strawberry.enum_value(
        "RATE", description="All lines of the rate, of one origin month. Rounded half up."
    )
    COST_CENTRE = strawberry.enum_value(
        "COST_CENTRE", description="Those of them that the cost centre pays: its share."
    )
    LINE = strawberry.enum_value("LINE", description="The line: its share of its cost centre.")


def _to_level(step: explanations.Step) -> RoundingLevel:
    return RoundingLevel[step.name]


@strawberry.type(description="The sum of the lines of a level, before and after rounding.")
class RoundingStep:
    """The sum of the lines of a level, before and after rounding."""

    level: RoundingLevel = column("step", convert=_to_level, description="The level.")
    exact_amount: Decimal = column(
        description="The sum before rounding, to twelve decimals, half up."
    )
    amount: Decimal = column(description="The sum of the booked amounts.")


@strawberry.type(description="A row behind the quantity of a charge line.")
class ChargePart:
    """A row behind the quantity of a charge line."""

    name: str = column(
        description="A project; for the line of a user a workspace; for a shared fee a cost "
        "centre; for a correction the project and user that it came from."
    )
    quantity: Decimal = column(description="What it contributes, to twelve decimals, half up.")
    unit: str = column(description="The unit of the quantity, in the singular.")
    amount: Decimal | None = column(
        description="Null when it has no amount of its own; otherwise its share in the amount."
    )


@strawberry.type(description="An accepted event behind a charge line.")
class ChargeEvent:
    """An accepted event behind a charge line."""

    source: str = column(description="The source of the event.")
    event_id: strawberry.ID = column("id", description="Its id, unique within the source.")
    type: str = column(description="Its type, such as `experiment.created`.")
    time: datetime = column("occurred_at", description="When it happened.")
    received_at: datetime = column(description="When it arrived.")
    data: str = column(description="Its data, as a JSON object.")


@strawberry.type(description="Why a charge line has its amount.")
class ChargeExplanation:
    """Why a charge line has its amount."""

    line: ChargeLine = embedded(description="The line.")
    month: Month = column(description="The month whose usage is charged.")
    numerator: str = column(
        description="The numerator of the exact quantity, as text: it can have 40 digits."
    )
    denominator: str = column(description="The denominator of the exact quantity, as text.")

    @batched(
        key="steps",
        graphql_type=list[RoundingStep],
        description="How the amount was rounded: the rate, the cost centre, the line.",
    )
    async def rounding(
        _: RequestInfo, steps: Sequence[Sequence[Any]], _selection: Selection
    ) -> Grouped:
        return _to_grouped(explanations.RoundingStep._fields, steps)

    @batched(
        key="parts",
        graphql_type=list[ChargePart],
        description="The rows behind the quantity: the projects of the workspace, former "
        "ones included; the workspaces among which a user's use is divided; the direct charges in "
        "proportion to which a fee is shared; what a correction consists of. Empty for a fee that "
        "is not shared in proportion.",
    )
    async def parts(
        _: RequestInfo, parts: Sequence[Sequence[Any]], _selection: Selection
    ) -> Grouped:
        return _to_grouped(explanations.ChargePart._fields, parts)

    @batched(
        key="events",
        graphql_type=list[ChargeEvent],
        description="The latest 100 events before the month's end about the line's workspace or "
        "user, latest first. Single uses are not listed. Empty for a fee.",
    )
    async def events(
        _: RequestInfo, events: Sequence[Sequence[Any]], _selection: Selection
    ) -> Grouped:
        return _to_grouped(EventRow._fields, events)


def _to_grouped(names: Sequence[str], groups: Sequence[Sequence[Any]]) -> Grouped:
    return Grouped(positions(names), groups)
