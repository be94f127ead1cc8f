"""Imports point down only, and each library is imported only where it belongs."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

# From the top; a module may import its own layer and every one below.
LAYERS = (
    ("app.__main__",),
    ("app.cli",),
    ("app.server",),
    ("app.main",),
    ("app.web",),
    ("schema",),
    ("app.observability",),
    ("app.services", "app.export"),
    ("resolvers",),
    ("app.connectors", "app.demo"),
    ("app.ingest",),
    ("app.postgres",),
    ("app.db",),
    ("app.settings", "app.console", "app.clock", "app.admission"),
    ("app.domain",),
    ("app",),
)
SOURCES = sorted(
    path
    for folder in ("app", "schema", "resolvers")
    for path in Path(folder).rglob("*.py")
    if "versions" not in path.parts
)
ONLY_IN = {
    "sqlalchemy": ("app.db", "app.postgres"),
    "alembic": ("app.db", "app.postgres"),
    "asyncpg": ("app.db", "app.postgres", "app.domain.ids"),
    "strawberry": ("schema", "app.web.graphql"),
    "graphql": ("schema", "app.web.graphql"),
    "starlette": ("app.web", "app.server", "app.main"),
    "typer": ("app.cli",),
    "rich": ("app.cli", "app.server", "app.console"),
    "uvicorn": ("app.server",),
}


def module_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def layer_of(module: str) -> int | None:
    for depth, layer in enumerate(LAYERS):
        if any(within(module, package) for package in layer):
            return depth
    return None


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_imports_point_down(path: Path) -> None:
    own = layer_of(module_of(path))
    assert own is not None
    upward = [
        name for name in imported(path) if (depth := layer_of(name)) is not None and depth < own
    ]

    assert upward == []


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_imported_where_it_belongs(library: str) -> None:
    elsewhere = [
        str(path)
        for path in SOURCES
        if any(within(name, library) for name in imported(path))
        and not any(within(module_of(path), package) for package in ONLY_IN[library])
    ]

    assert elsewhere == []


def test_only_settings_reads_the_environment() -> None:
    readers = [
        str(path)
        for path in SOURCES
        if "os.environ" in path.read_text() or "getenv" in path.read_text()
    ]

    # The shell passes the words to complete in variables.
    assert readers == ["app/cli/completion.py", "app/settings.py"]
