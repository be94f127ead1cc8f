"""Ranges of months for random feeds equal an independent calculation."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.db.engine import Database
from app.domain.ids import project_id
from tests.conftest import NOW, FixedClock
from tests.report.feeds import feeds
from tests.report.queries import differences
from tests.report.reference import MEGABYTE, MonthReport, Reference, facts_of, rounded
from tests.report.test_invariants import MONTHS, PROFILE, ReportClient

Place = tuple[str, str, str]
USAGE = ("uiUsageCount", "sdkUsageCount")
FIGURES = "experimentsCreated averageSizeInMb"
RANGE_QUERY = f"""
query ($from: Month!, $to: Month!, $organization: String) {{
    chargebackRange(from: $from, to: $to, organization: $organization) {{
        firstMonth lastMonth
        totals {{ {FIGURES} uiUsageCount sdkUsageCount licensedMonths amount }}
        workspaces {{ name exists {FIGURES} amount }}
        projects {{ workspace name exists {FIGURES} }}
        users {{ username exists {FIGURES} uiUsageCount sdkUsageCount licensedMonths }}
        corrections {{ bookedMonth figure amount }}
    }}
}}
"""


@pytest.fixture(scope="module")
async def app_client(shared_store: Database) -> AsyncIterator[ReportClient]:
    async with ReportClient.open(shared_store, FixedClock()) as app_client:
        yield app_client


@st.composite
def month_ranges(draw: st.DrawFn) -> Sequence[str]:
    """Draw consecutive months."""
    first = draw(st.integers(0, len(MONTHS) - 1))
    last = draw(st.integers(first, len(MONTHS) - 1))
    return MONTHS[first : last + 1]


@PROFILE
@given(events=feeds(), months=month_ranges())
async def test_a_range_adds_up_the_months_of_the_reference(
    app_client: ReportClient, events: list[bytes], months: Sequence[str]
) -> None:
    app_client.clock.now = NOW
    organization = await app_client.store(events)

    response = await app_client.graphql(
        RANGE_QUERY, **{"from": months[0], "to": months[-1]}, organization=organization
    )

    reference = Reference(facts_of(events), NOW)
    expected = _Range([reference.month(month) for month in months]).to_answer(months)
    assert differences(response["chargebackRange"], expected) == []


class _Range:
    """Adds up what the reference says of each month."""

    def __init__(self, months: Sequence[MonthReport]) -> None:
        self.months = months
        self.reports = [each.to_report() for each in months]
        self.created: Counter[Place] = Counter()
        self.held: Counter[Place] = Counter()
        spans = [each.end - each.start for each in months]
        self.elapsed = sum(span // timedelta(microseconds=1) for span in spans)
        measured = {
            f"{fact.data['channel']}UsageCount"
            for each in months
            for fact in each.past
            if fact.type == "usage.recorded"
        }
        self.unmeasured = {*USAGE} - measured
        self.used: set[Any] = set()
        for each in months:
            self.created += each.snapshot.created
            self.held += each.snapshot.byte_microseconds
            self.used |= each.used(0, 1, 2)

    def figures(self, *parts: str | None) -> dict[str, Any]:
        """Return the figures of the places with these parts; None matches all."""

        def add(amounts: Counter[Place]) -> int:
            return sum(
                amount
                for place, amount in amounts.items()
                if all(wanted in (None, part) for wanted, part in zip(parts, place, strict=True))
            )

        average = rounded(Fraction(add(self.held), self.elapsed * MEGABYTE))
        return {"experimentsCreated": add(self.created), "averageSizeInMb": average}

    def to_answer(self, months: Sequence[str]) -> dict[str, Any]:
        users = self.users()
        totals = {
            name: None if name in self.unmeasured else sum(user[name] for user in users)
            for name in USAGE
        }
        return {
            "firstMonth": months[0],
            "lastMonth": months[-1],
            "totals": {
                **self.figures(None, None, None),
                **totals,
                "licensedMonths": sum(user["licensedMonths"] for user in users),
                "amount": None,
            },
            "workspaces": self.workspaces(),
            "projects": self.projects(),
            "users": users,
            "corrections": [],
        }

    def workspaces(self) -> list[dict[str, Any]]:
        existing = [each.snapshot.workspaces for each in self.months]
        names = {name for each in existing for name in each} | {place[0] for place in self.used}
        return [
            {
                "name": name,
                "exists": name in existing[-1],
                **self.figures(name, None, None),
                "amount": None,
            }
            for name in sorted(names)
        ]

    def projects(self) -> list[dict[str, Any]]:
        existing = [each.snapshot.projects for each in self.months]
        names = {name for each in existing for name in each} | {place[:2] for place in self.used}
        return [
            {
                "workspace": name[0],
                "name": name[1],
                "exists": name in existing[-1],
                **self.figures(*name, None),
            }
            for name in sorted(names, key=lambda name: (name[1], project_id(*name)))
        ]

    def users(self) -> list[dict[str, Any]]:
        licensed = [
            {user["username"]: user for user in report["users"]["licensedUsers"]}
            for report in self.reports
        ]
        names = {name for each in licensed for name in each} | {place[2] for place in self.used}
        return [self.user(name, licensed) for name in sorted(names)]

    def user(self, name: str, licensed: Sequence[dict[str, Any]]) -> dict[str, Any]:
        own = [each[name] for each in licensed if name in each]
        usage = {
            count: None if count in self.unmeasured else sum(user[count] or 0 for user in own)
            for count in USAGE
        }
        return {
            "username": name,
            "exists": name in licensed[-1] and licensed[-1][name]["deletedAt"] is None,
            **self.figures(None, None, name),
            **usage,
            "licensedMonths": len(own),
        }
