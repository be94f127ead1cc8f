"""What becomes of the organization: who comes, moves, leaves, returns; what opens and closes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple, TypeAlias, TypeVar

from app.demo.entities import Project, User, Workspace
from app.demo.event_queue import Fact, Instant, ScheduledAction
from app.demo.history import DAY, HOUR
from app.demo.organization import Organization
from app.demo.simulation import Simulation

# The first day's import of what was there before; the first people come to work at six.
_FOUNDING_HOURS = 5
_LONGEST_PAUSE = 20_000_000
_FOUNDING_USERS_PERCENT = 45
_FOUNDING_WORKSPACES_PERCENT = 65
# Nothing new in the last days, so that all that is planned does come.
_LAST_OPENING = 6 * DAY
_OLDEST_ACCOUNT = 1_000 * DAY
_FEWEST_FOR_CLOSING = 4

T = TypeVar("T")
ProjectEnd: TypeAlias = Callable[[Project, Instant], Iterable[Fact]]


class Career(NamedTuple):
    """What happens to a user after so many percent, at least and at most, of the time left."""

    act: Callable[[User, Instant], Iterable[Fact]]
    percents: tuple[int, int]


class Scenario:
    """Enters into the queue what is going to happen."""

    def __init__(
        self, simulation: Simulation, users: Sequence[User], workspaces: Sequence[Workspace]
    ) -> None:
        self._simulation = simulation
        self._organization = Organization(simulation)
        self._users = users
        self._workspaces = workspaces
        self._fates: list[Career | None] = []
        self._project_ends: list[ProjectEnd | None] = []

    def begin(self) -> None:
        """Found the organization; a lifelike one then goes on by itself."""
        users, workspaces = self._founding_users(), self._founding_workspaces()
        self._found(users, workspaces)
        self._enter_spread(self._users[len(users) :], self.join, percent=100)
        self._enter_spread(self._workspaces[len(workspaces) :], self.start_workspace, percent=70)
        self._enter_closings(workspaces)

    def _founding_users(self) -> Sequence[User]:
        percent = _FOUNDING_USERS_PERCENT if self._simulation.shape.lifelike else 100
        return self._users[: max(3, len(self._users) * percent // 100)]

    def _founding_workspaces(self) -> Sequence[Workspace]:
        percent = _FOUNDING_WORKSPACES_PERCENT if self._simulation.shape.lifelike else 100
        return self._workspaces[: max(1, len(self._workspaces) * percent // 100)]

    def _found(self, users: Sequence[User], workspaces: Sequence[Workspace]) -> None:
        pause = _FOUNDING_HOURS * HOUR // (2 * len(users) + len(workspaces))
        acts: Iterator[ScheduledAction] = chain(
            (partial(self.import_user, user) for user in users),
            (partial(self.open_workspace, workspace) for workspace in workspaces),
            (partial(self.settle, user) for user in users),
        )
        founding = partial(self._found_next, acts, min(pause, _LONGEST_PAUSE))
        self._simulation.queue.schedule(self._simulation.history.start, founding)

    def _found_next(
        self, acts: Iterator[ScheduledAction], pause: Instant, now: Instant
    ) -> Iterable[Fact]:
        """Do one act of the founding, and schedule the rest of them for a moment later."""
        act = next(acts, None)
        if act is None:
            return ()
        rest = partial(self._found_next, acts, pause)
        self._simulation.queue.schedule(now + 1 + self._simulation.rng.below(pause), rest)
        return act(now)

    def _enter_spread(
        self, those: Sequence[T], act: Callable[[T, Instant], Iterable[Fact]], percent: int
    ) -> None:
        """Have it happen to one after the other, in working hours of that part of the history."""
        history = self._simulation.history
        span = (history.end - history.start - _LAST_OPENING) * percent // 100
        for number, one in enumerate(those):
            at = history.start + span * (number + 1) // (len(those) + 1)
            self._simulation.queue.schedule(history.workday_after(at), partial(act, one))

    def import_user(self, user: User, now: Instant) -> Iterable[Fact]:
        """A user whose account is older than the history."""
        age = self._simulation.rng.below(_OLDEST_ACCOUNT)
        self._enter_fate(user, now)
        return self._organization.create_user(user, self._simulation.history.start - 1 - age, now)

    def join(self, user: User, now: Instant) -> Iterable[Fact]:
        """A new user, with an account and a first membership."""
        self._enter_fate(user, now)
        return (*self._organization.create_user(user, now, now), *self.settle(user, now))

    def settle(self, user: User, now: Instant) -> Iterable[Fact]:
        """Memberships: the one at home at once; the others too, or as work brings them."""
        open_places = [place for place in user.places if place.exists] or self._any_workspace()
        add = self._organization.add_member
        if not self._simulation.shape.lifelike:
            return [fact for place in open_places for fact in add(user, place, now)]
        for place in open_places[1:]:
            self._enter_later(now, (2, 50), partial(add, user, place))
        return add(user, open_places[0], now)

    def _any_workspace(self) -> list[Workspace]:
        found = [workspace for workspace in self._workspaces if workspace.exists]
        return [self._simulation.rng.pick(found)]

    def _enter_later(self, now: Instant, percents: tuple[int, int], act: ScheduledAction) -> None:
        """Have it happen after so many percent, at least and at most, of the time that is left."""
        self._simulation.queue.schedule(self._simulation.history.later(now, *percents), act)

    def open_workspace(self, workspace: Workspace, now: Instant) -> Iterable[Fact]:
        """A workspace with its first projects."""
        facts = list(self._organization.create_workspace(workspace, now))
        first = len(workspace.projects)
        if self._simulation.shape.lifelike:
            first = 1 + first // 2
        for project in workspace.projects[:first]:
            facts += self.open_project(project, now)
        for project in workspace.projects[first:]:
            self._enter_later(now, (5, 85), partial(self.open_project, project))
        return facts

    def start_workspace(self, workspace: Workspace, now: Instant) -> Iterable[Fact]:
        """A new workspace; of its team, those who have an account come in the days after."""
        history, rng = self._simulation.history, self._simulation.rng
        for user in workspace.team:
            add = partial(self._organization.add_member, user, workspace)
            self._simulation.queue.schedule(history.workday_after(now + rng.below(10 * DAY)), add)
        return self.open_workspace(workspace, now)

    def open_project(self, project: Project, now: Instant) -> Iterable[Fact]:
        """A project; the first of a workspace stays, of the others three in ten end one day."""
        if self._simulation.shape.lifelike and project is not project.workspace.projects[0]:
            end = self._next_project_end()
            if end is not None:
                self._enter_later(now, (15, 80), partial(end, project))
        return self._organization.create_project(project, now)

    def _next_project_end(self) -> ProjectEnd | None:
        if not self._project_ends:
            ends = [*7 * [None], *2 * [self._organization.delete_project], self.restart_project]
            self._project_ends = self._simulation.rng.shuffled(ends)
        return self._project_ends.pop()

    def restart_project(self, project: Project, now: Instant) -> Iterable[Fact]:
        """A project that is deleted, and after a while created anew."""
        if not project.exists:
            return ()
        self._enter_later(now, (10, 40), partial(self._organization.create_project, project))
        return self._organization.delete_project(project, now)

    def _enter_closings(self, founded: Sequence[Workspace]) -> None:
        """Of every fourteen workspaces one is closed for good and one for a while, small ones."""
        if not self._simulation.shape.lifelike or len(founded) < _FEWEST_FOR_CLOSING:
            return
        start = self._simulation.history.start
        count = 1 + len(founded) // 14
        smallest = sorted(founded[1:], key=lambda workspace: len(workspace.team))[: 2 * count]
        for workspace in smallest[::2]:
            self._enter_later(start, (30, 80), partial(self.close_workspace, workspace))
        for workspace in smallest[1::2]:
            self._enter_later(start, (30, 60), partial(self.restart_workspace, workspace))

    def close_workspace(self, workspace: Workspace, now: Instant) -> Iterable[Fact]:
        """A workspace is deleted; who has no other one left finds one."""
        history, rng = self._simulation.history, self._simulation.rng
        for user in [member.user for member in workspace.members if len(member.user.members) == 1]:
            at = history.workday_after(now + rng.below(3 * DAY))
            self._simulation.queue.schedule(at, partial(self.resettle, user))
        return self._organization.delete_workspace(workspace, now)

    def restart_workspace(self, workspace: Workspace, now: Instant) -> Iterable[Fact]:
        """A workspace that is deleted, and after a while created anew."""
        self._enter_later(now, (15, 40), partial(self.start_workspace, workspace))
        return self.close_workspace(workspace, now)

    def resettle(self, user: User, now: Instant) -> Iterable[Fact]:
        """A user without a workspace gets one."""
        return self.settle(user, now) if user.exists and not user.members else ()

    def _enter_fate(self, user: User, now: Instant) -> None:
        """What becomes of a person, dealt like cards so that even a small company has it all."""
        if not self._simulation.shape.lifelike or user.role == "ADMIN" or user.service_account:
            return
        if not self._fates:
            self._fates = self._simulation.rng.shuffled(self._deck())
        fate = self._fates.pop()
        if fate is not None:
            self._enter_later(now, fate.percents, partial(fate.act, user))

    def _deck(self) -> list[Career | None]:
        return [
            *9 * [None],
            *3 * [Career(self.leave, (20, 90))],
            *3 * [Career(self.move, (15, 90))],
            *2 * [Career(self.be_suspended, (20, 90))],
            Career(self.leave_for_a_while, (10, 50)),
            Career(self.pause, (15, 60)),
            Career(self._organization.readdress, (10, 90)),
        ]

    def leave(self, user: User, now: Instant) -> Iterable[Fact]:
        """The memberships end; the account goes when somebody gets to it."""
        history, rng = self._simulation.history, self._simulation.rng
        at = history.workday_after(now + rng.below(10 * DAY))
        self._simulation.queue.schedule(at, partial(self._organization.delete_user, user))
        return self._organization.remove_from_all(user, now)

    def leave_for_a_while(self, user: User, now: Instant) -> Iterable[Fact]:
        """A user who leaves, and is hired again."""
        self._enter_later(now, (30, 70), partial(self.come_back, user))
        return self.leave(user, now)

    def come_back(self, user: User, now: Instant) -> Iterable[Fact]:
        """A new account under the old name, or the old one if it is still there."""
        return (*self._organization.create_user(user, now, now), *self.resettle(user, now))

    def move(self, user: User, now: Instant) -> Iterable[Fact]:
        """From one workspace to another; the experiments stay where they are."""
        elsewhere = [
            workspace
            for workspace in self._workspaces
            if workspace.exists and not user.is_member_of(workspace)
        ]
        if not elsewhere or not user.members:
            return ()
        to = self._simulation.rng.pick(elsewhere)
        user.places[0] = to
        removed = self._organization.remove_member(user.members[0], now)
        return (*removed, *self._organization.add_member(user, to, now))

    def pause(self, user: User, now: Instant) -> Iterable[Fact]:
        """Out of a workspace, and back into it after a while: a leave, another project."""
        if not user.members:
            return ()
        member = user.members[0]
        back = partial(self._organization.add_member, user, member.workspace)
        self._enter_later(now, (10, 50), back)
        return self._organization.remove_member(member, now)

    def be_suspended(self, user: User, now: Instant) -> Iterable[Fact]:
        """Most come back."""
        if self._simulation.rng.percent(70):
            self._enter_later(now, (5, 40), partial(self._organization.readmit, user))
        return self._organization.suspend(user, now)
