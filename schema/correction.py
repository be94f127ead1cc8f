"""What came too late for a closed month."""

from decimal import Decimal
from enum import Enum

import strawberry

from app.domain.figures import Figure
from app.domain.months import Month
from schema.execution import column


@strawberry.enum(name="Figure", description="A figure that a correction is about, and its unit.")
class CorrectedFigure(Enum):
    """A figure that a correction is about."""

    WORKSPACES = strawberry.enum_value(
        Figure.WORKSPACES.value, description="Workspaces that exist at the month's end."
    )
    PROJECTS = strawberry.enum_value(
        Figure.PROJECTS.value, description="Projects of the workspace that exist then."
    )
    MEMBERS = strawberry.enum_value(
        Figure.MEMBERS.value, description="Memberships of the workspace in force then."
    )
    LICENSED_USERS = strawberry.enum_value(
        Figure.LICENSED_USERS.value, description="Users licensed in the month."
    )
    EXPERIMENTS = strawberry.enum_value(
        Figure.EXPERIMENTS.value, description="Experiments that exist at the month's end."
    )
    EXPERIMENTS_CREATED = strawberry.enum_value(
        Figure.EXPERIMENTS_CREATED.value, description="Experiments created within the month."
    )
    UNMEASURED_EXPERIMENTS = strawberry.enum_value(
        Figure.UNMEASURED_EXPERIMENTS.value,
        description="Experiments that exist at the month's end with a size that nobody knows.",
    )
    SIZE_BYTES = strawberry.enum_value(
        Figure.SIZE_BYTES.value, description="Bytes that experiments hold at the month's end."
    )
    BYTE_MICROSECONDS = strawberry.enum_value(
        Figure.BYTE_MICROSECONDS.value,
        description="Bytes held times the microseconds for which they were, within the month.",
    )
    UI_USAGE = strawberry.enum_value(
        Figure.UI_USAGE.value, description="Uses of the UI within the month."
    )
    SDK_USAGE = strawberry.enum_value(
        Figure.SDK_USAGE.value, description="Uses of the SDK within the month."
    )


def _figure(written: str) -> CorrectedFigure:
    return CorrectedFigure[written]


def _whole(amount: Decimal) -> Decimal:
    """Without the exponent that the driver writes round numbers with."""
    return Decimal(int(amount))


@strawberry.type(
    description="An amount that a closed month's report lacks, because the facts came after the "
    "close. The report and its corrections make what a recomputation would say."
)
class Correction:
    """An amount that a closed month's report lacks."""

    origin_month: Month = column(description="The closed month that it belongs to.")
    figure: CorrectedFigure = column(convert=_figure, description="What it adds to.")
    amount: Decimal = column(
        convert=_whole,
        description="How much, a whole number in the figure's unit, written as a string; negative "
        "when the closed report says too much.",
    )
    workspace: str | None = column(
        description="Null when the figure is not of a workspace; else the workspace's name."
    )
    project: str | None = column(
        description="Null when the figure is not of a project; else the project's name."
    )
    user_name: str | None = column(
        "username", description="Null when the figure is not of a user; else the username."
    )
