"""Properties of imports: random reports come back as they were, and live months ignore them.

Some of the reports are ones that no platform would write: sums that contradict each other, members
who are no users, users deleted years ago, missing months.
"""

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from app.connectors.reports.document import read_report
from app.domain.audit import OPERATOR
from app.domain.months import Month
from app.services.file_import import import_lines
from app.services.imported_reports import import_reports
from app.services.month_verification import ComparedWith, verify_month
from app.services.months import list_months, reopen_month
from tests.app_client import AppClient
from tests.conftest import ClonedDatabase, FixedClock, event
from tests.imports.conftest import Json, document, member, ms, project, user, workspace

EXAMPLES = {"long": 1_000}.get(os.environ.get("HYPOTHESIS_PROFILE", ""), 20)
FIRST = Month(2024, 1)
NOW = datetime(2024, 8, 15, 12, tzinfo=UTC)
NAMES = ("ann", "bob", "cy", "dee")
NEWER_KEYS = {"createdAt", "deletedAt", "lastUsedAt", "experimentCount", "dataLoggedMb"}

_counts = st.integers(0, 6)
_sizes = st.integers(0, 40_000).map(lambda hundredths: hundredths / 100)
_instants = st.integers(ms(2022, 1, 1), ms(2024, 8, 1))


@st.composite
def workspaces(draw: st.DrawFn, name: str) -> Json:
    members = sorted(draw(st.sets(st.sampled_from(NAMES))))
    projects = sorted(draw(st.sets(st.sampled_from("pqr"))))
    return workspace(
        name,
        [member(each, draw(_counts), draw(_sizes)) for each in members],
        [project(each, draw(_counts), draw(_sizes)) for each in projects],
        draw(_counts),
        draw(_sizes),
    )


@st.composite
def users(draw: st.DrawFn, name: str) -> Json:
    """A licensed user of an older or a newer document."""
    stated: Json = {
        "created_at": draw(_instants),
        "uiUsageCount": draw(_counts),
        "uiUsageUpdateTs": draw(st.just(0) | _instants),
        "sdkUsageCount": draw(_counts),
        "sdkUsageUpdateTs": draw(st.just(0) | _instants),
        "suspended": draw(st.booleans()),
    }
    if draw(st.booleans()):
        stated |= {
            "createdAt": stated["created_at"],
            "lastUsedAt": draw(st.none() | _instants),
            "experimentCount": draw(_counts),
            "dataLoggedMb": draw(_sizes),
        }
        if draw(st.booleans()):
            stated["deletedAt"] = draw(_instants)
    return user(name, **stated)


@st.composite
def histories(draw: st.DrawFn) -> list[Json]:
    """Reports of some months from January to June 2024, in order."""
    months = sorted(draw(st.sets(st.integers(0, 5), min_size=1, max_size=4)))
    return [
        document(
            str(FIRST.plus(month)),
            [draw(workspaces(each)) for each in sorted(draw(st.sets(st.sampled_from("vw"))))],
            [draw(users(each)) for each in sorted(draw(st.sets(st.sampled_from(NAMES))))],
        )
        for month in months
    ]


@st.composite
def live_events(draw: st.DrawFn) -> list[bytes]:
    """Events of a live source from December 2023 to July 2024, partly about the same names."""
    return [draw(_live_event(number)) for number in range(draw(st.integers(0, 10)))]


@st.composite
def _live_event(draw: st.DrawFn, number: int) -> bytes:
    at = datetime.fromtimestamp(draw(st.integers(ms(2023, 12, 1), ms(2024, 8, 1))) / 1000, UTC)
    who = {"username": draw(st.sampled_from((*NAMES, "eve")))}
    where = {"workspace": draw(st.sampled_from("vwx"))}
    data: dict[str, Json] = {
        "usage.recorded": {**who, "channel": "sdk", "count": 3},
        "experiment.created": {
            **who,
            **where,
            "project": "p",
            "experiment": f"live-{number}",
            "sizeBytes": 2**20,
        },
        "member.added": {**who, **where},
        "member.removed": {**who, **where},
        "user.upserted": {**who, "email": "live@x.test", "createdAt": "2022-05-05T00:00:00Z"},
        "user.deleted": who,
        "workspace.deleted": {"name": where["workspace"]},
    }
    kind = draw(st.sampled_from(sorted(data)))
    return event(kind, at.isoformat(), **data[kind])


