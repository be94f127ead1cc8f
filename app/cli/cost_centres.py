"""`chargeback cost-centres` and `chargeback assign`: who pays for what."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from app.cli.help import command, command_group
from app.cli.operator import current_operator
from app.cli.options import DEFAULT_DATA_DIR, DataDir, EnvFile, InOrganization
from app.cli.rates import read_text
from app.cli.tables import print_table
from app.clock import system_clock
from app.console import print_line
from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import InvalidArgument
from app.domain.months import Month
from app.domain.rates import CostCentre
from app.server.store import run_with_store
from app.services.organizations import find_organization
from app.services.rate_card import (
    assign,
    fetch_rate_card,
    list_assignments,
    set_cost_centre,
)
from app.services.rate_card_csv import (
    ASSIGNMENT_COLUMNS,
    parse_assignments_csv,
    to_assignment,
)
from app.settings import Settings

cost_centres = command_group("List and set cost centres: who pays.")


class Assigned(StrEnum):
    """What is assigned to a cost centre."""

    WORKSPACE = "workspace"
    USER = "user"


@command(cost_centres, "list", examples=["cost-centres list", "cost-centres list --month 2026-09"])
def list_(
    month: Annotated[
        str | None,
        typer.Option(metavar="MONTH", help="Also list what is assigned in this month."),
    ] = None,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """List cost centres by code, and what a month assigns to them."""
    chosen = None if month is None else Month.parse(month)

    async def run(database: Database, _: Settings) -> None:
        found = await find_organization(database, organization)
        card = await fetch_rate_card(database, found.organization_id)
        print_table(("Cost centre", "Name"), list(card.cost_centres.values()))
        if chosen is None:
            return
        assigned = await list_assignments(database, found.organization_id, chosen)
        rows = [(kind.lower(), name, code) for kind, name, code in assigned]
        print_table(("Kind", "Name", "Cost centre"), rows, title=f"Assigned in {chosen}")

    run_with_store(data_dir, env_file, run)


@command(cost_centres, "set", examples=["cost-centres set 4711 Research"])
def set_(
    code: Annotated[str, typer.Argument(metavar="CODE", help="Its code in the ledger.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name.")],
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Create a cost centre, or rename it. Closed months keep the name that they had."""

    async def run(database: Database, _: Settings) -> None:
        found = await find_organization(database, organization)
        centre = CostCentre(code, name)
        await set_cost_centre(
            database, found.organization_id, centre, by=current_operator(), now=system_clock()
        )
        print_line(f"set cost centre {code}")

    run_with_store(data_dir, env_file, run)


def assign_cost_centre(
    kind: Annotated[
        Assigned | None, typer.Argument(metavar="workspace|user", help="What to assign.")
    ] = None,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The workspace's name, or the username.")
    ] = None,
    code: Annotated[
        str | None,
        typer.Argument(metavar="CODE", help="The cost centre; none ends the assignment."),
    ] = None,
    from_month: Annotated[
        str | None, typer.Option("--from", metavar="MONTH", help="The first month it is in force.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"A CSV file of many, with the columns {', '.join(ASSIGNMENT_COLUMNS)}.",
        ),
    ] = None,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Assign a workspace or a user to a cost centre from a month on; or many, from a CSV file."""
    if file is not None:
        if kind or name or code or from_month:
            raise InvalidArgument("--file excludes the other arguments: the file has them.")
        entries = parse_assignments_csv(str(file), read_text(file))
    elif kind is None or name is None or code is None or from_month is None:
        raise InvalidArgument(
            "assign: give workspace|user NAME CODE --from MONTH, or --file FILE."
        )
    else:
        entries = [to_assignment(kind, name, code, from_month)]

    async def run(database: Database, _: Settings) -> None:
        found = await find_organization(database, organization)
        await assign(
            database, found.organization_id, entries, by=current_operator(), now=system_clock()
        )
        print_line(f"stored {len(entries)} assignments")

    run_with_store(data_dir, env_file, run)
