"""Lists: order, paging and filters."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.conftest import GraphQLClient
from tests.graphql.conftest import MEGABYTE, USERS, WORKSPACES, Shared

Rows = list[dict[str, Any]]

REPORT = '{{ chargebackReport(month: "2026-10") {{ {} }} }}'


async def fetch_list(
    shared_graphql: GraphQLClient, arguments: str, path: str, fields: str
) -> Rows:
    """Fetch a list of the report, of its workspace "gamma", or of its users."""
    *outer, last = path.split("/")
    selection = f"{last}{arguments} {{ {fields} }}"
    for name in reversed(outer):
        selection = f"{name} {{ {selection} }}"
    data: Any = await shared_graphql(REPORT.format(selection))
    for name in ("chargebackReport", *path.split("/")):
        data = data[name.partition("(")[0]]
    return list(data)


GAMMA = 'workspace(name: "gamma")'
FIGURES = ["SIZE", "EXPERIMENTS", "AVERAGE_SIZE", "GROWTH"]
LISTS = [
    ("workspaces", "workspaceId", ["NAME", *FIGURES]),
    (f"{GAMMA}/projects", "projectId", ["NAME", *FIGURES]),
    (f"{GAMMA}/members", "userName", ["USERNAME", *FIGURES]),
    ("users/licensedUsers", "username", ["USERNAME", "CREATED_AT", *FIGURES]),
]
ORDERED = [
    (path, cursor, f"{order}{direction}")
    for path, cursor, orders in LISTS
    for order in orders
    for direction in ("", ", direction: ASCENDING", ", direction: DESCENDING")
]


@pytest.mark.parametrize(("path", "cursor", "order"), ORDERED)
@pytest.mark.parametrize("first", [1, 3, 8])
async def test_paging_yields_each_row_exactly_once(
    shared_graphql: GraphQLClient, path: str, cursor: str, order: str, first: int
) -> None:
    whole = await fetch_list(shared_graphql, f"(orderBy: {order})", path, cursor)
    assert len(whole) == 7

    walked: Rows = []
    arguments = f"(orderBy: {order}, first: {first})"
    while page := await fetch_list(shared_graphql, arguments, path, cursor):
        assert len(page) <= first
        walked += page
        last = page[-1][cursor]
        arguments = f'(orderBy: {order}, first: {first}, after: "{last}")'

    assert walked == whole


@pytest.mark.parametrize(("path", "cursor", "order"), ORDERED)
async def test_after_without_first_returns_all_later_rows(
    shared_graphql: GraphQLClient, path: str, cursor: str, order: str
) -> None:
    whole = await fetch_list(shared_graphql, f"(orderBy: {order})", path, cursor)
    after = whole[2][cursor]
    rest = await fetch_list(shared_graphql, f'(orderBy: {order}, after: "{after}")', path, cursor)
    assert rest == whole[3:]


async def test_lists_are_sorted_by_name_in_code_point_order_by_default(
    shared_graphql: GraphQLClient,
) -> None:
    assert [row["name"] for row in await fetch_list(shared_graphql, "", "workspaces", "name")] == [
        *WORKSPACES
    ]
    projects = await fetch_list(shared_graphql, "", f"{GAMMA}/projects", "name")
    assert [row["name"] for row in projects] == [*WORKSPACES]
    members = await fetch_list(shared_graphql, "", f"{GAMMA}/members", "userName")
    assert [row["userName"] for row in members] == [*USERS]
    users = await fetch_list(shared_graphql, "", "users/licensedUsers", "username")
    assert [row["username"] for row in users] == [*USERS]


@pytest.mark.parametrize(
    ("path", "cursor", "order", "figure"),
    [
        ("workspaces", "workspaceId", "SIZE", "totalSizeBytes"),
        ("workspaces", "workspaceId", "EXPERIMENTS", "numberOfExperiments"),
        (f"{GAMMA}/projects", "projectId", "SIZE", "totalSizeBytes"),
        (f"{GAMMA}/projects", "projectId", "EXPERIMENTS", "numberOfExperiments"),
        (f"{GAMMA}/members", "userName", "SIZE", "totalSizeBytes"),
        (f"{GAMMA}/members", "userName", "EXPERIMENTS", "numberOfExperiments"),
        ("users/licensedUsers", "username", "SIZE", "totalSizeBytes"),
        ("users/licensedUsers", "username", "EXPERIMENTS", "numberOfExperiments"),
    ],
)
async def test_the_largest_come_first_and_ties_are_sorted_by_id(
    shared_graphql: GraphQLClient, path: str, cursor: str, order: str, figure: str
) -> None:
    rows = await fetch_list(shared_graphql, f"(orderBy: {order})", path, f"{cursor} {figure}")
    assert len({row[figure] for row in rows}) < len(rows)  # There are ties.
    assert rows == sorted(rows, key=lambda row: (-row[figure], row[cursor]))


async def test_users_by_creation_time_are_oldest_first(shared_graphql: GraphQLClient) -> None:
    users = await fetch_list(
        shared_graphql, "(orderBy: CREATED_AT)", "users/licensedUsers", "username"
    )
    assert [user["username"] for user in users] == [*reversed(USERS)]


async def test_first_applies_to_each_parent(shared_graphql: GraphQLClient) -> None:
    workspaces = await fetch_list(
        shared_graphql,
        "",
        "workspaces",
        "members(first: 2) { userName } projects(first: 1) { name }",
    )
    assert workspaces == [
        {
            "members": [{"userName": "Ann"}, {"userName": "Bob"}],
            "projects": [{"name": "Alpha"}],
        }
    ] * len(WORKSPACES)


async def test_a_nested_page_continues_in_every_parent(shared_graphql: GraphQLClient) -> None:
    workspaces = await fetch_list(
        shared_graphql, "(first: 2)", "workspaces", 'members(first: 2, after: "Bob") { userName }'
    )
    assert workspaces == [{"members": [{"userName": "ann"}, {"userName": "bob"}]}] * 2


async def test_a_nested_page_by_size_continues_after_the_row_of_each_parent(
    shared_graphql: GraphQLClient,
) -> None:
    """In Alpha and Beta all members tie at 0; in the others the first three own experiments."""
    arguments = 'orderBy: SIZE, first: 2, after: "Ann"'
    workspaces = await fetch_list(
        shared_graphql, "", "workspaces", f"members({arguments}) {{ userName }}"
    )
    assert workspaces == [{"members": [{"userName": "Bob"}, {"userName": "ann"}]}] * 7


@pytest.mark.parametrize("order", ["NAME", "SIZE", "EXPERIMENTS"])
async def test_pages_of_a_range_of_reports_continue_in_every_report(
    shared_graphql: GraphQLClient, order: str
) -> None:
    """Each month has its own rows, so the cursor is looked up in each month."""
    query = (
        '{{ chargebackReports(from: "2026-09", to: "2026-11") '
        "{{ workspaces(orderBy: {}, first: 3{}) {{ workspaceId }} }} }}"
    )
    first = await shared_graphql(query.format(order, ""))
    ids = [report["workspaces"] for report in first["chargebackReports"]]
    assert ids[0] == ids[1] == ids[2]

    after = ids[0][-1]["workspaceId"]
    second = await shared_graphql(query.format(order, f', after: "{after}"'))

    whole = await fetch_list(shared_graphql, f"(orderBy: {order})", "workspaces", "workspaceId")
    assert [report["workspaces"] for report in second["chargebackReports"]] == [whole[3:6]] * 3


async def test_first_0_is_an_empty_page(shared_graphql: GraphQLClient) -> None:
    assert await fetch_list(shared_graphql, "(first: 0)", "workspaces", "name") == []


@pytest.mark.parametrize("first", [-1, 10_001, -(2**31), 2**31 - 1])
async def test_a_page_size_out_of_range_is_rejected(
    shared_graphql: GraphQLClient, first: int
) -> None:
    response = await shared_graphql.execute(
        REPORT.format(f"workspaces(first: {first}) {{ name }}")
    )
    assert response["errors"][0]["extensions"] == {"code": "INVALID_ARGUMENT"}
    assert str(first) in response["errors"][0]["message"]
    assert response["data"] is None


@pytest.mark.parametrize("after", ["", "Alpha", "0", "not-an-id", "\\u0000"])
async def test_a_cursor_that_is_not_an_id_is_rejected(
    shared_graphql: GraphQLClient, after: str
) -> None:
    response = await shared_graphql.execute(
        REPORT.format(f'workspaces(after: "{after}") {{ name }}')
    )
    assert response["errors"][0]["extensions"] == {"code": "INVALID_ARGUMENT"}


async def test_an_unknown_username_is_a_cursor_in_order_of_username(
    shared_graphql: GraphQLClient,
) -> None:
    users = await fetch_list(shared_graphql, '(after: "b")', "users/licensedUsers", "username")
    assert [user["username"] for user in users] == ["bob", "cy", "dee", "Éve"]


@pytest.mark.parametrize("order", ["NAME", "SIZE", "EXPERIMENTS"])
async def test_the_page_after_an_id_that_is_not_in_the_list_is_empty(
    shared_graphql: GraphQLClient, order: str
) -> None:
    unknown = "00000000-0000-0000-0000-000000000000"
    arguments = f'(orderBy: {order}, after: "{unknown}")'
    assert await fetch_list(shared_graphql, arguments, "workspaces", "name") == []


def values_of(rows: Rows, key: str = "name") -> Sequence[str]:
    return [row[key] for row in rows]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('filter: {nameContains: "ALPHA"}', ["Alpha", "alpha"]),
        ('filter: {nameContains: "%"}', []),
        ('filter: {nameContains: "_"}', []),
        ('filter: {nameContains: "\\\\"}', []),
        ('filter: {nameContains: ""}', [*WORKSPACES]),
        ("filter: {nameContains: null}", [*WORKSPACES]),
        ("filter: {}", [*WORKSPACES]),
        ("filter: null", [*WORKSPACES]),
        ('filter: {nameContains: "ät"}', ["Äther"]),
        (f"filter: {{minimumSizeBytes: {6 * MEGABYTE}}}", ["gamma", "Äther", "\U0001f600"]),
        (f"filter: {{minimumSizeBytes: {6 * MEGABYTE + 1}}}", ["\U0001f600"]),
        ("filter: {minimumSizeBytes: 0}", [*WORKSPACES]),
        ("filter: {minimumSizeBytes: 9223372036854775807}", []),
        (f'filter: {{nameContains: "a", minimumSizeBytes: {6 * MEGABYTE}}}', ["gamma"]),
        (f"filter: {{minimumSizeBytes: {3 * MEGABYTE}}}, first: 2", ["alpha", "beta"]),
    ],
)
async def test_workspaces_are_filtered(
    shared_graphql: GraphQLClient, arguments: str, expected: list[str]
) -> None:
    assert (
        values_of(await fetch_list(shared_graphql, f"({arguments})", "workspaces", "name"))
        == expected
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('filter: {usernameContains: "ANN"}', ["Ann", "ann"]),
        ("filter: {suspended: true}", ["dee"]),
        ("filter: {suspended: false}", ["Ann", "Bob", "ann", "bob", "cy", "Éve"]),
        ("filter: {serviceAccount: true}", ["Éve"]),
        ('filter: {serviceAccount: false, usernameContains: "e"}', ["dee"]),
        ('filter: {suspended: true, usernameContains: "a"}', []),
        ('filter: {suspended: false}, first: 2, after: "Bob"', ["ann", "bob"]),
    ],
)
async def test_users_are_filtered(
    shared_graphql: GraphQLClient, arguments: str, expected: list[str]
) -> None:
    users = await fetch_list(shared_graphql, f"({arguments})", "users/licensedUsers", "username")
    assert values_of(users, "username") == expected


async def test_projects_are_filtered(shared_graphql: GraphQLClient) -> None:
    arguments = '(filter: {nameContains: "BETA"})'
    assert values_of(await fetch_list(shared_graphql, arguments, f"{GAMMA}/projects", "name")) == [
        "Beta",
        "beta",
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gamma", {"name": "gamma"}),
        ("Gamma", None),
        ("", None),
        ("elsewhere", None),  # another organization's
        ("' OR true --", None),
    ],
)
async def test_a_workspace_is_found_by_its_exact_name(
    shared_graphql: GraphQLClient, name: str, expected: object
) -> None:
    selection = "workspace(name: $name) { name }"
    query = f"query ($name: String!) {REPORT.format(selection)}"
    assert await shared_graphql(query, name=name) == {"chargebackReport": {"workspace": expected}}


async def test_a_name_with_u_0000_is_a_client_error(shared_graphql: GraphQLClient) -> None:
    for selection in (
        'workspace(name: "a\\u0000") { name }',
        'workspaces(filter: {nameContains: "\\u0000"}) { name }',
        'users { licensedUsers(after: "\\u0000") { username } }',
        'users { licensedUsers(filter: {usernameContains: "\\u0000"}) { username } }',
        'workspace(name: "a\\ud800") { name }',
        'workspaces(filter: {nameContains: "\\udfff"}) { name }',
    ):
        response = await shared_graphql.execute(REPORT.format(selection))
        codes = [error["extensions"]["code"] for error in response["errors"]]
        assert codes[0] in {"INVALID_ARGUMENT", "INVALID_QUERY"}, selection


async def test_reports_of_a_range_are_in_order_and_equal_single_reports(
    shared_graphql: GraphQLClient,
) -> None:
    fields = "reportDate numberOfWorkspaces totalSizeBytes workspaces(first: 1) { name id }"
    ranged = await shared_graphql(
        f'{{ chargebackReports(from: "2026-07", to: "2026-11") {{ {fields} }} }}'
    )
    alone = [
        (await shared_graphql(f'{{ chargebackReport(month: "{month}") {{ {fields} }} }}'))[
            "chargebackReport"
        ]
        for month in ("2026-07", "2026-08", "2026-09", "2026-10", "2026-11")
    ]
    assert ranged["chargebackReports"] == alone
    assert [report["numberOfWorkspaces"] for report in alone] == [0, 0, 7, 7, 7]


@pytest.mark.parametrize(
    ("first", "last", "code"),
    [
        ("2026-10", "2026-09", "INVALID_ARGUMENT"),
        ("2016-11", "2026-11", "INVALID_ARGUMENT"),  # 121 months
        ("2026-10", "2026-12", "INVALID_MONTH"),
        ("2026-12", "2026-12", "INVALID_MONTH"),
        ("0001-01", "9999-12", "INVALID_ARGUMENT"),
    ],
)
async def test_an_invalid_range_is_rejected(
    shared_graphql: GraphQLClient, first: str, last: str, code: str
) -> None:
    query = f'{{ chargebackReports(from: "{first}", to: "{last}") {{ reportDate }} }}'
    response = await shared_graphql.execute(query)
    assert response["data"] is None
    assert [error["extensions"]["code"] for error in response["errors"]] == [code]


async def test_a_range_may_have_one_month_or_ten_years(shared_graphql: GraphQLClient) -> None:
    query = '{{ chargebackReports(from: "{}", to: "2026-11") {{ reportDate }} }}'
    assert await shared_graphql(query.format("2026-11")) == {
        "chargebackReports": [{"reportDate": "2026-11"}]
    }
    reports = (await shared_graphql(query.format("2016-12")))["chargebackReports"]
    assert [reports[0]["reportDate"], len(reports)] == ["2016-12", 120]


async def test_a_report_contains_only_its_organization(shared: Shared) -> None:
    fields = "organization { name } workspaces { name } users { licensedUsers { email } }"
    query = f'{{ chargebackReport(month: "2026-10", organization: "other") {{ {fields} }} }}'
    assert await shared.graphql(query) == {
        "chargebackReport": {
            "organization": {"name": "other"},
            "workspaces": [{"name": "elsewhere"}],
            "users": {"licensedUsers": [{"email": "o@x.test"}]},
        }
    }


async def test_two_organizations_in_one_query_do_not_mix(shared_graphql: GraphQLClient) -> None:
    """Both have a user `ann`; ids are derived from names."""
    response = await shared_graphql(
        """{
          default: chargebackReport(month: "2026-10") {
            numberOfWorkspaces users { licensedUsers(filter: {usernameContains: "ann"}) { email } }
          }
          other: chargebackReport(month: "2026-10", organization: "other") {
            numberOfWorkspaces users { licensedUsers { email } }
            workspaces { members { userName } }
          }
        }"""
    )
    assert response == {
        "default": {
            "numberOfWorkspaces": 7,
            "users": {"licensedUsers": [{"email": "1@x.test"}, {"email": "3@x.test"}]},
        },
        "other": {
            "numberOfWorkspaces": 1,
            "users": {"licensedUsers": [{"email": "o@x.test"}]},
            "workspaces": [{"members": []}],
        },
    }


async def test_two_aliases_of_one_list_keep_their_arguments(shared_graphql: GraphQLClient) -> None:
    response = await shared_graphql(
        REPORT.format(
            "a: workspaces(first: 1) { name } "
            "b: workspaces(first: 1, orderBy: SIZE) { name } "
            "c: workspaces { members(first: 1) { userName } }"
        )
    )
    report = response["chargebackReport"]
    assert (report["a"], report["b"]) == ([{"name": "Alpha"}], [{"name": "\U0001f600"}])
    assert report["c"] == [{"members": [{"userName": "Ann"}]}] * 7
