"""The figures that a correction can be about."""

from enum import StrEnum


class Figure(StrEnum):
    """A figure of a report, and what one unit of it is."""

    WORKSPACES = "WORKSPACES"
    PROJECTS = "PROJECTS"
    MEMBERS = "MEMBERS"
    LICENSED_USERS = "LICENSED_USERS"
    EXPERIMENTS = "EXPERIMENTS"
    EXPERIMENTS_CREATED = "EXPERIMENTS_CREATED"
    UNMEASURED_EXPERIMENTS = "UNMEASURED_EXPERIMENTS"
    SIZE_BYTES = "SIZE_BYTES"
    BYTE_MICROSECONDS = "BYTE_MICROSECONDS"
    UI_USAGE = "UI_USAGE"
    SDK_USAGE = "SDK_USAGE"
