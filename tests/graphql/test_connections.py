"""Connections: pages that say whether there is more, and how long the list is."""

from typing import Any

import pytest

from resolvers.connections import format_cursor
from tests.conftest import Feed, GraphQLClient, event
from tests.graphql.conftest import MEGABYTE, USERS, WORKSPACES, Shared
from tests.graphql.test_lists import GAMMA, ORDERED, REPORT, fetch_list
from tests.graphql.test_statements import record_report_reads

PAGE = "nodes {{ {} }} pageInfo {{ hasNextPage endCursor }} totalCount"


async def fetch_connection(graphql: GraphQLClient, path: str, arguments: str, fields: str) -> Any:
    """Fetch the connection of a list of the report, of its workspace "gamma", or of its users."""
    *outer, last = path.split("/")
    selection = f"{last}Connection{arguments} {{ {fields} }}"
    for name in reversed(outer):
        selection = f"{name} {{ {selection} }}"
    data: Any = await graphql(REPORT.format(selection))
    for name in ("chargebackReport", *outer, f"{last}Connection"):
        data = data[name.partition("(")[0]]
    return data


@pytest.mark.parametrize(("path", "cursor", "order"), ORDERED)
@pytest.mark.parametrize("first", [1, 3, 7, 8])
async def test_pages_follow_each_other_until_there_is_no_next(
    shared_graphql: GraphQLClient, path: str, cursor: str, order: str, first: int
) -> None:
    whole = await fetch_list(shared_graphql, f"(orderBy: {order})", path, cursor)

    walked: list[Any] = []
    after, has_next = "", True
    while has_next:
        arguments = f"(orderBy: {order}, first: {first}{after})"
        page = await fetch_connection(shared_graphql, path, arguments, PAGE.format(cursor))
        walked += page["nodes"]
        assert page["totalCount"] == 7
        assert page["pageInfo"]["endCursor"] == page["nodes"][-1][cursor]
        has_next = page["pageInfo"]["hasNextPage"]
        assert has_next == (len(walked) < 7)
        after = f', after: "{page["pageInfo"]["endCursor"]}"'

    assert walked == whole


@pytest.mark.parametrize(
    ("path", "arguments", "expected"),
    [
        ("workspaces", '(filter: {nameContains: "ALPHA"})', 2),
        ("workspaces", f"(filter: {{minimumSizeBytes: {6 * MEGABYTE}}}, first: 1)", 3),
        ("workspaces", '(filter: {nameContains: "%"})', 0),
        (f"{GAMMA}/projects", '(filter: {nameContains: "BETA"}, first: 1)', 2),
        ("users/licensedUsers", '(filter: {suspended: false}, after: "dee")', 6),
    ],
)
async def test_the_total_count_is_the_number_of_rows_that_match_the_filter(
    shared_graphql: GraphQLClient, path: str, arguments: str, expected: int
) -> None:
    for fields in ("totalCount", "totalCount nodes { __typename }"):
        found = await fetch_connection(shared_graphql, path, arguments, fields)
        assert found["totalCount"] == expected


