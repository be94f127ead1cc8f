"""What one interface takes, the others take too: the same input by each of them."""

import asyncio
import gzip
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from functools import partial
from pathlib import Path

import httpx
import pytest

from app.cli.commands import cli
from app.cli.report import show_report
from app.db.engine import Database
from app.domain.errors import ChargebackError
from app.domain.event_decoding import BATCH, NDJSON
from app.web.export import PARAMETERS
from tests.conftest import ClonedDatabase, GraphQLClient, event

Run = Callable[..., Awaitable[str | None]]
SET_PRICE = 'mutation ($a: Decimal) { setPrice(rate: "storage", from: "2026-10", amount: $a) }'
PRICES = '{ rateCard(month: "2026-10") { rates { price } } }'


@pytest.fixture
def store(postgres: str, template: str) -> ClonedDatabase:
    """An empty store for this test."""
    return ClonedDatabase(postgres, template)


@pytest.fixture
async def database(store: ClonedDatabase) -> AsyncIterator[Database]:
    """The store's database, which the other fixtures use."""
    async with store as database:
        yield database


@pytest.fixture
def run(database: Database, store: ClonedDatabase, tmp_path: Path) -> Run:
    """Run a command on the test's store; returns its error, or None."""
    env_file = tmp_path / "settings"
    env_file.write_text(f"DATABASE_URL='{store.url}'\n")

    async def run(*words: str) -> str | None:
        arguments = [*words, f"--env-file={env_file}"]
        try:
            await asyncio.to_thread(cli, arguments, standalone_mode=False)
        except ChargebackError as error:
            return str(error)
        return None

    return run


@pytest.mark.parametrize(
    ("written", "price"),
    [
        ("0.20", "0.2"),
        (".5", "0.5"),
        ("+1", "1"),
        ("1e-2", "0.01"),
        ("1E-2", "0.01"),
        ("1_0", None),
        ("\u0661", None),
        ("1,5", None),
        ("NaN", None),
        ("", None),
    ],
)
async def test_a_price_is_the_same_number_by_every_interface(
    run: Run, graphql: GraphQLClient, tmp_path: Path, written: str, price: str | None
) -> None:
    card, prices = tmp_path / "card.toml", tmp_path / "prices.csv"
    rate = 'currency = "EUR"\n[rates.storage]\nname = "Storage"\nmeasure = "STORAGE"\n'
    card.write_text(rate)
    assert await run("rates", "apply", str(card)) is None
    card.write_text(f"{rate}prices = {{ 2026-10 = {json.dumps(written)} }}\n")
    prices.write_text(f'rate, from, amount\nstorage, 2026-10, "{written}"\n')
    await graphql('mutation { setPrice(rate: "storage", from: "2026-10", amount: 7) }')

    async def by_graphql() -> str | None:
        answer = await graphql.execute(SET_PRICE, {"a": written})
        return str(answer["errors"]) if "errors" in answer else None

    writers: list[Callable[[], Awaitable[str | None]]] = [
        by_graphql,
        partial(run, "rates", "price", "storage", written, "--from", "2026-10"),
        partial(run, "rates", "apply", str(card)),
        partial(run, "rates", "apply", str(prices)),
    ]
    for write in writers:
        refusal = await write()
        assert (refusal is None) == (price is not None)
        ((found,),) = [each.values() for each in (await graphql(PRICES))["rateCard"]["rates"]]
        assert Decimal(found) == Decimal(price or "7")


def user(name: str) -> bytes:
    return event("user.upserted", "2026-09-02T00:00:00Z", id=name, username=name)


BOM = b"\xef\xbb\xbf"
BODIES = {
    "lines": (NDJSON, user("a") + b"\r\n\n" + user("b")),
    "byte-order mark": (NDJSON, BOM + user("a") + b"\n" + user("b")),
    "array": (BATCH, b"[\n" + user("a") + b",\n" + user("b") + b"]"),
    "array on one line": (BATCH, BOM + b"[" + user("a") + b"," + user("b") + b"]"),
    "gzip": (NDJSON, gzip.compress(user("a") + b"\n") + gzip.compress(user("b"))),
}
BAD_BODIES = {
    "garbage after gzip": (NDJSON, gzip.compress(user("a")) + b"x"),
    "bad line": (NDJSON, user("a") + b"\nx"),
    "array without end": (BATCH, b"[" + user("a")),
    "number": (NDJSON, b"1"),
    "no time zone": (NDJSON, user("a").replace(b"00Z", b"00")),
    "future": (NDJSON, user("a").replace(b"2026", b"2028")),
}


@pytest.mark.parametrize("name", [*BODIES, *BAD_BODIES])
async def test_files_and_http_take_the_same_events(
    run: Run, client: httpx.AsyncClient, admin_key: str, tmp_path: Path, name: str
) -> None:
    media_type, body = {**BODIES, **BAD_BODIES}[name]
    encoding = "gzip" if body.startswith(b"\x1f\x8b") else "identity"
    headers = {
        "Authorization": admin_key,
        "Content-Type": media_type,
        "Content-Encoding": encoding,
    }
    file = tmp_path / "events"
    file.write_bytes(body)

    refusal = await run("import", str(file))
    response = await client.post("/api/events", content=body, headers=headers)

    if name in BODIES:
        assert refusal is None
        assert response.json() == {"accepted": 0, "duplicates": 2}
    else:
        assert refusal is not None
        assert response.status_code == httpx.codes.BAD_REQUEST, response.text


def test_the_export_has_the_options_of_the_command() -> None:
    of_the_shell = {"output", "split_by", "out", "data_dir", "env_file"}
    names = set(inspect.signature(show_report).parameters) - of_the_shell
    renamed = {
        "month": "reportMonth",
        "since": "from",
        "until": "to",
        "form": "format",
        "idle_days": "idleDays",
        "is_summed": "sum",
    }
    assert {renamed.get(name, name) for name in names} == set(PARAMETERS)
