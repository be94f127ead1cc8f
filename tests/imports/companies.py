"""Reports of a company of any size, month after month, as another service would write them."""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from app.domain.months import Month
from app.domain.sizes import MEGABYTE
from tests.imports.conftest import Json, document, member, project, user, workspace

_MEAN_BYTES = 40 * MEGABYTE


@dataclass
class _Workspace:
    """Its members, and its experiments: project, owner and bytes."""

    members: set[int]
    held: list[tuple[int, int, int]] = field(default_factory=list)


@dataclass
class Company:
    """Workspaces in which people come and go, and log more than they delete.

    Attributes:
        workspaces: How many there are.
        users: How many people work in them.
        members: Of each workspace.
        projects: Of each workspace.
        experiments: Of each workspace in the first month.
        newer: Whether documents also say what newer ones do.
    """

    workspaces: int
    users: int
    members: int = 60
    projects: int = 10
    experiments: int = 180
    newer: bool = False

    def reports(self, first: Month, months: int) -> Iterator[Json]:
        """The reports of so many months; the same company always tells the same."""
        draws = random.Random(5)  # noqa: S311  nothing secret is drawn
        places = [
            _Workspace(set(draws.sample(range(self.users), self.members)))
            for _ in range(self.workspaces)
        ]
        for number in range(months):
            for place in places:
                self._work(draws, place, self.experiments if not number else 0)
            yield self._document(first.plus(number), places)

    def _work(self, draws: random.Random, place: _Workspace, begun: int) -> None:
        """A month of work: of twenty members one goes and one comes; a tenth is deleted."""
        for gone in draws.sample(sorted(place.members), len(place.members) // 20):
            place.members.remove(gone)
            place.members.add(draws.randrange(self.users))
        del place.held[: len(place.held) // 10]
        people = sorted(place.members)
        place.held += [
            (
                draws.randrange(self.projects),
                draws.choice(people),
                int(draws.expovariate(1 / _MEAN_BYTES)),
            )
            for _ in range(begun or self.experiments * 3 // 20)
        ]

    def _document(self, month: Month, places: list[_Workspace]) -> Json:
        owned = _summed((owner, size) for place in places for _, owner, size in place.held)
        return document(
            str(month),
            [self._workspace(number, place) for number, place in enumerate(places)],
            [self._user(number, month, *owned[number]) for number in range(self.users)],
        )

    def _workspace(self, number: int, place: _Workspace) -> Json:
        projects = _summed((project, size) for project, _, size in place.held)
        owners = _summed((owner, size) for _, owner, size in place.held)
        total = sum(size for _, _, size in place.held)
        return workspace(
            f"workspace {number:04}",
            [member(_name(each), *_shown(*owners[each])) for each in sorted(place.members)],
            [project(f"project {n}", *_shown(*projects[n])) for n in range(self.projects)],
            *_shown(len(place.held), total),
        )

    def _user(self, number: int, month: Month, experiments: int, size_bytes: int) -> Json:
        said: Json = {"sdkUsageCount": number % 90, "uiUsageCount": number % 40}
        if number % 40:
            said["uiUsageUpdateTs"] = int(month.start.timestamp() * 1000) + number
        if number % 90:
            said["sdkUsageUpdateTs"] = int(month.start.timestamp() * 1000) + number
        if self.newer:
            count, megabytes = _shown(experiments, size_bytes)
            said |= {"experimentCount": count, "dataLoggedMb": megabytes}
        return user(_name(number), **said)


def _name(number: int) -> str:
    return f"user{number:06}"


def _summed(of: Iterable[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """How many there are of each, and their bytes."""
    found: dict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for key, size_bytes in of:
        count, total = found[key]
        found[key] = count + 1, total + size_bytes
    return found


def _shown(count: int, size_bytes: int) -> tuple[int, float]:
    return count, int(size_bytes * 100 / MEGABYTE + 0.5) / 100
