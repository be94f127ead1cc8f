"""Whatever a report says, its month says the same afterwards, and the store verifies.

Reports are drawn that no platform would write, too: sums that contradict each other, members who
are no users, people who were deleted years ago, months that are missing.
"""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from app.connectors.reports.document import Report, read_report
from app.domain.months import Month
from app.services.file_import import import_lines
from app.services.imported_reports import import_reports
from app.services.month_verification import verify_month
from app.services.organizations import find_organization
from tests.app_client import AppClient
from tests.conftest import ClonedDatabase, FixedClock, event
from tests.imports.conftest import Json, document, member, ms, project, user, workspace

EXAMPLES = {"long": 1_000}.get(os.environ.get("HYPOTHESIS_PROFILE", ""), 20)
FIRST = Month(2024, 1)
NOW = datetime(2024, 8, 15, 12, tzinfo=UTC)
NAMES = ("ann", "bob", "cy", "dee")

_counts = st.integers(0, 6)
_sizes = st.integers(0, 40_000).map(lambda hundredths: hundredths / 100)
_instants = st.integers(ms(2022, 1, 1), ms(2024, 8, 1))


@st.composite
def experiments(draw: st.DrawFn) -> list[tuple[str, str, int]]:
    """Experiments that a workspace might really have: project, owner, bytes."""
    place = st.tuples(
        st.sampled_from(("p", "q", "r")), st.sampled_from(NAMES), st.integers(0, 400 * 2**20)
    )
    return draw(st.lists(place, max_size=12))


@st.composite
def workspaces(draw: st.DrawFn, name: str) -> Json:
    """One that adds up, up to former members, or one that need not."""
    names = sorted(draw(st.sets(st.sampled_from([*NAMES[:2], NAMES[3]]))))
    if draw(st.integers(0, 3)):
        held = draw(experiments())
        projects = {p for p, _, _ in held} | draw(st.sets(st.sampled_from(("p", "q"))))
        return workspace(
            name,
            [member(n, *_summed(held, 1, n)) for n in names],
            [project(p, *_summed(held, 0, p)) for p in sorted(projects)],
            *_summed(held, 2, None),
        )
    projects = draw(st.sets(st.sampled_from(("p", "q", "r"))))
    return workspace(
        name,
        [member(n, draw(_counts), draw(_sizes)) for n in names],
        [project(p, draw(_counts), draw(_sizes)) for p in sorted(projects)],
        draw(_counts),
        draw(_sizes),
    )


def _summed(held: list[tuple[str, str, int]], at: int, name: str | None) -> tuple[int, float]:
    found = [each for each in held if name is None or each[at] == name]
    size_bytes = sum(each[2] for each in found)
    return len(found), int(size_bytes * 100 / 2**20 + 0.5) / 100


@st.composite
def users(draw: st.DrawFn, name: str) -> Json:
    """A licensed user of an older or a newer document."""
    said: Json = {
        "created_at": draw(_instants),
        "uiUsageCount": draw(_counts),
        "uiUsageUpdateTs": draw(st.just(0) | _instants),
        "sdkUsageCount": draw(_counts),
        "sdkUsageUpdateTs": draw(st.just(0) | _instants),
        "suspended": draw(st.booleans()),
    }
    if name == "cy":
        said["email"] = draw(st.sampled_from(("", "cy@x.test")))
    if draw(st.booleans()):
        said |= {
            "createdAt": said["created_at"],
            "lastUsedAt": draw(st.none() | _instants),
            "experimentCount": draw(_counts),
            "dataLoggedMb": draw(_sizes),
        }
        if draw(st.booleans()):
            said["deletedAt"] = draw(_instants)
    return user(name, **said)


@st.composite
def histories(draw: st.DrawFn) -> list[Json]:
    """Reports of some months from January to June 2024."""
    months = sorted(draw(st.sets(st.integers(0, 5), min_size=1, max_size=4)))
    return [
        document(
            str(FIRST.plus(month)),
            [draw(workspaces(n)) for n in sorted(draw(st.sets(st.sampled_from("vw"))))],
            [draw(users(n)) for n in sorted(draw(st.sets(st.sampled_from(NAMES))))],
        )
        for month in months
    ]


