"""Monthly reports of a company of any size, as another service would write them."""

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
    """A workspace; each experiment is a project, an owner and bytes."""

    members: set[int]
    experiments: list[tuple[int, int, int]] = field(default_factory=list)


@dataclass
class Company:
    """A company whose people come and go, and create more experiments than they delete.

    Attributes:
        workspaces: The number of workspaces.
        users: The number of users.
        members: The members of each workspace.
        projects: The projects of each workspace.
        experiments: The experiments of each workspace in the first month.
        newer: Whether the documents have the keys of newer ones.
    """

    workspaces: int
    users: int
    members: int = 60
    projects: int = 10
    experiments: int = 180
    newer: bool = False

    def reports(self, first: Month, months: int) -> Iterator[Json]:
        """Yield the reports of some months; they depend on the attributes alone."""
        rng = random.Random(5)  # noqa: S311  not a secret
        places = [
            _Workspace(set(rng.sample(range(self.users), self.members)))
            for _ in range(self.workspaces)
        ]
        for number in range(months):
            created = self.experiments * 3 // 20 if number else self.experiments
            for place in places:
                self._simulate_month(rng, place, created)
            yield self._document(first.plus(number), places)

    def _simulate_month(self, rng: random.Random, place: _Workspace, created: int) -> None:
        """Replace one member in twenty, delete a tenth of the experiments, create some."""
        for leaver in rng.sample(sorted(place.members), len(place.members) // 20):
            place.members.remove(leaver)
            place.members.add(rng.randrange(self.users))
        del place.experiments[: len(place.experiments) // 10]
        people = sorted(place.members)
        place.experiments += [
            (
                rng.randrange(self.projects),
                rng.choice(people),
                int(rng.expovariate(1 / _MEAN_BYTES)),
            )
            for _ in range(created)
        ]

    def _document(self, month: Month, places: list[_Workspace]) -> Json:
        owned = _sum((owner, size) for place in places for _, owner, size in place.experiments)
        return document(
            str(month),
            [self._workspace(number, place) for number, place in enumerate(places)],
            [self._user(number, month, *owned[number]) for number in range(self.users)],
        )

    def _workspace(self, number: int, place: _Workspace) -> Json:
        projects = _sum((project, size) for project, _, size in place.experiments)
        owners = _sum((owner, size) for _, owner, size in place.experiments)
        total = sum(size for _, _, size in place.experiments)
        return workspace(
            f"workspace {number:04}",
            [member(_name(each), *_figures(*owners[each])) for each in sorted(place.members)],
            [project(f"project {n}", *_figures(*projects[n])) for n in range(self.projects)],
            *_figures(len(place.experiments), total),
        )

    def _user(self, number: int, month: Month, experiments: int, size_bytes: int) -> Json:
        stated: Json = {"sdkUsageCount": number % 90, "uiUsageCount": number % 40}
        if number % 40:
            stated["uiUsageUpdateTs"] = int(month.start.timestamp() * 1000) + number
        if number % 90:
            stated["sdkUsageUpdateTs"] = int(month.start.timestamp() * 1000) + number
        if self.newer:
            count, megabytes = _figures(experiments, size_bytes)
            stated |= {"experimentCount": count, "dataLoggedMb": megabytes}
        return user(_name(number), **stated)


def _name(number: int) -> str:
    return f"user{number:06}"


def _sum(sizes: Iterable[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """Return the count and the total of the sizes of each key."""
    sums: dict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for key, size_bytes in sizes:
        count, total = sums[key]
        sums[key] = count + 1, total + size_bytes
    return sums


def _figures(count: int, size_bytes: int) -> tuple[int, float]:
    return count, int(size_bytes * 100 / MEGABYTE + 0.5) / 100
