"""What a query costs: one statement per nesting level, which computes what was selected."""

import asyncio
import re
from collections.abc import Sequence

import httpx
import pytest

from app.db.engine import Database
from app.domain.callers import Scope
from app.settings import Settings
from tests.conftest import (
    Feed,
    FixedClock,
    GraphQLClient,
    MakeKey,
    create_client,
    event,
    record_statements,
)
from tests.graphql.conftest import Shared

FULL_REPORT = """
query ($month: Month!) {
  chargebackReport(month: $month) {
    reportDate createdAt numberOfWorkspaces numberOfExperiments totalSizeInMb totalSizeBytes
    organization { id name }
    workspaces {
      id name numberOfMembers numberOfProjects numberOfExperiments experimentsCreated
      totalSizeInMb totalSizeBytes averageSizeInMb
      members {
        userName email numberOfExperiments experimentsCreated totalSizeInMb averageSizeInMb
      }
      projects { id name numberOfExperiments experimentsCreated totalSizeInMb averageSizeInMb }
    }
    users {
      numberOfUsers createdAt
      licensedUsers {
        username email role createdAt deletedAt suspended serviceAccount uiUsageCount
        uiUsageUpdatedAt sdkUsageCount sdkUsageUpdatedAt lastUsedAt numberOfExperiments
        totalSizeInMb
      }
    }
  }
}
"""


async def reads(
    database: Database, graphql: GraphQLClient, query: str, **variables: str
) -> list[str]:
    """The statements that read the report's rows, without those of keys and transactions."""
    with record_statements(database) as statements:
        await graphql(query, **variables)
    return [text for text in statements.texts if re.search(r"_month\b|FROM organization\b", text)]


def workspace(name: str, members: int = 2, projects: int = 2) -> Sequence[bytes]:
    time = "2026-09-01T00:00:00Z"
    users = [f"{name}-{number}" for number in range(members)]
    return [
        event("workspace.upserted", time, name=name),
        *(event("user.upserted", time, username=user, email="e@x.test") for user in users),
        *(event("member.added", time, workspace=name, username=user) for user in users),
        *(
            event("project.upserted", time, workspace=name, name=f"p{number}")
            for number in range(projects)
        ),
    ]


async def test_the_full_report_is_five_statements_whatever_the_number_of_workspaces(
    feed: Feed, database: Database, graphql: GraphQLClient
) -> None:
    await feed(*workspace("w0"))
    before = await reads(database, graphql, FULL_REPORT, month="2026-10")
    assert len(before) == 5

    await feed(*(line for number in range(1, 40) for line in workspace(f"w{number}")))

    after = await reads(database, graphql, FULL_REPORT, month="2026-10")
    # The very same texts, so that the server can prepare_operation them once.
    assert sorted(after) == sorted(before)


@pytest.mark.parametrize(
    ("selection", "count"),
    [
        ("reportDate", 1),
        ("organization { name }", 1),
        ("workspaces { name }", 2),
        ('workspace(name: "alpha") { name }', 2),
        ("workspaces { members { userName } }", 3),
        ("workspaces { members { userName } projects { name } }", 4),
        ("workspaces { members { user { username } } }", 4),
        ("workspaces { formerMembers { userName } formerProjects { name } }", 4),
        ("users { numberOfUsers }", 1),
        ("users { licensedUsers { username } }", 2),
        ("a: workspaces { name } b: workspaces { name }", 3),
        ("workspaces(first: 0) { members { userName } }", 2),  # Nobody's members.
    ],
)
async def test_each_selected_level_is_one_statement(
    shared: Shared, selection: str, count: int
) -> None:
    query = f'{{ chargebackReport(month: "2026-10") {{ {selection} }} }}'
    assert len(await reads(shared.database, shared.graphql, query)) == count


async def test_a_range_of_months_is_no_more_statements_than_one(shared: Shared) -> None:
    query = (
        '{{ chargebackReports(from: "{}", to: "2026-11") '
        "{{ workspaces {{ members {{ userName }} projects {{ name }} }} }} }}"
    )
    one, two, many = [
        await reads(shared.database, shared.graphql, query.format(first))
        for first in ("2026-11", "2026-10", "2026-01")
    ]
    assert len(one) == 4  # Composed for one report, of which the server knows the month.
    assert (len(two), sorted(many)) == (4, sorted(two))


async def test_nothing_is_read_for_what_a_directive_leaves_out(shared: Shared) -> None:
    query = """query ($no: Boolean!) { chargebackReport(month: "2026-10") { reportDate
        workspaces @include(if: $no) { name members { userName } } } }"""
    with record_statements(shared.database) as statements:
        answer = await shared.graphql.execute(query, {"no": False})
    assert "errors" not in answer
    assert not any("workspace_month" in text for text in statements.texts)


FIGURES = re.compile(
    r"experiments|size_bytes|byte_microseconds|count\(|sum\(|div\(", re.IGNORECASE
)


@pytest.mark.parametrize(
    ("selection", "table"),
    [
        ("workspaces { name }", "workspace_month"),
        ("workspaces { id name }", "workspace_month"),
        ("workspaces { members { userName } }", "member_month"),
        ("workspaces { projects { name } }", "project_month"),
        ("users { licensedUsers { username } }", "user_month"),
    ],
)
async def test_a_query_of_names_computes_no_figure(
    shared: Shared, selection: str, table: str
) -> None:
    query = f'{{ chargebackReport(month: "2026-10") {{ {selection} }} }}'
    texts = await reads(shared.database, shared.graphql, query)
    assert [text for text in texts if FIGURES.search(text)] == []
    assert any(table in text for text in texts)


