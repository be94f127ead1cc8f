"""Each nesting level takes one statement, which computes only what is selected."""

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


async def record_report_reads(
    database: Database, graphql: GraphQLClient, query: str, **variables: str
) -> list[str]:
    """Return the statements that read the report's rows; omit those of keys and transactions."""
    with record_statements(database) as statements:
        await graphql(query, **variables)
    reads = [text for text in statements.texts if not text.lstrip().startswith("INSERT")]
    return [text for text in reads if re.search(r"_month\b|FROM organization\b", text)]


def workspace_events(name: str, members: int = 2, projects: int = 2) -> Sequence[bytes]:
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


async def test_the_full_report_takes_five_statements_for_any_number_of_workspaces(
    feed: Feed, database: Database, graphql: GraphQLClient
) -> None:
    await feed(*workspace_events("w0"))
    before = await record_report_reads(database, graphql, FULL_REPORT, month="2026-10")
    assert len(before) == 5

    await feed(*(line for number in range(1, 40) for line in workspace_events(f"w{number}")))

    after = await record_report_reads(database, graphql, FULL_REPORT, month="2026-10")
    # The texts are identical, so PostgreSQL can prepare them once.
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
        ("workspaces(first: 0) { members { userName } }", 2),  # There are no parents.
    ],
)
async def test_each_selected_level_takes_one_statement(
    shared: Shared, selection: str, count: int
) -> None:
    query = f'{{ chargebackReport(month: "2026-10") {{ {selection} }} }}'
    assert len(await record_report_reads(shared.database, shared.graphql, query)) == count


async def test_a_range_of_months_takes_as_many_statements_as_one_month(shared: Shared) -> None:
    query = (
        '{{ chargebackReports(from: "{}", to: "2026-11") '
        "{{ workspaces {{ members {{ userName }} projects {{ name }} }} }} }}"
    )
    one, two, many = [
        await record_report_reads(shared.database, shared.graphql, query.format(first))
        for first in ("2026-11", "2026-10", "2026-01")
    ]
    assert len(one) == 4  # Composed for one report, so PostgreSQL can plan for its month.
    assert (len(two), sorted(many)) == (4, sorted(two))


async def test_fields_excluded_by_a_directive_are_not_read(shared: Shared) -> None:
    query = """query ($no: Boolean!) { chargebackReport(month: "2026-10") { reportDate
        workspaces @include(if: $no) { name members { userName } } } }"""
    with record_statements(shared.database) as statements:
        response = await shared.graphql.execute(query, {"no": False})
    assert "errors" not in response
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
    texts = await record_report_reads(shared.database, shared.graphql, query)
    assert [text for text in texts if FIGURES.search(text)] == []
    assert any(table in text for text in texts)


async def test_only_selected_figures_are_computed(shared: Shared) -> None:
    query = '{ chargebackReport(month: "2026-10") { workspaces { name totalSizeInMb } } }'
    _, text = await record_report_reads(shared.database, shared.graphql, query)
    assert FIGURES.findall(text) == ["size_bytes"] * len(FIGURES.findall(text))
    assert "size_bytes" in text


async def test_counts_read_no_lists_and_lists_no_counts(shared: Shared) -> None:
    query = '{ chargebackReport(month: "2026-10") { workspaces { numberOfMembers } } }'
    texts = await record_report_reads(shared.database, shared.graphql, query)
    assert len(texts) == 2
    assert ["member_month" in text for text in texts] == [False, True]
    assert "username" not in texts[1]
    assert "project_month" not in texts[1]

    lists = '{ chargebackReport(month: "2026-10") { workspaces { members { userName } } } }'
    for text in await record_report_reads(shared.database, shared.graphql, lists):
        assert "count(" not in text


async def test_totals_are_summed_only_when_selected(shared: Shared) -> None:
    query = '{ chargebackReport(month: "2026-10") { reportDate createdAt organization { id } } }'
    (text,) = await record_report_reads(shared.database, shared.graphql, query)
    assert FIGURES.findall(text) == []


async def test_users_are_joined_only_when_an_email_is_selected(shared: Shared) -> None:
    query = '{{ chargebackReport(month: "2026-10") {{ workspaces {{ members {{ {} }} }} }} }}'
    *_, without = await record_report_reads(
        shared.database, shared.graphql, query.format("userName")
    )
    *_, joined = await record_report_reads(shared.database, shared.graphql, query.format("email"))
    assert ("user_month" in without, "user_month" in joined) == (False, True)


async def test_a_report_query_writes_only_to_keys_and_the_audit_log(shared: Shared) -> None:
    """Only the key's last use and the audit log are written."""
    with record_statements(shared.database) as statements:
        await shared.graphql(FULL_REPORT, month="2026-10")
    writes = [text for text in statements.texts if re.match(r"\s*(INSERT|UPDATE|DELETE)", text)]
    assert [text for text in writes if not re.search("api_key|audit_log", text)] == []


async def test_each_statement_names_its_organization(shared: Shared) -> None:
    """A distributed store can then route each statement to one node."""
    for text in await record_report_reads(
        shared.database, shared.graphql, FULL_REPORT, month="2026-10"
    ):
        for table in set(re.findall(r"(?:FROM|JOIN) (\w+_month)\b", text)):
            assert re.search(rf"{table}(_\d+)?\.organization_id =", text), text


async def test_all_levels_read_the_same_snapshot(
    feed: Feed, database: Database, graphql: GraphQLClient
) -> None:
    """A request reads the store as of its first statement."""
    await feed(*workspace_events("w0", members=2, projects=1))
    query = """{ chargebackReport(month: "2026-10") {
        numberOfWorkspaces
        workspaces { name numberOfMembers members { userName } projects { name } }
        users { numberOfUsers licensedUsers { username } } } }"""
    seen: set[tuple[int, ...]] = set()
    stop = asyncio.Event()

    async def keep_feeding() -> None:
        number = 1
        while not stop.is_set():
            await feed(*workspace_events(f"w{number}", members=2, projects=1))
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
    assert len(seen) > 1  # Batches did arrive between the requests.


@pytest.mark.parametrize("connections", [2, 5])
async def test_requests_beyond_the_pool_size_wait_for_a_connection(
    database: Database,
    clock: FixedClock,
    feed: Feed,
    make_key: MakeKey,
    connections: int,
) -> None:
    """No request holds a connection while it waits for a second one."""
    await feed(*workspace_events("w0"))
    key = await make_key("root", Scope.REPORT_READ)
    small = Database(database._dsn, pool_size=connections)
    settings = Settings.load(admin_user_list="root")
    async with create_client(small, settings, clock) as client:
        body = {"query": FULL_REPORT, "variables": {"month": "2026-10"}}

        async def send_query() -> httpx.Response:
            return await client.post("/graphql", json=body, headers={"Authorization": key})

        responses = await asyncio.gather(*(send_query() for _ in range(30)))
    await small.close()
    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    assert b'"errors"' not in responses[0].content
