"""The generated organization: reproducible, consistent, and of the requested size."""

import hashlib
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice, pairwise
from typing import Any

import orjson
import pytest

from app.demo.generate import DEMO_ADMIN, OrganizationShape, generate_events
from app.domain.event_decoding import decode_lines
from app.domain.events import EVENT_TYPES

Event = dict[str, Any]

MID_MONTH = datetime(2026, 9, 17, 14, 30, tzinfo=UTC)
MONTH_START = datetime(2026, 9, 1, tzinfo=UTC)
SMALL = OrganizationShape(workspaces=5, users=25, months=3)
SMALLEST = OrganizationShape(
    workspaces=1,
    users=3,
    months=1,
    memberships_per_user=1,
    projects_per_workspace=1,
    projects_per_member=1,
    experiments_per_member=1,
    usage_events_per_user=1,
)
SMALL_BENCHMARK = replace(OrganizationShape.benchmark(), workspaces=10, users=200)


def lines_of(shape: OrganizationShape, seed: int = 1, until: datetime = MID_MONTH) -> list[bytes]:
    return list(generate_events(shape, seed=seed, until=until))


def events_of(shape: OrganizationShape, seed: int = 1, until: datetime = MID_MONTH) -> list[Event]:
    return [orjson.loads(line) for line in lines_of(shape, seed, until)]


@pytest.fixture(scope="module")
def demo_lines() -> list[bytes]:
    return lines_of(OrganizationShape())


@pytest.fixture(scope="module")
def demo(demo_lines: list[bytes]) -> list[Event]:
    return [orjson.loads(line) for line in demo_lines]


@dataclass
class Simulator:
    """Tracks what exists, and fails on an event that refers to anything else."""

    users: set[str] = field(default_factory=set)
    suspended: set[str] = field(default_factory=set)
    workspaces: set[str] = field(default_factory=set)
    members: set[tuple[str, str]] = field(default_factory=set)
    projects: set[tuple[str, str]] = field(default_factory=set)
    experiments: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    former_experiments: set[str] = field(default_factory=set)

    def play(self, events: Iterable[Event]) -> "Simulator":
        for event in events:
            name = event["type"].replace(".", "_")
            getattr(self, name)(**event["data"])
        return self

    def user_upserted(self, username: str, suspended: bool | None = None, **_others: Any) -> None:
        self.users.add(username)
        if suspended is not None:
            (self.suspended.add if suspended else self.suspended.discard)(username)

    def user_deleted(self, username: str) -> None:
        self.users.remove(username)
        self.suspended.discard(username)
        assert not any(user == username for _, user in self.members)

    def workspace_upserted(self, name: str) -> None:
        assert name not in self.workspaces
        self.workspaces.add(name)

    def workspace_deleted(self, name: str) -> None:
        self.workspaces.remove(name)
        self.members = {member for member in self.members if member[0] != name}
        for project in [project for project in self.projects if project[0] == name]:
            self.project_deleted(*project)

    def member_added(self, workspace: str, username: str) -> None:
        assert workspace in self.workspaces
        assert username in self.users
        assert (workspace, username) not in self.members
        self.members.add((workspace, username))

    def member_removed(self, workspace: str, username: str) -> None:
        self.members.remove((workspace, username))

    def project_upserted(self, workspace: str, name: str) -> None:
        assert workspace in self.workspaces
        assert (workspace, name) not in self.projects
        self.projects.add((workspace, name))

    def project_deleted(self, workspace: str, name: str) -> None:
        self.projects.remove((workspace, name))
        ended = [key for key, at in self.experiments.items() if at[:2] == (workspace, name)]
        for experiment in ended:
            self.experiment_deleted(experiment)

    def experiment_created(
        self,
        experiment: str,
        workspace: str,
        project: str,
        username: str,
        sizeBytes: int = 0,  # noqa: N803  as the feed spells it
    ) -> None:
        assert experiment not in self.experiments
        assert experiment not in self.former_experiments
        assert (workspace, project) in self.projects
        assert (workspace, username) in self.members
        assert username not in self.suspended
        assert 0 <= sizeBytes <= 2**50
        self.experiments[experiment] = workspace, project, username

    def experiment_resized(self, experiment: str, sizeBytes: int) -> None:  # noqa: N803  as the feed spells it
        assert experiment in self.experiments
        assert 0 <= sizeBytes <= 2**50

    def experiment_deleted(self, experiment: str) -> None:
        del self.experiments[experiment]
        self.former_experiments.add(experiment)

    def usage_recorded(self, username: str, channel: str, count: int) -> None:
        assert username in self.users
        assert username not in self.suspended
        assert channel in {"ui", "sdk"}
        assert 1 <= count <= 10**9


