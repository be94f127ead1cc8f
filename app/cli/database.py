"""`chargeback backup`, `restore` and `db`: commands on the whole store."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

import typer
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from app.cli.help import command, command_group
from app.cli.options import DEFAULT_DATA_DIR, DataDir, EnvFile
from app.clock import system_clock
from app.console import print_line, progress_bar
from app.domain.errors import InvalidArgument
from app.domain.months import Month
from app.postgres.database import resolve_store_url
from app.services.store_admin import (
    OnMonth,
    back_up,
    choose_backup_file,
    delete_old_backups,
    distribute_store,
    dry_run_upgrade,
    list_tables_to_distribute,
    move,
    pending_migrations,
    upgrade_store,
)
from app.services.store_admin import (
    restore as restore_store,
)
from app.settings import PASSWORD_VARIABLE, Settings, read_password

T = TypeVar("T")

db = command_group(
    "Upgrade the store's schema; distribute it over nodes; move it to another server."
)

ProgramsDir = Annotated[
    Path | None,
    typer.Option(
        "--programs",
        metavar="DIR",
        help="The directory of pg_dump and pg_restore, 18 or newer. Needed for servers that "
        "require TLS, which the bundled programs do not support.",
        exists=True,
        file_okay=False,
    ),
]


def _with_url(data_dir: Path, env_file: Path | None, command: Callable[[str], Awaitable[T]]) -> T:
    """Run a command on the store's URL. An embedded server that already runs is reused."""
    settings = Settings.load(env_file)

    async def run() -> T:
        async with resolve_store_url(settings.database_url, data_dir / "postgres") as url:
            return await command(url)

    return asyncio.run(run())


@contextmanager
def _show_progress(description: str) -> Iterator[OnMonth]:
    """Show a line of progress on stderr; the caller reports each month that it verifies."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with progress_bar(*columns, transient=True) as progress:
        task = progress.add_task(description)

        def on_month(organization: str, month: Month) -> None:
            progress.update(task, description=f"Verifying {month} of {organization} …")

        yield on_month


def backup(
    target: Annotated[
        Path,
        typer.Argument(metavar="FILE|DIR", help="A new file, or a directory to create it in."),
    ],
    keep: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Afterwards delete all but the newest N backups there.", min=1
        ),
    ] = None,
    programs: ProgramsDir = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Back up the whole store to a file; the service may keep running."""
    file = choose_backup_file(target, system_clock())
    with _show_progress("Dumping …"):
        _with_url(data_dir, env_file, lambda url: back_up(url, file, programs=programs))
    print_line(f"wrote {file}, {file.stat().st_size:,} bytes")
    if keep is not None:
        for old in delete_old_backups(file.parent, keep, written=file):
            print_line(f"removed {old}")


def restore(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file that `chargeback backup` wrote.")
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a store that holds events.")
    ] = False,
    no_verify: Annotated[
        bool,
        typer.Option("--no-verify", help="Do not recompute every month from its events."),
    ] = False,
    programs: ProgramsDir = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Replace the store by a backup, whole and verified; if anything fails, nothing changes."""
    with _show_progress("Restoring …") as on_month:
        _with_url(
            data_dir,
            env_file,
            lambda url: restore_store(
                url,
                file,
                system_clock(),
                replace=replace,
                verify=not no_verify,
                programs=programs,
                on_month=on_month,
            ),
        )
    print_line(f"restored {file}")


@command(db, "upgrade", examples=["db upgrade --dry-run", "db upgrade --lock-timeout 30"])
def upgrade_database(
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Run the upgrade, print its statements and roll back."),
    ] = False,
    lock_timeout: Annotated[
        int,
        typer.Option(
            metavar="SECONDS", help="How long to wait for a table that is in use.", min=1, max=3600
        ),
    ] = 5,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Upgrade the store's schema to this version, in one transaction. `serve` does so too."""

    async def run(url: str) -> None:
        for migration in await pending_migrations(url):
            would = "would run" if dry_run else "running"
            print_line(f"{would} {migration}")
        if dry_run:
            for statement in await dry_run_upgrade(url, lock_seconds=lock_timeout):
                print_line(f"{statement};")
            print_line("rolled back: the schema is unchanged")
        else:
            await upgrade_store(url, lock_seconds=lock_timeout)
            print_line("the schema is up to date")

    _with_url(data_dir, env_file, run)


@command(db, "distribute", examples=["db distribute --dry-run", "db distribute"])
def distribute_database(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the tables that would be distributed.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Distribute the store by organization over the nodes of Citus, in one transaction."""

    async def run(url: str) -> None:
        if dry_run:
            for table in await list_tables_to_distribute(url):
                print_line(f"would distribute {table}")
            return
        tables = await distribute_store(url)
        for table in tables:
            print_line(f"distributed {table}")
        print_line("the store is distributed: start the service")

    _with_url(data_dir, env_file, run)


def _with_password(url: str) -> str:
    """Return the URL of `db move --to` with the password from the environment or a prompt."""
    parts = urlsplit(url)
    if parts.password is not None or "password" in dict(parse_qsl(parts.query)):
        raise InvalidArgument(
            "--to: other users see a password on the command line. Leave it out, and set "
            f"{PASSWORD_VARIABLE} or type it at the prompt."
        )
    password = read_password()
    if password is None and parts.username and sys.stdin.isatty():
        password = typer.prompt(
            f"Password of {parts.username}", default="", hide_input=True, show_default=False
        )
    if not password:
        return url
    login = f"{parts.username or ''}:{quote(password, safe='')}"
    hosts = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{login}@{hosts}"))


@command(db, "move", examples=["db move --to postgresql://chargeback@db.example/chargeback"])
def move_database(
    to: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="The new database, which must hold no events. Its password comes from "
            f"{PASSWORD_VARIABLE} or a prompt, since other users see this argument.",
        ),
    ],
    programs: ProgramsDir = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Copy the store to another server and verify it there. The old store stays unchanged."""
    target = _with_password(Settings.load(env_file, database_url=to).database_url or to)
    with _show_progress("Copying …") as on_month:
        _with_url(
            data_dir,
            env_file,
            lambda url: move(url, target, system_clock(), programs=programs, on_month=on_month),
        )
    print_line("moved: now set DATABASE_URL to the new database, and start the service")
