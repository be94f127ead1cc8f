"""Invariants of reports for random feeds: order-free, tie-out, one truth; and the reference.

`HYPOTHESIS_PROFILE=long` runs 1,000 examples of each test; CI runs 12.
"""

import csv
import io
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.cli.report import Format, ReportRequest, print_report
from app.db.engine import Database
from app.domain.event_decoding import decode_lines
from app.domain.months import Month
from app.domain.sections import Section
from app.services.group_commit import GroupCommitIngestor
from app.services.month_verification import verify_month
from app.services.organizations import find_organization
from app.settings import Settings
from tests.app_client import AppClient
from tests.conftest import NOW, FixedClock, event
from tests.report.feeds import (
    FIRST_MONTH,
    LAST_MONTH,
    Arrangement,
    arrangements,
    feeds,
    latest_instant,
)
from tests.report.queries import REPORT_QUERY, REPORTS_QUERY, differences, without_fields
from tests.report.reference import Reference, facts_of

_ALWAYS: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}
settings.register_profile("ci", max_examples=12, derandomize=True, **_ALWAYS)
settings.register_profile("long", max_examples=1_000, **_ALWAYS)
# Applied to these tests alone: loading it would change the other property tests of the run.
PROFILE = settings.get_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
pytestmark = pytest.mark.timeout(7_200)

ReportPart = dict[str, Any]

EARLIEST, LATEST = Month.parse(FIRST_MONTH).plus(-1), Month.parse(LAST_MONTH).plus(2)
MONTHS = [str(month) for month in EARLIEST.through(LATEST)]
"""A month without events, the months of the events, and the two after them."""


@dataclass(frozen=True)
class ReportClient(AppClient):
    """Reads an organization's reports through every interface."""

    async def store(self, *batches: Sequence[bytes]) -> str:
        """Create an organization, ingest these batches in order, and return its name."""
        name, organization_id = await self.create_organization()
        ingestor = GroupCommitIngestor(self.database)
        for batch in batches:
            # Validate with a later time, because the feed may create an account after the clock's.
            decoded = decode_lines(batch, now=NOW)
            await ingestor.submit(organization_id, decoded, self.clock.now)
        return name

    async def reports(self, organization: str, months: Sequence[str] = MONTHS) -> list[ReportPart]:
        """Return the reports of consecutive months from one GraphQL request, with every field."""
        response = await self.graphql(
            REPORTS_QUERY, **{"from": months[0], "to": months[-1]}, organization=organization
        )
        found: list[ReportPart] = response["chargebackReports"]
        return found

    async def report(self, organization: str, month: str) -> ReportPart:
        """Return the report of one month over GraphQL, with every field."""
        response = await self.graphql(REPORT_QUERY, month=month, organization=organization)
        found: ReportPart = response["chargebackReport"]
        return found

    async def document(self, organization: str, month: str | None) -> bytes:
        """Return the document over REST."""
        return (await self.fetch_report(organization, month)).content

    async def command(
        self, organization: str, month: str, form: Format, by: Section | None = None
    ) -> str:
        """Return what `chargeback report` prints."""
        output = io.StringIO()
        with redirect_stdout(output):
            chosen = Month.parse(month)
            request = ReportRequest(chosen, chosen, form, by)
            await print_report(self.database, Settings.load(), organization, request)
        return output.getvalue()


@pytest.fixture(scope="module")
async def app_client(shared_store: Database) -> AsyncIterator[ReportClient]:
    async with ReportClient.open(shared_store, FixedClock()) as app_client:
        yield app_client


# 1. Order-free