NOTHING: dict[str, Any] = {"hasNextPage": False, "endCursor": None}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", {"hasNextPage": False, "endCursor": "Éve"}),
        ("(first: 10000)", {"hasNextPage": False, "endCursor": "Éve"}),
        ("(first: 7)", {"hasNextPage": False, "endCursor": "Éve"}),
        ("(first: 6)", {"hasNextPage": True, "endCursor": "dee"}),
        ("(first: 0)", {"hasNextPage": True, "endCursor": None}),
        ('(first: 2, after: "Éve")', NOTHING),
        ('(first: 2, after: "nobody", orderBy: SIZE)', NOTHING),
        ('(first: 0, filter: {usernameContains: "nobody"})', NOTHING),
    ],
)
async def test_page_info_is_right_at_the_edges(
    shared_graphql: GraphQLClient, arguments: str, expected: object
) -> None:
    found = await fetch_connection(
        shared_graphql, "users/licensedUsers", arguments, "pageInfo { hasNextPage endCursor }"
    )
    assert found == {"pageInfo": expected}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("__typename", {"__typename": "WorkspaceConnection"}),
        ("nodes { __typename }", {"nodes": [{"__typename": "Workspace"}] * 2}),
        ("pageInfo { endCursor }", {"pageInfo": {"endCursor": "BETA"}}),
        (
            "a: nodes { name } nodes { numberOfMembers } totalCount",
            {
                "a": [{"name": "Alpha"}, {"name": "Beta"}],
                "nodes": [{"numberOfMembers": 7}] * 2,
                "totalCount": 7,
            },
        ),
    ],
)
async def test_each_field_of_a_connection_can_be_selected_alone(
    shared_graphql: GraphQLClient, fields: str, expected: Any
) -> None:
    beta = (await fetch_list(shared_graphql, "", "workspaces", "workspaceId"))[1]["workspaceId"]
    found = await fetch_connection(shared_graphql, "workspaces", "(first: 2)", fields)
    assert found == eval_cursor(expected, beta)


def eval_cursor(expected: Any, beta: str) -> Any:
    """Put the id of the workspace "Beta" where a test expects it."""
    if expected == "BETA":
        return beta
    if isinstance(expected, dict):
        return {key: eval_cursor(value, beta) for key, value in expected.items()}
    return expected


async def test_a_nested_connection_pages_in_every_parent(shared_graphql: GraphQLClient) -> None:
    """Not all workspaces have projects of this name: the others have empty pages."""
    filtered = 'projectsConnection(first: 1, filter: {nameContains: "gamma"})'
    workspaces = await fetch_list(
        shared_graphql,
        "",
        "workspaces",
        f"name membersConnection(first: 2) {{ {PAGE.format('userName user { username }')} }} "
        f"{filtered} {{ totalCount nodes {{ name }} }}",
    )
    members = {
        "nodes": [{"userName": name, "user": {"username": name}} for name in ("Ann", "Bob")],
        "pageInfo": {"hasNextPage": True, "endCursor": "Bob"},
        "totalCount": len(USERS),
    }
    projects = {"totalCount": 1, "nodes": [{"name": "gamma"}]}
    assert workspaces == [
        {"name": name, "membersConnection": members, "projectsConnection": projects}
        for name in WORKSPACES
    ]


async def test_levels_below_the_nodes_are_read_for_all_parents(
    shared_graphql: GraphQLClient,
) -> None:
    found = await fetch_connection(
        shared_graphql,
        "workspaces",
        "(first: 2)",
        "nodes { membersConnection(first: 1) { nodes { user { username } } } }",
    )
    one = {"membersConnection": {"nodes": [{"user": {"username": "Ann"}}]}}
    assert found == {"nodes": [one, one]}


async def test_a_range_of_months_counts_in_each(shared_graphql: GraphQLClient) -> None:
    """The first events are in September; October and November carry them on."""
    data = await shared_graphql(
        '{ chargebackReports(from: "2026-08", to: "2026-11") { '
        "workspacesConnection(first: 1) { totalCount nodes { name } "
        "pageInfo { hasNextPage } } } }"
    )
    alpha = {
        "totalCount": 7,
        "nodes": [{"name": "Alpha"}],
        "pageInfo": {"hasNextPage": True},
    }
    nothing = {"totalCount": 0, "nodes": [], "pageInfo": {"hasNextPage": False}}
    assert [each["workspacesConnection"] for each in data["chargebackReports"]] == [
        nothing,
        alpha,
        alpha,
        alpha,
    ]


