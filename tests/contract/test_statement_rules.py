"""The rules of statements, on statements that keep and break them.

`tests/conftest.py` applies them to the statements that the other tests send.
"""

import pytest

from tests.statement_rules import find_violations

_WHERE = "organization_id = $1::UUID"


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT name FROM project WHERE {_WHERE}",
        f"SELECT 1 FROM project AS p WHERE p.{_WHERE} AND name = $2",
        f"SELECT 1 FROM project JOIN workspace ON workspace.{_WHERE} WHERE project.{_WHERE}",
        f"SELECT (SELECT count(*) FROM project WHERE {_WHERE}) FROM organization WHERE {_WHERE}",
        "SELECT relname FROM pg_class",
        f"UPDATE project SET name = $2 WHERE {_WHERE}",
        f"UPDATE project SET name = n.v FROM unnest($2::text[]) AS n (v) WHERE project.{_WHERE}",
        f"DELETE FROM project WHERE {_WHERE}",
        "INSERT INTO project (organization_id, name) VALUES ($1, $2)",
        f"INSERT INTO project (organization_id) SELECT organization_id FROM source WHERE {_WHERE}",
        f"WITH found AS (SELECT 1 FROM project WHERE {_WHERE}) SELECT * FROM found",
    ],
)
def test_statements_that_reach_one_node_are_accepted(sql: str) -> None:
    assert find_violations(sql) == []


@pytest.mark.parametrize(
    ("sql", "violation"),
    [
        ("SELECT name FROM project", "project has no condition organization_id = <parameter>"),
        (
            f"SELECT 1 FROM project WHERE {_WHERE} OR name = $2",
            "project has no condition organization_id = <parameter>",
        ),
        (
            f"SELECT 1 FROM project AS p JOIN workspace AS w USING (name) WHERE p.{_WHERE}",
            "workspace AS w has no condition organization_id = <parameter>",
        ),
        (
            f"SELECT (SELECT count(*) FROM project) FROM organization WHERE {_WHERE}",
            "project has no condition organization_id = <parameter>",
        ),
        ("UPDATE project SET name = $1", "project has no condition organization_id = <parameter>"),
        ("DELETE FROM project", "project has no condition organization_id = <parameter>"),
        (
            "INSERT INTO project (name, organization_id) SELECT n, $1 FROM unnest($2) AS t (n)",
            "organization_id is $1, and not that of a row",
        ),
        (
            f"WITH gone AS (DELETE FROM project WHERE {_WHERE} RETURNING name) SELECT * FROM gone",
            "WITH gone writes",
        ),
    ],
)
def test_statements_that_may_reach_several_nodes_are_rejected(sql: str, violation: str) -> None:
    assert find_violations(sql) == [violation]
