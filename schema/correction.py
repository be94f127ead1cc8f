"""Corrections of closed months."""

from decimal import Decimal
from enum import Enum

import strawberry

from app.domain.figures import Figure
from app.domain.months import Month
from schema.execution import column


@strawberry.enum(name="Figure", description="The figure that a correction changes, and its unit.")
class CorrectedFigure(Enum):
    """The figure that a correction changes."""

    WORKSPACES = strawberry.enum_value(
        Figure.WORKSPACES.value, description="Number of workspaces at the month's end."
    )
    PROJECTS = strawberry.enum_value(
        Figure.PROJECTS.value,
        description="Number of projects in the workspace at the month's end.",
    )
    MEMBERS = strawberry.enum_value(
        Figure.MEMBERS.value, description="Number of members of the workspace at the month's end."
    )
    LICENSED_USERS = strawberry.enum_value(
        Figure.LICENSED_USERS.value, description="Number of licensed users of the month."
    )
    EXPERIMENTS = strawberry.enum_value(
        Figure.EXPERIMENTS.value, description="Number of experiments at the month's end."
    )
    EXPERIMENTS_CREATED = strawberry.enum_value(
        Figure.EXPERIMENTS_CREATED.value,
        description="Number of experiments created within the month.",
    )
    UNMEASURED_EXPERIMENTS = strawberry.enum_value(
        Figure.UNMEASURED_EXPERIMENTS.value,
        description="Number of experiments of unknown size at the month's end.",
    )
    SIZE_BYTES = strawberry.enum_value(
        Figure.SIZE_BYTES.value, description="Bytes that experiments hold at the month's end."
    )
    BYTE_MICROSECONDS = strawberry.enum_value(
        Figure.BYTE_MICROSECONDS.value,
        description="Bytes held within the month, multiplied by the microseconds they were held.",
    )
    UI_USAGE = strawberry.enum_value(
        Figure.UI_USAGE.value, description="Number of UI uses within the month."
    )
    SDK_USAGE = strawberry.enum_value(
        Figure.SDK_USAGE.value, description="Number of SDK uses within the month."
    )
    UNLICENSED_UI_USAGE = strawberry.enum_value(
        Figure.UNLICENSED_UI_USAGE.value,
        description="Number of UI uses within the month by a user without a licence in it, "
        "which are charged to nobody.",
    )
    UNLICENSED_SDK_USAGE = strawberry.enum_value(
        Figure.UNLICENSED_SDK_USAGE.value,
        description="Number of SDK uses within the month by a user without a licence in it, "
        "which are charged to nobody.",
    )


def _to_figure(name: str) -> CorrectedFigure:
    return CorrectedFigure[name]


def _without_exponent(amount: Decimal) -> Decimal:
    """Return a whole amount without the exponent that the driver gives round numbers."""
    return Decimal(int(amount))


@strawberry.type(
    description="A change to a figure of a closed month, caused by events that arrived after the "
    "close. The closed report plus its corrections equals a recomputation of the month."
)
class Correction:
    """A change to a figure of a closed month."""

    origin_month: Month = column(description="The closed month whose figure changes.")
    figure: CorrectedFigure = column(convert=_to_figure, description="The figure that changes.")
    amount: Decimal = column(
        convert=_without_exponent,
        description="The change: a whole number in the figure's unit, as a string. Negative if "
        "the closed report is too high.",
    )
    workspace: str | None = column(
        description="Null when the figure does not belong to a workspace; otherwise its name."
    )
    project: str | None = column(
        description="Null when the figure does not belong to a project; otherwise its name."
    )
    user_name: str | None = column(
        "username",
        description="Null when the figure does not belong to a user; otherwise the username.",
    )