@PROFILE
@given(arrangement=arrangements())
async def test_any_order_batches_and_duplicates_give_the_same_reports(
    app_client: ReportClient, arrangement: Arrangement
) -> None:
    app_client.clock.now = NOW
    at_once = await app_client.store(arrangement.events)
    piecemeal = await app_client.store(*arrangement.batches)

    ignored = frozenset({"organization", "id"})
    found, expected = await app_client.reports(piecemeal), await app_client.reports(at_once)
    assert differences(without_fields(found, ignored), without_fields(expected, ignored)) == []
    for month in MONTHS:
        document, other = [await app_client.document(each, month) for each in (piecemeal, at_once)]
        assert differences(document, other, month) == []
    latest = Month.containing(latest_instant(arrangement.events))
    found_id = (await find_organization(app_client.database, piecemeal)).organization_id
    for each in EARLIEST.through(latest):
        verified = await verify_month(app_client.database, found_id, each)
        assert (each, verified.differences) == (each, [])


# 2. Tie-out


_STOCKS = ("numberOfExperiments", "totalSizeBytes")
_FIGURES = (*_STOCKS, "experimentsCreated")


@PROFILE
@given(events=feeds())
async def test_parts_add_up_to_the_whole_exactly(
    app_client: ReportClient, events: list[bytes]
) -> None:
    app_client.clock.now = NOW
    organization = await app_client.store(events)

    reports = await app_client.reports(organization)

    for month, report in zip(MONTHS, reports, strict=True):
        _assert_ties_out(report)
        assert differences(await app_client.report(organization, month), report) == []


def _assert_ties_out(report: ReportPart) -> None:
    workspaces, former = report["workspaces"], report["formerWorkspaces"]
    assert report["numberOfWorkspaces"] == len(workspaces)
    assert _totals(workspaces, _STOCKS) == [report[name] for name in _STOCKS]
    assert _totals(former, _STOCKS) == [0, 0]
    for workspace in [*workspaces, *former]:
        _assert_workspace_ties_out(workspace)
    for workspace in former:
        assert workspace["members"] == workspace["projects"] == []

    licensed = {user["username"]: user for user in report["users"]["licensedUsers"]}
    assert report["users"]["numberOfUsers"] == len(licensed)
    assert list(licensed) == sorted(licensed)
    parts: dict[str, list[ReportPart]] = {username: [] for username in licensed}
    for workspace in [*workspaces, *former]:
        for member in [*workspace["members"], *workspace["formerMembers"]]:
            assert member["user"] == licensed.get(member["userName"])
            parts.setdefault(member["userName"], []).append(member)
    for username, user in licensed.items():
        assert _totals(parts[username], _FIGURES) == [user[name] for name in _FIGURES]


def _assert_workspace_ties_out(workspace: ReportPart) -> None:
    whole = [workspace[name] for name in _FIGURES]
    members, former_members = workspace["members"], workspace["formerMembers"]
    projects, former_projects = workspace["projects"], workspace["formerProjects"]
    assert workspace["numberOfMembers"] == len(members)
    assert workspace["numberOfProjects"] == len(projects)
    assert _totals([*members, *former_members], _FIGURES) == whole
    assert _totals([*projects, *former_projects], _FIGURES) == whole
    assert _totals(projects, _STOCKS) == whole[: len(_STOCKS)]
    assert not {each["name"] for each in projects} & {each["name"] for each in former_projects}
    for parts in ([*members, *former_members], [*projects, *former_projects]):
        # Each average is rounded once, by at most half a hundredth.
        averages = round(sum(100 * part["averageSizeInMb"] for part in parts))
        assert abs(averages - 100 * workspace["averageSizeInMb"]) <= (len(parts) + 1) / 2 + 1e-6
    for each in (members, former_members):
        assert [part["userName"] for part in each] == sorted(part["userName"] for part in each)
    for each in (projects, former_projects):
        assert [part["name"] for part in each] == sorted(part["name"] for part in each)


def _totals(parts: Iterable[ReportPart], names: Sequence[str]) -> list[int]:
    return [sum(part[name] for part in parts) for name in names]


# 3. One truth


