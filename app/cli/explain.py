"""`chargeback explain`: why a charge line has its amount."""

from collections.abc import Sequence
from typing import Annotated

import typer

from app.cli.operator import operator_context
from app.cli.options import DEFAULT_DATA_DIR, DataDir, EnvFile, InOrganization
from app.cli.tables import print_table
from app.console import print_line
from app.db.charge_evidence import EventRow
from app.db.engine import Database
from app.domain.audit import Action
from app.domain.callers import DEFAULT_ORGANIZATION
from app.server.store import run_with_store
from app.settings import Settings
from resolvers.charge_lists import UNASSIGNED, round_decimal, trim
from resolvers.explanations import ChargePart, Explanation, explain_charge


def explain(
    line: Annotated[
        str,
        typer.Argument(metavar="ID", help="The id of a line: `charges` and its files show it."),
    ],
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Explain a charge line: its quantity, its rounding, and the rows and events behind it."""

    async def run(database: Database, settings: Settings) -> None:
        async with operator_context(
            database, settings, organization, Action.REPORT_READ
        ) as context:
            _print(await explain_charge(context, line))

    run_with_store(data_dir, env_file, run)


def _print(found: Explanation) -> None:
    line, currency = found.line, found.charges.currency.code
    subject = " as a member of ".join(
        party.name for party in (line.user, line.workspace) if party is not None
    )
    payer = " ".join(filter(None, (line.cost_centre, found.charges.name_of(line.cost_centre))))
    what = f"{line.rate.name} of {subject}" if subject else line.rate.name
    print_line(f"{what}, paid by {payer or UNASSIGNED}")
    if line.origin is not None:
        print_line(f"correction of {line.origin}, at the price and cost centre then in force")
    quantity, unit = line.quantity, line.rate.measure.unit
    print_line(
        f"quantity {round_decimal(quantity):f} {unit} "
        f"= {quantity.numerator} / {quantity.denominator}"
    )
    exact = round_decimal(line.exact)
    print_line(f"times {trim(line.price):f} {currency} = {exact:f} {currency}")
    print_table(
        ("Rounding", "Exact", f"Amount in {currency}"),
        [(each.step, f"{each.exact_amount:,f}", f"{each.amount:,}") for each in found.steps],
        right={"Exact", f"Amount in {currency}"},
    )
    if found.parts:
        _print_parts(found.parts)
    if found.events:
        _print_events(found.events)


def _print_parts(parts: Sequence[ChargePart]) -> None:
    rows = [
        (
            part.name,
            f"{part.quantity:,f}",
            part.unit,
            "" if part.amount is None else f"{part.amount:,}",
        )
        for part in parts
    ]
    print_table(("Rests on", "Quantity", "Unit", "Amount"), rows, right={"Quantity", "Amount"})


def _print_events(events: Sequence[EventRow]) -> None:
    rows = [
        (f"{each.occurred_at:%Y-%m-%d %H:%M:%S}", each.type, each.source, each.id, each.data)
        for each in events
    ]
    print_table(
        ("Happened", "Event", "Source", "Id", "Data"),
        rows,
        title="Latest events",
        whole={"Happened"},
        drop=("Data", "Source"),
    )
