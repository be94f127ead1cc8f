"""The entities of an organization, whose state changes during the simulation."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Habit:
    """How active a type of user is, in percent of the average."""

    experiments: int
    ui: int
    sdk: int
    most_ui_uses: int = 40
    most_sdk_uses: int = 400
    at_night: bool = False


EVERYBODY = Habit(100, 100, 100)
ADMIN = Habit(0, 140, 0, most_ui_uses=80)
RESEARCHER = Habit(160, 110, 120)
ENGINEER = Habit(110, 60, 140, most_sdk_uses=900)
MANAGER = Habit(0, 70, 0, most_ui_uses=15)
VISITOR = Habit(20, 25, 10, most_ui_uses=10, most_sdk_uses=60)
SERVICE_ACCOUNT = Habit(250, 0, 230, most_sdk_uses=9_000, at_night=True)


@dataclass(slots=True, eq=False)
class User:
    """An account, which may not exist yet or any more."""

    username: str
    email: str
    habit: Habit
    role: str = "MEMBER"
    service_account: bool = False
    exists: bool = False
    suspended: bool = False
    generation: int = 0
    """How often the account was created. Activity of an earlier generation stops."""
    places: list["Workspace"] = field(default_factory=list)
    """The workspaces that the user is planned for, the main one first."""
    members: list["Member"] = field(default_factory=list)
    """The active memberships."""
    idle_from: int | None = None
    """When the person stops using the platform for good; the account stays licensed."""

    def is_idle(self, now: int) -> bool:
        """Return whether the person has stopped using the platform."""
        return self.idle_from is not None and now >= self.idle_from

    def is_member_of(self, workspace: "Workspace") -> bool:
        """Return whether the user has an active membership there."""
        return any(member.workspace is workspace for member in self.members)


@dataclass(slots=True, eq=False)
class Workspace:
    """A workspace, which may not exist yet or any more."""

    name: str
    size_bits: int
    """The size of its experiments; each additional bit doubles them."""
    projects: list["Project"] = field(default_factory=list)
    """All planned projects."""
    open_projects: list["Project"] = field(default_factory=list)
    """The existing projects, oldest first."""
    team: list[User] = field(default_factory=list)
    """The users who are planned as members."""
    exists: bool = False
    members: list["Member"] = field(default_factory=list)
    """The active memberships."""


@dataclass(slots=True, eq=False)
class Project:
    """A project, which may not exist yet or any more."""

    workspace: Workspace
    name: str
    exists: bool = False
    generation: int = 0
    """How often the project was created. Experiments end with their generation."""


@dataclass(slots=True, eq=False)
class Member:
    """One membership, from its start to its end."""

    user: User
    workspace: Workspace
    projects: list[Project]
    """The projects that the member works on."""
    is_active: bool = True
