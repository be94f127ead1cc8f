"""Every command, told to work on one organization with the ids of another."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import text
from typer.core import TyperGroup

from app.cli.commands import cli
from app.db.engine import Database
from app.db.tables import Base
from app.domain.events import organization_id
from tests.conftest import event
from tests.served import Served, run

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
def store(tmp_path: Path) -> Iterator[Path]:
    """`default` with rows, a closed month and a key; `other` with an event of its own."""
    theirs = (
        event("user.upserted", AT, username=f"{MARK}-ann", email=f"{MARK}@x.test"),
        event("member.added", AT, workspace=f"{MARK}-lab", username=f"{MARK}-ann"),
        event("usage.recorded", AT, username=f"{MARK}-ann", channel="ui"),
    )
    (tmp_path / "theirs.ndjson").write_bytes(b"\n".join(theirs))
    (tmp_path / "own.ndjson").write_bytes(event("workspace.upserted", AT, name="own"))
    with Served(tmp_path, words=()):
        for words in (
            ("organizations", "create", "other"),
            ("import", str(tmp_path / "theirs.ndjson")),
            ("import", str(tmp_path / "own.ndjson"), "--organization", "other"),
            ("months", "close", "2026-09"),
        ):
            assert run(*words, data_dir=tmp_path).returncode == 0
        yield tmp_path


async def rows_of_default(store: Path) -> list[str]:
    """All that is stored of the organization."""
    owner = (store / "postgres" / "owner").read_text()
    database = Database(f"postgresql://postgres@/chargeback?host={owner}", connections=1)
    rows: list[str] = []
    async with database.upkeep() as tx:
        for table in sorted(Base.metadata.tables):
            found = await tx.execute(
                text(
                    f"SELECT to_jsonb({table})::text FROM {table} "
                    f"WHERE organization_id = '{organization_id('default')}' ORDER BY 1"
                )
            )
            rows += found.scalars()
    await database.close()
    return rows


async def test_no_command_shows_or_changes_another_organization(store: Path) -> None:
    created = run("keys", "create", "--user", f"{MARK}-ann", data_dir=store).stdout
    key_id = re.findall(r"cbk_(\w{12})_", created)[0]
    before = await rows_of_default(store)

    for name, command in sorted(commands()):
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        words = WORDS.get(name, tuple(key_id for _ in arguments))
        told = [word.replace("{file}", str(store / "own.ndjson")) for word in words]
        done = run(*name.split(), *told, "--organization", "other", data_dir=store)
        assert MARK not in (done.stdout + done.stderr), name
        assert key_id not in done.stdout, name

    assert await rows_of_default(store) == before
    assert len(before) > 10