@PROFILE
@given(events=feeds(), month=st.sampled_from(MONTHS[1:-1]))
async def test_graphql_rest_and_the_command_line_show_the_same_figures(
    app_client: ReportClient, events: list[bytes], month: str
) -> None:
    app_client.clock.now = NOW
    organization = await app_client.store(events)

    report = await app_client.report(organization, month)
    document = await app_client.document(organization, month)

    assert differences(orjson.loads(document), _to_document(report)) == []
    printed = await app_client.command(organization, month, Format.JSON)
    assert differences(printed, document.decode() + "\n") == []
    rows = _parse_csv(await app_client.command(organization, month, Format.CSV))
    assert rows["workspaces"] == _to_csv_rows(report)
    assert rows["total"][:4] == _to_csv_total(report)
    for by in (Section.PROJECT, Section.MEMBER, Section.USER):
        of_section = _parse_csv(await app_client.command(organization, month, Format.CSV, by))
        assert of_section["total"] == rows["total"], by

    app_client.clock.now = latest_instant(events)
    current = str(Month.containing(app_client.clock.now))
    newest = orjson.loads(await app_client.document(organization, None))
    expected = _to_newer_document(await app_client.report(organization, current))
    assert differences(newest, expected) == []


async def test_a_document_of_many_pages_shows_the_figures_of_graphql(
    app_client: ReportClient,
) -> None:
    app_client.clock.now = NOW
    at = "2024-02-10T00:00:00Z"
    # Numbers without leading zeros, so that the order of names differs from that of creation.
    organization = await app_client.store(
        [event("user.upserted", at, username=f"u{n}", email=f"{n}@x.org") for n in range(6_001)],
        [event("workspace.upserted", at, name=f"w{n}") for n in range(301)],
        [
            event("experiment.created", at, experiment=f"x{n}", workspace=f"w{n}",
                  project=f"p{n % 7}", username=f"u{n}", sizeBytes=n)
            for n in range(0, 301, 3)
        ],
    )  # fmt: skip

    report = await app_client.report(organization, "2024-02")

    assert (len(report["workspaces"]), len(_licensed(report))) == (301, 6_001)
    document = orjson.loads(await app_client.document(organization, "2024-02"))
    assert differences(document, _to_document(report)) == []
    app_client.clock.now = datetime(2024, 2, 20, tzinfo=UTC)
    newer = orjson.loads(await app_client.document(organization, None))
    expected = _to_newer_document(await app_client.report(organization, "2024-02"))
    assert differences(newer, expected) == []


def _to_document(report: ReportPart, newer: bool = False) -> ReportPart:
    """Return the REST document that has the figures of a GraphQL report."""
    users = [_newer_user(user) if newer else _user(user) for user in _licensed(report)]
    return {
        "reportDate": report["reportDate"],
        "workspaces": [
            {
                "name": workspace["name"],
                "numberOfMembers": workspace["numberOfMembers"],
                **_size(workspace),
                "members": [
                    {
                        "userName": each["userName"],
                        "email": each["email"] or "",
                        **_size(each),
                    }
                    for each in workspace["members"]
                ],
                "projects": [
                    {"name": each["name"], **_size(each)} for each in workspace["projects"]
                ],
            }
            for workspace in report["workspaces"]
        ],
        "users": {
            "licensedUsers": users,
            "numberOfUsers": report["users"]["numberOfUsers"],
            "createdAt": _milliseconds(report["changedAt"]),
        },
    }


def _to_newer_document(report: ReportPart) -> ReportPart:
    document = _to_document(report, newer=True)
    document["users"]["organizationId"] = report["organization"]["id"]
    return document


def _licensed(report: ReportPart) -> list[ReportPart]:
    found: list[ReportPart] = report["users"]["licensedUsers"]
    return found


def _size(part: ReportPart) -> ReportPart:
    return {name: part[name] for name in ("numberOfExperiments", "totalSizeInMb")}


