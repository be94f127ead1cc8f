"""The sections of an exported report, and the orders of their rows."""

from enum import StrEnum


class Section(StrEnum):
    """A list of a report that is exported as a table, in the order of an export."""

    WORKSPACE = "workspace"
    PROJECT = "project"
    MEMBER = "member"
    USER = "user"
    CORRECTION = "correction"


class SectionOrder(StrEnum):
    """The order of a section's rows: by name, or by a figure with the largest first."""

    NAME = "name"
    SIZE = "size"
    AVERAGE = "average"
    EXPERIMENTS = "experiments"
    CREATED = "created"
