"""What is unknown about activity."""

from enum import Enum

import strawberry

from resolvers.activity_warnings import Unknown
from schema.execution import column


@strawberry.enum(description="What is unknown about activity.")
class UnknownActivity(Enum):
    """What is unknown about activity."""

    UI_USAGE = strawberry.enum_value(
        Unknown.UI_USAGE.value, description="No source measures uses of the UI."
    )
    SDK_USAGE = strawberry.enum_value(
        Unknown.SDK_USAGE.value, description="No source measures uses of the SDK."
    )
    PROJECT_ACTIVITY = strawberry.enum_value(
        Unknown.PROJECT_ACTIVITY.value,
        description="Projects hold experiments that no event describes, such as those of an "
        "imported report.",
    )


def _to_unknown(name: str) -> UnknownActivity:
    return UnknownActivity[name]


@strawberry.type(description="Something that is unknown about activity in a month.")
class ActivityWarning:
    """Something that is unknown about activity in a month."""

    unknown: UnknownActivity = column(convert=_to_unknown, description="What is unknown.")
    message: str = column(description="What this means, in a sentence.")
