"""Migrations leave the previous release working: the rules of docs/install/upgrade.md."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

RELEASED = "0001"
"""The latest migration of a release; later ones must follow the rules."""

MIGRATIONS = sorted(
    path
    for path in Path("app/db/migrations/versions").glob("[0-9]*.py")
    if path.name[:4] > RELEASED
)
_FORBIDDEN = {
    "alter_column",
    "create_check_constraint",
    "create_foreign_key",
    "create_unique_constraint",
    "drop_column",
    "drop_table",
    "rename_table",
}


def find_violations(source: str) -> Iterator[str]:
    """Yield the operations of a migration's `upgrade` that would break the previous release."""
    for function in ast.parse(source).body:
        if isinstance(function, ast.FunctionDef) and function.name == "upgrade":
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                    yield from _check_call(call, call.func.attr)


def _check_call(call: ast.Call, name: str) -> Iterator[str]:
    if name in _FORBIDDEN:
        yield name
    if name == "add_column":
        column = call.args[1]
        options = {each.arg: ast.unparse(each.value) for each in getattr(column, "keywords", [])}
        if options.get("nullable") == "False" and "server_default" not in options:
            yield "add_column without a default"


def test_migrations_after_a_release_follow_the_rules() -> None:
    violations = {path.name: list(find_violations(path.read_text())) for path in MIGRATIONS}

    assert violations == {name: [] for name in violations}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("op.drop_column('platform_user', 'email')", ["drop_column"]),
        ("op.alter_column('platform_user', 'email', nullable=False)", ["alter_column"]),
        ("op.rename_table('platform_user', 'person')", ["rename_table"]),
        (
            "op.add_column('platform_user', sa.Column('x', sa.Text(), nullable=False))",
            ["add_column without a default"],
        ),
        (
            "op.add_column('x', sa.Column('x', sa.Text(), nullable=False, server_default=''))",
            [],
        ),
        ("op.create_index('x', 'platform_user', ['email'])", []),
        ("op.create_table('price', sa.Column('x', sa.Text()))", []),
    ],
)
def test_rules_allow_additions_and_forbid_breaking_changes(
    statement: str, expected: list[str]
) -> None:
    assert list(find_violations(f"def upgrade():\n    {statement}\n")) == expected
