"""The projects of all workspaces of a report."""

from typing import Any

import pytest

from tests.conftest import GraphQLClient
from tests.graphql.conftest import WORKSPACES
from tests.graphql.test_lists import FIGURES, Rows, fetch_list

FIELDS = "projectId name workspace totalSizeBytes"


async def projects_by_workspace(graphql: GraphQLClient) -> Rows:
    """Return the same projects, read through their workspaces."""
    workspaces = await fetch_list(graphql, "", "workspaces", f"name projects {{ {FIELDS} }}")
    return [project for workspace in workspaces for project in workspace["projects"]]


def by_id(projects: Rows) -> dict[str, dict[str, Any]]:
    return {each["projectId"]: each for each in projects}


async def test_the_report_lists_the_projects_of_all_workspaces_by_name(
    shared_graphql: GraphQLClient,
) -> None:
    projects = await fetch_list(shared_graphql, "", "projects", FIELDS)

    assert by_id(projects) == by_id(await projects_by_workspace(shared_graphql))
    assert len(projects) == len(WORKSPACES) ** 2
    names = [(each["name"], each["projectId"]) for each in projects]
    assert names == sorted(names)


@pytest.mark.parametrize("order", ["NAME", *FIGURES])
async def test_pages_yield_each_project_exactly_once(
    shared_graphql: GraphQLClient, order: str
) -> None:
    walked: list[Rows] = []
    after = ""
    while not walked or walked[-1]:
        arguments = f"(orderBy: {order}, first: 10{after})"
        walked.append(await fetch_list(shared_graphql, arguments, "projects", FIELDS))
        after = f', after: "{walked[-1][-1]["projectId"]}"' if walked[-1] else ""

    assert [len(page) for page in walked] == [10, 10, 10, 10, 9, 0]
    whole = await fetch_list(shared_graphql, f"(orderBy: {order})", "projects", FIELDS)
    assert [each for page in walked for each in page] == whole


async def test_the_connection_counts_the_projects_that_match(
    shared_graphql: GraphQLClient,
) -> None:
    # "Alpha" and "alpha" in each of seven workspaces.
    found = await shared_graphql(
        '{ chargebackReport(month: "2026-10") { projectsConnection('
        'filter: { nameContains: "ALPHA" }, first: 3, orderBy: SIZE) '
        "{ totalCount nodes { totalSizeBytes } } } }"
    )
    connection = found["chargebackReport"]["projectsConnection"]
    assert connection["totalCount"] == 14
    # The largest are "Alpha" of the last three workspaces: 9 MB and twice 6 MB.
    sizes = [each["totalSizeBytes"] // 2**20 for each in connection["nodes"]]
    assert sizes == [9, 6, 6]