def _user(user: ReportPart) -> ReportPart:
    return {
        "username": user["username"],
        "email": user["email"] or "",
        "created_at": _milliseconds(user["createdAt"]),
        "uiUsageCount": user["uiUsageCount"] or 0,
        "uiUsageUpdateTs": _milliseconds(user["uiUsageUpdatedAt"]) or 0,
        "sdkUsageCount": user["sdkUsageCount"] or 0,
        "sdkUsageUpdateTs": _milliseconds(user["sdkUsageUpdatedAt"]) or 0,
        "suspended": user["suspended"],
    }


def _newer_user(user: ReportPart) -> ReportPart:
    deleted_at = _milliseconds(user["deletedAt"])
    return {
        **_user(user),
        "createdAt": _milliseconds(user["createdAt"]),
        **({} if deleted_at is None else {"deletedAt": deleted_at}),
        "lastUsedAt": _milliseconds(user["lastUsedAt"]),
        "emLastUsedAt": _milliseconds(user["lastUsedAt"]),
        "experimentCount": user["numberOfExperiments"],
        "dataLoggedMb": user["totalSizeInMb"],
    }


def _milliseconds(time: str | None) -> int | None:
    if time is None:
        return None
    epoch = datetime.fromisoformat("1970-01-01T00:00:00Z")
    return (datetime.fromisoformat(time) - epoch) // timedelta(milliseconds=1)


def _parse_csv(printed: str) -> dict[str, list[Any]]:
    """Return the lines without status, and the storage figures of the total."""
    headings, *lines, _ = csv.reader(io.StringIO(printed))
    start = headings.index("Experiments")
    (total,) = (line[start:] for line in lines if line[0] == "total")
    return {"workspaces": [line for line in lines if line[0] != "total"], "total": total}


def _to_csv_rows(report: ReportPart) -> list[list[str]]:
    """Return what CSV says of workspaces and deleted workspaces, in order."""
    counts = ("numberOfMembers", "numberOfProjects", "numberOfExperiments",
              "unmeasuredExperiments", "experimentsCreated", "totalSizeBytes")  # fmt: skip
    return [
        [
            row_type,
            report["reportDate"],
            "",
            workspace["name"],
            *(str(workspace[name]) for name in counts),
            f"{workspace['totalSizeInMb']:.2f}",
            f"{workspace['averageSizeInMb']:.2f}",
        ]
        for row_type, field in (
            ("workspace", "workspaces"),
            ("deleted workspace", "formerWorkspaces"),
        )
        for workspace in report[field]
    ]


def _to_csv_total(report: ReportPart) -> list[str]:
    """Return experiments, those of unknown size, created ones, and bytes."""
    created = sum(
        workspace["experimentsCreated"]
        for workspace in (*report["workspaces"], *report["formerWorkspaces"])
    )
    figures = ("numberOfExperiments", "unmeasuredExperiments")
    return [*(str(report[name]) for name in figures), str(created), str(report["totalSizeBytes"])]


# The reference


@PROFILE
@given(events=feeds())
async def test_past_months_match_the_reference(
    app_client: ReportClient, events: list[bytes]
) -> None:
    app_client.clock.now = NOW
    organization = await app_client.store(events)
    reference = Reference(facts_of(events), app_client.clock.now)

    expected = [reference.report(month) for month in MONTHS]

    assert differences(without_fields(await app_client.reports(organization)), expected) == []


@PROFILE
@given(
    events=feeds(),
    elapsed=st.sampled_from([timedelta(0), timedelta(microseconds=1), timedelta(days=3, hours=5)]),
)
async def test_the_current_month_matches_the_reference(
    app_client: ReportClient, events: list[bytes], elapsed: timedelta
) -> None:
    app_client.clock.now = latest_instant(events) + elapsed
    organization = await app_client.store(events)
    reference = Reference(facts_of(events), app_client.clock.now)
    months = [str(month) for month in EARLIEST.through(Month.containing(app_client.clock.now))]

    expected = [reference.report(month) for month in months]

    assert (
        differences(without_fields(await app_client.reports(organization, months)), expected) == []
    )
