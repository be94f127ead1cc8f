"""A closed report never changes, and with its corrections it equals a recomputation.

Random feeds arrive in random batches, between which months are closed and reopened. A twin
organization receives the same batches and closes nothing: its reports are what closed reports and
their corrections must add up to.
"""

import os
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from sqlalchemy import text

from app.domain.audit import OPERATOR
from app.domain.event_decoding import decode_lines
from app.domain.months import Month
from app.services.group_commit import GroupCommitIngestor
from app.services.month_verification import verify_month
from app.services.months import close_month, reopen_month
from tests.app_client import AppClient
from tests.conftest import NOW, ClonedDatabase, FixedClock
from tests.report.feeds import FIRST_MONTH, LAST_MONTH, feeds
from tests.report.queries import FULL_REPORT, without_fields

EXAMPLES = {"long": 1_000}.get(os.environ.get("HYPOTHESIS_PROFILE", ""), 12)
MAY = datetime(2024, 5, 10, 12, tzinfo=UTC)
"""After all events and the end of the month that follows them, so that it can be closed."""
BEFORE, AFTER = Month.parse(FIRST_MONTH).plus(-1), Month.parse(LAST_MONTH).plus(1)
CLOSABLE = list(BEFORE.through(AFTER))
MONTHS = [*CLOSABLE, Month.containing(MAY)]
"""With the current month, in which corrections are booked once all others are closed."""


@dataclass(frozen=True)
class Close:
    """Close a month and those before it."""

    month: Month


@dataclass(frozen=True)
class Reopen:
    """Open the latest closed month, if there is one."""


Step = Sequence[bytes] | Close | Reopen

_closes_and_reopenings = st.one_of(st.builds(Close, st.sampled_from(CLOSABLE)), st.builds(Reopen))


@st.composite
def scenarios(draw: st.DrawFn) -> list[Step]:
    """Draw a feed in any order, in batches with some duplicates, and closes between them."""
    events = draw(feeds())
    duplicates = draw(st.lists(st.sampled_from(events), max_size=4))
    arriving = draw(st.permutations([*events, *duplicates]))
    cuts = sorted(draw(st.sets(st.integers(1, len(arriving)), max_size=4)) | {len(arriving)})
    steps: list[Step] = draw(st.lists(_closes_and_reopenings, max_size=1))
    for start, end in zip([0, *cuts[:-1]], cuts, strict=True):
        steps.append(arriving[start:end])
        steps += draw(st.lists(_closes_and_reopenings, max_size=2))
    return steps


Reports = Mapping[Month, dict[str, Any]]
"""Every field of the report of every month."""

_UNLICENSED = "chargedToNobody { users { username uiUsageCount sdkUsageCount } }"
_BOTH = f"""
query ($from: Month!, $to: Month!, $own: String!, $twin: String!) {{
    own: chargebackReports(from: $from, to: $to, organization: $own) {{ ...full {_UNLICENSED} }}
    twin: chargebackReports(from: $from, to: $to, organization: $twin) {{ ...full {_UNLICENSED} }}
}}
{FULL_REPORT}
"""


@dataclass(frozen=True)
class TwinClient(AppClient):
    """Reads the reports of two organizations over GraphQL and REST."""

    async def reports(self, own: str, twin: str) -> tuple[Reports, Reports]:
        """Return the reports of two organizations from one GraphQL request."""
        span = {"from": str(MONTHS[0]), "to": str(MONTHS[-1])}
        response = await self.graphql(_BOTH, own=own, twin=twin, **span)
        return (
            dict(zip(MONTHS, response["own"], strict=True)),
            dict(zip(MONTHS, response["twin"], strict=True)),
        )

    async def document(self, organization: str, month: Month) -> tuple[bytes, str]:
        """Return the REST document and its ETag."""
        response = await self.fetch_report(organization, str(month))
        return response.content, response.headers["etag"]


@pytest.fixture(scope="module")
async def app_client(postgres: str, template: str) -> AsyncIterator[TwinClient]:
    async with (
        ClonedDatabase(postgres, template) as database,
        TwinClient.open(database, FixedClock(MAY)) as app_client,
    ):
        yield app_client


