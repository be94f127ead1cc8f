"""Every command, run for one organization with the ids of another."""

import asyncio
import itertools
import os
import pwd
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
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "import": ("{file}",),
    "report": ("2026-09",),
    "charges": ("2026-09",),
    "rates price": ("seat", "1.00", "--from", "2026-09"),
    "rates set": ("seat", "--name", "Seats", "--measure", "SEATS"),
    "rates apply": ("{file}",),
    "assign": ("workspace", "lab", "none", "--from", "2026-09"),
    "keys create": ("--user", "eve"),
    "months close": ("2026-09",),
    "months reopen": ("2026-09", "--reason", "a test"),
    "months verify": ("2026-09",),
}
"""The arguments of commands; the others get the other organization's key id for each argument."""

Run = Callable[..., str]
_numbers = itertools.count(1)


def commands() -> Iterator[tuple[str, Any]]:
    """Yield all commands that take an organization, by their full names."""
    waiting: list[tuple[str, Any]] = [("", typer.main.get_command(cli))]
    while waiting:
        name, command = waiting.pop()
        if isinstance(command, TyperGroup):
            waiting += [(f"{name} {word}".strip(), it) for word, it in command.commands.items()]
        elif any(parameter.name == "organization" for parameter in command.params):
            yield name, command


@pytest.fixture
def url(postgres: str, template: str) -> Iterator[str]:
    """The URL of a store that each command opens itself."""
    name = f"chargeback_commands_{next(_numbers)}"
    asyncio.run(execute_as_superuser(postgres, f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield with_database_name(postgres, name)
    asyncio.run(execute_as_superuser(postgres, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def run(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command and returns its output with the error message."""
    env_file = tmp_path / "settings"
    env_file.write_text(f"DATABASE_URL='{url}'\n")

    def run(*words: str) -> str:
        error_message = ""
        try:
            cli([*words, "--env-file", str(env_file)], standalone_mode=False)
        except ChargebackError as error:
            error_message = str(error)
        captured = capsys.readouterr()
        return captured.out + captured.err + error_message

    return run


def run_on_store(url: str, read: Callable[[Database], Awaitable[T]]) -> T:
    """Run a coroutine on the store, in an event loop of its own."""

    async def open_and_read() -> T:
        database = Database(url, pool_size=1)
        try:
            return await read(database)
        finally:
            await database.close()

    return asyncio.run(open_and_read())


async def rows_of_default(database: Database) -> list[str]:
    """Return all rows of the organization."""
    own = organization_id("default")
    rows: list[str] = []
    async with database.owner_transaction() as tx:
        for table in sorted(Base.metadata.tables):
            select = f"SELECT to_jsonb({table})::text FROM {table}"
            found = await tx.execute(text(f"{select} WHERE organization_id = '{own}' ORDER BY 1"))
            rows += found.scalars()
    return rows


def test_no_command_shows_or_changes_another_organization(
    run: Run, url: str, tmp_path: Path
) -> None:
    their_events = (
        event("user.upserted", AT, username=f"{MARK}-ann", email=f"{MARK}@x.test"),
        event("member.added", AT, workspace=f"{MARK}-lab", username=f"{MARK}-ann"),
        event("usage.recorded", AT, username=f"{MARK}-ann", channel="ui"),
    )
    (tmp_path / "theirs.ndjson").write_bytes(b"\n".join(their_events))
    (tmp_path / "own.ndjson").write_bytes(event("workspace.upserted", AT, name="own"))
    run("organizations", "create", "other")
    assert "accepted 3" in run("import", str(tmp_path / "theirs.ndjson"))
    assert "accepted 1" in run("import", str(tmp_path / "own.ndjson"), "--organization", "other")
    assert "closed 2026-09" in run("months", "close", "2026-09")
    created = run("keys", "create", "--user", f"{MARK}-ann")
    key_id = re.findall(r"cbk_(\w{12})_", created)[0]
    before = run_on_store(url, rows_of_default)

    for name, command in sorted(commands()):
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        given = ARGUMENTS.get(name, tuple(key_id for _ in arguments))
        filled_in = [word.replace("{file}", str(tmp_path / "own.ndjson")) for word in given]
        output = run(*name.split(), *filled_in, "--organization", "other")
        assert MARK not in output, name
        assert key_id in filled_in or key_id not in output, name

    assert run_on_store(url, rows_of_default) == before
    operator = f"operator:{pwd.getpwuid(os.getuid()).pw_name}"
    log = run("audit", "--format", "csv", "--organization", "other").splitlines()
    assert {row.split(",")[5] for row in log if ",COMMAND_LINE," in row} == {operator}
    assert len(before) > 10
