"""What a migration may do so that the release before it works on: docs/install/upgrade.md."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

RELEASED: str | None = None
"""The latest migration of a release; those after it must keep to the rules. None is out yet."""

MIGRATIONS = sorted(
    path
    for path in Path("app/db/migrations/versions").glob("[0-9]*.py")
    if RELEASED is not None and path.name[:4] > RELEASED
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


def breaches(source: str) -> Iterator[str]:
    """What a migration's `upgrade` does that the release before it would not survive."""
    for function in ast.parse(source).body:
        if isinstance(function, ast.FunctionDef) and function.name == "upgrade":
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                    yield from _breach(call, call.func.attr)


def _breach(call: ast.Call, name: str) -> Iterator[str]:
    if name in _FORBIDDEN:
        yield name
    if name == "add_column":
        column = call.args[1]
        words = {word.arg: ast.unparse(word.value) for word in getattr(column, "keywords", [])}
        if words.get("nullable") == "False" and "server_default" not in words:
            yield "add_column without a default"


def test_migrations_after_a_release_keep_to_the_rules() -> None:
    found = {path.name: list(breaches(path.read_text())) for path in MIGRATIONS}

    assert found == {name: [] for name in found}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("op.drop_column('account', 'email')", ["drop_column"]),
        ("op.alter_column('account', 'email', nullable=False)", ["alter_column"]),
        ("op.rename_table('account', 'user')", ["rename_table"]),
        (
            "op.add_column('account', sa.Column('x', sa.Text(), nullable=False))",
            ["add_column without a default"],
        ),
        (
            "op.add_column('x', sa.Column('x', sa.Text(), nullable=False, server_default=''))",
            [],
        ),
        ("op.create_index('x', 'account', ['email'])", []),
        ("op.create_table('price', sa.Column('x', sa.Text()))", []),
    ],
)
def test_the_rules_tell_what_breaks_from_what_adds(statement: str, expected: list[str]) -> None:
    assert list(breaches(f"def upgrade():\n    {statement}\n")) == expected
