"""The rules that let Citus pass each statement of an organization on to one node.

`conftest.py` collects the statements that a test sends, and checks each text once per process.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlglot
from sqlalchemy import Connection, Engine, event
from sqlglot import exp

from app.db.row_security import PRIVILEGES

_ORGANIZATION = "organization_id"
_WRITES = (exp.Insert, exp.Update, exp.Delete)


def find_violations(sql: str) -> Sequence[str]:
    """Return which rules a statement breaks.

    - Each table that it reads has a condition of its own: `organization_id = <parameter>`.
    - An insert that selects takes the organization from a row.
    - WITH does not write.
    """
    # sqlglot takes the ON of ON CONFLICT for the condition of a cross join.
    tree = sqlglot.parse_one(sql.replace("CROSS JOIN", ","), dialect="postgres")
    return [*_find_unconditional_tables(tree), *_find_other_violations(tree)]


def _find_unconditional_tables(tree: exp.Expr) -> Iterator[str]:
    for table in tree.find_all(exp.Table):
        query = table.find_ancestor(exp.Select, *_WRITES)
        if table.name not in PRIVILEGES or query is None or isinstance(query, exp.Insert):
            continue
        if not any(_names_organization(each, table) for each in _iter_conditions(query)):
            yield f"{table.sql()} has no condition organization_id = <parameter>"


def _iter_conditions(query: exp.Expr) -> Iterator[exp.Expr]:
    joins = [
        join.args.get("on")
        for join in query.find_all(exp.Join)
        if join.find_ancestor(exp.Select, *_WRITES) is query
    ]
    where = query.args.get("where")
    for condition in (where.this if where else None, *joins):
        if condition is not None:
            yield from condition.flatten() if isinstance(condition, exp.And) else [condition]


def _names_organization(condition: exp.Expr, table: exp.Table) -> bool:
    condition = condition.unnest()
    if not isinstance(condition, exp.EQ):
        return False
    column, value = condition.this, condition.expression
    while isinstance(value, exp.Cast):
        value = value.this
    return (
        isinstance(column, exp.Column)
        and column.name == _ORGANIZATION
        and column.table in {"", table.alias_or_name}
        and isinstance(value, exp.Parameter)
    )


def _find_other_violations(tree: exp.Expr) -> Iterator[str]:
    for each in tree.find_all(exp.CTE):
        if isinstance(each.this, _WRITES):
            yield f"WITH {each.alias} writes"
    for insert in tree.find_all(exp.Insert):
        if isinstance(insert.expression, exp.Select):
            names = [each.name for each in insert.this.expressions]
            value = insert.expression.selects[names.index(_ORGANIZATION)]
            if not isinstance(value.unalias(), exp.Column):
                found = value.sql(dialect="postgres")
                yield f"organization_id is {found}, and not that of a row"


class StatementCollector:
    """Collects statements that are sent for an organization, each text once.

    Statements of the owner, and those that authenticate a caller whose organization is not known
    yet, may reach all nodes.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._new: list[str] = []

    def add(self, sql: str) -> None:
        """Add a statement unless an equal one was added before."""
        if sql not in self._seen:
            self._seen.add(sql)
            if sql.lstrip().upper().startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")):
                self._new.append(sql)

    def observe_read(self, sql: str, _: object) -> None:
        """Add a statement of a snapshot, unless it authenticates a caller."""
        if "api_key" not in sql:
            self.add(sql)

    @contextmanager
    def observe_engines(self) -> Iterator[None]:
        """Add what every engine of this process executes in transactions of an organization."""
        event.listen(Engine, "after_cursor_execute", self._observe)
        try:
            yield
        finally:
            event.remove(Engine, "after_cursor_execute", self._observe)

    def _observe(
        self, connection: Connection, _: object, sql: str, parameters: Any, *__: object
    ) -> None:
        if "chargeback.organization_id" in sql:
            connection.info["has_organization"] = bool(parameters and parameters[1])
        elif connection.info.get("has_organization"):
            self.add(sql)

    def take_new(self) -> Sequence[str]:
        """Return the statements that were added since the last call."""
        new, self._new = self._new, []
        return new


def check_statements(statements: Sequence[str]) -> None:
    """Fail if a statement breaks a rule."""
    broken = {sql: found for sql in statements if (found := find_violations(sql))}
    assert not broken, "\n".join(f"{sql}\n  {found}" for sql, found in broken.items())
