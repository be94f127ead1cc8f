"""What people and machines do all the time: start experiments, let them grow, use the platform."""

from collections.abc import Iterable

from app.demo import facts
from app.demo.entities import Member, Project, User
from app.demo.event_queue import Fact, Instant
from app.demo.history import DAY, HOUR, POSITION_BITS
from app.demo.simulation import Simulation

_MINUTE = HOUR // 60
# One that large grows no more: the feed takes no experiment above 2**50 bytes.
_LARGE = 2**40
# In percent of other months; the rest of a December goes to its first three weeks.
_QUIET_MONTHS = {8: 80, 12: 60}
# An odd number near 2**64 divided by the golden ratio: its multiples look random, and all differ.
_SCATTER = 0x9E3779B97F4A7C15


class Activity:
    """Something that is done so many times a month, until nobody is left to do it."""

    __slots__ = ("_done", "_month", "_per_month", "_planned", "_rhythm", "_simulation")

    def __init__(
        self, simulation: Simulation, per_month: int, percent: int, *, at_night: bool
    ) -> None:
        self._simulation = simulation
        self._per_month = per_month * percent
        """In hundredths."""
        self._rhythm = simulation.history.night if at_night else simulation.history.office
        self._month = self._planned = self._done = 0

    def begin(self, now: Instant) -> None:
        """Plan the month that runs, and schedule the first time from now on."""
        self._month = self._simulation.history.month_at(now)
        self._planned = self._times_in_month()
        self._enter_next(now)

    def __call__(self, now: Instant) -> Iterable[Fact]:
        """Do it once."""
        raise NotImplementedError

    def _enter_next(self, now: Instant) -> None:
        at = now - 1
        while at < now:
            while self._done == self._planned:
                self._month += 1
                if self._month >= len(self._simulation.history.months):
                    return
                self._planned, self._done = self._times_in_month(), 0
            at = self._next_instant()
        self._simulation.queue.schedule(at, self)

    def _next_instant(self) -> Instant:
        position = (self._done << POSITION_BITS) + self._simulation.rng.bits(POSITION_BITS)
        self._done += 1
        return self._rhythm.instant(self._month, position // self._planned)

    def _times_in_month(self) -> int:
        if not self._simulation.shape.lifelike:
            return self._per_month // 100
        month = self._simulation.history.months[self._month]
        percent = (
            _QUIET_MONTHS.get(month.number, 100) * self._simulation.rng.between(40, 160) // 100
        )
        return self._simulation.rng.hundredth(self._per_month * percent // 100)


class Usage(Activity):
    """A user's use of one channel, as long as the account lives; none while it is suspended."""

    __slots__ = ("_channel", "_life", "_most", "_user")

    def __init__(self, simulation: Simulation, user: User, channel: str) -> None:
        habit = user.habit
        percent = habit.ui if channel == "ui" else habit.sdk
        per_month = simulation.shape.usage_events_per_user
        super().__init__(simulation, per_month, percent, at_night=habit.at_night)
        self._user, self._life, self._channel = user, user.lives, channel
        self._most = habit.most_ui_uses if channel == "ui" else habit.most_sdk_uses

    def __call__(self, now: Instant) -> Iterable[Fact]:
        """One event, with the uses of the hours before."""
        if not self._user.exists or self._user.lives != self._life:
            return ()
        self._enter_next(now)
        if self._user.suspended:
            return ()
        rng = self._simulation.rng
        count = 1 + rng.below(1 + rng.below(self._most))
        return (facts.usage_recorded(self._user, self._channel, count),)


class Laboratory:
    """Starts experiments, and gives each a name of its own."""

    __slots__ = ("_first", "_simulation", "_started")

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._first = simulation.rng.bits(64)
        self._started = 0

    def start(self, project: Project, user: User, now: Instant) -> Fact:
        """An experiment that lives on for itself."""
        self._started += 1
        name = f"{(self._first + self._started * _SCATTER) % 2**64:016x}"
        rng, lifelike = self._simulation.rng, self._simulation.shape.lifelike
        power = 16 + project.workspace.size_bits + rng.below(10) + rng.below(9)
        size_bytes = (1 << power) + rng.bits(power)
        if not lifelike:
            return facts.experiment_created(name, project, user, size_bytes)
        unknown = rng.percent(5)
        Experiment(self._simulation, name, project, size_bytes).begin(now, unknown)
        return facts.experiment_created(name, project, user, None if unknown else size_bytes)


class Experiment:
    """What becomes of an experiment, until it is deleted or its project is."""

    __slots__ = ("_life", "_name", "_project", "_simulation", "_size_bytes")

    def __init__(
        self, simulation: Simulation, name: str, project: Project, size_bytes: int
    ) -> None:
        self._simulation = simulation
        self._name = name
        self._project, self._life = project, project.lives
        self._size_bytes = size_bytes

    def begin(self, now: Instant, size_unknown: bool) -> None:
        """It runs on and grows, or is done at once."""
        if size_unknown or self._simulation.rng.percent(55):
            self._enter_growth(now)
        else:
            self._enter_end(now)

    def grow(self, now: Instant) -> Iterable[Fact]:
        """It logged more: at most as much again."""
        if not self._exists():
            return ()
        rng = self._simulation.rng
        self._size_bytes += 1 + rng.below(self._size_bytes)
        if self._size_bytes < _LARGE and rng.percent(40):
            self._enter_growth(now)
        else:
            self._enter_end(now)
        return (facts.experiment_resized(self._name, self._size_bytes),)

    def shrink(self, now: Instant) -> Iterable[Fact]:
        """Its owner needed the space and kept the best checkpoints only."""
        if not self._exists():
            return ()
        self._size_bytes //= self._simulation.rng.between(2, 10)
        self._enter_end(now)
        return (facts.experiment_resized(self._name, self._size_bytes),)

    def delete(self, _now: Instant) -> Iterable[Fact]:
        """It was of no more use."""
        return (facts.experiment_deleted(self._name),) if self._exists() else ()

    def _exists(self) -> bool:
        return self._project.exists and self._project.lives == self._life

    def _enter_growth(self, now: Instant) -> None:
        queue, rng = self._simulation.queue, self._simulation.rng
        queue.schedule(now + 10 * _MINUTE + rng.below(30 * HOUR), self.grow)

    def _enter_end(self, now: Instant) -> None:
        queue, history, rng = (
            self._simulation.queue,
            self._simulation.history,
            self._simulation.rng,
        )
        chance = rng.below(100)
        if chance < 35:
            queue.schedule(history.workday_after(now + rng.below(200 * DAY)), self.delete)
        elif chance < 47:
            queue.schedule(history.workday_after(now + rng.below(120 * DAY)), self.shrink)


class Work(Activity):
    """The experiments of a member, in turn in each of the projects that they work on."""

    __slots__ = ("_laboratory", "_member", "_turn")

    def __init__(self, simulation: Simulation, laboratory: Laboratory, member: Member) -> None:
        habit = member.user.habit
        per_month = simulation.shape.experiments_per_member
        super().__init__(simulation, per_month, habit.experiments, at_night=habit.at_night)
        self._laboratory = laboratory
        self._member = member
        self._turn = 0

    def __call__(self, now: Instant) -> Iterable[Fact]:
        """One experiment."""
        if not self._member.in_force:
            return ()
        self._enter_next(now)
        project = self._next_project()
        if project is None or self._member.user.suspended:
            return ()
        return (self._laboratory.start(project, self._member.user, now),)

    def _next_project(self) -> Project | None:
        """The next of their projects; another when it is gone, and now and then to try one."""
        projects = self._member.projects
        turn = self._turn = (self._turn + 1) % len(projects)
        curious = self._simulation.shape.lifelike and self._simulation.rng.percent(6)
        if curious or not projects[turn].exists:
            found = self._member.workspace.open_projects
            if not found:
                return None
            projects[turn] = self._simulation.rng.pick(found)
        return projects[turn]