@pytest.mark.parametrize(
    ("shape", "golden"),
    [
        (
            SMALL,
            (1368, "119847c3fee07737a69b97c02783b6fddcc817584751032a678dc072aa5cc981"),
        ),
        (
            replace(SMALL_BENCHMARK, users=20),
            (525, "e17afa69275900f673bf7e7d4a13e9fc5a37aa6ebf5eabda1cd6e9e6f04849f3"),
        ),
    ],
    ids=["lifelike", "benchmark"],
)
def test_the_same_seed_always_gives_the_same_bytes(
    shape: OrganizationShape, golden: tuple[int, str]
) -> None:
    # No machine, Python version or refactoring may change the bytes of a seed. A change of the
    # scenario may; the changelog must mention it.
    written = b"".join(lines_of(shape))

    assert (len(written.splitlines()), hashlib.sha256(written).hexdigest()) == golden
    assert b"".join(lines_of(shape)) == written


def test_another_seed_gives_another_organization_of_the_same_size() -> None:
    one, other = events_of(SMALL, seed=1), events_of(SMALL, seed=2)

    assert not {event["id"] for event in one} & {event["id"] for event in other}
    assert usernames(one) != usernames(other)
    assert len(usernames(one)) == len(usernames(other)) == SMALL.users


def test_another_end_changes_the_ids() -> None:
    one, other = events_of(SMALL), events_of(SMALL, until=MONTH_START)

    assert not {event["id"] for event in one} & {event["id"] for event in other}


def test_the_demo_is_small_enough_to_import_in_seconds(demo: list[Event]) -> None:
    assert 30_000 <= len(demo) <= 60_000


@pytest.mark.parametrize("seed", [0, 1, 2**70])
def test_every_type_of_event_occurs_in_a_demo(seed: int) -> None:
    assert {event["type"] for event in events_of(OrganizationShape(), seed)} == set(EVENT_TYPES)


def test_every_line_is_a_valid_event(demo_lines: list[bytes]) -> None:
    assert len(decode_lines(demo_lines, now=MID_MONTH)) == len(demo_lines)
    assert all(line.endswith(b"}\n") and line.count(b"\n") == 1 for line in demo_lines)


def test_events_have_the_fields_of_a_cloudevent(demo: list[Event]) -> None:
    assert {tuple(event) for event in demo} == {
        ("specversion", "id", "source", "type", "time", "datacontenttype", "data")
    }
    assert {event["source"] for event in demo} == {
        "/demo/platform",
        "/demo/sdk-gateway",
        "/demo/directory",
    }


def test_events_have_exactly_the_documented_fields(demo: list[Event]) -> None:
    field_names: dict[str, set[str]] = defaultdict(set)
    for event in demo:
        field_names[event["type"]] |= set(event["data"])

    assert field_names == {
        "user.upserted": {
            *("username", "email", "createdAt", "role", "serviceAccount", "suspended")
        },
        "user.deleted": {"username"},
        "workspace.upserted": {"name"},
        "workspace.deleted": {"name"},
        "member.added": {"workspace", "username"},
        "member.removed": {"workspace", "username"},
        "project.upserted": {"workspace", "name"},
        "project.deleted": {"workspace", "name"},
        "experiment.created": {"experiment", "workspace", "project", "username", "sizeBytes"},
        "experiment.resized": {"experiment", "sizeBytes"},
        "experiment.deleted": {"experiment"},
        "usage.recorded": {"username", "channel", "count"},
    }