@dataclass
class TwinScenario:
    """A scenario that runs on an organization, and on a twin that closes nothing."""

    app_client: TwinClient
    own: str
    own_id: UUID
    twin: str
    twin_id: UUID
    frozen: dict[Month, tuple[tuple[bytes, str], dict[str, Any]]] = field(default_factory=dict)
    events: list[bytes] = field(default_factory=list)

    @classmethod
    async def begin(cls, app_client: TwinClient) -> "TwinScenario":
        app_client.clock.now = MAY
        return cls(
            app_client,
            *await app_client.create_organization(),
            *await app_client.create_organization(),
        )

    async def run_step(self, step: Step) -> None:
        # The history orders closes by time, so two of them must not happen at the same time.
        self.app_client.clock.now += timedelta(seconds=1)
        match step:
            case Close(month):
                await self._close(month)
            case Reopen():
                await self._reopen()
            case _:
                self.events += step
                # Validate with a later time: the feed may create an account after the clock's.
                decoded = decode_lines(list(step), now=NOW)
                for organization_id in (self.own_id, self.twin_id):
                    await GroupCommitIngestor(self.app_client.database).submit(
                        organization_id, decoded, self.app_client.clock.now
                    )

    async def _close(self, month: Month) -> None:
        await close_month(
            self.app_client.database,
            self.own_id,
            month,
            by=OPERATOR,
            now=self.app_client.clock.now,
        )
        reports, _ = await self.app_client.reports(self.own, self.twin)
        # A month before the first closed one is as final as a closed one.
        for closed in BEFORE.through(month):
            if closed not in self.frozen:
                self.frozen[closed] = (
                    await self.app_client.document(self.own, closed),
                    reports[closed],
                )

    async def _reopen(self) -> None:
        if self.frozen:
            month = max(self.frozen)
            closed = await self.closed_months()
            if closed and month == closed[-1]:
                await reopen_month(
                    self.app_client.database,
                    self.own_id,
                    month,
                    reason="a random scenario",
                    by=OPERATOR,
                    now=self.app_client.clock.now,
                )
                del self.frozen[month]
                if len(closed) == 1:
                    self.frozen.clear()

    async def closed_months(self) -> list[Month]:
        """Return the months that were closed and not reopened."""
        async with self.app_client.database.owner_transaction() as tx:
            days = await tx.scalars(
                text("SELECT month FROM month_close WHERE organization_id = :id ORDER BY month"),
                {"id": self.own_id},
            )
            return [Month.containing(day) for day in days]

    async def check(self) -> None:
        reports, expected = await self.app_client.reports(self.own, self.twin)
        await self._check_closed_reports(reports)
        self._check_open_reports(reports, expected)
        self._check_corrected_reports(reports, expected)
        await self._check_rows()
        await self._check_range()
        await self._check_verification()

    async def _check_closed_reports(self, reports: Reports) -> None:
        for month, (document, report) in self.frozen.items():
            assert reports[month] == report
            assert await self.app_client.document(self.own, month) == document

    def _check_open_reports(self, reports: Reports, expected: Reports) -> None:
        for month in MONTHS:
            is_closed = month in self.frozen
            assert reports[month]["status"] == ("CLOSED" if is_closed else "OPEN")
            if not is_closed:
                assert without_fields(reports[month]) == without_fields(expected[month])

    def _check_corrected_reports(self, reports: Reports, expected: Reports) -> None:
        late: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for report in reports.values():
            for correction in report["corrections"]:
                assert correction["originMonth"] < report["reportDate"]
                late[correction["originMonth"]].append(correction)
        assert {*late} <= {*map(str, self.frozen)}
        for month in self.frozen:
            corrected = figures_of(reports[month])
            apply_corrections(corrected, late[str(month)])
            recomputed = figures_of(expected[month])
            assert +corrected - recomputed == Counter()
            assert recomputed - corrected == Counter()
            assert all(amount >= 0 for amount in corrected.values())

    async def _check_rows(self) -> None:
        """Compare the exact byte-microseconds of rows, which GraphQL rounds."""
        async with self.app_client.database.owner_transaction() as tx:
            corrected = await _byte_microseconds(tx, self.own_id)
            recomputed = await _byte_microseconds(tx, self.twin_id)
            late = await tx.execute(_SELECT_CORRECTIONS, {"id": self.own_id})
            for month, workspace, username, amount in late:
                corrected["workspace", month, workspace, ""] += int(amount)
                corrected["user", month, "", username] += int(amount)
        assert {k: v for k, v in corrected.items() if v and k[1] <= self.last_day} == {
            k: v for k, v in recomputed.items() if v and k[1] <= self.last_day
        }

    async def _check_range(self) -> None:
        """The months up to that of the last correction add up to those of the twin."""
        own, twin = [
            (await self.app_client.graphql(RANGE_QUERY, organization=name))["chargebackRange"]
            for name in (self.own, self.twin)
        ]
        for kind in ("workspaces", "projects", "users"):
            # Without any figures, a thing is not listed in a closed month that it was late for.
            own[kind], twin[kind] = ([each for each in found[kind] if any(_flows_of(each))]
                                     for found in (own, twin))  # fmt: skip
        assert own == twin

    @property
    def last_day(self) -> Any:
        """The month of the last event. Later months have rows only where they were closed."""
        times = [datetime.fromisoformat(orjson.loads(line)["time"]) for line in self.events]
        return max((Month.containing(time).first_day for time in times), default=MAY.date())

    async def _check_verification(self) -> None:
        times = [datetime.fromisoformat(orjson.loads(line)["time"]) for line in self.events]
        if times:
            for month in Month.containing(min(times)).through(Month.containing(max(times))):
                found = (
                    await verify_month(self.app_client.database, self.own_id, month)
                ).differences
                assert (str(month), found) == (str(month), [])


