"""The scenario: who joins, moves, leaves and returns, and what opens and closes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple, TypeAlias, TypeVar

from app.demo.entities import MANAGER, Project, User, Workspace
from app.demo.event_queue import Fact, Instant, ScheduledAction
from app.demo.history import DAY, HOUR
from app.demo.organization import Organization
from app.demo.simulation import Simulation

# The initial import on the first day ends before people start work at six.
_FOUNDING_HOURS = 5
_LONGEST_PAUSE = 20_000_000
_FOUNDING_USERS_PERCENT = 45
_FOUNDING_WORKSPACES_PERCENT = 65
# Nothing opens in the last days, so that everything planned still happens.
_LAST_OPENING = 6 * DAY
_OLDEST_ACCOUNT = 1_000 * DAY
_FEWEST_FOR_CLOSING = 4
_MANAGERS_PER_IDLE_ONE, _USED_PERCENT = 3, 60

T = TypeVar("T")
ProjectEnd: TypeAlias = Callable[[Project, Instant], Iterable[Fact]]


class Career(NamedTuple):
    """An action that happens to a user after a random percentage of the remaining time."""

    action: Callable[[User, Instant], Iterable[Fact]]
    percents: tuple[int, int]


class Scenario:
    """Schedules everything that happens."""

    def __init__(
        self, simulation: Simulation, users: Sequence[User], workspaces: Sequence[Workspace]
    ) -> None:
        self._simulation = simulation
        self._organization = Organization(simulation)
        self._users = users
        self._workspaces = workspaces
        self._careers: list[Career | None] = []
        self._staying_managers = 0
        self._project_ends: list[ProjectEnd | None] = []

    def begin(self) -> None:
        """Found the organization and schedule what follows."""
        users, workspaces = self._founding_users(), self._founding_workspaces()
        self._schedule_founding(users, workspaces)
        self._schedule_evenly(self._users[len(users) :], self.join, percent=100)
        self._schedule_evenly(
            self._workspaces[len(workspaces) :], self.start_workspace, percent=70
        )
        self._schedule_closings(workspaces)

    def _founding_users(self) -> Sequence[User]:
        percent = _FOUNDING_USERS_PERCENT if self._simulation.shape.lifelike else 100
        return self._users[: max(3, len(self._users) * percent // 100)]

    def _founding_workspaces(self) -> Sequence[Workspace]:
        percent = _FOUNDING_WORKSPACES_PERCENT if self._simulation.shape.lifelike else 100
        return self._workspaces[: max(1, len(self._workspaces) * percent // 100)]

    def _schedule_founding(self, users: Sequence[User], workspaces: Sequence[Workspace]) -> None:
        pause = _FOUNDING_HOURS * HOUR // (2 * len(users) + len(workspaces))
        actions: Iterator[ScheduledAction] = chain(
            (partial(self.import_user, user) for user in users),
            (partial(self.open_workspace, workspace) for workspace in workspaces),
            (partial(self.settle, user) for user in users),
        )
        founding = partial(self._perform_next_founding, actions, min(pause, _LONGEST_PAUSE))
        self._simulation.queue.schedule(self._simulation.history.start, founding)

    def _perform_next_founding(
        self, actions: Iterator[ScheduledAction], pause: Instant, now: Instant
    ) -> Iterable[Fact]:
        """Perform one founding action and schedule the rest for a moment later."""
        action = next(actions, None)
        if action is None:
            return ()
        rest = partial(self._perform_next_founding, actions, pause)
        self._simulation.queue.schedule(now + 1 + self._simulation.rng.randbelow(pause), rest)
        return action(now)

    def _schedule_evenly(
        self, items: Sequence[T], action: Callable[[T, Instant], Iterable[Fact]], percent: int
    ) -> None:
        """Schedule the action for each item, evenly over this part of the history."""
        history = self._simulation.history
        span = (history.end - history.start - _LAST_OPENING) * percent // 100
        for number, item in enumerate(items):
            at = history.start + span * (number + 1) // (len(items) + 1)
            self._simulation.queue.schedule(history.workday_after(at), partial(action, item))

    def import_user(self, user: User, now: Instant) -> Iterable[Fact]:
        """Import a user whose account is older than the history."""
        age = self._simulation.rng.randbelow(_OLDEST_ACCOUNT)
        self._schedule_career(user, now)
        return self._organization.create_user(user, self._simulation.history.start - 1 - age, now)

    def join(self, user: User, now: Instant) -> Iterable[Fact]:
        """Add a new user with a first membership."""
        self._schedule_career(user, now)
        return (*self._organization.create_user(user, now, now), *self.settle(user, now))

    def settle(self, user: User, now: Instant) -> Iterable[Fact]:
        """Add the memberships: the main one at once, the others now or later."""
        open_places = [place for place in user.places if place.exists] or self._any_workspace()
        add = self._organization.add_member
        if not self._simulation.shape.lifelike:
            return [fact for place in open_places for fact in add(user, place, now)]
        for place in open_places[1:]:
            self._schedule_later(now, (2, 50), partial(add, user, place))
        return add(user, open_places[0], now)

    def _any_workspace(self) -> list[Workspace]:
        found = [workspace for workspace in self._workspaces if workspace.exists]
        return [self._simulation.rng.choice(found)]

    def _schedule_later(
        self, now: Instant, percents: tuple[int, int], action: ScheduledAction
    ) -> None:
        """Schedule an action after a random percentage of the remaining time."""
        self._simulation.queue.schedule(
            self._simulation.history.instant_after(now, *percents), action
        )

    def open_workspace(self, workspace: Workspace, now: Instant) -> Iterable[Fact]:
        """Open a workspace with its first projects."""
        facts = list(self._organization.create_workspace(workspace, now))
        first = len(workspace.projects)
        if self._simulation.shape.lifelike:
            first = 1 + first // 2
        for project in workspace.projects[:first]:
            facts += self.open_project(project, now)
        for project in workspace.projects[first:]:
            self._schedule_later(now, (5, 85), partial(self.open_project, project))
        return facts

    def start_workspace(self, workspace: Workspace, now: Instant) -> Iterable[Fact]:
        """Open a new workspace; team members with an account join in the following days."""
        history, rng = self._simulation.history, self._simulation.rng
        for user in workspace.team:
            add = partial(self._organization.add_member, user, workspace)
            self._simulation.queue.schedule(
                history.workday_after(now + rng.randbelow(10 * DAY)), add
            )
        return self.open_workspace(workspace, now)

    def open_project(self, project: Project, now: Instant) -> Iterable[Fact]:
        """Open a project. The first of a workspace stays; three in ten of the others end later."""
        if self._simulation.shape.lifelike and project is not project.workspace.projects[0]:
            end = self._next_project_end()
            if end is not None:
                self._schedule_later(now, (15, 80), partial(end, project))
        return self._organization.create_project(project, now)

    def _next_project_end(self) -> ProjectEnd | None:
        if not self._project_ends:
            ends = [*7 * [None], *2 * [self._organization.delete_project], self.restart_project]
            self._project_ends = self._simulation.rng.shuffle(ends)
        return self._project_ends.pop()

    def restart_project(self, project: Project, now: Instant) -> Iterable[Fact]:
        """Delete a project and create it again later."""
        if not project.exists:
            return ()
        self._schedule_later(now, (10, 40), partial(self._organization.create_project, project))
        return self._organization.delete_project(project, now)

    def _schedule_closings(self, founded: Sequence[Workspace]) -> None:
        """Of every fourteen workspaces, close one small one for good and one temporarily."""
        if not self._simulation.shape.lifelike or len(founded) < _FEWEST_FOR_CLOSING:
            return
        start = self._simulation.history.start
        count = 1 + len(founded) // 14
        smallest = sorted(founded[1:], key=lambda workspace: len(workspace.team))[: 2 * count]
        for workspace in smallest[::2]:
            self._schedule_later(start, (30, 80), partial(self.close_workspace, workspace))
        for workspace in smallest[1::2]:
            self._schedule_later(start, (30, 60), partial(self.restart_workspace, workspace))

    def close_workspace(self, workspace: Workspace, now: Instant) -> Iterable[Fact]:
        """Delete a workspace; members without another workspace move to a new one."""
        history, rng = self._simulation.history, self._simulation.rng
        for user in [member.user for member in workspace.members if len(member.user.members) == 1]:
            at = history.workday_after(now + rng.randbelow(3 * DAY))
            self._simulation.queue.schedule(at, partial(self.resettle, user))
        return self._organization.delete_workspace(workspace, now)

    def restart_workspace(self, workspace: Workspace, now: Instant) -> Iterable[Fact]:
        """Delete a workspace and create it again later."""
        self._schedule_later(now, (15, 40), partial(self.start_workspace, workspace))
        return self.close_workspace(workspace, now)

    def resettle(self, user: User, now: Instant) -> Iterable[Fact]:
        """Give a user without a workspace a new one."""
        return self.settle(user, now) if user.exists and not user.members else ()

    def _schedule_career(self, user: User, now: Instant) -> None:
        """Schedule a user's career, dealt like cards so that small companies see every kind."""
        if not self._simulation.shape.lifelike or user.role == "ADMIN" or user.service_account:
            return
        if not self._careers:
            self._careers = self._simulation.rng.shuffle(self._career_deck())
        career = self._careers.pop()
        if career is not None:
            self._schedule_later(now, career.percents, partial(career.action, user))
        elif user.habit is MANAGER:
            self._plan_idleness(user)

    def _plan_idleness(self, user: User) -> None:
        """Let every third of the managers who stay lose interest after most of the history."""
        self._staying_managers += 1
        if self._staying_managers % _MANAGERS_PER_IDLE_ONE == 0:
            history = self._simulation.history
            share = (history.end - history.start) * _USED_PERCENT // 100
            user.idle_from = history.start + share

    def _career_deck(self) -> list[Career | None]:
        return [
            *9 * [None],
            *3 * [Career(self.leave, (20, 90))],
            *3 * [Career(self.move, (15, 90))],
            *2 * [Career(self.suspend_user, (20, 90))],
            Career(self.leave_for_a_while, (10, 50)),
            Career(self.pause, (15, 60)),
            Career(self._organization.change_email, (10, 90)),
        ]

    def leave(self, user: User, now: Instant) -> Iterable[Fact]:
        """End the memberships; the account is deleted some days later."""
        history, rng = self._simulation.history, self._simulation.rng
        at = history.workday_after(now + rng.randbelow(10 * DAY))
        self._simulation.queue.schedule(at, partial(self._organization.delete_user, user))
        return self._organization.remove_from_all(user, now)

    def leave_for_a_while(self, user: User, now: Instant) -> Iterable[Fact]:
        """Let a user leave and return later."""
        self._schedule_later(now, (30, 70), partial(self.come_back, user))
        return self.leave(user, now)

    def come_back(self, user: User, now: Instant) -> Iterable[Fact]:
        """Create a new account under the old name, unless the old one still exists."""
        return (*self._organization.create_user(user, now, now), *self.resettle(user, now))

    def move(self, user: User, now: Instant) -> Iterable[Fact]:
        """Move a user to another workspace; the experiments stay where they are."""
        elsewhere = [
            workspace
            for workspace in self._workspaces
            if workspace.exists and not user.is_member_of(workspace)
        ]
        if not elsewhere or not user.members:
            return ()
        to = self._simulation.rng.choice(elsewhere)
        user.places[0] = to
        removed = self._organization.remove_member(user.members[0], now)
        return (*removed, *self._organization.add_member(user, to, now))

    def pause(self, user: User, now: Instant) -> Iterable[Fact]:
        """Remove a user from a workspace and add them again later."""
        if not user.members:
            return ()
        member = user.members[0]
        back = partial(self._organization.add_member, user, member.workspace)
        self._schedule_later(now, (10, 50), back)
        return self._organization.remove_member(member, now)

    def suspend_user(self, user: User, now: Instant) -> Iterable[Fact]:
        """Suspend a user; most suspensions end later."""
        if self._simulation.rng.is_chance(70):
            self._schedule_later(now, (5, 40), partial(self._organization.unsuspend, user))
        return self._organization.suspend(user, now)
