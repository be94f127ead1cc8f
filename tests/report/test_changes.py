"""Comparisons of months for random feeds equal an independent calculation."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.db.engine import Database
from app.domain.months import Month
from tests.conftest import NOW, FixedClock
from tests.report.change_queries import (
    FIGURES,
    OF_REPORTS,
    OF_USERS,
    OF_WORKSPACES,
    QUERY,
    change,
    select,
)
from tests.report.feeds import feeds
from tests.report.queries import differences
from tests.report.reference import Reference, facts_of
from tests.report.test_invariants import MONTHS, PROFILE, ReportClient

ReportPart = dict[str, Any]
Parts = Mapping[Any, ReportPart]


@pytest.fixture(scope="module")
async def app_client(shared_store: Database) -> AsyncIterator[ReportClient]:
    async with ReportClient.open(shared_store, FixedClock()) as app_client:
        yield app_client


@PROFILE
@given(events=feeds(), months=st.sampled_from((1, 2, 4)))
async def test_comparisons_with_an_earlier_month_equal_the_reference(
    app_client: ReportClient, events: list[bytes], months: int
) -> None:
    app_client.clock.now = NOW
    organization = await app_client.store(events)

    response = await app_client.graphql(
        QUERY, **{"from": MONTHS[0], "to": MONTHS[-1]}, months=months, organization=organization
    )

    facts = facts_of(events)
    reference = Reference(facts, NOW)
    first_month = f"{facts[0].at:%Y-%m}"
    for month, found in zip(MONTHS, response["chargebackReports"], strict=True):
        earlier = str(Month.parse(month).plus(-months))
        measured = {
            f"{fact.data['channel']}UsageCount"
            for fact in facts
            if fact.type == "usage.recorded" and f"{fact.at:%Y-%m}" <= month
        }
        expected = _compare(reference.report(month), reference.report(earlier), measured)
        if earlier < first_month:
            expected["previous"] = None
        assert differences(found, expected, month) == []


def _compare(now: ReportPart, before: ReportPart, measured: set[str]) -> ReportPart:
    workspaces, workspaces_before = _listed(now, "workspaces"), _listed(before, "workspaces")
    gone = sorted(workspaces_before.keys() - workspaces.keys())
    users, users_before = _users(now), _users(before)
    current = {part["name"] for part in now["workspaces"]}
    return {
        **select(now, OF_REPORTS),
        "previous": {"reportDate": before["reportDate"], **select(before, OF_REPORTS)},
        "change": change(now, before, OF_REPORTS),
        "workspaces": [
            _compare_workspace(part, workspaces_before.get(name), is_present=True)
            for name, part in workspaces.items()
            if name in current
        ],
        "formerWorkspaces": [
            _compare_workspace(part, workspaces_before.get(name), is_present=False)
            for name, part in workspaces.items()
            if name not in current
        ],
        "goneWorkspaces": [_gone("name", workspaces_before[name], OF_WORKSPACES) for name in gone],
        "users": {
            "licensedUsers": [
                _compare_part("username", part, users_before.get(name), OF_USERS,
                              is_present=part["deletedAt"] is None)
                for name, part in users.items()
            ],
            "goneUsers": [
                _gone("username", users_before[name], OF_USERS, measured)
                for name in sorted(users_before.keys() - users.keys())
            ],
        },
    }  # fmt: skip


def _listed(report: ReportPart, kind: str) -> dict[str, ReportPart]:
    """Return existing and former things by name."""
    former = "former" + kind[0].upper() + kind[1:]
    return {part["name"]: part for part in [*report[kind], *report[former]]}


def _users(report: ReportPart) -> dict[str, ReportPart]:
    return {user["username"]: user for user in report["users"]["licensedUsers"]}


def _members(workspace: ReportPart | None) -> dict[str, ReportPart]:
    parts = [*workspace["members"], *workspace["formerMembers"]] if workspace else []
    return {part["userName"]: part for part in parts}


def _compare_workspace(
    now: ReportPart, before: ReportPart | None, *, is_present: bool
) -> ReportPart:
    compared = _compare_part("name", now, before, OF_WORKSPACES, is_present=is_present)
    members, members_before = _members(now), _members(before)
    projects = _listed(now, "projects")
    projects_before = _listed(before, "projects") if before else {}
    member_names = {part["userName"] for part in now["members"]}
    project_names = {part["name"] for part in now["projects"]}

    def compare(key: str, parts: Parts, earlier: Parts, present: set[str]) -> list[Any]:
        of_present, of_former = (
            [
                _compare_part(key, part, earlier.get(name), FIGURES, is_present=is_current)
                for name, part in parts.items()
                if (name in present) is is_current
            ]
            for is_current in (True, False)
        )
        return [of_present, of_former]

    present_members, former_members = compare("userName", members, members_before, member_names)
    present_projects, former_projects = compare("name", projects, projects_before, project_names)
    return {
        "name": now["name"],
        "own": compared["change"],
        "previous": compared["previous"],
        "members": present_members,
        "formerMembers": former_members,
        "projects": present_projects,
        "formerProjects": former_projects,
        "goneProjects": [
            _gone("name", projects_before[name], FIGURES)
            for name in sorted(projects_before.keys() - projects.keys())
        ],
    }


def _compare_part(
    key: str,
    now: ReportPart,
    before: ReportPart | None,
    figures: Sequence[str],
    *,
    is_present: bool,
) -> ReportPart:
    presence = "GONE" if not is_present else "NEW" if before is None else "KEPT"
    return {
        **select(now, (key, *figures)),
        "previous": select(before, (key, *figures)) if before else None,
        "change": {"presence": presence, **change(now, before, figures)},
    }


def _gone(
    key: str, before: ReportPart, figures: Sequence[str], measured: Collection[str] = ()
) -> ReportPart:
    """Return what is gone: it has 0 of each figure; usage that is not measured is null."""
    unknown = {"uiUsageCount", "sdkUsageCount"}.difference(measured)
    now = {key: before[key], **{name: None if name in unknown else 0 for name in figures}}
    return _compare_part(key, now, before, figures, is_present=False)
