"""The rate card, assignments and charges on the command line."""

import asyncio
import csv
import io
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.cli.commands import cli
from app.domain.errors import ChargebackError
from app.postgres.database import with_database_name
from tests.charges.test_worked_examples import experiment, user
from tests.conftest import execute_as_superuser

Run = Callable[..., str]
_numbers = itertools.count(1)

RATE_CARD = """
currency = "EUR"

[cost_centres]
4711 = "Research"
4712 = "Sales"

[rates.storage]
name = "Storage"
measure = "STORAGE"
prices = { 2026-09 = 0.20, 2026-10 = "0.30", 2027-01 = "none" }

[rates.platform]
name = "Platform"
measure = "FEE"
split = "PROPORTIONAL"
prices = { 2026-09 = 1000 }

[workspaces.vision]
2026-09 = "4711"
2026-10 = "4712"

[users.ann]
2026-09 = "4711"
"""


@pytest.fixture
def run(
    postgres: str, template: str, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> Iterator[Run]:
    """Run a command on a store of this test, with 100 GB in vision throughout."""
    name = f"chargeback_charges_{next(_numbers)}"
    asyncio.run(execute_as_superuser(postgres, f"CREATE DATABASE {name} TEMPLATE {template}"))
    env_file = tmp_path / "settings"
    env_file.write_text(f"DATABASE_URL='{with_database_name(postgres, name)}'\n")

    def run(*words: str) -> str:
        error = ""
        try:
            cli([*words, "--env-file", str(env_file)], standalone_mode=False)
        except ChargebackError as raised:
            error = f"Error: {raised}"
        printed = capsysbinary.readouterr()
        return printed.out.decode() + error

    events = tmp_path / "events.ndjson"
    events.write_bytes(b"\n".join((experiment("e", "2026-09-01T00:00:00Z", 100), user("ann"))))
    run("import", str(events))
    yield run
    asyncio.run(execute_as_superuser(postgres, f"DROP DATABASE {name} WITH (FORCE)"))


def charged(run: Run, month: str, *words: str) -> list[tuple[str, str, str]]:
    """Return the cost centre, rate and amount of each charge line of a month, from its CSV."""
    rows = list(csv.DictReader(io.StringIO(run("charges", month, "--format", "csv", *words))))
    return [(row["Cost centre"], row["Rate"], row["Amount"]) for row in rows[:-2]]


def test_a_file_of_the_rate_card_is_applied_repeatedly(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "card.toml"
    file.write_text(RATE_CARD)

    rehearsed = run("rates", "apply", str(file), "--dry-run")
    assert "would change 12 entries; nothing was stored" in rehearsed
    assert "currency: none" in run("rates", "list")

    assert "changed 12 entries" in run("rates", "apply", str(file))
    assert run("rates", "apply", str(file)) == "nothing differs\n"
    # 100 GB x 0.20 and the whole fee; from October 100 GB x 0.30, paid by another cost centre.
    assert charged(run, "2026-09") == [
        ("4711", "platform", "1000.00"),
        ("4711", "storage", "20.00"),
    ]
    assert charged(run, "2026-10", "--cost-centre", "4712") == [
        ("4712", "platform", "1000.00"),
        ("4712", "storage", "30.00"),
    ]

    # Entries in force in a closed month are no change; a new one there is refused.
    run("months", "close", "2026-09", "--yes")
    assert run("rates", "apply", str(file)) == "nothing differs\n"
    file.write_text(RATE_CARD.replace("0.20", "0.25").replace("Sales", "Marketing"))
    refused = run("rates", "apply", str(file))
    assert "from 2026-09 would change a closed month: the earliest month is 2026-10" in refused
    assert "Marketing" not in run("cost-centres", "list")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("currency =", "money =", "rate card: unknown key 'money'"),
        ('"STORAGE"', '"DISK"', "rates.storage.measure: must be one of STORAGE, "),
        ("= 0.20", "= true", "rates.storage.prices.2026-09: must be a number or none"),
        (
            '2026-09 = "4711"',
            "2026-09 = 4711",
            "vision.2026-09: must be text in quotes",
        ),
        ("[users.ann]", "[users.nobody]", "user: 'nobody' is not known"),
        (
            "2026-09 = 0.20",
            "2026-09-16 = 0.20",
            "'2026-09-16' is a day: write the month as YYYY-MM, 2026-09.",
        ),
        ("[rates.platform]", "[rates", "rate card: not TOML"),
    ],
)
def test_an_invalid_file_is_rejected_with_the_reason_and_stores_nothing(
    run: Run, tmp_path: Path, before: str, after: str, message: str
) -> None:
    file = tmp_path / "card.toml"
    assert before in RATE_CARD
    file.write_text(RATE_CARD.replace(before, after))

    assert message in run("rates", "apply", str(file))
    assert "currency: none" in run("rates", "list")


