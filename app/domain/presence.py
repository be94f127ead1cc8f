"""Whether something exists in a month, compared with an earlier one."""

from enum import StrEnum


class Presence(StrEnum):
    """Whether something is new in a month, was there before, or is gone."""

    NEW = "NEW"
    KEPT = "KEPT"
    GONE = "GONE"
