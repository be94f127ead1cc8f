"""`chargeback organizations`: create and list organizations."""

from typing import Annotated

import typer

from app.cli.help import command, command_group
from app.cli.operator import current_operator
from app.cli.options import DEFAULT_DATA_DIR, DataDir, EnvFile
from app.cli.tables import TableRow, print_table
from app.clock import system_clock
from app.console import print_line
from app.db.engine import Database
from app.server.store import run_with_store
from app.services.organizations import create_organization, list_organizations
from app.settings import Settings

organizations = command_group("Create and list organizations.")


@command(organizations, "create", examples=["organizations create research"])
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that is not taken.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Create an organization."""

    async def run(database: Database, _: Settings) -> None:
        await create_organization(database, name, system_clock(), by=current_operator())
        print_line(f"created {name}")

    run_with_store(data_dir, env_file, run)


@command(organizations, "list", examples=["organizations list"])
def list_(data_dir: DataDir = DEFAULT_DATA_DIR, env_file: EnvFile = None) -> None:
    """List organizations by name, with the months that their events cover."""

    async def run(database: Database, _: Settings) -> None:
        rows: list[TableRow] = []
        for row in await list_organizations(database):
            months = (row.first_month, row.last_month)
            rows.append((row.name, *(str(month) if month else "" for month in months)))
        print_table(("Name", "From", "To"), rows)

    run_with_store(data_dir, env_file, run)
