"""Every command, told to work on one organization with the ids of another."""

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import typer
from sqlalchemy import text
from typer.core import TyperGroup

from app.cli.commands import cli
from app.db.engine import Database
from app.db.tables import Base
from app.domain.errors import ChargebackError
from app.domain.ids import organization_id
from app.postgres.database import with_database_name
from tests.conftest import event, execute_as_superuser

T = TypeVar("T")
AT = "2026-09-10T00:00:00Z"
MARK = "islander"
WORDS: dict[str, tuple[str, ...]] = {
    "import": ("{file}",),
    "report": ("2026-09",),
    "keys create": ("--user", "eve"),
    "months close": ("2026-09",),
    "months reopen": ("2026-09", "--reason", "a test"),
    "months verify": ("2026-09",),
}
"""What commands need; others get the id of the other organization's key for each argument."""

Run = Callable[..., str]
_numbers = itertools.count(1)


def commands() -> Iterator[tuple[str, Any]]:
    """All commands that take an organization, by their words."""
    waiting: list[tuple[str, Any]] = [("", typer.main.get_command(cli))]
    while waiting:
        name, command = waiting.pop()
        if isinstance(command, TyperGroup):
            waiting += [(f"{name} {word}".strip(), it) for word, it in command.commands.items()]
        elif any(parameter.name == "organization" for parameter in command.params):
            yield name, command


@pytest.fixture
def url(postgres: str, template: str) -> Iterator[str]:
    """A store that commands open by themselves, each in a loop of its own."""
    name = f"chargeback_commands_{next(_numbers)}"
    asyncio.run(execute_as_superuser(postgres, f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield with_database_name(postgres, name)
    asyncio.run(execute_as_superuser(postgres, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def run(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command: what it printed, and what it refused."""
    env_file = tmp_path / "settings"
    env_file.write_text(f"DATABASE_URL='{url}'\n")

    def run(*words: str) -> str:
        refused = ""
        try:
            cli([*words, "--env-file", str(env_file)], standalone_mode=False)
        except ChargebackError as refusal:
            refused = str(refusal)
        printed = capsys.readouterr()
        return printed.out + printed.err + refused

    return run


def on_store(url: str, ask: Callable[[Database], Awaitable[T]]) -> T:
    """Ask the store something, in a loop that ends with it."""

    async def asked() -> T:
        database = Database(url, pool_size=1)
        try:
            return await ask(database)
        finally:
            await database.close()

    return asyncio.run(asked())


async def rows_of_default(database: Database) -> list[str]:
    """All that is stored of the organization."""
    own = organization_id("default")
    rows: list[str] = []
    async with database.owner_transaction() as tx:
        for table in sorted(Base.metadata.tables):
            shown = f"SELECT to_jsonb({table})::text FROM {table}"
            found = await tx.execute(text(f"{shown} WHERE organization_id = '{own}' ORDER BY 1"))
            rows += found.scalars()
    return rows


def test_no_command_shows_or_changes_another_organization(
    run: Run, url: str, tmp_path: Path
) -> None:
    theirs = (
        event("user.upserted", AT, username=f"{MARK}-ann", email=f"{MARK}@x.test"),
        event("member.added", AT, workspace=f"{MARK}-lab", username=f"{MARK}-ann"),
        event("usage.recorded", AT, username=f"{MARK}-ann", channel="ui"),
    )
    (tmp_path / "theirs.ndjson").write_bytes(b"\n".join(theirs))
    (tmp_path / "own.ndjson").write_bytes(event("workspace.upserted", AT, name="own"))
    run("organizations", "create", "other")
    assert "accepted 3" in run("import", str(tmp_path / "theirs.ndjson"))
    assert "accepted 1" in run("import", str(tmp_path / "own.ndjson"), "--organization", "other")
    assert "closed 2026-09" in run("months", "close", "2026-09")
    created = run("keys", "create", "--user", f"{MARK}-ann")
    key_id = re.findall(r"cbk_(\w{12})_", created)[0]
    before = on_store(url, rows_of_default)

    for name, command in sorted(commands()):
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        words = WORDS.get(name, tuple(key_id for _ in arguments))
        told = [word.replace("{file}", str(tmp_path / "own.ndjson")) for word in words]
        printed = run(*name.split(), *told, "--organization", "other")
        assert MARK not in printed, name
        assert key_id in told or key_id not in printed, name

    assert on_store(url, rows_of_default) == before
    assert len(before) > 10
