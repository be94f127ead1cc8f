"""The size of a generated organization."""

from dataclasses import dataclass, fields
from typing import ClassVar, Self


@dataclass(frozen=True, slots=True)
class OrganizationShape:
    """The sizes of an organization; the defaults are those of the demo.

    Raises:
        ValueError: A size is outside its limits; the message names it, its value and the limits.
    """

    workspaces: int = 14
    """All workspaces ever opened; their sizes follow a power law."""
    users: int = 120
    """All accounts ever created, including two admins and the service accounts (1 in 20)."""
    months: int = 24
    """Whole months of history before the month in which the history ends."""
    memberships_per_user: int = 2
    """Workspaces per user on average, not counting moves; at most all workspaces."""
    projects_per_workspace: int = 5
    """Projects per workspace, on average."""
    projects_per_member: int = 2
    """Projects of a workspace that one member works on; each workspace has at least this many."""
    experiments_per_member: int = 2
    """Experiments that a member starts per month and workspace. If this is at least
    `projects_per_member`, a member owns some in each of their projects after one full month."""
    usage_events_per_user: int = 9
    """Usage events per user, month and channel; each counts the uses of some hours."""
    lifelike: bool = True
    """True: people differ, join, move, leave and return; workspaces and projects come and go.
    False: everything exists from the first hour to the last and everybody is equally active, so
    each size above is exact at any time."""

    LIMITS: ClassVar[dict[str, tuple[int, int]]] = {
        "workspaces": (1, 100_000),
        "users": (3, 2_000_000),
        "months": (1, 120),
        "memberships_per_user": (1, 100),
        "projects_per_workspace": (1, 1_000),
        "projects_per_member": (1, 100),
        "experiments_per_member": (0, 10_000),
        "usage_events_per_user": (0, 10_000),
    }
    """The minimum and maximum of each size."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name in self.LIMITS:
                _check(field.name, getattr(self, field.name), *self.LIMITS[field.name])
        if self.projects_per_member > self.projects_per_workspace:
            raise ValueError(
                f"projects_per_member is {self.projects_per_member}: allowed is at most "
                f"projects_per_workspace, {self.projects_per_workspace}"
            )

    @classmethod
    def benchmark(cls, scale: int = 1) -> Self:
        """Return the organization of the benchmark, `scale` times as large.

        1,000 workspaces, 20,000 users, 60,000 memberships, 10,000 projects, and, at the end of
        the first month and ever after, 180,000 owners (workspace, project, user) of experiments.
        A history that ends at a month's end needs the fewest events, about 310,000.
        """
        _check("scale", scale, 1, 100)
        return cls(
            workspaces=1_000 * scale,
            users=20_000 * scale,
            months=1,
            memberships_per_user=3,
            projects_per_workspace=10,
            projects_per_member=3,
            experiments_per_member=3,
            usage_events_per_user=1,
            lifelike=False,
        )

    @property
    def memberships(self) -> int:
        """Return the number of initial memberships; each workspace has at least one."""
        return max(self.users * min(self.memberships_per_user, self.workspaces), self.workspaces)

    @property
    def projects(self) -> int:
        """Return the number of projects in all workspaces."""
        return self.workspaces * self.projects_per_workspace


def _check(name: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} is {value!r}: allowed is a whole number from {least} to {most}")
