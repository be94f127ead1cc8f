"""What an organization consists of while its history goes on."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Habit:
    """How much a kind of user does, in percent of the average."""

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
    """An account, whether it exists yet or no longer."""

    username: str
    email: str
    habit: Habit
    role: str = "MEMBER"
    service_account: bool = False
    exists: bool = False
    suspended: bool = False
    lives: int = 0
    """How often it was created: what one life began ends with it."""
    places: list["Workspace"] = field(default_factory=list)
    """Where they are meant to be a member, at home first."""
    members: list["Member"] = field(default_factory=list)
    """The memberships in force."""

    def is_member_of(self, workspace: "Workspace") -> bool:
        """Whether a membership there is in force."""
        return any(member.workspace is workspace for member in self.members)


@dataclass(slots=True, eq=False)
class Workspace:
    """A workspace, whether it exists yet or no longer."""

    name: str
    size_bits: int
    """How large its experiments are: each bit more doubles them."""
    projects: list["Project"] = field(default_factory=list)
    """Those that it has at some time."""
    open_projects: list["Project"] = field(default_factory=list)
    """Those that exist, the oldest first."""
    team: list[User] = field(default_factory=list)
    """Users who are meant to be members."""
    exists: bool = False
    members: list["Member"] = field(default_factory=list)
    """The memberships in force."""


@dataclass(slots=True, eq=False)
class Project:
    """A project, whether it exists yet or no longer."""

    workspace: Workspace
    name: str
    exists: bool = False
    lives: int = 0
    """How often it was created: its experiments end with the life in which they were started."""


@dataclass(slots=True, eq=False)
class Member:
    """One membership, from its beginning to its end."""

    user: User
    workspace: Workspace
    projects: list[Project]
    """Those that the member works on."""
    in_force: bool = True
