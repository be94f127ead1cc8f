"""Lists: their order, their pages, what they are filtered by."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.conftest import GraphQLClient
from tests.graphql.conftest import MEGABYTE, USERS, WORKSPACES, Shared

Rows = list[dict[str, Any]]

REPORT = '{{ chargebackReport(month: "2026-10") {{ {} }} }}'


async def listed(asked: GraphQLClient, arguments: str, path: str, fields: str) -> Rows:
    """A list of the report, or of its workspace "gamma", or of its users."""
    *outer, last = path.split("/")
    selection = f"{last}{arguments} {{ {fields} }}"
    for name in reversed(outer):
        selection = f"{name} {{ {selection} }}"
    found: Any = await asked(REPORT.format(selection))
    for name in ("chargebackReport", *path.split("/")):
        found = found[name.partition("(")[0]]
    return list(found)


GAMMA = 'workspace(name: "gamma")'
LISTS = [
    ("workspaces", "id", ["NAME", "SIZE", "EXPERIMENTS"]),
    (f"{GAMMA}/projects", "id", ["NAME", "SIZE", "EXPERIMENTS"]),
    (f"{GAMMA}/members", "userName", ["USERNAME", "SIZE", "EXPERIMENTS"]),
    ("users/licensedUsers", "username", ["USERNAME", "SIZE", "EXPERIMENTS", "CREATED_AT"]),
]
ORDERED = [(path, cursor, order) for path, cursor, orders in LISTS for order in orders]


@pytest.mark.parametrize(("path", "cursor", "order"), ORDERED)
@pytest.mark.parametrize("first", [1, 2, 3, 7, 8])
async def test_walking_the_pages_yields_the_list_exactly_once(
    asked: GraphQLClient, path: str, cursor: str, order: str, first: int
) -> None:
    whole = await listed(asked, f"(orderBy: {order})", path, cursor)
    assert len(whole) == 7

    walked: Rows = []
    arguments = f"(orderBy: {order}, first: {first})"
    while page := await listed(asked, arguments, path, cursor):
        assert len(page) <= first
        walked += page
        last = page[-1][cursor]
        arguments = f'(orderBy: {order}, first: {first}, after: "{last}")'

    assert walked == whole


@pytest.mark.parametrize(("path", "cursor", "order"), ORDERED)
async def test_after_without_first_is_all_that_comes_after(
    asked: GraphQLClient, path: str, cursor: str, order: str
) -> None:
    whole = await listed(asked, f"(orderBy: {order})", path, cursor)
    after = whole[2][cursor]
    rest = await listed(asked, f'(orderBy: {order}, after: "{after}")', path, cursor)
    assert rest == whole[3:]


async def test_lists_are_by_name_in_code_point_order_unless_said(asked: GraphQLClient) -> None:
    assert [row["name"] for row in await listed(asked, "", "workspaces", "name")] == [*WORKSPACES]
    projects = await listed(asked, "", f"{GAMMA}/projects", "name")
    assert [row["name"] for row in projects] == [*WORKSPACES]
    members = await listed(asked, "", f"{GAMMA}/members", "userName")
    assert [row["userName"] for row in members] == [*USERS]
    users = await listed(asked, "", "users/licensedUsers", "username")
    assert [row["username"] for row in users] == [*USERS]


@pytest.mark.parametrize(
    ("path", "cursor", "order", "figure"),
    [
        ("workspaces", "id", "SIZE", "totalSizeBytes"),
        ("workspaces", "id", "EXPERIMENTS", "numberOfExperiments"),
        (f"{GAMMA}/projects", "id", "SIZE", "totalSizeBytes"),
        (f"{GAMMA}/projects", "id", "EXPERIMENTS", "numberOfExperiments"),
        (f"{GAMMA}/members", "userName", "SIZE", "totalSizeBytes"),
        (f"{GAMMA}/members", "userName", "EXPERIMENTS", "numberOfExperiments"),
        ("users/licensedUsers", "username", "SIZE", "totalSizeBytes"),
        ("users/licensedUsers", "username", "EXPERIMENTS", "numberOfExperiments"),
    ],
)
async def test_the_largest_come_first_and_ties_go_by_id(
    asked: GraphQLClient, path: str, cursor: str, order: str, figure: str
) -> None:
    rows = await listed(asked, f"(orderBy: {order})", path, f"{cursor} {figure}")
    assert len({row[figure] for row in rows}) < len(rows)  # There are ties.
    assert rows == sorted(rows, key=lambda row: (-row[figure], row[cursor]))


async def test_users_by_creation_are_the_oldest_first(asked: GraphQLClient) -> None:
    users = await listed(asked, "(orderBy: CREATED_AT)", "users/licensedUsers", "username")
    assert [user["username"] for user in users] == [*reversed(USERS)]


async def test_each_parent_has_its_own_first(asked: GraphQLClient) -> None:
    workspaces = await listed(
        asked,
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


async def test_a_nested_page_goes_on_in_every_parent(asked: GraphQLClient) -> None:
    workspaces = await listed(
        asked, "(first: 2)", "workspaces", 'members(first: 2, after: "Bob") { userName }'
    )
    assert workspaces == [{"members": [{"userName": "ann"}, {"userName": "bob"}]}] * 2


async def test_a_nested_page_in_order_of_size_goes_on_from_each_parent_s_own(
    asked: GraphQLClient,
) -> None:
    """In Alpha and Beta nobody owns a thing: all tie. In the others the first three users do."""
    arguments = 'orderBy: SIZE, first: 2, after: "Ann"'
    workspaces = await listed(asked, "", "workspaces", f"members({arguments}) {{ userName }}")
    assert workspaces == [{"members": [{"userName": "Bob"}, {"userName": "ann"}]}] * 7


@pytest.mark.parametrize("order", ["NAME", "SIZE", "EXPERIMENTS"])
async def test_pages_of_a_range_of_reports_go_on_in_every_report(
    asked: GraphQLClient, order: str
) -> None:
    """Each month has its own rows: the last one seen is to be found in each."""
    query = (
        '{{ chargebackReports(from: "2026-09", to: "2026-11") '
        "{{ workspaces(orderBy: {}, first: 3{}) {{ id }} }} }}"
    )
    first = await asked(query.format(order, ""))
    ids = [report["workspaces"] for report in first["chargebackReports"]]
    assert ids[0] == ids[1] == ids[2]

    after = ids[0][-1]["id"]
    second = await asked(query.format(order, f', after: "{after}"'))

    whole = await listed(asked, f"(orderBy: {order})", "workspaces", "id")
    assert [report["workspaces"] for report in second["chargebackReports"]] == [whole[3:6]] * 3


async def test_first_0_is_an_empty_page(asked: GraphQLClient) -> None:
    assert await listed(asked, "(first: 0)", "workspaces", "name") == []


@pytest.mark.parametrize("first", [-1, 10_001, -(2**31), 2**31 - 1])
async def test_a_page_has_a_size_that_is_allowed(asked: GraphQLClient, first: int) -> None:
    answer = await asked.execute(REPORT.format(f"workspaces(first: {first}) {{ name }}"))
    assert answer["errors"][0]["extensions"] == {"code": "INVALID_ARGUMENT"}
    assert str(first) in answer["errors"][0]["message"]
    assert answer["data"] is None


@pytest.mark.parametrize("after", ["", "Alpha", "0", "not-an-id", "\\u0000"])
async def test_after_is_an_id_where_lists_go_by_id(asked: GraphQLClient, after: str) -> None:
    answer = await asked.execute(REPORT.format(f'workspaces(after: "{after}") {{ name }}'))
    assert answer["errors"][0]["extensions"] == {"code": "INVALID_ARGUMENT"}


async def test_a_username_that_was_never_seen_has_its_place_in_the_order_by_username(
    asked: GraphQLClient,
) -> None:
    users = await listed(asked, '(after: "b")', "users/licensedUsers", "username")
    assert [user["username"] for user in users] == ["bob", "cy", "dee", "Éve"]


@pytest.mark.parametrize("order", ["NAME", "SIZE", "EXPERIMENTS"])
async def test_nothing_comes_after_an_id_that_is_not_in_the_list(
    asked: GraphQLClient, order: str
) -> None:
    unknown = "00000000-0000-0000-0000-000000000000"
    arguments = f'(orderBy: {order}, after: "{unknown}")'
    assert await listed(asked, arguments, "workspaces", "name") == []


def found(rows: Rows, key: str = "name") -> Sequence[str]:
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
    asked: GraphQLClient, arguments: str, expected: list[str]
) -> None:
    assert found(await listed(asked, f"({arguments})", "workspaces", "name")) == expected


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
    asked: GraphQLClient, arguments: str, expected: list[str]
) -> None:
    users = await listed(asked, f"({arguments})", "users/licensedUsers", "username")
    assert found(users, "username") == expected


async def test_projects_are_filtered(asked: GraphQLClient) -> None:
    arguments = '(filter: {nameContains: "BETA"})'
    assert found(await listed(asked, arguments, f"{GAMMA}/projects", "name")) == ["Beta", "beta"]


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
    asked: GraphQLClient, name: str, expected: object
) -> None:
    selection = "workspace(name: $name) { name }"
    query = f"query ($name: String!) {REPORT.format(selection)}"
    assert await asked(query, name=name) == {"chargebackReport": {"workspace": expected}}


async def test_a_name_with_u_0000_is_refused_and_not_our_mistake(asked: GraphQLClient) -> None:
    for selection in (
        'workspace(name: "a\\u0000") { name }',
        'workspaces(filter: {nameContains: "\\u0000"}) { name }',
        'users { licensedUsers(after: "\\u0000") { username } }',
        'users { licensedUsers(filter: {usernameContains: "\\u0000"}) { username } }',
        'workspace(name: "a\\ud800") { name }',
        'workspaces(filter: {nameContains: "\\udfff"}) { name }',
    ):
        answer = await asked.execute(REPORT.format(selection))
        codes = [error["extensions"]["code"] for error in answer["errors"]]
        assert codes[0] in {"INVALID_ARGUMENT", "INVALID_QUERY"}, selection


async def test_reports_of_a_range_come_in_order_and_agree_with_each_month(
    asked: GraphQLClient,
) -> None:
    fields = "reportDate numberOfWorkspaces totalSizeBytes workspaces(first: 1) { name id }"
    ranged = await asked(f'{{ chargebackReports(from: "2026-07", to: "2026-11") {{ {fields} }} }}')
    alone = [
        (await asked(f'{{ chargebackReport(month: "{month}") {{ {fields} }} }}'))[
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
async def test_a_range_is_refused(asked: GraphQLClient, first: str, last: str, code: str) -> None:
    query = f'{{ chargebackReports(from: "{first}", to: "{last}") {{ reportDate }} }}'
    answer = await asked.execute(query)
    assert answer["data"] is None
    assert [error["extensions"]["code"] for error in answer["errors"]] == [code]


async def test_a_range_of_one_month_and_of_ten_years(asked: GraphQLClient) -> None:
    query = '{{ chargebackReports(from: "{}", to: "2026-11") {{ reportDate }} }}'
    assert await asked(query.format("2026-11")) == {
        "chargebackReports": [{"reportDate": "2026-11"}]
    }
    reports = (await asked(query.format("2016-12")))["chargebackReports"]
    assert [reports[0]["reportDate"], len(reports)] == ["2016-12", 120]


async def test_an_organization_sees_nothing_of_another(shared: Shared) -> None:
    fields = "organization { name } workspaces { name } users { licensedUsers { email } }"
    query = f'{{ chargebackReport(month: "2026-10", organization: "other") {{ {fields} }} }}'
    assert await shared.graphql(query) == {
        "chargebackReport": {
            "organization": {"name": "other"},
            "workspaces": [{"name": "elsewhere"}],
            "users": {"licensedUsers": [{"email": "o@x.test"}]},
        }
    }


async def test_two_organizations_in_one_query_do_not_mix(asked: GraphQLClient) -> None:
    """Both have a user `ann`, whose id follows from the name."""
    answer = await asked(
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
    assert answer == {
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


async def test_two_aliases_of_one_list_keep_their_arguments(asked: GraphQLClient) -> None:
    answer = await asked(
        REPORT.format(
            "a: workspaces(first: 1) { name } "
            "b: workspaces(first: 1, orderBy: SIZE) { name } "
            "c: workspaces { members(first: 1) { userName } }"
        )
    )
    report = answer["chargebackReport"]
    assert (report["a"], report["b"]) == ([{"name": "Alpha"}], [{"name": "\U0001f600"}])
    assert report["c"] == [{"members": [{"userName": "Ann"}]}] * 7
