"""Recurring activity: starting experiments, growing them, and using the platform."""

from collections.abc import Iterable

from app.demo import facts
from app.demo.entities import Member, Project, User
from app.demo.event_queue import Fact, Instant
from app.demo.history import DAY, HOUR, POSITION_BITS
from app.demo.simulation import Simulation

_MINUTE = HOUR // 60
# Larger experiments stop growing: events accept no experiment above 2**50 bytes.
_LARGE = 2**40
# Activity in percent of other months. December's falls mostly in its first three weeks.
_QUIET_MONTHS = {8: 80, 12: 60}
# An odd number near 2**64 divided by the golden ratio: its multiples look random, and all differ.
_SCATTER = 0x9E3779B97F4A7C15


class Activity:
    """An action that repeats several times a month until its actor is gone."""

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
        """Plan the current month and schedule the first action from now on."""
        self._month = self._simulation.history.month_at(now)
        self._planned = self._times_in_month()
        self._schedule_next(now)

    def __call__(self, now: Instant) -> Iterable[Fact]:
        """Perform the action once."""
        raise NotImplementedError

    def _schedule_next(self, now: Instant) -> None:
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
        position = (self._done << POSITION_BITS) + self._simulation.rng.getrandbits(POSITION_BITS)
        self._done += 1
        return self._rhythm.instant(self._month, position // self._planned)

    def _times_in_month(self) -> int:
        if not self._simulation.shape.lifelike:
            return self._per_month // 100
        month = self._simulation.history.months[self._month]
        percent = (
            _QUIET_MONTHS.get(month.number, 100) * self._simulation.rng.randint(40, 160) // 100
        )
        return self._simulation.rng.divide_by_100(self._per_month * percent // 100)


class Usage(Activity):
    """A user's use of one channel while the account exists and is not suspended."""

    __slots__ = ("_channel", "_generation", "_most", "_user")

    def __init__(self, simulation: Simulation, user: User, channel: str) -> None:
        habit = user.habit
        percent = habit.ui if channel == "ui" else habit.sdk
        per_month = simulation.shape.usage_events_per_user
        super().__init__(simulation, per_month, percent, at_night=habit.at_night)
        self._user, self._generation, self._channel = user, user.generation, channel
        self._most = habit.most_ui_uses if channel == "ui" else habit.most_sdk_uses

    def __call__(self, now: Instant) -> Iterable[Fact]:
        """Return one event with the uses of the last hours."""
        if not self._user.exists or self._user.generation != self._generation:
            return ()
        self._schedule_next(now)
        if self._user.suspended:
            return ()
        rng = self._simulation.rng
        count = 1 + rng.randbelow(1 + rng.randbelow(self._most))
        if self._user.is_idle(now):
            return ()
        return (facts.usage_recorded(self._user, self._channel, count),)


class ExperimentStarter:
    """Starts experiments with unique names."""

    __slots__ = ("_first", "_simulation", "_started")

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._first = simulation.rng.getrandbits(64)
        self._started = 0

    def start(self, project: Project, user: User, now: Instant) -> Fact:
        """Start an experiment and schedule what happens to it."""
        self._started += 1
        name = f"{(self._first + self._started * _SCATTER) % 2**64:016x}"
        rng, lifelike = self._simulation.rng, self._simulation.shape.lifelike
        power = 16 + project.workspace.size_bits + rng.randbelow(10) + rng.randbelow(9)
        size_bytes = (1 << power) + rng.getrandbits(power)
        if not lifelike:
            return facts.experiment_created(name, project, user, size_bytes)
        unknown = rng.is_chance(5)
        Experiment(self._simulation, name, project, size_bytes).begin(now, unknown)
        return facts.experiment_created(name, project, user, None if unknown else size_bytes)


class Experiment:
    """An experiment, until it or its project is deleted."""

    __slots__ = ("_generation", "_name", "_project", "_simulation", "_size_bytes")

    def __init__(
        self, simulation: Simulation, name: str, project: Project, size_bytes: int
    ) -> None:
        self._simulation = simulation
        self._name = name
        self._project, self._generation = project, project.generation
        self._size_bytes = size_bytes

    def begin(self, now: Instant, size_unknown: bool) -> None:
        """Schedule growth, or the end if the experiment is already complete."""
        if size_unknown or self._simulation.rng.is_chance(55):
            self._schedule_growth(now)
        else:
            self._schedule_end(now)

    def grow(self, now: Instant) -> Iterable[Fact]:
        """Log more data, at most doubling the size."""
        if not self._exists():
            return ()
        rng = self._simulation.rng
        self._size_bytes += 1 + rng.randbelow(self._size_bytes)
        if self._size_bytes < _LARGE and rng.is_chance(40):
            self._schedule_growth(now)
        else:
            self._schedule_end(now)
        return (facts.experiment_resized(self._name, self._size_bytes),)

    def shrink(self, now: Instant) -> Iterable[Fact]:
        """Reduce the size: the owner needs space and keeps only the best checkpoints."""
        if not self._exists():
            return ()
        self._size_bytes //= self._simulation.rng.randint(2, 10)
        self._schedule_end(now)
        return (facts.experiment_resized(self._name, self._size_bytes),)

    def delete(self, _now: Instant) -> Iterable[Fact]:
        """Delete the experiment."""
        return (facts.experiment_deleted(self._name),) if self._exists() else ()

    def _exists(self) -> bool:
        return self._project.exists and self._project.generation == self._generation

    def _schedule_growth(self, now: Instant) -> None:
        queue, rng = self._simulation.queue, self._simulation.rng
        queue.schedule(now + 10 * _MINUTE + rng.randbelow(30 * HOUR), self.grow)

    def _schedule_end(self, now: Instant) -> None:
        queue, history, rng = (
            self._simulation.queue,
            self._simulation.history,
            self._simulation.rng,
        )
        chance = rng.randbelow(100)
        if chance < 35:
            queue.schedule(history.workday_after(now + rng.randbelow(200 * DAY)), self.delete)
        elif chance < 47:
            queue.schedule(history.workday_after(now + rng.randbelow(120 * DAY)), self.shrink)


class Work(Activity):
    """A member's experiments, in each of the member's projects in turn."""

    __slots__ = ("_member", "_starter", "_turn")

    def __init__(self, simulation: Simulation, starter: ExperimentStarter, member: Member) -> None:
        habit = member.user.habit
        per_month = simulation.shape.experiments_per_member
        super().__init__(simulation, per_month, habit.experiments, at_night=habit.at_night)
        self._starter = starter
        self._member = member
        self._turn = 0

    def __call__(self, now: Instant) -> Iterable[Fact]:
        """Start one experiment."""
        if not self._member.is_active:
            return ()
        self._schedule_next(now)
        project = self._next_project()
        if project is None or self._member.user.suspended:
            return ()
        return (self._starter.start(project, self._member.user, now),)

    def _next_project(self) -> Project | None:
        """Return the next project; another one if it is deleted, or occasionally for a change."""
        projects = self._member.projects
        turn = self._turn = (self._turn + 1) % len(projects)
        is_curious = self._simulation.shape.lifelike and self._simulation.rng.is_chance(6)
        if is_curious or not projects[turn].exists:
            found = self._member.workspace.open_projects
            if not found:
                return None
            projects[turn] = self._simulation.rng.choice(found)
        return projects[turn]