EDGE_SHAPES = {
    "demo": OrganizationShape(),
    "small": SMALL,
    "smallest": SMALLEST,
    "nothing happens": replace(SMALLEST, experiments_per_member=0, usage_events_per_user=0),
    "one workspace": OrganizationShape(workspaces=1),
    "more workspaces than members": OrganizationShape(workspaces=50, users=3, months=2),
    "everybody everywhere": OrganizationShape(
        workspaces=6, users=30, months=2, memberships_per_user=100
    ),
    "one month": OrganizationShape(months=1),
    "ten years": OrganizationShape(workspaces=6, users=20, months=120),
    "benchmark": SMALL_BENCHMARK,
}


@pytest.mark.parametrize("until", [MID_MONTH, MONTH_START], ids=["mid month", "month start"])
@pytest.mark.parametrize("shape", EDGE_SHAPES.values(), ids=EDGE_SHAPES)
def test_events_refer_only_to_entities_that_exist(
    shape: OrganizationShape, until: datetime
) -> None:
    events = events_of(shape, until=until)

    Simulator().play(events)

    assert len(usernames(events)) == shape.users
    workspaces = {e["data"]["name"] for e in events if e["type"] == "workspace.upserted"}
    assert len(workspaces) == shape.workspaces
    ids = {(event["source"], event["id"]) for event in events}
    assert len(ids) == len({event["id"] for event in events}) == len(events)
    times = [event["time"] for event in events]
    assert all(before < after for before, after in pairwise(times))
    assert times[-1] < until.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.mark.parametrize(
    ("until", "first"),
    [
        (datetime(2026, 9, 17, 14, 30, tzinfo=UTC), "2026-06-01"),
        (datetime(2026, 9, 1, tzinfo=UTC), "2026-06-01"),
        (datetime(2026, 8, 31, 23, 59, 59, 999_999, tzinfo=UTC), "2026-05-01"),
        (datetime(2026, 3, 31, 12, tzinfo=UTC), "2025-12-01"),
        (datetime(2024, 5, 1, tzinfo=UTC), "2024-02-01"),
        # August in UTC.
        (datetime(2026, 9, 1, 1, tzinfo=timezone(timedelta(hours=2))), "2026-05-01"),
        (datetime(2000, 4, 1, tzinfo=UTC), "2000-01-01"),
    ],
)
def test_the_history_starts_with_a_month_and_reaches_the_end(until: datetime, first: str) -> None:
    events = events_of(SMALL, until=until)

    assert events[0]["time"] == f"{first}T00:00:00.000000Z"
    assert events[0]["data"]["username"] == DEMO_ADMIN
    assert until - timedelta(days=4) < datetime.fromisoformat(events[-1]["time"]) < until


def test_the_time_zone_of_the_end_does_not_matter() -> None:
    other_zone = MID_MONTH.astimezone(timezone(timedelta(hours=-9)))

    assert lines_of(SMALL, until=other_zone) == lines_of(SMALL)


def test_the_first_user_is_an_admin_who_is_never_deleted(demo: list[Event]) -> None:
    admin_events = [
        event
        for event in demo
        if event["data"].get("username") == DEMO_ADMIN and event["type"].startswith("user.")
    ]

    assert admin_events == [demo[0]]
    assert demo[0]["data"]["role"] == "ADMIN"
    admins = {event["data"]["username"] for event in demo if event["data"].get("role") == "ADMIN"}
    assert admins == {DEMO_ADMIN, "noor.admin"}


def test_users_are_created_moved_deleted_and_created_again(demo: list[Event]) -> None:
    accounts, memberships = (
        event_types_by_entity(demo, "user."),
        event_types_by_entity(demo, "member."),
    )

    assert any(types.count("user.deleted") == 1 and types[-1] != types[0] for types in accounts)
    rehired = ["user.upserted", "user.deleted", "user.upserted"]
    assert rehired in accounts
    assert ["member.added", "member.removed"] in memberships
    assert ["member.added", "member.removed", "member.added"] in memberships
    moves = [
        (before, after)
        for before, after in pairwise(demo)
        if (before["type"], after["type"]) == ("member.removed", "member.added")
        and before["data"]["username"] == after["data"]["username"]
        and before["data"]["workspace"] != after["data"]["workspace"]
    ]
    assert len(moves) >= 3


