"""`chargeback rates`: list, set, price and apply rates."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from app.cli.help import command, command_group
from app.cli.operator import current_operator
from app.cli.options import DEFAULT_DATA_DIR, DataDir, EnvFile, InOrganization
from app.cli.tables import print_table
from app.clock import system_clock
from app.console import print_line
from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import InvalidArgument
from app.domain.months import Month
from app.domain.rates import Measure, Rate, RateCard, Split
from app.server.store import run_with_store
from app.services.organizations import find_organization
from app.services.rate_card import fetch_rate_card, set_price, set_rate
from app.services.rate_card_csv import ASSIGNMENT_COLUMNS, PRICE_COLUMNS, parse_rate_card_csv
from app.services.rate_card_file import apply_rate_card, parse_price, parse_rate_card
from app.settings import Settings
from resolvers.charge_lists import trim

rates = command_group("List, set, price and apply rates: what is charged, at which price.")

RateCode = Annotated[str, typer.Argument(metavar="CODE", help="The rate's code.")]


@command(rates, "list", examples=["rates list"])
def list_(
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """List rates with all their prices."""

    async def run(database: Database, _: Settings) -> None:
        found = await find_organization(database, organization)
        card = await fetch_rate_card(database, found.organization_id)
        print_line(f"currency: {card.currency.code if card.currency else 'none'}")
        headings = ("Rate", "Name", "Measure", "Who pays", "From", "Price")
        rows = [row for rate in card.rates for row in _list_prices(card, rate)]
        print_table(headings, rows, right={"Price"}, whole={"From"}, drop=["Name"])

    run_with_store(data_dir, env_file, run)


@command(
    rates,
    "set",
    examples=[
        "rates set storage --name Storage --measure STORAGE",
        "rates set platform --name Platform --measure FEE --split PROPORTIONAL",
    ],
)
def set_(
    code: RateCode,
    name: Annotated[str, typer.Option(metavar="TEXT", help="What statements call it.")],
    measure: Annotated[
        Measure,
        typer.Option(metavar="|".join(Measure), help="What it charges for."),
    ],
    split: Annotated[
        Split | None,
        typer.Option(metavar="|".join(Split), help="How a FEE is shared among cost centres."),
    ] = None,
    cost_centre: Annotated[
        str | None, typer.Option(metavar="CODE", help="The cost centre that pays a FEE alone.")
    ] = None,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Create a rate, or change its name or who pays it."""

    async def run(database: Database, _: Settings) -> None:
        found = await find_organization(database, organization)
        rate = Rate(code, name, measure, split, cost_centre)
        await set_rate(
            database, found.organization_id, rate, by=current_operator(), now=system_clock()
        )
        print_line(f"set rate {code}")

    run_with_store(data_dir, env_file, run)


@command(
    rates,
    "price",
    examples=[
        "rates price storage 0.20 --from 2026-09",
        "rates price storage none --from 2027-01",
    ],
)
def price(
    code: RateCode,
    amount: Annotated[
        str, typer.Argument(metavar="AMOUNT", help="The price of one unit; none ends it.")
    ],
    from_month: Annotated[
        str, typer.Option("--from", metavar="MONTH", help="The first month of this price.")
    ],
    currency: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="Refuse the price if this is not the currency."),
    ] = None,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Set the price of a rate from a month on, until its next price."""
    month, value = Month.parse(from_month), parse_price("AMOUNT", amount)

    async def run(database: Database, _: Settings) -> None:
        found = await find_organization(database, organization)
        await set_price(
            database,
            found.organization_id,
            code,
            month,
            value,
            currency=currency,
            by=current_operator(),
            now=system_clock(),
        )
        print_line(f"{code} costs {amount} from {month}")

    run_with_store(data_dir, env_file, run)


@command(
    rates,
    "apply",
    examples=[
        "rates apply rate-card.toml --dry-run",
        "rates apply rate-card.toml",
        "rates apply prices.csv",
    ],
)
def apply(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A whole rate card in TOML; or a .csv file of prices "
            f"({', '.join(PRICE_COLUMNS)}) or assignments ({', '.join(ASSIGNMENT_COLUMNS)}).",
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the difference and store nothing.")
    ] = False,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Apply a file of the rate card, all or nothing, and show what it changes."""
    is_csv = file.suffix.lower() == ".csv"
    text = read_text(file)
    rate_card = parse_rate_card_csv(str(file), text) if is_csv else parse_rate_card(text)

    async def run(database: Database, _: Settings) -> None:
        found = await find_organization(database, organization)
        differences = await apply_rate_card(
            database,
            found.organization_id,
            rate_card,
            by=current_operator(),
            now=system_clock(),
            dry_run=dry_run,
        )
        if not differences:
            print_line("nothing differs")
            return
        print_table(("Entry", "Before", "After"), differences)
        done = "would change" if dry_run else "changed"
        print_line(f"{done} {len(differences)} entries" + ("; nothing was stored" * dry_run))

    run_with_store(data_dir, env_file, run)


def _list_prices(card: RateCard, rate: Rate) -> Iterator[tuple[str, ...]]:
    """Yield a row for each price of a rate, or one row if it has none."""
    cells = (rate.code, rate.name, rate.measure, rate.split or rate.cost_centre or "")
    history = sorted(card.prices.get(rate.code, {}).items())
    for month, amount in history:
        yield (*cells, str(month), "none" if amount is None else f"{trim(amount):f}")
    if not history:
        yield (*cells, "", "")


def read_text(file: Path) -> str:
    """Read a file of text.

    Raises:
        InvalidArgument: It cannot be read, or is not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{file}: cannot be read: {error}.") from None
