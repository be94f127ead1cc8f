"""`chargeback backup`, `restore` and `db`: the store as a whole."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from app.cli.options import DEFAULT_DATA_DIR, DataDir, EnvFile
from app.clock import system_clock
from app.console import stderr, stdout
from app.domain.months import Month
from app.postgres.database import resolve_store_url
from app.services.store_admin import (
    OnMonth,
    back_up,
    choose_backup_file,
    delete_old_backups,
    dry_run_upgrade,
    move,
    pending_migrations,
    restore,
    upgrade_store,
)
from app.settings import Settings

T = TypeVar("T")

db = typer.Typer(no_args_is_help=True, help="The store as a whole: upgrade it, move it.")

Programs = Annotated[
    Path | None,
    typer.Option(
        help="The folder of PostgreSQL's pg_dump and pg_restore, 18 or newer: for a server that "
        "asks for TLS, which those that came with the service do not know.",
        exists=True,
        file_okay=False,
    ),
]


def _with_url(data_dir: Path, env_file: Path | None, command: Callable[[str], Awaitable[T]]) -> T:
    """Run a command on the store's URL; an embedded server that runs is joined."""
    settings = Settings.load(env_file)

    async def run() -> T:
        async with resolve_store_url(settings.database_url, data_dir / "postgres") as url:
            return await command(url)

    return asyncio.run(run())


@contextmanager
def _telling(begins: str) -> Iterator[OnMonth]:
    """A line of progress while a long command works."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=stderr, transient=True) as progress:
        task = progress.add_task(begins)

        def on_month(organization: str, month: Month) -> None:
            progress.update(task, description=f"Verifying {month} of {organization} …")

        yield on_month


def backup(
    target: Annotated[
        Path, typer.Argument(metavar="FILE|FOLDER", help="A new file, or a folder for it.")
    ],
    keep: Annotated[
        int | None,
        typer.Option(help="Remove all but so many of the folder's backups afterwards.", min=1),
    ] = None,
    programs: Programs = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Write the whole store to a file, also while it is being served."""
    file = choose_backup_file(target, system_clock())
    with _telling("Dumping …"):
        _with_url(data_dir, env_file, lambda url: back_up(url, file, programs=programs))
    stdout.print(f"wrote {file}, {file.stat().st_size:,} bytes", markup=False, highlight=False)
    if keep is not None:
        for old in delete_old_backups(file.parent, keep):
            stdout.print(f"removed {old}", markup=False, highlight=False)


def restore_backup(
    file: Annotated[Path, typer.Argument(help="What `chargeback backup` has written.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Even though the store holds events.")
    ] = False,
    verify: Annotated[
        bool, typer.Option(help="Work every month out again from its events, and compare.")
    ] = True,
    programs: Programs = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Put a backup in the store's place: whole and verified, or not at all."""
    with _telling("Restoring …") as on_month:
        _with_url(
            data_dir,
            env_file,
            lambda url: restore(
                url,
                file,
                system_clock(),
                replace=replace,
                verify=verify,
                programs=programs,
                on_month=on_month,
            ),
        )
    stdout.print(f"restored {file}", markup=False, highlight=False)


@db.command("upgrade")
def upgrade_database(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Run it, take it back, print its statements.")
    ] = False,
    lock_timeout: Annotated[
        int, typer.Option(help="Seconds to wait for a table that is in use.", min=1, max=3600)
    ] = 5,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Bring the store's schema to this version, in one transaction; `serve` does so too."""

    async def command(url: str) -> None:
        for migration in await pending_migrations(url):
            would = "would run" if dry_run else "running"
            stdout.print(f"{would} {migration}", markup=False, highlight=False)
        if dry_run:
            for statement in await dry_run_upgrade(url, lock_seconds=lock_timeout):
                stdout.print(f"{statement};", markup=False, highlight=False)
            stdout.print("taken back: the schema is as it was")
        else:
            await upgrade_store(url, lock_seconds=lock_timeout)
            stdout.print("the schema is that of this version")

    _with_url(data_dir, env_file, command)


@db.command("move")
def move_database(
    to: Annotated[str, typer.Option(metavar="DATABASE_URL", help="A database without events.")],
    programs: Programs = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Copy the store to another server, and verify it there; the old one stays as it is."""
    target = Settings.load(env_file, database_url=to).database_url or to
    with _telling("Copying …") as on_month:
        _with_url(
            data_dir,
            env_file,
            lambda url: move(url, target, system_clock(), programs=programs, on_month=on_month),
        )
    stdout.print("moved: now set DATABASE_URL to the new database, and start the service")