def test_users_are_suspended_and_some_reactivated(demo: list[Event]) -> None:
    suspensions = Counter(
        event["data"]["suspended"] for event in demo if "suspended" in event["data"]
    )

    assert suspensions[True] > suspensions[False] > 0


def test_an_email_address_changes(demo: list[Event]) -> None:
    emails = defaultdict(set)
    for event in demo:
        if event["type"] == "user.upserted":
            emails[event["data"]["username"]].add(event["data"]["email"])

    assert Counter(len(known) for known in emails.values())[2] >= 3
    known = [email for owned in emails.values() for email in owned]
    assert len(known) == len(set(known))
    assert all(email.isascii() for email in known)
    assert not all(username.isascii() for username in emails)


def test_service_accounts_are_machines_and_managers_are_not(demo: list[Event]) -> None:
    services = {e["data"]["username"] for e in demo if e["data"].get("serviceAccount")}
    channels = defaultdict(set)
    for event in demo:
        if event["type"] == "usage.recorded":
            channels[event["data"]["username"]].add(event["data"]["channel"])

    assert len(services) == 6
    assert all(channels[service] == {"sdk"} for service in services)
    assert sum(used == {"ui"} for used in channels.values()) >= 10


def test_entities_are_deleted_and_created_again(demo: list[Event]) -> None:
    created_again = ["upserted", "deleted", "upserted"]
    for kind in ("workspace", "project"):
        found = [
            [name.split(".")[1] for name in types]
            for types in event_types_by_entity(demo, f"{kind}.")
        ]
        assert ["upserted", "deleted"] in found
        assert created_again in found


def test_experiments_grow_shrink_and_outlive_their_owners_membership(demo: list[Event]) -> None:
    sizes: dict[str, int | None] = {}
    changes: Counter[str] = Counter()
    for event in demo:
        data = event["data"]
        if event["type"] == "experiment.resized":
            before = sizes[data["experiment"]]
            grew = before is None or before < data["sizeBytes"]
            changes["unknown before" if before is None else "grew" if grew else "shrank"] += 1
        if event["type"] in {"experiment.created", "experiment.resized"}:
            sizes[data["experiment"]] = data.get("sizeBytes")
    at_end = Simulator().play(demo)

    assert changes["grew"] > changes["shrank"] > 100
    assert changes["unknown before"] > 100
    owners = {(workspace, owner) for workspace, _, owner in at_end.experiments.values()}
    assert len(owners - at_end.members) >= 10
    assert any(username not in at_end.users for _, username in owners)


def test_weekends_and_decembers_are_quiet_and_the_organization_grows(demo: list[Event]) -> None:
    active = [e["time"] for e in demo if e["type"] in {"usage.recorded", "experiment.created"}]
    weekdays = Counter(datetime.fromisoformat(time).weekday() for time in active)
    months = Counter(time[:7] for time in active)

    assert max(weekdays[5], weekdays[6]) * 3 < min(weekdays[day] for day in range(5))
    assert months["2025-12"] * 4 < months["2025-11"] * 3
    assert months["2025-12"] * 4 < months["2026-01"] * 3
    assert months["2026-07"] * 2 > months["2024-10"] * 3


def test_workspaces_are_of_uneven_size(demo: list[Event]) -> None:
    sizes = sorted(Counter(workspace for workspace, _ in Simulator().play(demo).members).values())

    assert sizes[-1] >= 3 * sizes[0]


def owners_of(events: list[Event]) -> set[tuple[str, str, str]]:
    return set(Simulator().play(events).experiments.values())