@pytest.fixture(scope="module")
async def app_client(postgres: str, template: str) -> AsyncIterator[AppClient]:
    async with (
        ClonedDatabase(postgres, template) as database,
        AppClient.open(database, FixedClock(NOW)) as app_client,
    ):
        yield app_client


def read(told: Json) -> Report:
    return read_report(orjson.dumps(told), f"{told['reportDate']}.json")


def documented(told: Json) -> Json:
    """A report less what an answer to `reportMonth` does not have."""
    newer = {"createdAt", "deletedAt", "lastUsedAt", "experimentCount", "dataLoggedMb"}
    listed = [
        {key: value for key, value in each.items() if key not in newer}
        for each in told["users"]["licensedUsers"]
    ]
    return {**told, "users": {**told["users"], "licensedUsers": listed}}


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=histories(), together=st.booleans())
async def test_every_report_comes_back(
    app_client: AppClient, history: list[Json], together: bool
) -> None:
    name, organization_id = await app_client.create_organization()
    batches = [history] if together else [[each] for each in history]
    for batch in batches:
        done = await import_reports(
            app_client.database, organization_id, map(read, batch), clock=app_client.clock
        )
        note(repr([(str(each.month), each.stated) for each in done]))

    for told in history:
        assert (await app_client.fetch_report(name, told["reportDate"])).json() == documented(told)
    last = Month.parse(history[-1]["reportDate"])
    followed = any(each["workspaces"] or each["users"]["licensedUsers"] for each in history)
    for month in Month.parse(history[0]["reportDate"]).through(last.plus(int(followed))):
        note(str(month))
        assert (await verify_month(app_client.database, organization_id, month)).differences == []


@st.composite
def live_events(draw: st.DrawFn) -> list[bytes]:
    """What a live source says of January to August 2024, of the same names and of others."""
    return [draw(_live(number)) for number in range(draw(st.integers(0, 8)))]


@st.composite
def _live(draw: st.DrawFn, number: int) -> bytes:
    at = datetime.fromtimestamp(draw(st.integers(ms(2024, 1, 1), ms(2024, 8, 1))) / 1000, UTC)
    who = {"username": draw(st.sampled_from(NAMES))}
    where = {"workspace": draw(st.sampled_from("vw"))}
    facts: dict[str, Json] = {
        "usage.recorded": {**who, "channel": "sdk", "count": 3},
        "experiment.created": {
            **who,
            **where,
            "project": "p",
            "experiment": f"live-{number}",
            "sizeBytes": 2**20,
        },
        "member.added": {**who, **where},
        "user.upserted": {**who, "email": "live@x.test"},
        "user.deleted": who,
        "workspace.deleted": {"name": where["workspace"]},
    }
    kind = draw(st.sampled_from(sorted(facts)))
    return event(kind, at.isoformat(), **facts[kind])


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=histories(), lines=live_events(), before=st.integers(0, 8))
async def test_after_a_withdrawal_every_month_follows_from_its_events_again(
    app_client: AppClient, history: list[Json], lines: list[bytes], before: int
) -> None:
    name, organization_id = await app_client.create_organization()
    following = Month.parse(history[-1]["reportDate"]).plus(1)

    async def store(*some: bytes) -> None:
        await import_lines(app_client.database, organization_id, [some], app_client.clock.now)

    await import_reports(
        app_client.database, organization_id, map(read, history), clock=app_client.clock
    )
    await store(*lines[:before])
    reports: list[Report] = []
    await import_reports(
        app_client.database, organization_id, reports, clock=app_client.clock, hand_over=following
    )
    await store(*lines[before:])
    await import_reports(
        app_client.database, organization_id, reports, clock=app_client.clock, withdrawn=following
    )

    for told in history:
        assert (await app_client.fetch_report(name, told["reportDate"])).json() == documented(told)
    organization = await find_organization(app_client.database, name)
    if organization.last_month is not None:
        for month in Month(2023, 12).through(organization.last_month):
            note(str(month))
            found = await verify_month(app_client.database, organization_id, month)
            assert found.differences == []