@pytest.fixture(scope="module")
async def app_client(postgres: str, template: str) -> AsyncIterator[AppClient]:
    async with (
        ClonedDatabase(postgres, template) as database,
        AppClient.open(database, FixedClock(NOW)) as app_client,
    ):
        yield app_client


async def import_(app_client: AppClient, organization_id: UUID, *reports: Json) -> None:
    checked = [read_report(orjson.dumps(each), each["reportDate"]) for each in reports]
    await import_reports(app_client.database, organization_id, checked, clock=app_client.clock)


async def store(app_client: AppClient, organization_id: UUID, events: Sequence[bytes]) -> None:
    await import_lines(app_client.database, organization_id, [events], NOW)


def to_response(report: Json) -> bytes:
    """Return the bytes of the REST document: without the keys that it never has."""
    listed = [
        {key: value for key, value in each.items() if key not in NEWER_KEYS}
        for each in report["users"]["licensedUsers"]
    ]
    return orjson.dumps({**report, "users": {**report["users"], "licensedUsers": listed}})


def split(events: Sequence[bytes], count: int) -> Iterator[Sequence[bytes]]:
    """Yield the events in some batches."""
    for number in range(count):
        yield events[number::count]


_SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@_SETTINGS
@given(history=histories(), events=live_events(), together=st.booleans())
async def test_reports_come_back_and_live_months_are_those_of_a_store_without_imports(
    app_client: AppClient, history: list[Json], events: list[bytes], together: bool
) -> None:
    with_reports, organization_id = await app_client.create_organization()
    without_reports, live_id = await app_client.create_organization()
    await store(app_client, live_id, events)
    batches = [history] if together else [[each] for each in history]
    first_events, *later_events = split(events, len(batches) + 1)

    await store(app_client, organization_id, first_events)
    for batch, more in zip(batches, later_events, strict=True):
        await import_(app_client, organization_id, *batch)
        await store(app_client, organization_id, more)

    for report in history:
        response = await app_client.fetch_report(with_reports, report["reportDate"])
        assert response.content == to_response(report)
        assert (
            await verify(app_client, organization_id, report["reportDate"]) is ComparedWith.CLOSE
        )
    first_live = Month.parse(history[-1]["reportDate"]).plus(1)
    for month in first_live.through(Month.containing(NOW)):
        await require_same(app_client, with_reports, without_reports, str(month))
    assert await verify(app_client, organization_id, str(first_live)) is ComparedWith.EVENTS


@_SETTINGS
@given(history=histories(), events=live_events(), before=st.integers(0, 10))
async def test_undone_imports_leave_a_store_as_if_there_had_been_none(
    app_client: AppClient, history: list[Json], events: list[bytes], before: int
) -> None:
    with_reports, organization_id = await app_client.create_organization()
    without_reports, live_id = await app_client.create_organization()
    await store(app_client, live_id, events)
    await store(app_client, organization_id, events[:before])
    await import_(app_client, organization_id, *history)
    await store(app_client, organization_id, events[before:])

    for report in reversed(history):
        app_client.clock.now += timedelta(minutes=1)
        await reopen_month(
            app_client.database,
            organization_id,
            Month.parse(report["reportDate"]),
            reason="undo",
            by=OPERATOR,
            now=app_client.clock.now,
        )

    for month in Month(2023, 11).through(Month.containing(NOW)):
        await require_same(app_client, with_reports, without_reports, str(month))
    listed = await list_months(app_client.database, organization_id, NOW)
    assert listed == await list_months(app_client.database, live_id, NOW)


async def require_same(app_client: AppClient, one: str, other: str, month: str) -> None:
    note(month)
    reports = [(await app_client.fetch_report(name, month)).json() for name in (one, other)]
    for report in reports:
        del report["users"]["createdAt"]  # When a batch last changed anything.
    assert reports[0] == reports[1]


async def verify(app_client: AppClient, organization_id: UUID, month: str) -> ComparedWith:
    """Verify a month, and return what it was compared with."""
    verified = await verify_month(app_client.database, organization_id, Month.parse(month))
    assert verified.differences == []
    return verified.compared_with