async def _byte_microseconds(tx: Any, organization_id: UUID) -> Counter[tuple[Any, ...]]:
    return Counter(
        {
            tuple(row[:4]): int(row[4])
            for row in await tx.execute(_SELECT_BYTE_MICROSECONDS, {"id": organization_id})
        }
    )


_SELECT_BYTE_MICROSECONDS = text("""
    SELECT 'workspace', month, name, '', byte_microseconds FROM workspace_month
    WHERE organization_id = :id
    UNION ALL
    SELECT 'user', month, '', username, byte_microseconds FROM user_month
    WHERE organization_id = :id
""")
_SELECT_CORRECTIONS = text("""
    SELECT origin_month, name, username, amount FROM correction
    JOIN workspace USING (organization_id, workspace_id)
    JOIN platform_user USING (organization_id, user_id)
    WHERE organization_id = :id AND figure = 'BYTE_MICROSECONDS'
""")

_RANGE_FLOWS = ("experimentsCreated", "averageSizeInMb")
RANGE_QUERY = f"""
query ($organization: String) {{
    chargebackRange(from: "{BEFORE}", to: "{MONTHS[-1]}", organization: $organization) {{
        totals {{ {" ".join(_RANGE_FLOWS)} licensedMonths }}
        workspaces {{ name {" ".join(_RANGE_FLOWS)} }}
        projects {{ workspace name {" ".join(_RANGE_FLOWS)} }}
        users {{ username licensedMonths {" ".join(_RANGE_FLOWS)} }}
    }}
}}
"""


def _flows_of(row: Mapping[str, Any]) -> list[Any]:
    return [row[name] for name in (*_RANGE_FLOWS, "licensedMonths") if name in row]


Figures = Counter[tuple[str | None, ...]]
"""Amounts by figure, workspace, project and username."""

_USAGE = {"UI_USAGE": "uiUsageCount", "SDK_USAGE": "sdkUsageCount"}
_SUMS = {
    "EXPERIMENTS": "numberOfExperiments",
    "UNMEASURED_EXPERIMENTS": "unmeasuredExperiments",
    "EXPERIMENTS_CREATED": "experimentsCreated",
    "SIZE_BYTES": "totalSizeBytes",
}


def figures_of(report: Mapping[str, Any]) -> Figures:
    """Return a report's figures with the keys that corrections have, summed at each level."""
    return Counter(dict(_figures_of(report)))


def _figures_of(report: Mapping[str, Any]) -> Iterator[tuple[tuple[str | None, ...], int]]:
    for workspace in report["workspaces"]:
        name = workspace["name"]
        yield ("WORKSPACES", name, None, None), 1
        for project in workspace["projects"]:
            yield ("PROJECTS", name, project["name"], None), 1
        for member in workspace["members"]:
            yield ("MEMBERS", name, None, member["userName"]), 1
    for user in report["users"]["licensedUsers"]:
        yield ("LICENSED_USERS", None, None, user["username"]), 1
        for figure, key in _USAGE.items():
            yield (figure, None, None, user["username"]), user[key] or 0
    for user in report["chargedToNobody"]["users"]:
        for figure, key in _USAGE.items():
            yield (f"UNLICENSED_{figure}", None, None, user["username"]), user[key] or 0
    for figure, key in _SUMS.items():
        for workspace in report["workspaces"] + report["formerWorkspaces"]:
            name = workspace["name"]
            yield (figure, name, None, None), workspace[key]
            for project in workspace["projects"] + workspace["formerProjects"]:
                yield (figure, name, project["name"], None), project[key]
            for member in workspace["members"] + workspace["formerMembers"]:
                yield (figure, name, None, member["userName"]), member[key]


def apply_corrections(figures: Figures, corrections: Iterable[Mapping[str, Any]]) -> None:
    """Add corrections to the figures of a closed report."""
    for correction in corrections:
        figure, amount = correction["figure"], int(correction["amount"])
        workspace, project, username = (
            correction["workspace"],
            correction["project"],
            correction["userName"],
        )
        if figure in _SUMS:
            figures[figure, workspace, None, None] += amount
            figures[figure, workspace, project, None] += amount
            figures[figure, workspace, None, username] += amount
        elif figure != "BYTE_MICROSECONDS":
            figures[figure, workspace, project, username] += amount


@given(scenarios())
@settings(
    max_examples=EXAMPLES,
    derandomize=EXAMPLES < 100,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@pytest.mark.timeout(0 if EXAMPLES > 100 else 300)
async def test_closed_reports_plus_corrections_equal_the_reports_of_a_twin_without_closes(
    app_client: TwinClient, steps: list[Step]
) -> None:
    scenario = await TwinScenario.begin(app_client)
    for step in steps:
        note(repr(step))
        await scenario.run_step(step)
        await scenario.check()