def test_rates_cost_centres_and_assignments_are_set_one_by_one(run: Run, tmp_path: Path) -> None:
    (tmp_path / "card.toml").write_text('currency = "EUR"')
    run("rates", "apply", str(tmp_path / "card.toml"))
    assert run("cost-centres", "set", "4711", "Research") == "set cost centre 4711\n"
    run("rates", "set", "storage", "--name", "Storage", "--measure", "STORAGE")
    run("rates", "price", "storage", "0.20", "--from", "2026-09")
    run("rates", "price", "storage", "none", "--from", "2026-10")
    stored = run("assign", "workspace", "vision", "4711", "--from", "2026-09")

    assert stored == "stored 1 assignments\n"
    assert charged(run, "2026-09") == [("4711", "storage", "20.00")]
    assert charged(run, "2026-10") == []
    listed = run("cost-centres", "list", "--month", "2026-09")
    assert "Research" in listed
    assert "vision" in listed
    refused = run("rates", "price", "storage", "1", "--from", "2026-11", "--currency", "USD")
    assert refused == "Error: currency: the organization charges in EUR; got a price in USD."


def test_assignments_come_from_a_csv_file_all_or_none(run: Run, tmp_path: Path) -> None:
    run("cost-centres", "set", "4711", "Research")
    file = tmp_path / "assignments.csv"
    file.write_text(
        "kind,name,cost_centre,from\nworkspace,vision,4711,2026-09\nuser,ann,4711,2026-09\n"
    )
    assert run("assign", "--file", str(file)) == "stored 2 assignments\n"

    file.write_text("kind,name,cost_centre,from\nuser,ann,none,2026-10\nteam,x,4711,2026-10\n")
    assert run("assign", "--file", str(file)) == (
        f"Error: {file}, line 3: kind: use workspace or user."
    )
    assert "ann" in run("cost-centres", "list", "--month", "2026-10")


def test_charges_are_printed_with_total_and_status_and_written_to_a_file(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "card.toml").write_text(RATE_CARD)
    run("rates", "apply", str(tmp_path / "card.toml"))

    printed = run("charges", "2026-09")
    assert "total 1,020.00 EUR; OPEN, as of 20" in printed

    run("charges", "2026-09", "--format", "xlsx", "--output", str(tmp_path / "c.xlsx"))
    assert (tmp_path / "c.xlsx").read_bytes().startswith(b"PK")


def test_a_line_of_the_file_is_explained(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "card.toml"
    file.write_text(RATE_CARD)
    run("rates", "apply", str(file))
    lines = csv.DictReader(io.StringIO(run("charges", "2026-09", "--format", "csv")))
    [line_id] = [line["Id"] for line in lines if line["Rate"] == "storage"]

    explained = run("explain", line_id)

    assert explained.startswith("Storage of vision, paid by 4711 Research\n")
    assert "quantity 100 GB-month = 100 / 1\ntimes 0.2 EUR = 20 EUR\n" in explained
    assert "experiment.created" in explained
    assert run("explain", "2026-09-0") == "Error: charge: there is no charge line '2026-09-0'."


def test_prices_and_assignments_come_from_csv_files(run: Run, tmp_path: Path) -> None:
    card, prices, payers = (tmp_path / name for name in ("card.toml", "prices.csv", "payers.csv"))
    card.write_text(RATE_CARD)
    run("rates", "apply", str(card))
    prices.write_text("rate,from,amount\nstorage,2026-09,0.25\nplatform,2026-10,none\n")
    payers.write_text("kind,name,cost_centre,from\nworkspace,vision,4712,2026-09\n")

    rehearsed = run("rates", "apply", str(prices), "--dry-run")
    assert "would change 2 entries; nothing was stored" in rehearsed
    assert "changed 2 entries" in run("rates", "apply", str(prices))
    assert run("rates", "apply", str(prices)) == "nothing differs\n"
    assert "changed 1 entries" in run("rates", "apply", str(payers))
    # 100 GB x 0.25, now paid by 4712; October has its own price, and no fee any more.
    assert ("4712", "storage", "25.00") in charged(run, "2026-09")
    assert charged(run, "2026-10") == [("4712", "storage", "30.00")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rate,from\nstorage,2026-09\n", ": the column 'amount' is missing."),
        (
            "rate,from,amount,note\nstorage,2026-09,1,x\n",
            ": unknown column 'note'; allowed are rate, from, amount.",
        ),
        ("rate,from,amount\nstorage,2026-09\n", ", line 2: must have 3 cells."),
        ("rate,from,amount\nstorage,2026-13,1\n", ", line 2: "),
        (
            "rate,from,amount\nstorage,2026-09,1\nstorage,2026-10,x\n",
            ", line 3: amount: must be a number or none, which ends the price; got 'x'.",
        ),
        ('rate,from,amount\nstorage,2026-09,"1\n', ", line 2: not CSV: "),
        ("", ": the column 'kind' is missing."),
    ],
)
def test_an_invalid_csv_file_is_rejected_with_the_reason_and_stores_nothing(
    run: Run, tmp_path: Path, text: str, message: str
) -> None:
    card, prices = tmp_path / "card.toml", tmp_path / "prices.csv"
    card.write_text(RATE_CARD)
    run("rates", "apply", str(card))
    prices.write_text(text)

    assert f"Error: {prices}{message}" in run("rates", "apply", str(prices))
    assert run("rates", "apply", str(card)) == "nothing differs\n"