async def test_a_figure_is_computed_when_it_is_selected_and_no_other(shared: Shared) -> None:
    query = '{ chargebackReport(month: "2026-10") { workspaces { name totalSizeInMb } } }'
    _, text = await reads(shared.database, shared.graphql, query)
    assert FIGURES.findall(text) == ["size_bytes"] * len(FIGURES.findall(text))
    assert "size_bytes" in text


async def test_counts_need_no_lists_and_lists_no_counts(shared: Shared) -> None:
    query = '{ chargebackReport(month: "2026-10") { workspaces { numberOfMembers } } }'
    texts = await reads(shared.database, shared.graphql, query)
    assert len(texts) == 2
    assert ["member_month" in text for text in texts] == [False, True]
    assert "username" not in texts[1]
    assert "project_month" not in texts[1]

    lists = '{ chargebackReport(month: "2026-10") { workspaces { members { userName } } } }'
    for text in await reads(shared.database, shared.graphql, lists):
        assert "count(" not in text


async def test_the_report_s_totals_are_summed_only_when_selected(shared: Shared) -> None:
    query = '{ chargebackReport(month: "2026-10") { reportDate createdAt organization { id } } }'
    (text,) = await reads(shared.database, shared.graphql, query)
    assert FIGURES.findall(text) == []


async def test_an_email_is_joined_only_when_it_is_selected(shared: Shared) -> None:
    query = '{{ chargebackReport(month: "2026-10") {{ workspaces {{ members {{ {} }} }} }} }}'
    *_, without = await reads(shared.database, shared.graphql, query.format("userName"))
    *_, joined = await reads(shared.database, shared.graphql, query.format("email"))
    assert ("user_month" in without, "user_month" in joined) == (False, True)


async def test_every_read_is_in_a_read_only_snapshot(shared: Shared) -> None:
    """A request's own statements, those of its key and of the audit log apart, write nothing."""
    with record_statements(shared.database) as statements:
        await shared.graphql(FULL_REPORT, month="2026-10")
    writes = [text for text in statements.texts if re.match(r"\s*(INSERT|UPDATE|DELETE)", text)]
    assert [text for text in writes if not re.search("api_key|audit_log", text)] == []


async def test_each_statement_says_whose_organization_it_reads(shared: Shared) -> None:
    """So that a distributed store sends it to one node."""
    for text in await reads(shared.database, shared.graphql, FULL_REPORT, month="2026-10"):
        for table in set(re.findall(r"(?:FROM|JOIN) (\w+_month)\b", text)):
            assert re.search(rf"{table}(_\d+)?\.organization_id =", text), text


async def test_a_batch_between_two_levels_is_not_seen(
    feed: Feed, database: Database, graphql: GraphQLClient
) -> None:
    """A request sees the store as it was when the first statement of it ran."""
    await feed(*workspace("w0", members=2, projects=1))
    query = """{ chargebackReport(month: "2026-10") {
        numberOfWorkspaces
        workspaces { name numberOfMembers members { userName } projects { name } }
        users { numberOfUsers licensedUsers { username } } } }"""
    seen: set[tuple[int, ...]] = set()
    stop = asyncio.Event()

    async def keep_feeding() -> None:
        number = 1
        while not stop.is_set():
            await feed(*workspace(f"w{number}", members=2, projects=1))
            number += 1

    feeding = asyncio.create_task(keep_feeding())
    try:
        for _ in range(25):
            report = (await graphql(query))["chargebackReport"]
            workspaces = report["workspaces"]
            count = len(workspaces)
            # Each batch adds one workspace, with two members and a project, and two users.
            assert report["numberOfWorkspaces"] == count
            assert [len(each["members"]) for each in workspaces] == [2] * count
            assert [each["numberOfMembers"] for each in workspaces] == [2] * count
            assert [len(each["projects"]) for each in workspaces] == [1] * count
            assert report["users"]["numberOfUsers"] == 2 * count
            assert len(report["users"]["licensedUsers"]) == 2 * count
            seen.add((count,))
    finally:
        stop.set()
        await feeding
    assert len(seen) > 1  # The batches did come in between.


@pytest.mark.parametrize("connections", [2, 5])
async def test_more_requests_than_connections_wait_for_their_turn(
    database: Database,
    clock: FixedClock,
    feed: Feed,
    make_key: MakeKey,
    connections: int,
) -> None:
    """None holds a connection while it waits for its second one."""
    await feed(*workspace("w0"))
    key = await make_key("root", Scope.REPORT_READ)
    small = Database(database._dsn, pool_size=connections)
    settings = Settings.load(admin_user_list="root")
    async with create_client(small, settings, clock) as client:
        body = {"query": FULL_REPORT, "variables": {"month": "2026-10"}}

        async def asked() -> httpx.Response:
            return await client.post("/graphql", json=body, headers={"Authorization": key})

        answers = await asyncio.gather(*(asked() for _ in range(30)))
    await small.close()
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert b'"errors"' not in answers[0].content