@pytest.mark.parametrize(
    ("connection", "arguments"),
    [
        ("workspaces", "first: 10001"),
        ("workspaces", "first: -1"),
        ("workspaces", 'after: "Alpha"'),
        *(
            ("corrections", f'after: "{cursor}"')
            for cursor in (
                *("x", "é", format_cursor(["2026-09"])),
                format_cursor(["soon", "EXPERIMENTS", "", "", ""]),
                format_cursor(["2026-09-01", "EXPERIMENTS", "\0", "", ""]),
                format_cursor(["2026-09-01", "EXPERIMENTS", "\ud800", "", ""]),
            )
        ),
    ],
)
async def test_invalid_arguments_are_rejected(
    shared_graphql: GraphQLClient, connection: str, arguments: str
) -> None:
    selection = f"{connection}Connection({arguments}) {{ totalCount }}"
    response = await shared_graphql.execute(REPORT.format(selection))
    assert response["data"] is None
    assert response["errors"][0]["extensions"] == {"code": "INVALID_ARGUMENT"}


CONNECTIONS = [
    (f"workspacesConnection(first: 2) {{ {PAGE.format('name')} }}", 2),
    (f"workspaces {{ membersConnection(first: 2) {{ {PAGE.format('userName')} }} }}", 3),
    (f"workspaces {{ projectsConnection {{ {PAGE.format('name')} }} }}", 3),
    (f"users {{ licensedUsersConnection {{ {PAGE.format('username')} }} }}", 2),
    ("workspacesConnection { nodes { membersConnection { nodes { user { email } } } } }", 4),
]


@pytest.mark.parametrize(("selection", "count"), CONNECTIONS)
async def test_each_connection_takes_one_statement(
    shared: Shared, selection: str, count: int
) -> None:
    texts = await record_report_reads(shared.database, shared.graphql, REPORT.format(selection))
    assert len(texts) == count


@pytest.mark.parametrize(("selection", "_count"), CONNECTIONS)
async def test_rows_are_counted_only_for_a_total_count(
    shared: Shared, selection: str, _count: int
) -> None:
    query = REPORT.format(selection)
    for text, is_counted in ((query, "totalCount" in query), (query.replace("totalCount", ""), 0)):
        texts = await record_report_reads(shared.database, shared.graphql, text)
        assert any("count(" in each for each in texts) == bool(is_counted)


async def test_selecting_only_the_total_count_computes_nothing_else(shared: Shared) -> None:
    query = REPORT.format("workspacesConnection(first: 5, orderBy: SIZE) { totalCount }")
    with_nodes = REPORT.format("workspacesConnection { totalCount nodes { totalSizeInMb } }")
    *_, text = await record_report_reads(shared.database, shared.graphql, query)
    *_, other = await record_report_reads(shared.database, shared.graphql, with_nodes)
    assert "size_in_mb" not in text
    assert "size_in_mb" in other


CORRECTIONS = "originMonth figure amount workspace project userName"


async def test_corrections_are_paged_in_their_order(feed: Feed, graphql: GraphQLClient) -> None:
    """After September was closed, a user and experiments of two workspaces turn up."""
    september = "2026-09-10T00:00:00Z"
    await feed(event("workspace.upserted", september, name="vision"))
    await graphql('mutation { closeMonth(month: "2026-09") { month } }')
    await feed(
        event("user.upserted", september, username="ann", createdAt=september),
        *(
            event(
                "experiment.created",
                september,
                experiment=f"{workspace} {project} {username}",
                workspace=workspace,
                project=project,
                username=username,
                sizeBytes=MEGABYTE,
            )
            for workspace in ("vision", "Äther")
            for project in ("a", "b")
            for username in ("ann", "bob")
        ),
    )
    whole = (await graphql(REPORT.format(f"corrections {{ {CORRECTIONS} }}")))["chargebackReport"][
        "corrections"
    ]
    assert len(whole) > 30
    assert {each["workspace"] for each in whole} == {None, "vision", "Äther"}

    walked: list[Any] = []
    after, has_next = "", True
    while has_next:
        page = await fetch_connection(
            graphql, "corrections", f"(first: 7{after})", PAGE.format(CORRECTIONS)
        )
        assert page["totalCount"] == len(whole)
        walked += page["nodes"]
        has_next = page["pageInfo"]["hasNextPage"]
        after = f', after: "{page["pageInfo"]["endCursor"]}"'
    assert walked == whole

    rest = await fetch_list(graphql, f"(first: 3{after})", "corrections", "figure")
    assert rest == []
