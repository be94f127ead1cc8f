"""The figures that corrections change."""

from enum import StrEnum


class Figure(StrEnum):
    """A figure of a report that a correction can change."""

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
