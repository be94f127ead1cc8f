"""The sections of an exported report, and the orders of their rows."""

from enum import StrEnum


class Section(StrEnum):
    """A list of a report that is exported as a table, in the order of an export."""

    WORKSPACE = "workspace"
    PROJECT = "project"
    MEMBER = "member"
    USER = "user"
    CORRECTION = "correction"
    COST_CENTRE = "cost-centre"


class Direction(StrEnum):
    """The directions of an order."""

    ASCENDING = "ascending"
    DESCENDING = "descending"


REPORT_SECTIONS = tuple(each for each in Section if each is not Section.COST_CENTRE)
"""The sections of a complete report. Cost centres are a view of its charges."""


class SectionOrder(StrEnum):
    """The order of a section's rows: by name, or by a figure with the largest first.

    GROWTH is that of the average size, against the month compared with.
    """

    NAME = "name"
    SIZE = "size"
    AVERAGE = "average"
    EXPERIMENTS = "experiments"
    CREATED = "created"
    GROWTH = "growth"