@pytest.mark.parametrize("until", [MONTH_START, MID_MONTH])
def test_a_benchmark_has_exactly_the_requested_sizes(until: datetime) -> None:
    # A hundredth of spec section 11: 10 workspaces, 200 users, 600 memberships, 100 projects and
    # 1,800 owners from the first month's end on.
    events = events_of(SMALL_BENCHMARK, until=until)
    at_end = Simulator().play(events)

    assert len(at_end.workspaces) == 10
    assert len(at_end.users) == 200
    assert len(at_end.members) == 600
    assert len(at_end.projects) == 100
    assert len(owners_of(events)) == 1_800
    first_month = [event for event in events if event["time"] < "2026-09"]
    assert owners_of(first_month) == owners_of(events)
    assert Counter(event["type"] for event in first_month) == {
        "user.upserted": 200,
        "workspace.upserted": 10,
        "member.added": 600,
        "project.upserted": 100,
        "experiment.created": 1_800,
        "usage.recorded": 400,
    }
    used = {(e["data"]["username"], e["data"]["channel"]) for e in events if "count" in e["data"]}
    assert len(used) == 400


@pytest.mark.parametrize("scale", [1, 2, 10])
def test_the_benchmark_has_the_documented_size(scale: int) -> None:
    shape = OrganizationShape.benchmark(scale)

    assert shape.workspaces == 1_000 * scale
    assert shape.users == 20_000 * scale
    assert shape.memberships == 60_000 * scale
    assert shape.projects == 10_000 * scale
    assert shape.memberships * shape.projects_per_member == 180_000 * scale
    assert shape.experiments_per_member == shape.projects_per_member


def test_names_of_a_large_organization_are_systematic_and_unique() -> None:
    # 8,000 people are more than there are pairs of a given and a family name.
    shape = replace(SMALL_BENCHMARK, workspaces=50, users=8_000, experiments_per_member=0)
    first = list(islice(generate_events(shape, seed=3, until=MONTH_START), 8_050 + 500))
    at_end = Simulator().play(orjson.loads(line) for line in first)

    assert len(at_end.users) == 8_000
    assert {"vision", "vision-001", "vision-002"} <= at_end.workspaces
    assert "vision-003" not in at_end.workspaces


def test_memory_grows_with_entities_but_not_with_events() -> None:
    busy = replace(SMALL_BENCHMARK, users=20, usage_events_per_user=1_000)
    tracemalloc.start()
    size_bytes = sum(len(line) for line in generate_events(busy, seed=1, until=MONTH_START))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert size_bytes > 9_000_000
    assert peak_bytes < 1_000_000


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (
            {"workspaces": 0},
            "workspaces is 0: allowed is a whole number from 1 to 100000",
        ),
        ({"users": 2}, "users is 2: allowed is a whole number from 3 to 2000000"),
        ({"months": 121}, "months is 121: allowed is a whole number from 1 to 120"),
        ({"months": 1.5}, "months is 1.5: allowed is a whole number from 1 to 120"),
        (
            {"experiments_per_member": -1},
            "experiments_per_member is -1: allowed is a whole number from 0 to 10000",
        ),
        (
            {"projects_per_member": 9},
            "projects_per_member is 9: allowed is at most projects_per_workspace, 5",
        ),
    ],
)
def test_a_size_beyond_its_limits_is_rejected(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        OrganizationShape(**sizes)


def test_every_size_has_limits() -> None:
    numbers = {size.name for size in fields(OrganizationShape)} - {"lifelike"}

    assert set(OrganizationShape.LIMITS) == numbers


@pytest.mark.parametrize(
    ("seed", "until", "message"),
    [
        (-1, MID_MONTH, "seed is -1: allowed is a whole number from 0"),
        (1, MID_MONTH.replace(tzinfo=None), "until is 2026-09-17T14:30:00: allowed is a time"),
        (1, datetime(2000, 3, 31, tzinfo=UTC), "allowed is from 2000-04 on"),
    ],
)
def test_a_seed_or_end_without_a_history_is_rejected_at_once(
    seed: int, until: datetime, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        generate_events(SMALL, seed=seed, until=until)


def usernames(events: Iterable[Event]) -> set[str]:
    return {event["data"]["username"] for event in events if event["type"] == "user.upserted"}


def event_types_by_entity(events: Iterable[Event], kind: str) -> list[list[str]]:
    """Return the event types of each entity of a kind, in order of time."""
    found = defaultdict(list)
    for event in events:
        if event["type"].startswith(kind):
            data = event["data"]
            key = data.get("workspace"), data.get("name"), data.get("username")
            found[key].append(event["type"])
    return list(found.values())
