"""Plan the users, workspaces and projects before the simulation starts."""

from collections import deque
from collections.abc import Sequence

from app.demo import names
from app.demo.entities import (
    ADMIN,
    ENGINEER,
    EVERYBODY,
    MANAGER,
    RESEARCHER,
    SERVICE_ACCOUNT,
    VISITOR,
    Habit,
    Project,
    User,
    Workspace,
)
from app.demo.seeded_random import SeededRandom, apportion
from app.demo.shape import OrganizationShape

# The roles of every ten people. Small organizations use the first entries only.
_HABITS = (
    *(RESEARCHER, ENGINEER, RESEARCHER, MANAGER, ENGINEER),
    *(RESEARCHER, VISITOR, RESEARCHER, ENGINEER, MANAGER),
)
_SERVICE_ACCOUNT_EVERY, _SERVICE_ACCOUNT_PLACE = 20, 9
_MAX_ROTATION = 1_000_000
_MAX_RANK_SHIFT = 6


def plan_users(shape: OrganizationShape, rng: SeededRandom) -> list[User]:
    """Return the users in the order of joining: two admins, then people and service accounts."""
    rotation = rng.randbelow(_MAX_ROTATION)
    users = [_admin(number) for number in range(len(names.ADMINS))]
    services = people = 0
    while len(users) < shape.users:
        if len(users) % _SERVICE_ACCOUNT_EVERY == _SERVICE_ACCOUNT_PLACE:
            users.append(_service_account(services))
            services += 1
        else:
            users.append(_person(people, rotation))
            people += 1
    if not shape.lifelike:
        for user in users:
            user.habit = EVERYBODY
    return users


def _admin(number: int) -> User:
    return _user(names.admin_name(number), ADMIN, role="ADMIN")


def _person(number: int, rotation: int) -> User:
    return _user(names.person_name(number, rotation), _HABITS[number % len(_HABITS)])


def _service_account(number: int) -> User:
    return _user(names.service_account_name(number), SERVICE_ACCOUNT, service_account=True)


def _user(
    name: names.AccountName, habit: Habit, *, role: str = "MEMBER", service_account: bool = False
) -> User:
    return User(name.username, name.email, habit, role, service_account)


def plan_workspaces(
    shape: OrganizationShape, rng: SeededRandom, users: Sequence[User]
) -> list[Workspace]:
    """Return workspaces with projects and teams; a few are large, most are small."""
    weights = _weights(shape.workspaces, rng)
    projects = apportion(
        shape.projects, weights, least=shape.projects_per_member, most=shape.projects
    )
    workspaces = [
        _workspace(number, count, rng.randbelow(4) - 1) for number, count in enumerate(projects)
    ]
    members = apportion(shape.memberships, weights, least=1, most=shape.users)
    _fill_teams(workspaces, members, users, rng)
    return workspaces


def _weights(count: int, rng: SeededRandom) -> list[int]:
    """Return power-law weights; earlier departments tend to be larger, with some variation."""
    positions = [number + rng.randbelow(_MAX_RANK_SHIFT) for number in range(count)]
    weights = [0] * count
    for rank, number in enumerate(sorted(range(count), key=positions.__getitem__)):
        weights[number] = 10**9 // (rank + 3)
    return weights


def _workspace(number: int, project_count: int, size_bits: int) -> Workspace:
    workspace = Workspace(names.workspace_name(number), size_bits)
    workspace.projects = [
        Project(workspace, names.project_name(number, place)) for place in range(project_count)
    ]
    return workspace


def _fill_teams(
    workspaces: Sequence[Workspace],
    sizes: Sequence[int],
    users: Sequence[User],
    rng: SeededRandom,
) -> None:
    """Assign users to workspaces in rounds, each in a random order, so that loads are even.

    A user who is already in the team waits for the next workspace.
    """
    waiting: deque[User] = deque()
    for workspace, size in zip(workspaces, sizes, strict=True):
        postponed: list[User] = []
        while len(workspace.team) < size:
            if not waiting:
                waiting.extend(rng.shuffle(users))
            user = waiting.popleft()
            if user.places and user.places[-1] is workspace:
                postponed.append(user)
            else:
                user.places.append(workspace)
                workspace.team.append(user)
        waiting.extendleft(reversed(postponed))
