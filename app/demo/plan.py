"""Who and what is to be there, before anything happens."""

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

# Every ten people; the first is needed where there are but few.
_HABITS = (
    *(RESEARCHER, ENGINEER, RESEARCHER, MANAGER, ENGINEER),
    *(RESEARCHER, VISITOR, RESEARCHER, ENGINEER, MANAGER),
)
_SERVICE_ACCOUNT_EVERY, _SERVICE_ACCOUNT_PLACE = 20, 9
_MANY_PEOPLE = 1_000_000
_LARGEST_DETOUR = 6


def plan_users(shape: OrganizationShape, rng: SeededRandom) -> list[User]:
    """Two admins, then people with a service account here and there, in the order of coming."""
    rotation = rng.below(_MANY_PEOPLE)
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
    return _user(names.admin(number), ADMIN, role="ADMIN")


def _person(number: int, rotation: int) -> User:
    return _user(names.person(number, rotation), _HABITS[number % len(_HABITS)])


def _service_account(number: int) -> User:
    return _user(names.service_account(number), SERVICE_ACCOUNT, service_account=True)


def _user(
    name: names.AccountName, habit: Habit, *, role: str = "MEMBER", service_account: bool = False
) -> User:
    return User(name.username, name.email, habit, role, service_account)


def plan_workspaces(
    shape: OrganizationShape, rng: SeededRandom, users: Sequence[User]
) -> list[Workspace]:
    """Workspaces with their projects and their team; a few are large, most are small."""
    weights = _weights(shape.workspaces, rng)
    projects = apportion(
        shape.projects, weights, least=shape.projects_per_member, most=shape.projects
    )
    workspaces = [
        _workspace(number, count, rng.below(4) - 1) for number, count in enumerate(projects)
    ]
    members = apportion(shape.memberships, weights, least=1, most=shape.users)
    _fill_teams(workspaces, members, users, rng)
    return workspaces


def _weights(count: int, rng: SeededRandom) -> list[int]:
    """A power law: the departments named first are larger, but not strictly."""
    positions = [number + rng.below(_LARGEST_DETOUR) for number in range(count)]
    weights = [0] * count
    for rank, number in enumerate(sorted(range(count), key=positions.__getitem__)):
        weights[number] = 10**9 // (rank + 3)
    return weights


def _workspace(number: int, project_count: int, size_bits: int) -> Workspace:
    workspace = Workspace(names.workspace(number), size_bits)
    workspace.projects = [
        Project(workspace, names.project(number, place)) for place in range(project_count)
    ]
    return workspace


def _fill_teams(
    workspaces: Sequence[Workspace],
    sizes: Sequence[int],
    users: Sequence[User],
    rng: SeededRandom,
) -> None:
    """All users in turn, each time around in another order, so that all get about as many.

    A user who comes up again for the same workspace waits for the next.
    """
    waiting: deque[User] = deque()
    for workspace, size in zip(workspaces, sizes, strict=True):
        passed: list[User] = []
        while len(workspace.team) < size:
            if not waiting:
                waiting.extend(rng.shuffled(users))
            user = waiting.popleft()
            if user.places and user.places[-1] is workspace:
                passed.append(user)
            else:
                user.places.append(workspace)
                workspace.team.append(user)
        waiting.extendleft(reversed(passed))
